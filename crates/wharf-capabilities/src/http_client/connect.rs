//! A new connection to an origin: name lookup, the check on each address, the race between them, TLS.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use wharf_host::http::{DnsErrorPayload, ErrorCode};

use super::failure;
use super::origin::Origin;
use super::tls::{ALPN_HTTP2, Tls, TlsError};
use crate::allow::{AllowList, Host, Scheme};
use crate::resolve::Resolve;

/// How long an address is tried before the next is tried beside it (RFC 8305, 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// How many addresses of a name are tried. A name with more has them for balance, not for luck at the 17th.
const ADDRESSES_MAX: usize = 16;

/// Runs `future` until `deadline`; past it the answer is `late`.
pub(super) async fn before<T>(
    deadline: Instant,
    future: impl Future<Output = T>,
    late: ErrorCode,
) -> Result<T, ErrorCode> {
    tokio::time::timeout_at(deadline, future).await.map_err(|_| late)
}

/// Which versions of HTTP a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    /// What the origin chooses.
    Any,
    /// The one that has upgrades.
    Http1,
}

/// Opens connections.
pub(super) struct Connector {
    pub allow: AllowList,
    resolver: Arc<dyn Resolve>,
    tls: Tls,
}

impl Connector {
    pub(super) fn new(
        allow: AllowList,
        resolver: Arc<dyn Resolve>,
        extra_roots: Vec<CertificateDer<'static>>,
    ) -> Result<Self, TlsError> {
        Ok(Self {
            allow,
            resolver,
            tls: Tls::new(extra_roots)?,
        })
    }

    /// Connects to `origin`, whose URL the allow list has admitted.
    pub(super) async fn connect(&self, origin: &Origin, speaks: Speaks, until: Instant) -> Result<Stream, ErrorCode> {
        let addresses = self.addresses(origin, until).await?;
        let tcp = before(until, race(addresses), ErrorCode::ConnectionTimeout).await?;
        let tcp = tcp.map_err(|error| failure::of_connecting(&error))?;
        // Requests are written whole; waiting for more to send along only delays them.
        tcp.set_nodelay(true).map_err(|error| failure::of_connecting(&error))?;
        match origin.scheme {
            Scheme::Http => Ok(Stream::new(Transport::Tcp(tcp))),
            Scheme::Https => {
                let name = server_name(&origin.host)?;
                let connector = TlsConnector::from(match speaks {
                    Speaks::Any => self.tls.config().await?,
                    Speaks::Http1 => self.tls.config_of_http1().await?,
                });
                let tls = before(until, connector.connect(name, tcp), ErrorCode::ConnectionTimeout).await?;
                let tls = tls.map_err(|error| failure::of_handshake(&error))?;
                Ok(Stream::new(Transport::Tls(Box::new(tls))))
            }
        }
    }

    /// The addresses of `origin` that may be tried, in the order to try them.
    async fn addresses(&self, origin: &Origin, until: Instant) -> Result<Vec<SocketAddr>, ErrorCode> {
        let (found, resolved_from) = match &origin.host {
            Host::Address(address) => (vec![*address], None),
            Host::Name(name) => {
                let found = before(until, self.resolver.resolve(name), ErrorCode::DnsTimeout).await?;
                (found.map_err(failure::of_lookup)?, Some(&origin.host))
            }
        };
        if found.is_empty() {
            return Err(ErrorCode::DnsError(DnsErrorPayload {
                rcode: None,
                info_code: None,
            }));
        }
        let (allowed, denied): (Vec<_>, Vec<_>) = found
            .into_iter()
            .partition(|address| self.allow.allows_address(*address, origin.port, resolved_from));
        if allowed.is_empty() {
            tracing::info!(%origin, addresses = ?denied, "outgoing request denied: the name leads to addresses of no grant");
            return Err(ErrorCode::DestinationIpProhibited);
        }
        let mut addresses = interleaved(
            allowed
                .into_iter()
                .map(|address| SocketAddr::new(address, origin.port))
                .collect(),
        );
        addresses.truncate(ADDRESSES_MAX);
        Ok(addresses)
    }
}

/// Alternates between the families, beginning with the resolver's first choice, so that a family which leads nowhere
/// costs one head start and not one for each of its addresses.
fn interleaved(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v4 = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let (first, second): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv4() == first_is_v4);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut order = Vec::with_capacity(first.len() + second.len());
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] {
            return order;
        }
        order.extend(pair.into_iter().flatten());
    }
}

/// The first connection that stands. Each address gets a head start before the next; one that fails passes its turn
/// on at once. When all fail, the first failure speaks for them: it is the resolver's first choice.
async fn race(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut waiting = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut failure = None;
    loop {
        attempts.extend(waiting.next().map(TcpStream::connect));
        tokio::select! {
            attempt = attempts.next() => match attempt {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(error)) => _ = failure.get_or_insert(error),
                None => return Err(failure.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into())),
            },
            () = tokio::time::sleep(HEAD_START), if waiting.len() > 0 => {}
        }
    }
}

fn server_name(host: &Host) -> Result<ServerName<'static>, ErrorCode> {
    match host {
        Host::Name(name) => ServerName::try_from(name.clone()).map_err(|_| ErrorCode::HttpRequestUriInvalid),
        Host::Address(address) => Ok(ServerName::from(*address)),
    }
}

/// The bytes of one connection.
pub(super) struct Stream {
    transport: Transport,
    received: Received,
}

enum Transport {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// How many bytes a connection has received, decrypted. Tells whether a response had begun when it broke off.
#[derive(Clone, Debug, Default)]
pub(super) struct Received(Arc<AtomicU64>);

impl Received {
    pub(super) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Stream {
    fn new(transport: Transport) -> Self {
        Self {
            transport,
            received: Received::default(),
        }
    }

    /// Whether the origin chose HTTP/2.
    pub(super) fn speaks_http2(&self) -> bool {
        match &self.transport {
            Transport::Tcp(_) => false,
            Transport::Tls(tls) => tls.get_ref().1.alpn_protocol() == Some(ALPN_HTTP2),
        }
    }

    pub(super) fn received(&self) -> Received {
        self.received.clone()
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let filled = buffer.filled().len();
        let read = match &mut self.transport {
            Transport::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Transport::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
        };
        self.received
            .0
            .fetch_add((buffer.filled().len() - filled) as u64, Ordering::Relaxed);
        read
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.transport {
            Transport::Tcp(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Transport::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.transport {
            Transport::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(cx, slices),
            Transport::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Tcp(tcp) => tcp.is_write_vectored(),
            Transport::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Tcp(tcp) => Pin::new(tcp).poll_flush(cx),
            Transport::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Transport::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
