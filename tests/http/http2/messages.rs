//! Messages (RFC 9113 section 8): which fields make one, and what is told of those that are none.
//!
//! A malformed request is a stream error, or is answered with 400 (section 8.1.1); either way no guest sees it.

use super::Then::{Answers, Closes, Malformed, Refuses};
use super::fields::{GET, HTTP, POST, ROOT, block, field, get, get_with, post, post_with, websocket};
use super::wire::{
    END_HEADERS, END_STREAM, HEADERS, PADDED, PROTOCOL_ERROR, Peer, WITH_PRIORITY, data, frame, last_data, opened,
    request,
};
use super::{Case, check, sent};
use crate::axes::Isolation;
use wharf_tests::Server;

const RESET: super::Then = Malformed(1);
/// The library cannot read such a name or value, and ends the connection: section 5.4.2 lets it.
const DROPS: super::Then = Closes(PROTOCOL_ERROR);

/// A GET of these fields and no others.
fn of(rule: &'static str, what: &'static str, fields: &[(&str, &str)], then: super::Then) -> Case {
    sent(rule, what, request(1, block(fields)), then)
}

/// A GET with one more field.
fn with(
    rule: &'static str,
    what: &'static str,
    name: impl AsRef<[u8]>,
    value: impl AsRef<[u8]>,
    then: super::Then,
) -> Case {
    sent(rule, what, request(1, [get("/"), field(name, value)].concat()), then)
}

/// Section 8.2: names and values.
#[test]
fn fields() {
    let mut cases = vec![
        with("8.2.1", "a name in upper case", "X-Upper", "y", RESET).today(DROPS),
        with("8.2.1", "a name with one letter in upper case", "x-uppeR", "y", RESET).today(DROPS),
        with("8.2.1", "an empty name", "", "y", RESET).today(DROPS),
        with("8.2.1", "a name with a space", "x y", "z", RESET).today(DROPS),
        with("8.2.1", "a name with a colon", "x:y", "z", RESET).today(DROPS),
        with("8.2.1", "a name that ends with a colon", "x:", "z", RESET).today(DROPS),
        with("8.2.1", "a name with NUL", b"x\0y", "z", RESET).today(DROPS),
        with("8.2.1", "a name with a line's end", "x\r\ny", "z", RESET).today(DROPS),
        with("8.2.1", "a name with a byte above 0x7f", b"x\xff", "z", RESET).today(DROPS),
        with("8.2.1", "a name with DEL", b"x\x7f", "z", RESET).today(DROPS),
        with("8.2.1", "a value with NUL", "x", b"a\0b", RESET).today(DROPS),
        with("8.2.1", "a value with a carriage return", "x", "a\rb", RESET).today(DROPS),
        with("8.2.1", "a value with a line feed", "x", "a\nb", RESET).today(DROPS),
        with(
            "8.2.1",
            "a value that would be another field",
            "x",
            "a\r\nhost: b.test",
            RESET,
        )
        .today(DROPS),
        with("8.2.1", "a value that begins with a space", "x", " a", RESET),
        with("8.2.1", "a value that ends with a space", "x", "a ", RESET),
        with("8.2.1", "a value that begins with a tab", "x", "\ta", RESET),
        with("8.2.1", "a value that ends with a tab", "x", "a\t", RESET),
        with("8.2.1", "a value with a space within", "x", "a b\tc", Answers(1, 200)),
        with("8.2.1", "an empty value", "x", "", Answers(1, 200)),
        with(
            "8.2.1",
            "a value with a byte above 0x7f",
            "x",
            b"caf\xe9",
            Answers(1, 200),
        ),
        with("8.2.2", "connection", "connection", "keep-alive", RESET),
        with("8.2.2", "proxy-connection", "proxy-connection", "keep-alive", RESET),
        with("8.2.2", "keep-alive", "keep-alive", "timeout=5", RESET),
        with("8.2.2", "transfer-encoding", "transfer-encoding", "chunked", RESET),
        with("8.2.2", "upgrade", "upgrade", "websocket", RESET),
        with("8.2.2", "te that is not trailers", "te", "trailers, deflate", RESET),
        with("8.2.2", "te that is trailers", "te", "trailers", Answers(1, 200)),
    ];
    let trailers = |fields: &[(&str, &str)]| {
        [
            opened(1, post("/")),
            data(1, "x"),
            frame(HEADERS, END_HEADERS | END_STREAM, 1, block(fields)),
        ]
        .concat()
    };
    cases.extend([
        sent(
            "8.1",
            "trailers with a pseudo-field",
            trailers(&[(":method", "POST")]),
            RESET,
        ),
        sent(
            "8.1",
            "padded trailers with a pseudo-field",
            [
                opened(1, post("/")),
                data(1, "x"),
                frame(
                    HEADERS,
                    END_HEADERS | END_STREAM | PADDED | WITH_PRIORITY,
                    1,
                    [&[2, 0, 0, 0, 0, 16][..], &block(&[(":method", "POST")]), &[0; 2]].concat(),
                ),
            ]
            .concat(),
            RESET,
        ),
        sent("8.1", "trailers with :status", trailers(&[(":status", "200")]), RESET),
        sent(
            "8.1",
            "trailers with :path and others",
            trailers(&[("x", "y"), (":path", "/")]),
            RESET,
        ),
        sent(
            "8.2.1",
            "trailers with a name in upper case",
            trailers(&[("X-Upper", "y")]),
            RESET,
        )
        .today(DROPS),
        sent(
            "8.2.2",
            "trailers with connection",
            trailers(&[("connection", "close")]),
            RESET,
        ),
        sent(
            "8.2.2",
            "trailers with transfer-encoding",
            trailers(&[("transfer-encoding", "chunked")]),
            RESET,
        ),
        sent("8.1", "trailers", trailers(&[("x-trailer", "y")]), Answers(1, 200)),
    ]);
    check(cases);
}

