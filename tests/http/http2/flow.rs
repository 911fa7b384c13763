//! Windows (RFC 9113 section 5.2), tied to the guests' streams: what is not read is not sent, what is not taken is not written,
//! and one that waits keeps nobody else.

use std::net::TcpStream;
use std::time::Duration;

use wharf_tests::{Scratch, Server, eventually, guest};

use super::begun;
use super::fields::{get, post, post_with};
use super::wire::{
    CANCEL, FLOW_CONTROL_ERROR, INITIAL_WINDOW_SIZE, NO_ERROR, Peer, data, last_data, opened, request, settings,
    window_update,
};
use crate::axes::Isolation;
use crate::operator::{ADMIN, admin, metric, reached};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// What the server lets a client send before a guest reads: of one stream, and of a connection.
const STREAM_WINDOW: usize = 256 * KIB;
const CONNECTION_WINDOW: usize = 4 * MIB;

fn numbers(count: u32) -> impl Iterator<Item = u32> + Clone {
    (0..count).map(|nth| 1 + 2 * nth)
}

fn limited(component: &str, limits: &str) -> (Server, Scratch) {
    let scratch = Scratch::new();
    let manifest = format!(
        "[server.limits]\n{limits}\n[apps.main]\ncomponent = '{}'\n",
        guest(component).display()
    );
    (Server::start(scratch.write("wharf.toml", manifest), &ADMIN), scratch)
}

/// A request whose guest reads nothing of its content, and neither ends nor lets go of it.
fn unread(stream: u32) -> Vec<u8> {
    opened(stream, post("/?at=body&delay=3600000"))
}

/// A client that was answered and goes on sending may do so, past the window of its stream, and is told to stop where it does not end.
#[test]
fn content_that_nobody_wants() {
    let server = Isolation::Serial.serve("http-hello", &[]);
    let mut peer = Peer::greeted(server.addr());
    peer.send(opened(1, post("/")));
    peer.until(|seen| seen.ended.contains(&1), "the answer");
    let mut sent = 0;
    while sent < 2 * STREAM_WINDOW && !peer.seen.resets.contains_key(&1) {
        let given = peer.seen.windows.get(&1).map_or(0, |&bytes| bytes as usize);
        match sent + 16 * KIB <= STREAM_WINDOW + given {
            true => {
                peer.send(data(1, vec![0; 16 * KIB]));
                sent += 16 * KIB;
            }
            false => peer.look(),
        }
    }
    assert_eq!(sent, 2 * STREAM_WINDOW, "{:?}", peer.seen);
    peer.until(|seen| seen.resets.get(&1) == Some(&NO_ERROR), "to be told to stop");
    assert!(peer.is_alive(), "{:?}", peer.seen);
}

/// A client that is answered, and ends its content where it is instead of where its head said (as curl does), has all of its answer.
#[test]
fn content_that_ends_early() {
    let scratch = Scratch::new();
    let manifest = format!(
        "component = {:?}\nroutes = [{{ path = '/hello' }}]\n",
        guest("http-hello")
    );
    let server = Server::start(scratch.write("wharf.toml", manifest), &[]);
    for last in ["", "content", "0123456789"] {
        // What of the answer cannot be sent before the client opens its window is sent after its content has ended.
        let mut peer = Peer::greeted_with(server.addr(), &[(INITIAL_WINDOW_SIZE, 0)]);
        peer.send(opened(1, post_with(&[("content-length", "10")])));
        peer.until(|seen| seen.status(1) == Some(404), "the answer's head");
        peer.send(last_data(1, last));
        assert!(peer.is_alive(), "{last:?}: {:?}", peer.seen);
        peer.send(window_update(1, 1 << 16));
        peer.until(|seen| seen.ended.contains(&1), "the answer");
        assert!(peer.seen.bytes(1) > 0, "{last:?}: {:?}", peer.seen);
        // That the stream is of no further use may be said of one that ended early.
        let reset = peer.seen.resets.get(&1).copied();
        assert!([None, Some(NO_ERROR)].contains(&reset), "{last:?}: {:?}", peer.seen);
        assert!(last.len() < 10 || reset.is_none(), "{last:?}: {:?}", peer.seen);
        peer.send(request(3, get("/")));
        peer.until(|seen| seen.status(3) == Some(404), "another answer");
    }
}

