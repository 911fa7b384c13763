//! The life of a stream (RFC 9113 section 5): which frames it takes in which state, its number, and how many there are.

use super::Then::{Answers, Closes, Lives, Refuses, Resets};
use super::fields::{field, get, post};
use super::wire::{
    CANCEL, CONTINUATION, END_HEADERS, END_STREAM, HEADERS, NO_ERROR, PROTOCOL_ERROR, Peer, REFUSED_STREAM,
    STREAM_CLOSED, data, frame, last_data, opened, priority, request, reset, window_update,
};
use super::{Step, case, check, sent};
use wharf_tests::{Server, eventually};

/// A request that is answered after a while, so that its stream is half closed meanwhile.
fn slow(stream: u32) -> Vec<u8> {
    request(stream, get("/?delay=500"))
}

#[test]
fn states() {
    let ended = || [Step::Send(request(1, get("/"))), Step::Ended(1)];
    let then = |bytes: Vec<u8>| {
        let [first, second] = ended();
        [first, second, bytes.into()]
    };
    let trailers = |stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, field("x", "y"));
    check(vec![
        // Idle.
        sent("5.1", "idle: DATA", data(1, "x"), Closes(PROTOCOL_ERROR)),
        sent("5.1", "idle: RST_STREAM", reset(1, CANCEL), Closes(PROTOCOL_ERROR)),
        sent(
            "5.1",
            "idle: WINDOW_UPDATE",
            window_update(1, 1),
            Closes(PROTOCOL_ERROR),
        ),
        sent(
            "5.1",
            "idle: CONTINUATION",
            frame(CONTINUATION, END_HEADERS, 1, get("/")),
            Closes(PROTOCOL_ERROR),
        ),
        sent("5.1", "idle: PRIORITY", priority(1, 0), Lives),
        sent(
            "5.1",
            "idle: DATA of a stream that the server would begin",
            data(2, "x"),
            Closes(PROTOCOL_ERROR),
        ),
        sent(
            "5.1",
            "idle: RST_STREAM of a stream that the server would begin",
            reset(2, CANCEL),
            Closes(PROTOCOL_ERROR),
        ),
        sent(
            "5.1",
            "idle: WINDOW_UPDATE of a stream that the server would begin",
            window_update(2, 1),
            Closes(PROTOCOL_ERROR),
        ),
        // Half closed by the client.
        sent(
            "5.1",
            "half closed: DATA",
            [slow(1), data(1, "x")].concat(),
            Refuses(1, STREAM_CLOSED),
        )
        .of("http-slow")
        .today(Closes(PROTOCOL_ERROR)),
        sent(
            "5.1",
            "half closed: HEADERS",
            [slow(1), slow(1)].concat(),
            Refuses(1, STREAM_CLOSED),
        )
        .of("http-slow")
        .today(Closes(PROTOCOL_ERROR)),
        sent(
            "5.1",
            "half closed: trailers",
            [slow(1), trailers(1)].concat(),
            Refuses(1, STREAM_CLOSED),
        )
        .of("http-slow")
        .today(Closes(PROTOCOL_ERROR)),
        sent(
            "5.1",
            "half closed: CONTINUATION",
            [slow(1), frame(CONTINUATION, END_HEADERS, 1, field("x", "y"))].concat(),
            Closes(PROTOCOL_ERROR),
        )
        .of("http-slow"),
        sent(
            "5.1",
            "half closed: WINDOW_UPDATE",
            [slow(1), window_update(1, 1)].concat(),
            Answers(1, 200),
        )
        .of("http-slow"),
        sent(
            "5.1",
            "half closed: PRIORITY",
            [slow(1), priority(1, 0)].concat(),
            Answers(1, 200),
        )
        .of("http-slow"),
        sent(
            "5.1",
            "half closed: RST_STREAM",
            [slow(1), reset(1, CANCEL)].concat(),
            Lives,
        )
        .of("http-slow"),
        // Closed by the client's reset.
        sent(
            "5.1",
            "taken back: DATA",
            [opened(1, post("/")), reset(1, CANCEL), data(1, "x")].concat(),
            Refuses(1, STREAM_CLOSED),
        ),
        sent(
            "5.1",
            "taken back: HEADERS",
            [opened(1, post("/")), reset(1, CANCEL), request(1, get("/"))].concat(),
            Refuses(1, STREAM_CLOSED),
        )
        .today(Closes(PROTOCOL_ERROR)),
        sent(
            "5.1",
            "taken back: CONTINUATION",
            [
                opened(1, post("/")),
                reset(1, CANCEL),
                frame(CONTINUATION, END_HEADERS, 1, get("/")),
            ]
            .concat(),
            Closes(PROTOCOL_ERROR),
        ),
        sent(
            "5.1",
            "taken back: WINDOW_UPDATE",
            [opened(1, post("/")), reset(1, CANCEL), window_update(1, 1)].concat(),
            Lives,
        ),
        sent(
            "5.1",
            "taken back: PRIORITY",
            [opened(1, post("/")), reset(1, CANCEL), priority(1, 0)].concat(),
            Lives,
        ),
        // Closed by its ends.
        case("5.1", "ended: DATA", then(data(1, "x")), Refuses(1, STREAM_CLOSED)),
        case(
            "5.1",
            "ended: HEADERS",
            then(request(1, get("/"))),
            Closes(STREAM_CLOSED),
        )
        .today(Closes(PROTOCOL_ERROR)),
        case(
            "5.1",
            "ended: CONTINUATION",
            then(frame(CONTINUATION, END_HEADERS, 1, get("/"))),
            Closes(PROTOCOL_ERROR),
        ),
        case("5.1", "ended: WINDOW_UPDATE", then(window_update(1, 1)), Lives),
        case("5.1", "ended: PRIORITY", then(priority(1, 0)), Lives),
        case("5.1", "ended: RST_STREAM", then(reset(1, CANCEL)), Lives),
        case(
            "5.1",
            "ended: another request",
            then(request(3, get("/"))),
            Answers(3, 200),
        ),
        // Closed by the server's reset: what was under way is ignored.
        case(
            "5.1",
            "reset by the server: DATA that was under way",
            [
                opened(1, [post("/"), field("content-length", "1")].concat()).into(),
                data(1, "xyz").into(),
                Step::Reset(1),
                data(1, "x").into(),
            ],
            Lives,
        )
        .today(Resets(1, PROTOCOL_ERROR)),
        // Numbers.
        sent("5.1.1", "an even number", request(2, get("/")), Closes(PROTOCOL_ERROR)),
        sent(
            "5.1.1",
            "a number below one before",
            [opened(5, post("/")), request(3, get("/"))].concat(),
            Closes(PROTOCOL_ERROR),
        ),
        sent(
            "5.1.1",
            "a number that leaves others out",
            request(101, get("/")),
            Answers(101, 200),
        ),
        sent(
            "5.1.1",
            "the last number",
            request((1 << 31) - 1, get("/")),
            Answers((1 << 31) - 1, 200),
        ),
        sent(
            "5.1.1",
            "a stream that was left out",
            [request(7, get("/")), data(3, "x")].concat(),
            Refuses(3, STREAM_CLOSED),
        ),
        // Content where none may be.
        case(
            "8.1",
            "trailers that are not the end",
            [
                opened(1, post("/")).into(),
                frame(HEADERS, END_HEADERS, 1, field("x", "y")).into(),
            ],
            Resets(1, PROTOCOL_ERROR),
        ),
        sent(
            "8.1",
            "DATA after trailers",
            [opened(1, post("/")), trailers(1), data(1, "x")].concat(),
            Refuses(1, STREAM_CLOSED),
        )
        .of("http-slow")
        .today(Closes(PROTOCOL_ERROR)),
        sent(
            "8.1",
            "an end by an empty frame",
            [opened(1, post("/")), data(1, "x"), last_data(1, "")].concat(),
            Answers(1, 200),
        ),
        sent(
            "8.1",
            "an end by trailers",
            [opened(1, post("/")), data(1, "x"), trailers(1)].concat(),
            Answers(1, 200),
        ),
    ]);
}