/// Section 8.3: the line of a request, in fields.
#[test]
fn pseudo_fields() {
    let base = [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "a.test"),
    ];
    let without = |name: &str| base.into_iter().filter(|(other, _)| *other != name).collect::<Vec<_>>();
    let twice = |name: &str| {
        base.into_iter()
            .chain(base.into_iter().filter(|(other, _)| *other == name))
            .collect::<Vec<_>>()
    };
    let other = |name: &'static str, value: &'static str| {
        base.map(|(key, old)| (key, if key == name { value } else { old }))
            .to_vec()
    };
    let and = |name: &'static str, value: &'static str| [&base[..], &[(name, value)]].concat();
    check(vec![
        of("8.3", "one that nobody knows", &and(":unknown", "x"), RESET).today(DROPS),
        of("8.3", "that of a response", &and(":status", "200"), RESET),
        of(
            "8.3",
            "one after a field",
            &[(":method", "GET"), (":scheme", "http"), ("x", "y"), (":path", "/")],
            RESET,
        ),
        of("8.3", "all after a field", &[&[("x", "y")][..], &base].concat(), RESET),
        of("8.3", "one with an empty name", &and(":", "x"), RESET).today(DROPS),
        of(
            "8.3",
            "one in upper case",
            &[(":METHOD", "GET"), (":scheme", "http"), (":path", "/")],
            RESET,
        )
        .today(DROPS),
        of("8.3.1", "no method", &without(":method"), RESET),
        of("8.3.1", "no scheme", &without(":scheme"), RESET),
        of("8.3.1", "no path", &without(":path"), RESET),
        of("8.3.1", "nothing at all", &[], RESET),
        of("8.3.1", "two methods", &twice(":method"), RESET),
        of("8.3.1", "two schemes", &twice(":scheme"), RESET),
        of("8.3.1", "two paths", &twice(":path"), RESET),
        of("8.3.1", "two authorities", &twice(":authority"), RESET),
        of("8.3.1", "an empty method", &other(":method", ""), RESET).today(DROPS),
        of("8.3.1", "a method that is no word", &other(":method", "GE T"), RESET).today(DROPS),
        of("8.3.1", "an empty scheme", &other(":scheme", ""), RESET),
        of("8.3.1", "a scheme that is none", &other(":scheme", "h ttp"), RESET),
        of(
            "8.3.1",
            "a scheme that is not this server's",
            &other(":scheme", "ftp"),
            RESET,
        ),
        of("8.3.1", "an empty path", &other(":path", ""), RESET),
        of("8.3.1", "a path without a slash", &other(":path", "x"), RESET),
        of("8.3.1", "a path with a space", &other(":path", "/a b"), RESET),
        of("8.3.1", "a path with a line's end", &other(":path", "/a\r\nb"), RESET),
        of(
            "8.3.1",
            "a path that is a whole URI",
            &other(":path", "http://b.test/"),
            RESET,
        ),
        of("8.3.1", "an asterisk for GET", &other(":path", "*"), RESET),
        of(
            "8.3.1",
            "an asterisk for OPTIONS",
            &[
                (":method", "OPTIONS"),
                (":scheme", "http"),
                (":path", "*"),
                (":authority", "a.test"),
            ],
            Answers(1, 200),
        ),
        of(
            "8.3.1",
            "no authority, and a host",
            &[&without(":authority")[..], &[("host", "a.test")]].concat(),
            Answers(1, 200),
        ),
        of("8.3.1", "no authority, and no host", &without(":authority"), RESET),
        of(
            "8.3.1",
            "no authority, and two hosts",
            &[&without(":authority")[..], &[("host", "a.test"), ("host", "b.test")]].concat(),
            RESET,
        ),
        of(
            "8.3.1",
            "an authority, and the same host",
            &and("host", "a.test"),
            Answers(1, 200),
        ),
        of("8.3.1", "an authority, and another host", &and("host", "b.test"), RESET),
        of(
            "8.3.1",
            "an authority, and two hosts",
            &[&base[..], &[("host", "a.test"), ("host", "b.test")]].concat(),
            RESET,
        ),
        of(
            "8.3.1",
            "an authority with user information",
            &other(":authority", "user@a.test"),
            RESET,
        ),
        of("8.3.1", "an authority that is none", &other(":authority", "a b"), RESET),
        of("8.3.1", "an empty authority", &other(":authority", ""), RESET),
        of(
            "8.3.1",
            "an authority that is an IPv6 address with a port",
            &other(":authority", "[::1]:8080"),
            Answers(1, 200),
        ),
        of(
            "8.3.1",
            "an authority with a port that is none",
            &other(":authority", "a.test:x"),
            RESET,
        ),
    ]);
}

