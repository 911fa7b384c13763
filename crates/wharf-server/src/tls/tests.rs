//! Handshakes in memory, with real certificates.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::DuplexStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;

/// An authority, and a folder for what it signs, which goes when it is dropped.
struct Authority {
    folder: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new(test: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("wharf-tls-{test}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, format!("authority of {test}"));
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { folder, issuer }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// `FILE.crt` and `FILE.key` for `names`.
    fn certificate(&self, file: &str, names: &[&str]) -> CertificateFiles {
        self.certificate_with(file, &KeyPair::generate().unwrap(), names, |_| {})
    }

    fn certificate_with(
        &self,
        file: &str,
        key: &KeyPair,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> CertificateFiles {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let certificate = params.signed_by(key, &self.issuer).unwrap();
        CertificateFiles {
            certificate: self.write(&format!("{file}.crt"), &certificate.pem()),
            key: self.write(&format!("{file}.key"), &key.serialize_pem()),
            is_default: false,
        }
    }

    /// A client that trusts this authority alone.
    fn client(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn options(certificates: &[&CertificateFiles]) -> TlsOptions {
    TlsOptions {
        certificates: certificates.iter().map(|&files| files.clone()).collect(),
        ..TlsOptions::default()
    }
}

/// What both sides say of a handshake with a client that asks for `name`.
async fn shake(tls: &Tls, client: ClientConfig, name: &str) -> (Result<Met, String>, Result<Client, Refused>) {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let served = async { tls.accept(ours).await.map(|accepted| accepted.client) };
    let met = async {
        let stream = TlsConnector::from(Arc::new(client)).connect(name, theirs).await;
        let stream = stream.map_err(|error| error.to_string())?;
        let (_, connection) = stream.get_ref();
        Ok(Met {
            certificate: connection.peer_certificates().unwrap()[0].to_vec(),
            alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
            _stream: stream,
        })
    };
    tokio::join!(met, served)
}

struct Met {
    certificate: Vec<u8>,
    alpn: Option<Vec<u8>>,
    /// The server may not have written its last yet.
    _stream: TlsStream<DuplexStream>,
}

fn der(file: &Path) -> Vec<u8> {
    certificate::chain(&fs::read(file).unwrap()).unwrap()[0].to_vec()
}

/// The certificate that a client gets for `name` has to be that of `expected`; none where it is refused.
async fn check(tls: &Tls, client: ClientConfig, name: &str, expected: Option<&CertificateFiles>) {
    let (met, served) = shake(tls, client, name).await;
    match expected {
        Some(files) => {
            let met = met.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(met.certificate, der(&files.certificate), "{name}: another certificate");
            served.unwrap();
        }
        None => {
            assert_eq!(
                met.err().as_deref(),
                Some("received fatal alert: UnrecognisedName"),
                "{name}"
            );
            assert!(matches!(served, Err(Refused::UnknownName(asked)) if asked == name));
        }
    }
}

#[tokio::test]
async fn clients_get_the_certificate_of_the_name_they_ask_for() {
    let ca = Authority::new("names");
    let first = ca.certificate("first", &["first.test", "127.0.0.1"]);
    let wild = ca.certificate("wild", &["*.second.test", "second.test"]);
    let exact = ca.certificate("exact", &["www.second.test"]);
    let tls = Tls::new(options(&[&first, &wild, &exact])).unwrap();
    for (name, expected) in [
        ("first.test", Some(&first)),
        ("FIRST.test", Some(&first)),
        ("second.test", Some(&wild)),
        ("a.second.test", Some(&wild)),
        ("www.second.test", Some(&exact)),
        // Without a name.
        ("127.0.0.1", Some(&first)),
        ("a.b.second.test", None),
        ("a.first.test", None),
        ("test", None),
    ] {
        check(&tls, ca.client(), name, expected).await;
    }
}

#[tokio::test]
async fn unknown_names_get_the_default_where_that_is_wanted() {
    let ca = Authority::new("unknown");
    let first = ca.certificate("first", &["first.test"]);
    let mut marked = ca.certificate("marked", &["marked.test", "127.0.0.1"]);
    marked.is_default = true;
    let tls = Tls::new(TlsOptions {
        default_for_unknown_names: true,
        ..options(&[&first, &marked])
    });
    let tls = tls.unwrap();
    check(&tls, ca.client(), "127.0.0.1", Some(&marked)).await;
    let (met, _) = shake(&tls, ca.client(), "other.test").await;
    let error = met.err().unwrap();
    assert!(error.contains("not valid for name"), "{error}");
}

#[tokio::test]
async fn http2_is_agreed_on() {
    let ca = Authority::new("alpn");
    let tls = Tls::new(options(&[&ca.certificate("one", &["one.test"])])).unwrap();
    for (offered, expected) in [
        (vec!["h2", "http/1.1"], Some("h2")),
        (vec!["http/1.1"], Some("http/1.1")),
        (vec![], None),
    ] {
        let mut client = ca.client();
        client.alpn_protocols = offered.iter().map(|&name| name.into()).collect();
        let (met, _) = shake(&tls, client, "one.test").await;
        let alpn = met.unwrap().alpn;
        assert_eq!(alpn.as_deref(), expected.map(str::as_bytes), "{offered:?}");
    }
}
