//! Connections that guests open (`wharf:websocket/client`), and a client of others'.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use wharf_tests::http::{self, Connection};
use wharf_tests::websocket::{Frame, TEXT};
use wharf_tests::{eventually, installed, python_package};

use super::{serve, serve_with};
use crate::axes::{ALLOW_ALL, Isolation};
use crate::certificates::tls_addr;
use crate::tunnel::Secured;

fn ask(server: &wharf_tests::Server, query: &str) -> (u16, String) {
    let reply = http::get(server.addr(), &format!("/?{query}"));
    (reply.status, reply.text())
}

/// A guest talks to another server's guest, and both hear how the other closes.
#[test]
fn guests_open_connections() {
    let peer = serve("ws", "");
    let at = peer.addr();
    for isolation in Isolation::ALL {
        let server = isolation.serve("ws-client", &ALLOW_ALL);
        let cases = [
            (format!("url=ws://{at}/echo&text=hello"), " hello 1000 from the guest"),
            (
                format!("url=ws://{at}/echo&bytes=70000&code=4000"),
                " 70000 bytes 4000 from the guest",
            ),
            (
                format!("url=ws://{at}/echo?subprotocol=b&subprotocol=b&text=x"),
                "b x 1000 from the guest",
            ),
            (
                format!("url=ws://{at}/close?code=4567%26reason=bye&wait"),
                " nothing 4567 bye",
            ),
            (format!("url=ws://{at}/trap&wait"), " nothing 1011 "),
            (format!("url=ws://{at}/drop&wait"), " nothing 1000 "),
        ];
        for (query, expected) in cases {
            assert_eq!(
                ask(&server, &query),
                (200, expected.to_owned()),
                "{isolation:?} {query}"
            );
        }
    }
    // The other way round.
    eventually(|| peer.open_sockets() == 0.0, "all have ended");
    peer.check_closed("client", "1000", 6.0);
    peer.check_closed("client", "4xxx", 3.0);
}

/// What the peer answers instead of accepting, and what is none of its answers.
#[test]
fn refusals_are_told_apart() {
    let peer = serve("ws", "");
    let at = peer.addr();
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let nobody = nobody.expect("a port is free");
    let server = Isolation::Serial.serve("ws-client", &ALLOW_ALL);
    for (query, expected) in [
        (format!("url=ws://{at}/refuse?status=401"), "Error::Rejected(401)"),
        (format!("url=ws://{at}/nothing"), "Error::Rejected(404)"),
        (
            format!("url=ws://{at}/echo&field=origin:http://evil.test"),
            "Error::Rejected(403)",
        ),
        (format!("url=http://{at}/echo"), "InvalidRequest"),
        (format!("url=ws://{at}/echo%23a"), "InvalidRequest"),
        ("url=ws:///echo".to_owned(), "InvalidRequest"),
        (format!("url=ws://{at}/echo&subprotocol=a%20b"), "InvalidRequest"),
        (
            format!("url=ws://{at}/echo&field=sec-websocket-key:x"),
            "InvalidRequest",
        ),
        (format!("url=ws://{nobody}/"), "ConnectionFailed"),
    ] {
        let (status, said) = ask(&server, &query);
        assert_eq!(status, 502, "{query}: {said}");
        assert!(said.contains(expected), "{query}: {said}");
    }
}

/// The allow list is that of HTTP requests.
#[test]
fn only_what_is_granted_is_reached() {
    let peer = serve("ws", "");
    let at = peer.addr();
    let here = format!("http://{at}");
    for (flags, expected) in [
        (vec![], "AccessDenied"),
        (vec!["--allow-outbound", "example.com"], "AccessDenied"),
        (vec!["--allow-outbound", "https://127.0.0.1"], "AccessDenied"),
        (vec!["--allow-outbound", &here], " hello 1000"),
    ] {
        let server = Isolation::Serial.serve("ws-client", &flags);
        let (_, said) = ask(&server, &format!("url=ws://{at}/echo&text=hello"));
        assert!(said.contains(expected), "{flags:?}: {said}");
    }
}

