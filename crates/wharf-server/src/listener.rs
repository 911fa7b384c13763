//! Takes connections: at an address, or on a socket that somebody else has opened; and, for those who run the server, at a
//! path.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Connections that the kernel holds until they are accepted; past it clients try again by themselves.
const BACKLOG: u32 = 4096;

/// Pause after an error that would come again at once: no more file descriptors, usually.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Where a server listens.
#[derive(Debug)]
pub enum Listen {
    /// At this address; port 0 picks a free one.
    At(SocketAddr),
    /// On a socket that is open already, such as one that systemd passes on.
    On(std::net::TcpListener),
}

/// Where those who run a server reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAt {
    /// At this address; port 0 picks a free one.
    Tcp(SocketAddr),
    /// At this path, for the user who runs the server alone.
    Unix(PathBuf),
}

impl fmt::Display for AdminAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => write!(f, "{addr}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Why an address cannot be listened at.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen at {at}: {error}{}", if *is_path { advice_for_path(error) } else { advice(error) })]
pub struct BindError {
    at: String,
    error: io::Error,
    is_path: bool,
}

fn advice_for_path(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; another server listens there, or a file is in the way: choose another path",
        io::ErrorKind::InvalidInput => "; the path is too long for a socket: choose one of at most 107 bytes",
        _ => "; choose a path in a folder that this user can write to, or none with `--admin none`",
    }
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; another program listens there: choose another port, or 0 for any free one",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need privileges: choose a higher one",
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
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

/// A listening socket.
pub(crate) struct Listener {
    socket: TcpListener,
    addr: SocketAddr,
}

impl Listener {
    pub fn bind(listen: Listen) -> Result<Self, BindError> {
        match listen {
            Listen::At(addr) => Self::at(addr).map_err(|error| BindError {
                at: addr.to_string(),
                error,
                is_path: false,
            }),
            Listen::On(socket) => Self::on(socket).map_err(|error| BindError {
                at: "the socket that was passed on".into(),
                error,
                is_path: false,
            }),
        }
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
        ask_whether_clients_are_there(&socket);
        let addr = socket.local_addr()?;
        Ok(Self { socket, addr })
    }

    fn on(socket: std::net::TcpListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let socket = TcpListener::from_std(socket)?;
        ask_whether_clients_are_there(&socket);
        let addr = socket.local_addr()?;
        Ok(Self { socket, addr })
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Hands every new connection to `take`; never ends.
    pub async fn serve(&self, take: impl Fn(TcpStream, SocketAddr)) {
        loop {
            match self.socket.accept().await {
                Ok((stream, peer)) => take(stream, peer),
                Err(error) => pause(&error).await,
            }
        }
    }
}

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

/// The admin listener's socket.
pub(crate) enum AdminListener {
    Tcp(Listener),
    #[cfg(unix)]
    Unix(unix::Listener),
}

impl AdminListener {
    pub fn bind(at: AdminAt) -> Result<Self, BindError> {
        match at {
            AdminAt::Tcp(addr) => Listener::bind(Listen::At(addr)).map(Self::Tcp),
            #[cfg(unix)]
            AdminAt::Unix(path) => match unix::Listener::bind(&path) {
                Ok(listener) => Ok(Self::Unix(listener)),
                Err(error) => Err(BindError {
                    at: path.display().to_string(),
                    error,
                    is_path: true,
                }),
            },
            #[cfg(not(unix))]
            AdminAt::Unix(path) => Err(BindError {
                at: path.display().to_string(),
                error: io::ErrorKind::Unsupported.into(),
                is_path: true,
            }),
        }
    }

    pub fn place(&self) -> AdminAt {
        match self {
            Self::Tcp(listener) => AdminAt::Tcp(listener.local_addr()),
            #[cfg(unix)]
            Self::Unix(listener) => AdminAt::Unix(listener.path().to_owned()),
        }
    }

    /// Hands every new connection to one of the two; never ends.
    pub async fn serve(&self, tcp: impl Fn(TcpStream), #[cfg(unix)] unix: impl Fn(tokio::net::UnixStream)) {
        match self {
            Self::Tcp(listener) => listener.serve(|stream, _| tcp(stream)).await,
            #[cfg(unix)]
            Self::Unix(listener) => listener.serve(unix).await,
        }
    }
}

#[cfg(unix)]
mod unix {
    //! A socket at a path.

    use std::fs::{self, Permissions};
    use std::io;
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
    use std::os::unix::net::UnixStream as StdStream;
    use std::path::{Path, PathBuf};

    use tokio::net::{UnixListener, UnixStream};

    /// A listening socket, whose file goes with it.
    pub(crate) struct Listener {
        socket: UnixListener,
        path: PathBuf,
    }

    impl Listener {
        pub fn bind(path: &Path) -> io::Result<Self> {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            remove_deserted(path)?;
            let socket = UnixListener::bind(path)?;
            fs::set_permissions(path, Permissions::from_mode(0o600))?;
            Ok(Self {
                socket,
                path: path.to_owned(),
            })
        }

        pub fn path(&self) -> &Path {
            &self.path
        }

        /// Hands every new connection to `take`; never ends.
        pub async fn serve(&self, take: impl Fn(UnixStream)) {
            loop {
                match self.socket.accept().await {
                    Ok((stream, _)) => take(stream),
                    Err(error) => super::pause(&error).await,
                }
            }
        }
    }

    impl Drop for Listener {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.path);
        }
    }

    /// A server that was killed leaves its socket's file behind. Nobody listens there any more.
    fn remove_deserted(path: &Path) -> io::Result<()> {
        let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
        let is_deserted = || {
            let answer = StdStream::connect(path);
            answer.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
        };
        match is_socket && is_deserted() {
            true => fs::remove_file(path),
            false => Ok(()),
        }
    }
}
