//! A WebSocket's frames (RFC 6455 section 5) over any stream of bytes, for either end.
//!
//! Messages are given out whole, and held to their limit before a byte of them is kept. What waits holds nothing: a connection
//! between two messages has no buffer. Which timers run, who is told what, and how a connection is closed, is for whoever
//! drives it. How frames are taken apart is in `websocket/wire/reading.rs`.

mod reading;
mod writing;

use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::types::{CloseInfo, Message};
use reading::Reader;
use writing::Writer;

/// What is read at a time. On the stack: nothing is kept of it but what belongs to the next message.
const READ_BYTES: usize = 16 << 10;

/// What a frame is (RFC 6455 section 5.2). From `CLOSE` on they are control frames.
mod opcode {
    pub const CONTINUATION: u8 = 0x0;
    pub const TEXT: u8 = 0x1;
    pub const BINARY: u8 = 0x2;
    pub const CLOSE: u8 = 0x8;
    pub const PING: u8 = 0x9;
    pub const PONG: u8 = 0xa;
}

/// Which end of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It takes masked frames and sends such as are not.
    Server,
    /// The other way round.
    Client,
}

/// What has come.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// A message, whole.
    Message(Message),
    /// A part of a message, which is kept until the rest is there.
    Fragment,
    /// The peer wants a pong with the same content ([`Wire::pong`]).
    Ping(Bytes),
    /// An answer to a ping.
    Pong,
    /// The peer closes; nothing comes after it. `None` where it gave no code.
    Close(Option<CloseInfo>),
}

/// Why nothing more can be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The peer does not keep to the protocol.
    #[error("{0}")]
    Protocol(&'static str),
    /// A text, or the reason of a close, is not UTF-8.
    #[error("text that is not UTF-8")]
    Utf8,
    /// A message is larger than it may be.
    #[error("a message of more than {bytes_max} bytes")]
    TooLarge {
        /// The limit it met.
        bytes_max: usize,
    },
    /// The connection ended without a close frame.
    #[error("the connection ended without having been closed")]
    Ended,
    /// The connection is broken.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl WireError {
    /// What the peer is told (RFC 6455 section 7.4.1), or `None` where it cannot be told anything.
    pub fn close_code(&self) -> Option<u16> {
        match self {
            Self::Protocol(_) => Some(1002),
            Self::Utf8 => Some(1007),
            Self::TooLarge { .. } => Some(1009),
            Self::Ended | Self::Io(_) => None,
        }
    }
}

/// Whether an endpoint may send this code in a close frame (RFC 6455 section 7.4, and the registry it founds).
pub fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// One connection after its handshake.
pub struct Wire<S> {
    stream: S,
    reader: Reader,
    /// Read, and not looked at yet.
    rest: Bytes,
    writer: Writer,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Takes messages of up to `message_bytes_max` bytes.
    pub fn new(stream: S, role: Role, message_bytes_max: usize) -> Self {
        Self {
            stream,
            reader: Reader::new(role, message_bytes_max),
            rest: Bytes::new(),
            writer: Writer::new(role),
        }
    }

    /// The next thing that comes. Not to be called again after [`Received::Close`] or an error.
    pub fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, WireError>> {
        loop {
            while !self.rest.is_empty() {
                let mut unread = &self.rest[..];
                let received = self.reader.take(&mut unread);
                let taken = self.rest.len() - unread.len();
                self.rest.advance(taken);
                if self.rest.is_empty() {
                    self.rest = Bytes::new();
                }
                if let Some(received) = received? {
                    return Poll::Ready(Ok(received));
                }
            }
            if let Some(received) = ready!(self.poll_more(cx))? {
                return Poll::Ready(Ok(received));
            }
        }
    }

    /// Reads once.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Received>, WireError>> {
        let mut chunk = [const { MaybeUninit::uninit() }; READ_BYTES];
        let mut buffer = ReadBuf::uninit(&mut chunk);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        let mut unread = buffer.filled();
        if unread.is_empty() {
            return Poll::Ready(Err(WireError::Ended));
        }
        while !unread.is_empty() {
            if let Some(received) = self.reader.take(&mut unread)? {
                self.rest = Bytes::copy_from_slice(unread);
                return Poll::Ready(Ok(Some(received)));
            }
        }
        Poll::Ready(Ok(None))
    }

    /// Sends a message. Only once everything before it has been written: [`Wire::poll_flush`].
    pub fn send(&mut self, message: Message) {
        self.writer.message(message);
    }

    /// Sends a ping, after what is being written.
    pub fn ping(&mut self) {
        self.writer.ping();
    }

    /// Answers a ping, after what is being written. Of many that wait, the last are answered (RFC 6455 section 5.5.3).
    pub fn pong(&mut self, content: Bytes) {
        self.writer.pong(content);
    }

    /// Sends a close frame, after what is being written; nothing is sent after it. `None` is one without a code. A reason is cut
    /// where it is too long.
    pub fn close(&mut self, info: Option<&CloseInfo>) {
        self.writer.close(info);
    }

    /// Writes what there is to write.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.writer.poll_write(&mut self.stream, cx)
    }

    /// Bytes that the stream has taken so far, and whether it has more to take.
    pub fn written(&self) -> (u64, bool) {
        self.writer.written()
    }

    /// Says to the peer that nothing more comes.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    /// Reads and throws away what comes. Ready at its end.
    pub fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut chunk = [const { MaybeUninit::uninit() }; READ_BYTES];
        loop {
            let mut buffer = ReadBuf::uninit(&mut chunk);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                Ok(()) | Err(_) => return Poll::Ready(()),
            }
        }
    }
}
