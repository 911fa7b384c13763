//! The first example: two routes and a stream, over a database of its own.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wharf_tests::http::{Connection, Reply, get, send};
use wharf_tests::{Brand, DatabaseServer, eventually};

use crate::app::{App, Served};
use crate::axes::Isolation;

const SHIPS: usize = 10;

fn serve() -> Served {
    App::of("two-routes").serve(&[])
}

fn put(served: &Served, path: &str, ship: &Value) -> Reply {
    send(served.server.addr(), "PUT", path, &[], ship.to_string().as_bytes())
}

fn data(served: &Served, path: &str) -> Value {
    let reply = get(served.server.addr(), path);
    assert_eq!(
        (reply.status, reply.header("content-type")),
        (200, Some("application/json"))
    );
    serde_json::from_str(&reply.text()).expect("JSON")
}

fn berths(served: &Served) -> usize {
    data(served, "/api/data").as_array().expect("a list").len()
}

#[test]
fn it_answers() {
    for isolation in Isolation::ALL {
        let isolation = format!("isolation = '{}'\ncomponent = ", isolation.flag());
        let served = App::of("two-routes").set("component = ", &isolation).serve(&[]);
        assert_eq!(data(&served, "/api/health"), json!({ "status": "ok" }));
        assert_eq!(berths(&served), SHIPS);
        let albatross = json!({ "berth": 1, "name": "Albatross", "tons": 4200 });
        assert_eq!(data(&served, "/api/data")[0], albatross);
        assert_eq!(data(&served, "/api/data/1"), albatross);
        check_stream(&served);
    }
}

/// Ten rows, the last most of a second after the first.
fn check_stream(served: &Served) {
    let mut connection = stream(served);
    assert_eq!(connection.head().header("content-type"), Some("application/x-ndjson"));
    let first = connection.data().expect("a row");
    let began = Instant::now();
    let rest = connection.body();
    assert!(began.elapsed() > Duration::from_millis(300), "all came at once");
    let rows = String::from_utf8([first, rest].concat()).expect("JSON is text");
    let berths: Vec<Value> = rows
        .lines()
        .map(|row| serde_json::from_str::<Value>(row).expect("JSON")["berth"].clone())
        .collect();
    assert_eq!(berths, (1..=SHIPS).map(Value::from).collect::<Vec<_>>());
}

fn stream(served: &Served) -> Connection {
    let mut connection = Connection::open(served.server.addr());
    connection.send("GET /api/stream HTTP/1.1\r\nhost: a.test\r\n\r\n");
    connection
}

/// What clients do wrong is told from what is not there.
#[test]
fn what_is_not_there_or_not_right() {
    let served = serve();
    let cases = [
        ("GET", "/nothing", "", 404, "there is nothing at this path"),
        ("GET", "/api/data/11", "", 404, "no ship is at this berth"),
        ("GET", "/api/data/-1", "", 404, "no ship is at this berth"),
        ("GET", "/api/data/first", "", 404, "there is nothing at this path"),
        (
            "GET",
            "/api/data/99999999999999999999",
            "",
            404,
            "there is nothing at this path",
        ),
        ("POST", "/api/data", "", 405, "this is done otherwise"),
        ("DELETE", "/api/data/1", "", 405, "this is done otherwise"),
        (
            "PUT",
            "/api/data/11",
            "",
            400,
            "a ship has a name, a text, and tons, a number",
        ),
        (
            "PUT",
            "/api/data/11",
            "{\"name\":1,\"tons\":1}",
            400,
            "a ship has a name, a text, and tons, a number",
        ),
        (
            "PUT",
            "/api/data/11",
            "{\"name\":\"Eider\",\"tons\":1}",
            409,
            "this ship is at another berth",
        ),
        (
            "PUT",
            "/api/data/11",
            "{\"name\":\"Kestrel\",\"tons\":0}",
            422,
            "berths and tons begin at one",
        ),
        (
            "PUT",
            "/api/data/0",
            "{\"name\":\"Kestrel\",\"tons\":1}",
            422,
            "berths and tons begin at one",
        ),
    ];
    for (method, path, content, status, error) in cases {
        let reply = send(served.server.addr(), method, path, &[], content.as_bytes());
        let found = (reply.status, reply.text());
        assert_eq!(
            found,
            (status, json!({ "error": error }).to_string()),
            "{method} {path} {content}"
        );
    }
    let posted = send(served.server.addr(), "POST", "/api/data", &[], b"");
    assert_eq!(posted.header("allow"), Some("GET"));
    let deleted = send(served.server.addr(), "DELETE", "/api/data/1", &[], b"");
    assert_eq!(deleted.header("allow"), Some("GET, PUT"));
    let long = json!({ "name": "x".repeat(5000), "tons": 1 });
    assert_eq!(put(&served, "/api/data/11", &long).status, 413);
    assert_eq!(berths(&served), SHIPS, "nothing was stored");
}