/// By TLS, from who is trusted and under the right name, and nobody else.
#[test]
fn guests_open_connections_by_tls() {
    let peer = Secured::serve("ws", "", &[]);
    let port = tls_addr(&peer.server).port();
    let authority = peer.authority.file();
    let trusting = format!("trust = ['{}']", authority.display());
    for (trust, host, expected) in [
        (&trusting[..], "localhost", " hello 1000 from the guest"),
        (&trusting, "127.0.0.1", " hello 1000 from the guest"),
        // Its certificate is for the other two.
        (&trusting, "127.0.0.2", "ConnectionFailed"),
        ("", "localhost", "ConnectionFailed"),
    ] {
        let server = serve_with(
            "ws-client",
            "",
            &format!("[apps.main.http-client]\nallow = ['*']\n{trust}"),
        );
        let (_, said) = ask(&server, &format!("url=wss://{host}:{port}/echo&text=hello"));
        assert!(said.contains(expected), "{trust} {host}: {said}");
    }
}

/// A peer that does not keep to the protocol is not believed.
#[test]
fn peers_are_checked() {
    const HEAD: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n";
    let server = Isolation::Serial.serve("ws-client", &ALLOW_ALL);
    let masked = Frame::new(TEXT, "a").masked();
    let large = [&[0x82, 127][..], &(2_u64 << 20).to_be_bytes()].concat();
    let cases: [(&str, String, &[u8], &str); 7] = [
        ("no key", HEAD.to_owned() + "\r\n", b"", "ProtocolError"),
        (
            "another key",
            format!("{HEAD}sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"),
            b"",
            "ProtocolError",
        ),
        (
            "an extension",
            format!("{HEAD}sec-websocket-accept: ACCEPT\r\nsec-websocket-extensions: x\r\n\r\n"),
            b"",
            "ProtocolError",
        ),
        (
            "a subprotocol",
            format!("{HEAD}sec-websocket-accept: ACCEPT\r\nsec-websocket-protocol: x\r\n\r\n"),
            b"",
            "ProtocolError",
        ),
        (
            "a mask",
            format!("{HEAD}sec-websocket-accept: ACCEPT\r\n\r\n"),
            &masked,
            " nothing 1002 ",
        ),
        (
            "a large message",
            format!("{HEAD}sec-websocket-accept: ACCEPT\r\n\r\n"),
            &large,
            " nothing 1009 ",
        ),
        (
            "nothing at all",
            format!("{HEAD}sec-websocket-accept: ACCEPT\r\n\r\n"),
            b"",
            " nothing 1006 ",
        ),
    ];
    for (name, head, frames, expected) in cases {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let at = listener.local_addr().expect("it listens");
        let frames = frames.to_vec();
        let peer = std::thread::spawn(move || {
            let (stream, _) = listener.accept().expect("somebody connects");
            let mut connection = Connection::from(stream);
            let request = connection.head();
            let key = request.header("sec-websocket-key").expect("a key").to_owned();
            assert_eq!(request.header("sec-websocket-version"), Some("13"));
            let accept = wharf_host::websocket::handshake::accept(key.as_bytes()).expect("a key");
            connection.send(head.replace("ACCEPT", &accept));
            connection.send(&frames);
            if !frames.is_empty() {
                // Until the guest's side has closed.
                let mut stream = connection.into_reader();
                let _ = stream.get_mut().flush();
                let _ = stream.read_to_end(&mut Vec::new());
            }
        });
        let (_, said) = ask(&server, &format!("url=ws://{at}/&wait"));
        assert!(said.contains(expected), "{name}: {said}");
        drop(peer);
    }
}

/// A server that accepts one WebSocket, says so much, and then hears everything and answers nothing.
fn silent_peer(says: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let at = listener.local_addr().expect("it listens");
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("somebody connects");
        let mut connection = Connection::from(stream);
        let request = connection.head();
        let key = request.header("sec-websocket-key").expect("a key");
        let accept = wharf_host::websocket::handshake::accept(key.as_bytes()).expect("a key");
        connection.send(format!(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-accept: {accept}\r\n\r\n"
        ));
        connection.send(says);
        let _ = connection.into_reader().read_to_end(&mut Vec::new());
    });
    at
}

