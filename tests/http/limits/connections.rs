//! Limits of connections and of what comes over them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
use wharf_tests::http::Connection;
use wharf_tests::http::get;
use wharf_tests::{DEADLINE, eventually, http2};
#[cfg(target_os = "linux")]
use wharf_tests::{Scratch, Server, guest};

use super::{Counted, GET, Gate, Limited, Outcome, TO_THE_GATE, Told, check_refused};
use crate::http2::fields::get as get_block;
use crate::http2::wire::{PING, Peer, frame, request};
use crate::operator::{metric, reached};

/// A connection without a request makes room; one with a request does not.
pub fn connections() -> Outcome {
    let gate = Gate::closed();
    let limited = Limited::serve(
        "http-outgoing",
        "connections = 2\nconnections-per-client = 2",
        TO_THE_GATE,
    );
    let mut idle = limited.open();
    idle.send("GET /?n=0 HTTP/1.1\r\nhost: a.test\r\n\r\n");
    assert_eq!(idle.reply().status, 200);
    let mut busy = limited.open();
    busy.send(gate.request());
    limited.has_begun(1);
    let mut third = limited.open();
    third.send(gate.request());
    assert!(idle.is_closed(), "it made room");
    limited.has_begun(2);
    check_refused(&limited.send(GET));
    gate.open();
    assert_eq!((busy.reply().status, third.reply().status), (200, 200));
    let counted = limited.check_reached("connections-per-client", 2.0);
    let short = |outcome: &str| {
        let name = format!("wharf_connections_short_total{{outcome=\"{outcome}\"}}");
        metric(limited.admin, &name)
    };
    assert_eq!((short("made-room"), short("refused")), (Some(1.0), Some(1.0)));
    (counted, Told::Status(503))
}

pub fn connections_of_all_clients() -> Outcome {
    let gate = Gate::closed();
    let limited = Limited::serve(
        "http-outgoing",
        "connections = 1\nconnections-per-client = 5",
        TO_THE_GATE,
    );
    let mut first = limited.open();
    first.send(gate.request());
    limited.has_begun(1);
    check_refused(&limited.send(GET));
    let counted = limited.check_reached("connections", 1.0);
    gate.open();
    assert_eq!(first.reply().status, 200);
    (counted, Told::Status(503))
}

/// Another client's connections are its own.
#[cfg(target_os = "linux")]
#[test]
fn connections_of_one_client() {
    let gate = Gate::closed();
    let limited = Limited::serve(
        "http-outgoing",
        "connections = 100\nconnections-per-client = 1",
        TO_THE_GATE,
    );
    let mut first = limited.open();
    first.send(gate.request());
    limited.has_begun(1);
    check_refused(&limited.send(GET));
    let mut other = Connection::from(wharf_tests::http::connect_from([127, 0, 0, 2], limited.server.addr()));
    other.send(gate.request());
    limited.has_begun(2);
    limited.check_reached("connections-per-client", 1.0);
    gate.open();
    assert_eq!((first.reply().status, other.reply().status), (200, 200));
}

/// Where clients have to say something before they can ask.
pub fn time_until_a_first_request_can_come() -> Outcome {
    let (server, admin) = crate::front::stalls::a_handshake_takes_no_longer_than_it_may();
    let counted = Counted::times(&server, admin, "handshake-time", |times| times == 3.0);
    (counted, Told::Closed)
}

