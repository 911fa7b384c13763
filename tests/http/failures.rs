//! What a failing guest looks like from outside, and in the log: one table of statuses, one id in both.

use wharf_tests::http::{Connection, get};
use wharf_tests::{Server, eventually};

use crate::axes::{Isolation, Protocol, all};
use crate::client::Ask;
use crate::operator::{ADMIN, admin, metric};

/// The header that names a failure.
const ERROR_ID: &str = "wharf-error-id";

/// Every error code a handler may return, and the status that stands for it.
const CODES: [(&str, u16); 39] = [
    ("DNS-timeout", 504),
    ("DNS-error", 502),
    ("destination-not-found", 502),
    ("destination-unavailable", 503),
    ("destination-IP-prohibited", 502),
    ("destination-IP-unroutable", 502),
    ("connection-refused", 502),
    ("connection-terminated", 502),
    ("connection-timeout", 504),
    ("connection-read-timeout", 504),
    ("connection-write-timeout", 504),
    ("connection-limit-reached", 503),
    ("TLS-protocol-error", 502),
    ("TLS-certificate-error", 502),
    ("TLS-alert-received", 502),
    ("HTTP-request-denied", 500),
    ("HTTP-request-length-required", 500),
    ("HTTP-request-body-size", 500),
    ("HTTP-request-method-invalid", 500),
    ("HTTP-request-URI-invalid", 500),
    ("HTTP-request-URI-too-long", 500),
    ("HTTP-request-header-section-size", 500),
    ("HTTP-request-header-size", 500),
    ("HTTP-request-trailer-section-size", 500),
    ("HTTP-request-trailer-size", 500),
    ("HTTP-response-incomplete", 502),
    ("HTTP-response-header-section-size", 502),
    ("HTTP-response-header-size", 502),
    ("HTTP-response-body-size", 502),
    ("HTTP-response-trailer-section-size", 502),
    ("HTTP-response-trailer-size", 502),
    ("HTTP-response-transfer-coding", 502),
    ("HTTP-response-content-coding", 502),
    ("HTTP-response-timeout", 504),
    ("HTTP-upgrade-failed", 502),
    ("HTTP-protocol-error", 502),
    ("loop-detected", 500),
    ("configuration-error", 500),
    ("internal-error", 500),
];

#[test]
fn error_codes() {
    for isolation in Isolation::ALL {
        let server = isolation.serve("http-error", &[]);
        for (code, status) in CODES {
            for protocol in Protocol::ALL {
                let reply = Ask::get(format!("/?code={code}")).over(protocol, server.addr());
                assert_eq!(reply.status, status, "{isolation:?} {protocol:?} {code}");
                let id = reply
                    .header(ERROR_ID)
                    .unwrap_or_else(|| panic!("{code} has no id: {reply:?}"))
                    .to_owned();
                server.says(&id);
            }
        }
    }
}

/// A guest that fails before it answers.
#[test]
fn failures_before_the_answer() {
    let cases: [(&str, &str, &[&str], u16, &str); 4] = [
        ("http-trap", "/?at=before-head", &[], 502, "wharf_test_trap_here"),
        ("http-memory", "/?mode=abort", &[], 502, "refused memory"),
        (
            "http-loop",
            "/?at=handler",
            &["--max-cpu-time", "1s", "--timeout", "15m"],
            504,
            "processor time",
        ),
        ("http-loop", "/?at=handler", &["--timeout", "1s"], 504, ""),
    ];
    for (guest, path, flags, status, in_log) in cases {
        for isolation in Isolation::ALL {
            let server = isolation.serve(guest, flags);
            for protocol in Protocol::ALL {
                let reply = Ask::get(path).over(protocol, server.addr());
                let context = format!("{guest}{path} {isolation:?} {protocol:?}");
                assert_eq!(reply.status, status, "{context}: {reply:?}");
                let id = reply
                    .header(ERROR_ID)
                    .unwrap_or_else(|| panic!("{context}: no id: {reply:?}"))
                    .to_owned();
                server.says(&id);
                server.says(in_log);
                assert_tells_nothing(&reply.text(), &context);
            }
        }
    }
}

