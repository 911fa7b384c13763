//! Puts frames together (RFC 6455 section 5.2) and writes them.
//!
//! A message is one frame. What is short is written in one piece; of what is long only the head is made, unless it has to be
//! masked.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use tokio::io::AsyncWrite;

use super::opcode::{BINARY, CLOSE, PING, PONG, TEXT};
use super::reading::apply_mask;
use super::{CloseInfo, Message, Role};

const FINAL: u8 = 0x80;

/// Payloads up to this length are copied behind their head.
const SHORT_BYTES: usize = 4 << 10;

/// A control frame's payload is 125 bytes, of which a code takes two.
const REASON_BYTES_MAX: usize = 123;

/// Pongs that wait to be written. Past it the oldest is left out, for which the later ones stand (RFC 6455 section 5.5.3).
const PONGS_MAX: usize = 16;

pub(super) struct Writer {
    role: Role,
    /// What is being written: a head, with a short payload, and a long one.
    head: Bytes,
    payload: Bytes,
    /// What comes next.
    ping: bool,
    pongs: VecDeque<Bytes>,
    close: Option<Bytes>,
    closed: bool,
    /// Everything has been taken, and is not known to be on its way.
    unflushed: bool,
    written: u64,
    is_blocked: bool,
    /// A frame could not be made.
    failed: Option<io::Error>,
}

impl Writer {
    pub fn new(role: Role) -> Self {
        Self {
            role,
            head: Bytes::new(),
            payload: Bytes::new(),
            ping: false,
            pongs: VecDeque::new(),
            close: None,
            closed: false,
            unflushed: false,
            written: 0,
            is_blocked: false,
            failed: None,
        }
    }

    pub fn message(&mut self, message: Message) {
        match message {
            Message::Text(text) => self.frame(TEXT, text.into()),
            Message::Binary(bytes) => self.frame(BINARY, bytes),
        }
    }

    pub fn ping(&mut self) {
        self.ping = true;
    }

    pub fn pong(&mut self, content: Bytes) {
        if self.pongs.len() == PONGS_MAX {
            self.pongs.pop_front();
        }
        self.pongs.push_back(content);
    }

    pub fn close(&mut self, info: Option<&CloseInfo>) {
        let payload = info.map(|info| {
            let mut payload = BytesMut::with_capacity(2 + info.reason.len().min(REASON_BYTES_MAX));
            payload.put_u16(info.code);
            payload.put_slice(cut(&info.reason).as_bytes());
            payload.freeze()
        });
        self.close = Some(payload.unwrap_or_default());
    }

    pub fn written(&self) -> (u64, bool) {
        (self.written, self.is_blocked)
    }

    fn is_empty(&self) -> bool {
        self.head.is_empty() && self.payload.is_empty()
    }

    /// Begins to write a frame; whatever was before it has been written.
    fn frame(&mut self, opcode: u8, payload: Bytes) {
        debug_assert!(self.is_empty(), "a frame is written whole");
        if self.closed {
            return;
        }
        let is_short = payload.len() <= SHORT_BYTES;
        let mut head = BytesMut::with_capacity(14 + if is_short { payload.len() } else { 0 });
        head.put_u8(FINAL | opcode);
        let masked = if self.role == Role::Client { 0x80 } else { 0 };
        match payload.len() {
            bytes @ 0..126 => head.put_u8(masked | bytes as u8),
            bytes @ 126..0x1_0000 => {
                head.put_u8(masked | 126);
                head.put_u16(bytes as u16);
            }
            bytes => {
                head.put_u8(masked | 127);
                head.put_u64(bytes as u64);
            }
        }
        let payload = match self.role {
            Role::Server => payload,
            Role::Client => {
                let mask = match mask() {
                    Ok(mask) => mask,
                    Err(error) => {
                        self.failed = Some(error.into());
                        return;
                    }
                };
                head.put_slice(&mask);
                let mut payload = BytesMut::from(payload);
                apply_mask(&mut payload, mask);
                payload.freeze()
            }
        };
        if is_short {
            head.put_slice(&payload);
        } else {
            self.payload = payload;
        }
        self.head = head.freeze();
        self.unflushed = true;
    }

    /// What is to be written next, if anything.
    fn next(&mut self) {
        if let Some(content) = self.pongs.pop_front() {
            self.frame(PONG, content);
        } else if std::mem::take(&mut self.ping) {
            self.frame(PING, Bytes::new());
        } else if let Some(payload) = self.close.take() {
            self.frame(CLOSE, payload);
            self.closed = true;
        }
    }

    pub fn poll_write<S: AsyncWrite + Unpin>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_blocked = true;
        loop {
            if let Some(error) = self.failed.take() {
                return Poll::Ready(Err(error));
            }
            if self.is_empty() {
                self.next();
            }
            if self.is_empty() {
                break;
            }
            let parts = [IoSlice::new(&self.head), IoSlice::new(&self.payload)];
            let bytes = ready!(match self.payload.is_empty() {
                true => Pin::new(&mut *stream).poll_write(cx, &self.head),
                false => Pin::new(&mut *stream).poll_write_vectored(cx, &parts),
            })?;
            if bytes == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.wrote(bytes);
        }
        if self.unflushed {
            ready!(Pin::new(stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        self.is_blocked = false;
        Poll::Ready(Ok(()))
    }

    fn wrote(&mut self, bytes: usize) {
        self.written += bytes as u64;
        let of_head = bytes.min(self.head.len());
        self.head.advance(of_head);
        self.payload.advance(bytes - of_head);
        // What has been written is to cost nothing any more.
        if self.head.is_empty() {
            self.head = Bytes::new();
        }
        if self.payload.is_empty() {
            self.payload = Bytes::new();
        }
    }
}

/// As much of a reason as fits, in whole characters.
fn cut(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)]
}

/// Not to be foreseen by whoever chooses what is sent (RFC 6455 section 10.3): from the system, for each frame.
fn mask() -> Result<[u8; 4], getrandom::Error> {
    let mut mask = [0; 4];
    getrandom::fill(&mut mask)?;
    Ok(mask)
}
