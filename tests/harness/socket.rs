//! Sockets that are set up before they connect.

use rustix::fd::OwnedFd;
use socket2::{Domain, Socket, Type};

/// A socket of TCP that is connected with nobody yet. Programs that other tests start meanwhile do not inherit it: ten thousand of
/// them leave a database's server no files, and a connection stays open for as long as somebody has it.
///
/// # Panics
///
/// When the system has none.
pub fn unconnected_socket() -> OwnedFd {
    Socket::new(Domain::IPV4, Type::STREAM, None)
        .expect("the system has sockets")
        .into()
}