/// Section 5.1.2: a stream above the limit is refused, and may be tried again; those within are not disturbed.
#[test]
fn streams_beyond_the_limit() {
    let server = Server::start("http-slow", &[]);
    let mut peer = Peer::greeted(server.addr());
    let streams: Vec<u32> = (0..201).map(|nth| 1 + 2 * nth).collect();
    let requests = streams.iter().map(|&stream| opened(stream, post("/?delay=1500")));
    peer.send(requests.collect::<Vec<_>>().concat());
    peer.until(|seen| seen.resets.get(&401) == Some(&REFUSED_STREAM), "one is refused");
    let within = &streams[..200];
    peer.until(
        |seen| within.iter().all(|stream| seen.ended.contains(stream)),
        "the others are answered",
    );
    assert!(within.iter().all(|&stream| peer.seen.status(stream) == Some(200)));
    // Whoever has answered does not want the rest, and says that it was no error (section 8.1).
    peer.until(
        |seen| within.iter().all(|stream| seen.resets.get(stream) == Some(&NO_ERROR)),
        "no more is wanted",
    );
    peer.send(request(403, get("/?delay=1")));
    peer.until(|seen| seen.status(403) == Some(200), "there is room again");
}

/// Section 5.4.1: the last stream that a GOAWAY names is one that the server has taken, and the connection ends after it.
#[test]
fn a_connection_error_ends_everything() {
    let server = Server::start("http-slow", &[]);
    let mut peer = Peer::greeted(server.addr());
    peer.send([slow(1), slow(3), frame(HEADERS, END_HEADERS, 0, get("/"))].concat());
    peer.reads_until(|seen| seen.closed);
    assert_eq!((peer.seen.closed, peer.seen.goaway), (true, Some(PROTOCOL_ERROR)));
    eventually(|| Peer::greeted(server.addr()).is_alive(), "others are served");
}
