//! Clients that mean harm, frame by frame: each is ended by a limit, or kept within one, and everybody else is served.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use wharf_tests::http::get as http1_get;
use wharf_tests::{Scratch, Server, eventually, guest};

use super::fields::{entered, get, get_with, indexed, post};
use super::wire::{
    CANCEL, CONTINUATION, END_HEADERS, ENHANCE_YOUR_CALM, FLOW_CONTROL_ERROR, GOAWAY, HEADERS, PREFACE, Peer, Seen,
    data, frame, opened, ping, priority, request, reset, settings, window_update,
};
use crate::operator::{ADMIN, admin, metric, reached};

/// More than any of the limits; a client that gets so far has not been stopped.
const MANY: u32 = 100_000;

const MIB: u64 = 1 << 20;

/// What a client does again and again, and what becomes of it.
struct Flood {
    what: &'static str,
    /// What comes first.
    before: Vec<u8>,
    /// The nth of many.
    each: fn(u32) -> Vec<u8>,
    /// GOAWAY's code, if it says one before the end.
    code: Option<u32>,
    /// Which limit counts it.
    limit: &'static str,
}

/// A stream's number, for the nth.
fn nth_stream(nth: u32) -> u32 {
    1 + 2 * nth
}

const BOMB: usize = 4000;

#[test]
fn floods() {
    let calm = Some(ENHANCE_YOUR_CALM);
    let begun = || opened(1, post("/?delay=20000"));
    let floods = [
        Flood {
            what: "requests that are taken back at once (CVE-2023-44487)",
            before: Vec::new(),
            each: |nth| {
                let stream = nth_stream(nth);
                [request(stream, get("/?delay=20000")), reset(stream, CANCEL)].concat()
            },
            code: calm,
            limit: "resets",
        },
        Flood {
            what: "requests that the server is made to take back by windows that are too large (CVE-2025-8671)",
            before: Vec::new(),
            each: |nth| {
                let stream = nth_stream(nth);
                [
                    opened(stream, post("/?delay=20000")),
                    window_update(stream, (1 << 31) - 1),
                ]
                .concat()
            },
            code: calm,
            limit: "resets",
        },
        Flood {
            what: "requests that the server is made to take back by their length",
            before: Vec::new(),
            each: |nth| {
                let stream = nth_stream(nth);
                let head = [post("/?delay=20000"), super::fields::field("content-length", "1")].concat();
                [opened(stream, head), data(stream, "xyz")].concat()
            },
            code: calm,
            limit: "resets",
        },
        Flood {
            what: "heads of nothing (CVE-2019-9516)",
            before: Vec::new(),
            each: |nth| request(nth_stream(nth), []),
            code: calm,
            limit: "resets",
        },
        Flood {
            what: "a head without an end, of empty frames (CVE-2024-27316)",
            before: frame(HEADERS, 0, 1, get("/")),
            each: |_| frame(CONTINUATION, 0, 1, []),
            code: calm,
            limit: "header-bytes",
        },
        Flood {
            what: "a head without an end, of full frames",
            before: frame(HEADERS, 0, 1, get("/")),
            each: |_| frame(CONTINUATION, 0, 1, super::fields::field("x", "y".repeat(16_000))),
            code: calm,
            limit: "header-bytes",
        },
        Flood {
            what: "pings (CVE-2019-9512)",
            before: Vec::new(),
            each: |nth| ping(&u64::from(nth).to_be_bytes()),
            code: calm,
            limit: "control-frames",
        },
        Flood {
            what: "settings (CVE-2019-9515)",
            before: Vec::new(),
            each: |_| settings(&[]),
            code: calm,
            limit: "control-frames",
        },
        Flood {
            what: "priorities",
            before: Vec::new(),
            each: |nth| priority(nth_stream(nth), 0),
            code: calm,
            limit: "control-frames",
        },
        Flood {
            what: "goodbyes, which are said once",
            before: begun(),
            each: |_| frame(GOAWAY, 0, 0, [0; 8]),
            code: calm,
            limit: "control-frames",
        },
        Flood {
            what: "windows that grow by a byte",
            before: begun(),
            each: |nth| window_update(nth % 2, 1),
            code: calm,
            limit: "control-frames",
        },
        Flood {
            what: "frames that nobody knows",
            before: Vec::new(),
            each: |_| frame(0xbb, 0, 0, []),
            code: calm,
            limit: "control-frames",
        },
        Flood {
            what: "content of nothing (CVE-2019-9518)",
            before: begun(),
            each: |_| data(1, []),
            code: calm,
            limit: "control-frames",
        },
        Flood {
            what: "content in single bytes that no guest reads",
            before: begun(),
            each: |_| data(1, [0]),
            code: calm,
            limit: "control-frames",
        },
    ];
    let server = Server::start("http-slow", &ADMIN);
    let admin = admin(&server);
    for flood in floods {
        let counted = reached(admin, flood.limit);
        let before = server.resident_bytes();
        let mut peer = Peer::greeted(server.addr());
        peer.send(&flood.before);
        let sent = flood.run(&mut peer, server.addr());
        assert!(sent < MANY, "{}: {:?}", flood.what, peer.seen);
        assert!(peer.seen.closed, "{}: {:?}", flood.what, peer.seen);
        // What the client had not sent yet may come to a closed socket, which then forgets what it had to say.
        assert!(
            [None, flood.code].contains(&peer.seen.goaway),
            "{}: {:?}",
            flood.what,
            peer.seen
        );
        eventually(|| reached(admin, flood.limit) > counted, flood.what);
        eventually(|| metric(admin, "wharf_requests") == Some(0.0), flood.what);
        let grown = server.resident_bytes().saturating_sub(before);
        println!(
            "{}: ended by {} after about {sent}, {} MiB",
            flood.what,
            flood.limit,
            grown / MIB
        );
        assert!(grown < 64 * MIB, "{}: {grown} bytes", flood.what);
    }
}

