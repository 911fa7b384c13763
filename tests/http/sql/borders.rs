//! What a connection to a server lets through: nothing at once that is larger than a row may be, and no transaction but those that the
//! guest begins and ends by its calls.

use wharf_tests::{Brand, eventually};

use super::{Engine, Site};
use crate::axes::Isolation;

const MIB: u64 = 1 << 20;

/// How large the large are, and by how much less the server's memory may grow: of what is too large it reads no more than a row may have,
/// into buffers that double.
const LARGE: u32 = 200_000_000;
const GROWN_MAX: u64 = 96 * MIB;

fn serve(brand: Brand, keys: &str) -> Option<Site> {
    let flags: &[&str] = match brand {
        Brand::Postgres => &[],
        Brand::Mariadb => &["--max-allowed-packet=1G"],
    };
    Engine::Server(brand).serve_with(flags, keys, Isolation::Serial)
}

/// A guest asks for more than its operator lets a row have: it is told, and so is he, and the server holds none of it.
#[test]
fn what_is_larger_than_a_row_is_refused_at_its_beginning() {
    let raise = |level: &str| format!("execute DO $$ BEGIN RAISE {level} '%', repeat('x', {LARGE}); END $$");
    let (query, execute) = (
        format!("query SELECT repeat('x', {LARGE}) AS a"),
        format!("execute SELECT repeat('x', {LARGE})"),
    );
    let cases = [
        (
            Brand::Postgres,
            vec![query.clone(), execute.clone(), raise("EXCEPTION"), raise("NOTICE")],
        ),
        (Brand::Mariadb, vec![query, execute]),
    ];
    for (brand, scripts) in cases {
        let Some(site) = serve(brand, "connections = 1") else {
            continue;
        };
        // As large as a row may be, and a little larger.
        for (bytes, expected) in [(16_000_000, "end"), (16_777_216, "value-conversion-failed a row of ")] {
            let answer = site.ask(&format!("count SELECT repeat('x', {bytes}) AS a"));
            let ended = answer.lines().last().unwrap_or_default();
            assert!(ended.starts_with(expected), "{brand:?}: {bytes}: {answer}");
        }
        let before = site.server.most_resident_bytes();
        for script in &scripts {
            let answer = site.ask(script);
            let told = answer.lines().last().unwrap_or_default();
            assert!(
                told.starts_with("value-conversion-failed "),
                "{brand:?}: {script}: {answer}"
            );
            assert_eq!(site.ask("execute SELECT 1"), "changed 0", "{brand:?}: {script}");
        }
        let grown = site.server.most_resident_bytes() - before;
        assert!(grown < GROWN_MAX, "{brand:?}: {} MiB more", grown / MIB);
        site.server
            .says("app shop, database main: a result is given up: a row of ");
        let large = site.metric("limits_reached_total", "limit=\"row\"");
        assert_eq!(large as usize, scripts.len() + 1, "{brand:?}");
        // The server rolls back what was begun on a connection that has ended.
        site.database().sql("CREATE TABLE a (b INTEGER)");
        let script = &scripts[0];
        let within = format!("begin\nexecute INSERT INTO a VALUES (1)\n{script}\ncommit");
        let answer = site.ask(&within);
        let lines: Vec<_> = answer.lines().collect();
        let [_, _, told, after] = lines[..] else {
            panic!("{brand:?}: {answer}");
        };
        assert!(told.starts_with("value-conversion-failed "), "{brand:?}: {answer}");
        assert_eq!(after, "transaction-ended", "{brand:?}");
        assert_eq!(site.ask("count SELECT b FROM a"), "counted 0\nend", "{brand:?}");
        site.rest();
    }
}

/// A guest can have PostgreSQL say that it ends a connection, and why, at any length.
#[test]
fn what_a_guest_has_the_server_say_is_a_line_of_the_log() {
    let Some(site) = serve(Brand::Postgres, "") else {
        return;
    };
    let message = "'first' || chr(10) || 'second ' || repeat('x', 100000)";
    let answer = site.ask(&format!(
        "execute DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '57P01', MESSAGE = {message}; END $$"
    ));
    assert_eq!(answer, "connection-failed the connection was lost");
    site.server.says("a connection was lost: first second xxx");
    let log = site.server.log();
    let longest = log.lines().map(str::len).max().unwrap_or_default();
    assert!(longest < 1000, "a line of {longest} bytes");
}

