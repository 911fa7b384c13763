//! HTTP itself: connections, framing, methods, statuses, and requests that are none.

use http::{Method, Request};
use wharf_tests::Server;
use wharf_tests::http::{Connection, get, send};
use wharf_tests::http2;

use crate::axes::{Isolation, Protocol, all};
use crate::client::Ask;

/// One connection carries many requests.
#[test]
fn connections_are_kept() {
    for isolation in Isolation::ALL {
        let server = isolation.serve("http-echo", &[]);
        let mut connection = Connection::open(server.addr());
        for turn in 0..10 {
            let content = "x".repeat(turn);
            connection.send(format!(
                "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: {turn}\r\n\r\n{content}"
            ));
            assert_eq!(connection.reply().text(), content, "{isolation:?}");
        }
        connection.send("POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
        assert_eq!(connection.reply().text(), "abc", "{isolation:?}");
        connection.send("GET / HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n");
        let last = connection.reply();
        assert_eq!(last.header("connection"), Some("close"), "{isolation:?}");
        assert!(connection.is_closed(), "{isolation:?}: closed as asked");
    }
}

/// Requests sent at once are answered in their order.
#[test]
fn pipelined_requests_are_answered_in_order() {
    for isolation in Isolation::ALL {
        let server = isolation.serve("http-chunks", &[]);
        let mut connection = Connection::open(server.addr());
        let requests: String = [(3, 50), (1, 0), (2, 20), (0, 0), (1, 0)]
            .map(|(count, delay)| format!("GET /?n={count}&delay={delay} HTTP/1.1\r\nhost: a.test\r\n\r\n"))
            .concat();
        connection.send(requests);
        for expected in [
            "chunk 0\nchunk 1\nchunk 2\n",
            "chunk 0\n",
            "chunk 0\nchunk 1\n",
            "",
            "chunk 0\n",
        ] {
            assert_eq!(connection.reply().text(), expected, "{isolation:?}");
        }
    }
}

/// A client of 1986 gets an answer it understands.
#[test]
fn http_1_0() {
    let server = Server::start("http-hello", &[]);
    let mut connection = Connection::open(server.addr());
    connection.send("GET / HTTP/1.0\r\n\r\n");
    let reply = connection.reply();
    assert_eq!((reply.status, reply.text().as_str()), (200, "hello, wharf"));
    assert_eq!(reply.header("transfer-encoding"), None);
    assert!(connection.is_closed());
}

/// Streams of one connection do not wait for each other.
#[test]
fn streams_of_one_connection_run_at_once() {
    for isolation in Isolation::ALL {
        let server = isolation.serve("http-state", &[]);
        http2::run(async {
            let handle = http2::connect(server.addr()).await;
            let slow = (0..20).map(|_| http2::get(&handle, server.addr(), "/?hold=1000"));
            let started = std::time::Instant::now();
            let replies = futures_join(slow).await;
            let elapsed = started.elapsed();
            assert!(replies.iter().all(|reply| reply.status == 200), "{isolation:?}");
            // One after the other they would take 20 s.
            assert!(elapsed.as_secs() < 10, "{isolation:?}: {elapsed:?}");
        });
    }
}

async fn futures_join<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut pending: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut waiting = false;
        for (future, result) in &mut pending {
            if result.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *result = Some(value),
                    std::task::Poll::Pending => waiting = true,
                }
            }
        }
        if waiting {
            std::task::Poll::Pending
        } else {
            std::task::Poll::Ready(())
        }
    })
    .await;
    pending.into_iter().filter_map(|(_, result)| result).collect()
}

