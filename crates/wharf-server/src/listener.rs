//! Takes connections: at an address, at a path, or on a socket that somebody else has opened.
//!
//! What is done with them is the connections' (`connection.rs`), or the admin listener's.

#[cfg(unix)]
mod unix;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::inbound::Entrance;
use crate::tls::Tls;

/// Connections that the kernel holds until they are accepted; past it clients try again by themselves.
const BACKLOG: u32 = 4096;

/// Pause after an error that would come again at once: no more file descriptors, usually.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Who may connect to the admin socket: the user who runs the server.
const ADMIN_MODE: u32 = 0o600;

/// Where a server listens, and what is done with the connections.
#[derive(Debug)]
pub struct Listen {
    /// Where.
    pub on: ListenOn,
    /// Clients speak TLS.
    pub tls: bool,
    /// Connections come from trusted proxies, and begin with a header of the PROXY protocol. Others are closed.
    pub proxy_protocol: bool,
    /// Every request is answered with 308, which sends its client to `https` at the same host.
    pub redirect: Option<Redirect>,
}

/// What a server listens on.
#[derive(Debug)]
pub enum ListenOn {
    /// An address; port 0 picks a free one.
    Tcp(SocketAddr),
    /// A path, whose file gets these permissions. It is made by the server and goes with it.
    Unix(PathBuf, u32),
    /// A socket that is open already, such as one that systemd passes on.
    TcpSocket(std::net::TcpListener),
    /// The same at a path, which stays.
    #[cfg(unix)]
    UnixSocket(std::os::unix::net::UnixListener),
}

/// To which port requests are sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redirect {
    /// That of the server's first listener with TLS at an address.
    ToTls,
    /// This one, such as that of a proxy in front.
    ToPort(u16),
}

/// Where a listener can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Here.
    Tcp(SocketAddr),
    /// At this path.
    Unix(PathBuf),
}

/// A listener as it turned out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    /// Where it can be reached.
    pub address: Address,
    /// Clients speak TLS.
    pub tls: bool,
}

impl Listen {
    /// For requests as they are.
    pub fn plain(on: ListenOn) -> Self {
        Self {
            on,
            tls: false,
            proxy_protocol: false,
            redirect: None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => write!(f, "{addr}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// As it stands in messages: a URL where there is one.
impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.address, self.tls) {
            (Address::Tcp(addr), false) => write!(f, "http://{addr}"),
            (Address::Tcp(addr), true) => write!(f, "https://{addr}"),
            (path, false) => write!(f, "{path}"),
            (path, true) => write!(f, "{path}, by TLS"),
        }
    }
}

/// Why a server cannot listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// An address cannot be had.
    #[error("cannot listen at {at}: {error}{}", advice(.at, .error))]
    Address {
        /// Where.
        at: String,
        /// What the system says.
        error: io::Error,
    },
    /// A listener is for TLS, and the server has no certificate.
    #[error(
        "a listener is for TLS, and there is no certificate: give one with --tls-certificate and --tls-key, or in the manifest"
    )]
    NoTls,
    /// Requests are to be sent to `https`, and nobody says where that is.
    #[error(
        "requests are to be redirected to https, and no listener with TLS has a port: say it with `https-port`, or give a \
         listener `tls = true`"
    )]
    NoHttps,
}

impl BindError {
    fn at(at: impl fmt::Display, error: io::Error) -> Self {
        Self::Address {
            at: at.to_string(),
            error,
        }
    }
}

fn advice(at: &str, error: &io::Error) -> &'static str {
    match (at.starts_with("unix:"), error.kind()) {
        (true, io::ErrorKind::AddrInUse) => {
            "; another server listens there, or a file is in the way: choose another path"
        }
        (true, io::ErrorKind::InvalidInput) => "; the path is too long for a socket: choose one of at most 107 bytes",
        (true, _) => "; choose a path in a folder that this user can write to",
        (false, io::ErrorKind::AddrInUse) => {
            "; another program listens there: choose another port, or 0 for any free one"
        }
        (false, io::ErrorKind::PermissionDenied) => "; ports below 1024 need privileges: choose a higher one",
        (false, io::ErrorKind::AddrNotAvailable) => "; this machine has no such address",
        _ => "",
    }
}

