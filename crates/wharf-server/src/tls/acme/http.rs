//! Requests to the authority: few, each on a connection of its own.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{HOST, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use wharf_app::app::AcmeOptions;

use crate::tls::certificate;

/// From the connection to the last byte of the answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A directory, an order, a chain: some kilobytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// What authorities may ask to wait for at most.
const WISH_MAX: Duration = Duration::from_secs(24 * 60 * 60);

type Trouble = Box<dyn std::error::Error + Send + Sync>;

/// Asks an authority. Clones share what they know.
#[derive(Clone)]
pub(super) struct Client(Arc<Inner>);

struct Inner {
    options: AcmeOptions,
    provider: Arc<CryptoProvider>,
    /// Reading the system's certificates takes some milliseconds.
    config: OnceCell<Arc<ClientConfig>>,
    /// When the authority wants to be asked again.
    wish: Mutex<Option<SystemTime>>,
}

impl Client {
    pub fn new(options: &AcmeOptions, provider: Arc<CryptoProvider>) -> Self {
        Self(Arc::new(Inner {
            options: options.clone(),
            provider,
            config: OnceCell::new(),
            wish: Mutex::new(None),
        }))
    }

    /// How long the authority wants to be left alone, since it was asked too often or has too much to do.
    pub fn wish(&self) -> Option<Duration> {
        let wish = *self.0.wish.lock().unwrap_or_else(PoisonError::into_inner);
        let left = wish?.duration_since(SystemTime::now()).ok()?;
        Some(left.min(WISH_MAX))
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let inner = self.0.clone();
        Box::pin(async move {
            let asked = tokio::time::timeout(TIMEOUT, inner.ask(request)).await;
            match asked {
                Ok(Ok(response)) => Ok(response),
                Ok(Err(trouble)) => Err(Error::Other(trouble)),
                Err(_) => Err(Error::Other("the authority did not answer in time".into())),
            }
        })
    }
}

impl Inner {
    async fn ask(&self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Trouble> {
        let (mut parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let uri = parts.uri.clone();
        let host = uri.host().ok_or("the URL has no host")?;
        let port = uri.port_u16().unwrap_or(443);
        if uri.scheme_str() != Some("https") {
            return Err("the authority is asked by https alone".into());
        }
        let about = |error: &dyn std::error::Error| Trouble::from(format!("cannot reach {host}:{port}: {error}"));
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((bare, port)).await.map_err(|error| about(&error))?;
        let name = ServerName::try_from(bare.to_owned())?;
        let config = self.config.get_or_try_init(|| self.load()).await?;
        let stream = TlsConnector::from(config.clone()).connect(name, stream).await;
        let stream = stream.map_err(|error| about(&error))?;
        let (mut send, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        parts.headers.insert(HOST, HeaderValue::from_str(authority)?);
        parts.uri = uri.path_and_query().map_or("/", |path| path.as_str()).parse()?;
        let answer = send.send_request(Request::from_parts(parts, Full::new(body))).await?;
        let (head, body) = answer.into_parts();
        self.note_wish(head.status, &head.headers);
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?.to_bytes();
        connection.abort();
        Ok(BytesResponse {
            parts: head,
            body: Box::new(body),
        })
    }

    async fn load(&self) -> Result<Arc<ClientConfig>, Trouble> {
        let (files, provider) = (self.options.trust.clone(), self.provider.clone());
        let load = move || {
            let mut roots = RootCertStore::empty();
            for file in &files {
                let extra = certificate::chain(&certificate::text(file)?).map_err(|fault| fault.of(file))?;
                for root in extra {
                    roots.add(root)?;
                }
            }
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            let config = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()?
                .with_root_certificates(roots)
                .with_no_client_auth();
            Ok::<_, Trouble>(Arc::new(config))
        };
        tokio::task::spawn_blocking(load).await?
    }

    /// RFC 8555 section 6.6: who is asked too often says for how long to wait.
    fn note_wish(&self, status: StatusCode, headers: &HeaderMap) {
        if !matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            return;
        }
        let value = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let wish = value.and_then(|value| match value.trim().parse() {
            Ok(seconds) => SystemTime::now().checked_add(Duration::from_secs(seconds)),
            Err(_) => httpdate::parse_http_date(value.trim()).ok(),
        });
        *self.wish.lock().unwrap_or_else(PoisonError::into_inner) = wish;
    }
}
