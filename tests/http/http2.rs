//! HTTP/2, frame by frame.
//!
//! What a library would never send is what most of this is about, so frames and fields are written by hand. Where today's
//! answer is another than the one that the standard names, the case says both. Each case is run over plain TCP and over TLS.

mod clients;
mod compression;
mod crowds;
pub mod fields;
mod flow;
mod frames;
mod hostile;
mod judged;
mod messages;
mod streams;
pub mod wire;

use std::net::{SocketAddr, TcpStream};

use wire::Peer;

use crate::axes::Protocol;
use crate::tunnel::Secured;

/// A rule of the standard, what is sent to see whether it is kept, and what must come of it.
struct Case {
    rule: &'static str,
    what: &'static str,
    guest: &'static str,
    steps: Vec<Step>,
    then: Then,
    /// What comes instead, where that is something else, and why that is all the same to a client.
    today: Option<Then>,
}

enum Step {
    Send(Vec<u8>),
    /// The server ends a stream.
    Ended(u32),
    /// The server has reset a stream.
    Reset(u32),
    /// Bytes of content have come on a stream.
    Come(u32, usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// A connection error: GOAWAY with this code, and the end.
    Closes(u32),
    /// The end, with or without a word.
    Ends,
    /// A stream error; the connection lives.
    Resets(u32, u32),
    /// Either.
    Refuses(u32, u32),
    /// Either with one of these codes, or the end.
    Judged(u32, &'static [u32]),
    /// The stream is reset for a malformed message, or answered with 400 (section 8.1.1); the connection lives.
    Malformed(u32),
    /// A response with this status; the connection lives.
    Answers(u32, u16),
    /// The connection lives, and no stream was reset.
    Lives,
    /// So much content has come on the stream, and no more comes.
    Stops(u32, usize),
}

impl From<Vec<u8>> for Step {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Send(bytes)
    }
}

fn case<const N: usize>(rule: &'static str, what: &'static str, steps: [Step; N], then: Then) -> Case {
    Case {
        rule,
        what,
        guest: "http-echo",
        steps: Vec::from(steps),
        then,
        today: None,
    }
}

/// A case that is one piece of bytes.
fn sent(rule: &'static str, what: &'static str, bytes: impl Into<Vec<u8>>, then: Then) -> Case {
    case(rule, what, [Step::Send(bytes.into())], then)
}

impl Case {
    /// What comes today is something else.
    fn today(mut self, then: Then) -> Self {
        self.today = Some(then);
        self
    }

    /// Asks another guest than the one that sends back what it gets.
    fn of(mut self, guest: &'static str) -> Self {
        self.guest = guest;
        self
    }

    /// Runs it, again where a machine that has too much to do tells the client to come again (503).
    fn run(&self, addr: SocketAddr) -> Result<(), String> {
        loop {
            let mut peer = Peer::greeted(addr);
            let outcome = self.run_on(&mut peer);
            if outcome.is_ok() || !peer.seen.is_told_to_come_again() {
                return outcome;
            }
        }
    }

