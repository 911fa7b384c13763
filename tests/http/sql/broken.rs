//! Servers that are away, slow, full or suspicious, and guests that are none too careful.

use std::time::Duration;

use wharf_tests::http::Connection;
use wharf_tests::{Brand, DatabaseServer, eventually};

use super::{ENGINES, Engine, Site};
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
        let site = Site::new(
            Engine::Server(brand),
            Some(database),
            "acquire-time = '5s'",
            Isolation::Serial,
        );
        assert!(
            site.ask("execute SELECT 1").starts_with("connection-failed"),
            "{brand:?}"
        );
        let said = || {
            site.server
                .log()
                .contains("app shop, database main: no connection: 127.0.0.1:")
        };
        eventually(said, "it to be said");
        let log = site.server.log();
        assert!(!log.contains(wharf_tests::PASSWORD), "{log}");
        site.database().run();
        assert_eq!(site.ask("execute CREATE TABLE a (b INTEGER)"), "changed 0", "{brand:?}");
        site.server.says("connected again");
        let mut reading = Connection::open(site.server.addr());
        let script = "begin\nexecute INSERT INTO a VALUES (1)\nsleep 1500\ncommit";
        let length = script.len();
        reading.send(format!(
            "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: {length}\r\n\r\n{script}"
        ));
        eventually(|| site.metric("connections_used", "") == 1.0, "a transaction to begin");
        site.database().kill();
        let answer = reading.reply().text();
        let is_lost = |line: &str| line.starts_with("connection-failed") || line == "commit-unknown";
        assert!(answer.lines().any(is_lost), "{brand:?}: {answer}");
        assert!(
            site.ask("execute SELECT 1").starts_with("connection-failed"),
            "{brand:?}"
        );
        site.database().run();
        assert_eq!(site.ask("count SELECT b FROM a"), "counted 0\nend", "{brand:?}");
        site.rest();
    }
}

#[test]
fn a_slow_database_is_not_waited_for() {
    for engine in ENGINES {
        let Some(site) = engine.serve("statement-time = '300ms'") else {
            continue;
        };
        assert_eq!(site.ask(&format!("query {}", engine.silent())), "timeout", "{engine:?}");
        site.rest();
        assert_eq!(site.metric("statements_total", "outcome=\"timeout\""), 1.0);
        assert!(site.ask("count SELECT 1").ends_with("end"), "{engine:?}");
    }
}

/// One that has stopped where it stands, neither gone nor answering.
#[test]
fn a_frozen_server_is_given_up() {
    for brand in SERVERS {
        let keys = "statement-time = '300ms'\nacquire-time = '500ms'";
        let Some(site) = Engine::Server(brand).serve(keys) else {
            continue;
        };
        // Times this short may pass on a busy machine before the first connection stands.
        eventually(|| site.ask("execute SELECT 1") == "changed 0", "a connection to stand");
        site.database().freeze(true);
        assert_eq!(site.ask("execute SELECT 1"), "timeout", "{brand:?}");
        assert!(
            site.ask("execute SELECT 1").starts_with("connection-failed"),
            "{brand:?}"
        );
        site.database().freeze(false);
        eventually(|| site.ask("execute SELECT 1") == "changed 0", "it to work again");
        site.rest();
    }
}

#[test]
fn a_full_server_says_so() {
    // PostgreSQL keeps three of them for its superuser, which our user is.
    let full: [(Brand, &[&str]); 2] = [
        (
            Brand::Postgres,
            &[
                "-c",
                "max_connections=5",
                "-c",
                "superuser_reserved_connections=0",
                "-c",
                "max_wal_senders=0",
            ],
        ),
        (Brand::Mariadb, &["--max-connections=10"]),
    ];
    for (brand, flags) in full {
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
        let said = || site.server.log().contains("app shop, database main: no connection");
        eventually(said, "it to be said");
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
        let said = || site.server.log().contains("app shop, database main: no connection");
        eventually(said, "it to be said");
        let log = site.server.log();
        assert!(!log.contains("wrong password"), "{log}");
        std::fs::write(&password, wharf_tests::PASSWORD).expect("it can be changed");
        assert_eq!(site.ask(&held), "held\nchanged 0", "{brand:?}");
    }
}

/// A guest that never reads, and one that never closes: each has its connection for as long as the operator allows.
#[test]
fn careless_guests_keep_nothing_for_ever() {
    for engine in ENGINES {
        let Some(site) = engine.serve_with(&[], "idle-time = '300ms'", Isolation::Shared) else {
            continue;
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
            site.ask("begin\nsleep 1000\nexecute INSERT INTO a VALUES (1)"),
            "begun\ntransaction-ended",
            "{engine:?}"
        );
        assert_eq!(
            site.metric("statements_total", "outcome=\"timeout\""),
            3.0,
            "{engine:?}"
        );
    }
}

#[test]
fn calls_beyond_the_pool_wait_and_are_refused() {
    for engine in ENGINES {
        let keys = "connections = 2\nacquire-time = '2s'";
        let Some(site) = engine.serve(keys) else { continue };
        let hold = format!("hold {}\n", engine.rows(1_000_000_000));
        let script = format!("{hold}{hold}count SELECT 1");
        assert_eq!(site.ask(&script), "held\nheld\npool-exhausted", "{engine:?}");
        assert_eq!(
            site.metric("statements_total", "outcome=\"pool-exhausted\""),
            1.0,
            "{engine:?}"
        );
        // The instance that held them has been dropped, or is asked to answer something else: nothing reads them.
        drop(site);
    }
}

/// What has been begun for a client that leaves is ended in the database.
#[test]
fn who_leaves_leaves_nothing_running() {
    for engine in ENGINES {
        // A shared instance goes on with what its client has left, see docs/concepts/isolation.md.
        for isolation in [Isolation::Request, Isolation::Serial] {
            let Some(site) = engine.serve_with(&[], "", isolation) else {
                continue;
            };
            let script = format!("query {}", engine.silent());
            let mut connection = Connection::open(site.server.addr());
            let length = script.len();
            connection.send(format!(
                "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: {length}\r\n\r\n{script}"
            ));
            eventually(|| site.metric("connections_used", "") == 1.0, "a statement to run");
            std::thread::sleep(Duration::from_millis(50));
            drop(connection);
            site.rest();
            assert_eq!(
                site.metric("statements_total", "outcome=\"cancelled\""),
                1.0,
                "{engine:?} {isolation:?}"
            );
        }
    }
}
