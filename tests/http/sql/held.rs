//! What the server holds for guests, and SQLite in memory or beside its file: the bounds, broken, and what goes on.

use wharf_tests::eventually;
use wharf_tests::http::Connection;

use super::{ENGINES, Engine, Site, request};
use crate::operator::metric;

const MIB: u64 = 1 << 20;

/// Another database of the same app, which nobody crowds.
const NEIGHBOUR: &str = "\n[sql.other]\npath = ':memory:'";

fn reached(site: &Site, limit: &str) -> f64 {
    site.metric("limits_reached_total", &format!("limit=\"{limit}\""))
}

/// Many calls wait with much: few of them are let wait, the others hear so at once.
#[test]
fn calls_that_wait_hold_no_more_than_they_may() {
    for engine in ENGINES {
        let keys = format!("connections = 1\nheld = '16MiB'{NEIGHBOUR}");
        let Some(site) = engine.serve(&keys) else { continue };
        let kind = if engine == Engine::Sqlite {
            "TEXT"
        } else {
            "VARCHAR(10)"
        };
        assert_eq!(
            site.ask(&format!("open main\nexecute CREATE TABLE a (b {kind})")),
            "changed 0"
        );
        let mut holder = Connection::open(site.server.addr());
        holder.send(request("open main\nbegin\nsleep 18000000"));
        let used = || site.metric("connections_used", "");
        eventually(|| used() >= 1.0, "the connection to be taken");
        let before = site.server.resident_bytes();
        let mut crowd = Connection::open(site.server.addr());
        let insert = "INSERT INTO a VALUES (substr($1, 1, 10))";
        crowd.send(request(
            &site.engine.script(&format!("open main\ncrowd 200 2000000 {insert}")),
        ));
        eventually(|| reached(&site, "held") >= 192.0, "calls to be refused");
        // With what the guest has itself.
        let grown = site.server.resident_bytes().saturating_sub(before);
        println!("{engine:?}: {} MiB more", grown / MIB);
        assert!(grown < 64 * MIB, "{engine:?}: {} MiB more", grown / MIB);
        let neighbour =
            "open other\nexecute CREATE TABLE IF NOT EXISTS b (c)\nexecute INSERT INTO b VALUES ($1) | integer 1";
        assert_eq!(site.ask(neighbour), "changed 0\nchanged 1", "{engine:?}");
        site.server.says("all calls may hold 16777216 (held)");
        drop(holder);
        assert_eq!(
            crowd.reply().text().trim_end(),
            "8 ok\n192 pool-exhausted",
            "{engine:?}"
        );
        site.rest();
        assert_eq!(
            site.ask("open main\ncount SELECT b FROM a"),
            "counted 8\nend",
            "{engine:?}"
        );
        // One that has more than all may have.
        let alone = site.ask(&format!("open main\ncrowd 1 17000000 {insert}"));
        let expected = "1 invalid-params they take 17000";
        assert!(
            alone.starts_with(expected) && alone.ends_with("(held)"),
            "{engine:?}: {alone}"
        );
    }
}

/// Data of any size is stored all the same, as it comes.
#[test]
fn many_lists_take_little() {
    for engine in ENGINES {
        let Some(site) = engine.serve("held = '1MiB'") else {
            continue;
        };
        assert_eq!(site.ask("execute CREATE TABLE a (b INTEGER)"), "changed 0");
        assert_eq!(
            site.ask("many 1 20000 INSERT INTO a VALUES ($1)"),
            "changed 20000",
            "{engine:?}"
        );
        // Large ones come one at a time, however many the guest has written.
        let kind = if engine == Engine::Sqlite {
            "TEXT"
        } else {
            "VARCHAR(10)"
        };
        assert_eq!(site.ask(&format!("execute CREATE TABLE w (b {kind})")), "changed 0");
        let wide = |count: usize, bytes: usize| {
            site.ask(&format!(
                "wide {count} {bytes} INSERT INTO w VALUES (substr($1, 1, 10))"
            ))
        };
        assert_eq!(wide(40, 300_000), "changed 40", "{engine:?}");
        assert_eq!(reached(&site, "held"), 0.0, "{engine:?}");
        // Of what ends so nothing is stored.
        assert!(
            wide(3, 1_100_000).starts_with("invalid-params they take 1100"),
            "{engine:?}"
        );
        assert_eq!(site.ask("count SELECT b FROM w"), "counted 40\nend", "{engine:?}");
        assert_eq!(reached(&site, "held"), 1.0, "{engine:?}");
        eventually(
            || metric(site.admin, "wharf_sql_held_bytes{app=\"shop\",database=\"main\"}") == Some(0.0),
            "what calls had to be given back",
        );
    }
}

/// What nobody bounded has a bound, in memory and for what is only there for a while.
#[test]
fn databases_in_memory_and_temporary_tables_have_a_size() {
    let site = Engine::Sqlite
        .serve(&format!("temporary = '1MiB'{NEIGHBOUR}"))
        .expect("it is built in");
    let of_other = |script: &str| site.ask(&format!("open other\n{script}"));
    let numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 2000)";
    assert_eq!(of_other("execute CREATE TABLE a (b)"), "changed 0");
    let before = site.server.resident_bytes();
    let many = format!("execute INSERT INTO a {numbers} SELECT zeroblob(1000000) FROM n");
    assert_eq!(of_other(&many), "query-failed SQLITE_FULL");
    // One after another they fill it, and no more.
    let one = "execute INSERT INTO a VALUES (zeroblob(8000000))\n";
    let answers = of_other(&one.repeat(10));
    assert!(
        answers.ends_with("SQLITE_FULL") && answers.starts_with("changed 1"),
        "{answers}"
    );
    let grown = site.server.resident_bytes().saturating_sub(before);
    assert!(grown < 160 * MIB, "{} MiB more", grown / MIB);
    assert!(of_other("execute DELETE FROM a").starts_with("changed "));
    assert_eq!(of_other(one.trim_end()), "changed 1");
    let temporary = format!("execute CREATE TEMPORARY TABLE t AS {numbers} SELECT zeroblob(10000) AS b FROM n");
    assert_eq!(
        site.ask(&format!("open main\n{temporary}\nexecute CREATE TABLE a (b)")),
        "query-failed SQLITE_FULL\nchanged 0"
    );
    site.server.says("no room is left for the database (size)");
    assert_eq!(reached(&site, "size"), 1.0, "of this database");
}
