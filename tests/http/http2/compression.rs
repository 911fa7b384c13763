//! Blocks of fields (RFC 7541): every form of a field, and what is no block.

use super::Then::{Answers, Closes};
use super::fields::{GET, HTTP, ROOT, coded, entered, field, get, indexed, named, number, secret, string, table_size};
use super::wire::{COMPRESSION_ERROR, HEADER_TABLE_SIZE, PROTOCOL_ERROR, Peer, request, settings};
use super::{Case, Then, check, sent};
use wharf_tests::Server;

/// An index of the static table.
const AUTHORITY: usize = 1;
const PATH: usize = 4;
/// The first of the dynamic one.
const FIRST: usize = 62;

fn block(rule: &'static str, what: &'static str, parts: &[&[u8]], then: Then) -> Case {
    sent(rule, what, request(1, parts.concat()), then)
}

/// A request, and something more in its block.
fn and(rule: &'static str, what: &'static str, more: &[&[u8]], then: Then) -> Case {
    block(rule, what, &[&[&get("/")[..]], more].concat(), then)
}

/// What cannot be decoded is a connection error, since nobody knows what the tables hold afterwards (RFC 9113 section 4.3).
const NONE: Then = Closes(COMPRESSION_ERROR);
/// The end is the same; the code is another today.
const TODAY: Then = Closes(PROTOCOL_ERROR);

#[test]
fn forms() {
    let base: &[u8] = &[GET, HTTP, ROOT];
    let host = field(":authority", "a.test");
    // The path `/` and the host `a.test` as Huffman codes (appendix B): 011000, and 00011 010111 01001 00101 01000 01001.
    let coded_path = coded([0b0110_0011]);
    let coded_host = coded([0b0001_1010, 0b1110_1001, 0b0010_1010, 0b0001_0011]);
    check(vec![
        block(
            "6.1",
            "indexed fields of the static table",
            &[base, &host],
            Answers(1, 200),
        ),
        block(
            "6.2.1",
            "a literal that is entered, with a new name",
            &[base, &entered(":authority", "a.test")],
            Answers(1, 200),
        ),
        block(
            "6.2.1",
            "a literal that is entered, with a name of the table's",
            &[base, &number(AUTHORITY, 6, 0x40), &string("a.test")],
            Answers(1, 200),
        ),
        block(
            "6.2.2",
            "a literal that is not, with a new name",
            &[base, &host],
            Answers(1, 200),
        ),
        block(
            "6.2.2",
            "a literal that is not, with a name of the table's",
            &[base, &named(AUTHORITY, "a.test")],
            Answers(1, 200),
        ),
        block(
            "6.2.3",
            "a literal that never is, with a new name",
            &[base, &secret(":authority", "a.test")],
            Answers(1, 200),
        ),
        block(
            "6.2.3",
            "a literal that never is, with a name of the table's",
            &[base, &number(AUTHORITY, 4, 0x10), &string("a.test")],
            Answers(1, 200),
        ),
        block(
            "5.2",
            "a string of the Huffman code",
            &[&[GET, HTTP], &number(PATH, 4, 0), &coded_path, &host],
            Answers(1, 200),
        ),
        block(
            "5.2",
            "another, with its padding",
            &[base, &number(AUTHORITY, 4, 0), &coded_host],
            Answers(1, 200),
        ),
        and(
            "5.1",
            "a number with leading zeros",
            &[&[0x7f, 0x80, 0x00], &string("y"), &field("x", "y")],
            NONE,
        )
        .today(TODAY),
        and(
            "2.3.2",
            "an entry of the dynamic table",
            &[&entered("x-entered", "y"), &indexed(FIRST)],
            Answers(1, 200),
        ),
        and(
            "2.3.2",
            "a name of the dynamic table",
            &[&entered("x-entered", "y"), &named(FIRST, "z")],
            Answers(1, 200),
        ),
        and(
            "4.3",
            "an entry larger than the table, which empties it",
            &[&entered("x-large", "x".repeat(5000))],
            Answers(1, 200),
        ),
        and(
            "4.3",
            "what was entered before it is gone",
            &[
                &entered("x", "y"),
                &entered("x-large", "x".repeat(5000)),
                &indexed(FIRST),
            ],
            NONE,
        )
        .today(TODAY),
        block(
            "4.2",
            "a size at the beginning",
            &[&table_size(0), &get("/")],
            Answers(1, 200),
        ),
        block(
            "4.2",
            "two sizes at the beginning",
            &[&table_size(0), &table_size(4096), &get("/")],
            Answers(1, 200),
        ),
        block(
            "4.2",
            "three sizes at the beginning",
            &[&table_size(0), &table_size(100), &table_size(4096), &get("/")],
            Answers(1, 200),
        ),
        block(
            "6.3",
            "the largest size that was allowed",
            &[&table_size(4096), &get("/")],
            Answers(1, 200),
        ),
    ]);
}

