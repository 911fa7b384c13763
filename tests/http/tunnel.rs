//! TLS for clients that speak without: what connects to a tunnel is carried on to a server by TLS, byte for byte, so that whatever is
//! tested over plain TCP can be tested over TLS as well.
//!
//! A tunnel takes a little more than the server has room for (what two sockets buffer), and how TLS itself begins and ends is not
//! seen through it: that is tested in `front/tls.rs`.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use rustls::pki_types::ServerName;
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use wharf_tests::{Server, guest};

use crate::axes::Protocol;
use crate::certificates::{Authority, tls_addr};

/// A server that listens twice, plainly first, and tunnels to where it speaks TLS.
pub struct Secured {
    pub server: Server,
    tunnels: Vec<(Protocol, Tunnel)>,
    pub authority: Authority,
}

impl Secured {
    /// Serves a guest as `main`; `app` are further lines of it, and sections.
    pub fn serve(component: &str, app: &str, flags: &[&str]) -> Self {
        let authority = Authority::new();
        authority.certificate("server", &["localhost", "127.0.0.1"]);
        let manifest = format!(
            "[server]\n[[server.listeners]]\naddress = '127.0.0.1:0'\n[[server.listeners]]\naddress = '127.0.0.1:0'\n\
             tls = true\n[[server.tls.certificates]]\ncertificate = 'server.crt'\nkey = 'server.key'\n\
             [apps.main]\ncomponent = '{}'\n{app}\n",
            guest(component).display()
        );
        let server = Server::start_manifest(authority.scratch.write("wharf.toml", manifest), flags);
        let to = tls_addr(&server);
        let tunnels = Protocol::ALL.map(|protocol| (protocol, Tunnel::to(to, &authority, protocol)));
        Self {
            server,
            tunnels: tunnels.into(),
            authority,
        }
    }

    /// Where clients of a protocol reach it by TLS.
    pub fn addr(&self, protocol: Protocol) -> SocketAddr {
        let (_, tunnel) = self
            .tunnels
            .iter()
            .find(|(of, _)| *of == protocol)
            .expect("there is one for each");
        tunnel.addr
    }
}

/// A way to a server, by TLS, for clients of one protocol. It ends when this is dropped.
struct Tunnel {
    addr: SocketAddr,
    _open: oneshot::Sender<()>,
}

impl Tunnel {
    fn to(server: SocketAddr, authority: &Authority, protocol: Protocol) -> Self {
        let mut config = (*authority.client()).clone();
        let protocols: &[u8] = match protocol {
            Protocol::Http1 => b"http/1.1",
            Protocol::Http2 => b"h2",
        };
        config.alpn_protocols = vec![protocols.to_vec()];
        let connector = TlsConnector::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let addr = listener.local_addr().expect("it listens");
        let (open, closed) = oneshot::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("the system has what a runtime needs").block_on(async {
                tokio::select! {
                    () = carry_all(listener, server, connector) => {}
                    _ = closed => {}
                }
            });
        });
        Self { addr, _open: open }
    }
}

async fn carry_all(listener: TcpListener, server: SocketAddr, connector: TlsConnector) {
    listener.set_nonblocking(true).expect("a socket takes this");
    let listener = tokio::net::TcpListener::from_std(listener).expect("a runtime is there");
    while let Ok((near, _)) = listener.accept().await {
        let connector = connector.clone();
        tokio::spawn(async move {
            // Whatever fails ends both sides, which is what their ends see.
            let _ = carry(near, server, connector).await;
        });
    }
}

async fn carry(mut near: TcpStream, server: SocketAddr, connector: TlsConnector) -> std::io::Result<()> {
    let far = TcpStream::connect(server).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").expect("it is a name");
    let mut far = connector.connect(name, far).await?;
    copy_bidirectional(&mut near, &mut far).await?;
    Ok(())
}
