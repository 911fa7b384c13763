//! Takes connections.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Connections that the kernel holds until they are accepted; past it clients try again by themselves.
const BACKLOG: u32 = 4096;

/// Pause after an error that would come again at once: no more file descriptors, usually.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why an address cannot be listened at.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen at {addr}: {error}{}", advice(error))]
pub struct BindError {
    addr: SocketAddr,
    error: io::Error,
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; another program listens there: choose another port, or 0 for any free one",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need privileges: choose a higher one",
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
        _ => "",
    }
}

/// A listening socket.
pub(crate) struct Listener {
    socket: TcpListener,
    addr: SocketAddr,
}

impl Listener {
    pub fn bind(addr: SocketAddr) -> Result<Self, BindError> {
        let listen = || {
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
            let addr = socket.local_addr()?;
            Ok(Self { socket, addr })
        };
        listen().map_err(|error| BindError { addr, error })
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Hands every new connection to `take`; never ends.
    pub async fn serve(&self, take: impl Fn(TcpStream)) {
        loop {
            match self.socket.accept().await {
                Ok((stream, _)) => take(stream),
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections: trying again");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}
