//! Bodies in both directions: whole, streamed, at once, and held back by whoever reads slowly.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use wharf_tests::http::{Connection, get};
use wharf_tests::{Server, eventually, http2};

use crate::axes::{ALLOW_ALL, Isolation, Protocol, all};
use crate::client::{Ask, pattern};
use crate::witness::Witness;

const MIB: usize = 1024 * 1024;

/// What a server may hold for one connection whose other side does not read: the kernel's and hyper's buffers, and the
/// pieces under way in the guest.
const HELD_BACK_BYTES_MAX: usize = 16 * MIB;

/// How much a server may grow by serving bodies of any size: what the allocator keeps, and pages touched once.
const GROWTH_BYTES_MAX: u64 = 64 * MIB as u64;

#[test]
fn a_dozen_bytes() {
    for (isolation, protocol) in all() {
        let server = isolation.serve("http-hello", &[]);
        for _ in 0..3 {
            let reply = Ask::get("/").over(protocol, server.addr());
            assert_eq!(
                (reply.status, reply.text().as_str()),
                (200, "hello, wharf"),
                "{isolation:?} {protocol:?}"
            );
        }
    }
}

/// The content comes back as it was, whoever carries it.
#[test]
fn content_comes_back() {
    for guest in ["http-echo", "http-passthrough"] {
        for isolation in Isolation::ALL {
            let server = isolation.serve(guest, &[]);
            for protocol in Protocol::ALL {
                for length in [0, 1, 65_535, 65_536, 65_537, 3 * MIB + 7] {
                    let content = pattern(length);
                    let reply = Ask::post("/", content.clone()).over(protocol, server.addr());
                    let context = format!("{guest} {isolation:?} {protocol:?} {length}");
                    assert_eq!(reply.status, 200, "{context}");
                    assert!(reply.body == content, "{context}: {} bytes came back", reply.body.len());
                }
            }
        }
    }
}

/// Each piece is back before the next is sent: nobody waits for the end of anything.
#[test]
fn both_directions_at_once() {
    for guest in ["http-echo", "http-passthrough"] {
        for isolation in Isolation::ALL {
            let server = isolation.serve(guest, &[]);
            converse_http1(&server);
            http2::run(converse_http2(&server));
        }
    }
}

fn converse_http1(server: &Server) {
    let mut connection = Connection::open(server.addr());
    connection.send("POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n");
    assert_eq!(connection.head().status(), 200);
    for turn in 0..20 {
        let said = format!("turn {turn}");
        connection.send_chunk(&said);
        assert_eq!(connection.data().as_deref(), Some(said.as_bytes()));
    }
    connection.send("0\r\n\r\n");
    assert_eq!(connection.data(), None);
}

async fn converse_http2(server: &Server) {
    let mut handle = http2::connect(server.addr()).await;
    let request = Request::post(server.url("/")).body(()).unwrap();
    let (response, mut sending) = handle.send_request(request, false).unwrap();
    let mut receiving = response.await.unwrap().into_body();
    for turn in 0..20 {
        let said = Bytes::from(format!("turn {turn}"));
        sending.send_data(said.clone(), false).unwrap();
        assert_eq!(http2::data(&mut receiving).await.unwrap(), Some(said));
    }
    sending.send_data(Bytes::new(), true).unwrap();
    // The end may come with an empty piece of its own.
    let end = http2::data(&mut receiving).await.unwrap();
    assert!(end.is_none_or(|piece| piece.is_empty()));
}

#[test]
fn what_a_guest_generates_arrives_whole() {
    let length = 24 * MIB + 5;
    for (isolation, protocol) in all() {
        let server = isolation.serve("http-download", &[]);
        let reply = Ask::get(format!("/?bytes={length}")).over(protocol, server.addr());
        assert!(
            reply.body == pattern(length),
            "{isolation:?} {protocol:?}: {} bytes",
            reply.body.len()
        );
    }
}

#[test]
fn what_a_client_sends_arrives_whole() {
    let content = pattern(24 * MIB + 5);
    let sum: u64 = content.iter().map(|byte| u64::from(*byte)).sum();
    let expected = format!("bytes {} sum {sum} complete", content.len());
    for (isolation, protocol) in all() {
        let server = isolation.serve("http-upload", &[]);
        let reply = Ask::post("/", content.clone()).over(protocol, server.addr());
        assert_eq!(reply.text(), expected, "{isolation:?} {protocol:?}");
    }
}

