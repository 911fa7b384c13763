//! Certificates for tests, and clients that look at those of a server.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use wharf_tests::{Scratch, Server, eventually};

/// When certificates hold, unless something else is said.
const YEARS: [i32; 2] = [2026, 2099];

/// An authority and what it has signed, in a folder of its own.
pub struct Authority {
    pub scratch: Scratch,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "authority of tests");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let scratch = Scratch::new();
        scratch.write("ca.pem", issuer.pem());
        Self { scratch, issuer }
    }

    pub fn file(&self) -> PathBuf {
        self.scratch.join("ca.pem")
    }

    /// `FILE.crt` and `FILE.key` for `names`, each replaced in one step; what the certificate is in DER.
    pub fn certificate(&self, file: &str, names: &[&str]) -> CertificateDer<'static> {
        self.certificate_of(file, &KeyPair::generate().unwrap(), names, YEARS)
    }

    /// The same for the time from the beginning of a year to that of another.
    pub fn certificate_between(&self, file: &str, names: &[&str], years: [i32; 2]) {
        self.certificate_of(file, &KeyPair::generate().unwrap(), names, years);
    }

    /// The same with an RSA key, which openssl makes.
    pub fn rsa_certificate(&self, file: &str, names: &[&str], openssl: &Path) {
        let key = Command::new(openssl)
            .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
            .output()
            .unwrap();
        let key = KeyPair::from_pem(&String::from_utf8(key.stdout).unwrap()).unwrap();
        self.certificate_of(file, &key, names, YEARS);
    }

    fn certificate_of(
        &self,
        file: &str,
        key: &KeyPair,
        names: &[&str],
        [from, until]: [i32; 2],
    ) -> CertificateDer<'static> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.use_authority_key_identifier_extension = true;
        params.extended_key_usages = vec![
            rcgen::ExtendedKeyUsagePurpose::ServerAuth,
            rcgen::ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let certificate = params.signed_by(key, &self.issuer).unwrap();
        for (extension, text) in [("crt", certificate.pem()), ("key", key.serialize_pem())] {
            let new = self.scratch.write(format!("{file}.{extension}.new"), text);
            std::fs::rename(&new, self.scratch.join(format!("{file}.{extension}"))).unwrap();
        }
        certificate.der().clone()
    }

    pub fn client(&self) -> Arc<ClientConfig> {
        client(&self.file())
    }

    /// One that shows what is in `FILE.crt`.
    pub fn client_with(&self, file: &str) -> Arc<ClientConfig> {
        let path = |extension: &str| self.scratch.join(format!("{file}.{extension}"));
        let chain = CertificateDer::pem_file_iter(path("crt")).unwrap();
        let key = PrivateKeyDer::from_pem_file(path("key")).unwrap();
        let config = builder(&self.file());
        let chain = chain.map(|certificate| certificate.unwrap()).collect();
        Arc::new(config.with_client_auth_cert(chain, key).unwrap())
    }
}

/// A client that trusts the authorities in a file.
pub fn client(authorities: &Path) -> Arc<ClientConfig> {
    let mut config = builder(authorities).with_no_client_auth();
    // A session that is taken up again shows the certificate that it began with.
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

fn builder(authorities: &Path) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_file_iter(authorities).unwrap() {
        roots.add(authority.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
}

/// A request by TLS: the server's certificate and the beginning of its answer.
pub fn ask(
    client: &Arc<ClientConfig>,
    addr: SocketAddr,
    name: &str,
) -> std::io::Result<(CertificateDer<'static>, String)> {
    let stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connection = ClientConnection::new(client.clone(), name).unwrap();
    let mut stream = StreamOwned::new(connection, stream);
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let certificate = stream.conn.peer_certificates().unwrap()[0].clone().into_owned();
    Ok((certificate, answer))
}

/// Where a server says that it speaks TLS; the first such line.
pub fn tls_addr(server: &Server) -> SocketAddr {
    let find = || {
        let log = server.log();
        let (_, rest) = log.split_once("at https://")?;
        rest.split_whitespace().next()?.trim_end_matches('/').parse().ok()
    };
    eventually(|| find().is_some(), "it says where it speaks TLS");
    find().expect("it was found a moment ago")
}

/// A port that nobody listens at. Somebody else may take it meanwhile; nothing better is to be had for programs that cannot
/// choose one themselves.
pub fn free_port() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}
