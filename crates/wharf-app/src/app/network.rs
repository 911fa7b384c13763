//! Where a server listens, and which proxies it believes.

use std::fmt;
use std::path::PathBuf;

/// Where a server listens, and what it does with the connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where.
    pub address: ListenAddress,
    /// Clients speak TLS.
    pub tls: bool,
    /// Connections come from trusted proxies and begin with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// Requests are sent to `https`.
    pub redirect: Option<Redirect>,
    /// The permissions of a socket's file.
    pub mode: u32,
}

/// Where a listener is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// `HOST:PORT`.
    Tcp(String),
    /// A Unix socket at this path.
    Unix(PathBuf),
    /// The sockets that systemd hands over under this name.
    Systemd(String),
}

/// To which port requests are sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redirect {
    /// That of the first listener with TLS.
    ToTls,
    /// This one.
    ToPort(u16),
}

/// Proxies that are believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    /// Those at these addresses. IPv4 addresses are never written as IPv6 ones here.
    pub networks: Vec<ipnet::IpNet>,
    /// Whoever can connect to a Unix socket of the server.
    pub unix: bool,
}

/// The fields in which trusted proxies say who asks, and in which guests are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Forwarded {
    /// `x-forwarded-for` and those beside it.
    #[default]
    Custom,
    /// `forwarded` (RFC 7239).
    Standard,
    /// None.
    None,
}

impl Listener {
    /// What reaches a socket's file by default: the user and the group of the server.
    pub const MODE: u32 = 0o660;

    /// For requests as they are.
    pub fn plain(address: ListenAddress) -> Self {
        Self {
            address,
            tls: false,
            proxy_protocol: false,
            redirect: None,
            mode: Self::MODE,
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Systemd(name) => write!(f, "systemd:{name}"),
        }
    }
}
