//! What the operator says in the manifest: read-only, migrations, names; and what is checked before anything is served.

use std::fs;

use wharf_tests::{Brand, Server, eventually, finish, guest, wharf};

use super::{ENGINES, Engine, Site};
use crate::axes::Isolation;
use crate::operator::{ADMIN, admin, metric};

#[test]
fn migrations_are_applied_at_each_deployment() {
    for engine in ENGINES {
        let database = match engine {
            Engine::Sqlite => None,
            Engine::Server(brand) => match wharf_tests::DatabaseServer::start(brand, &[]) {
                None => continue,
                database => database,
            },
        };
        let folder = wharf_tests::Scratch::new();
        folder.write(
            "1-first.sql",
            "CREATE TABLE a (b INTEGER);\nINSERT INTO a VALUES (1);\nINSERT INTO a VALUES (2);\n",
        );
        folder.write("README", "Not SQL.");
        let site = Site::new(
            engine,
            database,
            &format!("migrations = '{}'", folder.display()),
            Isolation::Serial,
        );
        assert_eq!(site.ask("count SELECT b FROM a"), "counted 2\nend", "{engine:?}");
        let reload = |outcome: &str| {
            let name = format!("wharf_reloads_total{{outcome=\"{outcome}\"}}");
            let before = metric(site.admin, &name).unwrap_or(0.0);
            let pid = rustix::process::Pid::from_raw(site.server.pid() as i32).expect("a process has a number");
            rustix::process::kill_process(pid, rustix::process::Signal::HUP).expect("the server runs");
            eventually(
                || metric(site.admin, &name) > Some(before),
                &format!("{engine:?}: a reload is {outcome}"),
            );
        };
        folder.write("2-second.sql", "INSERT INTO a VALUES (3);");
        reload("taken");
        assert_eq!(site.ask("count SELECT b FROM a"), "counted 3\nend", "{engine:?}");
        // One that fails is not deployed, and what was served before is served on.
        folder.write(
            "3-third.sql",
            "INSERT INTO a VALUES (4); INSERT INTO nothing_here VALUES (5);",
        );
        reload("refused");
        site.server.says("3-third.sql");
        fs::remove_file(folder.join("3-third.sql")).expect("it is there");
        reload("taken");
        assert_eq!(site.ask("count SELECT b FROM a"), "counted 3\nend", "{engine:?}");
    }
}

/// What only reads cannot write, whatever it says.
#[test]
fn read_only_is_kept() {
    for engine in ENGINES {
        let Some(site) = engine.serve("") else { continue };
        assert_eq!(
            site.ask("execute CREATE TABLE a (b INTEGER)\nexecute INSERT INTO a VALUES (1)"),
            "changed 0\nchanged 1"
        );
        let manifest = fs::read_to_string(site.scratch.join("wharf.toml")).expect("it was written");
        let manifest = site
            .scratch
            .write("read-only.toml", format!("{manifest}read-only = true\n"));
        let server = Server::start(manifest, &ADMIN);
        let reading = Site {
            admin: admin(&server),
            server,
            engine,
            database: None,
            scratch: wharf_tests::Scratch::new(),
        };
        assert_eq!(reading.ask("count SELECT b FROM a"), "counted 1\nend", "{engine:?}");
        let ways = [
            "execute INSERT INTO a VALUES (2)",
            "begin\nexecute INSERT INTO a VALUES (2)\ncommit",
            "execute SET SESSION TRANSACTION READ WRITE\nexecute INSERT INTO a VALUES (2)",
            "execute SET @@tx_read_only = 0\nexecute INSERT INTO a VALUES (2)",
            "query SELECT set_config('default_transaction_read_only', 'off', false)\nexecute INSERT INTO a VALUES (2)",
            "execute PRAGMA query_only = 0\nexecute INSERT INTO a VALUES (2)",
            "begin\nexecute SET transaction_read_only = off\nexecute INSERT INTO a VALUES (2)\ncommit",
            "begin read-only\nexecute SET transaction_read_only = off\nexecute INSERT INTO a VALUES (2)\ncommit",
            "query SELECT set_config('transaction_read_only', 'off', false)\nexecute INSERT INTO a VALUES (2)",
            "execute SET STATEMENT tx_read_only = 0 FOR INSERT INTO a VALUES (2)",
            "begin\nexecute SET STATEMENT tx_read_only = 0 FOR INSERT INTO a VALUES (2)\ncommit",
            "execute SET tx_read_only = 0\nexecute INSERT INTO a VALUES (2)",
            "execute DO $$ BEGIN SET transaction_read_only = off; INSERT INTO a VALUES (2); END $$",
            "many 2 2 INSERT INTO a VALUES ($1)",
            "execute CREATE TABLE c (b INTEGER)",
        ];
        for way in ways {
            let answer = reading.ask(way);
            assert!(!answer.contains("changed 1"), "{engine:?}: {way}: {answer}");
        }
        assert_eq!(reading.ask("count SELECT b FROM a"), "counted 1\nend", "{engine:?}");
        let created = reading.ask("count SELECT b FROM c");
        assert!(created.starts_with("query-failed"), "{engine:?}: {created}");
    }
}

