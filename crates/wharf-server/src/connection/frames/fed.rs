//! What the library is fed in the place of what came: frames by which it sees what it would not, or refuses them with the code that is
//! due.

use super::head::{
    CONTINUATION, END_HEADERS, END_STREAM, HEAD_BYTES, HEADERS, Head, PADDED, PRIORITY_BYTES, WINDOW_UPDATE,
    WITH_PRIORITY,
};
use crate::connection::activity::Activity;

/// A field that is put before those of trailers: a pseudo-field after it is one in a wrong place, which the library refuses. It
/// is taken out of them again (`reading.rs`).
pub(in crate::connection) const TRAILERS_BEGIN: &str = "wharf-trailers-begin";

/// The head of trailers, after a field of ours. That a table's new size may stand at the beginning of a block (RFC 7541 section
/// 4.2) is of no account here: it does where the server's settings change, which they do not.
pub(super) fn trailers(head: Head) -> Vec<u8> {
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
pub(super) fn without_padding(head: Head, payload: &[u8]) -> Vec<u8> {
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
pub(super) fn protocol_error() -> Vec<u8> {
    vec![0; HEAD_BYTES]
}

/// The head of a frame of 16 MiB.
pub(super) fn frame_size_error() -> Vec<u8> {
    vec![0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0]
}

/// Two windows of the connection's that are as large as one may be.
pub(super) fn flow_control_error() -> Vec<u8> {
    let head = Head {
        length: 4,
        kind: WINDOW_UPDATE,
        flags: 0,
        stream: 0,
    };
    [&head.to_bytes()[..], &[0x7f, 0xff, 0xff, 0xff]].concat().repeat(2)
}

/// A head of a request that never ends.
pub(super) fn enhance_your_calm(activity: &Activity) -> Vec<u8> {
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
