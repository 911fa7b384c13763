//! Origins to test against, on loopback: scripted ones that speak bytes, and whole HTTP servers.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

pub type Page = UnsyncBoxBody<Bytes, hyper::Error>;

/// A listener on a free port, serving until it is dropped.
pub struct TestOrigin {
    pub address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl TestOrigin {
    /// Hands each connection, with its number from 0, to `serve`.
    pub async fn raw<F, S>(serve: F) -> Self
    where
        F: Fn(TcpStream, usize) -> S + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let counter = accepted.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(serve(stream, counter.fetch_add(1, Ordering::SeqCst)));
            }
        });
        Self {
            address,
            accepted,
            _tasks: tasks,
        }
    }

    /// Speaks HTTP/1.1 in cleartext.
    pub async fn http<F, S>(answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> S + Clone + Send + Sync + 'static,
        S: Future<Output = Response<Page>> + Send + 'static,
    {
        Self::raw(move |stream, _| serve(stream, answer.clone())).await
    }

    /// Speaks what is agreed on by TLS; its certificate is for `origin.test` and 127.0.0.1.
    pub async fn https<F, S>(protocols: &[&str], answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> S + Clone + Send + Sync + 'static,
        S: Future<Output = Response<Page>> + Send + 'static,
    {
        let acceptor = acceptor(protocols);
        Self::raw(move |stream, _| {
            let (acceptor, answer) = (acceptor.clone(), answer.clone());
            async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream, answer).await;
                }
            }
        })
        .await
    }

    /// How many connections were accepted.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }
}

async fn serve<F, S>(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, answer: F)
where
    F: Fn(Request<Incoming>) -> S + Send + Sync + 'static,
    S: Future<Output = Response<Page>> + Send + 'static,
{
    let service = service_fn(move |request| {
        let answer = answer(request);
        async move { Ok::<_, std::convert::Infallible>(answer.await) }
    });
    // The client may leave in the middle, that is no failure of the test.
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// Reads up to the end of a head, and what came along behind it.
pub async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = bytes.split_off(at + 4);
            return (String::from_utf8(bytes).unwrap(), rest);
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return (String::new(), Vec::new());
        }
    }
}

/// Reads up to the end of the connection, or its reset.
pub async fn read_to_end(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset ends it as well.
    let _ = stream.read_to_end(&mut bytes).await;
    bytes
}

struct Certificates {
    authority: CertificateDer<'static>,
    chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
    chain_pem: String,
    key_pem: String,
}

fn certificates() -> &'static Certificates {
    static CERTIFICATES: OnceLock<Certificates> = OnceLock::new();
    CERTIFICATES.get_or_init(|| {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let names = ["origin.test".to_owned(), "127.0.0.1".to_owned()];
        let leaf = CertificateParams::new(names)
            .unwrap()
            .signed_by(&key, &authority)
            .unwrap();
        Certificates {
            authority: authority.der().clone(),
            chain: vec![leaf.der().clone()],
            key: key.serialize_der(),
            chain_pem: leaf.pem(),
            key_pem: key.serialize_pem(),
        }
    })
}

/// The authority that vouches for the origins here.
pub fn authority() -> CertificateDer<'static> {
    certificates().authority.clone()
}

/// A certificate that the authority vouches for, and its key, as PEM.
pub fn identity() -> (&'static str, &'static str) {
    let certificates = certificates();
    (&certificates.chain_pem, &certificates.key_pem)
}

/// The server's side of TLS.
pub fn acceptor(protocols: &[&str]) -> TlsAcceptor {
    let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let builder = builder
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth();
    finish(builder, protocols)
}

/// One that asks clients for a certificate.
pub fn acceptor_of_known_clients() -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority()).unwrap();
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .unwrap();
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    finish(builder.with_client_cert_verifier(verifier), &["http/1.1"])
}

fn finish(
    builder: rustls::ConfigBuilder<ServerConfig, rustls::server::WantsServerCert>,
    protocols: &[&str],
) -> TlsAcceptor {
    let Certificates { chain, key, .. } = certificates();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.clone()));
    let mut config = builder.with_single_cert(chain.clone(), key).unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}
