//! The frames of an HTTP/2 connection on their way to hyper (RFC 9113 section 4.1), by their heads alone.
//!
//! hyper and what stands below it judge frames. Here is what they leave out: a connection begins with SETTINGS (section 3.4);
//! frames have the size of their type, or the error says that (section 4.2); trailers have no pseudo-fields (section 8.1); windows
//! have a bound also where nothing more is sent, and settings say none beyond it (sections 6.9.1 and 6.5.2); content that nobody wants may end early; and frames that carry nothing
//! are counted. Whoever is found out is told by the library itself, which is fed something that it
//! refuses with the code that is due: so what is said stands between whole frames, whatever carries them.
//!
//! Payloads are not looked at, and nothing is copied, as long as nothing is wrong and no trailers come; but for settings, and for what
//! windows grow by once nothing more is sent.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use http::Version;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::activity::Activity;
use crate::limits::Limit;

/// What an HTTP/2 connection begins with (RFC 9113 section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEAD_BYTES: usize = 9;

/// As large as a payload may be where nothing else was agreed on (section 6.5.2).
const FRAME_BYTES_MAX: usize = 1 << 14;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const WITH_PRIORITY: u8 = 0x20;

/// A field that is put before those of trailers: a pseudo-field after it is one in a wrong place, which the library refuses. It
/// is taken out of them again (`reading.rs`).
pub(super) const TRAILERS_BEGIN: &str = "wharf-trailers-begin";

/// A reader that looks at frames once its connection speaks HTTP/2, and passes on anything else.
pub(super) struct Frames<R> {
    reader: R,
    activity: Arc<Activity>,
    watch: Watch,
    sent: Sent,
    /// What is given instead of what was read, and what was read after that.
    given: BytesMut,
    rest: BytesMut,
}

enum Watch {
    /// So much of the preface has come.
    Preface(usize),
    Heads(Box<Heads>),
    /// The connection speaks something else.
    Nothing,
}

impl<R> Frames<R> {
    pub fn new(reader: R, activity: Arc<Activity>) -> Self {
        Self {
            reader,
            activity,
            watch: Watch::Preface(0),
            sent: Sent::default(),
            given: BytesMut::new(),
            rest: BytesMut::new(),
        }
    }

    /// Reads until it is clear what the connection speaks. What has come is there for whoever reads next.
    pub fn poll_version(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Version>>
    where
        R: AsyncRead + Unpin,
    {
        loop {
            match &self.watch {
                Watch::Heads(_) => return Poll::Ready(Ok(Version::HTTP_2)),
                Watch::Nothing if is_neither(&self.given) => {
                    let neither = "what came begins like neither HTTP/1.1 nor HTTP/2";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, neither)));
                }
                Watch::Nothing => return Poll::Ready(Ok(Version::HTTP_11)),
                Watch::Preface(_) => {}
            }
            let mut bytes = [0; PREFACE.len()];
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.reader).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(Version::HTTP_11));
            }
            self.give(buffer.filled());
        }
    }

    /// Looks at what was read, and has it ready for whoever reads next.
    fn give(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let look = self.look(bytes);
            self.given.extend_from_slice(&bytes[..look.passes]);
            self.given.extend_from_slice(&look.instead);
            bytes = &bytes[look.passes + look.taken..];
        }
    }

    /// Looks at bytes that were written.
    fn look_at_written<'a>(&mut self, parts: impl IntoIterator<Item = &'a [u8]>) {
        if let Watch::Heads(heads) = &mut self.watch {
            for part in parts {
                self.sent.look(part, &self.activity, heads);
            }
        }
    }

    /// Looks at bytes that have come.
    fn look(&mut self, bytes: &[u8]) -> Look {
        let mut before = 0;
        if let Watch::Preface(come) = self.watch {
            let left = &PREFACE[come..];
            before = left.len().min(bytes.len());
            self.watch = match left[..before] == bytes[..before] {
                true if before == left.len() => Watch::Heads(Box::default()),
                true => Watch::Preface(come + before),
                false => Watch::Nothing,
            };
        }
        match &mut self.watch {
            Watch::Heads(heads) => {
                let look = heads.look(&bytes[before..], &self.activity);
                Look {
                    passes: before + look.passes,
                    ..look
                }
            }
            Watch::Preface(_) | Watch::Nothing => Look::passes(bytes.len()),
        }
    }
}