#[test]
fn what_is_none() {
    check(vec![
        and("2.3.3", "an index beyond both tables", &[&indexed(FIRST)], NONE).today(TODAY),
        and("2.3.3", "an index far beyond", &[&indexed(100_000)], NONE).today(TODAY),
        and(
            "2.3.3",
            "a name's index beyond both tables",
            &[&named(FIRST + 8, "y")],
            NONE,
        )
        .today(TODAY),
        and(
            "2.3.3",
            "a name's index beyond, to be entered",
            &[&number(FIRST + 8, 6, 0x40), &string("y")],
            NONE,
        )
        .today(TODAY),
        and("6.1", "index 0", &[&indexed(0)], NONE).today(TODAY),
        and("4.2", "a size at the end", &[&table_size(1)], NONE).today(TODAY),
        block(
            "4.2",
            "a size between fields",
            &[&[GET], &table_size(1), &[HTTP, ROOT], &field(":authority", "a.test")],
            NONE,
        )
        .today(TODAY),
        block(
            "6.3",
            "a size above what was allowed",
            &[&table_size(4097), &get("/")],
            NONE,
        )
        .today(TODAY),
        block("6.3", "a size far above", &[&table_size(1 << 30), &get("/")], NONE).today(TODAY),
        and(
            "5.2",
            "eight bits of padding",
            &[&[0], &coded([0b0001_1111, 0xff]), &string("y")],
            NONE,
        )
        .today(TODAY),
        and(
            "5.2",
            "sixteen bits of padding in a value",
            &[&[0], &string("x"), &coded([0b0110_0011, 0xff, 0xff])],
            NONE,
        )
        .today(TODAY),
        and(
            "5.2",
            "padding of zeros",
            &[&[0], &string("x"), &coded([0b0001_1000])],
            NONE,
        )
        .today(TODAY),
        and(
            "5.2",
            "the end of strings within one",
            &[&[0], &string("x"), &coded([0xff, 0xff, 0xff, 0xff])],
            NONE,
        )
        .today(TODAY),
        and(
            "5.2",
            "the end of strings after a letter",
            &[&[0], &string("x"), &coded([0b0001_1111, 0xff, 0xff, 0xff, 0xe0 | 0x1f])],
            NONE,
        )
        .today(TODAY),
        and(
            "5.2",
            "a string longer than its block",
            &[&[0], &number(100, 7, 0), b"short"],
            NONE,
        )
        .today(TODAY),
        and(
            "5.2",
            "a value longer than its block",
            &[&[0], &string("x"), &number(100, 7, 0), b"short"],
            NONE,
        )
        .today(TODAY),
        and(
            "5.1",
            "a number without an end",
            &[&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]],
            NONE,
        )
        .today(TODAY),
        and(
            "5.1",
            "a number beyond what anybody counts",
            &[&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]],
            NONE,
        )
        .today(TODAY),
        and("6.2", "a field without a value", &[&[0], &string("x")], NONE).today(TODAY),
        and("6.2", "a field without a name", &[&[0]], NONE).today(TODAY),
    ]);
}

/// The table outlives a request: what one entered, the next names, and one that is malformed enters all the same.
#[test]
fn the_table_is_the_connections() {
    let server = Server::start("http-request-line", &[]);
    let mut peer = Peer::greeted(server.addr());
    peer.send(request(1, [get("/"), entered("x-first", "1")].concat()));
    // Malformed, for a field that is of the connection; its other field is entered.
    peer.send(request(
        3,
        [get("/"), field("connection", "close"), entered("x-second", "2")].concat(),
    ));
    peer.send(request(5, [get("/"), indexed(FIRST), indexed(FIRST + 1)].concat()));
    peer.until(|seen| seen.ended.contains(&5), "the last answer");
    assert_eq!(peer.seen.resets.get(&3), Some(&PROTOCOL_ERROR));
    let text = peer.seen.text(5);
    assert!(
        text.contains("x-second: 2\n") && text.contains("x-first: 1\n"),
        "{text}"
    );
}

/// The server's own tables follow the client's settings, in both directions.
#[test]
fn the_servers_table_follows_the_setting() {
    let server = Server::start("http-echo", &[]);
    let mut peer = Peer::greeted(server.addr());
    for (nth, size) in [0, 4096, 0, 65_536, 0].into_iter().enumerate() {
        peer.send(settings(&[(HEADER_TABLE_SIZE, size)]));
        let stream = 1 + 2 * u32::try_from(nth).expect("there are few");
        peer.send(request(stream, get("/")));
        peer.until(|seen| seen.ended.contains(&stream), "an answer");
        if size == 0 {
            assert_eq!(peer.seen.status(stream), Some(200), "{size}");
        }
    }
}
