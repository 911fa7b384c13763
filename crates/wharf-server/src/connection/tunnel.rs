//! A stream of HTTP/2 that carries bytes both ways (RFC 8441 section 5), as a connection of its own would.
//!
//! No more is handed to the library than the client takes, so that who writes knows what waits. Letting go of a tunnel resets its
//! stream, unless its end was said.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use h2::{Reason, RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::http2::poll_window;
use super::streams::{OpenStream, Piece};

/// What a stream is handed at a time: a frame's worth.
const PIECE_BYTES: usize = 16 << 10;

pub(crate) struct Tunnel {
    send: SendStream<Piece>,
    receive: RecvStream,
    /// Of what has come, what did not fit.
    left: Bytes,
    stream: Arc<OpenStream>,
    is_finished: bool,
}

impl Tunnel {
    pub fn new(send: SendStream<Piece>, receive: RecvStream, stream: Arc<OpenStream>) -> Self {
        Self {
            send,
            receive,
            left: Bytes::new(),
            stream,
            is_finished: false,
        }
    }

    fn check(&self, cx: &Context<'_>) -> io::Result<()> {
        match self.stream.is_over_for(cx) {
            true => Err(io::ErrorKind::ConnectionAborted.into()),
            false => Ok(()),
        }
    }

    /// The next that has come; nothing at the end.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        loop {
            match ready!(self.receive.poll_data(cx)) {
                Some(Ok(bytes)) if bytes.is_empty() && !self.receive.is_end_stream() => {}
                Some(Ok(bytes)) => return Poll::Ready(Ok(bytes)),
                Some(Err(error)) if matches!(error.reason(), Some(Reason::NO_ERROR | Reason::CANCEL)) => break,
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => break,
            }
        }
        Poll::Ready(Ok(Bytes::new()))
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        if self.left.is_empty() {
            self.left = ready!(self.poll_next(cx))?;
        }
        let fits = self.left.len().min(buffer.remaining());
        buffer.put_slice(&self.left[..fits]);
        self.left.advance(fits);
        // A stream that has ended needs no window.
        let _ = self.receive.flow_control().release_capacity(fits);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let wanted = bytes.len().min(PIECE_BYTES);
        self.send.reserve_capacity(wanted);
        if !ready!(poll_window(&mut self.send, cx)).map_err(io::Error::other)? {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let piece = Bytes::copy_from_slice(&bytes[..wanted.min(self.send.capacity())]);
        let written = piece.len();
        self.send.send_data(piece.into(), false).map_err(io::Error::other)?;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_finished {
            self.is_finished = true;
            let finished = self.send.send_data(Bytes::new().into(), true);
            return Poll::Ready(finished.map_err(io::Error::other));
        }
        Poll::Ready(Ok(()))
    }
}
