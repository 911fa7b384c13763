//! Trailers, both ways, over both protocols.

use wharf_tests::http::Reply;

use crate::axes::{Isolation, Protocol, all};
use crate::client::Ask;

/// The guest sees the request's trailers.
#[test]
fn of_requests() {
    let cases = [
        (Ask::post("/", "abc"), "none\n"),
        (Ask::post("/", "abc").trailer("x-sum", "294"), "x-sum: 294\n"),
        (Ask::post("/", "").trailer("x-sum", "0"), "x-sum: 0\n"),
        (
            Ask::post("/", "abc").trailer("x-a", "1").trailer("x-b", "2"),
            "x-a: 1\nx-b: 2\n",
        ),
        // What comes too late (RFC 9110 section 6.5.1).
        (Ask::post("/", "abc").trailer("content-length", "7"), "none\n"),
        (
            Ask::post("/", "abc")
                .trailer("content-length", "7")
                .trailer("x-sum", "294")
                .trailer("authorization", "Basic eDp4"),
            "x-sum: 294\n",
        ),
    ];
    for isolation in Isolation::ALL {
        let server = isolation.serve("http-trailers", &[]);
        for protocol in Protocol::ALL {
            for (ask, expected) in &cases {
                let reply = ask.over(protocol, server.addr());
                assert_eq!(reply.text(), *expected, "{isolation:?} {protocol:?} {ask:?}");
            }
        }
    }
}

/// The client sees the response's.
#[test]
fn of_responses() {
    for isolation in Isolation::ALL {
        let server = isolation.serve("http-trailers", &[]);
        for protocol in Protocol::ALL {
            for (path, body) in [("/", "none\n"), ("/?empty", "")] {
                let reply = Ask::post(path, "abc").over(protocol, server.addr());
                assert_eq!(reply.text(), body, "{isolation:?} {protocol:?} {path}");
                assert_eq!(
                    trailers(&reply),
                    ["x-bytes: 3", "x-twice: one", "x-twice: two"],
                    "{isolation:?} {protocol:?} {path}"
                );
            }
        }
        // HTTP/2 needs no announcement.
        let reply = Ask::post("/?unannounced", "abc").over(Protocol::Http2, server.addr());
        assert_eq!(
            trailers(&reply),
            ["x-bytes: 3", "x-twice: one", "x-twice: two"],
            "{isolation:?} unannounced"
        );
    }
}

/// What comes too late (RFC 9110 section 6.5.1) is left out of what a guest writes, whichever protocol carries it.
#[test]
fn of_responses_that_come_too_late() {
    let fields = "late=content-length:7&late=content-type:text/html&late=set-cookie:a";
    for (isolation, protocol) in all() {
        let server = isolation.serve("http-trailers", &[]);
        let reply = Ask::post(format!("/?{fields}"), "abc").over(protocol, server.addr());
        let context = format!("{isolation:?} {protocol:?}");
        assert_eq!(
            trailers(&reply),
            ["x-bytes: 3", "x-twice: one", "x-twice: two"],
            "{context}"
        );
        let reply = Ask::post(format!("/?alone&{fields}"), "abc").over(protocol, server.addr());
        assert_eq!(
            (reply.text(), trailers(&reply)),
            ("none\n".to_owned(), vec![]),
            "{context}"
        );
    }
}

/// An error in the trailers' place breaks the message off: the client must not take it for whole.
#[test]
fn an_error_in_their_place() {
    for (isolation, protocol) in all() {
        let server = isolation.serve("http-trailers", &[]);
        let outcome = Ask::post("/?error", "abc").try_over(protocol, server.addr());
        assert!(outcome.is_err(), "{isolation:?} {protocol:?}: {outcome:?}");
        let next = Ask::post("/", "abc").over(protocol, server.addr());
        assert_eq!(next.status, 200, "{isolation:?} {protocol:?}");
    }
}

/// They come back through a guest, and past one.
#[test]
fn there_and_back() {
    for guest in ["http-echo", "http-passthrough"] {
        for isolation in Isolation::ALL {
            let server = isolation.serve(guest, &[]);
            for protocol in Protocol::ALL {
                let reply = Ask::post("/", "abc")
                    .trailer("x-sum", "294")
                    .over(protocol, server.addr());
                let context = format!("{guest} {isolation:?} {protocol:?}");
                assert_eq!(reply.text(), "abc", "{context}");
                assert_eq!(trailers(&reply), ["x-sum: 294"], "{context}");
            }
        }
    }
}

fn trailers(reply: &Reply) -> Vec<String> {
    reply
        .trailers
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect()
}
