//! The frames of a client, judged by their heads, and a few by their payloads.

use std::collections::BTreeMap;

use super::fed::{enhance_your_calm, flow_control_error, frame_size_error, protocol_error, trailers, without_padding};
use super::head::{
    ACK, DATA, END_STREAM, GOAWAY, HEAD_BYTES, HEADERS, Head, PADDED, RST_STREAM, SETTINGS, WINDOW_UPDATE,
    WITH_PRIORITY,
};
use crate::connection::activity::Activity;

/// What a look at bytes says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// So many of them pass as they are.
    pub passes: usize,
    /// So many after these are taken out, and replaced.
    pub taken: usize,
    pub instead: Vec<u8>,
}

impl Look {
    pub fn passes(bytes: usize) -> Self {
        Self {
            passes: bytes,
            taken: 0,
            instead: Vec::new(),
        }
    }
}

/// Where in its frames a connection is.
#[derive(Default)]
pub(super) struct Heads {
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
    pub open: BTreeMap<u32, Open>,
    /// A frame that is held back until its payload has come.
    held: Option<(Head, Vec<u8>)>,
    /// The connection has been refused: nothing more is taken of it.
    is_over: bool,
}

/// A stream whose content has not ended.
#[derive(Default)]
pub(super) struct Open {
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
    pub fn look(&mut self, bytes: &[u8], activity: &Activity) -> Look {
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
    pub fn answered(&mut self, stream: u32) {
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
