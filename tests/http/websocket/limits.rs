//! Each limit of a WebSocket, broken: the code that the client sees, what is counted, what the guest hears.

use std::io::Read;
use std::time::{Duration, Instant};

use wharf_tests::http::Connection;
use wharf_tests::websocket::{BINARY, CLOSE, CONTINUATION, Frame, PING, PONG, TEXT, WebSocket, handshake};
use wharf_tests::{eventually, http};

use super::{open, serve, serve_with};
use crate::axes::{Isolation, Protocol};
use crate::http2::fields;
use crate::http2::wire::{self, CANCEL, INITIAL_WINDOW_SIZE, Peer, Seen};
use crate::operator::reached;

#[test]
fn message() {
    let server = serve("ws", "message = '1000B'");
    for protocol in Protocol::ALL {
        let before = reached(server.admin, "websocket-message");
        let mut socket = open(protocol, server.addr(), "/echo", &[]).expect("it is accepted");
        socket.send(&Frame::new(TEXT, "x".repeat(1000)));
        assert_eq!(socket.text().len(), 1000, "{protocol:?}");
        // Refused by its head: the content is never sent.
        socket.send_bytes(&Frame::new(BINARY, vec![0; 1001]).masked()[..8]);
        assert_eq!(socket.end(), Some(1009), "{protocol:?}");
        let mut socket = open(protocol, server.addr(), "/echo", &[]).expect("it is accepted");
        socket.send(&Frame::new(TEXT, "x".repeat(999)).more());
        socket.send(&Frame::new(CONTINUATION, "x").more());
        let _ = socket.try_send_bytes(&Frame::new(CONTINUATION, "x").masked());
        assert_eq!(socket.end(), Some(1009), "{protocol:?}: all fragments together");
        eventually(
            || reached(server.admin, "websocket-message") == before + 2.0,
            "both are counted",
        );
    }
    server.check_closed("server", "1009", 4.0);
}

/// What a head announces takes no memory before it comes.
#[cfg(target_os = "linux")]
#[test]
fn announced_messages_take_no_memory() {
    let server = serve_with("ws", "isolation = 'shared'", "[apps.main.websocket]\nmessage = '64MiB'");
    let mut sockets: Vec<WebSocket> = (0..100).map(|_| WebSocket::open(server.addr(), "/echo")).collect();
    let before = server.resident_bytes();
    for socket in &mut sockets {
        let begun = Frame::new(BINARY, vec![1; 60 << 20]);
        let head = [
            &[0x82, 0xff][..],
            &(begun.payload.len() as u64).to_be_bytes(),
            &[0; 4],
            &[1; 100],
        ]
        .concat();
        socket.send_bytes(&head);
        // Its answer shows that the head has been read.
        socket.send_bytes(&[1; 1000]);
    }
    std::thread::sleep(Duration::from_millis(500));
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes for heads that announce 6 GB");
}

#[test]
fn rate() {
    let server = serve("ws", "rate = 5");
    for protocol in Protocol::ALL {
        let before = reached(server.admin, "websocket-rate");
        let mut socket = open(protocol, server.addr(), "/linger", &[]).expect("it is accepted");
        // Fifty are ten seconds' worth, whatever they are.
        for nth in 0..60 {
            let frame = match nth % 3 {
                0 => Frame::new(TEXT, "x"),
                1 => Frame::new(PONG, ""),
                _ => Frame::new(TEXT, "").more(),
            };
            if socket.try_send_bytes(&frame.masked()).is_err() {
                break;
            }
            if nth % 3 == 2 && socket.try_send_bytes(&Frame::new(CONTINUATION, "").masked()).is_err() {
                break;
            }
        }
        assert_eq!(socket.end(), Some(1008), "{protocol:?}");
        eventually(
            || reached(server.admin, "websocket-rate") == before + 1.0,
            "it is counted",
        );
    }
    eventually(|| server.stdout().contains("closed: 1008"), "the guest hears of it");
}

