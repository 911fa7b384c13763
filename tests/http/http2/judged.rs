//! What suites of conformance accept as an answer to an error: a reset or a goodbye with one of the codes that the section names,
//! or the end of the connection. A status (400), which section 8.1.1 permits as well, is none of these.
//!
//! What each case is about, and what becomes of the connection, is said with its section in the other files.

use super::Then::Judged;
use super::fields::{block, entered, field, get, indexed, post, post_with, table_size};
use super::wire::{
    CANCEL, COMPRESSION_ERROR, CONTINUATION, DATA, ENABLE_PUSH, END_HEADERS, END_STREAM, FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, PADDED, PING, PRIORITY, PROTOCOL_ERROR,
    PUSH_PROMISE, RST_STREAM, SETTINGS, STREAM_CLOSED, WINDOW_UPDATE, WITH_PRIORITY, data, frame, last_data, opened,
    priority, request, reset, settings, window_update,
};
use super::{Case, Step, case, check, sent};

const PROTOCOL: &[u32] = &[PROTOCOL_ERROR];
const CLOSED: &[u32] = &[STREAM_CLOSED];
const EITHER: &[u32] = &[STREAM_CLOSED, PROTOCOL_ERROR];
const SIZE: &[u32] = &[FRAME_SIZE_ERROR];
const FLOW: &[u32] = &[FLOW_CONTROL_ERROR];
const COMPRESSION: &[u32] = &[COMPRESSION_ERROR];

fn judged(rule: &'static str, what: &'static str, bytes: Vec<u8>, codes: &'static [u32]) -> Case {
    sent(rule, what, bytes, Judged(1, codes))
}

/// A stream that waits for content, and then what follows.
fn after(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    [&opened(1, post("/")), bytes.as_ref()].concat()
}

