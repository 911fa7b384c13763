//! WebSockets by TLS: what depends on how a connection is written to and how it ends. Frames are in `websocket/frames.rs`.

use std::time::Duration;

use wharf_tests::eventually;
use wharf_tests::websocket::{BINARY, Frame, PING, PONG};

use super::open;
use crate::axes::Protocol;
use crate::operator::{ADMIN, admin, metric, reached};
use crate::tunnel::Secured;

fn serve(sections: &str) -> Secured {
    Secured::serve("ws", sections, &ADMIN)
}

/// The guest sees the scheme, and pages of the host that is asked connect.
#[test]
fn handshakes() {
    let site = serve("");
    for protocol in Protocol::ALL {
        let addr = site.addr(protocol);
        let own = format!("https://{addr}");
        let mut socket = open(protocol, addr, "/seen", &[("origin", &own)]).expect("it is accepted");
        let seen = socket.text();
        assert!(seen.contains("Https"), "{protocol:?}: {seen}");
        let refused = open(protocol, addr, "/seen", &[("origin", "https://other.test")]).err();
        assert_eq!(refused.map(|reply| reply.status), Some(403), "{protocol:?}");
    }
}

/// Either side leaves, closes, or takes nothing, and the other hears of it.
#[test]
fn ends() {
    for protocol in Protocol::ALL {
        let site = serve("[server.limits]\nwrite-timeout = '1s'\n[apps.main.websocket]\nping-time = '200ms'");
        let (admin, addr) = (admin(&site.server), site.addr(protocol));
        let opened = |path: &str| open(protocol, addr, path, &[]).expect("it is accepted");
        let mut socket = opened("/linger");
        let ping = socket.receive().expect("it is open");
        assert_eq!(ping.opcode, PING, "{protocol:?}");
        socket.send(&Frame::new(PONG, ping.payload));
        drop(socket);
        eventually(
            || site.server.stdout().contains("closed: 1006"),
            "the guest hears that it left",
        );
        let mut socket = opened("/close?code=4321&reason=bye");
        socket.send_text("now");
        let close = std::iter::from_fn(|| socket.receive()).find(|frame| frame.code().is_some());
        assert_eq!(close.and_then(|close| close.code()), Some(4321), "{protocol:?}");
        socket.send(&Frame::close(4321, "bye"));
        assert_eq!(socket.rest().len(), 0, "{protocol:?}");
        let taker = opened("/flood?count=100000&bytes=65536");
        if protocol == Protocol::Http1 {
            eventually(|| reached(admin, "write-rate") == 1.0, "it takes nothing");
        }
        drop(taker);
        eventually(
            || site.server.stdout().contains("flood: stopped"),
            "the guest hears of it",
        );
        eventually(
            || metric(admin, "wharf_websockets{app=\"main\"}") == Some(0.0),
            "none is open",
        );
    }
}

/// When the server stops, what was written before it is whole, and so is the goodbye.
#[test]
fn restarts() {
    for protocol in Protocol::ALL {
        let site = serve("");
        let mut socket =
            open(protocol, site.addr(protocol), "/flood?count=200&bytes=10000", &[]).expect("it is accepted");
        assert_eq!(socket.receive().map(|frame| frame.payload.len()), Some(10_000));
        std::thread::sleep(Duration::from_millis(100));
        site.server.terminate();
        let rest = socket.rest();
        let (last, whole) = rest.split_last().expect("something comes");
        assert!(
            [Some(1000), Some(1012)].contains(&last.code()),
            "{protocol:?}: {last:?}"
        );
        assert_eq!(whole.len(), 199, "{protocol:?}");
        assert!(
            whole
                .iter()
                .all(|frame| (frame.opcode, frame.payload.len()) == (BINARY, 10_000))
        );
        drop(socket);
        assert_eq!(site.server.wait().code(), Some(0), "{protocol:?}");
    }
}