/// Two hundred guests that read nothing of what a client sends as fast as it may: the server holds a connection's window of
/// it, and no more.
#[test]
fn content_that_no_guest_reads() {
    let server = Isolation::Shared.serve("http-slow", &[]);
    let mut peer = Peer::greeted(server.addr());
    let streams = begun(&mut peer, 200, unread);
    assert_eq!(peer.seen.settings[&INITIAL_WINDOW_SIZE] as usize, STREAM_WINDOW);
    let given = peer.seen.windows[&0] as usize + 65_535;
    assert_eq!(given, CONNECTION_WINDOW);
    let before = server.resident_bytes() as usize;
    let piece = data(1, vec![0; 16 * KIB]);
    for (nth, stream) in streams.iter().enumerate() {
        let room = CONNECTION_WINDOW.saturating_sub(nth * STREAM_WINDOW);
        for _ in 0..room.min(STREAM_WINDOW) / (16 * KIB) {
            let mut piece = piece.clone();
            piece[5..9].copy_from_slice(&stream.to_be_bytes());
            peer.send(piece);
        }
    }
    assert!(peer.is_alive(), "{:?}", peer.seen);
    let held = (server.resident_bytes() as usize).saturating_sub(before);
    println!("{} KiB held of {} KiB", held / KIB, CONNECTION_WINDOW / KIB);
    assert!(held < 2 * CONNECTION_WINDOW, "{held} bytes");
    assert_eq!(
        peer.seen.windows[&0] as usize + 65_535,
        CONNECTION_WINDOW,
        "none was given back"
    );
    // Others are served, on connections of their own; what their guests leave unread is thrown away, and may be sent anew.
    let mut other = Peer::greeted(server.addr());
    let answered = begun(&mut other, 16, |stream| {
        let content = data(stream, vec![0; 16 * KIB]).repeat(STREAM_WINDOW / (16 * KIB));
        [opened(stream, post("/?delay=1")), content].concat()
    });
    other.until(
        |seen| answered.iter().all(|stream| seen.ended.contains(stream)),
        "others' answers",
    );
    other.until(
        |seen| seen.windows[&0] as usize + 65_535 > CONNECTION_WINDOW,
        "a new window",
    );
}

/// A guest that keeps a request, and is done with it or used again, does not keep the client from sending others.
#[test]
fn content_that_a_guest_keeps() {
    for isolation in Isolation::ALL {
        let scratch = Scratch::new();
        let manifest = format!(
            "component = '{}'\nisolation = '{}'\n[limits]\nidle-time = '1h'\nbackground-time = '500ms'\n",
            guest("http-upload").display(),
            isolation.flag()
        );
        let server = Server::start(scratch.write("wharf.toml", manifest), &[]);
        let mut peer = Peer::greeted(server.addr());
        let streams = begun(&mut peer, 16, |stream| {
            let content = data(stream, vec![0; 16 * KIB]).repeat(STREAM_WINDOW / (16 * KIB));
            [opened(stream, post("/?keep")), content].concat()
        });
        peer.until(
            |seen| streams.iter().all(|stream| seen.ended.contains(stream)),
            "answers",
        );
        peer.until(
            // A quarter was read ahead, and came back by itself; of the rest, not all is told of at once.
            |seen| seen.windows[&0] as usize + 65_535 > CONNECTION_WINDOW + CONNECTION_WINDOW / 2,
            isolation.flag(),
        );
    }
}

/// A client that sends more than it was given is gone.
#[test]
fn more_than_a_connection_may_send() {
    let server = Isolation::Shared.serve("http-slow", &[]);
    let mut peer = Peer::greeted(server.addr());
    for stream in begun(&mut peer, 20, unread) {
        for _ in 0..STREAM_WINDOW / (16 * KIB) {
            peer.send(data(stream, vec![0; 16 * KIB]));
        }
    }
    peer.reads_until(|seen| seen.closed);
    assert!(
        peer.seen.closed && [None, Some(FLOW_CONTROL_ERROR)].contains(&peer.seen.goaway),
        "{:?}",
        peer.seen
    );
}

/// A guest that reads gets everything, through windows that are given back.
#[test]
fn content_that_a_guest_reads() {
    let server = Server::start("http-upload", &[]);
    let mut peer = Peer::greeted(server.addr());
    peer.send(opened(1, post("/")));
    let all = 3 * CONNECTION_WINDOW;
    let mut sent = 0;
    while sent < all {
        let room = |seen: &super::wire::Seen| {
            let stream = STREAM_WINDOW + seen.windows.get(&1).map_or(0, |&bytes| bytes as usize);
            let connection = 65_535 + seen.windows.get(&0).map_or(0, |&bytes| bytes as usize);
            stream.min(connection) - sent
        };
        peer.until(|seen| room(seen) >= 16 * KIB, "room");
        peer.send(data(1, vec![1; 16 * KIB]));
        sent += 16 * KIB;
    }
    peer.send(last_data(1, ""));
    peer.until(|seen| seen.ended.contains(&1), "an answer");
    assert_eq!(peer.seen.text(1), format!("bytes {all} sum {all} complete"));
}