/// Section 8.1.1: content is as long as it says.
#[test]
fn lengths() {
    let says = |length: &str| opened(1, post_with(&[("content-length", length)]));
    let head = |fields: &[(&str, &str)]| request(1, post_with(fields));
    check(vec![
        sent(
            "8.1.1",
            "as long as it says",
            [says("3"), last_data(1, "abc")].concat(),
            Answers(1, 200),
        ),
        sent(
            "8.1.1",
            "as long as it says, in pieces with padding",
            [
                says("3"),
                data(1, "a"),
                frame(0, 8, 1, [2, b'b', 0, 0]),
                last_data(1, "c"),
            ]
            .concat(),
            Answers(1, 200),
        ),
        sent(
            "8.1.1",
            "less in one piece",
            [says("3"), last_data(1, "a")].concat(),
            RESET,
        ),
        sent(
            "8.1.1",
            "less in several",
            [says("9"), data(1, "a"), last_data(1, "b")].concat(),
            RESET,
        ),
        sent(
            "8.1.1",
            "more in one piece",
            [says("1"), last_data(1, "abc")].concat(),
            RESET,
        ),
        sent(
            "8.1.1",
            "more in several",
            [says("2"), data(1, "ab"), last_data(1, "c")].concat(),
            RESET,
        ),
        sent("8.1.1", "more, and no end", [says("2"), data(1, "abc")].concat(), RESET),
        sent(
            "8.1.1",
            "something, and none is sent",
            head(&[("content-length", "3")]),
            RESET,
        ),
        sent(
            "8.1.1",
            "nothing, and none is sent",
            head(&[("content-length", "0")]),
            Answers(1, 200),
        ),
        sent(
            "8.1.1",
            "less before trailers",
            [
                says("3"),
                data(1, "a"),
                frame(HEADERS, END_HEADERS | END_STREAM, 1, field("x", "y")),
            ]
            .concat(),
            RESET,
        ),
        sent(
            "8.1.1",
            "a length that is none",
            [says("x"), last_data(1, "a")].concat(),
            RESET,
        ),
        sent(
            "8.1.1",
            "a length below zero",
            [says("-1"), last_data(1, "a")].concat(),
            RESET,
        ),
        sent(
            "8.1.1",
            "a length with a sign",
            [says("+1"), last_data(1, "a")].concat(),
            RESET,
        ),
        sent(
            "8.1.1",
            "a length beyond 2^64",
            [says("99999999999999999999"), last_data(1, "a")].concat(),
            RESET,
        ),
        sent(
            "8.1.1",
            "two lengths",
            [
                opened(1, post_with(&[("content-length", "1"), ("content-length", "2")])),
                last_data(1, "a"),
            ]
            .concat(),
            RESET,
        ),
        sent(
            "8.1.1",
            "one length twice",
            [
                opened(1, post_with(&[("content-length", "1"), ("content-length", "1")])),
                last_data(1, "a"),
            ]
            .concat(),
            Answers(1, 200),
        ),
        sent(
            "8.1.1",
            "several lengths in one",
            [says("1, 1"), last_data(1, "a")].concat(),
            RESET,
        ),
        sent("8.1.1", "an empty length", [says(""), last_data(1, "")].concat(), RESET),
    ]);
}

