//! WASI 0.2: `wasi:http/proxy` components, unmodified, in fresh instances and in kept ones.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use wharf_tests::http::{Connection, get};
use wharf_tests::{Server, eventually, eventually_within, finish, guest, wharf};

use crate::axes::{ALLOW_ALL, Isolation, Protocol};
use crate::client::{Ask, pattern};
use crate::witness::Witness;

#[test]
fn content() {
    for isolation in Isolation::APART {
        let hello = isolation.serve("http02-hello", &[]);
        let echo = isolation.serve("http02-echo", &[]);
        let streaming = isolation.serve("http02-streaming", &[]);
        for protocol in Protocol::ALL {
            let context = format!("{isolation:?} {protocol:?}");
            assert_eq!(
                Ask::get("/").over(protocol, hello.addr()).text(),
                "hello, wharf",
                "{context}"
            );
            for length in [0, 1, 4096, 65_537, 3_000_000] {
                let sent = pattern(length);
                let reply = Ask::post("/", sent.clone())
                    .trailer("x-sum", "1")
                    .over(protocol, echo.addr());
                assert!(reply.body == sent, "{context} {length}: {} bytes", reply.body.len());
                assert_eq!(reply.trailer("x-sum"), Some("1"), "{context} {length}");
            }
            let reply = Ask::get("/?bytes=5000000").over(protocol, streaming.addr());
            assert!(
                reply.body == pattern(5_000_000),
                "{context}: {} bytes",
                reply.body.len()
            );
        }
    }
}

#[test]
fn chunks_arrive_as_they_are_written() {
    for isolation in Isolation::APART {
        let server = isolation.serve("http02-streaming", &[]);
        let mut connection = Connection::open(server.addr());
        connection.send("GET /?n=4&delay=150 HTTP/1.1\r\nhost: a.test\r\n\r\n");
        assert_eq!(connection.head().status(), 200);
        let first = connection.data().expect("the first chunk");
        let began = std::time::Instant::now();
        let rest = connection.body();
        assert!(
            began.elapsed() >= Duration::from_millis(200),
            "{isolation:?}: all at once"
        );
        assert_eq!(
            [first, rest].concat(),
            b"chunk 0\nchunk 1\nchunk 2\nchunk 3\n",
            "{isolation:?}"
        );
    }
}

#[test]
fn calls() {
    for isolation in Isolation::APART {
        let witness = Witness::start();
        let server = isolation.serve("http02-outgoing", &ALLOW_ALL);
        let reply = get(
            server.addr(),
            &format!("/?n=30&url={}", witness.raw_url("/together?n=30")),
        );
        assert_eq!(
            reply.text().matches("status 200 bytes 8\n").count(),
            30,
            "{isolation:?}: {}",
            reply.text()
        );
        // A missing path means `/`.
        let bare = get(server.addr(), &format!("/?url={}", witness.raw_url("")));
        let text = bare.text();
        assert!(text.starts_with("status 200 bytes 2\n"), "{isolation:?}: {text}");
        witness.assert_no_failures();
        let denied = isolation.serve("http02-outgoing", &[]);
        let reply = get(denied.addr(), &format!("/?url={}", witness.raw_url("/ok")));
        assert!(
            reply.text().contains("HttpRequestDenied"),
            "{isolation:?}: {}",
            reply.text()
        );
    }
}

/// Fresh instances unless kept ones are asked for: nothing in 0.2 says that a guest expects a second request.
#[test]
fn request_is_the_default() {
    let server = Server::start("http02-state", &[]);
    let texts: BTreeSet<_> = (0..5).map(|_| get(server.addr(), "/").text()).collect();
    assert_eq!(texts.len(), 5);
    assert!(texts.iter().all(|text| text.contains(" request 1 ")), "{texts:?}");
}

#[test]
fn serial_keeps_instances() {
    let server = Isolation::Serial.serve("http02-state", &[]);
    let texts: Vec<_> = (0..5).map(|_| get(server.addr(), "/").text()).collect();
    assert!(texts.iter().any(|text| !text.contains(" request 1 ")), "{texts:?}");
    let addr = server.addr();
    let holding: Vec<_> = (0..10)
        .map(|_| thread::spawn(move || get(addr, "/?hold=300").text()))
        .collect();
    let instances: BTreeSet<_> = holding
        .into_iter()
        .map(|holding| holding.join().expect("an answer"))
        .map(|text| text.split(' ').nth(1).map(str::to_owned))
        .collect();
    assert_eq!(instances.len(), 10, "two met");
}

/// 0.2 cannot share an instance: its handler holds the instance up. Said at start.
#[test]
fn shared_is_refused() {
    let mut command = wharf();
    command
        .args(["serve", "--addr", "127.0.0.1:0", "--isolation", "shared"])
        .arg(guest("http02-hello"));
    let finished = finish(&mut command, "");
    assert_ne!(finished.code(), Some(0));
    assert!(finished.stderr.contains("shared"), "{}", finished.stderr);
}

#[test]
fn failures() {
    for isolation in Isolation::APART {
        let server = isolation.serve("http02-trap", &[]);
        for protocol in Protocol::ALL {
            let context = format!("{isolation:?} {protocol:?}");
            for at in ["before-head", "unset", "unsent"] {
                let reply = Ask::get(format!("/?at={at}")).over(protocol, server.addr());
                assert_eq!(reply.status, 502, "{context} {at}: {reply:?}");
                let id = reply.header("wharf-error-id").expect("an id").to_owned();
                server.says(&id);
            }
            for at in ["in-body", "dropped", "kept"] {
                let broken = Ask::get(format!("/?at={at}")).try_over(protocol, server.addr());
                // What had begun breaks off; what had not is 502. It is never taken for whole.
                let seen = broken.is_err() || broken.as_ref().is_ok_and(|reply| reply.status == 502);
                assert!(seen, "{context} {at}: {broken:?}");
            }
            let whole = Ask::get("/").over(protocol, server.addr());
            assert_eq!(whole.text(), "first half, second half", "{context}");
        }
    }
}

/// A client that leaves ends the guest's work for it, 0.2 or not.
#[test]
fn clients_that_leave() {
    for isolation in Isolation::APART {
        let witness = Witness::start();
        let server = isolation.serve("http02-outgoing", &ALLOW_ALL);
        let mut connection = Connection::open(server.addr());
        connection.send(format!(
            "GET /?url={} HTTP/1.1\r\nhost: a.test\r\n\r\n",
            witness.raw_url("/hang")
        ));
        eventually(|| witness.open("/hang") == 1, "the guest's call");
        drop(connection);
        let closed = || !witness.left("/hang").is_empty();
        eventually_within(
            Duration::from_secs(5),
            closed,
            &format!("{isolation:?}: the call to be closed"),
        );
    }
}

/// Where a component exports both, 0.3 is what its author meant.
#[test]
fn the_newer_export_wins() {
    for isolation in Isolation::ALL {
        let server = isolation.serve("http02-both", &[]);
        for _ in 0..3 {
            assert_eq!(get(server.addr(), "/").text(), "0.3 answered", "{isolation:?}");
        }
    }
}
