//! What becomes of open WebSockets when the server stops, and when their app is replaced.

use std::fs;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use wharf_tests::websocket::{CLOSE, Frame, WebSocket};
use wharf_tests::{Scratch, Server, eventually, guest};

use super::{open, serve};
use crate::axes::{Isolation, Protocol, all};

/// The guest hears that it is to end, what it still says is sent, and clients are told to come again.
#[test]
fn a_server_that_stops_lets_guests_say_goodbye() {
    for (isolation, protocol) in all() {
        let server = isolation.serve("ws", &[]);
        let context = format!("{isolation:?} {protocol:?}");
        let mut says = open(protocol, server.addr(), "/farewell", &[]).expect("it is accepted");
        let mut says_code = open(protocol, server.addr(), "/farewell?code=4001", &[]).expect("it is accepted");
        let mut echoes = open(protocol, server.addr(), "/echo", &[]).expect("it is accepted");
        let mut is_deaf = open(protocol, server.addr(), "/deaf", &[]).expect("it is accepted");
        server.terminate();
        for (socket, code) in [(&mut says, 1012), (&mut says_code, 4001)] {
            assert_eq!(socket.text(), "goodbye: 1012", "{context}");
            assert_eq!(socket.receive().as_ref().and_then(Frame::code), Some(code), "{context}");
            socket.send(&Frame::close(code, ""));
            assert_eq!(socket.rest(), [], "{context}");
        }
        for socket in [&mut echoes, &mut is_deaf] {
            assert_eq!(socket.receive().as_ref().and_then(Frame::code), Some(1012), "{context}");
            socket.send(&Frame::close(1012, ""));
            assert_eq!(socket.rest(), [], "{context}");
        }
        assert_eq!(server.wait().code(), Some(0), "{context}: {}", server.log());
    }
}

/// A guest that does not end is given its time, and no more.
#[test]
fn a_guest_that_goes_on_is_cut_off() {
    let server = serve("ws", "restart-time = '300ms'");
    let mut socket = WebSocket::open(server.addr(), "/flood?count=1000000&bytes=10");
    assert!(socket.receive().is_some());
    server.terminate();
    let last = socket.rest().pop().expect("it is told");
    assert_eq!((last.opcode, last.code()), (CLOSE, Some(1012)));
    server.wait();
}

/// One that may go on for longer than the server is cut off with everything else, most often without a word.
#[test]
fn a_guest_has_no_more_time_than_the_server() {
    for protocol in Protocol::ALL {
        // `restart-time` is five seconds.
        let server = Isolation::Serial.serve("ws", &["--drain-timeout", "500ms"]);
        let mut socket = open(protocol, server.addr(), "/flood?count=1000000&bytes=10", &[]).expect("it is accepted");
        assert!(socket.receive().is_some(), "{protocol:?}");
        server.terminate();
        let end = socket.end();
        assert!(matches!(end, None | Some(1012)), "{protocol:?}: {end:?}");
        assert!(
            server.wait().code().is_some(),
            "{protocol:?}: the server has ended by itself"
        );
    }
}

/// Sockets of the version before are closed, new ones are the new version's.
#[test]
fn an_app_that_is_replaced_closes_its_sockets() {
    for protocol in Protocol::ALL {
        let scratch = Scratch::new();
        let component = scratch.path().join("app.wasm");
        fs::copy(guest("ws"), &component).expect("a guest can be copied");
        let manifest =
            |path: &str| format!("component = 'app.wasm'\n[[routes]]\npath = '{path}'\n[environment]\nV = '{path}'\n");
        let file = scratch.write("wharf.toml", manifest("/"));
        let server = Server::start(file.clone(), &["--log", "debug"]);
        let mut before = open(protocol, server.addr(), "/farewell", &[]).expect("it is accepted");
        fs::write(&file, manifest("/") + "W = '2'\n").expect("it can be written");
        let pid = Pid::from_raw(server.pid() as i32).expect("a process has a number");
        kill_process(pid, Signal::HUP).expect("the server runs");
        assert_eq!(before.text(), "goodbye: 1012", "{protocol:?}");
        assert_eq!(
            before.receive().as_ref().and_then(Frame::code),
            Some(1012),
            "{protocol:?}"
        );
        let mut after = open(protocol, server.addr(), "/echo", &[]).expect("it is accepted");
        after.send_text("new");
        assert_eq!(after.text(), "new", "{protocol:?}");
        before.send(&Frame::close(1012, ""));
        assert_eq!(before.rest(), [], "{protocol:?}");
        // Nothing of this is over with the old version.
        std::thread::sleep(Duration::from_millis(200));
        after.send_text("still");
        assert_eq!(after.text(), "still", "{protocol:?}");
    }
}

/// An instance that a socket keeps after its end is ended, too.
#[test]
fn a_guest_that_lingers_is_ended_in_time() {
    for isolation in Isolation::APART {
        let app = format!("isolation = '{}'\nlimits.background-time = '2s'", isolation.flag());
        let server = super::serve_with("ws", &app, "");
        let mut socket = WebSocket::open(server.addr(), "/linger?ms=60000");
        socket.send(&Frame::close(1000, ""));
        assert_eq!(socket.end(), Some(1000));
        eventually(|| server.stdout().contains("closed: 1000"), "the guest hears of it");
        server.says("still at work");
        assert!(!server.stdout().contains("lingered"));
    }
}
