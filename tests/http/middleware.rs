//! `--middleware`: components of the world `wasi:http/middleware` in front of a service, the first one outermost.

use wharf_tests::http::{get, post};
use wharf_tests::{Server, finish, guest, wharf};

use crate::axes::{Isolation, Protocol};
use crate::client::{Ask, pattern};

/// The flags that put `names` in front, in this order.
fn flags(names: &[&str]) -> Vec<String> {
    let pair = |name: &&str| {
        [
            "--middleware".to_owned(),
            guest(&format!("http-middleware-{name}")).display().to_string(),
        ]
    };
    names.iter().flat_map(pair).collect()
}

fn serve(isolation: Isolation, service: &str, names: &[&str]) -> Server {
    let flags = flags(names);
    isolation.serve(service, &flags.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Whoever passes a request on learns that it arrived, from the component that took it.
#[test]
fn a_request_that_was_passed_on_arrived() {
    for isolation in Isolation::ALL {
        let server = serve(isolation, "http-upload", &["outer"]);
        let reply = post(server.addr(), "/?sent", pattern(100_000));
        assert_eq!(reply.header("x-sent"), Some("Ok(())"), "{isolation:?}: {reply:?}");
    }
}

/// The request passes them in the order they were given, the response comes back the other way.
#[test]
fn order() {
    let cases: [(&[&str], &str, &str); 4] = [
        (&[], "", "service"),
        (&["outer"], "outer", "service,outer"),
        (&["outer", "inner"], "outer,inner", "service,inner,outer"),
        (&["inner", "outer"], "inner,outer", "service,outer,inner"),
    ];
    for isolation in Isolation::ALL {
        for (names, seen, order) in cases {
            let server = serve(isolation, "http-ordered", names);
            for protocol in Protocol::ALL {
                let reply = Ask::get("/").over(protocol, server.addr());
                let context = format!("{isolation:?} {protocol:?} {names:?}");
                assert_eq!(reply.status, 200, "{context}: {reply:?}");
                assert_eq!(reply.header("x-seen"), Some(seen), "{context}");
                assert_eq!(reply.header("x-order"), Some(order), "{context}");
                let authority = format!("{}", server.addr());
                assert!(reply.text().contains(&authority), "{context}: {}", reply.text());
            }
        }
    }
}

/// Bodies and trailers pass through untouched, both ways at once.
#[test]
fn bodies_pass() {
    for isolation in Isolation::ALL {
        let server = serve(isolation, "http-echo", &["outer", "inner"]);
        for protocol in Protocol::ALL {
            let content = pattern(1_000_003);
            let reply = Ask::post("/", content.clone())
                .trailer("x-sum", "1")
                .over(protocol, server.addr());
            assert!(
                reply.body == content,
                "{isolation:?} {protocol:?}: {} bytes",
                reply.body.len()
            );
            assert_eq!(reply.trailer("x-sum"), Some("1"), "{isolation:?} {protocol:?}");
        }
    }
}

/// One that answers by itself keeps the request from what is behind it.
#[test]
fn one_that_refuses() {
    for isolation in Isolation::ALL {
        let server = serve(isolation, "http-ordered", &["outer", "inner"]);
        let by_outer = get(server.addr(), "/?refuse=outer");
        assert_eq!(
            (by_outer.status, by_outer.text().as_str()),
            (403, "refused by outer"),
            "{isolation:?}"
        );
        assert_eq!(by_outer.header("x-order"), None, "{isolation:?}");
        let by_inner = post(server.addr(), "/?refuse=inner", "content");
        assert_eq!(
            (by_inner.status, by_inner.text().as_str()),
            (403, "refused by inner"),
            "{isolation:?}"
        );
        assert_eq!(by_inner.header("x-order"), Some("outer"), "{isolation:?}");
    }
}

/// A trap anywhere in the chain is a failure of the whole.
#[test]
fn one_that_traps() {
    for isolation in Isolation::ALL {
        let server = serve(isolation, "http-ordered", &["outer", "inner"]);
        for place in ["outer", "inner", "service"] {
            let reply = get(server.addr(), &format!("/?trap={place}"));
            assert_eq!(reply.status, 502, "{isolation:?} {place}");
            assert!(reply.header("wharf-error-id").is_some(), "{isolation:?} {place}");
            assert_eq!(get(server.addr(), "/").status, 200, "{isolation:?} after {place}");
        }
    }
}

/// What is no middleware is refused at start, by name.
#[test]
fn one_that_is_none() {
    let mut command = wharf();
    command.args(["serve", "--addr", "127.0.0.1:0", "--middleware"]);
    command.arg(guest("http-hello")).arg(guest("http-ordered"));
    let finished = finish(&mut command, "");
    assert_ne!(finished.code(), Some(0));
    assert!(finished.stderr.contains("http-hello"), "{}", finished.stderr);
    assert!(finished.stderr.contains("wasi:http/handler"), "{}", finished.stderr);
}