/// A guest may answer without reading, or having read a part.
#[test]
fn an_answer_before_the_end_of_the_request() {
    for (query, starts_with) in [("unread", "not read"), ("limit=1000", "bytes ")] {
        for (isolation, protocol) in all() {
            let server = isolation.serve("http-upload", &[]);
            let reply = Ask::post(format!("/?{query}"), pattern(MIB)).over(protocol, server.addr());
            let context = format!("{query} {isolation:?} {protocol:?}");
            assert_eq!(reply.status, 200, "{context}");
            assert!(reply.text().starts_with(starts_with), "{context}: {}", reply.text());
            assert_eq!(get(server.addr(), "/").status, 200, "{context}: the next request");
        }
    }
}

/// A chunk arrives when the guest writes it, not when the last one does.
#[test]
fn chunks_arrive_as_they_are_written() {
    for isolation in Isolation::ALL {
        let server = isolation.serve("http-chunks", &[]);
        let mut connection = Connection::open(server.addr());
        connection.send("GET /?n=4&delay=150 HTTP/1.1\r\nhost: a.test\r\n\r\n");
        assert_eq!(connection.head().status(), 200);
        let mut arrivals = Vec::new();
        while let Some(piece) = connection.data() {
            assert_eq!(piece, format!("chunk {}\n", arrivals.len()).as_bytes(), "{isolation:?}");
            arrivals.push(Instant::now());
        }
        assert_eq!(arrivals.len(), 4, "{isolation:?}");
        // Three waits lie between them; a little less is left when the first was late to be read.
        let spread = arrivals[3] - arrivals[0];
        assert!(
            spread >= Duration::from_millis(200),
            "{isolation:?}: all within {spread:?}"
        );
    }
}

#[test]
fn chunks_arrive_as_they_are_written_over_http2() {
    for isolation in Isolation::ALL {
        let server = isolation.serve("http-chunks", &[]);
        http2::run(async {
            let mut handle = http2::connect(server.addr()).await;
            let request = Request::get(server.url("/?n=4&delay=150")).body(()).unwrap();
            let (response, _) = handle.send_request(request, true).unwrap();
            let mut receiving = response.await.unwrap().into_body();
            let (mut arrivals, mut text) = (Vec::new(), Vec::new());
            while let Some(piece) = http2::data(&mut receiving).await.unwrap() {
                arrivals.push(Instant::now());
                text.extend_from_slice(&piece);
            }
            assert_eq!(text, b"chunk 0\nchunk 1\nchunk 2\nchunk 3\n", "{isolation:?}");
            let spread = *arrivals.last().unwrap() - arrivals[0];
            assert!(
                spread >= Duration::from_millis(200),
                "{isolation:?}: all within {spread:?}"
            );
        });
    }
}

/// A client that stops reading stops the guest's writes, and the server does not keep what it has not read.
#[test]
fn a_client_that_does_not_read_holds_the_guest_back() {
    for isolation in Isolation::ALL {
        let witness = Witness::start();
        let server = isolation.serve("http-download", &ALLOW_ALL);
        assert_eq!(get(server.addr(), "/?bytes=1").status, 200);
        let before = server.resident_bytes();
        let path = format!("/?bytes=1073741824&progress={}", witness.url("/report"));
        let mut stream = TcpStream::connect(server.addr()).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: a.test\r\n\r\n").unwrap();
        let mut first = vec![0; MIB];
        stream.read_exact(&mut first).unwrap();
        let written = settled(|| witness.reports().len()) * MIB;
        assert!(
            written <= MIB + HELD_BACK_BYTES_MAX,
            "{isolation:?}: {written} bytes were taken from the guest"
        );
        assert_growth(&server, before, &format!("{isolation:?}"));
        // It goes on where it stopped.
        let mut more = vec![0; 2 * HELD_BACK_BYTES_MAX];
        stream.read_exact(&mut more).unwrap();
        eventually(|| witness.reports().len() * MIB > written, "the guest to write on");
        assert_eq!(get(server.addr(), "/?bytes=1").status, 200, "{isolation:?}");
    }
}

