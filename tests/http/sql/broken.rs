//! Servers that are away, slow, full or suspicious, and guests that are none too careful.

use wharf_tests::http::Connection;
use wharf_tests::{Brand, DatabaseServer, Server, eventually};

use super::{Engine, Site, request};
use crate::axes::Isolation;

const SERVERS: [Brand; 2] = [Brand::Postgres, Brand::Mariadb];

/// A server that is away is no reason for the app not to start; when it comes, it is used, and when it goes in the middle
/// of things, what had begun fails and what comes afterwards does not.
#[test]
fn servers_come_and_go() {
    for brand in SERVERS {
        let Some(database) = DatabaseServer::new(brand, &[]) else {
            continue;
        };
        let site = Site::new(Engine::Server(brand), Some(database), "", Isolation::Serial);
        assert!(
            site.ask("execute SELECT 1").starts_with("connection-failed"),
            "{brand:?}"
        );
        site.says_why("Connection refused");
        let log = site.server.log();
        assert!(!log.contains(wharf_tests::PASSWORD), "{log}");
        site.database().run();
        assert_eq!(site.ask("execute CREATE TABLE a (b INTEGER)"), "changed 0", "{brand:?}");
        site.server.says("connected again");
        let mut reading = Connection::open(site.server.addr());
        let silent = site.engine.silent();
        reading.send(request(&format!(
            "begin\nexecute INSERT INTO a VALUES (1)\nquery {silent}\ncommit"
        )));
        eventually(
            || site.database().runs("sleep(600)"),
            "a statement of the transaction to run",
        );
        site.database().kill();
        assert_eq!(
            reading.reply().text(),
            "begun\nchanged 1\nconnection-failed the connection was lost\ntransaction-ended\n",
            "{brand:?}"
        );
        site.server.says("app shop, database main: a connection was lost: ");
        assert!(
            site.ask("execute SELECT 1").starts_with("connection-failed"),
            "{brand:?}"
        );
        site.database().run();
        assert_eq!(site.ask("count SELECT b FROM a"), "counted 0\nend", "{brand:?}");
        site.rest();
    }
}

/// The operator reads that a connection was lost, and why, also where the next is made at once: a line until one works again.
#[test]
fn a_lost_connection_is_told() {
    let ends = [
        (
            Brand::Postgres,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%sleep(600)' AND state = 'active'",
            "terminating connection due to administrator command (57P01)",
        ),
        (
            Brand::Mariadb,
            "SELECT concat('KILL ', id) FROM information_schema.processlist WHERE info LIKE '%sleep(600)' AND command = 'Execute'",
            "",
        ),
    ];
    for (brand, end, reason) in ends {
        let Some(site) = Engine::Server(brand).serve("") else {
            continue;
        };
        for nth in 1..=2 {
            // Two at a time are one loss.
            let mut waiting = [(); 2].map(|()| {
                let mut waiting = Connection::open(site.server.addr());
                waiting.send(request(&format!("query {}", site.engine.silent())));
                waiting
            });
            eventually(
                || site.database().running_with("sleep(600)") == 2,
                "two statements to run",
            );
            let kills = site.database().sql(end);
            for kill in kills.lines().filter(|line| line.starts_with("KILL")) {
                site.database().sql(kill);
            }
            for waiting in &mut waiting {
                let answer = waiting.reply().text();
                assert_eq!(answer, "connection-failed the connection was lost\n", "{brand:?}");
            }
            assert_eq!(site.ask("execute SELECT 1"), "changed 0", "{brand:?}");
            let again = || site.server.log().matches("connected again").count();
            eventually(|| again() == nth, "the log to say that it is back");
            let log = site.server.log();
            let told = format!("app shop, database main: a connection was lost: {reason}");
            assert_eq!(log.matches(&told).count(), nth, "{brand:?}: {log}");
        }
    }
}

