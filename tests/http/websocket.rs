//! WebSockets: handshakes, isolation, and how connections end. Frames are in `websocket/frames.rs`.

use wharf_tests::websocket::{ACCEPT, BINARY, CLOSE, Frame, WebSocket};
use wharf_tests::{eventually, http};

use crate::axes::Isolation;

/// What is sent comes back, whoever takes it.
#[test]
fn messages_come_back() {
    for isolation in Isolation::ALL {
        let server = isolation.serve("ws", &[]);
        let mut socket = WebSocket::open(server.addr(), "/echo");
        assert_eq!(socket.answer.header("sec-websocket-accept"), Some(ACCEPT));
        for text in ["", "hello", "häßlich", &"x".repeat(70_000)] {
            socket.send_text(text);
            assert_eq!(socket.text(), text, "{isolation:?}");
        }
        socket.send(&Frame::new(BINARY, [0, 1, 2, 255]));
        assert_eq!(
            socket.receive(),
            Some(Frame::new(BINARY, [0, 1, 2, 255])),
            "{isolation:?}"
        );
        socket.send(&Frame::close(1000, "done"));
        assert_eq!(socket.rest(), [Frame::close(1000, "done")], "{isolation:?}");
        assert_eq!(http::get(server.addr(), "/").text(), "a plain request", "{isolation:?}");
    }
}

/// A client that leaves ends the messages, and the guest hears how.
#[test]
fn a_client_that_leaves_is_heard_of() {
    for isolation in Isolation::ALL {
        let server = isolation.serve("ws", &[]);
        for (how, said) in [
            ("leave", "closed: 1006"),
            ("close", "closed: 3001 bye"),
            ("no code", "closed: 1005"),
        ] {
            let mut socket = WebSocket::open(server.addr(), "/linger");
            match how {
                "close" => socket.send(&Frame::close(3001, "bye")),
                "no code" => socket.send(&Frame::new(CLOSE, "")),
                _ => {}
            }
            drop(socket);
            eventually(|| server.stdout().contains(said), &format!("{isolation:?}: {said}"));
        }
    }
}