/// How long a connection is silent before the system asks, how often it asks, and how many answers may be missing: a client that
/// has vanished is forgotten after two minutes. Routers on the way forget silent connections after five.
#[cfg(target_os = "linux")]
const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(60);
#[cfg(target_os = "linux")]
const KEEP_ALIVE_EACH: Duration = Duration::from_secs(15);
#[cfg(target_os = "linux")]
const KEEP_ALIVE_PROBES: u32 = 4;

/// How much the system takes of what a client has not made room for, before it says that it takes more again once half of that is gone.
/// Without a bound it takes megabytes of each answer, and has a guest make them, for clients that read a byte now and then; and
/// then says nothing for so long that clients which read all the time are taken for those that do not: half of this is what
/// `write-rate` asks for within `write-timeout`, by default. What is on its way to a client does not count, so that a long way
/// does not slow an answer down.
#[cfg(target_os = "linux")]
const UNSENT_BYTES: u32 = 16 << 10;

/// A listener of apps.
pub(crate) struct Listener {
    pub socket: Socket,
    pub entrance: Arc<Entrance>,
}

impl Listener {
    /// Listens everywhere. The ports of all are known before any connection comes.
    pub fn bind_all(all: Vec<Listen>, tls: Option<&Tls>) -> Result<Vec<Self>, BindError> {
        let mut sockets = Vec::new();
        for listen in all {
            let Listen {
                on,
                tls,
                proxy_protocol,
                redirect,
            } = listen;
            sockets.push((Socket::bind(on)?, tls, proxy_protocol, redirect));
        }
        let mut ports = sockets
            .iter()
            .filter(|(_, tls, ..)| *tls)
            .filter_map(|(socket, ..)| socket.port());
        let https_port = ports.next();
        let listener = |(socket, is_tls, proxy_protocol, redirect): (Socket, bool, bool, Option<Redirect>)| {
            let tls = match is_tls {
                true => Some(tls.ok_or(BindError::NoTls)?.clone()),
                false => None,
            };
            let https_port = match redirect {
                None => None,
                Some(Redirect::ToPort(port)) => Some(port),
                Some(Redirect::ToTls) => Some(https_port.ok_or(BindError::NoHttps)?),
            };
            let entrance = Arc::new(Entrance {
                tls,
                proxy_protocol,
                https_port,
            });
            Ok(Self { socket, entrance })
        };
        sockets.into_iter().map(listener).collect()
    }

    pub fn listening(&self) -> Listening {
        Listening {
            address: self.socket.address(),
            tls: self.entrance.tls.is_some(),
        }
    }
}

/// A listening socket.
pub(crate) enum Socket {
    Tcp(TcpListener, SocketAddr),
    #[cfg(unix)]
    Unix(unix::Socket),
}

impl Socket {
    pub fn bind(on: ListenOn) -> Result<Self, BindError> {
        match on {
            ListenOn::Tcp(addr) => Self::at(addr).map_err(|error| BindError::at(addr, error)),
            ListenOn::TcpSocket(socket) => Self::on(socket).map_err(|error| BindError::at(PASSED_ON, error)),
            #[cfg(unix)]
            ListenOn::Unix(path, mode) => match unix::Socket::bind(&path, mode) {
                Ok(socket) => Ok(Self::Unix(socket)),
                Err(error) => Err(BindError::at(Address::Unix(path), error)),
            },
            #[cfg(not(unix))]
            ListenOn::Unix(path, _) => Err(BindError::at(Address::Unix(path), io::ErrorKind::Unsupported.into())),
            #[cfg(unix)]
            ListenOn::UnixSocket(socket) => match unix::Socket::on(socket) {
                Ok(socket) => Ok(Self::Unix(socket)),
                Err(error) => Err(BindError::at(PASSED_ON, error)),
            },
        }
    }