/// What a guest does of which a transaction would remain, and whoever came next on the connection would be in it.
#[test]
fn a_transaction_that_is_left_open_is_nobody_elses() {
    let cases: [(Brand, &[&str], &[&str]); 2] = [
        (
            Brand::Postgres,
            &[],
            &["execute /* /* */ */ BEGIN", "query /* /* */ */ BEGIN"],
        ),
        (
            Brand::Mariadb,
            &[
                "CREATE PROCEDURE opens() START TRANSACTION",
                "CREATE PROCEDURE opens_late() BEGIN SELECT 1; START TRANSACTION; END",
                "CREATE PROCEDURE opens_and_fails() BEGIN START TRANSACTION; SIGNAL SQLSTATE '45000'; END",
                "CREATE PROCEDURE never_commits() SET autocommit = 0",
            ],
            &[
                "execute CALL opens()",
                "query CALL opens()",
                "execute CALL opens_late()",
                "execute CALL opens_and_fails()",
                "execute CALL never_commits()",
                "execute /*! START TRANSACTION */",
                "begin\nexecute CALL never_commits()\ncommit",
            ],
        ),
    ];
    for (brand, first, ways) in cases {
        // Whoever comes next has the same connection, if there still is one.
        let Some(site) = serve(brand, "connections = 1") else {
            continue;
        };
        site.database().sql("CREATE TABLE a (b INTEGER)");
        for sql in first {
            assert_eq!(site.ask(&format!("execute {sql}")), "changed 0", "{sql}");
        }
        for (nth, way) in ways.iter().enumerate() {
            let answer = site.ask(way);
            let told = answer.lines().last().unwrap_or_default();
            match way {
                way if way.contains("fails") => assert_eq!(told, "query-failed 45000", "{brand:?}"),
                way if way.starts_with("begin") => assert_eq!(told, "committed", "{brand:?}"),
                _ => assert!(told.starts_with("not-allowed "), "{brand:?}: {way}: {answer}"),
            }
            assert_eq!(site.ask("execute INSERT INTO a VALUES (1)"), "changed 1", "{way}");
            let count = site.database().sql("SELECT count(*) FROM a");
            assert_eq!(count, (nth + 1).to_string(), "{brand:?}: after {way}");
        }
        site.rest();
    }
}

/// What is answered is committed, also where every session begins as one that commits nothing.
#[test]
fn statements_are_committed_whatever_the_server_begins_with() {
    let site = Engine::Server(Brand::Mariadb).serve_with(&["--autocommit=0"], "connections = 1", Isolation::Serial);
    let Some(site) = site else { return };
    site.database().sql("CREATE TABLE a (b INTEGER)");
    for (script, count) in [
        ("execute INSERT INTO a VALUES (1)", "1"),
        (
            "begin\nexecute INSERT INTO a VALUES (2)\nrollback\nexecute INSERT INTO a VALUES (3)",
            "2",
        ),
    ] {
        let answer = site.ask(script);
        assert!(answer.ends_with("changed 1"), "{script}: {answer}");
        assert_eq!(site.database().sql("SELECT count(*) FROM a"), count, "{script}");
    }
}