/// Whether a line of three words has begun of which the second is no target of a request (RFC 9112 section 3.2) and the third no
/// protocol's name: a preface gone wrong (RFC 9113 section 3.4), whose sender reads frames, and would take an answer for one. A proxy that
/// may not tell whom it speaks for is answered: who set it up reads that in its log.
fn is_neither(begun: &[u8]) -> bool {
    const NAME: &[u8] = b"HTTP/";
    if begun.starts_with(b"PROXY ") {
        return false;
    }
    let line = begun.split(|byte| b"\r\n".contains(byte)).next().unwrap_or_default();
    let mut words = line.splitn(3, |byte| *byte == b' ');
    let (Some(1..), Some(target @ [_, ..]), Some(protocol)) =
        (words.next().map(<[u8]>::len), words.next(), words.next())
    else {
        return false;
    };
    let is_target = target.starts_with(b"/") || target == b"*" || target.contains(&b':');
    let is_name = protocol.len() < NAME.len() || protocol[..NAME.len()].eq_ignore_ascii_case(NAME);
    !is_target && !is_name
}

/// What is written passes as it is.
impl<R: AsyncWrite + Unpin> AsyncWrite for Frames<R> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.reader).poll_write(cx, bytes))?;
        self.look_at_written([&bytes[..written]]);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.reader.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.reader).poll_write_vectored(cx, parts))?;
        let mut left = written;
        self.look_at_written(parts.iter().map(|part| {
            let taken = left.min(part.len());
            left -= taken;
            &part[..taken]
        }));
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_shutdown(cx)
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Frames<R> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if !self.given.is_empty() {
                let fits = self.given.len().min(buffer.remaining());
                buffer.put_slice(&self.given.split_to(fits));
                return Poll::Ready(Ok(()));
            }
            if !self.rest.is_empty() {
                let rest = self.rest.split();
                self.give(&rest);
                continue;
            }
            let before = buffer.filled().len();
            ready!(Pin::new(&mut self.reader).poll_read(cx, buffer))?;
            let bytes = &buffer.filled()[before..];
            if bytes.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let look = self.look(bytes);
            if look.passes == bytes.len() {
                return Poll::Ready(Ok(()));
            }
            self.given.extend_from_slice(&look.instead);
            self.rest.extend_from_slice(&bytes[look.passes + look.taken..]);
            buffer.set_filled(before + look.passes);
            if look.passes > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

/// The frames on their way to the client. Which streams end there is noted; and of all that the library says by itself one thing is
/// looked for: that it takes no further stream, since the client has as many as it may.
#[derive(Default)]
struct Sent {
    /// What is left of the payload of the frame that is passing.
    payload: usize,
    /// A head of which only so much has passed, and the code behind it where it ends a stream.
    part: [u8; HEAD_BYTES + CODE_BYTES],
    come: usize,
}

const CODE_BYTES: usize = 4;

/// Section 6.3.
const PRIORITY_BYTES: usize = 5;

/// Section 7.
const REFUSED_STREAM: u32 = 7;

impl Sent {
    fn look(&mut self, mut bytes: &[u8], activity: &Activity, heads: &mut Heads) {
        loop {
            let passes = self.payload.min(bytes.len());
            self.payload -= passes;
            bytes = &bytes[passes..];
            if bytes.is_empty() {
                return;
            }
            let wanted = match self.come < HEAD_BYTES {
                true => HEAD_BYTES,
                false => HEAD_BYTES + CODE_BYTES,
            };
            let taken = (wanted - self.come).min(bytes.len());
            self.part[self.come..self.come + taken].copy_from_slice(&bytes[..taken]);
            self.come += taken;
            bytes = &bytes[taken..];
            if self.come < wanted {
                return;
            }
            let [l0, l1, l2, kind, flags, s0, s1, s2, s3, code @ ..] = self.part;
            let head = Head::of([l0, l1, l2, kind, flags, s0, s1, s2, s3]);
            if wanted == HEAD_BYTES && head.kind == RST_STREAM && head.length == CODE_BYTES {
                continue;
            }
            if wanted == HEAD_BYTES {
                self.payload = head.length;
                if matches!(head.kind, HEADERS | DATA) && head.has(END_STREAM) {
                    heads.answered(head.stream);
                }
            } else if u32::from_be_bytes(code) == REFUSED_STREAM {
                activity.refused_stream();
            }
            self.come = 0;
        }
    }
}