/// Sections 4 to 6: frames.
#[test]
fn frames() {
    let half = get("/");
    let (first, second) = half.split_at(half.len() / 2);
    let begun = |then: Vec<u8>| [frame(HEADERS, END_STREAM, 1, first), then].concat();
    let rest = |stream| frame(CONTINUATION, END_HEADERS, stream, second);
    let with_priority = END_HEADERS | END_STREAM | WITH_PRIORITY;
    check(vec![
        judged("4.2", "large DATA", after(data(1, [0; (1 << 14) + 1])), SIZE),
        judged("4.2", "large HEADERS", opened(1, [0; (1 << 14) + 1]), SIZE),
        judged("4.3", "PRIORITY in a block", begun(priority(1, 0)), PROTOCOL),
        judged(
            "4.3",
            "HEADERS of another stream",
            begun(request(3, get("/"))),
            PROTOCOL,
        ),
        judged(
            "5.5",
            "an unknown frame in a block",
            begun(frame(0xbb, 0, 0, "")),
            PROTOCOL,
        ),
        judged(
            "5.3.1",
            "HEADERS that depend on themselves",
            frame(HEADERS, with_priority, 1, [&[0, 0, 0, 1, 15][..], &half].concat()),
            PROTOCOL,
        ),
        judged(
            "5.3.1",
            "PRIORITY that depends on itself",
            after(priority(1, 1)),
            PROTOCOL,
        ),
        judged("5.4.1", "a PING that is none", frame(PING, 0, 1, [0; 8]), PROTOCOL),
        judged("6.1", "DATA of stream 0", data(0, "x"), PROTOCOL),
        judged(
            "6.1",
            "padding longer than DATA",
            after(frame(DATA, END_STREAM | PADDED, 1, [6, b'x'])),
            PROTOCOL,
        ),
        judged("6.2", "HEADERS of stream 0", request(0, get("/")), PROTOCOL),
        judged(
            "6.2",
            "padding longer than HEADERS",
            frame(
                HEADERS,
                END_HEADERS | END_STREAM | PADDED,
                1,
                [&[250], &half[..]].concat(),
            ),
            PROTOCOL,
        ),
        judged("6.3", "PRIORITY of stream 0", priority(0, 1), PROTOCOL),
        judged("6.3", "a short PRIORITY", after(frame(PRIORITY, 0, 1, [0; 4])), SIZE),
        judged("6.4", "RST_STREAM of stream 0", reset(0, CANCEL), PROTOCOL),
        judged("6.4", "RST_STREAM of an idle stream", reset(1, CANCEL), PROTOCOL),
        judged(
            "6.4",
            "a short RST_STREAM",
            after(frame(RST_STREAM, 0, 1, [0; 3])),
            SIZE,
        ),
        judged("6.5", "an ACK that says something", frame(SETTINGS, 1, 0, [0]), SIZE),
        judged("6.5", "SETTINGS of a stream", frame(SETTINGS, 0, 1, [0; 6]), PROTOCOL),
        judged("6.5", "SETTINGS of odd length", frame(SETTINGS, 0, 0, [0; 3]), SIZE),
        judged("6.5.2", "ENABLE_PUSH of 2", settings(&[(ENABLE_PUSH, 2)]), PROTOCOL),
        judged(
            "6.5.2",
            "a window of 2^31",
            settings(&[(INITIAL_WINDOW_SIZE, 1 << 31)]),
            FLOW,
        ),
        judged(
            "6.5.2",
            "frames of 2^14-1",
            settings(&[(MAX_FRAME_SIZE, 16_383)]),
            PROTOCOL,
        ),
        judged(
            "6.5.2",
            "frames of 2^24",
            settings(&[(MAX_FRAME_SIZE, 1 << 24)]),
            PROTOCOL,
        ),
        judged(
            "6.6",
            "a push",
            frame(PUSH_PROMISE, END_HEADERS, 1, [&[0, 0, 0, 2], &half[..]].concat()),
            PROTOCOL,
        ),
        judged("6.7", "a short PING", frame(PING, 0, 0, [0; 6]), SIZE),
        judged("6.8", "GOAWAY of a stream", frame(GOAWAY, 0, 1, [0; 8]), PROTOCOL),
        judged("6.9", "a window that grows by 0", window_update(0, 0), PROTOCOL),
        judged(
            "6.9",
            "a stream's that grows by 0",
            after(window_update(1, 0)),
            PROTOCOL,
        ),
        judged("6.9", "a short WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 0, [0; 3]), SIZE),
        judged(
            "6.9.1",
            "a window too large",
            window_update(0, (1 << 31) - 1).repeat(2),
            FLOW,
        ),
        judged(
            "6.9.1",
            "a stream's window too large",
            after(window_update(1, (1 << 31) - 1).repeat(2)),
            FLOW,
        ),
        judged("6.10", "HEADERS within a block", begun(request(1, get("/"))), PROTOCOL),
        judged("6.10", "CONTINUATION of stream 0", begun(rest(0)), PROTOCOL),
        judged("6.10", "CONTINUATION of another stream", begun(rest(3)), PROTOCOL),
        judged("6.10", "CONTINUATION after a head", after(rest(1)), PROTOCOL),
        judged(
            "6.10",
            "CONTINUATION after DATA",
            after([data(1, "x"), rest(1)].concat()),
            PROTOCOL,
        ),
    ]);
}

/// Section 5.1: what a stream takes in which state. Half closed and ended streams are told apart by waiting for the answer.
#[test]
fn streams() {
    let kinds = || {
        [
            ("DATA", data(1, "x"), CLOSED),
            ("HEADERS", request(1, get("/")), CLOSED),
            ("CONTINUATION", frame(CONTINUATION, END_HEADERS, 1, get("/")), EITHER),
        ]
    };
    let half_closed = kinds().map(|(what, bytes, codes)| {
        let asked = request(1, get("/?delay=60000"));
        judged("5.1 half closed", what, [asked, bytes].concat(), codes).of("http-slow")
    });
    let taken_back = kinds().map(|(what, bytes, codes)| {
        let before = after(reset(1, CANCEL));
        judged("5.1 taken back", what, [before, bytes].concat(), codes)
    });
    let ended = kinds().map(|(what, bytes, codes)| {
        let steps = [Step::Send(request(1, get("/"))), Step::Ended(1), bytes.into()];
        case("5.1 ended", what, steps, Judged(1, codes))
    });
    let idle = [
        ("DATA", data(1, "x"), EITHER),
        ("WINDOW_UPDATE", window_update(1, 100), PROTOCOL),
        ("CONTINUATION", frame(CONTINUATION, END_HEADERS, 1, get("/")), PROTOCOL),
    ]
    .map(|(what, bytes, codes)| judged("5.1 idle", what, bytes, codes));
    let numbers = [
        ("an even number", request(2, get("/"))),
        (
            "a smaller number",
            [request(5, get("/")), request(3, get("/"))].concat(),
        ),
    ]
    .map(|(what, bytes)| judged("5.1.1", what, bytes, PROTOCOL));
    let all = half_closed.into_iter().chain(taken_back).chain(ended);
    check(all.chain(idle).chain(numbers).collect());
}

/// Section 8.1: messages.
#[test]
fn messages() {
    let base = [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "a.test"),
    ];
    let of = |rule, what, fields: &[(&str, &str)]| judged(rule, what, request(1, block(fields)), PROTOCOL);
    let without = |name| base.into_iter().filter(|(other, _)| *other != name).collect::<Vec<_>>();
    let twice = |name: &str| {
        let again = base.into_iter().find(|(other, _)| *other == name);
        again.into_iter().chain(base).collect::<Vec<_>>()
    };
    let and = |name: &'static str, value: &'static str| [&base[..], &[(name, value)]].concat();
    let trailers = |flags, fields: &[(&str, &str)]| {
        let trailers = frame(HEADERS, END_HEADERS | flags, 1, block(fields));
        after([data(1, "x"), trailers].concat())
    };
    let says = |length: &str, content: Vec<u8>| [opened(1, post_with(&[("content-length", length)])), content].concat();
    check(vec![
        judged(
            "8.1",
            "HEADERS that are not the end",
            trailers(0, &[("x", "y")]),
            PROTOCOL,
        ),
        of("8.1.2", "upper case", &and("X-TEST", "ok")),
        of("8.1.2.1", "an unknown pseudo-field", &and(":test", "ok")),
        of("8.1.2.1", "that of a response", &and(":status", "200")),
        judged(
            "8.1.2.1",
            "one in trailers",
            trailers(END_STREAM, &[(":method", "200")]),
            PROTOCOL,
        ),
        of("8.1.2.1", "one after a field", &[&[("x", "y")], &base[..]].concat()),
        of("8.1.2.2", "connection", &and("connection", "keep-alive")),
        of("8.1.2.2", "te", &and("te", "trailers, deflate")),
        of(
            "8.1.2.3",
            "an empty path",
            &[&without(":path")[..], &[(":path", "")]].concat(),
        ),
        of("8.1.2.3", "no method", &without(":method")),
        of("8.1.2.3", "no scheme", &without(":scheme")),
        of("8.1.2.3", "no path", &without(":path")),
        of("8.1.2.3", "two methods", &twice(":method")),
        of("8.1.2.3", "two schemes", &twice(":scheme")),
        of("8.1.2.3", "two paths", &twice(":path")),
        judged("8.1.2.6", "another length", says("1", last_data(1, "test")), PROTOCOL),
        judged(
            "8.1.2.6",
            "another length, in pieces",
            says("1", [data(1, "test"), last_data(1, "test")].concat()),
            PROTOCOL,
        ),
    ]);
}