/// The time a request may take counts from its arrival: computing, waiting for an instance and a second try are in it.
#[test]
fn the_deadline_counts_from_the_arrival() {
    let flags = ["--max-instances", "1", "--queue-timeout", "60s", "--timeout", "12s"];
    let queued = Server::start("http-slow", &[&ADMIN[..], &flags].concat());
    let (addr, admin) = (queued.addr(), admin(&queued));
    let first = std::thread::spawn(move || Ask::get("/?delay=6000").over(Protocol::Http1, addr));
    eventually(|| metric(admin, "wharf_requests") == Some(1.0), "the first has begun");
    // Nearly six seconds in the queue, and eleven of its own: neither is too much.
    let second = Ask::get("/?delay=11000").over(Protocol::Http1, addr);
    assert_eq!(first.join().expect("an answer").status, 200);
    assert_eq!(second.status, 504, "{second:?}");
}

/// What a client reads says that something failed, and not what: that is for the log.
fn assert_tells_nothing(text: &str, context: &str) {
    for secret in [
        "wharf_test_trap_here",
        "wasm",
        "unreachable",
        "backtrace",
        "/work",
        "src/",
    ] {
        assert!(!text.contains(secret), "{context}: {text}");
    }
}

/// A guest that fails after the head breaks the message off; the log has the reason.
#[test]
fn failures_after_the_head() {
    for at in ["after-head", "in-body"] {
        for (isolation, protocol) in all() {
            let server = isolation.serve("http-trap", &[]);
            let outcome = Ask::get(format!("/?at={at}&hold=300")).try_over(protocol, server.addr());
            let broken = match &outcome {
                Err(_) => true,
                // Nothing of the body was there when the guest failed: the head may not have been sent.
                Ok(reply) => at == "after-head" && reply.status == 502,
            };
            assert!(broken, "{at} {isolation:?} {protocol:?}: {outcome:?}");
            server.says("wharf_test_trap_here");
            assert_eq!(
                get(server.addr(), "/").text(),
                "first half, second half",
                "{at} {isolation:?} {protocol:?}"
            );
        }
    }
}

/// A request that the guest answers while its neighbour's connection breaks.
#[test]
fn a_broken_message_is_seen_to_be_broken() {
    for isolation in Isolation::ALL {
        let server = isolation.serve("http-trap", &[]);
        let mut connection = Connection::open(server.addr());
        connection.send("GET /?at=in-body&hold=300 HTTP/1.1\r\nhost: a.test\r\n\r\n");
        let head = connection.head();
        assert_eq!(head.status(), 200, "{isolation:?}");
        assert_eq!(
            connection.data().as_deref(),
            Some(&b"first half, "[..]),
            "{isolation:?}"
        );
        assert!(connection.try_data().is_err(), "{isolation:?}");
        assert!(connection.is_closed(), "{isolation:?}");
    }
}

/// Ids are told apart.
#[test]
fn each_failure_has_its_own_id() {
    let server = Server::start("http-trap", &[]);
    let ids: Vec<_> = (0..20)
        .map(|_| {
            get(server.addr(), "/?at=before-head")
                .header(ERROR_ID)
                .expect("an id")
                .to_owned()
        })
        .collect();
    for (number, id) in ids.iter().enumerate() {
        assert!(!ids[..number].contains(id), "{id} twice");
    }
}

/// The time a request may take ends it, whatever it waits for.
#[test]
fn requests_have_a_time_limit() {
    for isolation in Isolation::ALL {
        let server = isolation.serve("http-slow", &["--timeout", "1s"]);
        for protocol in Protocol::ALL {
            let reply = Ask::get("/?delay=60000").over(protocol, server.addr());
            assert_eq!(reply.status, 504, "{isolation:?} {protocol:?}: {reply:?}");
            let id = reply.header(ERROR_ID).expect("an id").to_owned();
            server.says(&id);
            // A busy machine may take the time of one that is short.
            let next = || Ask::get("/?delay=1").over(protocol, server.addr());
            eventually(
                || next().text() == "done",
                &format!("{isolation:?} {protocol:?}: an answer"),
            );
        }
    }
}