/// Another database is another line of the manifest.
#[test]
fn with_postgresql() {
    let Some(database) = DatabaseServer::start(Brand::Postgres, &[]) else {
        return;
    };
    let app = App::of("two-routes").set("path = \"ships.db\"\n", &database.keys());
    let served = app.serve(&[]);
    assert_eq!(berths(&served), SHIPS);
    let kestrel = json!({ "name": "Kestrel", "tons": 1500 });
    assert_eq!(put(&served, "/api/data/11", &kestrel).status, 204);
    assert_eq!(put(&served, "/api/data/12", &kestrel).status, 409);
    let nothing = json!({ "name": "Lapwing", "tons": 0 });
    assert_eq!(put(&served, "/api/data/12", &nothing).status, 422);
    assert_eq!(data(&served, "/api/data/11")["name"], "Kestrel");
    assert_eq!(get(served.server.addr(), "/api/data/12").status, 404);
}

/// Whether it was stopped or killed: what was answered is there.
#[test]
fn data_outlive_the_server() {
    let served = serve();
    let kestrel = json!({ "berth": 11, "name": "Kestrel", "tons": 1500 });
    let content = json!({ "name": "Kestrel", "tons": 1500 });
    assert_eq!(put(&served, "/api/data/11", &content).status, 204);
    assert_eq!(put(&served, "/api/data/11", &content).status, 204, "the same once more");
    assert_eq!(data(&served, "/api/data/11"), kestrel);
    assert!(served.server.stop().success());
    let Served { app, server, .. } = served;
    drop(server);
    let served = app.serve(&[]);
    assert_eq!(data(&served, "/api/data/11"), kestrel);
    let lapwing = json!({ "name": "Lapwing", "tons": 900 });
    assert_eq!(put(&served, "/api/data/1", &lapwing).status, 204);
    // Dropping kills it.
    let Served { app, server, .. } = served;
    drop(server);
    let served = app.serve(&[]);
    assert_eq!(data(&served, "/api/data/11"), kestrel);
    assert_eq!(data(&served, "/api/data/1")["name"], "Lapwing");
    assert_eq!(berths(&served), SHIPS + 1);
}

/// What the database cannot do just now, what it has no room for, and what the operator did wrong.
#[test]
fn a_database_that_fails() {
    let keys = "[sql.default]\nconnections = 1\nacquire-time = '100ms'";
    let served = App::of("two-routes").set("[sql.default]", keys).serve(&[]);
    // More than lies between the database and a guest: a stream that is not read on keeps its connection.
    for berth in 11..71 {
        let ship = json!({ "name": format!("{berth}{}", "x".repeat(3000)), "tons": 1 });
        assert_eq!(put(&served, &format!("/api/data/{berth}"), &ship).status, 204);
    }
    let mut connection = stream(&served);
    connection.head();
    connection.data().expect("a row");
    let busy = get(served.server.addr(), "/api/data");
    assert_eq!(
        (busy.status, busy.header("retry-after")),
        (503, Some("1")),
        "{}",
        busy.text()
    );
    assert_eq!(
        get(served.server.addr(), "/api/health").status,
        200,
        "it does not ask the database"
    );
    served.server.says("the database: ");
    // Whoever leaves ends the query.
    drop(connection);
    eventually(
        || get(served.server.addr(), "/api/data").status == 200,
        "the connection to be free",
    );

    let keys = "[sql.default]\nsize = '64KiB'";
    let served = App::of("two-routes").set("[sql.default]", keys).serve(&[]);
    let mut full = (11..200).map(|berth| {
        let ship = json!({ "name": format!("{berth}{}", "x".repeat(3000)), "tons": 1 });
        put(&served, &format!("/api/data/{berth}"), &ship).status
    });
    assert_eq!(full.find(|status| *status != 204), Some(507));
    assert!(berths(&served) < 200, "it still answers");

    let keys = "[sql.default]\nread-only = true\nconnections = 1";
    let served = serve();
    served.app.change("[sql.default]", keys);
    served.app.change("migrations = \"migrations\"\n", "");
    let kestrel = json!({ "name": "Kestrel", "tons": 1500 });
    eventually(
        || put(&served, "/api/data/12", &kestrel).status == 500,
        "writing to fail",
    );
    assert!(berths(&served) >= SHIPS, "reading goes on");
}
