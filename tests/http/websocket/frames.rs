//! The protocol frame by frame, as cases: framing, pings, reserved bits, opcodes, fragments, UTF-8, closing, large messages.
//!
//! Each case is what the client sends to a guest that sends everything back, and all that comes: over HTTP/1.1 in one piece and
//! byte by byte, and in a stream of HTTP/2; over plain TCP and over TLS.

use wharf_tests::websocket::{BINARY, CLOSE, CONTINUATION, Frame, PING, PONG, TEXT, WebSocket};

use super::serve;
use crate::axes::Protocol;
use crate::tunnel::Secured;

/// How the bytes of a case travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Http1,
    ByteByByte,
    Http2,
    Http1ByTls,
    Http2ByTls,
}

impl Way {
    const ALL: [Self; 5] = [
        Self::Http1,
        Self::ByteByByte,
        Self::Http2,
        Self::Http1ByTls,
        Self::Http2ByTls,
    ];
    /// Those for what is large.
    const WHOLE: [Self; 4] = [Self::Http1, Self::Http2, Self::Http1ByTls, Self::Http2ByTls];

    fn open(self, site: &Secured) -> WebSocket {
        let (addr, is_http2) = match self {
            Self::Http1 | Self::ByteByByte => (site.server.addr(), false),
            Self::Http2 => (site.server.addr(), true),
            Self::Http1ByTls => (site.addr(Protocol::Http1), false),
            Self::Http2ByTls => (site.addr(Protocol::Http2), true),
        };
        match is_http2 {
            true => WebSocket::over_http2(addr, "/echo", &[]).expect("it is accepted"),
            false => WebSocket::open(addr, "/echo"),
        }
    }
}

/// What is sent, and what comes.
struct Case {
    name: String,
    sent: Vec<u8>,
    comes: Vec<Frame>,
    /// The code the server closes with; otherwise the connection is still open, and is closed by the client.
    ends: Option<u16>,
}

fn case(name: impl Into<String>, sent: &[Frame], comes: &[Frame]) -> Case {
    Case {
        name: name.into(),
        sent: sent.iter().flat_map(Frame::masked).collect(),
        comes: comes.to_vec(),
        ends: None,
    }
}

/// A case that the server ends.
fn fails(name: impl Into<String>, sent: &[Frame], comes: &[Frame], code: u16) -> Case {
    Case {
        ends: Some(code),
        ..case(name, sent, comes)
    }
}

fn raw(name: &str, sent: &[u8], code: u16) -> Case {
    Case {
        name: name.to_owned(),
        sent: sent.to_vec(),
        comes: Vec::new(),
        ends: Some(code),
    }
}

fn text(text: impl Into<Vec<u8>>) -> Frame {
    Frame::new(TEXT, text)
}

fn more(text: impl Into<Vec<u8>>) -> Frame {
    Frame::new(CONTINUATION, text)
}

fn ping(content: impl Into<Vec<u8>>) -> Frame {
    Frame::new(PING, content)
}

fn pong(content: impl Into<Vec<u8>>) -> Frame {
    Frame::new(PONG, content)
}

const PROTOCOL: u16 = 1002;
const NOT_UTF8: u16 = 1007;

#[track_caller]
fn check_all(cases: &[Case]) {
    check_by(cases, &Way::ALL);
}

#[track_caller]
fn check_by(cases: &[Case], ways: &[Way]) {
    let site = Secured::serve("ws", "[apps.main.websocket]\nmessage = '8MiB'\nrate = 1000000", &[]);
    for case in cases {
        for &way in ways {
            check(&site, case, way);
        }
    }
}

