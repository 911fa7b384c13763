//! The PROXY protocol.

use std::io::Write;
use std::time::Duration;

use wharf_tests::eventually;
use wharf_tests::http::{Connection, Reply};

use super::{GET, Site, exchange, status};
use crate::operator::{metric, reached};

const TRUSTED: &str = "trusted-proxies = ['127.0.0.1', '10.0.0.0/8']";

fn site(component: &str, keys: &str) -> Site {
    Site::with_listener(component, keys, "proxy-protocol = true")
}

fn ask(site: &Site, header: &[u8]) -> String {
    exchange(site.connect(site.second()), [header, GET.as_bytes()].concat()).0
}

/// Version 2, with an IPv4 client and bytes after its addresses.
fn binary(client: [u8; 4], more: &[u8]) -> Vec<u8> {
    let length = u16::try_from(12 + more.len()).expect("it is short").to_be_bytes();
    let addresses = [&client[..], &[127, 0, 0, 1, 0x10, 0, 0, 80]].concat();
    [b"\r\n\r\n\0\r\nQUIT\n\x21\x11", &length[..], &addresses, more].concat()
}

#[test]
fn a_client_is_whom_the_proxy_names() {
    let site = site("http-request-line", TRUSTED);
    let long = binary([192, 0, 2, 9], &[0; 4000]);
    for (header, client) in [
        (&b"PROXY TCP4 192.0.2.1 127.0.0.1 4000 80\r\n"[..], Some("192.0.2.1")),
        (b"PROXY TCP6 2001:db8::1 ::1 4000 80\r\n", Some("2001:db8::1")),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN 192.0.2.1 127.0.0.1 4000 80\r\n", None),
        (&binary([192, 0, 2, 9], &[]), Some("192.0.2.9")),
        (&long, Some("192.0.2.9")),
        (b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00", Some("127.0.0.1")),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x00\x00\x00", None),
        (
            &[&b"\r\n\r\n\0\r\nQUIT\n\x21\x31\x00\xd8"[..], &[0; 216]].concat(),
            None,
        ),
    ] {
        let answer = ask(&site, header);
        assert_eq!(status(&answer), 200, "{header:?}");
        let told = answer.lines().find_map(|line| line.strip_prefix("x-forwarded-for: "));
        assert_eq!(told, client, "{answer}");
    }
}

/// Only what is the proxy's own is its word: what it passes on for who knows whom is believed nothing.
#[test]
fn who_is_unknown_is_not_trusted() {
    let site = site("http-request-line", &format!("{TRUSTED}\nforwarded-client-cert = true"));
    let request = "GET / HTTP/1.1\r\nhost: a.test\r\nx-forwarded-for: 6.6.6.6\r\nx-forwarded-proto: https\r\n\
                   client-cert: :AAAA:\r\nconnection: close\r\n\r\n";
    for (header, is_believed) in [
        (&b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"[..], true),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x00\x00\x00", false),
        (b"PROXY UNKNOWN\r\n", false),
        (&binary([192, 0, 2, 9], &[]), false),
    ] {
        let (answer, _) = exchange(site.connect(site.second()), [header, request.as_bytes()].concat());
        assert_eq!(status(&answer), 200, "{header:?}");
        for said in ["6.6.6.6", "scheme: https", "client-cert: :AAAA:"] {
            assert_eq!(answer.contains(said), is_believed, "{header:?}: {answer}");
        }
    }
}

/// However the header comes, the first request is the one after it.
#[test]
fn a_header_comes_in_pieces() {
    let site = site("http-request-line", TRUSTED);
    for header in [
        &b"PROXY TCP4 192.0.2.1 127.0.0.1 4000 80\r\n"[..],
        &binary([192, 0, 2, 1], &[0; 20]),
    ] {
        let mut stream = site.connect(site.second());
        for byte in header {
            stream.write_all(&[*byte]).expect("the server reads");
            std::thread::sleep(Duration::from_millis(2));
        }
        let (answer, _) = exchange(stream, GET);
        assert!(answer.contains("x-forwarded-for: 192.0.2.1\n"), "{answer}");
    }
    // A connection is kept, and its requests have the same client.
    let mut connection = Connection::open(site.second());
    connection.send("PROXY TCP4 192.0.2.5 127.0.0.1 4000 80\r\n");
    for _ in 0..3 {
        connection.send("GET / HTTP/1.1\r\nhost: a.test\r\nx-forwarded-for: 6.6.6.6\r\n\r\n");
        let text = connection.reply().text();
        assert!(text.contains("x-forwarded-for: 192.0.2.5\n"), "{text}");
    }
}