pub fn requests_per_connection() -> Outcome {
    let limited = Limited::serve("http-hello", "requests-per-connection = 3", "");
    let mut connection = limited.open();
    for expected in [None, None, Some("close")] {
        connection.send(GET);
        assert_eq!(connection.reply().header("connection"), expected);
    }
    assert!(connection.is_closed());
    limited.check_reached("requests-per-connection", 1.0);
    http2::run(async {
        let handle = http2::connect(limited.server.addr()).await;
        for _ in 0..3 {
            assert_eq!(http2::get(&handle, limited.server.addr(), "/").await.status, 200);
        }
        let deadline = Instant::now() + DEADLINE;
        while handle.clone().ready().await.is_ok() {
            assert!(Instant::now() < deadline, "the connection takes another request");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let counted = limited.check_reached("requests-per-connection", 2.0);
    (counted, Told::Closed)
}

pub fn time_without_a_request() -> Outcome {
    let limited = Limited::serve("http-hello", "idle-timeout = '3s'", "");
    let mut connection = limited.open();
    connection.send(GET);
    assert_eq!(connection.reply().status, 200);
    assert!(connection.is_closed());
    assert!(limited.open().is_closed());
    let counted = limited.check_reached("idle-timeout", 2.0);
    (counted, Told::Closed)
}

/// Clients that are slow, and not as slow as that, through a window of a few packets: the system tells the server what they take before
/// it is all gone.
#[cfg(target_os = "linux")]
#[test]
fn clients_that_take_more_than_the_least() {
    use rustix::net::{connect, sockopt};
    const TIMEOUT: Duration = Duration::from_secs(6);
    let limited = Limited::serve("http-download", "write-timeout = '6s'", "");
    let client = wharf_tests::unconnected_socket();
    sockopt::set_socket_recv_buffer_size(&client, 4096).expect("a socket takes this option");
    connect(&client, &limited.server.addr()).expect("the server accepts connections");
    let mut client = TcpStream::from(client);
    let request = "GET /?bytes=100000000 HTTP/1.1\r\nhost: a.test\r\n\r\n";
    client.write_all(request.as_bytes()).expect("the server reads");
    let (begun, mut bytes) = (Instant::now(), 0);
    // Ten kilobytes a second, for as long as it takes to be cut off, and longer.
    while begun.elapsed() < 3 * TIMEOUT {
        bytes += client.read(&mut [0; 2000]).expect("it comes");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(bytes > 0, "nothing came");
    assert_eq!(reached(limited.admin, "write-rate"), 0.0);
}

/// A client that takes nothing of what it asked for.
pub fn rate_of_a_response() -> Outcome {
    let limited = Limited::serve("http-download", "write-rate = 1000\nwrite-timeout = '3s'", "");
    let mut slow = TcpStream::connect(limited.server.addr()).expect("the server accepts connections");
    let request = "GET /?bytes=100000000 HTTP/1.1\r\nhost: a.test\r\n\r\n";
    slow.write_all(request.as_bytes()).expect("the server reads");
    let counted = limited.check_reached("write-rate", 1.0);
    eventually(|| metric(limited.admin, "wharf_connections") == Some(0.0), "it is gone");
    slow.set_read_timeout(Some(DEADLINE)).expect("it is not zero");
    let mut taken = Vec::new();
    let _ = slow.read_to_end(&mut taken);
    assert!(taken.len() < 100_000_000, "all of it came");
    // One that takes its time, and more than the least, has all of it.
    let mut steady = limited.open();
    steady.send("GET /?bytes=3000000 HTTP/1.1\r\nhost: a.test\r\n\r\n");
    let head = steady.head();
    assert_eq!(head.status(), 200);
    let mut bytes = 0;
    while let Some(piece) = steady.data() {
        bytes += piece.len();
        if bytes < 300_000 {
            std::thread::sleep(Duration::from_millis(200));
        }
    }
    assert_eq!(bytes, 3_000_000);
    (counted, Told::Closed)
}

pub fn requests_that_are_taken_back() -> Outcome {
    let limited = Limited::serve("http-slow", "resets = 50", "");
    let taken_back = http2::run(async {
        let mut handle = http2::connect(limited.server.addr()).await;
        for nth in 0..10_000 {
            let Ok(mut ready) = handle.clone().ready().await else {
                return nth;
            };
            let request = http::Request::get(limited.server.url("/?delay=10000"))
                .body(())
                .expect("it is one");
            let Ok((_, mut stream)) = ready.send_request(request, false) else {
                return nth;
            };
            tokio::time::sleep(Duration::from_millis(2)).await;
            stream.send_reset(h2::Reason::CANCEL);
            handle = ready;
        }
        10_000
    });
    assert!(taken_back < 1000, "{taken_back}");
    let counted = limited.check_reached("resets", 1.0);
    assert_eq!(get(limited.server.addr(), "/?delay=1").status, 200);
    (counted, Told::Closed)
}

/// Over HTTP/1.1 nobody can, and whoever takes whole answers has taken nothing back.
#[test]
fn answers_of_http1_are_not_taken_back() {
    for (guest, request) in [
        ("http-hello", GET),
        (
            "http-echo",
            "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 3\r\n\r\nabc",
        ),
        ("http-download", "GET /?bytes=100000 HTTP/1.1\r\nhost: a.test\r\n\r\n"),
        (
            "http-content-length",
            "GET /?declared=1000&actual=1000 HTTP/1.1\r\nhost: a.test\r\n\r\n",
        ),
        ("http-slow", "GET /?delay=1&at=body HTTP/1.1\r\nhost: a.test\r\n\r\n"),
    ] {
        let limited = Limited::serve(guest, "resets = 1", "");
        let mut connection = limited.open();
        for _ in 0..10 {
            connection.send(request);
            assert_eq!(connection.reply().status, 200, "{guest}");
        }
        // Whoever leaves before the end takes the connection along, which is no flood.
        for _ in 0..10 {
            limited.open().send(request);
        }
        eventually(
            || metric(limited.admin, "wharf_requests") == Some(0.0),
            "all have ended",
        );
        assert_eq!(reached(limited.admin, "resets"), 0.0, "{guest}");
    }
}

/// What a client sends without need, over HTTP/2, and the server would have to answer.
pub fn frames_that_carry_nothing() -> Outcome {
    let limited = Limited::serve("http-hello", "control-frames = 10", "");
    let mut peer = Peer::greeted(limited.server.addr());
    // The server may close before it has all of them.
    let _ = peer.try_send(frame(PING, 0, 0, [0; 8]).repeat(1000));
    peer.until(|seen| seen.closed, "it is ended");
    let counted = limited.check_reached("control-frames", 1.0);
    (counted, Told::Closed)
}

/// A client that was told how many there may be, and begins more, is told which were refused; that is counted.
pub fn streams_past_those_of_a_connection() -> Outcome {
    let limited = Limited::serve("http-slow", "streams = 3", "");
    let mut peer = Peer::greeted(limited.server.addr());
    let streams = [1, 3, 5, 7, 9];
    let requests = streams.map(|stream| request(stream, get_block("/?delay=1000")));
    peer.send(requests.concat());
    peer.until(
        |seen| [7, 9].iter().all(|stream| seen.resets.contains_key(stream)),
        "two are refused",
    );
    let counted = limited.check_reached("streams", 2.0);
    peer.until(
        |seen| [1, 3, 5].iter().all(|stream| seen.ended.contains(stream)),
        "the others are answered",
    );
    peer.send(request(11, get_block("/?delay=1")));
    peer.until(|seen| seen.ended.contains(&11), "there is room again");
    assert_eq!(reached(limited.admin, "streams"), 2.0);
    (counted, Told::Refused)
}

#[test]
fn streams_of_a_connection() {
    let limited = Limited::serve("http-slow", "streams = 5", "");
    let most = http2::run(async {
        let handle = http2::connect(limited.server.addr()).await;
        assert_eq!(
            http2::get(&handle, limited.server.addr(), "/?delay=1").await.status,
            200
        );
        handle.current_max_send_streams()
    });
    assert_eq!(most, 5);
}

/// Over HTTP/2 a client stops a response without stopping the connection: by giving it no room.
#[test]
fn streams_that_are_not_taken() {
    let limited = Limited::serve("http-download", "write-timeout = '1s'", "");
    let ended = http2::run(async {
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(0);
        let handle = http2::connect_with(limited.server.addr(), &builder).await;
        let request = http::Request::get(limited.server.url("/?bytes=1000000"));
        let mut handle = handle.ready().await.expect("the server takes a request");
        let (response, _) = handle
            .send_request(request.body(()).expect("it is one"), true)
            .expect("it can be sent");
        http2::collect(response).await
    });
    assert!(ended.is_err(), "{ended:?}");
    limited.check_reached("write-rate", 1.0);
    eventually(
        || metric(limited.admin, "wharf_requests") == Some(0.0),
        "the request has ended",
    );
}

/// A client that is slow with one stream, and takes it, is not taken for one that does not.
#[test]
fn streams_whose_guest_is_slow() {
    let limited = Limited::serve("http-slow", "write-timeout = '500ms'", "");
    let reply = http2::run(async {
        let handle = http2::connect(limited.server.addr()).await;
        http2::get(&handle, limited.server.addr(), "/?delay=2500&at=body").await
    });
    assert_eq!(reply.text(), "begun, done");
}

/// Clients that are slow to send, or to take, hold no instance that others wait for.
pub fn slow_clients_make_room() -> Outcome {
    let limited = Limited::serve("http-echo", "", "requests = 2\nqueue-time = '60s'\nqueue = 10");
    // A small body holds none at all.
    let mut small: Vec<_> = (0..5).map(|_| limited.open()).collect();
    for connection in &mut small {
        connection.send("POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 1000\r\n\r\nabc");
    }
    eventually(
        || metric(limited.admin, "wharf_requests") == Some(5.0),
        "they have begun",
    );
    let echo = "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc";
    assert_eq!(limited.send(echo).text(), "abc");
    // A large one does, until somebody waits for it.
    let mut large: Vec<_> = (0..2).map(|_| limited.open()).collect();
    for connection in &mut large {
        connection.send("POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 1000000\r\n\r\nabc");
        assert_eq!(connection.head().status(), 200, "a guest has it");
    }
    assert_eq!(limited.send(echo).text(), "abc");
    let counted = Counted::times(&limited.server, limited.admin, "slow-clients", |times| times >= 1.0);
    assert!(
        large.iter_mut().any(|connection| connection.try_body().is_err()),
        "one was broken off"
    );
    (counted, Told::Closed)
}

/// The system's own limit leaves nobody without an answer: connections that say nothing make room there, too.
#[cfg(target_os = "linux")]
#[test]
fn open_files() {
    let scratch = Scratch::new();
    let manifest = format!("component = '{}'\n", guest("http-hello").display());
    let serve = Server::command(scratch.write("wharf.toml", manifest), &[]);
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -n 200; exec \"$0\" \"$@\""]);
    command.arg(serve.get_program()).args(serve.get_args());
    let server = Server::spawn(command);
    let silent: Vec<_> = (0..400).map(|_| TcpStream::connect(server.addr())).collect();
    for _ in 0..20 {
        assert_eq!(get(server.addr(), "/").text(), "hello, wharf");
    }
    drop(silent);
}
