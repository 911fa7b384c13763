//! Conformance and request smuggling over HTTP/1.1: cases as files, sent to the server alone and through proxies.
//!
//! `corpus/case.rs` says how a case is written. What is checked is the effect: the requests that guests saw are those
//! that were meant, each with its own method, target and content; what is refused ends the connection, and nothing
//! behind it is taken for a request.

mod case;
mod front;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::{Arc, Mutex};

use wharf_tests::http::{Connection, Reply};
use wharf_tests::{Origin, Scratch, Server, eventually, guest};

use crate::axes::Isolation;
use case::{Case, End, Step};
use front::{Front, Kind};

const FILES: [(&str, &str); 9] = [
    ("request_line", include_str!("corpus/request_line.txt")),
    ("host", include_str!("corpus/host.txt")),
    ("lines", include_str!("corpus/lines.txt")),
    ("content_length", include_str!("corpus/content_length.txt")),
    ("transfer_encoding", include_str!("corpus/transfer_encoding.txt")),
    ("chunks", include_str!("corpus/chunks.txt")),
    ("connection", include_str!("corpus/connection.txt")),
    ("sizes", include_str!("corpus/sizes.txt")),
    ("ends", include_str!("corpus/ends.txt")),
];

/// Asked on a connection that was left open: its answer is its own only if both sides agree where they are.
const PROBE: &str = "GET /probe HTTP/1.1\r\nhost: probe.test\r\nconnection: close\r\n\r\n";
const PROBE_SEEN: &str = "GET probe.test /probe";

fn cases() -> Vec<Case> {
    FILES.iter().flat_map(|(name, text)| case::read(name, text)).collect()
}

#[test]
fn names_are_told_apart() {
    let mut names = BTreeSet::new();
    for case in cases() {
        assert!(names.insert(case.name.clone()), "{} twice", case.name);
    }
}

#[test]
fn alone() {
    for isolation in Isolation::ALL {
        let watched = Watched::start(isolation);
        check_all(|case| check(&watched, case));
    }
}

#[test]
fn behind_nginx() {
    check_behind(Kind::Nginx);
}

#[test]
fn behind_nginx_streaming() {
    check_behind(Kind::NginxStreaming);
}

#[test]
fn behind_haproxy() {
    check_behind(Kind::Haproxy);
}

/// Fails with all findings at once.
fn check_all(check: impl Fn(&Case) -> Result<(), String>) {
    let cases = cases();
    let findings: Vec<_> = cases
        .iter()
        .filter_map(|case| check(case).err().map(|finding| format!("{}\n    {finding}", case.name)))
        .collect();
    assert!(
        findings.is_empty(),
        "{} findings:\n{}",
        findings.len(),
        findings.join("\n")
    );
}

/// The server alone: answers, the connection's end, and what the guests saw, to the word.
fn check(watched: &Watched, case: &Case) -> Result<(), String> {
    let mut connection = Connection::open(watched.addr);
    let mut statuses = Vec::new();
    for step in &case.steps {
        match step {
            // A server that has seen enough may have closed; what it said before is read below.
            Step::Send(bytes) => drop(connection.try_send(bytes)),
            Step::Finish => drop(connection.stream().shutdown(Shutdown::Write)),
            Step::Await(interim @ 100..200) => match connection.try_head() {
                Ok(head) if head.status() == *interim => {}
                other => return Err(format!("no {interim}: {other:?}")),
            },
            Step::Await(_) => statuses.push(answer(&mut connection, false)?.map(|reply| reply.status)),
        }
    }
    for expected in case.answers.iter().skip(statuses.len()) {
        let reply = answer(&mut connection, expected.is_head_alone())?;
        statuses.push(reply.map(|reply| reply.status));
    }
    let are_fit = case
        .answers
        .iter()
        .zip(&statuses)
        .all(|(expected, status)| expected.statuses.contains(status));
    let ended = match are_fit {
        true => ends(&mut connection, case.end),
        false => Err("that is none of its answers".to_owned()),
    };
    let seen = watched.seen(watched.addr)?;
    let probe = ended.map_err(|error| format!("answered {statuses:?}: {error}; the guests saw {seen:#?}"))?;
    let own = watched.addr.to_string();
    let lines = case.answers.iter().zip(&statuses).filter_map(|(expected, status)| {
        let line = expected.line.as_ref()?.replace("SERVER", &own);
        // A guest may have seen a request whose answer could not be sent.
        matches!(status, None | Some(200)).then_some((line, status.is_none()))
    });
    let lines: Vec<_> = lines.chain(probe.map(|line| (line, false))).collect();
    are(&lines, &seen)
        .then_some(())
        .ok_or_else(|| format!("the guests saw {seen:#?}"))
}