#[test]
fn whoever_says_nothing_or_nonsense_is_closed_without_an_answer() {
    let site = site("http-hello", TRUSTED);
    for header in [
        "",
        "PROXY TCP4 300.0.0.1 127.0.0.1 4000 80\r\n",
        "PROXY TCP4\r\n",
        "\r\n\r\n\0\r\nQUIT\nxxxx",
        "\u{16}\u{3}\u{1}",
    ] {
        assert_eq!(ask(&site, header.as_bytes()), "", "{header:?}");
    }
    site.server.says("closed a connection of a trusted proxy");
    assert_eq!(status(&ask(&site, b"PROXY UNKNOWN\r\n")), 200);
}

#[test]
fn a_stranger_may_not_speak_it() {
    let site = site("http-hello", "trusted-proxies = ['10.0.0.0/8']");
    assert_eq!(ask(&site, b"PROXY TCP4 192.0.2.1 127.0.0.1 4000 80\r\n"), "");
    site.server.says("`trusted-proxies` names those who may");
    site.server.says("127.0.0.1");
    assert_eq!(wharf_tests::http::get(site.plain(), "/").status, 200);
    // Where nobody asked for it, it is no request.
    let (answer, _) = exchange(
        site.connect(site.plain()),
        b"PROXY TCP4 192.0.2.1 127.0.0.1 4000 80\r\n\r\n",
    );
    assert_eq!(status(&answer), 400);
}

#[test]
fn a_header_has_to_come_in_time() {
    let site = site(
        "http-hello",
        &format!("{TRUSTED}\nlimits = {{ handshake-time = '300ms' }}"),
    );
    for header in ["", "PROXY TCP4 192.0.2.1", "\r\n\r\n\0\r\nQUIT\n"] {
        let (answer, _) = exchange(site.connect(site.second()), header);
        assert_eq!(answer, "", "{header:?}");
    }
    eventually(|| reached(site.admin, "handshake-time") == 3.0, "each is counted");
}

/// Each client of a proxy has places of its own, and the proxy itself has no bound but that of all.
#[test]
fn limits_are_those_of_the_client() {
    let limits = "limits = { connections = 100, connections-per-client = 2 }";
    let site = site("http-slow", &format!("{TRUSTED}\n{limits}"));
    let begin = |client: &str| {
        let mut connection = Connection::open(site.second());
        connection.send(format!("PROXY TCP4 {client} 127.0.0.1 4000 80\r\n"));
        connection.send("GET /?delay=3000 HTTP/1.1\r\nhost: a.test\r\n\r\n");
        connection
    };
    let mut slow: Vec<Connection> = ["192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.2"].map(begin).into();
    eventually(
        || metric(site.admin, "wharf_requests") == Some(4.0),
        "all of them have begun",
    );
    let refused: Reply = begin("192.0.2.1").reply();
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(reached(site.admin, "connections-per-client"), 1.0);
    slow.push(begin("192.0.2.3"));
    for connection in &mut slow {
        assert_eq!(connection.reply().status, 200);
    }
    // Those that have ended are not counted any more.
    drop(slow);
    eventually(|| begin("192.0.2.1").reply().status == 200, "there is place again");
}

/// Both stand before the first request, the header first.
#[test]
fn tls_by_way_of_a_proxy() {
    let site = Site::with_listener("http-request-line", TRUSTED, "tls = true\nproxy-protocol = true");
    let mut stream = site.connect(site.second());
    stream
        .write_all(&binary([192, 0, 2, 77], &[]))
        .expect("the server reads");
    let (answer, ended) = exchange(site.secure_over(stream, &[]), GET);
    assert!(ended.is_ok(), "{ended:?}");
    for said in [
        "scheme: https\n",
        "x-forwarded-for: 192.0.2.77\n",
        "x-forwarded-proto: https\n",
    ] {
        assert!(answer.contains(said), "{answer}");
    }
}
