//! The frames on their way to the client, of which some tell what the library does by itself.

use super::head::{DATA, END_STREAM, GOAWAY, HEAD_BYTES, HEADERS, Head, RST_STREAM};
use super::judge::Heads;
use crate::connection::activity::Activity;
use crate::limits::Limit;

/// The frames on their way to the client. Which streams end there is noted; and of all that the library says by itself one thing is
/// looked for: that it takes no further stream, since the client has as many as it may.
#[derive(Default)]
pub(super) struct Sent {
    /// What is left of the payload of the frame that is passing.
    payload: usize,
    /// A head of which only so much has passed, and the code behind it where it ends a stream.
    part: [u8; HEAD_BYTES + CODE_BYTES],
    come: usize,
}

const CODE_BYTES: usize = 4;

/// Section 7.
const REFUSED_STREAM: u32 = 7;

impl Sent {
    pub fn look(&mut self, mut bytes: &[u8], activity: &Activity, heads: &mut Heads) {
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
pub(in crate::connection) struct Written {
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
