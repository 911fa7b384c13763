//! What carries a WebSocket: a connection of its own, or a stream of HTTP/2.

use std::sync::Arc;

use h2::{RecvStream, SendStream};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
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
        /// There, unless its request was let go of.
        receive: Option<RecvStream>,
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
                Some(Carrier::Stream(Tunnel::new(send.await.ok()?, receive?, stream)))
            }
        }
    }
}

reads_and_writes_as!(Carrier { Connection, Stream });