/// What a look at bytes says.
#[derive(Debug, PartialEq, Eq)]
struct Look {
    /// So many of them pass as they are.
    passes: usize,
    /// So many after these are taken out, and replaced.
    taken: usize,
    instead: Vec<u8>,
}

impl Look {
    fn passes(bytes: usize) -> Self {
        Self {
            passes: bytes,
            taken: 0,
            instead: Vec::new(),
        }
    }
}

/// Where in its frames a connection is.
#[derive(Default)]
struct Heads {
    /// What is left of the payload of the frame that is passing.
    payload: usize,
    /// A head of which only so much has come.
    part: [u8; HEAD_BYTES],
    come: usize,
    /// SETTINGS have come first.
    is_greeted: bool,
    /// The client has said that it goes. Saying it again carries nothing, and the library looks at every stream each time.
    is_left: bool,
    /// Streams whose content has not ended, as far as their number tells.
    open: BTreeMap<u32, Open>,
    /// A frame that is held back until its payload has come.
    held: Option<(Head, Vec<u8>)>,
    /// The connection has been refused: nothing more is taken of it.
    is_over: bool,
}

/// A stream whose content has not ended.
#[derive(Default)]
struct Open {
    /// How many bytes of it have come, padding included.
    bytes: u64,
    /// By how much its window has grown since it was answered, if it was.
    grown: Option<u64>,
}

/// What becomes of a frame.
enum Verdict {
    Passes,
    /// Its head is replaced.
    Instead(Vec<u8>),
    Refused(Vec<u8>),
}

/// Section 6.5.2.
const INITIAL_WINDOW_SIZE: u16 = 4;

/// Section 6.9.1.
const WINDOW_MAX: u64 = (1 << 31) - 1;

/// How many open streams are remembered. Above it the eldest is forgotten, as are those that the library has refused; what is
/// not remembered is judged by the library alone.
const OPEN_MAX: usize = 1024;

impl Heads {
    fn look(&mut self, bytes: &[u8], activity: &Activity) -> Look {
        let mut at = 0;
        loop {
            let passes = self.payload.min(bytes.len() - at);
            if self.held.is_some() && passes > 0 {
                return self.hold_payload(at, &bytes[at..at + passes]);
            }
            at += passes;
            self.payload -= passes;
            let left = &bytes[at..];
            if left.is_empty() && !self.is_over {
                return Look::passes(at);
            }
            let (head, taken) = match left.first_chunk() {
                _ if self.is_over => return self.instead(at, left.len(), Vec::new()),
                Some(head) if self.come == 0 => (*head, HEAD_BYTES),
                _ => match self.complete(left) {
                    (Some(head), taken) => (head, taken),
                    (None, taken) => return self.instead(at, taken, Vec::new()),
                },
            };
            match self.judge(Head::of(head), activity) {
                Verdict::Passes if taken == HEAD_BYTES => at += HEAD_BYTES,
                Verdict::Passes => return self.instead(at, taken, head.to_vec()),
                Verdict::Instead(other) => return self.instead(at, taken, other),
                Verdict::Refused(refused) => {
                    self.is_over = true;
                    return self.instead(at, taken, refused);
                }
            }
        }
    }

    /// Holds a frame back.
    fn hold(&mut self, head: Head) -> Verdict {
        self.held = Some((head, Vec::new()));
        Verdict::Instead(Vec::new())
    }

    /// Takes the payload of the frame that is held, or a part of it, which comes after `passes` other bytes.
    fn hold_payload(&mut self, passes: usize, bytes: &[u8]) -> Look {
        self.payload -= bytes.len();
        if let Some((_, payload)) = &mut self.held {
            payload.extend_from_slice(bytes);
        }
        let whole = self.held.take_if(|_| self.payload == 0);
        let instead = whole.map_or_else(Vec::new, |(head, payload)| self.judge_whole(head, &payload));
        self.instead(passes, bytes.len(), instead)
    }