/// Each limit of a connection that a guest opens, broken: what the guest hears, and what is counted.
#[test]
fn peers_are_held_to_limits() {
    let peer = serve("ws", "");
    let (at, silent) = (peer.addr(), silent_peer(Vec::new()));
    let never_closes = silent_peer(Frame::new(TEXT, "hi").bytes(None));
    for (keys, query, expected, limit) in [
        (
            "message = '1000B'",
            format!("url=ws://{at}/echo&bytes=2000&wait"),
            " nothing 1009 ",
            "message",
        ),
        (
            "idle-time = '300ms'",
            format!("url=ws://{at}/linger&wait"),
            " nothing 1001 nothing was said for too long",
            "idle-time",
        ),
        // It answers pings, so that it is idle and not lost.
        (
            "idle-time = '5s'\nping-time = '200ms'\npong-time = '2s'",
            format!("url=ws://{at}/linger&wait"),
            " nothing 1001 nothing was said for too long",
            "idle-time",
        ),
        (
            "ping-time = '100ms'\npong-time = '300ms'",
            format!("url=ws://{silent}/&wait"),
            " nothing 1006 ",
            "pong-time",
        ),
        (
            "close-time = '300ms'",
            format!("url=ws://{never_closes}/"),
            " hi 1006 ",
            "close-time",
        ),
    ] {
        let sections = format!("[apps.main.http-client]\nallow = ['*']\n[apps.main.websocket.opened]\n{keys}");
        let server = serve_with("ws-client", "", &sections);
        let (_, said) = ask(&server, &query);
        assert!(said.starts_with(expected), "{keys}: {said}");
        server.check_reached(&format!("websocket-opened-{limit}"));
    }
}

/// The client that most of Python uses: handshake, messages, fragments, pings, closing, and a compression that is not taken.
#[test]
fn a_client_of_others() {
    let site = Secured::serve("ws", "", &[]);
    check_python(&format!("ws://{}", site.server.addr()), "None");
    let by_tls = format!("wss://localhost:{}", tls_addr(&site.server).port());
    let trust = format!("ssl.create_default_context(cafile={:?})", site.authority.file());
    check_python(&by_tls, &trust);
}

/// `trust` is what it looks at certificates with.
#[track_caller]
fn check_python(url: &str, trust: &str) {
    let script = format!(
        r#"
import asyncio, functools, ssl, websockets
connect = functools.partial(websockets.connect, ssl={1})
async def main():
    async with connect("{0}/echo?subprotocol=chat", subprotocols=["chat"]) as socket:
        assert socket.subprotocol == "chat", socket.subprotocol
        for text in ["", "hello", "häßlich", "x" * 100000]:
            await socket.send(text)
            assert await socket.recv() == text
        await socket.send(bytes(range(256)))
        assert await socket.recv() == bytes(range(256))
        await socket.send(["in ", "three ", "parts"])
        assert await socket.recv() == "in three parts"
        await (await socket.ping())
    assert socket.close_code == 1000, socket.close_code
    async with connect("{0}/close?code=4001&reason=enough") as socket:
        await socket.send("now")
        try:
            await socket.recv()
        except websockets.exceptions.ConnectionClosed as closed:
            assert (closed.rcvd.code, closed.rcvd.reason) == (4001, "enough"), closed
    try:
        await connect("{0}/refuse?status=401")
    except websockets.exceptions.InvalidStatus as refused:
        assert refused.response.status_code == 401
    else:
        raise AssertionError("it was accepted")
    try:
        await connect("{0}/echo", origin="http://evil.test")
    except websockets.exceptions.InvalidStatus as refused:
        assert refused.response.status_code == 403
    else:
        raise AssertionError("it was accepted")
    print("all as expected")
asyncio.run(main())
"#,
        url, trust
    );
    let (Some(python), Some(packages)) = (installed("python3"), python_package("websockets")) else {
        return;
    };
    let mut command = Command::new(python);
    command.args(["-c", &script]).env("PYTHONPATH", packages);
    let output = command.output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("all as expected"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
