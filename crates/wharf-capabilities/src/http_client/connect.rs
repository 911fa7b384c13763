//! A new connection to an origin: name lookup, the check on each address, the race between them, a proxy's tunnel, TLS.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use wharf_host::http::{DnsErrorPayload, ErrorCode};

use super::failure;
use super::origin::Origin;
use super::proxy::{Forwarding, Lookup, Proxy, target};
use super::tls::{ALPN_HTTP2, Tls};
use crate::allow::{AllowList, Host, Scheme};
use crate::denials::Denials;
use crate::resolve::Resolve;

/// How long an address is tried before the next is tried beside it (RFC 8305, 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// How many addresses of a name are tried. A name with more has them for balance, not for luck at the 17th.
const ADDRESSES_MAX: usize = 16;

/// To how many addresses of a name a proxy is asked for a tunnel, one after the other: it does not say which it could
/// reach, and each question is a connection of its own.
const TUNNELS_MAX: usize = 3;

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
    pub denials: Denials,
    pub resolver: Arc<dyn Resolve>,
    pub tls: Tls,
    /// The origins of cleartext that are known to speak HTTP/2.
    pub http2: AllowList,
    pub proxy: Option<Proxy>,
}

impl Connector {
    /// Whether a connection to `origin` may turn out to serve many requests at once.
    pub(super) fn may_share(&self, origin: &Origin) -> bool {
        origin.scheme == Scheme::Https || self.knows_http2(origin)
    }

    /// Whether `origin` speaks HTTP/2 from the first byte (RFC 9113, 3.3).
    fn knows_http2(&self, origin: &Origin) -> bool {
        origin.scheme == Scheme::Http && self.http2.allows_url(origin.scheme, &origin.host, origin.port)
    }

    /// Connects to `origin`, whose URL the allow list has admitted.
    pub(super) async fn connect(&self, origin: &Origin, speaks: Speaks, until: Instant) -> Result<Stream, ErrorCode> {
        let http2 = speaks == Speaks::Any && self.knows_http2(origin);
        let (tcp, forwarding) = match self.proxy.as_ref().filter(|proxy| proxy.is_for(origin)) {
            None => (self.reach(origin, until).await?, None),
            Some(proxy) => {
                let forwards =
                    proxy.lookup == Lookup::Proxy && origin.scheme == Scheme::Http && speaks == Speaks::Any && !http2;
                self.reach_through(proxy, origin, forwards, until).await?
            }
        };
        let transport = match origin.scheme {
            Scheme::Http => Transport::Tcp(tcp),
            Scheme::Https => {
                let name = server_name(&origin.host)?;
                let connector = TlsConnector::from(self.tls.config(origin, speaks).await?);
                let tls = before(until, connector.connect(name, tcp), ErrorCode::ConnectionTimeout).await?;
                Transport::Tls(Box::new(tls.map_err(|error| failure::of_handshake(&error))?))
            }
        };
        Ok(Stream {
            transport,
            received: Received::default(),
            http2,
            forwarding,
        })
    }

    /// A connection to `origin` itself.
    async fn reach(&self, origin: &Origin, until: Instant) -> Result<TcpStream, ErrorCode> {
        let addresses = self.addresses(origin, until).await?;
        let tcp = tokio::time::timeout_at(until, race(addresses)).await;
        if !matches!(tcp, Ok(Ok(_)))
            && let Host::Name(name) = &origin.host
        {
            self.resolver.forget(name);
        }
        let tcp = tcp.map_err(|_| ErrorCode::ConnectionTimeout)?;
        at_once(tcp.map_err(|error| failure::of_connecting(&error))?)
    }

    /// A connection to `proxy` that leads to `origin`: a tunnel, or with `forwards` one on which each request says where
    /// it is to go.
    async fn reach_through(
        &self,
        proxy: &Proxy,
        origin: &Origin,
        forwards: bool,
        until: Instant,
    ) -> Result<(TcpStream, Option<Forwarding>), ErrorCode> {
        let targets = match (proxy.lookup, &origin.host) {
            (Lookup::Proxy, Host::Name(_)) => vec![target(&origin.host, origin.port)],
            // What is asked for is what was checked.
            (Lookup::Here, _) | (_, Host::Address(_)) => {
                let addresses = self.addresses(origin, until).await?;
                addresses.iter().map(SocketAddr::to_string).collect()
            }
        };
        if forwards {
            return Ok((self.reach_proxy(proxy, until).await?, Some(proxy.forwarding())));
        }
        for target in targets.iter().take(TUNNELS_MAX) {
            let tcp = self.reach_proxy(proxy, until).await?;
            match before(until, proxy.tunnel(tcp, target), ErrorCode::ConnectionTimeout).await? {
                Ok(tcp) => return Ok((tcp, None)),
                // Another address may do.
                Err(ErrorCode::DestinationUnavailable) => {}
                Err(error) => return Err(error),
            }
        }
        Err(ErrorCode::DestinationUnavailable)
    }

    /// A connection to `proxy`: where it is needs no grant.
    async fn reach_proxy(&self, proxy: &Proxy, until: Instant) -> Result<TcpStream, ErrorCode> {
        let found = match &proxy.origin.host {
            Host::Address(address) => vec![*address],
            Host::Name(name) => {
                let found = before(until, self.resolver.resolve(name), ErrorCode::DnsTimeout).await?;
                found.map_err(|error| proxy.unreachable(&format_args!("its name has no address ({error:?})")))?
            }
        };
        let port = proxy.origin.port;
        let addresses = found.into_iter().map(|address| SocketAddr::new(address, port));
        let tcp = before(until, race(ordered(addresses.collect())), ErrorCode::ConnectionTimeout).await?;
        at_once(tcp.map_err(|error| proxy.unreachable(&error))?)
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
            let why = format!("the name leads to addresses of no grant, {denied:?}");
            self.denials.tell("outgoing connection", origin, &why);
            return Err(ErrorCode::DestinationIpProhibited);
        }
        let allowed = allowed.into_iter().map(|address| SocketAddr::new(address, origin.port));
        Ok(ordered(allowed.collect()))
    }
}

/// Requests are written whole; waiting for more to send along only delays them.
fn at_once(tcp: TcpStream) -> Result<TcpStream, ErrorCode> {
    tcp.set_nodelay(true).map_err(|error| failure::of_connecting(&error))?;
    Ok(tcp)
}

/// The addresses to try, in the order to try them.
fn ordered(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let mut addresses = interleaved(addresses);
    addresses.truncate(ADDRESSES_MAX);
    addresses
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
    /// Known beforehand.
    http2: bool,
    forwarding: Option<Forwarding>,
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
    /// How requests are written, where the connection is one to a proxy.
    pub(super) fn forwarding(&self) -> Option<Forwarding> {
        self.forwarding.clone()
    }

    /// Whether the origin chose HTTP/2, or is known to speak nothing else.
    pub(super) fn speaks_http2(&self) -> bool {
        match &self.transport {
            Transport::Tcp(_) => self.http2,
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
    writes_as!(transport { Transport::Tcp(tcp) => tcp, Transport::Tls(tls) => tls });
}