impl Flood {
    /// Sends until the server has had enough; meanwhile others ask. Says how many were sent.
    fn run(&self, peer: &mut Peer<TcpStream>, addr: SocketAddr) -> u32 {
        let mut nth = 0;
        while nth < MANY && !peer.seen.closed {
            let many: Vec<u8> = (nth..nth + 500).flat_map(self.each).collect();
            nth += 500;
            if peer.try_send(many).is_err() {
                break;
            }
            peer.look();
            if nth % 5000 == 0 {
                eventually(|| http1_get(addr, "/?delay=1").status == 200, self.what);
            }
        }
        peer.reads_until(|seen| seen.closed);
        nth
    }
}

fn limited(component: &str, limits: &str) -> (Server, Scratch) {
    let scratch = Scratch::new();
    let manifest = format!(
        "[server.limits]\n{limits}\n[apps.main]\ncomponent = '{}'\n",
        guest(component).display()
    );
    (Server::start(scratch.write("wharf.toml", manifest), &ADMIN), scratch)
}

/// A small head that unpacks to a large one: 431 with an id and a metric, or the end of the connection where it is far too large.
#[test]
fn heads_that_unpack_to_more_than_they_may() {
    let (server, _scratch) = limited("http-hello", "header-bytes = '16KiB'\nheader-count = 100");
    let admin = admin(&server);
    // An entry of the dynamic table, and a byte for each time it is named.
    let bomb = |times: usize| [get("/"), entered("x", "y".repeat(BOMB - 40)), indexed(62).repeat(times)].concat();
    let before = server.resident_bytes();
    let mut peer = Peer::greeted(server.addr());
    peer.send(request(1, bomb(2)));
    peer.until(|seen| seen.status(1) == Some(200), "one that fits");
    peer.send(request(3, bomb(8)));
    peer.until(
        |seen| seen.status(3) == Some(431) && seen.ended.contains(&3),
        "one that does not",
    );
    assert!(peer.seen.text(3).starts_with("431 "), "{}", peer.seen.text(3));
    assert_eq!(reached(admin, "header-bytes"), 1.0);
    assert!(peer.is_alive());
    // As many fields as there may be by far, none of them large.
    peer.send(request(
        5,
        [get("/"), entered("a", "b"), indexed(62).repeat(300)].concat(),
    ));
    peer.until(|seen| seen.status(5) == Some(431), "too many fields");
    assert_eq!(reached(admin, "header-count"), 1.0);
    // From here on the library answers: first without a word of ours, then with the end.
    peer.send(request(7, bomb(40)));
    peer.until(|seen| seen.status(7) == Some(431), "one that is far too large");
    assert!(peer.is_alive());
    peer.send(request(9, bomb(1000)));
    peer.reads_until(|seen| seen.closed);
    assert_eq!((peer.seen.closed, peer.seen.goaway), (true, Some(ENHANCE_YOUR_CALM)));
    eventually(|| reached(admin, "header-bytes") == 2.0, "it is counted");
    assert!(server.resident_bytes().saturating_sub(before) < 16 * MIB);
    assert_eq!(http1_get(server.addr(), "/").status, 200);
}

/// Single fields that are too large, as they are.
#[test]
fn heads_that_are_too_large() {
    let (server, _scratch) = limited("http-hello", "header-bytes = '16KiB'");
    let admin = admin(&server);
    let mut peer = Peer::greeted(server.addr());
    peer.send(request(1, get_with(&[("x", &"y".repeat(15_000))])));
    peer.until(|seen| seen.status(1) == Some(200), "one that fits");
    let large = get_with(&[("x", &"y".repeat(30_000))]);
    let (first, second) = large.split_at(16_000);
    peer.send([frame(HEADERS, 1, 3, first), frame(CONTINUATION, END_HEADERS, 3, second)].concat());
    peer.until(|seen| seen.status(3) == Some(431), "one that does not");
    assert_eq!(reached(admin, "header-bytes"), 1.0);
    assert!(peer.is_alive());
}