/// Whether the guests' lines are those expected, of which some may be missing.
fn are(expected: &[(String, bool)], seen: &[String]) -> bool {
    let mut seen = seen.iter().peekable();
    for (line, may_be_missing) in expected {
        if seen.next_if_eq(&line).is_none() && !may_be_missing {
            return false;
        }
    }
    seen.next().is_none()
}

/// The next answer; `None` when the connection ends first.
fn answer(connection: &mut Connection, is_head_alone: bool) -> Result<Option<Reply>, String> {
    let reply = match is_head_alone {
        true => connection.try_head().map(|head| Reply {
            status: head.status(),
            headers: head.headers,
            body: Vec::new(),
            trailers: Vec::new(),
        }),
        false => connection.try_reply(),
    };
    match reply {
        Ok(reply) => Ok(Some(reply)),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            Err("neither an answer nor an end".to_owned())
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(error.to_string()),
        Err(_) => Ok(None),
    }
}

/// Sees whether the connection is closed or in step; what the guest says of the question, if it was asked.
fn ends(connection: &mut Connection, end: End) -> Result<Option<String>, String> {
    if end == End::Closed {
        return match connection.is_closed() {
            true => Ok(None),
            false => Err("the connection goes on".to_owned()),
        };
    }
    drop(connection.try_send(PROBE));
    match answer(connection, false)? {
        Some(reply) if reply.status == 200 && reply.text() == PROBE_SEEN => Ok(Some(PROBE_SEEN.to_owned())),
        Some(reply) => Err(format!(
            "the next request is answered {} {:?}",
            reply.status,
            reply.text()
        )),
        None if end == End::Either => Ok(None),
        None => Err("the connection is closed".to_owned()),
    }
}

/// Every case through a proxy to the server, and through another like it to an origin of few words. What the proxy
/// makes of a case is its own affair; what it forwards must be the same requests to both, and be answered in the same
/// order. Each proxy keeps one connection for all cases, and what one client sends is never answered to another.
fn check_behind(kind: Kind) {
    let (served, plain) = (Watched::start(Isolation::Request), Watched::plain());
    let Some(front) = Front::start(kind, served.addr) else {
        return;
    };
    let Some(plain_front) = Front::start(kind, plain.addr) else {
        return;
    };
    check_all(|case| {
        // What a proxy does of its own may hang on what reaches it first, and then once it does other than the next
        // time.
        let mut finding = String::new();
        for _ in 0..5 {
            finding = match (through(&plain_front, &plain, case), through(&front, &served, case)) {
                (Ok(forwarded), Ok(arrived)) => {
                    let may_differ = NOT_FOR_THE_ORIGIN.contains(&&*case.name) || (kind, &*case.name) == GOES_ON;
                    if agree(&forwarded, &arrived) || may_differ {
                        return Ok(());
                    }
                    format!("forwarded {forwarded:#?}\n    and arrived {arrived:#?}")
                }
                (Err(finding), _) | (_, Err(finding)) => finding,
            };
        }
        Err(finding)
    });
}

/// The origin's parser is the harness's, which knows no such words.
const NOT_FOR_THE_ORIGIN: [&str; 2] = [
    "lines: values may hold bytes that are not ASCII (RFC 9110 5.5)",
    "transfer_encoding: the name of a coding in any case (RFC 9112 7)",
];

/// Refused one way or the other; but now and then this proxy takes what follows for the next request, and forwards it as one of its own.
const GOES_ON: (Kind, &str) = (
    Kind::Haproxy,
    "chunks: a trailer with a space before the colon (RFC 9112 5.1)",
);

/// What came of a case behind a proxy.
#[derive(Debug)]
struct Through {
    /// What the client was answered.
    statuses: Vec<u16>,
    /// What arrived as whole requests.
    seen: Vec<String>,
}