    /// For those who run the server.
    pub fn bind_admin(at: Address) -> Result<Self, BindError> {
        Self::bind(match at {
            Address::Tcp(addr) => ListenOn::Tcp(addr),
            Address::Unix(path) => ListenOn::Unix(path, ADMIN_MODE),
        })
    }

    fn at(addr: SocketAddr) -> io::Result<Self> {
        let socket = if addr.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }?;
        // A restart need not wait for old connections to be forgotten. On Windows the option means something else.
        #[cfg(not(windows))]
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        let socket = socket.listen(BACKLOG)?;
        prepare(&socket);
        let addr = socket.local_addr()?;
        Ok(Self::Tcp(socket, addr))
    }

    fn on(socket: std::net::TcpListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let socket = TcpListener::from_std(socket)?;
        prepare(&socket);
        let addr = socket.local_addr()?;
        Ok(Self::Tcp(socket, addr))
    }

    pub fn address(&self) -> Address {
        match self {
            Self::Tcp(_, addr) => Address::Tcp(*addr),
            #[cfg(unix)]
            Self::Unix(socket) => Address::Unix(socket.path().to_owned()),
        }
    }

    fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp(_, addr) => Some(addr.port()),
            #[cfg(unix)]
            Self::Unix(_) => None,
        }
    }

    /// Hands every new connection to one of the two; never ends.
    pub async fn serve(&self, tcp: impl Fn(TcpStream, SocketAddr), #[cfg(unix)] unix: impl Fn(UnixStream)) {
        match self {
            Self::Tcp(socket, _) => loop {
                match socket.accept().await {
                    Ok((stream, peer)) => tcp(stream, peer),
                    Err(error) => pause(&error).await,
                }
            },
            #[cfg(unix)]
            Self::Unix(socket) => loop {
                match socket.accept().await {
                    Ok(stream) => unix(stream),
                    Err(error) => pause(&error).await,
                }
            },
        }
    }
}

const PASSED_ON: &str = "the socket that was passed on";

/// What connections have from this socket, and need not be told one by one.
fn prepare(socket: &TcpListener) {
    ask_whether_clients_are_there(socket);
    hold_little(socket);
}

/// Where it cannot be had, slow clients cost more.
#[cfg(target_os = "linux")]
fn hold_little(socket: &TcpListener) {
    let _ = socket2::SockRef::from(socket).set_tcp_notsent_lowat(UNSENT_BYTES);
}

/// Elsewhere it is the system's affair.
#[cfg(not(target_os = "linux"))]
fn hold_little(_: &TcpListener) {}

/// Lets the system probe connections that are silent: a client that has vanished says nothing, and where nothing is written to it
/// either, as on an event stream that is quiet, nothing else would ever tell. Connections have it from this socket. Where it
/// cannot be had, they live without.
#[cfg(target_os = "linux")]
fn ask_whether_clients_are_there(socket: &TcpListener) {
    use rustix::net::sockopt;
    let _ = sockopt::set_socket_keepalive(socket, true)
        .and_then(|()| sockopt::set_tcp_keepidle(socket, KEEP_ALIVE_AFTER))
        .and_then(|()| sockopt::set_tcp_keepintvl(socket, KEEP_ALIVE_EACH))
        .and_then(|()| sockopt::set_tcp_keepcnt(socket, KEEP_ALIVE_PROBES));
}

/// Elsewhere connections have it only from themselves, and from the system's own figures, which are hours.
#[cfg(not(target_os = "linux"))]
fn ask_whether_clients_are_there(_: &TcpListener) {}

/// Waits where an error would come again at once.
async fn pause(error: &io::Error) {
    let concerns_one_connection = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    );
    if !concerns_one_connection {
        tracing::warn!(%error, "cannot accept connections: trying again");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}
