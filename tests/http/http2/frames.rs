//! Frames (RFC 9113 sections 3 to 7): their format, their sizes, and what each type may say.

use super::Then::{Answers, Closes, Ends, Lives, Refuses, Resets, Stops};
use super::fields::{block, field, get, get_with, post};
use super::wire::{
    ACK, CANCEL, COMPRESSION_ERROR, CONTINUATION, DATA, ENABLE_PUSH, END_HEADERS, END_STREAM, FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR, GOAWAY, HEADER_TABLE_SIZE, HEADERS, INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS, MAX_FRAME_SIZE,
    MAX_HEADER_LIST_SIZE, PADDED, PING, PREFACE, PRIORITY, PROTOCOL_ERROR, PUSH_PROMISE, Peer, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, WITH_PRIORITY, announced, data, frame, last_data, opened, ping, priority, request, reset, settings,
    window_update,
};
use super::{Step, case, check, sent};
use wharf_tests::{Scratch, Server, guest};

/// A stream that waits for content, and then what follows.
fn after(stream: u32, bytes: Vec<u8>) -> Vec<u8> {
    [opened(stream, post("/")), bytes].concat()
}

/// A whole exchange on the stream after the bytes, which must not have disturbed it.
fn then_get(stream: u32, bytes: Vec<u8>) -> Vec<u8> {
    [bytes, request(stream, get("/"))].concat()
}

/// A field section of so many bytes in all, as HPACK counts them (RFC 7541 section 4.1).
fn padded_head(bytes: usize) -> Vec<u8> {
    get_with(&[("x-long", &"x".repeat(bytes))])
}