#[test]
fn a_client_that_does_not_read_holds_the_guest_back_over_http2() {
    for isolation in Isolation::ALL {
        let witness = Witness::start();
        let server = isolation.serve("http-download", &ALLOW_ALL);
        assert_eq!(get(server.addr(), "/?bytes=1").status, 200);
        let before = server.resident_bytes();
        let path = format!("/?bytes=1073741824&progress={}", witness.url("/report"));
        http2::run(async {
            // Room on the connection for more than the stream that is not read.
            let mut builder = h2::client::Builder::new();
            builder.initial_connection_window_size(16 * MIB as u32);
            let mut handle = http2::connect_with(server.addr(), &builder).await;
            let request = Request::get(server.url(&path)).body(()).unwrap();
            let (response, _) = handle.send_request(request, true).unwrap();
            let _unread = response.await.unwrap().into_body();
            let mut written = witness.reports().len();
            loop {
                tokio::time::sleep(Duration::from_millis(700)).await;
                if witness.reports().len() == written {
                    break;
                }
                written = witness.reports().len();
            }
            assert!(
                written * MIB <= HELD_BACK_BYTES_MAX,
                "{isolation:?}: {written} MiB were taken from the guest"
            );
            assert_growth(&server, before, &format!("{isolation:?}"));
            // One stream that is not read holds no other up.
            let other = http2::get(&handle, server.addr(), "/?bytes=1000").await;
            assert_eq!(other.body, pattern(1000), "{isolation:?}");
        });
    }
}

/// A guest that does not read stops the client, and the server does not keep what the guest has not read.
#[test]
fn a_guest_that_does_not_read_holds_the_client_back() {
    for isolation in Isolation::ALL {
        let server = isolation.serve("http-upload", &[]);
        assert_eq!(get(server.addr(), "/").status, 200);
        let before = server.resident_bytes();
        let mut stream = TcpStream::connect(server.addr()).unwrap();
        write!(
            stream,
            "POST /?wait=60000 HTTP/1.1\r\nhost: a.test\r\ncontent-length: 1073741824\r\n\r\n"
        )
        .unwrap();
        let accepted = write_until_held_back(&mut stream);
        assert!(
            accepted <= HELD_BACK_BYTES_MAX,
            "{isolation:?}: {accepted} bytes were taken from the client"
        );
        assert_growth(&server, before, &format!("{isolation:?}"));
    }
}

#[test]
fn a_guest_that_does_not_read_holds_the_client_back_over_http2() {
    for isolation in Isolation::ALL {
        let server = isolation.serve("http-upload", &[]);
        assert_eq!(get(server.addr(), "/").status, 200);
        let before = server.resident_bytes();
        http2::run(async {
            let mut handle = http2::connect(server.addr()).await;
            let request = Request::post(server.url("/?wait=60000")).body(()).unwrap();
            let (_response, mut sending) = handle.send_request(request, false).unwrap();
            let mut accepted = 0;
            loop {
                sending.reserve_capacity(MIB);
                let window = std::future::poll_fn(|context| sending.poll_capacity(context));
                let Ok(window) = tokio::time::timeout(Duration::from_secs(1), window).await else {
                    break;
                };
                let capacity = window.unwrap().unwrap();
                sending.send_data(Bytes::from(vec![0; capacity]), false).unwrap();
                accepted += capacity;
                assert!(
                    accepted <= HELD_BACK_BYTES_MAX,
                    "{isolation:?}: {accepted} bytes were taken from the client"
                );
            }
            assert!(accepted > 0, "{isolation:?}: the server opened no window");
            assert_growth(&server, before, &format!("{isolation:?}"));
            let other = http2::get(&handle, server.addr(), "/").await;
            assert_eq!(other.status, 200, "{isolation:?}");
        });
    }
}

