//! Content over HTTP/1.1 that is none: what its client is told, what is counted, what is said.

use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};

use wharf_tests::http::{Connection, Reply};
use wharf_tests::{Server, eventually};

use crate::axes::Isolation;
use crate::operator::{ADMIN, admin, metric};

/// What is sent after a head with `transfer-encoding: chunked` (RFC 9112 section 7.1), and whether nothing more comes: which
/// the server may hear of later than of the rest.
const CHUNKS: [(&str, bool); 8] = [
    ("zz\r\n", false),
    ("5\nhello", false),
    ("5;\nhello", false),
    ("\r\n", false),
    ("-1\r\n", false),
    ("3\r\nabc\r\nzz\r\n", false),
    ("5\r\nhel", true),
    ("5", true),
];

/// One guest answers before it reads, and one once it has read.
const GUESTS: [(&str, bool); 2] = [("http-echo", true), ("http-upload", false)];

fn head(more: &str) -> String {
    format!("POST /sent?a=b HTTP/1.1\r\nhost: a.test\r\n{more}\r\n")
}

fn send(addr: SocketAddr, request: &str, is_all: bool) -> Reply {
    let mut connection = Connection::open(addr);
    connection.send(request);
    if is_all {
        connection.stream().shutdown(Shutdown::Write).expect("it is open");
    }
    let reply = connection.reply();
    assert!(connection.is_closed(), "{request:?}");
    reply
}

fn responses(admin: SocketAddr, app: &str, class: &str) -> f64 {
    let name = format!("wharf_responses_total{{app=\"{app}\",class=\"{class}\"}}");
    metric(admin, &name).expect("it is counted")
}

#[test]
fn is_answered_with_400() {
    for isolation in Isolation::ALL {
        for (guest, is_hasty) in GUESTS {
            let server = isolation.serve(guest, &[&ADMIN[..], &["--log", "debug"]].concat());
            let admin = admin(&server);
            let mut refused = 1.0;
            for (chunks, is_all) in CHUNKS.into_iter().filter(|(_, is_all)| !(is_hasty && *is_all)) {
                let request = head("transfer-encoding: chunked\r\naccept: application/problem+json\r\n") + chunks;
                let reply = send(server.addr(), &request, is_all);
                let what = format!("{isolation:?} {guest} {chunks:?}");
                assert_eq!(reply.status, 400, "{what}");
                assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{what}");
                let id = reply.header("wharf-error-id").expect("it has an id").to_owned();
                assert!(reply.text().contains(&id), "{what}: {}", reply.text());
                check_said(&server, &id, guest);
                refused += 1.0;
            }
            // Less than was announced, of a body that is read before a guest is asked.
            let short = send(server.addr(), &(head("content-length: 5\r\n") + "hel"), true);
            assert_eq!(short.status, 400, "{isolation:?} {guest}");
            eventually(|| responses(admin, guest, "4xx") == refused, "all are counted");
            assert_eq!(responses(admin, guest, "2xx"), 0.0, "{isolation:?} {guest}");
        }
    }
}

/// The line with `id` says whose request it was, and which.
#[track_caller]
fn check_said(server: &Server, id: &str, app: &str) {
    server.says(id);
    let log = server.log();
    let line = log.lines().find(|line| line.contains(id)).expect("it was there");
    for expected in [
        "request refused: its content",
        &format!("app=\"{app}\""),
        "path=\"/sent\"",
    ] {
        assert!(line.contains(expected), "{expected}: {line}");
    }
}

/// Whoever sends many fills no log.
#[test]
fn is_said_once_a_second() {
    let server = Server::start("http-upload", &[]);
    let begun = Instant::now();
    for _ in 0..60 {
        let refused = send(
            server.addr(),
            &(head("transfer-encoding: chunked\r\n") + "zz\r\n"),
            false,
        );
        assert_eq!(refused.status, 400);
    }
    server.says("request refused: its content");
    let most = begun.elapsed().as_secs() + 2;
    let said = server.log().matches("request refused: its content").count();
    assert!(
        u64::try_from(said).is_ok_and(|said| said <= most),
        "{said} times, {most} at most"
    );
}

/// Whoever leaves amid the content of a request has sent nothing wrong, be it answered already or not.
#[test]
fn a_client_that_leaves_is_none_of_that() {
    for (isolation, (guest, is_hasty)) in Isolation::ALL
        .into_iter()
        .flat_map(|isolation| GUESTS.map(|guest| (isolation, guest)))
    {
        let server = isolation.serve(guest, &[&ADMIN[..], &["--log", "debug"]].concat());
        let admin = admin(&server);
        for (more, breaks) in [
            ("content-length: 1000000\r\n", false),
            ("content-length: 1000000\r\n", true),
            ("transfer-encoding: chunked\r\n", false),
            ("transfer-encoding: chunked\r\n", true),
        ] {
            let mut connection = Connection::open(server.addr());
            connection.send(head(more) + "5\r\nhello\r\n");
            match is_hasty {
                true => assert_eq!(connection.head().status(), 200, "{isolation:?}"),
                false => eventually(|| metric(admin, "wharf_requests") == Some(1.0), "it has begun"),
            }
            if breaks {
                rustix::net::sockopt::set_socket_linger(connection.stream(), Some(Duration::ZERO))
                    .expect("a TCP socket");
            }
            drop(connection);
            eventually(|| metric(admin, "wharf_connections") == Some(0.0), "it has ended");
        }
        assert_eq!(responses(admin, guest, "broken"), 0.0, "{isolation:?} {guest}");
        for wrong in ["malformed", "broke off", "WARN"] {
            assert!(!server.log().contains(wrong), "{isolation:?} {guest}: {}", server.log());
        }
    }
}

/// Once the client has a head it sees the response break off, which is not counted among those that succeeded.
#[test]
fn after_the_head_breaks_the_response_off() {
    for isolation in Isolation::ALL {
        let server = isolation.serve("http-echo", &ADMIN);
        let admin = admin(&server);
        let mut connection = Connection::open(server.addr());
        connection.send(head("transfer-encoding: chunked\r\n") + "5\r\nhello\r\n");
        assert_eq!(connection.head().status(), 200, "{isolation:?}");
        assert_eq!(connection.data().as_deref(), Some(&b"hello"[..]), "{isolation:?}");
        connection.send("zz\r\n");
        assert!(connection.try_body().is_err(), "{isolation:?}");
        eventually(|| responses(admin, "http-echo", "broken") == 1.0, "it is counted");
        assert_eq!(responses(admin, "http-echo", "2xx"), 0.0, "{isolation:?}");
        server.says("a response broke off");
        let log = server.log();
        let line = log.lines().find(|line| line.contains("a response broke off"));
        let line = line.expect("it was there");
        for expected in ["WARN", "id=", "app=\"http-echo\"", "path=\"/sent\""] {
            assert!(line.contains(expected), "{expected}: {line}");
        }
    }
}
