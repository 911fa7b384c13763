//! Who the server is to clients that come by TLS: its certificates, which of them a client gets, and how they change while
//! it serves.
//!
//! Sockets and what is read from them are the listeners' and connections'; this has the handshake in between
//! ([`Tls::accept`]). Certificates are read from files, or ordered from an authority. All of them are swapped as one: a
//! handshake sees the old ones or the new ones.

mod certificate;
mod choice;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{Acceptor, ProducesTickets, ServerSessionMemoryCache, StoresServerSessions};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

pub use certificate::{CertificateError, CertificateFiles, Fault};

use certificate::{Certificate, Overdue};
use choice::Choice;

/// How HTTP/2 and HTTP/1.1 are named while TLS is agreed on (RFC 9113 section 3.2, RFC 7301 section 6).
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Sessions that are remembered for clients of TLS 1.2 that take no tickets, which are rare. One more takes the place of the
/// oldest; a session has some hundred bytes, a few kilobytes where it holds a chain.
const SESSIONS_MAX: usize = 1024;

/// `unrecognized_name(112)`, fatal, as a record by itself (RFC 6066 section 3, RFC 8446 section 6).
const UNRECOGNIZED_NAME: [u8; 7] = [0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x70];

/// What clients that come by TLS meet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// The oldest version of TLS that is spoken.
    pub min_version: TlsVersion,
    /// Certificates; clients that ask for no name get the one that is marked as default, or the first.
    pub certificates: Vec<CertificateFiles>,
    /// Whether clients that ask for a name that no certificate is for get the default. Otherwise they are refused with the
    /// alert `unrecognized_name`.
    pub default_for_unknown_names: bool,
}

/// Versions of TLS that are safe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// RFC 5246, with what has been found since: without renegotiation, compression, RSA key exchange and CBC.
    #[default]
    V1_2,
    /// RFC 8446.
    V1_3,
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A certificate or its key.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Nobody could be answered.
    #[error("there is no certificate")]
    NoCertificate,
    /// The cryptography that this program was built with does not fit together.
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}

/// The server's certificates, and all that a handshake needs. Cheap to clone; what replaces the certificates replaces them
/// for all clones.
#[derive(Clone)]
pub struct Tls(Arc<Shared>);

struct Shared {
    provider: Arc<CryptoProvider>,
    live: ArcSwap<Live>,
    /// Both stay when certificates change: clients that were here before need no new handshake.
    tickets: Arc<dyn ProducesTickets>,
    sessions: Arc<dyn StoresServerSessions>,
}

/// What handshakes of one moment use.
struct Live {
    options: TlsOptions,
    choice: Arc<Choice>,
    config: Arc<ServerConfig>,
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
    /// Client and server have nothing in common, or the client left.
    #[error(transparent)]
    Failed(#[from] io::Error),
}

impl Tls {
    /// Reads what `options` name.
    ///
    /// # Errors
    /// When a file of them cannot be used, or there is no certificate.
    pub fn new(options: TlsOptions) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tickets = rustls::crypto::ring::Ticketer::new().map_err(TlsError::Setup)?;
        let sessions: Arc<dyn StoresServerSessions> = ServerSessionMemoryCache::new(SESSIONS_MAX);
        let live = Live::new(options, &provider, &tickets, &sessions)?;
        Ok(Self(Arc::new(Shared {
            provider,
            live: ArcSwap::from_pointee(live),
            tickets,
            sessions,
        })))
    }

    /// Reads what `options` name, and uses it for handshakes from now on. Connections that are open stay as they are.
    ///
    /// # Errors
    /// As for [`Tls::new`]; then nothing changes.
    pub fn replace(&self, options: TlsOptions) -> Result<(), TlsError> {
        let shared = &self.0;
        let live = Live::new(options, &shared.provider, &shared.tickets, &shared.sessions)?;
        shared.live.store(Arc::new(live));
        Ok(())
    }

    /// The settings for a handshake that begins now, for whoever does it without [`Tls::accept`].
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.0.live.load().config.clone()
    }

    /// The handshake with one client. It takes as long as the client does: the caller bounds that.
    ///
    /// # Errors
    /// When it comes to nothing. The connection is to be closed then.
    pub(crate) async fn accept<S>(&self, stream: S) -> Result<TlsStream<S>, Refused>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let live = self.0.live.load_full();
        let name = start.client_hello().server_name().map(str::to_owned);
        if live.choice.find(name.as_deref()).is_empty() {
            start.io.write_all(&UNRECOGNIZED_NAME).await?;
            start.io.shutdown().await?;
            return Err(name.map_or(Refused::NoName, Refused::UnknownName));
        }
        Ok(start.into_stream(live.config.clone()).await?)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.0.live.load().options).finish()
    }
}

impl Live {
    fn new(
        options: TlsOptions,
        provider: &Arc<CryptoProvider>,
        tickets: &Arc<dyn ProducesTickets>,
        sessions: &Arc<dyn StoresServerSessions>,
    ) -> Result<Self, TlsError> {
        let mut certificates = Vec::new();
        for files in &options.certificates {
            let certificate = Certificate::read(files, provider)?;
            warn_if_overdue(&certificate);
            certificates.push(Arc::new(certificate));
        }
        if certificates.is_empty() {
            return Err(TlsError::NoCertificate);
        }
        let default = options.certificates.iter().position(|files| files.is_default);
        let choice = Choice::new(&certificates, default.unwrap_or(0), options.default_for_unknown_names);
        let choice = Arc::new(choice);
        let mut config = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(options.min_version.and_later())
            .map_err(TlsError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(choice.clone());
        config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
        config.ticketer = tickets.clone();
        config.session_storage = sessions.clone();
        Ok(Self {
            options,
            choice,
            config: Arc::new(config),
        })
    }
}

impl TlsVersion {
    fn and_later(self) -> &'static [&'static rustls::SupportedProtocolVersion] {
        const ONLY_1_3: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];
        match self {
            Self::V1_2 => rustls::DEFAULT_VERSIONS,
            Self::V1_3 => ONLY_1_3,
        }
    }
}

/// It is used all the same: clocks are wrong at times, and some clients look at nothing but the key.
fn warn_if_overdue(certificate: &Certificate) {
    let file = &certificate.origin;
    match certificate.overdue(SystemTime::now()) {
        Some(Overdue::NotYet) => tracing::warn!(file, "the certificate does not hold yet: clients will refuse it"),
        Some(Overdue::Expired) => tracing::warn!(file, "the certificate has expired: clients will refuse it"),
        None => {}
    }
}

#[cfg(test)]
mod tests;