#[track_caller]
fn check(site: &Secured, case: &Case, way: Way) {
    let mut socket = way.open(site);
    match way {
        // The server may have enough before all is sent.
        Way::ByteByByte if case.sent.len() < 2000 => {
            for byte in &case.sent {
                if socket.try_send_bytes(&[*byte]).is_err() {
                    break;
                }
            }
        }
        _ => drop(socket.try_send_bytes(&case.sent)),
    }
    let mut comes: Vec<Frame> = (0..case.comes.len()).map_while(|_| socket.receive()).collect();
    let ends = match case.ends {
        Some(code) => {
            comes.extend(socket.rest());
            let last = comes.pop();
            assert_eq!(
                last.as_ref().and_then(Frame::code),
                Some(code),
                "{} {way:?}: {comes:?} {last:?}",
                case.name
            );
            true
        }
        None => {
            socket.send(&Frame::close(1000, ""));
            socket.rest() == [Frame::close(1000, "")]
        }
    };
    assert_eq!(comes, case.comes, "{} {way:?}", case.name);
    assert!(
        ends,
        "{} {way:?}: it is closed as it was asked to be, and nothing else comes",
        case.name
    );
}

#[test]
fn messages_of_all_lengths() {
    let mut cases = Vec::new();
    for length in [0, 1, 125, 126, 127, 128, 65_535, 65_536, 65_537] {
        for opcode in [TEXT, BINARY] {
            let frame = Frame::new(opcode, vec![b'*'; length]);
            cases.push(case(
                format!("{opcode} of {length} bytes"),
                std::slice::from_ref(&frame),
                std::slice::from_ref(&frame),
            ));
        }
    }
    let many: Vec<Frame> = (0..50).map(|nth| text(format!("message {nth}"))).collect();
    cases.push(case("fifty messages", &many, &many));
    check_all(&cases);
}

#[test]
fn pings_and_pongs() {
    let bytes: Vec<u8> = (0..125).collect();
    let ten: Vec<Frame> = (0..10).map(|nth| ping(format!("payload-{nth}"))).collect();
    let answers: Vec<Frame> = (0..10).map(|nth| pong(format!("payload-{nth}"))).collect();
    check_all(&[
        case("an empty ping", &[ping("")], &[pong("")]),
        case("a ping with text", &[ping("hello")], &[pong("hello")]),
        case("a ping with bytes", &[ping([0, 255, 254])], &[pong([0, 255, 254])]),
        case("a ping of 125 bytes", &[ping(bytes.clone())], &[pong(bytes)]),
        fails("a ping of 126 bytes", &[ping(vec![1; 126])], &[], PROTOCOL),
        case("a pong that was not asked for", &[pong("")], &[]),
        case("a pong, then a ping", &[pong("a"), ping("b")], &[pong("b")]),
        case("ten pings", &ten, &answers),
        fails("a pong of 126 bytes", &[pong(vec![1; 126])], &[], PROTOCOL),
    ]);
}

#[test]
fn reserved_bits() {
    let mut cases = Vec::new();
    for bits in 1..8 {
        for opcode in [TEXT, BINARY, PING, PONG, CLOSE] {
            let frame = Frame::new(opcode, "").reserved(bits);
            cases.push(fails(
                format!("bits {bits} in {opcode}"),
                std::slice::from_ref(&frame),
                &[],
                PROTOCOL,
            ));
            let name = format!("a message, then bits {bits} in {opcode}");
            cases.push(fails(name, &[ping("a"), frame, ping("b")], &[pong("a")], PROTOCOL));
        }
    }
    let continued = [text("a").more(), more("b").reserved(4)];
    cases.push(fails("a bit in a continuation", &continued, &[], PROTOCOL));
    check_all(&cases);
}

#[test]
fn reserved_opcodes() {
    let mut cases = Vec::new();
    for opcode in (3..8).chain(11..16) {
        let (empty, full) = (Frame::new(opcode, ""), Frame::new(opcode, "reserved payload"));
        cases.push(fails(format!("opcode {opcode}"), &[empty], &[], PROTOCOL));
        cases.push(fails(
            format!("opcode {opcode} with content"),
            std::slice::from_ref(&full),
            &[],
            PROTOCOL,
        ));
        let name = format!("opcode {opcode} after a ping");
        cases.push(fails(
            name,
            &[ping("a"), full.clone(), ping("b")],
            &[pong("a")],
            PROTOCOL,
        ));
        let name = format!("opcode {opcode} within a message");
        cases.push(fails(name, &[text("a").more(), full], &[], PROTOCOL));
    }
    check_all(&cases);
}

