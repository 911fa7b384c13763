//! HTTP/2 as frames on a stream (RFC 9113 section 4.1): right ones, and wrong ones that no library would send.
//!
//! The peer is generic over what carries it. It reads frames as they are and judges nothing; the cases do.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::fields;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long the peer waits for what must come.
const DEADLINE: Duration = Duration::from_secs(60);

/// The types of frames.
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

/// Their flags.
pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;
pub const WITH_PRIORITY: u8 = 0x20;

/// The error codes (section 7).
pub const NO_ERROR: u32 = 0;
pub const PROTOCOL_ERROR: u32 = 1;
pub const FLOW_CONTROL_ERROR: u32 = 3;
pub const STREAM_CLOSED: u32 = 5;
pub const FRAME_SIZE_ERROR: u32 = 6;
pub const REFUSED_STREAM: u32 = 7;
pub const CANCEL: u32 = 8;
pub const COMPRESSION_ERROR: u32 = 9;
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// Settings (section 6.5.2).
pub const HEADER_TABLE_SIZE: u16 = 1;
pub const ENABLE_PUSH: u16 = 2;
pub const MAX_CONCURRENT_STREAMS: u16 = 3;
pub const INITIAL_WINDOW_SIZE: u16 = 4;
pub const MAX_FRAME_SIZE: u16 = 5;
pub const MAX_HEADER_LIST_SIZE: u16 = 6;

/// What the peer's own pings say, to tell them from a case's.
const MARK: &[u8; 8] = b"the mark";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// Any frame at all.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut bytes = announced(payload.len(), kind, flags, stream);
    bytes.extend_from_slice(payload);
    bytes
}

/// The head of a frame alone.
pub fn announced(length: usize, kind: u8, flags: u8, stream: u32) -> Vec<u8> {
    let length = u32::try_from(length).expect("a frame is no longer than 16 MiB");
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes
}

pub fn data(stream: u32, content: impl AsRef<[u8]>) -> Vec<u8> {
    frame(DATA, 0, stream, content)
}

pub fn last_data(stream: u32, content: impl AsRef<[u8]>) -> Vec<u8> {
    frame(DATA, END_STREAM, stream, content)
}

/// A head of a request that has no content.
pub fn request(stream: u32, block: impl AsRef<[u8]>) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, block)
}

/// A head of a request whose content is to come.
pub fn opened(stream: u32, block: impl AsRef<[u8]>) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, block)
}

pub fn settings(pairs: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> = pairs
        .iter()
        .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
        .collect();
    frame(SETTINGS, 0, 0, payload)
}

pub fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, code.to_be_bytes())
}

pub fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, increment.to_be_bytes())
}

pub fn ping(payload: &[u8; 8]) -> Vec<u8> {
    frame(PING, 0, 0, payload)
}

/// A dependency on `other` (section 5.3.1), as PRIORITY has it.
pub fn priority(stream: u32, other: u32) -> Vec<u8> {
    frame(PRIORITY, 0, stream, [&other.to_be_bytes()[..], &[15]].concat())
}

/// What has been seen of a server.
#[derive(Debug, Default)]
pub struct Seen {
    /// The code of its GOAWAY.
    pub goaway: Option<u32>,
    pub closed: bool,
    pub resets: BTreeMap<u32, u32>,
    pub statuses: BTreeMap<u32, Vec<u16>>,
    /// Streams that it has ended.
    pub ended: BTreeSet<u32>,
    /// Bytes of content.
    pub content: BTreeMap<u32, Vec<u8>>,
    /// Frames of content.
    pub pieces: BTreeMap<u32, usize>,
    pub pongs: Vec<Vec<u8>>,
    pub acks: usize,
    /// What its SETTINGS say.
    pub settings: BTreeMap<u16, u32>,
    /// What its WINDOW_UPDATEs give.
    pub windows: BTreeMap<u32, u64>,
    /// How many frames of each type.
    pub frames: BTreeMap<u8, usize>,
}

impl Seen {
    pub fn status(&self, stream: u32) -> Option<u16> {
        self.statuses.get(&stream)?.last().copied()
    }

    pub fn is_told_to_come_again(&self) -> bool {
        self.statuses.values().flatten().any(|&status| status == 503)
    }

    pub fn bytes(&self, stream: u32) -> usize {
        self.content.get(&stream).map_or(0, Vec::len)
    }

    pub fn text(&self, stream: u32) -> String {
        let content = self.content.get(&stream).map_or(&[][..], Vec::as_slice);
        String::from_utf8_lossy(content).into_owned()
    }

    pub fn all_bytes(&self) -> usize {
        self.content.values().map(Vec::len).sum()
    }

    fn code(payload: &[u8]) -> u32 {
        let code = payload.get(..4).and_then(|code| code.try_into().ok());
        code.map_or(u32::MAX, u32::from_be_bytes)
    }

    fn take(&mut self, frame: Frame) {
        *self.frames.entry(frame.kind).or_default() += 1;
        let ends = frame.flags & END_STREAM != 0;
        match frame.kind {
            DATA => {
                *self.pieces.entry(frame.stream).or_default() += 1;
                self.content.entry(frame.stream).or_default().extend(frame.payload);
            }
            HEADERS => {
                let statuses = self.statuses.entry(frame.stream).or_default();
                statuses.extend(fields::status(&frame.payload));
            }
            RST_STREAM => {
                self.resets.insert(frame.stream, Self::code(&frame.payload));
            }
            SETTINGS if frame.flags & ACK != 0 => self.acks += 1,
            SETTINGS => {
                for setting in frame.payload.as_chunks::<6>().0 {
                    let id = u16::from_be_bytes([setting[0], setting[1]]);
                    self.settings.insert(id, Self::code(&setting[2..]));
                }
            }
            PING if frame.flags & ACK != 0 => self.pongs.push(frame.payload),
            GOAWAY => self.goaway = frame.payload.get(4..).map(Self::code),
            WINDOW_UPDATE => {
                *self.windows.entry(frame.stream).or_default() += u64::from(Self::code(&frame.payload));
            }
            _ => {}
        }
        if ends && matches!(frame.kind, DATA | HEADERS) {
            self.ended.insert(frame.stream);
        }
    }
}

