//! What carries a WebSocket: a connection of its own, or a stream of HTTP/2.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use h2::{RecvStream, SendStream};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use crate::connection::streams::{OpenStream, Piece};
use crate::connection::tunnel::Tunnel;

pub(super) enum Carrier {
    Connection(TokioIo<Upgraded>),
    Stream(Tunnel),
}

/// A carrier that is there once the handshake is answered.
pub(super) enum Promised {
    Connection(OnUpgrade),
    Stream {
        receive: RecvStream,
        send: oneshot::Receiver<SendStream<Piece>>,
        stream: Arc<OpenStream>,
    },
}

impl Promised {
    /// The stream of HTTP/2, if one is to carry it; a connection carries nothing else.
    pub fn stream(&self) -> Option<Arc<OpenStream>> {
        match self {
            Self::Connection(_) => None,
            Self::Stream { stream, .. } => Some(stream.clone()),
        }
    }

    /// Waits for it. None if the client has left before it was answered.
    pub async fn carrier(self) -> Option<Carrier> {
        match self {
            Self::Connection(upgrade) => Some(Carrier::Connection(TokioIo::new(upgrade.await.ok()?))),
            Self::Stream { receive, send, stream } => {
                Some(Carrier::Stream(Tunnel::new(send.await.ok()?, receive, stream)))
            }
        }
    }
}

/// One call for both kinds.
macro_rules! each {
    ($carrier:expr, $inner:ident => $call:expr) => {
        match $carrier {
            Carrier::Connection($inner) => $call,
            Carrier::Stream($inner) => $call,
        }
    };
}

impl AsyncRead for Carrier {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(&mut *self, inner => Pin::new(inner).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Carrier {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(&mut *self, inner => Pin::new(inner).poll_write(cx, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        each!(self, inner => inner.is_write_vectored())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(&mut *self, inner => Pin::new(inner).poll_write_vectored(cx, parts))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(&mut *self, inner => Pin::new(inner).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(&mut *self, inner => Pin::new(inner).poll_shutdown(cx))
    }
}