/// Nobody knows whether a commit that was under way has been done.
#[test]
fn a_commit_that_is_lost_is_unknown() {
    let Some(site) = Engine::Server(Brand::Postgres).serve("") else {
        return;
    };
    let slow_to_commit = [
        "CREATE TABLE a (b INTEGER)",
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(600); RETURN NULL; END $$",
        "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON a DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait()",
    ];
    for sql in slow_to_commit {
        site.database().sql(sql);
    }
    let mut committing = Connection::open(site.server.addr());
    committing.send(request("begin\nexecute INSERT INTO a VALUES (1)\ncommit"));
    eventually(|| site.database().runs("COMMIT"), "it to be committed");
    site.database().kill();
    assert_eq!(committing.reply().text(), "begun\nchanged 1\ncommit-unknown\n");
    site.server.says("app shop, database main: a connection was lost: ");
}

/// Who changes what another has changed since his transaction began may try again.
#[test]
fn a_change_that_cannot_be_serialized_is_a_conflict() {
    let Some(site) = Engine::Server(Brand::Postgres).serve("") else {
        return;
    };
    let crossing = Crossing::new(&site);
    let mut late = Connection::open(site.server.addr());
    late.send(request(
        "begin repeatable-read\ncount SELECT b FROM a\nexecute UPDATE gate SET b = b\nexecute UPDATE a SET c = 1 WHERE b = 1\ncommit",
    ));
    eventually(|| site.database().runs("UPDATE gate"), "a transaction to wait");
    site.database().sql("UPDATE a SET c = 2 WHERE b = 1");
    drop(crossing.holder);
    assert_eq!(
        late.reply().text(),
        "begun\ncounted 2\nend\nchanged 1\nconflict 40001\ntransaction-ended\n"
    );
    assert_eq!(site.database().sql("SELECT c FROM a WHERE b = 1"), "2");
    site.rest();
}

/// Of two that wait for each other one is told, and may try again; the other goes on.
#[test]
fn a_deadlock_is_a_conflict() {
    let codes = [(Brand::Postgres, "40P01"), (Brand::Mariadb, "40001")];
    for (brand, code) in codes {
        let Some(site) = Engine::Server(brand).serve("") else {
            continue;
        };
        let crossing = Crossing::new(&site);
        let change = |b: u32| format!("execute UPDATE a SET c = c + 1 WHERE b = {b}");
        let (first, second) = (change(1), change(2));
        let mut one = Connection::open(site.server.addr());
        one.send(request(&format!(
            "begin\n{first}\nexecute UPDATE gate SET b = b\n{second}\ncommit"
        )));
        eventually(|| site.database().runs("UPDATE gate"), "the first to wait");
        let mut other = Connection::open(site.server.addr());
        other.send(request(&format!("begin\n{second}\n{first}\ncommit")));
        eventually(
            || site.database().runs("WHERE b = 1"),
            "the second to wait for the first",
        );
        drop(crossing.holder);
        let (one, other) = (one.reply().text(), other.reply().text());
        let told = format!("conflict {code}\ntransaction-ended\n");
        let (lost, won) = if one.ends_with(&told) {
            (&one, &other)
        } else {
            (&other, &one)
        };
        assert!(
            lost.ends_with(&told) && won.ends_with("committed\n"),
            "{brand:?}: {one}{other}"
        );
        assert_eq!(site.database().sql("SELECT sum(c) FROM a"), "2", "{brand:?}");
        site.rest();
    }
}

/// Two rows to change, and somebody who has changed the row that others are to wait for.
struct Crossing {
    holder: Connection,
}

impl Crossing {
    fn new(site: &Site) -> Self {
        let tables = [
            "CREATE TABLE gate (b INTEGER)",
            "INSERT INTO gate VALUES (0)",
            "CREATE TABLE a (b INTEGER PRIMARY KEY, c INTEGER)",
            "INSERT INTO a VALUES (1, 0), (2, 0)",
        ];
        for sql in tables {
            site.database().sql(sql);
        }
        let mut holder = Connection::open(site.server.addr());
        holder.send(request("begin\nexecute UPDATE gate SET b = b + 1\nsleep 600000"));
        eventually(
            || site.metric("statements_total", "outcome=\"ok\"") == 1.0,
            "the row to be changed",
        );
        Self { holder }
    }
}

