//! The example services, served as their READMEs say.

use std::time::{Duration, Instant};

use wharf_tests::Server;
use wharf_tests::http::{Connection, get, send};

use crate::axes::Isolation;

#[test]
fn hello() {
    for isolation in Isolation::ALL {
        let server = isolation.serve("example-hello", &[]);
        assert_eq!(get(server.addr(), "/there").text(), "Hello from /there\n");
    }
}

#[test]
fn two_routes() {
    for isolation in Isolation::ALL {
        let server = isolation.serve("example-two-routes", &[]);
        let health = get(server.addr(), "/api/health");
        assert_eq!((health.status, health.text().as_str()), (200, r#"{"status":"ok"}"#));
        assert_eq!(health.header("content-type"), Some("application/json"));
        let rows = get(server.addr(), "/api/data").text();
        assert_eq!(rows.matches("\"berth\"").count(), 10, "{rows}");
        assert_eq!(get(server.addr(), "/nothing").status, 404);
        let posted = send(server.addr(), "POST", "/api/data", &[], b"");
        assert_eq!((posted.status, posted.header("allow")), (405, Some("GET")));
        check_stream(&server);
    }
}

/// Ten rows, the last most of a second after the first.
fn check_stream(server: &Server) {
    let mut connection = Connection::open(server.addr());
    connection.send("GET /api/stream HTTP/1.1\r\nhost: a.test\r\n\r\n");
    assert_eq!(connection.head().header("content-type"), Some("application/x-ndjson"));
    let first = connection.data().expect("a row");
    let began = Instant::now();
    let rest = connection.body();
    assert!(began.elapsed() > Duration::from_millis(300), "all came at once");
    let rows = String::from_utf8([first, rest].concat()).expect("JSON is text");
    assert_eq!(rows.lines().count(), 10, "{rows}");
    assert!(
        rows.lines().all(|row| row.starts_with('{') && row.ends_with('}')),
        "{rows}"
    );
}
