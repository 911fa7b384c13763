//! Ten thousand at once, two hundred to a connection as behind a proxy: event streams, and WebSockets. What each takes of the
//! server's memory is shown; over HTTP/1.1 it is measured by `cargo xtask bench wire`.

use std::net::TcpStream;

use wharf_tests::websocket::{Frame, TEXT};
use wharf_tests::{Scratch, Server, guest};

use super::begun;
use super::fields::{get, websocket};
use super::wire::{Peer, Seen, data, opened, request};
use crate::operator::{ADMIN, admin, metric};

const CONNECTIONS: usize = 50;
const STREAMS: usize = 200;
const ALL: usize = CONNECTIONS * STREAMS;

const KIB: u64 = 1 << 10;

/// More than any of them takes by far, and a tenth of what an instance would.
const EACH_MAX: u64 = 64 * KIB;

/// Clients of a server, each with its streams.
struct Crowd {
    server: Server,
    clients: Vec<(Peer<TcpStream>, Vec<u32>)>,
    _scratch: Scratch,
}

impl Crowd {
    /// Opens all, and says what each takes. However long that is, nobody is pinged meanwhile.
    fn open(component: &str, ask: impl Fn(u32) -> Vec<u8>) -> Self {
        let scratch = Scratch::new();
        let manifest = format!(
            "[server]\n[apps.main]\ncomponent = '{}'\nisolation = 'shared'\n[apps.main.limits]\nrequests = 11000\n\
             [apps.main.websocket]\nping-time = '1h'\nsockets = 11000\n",
            guest(component).display()
        );
        let server = Server::start(scratch.write("wharf.toml", manifest), &ADMIN);
        // What the instance itself takes, and a connection.
        let mut first = Peer::greeted(server.addr());
        begun(&mut first, 1, &ask);
        let before = server.resident_bytes();
        let clients = (0..CONNECTIONS).map(|_| {
            let mut client = Peer::greeted(server.addr());
            let streams = begun(&mut client, STREAMS, &ask);
            (client, streams)
        });
        let clients = clients.collect();
        let each = server.resident_bytes().saturating_sub(before) / ALL as u64;
        println!("{component}: {ALL} at once, {each} bytes each");
        assert!(each < EACH_MAX, "{each} bytes each");
        Self {
            server,
            clients,
            _scratch: scratch,
        }
    }

    /// Sends something on each stream, and waits until something holds of it.
    fn each(&mut self, send: impl Fn(u32) -> Vec<u8>, holds: impl Fn(&Seen, u32) -> bool, what: &str) {
        for (client, streams) in &mut self.clients {
            client.send(streams.iter().flat_map(|&stream| send(stream)).collect::<Vec<_>>());
        }
        for (client, streams) in &mut self.clients {
            client.until(|seen| streams.iter().all(|&stream| holds(seen, stream)), what);
        }
    }
}

#[test]
fn ten_thousand_event_streams() {
    let mut crowd = Crowd::open("http-events", |stream| request(stream, get("/?n=2&every=3600000")));
    let has_event = |seen: &Seen, stream| seen.text(stream) == "data:000\n\n" && !seen.ended.contains(&stream);
    crowd.each(|_| Vec::new(), has_event, "an event on each");
    let open = metric(admin(&crowd.server), "wharf_requests").unwrap_or_default();
    assert!(open >= ALL as f64, "{open}");
}

#[test]
fn ten_thousand_websockets() {
    let mut crowd = Crowd::open("ws", |stream| opened(stream, websocket("/echo")));
    let said = Frame::new(TEXT, "hello");
    let echoed = said.bytes(None);
    crowd.each(
        |stream| data(stream, said.masked()),
        |seen, stream| seen.content.get(&stream) == Some(&echoed),
        "an echo on each",
    );
    let open = metric(admin(&crowd.server), "wharf_websockets{app=\"main\"}").unwrap_or_default();
    assert!(open >= ALL as f64, "{open}");
}
