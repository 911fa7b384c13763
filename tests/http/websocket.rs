//! WebSockets: handshakes, isolation, and how connections end. Frames are in `websocket/frames.rs`, limits in
//! `websocket/limits.rs`, TLS is in `websocket/secure.rs`, what becomes of open ones when the server stops or an app changes in `websocket/restart.rs`.

mod client;
mod frames;
mod limits;
mod restart;
mod secure;

use std::net::SocketAddr;

use wharf_tests::http::{self, Reply};
use wharf_tests::websocket::{ACCEPT, BINARY, CLOSE, Frame, KEY, PING, PONG, TEXT, WebSocket};
use wharf_tests::{Scratch, Server, eventually, finish, guest, permits_open_files, wharf};

use crate::axes::{Isolation, Protocol, all};
use crate::operator::{ADMIN, admin, metric, reached};

/// A server with one app, called `main`.
struct Served {
    server: Server,
    admin: SocketAddr,
    _scratch: Scratch,
}

impl std::ops::Deref for Served {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

/// Serves a guest with these lines in the app's `[websocket]`.
fn serve(component: &str, websocket: &str) -> Served {
    serve_with(component, "", &format!("[apps.main.websocket]\n{websocket}"))
}

/// Serves a guest with further lines of the app, and further sections.
fn serve_with(component: &str, app: &str, sections: &str) -> Served {
    let scratch = Scratch::new();
    let manifest = format!(
        "[server]\ndrain-timeout = '60s'\n[apps.main]\ncomponent = '{}'\n{app}\n{sections}\n",
        guest(component).display()
    );
    let flags = [&ADMIN[..], &["--log", "debug"]].concat();
    let server = Server::start(scratch.write("wharf.toml", manifest), &flags);
    let admin = admin(&server);
    Served {
        server,
        admin,
        _scratch: scratch,
    }
}

impl Served {
    #[track_caller]
    fn check_reached(&self, limit: &str) {
        eventually(|| reached(self.admin, limit) == 1.0, &format!("{limit} is counted"));
    }

    #[track_caller]
    fn check_closed(&self, by: &str, code: &str, times: f64) {
        let name = format!("wharf_websocket_closed_total{{app=\"main\",by=\"{by}\",code=\"{code}\"}}");
        eventually(
            || metric(self.admin, &name) == Some(times),
            &format!("{name} becomes {times}"),
        );
    }