/// What another program has locked for longer than calls wait is a conflict, and told; who reads does not wait.
#[test]
fn a_file_that_another_has_locked_is_a_conflict() {
    let site = Engine::Sqlite.serve("acquire-time = '1s'").expect("it is built in");
    eventually(
        || site.ask("execute CREATE TABLE IF NOT EXISTS a (b)") == "changed 0",
        "a table to be made",
    );
    let other = Server::start(site.scratch.join("wharf.toml"), &[]);
    let mut holder = Connection::open(other.addr());
    let holds = "begin\nexecute INSERT INTO a VALUES (1)\nsleep 600000";
    holder.send(request(holds));
    let insert = "execute INSERT INTO a VALUES (2)";
    eventually(|| site.ask(insert) == "conflict SQLITE_BUSY", "the file to be locked");
    assert_eq!(
        site.ask(&format!("begin\n{insert}")),
        "conflict SQLITE_BUSY\nconflict SQLITE_BUSY"
    );
    let reads = || site.ask("count SELECT b FROM a WHERE b = 1") == "counted 0\nend";
    eventually(reads, "who reads to have a connection");
    let said = "app shop, database main: another program has locked it for longer than 1s (acquire-time): ";
    site.server.says(said);
    drop(holder);
    eventually(|| site.ask(insert) == "changed 1", "the file to be free");
}

/// The same statement is prepared once for a connection, and again when more others have been since than are kept.
#[test]
fn statements_stay_prepared() {
    let same = "count SELECT $1 + 0 AS mine | integer 7\n";
    let others: String = (0..200).map(|n| format!("count SELECT {n} AS mine\n")).collect();
    if let Some(site) = Engine::Server(Brand::Postgres).serve("connections = 1") {
        // How many are kept, and how often one of them was run.
        let kept = "SELECT count(*)::int4, max(generic_plans + custom_plans)::int4 FROM pg_prepared_statements";
        let kept = format!("query {kept} WHERE statement LIKE 'SELECT%AS mine'");
        for (before, expected) in [
            (same, "integer 1 | integer 1"),
            (&same.repeat(9), "integer 1 | integer 10"),
            (&others, "integer 127 | integer 1"),
        ] {
            assert_eq!(last_row(&site, &format!("{before}{kept}")), expected);
        }
    }
    if let Some(site) = Engine::Server(Brand::Mariadb).serve("connections = 1") {
        let made = || {
            let row = last_row(&site, "query SHOW SESSION STATUS LIKE 'Com_stmt_prepare'");
            let count = row.rsplit(' ').next().and_then(|count| count.parse::<u32>().ok());
            count.expect("a number")
        };
        let before = made();
        for (asked, expected) in [(same, 1), (&same.repeat(9), 1), (&others, 202)] {
            site.ask(asked);
            assert_eq!(made() - before, expected, "{asked}");
        }
    }
}

/// What the last row of an answer has.
fn last_row(site: &Site, script: &str) -> String {
    let answer = site.ask(script);
    let row = answer.lines().rev().find_map(|line| line.strip_prefix("row "));
    row.unwrap_or_else(|| panic!("no row: {answer}")).to_owned()
}

#[test]
fn a_slow_database_is_not_waited_for() {
    Engine::each(|engine| {
        let Some(site) = engine.serve("statement-time = '2s'") else {
            return;
        };
        assert_eq!(site.ask(&format!("query {}", engine.silent())), "timeout", "{engine:?}");
        site.rest();
        assert_eq!(site.metric("statements_total", "outcome=\"timeout\""), 1.0);
        let shown = engine.silent();
        let said = format!(
            "app shop, database main: a statement without a row for 2s (statement-time) is cancelled: {shown:?}"
        );
        site.server.says(&said);
        eventually(|| site.ask("count SELECT 1").ends_with("end"), "it to be fast again");
    });
}