/// What arrived at the origin arrived at the guests, but for the requests that the server refused, and each has its
/// own answer. After a refusal, or content that nobody read, the server closes, and so may the proxy. Beyond that the
/// proxy may refuse on its own account, and leave it at closing.
fn agree(forwarded: &Through, arrived: &Through) -> bool {
    let mut lines = forwarded.seen.iter();
    let mut seen = arrived.seen.iter();
    let mut answers = arrived.statuses.iter();
    let mut may_have_closed = false;
    for status in &forwarded.statuses {
        let line = if *status == 200 { lines.next() } else { None };
        let answer = answers.next();
        let is_right = match (status, answer) {
            (200, Some(200)) => line.is_some() && seen.next() == line,
            (200, Some(400..)) => line.is_some(),
            (400.., Some(400..)) => true,
            (_, None) => may_have_closed || *status >= 400,
            _ => false,
        };
        if !is_right {
            return false;
        }
        may_have_closed |= answer.is_some_and(|status| *status >= 400);
        may_have_closed |= line.is_some_and(|line| line.ends_with(" unread"));
    }
    // Whose answer the client could not read: it spoke HTTP/0.9, or was refused before.
    seen.all(|line| lines.any(|known| known == line)) && answers.all(|status| *status >= 400)
}

#[test]
fn what_a_proxy_and_guests_do_not_agree_on_is_found() {
    type Side = (&'static [u16], &'static [&'static str]);
    let side = |(statuses, seen): Side| Through {
        statuses: statuses.to_vec(),
        seen: seen.iter().map(|line| (*line).to_owned()).collect(),
    };
    let both: Side = (&[200, 200], &["GET /a", "GET /b"]);
    let cases: [(Side, Side, bool); 10] = [
        (both, both, true),
        // Refused by the server, and then closed by the proxy.
        (both, (&[400, 200], &["GET /b"]), true),
        (both, (&[400], &[]), true),
        // Swallowed, told apart otherwise, in another order, with another's answer.
        (both, (&[200], &["GET /a"]), false),
        (both, (&[200, 200], &["GET /a"]), false),
        (both, (&[200, 200], &["GET /b", "GET /a"]), false),
        ((&[200], &["POST / \"a\""]), (&[200], &["POST / \"b\""]), false),
        // Hidden in another, answered or not.
        ((&[200], &["GET /a"]), both, false),
        ((&[200], &["GET /a"]), (&[200], &["GET /a", "GET /b"]), false),
        ((&[400], &[]), (&[400], &["GET /b"]), false),
    ];
    for (forwarded, arrived, expected) in cases {
        assert_eq!(
            agree(&side(forwarded), &side(arrived)),
            expected,
            "{forwarded:?} {arrived:?}"
        );
    }
}

fn through(front: &Front, watched: &Watched, case: &Case) -> Result<Through, String> {
    let mut connection = Connection::open(front.addr());
    for step in &case.steps {
        match step {
            Step::Send(bytes) => drop(connection.try_send(bytes)),
            Step::Finish => drop(connection.stream().shutdown(Shutdown::Write)),
            // The proxy answers for itself.
            Step::Await(_) => {}
        }
    }
    // One that could have hidden requests answered to it, and after which the proxy closes.
    let _ = connection.try_send(PROBE);
    let mut statuses = Vec::new();
    let mut heads = case.answers.iter().map(case::Answer::is_head_alone);
    while let Ok(Some(reply)) = answer(&mut connection, heads.next().unwrap_or(false)) {
        statuses.push(reply.status);
    }
    drop(connection);
    let seen = watched.seen(front.addr())?;
    let seen = seen.iter().map(|line| essence(line)).collect();
    Ok(Through { statuses, seen })
}

/// Method, target and content of a line: what a proxy must leave as it is.
fn essence(line: &str) -> String {
    let mut kept = String::new();
    let mut depth = 0_usize;
    for c in line.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ if depth == 0 => kept.push(c),
            _ => {}
        }
    }
    let words: Vec<_> = kept.split(' ').filter(|word| !word.is_empty()).collect();
    let without_authority = words.iter().enumerate().filter(|(index, _)| *index != 1);
    without_authority.map(|(_, word)| *word).collect::<Vec<_>>().join(" ")
}