    fn open_sockets(&self) -> f64 {
        metric(self.admin, "wharf_websockets{app=\"main\"}").unwrap_or(0.0)
    }
}

fn open(protocol: Protocol, addr: SocketAddr, path: &str, fields: &[(&str, &str)]) -> Result<WebSocket, Reply> {
    match protocol {
        Protocol::Http1 => WebSocket::try_open(addr, path, fields),
        Protocol::Http2 => WebSocket::over_http2(addr, path, fields),
    }
}

/// What is sent comes back, whoever takes it and whatever carries it.
#[test]
fn messages_come_back() {
    for (isolation, protocol) in all() {
        let server = isolation.serve("ws", &[]);
        let context = format!("{isolation:?} {protocol:?}");
        let mut socket = open(protocol, server.addr(), "/echo", &[]).expect("it is accepted");
        for text in ["", "hello", "häßlich", &"x".repeat(70_000)] {
            socket.send_text(text);
            assert_eq!(socket.text(), text, "{context}");
        }
        socket.send(&Frame::new(BINARY, [0, 1, 2, 255]));
        assert_eq!(socket.receive(), Some(Frame::new(BINARY, [0, 1, 2, 255])), "{context}");
        socket.send(&Frame::new(PING, "are you there"));
        assert_eq!(socket.receive(), Some(Frame::new(PONG, "are you there")), "{context}");
        socket.send(&Frame::close(1000, "done"));
        assert_eq!(socket.rest(), [Frame::close(1000, "done")], "{context}");
        assert_eq!(http::get(server.addr(), "/").text(), "a plain request", "{context}");
    }
}

/// Frames that come in one piece with the handshake are not lost.
#[test]
fn what_comes_with_the_handshake_is_taken() {
    let server = Isolation::Serial.serve("ws", &[]);
    let mut connection = http::Connection::open(server.addr());
    let head = handshake(&[]);
    connection.send([head.as_bytes(), &Frame::new(TEXT, "early").masked()].concat());
    assert_eq!(connection.reply().status, 101);
    let mut answer = [0; 7];
    std::io::Read::read_exact(&mut connection.into_reader(), &mut answer).expect("it comes back");
    assert_eq!(&answer, b"\x81\x05early");
}

/// A handshake in which some fields have other values, or none.
fn handshake(changes: &[(&str, Option<&str>)]) -> String {
    let usual = [
        ("host", "a.test"),
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", KEY),
    ];
    let mut fields: Vec<(&str, &str)> = usual.into();
    for (name, value) in changes {
        fields.retain(|(other, _)| other != name);
        fields.extend(value.map(|value| (*name, value)));
    }
    let head: String = fields
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!("GET /echo HTTP/1.1\r\n{head}\r\n")
}

/// RFC 6455 section 4.2.1, point by point.
#[test]
fn handshakes_are_checked() {
    let server = Isolation::Serial.serve("ws", &[]);
    #[track_caller]
    fn check(server: &Server, request: &str, expected: u16) -> Reply {
        match WebSocket::shake(server.addr(), request) {
            Ok(socket) => {
                assert_eq!(expected, 101, "{request}");
                assert_eq!(socket.answer.header("sec-websocket-accept"), Some(ACCEPT), "{request}");
                assert_eq!(socket.answer.header("upgrade"), Some("websocket"), "{request}");
                assert_eq!(socket.answer.header("connection"), Some("upgrade"), "{request}");
                assert_eq!(socket.answer.header("sec-websocket-extensions"), None, "{request}");
                socket.answer
            }
            Err(reply) => {
                assert_eq!(reply.status, expected, "{request}: {}", reply.text());
                reply
            }
        }
    }
    let cases: &[(&str, Option<&str>, u16)] = &[
        ("x-nothing", Some("1"), 101),
        ("connection", Some("upgrade"), 101),
        ("connection", Some("UPGRADE, keep-alive"), 101),
        ("connection", Some("keep-alive"), 400),
        ("connection", None, 400),
        ("upgrade", Some("h2c, websocket"), 101),
        // No handshake, but a request like any other.
        ("upgrade", Some("h2c"), 200),
        ("upgrade", None, 200),
        ("sec-websocket-version", Some("12"), 426),
        ("sec-websocket-version", Some("8, 13"), 426),
        ("sec-websocket-version", None, 426),
        ("sec-websocket-key", None, 400),
        ("sec-websocket-key", Some(""), 400),
        ("sec-websocket-key", Some("dGhlIHNhbXBsZSBub25jZQ"), 400),
        ("sec-websocket-key", Some("c2hvcnQ="), 400),
        ("sec-websocket-key", Some("dGhlIHNhbXBsZSBub25jZSB0b28gbG9uZw=="), 400),
        ("sec-websocket-key", Some("not base64 at all!!!!!=="), 400),
        ("sec-websocket-protocol", Some("a, b"), 101),
        ("sec-websocket-protocol", Some("a, a"), 400),
        ("sec-websocket-protocol", Some("a,,b"), 400),
        ("sec-websocket-protocol", Some("a b"), 400),
        (
            "sec-websocket-extensions",
            Some("permessage-deflate; client_max_window_bits"),
            101,
        ),
        ("content-length", Some("0"), 101),
        ("origin", Some("http://a.test"), 101),
        ("origin", Some("http://evil.test"), 403),
        ("origin", Some("null"), 403),
    ];
    for &(name, value, expected) in cases {
        check(&server, &handshake(&[(name, value)]), expected);
    }
    let twice = handshake(&[]).replace("\r\n\r\n", &format!("\r\nsec-websocket-key: {KEY}\r\n\r\n"));
    check(&server, &twice, 400);
    check(&server, &handshake(&[]).replace("GET", "POST"), 400);
    check(&server, &handshake(&[]).replace("HTTP/1.1", "HTTP/1.0"), 200);
    let with_content = handshake(&[("content-length", Some("5"))]) + "hello";
    check(&server, &with_content, 400);
    let other = check(&server, &handshake(&[("sec-websocket-version", Some("7"))]), 426);
    assert_eq!(other.header("sec-websocket-version"), Some("13"));
    assert_eq!(other.header("upgrade"), Some("websocket"));
}

/// The guest decides before the handshake is answered, and its refusal is an ordinary response.
#[test]
fn a_guest_may_refuse() {
    for (isolation, protocol) in all() {
        let server = isolation.serve("ws", &[]);
        let context = format!("{isolation:?} {protocol:?}");
        for status in [401, 403, 302, 503] {
            let refused = open(protocol, server.addr(), &format!("/refuse?status={status}"), &[]);
            let reply = refused.err().expect("it is refused");
            assert_eq!((reply.status, &*reply.text()), (status, "refused"), "{context}");
        }
        let yes = open(protocol, server.addr(), "/refuse?status=200", &[])
            .err()
            .expect("it is refused");
        assert_eq!(yes.status, 500, "{context}: over HTTP/2 it would accept");
        let trapped = open(protocol, server.addr(), "/trap-now", &[])
            .err()
            .expect("it is refused");
        assert_eq!(trapped.status, 502, "{context}");
        let mut socket = open(protocol, server.addr(), "/echo", &[]).expect("it is accepted");
        socket.send_text("still here");
        assert_eq!(socket.text(), "still here", "{context}");
    }
}

/// What the guest sees is the same over both versions of HTTP, and nothing that is the server's.
#[test]
fn a_guest_sees_an_ordinary_request() {
    let server = Isolation::Serial.serve("ws", &[]);
    for protocol in Protocol::ALL {
        let fields = [
            ("cookie", "a=1"),
            ("sec-websocket-protocol", "chat, chat.v2"),
            ("sec-websocket-extensions", "permessage-deflate"),
        ];
        let mut socket = open(protocol, server.addr(), "/seen?x=1", &fields).expect("it is accepted");
        let seen = socket.text();
        let authority = server.addr();
        let start = format!("Method::Get Some(Scheme::Http) {authority} /seen?x=1\n");
        assert!(seen.starts_with(&start), "{protocol:?}: {seen}");
        assert!(seen.contains("cookie: a=1\n"), "{protocol:?}: {seen}");
        assert!(
            seen.contains("sec-websocket-protocol: chat, chat.v2\n"),
            "{protocol:?}: {seen}"
        );
        for absent in [
            "sec-websocket-key",
            "sec-websocket-version",
            "sec-websocket-extensions",
            "upgrade",
            "connection",
        ] {
            assert!(!seen.contains(absent), "{protocol:?}: {seen}");
        }
    }
}

/// A subprotocol is one of the client's, and what else the answer says is not the handshake's own.
#[test]
fn a_guest_chooses_what_it_may() {
    let server = serve("ws", "");
    let offer = [("sec-websocket-protocol", "a, b")];
    for protocol in Protocol::ALL {
        let chosen = open(
            protocol,
            server.addr(),
            "/echo?subprotocol=b&field=set-cookie:x=1",
            &offer,
        );
        let answer = chosen.expect("it is accepted").answer;
        assert_eq!(answer.header("sec-websocket-protocol"), Some("b"), "{protocol:?}");
        assert_eq!(answer.header("set-cookie"), Some("x=1"), "{protocol:?}");
        let none = open(protocol, server.addr(), "/echo", &offer).expect("it is accepted");
        assert_eq!(none.answer.header("sec-websocket-protocol"), None, "{protocol:?}");
        for wrong in [
            "/echo?subprotocol=c",
            "/echo?field=sec-websocket-accept:x",
            "/echo?field=sec-websocket-extensions:permessage-deflate",
            "/echo?field=content-length:5",
        ] {
            let reply = open(protocol, server.addr(), wrong, &offer)
                .err()
                .expect("it is refused");
            assert_eq!(reply.status, 500, "{protocol:?} {wrong}");
            let id = reply.header("wharf-error-id").expect("it has a name").to_owned();
            server.says(&id);
        }
    }
    server.says("which the client did not offer");
}

/// A component that takes none gets the request as it is.
#[test]
fn others_get_a_plain_request() {
    let server = Isolation::Serial.serve("http-hello", &[]);
    let reply = WebSocket::try_open(server.addr(), "/", &[]).err().expect("no upgrade");
    assert_eq!(reply.status, 200, "{reply:?}");
    let reply = WebSocket::over_http2(server.addr(), "/", &[])
        .err()
        .expect("no upgrade");
    assert_eq!(reply.status, 501, "{reply:?}");
}

/// Pages of other hosts connect where the manifest names them.
#[test]
fn origins_are_named() {
    let server = serve("ws", "origins = ['https://app.test', 'https://*.app.test']");
    for protocol in Protocol::ALL {
        for (origin, allowed) in [
            ("https://app.test", true),
            ("https://x.app.test", true),
            ("http://app.test", false),
            ("https://app.test.evil.test", false),
        ] {
            let opened = open(protocol, server.addr(), "/echo", &[("origin", origin)]);
            assert_eq!(opened.is_ok(), allowed, "{protocol:?} {origin}");
        }
    }
    assert_eq!(reached(server.admin, "websocket-origins"), 4.0);
    let all = serve("ws", "origins = ['*']");
    open(Protocol::Http1, all.addr(), "/echo", &[("origin", "null")]).expect("any may");
}

/// A client that leaves ends the messages, and the guest hears how.
#[test]
fn a_client_that_leaves_is_heard_of() {
    for (isolation, protocol) in all() {
        let server = isolation.serve("ws", &[]);
        for (how, said) in [
            ("leave", "closed: 1006"),
            ("close", "closed: 3001 bye"),
            ("no code", "closed: 1005"),
        ] {
            let mut socket = open(protocol, server.addr(), "/linger", &[]).expect("it is accepted");
            match how {
                "close" => socket.send(&Frame::close(3001, "bye")),
                "no code" => socket.send(&Frame::new(CLOSE, "")),
                _ => {}
            }
            drop(socket);
            eventually(
                || server.stdout().contains(said),
                &format!("{isolation:?} {protocol:?}: {said}"),
            );
        }
    }
}

/// The guest closes with a code, once everything it had written was sent.
#[test]
fn a_guest_closes() {
    for (isolation, protocol) in all() {
        let server = isolation.serve("ws", &[]);
        let context = format!("{isolation:?} {protocol:?}");
        let cases = [
            ("/close?code=1000", Frame::close(1000, "")),
            ("/close?code=4321&reason=enough", Frame::close(4321, "enough")),
            // Codes that may not be sent, and what is sent in their place.
            ("/close?code=1005", Frame::close(1011, "")),
            ("/close?code=70", Frame::close(1011, "")),
        ];
        for (path, expected) in cases {
            let mut socket = open(protocol, server.addr(), path, &[]).expect("it is accepted");
            socket.send_text("close now");
            assert_eq!(socket.receive(), Some(expected), "{context} {path}");
            // What comes before the client has closed is still heard.
            socket.send(&Frame::close(1000, "mine"));
            assert_eq!(socket.rest(), [], "{context} {path}");
        }
        eventually(
            || server.stdout().matches("closed: 1000 mine").count() == cases_count(),
            &format!("{context}: {}", server.stdout()),
        );
        let mut dropped = open(protocol, server.addr(), "/drop", &[]).expect("it is accepted");
        let frames = until_closed(&mut dropped);
        assert_eq!(frames.last().and_then(Frame::code), Some(1000), "{context}");
        let mut flood = open(protocol, server.addr(), "/flood?count=300&bytes=1000", &[]).expect("it is accepted");
        let frames = until_closed(&mut flood);
        assert_eq!(frames.len(), 301, "{context}: everything comes");
        assert_eq!(frames[300].code(), Some(1000), "{context}");
    }
}

/// All that comes, the last of it the server's closing, which is answered: without that it waits some seconds for the answer.
fn until_closed(socket: &mut WebSocket) -> Vec<Frame> {
    let mut frames = Vec::new();
    while frames.last().and_then(Frame::code).is_none() {
        frames.push(socket.receive().expect("it is closed in words"));
    }
    socket.send(&Frame::close(1000, ""));
    assert_eq!(socket.rest(), []);
    frames
}

fn cases_count() -> usize {
    4
}

/// A guest that traps ends its connection with 1011; in a shared instance, all of them.
#[test]
fn a_trap_closes_with_1011() {
    for (isolation, protocol) in all() {
        let server = isolation.serve("ws", &[]);
        let context = format!("{isolation:?} {protocol:?}");
        let mut neighbour = open(protocol, server.addr(), "/echo", &[]).expect("it is accepted");
        neighbour.send_text("a");
        assert_eq!(neighbour.text(), "a", "{context}");
        let mut socket = open(protocol, server.addr(), "/trap", &[]).expect("it is accepted");
        socket.send_text("now");
        assert_eq!(socket.end(), Some(1011), "{context}");
        server.says("unreachable");
        if isolation == Isolation::Shared {
            assert_eq!(neighbour.end(), Some(1011), "{context}");
        } else {
            neighbour.send_text("b");
            assert_eq!(neighbour.text(), "b", "{context}");
        }
        let mut next = open(protocol, server.addr(), "/echo", &[]).expect("it is accepted");
        next.send_text("c");
        assert_eq!(next.text(), "c", "{context}");
    }
}

/// Which sockets meet in one instance.
#[test]
fn isolation() {
    for isolation in Isolation::ALL {
        let server = isolation.serve("ws", &[]);
        let count = |socket: &mut WebSocket| {
            socket.send_text("count");
            socket.text().parse::<u32>().expect("a number")
        };
        let mut first = WebSocket::open(server.addr(), "/state");
        let mut second = WebSocket::open(server.addr(), "/state");
        let counts = [count(&mut first), count(&mut second), count(&mut first)];
        match isolation {
            Isolation::Shared => assert_eq!(counts, [1, 2, 3]),
            _ => assert_eq!(counts, [1, 1, 2], "{isolation:?}"),
        }
        for socket in [&mut first, &mut second] {
            socket.send(&Frame::close(1000, ""));
            assert_eq!(socket.end(), Some(1000));
        }
        if isolation == Isolation::Serial {
            // The instance of a socket that has ended is used again.
            let again = || count(&mut WebSocket::open(server.addr(), "/state")) > 1;
            eventually(again, "an instance is used again");
        }
    }
}

/// Everybody in the room hears what one says.
#[test]
fn a_chat_room() {
    let server = Isolation::Shared.serve("ws-chat", &[]);
    let mut members: Vec<WebSocket> = (0..20).map(|_| WebSocket::open(server.addr(), "/")).collect();
    eventually(|| http::get(server.addr(), "/").text() == "20", "all are in the room");
    members[3].send_text("hello");
    for member in &mut members {
        assert_eq!(member.text(), "4: hello");
    }
    members.truncate(5);
    eventually(|| http::get(server.addr(), "/").text() == "5", "the others have left");
    members[0].send_text("few of us");
    for member in &mut members {
        assert_eq!(member.text(), "1: few of us");
    }
}

/// Requests that are no handshakes come anyway, and somebody has to answer them.
#[test]
fn a_component_takes_requests_as_well() {
    let component = guest("ws-only");
    let folder = Scratch::new();
    let file = folder.write("wharf.toml", format!("component = {component:?}\n"));
    for app in [&component, &file] {
        let mut command = wharf();
        command.args(["serve", "--addr", "127.0.0.1:0"]).arg(app);
        let refused = finish(&mut command, "");
        assert_eq!(refused.code(), Some(1), "{refused:?}");
        for said in [
            "wharf:websocket/handler and not wasi:http/handler@0.3",
            "if only with 404",
        ] {
            assert!(refused.stderr.contains(said), "{refused:?}");
        }
    }
}

/// Middleware of HTTP stands in front: handshakes would go past it, and do so only where the manifest lets them.
#[test]
fn handshakes_pass_middleware_of_http_where_they_may() {
    let (outer, service) = (guest("http-middleware-outer"), guest("ws"));
    let manifest = format!("component = {service:?}\nmiddleware = [{outer:?}]\n");
    let folder = Scratch::new();
    let file = folder.write("wharf.toml", &manifest);
    let refused = finish(wharf().args(["serve", "--addr", "127.0.0.1:0"]).arg(&file), "");
    assert_eq!(refused.code(), Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("middleware 1 sees no WebSockets"),
        "{refused:?}"
    );
    let checked = finish(wharf().arg("check").arg(&file), "");
    assert!(checked.stderr.contains("wharf.toml:2:15: "), "{checked:?}");
    assert!(
        checked.stderr.contains("`past-middleware = true` in `[websocket]`"),
        "{checked:?}"
    );

    folder.write("wharf.toml", manifest + "[websocket]\npast-middleware = true\n");
    let server = Server::start_manifest(&file, &["--addr", "127.0.0.1:0"]);
    let mut socket = WebSocket::open(server.addr(), "/echo");
    socket.send_text("through");
    assert_eq!(socket.text(), "through");
    assert_eq!(http::get(server.addr(), "/").text(), "a plain request");
}

/// Middleware that takes handshakes sees them first, and may refuse.
#[test]
fn middleware_of_websockets_sees_handshakes() {
    let guard = guest("ws-guard").display().to_string();
    for isolation in Isolation::ALL {
        let server = isolation.serve("ws", &["--middleware", &guard]);
        let refused = WebSocket::try_open(server.addr(), "/echo", &[])
            .err()
            .expect("it is refused");
        assert_eq!(refused.status, 401, "{isolation:?}");
        let fields = [("authorization", "secret")];
        let mut socket = WebSocket::try_open(server.addr(), "/echo", &fields).expect("it is accepted");
        assert_eq!(socket.answer.header("x-guard"), Some("passed"), "{isolation:?}");
        socket.send_text("through");
        assert_eq!(socket.text(), "through", "{isolation:?}");
        socket.send(&Frame::close(1000, ""));
        assert_eq!(socket.end(), Some(1000), "{isolation:?}");
        assert_eq!(http::get(server.addr(), "/").text(), "a plain request", "{isolation:?}");
    }
}

/// What is open, what went each way, and who ended it, is counted.
#[test]
fn everything_is_counted() {
    for protocol in Protocol::ALL {
        let server = serve("ws", "");
        let mut sockets: Vec<WebSocket> = (0..3)
            .map(|_| open(protocol, server.addr(), "/echo", &[]).expect("it is accepted"))
            .collect();
        eventually(|| server.open_sockets() == 3.0, "three are open");
        for socket in &mut sockets {
            socket.send_text("12345");
            assert_eq!(socket.text(), "12345");
        }
        for direction in ["received", "sent"] {
            let label = format!("{{app=\"main\",direction=\"{direction}\"}}");
            assert_eq!(
                metric(server.admin, &format!("wharf_websocket_messages_total{label}")),
                Some(3.0)
            );
            assert_eq!(
                metric(server.admin, &format!("wharf_websocket_bytes_total{label}")),
                Some(15.0)
            );
        }
        sockets[0].send(&Frame::close(1001, ""));
        assert_eq!(sockets[0].end(), Some(1001));
        sockets[1].send(&Frame::new(TEXT, [0xff]));
        assert_eq!(sockets[1].end(), Some(1007));
        drop(sockets);
        server.check_closed("client", "1001", 1.0);
        server.check_closed("server", "1007", 1.0);
        server.check_closed("client", "1006", 1.0);
        let mut socket = open(protocol, server.addr(), "/close?code=4000", &[]).expect("it is accepted");
        socket.send_text("x");
        assert_eq!(socket.receive(), Some(Frame::close(4000, "")));
        socket.send(&Frame::close(4000, ""));
        assert_eq!(socket.rest(), []);
        server.check_closed("app", "4xxx", 1.0);
        drop(socket);
        eventually(|| server.open_sockets() == 0.0, "none is open");
        eventually(
            || metric(server.admin, "wharf_connections") == Some(0.0),
            "places are given back",
        );
    }
}

/// Ten thousand at once, each of which works, in the isolation that is for so many.
#[cfg(target_os = "linux")]
#[test]
fn ten_thousand() {
    const EACH: usize = 5000;
    let Some(_files) = permits_open_files(3 * EACH as u64) else {
        return;
    };
    let server = serve_with(
        "ws",
        "isolation = 'shared'\nlimits.requests = 11000",
        // However long it takes until the last is open: nobody is pinged meanwhile.
        "[apps.main.websocket]\nsockets = 11000\nping-time = '1h'\n\
         [server.limits]\nconnections = 11000\nconnections-per-client = 6000",
    );
    let request = handshake(&[]);
    let mut sockets = Vec::new();
    for client in [[127, 0, 0, 2], [127, 0, 0, 3]] {
        for nth in 0..EACH {
            let connection = http::connect_from(client, server.addr()).into();
            let socket = WebSocket::shake_on(connection, &request);
            sockets.push(socket.unwrap_or_else(|reply| panic!("{nth} from {client:?}: {reply:?}")));
        }
    }
    assert_eq!(server.open_sockets(), 2.0 * EACH as f64);
    println!("{} sockets, {} MiB", sockets.len(), server.resident_bytes() >> 20);
    for round in ["one", "two"] {
        sockets.iter_mut().for_each(|socket| socket.send_text(round));
        for socket in &mut sockets {
            assert_eq!(socket.text(), round);
        }
    }
}

/// Clients that stop in the middle, wherever that is, delay nobody.
#[test]
fn whoever_stalls_delays_nobody() {
    const STALLED: usize = 500;
    let whole = handshake(&[]);
    let frame = Frame::new(TEXT, "a message that never ends").masked();
    let phases: [(&str, Vec<u8>); 5] = [
        ("nothing is sent", Vec::new()),
        ("the head ends in a field", whole.as_bytes()[..whole.len() / 2].to_vec()),
        (
            "only the last line of the head is missing",
            whole.as_bytes()[..whole.len() - 2].to_vec(),
        ),
        ("a frame ends in its head", [whole.as_bytes(), &frame[..1]].concat()),
        (
            "a frame ends in its content",
            [whole.as_bytes(), &frame[..frame.len() - 1]].concat(),
        ),
    ];
    for isolation in [Isolation::Serial, Isolation::Shared] {
        for (phase, sent) in &phases {
            let server = serve_with("ws", &format!("isolation = '{}'", isolation.flag()), "");
            let stalled: Vec<_> = (0..STALLED)
                .map(|_| {
                    let mut connection = http::Connection::open(server.addr());
                    connection.send(sent);
                    connection
                })
                .collect();
            for _ in 0..20 {
                let mut socket = WebSocket::open(server.addr(), "/echo");
                socket.send_text("hello");
                assert_eq!(socket.text(), "hello", "{isolation:?}: {phase}");
            }
            let connections = metric(server.admin, "wharf_connections").unwrap_or_default();
            assert!(
                connections >= stalled.len() as f64,
                "{isolation:?}: {phase}: {connections}"
            );
        }
    }
}

/// A thousand sockets at once, each of which works.
#[test]
fn a_thousand() {
    for isolation in [Isolation::Serial, Isolation::Shared] {
        let server = serve_with(
            "ws",
            &format!("isolation = '{}'", isolation.flag()),
            "[apps.main.websocket]\nping-time = '1h'\n[server.limits]\ninstances = 1100",
        );
        let mut sockets: Vec<WebSocket> = (0..1000).map(|_| WebSocket::open(server.addr(), "/echo")).collect();
        for round in ["one", "two"] {
            sockets.iter_mut().for_each(|socket| socket.send_text(round));
            for socket in &mut sockets {
                assert_eq!(socket.text(), round, "{isolation:?}");
            }
        }
    }
}
