//! Where and how connections come in. What comes after is the same for all of them, and tested elsewhere by plain TCP.

/// What trusted proxies say, and what guests are told.
mod forwarded;
/// nginx, HAProxy and curl.
mod peers;
/// The PROXY protocol.
mod proxied;
/// Sockets in files, and sockets that are handed over.
#[cfg(unix)]
mod sockets;
/// Clients that stall before their first request.
pub mod stalls;
/// TLS: requests, ends, and what is not TLS.
mod tls;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use wharf_tests::{Scratch, Server, guest};

use crate::operator::{ADMIN, admin};

/// Further than any answer is away.
const DEADLINE: Duration = wharf_tests::DEADLINE;

/// A server with one app, listening at a plain address first, as tests expect it.
struct Site {
    server: Server,
    admin: SocketAddr,
    scratch: Scratch,
    certificate: CertificateDer<'static>,
}

impl Site {
    /// `keys` are those of `[server]`; sections may follow them. PORT-free addresses are written `127.0.0.1:0`.
    fn serve(component: &str, keys: &str) -> Self {
        let scratch = Scratch::new();
        let certificate = write_certificate(&scratch);
        let manifest = format!(
            "[server]\n{keys}\n[[server.tls.certificates]]\ncertificate = 'certificate.pem'\nkey = 'key.pem'\ndefault = true\n\
             [apps.main]\ncomponent = '{}'\n",
            guest(component).display()
        );
        let file = scratch.write("wharf.toml", manifest);
        let mut command = wharf_tests::wharf();
        command.arg("serve").args(ADMIN).args(["--log", "debug"]).arg(file);
        let server = Server::spawn(command);
        let admin = admin(&server);
        Self {
            server,
            admin,
            scratch,
            certificate,
        }
    }

    /// The same with one listener more, a plain one being first.
    fn with_listener(component: &str, keys: &str, listener: &str) -> Self {
        let listeners =
            format!("{keys}\nlisten = '127.0.0.1:0'\n[[server.listeners]]\naddress = '127.0.0.1:0'\n{listener}");
        Self::serve(component, &listeners)
    }

    fn plain(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Where it listens, in the order of its messages.
    fn all(&self) -> Vec<String> {
        let log = self.server.log();
        let said = log
            .lines()
            .filter_map(|line| line.strip_prefix("wharf: serving ")?.split_once(" at "));
        said.map(|(_, at)| at.to_owned()).collect()
    }

    /// The second listener's address.
    fn second(&self) -> SocketAddr {
        let all = self.all();
        let (_, addr) = all[1].split_once("://").expect("it has a URL");
        addr.parse().expect("it ends in its address")
    }

    fn connect(&self, addr: SocketAddr) -> TcpStream {
        let stream = TcpStream::connect(addr).expect("the server accepts connections");
        stream.set_read_timeout(Some(DEADLINE)).expect("it is not zero");
        stream.set_nodelay(true).expect("it is TCP");
        stream
    }

    /// TLS at the second listener, offering these protocols.
    fn secure(&self, protocols: &[&str]) -> StreamOwned<ClientConnection, TcpStream> {
        self.secure_over(self.connect(self.second()), protocols)
    }

    fn secure_over(&self, stream: TcpStream, protocols: &[&str]) -> StreamOwned<ClientConnection, TcpStream> {
        let name = ServerName::try_from("localhost").expect("it is a name");
        let connection = ClientConnection::new(self.trusting(protocols), name).expect("the settings hold together");
        StreamOwned::new(connection, stream)
    }

    fn trusting(&self, protocols: &[&str]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("it is a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("there are versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

/// One for `localhost`, with its key.
fn write_certificate(scratch: &Scratch) -> CertificateDer<'static> {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).expect("the names are some");
    scratch.write("certificate.pem", made.cert.pem());
    scratch.write("key.pem", made.signing_key.serialize_pem());
    made.cert.der().clone()
}

const GET: &str = "GET /path HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n";

/// Sends bytes and reads what comes until the end; what came, and whether the end was one.
fn exchange(mut stream: impl Read + Write, request: impl AsRef<[u8]>) -> (String, io::Result<()>) {
    // A server may answer, and close, before it has read everything.
    let _ = stream.write_all(request.as_ref()).and_then(|()| stream.flush());
    let mut answer = Vec::new();
    let ended = stream.read_to_end(&mut answer).map(|_| ());
    (String::from_utf8_lossy(&answer).into_owned(), ended)
}

/// The answer's status.
#[track_caller]
fn status(answer: &str) -> u16 {
    let code = answer
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.get(2..5)?.parse().ok());
    code.unwrap_or_else(|| panic!("this is no answer: {:.100}", answer))
}