    fn run_on(&self, peer: &mut Peer<TcpStream>) -> Result<(), String> {
        for step in &self.steps {
            match *step {
                Step::Send(ref bytes) => peer.send(bytes),
                Step::Ended(stream) => peer.until(|seen| seen.ended.contains(&stream), self.what),
                Step::Reset(stream) => peer.until(|seen| seen.resets.contains_key(&stream), self.what),
                Step::Come(stream, bytes) => peer.until(|seen| seen.bytes(stream) >= bytes, self.what),
            }
        }
        let then = self.today.unwrap_or(self.then);
        let holds = then.holds(peer);
        match (holds, self.today) {
            (true, _) => Ok(()),
            (false, None) => Err(format!("{} {}: not {then:?}: {:?}", self.rule, self.what, peer.seen)),
            (false, Some(_)) => Err(format!(
                "{} {}: neither today's {then:?} nor, perhaps, {:?}: {:?}",
                self.rule, self.what, self.then, peer.seen
            )),
        }
    }
}

impl Then {
    fn holds(self, peer: &mut Peer<TcpStream>) -> bool {
        match self {
            Self::Closes(code) => {
                peer.reads_until(|seen| seen.closed);
                peer.seen.closed && peer.seen.goaway == Some(code)
            }
            Self::Ends => {
                peer.reads_until(|seen| seen.closed);
                peer.seen.closed
            }
            Self::Resets(stream, code) => {
                peer.reads_until(|seen| seen.resets.contains_key(&stream));
                peer.seen.resets.get(&stream) == Some(&code) && peer.is_alive()
            }
            Self::Refuses(stream, code) => {
                peer.reads_until(|seen| seen.resets.contains_key(&stream) || seen.goaway.is_some());
                peer.seen.resets.get(&stream).or(peer.seen.goaway.as_ref()) == Some(&code)
            }
            Self::Judged(stream, codes) => {
                peer.reads_until(|seen| seen.resets.contains_key(&stream) || seen.closed);
                let code = peer.seen.resets.get(&stream).or(peer.seen.goaway.as_ref());
                peer.seen.closed || code.is_some_and(|code| codes.contains(code))
            }
            Self::Malformed(stream) => {
                peer.reads_until(|seen| seen.ended.contains(&stream) || seen.resets.contains_key(&stream));
                let is_refused = peer.seen.status(stream) == Some(400) && peer.seen.ended.contains(&stream);
                let is_reset = peer.seen.resets.get(&stream) == Some(&wire::PROTOCOL_ERROR);
                (is_refused || (is_reset && peer.seen.status(stream).is_none())) && peer.is_alive()
            }
            Self::Answers(stream, status) => {
                peer.reads_until(|seen| seen.ended.contains(&stream) || seen.resets.contains_key(&stream));
                let is_whole = peer.seen.ended.contains(&stream);
                is_whole && peer.seen.status(stream) == Some(status) && peer.is_alive()
            }
            Self::Lives => peer.is_alive() && peer.seen.goaway.is_none() && peer.seen.resets.is_empty(),
            Self::Stops(stream, bytes) => {
                peer.reads_until(|seen| seen.bytes(stream) >= bytes);
                peer.is_alive() && peer.is_alive() && peer.seen.bytes(stream) == bytes
            }
        }
    }
}

/// Begins answers to so many requests; whoever is told to come again (503), since the machine has too much to do, does.
fn begun(peer: &mut Peer<TcpStream>, count: usize, ask: impl Fn(u32) -> Vec<u8>) -> Vec<u32> {
    let mut begun = Vec::new();
    while begun.len() < count {
        let next = peer.seen.statuses.last_key_value().map_or(1, |(last, _)| last + 2);
        let asked: Vec<u32> = (next..).step_by(2).take(count - begun.len()).collect();
        for &stream in &asked {
            peer.send(ask(stream));
        }
        peer.until(
            |seen| asked.iter().all(|&stream| seen.status(stream).is_some()),
            "heads",
        );
        begun.extend(
            asked
                .into_iter()
                .filter(|&stream| peer.seen.status(stream) == Some(200)),
        );
    }
    begun
}

/// Runs all cases, over plain TCP and over TLS, and says which do not hold.
#[track_caller]
fn check(cases: Vec<Case>) {
    let mut servers: Vec<(&str, Secured)> = Vec::new();
    let mut wrong = Vec::new();
    let (all, other) = (cases.len(), cases.iter().filter(|case| case.today.is_some()).count());
    for case in cases {
        if !servers.iter().any(|(guest, _)| *guest == case.guest) {
            servers.push((case.guest, Secured::serve(case.guest, "", &[])));
        }
        let (_, site) = servers
            .iter()
            .find(|(guest, _)| *guest == case.guest)
            .expect("it was started");
        wrong.extend(case.run(site.server.addr()).err());
        let by_tls = case.run(site.addr(Protocol::Http2)).err();
        wrong.extend(by_tls.map(|wrong| format!("by TLS: {wrong}")));
    }
    println!("{all} cases, {other} of them with another answer than the standard's");
    assert!(
        wrong.is_empty(),
        "{} of {all} cases, each run twice, do not hold:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    for (guest, site) in &servers {
        let mut peer = Peer::greeted(site.server.addr());
        assert!(peer.is_alive(), "{guest} is served no more");
    }
}
