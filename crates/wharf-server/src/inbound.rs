//! How a connection came in: by which listener, from whom, and what of that guests are told.
//!
//! Known once the connection's first words have been exchanged (`connection/greeting.rs`), and the same for all of its requests.
//! What trusted proxies say of a single request is in `forwarded.rs`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use http::header::HeaderValue;
use wharf_app::app::TrustedProxies;

use crate::forwarded::{self, ForwardedFields};
use crate::tls::{Client, Tls};

/// What one listener does with its connections.
#[derive(Debug, Default)]
pub(crate) struct Entrance {
    /// Clients speak TLS.
    pub tls: Option<Tls>,
    /// They are led here by proxies that say whose bytes they pass on.
    pub proxy_protocol: bool,
    /// Requests are sent on to this port, for `https`.
    pub https_port: Option<u16>,
}

impl Entrance {
    /// Whether the first byte of a connection is the first of a request.
    pub fn is_plain(&self) -> bool {
        self.tls.is_none() && !self.proxy_protocol
    }
}

/// What proxies may say, and to whom it is passed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyOptions {
    /// Those that are believed.
    pub trusted: TrustedProxies,
    /// In which fields they say who asks, and guests are told.
    pub fields: ForwardedFields,
    /// Whether they are believed which host was asked.
    pub believes_host: bool,
    /// Whether they are believed which certificate a client has shown. Who passes on `x-forwarded-for` as it should be may still
    /// pass on a `client-cert` as its client wrote it: this takes a word of its own.
    pub believes_client_cert: bool,
}

/// Who is at the other end of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Ip(IpAddr),
    /// Of a Unix socket: it has no address.
    Unix,
    /// A proxy that is believed knows of no address.
    Unknown,
}

impl Peer {
    /// An IPv4 client is the same one on a socket for both families.
    pub fn at(addr: SocketAddr) -> Self {
        Self::Ip(addr.ip().to_canonical())
    }

    pub fn ip(self) -> Option<IpAddr> {
        match self {
            Self::Ip(ip) => Some(ip),
            Self::Unix | Self::Unknown => None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => write!(f, "{ip}"),
            Self::Unix => f.write_str("unix"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

impl ProxyOptions {
    pub(crate) fn trusts(&self, peer: Peer) -> bool {
        match peer {
            Peer::Ip(ip) => self.trusted.networks.iter().any(|network| network.contains(&ip)),
            Peer::Unix => self.trusted.unix,
            Peer::Unknown => false,
        }
    }
}

/// How a connection came in.
#[derive(Debug)]
pub(crate) struct Inbound {
    /// The listener's end, where it has an address.
    pub local: Option<SocketAddr>,
    /// Who is at the other end; behind a proxy that passes bytes on, who is behind that.
    pub client: Peer,
    /// What it sends of other clients is believed.
    pub is_trusted: bool,
    /// Also of the certificates that these have shown.
    pub is_believed_certificates: bool,
    pub is_tls: bool,
    /// What it has shown of itself by TLS.
    pub shown: Option<Client>,
    /// See [`Entrance::https_port`].
    pub https_port: Option<u16>,
    /// What guests are told of it, made once.
    pub told: Option<HeaderValue>,
}

impl Inbound {
    pub fn new(options: &ProxyOptions, entrance: &Entrance, local: Option<SocketAddr>, client: Peer) -> Self {
        let is_tls = entrance.tls.is_some();
        let is_trusted = options.trusts(client);
        Self {
            local,
            client,
            is_trusted,
            is_believed_certificates: is_trusted && options.believes_client_cert,
            is_tls,
            shown: None,
            https_port: entrance.https_port,
            told: forwarded::told(options.fields, client.ip(), is_tls),
        }
    }
}