/// The guest sees the request as it was sent.
#[test]
fn the_request_as_the_guest_sees_it() {
    struct Case {
        raw: &'static str,
        expected: &'static str,
    }
    let cases = [
        Case {
            raw: "GET / HTTP/1.1\r\nhost: a.test\r\n\r\n",
            expected: "method: GET\nscheme: http\nauthority: a.test\npath: /\n",
        },
        Case {
            raw: "GET /a/b?c=d&e=%20#f HTTP/1.1\r\nhost: a.test:81\r\n\r\n",
            expected: "method: GET\nscheme: http\nauthority: a.test:81\npath: /a/b?c=d&e=%20\n",
        },
        Case {
            raw: "GET /a//b/../c? HTTP/1.1\r\nhost: a.test\r\n\r\n",
            expected: "method: GET\nscheme: http\nauthority: a.test\npath: /a//b/../c?\n",
        },
        // RFC 9112, section 3.2.2: the target's authority wins over the header.
        Case {
            raw: "GET http://b.test/x?y HTTP/1.1\r\nhost: a.test\r\n\r\n",
            expected: "method: GET\nscheme: http\nauthority: b.test\npath: /x?y\n",
        },
        Case {
            raw: "OPTIONS * HTTP/1.1\r\nhost: a.test\r\n\r\n",
            expected: "method: OPTIONS\nscheme: http\nauthority: a.test\npath: *\n",
        },
        Case {
            raw: "PURGE /x HTTP/1.1\r\nhost: [::1]:8080\r\n\r\n",
            expected: "method: other PURGE\nscheme: http\nauthority: [::1]:8080\npath: /x\n",
        },
        Case {
            raw: "DELETE /x HTTP/1.1\r\nhost: a.test\r\nX-Mixed: One\r\nx-twice: 1\r\nx-twice: 2\r\n\r\n",
            expected: "method: DELETE\nscheme: http\nauthority: a.test\npath: /x\n",
        },
    ];
    for isolation in Isolation::ALL {
        let server = isolation.serve("http-request-line", &[]);
        for Case { raw, expected } in &cases {
            let mut connection = Connection::open(server.addr());
            connection.send(raw);
            let text = connection.reply().text();
            assert!(text.starts_with(expected), "{isolation:?} {raw:?}: {text}");
        }
    }
}

#[test]
fn methods_and_headers_as_the_guest_sees_them() {
    for isolation in Isolation::ALL {
        let server = isolation.serve("http-request-line", &[]);
        for protocol in Protocol::ALL {
            for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "PURGE"] {
                let ask = Ask::new(method, "/p?q=1")
                    .header("x-one", "1")
                    .header("x-twice", "a")
                    .header("x-twice", "b, c")
                    .header("cookie", "k=v");
                let reply = ask.over(protocol, server.addr());
                let context = format!("{isolation:?} {protocol:?} {method}");
                let known = if method == "PURGE" { "other PURGE" } else { method };
                let start = format!(
                    "method: {known}\nscheme: http\nauthority: {}\npath: /p?q=1\n",
                    server.addr()
                );
                assert!(reply.text().starts_with(&start), "{context}: {}", reply.text());
                for header in ["x-one: 1\n", "x-twice: a\nx-twice: b, c\n", "cookie: k=v\n"] {
                    assert!(reply.text().contains(header), "{context}: {}", reply.text());
                }
                // They describe the connection, not the request.
                for header in ["connection:", "transfer-encoding:", "keep-alive:"] {
                    assert!(
                        !reply.text().contains(&format!("\n{header}")),
                        "{context}: {}",
                        reply.text()
                    );
                }
            }
        }
    }
}

/// HEAD has the headers of GET and no content, and the connection is in step afterwards.
#[test]
fn head() {
    for isolation in Isolation::ALL {
        let server = isolation.serve("http-content-length", &[]);
        let mut connection = Connection::open(server.addr());
        for _ in 0..2 {
            connection.send("HEAD /?declared=5&actual=5 HTTP/1.1\r\nhost: a.test\r\n\r\n");
            let head = connection.head();
            assert_eq!(
                (head.status(), head.header("content-length")),
                (200, Some("5")),
                "{isolation:?}"
            );
        }
        http2::run(async {
            let mut handle = http2::connect(server.addr()).await;
            let request = Request::head(server.url("/?declared=5&actual=5")).body(()).unwrap();
            let (response, _) = handle.send_request(request, true).unwrap();
            let reply = http2::collect(response).await.unwrap();
            assert_eq!((reply.status, reply.body.len()), (200, 0), "{isolation:?}");
            assert_eq!(reply.header("content-length"), Some("5"), "{isolation:?}");
        });
    }
}

