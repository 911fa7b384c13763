//! Responses that come while they are made: each piece at once, many pieces together where the guest is faster than the wire,
//! and event streams, which stay open for as long as somebody listens.

use std::time::{Duration, Instant};

use wharf_tests::http::{Connection, connect_from};
use wharf_tests::{Scratch, Server, eventually, eventually_within, guest, http2, permits_open_files};

use crate::axes::{Isolation, Protocol, all};
use crate::operator::{ADMIN, admin, metric};

const EVENT: &str = "data:000\n\n";

/// The first piece comes while the guest waits to write the second.
#[test]
fn a_piece_comes_at_once() {
    for (isolation, protocol) in all() {
        let server = isolation.serve("http-events", &[]);
        let context = format!("{isolation:?} {protocol:?}");
        match protocol {
            Protocol::Http1 => {
                let mut connection = Connection::open(server.addr());
                connection.send("GET /?every=60000 HTTP/1.1\r\nhost: a.test\r\n\r\n");
                assert_eq!(
                    connection.head().header("content-type"),
                    Some("text/event-stream"),
                    "{context}"
                );
                assert_eq!(connection.data().as_deref(), Some(EVENT.as_bytes()), "{context}");
            }
            Protocol::Http2 => http2::run(async {
                let mut stream = listen(&server, "/?every=60000").await;
                let piece = http2::data(&mut stream).await.expect("it is open");
                assert_eq!(piece.as_deref(), Some(EVENT.as_bytes()), "{context}");
            }),
        }
    }
}

async fn listen(server: &Server, path: &str) -> h2::RecvStream {
    let handle = http2::connect(server.addr()).await;
    let mut handle = handle.ready().await.expect("the server takes a request");
    let request = http::Request::get(server.url(path)).body(()).expect("the path is one");
    let (response, _) = handle.send_request(request, true).expect("it can be sent");
    let (head, stream) = response.await.expect("a head").into_parts();
    assert_eq!(head.status, 200);
    stream
}

/// A guest that writes ten thousand pieces of ten bytes faster than they leave fills packets with them.
#[test]
fn small_pieces_leave_together() {
    const PIECES: usize = 10_000;
    for (isolation, protocol) in all() {
        let server = isolation.serve("http-events", &[]);
        let path = format!("/?every=0&n={PIECES}");
        let (frames, bytes) = match protocol {
            Protocol::Http1 => {
                let mut connection = Connection::open(server.addr());
                connection.send(format!("GET {path} HTTP/1.1\r\nhost: a.test\r\n\r\n"));
                connection.head();
                let pieces: Vec<usize> = std::iter::from_fn(|| connection.data())
                    .map(|piece| piece.len())
                    .collect();
                (pieces.len(), pieces.iter().sum())
            }
            Protocol::Http2 => http2::run(async {
                let mut stream = listen(&server, &path).await;
                let (mut frames, mut bytes) = (0, 0);
                while let Some(piece) = http2::data(&mut stream).await.expect("it is open") {
                    frames += 1;
                    bytes += piece.len();
                }
                (frames, bytes)
            }),
        };
        println!("{isolation:?} {protocol:?}: {PIECES} pieces in {frames} frames");
        assert_eq!(bytes, PIECES * EVENT.len(), "{isolation:?} {protocol:?}");
        assert!(frames < PIECES / 2, "{isolation:?} {protocol:?}: {frames} frames");
    }
}

/// A stream that is quiet for longer than any limit, and takes what little comes, is not cut.
#[test]
fn a_quiet_stream_lives() {
    let scratch = Scratch::new();
    for (isolation, protocol) in all() {
        let manifest = format!(
            "[server.limits]\nidle-timeout = '300ms'\nhead-timeout = '300ms'\nwrite-timeout = '300ms'\nwrite-rate = 100000\n\
             [apps.main]\ncomponent = '{}'\nisolation = '{}'\n\
             [apps.main.limits]\nresponse-time = '300ms'\nbody-idle-time = '300ms'\n",
            guest("http-events").display(),
            isolation.flag(),
        );
        let server = Server::start(scratch.write("wharf.toml", manifest), &[]);
        let path = "/?every=1000&n=4";
        let text = match protocol {
            Protocol::Http1 => {
                let mut connection = Connection::open(server.addr());
                connection.send(format!("GET {path} HTTP/1.1\r\nhost: a.test\r\n\r\n"));
                connection.reply().body
            }
            Protocol::Http2 => http2::run(async {
                let mut stream = listen(&server, path).await;
                let mut all = Vec::new();
                while let Some(piece) = http2::data(&mut stream).await.expect("it is not cut") {
                    all.extend_from_slice(&piece);
                }
                all
            }),
        };
        assert_eq!(text.len(), 4 * EVENT.len(), "{isolation:?} {protocol:?}");
    }
}