/// Guests that write while a client gives no window wait, with little held for each; once there is one, all of it comes.
#[test]
fn content_that_no_client_takes() {
    const STREAMS: usize = 50;
    const BYTES: usize = 10 * MIB;
    for isolation in [Isolation::Shared, Isolation::Serial] {
        let server = isolation.serve("http-download", &ADMIN);
        let admin = admin(&server);
        // As many once, so that what instances take is there before.
        let mut peer = Peer::greeted_with(server.addr(), &[(INITIAL_WINDOW_SIZE, 0)]);
        let asked = begun(&mut peer, STREAMS, |stream| request(stream, get("/?bytes=1")));
        peer.send([settings(&[(INITIAL_WINDOW_SIZE, 1 << 20)]), window_update(0, 1 << 30)].concat());
        peer.until(
            |seen| asked.iter().all(|stream| seen.ended.contains(stream)),
            "all answers",
        );
        let before = server.resident_bytes() as usize;
        let mut peer = Peer::greeted_with(server.addr(), &[(INITIAL_WINDOW_SIZE, 0)]);
        let asked = begun(&mut peer, STREAMS, |stream| {
            request(stream, get(&format!("/?bytes={BYTES}")))
        });
        std::thread::sleep(Duration::from_millis(500));
        let held = (server.resident_bytes() as usize).saturating_sub(before);
        println!("{isolation:?}: {} KiB held for each of {STREAMS}", held / KIB / STREAMS);
        assert!(held < STREAMS * 512 * KIB, "{isolation:?}: {held} bytes");
        assert_eq!(peer.seen.all_bytes(), 0, "{isolation:?}");
        let under_way = metric(admin, "wharf_requests").unwrap_or_default();
        assert!(under_way >= STREAMS as f64, "{isolation:?}: {under_way}");
        // One of them is given room, and is not kept by the others.
        let one = asked[4];
        peer.send([window_update(0, 1 << 30), window_update(one, 1 << 30)].concat());
        peer.until(|seen| seen.ended.contains(&one), "all of one");
        assert_eq!(
            (peer.seen.bytes(one), peer.seen.all_bytes()),
            (BYTES, BYTES),
            "{isolation:?}"
        );
    }
}

/// What is not taken ends by itself, and its connection goes on.
#[test]
fn a_response_that_is_not_taken_ends_alone() {
    let (server, _scratch) = limited("http-download", "write-timeout = '1s'");
    let admin = admin(&server);
    let mut peer = Peer::greeted_with(server.addr(), &[(INITIAL_WINDOW_SIZE, 0)]);
    peer.send(request(1, get("/?bytes=1000000")));
    peer.until(|seen| seen.status(1) == Some(200), "a head");
    peer.until(|seen| seen.resets.get(&1) == Some(&CANCEL), "the end of its stream");
    assert!(peer.is_alive(), "{:?}", peer.seen);
    eventually(|| reached(admin, "write-rate") == 1.0, "it is counted");
    eventually(|| metric(admin, "wharf_requests") == Some(0.0), "the request has ended");
    peer.send(
        [
            request(3, get("/?bytes=1000000")),
            window_update(0, 1 << 30),
            window_update(3, 1 << 30),
        ]
        .concat(),
    );
    peer.until(|seen| seen.ended.contains(&3), "another answer");
    assert_eq!(peer.seen.bytes(3), 1_000_000);
}