#[test]
fn fragments() {
    let hello = || text("hello, world");
    let pieces: Vec<Frame> = (0..100)
        .map(|nth| match nth {
            0 => text("x").more(),
            99 => more("x"),
            _ => more("x").more(),
        })
        .collect();
    check_all(&[
        fails("a ping in fragments", &[ping("a").more(), more("b")], &[], PROTOCOL),
        fails("a pong in fragments", &[pong("a").more(), more("b")], &[], PROTOCOL),
        fails(
            "a close in fragments",
            &[Frame::close(1000, "").more(), more("")],
            &[],
            PROTOCOL,
        ),
        case("a text in two", &[text("hello, ").more(), more("world")], &[hello()]),
        case(
            "a text in empty ones",
            &[text("").more(), more("").more(), more("")],
            &[text("")],
        ),
        case(
            "a text in three of which the middle one is full",
            &[text("").more(), more("hello, world").more(), more("")],
            &[hello()],
        ),
        case(
            "bytes in two",
            &[Frame::new(BINARY, [0]).more(), more([255])],
            &[Frame::new(BINARY, [0, 255])],
        ),
        case(
            "a ping between",
            &[text("hello, ").more(), ping("p"), more("world")],
            &[pong("p"), hello()],
        ),
        case(
            "pings between many",
            &[text("a").more(), ping("1"), more("b").more(), ping("2"), more("c")],
            &[pong("1"), pong("2"), text("abc")],
        ),
        case("a hundred", &pieces, &[text("x".repeat(100))]),
        case(
            "two messages",
            &[text("a").more(), more("b"), text("c").more(), more("d")],
            &[text("ab"), text("cd")],
        ),
        fails("a continuation of nothing", &[more("a")], &[], PROTOCOL),
        fails("one with others to follow", &[more("a").more()], &[], PROTOCOL),
        fails("an empty continuation of nothing", &[more("")], &[], PROTOCOL),
        fails(
            "a continuation after a ping",
            &[ping("a"), more("b")],
            &[pong("a")],
            PROTOCOL,
        ),
        fails("a text within a text", &[text("a").more(), text("b")], &[], PROTOCOL),
        fails(
            "bytes within a text",
            &[text("a").more(), Frame::new(BINARY, "b")],
            &[],
            PROTOCOL,
        ),
    ]);
}

/// The guest's answer to a whole message comes before what is wrong behind it, if it is waited for.
#[test]
fn a_continuation_after_the_last() {
    let server = serve("ws", "");
    let mut socket = WebSocket::open(server.addr(), "/echo");
    [text("a").more(), more("b")]
        .iter()
        .for_each(|frame| socket.send(frame));
    assert_eq!(socket.text(), "ab");
    socket.send(&more("c").more());
    assert_eq!(socket.end(), Some(PROTOCOL));
}

