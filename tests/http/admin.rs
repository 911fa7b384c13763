//! `--admin`: what the server tells of itself to those who run it.

use wharf_tests::eventually;
use wharf_tests::http::{Connection, get};

use crate::axes::Isolation;
use crate::operator::{ADMIN, admin, metric};

const IDLE: &str = "wharf_instances_idle{app=\"http-slow\"}";
const WAITING: &str = "wharf_requests_waiting{app=\"http-slow\"}";

#[test]
fn requests_and_instances_are_counted() {
    for isolation in Isolation::ALL {
        let server = isolation.serve("http-slow", &ADMIN);
        let admin = admin(&server);
        let expect = |name: &str, expected: f64| {
            let what = format!("{isolation:?}: {name} becomes {expected}");
            eventually(|| metric(admin, name) == Some(expected), &what);
        };
        expect("wharf_requests", 0.0);
        expect("wharf_responses_total{app=\"http-slow\",class=\"2xx\"}", 0.0);
        expect("wharf_instances", 0.0);
        let mut connections = [(); 3].map(|()| {
            let mut connection = Connection::open(server.addr());
            connection.send("GET /?delay=2000 HTTP/1.1\r\nhost: a.test\r\n\r\n");
            connection
        });
        let instances = if isolation == Isolation::Shared { 1.0 } else { 3.0 };
        expect("wharf_requests", 3.0);
        expect("wharf_connections", 3.0);
        expect("wharf_instances", instances);
        for connection in &mut connections {
            assert_eq!(connection.reply().status, 200);
        }
        expect("wharf_requests", 0.0);
        expect("wharf_responses_total{app=\"http-slow\",class=\"2xx\"}", 3.0);
        expect("wharf_connections", 3.0);
        drop(connections);
        expect("wharf_connections", 0.0);
        let idle = if isolation == Isolation::Serial { 3.0 } else { 0.0 };
        assert_eq!(metric(admin, IDLE), Some(idle), "{isolation:?}");
        if isolation == Isolation::Serial {
            // Nobody used them for a while.
            expect(IDLE, 0.0);
            expect("wharf_instances", 0.0);
        }
        if isolation != Isolation::Shared {
            assert!(metric(admin, "wharf_pool_kept_bytes") > Some(0.0), "{isolation:?}");
        }
        // Refused before it reaches a guest.
        let mut bad = Connection::open(server.addr());
        bad.send("GET / HTTP/1.1\r\n\r\n");
        assert_eq!(bad.reply().status, 400);
        expect("wharf_responses_total{app=\"\",class=\"4xx\"}", 1.0);
    }
}

#[test]
fn requests_that_wait_are_counted() {
    let server = Isolation::Serial.serve("http-slow", &[&ADMIN[..], &["--max-instances", "1"]].concat());
    let admin = admin(&server);
    let mut connections = [(); 3].map(|()| {
        let mut connection = Connection::open(server.addr());
        connection.send("GET /?delay=1000 HTTP/1.1\r\nhost: a.test\r\n\r\n");
        connection
    });
    eventually(|| metric(admin, WAITING) == Some(2.0), "two wait");
    for connection in &mut connections {
        assert_eq!(connection.reply().status, 200);
    }
    assert_eq!(metric(admin, WAITING), Some(0.0));
}

#[test]
fn a_draining_server_lives_and_is_not_ready() {
    let server = Isolation::Serial.serve("http-slow", &ADMIN);
    let admin = admin(&server);
    for (path, status) in [("/livez", 200), ("/readyz", 200), ("/", 404)] {
        assert_eq!(get(admin, path).status, status, "{path}");
    }
    let mut connection = Connection::open(server.addr());
    connection.send("GET /?delay=2000 HTTP/1.1\r\nhost: a.test\r\n\r\n");
    eventually(|| metric(admin, "wharf_requests") == Some(1.0), "it has begun");
    server.terminate();
    eventually(|| get(admin, "/readyz").status == 503, "it is not ready any more");
    assert_eq!(get(admin, "/livez").status, 200);
    assert_eq!(connection.reply().status, 200);
    assert!(server.wait().success());
}

/// Nobody who connects and says nothing, or takes nothing, keeps others from asking whether the server lives.
#[test]
fn the_admin_listener_has_bounds() {
    let server = wharf_tests::Server::start("http-hello", &ADMIN);
    let admin = admin(&server);
    let mut silent: Vec<_> = (0..200).map(|_| Connection::open(admin)).collect();
    assert_eq!(get(admin, "/livez").status, 200);
    let first = silent.first_mut().expect("there are some");
    assert!(first.is_closed(), "the eldest made room");
    // One that asks for much and reads nothing: its time has an end, though it does not read what it is owed.
    let mut greedy = std::net::TcpStream::connect(admin).expect("it listens");
    greedy.set_nonblocking(true).expect("a socket can be");
    let ask = b"GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n".repeat(100);
    let mut is_broken = false;
    wharf_tests::eventually_within(
        std::time::Duration::from_secs(90),
        || {
            use std::io::Write as _;
            let written = greedy.write(&ask);
            is_broken = matches!(&written, Err(error) if error.kind() != std::io::ErrorKind::WouldBlock);
            is_broken
        },
        "it is closed",
    );
    assert_eq!(get(admin, "/livez").status, 200);
}