/// Section 8.5, and RFC 8441: this server is no proxy.
#[test]
fn tunnels() {
    let connect = |fields: &[(&'static str, &'static str)]| {
        let head: Vec<_> = [(":method", "CONNECT")].iter().chain(fields).copied().collect();
        opened(1, block(&head))
    };
    let tunnel = |what, fields: &[(&'static str, &'static str)], then| sent("8.5", what, connect(fields), then);
    check(vec![
        tunnel("a tunnel", &[(":authority", "a.test:443")], Answers(1, 501)),
        tunnel(
            "a tunnel with a path",
            &[(":authority", "a.test:443"), (":scheme", "http"), (":path", "/")],
            RESET,
        ),
        tunnel("a tunnel without an authority", &[], Answers(1, 501)),
        sent(
            "8.5",
            "a tunnel with content",
            [connect(&[(":authority", "a.test:443")]), last_data(1, "abc")].concat(),
            Answers(1, 501),
        ),
        tunnel(
            "a tunnel with a length",
            &[(":authority", "a.test:443"), ("content-length", "3")],
            RESET,
        ),
        tunnel(
            "a tunnel with no length, and a field of it",
            &[(":authority", "a.test:443"), ("content-length", "0")],
            RESET,
        ),
        sent(
            "8.5",
            "a WebSocket with a length, and a request beside it",
            [
                opened(1, [websocket("/"), field("content-length", "3")].concat()),
                request(3, get("/")),
            ]
            .concat(),
            Answers(3, 200),
        ),
    ]);
}

/// Whatever a connection makes of `CONNECT` for a protocol that nobody knows (RFC 8441 section 4), it is no tunnel, and the
/// connection goes on.
#[test]
fn tunnels_for_a_protocol() {
    let server = Server::start("http-echo", &[]);
    for protocol in ["nobody-knows", "", "connect-udp"] {
        let mut peer = Peer::greeted(server.addr());
        let head = [
            (":method", "CONNECT"),
            (":protocol", protocol),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "a.test"),
        ];
        peer.send(opened(1, block(&head)));
        peer.until(
            |seen| seen.status(1).is_some() || seen.resets.contains_key(&1),
            "an answer",
        );
        let status = peer.seen.status(1);
        assert!(
            status.is_none_or(|status| (400..=599).contains(&status)),
            "{protocol}: {status:?}"
        );
        assert!(peer.is_alive(), "{protocol}: {:?}", peer.seen);
        peer.send(request(3, get("/")));
        peer.until(|seen| seen.status(3) == Some(200), "another request");
    }
}