/// Who listens no more ends the guest, which only writes, and does not know.
#[test]
fn whoever_leaves_ends_the_guest() {
    for (isolation, protocol) in all() {
        let server = isolation.serve("http-events", &ADMIN);
        let admin = admin(&server);
        let under_way = |count: f64| {
            let what = format!("{isolation:?} {protocol:?}: {count} under way");
            eventually(|| metric(admin, "wharf_requests") == Some(count), &what);
        };
        match protocol {
            Protocol::Http1 => {
                let mut connection = Connection::open(server.addr());
                connection.send("GET /?every=100 HTTP/1.1\r\nhost: a.test\r\n\r\n");
                connection.head();
                connection.data();
                under_way(1.0);
            }
            Protocol::Http2 => http2::run(async {
                let mut stream = listen(&server, "/?every=100").await;
                let _ = http2::data(&mut stream).await;
                tokio::task::spawn_blocking(move || drop(stream))
                    .await
                    .expect("it does not panic");
            }),
        }
        under_way(0.0);
        if isolation == Isolation::Request {
            eventually(|| metric(admin, "wharf_instances") == Some(0.0), "no instance is left");
        }
    }
}

/// A thousand listeners at once, two hundred to a connection, in whichever mode; each gets its events.
#[test]
fn a_thousand_listeners() {
    const LISTENERS: usize = 1000;
    for isolation in Isolation::ALL {
        let server = isolation.serve("http-events", &ADMIN);
        let admin = admin(&server);
        let before = server.resident_bytes();
        let started = Instant::now();
        http2::run(async {
            let mut listening = Vec::new();
            for _ in 0..LISTENERS / 200 {
                // The client's library, too, ends connections that have many small frames which nobody reads.
                let mut builder = h2::client::Builder::new();
                builder.initial_connection_window_size(16 << 20);
                let handle = http2::connect_with(server.addr(), &builder).await;
                for _ in 0..200 {
                    let mut handle = handle.clone().ready().await.expect("the server takes a request");
                    let request = http::Request::get(server.url("/?every=2000"))
                        .body(())
                        .expect("it is one");
                    let (response, _) = handle.send_request(request, true).expect("it can be sent");
                    listening.push((response, handle));
                }
            }
            let mut streams = Vec::new();
            for (response, _handle) in listening {
                let response = response.await.expect("a head");
                assert_eq!(response.status(), 200, "{isolation:?}");
                streams.push(response.into_body());
            }
            for turn in 0..2 {
                for stream in &mut streams {
                    let piece = http2::data(stream).await.expect("it is open");
                    assert!(piece.is_some(), "{isolation:?}: event {turn}");
                }
            }
            assert_eq!(metric(admin, "wharf_requests"), Some(LISTENERS as f64), "{isolation:?}");
            let held = server.resident_bytes().saturating_sub(before) / LISTENERS as u64 / 1024;
            println!(
                "{isolation:?}: {held} KiB for each of {LISTENERS}, all after {:?}",
                started.elapsed()
            );
        });
        let gone = || metric(admin, "wharf_requests") == Some(0.0);
        eventually_within(Duration::from_secs(60), gone, "all have gone");
    }
}

/// Ten thousand at once, each on a connection of its own, in the isolation that is for so many. Over HTTP/2 it is `http2/crowds.rs`.
#[cfg(target_os = "linux")]
#[test]
fn ten_thousand_listeners() {
    const EACH: usize = 5000;
    let Some(_files) = permits_open_files(3 * EACH as u64) else {
        return;
    };
    let scratch = Scratch::new();
    let manifest = format!(
        "[server.limits]\nconnections = 11000\nconnections-per-client = 6000\n[apps.main]\ncomponent = '{}'\n\
         isolation = 'shared'\nlimits.requests = 11000\n",
        guest("http-events").display()
    );
    let server = Server::start(scratch.write("wharf.toml", manifest), &ADMIN);
    let before = server.resident_bytes();
    let mut listeners = Vec::new();
    for client in [[127, 0, 0, 2], [127, 0, 0, 3]] {
        for _ in 0..EACH {
            let mut connection = Connection::from(connect_from(client, server.addr()));
            connection.send("GET /?n=2&every=3600000 HTTP/1.1\r\nhost: a.test\r\n\r\n");
            assert_eq!(connection.head().status(), 200);
            listeners.push(connection);
        }
    }
    for listener in &mut listeners {
        assert_eq!(listener.data().as_deref(), Some(EVENT.as_bytes()));
    }
    let open = metric(admin(&server), "wharf_requests");
    assert_eq!(open, Some(2.0 * EACH as f64));
    let held = server.resident_bytes().saturating_sub(before) / listeners.len() as u64 / 1024;
    println!("{held} KiB for each of {}", listeners.len());
}

/// The system asks whether a silent client is still there: the second column of timers in its table of connections is 2 for that.
#[cfg(target_os = "linux")]
#[test]
fn silent_listeners_are_probed() {
    let server = Server::start("http-events", &[]);
    let mut connection = Connection::open(server.addr());
    connection.send("GET /?every=60000 HTTP/1.1\r\nhost: a.test\r\n\r\n");
    connection.head();
    connection.data();
    let local = format!(":{:04X}", server.addr().port());
    let is_probed = || {
        let table = std::fs::read_to_string("/proc/net/tcp").expect("the system has a table of connections");
        let mut rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        // Its own address, and that it is established; then what it waits for.
        rows.any(|row| row.len() > 5 && row[1].ends_with(&local) && row[3] == "01" && row[5].starts_with("02:"))
    };
    eventually(is_probed, "the connection to have a timer of keep-alive");
}