/// What a request has done to its connection the next one that has it does not find.
#[test]
fn connections_are_as_good_as_new() {
    const POSTGRES: Engine = Engine::Server(Brand::Postgres);
    const MARIADB: Engine = Engine::Server(Brand::Mariadb);
    let cases = [
        (
            POSTGRES,
            "execute SET search_path TO evil",
            "SHOW search_path",
            "text \"$user\", public",
        ),
        (
            POSTGRES,
            "query SELECT set_config('search_path', 'evil', false)",
            "SHOW search_path",
            "text \"$user\", public",
        ),
        (
            POSTGRES,
            "begin\nexecute SET statement_timeout = '7s'\ncommit",
            "SHOW statement_timeout",
            "text 0",
        ),
        (
            POSTGRES,
            "execute DO $$ BEGIN SET statement_timeout = '7s'; END $$",
            "SHOW statement_timeout",
            "text 0",
        ),
        (POSTGRES, "execute SELECT 1 AS a INTO TEMP leaked", LEAKED, "integer 0"),
        (
            POSTGRES,
            "execute CREATE TABLE pg_temp.leaked (a INTEGER)",
            LEAKED,
            "integer 0",
        ),
        (
            POSTGRES,
            "execute CREATE OR REPLACE TEMP VIEW leaked AS SELECT 1 AS a",
            LEAKED,
            "integer 0",
        ),
        (
            POSTGRES,
            "execute SELECT pg_advisory_lock(42)",
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'",
            "integer 0",
        ),
        (
            POSTGRES,
            "execute PREPARE leaked AS SELECT 1",
            "SELECT count(*) FROM pg_prepared_statements WHERE name = 'leaked'",
            "integer 0",
        ),
        // What it was made with is there again.
        (
            POSTGRES,
            "execute SET TimeZone = 'Asia/Tokyo'",
            "SHOW TimeZone",
            "text UTC",
        ),
        (
            POSTGRES,
            "execute SET client_connection_check_interval = 0",
            "SHOW client_connection_check_interval",
            "text 5s",
        ),
        (MARIADB, "query SELECT @x := 5", "SELECT @x IS NULL", "integer 1"),
        (MARIADB, "many 1 1 SET @x = $1", "SELECT @x IS NULL", "integer 1"),
        (
            MARIADB,
            "begin\nmany 1 1 SET @x = $1\ncommit",
            "SELECT @x IS NULL",
            "integer 1",
        ),
        (
            MARIADB,
            "execute SET sql_mode = ''",
            "SELECT @@sql_mode = ''",
            "integer 0",
        ),
        (
            MARIADB,
            "query SELECT GET_LOCK('a', 1)",
            "SELECT IS_FREE_LOCK('a')",
            "integer 1",
        ),
        (
            MARIADB,
            "execute CREATE TEMPORARY TABLE leaked (a INTEGER)",
            "SELECT a FROM leaked",
            "query-failed",
        ),
        (
            MARIADB,
            "execute SET time_zone = '+09:00'",
            "SELECT @@time_zone",
            "text +00:00",
        ),
    ];
    for engine in [POSTGRES, MARIADB] {
        // All that is asked is asked on the same connection, or on one that was made since.
        let Some(site) = engine.serve("connections = 1") else {
            continue;
        };
        for (_, first, then, expected) in cases.iter().filter(|case| case.0 == engine) {
            let answer = site.ask(first);
            assert!(!answer.contains("failed"), "{engine:?}: {first}: {answer}");
            let answer = site.ask(&format!("query {then}"));
            let row = answer.lines().find_map(|line| line.strip_prefix("row "));
            let is_expected = row.unwrap_or(&answer).starts_with(expected);
            assert!(is_expected, "{engine:?}: {first}: {answer}");
        }
    }
}

/// How many temporary things there are.
const LEAKED: &str = "SELECT count(*) FROM pg_class WHERE relname = 'leaked'";

#[test]
fn databases_are_opened_by_name() {
    let site = Engine::Sqlite
        .serve("\n[sql.other]\npath = ':memory:'")
        .expect("it is built in");
    let script =
        "execute SELECT 1\nopen main\nexecute CREATE TABLE a (b)\nopen other\nexecute SELECT b FROM a\nopen third";
    let expected = "no-such-database\nchanged 0\nquery-failed SQLITE_ERROR\nno-such-database";
    assert_eq!(site.ask(script), expected);
}

/// A manifest is checked, with places, before any server is asked.
#[test]
fn manifests_are_checked() {
    let scratch = wharf_tests::Scratch::new();
    let component = guest("sql").display().to_string();
    let check = |section: &str| {
        let manifest = scratch.write("wharf.toml", format!("component = '{component}'\n{section}"));
        let checked = finish(wharf().arg("check").arg(manifest), "");
        (checked.code() == Some(0), checked.stdout + &checked.stderr)
    };
    let (is_right, said) = check("[sql.main]\npath = 'a.db'");
    assert!(is_right, "{said}");
    let wrong = [
        ("", "[sql"),
        (
            "[sql.main]\npath = 'a.db'\nurl = 'postgres://a/b'",
            "a database is in one place",
        ),
        (
            "[sql.main]\nurl = 'postgres://me:pass@a/b'",
            "user and password do not belong into the URL",
        ),
        ("[sql.main]\npath = 'a.db'\nconections = 3", "connections"),
    ];
    for (section, expected) in wrong {
        let (is_right, said) = check(section);
        assert!(!is_right && said.contains(expected), "{section}: {said}");
    }
}
