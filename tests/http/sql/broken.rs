//! Servers that are away, slow, full or suspicious, and guests that are none too careful.

use wharf_tests::http::Connection;
use wharf_tests::{Brand, DatabaseServer, eventually};

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