/// One that has stopped where it stands, neither gone nor answering.
#[test]
fn a_frozen_server_is_given_up() {
    Engine::each(|engine| {
        let Engine::Server(brand) = engine else { return };
        let keys = "statement-time = '3s'\nacquire-time = '2s'";
        let Some(site) = engine.serve(keys) else {
            return;
        };
        // Times this short may pass on a busy machine before the first connection stands.
        eventually(|| site.ask("execute SELECT 1") == "changed 0", "a connection to stand");
        let mut waiting = Connection::open(site.server.addr());
        waiting.send(request(&format!("query {}", engine.silent())));
        eventually(|| site.database().runs("sleep(600)"), "a statement to run");
        site.database().freeze(true);
        assert_eq!(waiting.reply().text(), "timeout\n", "{brand:?}");
        // The connection that was given up is not used again, and there is no other.
        let failed = || site.ask("execute SELECT 1") == "connection-failed the database does not answer";
        eventually(failed, "no connection to be had");
        site.server
            .says("app shop, database main: no connection: no answer within 2s");
        site.database().freeze(false);
        eventually(|| site.ask("execute SELECT 1") == "changed 0", "it to work again");
        site.rest();
    });
}

#[test]
fn a_full_server_says_so() {
    // PostgreSQL keeps three of them for its superuser, which our user is.
    let full: [(Brand, &str, &[&str]); 2] = [
        (
            Brand::Postgres,
            "too many clients already",
            &[
                "-c",
                "max_connections=5",
                "-c",
                "superuser_reserved_connections=0",
                "-c",
                "max_wal_senders=0",
            ],
        ),
        (Brand::Mariadb, "Too many connections", &["--max-connections=10"]),
    ];
    for (brand, reason, flags) in full {
        let keys = "connections = 100";
        let Some(site) = Engine::Server(brand).serve_with(flags, keys, Isolation::Serial) else {
            continue;
        };
        let script = format!("hold {}\n", site.engine.rows(100_000)).repeat(13);
        let answer = site.ask(&script);
        assert!(answer.contains("held"), "{brand:?}: {answer}");
        assert!(
            answer.contains("connection-failed the database takes no more connections"),
            "{brand:?}: {answer}"
        );
        site.says_why(reason);
    }
}

#[test]
fn wrong_credentials_are_denied() {
    for brand in SERVERS {
        let Some(database) = DatabaseServer::start(brand, &[]) else {
            continue;
        };
        let site = Site::new(Engine::Server(brand), Some(database), "", Isolation::Serial);
        assert_eq!(site.ask("execute SELECT 1"), "changed 0", "{brand:?}");
        // Passwords change while an app is served: the new one is used for the next connection.
        let password = site.database().folder().join("password");
        std::fs::write(&password, "wrong password").expect("it can be changed");
        let held = format!("hold {}\nexecute SELECT 1", site.engine.rows(1_000_000));
        assert_eq!(site.ask(&held), "held\naccess-denied", "{brand:?}");
        site.says_why(match brand {
            Brand::Postgres => "password authentication failed for user \"wharf\"",
            Brand::Mariadb => "Access denied for user 'wharf'",
        });
        let log = site.server.log();
        assert!(!log.contains("wrong password"), "{log}");
        std::fs::write(&password, wharf_tests::PASSWORD).expect("it can be changed");
        assert_eq!(site.ask(&held), "held\nchanged 0", "{brand:?}");
    }
}