/// Every status reaches the client, with content only where it may have some.
#[test]
fn statuses() {
    for isolation in Isolation::ALL {
        let server = isolation.serve("http-status", &[]);
        for protocol in Protocol::ALL {
            for status in [200_u16, 201, 204, 205, 206, 301, 304, 401, 404, 418, 429, 500, 503, 599] {
                for bare in ["", "&bare"] {
                    let reply = Ask::get(format!("/?status={status}{bare}")).over(protocol, server.addr());
                    let context = format!("{isolation:?} {protocol:?} {status}{bare}: {reply:?}");
                    assert_eq!(reply.status, status, "{context}");
                    let content = match (status, bare) {
                        (204 | 205 | 304, _) | (_, "&bare") => String::new(),
                        _ => format!("status {status}"),
                    };
                    assert_eq!(reply.text(), content, "{context}");
                    if status == 204 {
                        assert_eq!(reply.header("content-length"), None, "{context}");
                        assert_eq!(reply.header("transfer-encoding"), None, "{context}");
                    }
                }
            }
            // No status at all for HTTP, refused in the guest.
            for status in [0, 99, 600, 999, 1000, 65_535] {
                let reply = Ask::get(format!("/?status={status}")).over(protocol, server.addr());
                assert_eq!(reply.text(), format!("refused {status}"), "{isolation:?} {protocol:?}");
            }
            // An interim status is none to end with.
            for status in [100, 101, 103] {
                let reply = Ask::get(format!("/?status={status}")).over(protocol, server.addr());
                let refused = reply.status >= 500 || reply.text() == format!("refused {status}");
                assert!(refused, "{isolation:?} {protocol:?} {status}: {reply:?}");
            }
        }
    }
}

/// 204, 205 and 304 leave an HTTP/1.1 connection in step, whatever the guest writes.
#[test]
fn statuses_without_content_keep_the_connection_in_step() {
    for isolation in Isolation::ALL {
        let server = isolation.serve("http-status", &[]);
        let mut connection = Connection::open(server.addr());
        for status in [204, 304, 200, 205, 204, 200] {
            connection.send(format!("GET /?status={status} HTTP/1.1\r\nhost: a.test\r\n\r\n"));
            assert_eq!(connection.reply().status, status, "{isolation:?}");
        }
    }
}