/// What ends a transaction behind the back of the guest's calls ends it for these, too: nothing after it is done outside of one.
#[test]
fn a_transaction_that_is_ended_has_ended() {
    /// What is said to whom first, and each way with how many rows it leaves.
    type Ways = (Brand, &'static [&'static str], &'static [(&'static str, u32)]);
    let cases: [Ways; 2] = [
        (
            Brand::Postgres,
            &[],
            &[
                ("execute /* /* */ */ COMMIT", 1),
                ("query /* /* */ */ COMMIT", 1),
                ("execute /* /* */ */ COMMIT AND CHAIN", 1),
                ("execute /* /* */ */ ROLLBACK", 0),
                // It can be committed only if the row that it refers to is there.
                ("execute INSERT INTO late VALUES (7)\nexecute /* /* */ */ COMMIT", 0),
            ],
        ),
        (
            Brand::Mariadb,
            &[
                "CREATE PROCEDURE commits() COMMIT",
                "CREATE PROCEDURE defines() CREATE TABLE IF NOT EXISTS c (d INTEGER)",
                "CREATE PROCEDURE defines_again() CREATE TABLE a (b INTEGER)",
            ],
            &[
                ("execute CALL commits()", 1),
                ("execute CALL defines()", 1),
                ("execute CALL defines_again()", 1),
                ("execute /*! COMMIT */", 1),
                ("execute /*! ROLLBACK */", 0),
            ],
        ),
    ];
    for (brand, first, ways) in cases {
        let Some(site) = serve(brand, "connections = 1") else {
            continue;
        };
        site.database().sql("CREATE TABLE a (b INTEGER PRIMARY KEY)");
        if brand == Brand::Postgres {
            let late = "CREATE TABLE late (b INTEGER REFERENCES a DEFERRABLE INITIALLY DEFERRED)";
            site.database().sql(late);
        }
        for sql in first {
            assert_eq!(site.ask(&format!("execute {sql}")), "changed 0", "{sql}");
        }
        for (way, remain) in ways {
            let script =
                format!("begin\nexecute INSERT INTO a VALUES (1)\n{way}\nexecute INSERT INTO a VALUES (2)\nrollback");
            let answer = site.ask(&script);
            let lines: Vec<_> = answer.lines().collect();
            let [.., told, after, end] = lines[..] else {
                panic!("{brand:?}: {answer}");
            };
            let is_told = told.starts_with("not-allowed the statement ended the transaction")
                || told.starts_with("query-failed ");
            assert!(is_told, "{brand:?}: {way}: {answer}");
            assert_eq!([after, end], ["transaction-ended"; 2], "{brand:?}: {way}");
            let count = || site.database().sql("SELECT count(*) FROM a");
            // The server notices in its own time that the connection has ended.
            eventually(
                || count() == remain.to_string(),
                "what was not committed to be rolled back",
            );
            assert_eq!(
                site.ask("execute DELETE FROM a"),
                format!("changed {remain}"),
                "{brand:?}: {way}"
            );
        }
        site.rest();
    }
}

/// Definitions would commit what came before them in MySQL and MariaDB: they are refused, and the transaction goes on.
#[test]
fn definitions_are_refused_where_they_would_commit() {
    let Some(site) = serve(Brand::Mariadb, "") else {
        return;
    };
    site.database().sql("CREATE TABLE a (b INTEGER)");
    let definitions = [
        "CREATE TABLE c (d INTEGER)",
        "ALTER TABLE a ADD c INTEGER",
        "DROP TABLE a",
        "TRUNCATE a",
    ];
    for sql in definitions {
        let script = format!("begin\nexecute INSERT INTO a VALUES (1)\nexecute {sql}\ncount SELECT b FROM a\nrollback");
        let answer = site.ask(&script);
        let lines: Vec<_> = answer.lines().collect();
        let [_, _, told, counted, _, ended] = lines[..] else {
            panic!("{sql}: {answer}");
        };
        assert!(
            told.starts_with("not-allowed the statement would commit"),
            "{sql}: {answer}"
        );
        assert_eq!([counted, ended], ["counted 1", "rolled back"], "{sql}");
        assert_eq!(site.ask("count SELECT b FROM a"), "counted 0\nend", "{sql}");
    }
    let many = site.ask("many 1 2 CREATE TABLE c (d INTEGER)");
    assert!(many.starts_with("not-allowed "), "{many}");
    let temporary = "begin\nexecute CREATE TEMPORARY TABLE t (b INTEGER)\nexecute INSERT INTO t VALUES (1)\ncommit";
    assert_eq!(site.ask(temporary), "begun\nchanged 0\nchanged 1\ncommitted");
}