#[test]
fn texts_are_utf8() {
    let valid: [&[u8]; 13] = [
        b"",
        "Hällo-µ@ßöäüàá-UTF-8!!".as_bytes(),
        "κόσμε".as_bytes(),
        b"\0",
        "\u{80}".as_bytes(),
        "\u{800}".as_bytes(),
        "\u{10000}".as_bytes(),
        "\u{7f}\u{7ff}\u{ffff}\u{10ffff}".as_bytes(),
        "\u{d7ff}\u{e000}\u{fffd}".as_bytes(),
        "\u{fffe}".as_bytes(),
        "\u{1fffe}\u{1ffff}".as_bytes(),
        "\u{feff}begun with a mark".as_bytes(),
        "𝄞🦀".as_bytes(),
    ];
    let invalid: [&[u8]; 26] = [
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
        b"\x80",
        b"\xbf",
        b"\x80\xbf",
        b"\xc0",
        b"\xc1",
        b"\xc0\xaf",
        b"\xc1\xbf",
        b"\xe0\x80\xaf",
        b"\xe0\x9f\xbf",
        b"\xf0\x80\x80\xaf",
        b"\xf0\x8f\xbf\xbf",
        b"\xf8\x88\x80\x80\x80",
        b"\xfc\x84\x80\x80\x80\x80",
        b"\xed\xa0\x80",
        b"\xed\xaf\xbf",
        b"\xed\xb0\x80",
        b"\xed\xbf\xbf",
        b"\xed\xa0\x80\xed\xb0\x80",
        b"\xf4\x90\x80\x80",
        b"\xf5\x80\x80\x80",
        b"\xfe",
        b"\xff",
        b"\xfe\xfe\xff\xff",
        b"\xc3",
        b"\xf0\x9f\xa6",
    ];
    let mut cases = Vec::new();
    for bytes in valid {
        cases.push(case(format!("{bytes:x?}"), &[text(bytes)], &[text(bytes)]));
        let singly: Vec<Frame> = pieces(bytes);
        cases.push(case(format!("{bytes:x?} in pieces"), &singly, &[text(bytes)]));
    }
    for bytes in invalid {
        cases.push(fails(format!("{bytes:x?}"), &[text(bytes)], &[], NOT_UTF8));
        cases.push(fails(format!("{bytes:x?} in pieces"), &pieces(bytes), &[], NOT_UTF8));
        let (bad, good) = (Frame::new(BINARY, bytes), text("after"));
        cases.push(case(
            format!("{bytes:x?} as bytes"),
            &[bad.clone(), good.clone()],
            &[bad, good],
        ));
    }
    check_all(&cases);
}

/// One byte in a frame.
fn pieces(bytes: &[u8]) -> Vec<Frame> {
    let mut frames = vec![text("").more()];
    frames.extend(bytes.iter().map(|byte| more([*byte]).more()));
    frames.push(more(""));
    frames
}

/// A text that is none is noticed before it is whole: in a fragment, and in a frame that has not ended.
#[test]
fn what_is_no_text_is_noticed_as_it_comes() {
    let begun = "κόσμε".as_bytes();
    let mut half = text([begun, b"\xf4\x90\x80\x80", &[b'x'; 1000]].concat()).masked();
    half.truncate(30);
    check_all(&[
        fails(
            "a fragment",
            &[text([begun, b"\xf4\x90"].concat()).more()],
            &[],
            NOT_UTF8,
        ),
        fails(
            "a second fragment",
            &[text([begun, b"\xf4"].concat()).more(), more(b"\x90").more()],
            &[],
            NOT_UTF8,
        ),
        raw("the beginning of a frame", &half, NOT_UTF8),
    ]);
}