/// The interim answer comes when the guest reads, and only then.
#[test]
fn expect_100_continue() {
    for isolation in Isolation::ALL {
        let server = isolation.serve("http-upload", &[]);
        let head = |query: &str| {
            format!("POST /{query} HTTP/1.1\r\nhost: a.test\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
        };
        let mut connection = Connection::open(server.addr());
        connection.send(head(""));
        assert_eq!(connection.head().status(), 100, "{isolation:?}");
        connection.send("abc");
        assert_eq!(connection.reply().text(), "bytes 3 sum 294 complete", "{isolation:?}");
        let mut connection = Connection::open(server.addr());
        connection.send(head("?unread"));
        assert_eq!(
            connection.head().status(),
            200,
            "{isolation:?}: no interim answer for content nobody reads"
        );
        assert_eq!(connection.body(), b"not read", "{isolation:?}");
    }
}

/// A server that guesses is one that can be led to see another request than the proxy in front of it did.
#[test]
fn requests_that_are_none() {
    let cases = [
        "GET\r\n\r\n",
        "GET /\r\n\r\n",
        "GET / HTTP/9.9\r\nhost: a.test\r\n\r\n",
        "GE T / HTTP/1.1\r\nhost: a.test\r\n\r\n",
        "GET / x HTTP/1.1\r\nhost: a.test\r\n\r\n",
        "GET / HTTP/1.1\r\nhost a.test\r\n\r\n",
        "GET / HTTP/1.1\r\nhost : a.test\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a.test\r\nx-a: 1\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a.test\r\nx-a: \0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: +1\r\n\r\na",
        "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 1, 2\r\n\r\nab",
        "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 99999999999999999999\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        // RFC 9112, section 3.2.
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a.test\r\nhost: b.test\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: user:secret@a.test\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a.test:65536\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a.test:+80\r\n\r\n",
        "GET http://a.test/ HTTP/1.1\r\n\r\n",
        "GET http://a.test/ HTTP/1.1\r\nhost: a.test\r\nhost: b.test\r\n\r\n",
    ];
    let server = Server::start("http-echo", &[]);
    for raw in cases {
        let mut connection = Connection::open(server.addr());
        connection.send(raw);
        match connection.try_head() {
            Ok(head) => assert_eq!(head.status(), 400, "{raw:?}"),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{raw:?}: {error}"),
        }
        let _ = connection.try_body();
        assert!(connection.is_closed(), "{raw:?}: what follows cannot be trusted");
    }
    assert_eq!(get(server.addr(), "/").status, 200);
}

/// With both framings the content ends where the chunks do, and the connection with the answer (RFC 9112 section 6.1):
/// somebody on the way may have gone by the length.
#[test]
fn two_framings_end_the_connection() {
    let server = Server::start("http-echo", &[]);
    for (first, second) in [
        ("content-length: 5", "transfer-encoding: chunked"),
        ("transfer-encoding: chunked", "content-length: 5"),
    ] {
        let mut connection = Connection::open(server.addr());
        let smuggled = "GET /smuggled HTTP/1.1\r\nhost: a.test\r\n\r\n";
        connection.send(format!(
            "POST / HTTP/1.1\r\nhost: a.test\r\n{first}\r\n{second}\r\n\r\n3\r\nabc\r\n0\r\n\r\n{smuggled}"
        ));
        let reply = connection.reply();
        assert_eq!((reply.status, reply.text().as_str()), (200, "abc"), "{first}");
        assert_eq!(reply.header("connection"), Some("close"), "{first}");
        assert!(connection.is_closed(), "{first}: what follows cannot be trusted");
    }
}

/// Content that breaks off, or is wrongly framed, is never taken for whole.
#[test]
fn content_that_is_none() {
    let cases = [
        "5\r\nabcdeX\r\n0\r\n\r\n",
        "z\r\nabc\r\n0\r\n\r\n",
        "-1\r\n\r\n",
        "3\nabc\n0\n\n",
        "fffffffffffffffff\r\nabc",
        "3\r\nabc",
        "3\r\nabc\r\n",
        "3\r\nabc\r\n0\r\n",
        "3\r\nabc\r\n0\r\nbad trailer\r\n\r\n",
    ];
    for isolation in Isolation::ALL {
        let server = isolation.serve("http-upload", &[]);
        for content in cases {
            let mut connection = Connection::open(server.addr());
            connection.send("POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n");
            connection.send(content);
            connection.finish_sending();
            let reply = connection.try_reply();
            let whole = reply.as_ref().is_ok_and(|reply| reply.text().ends_with("complete"));
            assert!(!whole, "{isolation:?} {content:?}: {reply:?}");
        }
        assert_eq!(
            Ask::post("/", "abc").over(Protocol::Http1, server.addr()).text(),
            "bytes 3 sum 294 complete"
        );
    }
}

/// A header section may be large; one without measure is refused.
#[test]
fn header_sections() {
    for isolation in Isolation::ALL {
        let server = isolation.serve("http-large-headers", &[]);
        for protocol in Protocol::ALL {
            let many = (0..50).fold(Ask::get("/?count=50&size=100"), |ask, _| {
                ask.header("x-many", "v".repeat(100))
            });
            let reply = many.over(protocol, server.addr());
            let context = format!("{isolation:?} {protocol:?}");
            assert_eq!(reply.status, 200, "{context}: {}", reply.text());
            let large: Vec<_> = reply
                .headers
                .iter()
                .filter(|(name, _)| name.starts_with("x-large-"))
                .collect();
            assert_eq!(large.len(), 50, "{context}");
            assert!(large.iter().all(|(_, value)| value.len() == 100), "{context}");
            let huge = Ask::get("/").header("x-huge", "v".repeat(2 * 1024 * 1024));
            let refused = huge.try_over(protocol, server.addr());
            assert!(
                refused.as_ref().is_err() || refused.as_ref().is_ok_and(|reply| reply.status == 431),
                "{context}: {refused:?}"
            );
        }
        assert_eq!(get(server.addr(), "/").status, 200, "{isolation:?}");
    }
}

/// Methods keep their meaning through a server that keeps one instance.
#[test]
fn a_method_that_needs_no_content() {
    for (isolation, protocol) in all() {
        let server = isolation.serve("http-echo", &[]);
        for method in [Method::GET, Method::DELETE, Method::OPTIONS] {
            let reply = match method.as_str() {
                "GET" => Ask::new("GET", "/"),
                "DELETE" => Ask::new("DELETE", "/"),
                _ => Ask::new("OPTIONS", "/"),
            }
            .over(protocol, server.addr());
            assert_eq!(
                (reply.status, reply.body.len()),
                (200, 0),
                "{isolation:?} {protocol:?} {method}"
            );
        }
    }
}

/// HTTP/1.1 asks for a way up that the server does not know: it stays where it is.
#[test]
fn upgrades_are_not_taken() {
    let server = Server::start("http-hello", &[]);
    for (name, value) in [("upgrade", "h2c"), ("upgrade", "websocket")] {
        let headers = [(name, value), ("http2-settings", "AAMAAABkAAQCAAAAAAIAAAAA")];
        let reply = send(server.addr(), "GET", "/", &headers, b"");
        assert_eq!((reply.status, reply.text().as_str()), (200, "hello, wharf"), "{value}");
    }
}