/// Memory does not depend on a body's length.
#[test]
fn long_bodies_pass_in_flat_memory() {
    let length = 256 * MIB;
    for isolation in Isolation::ALL {
        let server = isolation.serve("http-echo", &[]);
        assert_eq!(get(server.addr(), "/").status, 200);
        let before = server.resident_bytes();
        let mut connection = Connection::open(server.addr());
        let mut sending = connection.stream().try_clone().unwrap();
        let sender = std::thread::spawn(move || {
            write!(
                sending,
                "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: {length}\r\n\r\n"
            )
            .unwrap();
            let piece = pattern(251 * 4096);
            let mut left = length;
            while left > 0 {
                let count = left.min(piece.len());
                sending.write_all(&piece[..count]).unwrap();
                left -= count;
            }
        });
        assert_eq!(connection.head().status(), 200);
        let mut received = 0;
        let expected = pattern(251 + 65_536);
        while let Some(piece) = connection.data() {
            for part in piece.chunks(65_536) {
                assert!(
                    part == &expected[received % 251..][..part.len()],
                    "{isolation:?} at {received}"
                );
                received += part.len();
            }
        }
        sender.join().unwrap();
        assert_eq!(received, length, "{isolation:?}");
        assert_growth(&server, before, &format!("{isolation:?}"));
    }
}

/// The declared length is the client's to rely on.
#[test]
fn declared_lengths() {
    for isolation in Isolation::ALL {
        let server = isolation.serve("http-content-length", &[]);
        for protocol in Protocol::ALL {
            for length in [0, 1, 100_000] {
                let path = format!("/?declared={length}&actual={length}");
                let reply = Ask::get(path).over(protocol, server.addr());
                assert_eq!(reply.header("content-length"), Some(length.to_string().as_str()));
                assert!(reply.body == pattern(length), "{isolation:?} {protocol:?} {length}");
            }
            // What does not agree is an error, never another message: nothing may follow as if it were whole.
            for (declared, actual) in [(10, 5), (100_000, 70_000), (10, 0)] {
                let path = format!("/?declared={declared}&actual={actual}");
                let outcome = Ask::get(path).try_over(protocol, server.addr());
                let context = format!("{isolation:?} {protocol:?} {actual} bytes of {declared}: {outcome:?}");
                assert!(
                    outcome.is_err() || outcome.is_ok_and(|reply| reply.status >= 500),
                    "{context}"
                );
            }
            for (declared, actual) in [(5, 10), (0, 10), (70_000, 100_000)] {
                let path = format!("/?declared={declared}&actual={actual}");
                if let Ok(reply) = Ask::get(path).try_over(protocol, server.addr()) {
                    let context = format!("{isolation:?} {protocol:?} {actual} bytes of {declared}");
                    assert!(
                        reply.status >= 500 || reply.body.len() <= declared,
                        "{context}: {reply:?}"
                    );
                }
            }
        }
    }
}

/// What the future that `response.new` returns resolves to.
#[test]
fn transmission_of_responses() {
    for isolation in Isolation::ALL {
        let witness = Witness::start();
        let server = isolation.serve("http-transmit", &ALLOW_ALL);
        let report = witness.url("/report");
        for (query, ok) in [("bytes=1000", true), ("bytes=0", true), ("bytes=1000&error=yes", false)] {
            let known = witness.reports().len();
            let reply =
                Ask::get(format!("/?kind=response&{query}&report={report}")).try_over(Protocol::Http1, server.addr());
            assert_eq!(reply.is_ok(), ok, "{isolation:?} {query}: {reply:?}");
            eventually(|| witness.reports().len() > known, "the guest's report");
            let outcome = witness.reports()[known].clone();
            assert_eq!(outcome.starts_with("Ok"), ok, "{isolation:?} {query}: {outcome}");
        }
    }
}

/// Writes until nothing more is taken for a second.
fn write_until_held_back(stream: &mut TcpStream) -> usize {
    stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let piece = vec![0; 64 * 1024];
    let mut accepted = 0;
    while let Ok(count) = stream.write(&piece) {
        accepted += count;
        if accepted > 4 * HELD_BACK_BYTES_MAX {
            break;
        }
    }
    accepted
}

/// The value once it has not changed for a while.
fn settled(value: impl Fn() -> usize) -> usize {
    let mut last = value();
    loop {
        std::thread::sleep(Duration::from_millis(700));
        let now = value();
        if now == last {
            return now;
        }
        last = now;
    }
}

fn assert_growth(server: &Server, before: u64, context: &str) {
    let now = server.resident_bytes();
    let growth = now.saturating_sub(before);
    assert!(
        growth <= GROWTH_BYTES_MAX,
        "{context}: grew from {before} to {now} bytes"
    );
}
