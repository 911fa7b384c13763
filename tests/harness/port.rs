//! A port that a server of a test's own is to have, before it runs and between two runs.

use std::net::{Ipv4Addr, SocketAddr};

use rustix::fd::OwnedFd;
use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{SocketAddrV4, bind, getsockname};

use crate::socket::unconnected_socket;

/// A port of 127.0.0.1 that the system gives to nobody who asks for any. Nobody listens there: who connects is refused. A server that
/// names it may have it (socket(7), `SO_REUSEADDR`), as those of databases do.
#[derive(Debug)]
pub(crate) struct HeldPort {
    addr: SocketAddr,
    _socket: OwnedFd,
}

impl HeldPort {
    /// One that is free.
    pub(crate) fn new() -> Self {
        let socket = unconnected_socket();
        set_socket_reuseaddr(&socket, true).expect("a socket takes this option");
        bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        let addr = getsockname(&socket).expect("a bound socket has an address");
        let addr = SocketAddr::try_from(addr).expect("an internet address");
        Self { addr, _socket: socket }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn it_is_refused_until_somebody_listens_there() {
        let held = HeldPort::new();
        let refused = TcpStream::connect(held.addr()).expect_err("nobody listens");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        let _listener = TcpListener::bind(held.addr()).expect("it is for whoever names it");
        TcpStream::connect(held.addr()).expect("somebody listens");
    }
}
