//! TCP with the test as the peer: half-close, backpressure, many connections, patterns.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::run::{Conversation, command, lines, value, versions};

const ALL: &[&str] = &["--allow-net", "*"];

const LOOPBACKS: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];

/// Reads and writes of a test end by themselves.
const DEADLINE: Duration = Duration::from_secs(60);

fn with_deadline(stream: TcpStream) -> TcpStream {
    stream
        .set_read_timeout(Some(DEADLINE))
        .expect("the deadline is not zero");
    stream
        .set_write_timeout(Some(DEADLINE))
        .expect("the deadline is not zero");
    stream
}

/// The guest as a client of the test, and the test's end of the connection.
fn client(name: &str, loopback: &str, arguments: &[&str]) -> (Conversation, TcpStream) {
    let listener = TcpListener::bind(loopback).expect("loopback is there");
    let address = listener.local_addr().expect("it is bound").to_string();
    let guest = Conversation::start(name, ALL, &[&[address.as_str()], arguments].concat());
    let (stream, _) = listener.accept().expect("the guest connects");
    (guest, with_deadline(stream))
}

/// The guest as a server, and where it listens.
fn server(name: &str, loopback: &str) -> (Conversation, SocketAddr) {
    let mut guest = Conversation::start(name, ALL, &[loopback]);
    let line = guest.line();
    let address = line.strip_prefix("listening ").expect("the guest listens");
    (guest, address.parse().expect("an address"))
}

fn text(mut stream: &TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("the guest ends its direction");
    text
}

#[test]
fn a_guest_that_has_sent_everything_still_receives() {
    for name in versions("sockets-pipe") {
        for loopback in LOOPBACKS {
            let (mut guest, mut peer) = client(&name, loopback, &[]);
            guest.say("to the peer\n");
            guest.close_stdin();
            assert_eq!(text(&peer), "to the peer\n");
            // Only now, with the other direction ended.
            peer.write_all(b"to the guest\n").expect("the guest receives");
            assert_eq!(guest.line(), "to the guest");
            peer.shutdown(Shutdown::Write).expect("the connection is open");
            assert_eq!(guest.errors(), "sent ok\nreceived ok\nwritten ok\n");
            assert!(guest.end().success());
        }
    }
}

#[test]
fn a_guest_that_has_received_everything_still_sends() {
    for name in versions("sockets-pipe") {
        for loopback in LOOPBACKS {
            let (mut guest, mut peer) = client(&name, loopback, &[]);
            peer.write_all(b"to the guest\n").expect("the guest receives");
            peer.shutdown(Shutdown::Write).expect("the connection is open");
            assert_eq!(guest.line(), "to the guest");
            guest.say("to the peer\n");
            guest.close_stdin();
            assert_eq!(text(&peer), "to the peer\n");
            assert_eq!(guest.errors(), "sent ok\nreceived ok\nwritten ok\n");
            assert!(guest.end().success());
        }
    }
}

#[test]
fn a_reset_reaches_the_guest() {
    for name in versions("sockets-pipe") {
        let (mut guest, peer) = client(&name, LOOPBACKS[0], &[]);
        guest.say("unread\n");
        // Closing with bytes unread resets the connection; they must have arrived for that.
        let mut byte = [0];
        wharf_tests::eventually(
            || peer.peek(&mut byte).is_ok_and(|bytes| bytes == 1),
            "the guest's bytes",
        );
        drop(peer);
        guest.close_stdin();
        assert!(guest.errors().contains("received err connection-reset"));
        assert!(guest.end().success());
    }
}

#[test]
fn a_server_in_a_guest_serves_all_its_connections_at_once() {
    for name in versions("sockets-echo") {
        for loopback in LOOPBACKS {
            let (mut guest, address) = server(&name, loopback);
            let connect = || with_deadline(TcpStream::connect(address).expect("the guest listens"));
            let mut streams: Vec<TcpStream> = (0..50).map(|_| connect()).collect();
            // From the last to the first, so that none is served because it is the oldest.
            for (number, stream) in streams.iter_mut().enumerate().rev() {
                stream
                    .write_all(format!("connection {number}").as_bytes())
                    .expect("the guest receives");
                let mut back = vec![0; format!("connection {number}").len()];
                stream.read_exact(&mut back).expect("the guest sends back");
                assert_eq!(back, format!("connection {number}").as_bytes());
            }
            for stream in &streams {
                stream.shutdown(Shutdown::Write).expect("the connection is open");
                assert_eq!(text(stream), "");
            }
            assert!(guest.end().success());
        }
    }
}

#[test]
fn two_hundred_connections_are_open_at_once() {
    for name in versions("sockets-many") {
        for loopback in LOOPBACKS {
            let lines = lines(&name, ALL, &[loopback, "200"]);
            assert_eq!(value(&lines, "open"), "200");
            assert_eq!(value(&lines, "answered"), "200");
        }
    }
}