/// What breaks a rule on a stream that was answered before its client had ended it, each frame by itself: the client goes on as if it
/// had seen nothing, and what it does wrong is still told, however the answer and the frames cross.
#[test]
fn answered() {
    let steps = |frames: &[Vec<u8>]| {
        let opened = opened(1, post("/"));
        [&[opened], frames]
            .concat()
            .into_iter()
            .map(Step::Send)
            .collect::<Vec<_>>()
    };
    let trailers = |flags, fields: &[(&str, &str)]| frame(HEADERS, END_HEADERS | flags, 1, block(fields));
    let cases = || {
        [
            ("5.1", "DATA", steps(&[reset(1, CANCEL), data(1, "x")]), CLOSED),
            (
                "5.1",
                "HEADERS",
                steps(&[reset(1, CANCEL), request(1, get("/"))]),
                CLOSED,
            ),
            (
                "6.9.1",
                "a large window",
                steps(&[window_update(1, i32::MAX as u32), window_update(1, i32::MAX as u32)]),
                FLOW,
            ),
            (
                "6.9",
                "a window that grows by 0",
                steps(&[window_update(1, 0)]),
                PROTOCOL,
            ),
            (
                "8.1",
                "HEADERS that are not the end",
                steps(&[data(1, "x"), trailers(0, &[("x", "y")])]),
                PROTOCOL,
            ),
            (
                "8.1.2.1",
                "a pseudo-field in trailers",
                steps(&[data(1, "x"), trailers(END_STREAM, &[(":method", "200")])]),
                PROTOCOL,
            ),
        ]
    };
    let judged = |(rule, what, steps, codes)| Case {
        steps,
        ..judged(rule, what, Vec::new(), codes).of("http-hello")
    };
    check((0..10).flat_map(|_| cases().map(judged)).collect());
}

/// RFC 7541.
#[test]
fn blocks() {
    let and = |rule, what, more: Vec<u8>| judged(rule, what, request(1, [get("/"), more].concat()), COMPRESSION);
    let coded = |code: &[u8]| [&[0][..], &super::fields::string("x"), &super::fields::coded(code)].concat();
    check(vec![
        and("2.3.3", "an index that is none", indexed(70)),
        and("2.3.3", "a name's index that is none", super::fields::named(70, "x")),
        and("4.2", "a size at the end", table_size(1)),
        and("5.2", "long padding", coded(&[0b0001_1111, 0xff])),
        and("5.2", "padding of zeros", coded(&[0b0001_1000])),
        and("5.2", "the end of strings", coded(&[0xff; 4])),
        and("6.1", "index 0", indexed(0)),
        judged(
            "6.3",
            "a size above the setting",
            request(1, [table_size(4097), get("/")].concat()),
            COMPRESSION,
        ),
        judged("4.3", "a block that is none", request(1, [0xff; 7]), COMPRESSION),
        and(
            "4.3",
            "an entry that is gone",
            [entered("x", "y"), entered("z", "z".repeat(5000)), indexed(62)].concat(),
        ),
        judged(
            "4.3",
            "a field that is cut off",
            request(1, &field("x", "y")[..3]),
            COMPRESSION,
        ),
    ]);
}
