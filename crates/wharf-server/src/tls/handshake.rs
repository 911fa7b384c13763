//! The handshake with one client: what it asks for decides which certificate it gets and what it has to show.

use std::io;

use rustls::HandshakeKind;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::{StartHandshake, TlsStream};

use super::client::Client;
use super::metrics::TlsMetrics;
use super::{Tls, acme};

/// `unrecognized_name(112)`, fatal, as a record by itself (RFC 6066 section 3, RFC 8446 section 6).
const UNRECOGNIZED_NAME: [u8; 7] = [0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x70];

/// What a handshake came to.
pub(crate) struct Accepted<S> {
    /// Plain text to this side.
    pub stream: TlsStream<S>,
    /// Who is at the other end.
    pub client: Client,
}

/// Why a handshake came to nothing. The client was told, as far as TLS has words for it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// No certificate is for the name it asked for.
    #[error("no certificate is for the name {0}")]
    UnknownName(String),
    /// It asked for no name, and there is no certificate for that.
    #[error("it asked for no name, and there is no certificate by default")]
    NoName,
    /// It was an authority that wanted to see whether the name leads here, and it has.
    #[error("an authority has checked a name")]
    Challenge,
    /// It has shown no certificate, or one that is not accepted.
    #[error("it has no certificate that is accepted: {0}")]
    ClientCertificate(io::Error),
    /// Client and server have nothing in common, or that was no TLS at all.
    #[error("{0}")]
    Protocol(io::Error),
    /// The client left.
    #[error("{0}")]
    Left(io::Error),
}

impl Tls {
    /// The handshake with one client. It takes as long as the client does: the caller bounds that, and what is dropped is
    /// counted, too.
    ///
    /// # Errors
    /// When it comes to nothing. The connection is to be closed then.
    pub(crate) async fn accept<S>(&self, stream: S) -> Result<Accepted<S>, Refused>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let counted = Counted(Some(&self.0.metrics));
        let shaken = self.shake(stream).await;
        counted.ends(match &shaken {
            Ok(accepted) => match accepted.stream.get_ref().1.handshake_kind() {
                Some(HandshakeKind::Resumed) => "resumed",
                _ => "full",
            },
            Err(refused) => refused.outcome(),
        });
        if let Err(refused) = &shaken
            && tracing::enabled!(tracing::Level::DEBUG)
            && self.0.failures.lets_through()
        {
            tracing::debug!(outcome = refused.outcome(), "no TLS with a client: {refused}");
        }
        shaken
    }

    async fn shake<S>(&self, stream: S) -> Result<Accepted<S>, Refused>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let hello = start.client_hello();
        let name = hello
            .server_name()
            .map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        if acme::is_asked(hello.alpn()) {
            return self.answer(start, name.as_deref()).await;
        }
        let live = self.0.live.load_full();
        if live.choice.find(name.as_deref()).is_empty() {
            return Err(refuse(start, name).await);
        }
        let (config, asked) = match live.policy_for(name.as_deref()) {
            Some((policy, config)) => (config, Some(&**policy)),
            None => (&live.config, None),
        };
        let stream = start.into_stream(config.clone()).await?;
        let client = Client::new(stream.get_ref().1.peer_certificates(), asked);
        Ok(Accepted { stream, client })
    }

    /// Lets an authority see that the name leads here; there is nothing more to say on such a connection (RFC 8737 section 3).
    async fn answer<S>(&self, start: StartHandshake<S>, name: Option<&str>) -> Result<Accepted<S>, Refused>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Some(config) = self.0.challenges.for_handshake(name) else {
            return Err(refuse(start, name.map(str::to_owned)).await);
        };
        let mut stream = start.into_stream(config).await?;
        let _ = stream.shutdown().await;
        Err(Refused::Challenge)
    }
}

async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(mut start: StartHandshake<S>, name: Option<String>) -> Refused {
    let said = async {
        start.io.write_all(&UNRECOGNIZED_NAME).await?;
        start.io.shutdown().await
    };
    // Who has left by now misses nothing.
    let _ = said.await;
    name.map_or(Refused::NoName, Refused::UnknownName)
}

impl Refused {
    /// What it is counted as.
    fn outcome(&self) -> &'static str {
        match self {
            Self::UnknownName(_) | Self::NoName => "unknown-name",
            Self::Challenge => "challenge",
            Self::ClientCertificate(_) => "client-certificate",
            Self::Protocol(_) => "protocol",
            Self::Left(_) => "left",
        }
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        let cause = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
        match cause {
            Some(rustls::Error::NoCertificatesPresented | rustls::Error::InvalidCertificate(_)) => {
                Self::ClientCertificate(error)
            }
            Some(_) => Self::Protocol(error),
            None => Self::Left(error),
        }
    }
}

/// A handshake is counted once, also if nobody waits for its end.
struct Counted<'a>(Option<&'a TlsMetrics>);

impl Counted<'_> {
    fn ends(mut self, outcome: &'static str) {
        if let Some(metrics) = self.0.take() {
            metrics.shook(outcome);
        }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if let Some(metrics) = self.0.take() {
            metrics.shook("given-up");
        }
    }
}
