//! The example with a database driver of the guest's own, beside Wharf's: they answer alike, and the guest's pool lasts.

use std::thread;
use std::time::Duration;

use wharf_tests::http::{Connection, Reply, get};
use wharf_tests::{Brand, DatabaseServer, PASSWORD, eventually};

use crate::app::{App, Served};
use crate::operator::metric;

/// The example with a database of its own; `None` where there is no PostgreSQL.
fn notes() -> Option<(DatabaseServer, Served)> {
    let database = DatabaseServer::start(Brand::Postgres, &[])?;
    let place = format!("127.0.0.1:{}", database.port());
    let file = database.folder().join("password-of-the-app");
    std::fs::write(&file, PASSWORD).expect("the folder is ours");
    let file = file.display();
    let app = App::of("own-driver")
        // The task that drives a connection is no work after a response, in an instance that is shared.
        .set("[environment]", "[limits]\nbackground-time = '1s'\n\n[environment]")
        .set(r#"DB_ADDRESS = "127.0.0.1:5432""#, &format!("DB_ADDRESS = '{place}'"))
        .set(r#"DB_NAME = "notes""#, "DB_NAME = 'shop'")
        .set(r#"allow = ["127.0.0.1:5432"]"#, &format!("allow = ['{place}']"))
        .set("//127.0.0.1:5432/notes", &format!("//{place}/shop"))
        .set(
            r#"DB_PASSWORD = { variable = "DB_PASSWORD" }"#,
            &format!("DB_PASSWORD = {{ file = '{file}' }}"),
        )
        .set(
            "\npassword = { variable = \"DB_PASSWORD\" }",
            &format!("\npassword = {{ file = '{file}' }}"),
        );
    Some((database, app.serve(&[])))
}

/// The guest's own connections: their processes in the server.
fn backends(database: &DatabaseServer) -> Vec<String> {
    let pids = database.sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'own-driver' ORDER BY pid");
    pids.lines().map(str::to_owned).collect()
}

/// When the guest's newest statement began, in microseconds since 1970.
fn newest_statement(database: &DatabaseServer) -> u64 {
    let sql = "SELECT floor(extract(epoch FROM max(query_start)) * 1000000)::bigint FROM pg_stat_activity \
               WHERE application_name = 'own-driver'";
    database.sql(sql).parse().expect("it has had one")
}

fn ask(served: &Served, path: &str) -> (u16, String) {
    let reply: Reply = get(served.server.addr(), path);
    (reply.status, reply.text())
}

#[test]
fn own_driver_answers_as_wharfs_does() {
    let Some((_database, served)) = notes() else { return };
    let not_there = (404, "there is no such note\n".to_owned());
    for (id, expected) in [
        ("1", (200, "note 1\n".to_owned())),
        ("10000", (200, "note 10000\n".to_owned())),
        ("10001", not_there.clone()),
        ("-1", not_there.clone()),
        ("1%20or%201=1", not_there.clone()),
        ("x", not_there),
    ] {
        for driver in ["own", "sql"] {
            assert_eq!(
                ask(&served, &format!("/{driver}/notes/{id}")),
                expected,
                "{driver} {id}"
            );
        }
    }
    let all: String = (1..=10_000).map(|id| format!("note {id}\n")).collect();
    for driver in ["own", "sql"] {
        assert!(
            ask(&served, &format!("/{driver}/notes")) == (200, all.clone()),
            "{driver}"
        );
    }
}

/// A connection that one request opened serves the next ones, and those at a time have one each.
#[test]
fn own_driver_keeps_its_pool() {
    let Some((database, served)) = notes() else { return };
    assert_eq!(ask(&served, "/own/notes/1").0, 200);
    let first = backends(&database);
    assert_eq!(first.len(), 1, "{first:?}");
    let mut newest = newest_statement(&database);
    for id in 2..20 {
        assert_eq!(ask(&served, &format!("/own/notes/{id}")), (200, format!("note {id}\n")));
        let now = newest_statement(&database);
        assert!(now > newest, "request {id} was answered by somebody else");
        newest = now;
    }
    thread::sleep(Duration::from_millis(2500));
    assert_eq!(ask(&served, "/own/notes/1").0, 200);
    assert_eq!(backends(&database), first);

    // A stream that nobody reads on keeps its connection; meanwhile another request has another one.
    let mut slow = Connection::open(served.server.addr());
    slow.send("GET /own/notes HTTP/1.1\r\nhost: a.test\r\n\r\n");
    assert_eq!(slow.head().status(), 200);
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                for id in 1..20 {
                    assert_eq!(ask(&served, &format!("/own/notes/{id}")), (200, format!("note {id}\n")));
                }
            });
        }
    });
    let all = backends(&database);
    assert!(all.len() <= 10 && all.contains(&first[0]), "{first:?} {all:?}");
    assert_eq!(String::from_utf8_lossy(&slow.body()).lines().count(), 10_000);
    assert_eq!(ask(&served, "/own/notes/7").1, "note 7\n");
}

/// A client that leaves in the middle of a stream takes nothing along: neither the connection that its request opened, nor the
/// request's place.
#[test]
fn own_driver_outlives_its_clients() {
    let Some((database, served)) = notes() else { return };
    database.sql("INSERT INTO note SELECT id, repeat('x', 1000) FROM generate_series(10001, 40000) AS id");
    let mut leaving = Connection::open(served.server.addr());
    leaving.send("GET /own/notes HTTP/1.1\r\nhost: a.test\r\n\r\n");
    leaving.head();
    leaving.data().expect("rows");
    let first = backends(&database);
    assert_eq!(first.len(), 1, "{first:?}");
    drop(leaving);
    let requests = || metric(served.admin, "wharf_requests").expect("it is always counted");
    eventually(|| requests() == 0.0, "the request to end");
    for id in 1..20 {
        assert_eq!(ask(&served, &format!("/own/notes/{id}")), (200, format!("note {id}\n")));
    }
    let after = backends(&database);
    assert!(after.contains(&first[0]) && after.len() <= 2, "{first:?} {after:?}");
}

/// A database that is killed is an error with a reason, and no more than that: once it is back, so are the answers.
#[test]
fn own_driver_survives_its_database() {
    let Some((database, served)) = notes() else { return };
    let both = [("own", "ConnectionRefused"), ("sql", "ConnectionFailed")];
    for _ in 0..2 {
        for (driver, _) in both {
            assert_eq!(
                ask(&served, &format!("/{driver}/notes/7")),
                (200, "note 7\n".to_owned())
            );
        }
        database.kill();
        for (driver, reason) in both {
            let path = format!("/{driver}/notes/7");
            // The first may still have found its connection in the middle of its end.
            let status = ask(&served, &path).0;
            assert_eq!(status, 503, "{driver}");
            let is_said = || ask(&served, &path).1.contains(reason);
            eventually(is_said, &format!("{driver} says {reason}"));
        }
        database.run();
        for (driver, _) in both {
            let is_back = || ask(&served, &format!("/{driver}/notes/7")) == (200, "note 7\n".to_owned());
            eventually(is_back, &format!("{driver} to come back"));
        }
    }
}
