//! Handshakes in memory, with real certificates.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::header::HeaderMap;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;

use super::handshake::Refused;
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
        params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
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

    /// A file of revoked certificates that is renewed by the end of `year`.
    fn revocations(&self, file: &str, serials: &[u64], year: i32) -> PathBuf {
        let revoked = serials.iter().map(|&serial| rcgen::RevokedCertParams {
            serial_number: serial.into(),
            revocation_time: rcgen::date_time_ymd(2001, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let params = rcgen::CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2001, 1, 1),
            next_update: rcgen::date_time_ymd(year, 12, 31),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        self.write(file, &params.signed_by(&self.issuer).unwrap().pem().unwrap())
    }

    /// A client that trusts this authority alone.
    fn client(&self) -> ClientConfig {
        self.client_of(rustls::DEFAULT_VERSIONS)
    }

    fn client_of(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        self.client_builder(versions).with_no_client_auth()
    }

    fn client_builder(
        &self,
        versions: &[&'static SupportedProtocolVersion],
    ) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
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
    let served = async {
        let mut accepted = tls.accept(ours).await?;
        let said = accepted.stream.write_all(b".").await;
        said.and(accepted.stream.flush().await).map_err(Refused::Left)?;
        Ok(accepted)
    };
    let met = async {
        let stream = TlsConnector::from(Arc::new(client)).connect(name, theirs).await;
        let mut stream = stream.map_err(|error| error.to_string())?;
        // Before it, the server says whether it takes the client's certificate, and sends tickets.
        stream.read_u8().await.map_err(|error| error.to_string())?;
        let (_, connection) = stream.get_ref();
        Ok(Met {
            certificate: connection.peer_certificates().unwrap()[0].to_vec(),
            alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
            kind: connection.handshake_kind(),
        })
    };
    let (met, served) = tokio::join!(met, served);
    (met, served.map(|accepted| accepted.client))
}

struct Met {
    certificate: Vec<u8>,
    alpn: Option<Vec<u8>>,
    kind: Option<HandshakeKind>,
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

fn written(refused: &TlsError, folder: &Path) -> String {
    refused.to_string().replace(&format!("{}/", folder.display()), "")
}

#[test]
fn what_cannot_be_used_is_said() {
    let ca = Authority::new("bad");
    let good = ca.certificate("good", &["a.test"]);
    let other = ca.certificate("other", &["b.test"]);
    let text = |file: &PathBuf| fs::read_to_string(file).unwrap();
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let nameless = ca.certificate_with("nameless", &KeyPair::generate().unwrap(), &[], |_| {});
    let damaged = text(&good.certificate).replacen("MII", "MIA", 1);
    let files = |certificate: &PathBuf, key: &PathBuf| CertificateFiles {
        certificate: certificate.clone(),
        key: key.clone(),
        is_default: false,
    };
    for (files, expected) in [
        (
            files(&good.certificate, &other.key),
            "other.key: the key does not belong to the certificate of good.crt",
        ),
        (
            files(&ca.path("none.crt"), &good.key),
            "none.crt: cannot be read: No such file",
        ),
        (
            files(&good.certificate, &ca.path("none.key")),
            "none.key: cannot be read: No such file",
        ),
        (
            files(&good.key, &good.key),
            "good.key: holds no certificate, but: PRIVATE KEY",
        ),
        (
            files(&good.certificate, &good.certificate),
            "good.crt: holds no private key, but: CERTIFICATE",
        ),
        (
            files(&ca.write("empty.crt", ""), &good.key),
            "empty.crt: holds no certificate: there is nothing in PEM form in it",
        ),
        (
            files(&good.certificate, &ca.write("locked.key", encrypted)),
            "locked.key: the key is encrypted with a passphrase",
        ),
        (
            files(&ca.write("damaged.crt", &damaged), &good.key),
            "damaged.crt: the certificate number 1 is damaged",
        ),
        (nameless, "nameless.crt: the certificate is for no name"),
        (files(&ca.folder, &good.key), "cannot be read: is a directory"),
    ] {
        let refused = Tls::new(options(&[&files])).map(|_| ()).unwrap_err();
        let said = written(&refused, &ca.folder);
        assert!(said.contains(expected), "{said}\n is not: {expected}");
    }
    let nothing = Tls::new(TlsOptions::default()).map(|_| ()).unwrap_err();
    assert_eq!(nothing.to_string(), "there is no certificate");
}

#[tokio::test]
async fn folders_hold_certificates() {
    let ca = Authority::new("folder");
    let listed = ca.certificate("listed", &["listed.test", "127.0.0.1"]);
    fs::create_dir_all(ca.path("certs/live/")).unwrap();
    let crt = ca.certificate("certs/one", &["one.test"]);
    let live = ca.certificate("certs/live/x", &["live.test"]);
    fs::rename(&live.certificate, ca.path("certs/live/fullchain.pem")).unwrap();
    fs::rename(&live.key, ca.path("certs/live/privkey.pem")).unwrap();
    let live = CertificateFiles {
        certificate: ca.path("certs/live/fullchain.pem"),
        ..live
    };
    ca.write("certs/README", "not a certificate");
    ca.write("certs/half.crt", "nor this");
    let given = TlsOptions {
        folders: vec![ca.path("certs")],
        ..options(&[&listed])
    };
    let tls = Tls::new(given.clone()).unwrap();
    let new = ca.certificate("certs/new", &["new.test"]);
    check(&tls, ca.client(), "new.test", None).await;
    let refused = tls.read_again().unwrap();
    assert_eq!(refused.len(), 1);
    assert!(written(&refused[0], &ca.path("certs")).starts_with("half."));
    for (name, files) in [
        ("listed.test", &listed),
        ("one.test", &crt),
        ("live.test", &live),
        ("new.test", &new),
    ] {
        check(&tls, ca.client(), name, Some(files)).await;
    }
    assert!(watched(&given).contains(&new.key));
}

#[tokio::test]
async fn a_certificate_that_is_damaged_stays_as_it_was() {
    let ca = Authority::new("replace");
    let one = ca.certificate("one", &["one.test"]);
    let two = ca.certificate("two", &["two.test"]);
    let tls = Tls::new(options(&[&one, &two])).unwrap();
    let before = der(&one.certificate);
    fs::write(&one.certificate, "damaged").unwrap();
    let renewed = ca.certificate("two", &["two.test"]);
    let refused = tls.read_again().unwrap();
    let said: Vec<String> = refused.iter().map(|refused| written(refused, &ca.folder)).collect();
    assert_eq!(
        said,
        ["one.crt: holds no certificate: there is nothing in PEM form in it"]
    );
    let (met, _) = shake(&tls, ca.client(), "one.test").await;
    assert_eq!(met.unwrap().certificate, before);
    check(&tls, ca.client(), "two.test", Some(&renewed)).await;
    assert!(tls.replace(TlsOptions::default()).is_err());
    check(&tls, ca.client(), "two.test", Some(&renewed)).await;
}

#[tokio::test]
async fn sessions_are_taken_up_again_also_after_a_change() {
    let ca = Authority::new("sessions");
    let one = ca.certificate("one", &["one.test"]);
    for min_version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let tls = Tls::new(TlsOptions {
            min_version,
            ..options(&[&one])
        });
        let tls = tls.unwrap();
        for versions in [rustls::DEFAULT_VERSIONS, &[&rustls::version::TLS12]] {
            let client = ca.client_of(versions);
            let is_refused = min_version == TlsVersion::V1_3 && versions.len() == 1;
            for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
                let (met, served) = shake(&tls, client.clone(), "one.test").await;
                if is_refused {
                    assert_eq!(met.err().as_deref(), Some("received fatal alert: ProtocolVersion"));
                    assert!(matches!(served, Err(Refused::Protocol(_))));
                    continue;
                }
                assert_eq!(met.unwrap().kind, Some(expected), "{versions:?}");
                tls.read_again().unwrap();
            }
        }
    }
}

/// The certificate of a client, signed by `ca`.
fn shown(ca: &Authority, name: &str, change: impl FnOnce(&mut CertificateParams)) -> (ClientConfig, Vec<u8>) {
    let key = KeyPair::generate().unwrap();
    let files = ca.certificate_with(name, &key, &[], |params| {
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        change(params);
    });
    let der = der(&files.certificate);
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let client = ca.client_builder(rustls::DEFAULT_VERSIONS);
    let client = client.with_client_auth_cert(vec![der.clone().into()], key).unwrap();
    (client, der)
}

#[tokio::test]
async fn clients_show_certificates_where_they_are_asked_to() {
    let ca = Authority::new("clients");
    let stranger = Authority::new("stranger");
    let server = ca.certificate("server", &["open.test", "closed.test", "either.test", "127.0.0.1"]);
    let authority = ca.write("ca.pem", &ca.issuer.pem());
    let (known, known_der) = shown(&ca, "known", |params| params.serial_number = Some(9.into()));
    let (revoked, _) = shown(&ca, "revoked", |params| params.serial_number = Some(7.into()));
    let (expired, _) = shown(&ca, "expired", |params| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    });
    let (strange, _) = shown(&stranger, "strange", |_| {});
    let mut strange = strange;
    strange = {
        let resolver = strange.client_auth_cert_resolver.clone();
        let mut client = ca.client();
        client.client_auth_cert_resolver = resolver;
        client
    };
    let policy = |host: &str, is_required| ClientCertificates {
        hosts: vec![host.parse().unwrap()],
        authorities: vec![authority.clone()],
        revoked: vec![ca.revocations("revoked.crl", &[7], 2100)],
        is_required,
    };
    let tls = Tls::new(TlsOptions {
        client_certificates: vec![policy("closed.test", true), policy("either.test", false)],
        ..options(&[&server])
    });
    let tls = tls.unwrap();
    let none = ca.client();
    for (name, client, expected) in [
        ("open.test", &none, Ok(None)),
        // It is not asked.
        ("open.test", &known, Ok(None)),
        ("closed.test", &known, Ok(Some(&known_der))),
        ("either.test", &known, Ok(Some(&known_der))),
        ("either.test", &none, Ok(None)),
        ("closed.test", &none, Err("CertificateRequired")),
        ("closed.test", &revoked, Err("CertificateRevoked")),
        ("either.test", &revoked, Err("CertificateRevoked")),
        ("closed.test", &expired, Err("CertificateExpired")),
        ("closed.test", &strange, Err("UnknownCA")),
    ] {
        // Twice: a session that is taken up again would be let in without a look.
        for _ in 0..2 {
            let (met, served) = shake(&tls, client.clone(), name).await;
            match expected {
                Ok(der) => {
                    let client = served.unwrap();
                    let mut headers = HeaderMap::new();
                    client.tell(&mut headers);
                    let value = headers
                        .get("client-cert")
                        .map(|value| value.to_str().unwrap().to_owned());
                    let expected =
                        der.map(|der| format!(":{}:", base64::Engine::encode(&base64::prelude::BASE64_STANDARD, der)));
                    assert_eq!(value, expected, "{name}");
                    if name != "open.test" {
                        assert_eq!(met.unwrap().kind, Some(HandshakeKind::Full), "{name}");
                    }
                    for (host, is_misdirected) in [
                        ("open.test", name != "open.test"),
                        ("CLOSED.test", name != "closed.test"),
                    ] {
                        assert_eq!(tls.admits(&client, host).is_err(), is_misdirected, "{name} {host}");
                    }
                }
                Err(alert) => {
                    let error = met.err().unwrap();
                    assert!(error.contains(alert), "{name}: {error} is not {alert}");
                    assert!(matches!(served, Err(Refused::ClientCertificate(_))));
                }
            }
        }
    }
    // Who is connected already is looked at anew when what is asked for changes, and at no other time.
    let (_, served) = shake(&tls, known.clone(), "closed.test").await;
    let client = served.unwrap();
    assert!(tls.read_again().unwrap().is_empty());
    assert_eq!(tls.admits(&client, "closed.test"), Ok(()));
    for (serials, expected) in [
        (&[7][..], Ok(())),
        (&[8], Ok(())),
        (&[8, 9], Err(Misdirected::OtherPolicy)),
        (&[8], Ok(())),
    ] {
        ca.revocations("revoked.crl", serials, 2100);
        assert!(tls.read_again().unwrap().is_empty());
        for _ in 0..2 {
            assert_eq!(tls.admits(&client, "closed.test"), expected, "{serials:?}");
        }
        assert_eq!(tls.admits(&client, "either.test"), Err(Misdirected::OtherHost));
    }
    // A list that is out of date knows nothing of late.
    ca.revocations("revoked.crl", &[], 2002);
    assert!(tls.read_again().unwrap().is_empty());
    let (_, served) = shake(&tls, known.clone(), "closed.test").await;
    assert!(served.is_err());
    // Without its authorities it stays as it was.
    ca.revocations("revoked.crl", &[7], 2100);
    fs::remove_file(&authority).unwrap();
    assert!(tls.read_again().unwrap().len() == 2);
}