/// Requests that are begun and not finished: as many as a connection may have, each for as long as a guest waits for content. A
/// machine that has too much to do refuses some (503).
#[test]
fn requests_that_are_never_finished() {
    let scratch = Scratch::new();
    let manifest = format!(
        "[server]\n[apps.main]\ncomponent = '{}'\nisolation = 'shared'\n[apps.main.limits]\nbody-idle-time = '5s'\n",
        guest("http-upload").display()
    );
    let server = Server::start(scratch.write("wharf.toml", manifest), &ADMIN);
    let admin = admin(&server);
    let mut peers: Vec<_> = (0..10).map(|_| Peer::greeted(server.addr())).collect();
    for peer in &mut peers {
        for nth in 0..200 {
            peer.send([opened(nth_stream(nth), post("/")), data(nth_stream(nth), "begun")].concat());
        }
    }
    eventually(|| http1_get(server.addr(), "/").status == 200, "another client");
    let mut late = 0;
    for peer in &mut peers {
        let statuses = |seen: &Seen| {
            (0..200)
                .filter_map(|nth| seen.status(nth_stream(nth)))
                .collect::<Vec<_>>()
        };
        peer.until(|seen| statuses(seen).len() == 200, "an answer to each");
        let statuses = statuses(&peer.seen);
        late += statuses.iter().filter(|&&status| status == 408).count();
        assert!(
            statuses.iter().all(|status| [408, 503].contains(status)),
            "{statuses:?}"
        );
    }
    assert!(late > 0, "all were refused");
    eventually(|| metric(admin, "wharf_requests") == Some(0.0), "they have ended");
    assert_eq!(reached(admin, "body-idle-time"), late as f64);
}

/// Clients that begin a connection and say no more, at whatever point; and one that never confirms the server's settings, which
/// is none the worse.
#[test]
fn connections_that_stall() {
    let (server, _scratch) = limited("http-hello", "head-timeout = '500ms'\nidle-timeout = '3s'");
    let admin = admin(&server);
    let gone = |peer: &mut Peer<TcpStream>| {
        peer.reads_until(|seen| seen.closed);
        assert!(peer.seen.closed, "{:?}", peer.seen);
    };
    // From the version on it is a connection without a request, which may have more time.
    let mut begun = [&PREFACE[..5], &PREFACE[..23], PREFACE].map(|begun| {
        let mut peer = Peer::connect(server.addr());
        peer.send(begun);
        peer
    });
    begun.iter_mut().for_each(gone);
    assert_eq!(
        (reached(admin, "head-timeout"), reached(admin, "idle-timeout")),
        (1.0, 2.0)
    );
    let mut peer = Peer::connect(server.addr());
    peer.send([PREFACE, &settings(&[(1, 0)]), &request(1, get("/"))].concat());
    peer.until(|seen| seen.status(1).is_some(), "an answer without a confirmation");
    gone(&mut peer);
    assert_eq!(peer.seen.goaway, Some(0), "it was idle");
    // In the middle of a frame, and of a head.
    let mut begun = [vec![0, 0, 8, 6], frame(HEADERS, 0, 1, get("/"))].map(|begun| {
        let mut peer = Peer::connect(server.addr());
        peer.send([PREFACE, &settings(&[]), &begun].concat());
        peer
    });
    begun.iter_mut().for_each(gone);
}

/// A client that takes pings' answers no more than anything else: what is owed to it is bounded by what is read of it.
#[test]
fn answers_that_nobody_reads() {
    let (server, _scratch) = limited("http-hello", "write-timeout = '1s'\ncontrol-frames = 10000000");
    let admin = admin(&server);
    let before = server.resident_bytes();
    let mut peer = Peer::greeted(server.addr());
    let many = ping(b"unheard!").repeat(1000);
    let begun = Instant::now();
    while peer.try_send(&many).is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(60), "the server reads on and on");
    }
    assert!(server.resident_bytes().saturating_sub(before) < 16 * MIB);
    assert_eq!(http1_get(server.addr(), "/").status, 200);
    eventually(|| reached(admin, "write-rate") == 1.0, "it is ended for taking nothing");
}

/// Streams that are reset for what the client did say so, and leave the connection as it is.
#[test]
fn nothing_of_that_is_the_servers_fault() {
    let server = Server::start("http-slow", &[]);
    let mut peer = Peer::greeted(server.addr());
    for nth in 0..50 {
        let stream = nth_stream(nth);
        peer.send(
            [
                opened(stream, post("/?delay=20000")),
                window_update(stream, (1 << 31) - 1),
            ]
            .concat(),
        );
    }
    peer.until(|seen| seen.resets.len() == 50, "all are reset");
    assert!(peer.seen.resets.values().all(|&code| code == FLOW_CONTROL_ERROR));
    assert!(peer.is_alive());
}