/// A client of one connection.
#[derive(Debug)]
pub struct Peer<S> {
    stream: S,
    input: Vec<u8>,
    pub seen: Seen,
}

impl Peer<TcpStream> {
    /// Connects, and says nothing.
    pub fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).expect("the server accepts connections");
        stream.set_nodelay(true).expect("a TCP socket takes this option");
        // Short, so that a look at what has come is one; whoever waits looks again.
        stream
            .set_read_timeout(Some(Duration::from_millis(20)))
            .expect("it is not zero");
        stream.set_write_timeout(Some(DEADLINE)).expect("it is not zero");
        Self::over(stream)
    }

    /// Connects and greets.
    pub fn greeted(addr: SocketAddr) -> Self {
        Self::greeted_with(addr, &[])
    }

    /// Connects and greets with settings of the caller's.
    pub fn greeted_with(addr: SocketAddr, pairs: &[(u16, u32)]) -> Self {
        let mut peer = Self::connect(addr);
        peer.greet(pairs);
        peer
    }
}

impl<S: Read + Write> Peer<S> {
    /// On a stream whose reads end soon when nothing comes.
    pub fn over(stream: S) -> Self {
        Self {
            stream,
            input: Vec::new(),
            seen: Seen::default(),
        }
    }

    /// Exchanges prefaces. Without a dynamic table on the server's side (RFC 7541 section 4.2), so that each of its heads can
    /// be read by itself.
    pub fn greet(&mut self, pairs: &[(u16, u32)]) {
        let pairs = [&[(HEADER_TABLE_SIZE, 0)], pairs].concat();
        self.send([PREFACE, &settings(&pairs)].concat());
        self.until(
            |seen| seen.acks == 1 && seen.frames.contains_key(&SETTINGS),
            "the greeting",
        );
        self.send(frame(SETTINGS, ACK, 0, []));
    }

    /// Sends as much as the server takes; one that has closed takes nothing.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.try_send(bytes);
    }

    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.write_all(bytes.as_ref())?;
        self.stream.flush()
    }

    /// Reads what has come, and waits a moment for it if nothing has.
    pub fn look(&mut self) {
        if self.seen.closed {
            return;
        }
        let mut bytes = [0; 64 << 10];
        match self.stream.read(&mut bytes) {
            Ok(0) => self.seen.closed = true,
            Ok(count) => self.input.extend_from_slice(&bytes[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => self.seen.closed = true,
        }
        let mut at = 0;
        while let Some((frame, length)) = parse(&self.input[at..]) {
            self.seen.take(frame);
            at += length;
        }
        self.input.drain(..at);
    }

    /// Bytes that have come and are no whole frame.
    pub fn unread(&self) -> usize {
        self.input.len()
    }

    /// Reads until `holds`.
    #[track_caller]
    pub fn until(&mut self, holds: impl Fn(&Seen) -> bool, what: &str) {
        assert!(
            self.reads_until(&holds),
            "waited {DEADLINE:?} for {what}: {:?}",
            self.seen
        );
    }

    /// Reads until `holds`, or the server closes, or the deadline passes; says whether it held.
    pub fn reads_until(&mut self, holds: impl Fn(&Seen) -> bool) -> bool {
        self.reads_within(DEADLINE, holds)
    }

    pub fn reads_within(&mut self, deadline: Duration, holds: impl Fn(&Seen) -> bool) -> bool {
        let started = Instant::now();
        while !holds(&self.seen) {
            if self.seen.closed || started.elapsed() > deadline {
                return false;
            }
            self.look();
        }
        true
    }

    /// Whether the server answers a ping, having taken whatever was sent before.
    pub fn is_alive(&mut self) -> bool {
        let before = self.marks();
        self.send(ping(MARK));
        self.reads_until(|seen| seen.pongs.iter().filter(|pong| *pong == MARK).count() > before)
    }

    fn marks(&self) -> usize {
        self.seen.pongs.iter().filter(|pong| *pong == MARK).count()
    }
}

/// The first frame of `bytes` and its length, once all of it has come.
fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
    let head = bytes.get(..9)?;
    let end = 9 + u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    let frame = Frame {
        kind: head[3],
        flags: head[4],
        stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff,
        payload: bytes.get(9..end)?.to_vec(),
    };
    Some((frame, end))
}

#[test]
fn frames_are_read_as_they_are_written() {
    let bytes = [ping(b"12345678"), data(7, "abc"), announced(5, DATA, 0, 1)].concat();
    let (first, length) = parse(&bytes).unwrap();
    assert_eq!(
        (first.kind, first.stream, &first.payload[..]),
        (PING, 0, &b"12345678"[..])
    );
    let (second, next) = parse(&bytes[length..]).unwrap();
    assert_eq!(
        (second.kind, second.stream, &second.payload[..]),
        (DATA, 7, &b"abc"[..])
    );
    assert_eq!(parse(&bytes[length + next..]), None);
}