    /// What is passed on of a frame that has come as a whole.
    fn judge_whole(&mut self, head: Head, payload: &[u8]) -> Vec<u8> {
        let exceeds = match head.kind {
            HEADERS => return without_padding(head, payload),
            SETTINGS => sets_too_large_a_window(payload),
            _ => match growth(payload) {
                // The library has a word for that.
                0 => false,
                by if self.grows_too_large(head.stream, by) => true,
                // Nobody else is told: nothing more is sent.
                _ => return Vec::new(),
            },
        };
        self.is_over = exceeds;
        match exceeds {
            true => flow_control_error(),
            false => [&head.to_bytes()[..], payload].concat(),
        }
    }

    /// Whether an answered stream's window has grown by more than it may have in all.
    fn grows_too_large(&mut self, stream: u32, by: u32) -> bool {
        let Some(Open { grown: Some(grown), .. }) = self.open.get_mut(&stream) else {
            return false;
        };
        *grown += u64::from(by);
        *grown > WINDOW_MAX
    }

    /// The server has ended a stream.
    fn answered(&mut self, stream: u32) {
        if let Some(open) = self.open.get_mut(&stream) {
            open.grown = Some(0);
        }
    }

    fn instead(&self, passes: usize, taken: usize, instead: Vec<u8>) -> Look {
        Look { passes, taken, instead }
    }

    /// Adds to a head that comes in parts; says how much was taken for that.
    fn complete(&mut self, bytes: &[u8]) -> (Option<[u8; HEAD_BYTES]>, usize) {
        let taken = (HEAD_BYTES - self.come).min(bytes.len());
        self.part[self.come..self.come + taken].copy_from_slice(&bytes[..taken]);
        self.come += taken;
        let is_whole = self.come == HEAD_BYTES;
        if is_whole {
            self.come = 0;
        }
        (is_whole.then_some(self.part), taken)
    }

    /// How many bytes of its content have come by the end of this frame, if its stream had begun and not ended.
    fn later(&mut self, head: Head) -> Option<u64> {
        let bytes = if head.kind == DATA { head.length as u64 } else { 0 };
        match head.kind {
            RST_STREAM => self.open.remove(&head.stream),
            HEADERS | DATA if head.has(END_STREAM) => self.open.remove(&head.stream),
            _ => {
                if let Some(open) = self.open.get_mut(&head.stream) {
                    open.bytes += bytes;
                    return Some(open.bytes);
                }
                if head.kind == HEADERS {
                    self.open.insert(head.stream, Open::default());
                    if self.open.len() > OPEN_MAX {
                        self.open.pop_first();
                    }
                }
                None
            }
        }
        .map(|open| open.bytes + bytes)
    }

    fn judge(&mut self, head: Head, activity: &Activity) -> Verdict {
        if !self.is_greeted && (head.kind != SETTINGS || head.has(ACK)) {
            return Verdict::Refused(protocol_error());
        }
        self.is_greeted = true;
        if head.has_wrong_size() {
            return Verdict::Refused(frame_size_error());
        }
        let is_repeated = head.kind == GOAWAY && std::mem::replace(&mut self.is_left, true);
        if (is_repeated || head.carries_nothing()) && !activity.may_say_nothing() {
            return Verdict::Refused(enhance_your_calm(activity));
        }
        let later = self.later(head);
        self.payload = head.length;
        match head.kind {
            HEADERS if later.is_none() || head.is_too_large() => Verdict::Passes,
            HEADERS if head.length > 0 && (head.has(PADDED) || head.has(WITH_PRIORITY)) => self.hold(head),
            HEADERS => Verdict::Instead(trailers(head)),
            DATA if let Some(bytes) = later => data(head, bytes, activity),
            WINDOW_UPDATE if let Some(Open { grown: Some(_), .. }) = self.open.get(&head.stream) => self.hold(head),
            SETTINGS if head.length > 0 && !head.is_too_large() => self.hold(head),
            _ => Verdict::Passes,
        }
    }
}

/// The head of a frame.
#[derive(Clone, Copy)]
struct Head {
    length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

impl Head {
    fn of(bytes: [u8; HEAD_BYTES]) -> Self {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = bytes;
        Self {
            length: u32::from_be_bytes([0, l0, l1, l2]) as usize,
            kind,
            flags,
            stream: u32::from_be_bytes([s0, s1, s2, s3]) & 0x7fff_ffff,
        }
    }

    fn to_bytes(self) -> [u8; HEAD_BYTES] {
        let [_, l0, l1, l2] = u32::try_from(self.length).unwrap_or(u32::MAX).to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        [l0, l1, l2, self.kind, self.flags, s0, s1, s2, s3]
    }

    fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The library refuses it by its head (section 4.2).
    fn is_too_large(self) -> bool {
        self.length > FRAME_BYTES_MAX
    }

    /// Sections 6.3 to 6.9. Frames of a variable length are the library's.
    fn has_wrong_size(self) -> bool {
        match self.kind {
            PRIORITY => self.length != PRIORITY_BYTES,
            RST_STREAM | WINDOW_UPDATE => self.length != 4,
            SETTINGS if self.has(ACK) => self.length != 0,
            SETTINGS => !self.length.is_multiple_of(6),
            PING => self.length != 8,
            GOAWAY => self.length < 8,
            _ => false,
        }
    }

    /// Neither content nor fields, nor an answer to what was asked.
    fn carries_nothing(self) -> bool {
        match self.kind {
            HEADERS | PUSH_PROMISE | GOAWAY => false,
            DATA => self.length == 0 && !self.has(END_STREAM),
            // Those without a block are counted by the library.
            CONTINUATION => self.length == 0,
            _ => true,
        }
    }
}

/// By how much a WINDOW_UPDATE makes a window grow.
fn growth(payload: &[u8]) -> u32 {
    payload.iter().fold(0, |by, byte| by << 8 | u32::from(*byte)) & 0x7fff_ffff
}

/// Whether the initial window of SETTINGS is none that a window may have (section 6.5.2).
fn sets_too_large_a_window(payload: &[u8]) -> bool {
    let settings = payload.as_chunks::<6>().0.iter();
    settings
        .filter(|[n0, n1, ..]| u16::from_be_bytes([*n0, *n1]) == INITIAL_WINDOW_SIZE)
        .any(|[_, _, v0, v1, v2, v3]| u64::from(u32::from_be_bytes([*v0, *v1, *v2, *v3])) > WINDOW_MAX)
}

/// A frame of content, with which so many bytes of it have come.
fn data(head: Head, bytes: u64, activity: &Activity) -> Verdict {
    let is_early = head.has(END_STREAM) && activity.unwanted.is_ended_early(head.stream, bytes);
    let passes = Head {
        // That it ends was said to whoever throws it away.
        flags: if is_early { head.flags & !END_STREAM } else { head.flags },
        ..head
    };
    // The library ends connections for a hundred of these in their whole life, however honest.
    match passes.length == 0 && !passes.has(END_STREAM) && !passes.has(PADDED) {
        true => Verdict::Instead(Vec::new()),
        false if is_early => Verdict::Instead(passes.to_bytes().to_vec()),
        false => Verdict::Passes,
    }
}

/// The head of trailers, after a field of ours. That a table's new size may stand at the beginning of a block (RFC 7541 section
/// 4.2) is of no account here: it does where the server's settings change, which they do not.
fn trailers(head: Head) -> Vec<u8> {
    let name = TRAILERS_BEGIN.as_bytes();
    let mut field = vec![0, u8::try_from(name.len()).unwrap_or(0)];
    field.extend_from_slice(name);
    field.push(0);
    let before = Head {
        length: field.len(),
        flags: head.flags & END_STREAM,
        ..head
    };
    let block = Head {
        kind: CONTINUATION,
        flags: head.flags & END_HEADERS,
        ..head
    };
    [&before.to_bytes()[..], &field, &block.to_bytes()].concat()
}

/// Trailers with padding, or a priority, as [`trailers`] has them: without.
fn without_padding(head: Head, payload: &[u8]) -> Vec<u8> {
    let (padding, rest) = match (head.has(PADDED), payload) {
        (true, [padding, rest @ ..]) => (usize::from(*padding), rest),
        _ => (0, payload),
    };
    let before = if head.has(WITH_PRIORITY) { PRIORITY_BYTES } else { 0 };
    let end = rest.len().checked_sub(padding);
    let Some(block) = end.and_then(|end| rest.get(before..end)) else {
        // There is more padding than payload, which the library refuses.
        return [&head.to_bytes()[..], payload].concat();
    };
    let head = Head {
        length: block.len(),
        flags: head.flags & !(PADDED | WITH_PRIORITY),
        ..head
    };
    [&trailers(head), block].concat()
}

/// Content of no stream.
fn protocol_error() -> Vec<u8> {
    vec![0; HEAD_BYTES]
}

/// The head of a frame of 16 MiB.
fn frame_size_error() -> Vec<u8> {
    vec![0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0]
}

/// Two windows of the connection's that are as large as one may be.
fn flow_control_error() -> Vec<u8> {
    let head = Head {
        length: 4,
        kind: WINDOW_UPDATE,
        flags: 0,
        stream: 0,
    };
    [&head.to_bytes()[..], &[0x7f, 0xff, 0xff, 0xff]].concat().repeat(2)
}

/// A head of a request that never ends.
fn enhance_your_calm(activity: &Activity) -> Vec<u8> {
    let head = |kind| Head {
        length: 0,
        kind,
        flags: 0,
        stream: 0x7fff_ffff,
    };
    let mut frames = head(HEADERS).to_bytes().to_vec();
    for _ in 0..activity.continuations_refused() {
        frames.extend(head(CONTINUATION).to_bytes());
    }
    frames
}

/// What the library adds to its GOAWAY where it has had enough, and the limit that is.
const GOODBYES: [(&[u8], Limit); 5] = [
    (b"too_many_resets", Limit::Resets),
    (b"too_many_internal_resets", Limit::Resets),
    (b"too_many_continuations", Limit::HeadBytes),
    (b"header_list_way_too_large", Limit::HeadBytes),
    (b"too_many_data_frames", Limit::ControlFrames),
];

/// What was written, frame by frame: a GOAWAY may tell of a limit, of which the library tells its client alone. Contents are
/// stepped over, so that none is taken for a frame.
#[derive(Default)]
pub(super) struct Written {
    /// What is left of the payload of the frame that is being written.
    payload: usize,
    /// A head of which only so much was written.
    part: [u8; HEAD_BYTES],
    come: usize,
    /// What was written so far of a GOAWAY.
    goodbye: Option<Vec<u8>>,
}

impl Written {
    /// What the library has ended the connection for, if that is in what was written next.
    pub fn look(&mut self, mut bytes: &[u8]) -> Option<Limit> {
        let mut limit = None;
        while !bytes.is_empty() {
            let of_payload = self.payload.min(bytes.len());
            let (payload, rest) = bytes.split_at(of_payload);
            self.payload -= of_payload;
            if let Some(goodbye) = &mut self.goodbye {
                goodbye.extend_from_slice(payload);
                if self.payload == 0 {
                    limit = limit.or(limit_of(goodbye));
                    self.goodbye = None;
                }
            }
            let of_head = (HEAD_BYTES - self.come).min(rest.len());
            let (head, rest) = rest.split_at(of_head);
            self.part[self.come..self.come + of_head].copy_from_slice(head);
            self.come += of_head;
            if self.come == HEAD_BYTES {
                self.come = 0;
                let head = Head::of(self.part);
                self.payload = head.length;
                self.goodbye = (head.kind == GOAWAY).then(Vec::new);
            }
            bytes = rest;
        }
        limit
    }
}

/// The limit that a GOAWAY's payload tells of: after the last stream and the code.
fn limit_of(payload: &[u8]) -> Option<Limit> {
    let word = payload.get(8..)?;
    let (_, limit) = GOODBYES.iter().find(|(known, _)| *known == word)?;
    Some(*limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::Door;
    use crate::inbound::ProxyOptions;
    use crate::limits::ServerLimits;

    fn head(length: usize, kind: u8, flags: u8, stream: u32) -> Vec<u8> {
        let head = Head {
            length,
            kind,
            flags,
            stream,
        };
        head.to_bytes().to_vec()
    }

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        [head(payload.len(), kind, flags, stream), payload.to_vec()].concat()
    }

    fn activity() -> Activity {
        Activity::new(Arc::new(Door::new(
            ServerLimits::default(),
            ProxyOptions::default(),
            None,
            None,
            Vec::new(),
        )))
    }

    /// What passes of `bytes` after the preface and SETTINGS, read in pieces of `size`.
    fn passed(bytes: &[u8], size: usize) -> Vec<u8> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let all = [&PREFACE[..], &head(0, SETTINGS, 0, 0), bytes].concat();
        runtime.block_on(async {
            let pieces = all.chunks(size).map(|piece| Ok::<_, io::Error>(BytesMut::from(piece)));
            let reader = tokio_util::io::StreamReader::new(futures_util::stream::iter(pieces));
            let mut frames = Frames::new(reader, Arc::new(activity()));
            let mut passed = Vec::new();
            tokio::io::AsyncReadExt::read_to_end(&mut frames, &mut passed)
                .await
                .unwrap();
            passed.split_off(PREFACE.len() + HEAD_BYTES)
        })
    }