/// The methods and forms of whole exchanges.
#[test]
fn exchanges() {
    check(vec![
        sent("8.1", "GET", request(1, get("/")), Answers(1, 200)),
        sent(
            "8.1",
            "HEAD",
            request(
                1,
                block(&[
                    (":method", "HEAD"),
                    (":scheme", "http"),
                    (":path", "/"),
                    (":authority", "a.test"),
                ]),
            ),
            Answers(1, 200),
        ),
        sent(
            "8.1",
            "POST with content",
            [opened(1, post("/")), last_data(1, "content")].concat(),
            Answers(1, 200),
        ),
        sent("8.1", "POST without content", request(1, post("/")), Answers(1, 200)),
        sent(
            "8.1",
            "GET with content",
            [opened(1, get("/")), last_data(1, "content")].concat(),
            Answers(1, 200),
        ),
        sent(
            "8.1",
            "a method that nobody knows",
            request(
                1,
                block(&[
                    (":method", "PURGE"),
                    (":scheme", "http"),
                    (":path", "/"),
                    (":authority", "a.test"),
                ]),
            ),
            Answers(1, 200),
        ),
        sent(
            "8.1",
            "fields in any order",
            request(
                1,
                [field(":authority", "a.test"), field(":path", "/"), vec![HTTP, GET]].concat(),
            ),
            Answers(1, 200),
        ),
        sent(
            "8.1",
            "https in the clear, from a proxy",
            request(
                1,
                [
                    &[POST, ROOT][..],
                    &field(":scheme", "https"),
                    &field(":authority", "a.test"),
                ]
                .concat(),
            ),
            Answers(1, 200),
        ),
        sent(
            "8.1",
            "expect",
            [opened(1, post_with(&[("expect", "100-continue")])), last_data(1, "x")].concat(),
            Answers(1, 200),
        ),
        sent(
            "8.1.1",
            "a malformed request beside a good one",
            [request(1, get_with(&[("connection", "close")])), request(3, get("/"))].concat(),
            Answers(3, 200),
        ),
        sent(
            "8.4",
            "a push",
            frame(5, END_HEADERS, 1, [&[0, 0, 0, 2][..], &get("/")].concat()),
            Closes(PROTOCOL_ERROR),
        ),
        sent(
            "8.4",
            "an answer on a stream of the server's",
            request(2, get("/")),
            Refuses(2, PROTOCOL_ERROR),
        ),
    ]);
}

/// RFC 9110 section 10.1.1: who waits to be asked for content is, once a guest wants it, and only then.
#[test]
fn content_is_asked_for() {
    for isolation in Isolation::ALL {
        let server = isolation.serve("http-upload", &[]);
        let mut peer = Peer::greeted(server.addr());
        peer.send(opened(1, post_with(&[("expect", "100-Continue")])));
        peer.until(|seen| seen.status(1) == Some(100), "to be asked");
        peer.send(last_data(1, "abc"));
        peer.until(|seen| seen.ended.contains(&1), "an answer");
        assert_eq!(peer.seen.statuses[&1], [100, 200], "{isolation:?}");
        assert_eq!(peer.seen.text(1), "bytes 3 sum 294 complete", "{isolation:?}");
        peer.send(opened(3, [post("/?unread"), field("expect", "100-continue")].concat()));
        peer.until(|seen| seen.status(3).is_some(), "an answer");
        assert_eq!(peer.seen.statuses[&3], [200], "{isolation:?}: nobody reads");
        assert!(peer.is_alive());
    }
}

/// Section 8.2.3: crumbs of a cookie are one cookie for whoever knows nothing of HTTP/2, such as a guest.
#[test]
fn cookies_are_put_together() {
    let server = Server::start("http-request-line", &[]);
    let mut peer = Peer::greeted(server.addr());
    peer.send(request(
        1,
        get_with(&[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"), ("cookie", "c=3")]),
    ));
    peer.until(|seen| seen.ended.contains(&1), "an answer");
    let text = peer.seen.text(1);
    assert!(text.contains("\ncookie: a=1; b=2; c=3\n"), "{text}");
    assert_eq!(text.matches("cookie:").count(), 1, "{text}");
}

/// An answer to HEAD has no content; one to a request that was refused before its content had come does not wait for it.
#[test]
fn answers() {
    let server = Server::start("http-content-length", &[]);
    let mut peer = Peer::greeted(server.addr());
    let head = [
        (":method", "HEAD"),
        (":scheme", "http"),
        (":path", "/?declared=5&actual=5"),
        (":authority", "a.test"),
    ];
    peer.send(request(1, block(&head)));
    peer.until(|seen| seen.ended.contains(&1), "an answer");
    assert_eq!((peer.seen.status(1), peer.seen.bytes(1)), (Some(200), 0));
    peer.send(opened(
        3,
        [&[POST, HTTP][..], &field(":path", "/"), &field(":authority", "a.test")].concat(),
    ));
    peer.until(|seen| seen.status(3) == Some(200), "an answer before the content");
    assert!(peer.is_alive());
}