/// A guest that never reads, and one that never closes: each has its connection for as long as the operator allows.
#[test]
fn careless_guests_keep_nothing_for_ever() {
    Engine::each(|engine| {
        // As much as a busy machine may take from one step to the next, and more.
        let Some(site) = engine.serve_with(&[], "idle-time = '5s'", Isolation::Shared) else {
            return;
        };
        let endless = engine.rows(1_000_000_000);
        assert_eq!(site.ask(&format!("hold {endless}")), "held", "{engine:?}");
        site.rest();
        assert_eq!(
            site.ask("execute CREATE TABLE a (b INTEGER)"),
            "changed 0",
            "{engine:?}"
        );
        let leak = "begin\nexecute INSERT INTO a VALUES (1)\nleak";
        assert_eq!(site.ask(leak), "begun\nchanged 1", "{engine:?}");
        site.rest();
        assert_eq!(site.ask("count SELECT b FROM a"), "counted 0\nend", "{engine:?}");
        assert_eq!(
            site.ask("begin\nsleep 10000\nexecute INSERT INTO a VALUES (1)"),
            "begun\ntransaction-ended",
            "{engine:?}"
        );
        assert_eq!(
            site.metric("statements_total", "outcome=\"timeout\""),
            3.0,
            "{engine:?}"
        );
    });
}

#[test]
fn calls_beyond_the_pool_wait_and_are_refused() {
    Engine::each(|engine| {
        // It is also how long each of the two may take to be made.
        let keys = "connections = 2\nacquire-time = '10s'";
        let Some(site) = engine.serve(keys) else { return };
        let hold = format!("hold {}\n", engine.rows(1_000_000_000));
        let script = format!("{hold}{hold}count SELECT 1");
        assert_eq!(site.ask(&script), "held\nheld\npool-exhausted", "{engine:?}");
        assert_eq!(
            site.metric("statements_total", "outcome=\"pool-exhausted\""),
            1.0,
            "{engine:?}"
        );
        let said =
            "app shop, database main: all connections are in use, of which there may be 2: none came free within 10s";
        site.server.says(said);
    });
}

/// What has been begun for a client that leaves is ended in the database, also where its guest goes on.
#[test]
fn who_leaves_leaves_nothing_running() {
    Engine::each(|engine| {
        for isolation in Isolation::ALL {
            let Some(site) = engine.serve_with(&[], "", isolation) else {
                return;
            };
            let leave = |script: &str, runs: &str| {
                let mut connection = Connection::open(site.server.addr());
                connection.send(request(script));
                eventually(|| site.metric("connections_used", "") == 1.0, "a connection to be used");
                let begins = script.starts_with("begin");
                let begun = || site.metric("transactions_total", "what=\"begun\"") == 1.0;
                eventually(|| !begins || begun(), "a transaction to begin");
                if let Some(database) = &site.database {
                    // A connection that is being made is one that is used, too.
                    eventually(|| database.runs(runs), "a statement to run");
                }
                drop(connection);
                site.rest();
            };
            leave(&format!("query {}", engine.silent()), "sleep(600)");
            assert_eq!(
                site.metric("statements_total", "outcome=\"cancelled\""),
                1.0,
                "{engine:?} {isolation:?}"
            );
            // Rows that the guest would never read, and a transaction that it would never end.
            let rows = engine.rows(1_000_000_000);
            leave(&format!("hold {rows}\nsleep 3600000"), "1000000000");
            leave(&format!("begin\nhold {rows}\nsleep 3600000"), "1000000000");
            let rolled_back = site.metric("transactions_total", "what=\"rolled-back\"");
            assert_eq!(rolled_back, 1.0, "{engine:?} {isolation:?}");
        }
    });
}

/// Nobody is left to cancel anything: the database sees for itself that its client has gone.
#[test]
fn who_is_killed_leaves_nothing_running() {
    for brand in SERVERS {
        let Some(site) = Engine::Server(brand).serve("") else {
            continue;
        };
        let mut connection = Connection::open(site.server.addr());
        connection.send(request(&format!("query {}", site.engine.silent())));
        eventually(|| site.database().runs("sleep(600)"), "a statement to run");
        let Site { server, database, .. } = site;
        drop(server);
        let database = database.expect("it has a server");
        eventually(|| database.running() == 0, "nothing to run in the database");
    }
}