    /// What is left of `bytes`, as they come in pieces of `size`.
    fn through(mut heads: Heads, bytes: &[u8], size: usize) -> Vec<u8> {
        let activity = activity();
        let mut left = Vec::new();
        for mut piece in bytes.chunks(size) {
            while !piece.is_empty() {
                let look = heads.look(piece, &activity);
                left.extend(&piece[..look.passes]);
                left.extend(&look.instead);
                piece = &piece[look.passes + look.taken..];
            }
        }
        left
    }

    /// However it comes.
    #[track_caller]
    fn check(bytes: &[u8], expected: &[u8]) {
        for size in [1, 2, 7, 9, 10, 33, 1000] {
            assert_eq!(passed(bytes, size), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn what_is_right_passes() {
        let request = frame(HEADERS, END_HEADERS, 1, b"block");
        let content = frame(DATA, END_STREAM, 1, b"content");
        check(
            &[request, content, frame(PING, 0, 0, &[0; 8])].concat(),
            &[
                frame(HEADERS, END_HEADERS, 1, b"block"),
                frame(DATA, END_STREAM, 1, b"content"),
                frame(PING, 0, 0, &[0; 8]),
            ]
            .concat(),
        );
    }

    #[test]
    fn trailers_begin_with_a_field() {
        let request = frame(HEADERS, END_HEADERS, 1, b"block");
        let trailers = frame(HEADERS, END_HEADERS | END_STREAM, 1, b"trailers");
        let field = [&[0, 20][..], TRAILERS_BEGIN.as_bytes(), &[0]].concat();
        let expected = [
            request.clone(),
            frame(HEADERS, END_STREAM, 1, &field),
            frame(CONTINUATION, END_HEADERS, 1, b"trailers"),
        ];
        check(&[request, trailers].concat(), &expected.concat());
    }

    #[test]
    fn trailers_lose_their_padding() {
        let request = frame(HEADERS, END_HEADERS, 1, b"block");
        let field = [&[0, 20][..], TRAILERS_BEGIN.as_bytes(), &[0]].concat();
        let expected = [
            request.clone(),
            frame(HEADERS, END_STREAM, 1, &field),
            frame(CONTINUATION, END_HEADERS, 1, b"trailers"),
        ];
        for (flags, payload) in [
            (PADDED, &b"\x03trailers\0\0\0"[..]),
            (WITH_PRIORITY, b"\0\0\0\0\x10trailers"),
            (PADDED | WITH_PRIORITY, b"\x01\0\0\0\0\x10trailers\0"),
        ] {
            let trailers = frame(HEADERS, END_HEADERS | END_STREAM | flags, 1, payload);
            check(&[request.clone(), trailers].concat(), &expected.concat());
        }
        let wrong = frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, b"\x09trailers");
        check(&[request.clone(), wrong.clone()].concat(), &[request, wrong].concat());
    }

    #[test]
    fn initial_windows_have_a_bound() {
        let sets = |window: u32| {
            let settings = [&[0, 3, 0, 0, 0, 9, 0, 4][..], &window.to_be_bytes()].concat();
            frame(SETTINGS, 0, 0, &settings)
        };
        let ping = frame(PING, 0, 0, &[0; 8]);
        check(&[sets(1 << 31), ping.clone()].concat(), &flow_control_error());
        let most = [sets((1 << 31) - 1), ping].concat();
        check(&most, &most);
    }

    #[test]
    fn content_of_nothing_is_left_out() {
        let request = frame(HEADERS, END_HEADERS, 1, b"block");
        let end = frame(DATA, END_STREAM, 1, b"");
        let all = [&request[..], &frame(DATA, 0, 1, b""), &frame(DATA, 0, 1, b""), &end].concat();
        check(&all, &[request, end].concat());
    }

    #[test]
    fn goodbyes_tell_of_limits() {
        let goodbye = |word: &[u8]| frame(GOAWAY, 0, 0, &[&[0; 8], word].concat());
        let pong = frame(PING, ACK, 0, &[0; 8]);
        for (written, limit) in [
            (goodbye(b"too_many_resets"), Some(Limit::Resets)),
            (goodbye(b"header_list_way_too_large"), Some(Limit::HeadBytes)),
            (goodbye(b""), None),
            (goodbye(b"too_many"), None),
            (b"too_many_resets".to_vec(), None),
            // Content that looks like one.
            (frame(DATA, 0, 1, &goodbye(b"too_many_resets")), None),
            (frame(DATA, 0, 1, b"........too_many_resets"), None),
        ] {
            let all = [
                &pong[..],
                &frame(DATA, 0, 1, b"content"),
                &frame(SETTINGS, 0, 0, b""),
                &written,
            ]
            .concat();
            for size in [1, 2, 8, 9, 10, 33, 1000] {
                let mut seen = Written::default();
                let limits: Vec<_> = all.chunks(size).filter_map(|piece| seen.look(piece)).collect();
                assert_eq!(
                    limits,
                    limit.into_iter().collect::<Vec<_>>(),
                    "{written:?} in pieces of {size}"
                );
            }
        }
    }

    #[test]
    fn goodbyes_after_the_first_carry_nothing() {
        let goodbye = frame(GOAWAY, 0, 0, &[0; 8]);
        let many = ServerLimits::default().control_frames_max as usize;
        // The client's SETTINGS are one of them.
        let allowed = goodbye.repeat(many);
        let more = [&allowed[..], &goodbye].concat();
        assert!(passed(&allowed, 1000) == allowed, "as many as there may be");
        assert!(passed(&more, 1000) != more, "one more");
    }

    #[test]
    fn windows_of_answered_streams_have_a_bound() {
        let grows = |by: u32| frame(WINDOW_UPDATE, 0, 1, &by.to_be_bytes());
        let ping = frame(PING, 0, 0, &[0; 8]);
        let most = u32::MAX >> 1;
        for (grown, refused) in [
            ([grows(most), ping.clone()], false),
            ([grows(most), grows(1)], true),
            ([grows(1), grows(most)], true),
            ([grows(most - 1), grows(1)], false),
        ] {
            let after = frame(DATA, END_STREAM, 1, b"");
            let mut expected = match (refused, grown[1] == ping) {
                (true, _) => flow_control_error(),
                (false, true) => ping.clone(),
                (false, false) => Vec::new(),
            };
            if !refused {
                expected.extend(&after);
            }
            let all = [&grown.concat()[..], &after].concat();
            for size in [1, 3, 9, 11, 1000] {
                let mut heads = Heads {
                    is_greeted: true,
                    ..Heads::default()
                };
                heads.open.insert(1, Open::default());
                heads.answered(1);
                assert_eq!(through(heads, &all, size), expected, "{grown:?} in pieces of {size}");
            }
        }
    }

    /// What begins like which protocol, as far as a preface is long.
    #[test]
    fn what_is_neither() {
        for (begun, neither) in [
            ("INVALID CONNECTION PREFA", true),
            ("PRI . SMTP/2.0", true),
            ("GET / HTTP/1.1\r\nhost: a", false),
            ("GET / HTTQ/1.1\r\nhost: a", false),
            ("CONNECT a.test:1 HTTQ/1.", false),
            ("OPTIONS * HTTQ/1.1\r\n", false),
            ("GET http://a.test/ HTTQ/", false),
            (" GET / HTTP/1.1\r\n", false),
            ("GET  / HTTP/1.1\r\n", false),
            ("GET a HTTP/1.1\r\n", false),
            ("GET a http/1.1\r\n", false),
            ("PROXY TCP4 100.100.100.1", false),
            ("GET a HTT", false),
            ("GET\r\na b c d e f g h i j", false),
            ("", false),
        ] {
            assert_eq!(is_neither(begun.as_bytes()), neither, "{begun:?}");
        }
    }

    #[test]
    fn what_is_wrong_ends_in_what_is_refused() {
        let after = frame(PING, 0, 0, &[0; 8]);
        check(
            &[frame(PING, 0, 0, &[0; 7]), after.clone()].concat(),
            &frame_size_error(),
        );
        check(&[frame(RST_STREAM, 0, 1, &[0; 5]), after].concat(), &frame_size_error());
    }
}