/// Whether a line is about a GET of `path`.
fn is_about(line: &str, path: &str) -> bool {
    let mut words = line.split(' ');
    words.next() == Some("GET") && words.nth(1) == Some(path)
}

/// Somebody who says a line about each request: a server whose guests do, or an origin.
struct Watched {
    addr: SocketAddr,
    said: Box<dyn Fn() -> String>,
    read_bytes: Cell<usize>,
    marks: Cell<usize>,
}

impl Watched {
    fn new(addr: SocketAddr, said: impl Fn() -> String + 'static) -> Self {
        Self {
            addr,
            said: Box::new(said),
            read_bytes: Cell::new(0),
            marks: Cell::new(0),
        }
    }

    fn start(isolation: Isolation) -> Self {
        // Only what clients send is looked at.
        let scratch = Scratch::new();
        let manifest = format!(
            "[server]\nforwarded = 'none'\n[apps.main]\ncomponent = '{}'\nisolation = '{}'\n",
            guest("http-seen").display(),
            isolation.flag()
        );
        let server = Server::start(scratch.write("wharf.toml", manifest), &[]);
        Self::new(server.addr(), move || {
            let _ = &scratch;
            server.stdout()
        })
    }

    /// An origin that takes what is HTTP/1.1 to the letter, and nothing else.
    fn plain() -> Self {
        let said = Arc::new(Mutex::new(String::new()));
        let saying = said.clone();
        let origin = Origin::start(move |mut connection| {
            while let Ok(head) = connection.try_head() {
                let Ok(content) = connection.try_body() else { return };
                let line = line(&head.start, &content);
                *saying.lock().expect("nobody panics with it") += &format!("{line}\n");
                let length = if head.start.starts_with("HEAD ") { 0 } else { line.len() };
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{}",
                    line.len(),
                    &line[..length]
                );
                if connection.try_send(answer).is_err() {
                    return;
                }
            }
        });
        Self::new(origin.addr(), move || {
            // As long as it is asked, it is there.
            let _ = &origin;
            said.lock().expect("nobody panics with it").clone()
        })
    }

    /// What was said since this was last asked. It is known to be all by a request that another client makes at
    /// `addr`: its line comes after all of them, and its answer must be its own.
    fn seen(&self, addr: SocketAddr) -> Result<Vec<String>, String> {
        self.marks.set(self.marks.get() + 1);
        let path = format!("/mark/{}", self.marks.get());
        ask(addr, &path)?;
        let said = || (self.said)().split_off(self.read_bytes.get());
        eventually(
            || said().lines().any(|line| is_about(line, &path)),
            "the line about a mark",
        );
        let said = said();
        let mut lines = Vec::new();
        for line in said.split_inclusive('\n') {
            self.read_bytes.set(self.read_bytes.get() + line.len());
            let line = line.trim_end_matches('\n');
            if is_about(line, &path) {
                break;
            }
            lines.push(line.to_owned());
        }
        // The guest was told so, and cannot take it for whole.
        lines.retain(|line| !line.ends_with(" broken off"));
        Ok(lines)
    }
}

/// Another client's request.
fn ask(addr: SocketAddr, path: &str) -> Result<(), String> {
    // A proxy may find its connection to the server closed, and say so to this client.
    for _ in 0..3 {
        let mut connection = Connection::open(addr);
        connection.send(format!(
            "GET {path} HTTP/1.1\r\nhost: mark.test\r\nconnection: close\r\n\r\n"
        ));
        match answer(&mut connection, false)? {
            Some(reply) if reply.status == 200 && is_about(&reply.text(), path) => return Ok(()),
            Some(reply) if matches!(reply.status, 502 | 503) => {}
            other => return Err(format!("another client's request is answered {other:?}")),
        }
    }
    Err("another client's request is not answered".to_owned())
}

/// What the guest would say of a request.
fn line(start: &str, content: &[u8]) -> String {
    let mut words = start.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = match target.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => target,
    };
    let path = path.split('#').next().unwrap_or_default();
    let content = match content.len() {
        _ if path.ends_with("?unread") => " unread".to_owned(),
        0 => String::new(),
        1..=64 => format!(" \"{}\"", content.escape_ascii()),
        bytes => format!(" {bytes} bytes"),
    };
    format!("{method} any {path}{content}")
}
