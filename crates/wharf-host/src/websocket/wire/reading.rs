//! Takes frames apart (RFC 6455 section 5.2), and puts messages together.
//!
//! What is wrong is noticed with the byte that makes it so: a frame's head before its payload is read, a text's bytes as they
//! come.

use bytes::{Bytes, BytesMut};

use super::opcode::{BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT};
use super::{CloseInfo, Message, Received, Role, WireError, may_be_sent};

/// A head at its longest: two bytes, eight of length, four of the mask.
const HEAD_BYTES_MAX: usize = 14;

/// The payload of a control frame (RFC 6455 section 5.5).
const CONTROL_BYTES_MAX: u64 = 125;

/// What is set aside for a message at once. What a frame's head announces is not believed before it comes.
const ASIDE_BYTES_MAX: usize = 64 << 10;

pub(super) struct Reader {
    role: Role,
    message_bytes_max: usize,
    /// The head that is being read.
    head: [u8; HEAD_BYTES_MAX],
    head_bytes: usize,
    /// The frame whose payload is being read.
    frame: Option<Frame>,
    /// The payload of a control frame.
    control: BytesMut,
    /// The message that is being put together.
    message: Option<Partial>,
}

struct Frame {
    opcode: u8,
    is_final: bool,
    /// As it is for the next byte.
    mask: [u8; 4],
    left: u64,
}

struct Partial {
    is_text: bool,
    content: BytesMut,
    /// How much of the content is known to be UTF-8.
    checked: usize,
}

impl Reader {
    pub fn new(role: Role, message_bytes_max: usize) -> Self {
        Self {
            role,
            message_bytes_max,
            head: [0; HEAD_BYTES_MAX],
            head_bytes: 0,
            frame: None,
            control: BytesMut::new(),
            message: None,
        }
    }

    /// Takes bytes until something is whole, or all have been taken.
    pub fn take(&mut self, bytes: &mut &[u8]) -> Result<Option<Received>, WireError> {
        loop {
            if self.frame.is_none() && !self.take_head(bytes)? {
                return Ok(None);
            }
            let Some(frame) = &mut self.frame else { return Ok(None) };
            let taken = usize::try_from(frame.left).unwrap_or(usize::MAX).min(bytes.len());
            let (payload, rest) = bytes.split_at(taken);
            *bytes = rest;
            let content = match frame.opcode {
                CLOSE | PING | PONG => &mut self.control,
                _ => match &mut self.message {
                    Some(message) => &mut message.content,
                    None => &mut self.control,
                },
            };
            let before = content.len();
            content.extend_from_slice(payload);
            frame.unmask(&mut content[before..]);
            if frame.left > 0 {
                self.check_text()?;
                return Ok(None);
            }
            if let Some(received) = self.frame_ends()? {
                return Ok(Some(received));
            }
            if bytes.is_empty() {
                return Ok(None);
            }
        }
    }

    /// Takes what is missing of a frame's head; true once it is whole.
    fn take_head(&mut self, bytes: &mut &[u8]) -> Result<bool, WireError> {
        loop {
            let missing = head_bytes(&self.head[..self.head_bytes]).saturating_sub(self.head_bytes);
            if missing == 0 {
                break;
            }
            let (taken, rest) = bytes.split_at(missing.min(bytes.len()));
            if taken.is_empty() {
                return Ok(false);
            }
            self.head[self.head_bytes..][..taken.len()].copy_from_slice(taken);
            let before = self.head_bytes;
            self.head_bytes += taken.len();
            *bytes = rest;
            if before < 2 {
                self.check_head()?;
            }
        }
        self.frame_begins()?;
        Ok(true)
    }

    /// Checks as much as the first two bytes tell.
    fn check_head(&self) -> Result<(), WireError> {
        let first = self.head[0];
        let wrong = |what| Err(WireError::Protocol(what));
        if first & 0x70 != 0 {
            return wrong("a reserved bit is set, and no extension was agreed on");
        }
        let (opcode, is_final) = (first & 0x0f, first & 0x80 != 0);
        match (opcode, &self.message) {
            (CONTINUATION, None) => return wrong("a continuation of no message"),
            (TEXT | BINARY, Some(_)) => return wrong("a message within another"),
            (CLOSE | PING | PONG, _) if !is_final => return wrong("a control frame in fragments"),
            (CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG, _) => {}
            _ => return wrong("a reserved opcode"),
        }
        if self.head_bytes < 2 {
            return Ok(());
        }
        let (is_masked, length) = (self.head[1] & 0x80 != 0, u64::from(self.head[1] & 0x7f));
        match (self.role, is_masked) {
            (Role::Server, false) => wrong("a frame without a mask"),
            (Role::Client, true) => wrong("a masked frame"),
            _ if opcode >= CLOSE && length > CONTROL_BYTES_MAX => wrong("a control frame of more than 125 bytes"),
            _ => Ok(()),
        }
    }