/// Sections 4.1 to 4.3, and 5.5.
#[test]
fn format_and_size() {
    let half = get("/");
    let (first, second) = half.split_at(half.len() / 2);
    check(vec![
        sent(
            "4.1",
            "a type that nobody knows",
            then_get(1, frame(0xbb, 0xff, 0, "whatever")),
            Answers(1, 200),
        ),
        sent(
            "4.1",
            "a type that nobody knows, on a stream",
            then_get(1, frame(0xbb, 0, 1, "")),
            Answers(1, 200),
        ),
        sent(
            "4.1",
            "the frame of RFC 7838, ALTSVC, which is for clients",
            then_get(1, frame(10, 0, 0, [0, 0])),
            Answers(1, 200),
        ),
        sent(
            "4.1",
            "flags that PING does not have",
            frame(PING, 0xfe, 0, "unlikely"),
            Lives,
        ),
        sent(
            "4.1",
            "flags that HEADERS does not have",
            frame(HEADERS, END_HEADERS | END_STREAM | 0x82, 1, get("/")),
            Answers(1, 200),
        ),
        sent(
            "4.1",
            "flags that DATA does not have",
            after(1, frame(DATA, END_STREAM | 0x66, 1, "content")),
            Answers(1, 200),
        ),
        sent(
            "4.1",
            "the reserved bit of a stream's number",
            ping(b"reserved")
                .into_iter()
                .enumerate()
                .map(|(at, byte)| if at == 5 { byte | 0x80 } else { byte })
                .collect::<Vec<_>>(),
            Lives,
        ),
        sent(
            "4.1",
            "the reserved bit of a request's stream",
            request(1 | 1 << 31, get("/")),
            Answers(1, 200),
        ),
        sent(
            "4.2",
            "DATA of 2^14 bytes",
            after(1, last_data(1, [0; 1 << 14])),
            Answers(1, 200),
        ),
        sent(
            "4.2",
            "DATA of one byte more",
            after(1, data(1, [0; (1 << 14) + 1])),
            Refuses(1, FRAME_SIZE_ERROR),
        ),
        sent(
            "4.2",
            "HEADERS of more than 2^14 bytes",
            opened(1, padded_head(1 << 14)),
            Closes(FRAME_SIZE_ERROR),
        ),
        sent(
            "4.2",
            "SETTINGS of more than 2^14 bytes",
            frame(SETTINGS, 0, 0, [0; 6 * 2731]),
            Closes(FRAME_SIZE_ERROR),
        ),
        sent(
            "4.2",
            "CONTINUATION of more than 2^14 bytes",
            [
                frame(HEADERS, 0, 1, get("/")),
                frame(CONTINUATION, END_HEADERS, 1, [0; (1 << 14) + 1]),
            ]
            .concat(),
            Closes(FRAME_SIZE_ERROR),
        ),
        sent(
            "4.2",
            "an unknown frame of more than 2^14 bytes",
            frame(0xbb, 0, 0, [0; (1 << 14) + 1]),
            Closes(FRAME_SIZE_ERROR),
        ),
        sent(
            "4.2",
            "the head of a frame of 16 MiB",
            announced(0xff_ffff, DATA, 0, 1),
            Closes(FRAME_SIZE_ERROR),
        ),
        sent(
            "4.3",
            "a block that is none",
            request(1, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            Closes(COMPRESSION_ERROR),
        )
        .today(Closes(PROTOCOL_ERROR)),
        sent(
            "4.3",
            "a block that is none, on a stream that has content",
            after(1, request(1, [0x80])),
            Closes(COMPRESSION_ERROR),
        )
        .today(Closes(PROTOCOL_ERROR)),
        sent(
            "4.3",
            "PRIORITY within a block",
            [
                frame(HEADERS, 0, 1, first),
                priority(1, 0),
                frame(CONTINUATION, END_HEADERS, 1, second),
            ]
            .concat(),
            Closes(PROTOCOL_ERROR),
        ),
        sent(
            "4.3",
            "HEADERS of another stream within a block",
            [frame(HEADERS, END_STREAM, 1, first), request(3, get("/"))].concat(),
            Closes(PROTOCOL_ERROR),
        ),
        sent(
            "4.3",
            "DATA within a block",
            [frame(HEADERS, 0, 1, first), data(1, "x")].concat(),
            Closes(PROTOCOL_ERROR),
        ),
        sent(
            "4.3",
            "PING within a block",
            [frame(HEADERS, 0, 1, first), ping(b"untimely")].concat(),
            Closes(PROTOCOL_ERROR),
        ),
        sent(
            "4.3",
            "SETTINGS within a block",
            [frame(HEADERS, 0, 1, first), settings(&[])].concat(),
            Closes(PROTOCOL_ERROR),
        ),
        sent(
            "5.5",
            "an unknown frame within a block",
            [
                frame(HEADERS, 0, 1, first),
                frame(0xbb, 0, 0, ""),
                frame(CONTINUATION, END_HEADERS, 1, second),
            ]
            .concat(),
            Closes(PROTOCOL_ERROR),
        ),
        sent(
            "5.5",
            "an unknown frame between frames of content",
            after(1, [data(1, "a"), frame(0xbb, 0, 1, "b"), last_data(1, "c")].concat()),
            Answers(1, 200),
        ),
    ]);
}

/// Sections 6.1 to 6.4.
#[test]
fn content_heads_priorities_and_resets() {
    let padded = |length: u8, content: &[u8]| frame(DATA, PADDED, 1, [&[length], content].concat());
    check(vec![
        sent(
            "6.1",
            "DATA of stream 0",
            after(1, data(0, "x")),
            Closes(PROTOCOL_ERROR),
        ),
        sent(
            "6.1",
            "DATA in pieces",
            after(1, [data(1, "a"), data(1, "b"), last_data(1, "")].concat()),
            Answers(1, 200),
        ),
        sent(
            "6.1",
            "DATA with padding",
            after(
                1,
                frame(DATA, END_STREAM | PADDED, 1, [&[3][..], b"abc", &[0; 3]].concat()),
            ),
            Answers(1, 200),
        ),
        sent(
            "6.1",
            "DATA that is all padding",
            after(1, [padded(5, &[0; 5]), last_data(1, "x")].concat()),
            Answers(1, 200),
        ),
        sent(
            "6.1",
            "padding as long as the frame",
            after(1, padded(4, b"abc")),
            Closes(PROTOCOL_ERROR),
        ),
        sent(
            "6.1",
            "padding longer than the frame",
            after(1, padded(255, b"abc")),
            Closes(PROTOCOL_ERROR),
        ),
        sent(
            "6.1",
            "DATA with no place for its padding's length",
            after(1, frame(DATA, PADDED, 1, "")),
            Closes(PROTOCOL_ERROR),
        ),
        sent(
            "6.2",
            "HEADERS of stream 0",
            request(0, get("/")),
            Closes(PROTOCOL_ERROR),
        ),
        sent(
            "6.2",
            "HEADERS with padding",
            frame(
                HEADERS,
                END_HEADERS | END_STREAM | PADDED,
                1,
                [&[4][..], &get("/"), &[0; 4]].concat(),
            ),
            Answers(1, 200),
        ),
        sent(
            "6.2",
            "padding longer than the frame",
            frame(
                HEADERS,
                END_HEADERS | END_STREAM | PADDED,
                1,
                [&[255][..], &get("/")].concat(),
            ),
            Closes(PROTOCOL_ERROR),
        ),
        sent(
            "6.2",
            "HEADERS with no place for its padding's length",
            frame(HEADERS, END_HEADERS | PADDED, 1, ""),
            Closes(PROTOCOL_ERROR),
        ),
        sent(
            "6.2",
            "HEADERS with a priority",
            frame(
                HEADERS,
                END_HEADERS | END_STREAM | WITH_PRIORITY,
                1,
                [&[0, 0, 0, 0, 200][..], &get("/")].concat(),
            ),
            Answers(1, 200),
        ),
        sent(
            "6.2",
            "HEADERS with a priority and padding",
            frame(
                HEADERS,
                END_HEADERS | END_STREAM | WITH_PRIORITY | PADDED,
                1,
                [&[2, 0, 0, 0, 0, 200][..], &get("/"), &[0; 2]].concat(),
            ),
            Answers(1, 200),
        ),
        sent(
            "6.2",
            "HEADERS with half a priority",
            frame(HEADERS, END_HEADERS | END_STREAM | WITH_PRIORITY, 1, [0, 0, 0]),
            Closes(FRAME_SIZE_ERROR),
        )
        .today(Closes(PROTOCOL_ERROR)),
        sent(
            "5.3.1",
            "HEADERS that depend on themselves",
            frame(
                HEADERS,
                END_HEADERS | END_STREAM | WITH_PRIORITY,
                1,
                [&[0, 0, 0, 1, 200][..], &get("/")].concat(),
            ),
            Resets(1, PROTOCOL_ERROR),
        ),
        sent("6.3", "PRIORITY of stream 0", priority(0, 1), Closes(PROTOCOL_ERROR)),
        sent(
            "6.3",
            "PRIORITY of less than 5 bytes",
            after(1, frame(PRIORITY, 0, 1, [0; 4])),
            Refuses(1, FRAME_SIZE_ERROR),
        ),
        sent(
            "6.3",
            "PRIORITY of more than 5 bytes",
            after(1, frame(PRIORITY, 0, 1, [0; 6])),
            Refuses(1, FRAME_SIZE_ERROR),
        ),
        sent(
            "6.3",
            "PRIORITY of a stream that depends on itself",
            after(1, priority(1, 1)),
            Resets(1, PROTOCOL_ERROR),
        ),
        sent(
            "6.3",
            "PRIORITY before its stream",
            then_get(1, priority(1, 0)),
            Answers(1, 200),
        ),
        sent(
            "6.3",
            "PRIORITY of a stream that never comes",
            then_get(1, priority(99, 1)),
            Answers(1, 200),
        ),
        sent(
            "6.3",
            "PRIORITY of a stream that has content to come",
            after(1, [priority(1, 0), last_data(1, "x")].concat()),
            Answers(1, 200),
        ),
        case(
            "6.3",
            "PRIORITY of a closed stream",
            [request(1, get("/")).into(), Step::Ended(1), priority(1, 0).into()],
            Lives,
        ),
        sent(
            "6.4",
            "RST_STREAM of stream 0",
            after(1, reset(0, CANCEL)),
            Closes(PROTOCOL_ERROR),
        ),
        sent(
            "6.4",
            "RST_STREAM of an idle stream",
            reset(1, CANCEL),
            Closes(PROTOCOL_ERROR),
        ),
        sent(
            "6.4",
            "RST_STREAM of less than 4 bytes",
            after(1, frame(RST_STREAM, 0, 1, [0; 3])),
            Closes(FRAME_SIZE_ERROR),
        ),
        sent(
            "6.4",
            "RST_STREAM of more than 4 bytes",
            after(1, frame(RST_STREAM, 0, 1, [0; 5])),
            Closes(FRAME_SIZE_ERROR),
        ),
        sent(
            "6.4",
            "RST_STREAM twice",
            after(1, [reset(1, CANCEL), reset(1, CANCEL)].concat()),
            Lives,
        ),
        sent(
            "6.4",
            "RST_STREAM, and another request",
            then_get(3, after(1, reset(1, CANCEL))),
            Answers(3, 200),
        ),
        sent(
            "7",
            "RST_STREAM for a reason that nobody knows",
            then_get(3, after(1, reset(1, 0xff))),
            Answers(3, 200),
        ),
    ]);
}

/// Sections 6.5 to 6.8.
#[test]
fn settings_pushes_pings_and_goodbyes() {
    let goodbye =
        |last: u32, code: u32, rest: &str| [&last.to_be_bytes()[..], &code.to_be_bytes(), rest.as_bytes()].concat();
    check(vec![
        sent(
            "6.5",
            "an acknowledgement with a payload",
            frame(SETTINGS, ACK, 0, [0; 6]),
            Closes(FRAME_SIZE_ERROR),
        ),
        sent(
            "6.5",
            "an acknowledgement of nothing",
            frame(SETTINGS, ACK, 0, []),
            Closes(PROTOCOL_ERROR),
        ),
        sent(
            "6.5",
            "SETTINGS of a stream",
            after(1, frame(SETTINGS, 0, 1, [])),
            Closes(PROTOCOL_ERROR),
        ),
        sent(
            "6.5",
            "SETTINGS of a length that is none of sixes",
            frame(SETTINGS, 0, 0, [0, 3, 0]),
            Closes(FRAME_SIZE_ERROR),
        ),
        sent("6.5", "SETTINGS of no setting", settings(&[]), Lives),
        sent(
            "6.5.2",
            "ENABLE_PUSH of 2",
            settings(&[(ENABLE_PUSH, 2)]),
            Closes(PROTOCOL_ERROR),
        ),
        sent("6.5.2", "ENABLE_PUSH of 1", settings(&[(ENABLE_PUSH, 1)]), Lives),
        sent(
            "6.5.2",
            "INITIAL_WINDOW_SIZE of 2^31",
            settings(&[(INITIAL_WINDOW_SIZE, 1 << 31)]),
            Closes(FLOW_CONTROL_ERROR),
        ),
        sent(
            "6.5.2",
            "INITIAL_WINDOW_SIZE of 2^31-1",
            settings(&[(INITIAL_WINDOW_SIZE, (1 << 31) - 1)]),
            Lives,
        ),
        sent(
            "6.5.2",
            "MAX_FRAME_SIZE below 2^14",
            settings(&[(MAX_FRAME_SIZE, (1 << 14) - 1)]),
            Closes(PROTOCOL_ERROR),
        ),
        sent(
            "6.5.2",
            "MAX_FRAME_SIZE above 2^24-1",
            settings(&[(MAX_FRAME_SIZE, 1 << 24)]),
            Closes(PROTOCOL_ERROR),
        ),
        sent(
            "6.5.2",
            "MAX_FRAME_SIZE of 2^24-1",
            settings(&[(MAX_FRAME_SIZE, (1 << 24) - 1)]),
            Lives,
        ),
        sent(
            "6.5.2",
            "MAX_CONCURRENT_STREAMS of 0, which is about pushes",
            then_get(1, settings(&[(MAX_CONCURRENT_STREAMS, 0)])),
            Answers(1, 200),
        ),
        sent(
            "6.5.2",
            "MAX_HEADER_LIST_SIZE of 0, which is advice",
            then_get(1, settings(&[(MAX_HEADER_LIST_SIZE, 0)])),
            Answers(1, 200),
        ),
        sent(
            "6.5.2",
            "HEADER_TABLE_SIZE of 2^32-1",
            settings(&[(HEADER_TABLE_SIZE, u32::MAX)]),
            Lives,
        ),
        sent(
            "6.5.2",
            "a setting that nobody knows",
            then_get(1, settings(&[(0xff, 1)])),
            Answers(1, 200),
        ),
        sent(
            "RFC 8441 3",
            "ENABLE_CONNECT_PROTOCOL of 2",
            settings(&[(8, 2)]),
            Closes(PROTOCOL_ERROR),
        ),
        // The last of several counts: the content is longer than the first would let it be.
        case(
            "6.5.3",
            "a setting twice",
            [[
                settings(&[(INITIAL_WINDOW_SIZE, 1), (INITIAL_WINDOW_SIZE, 100)]),
                request(1, get("/?bytes=1000")),
            ]
            .concat()
            .into()],
            Stops(1, 100),
        )
        .of("http-download"),
        sent(
            "6.6",
            "a push from a client",
            frame(PUSH_PROMISE, END_HEADERS, 1, [&[0, 0, 0, 2][..], &get("/")].concat()),
            Closes(PROTOCOL_ERROR),
        ),
        sent(
            "6.6",
            "a push on an open stream",
            after(
                1,
                frame(PUSH_PROMISE, END_HEADERS, 1, [&[0, 0, 0, 2][..], &get("/")].concat()),
            ),
            Closes(PROTOCOL_ERROR),
        ),
        sent(
            "6.7",
            "PING of a stream",
            after(1, frame(PING, 0, 1, [0; 8])),
            Closes(PROTOCOL_ERROR),
        ),
        sent(
            "6.7",
            "PING of less than 8 bytes",
            frame(PING, 0, 0, [0; 6]),
            Closes(FRAME_SIZE_ERROR),
        ),
        sent(
            "6.7",
            "PING of more than 8 bytes",
            frame(PING, 0, 0, [0; 9]),
            Closes(FRAME_SIZE_ERROR),
        ),
        sent("6.7", "an answer to no ping", frame(PING, ACK, 0, "unasked!"), Lives),
        sent(
            "6.8",
            "GOAWAY of a stream",
            after(1, frame(GOAWAY, 0, 1, goodbye(0, 0, ""))),
            Closes(PROTOCOL_ERROR),
        ),
        sent(
            "6.8",
            "GOAWAY of less than 8 bytes",
            frame(GOAWAY, 0, 0, [0; 7]),
            Closes(FRAME_SIZE_ERROR),
        ),
        sent(
            "7",
            "GOAWAY for a reason that nobody knows",
            frame(GOAWAY, 0, 0, goodbye(0, 0xff, "")),
            Ends,
        ),
    ]);
}

/// A client that says goodbye takes no pushes any more, which there are none of; what it has asked is answered, and then the
/// connection ends (section 6.8).
#[test]
fn whoever_says_goodbye_is_answered() {
    let server = Server::start("http-echo", &[]);
    let mut peer = Peer::greeted(server.addr());
    peer.send([opened(1, post("/")), frame(GOAWAY, 0, 0, [0; 8])].concat());
    peer.until(|seen| seen.status(1) == Some(200), "a head");
    peer.send(last_data(1, "content"));
    peer.until(|seen| seen.ended.contains(&1), "an answer");
    assert_eq!(peer.seen.text(1), "content");
    peer.reads_until(|seen| seen.closed);
    assert!(peer.seen.closed, "{:?}", peer.seen);
}

/// A ping is answered with its own payload (section 6.7), settings are acknowledged (section 6.5.3), and the answers to
/// pings do not wait for anything.
#[test]
fn pings_and_settings_are_answered() {
    let server = Server::start("http-echo", &[]);
    let mut peer = Peer::greeted(server.addr());
    peer.send(
        [
            opened(1, post("/")),
            ping(b"01234567"),
            settings(&[(MAX_FRAME_SIZE, 1 << 15)]),
        ]
        .concat(),
    );
    peer.until(|seen| seen.pongs == [b"01234567"] && seen.acks == 2, "both answers");
}

/// Section 6.9, and 6.10.
#[test]
fn windows_and_continuations() {
    let half = get("/");
    let (first, second) = half.split_at(half.len() / 2);
    let windowed = |bytes: u32| settings(&[(INITIAL_WINDOW_SIZE, bytes)]);
    let thousand = || request(1, get("/?bytes=1000"));
    check(vec![
        sent(
            "6.9",
            "a window of the connection that grows by 0",
            window_update(0, 0),
            Closes(PROTOCOL_ERROR),
        ),
        sent(
            "6.9",
            "a window of a stream that grows by 0",
            after(1, window_update(1, 0)),
            Refuses(1, PROTOCOL_ERROR),
        ),
        sent(
            "6.9",
            "WINDOW_UPDATE of less than 4 bytes",
            frame(WINDOW_UPDATE, 0, 0, [0; 3]),
            Closes(FRAME_SIZE_ERROR),
        ),
        sent(
            "6.9",
            "WINDOW_UPDATE of more than 4 bytes",
            frame(WINDOW_UPDATE, 0, 0, [0, 0, 0, 1, 0]),
            Closes(FRAME_SIZE_ERROR),
        ),
        sent(
            "6.9",
            "WINDOW_UPDATE of an idle stream",
            window_update(1, 100),
            Closes(PROTOCOL_ERROR),
        ),
        sent(
            "6.9",
            "a window of the connection that grows",
            then_get(1, window_update(0, 1)),
            Answers(1, 200),
        ),
        sent(
            "6.9",
            "a window of a stream that grows",
            after(1, [window_update(1, 1), last_data(1, "x")].concat()),
            Answers(1, 200),
        ),
        case(
            "6.9",
            "WINDOW_UPDATE of a closed stream",
            [
                request(1, get("/")).into(),
                Step::Ended(1),
                window_update(1, 100).into(),
            ],
            Lives,
        ),
        sent(
            "6.9.1",
            "a window of the connection beyond 2^31-1",
            window_update(0, (1 << 31) - 1),
            Closes(FLOW_CONTROL_ERROR),
        ),
        sent(
            "6.9.1",
            "the same in two steps",
            [window_update(0, 1 << 30), window_update(0, 1 << 30)].concat(),
            Closes(FLOW_CONTROL_ERROR),
        ),
        sent(
            "6.9.1",
            "a window of a stream beyond 2^31-1",
            after(1, window_update(1, (1 << 31) - 1)),
            Resets(1, FLOW_CONTROL_ERROR),
        ),
        sent(
            "6.9.1",
            "more content than the stream's window",
            // No guest reads it, and none answers before all of it has come; the server reads some of it ahead, and gives a window for that.
            [
                &opened(1, post("/?delay=3600000"))[..],
                &data(1, [0; 1 << 14]).repeat(40),
            ]
            .concat(),
            Refuses(1, FLOW_CONTROL_ERROR),
        )
        .of("http-slow"),
        case(
            "6.9.1",
            "a window of one byte",
            [[windowed(1), thousand()].concat().into()],
            Stops(1, 1),
        )
        .of("http-download"),
        case(
            "6.9.1",
            "a window of one byte that grows",
            [
                [windowed(1), thousand()].concat().into(),
                Step::Come(1, 1),
                window_update(1, 10).into(),
            ],
            Stops(1, 11),
        )
        .of("http-download"),
        case(
            "6.9.2",
            "windows that are enlarged when the response waits",
            [[windowed(0), thousand()].concat().into(), windowed(7).into()],
            Stops(1, 7),
        )
        .of("http-download"),
        case(
            "6.9.2",
            "windows that are made smaller than what has come",
            [
                [windowed(3), thousand()].concat().into(),
                Step::Come(1, 3),
                [windowed(2), window_update(1, 2)].concat().into(),
            ],
            Stops(1, 4),
        )
        .of("http-download"),
        case(
            "6.9.2",
            "a window below zero",
            [
                [windowed(100), thousand()].concat().into(),
                Step::Come(1, 100),
                [windowed(0), window_update(1, 100)].concat().into(),
            ],
            Stops(1, 100),
        )
        .of("http-download"),
        case(
            "6.9.2",
            "windows beyond 2^31-1 by a setting",
            [[after(1, window_update(1, 1 << 20)), windowed((1 << 31) - 1)]
                .concat()
                .into()],
            Closes(FLOW_CONTROL_ERROR),
        ),
        sent(
            "6.10",
            "a head in two frames",
            [
                frame(HEADERS, END_STREAM, 1, first),
                frame(CONTINUATION, END_HEADERS, 1, second),
            ]
            .concat(),
            Answers(1, 200),
        ),
        sent(
            "6.10",
            "a head in three frames",
            [
                frame(HEADERS, END_STREAM, 1, first),
                frame(CONTINUATION, 0, 1, second),
                frame(CONTINUATION, END_HEADERS, 1, field("x", "y")),
            ]
            .concat(),
            Answers(1, 200),
        ),
        sent(
            "6.10",
            "a head of single bytes, within the count of frames",
            [
                frame(HEADERS, END_STREAM, 1, &half[..half.len() - 4]),
                half[half.len() - 4..]
                    .iter()
                    .map(|byte| frame(CONTINUATION, 0, 1, [*byte]))
                    .collect::<Vec<_>>()
                    .concat(),
                frame(CONTINUATION, END_HEADERS, 1, ""),
            ]
            .concat(),
            Answers(1, 200),
        ),
        sent(
            "6.10",
            "an empty first frame",
            [
                frame(HEADERS, END_STREAM, 1, ""),
                frame(CONTINUATION, END_HEADERS, 1, get("/")),
            ]
            .concat(),
            Answers(1, 200),
        ),
        sent(
            "6.10",
            "trailers in two frames",
            after(
                1,
                [
                    frame(HEADERS, END_STREAM, 1, field("x", "1")),
                    frame(CONTINUATION, END_HEADERS, 1, field("y", "2")),
                ]
                .concat(),
            ),
            Answers(1, 200),
        ),
        sent(
            "6.10",
            "a block that HEADERS follow",
            [frame(HEADERS, 0, 1, first), opened(1, get("/"))].concat(),
            Closes(PROTOCOL_ERROR),
        ),
        sent(
            "6.10",
            "CONTINUATION of stream 0",
            [frame(HEADERS, 0, 1, first), frame(CONTINUATION, END_HEADERS, 0, second)].concat(),
            Closes(PROTOCOL_ERROR),
        ),
        sent(
            "6.10",
            "CONTINUATION of another stream",
            [frame(HEADERS, 0, 1, first), frame(CONTINUATION, END_HEADERS, 3, second)].concat(),
            Closes(PROTOCOL_ERROR),
        ),
        sent(
            "6.10",
            "CONTINUATION after a whole head",
            [
                opened(1, post("/")),
                frame(CONTINUATION, END_HEADERS, 1, field("x", "y")),
            ]
            .concat(),
            Closes(PROTOCOL_ERROR),
        ),
        sent(
            "6.10",
            "CONTINUATION after CONTINUATION with the end",
            [
                frame(HEADERS, 0, 1, first),
                frame(CONTINUATION, END_HEADERS, 1, second),
                frame(CONTINUATION, END_HEADERS, 1, ""),
            ]
            .concat(),
            Closes(PROTOCOL_ERROR),
        ),
        sent(
            "6.10",
            "CONTINUATION after DATA",
            after(
                1,
                [data(1, "x"), frame(CONTINUATION, END_HEADERS, 1, block(&[("x", "y")]))].concat(),
            ),
            Closes(PROTOCOL_ERROR),
        ),
    ]);
}

/// Section 3.4: whoever does not begin with the preface is not spoken to in frames, and is gone soon.
#[test]
fn prefaces() {
    let scratch = Scratch::new();
    let manifest = format!(
        "[server.limits]\nhead-timeout = '500ms'\n[apps.main]\ncomponent = '{}'\n",
        guest("http-echo").display()
    );
    let server = Server::start(scratch.write("wharf.toml", manifest), &[]);
    for wrong in [
        &b"INVALID CONNECTION PREFACE\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX",
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        b"PRI * HTTP/1.1\r\n\r\nSM\r\n\r\n",
        b"PRI / HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"pri * http/2.0\r\n\r\nsm\r\n\r\n",
        &[0; 24],
        &[0xff; 24],
        &settings(&[]),
    ] {
        let mut peer = Peer::connect(server.addr());
        peer.send(wrong);
        assert!(peer.reads_until(|seen| seen.closed) || peer.seen.closed, "{wrong:x?}");
        assert!(peer.seen.frames.is_empty(), "{wrong:x?}: {:?}", peer.seen);
    }
    // Whoever reads frames would take an answer in HTTP/1.1 for the beginning of one.
    for wrong in ["INVALID CONNECTION PREFACE\r\n\r\n", "PRI . SMTP/2.0\r\n\r\nSM"] {
        let mut peer = Peer::connect(server.addr());
        peer.send(wrong.as_bytes());
        peer.reads_until(|seen| seen.closed);
        assert_eq!((peer.seen.closed, peer.unread()), (true, 0), "{wrong}");
    }
    // After a right one, SETTINGS must come.
    for wrong in [
        ping(b"too soon"),
        request(1, get("/")),
        window_update(0, 1),
        frame(0xbb, 0, 0, ""),
    ] {
        let mut peer = Peer::connect(server.addr());
        peer.send([PREFACE, &wrong].concat());
        peer.reads_until(|seen| seen.closed);
        assert_eq!(
            (peer.seen.closed, peer.seen.goaway),
            (true, Some(PROTOCOL_ERROR)),
            "{wrong:x?}"
        );
    }
    // However it comes.
    let server = Server::start("http-echo", &[]);
    let mut peer = Peer::connect(server.addr());
    for byte in PREFACE {
        peer.send([*byte]);
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    peer.send(settings(&[(HEADER_TABLE_SIZE, 0)]));
    peer.until(|seen| seen.acks == 1, "the greeting");
    peer.send(request(1, get("/")));
    peer.until(|seen| seen.status(1) == Some(200), "an answer");
}

/// The server's own preface is SETTINGS, before it has heard any.
#[test]
fn the_servers_preface() {
    let server = Server::start("http-echo", &[]);
    let mut peer = Peer::connect(server.addr());
    peer.send(PREFACE);
    peer.until(|seen| seen.frames.contains_key(&SETTINGS), "SETTINGS");
    assert_eq!(peer.seen.settings.get(&MAX_CONCURRENT_STREAMS), Some(&200));
    assert_eq!(peer.seen.settings.get(&ENABLE_PUSH).copied().unwrap_or(0), 0);
}