#[tokio::test]
async fn an_authority_sees_that_a_name_leads_here() {
    let ca = Authority::new("challenge");
    let one = ca.certificate("one", &["one.test"]);
    let tls = Tls::new(options(&[&one])).unwrap();
    let mut asks = ca.client();
    asks.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let refused = shake(&tls, asks.clone(), "one.test").await.0.err();
    assert_eq!(refused.as_deref(), Some("received fatal alert: UnrecognisedName"));
    assert_eq!(tls.challenge("/.well-known/acme-challenge/token"), None);
    let challenges = tls.0.challenges.clone();
    let answers = (
        challenges
            .clone()
            .answer_tls("one.test", &[9; 32], &tls.0.provider)
            .unwrap(),
        challenges.answer_http("token", "token.print"),
    );
    for (path, expected) in [
        ("/.well-known/acme-challenge/token", Some("token.print")),
        ("/.well-known/acme-challenge/other", None),
        ("/token", None),
    ] {
        assert_eq!(tls.challenge(path).as_deref(), expected, "{path}");
    }
    let (met, served) = shake(&tls, asks.clone(), "one.test").await;
    // It holds what only authorities understand (RFC 8737 section 3).
    let error = met.err().unwrap();
    assert!(error.contains("UnsupportedCriticalExtension"), "{error}");
    assert!(served.is_err());
    check(&tls, ca.client(), "one.test", Some(&one)).await;
    drop(answers);
    let refused = shake(&tls, asks, "one.test").await.0.err();
    assert_eq!(refused.as_deref(), Some("received fatal alert: UnrecognisedName"));
    assert_eq!(tls.challenge("/.well-known/acme-challenge/token"), None);
}