#[test]
fn closing() {
    let close = |code| Frame::close(code, "");
    let reason = "x".repeat(123);
    let cases = [
        fails("without a code", &[], &[], 0).with(&[Frame::new(CLOSE, "")]),
        fails("half a code", &[Frame::new(CLOSE, [3])], &[], PROTOCOL),
        fails("a reason", &[Frame::close(1000, "bye")], &[], 1000),
        fails("a long reason", &[Frame::close(1000, &reason)], &[], 1000),
        fails(
            "too long a reason",
            &[Frame::close(1000, &(reason.clone() + "x"))],
            &[],
            PROTOCOL,
        ),
        fails(
            "a reason that is no text",
            &[Frame::new(CLOSE, *b"\x03\xe8\xce\xba\xe1\xbd\xed\xa0\x80")],
            &[],
            NOT_UTF8,
        ),
        fails("two", &[close(1000), close(1000)], &[], 1000),
        fails("a ping after it", &[close(1000), ping("a")], &[], 1000),
        fails("a text after it", &[close(1000), text("a")], &[], 1000),
        fails(
            "what is no frame after it",
            &[close(1000), Frame::new(7, "a").reserved(7)],
            &[],
            1000,
        ),
        fails(
            "within a message",
            &[text("a").more(), close(1000), more("b")],
            &[],
            1000,
        ),
    ];
    let may: [u16; 16] = [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999,
    ];
    let may_not = [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535];
    let may = may.map(|code| fails(format!("code {code}"), &[close(code)], &[], code));
    let may_not = may_not.map(|code| fails(format!("code {code}"), &[close(code)], &[], PROTOCOL));
    let site = Secured::serve("ws", "", &[]);
    for case in cases.iter().chain(&may).chain(&may_not) {
        for way in Way::ALL {
            if case.ends == Some(0) {
                // It is answered as it came.
                let mut socket = way.open(&site);
                socket.send_bytes(&case.sent);
                assert_eq!(socket.rest(), [Frame::new(CLOSE, "")], "{}", case.name);
            } else {
                check(&site, case, way);
            }
        }
    }
}

impl Case {
    fn with(mut self, sent: &[Frame]) -> Self {
        self.sent = sent.iter().flat_map(Frame::masked).collect();
        self
    }
}

/// A message of several MiB, whole and in fragments of every size.
#[test]
fn large_messages() {
    let mut cases = Vec::new();
    for kib in [64, 256, 1024, 4096, 8192] {
        for opcode in [TEXT, BINARY] {
            let frame = Frame::new(opcode, vec![b'*'; kib << 10]);
            cases.push(case(
                format!("{opcode} of {kib} KiB"),
                std::slice::from_ref(&frame),
                std::slice::from_ref(&frame),
            ));
        }
    }
    for piece in [64, 256, 1300, 4096, 65_536, 1 << 20] {
        let whole = vec![b'*'; 4 << 20];
        let mut frames: Vec<Frame> = whole.chunks(piece).map(|piece| more(piece).more()).collect();
        frames[0].opcode = BINARY;
        frames.push(more(""));
        cases.push(case(
            format!("4 MiB in pieces of {piece}"),
            &frames,
            &[Frame::new(BINARY, whole)],
        ));
    }
    check_by(&cases, &Way::WHOLE);
}

/// A thousand messages there and back, one after the other.
#[test]
fn many_messages() {
    let server = serve("ws", "rate = 1000000");
    let mut socket = WebSocket::open(server.addr(), "/echo");
    for length in [0, 16, 64, 256, 1024, 4096] {
        let frame = Frame::new(BINARY, vec![7; length]);
        for _ in 0..1000 {
            socket.send(&frame);
            assert_eq!(socket.receive().as_ref(), Some(&frame));
        }
    }
}

/// What the RFC says of heads beside the above.
#[test]
fn heads() {
    let unmasked = text("hello").bytes(None);
    let huge = [&[0x82, 0xff][..], &[0x80, 0, 0, 0, 0, 0, 0, 1], &[1, 2, 3, 4]].concat();
    let long_for_short = [&[0x81, 0xfe][..], &[0, 5], &[0; 4], b"hello"].concat();
    let longer_for_long = [&[0x82, 0xff][..], &[0, 0, 0, 0, 0, 0, 1, 0], &[0; 4], &[1; 256]].concat();
    check_all(&[
        raw("a frame without a mask", &unmasked, PROTOCOL),
        raw("a ping without a mask", &ping("a").bytes(None), PROTOCOL),
        raw("a length with its highest bit", &huge, PROTOCOL),
        raw("five bytes with a length of sixteen bits", &long_for_short, PROTOCOL),
        raw("256 bytes with a length of 64 bits", &longer_for_long, PROTOCOL),
        Case {
            sent: text("hello").bytes(Some([0; 4])),
            ..case("a mask that changes nothing", &[], &[text("hello")])
        },
    ]);
}