#[test]
fn idle_time() {
    let server = serve("ws", "idle-time = '500ms'\nping-time = '100ms'");
    for protocol in Protocol::ALL {
        let mut socket = open(protocol, server.addr(), "/linger", &[]).expect("it is accepted");
        // Pings and pongs are no messages.
        let mut pings = 0;
        let code = loop {
            let frame = socket.receive().expect("it is closed with a code");
            if frame.opcode != PING {
                break frame.code();
            }
            pings += 1;
            socket.send(&Frame::new(PONG, frame.payload));
        };
        assert_eq!(code, Some(1001), "{protocol:?}");
        assert!(pings > 0, "{protocol:?}");
    }
    eventually(|| reached(server.admin, "websocket-idle-time") == 2.0, "it is counted");
    // One that speaks is not idle; on a machine that has much to do, it may take a few to speak in time.
    let speaks = || {
        let mut socket = WebSocket::open(server.addr(), "/state");
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(1500) {
            if socket.try_send_bytes(&Frame::new(TEXT, "x").masked()).is_err() {
                return false;
            }
            match std::iter::from_fn(|| socket.receive()).find(|frame| frame.opcode != PING) {
                Some(frame) if frame.opcode != CLOSE => {}
                _ => return false,
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        true
    };
    eventually(speaks, "one that speaks all the time");
}

#[test]
fn pong_time() {
    let server = serve("ws", "ping-time = '100ms'\npong-time = '300ms'");
    for protocol in Protocol::ALL {
        let mut dead = open(protocol, server.addr(), "/linger", &[]).expect("it is accepted");
        let frames = dead.rest();
        assert!(
            frames.iter().all(|frame| frame.opcode == PING),
            "{protocol:?}: {frames:?}"
        );
        assert!(!frames.is_empty(), "{protocol:?}");
    }
    eventually(|| reached(server.admin, "websocket-pong-time") == 2.0, "it is counted");
    server.check_closed("client", "1006", 2.0);
    eventually(|| server.stdout().contains("closed: 1006"), "the guest hears of it");
    // One that answers is not dead; on a machine that has much to do, it may take a few to answer in time.
    for protocol in Protocol::ALL {
        let answers = || {
            let mut alive = open(protocol, server.addr(), "/linger", &[]).expect("it is accepted");
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_secs(1) {
                let Some(ping) = alive.receive() else { return false };
                let pong = Frame::new(PONG, ping.payload).masked();
                if ping.opcode != PING || alive.try_send_bytes(&pong).is_err() {
                    return false;
                }
            }
            true
        };
        eventually(answers, "one that answers all the time");
    }
}

#[test]
fn close_time() {
    let server = serve("ws", "close-time = '300ms'");
    for protocol in Protocol::ALL {
        let mut socket = open(protocol, server.addr(), "/close?code=4000", &[]).expect("it is accepted");
        socket.send_text("now");
        assert_eq!(
            socket.end(),
            Some(4000),
            "{protocol:?}: and the connection ends without an answer"
        );
    }
    eventually(|| reached(server.admin, "websocket-close-time") == 2.0, "it is counted");
    server.check_closed("app", "1006", 2.0);
}

#[test]
fn sockets() {
    for isolation in ["serial", "shared"] {
        let server = serve_with(
            "ws",
            &format!("isolation = '{isolation}'"),
            "[apps.main.websocket]\nsockets = 2",
        );
        let mut first = WebSocket::open(server.addr(), "/echo");
        let _second = WebSocket::open(server.addr(), "/echo");
        let refused = WebSocket::try_open(server.addr(), "/echo", &[])
            .err()
            .expect("it is refused");
        assert_eq!(refused.status, 503);
        assert_eq!(refused.header("retry-after"), Some("1"));
        assert!(refused.header("wharf-error-id").is_some());
        assert_eq!(
            http::get(server.addr(), "/").status,
            200,
            "requests are others' concern"
        );
        server.check_reached("websocket-sockets");
        first.send(&Frame::close(1000, ""));
        assert_eq!(first.end(), Some(1000));
        eventually(
            || WebSocket::try_open(server.addr(), "/echo", &[]).is_ok(),
            "there is place again",
        );
    }
}

/// A guest that does not decide is late, as any.
#[test]
fn response_time() {
    for isolation in Isolation::ALL {
        let app = format!("isolation = '{}'\nlimits.response-time = '300ms'", isolation.flag());
        let server = serve_with("ws", &app, "");
        for protocol in Protocol::ALL {
            let late = open(protocol, server.addr(), "/late?ms=5000", &[])
                .err()
                .expect("it is refused");
            assert_eq!(late.status, 504, "{isolation:?} {protocol:?}");
        }
        // The limit is the decision's: a connection lives on. It may take a few until one decides in time.
        let mut socket = None;
        eventually(
            || {
                socket = WebSocket::try_open(server.addr(), "/late?ms=1", &[]).ok();
                socket.is_some()
            },
            "a decision in time",
        );
        let mut socket = socket.expect("it was accepted");
        std::thread::sleep(Duration::from_millis(700));
        socket.send_text("late");
        assert_eq!(socket.text(), "late", "{isolation:?}");
    }
}

/// Processor time counts from message to message, and while nothing comes from wait to wait.
#[test]
fn cpu_time() {
    for isolation in Isolation::ALL {
        let app = format!("isolation = '{}'\nlimits.cpu-time = '1s'", isolation.flag());
        let server = serve_with("ws", &app, "");
        let mut socket = WebSocket::open(server.addr(), "/loop");
        socket.send_text("now");
        assert_eq!(socket.end(), Some(1011), "{isolation:?}");
        server.says("of processor time without waiting");
        // Two seconds of work in all, and never the tenth of one at a time; the next message is always there already.
        let mut busy = WebSocket::open(server.addr(), "/busy?ms=40");
        for _ in 0..50 {
            busy.send_text("x");
        }
        for _ in 0..50 {
            assert_eq!(busy.text(), "x", "{isolation:?}");
        }
    }
}

/// A client that takes nothing holds its guest up, and no memory; after a while it is let go.
#[cfg(target_os = "linux")]
#[test]
fn a_client_that_reads_nothing_holds_the_guest_up() {
    for protocol in Protocol::ALL {
        let server = serve_with("ws", "", "[server.limits]\nwrite-timeout = '2s'\n");
        let socket = open(protocol, server.addr(), "/flood?count=100000&bytes=65536", &[]).expect("it is accepted");
        std::thread::sleep(Duration::from_millis(1000));
        let resident = server.resident_bytes();
        assert!(resident < 400 << 20, "{protocol:?}: {resident} bytes of 6.5 GB");
        assert!(!server.stdout().contains("flood: sent all"), "{protocol:?}");
        match protocol {
            Protocol::Http1 => {
                eventually(|| reached(server.admin, "write-rate") >= 1.0, "it is let go");
                eventually(|| server.stdout().contains("flood: stopped"), "the guest hears of it");
            }
            // The thread that carries it reads on into a buffer of its own: see below.
            Protocol::Http2 => {}
        }
        drop(socket);
        eventually(|| server.stdout().contains("flood: stopped"), "the guest hears of it");
    }
}

/// Over HTTP/2 the client may read and take nothing all the same, as its windows say. Its sockets' streams are reset, whichever
/// limit it has met; what they held is given back; and the other streams of the connection go on.
#[cfg(target_os = "linux")]
#[test]
fn streams_that_take_nothing_are_reset() {
    const SOCKETS: u32 = 5;
    for (path, keys, limit, closed) in [
        ("/flood?count=100&bytes=8000000", "", "write-rate", ("server", "1006")),
        (
            "/linger",
            // A ping that is not taken is not waited for.
            "ping-time = '100ms'\npong-time = '300ms'",
            "write-rate",
            ("server", "1006"),
        ),
        (
            "/linger",
            "idle-time = '500ms'\nclose-time = '500ms'",
            "websocket-idle-time",
            ("server", "1001"),
        ),
        (
            "/close",
            "close-time = '500ms'",
            "websocket-close-time",
            ("app", "1006"),
        ),
    ] {
        let server = serve_with(
            "ws",
            "isolation = 'request'",
            &format!("[apps.main.websocket]\n{keys}\n[server.limits]\nwrite-timeout = '2s'\n"),
        );
        let before = server.resident_bytes();
        let mut peer = Peer::greeted_with(server.addr(), &[(INITIAL_WINDOW_SIZE, 0)]);
        let streams = || (0..SOCKETS).map(|nth| 1 + 2 * nth);
        for stream in streams() {
            let message = Frame::new(TEXT, "now").masked();
            peer.send(
                [
                    wire::opened(stream, fields::websocket(path)),
                    wire::data(stream, message),
                ]
                .concat(),
            );
        }
        let is_answered =
            |stream: u32| move |seen: &Seen| seen.status(stream) == Some(200) && seen.ended.contains(&stream);
        let ask = |stream: u32| {
            [
                wire::request(stream, fields::get("/")),
                wire::window_update(stream, 1000),
            ]
            .concat()
        };
        peer.until(|seen| streams().all(|stream| seen.status(stream) == Some(200)), path);
        peer.send(ask(101));
        peer.until(is_answered(101), "another stream");
        peer.until(
            |seen| streams().all(|stream| seen.resets.get(&stream) == Some(&CANCEL)),
            limit,
        );
        eventually(|| reached(server.admin, limit) == f64::from(SOCKETS), limit);
        server.check_closed(closed.0, closed.1, f64::from(SOCKETS));
        eventually(|| server.open_sockets() == 0.0, "none is open");
        eventually(
            || server.resident_bytes() < before + (24 << 20),
            "what they held is given back",
        );
        peer.send(ask(103));
        peer.until(is_answered(103), "another stream, later");
        assert_eq!(peer.seen.resets.len(), SOCKETS as usize, "{:?}", peer.seen.resets);
        assert_eq!(peer.seen.goaway, None);
    }
}

/// A guest that reads nothing holds its client up, and no memory; a client that leaves meanwhile is noticed.
#[cfg(target_os = "linux")]
#[test]
fn a_guest_that_reads_nothing_holds_the_client_up() {
    for isolation in Isolation::ALL {
        let app = format!(
            "isolation = '{}'\nwebsocket.ping-time = '200ms'\nwebsocket.pong-time = '4s'",
            isolation.flag()
        );
        let server = serve_with("ws", &app, "");
        let connection = Connection::open(server.addr());
        // So long it waits at last, and then leaves.
        let stalls = connection.stream().set_write_timeout(Some(Duration::from_secs(5)));
        stalls.expect("it is not zero");
        let request = handshake(server.addr(), "/deaf", &[]);
        let mut socket = WebSocket::shake_on(connection, &request).expect("it is granted");
        let before = server.resident_bytes();
        let frame = Frame::new(BINARY, vec![0; 64 << 10]).masked();
        let sender = std::thread::spawn(move || {
            let mut sent = 0_usize;
            // Blocks at last, and ends when the server ends it.
            while sent < 4 << 30 && socket.try_send_bytes(&frame).is_ok() {
                sent += frame.len();
            }
            sent
        });
        let mut grown = 0;
        while !sender.is_finished() {
            grown = server.resident_bytes().saturating_sub(before).max(grown);
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(grown < 64 << 20, "{isolation:?}: {grown} bytes");
        let sent = sender.join().expect("it has stopped");
        assert!(sent < 1 << 30, "{isolation:?}: {sent} bytes were taken");
        eventually(|| server.stdout().contains("closed: 1006"), "the end is noticed");
    }
}

/// A connection with an open socket is in use: it does not make room for others, and has no time limit of a request's.
#[test]
fn an_open_socket_keeps_its_place() {
    let server = serve_with(
        "ws",
        "",
        "[server.limits]\nconnections = 2\nconnections-per-client = 2\nidle-timeout = '2s'\nhead-timeout = '2s'\n",
    );
    let mut sockets = [(); 2].map(|()| WebSocket::open(server.addr(), "/echo"));
    // Longer than a connection without a request may last.
    std::thread::sleep(Duration::from_millis(2500));
    let mut third = std::net::TcpStream::connect(server.addr()).expect("it is taken");
    let mut said = String::new();
    third.read_to_string(&mut said).expect("it is closed");
    assert!(said.starts_with("HTTP/1.1 503 "), "{said}");
    for socket in &mut sockets {
        socket.send_text("here");
        assert_eq!(socket.text(), "here");
    }
}