/// Resident memory of a process, in bytes.
#[cfg(target_os = "linux")]
fn memory_bytes(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line
        .and_then(|line| line.trim().strip_suffix(" kB"))
        .expect("the kernel tells");
    kibibytes.trim().parse::<u64>().expect("a number") << 10
}

#[cfg(target_os = "linux")]
#[test]
fn a_peer_that_does_not_read_stops_the_guest() {
    const MEBIBYTES: u64 = 256;
    for name in versions("sockets-flood") {
        let (mut guest, mut peer) = client(&name, LOOPBACKS[0], &[&MEBIBYTES.to_string()]);
        let before = memory_bytes(guest.process());

        // Once the guest says the same ten times, a tenth of a second apart, it stands still.
        let mut seen = (String::new(), 0);
        while seen.1 < 10 {
            let line = guest.line();
            seen = if line == seen.0 { (line, seen.1 + 1) } else { (line, 1) };
        }
        let taken: u64 = seen
            .0
            .strip_prefix("taken ")
            .expect("a count")
            .parse()
            .expect("a number");
        // The kernel's buffers on both sides take some; they are far smaller than this.
        assert!(taken < MEBIBYTES << 19, "{taken} bytes were taken that nobody read");
        let grown = memory_bytes(guest.process()).saturating_sub(before);
        assert!(grown < 16 << 20, "the host grew by {grown} bytes");

        let received = std::io::copy(&mut peer, &mut std::io::sink()).expect("the guest goes on");
        assert_eq!(received, MEBIBYTES << 20);
        let rest = guest.rest();
        assert_eq!(
            rest.lines().last(),
            Some(format!("sent {} ok", MEBIBYTES << 20).as_str())
        );
        assert!(guest.end().success());
    }
}

/// A guest that waits for a peer, and the peer, do not keep each other waiting once the guest is killed.
#[test]
fn a_killed_program_leaves_no_connection_open() {
    let (guest, mut peer) = client("sockets-pipe", LOOPBACKS[0], &[]);
    drop(guest);
    let mut rest = Vec::new();
    let end = peer.read_to_end(&mut rest);
    assert!(end.is_ok() || end.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset));
}

/// What connecting to and resolving loopback gives with the patterns allowed.
fn check_patterns(patterns: &[&str], calls: &[(&str, &str)]) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    let port = listener.local_addr().expect("it is bound").port().to_string();
    let own: Vec<String> = patterns.iter().map(|pattern| pattern.replace("PORT", &port)).collect();
    let flags: Vec<&str> = own.iter().flat_map(|pattern| ["--allow-net", pattern]).collect();
    let (arguments, expected): (Vec<String>, Vec<&str>) = calls
        .iter()
        .map(|(call, expected)| (call.replace("PORT", &port), *expected))
        .unzip();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    for name in versions("sockets-calls") {
        let finished = wharf_tests::finish(&mut command(&name, &flags, &arguments), "");
        let lines: Vec<&str> = finished.stdout.lines().collect();
        assert_eq!(lines, expected, "{name} {flags:?} {arguments:?}: {}", finished.stderr);
    }
}

#[test]
fn a_name_that_is_nobodys_is_an_error() {
    for name in versions("sockets-calls") {
        let lines = lines(&name, ALL, &["resolve name.invalid"]);
        // Which one depends on whether this machine has a name server at all.
        let expected = [
            "name-unresolvable",
            "temporary-resolver-failure",
            "permanent-resolver-failure",
        ];
        assert!(
            expected.map(|code| format!("err {code}")).contains(&lines[0]),
            "{lines:?}"
        );
    }
}

#[test]
fn patterns_say_what_is_reached() {
    let connect = [("c=tcp ipv4", "ok"), ("connect c 127.0.0.1:PORT", "ok")];
    let refused = [("c=tcp ipv4", "ok"), ("connect c 127.0.0.1:PORT", "err access-denied")];
    check_patterns(&["*"], &connect);
    check_patterns(&["127.0.0.1"], &connect);
    check_patterns(&["127.0.0.1:PORT"], &connect);
    check_patterns(&["192.0.2.1", "127.0.0.1:PORT"], &connect);
    check_patterns(&["192.0.2.1"], &refused);
    check_patterns(&["127.0.0.1:1"], &refused);
    check_patterns(&["[::1]"], &refused);
}

#[test]
fn patterns_say_which_names_are_looked_up() {
    check_patterns(
        &["*"],
        &[("resolve 127.0.0.1", "ok 127.0.0.1"), ("resolve ::1", "ok ::1")],
    );
    check_patterns(&["*"], &[("resolve no..name", "err invalid-argument")]);
    check_patterns(&["example.test"], &[("resolve localhost", "err access-denied")]);
    check_patterns(&["127.0.0.1"], &[("resolve localhost", "err access-denied")]);
    for pattern in ["*", "localhost"] {
        for name in versions("sockets-calls") {
            let lines = lines(&name, &["--allow-net", pattern], &["resolve localhost"]);
            assert!(
                lines[0].split(' ').any(|word| word == "127.0.0.1"),
                "{pattern}: {lines:?}"
            );
        }
    }
}