/// A window that grows by a byte at a time keeps a response no longer than none at all, and others are served meanwhile.
#[test]
fn a_response_that_is_taken_in_drips_ends_alone() {
    let (server, _scratch) = limited("http-download", "write-timeout = '1s'\nwrite-rate = 1000");
    let mut peer = Peer::greeted_with(server.addr(), &[(INITIAL_WINDOW_SIZE, 1)]);
    peer.send(request(1, get("/?bytes=1000000")));
    while peer.seen.resets.is_empty() {
        assert!(!peer.seen.closed, "{:?}", peer.seen);
        peer.send(window_update(1, 1));
        peer.look();
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(peer.seen.resets.get(&1), Some(&CANCEL));
    peer.send([request(3, get("/?bytes=10")), window_update(3, 100)].concat());
    peer.until(|seen| seen.ended.contains(&3), "another answer");
    let admin = admin(&server);
    eventually(|| reached(admin, "write-rate") == 1.0, "it is counted");
}

/// A response that is a frame long has left its stream to the library, which cannot end it alone.
#[test]
fn a_short_response_that_is_not_taken_ends_the_connection() {
    let (server, _scratch) = limited("http-download", "write-timeout = '1s'");
    let mut peer = Peer::greeted_with(server.addr(), &[(INITIAL_WINDOW_SIZE, 1)]);
    peer.send(request(1, get("/?bytes=1000")));
    peer.until(|seen| seen.bytes(1) == 1, "a byte");
    peer.reads_until(|seen| seen.closed);
    assert!(peer.seen.closed, "{:?}", peer.seen);
    assert_eq!(reached(admin(&server), "write-rate"), 1.0);
}

/// Without limits that end it, one stream that is not taken keeps none of the others.
#[test]
fn one_that_waits_keeps_nobody() {
    for isolation in Isolation::ALL {
        let server = isolation.serve("http-download", &[]);
        let mut peer = Peer::greeted_with(server.addr(), &[(INITIAL_WINDOW_SIZE, 0)]);
        peer.send([request(1, get("/?bytes=1000000")), window_update(0, 1 << 30)].concat());
        peer.until(|seen| seen.status(1) == Some(200), "a head");
        let others = begun(&mut peer, 39, |stream| {
            [request(stream, get("/?bytes=100000")), window_update(stream, 1 << 20)].concat()
        });
        peer.until(
            |seen| others.iter().all(|stream| seen.ended.contains(stream)),
            "the others",
        );
        assert!(
            others.iter().all(|&stream| peer.seen.bytes(stream) == 100_000),
            "{isolation:?}"
        );
        assert_eq!(peer.seen.bytes(1), 0, "{isolation:?}");
    }
}

/// Whoever goes on as if nothing had been said, when the server has said that it goes, keeps it no longer than it lets them.
#[test]
fn a_client_that_stays_when_the_server_goes() {
    let server = Isolation::Serial.serve("http-slow", &["--drain-timeout", "2s"]);
    let mut peer = Peer::greeted(server.addr());
    peer.send(opened(1, post("/?delay=60000")));
    peer.send(request(3, get("/?delay=1")));
    peer.until(|seen| seen.status(3) == Some(200), "an answer");
    server.terminate();
    peer.until(|seen| seen.goaway == Some(0), "a goodbye");
    let mut stream = 5;
    while !peer.seen.closed {
        peer.send(request(stream, get("/?delay=1")));
        peer.look();
        stream += 2;
    }
    assert!(server.wait().code().is_some(), "it has ended by itself");
    assert!(stream > 5);
}

/// The streams of one connection are worked on by more than one processor.
#[cfg(target_os = "linux")]
#[test]
fn streams_of_one_connection_share_processors() {
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        println!("not run: this machine has one processor");
        return;
    }
    let scratch = Scratch::new();
    let manifest = format!(
        "component = '{}'\n[limits]\ncpu-time = '10m'\nresponse-time = '10m'\n",
        guest("http-loop").display()
    );
    let server = Server::start(scratch.write("wharf.toml", manifest), &[]);
    let mut peer = Peer::greeted(server.addr());
    for stream in numbers(4) {
        peer.send(request(stream, get("/?at=handler")));
    }
    // Threads that want to run are counted, not those that do: others may want the processors, too.
    let is_mostly_two = || {
        let looks = (0..50).filter(|_| {
            std::thread::sleep(Duration::from_millis(10));
            server.runnable_threads() >= 2
        });
        looks.count() > 25
    };
    eventually(is_mostly_two, "more than one thread works on them");
}

/// Streams that compute without end take turns with one that does not, on whichever processor: all are of one connection.
#[test]
fn streams_that_compute_keep_nobody() {
    let (server, _scratch) = {
        let scratch = Scratch::new();
        let manifest = format!(
            "component = '{}'\n[limits]\ncpu-time = '1s'\n",
            guest("http-loop").display()
        );
        (Server::start(scratch.write("wharf.toml", manifest), &[]), scratch)
    };
    let mut peer = Peer::greeted(server.addr());
    for stream in numbers(6) {
        peer.send(request(stream, get("/?at=handler")));
    }
    // A machine that has more to do than this may have refused some of them (503): at least one computes.
    let computes = |peer: &Peer<TcpStream>| numbers(6).any(|stream| peer.seen.status(stream).is_none());
    let mut stream = 21;
    loop {
        peer.send(request(stream, get("/?at=nowhere")));
        peer.until(|seen| seen.status(stream).is_some(), "the one that does not");
        if peer.seen.status(stream) == Some(200) {
            break;
        }
        stream += 2;
    }
    assert!(computes(&peer), "before the others: {:?}", peer.seen.statuses);
    peer.until(
        |seen| numbers(6).all(|stream| matches!(seen.status(stream), Some(503 | 504))),
        "the end of the others",
    );
}