    /// The head is whole.
    fn frame_begins(&mut self) -> Result<(), WireError> {
        let head = &self.head[..self.head_bytes];
        let (opcode, is_final) = (head[0] & 0x0f, head[0] & 0x80 != 0);
        let length = length(head)?;
        let mask = match (self.role, head) {
            (Role::Server, [.., a, b, c, d]) => [*a, *b, *c, *d],
            _ => [0; 4],
        };
        self.head_bytes = 0;
        if opcode < CLOSE {
            self.make_room(opcode, length)?;
        }
        self.frame = Some(Frame {
            opcode,
            is_final,
            mask,
            left: length,
        });
        Ok(())
    }

    /// Sees whether so much more may be in the message.
    fn make_room(&mut self, opcode: u8, length: u64) -> Result<(), WireError> {
        let message = self.message.get_or_insert_with(|| Partial {
            is_text: opcode == TEXT,
            content: BytesMut::new(),
            checked: 0,
        });
        let bytes_max = self.message_bytes_max;
        match usize::try_from(length) {
            Ok(length) if length <= bytes_max.saturating_sub(message.content.len()) => {
                message.content.reserve(length.min(ASIDE_BYTES_MAX));
                Ok(())
            }
            _ => Err(WireError::TooLarge { bytes_max }),
        }
    }

    /// What has come of a text is not yet wrong.
    fn check_text(&mut self) -> Result<(), WireError> {
        let Some(message) = self.message.as_mut().filter(|message| message.is_text) else {
            return Ok(());
        };
        let unchecked = &message.content[message.checked..];
        message.checked += match std::str::from_utf8(unchecked) {
            Ok(_) => unchecked.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => return Err(WireError::Utf8),
        };
        Ok(())
    }

    /// The payload is whole.
    fn frame_ends(&mut self) -> Result<Option<Received>, WireError> {
        let Some(frame) = self.frame.take() else {
            return Ok(None);
        };
        if frame.opcode >= CLOSE {
            let content = std::mem::take(&mut self.control).freeze();
            return Ok(Some(match frame.opcode {
                PING => Received::Ping(content),
                PONG => Received::Pong,
                _ => Received::Close(close_info(&content)?),
            }));
        }
        if !frame.is_final {
            self.check_text()?;
            return Ok(Some(Received::Fragment));
        }
        let Some(message) = self.message.take() else {
            return Ok(None);
        };
        Ok(Some(Received::Message(message.finished()?)))
    }
}

impl Frame {
    /// Payload that has come, in its place.
    fn unmask(&mut self, payload: &mut [u8]) {
        self.left -= payload.len() as u64;
        apply_mask(payload, self.mask);
        self.mask.rotate_left(payload.len() % 4);
    }
}

impl Partial {
    fn finished(self) -> Result<Message, WireError> {
        match self.is_text {
            true => match String::from_utf8(self.content.into()) {
                Ok(text) => Ok(Message::Text(text)),
                Err(_) => Err(WireError::Utf8),
            },
            false => Ok(Message::Binary(self.content.freeze())),
        }
    }
}

/// How long the head is that begins so, as far as that can be told.
fn head_bytes(begun: &[u8]) -> usize {
    let &[_, second, ..] = begun else { return 2 };
    let length = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    2 + length + mask
}

/// The length of the payload. It is written as short as can be (RFC 6455 section 5.2).
fn length(head: &[u8]) -> Result<u64, WireError> {
    let (length, least) = match *head {
        [_, second, a, b, ..] if second & 0x7f == 126 => (u64::from(u16::from_be_bytes([a, b])), 126),
        [_, second, a, b, c, d, e, f, g, h, ..] if second & 0x7f == 127 => {
            (u64::from_be_bytes([a, b, c, d, e, f, g, h]), 1 << 16)
        }
        [_, second, ..] => (u64::from(second & 0x7f), 0),
        _ => (0, 0),
    };
    match length {
        _ if length < least => Err(WireError::Protocol("a length that could have been written shorter")),
        _ if length >> 63 != 0 => Err(WireError::Protocol("a length that is none")),
        _ => Ok(length),
    }
}

/// RFC 6455 section 5.5.1.
fn close_info(payload: &Bytes) -> Result<Option<CloseInfo>, WireError> {
    let (code, reason) = match payload[..] {
        [] => return Ok(None),
        [a, b, ref reason @ ..] => (u16::from_be_bytes([a, b]), reason),
        _ => return Err(WireError::Protocol("a close frame with half a code")),
    };
    if !may_be_sent(code) {
        return Err(WireError::Protocol("a close frame with a code that may not be sent"));
    }
    let reason = std::str::from_utf8(reason).map_err(|_| WireError::Utf8)?;
    Ok(Some(CloseInfo::new(code, reason)))
}

/// RFC 6455 section 5.3. The first byte goes with the mask's first.
pub(super) fn apply_mask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}
