//! Outgoing requests of guests, through `wasi:http`, as far as an allow list goes.
//!
//! One client serves all instances of an app, so that they share connections. A request goes through four steps, each
//! in a file of its own: the policy and the order of steps here, a connection from `pool.rs` or a new one from
//! `connect.rs` (with `tls.rs`), the exchange on it in `exchange.rs`. What went wrong becomes the guest's `error-code`
//! in `failure.rs`.

mod connect;
mod drive;
mod exchange;
mod failure;
mod origin;
mod pool;
#[cfg(test)]
mod tests;
mod tls;
mod upgrade;

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::time::Instant;
use wharf_host::capability::{Admission, Capability};
use wharf_host::http::{Body, ErrorCode, HttpClient, RequestOptions, Sending, Upgrading};

use self::connect::{Connector, Speaks, before};
use self::exchange::{Outcome, Timeouts};
use self::origin::Origin;
use self::pool::{Checkout, Lease, Opening, Pool, PoolOptions};
use crate::allow::AllowList;
use crate::resolve::{Resolve, SystemResolver};

pub use self::tls::TlsError;

/// A connection that does not stand after this time will not: the system has asked three times by then.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Some origins think for minutes before they answer (reports, language models), and a guest that serves is held to
/// its own request's limit anyway. This frees what nobody waits for.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(600);

/// As long as for the first byte: a stream of events may be silent for as long as an answer may take to begin.
const BETWEEN_BYTES_TIMEOUT: Duration = Duration::from_secs(600);

/// Most origins close idle connections after 60 to 120 seconds; keeping one much longer only finds it closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);

/// Enough to carry a burst's connections over to the next burst, without holding a small origin's whole backlog.
const IDLE_PER_ORIGIN_MAX: usize = 32;

/// Leaves room for as many incoming connections under the usual limit of 4096 or more open files. Past it a request
/// waits for a connection until its connect timeout, and then fails with `connection-limit-reached`.
const CONNECTIONS_MAX: usize = 1024;

/// How often a request that certainly was not worked on is sent again. Twice is enough for a connection that was
/// closed while idle and an origin that restarts; more often would hide an origin that refuses everything.
const RESENDS_MAX: usize = 2;

/// What an app's outgoing requests may do.
pub struct HttpClientOptions {
    /// What may be reached. Nothing by default.
    pub allow: AllowList,
    /// Certificate authorities to trust besides the system's and Mozilla's.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// Until a connection stands, name lookup and TLS included, when the guest sets no limit. 10 seconds by default.
    pub connect_timeout: Duration,
    /// Until the response begins, when the guest sets no limit. Then it counts anew with each piece of the request's
    /// body, so that a long upload does not use it up. 10 minutes by default.
    pub first_byte_timeout: Duration,
    /// Between two pieces of the response's body while the guest waits for one, when the guest sets no limit. 10
    /// minutes by default.
    pub between_bytes_timeout: Duration,
    /// How long a connection may idle. 90 seconds by default.
    pub idle_timeout: Duration,
    /// How many HTTP/1.1 connections to one origin may idle; the longest idle is closed. 32 by default.
    pub idle_per_origin_max: usize,
    /// How many connections may be open. 1024 by default.
    pub connections_max: usize,
    /// Who looks names up. The system by default.
    pub resolver: Arc<dyn Resolve>,
}

impl Default for HttpClientOptions {
    fn default() -> Self {
        Self {
            allow: AllowList::default(),
            extra_roots: Vec::new(),
            connect_timeout: CONNECT_TIMEOUT,
            first_byte_timeout: FIRST_BYTE_TIMEOUT,
            between_bytes_timeout: BETWEEN_BYTES_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            idle_per_origin_max: IDLE_PER_ORIGIN_MAX,
            connections_max: CONNECTIONS_MAX,
            resolver: Arc::new(SystemResolver::default()),
        }
    }
}

impl HttpClientOptions {
    /// The defaults, with this much allowed.
    pub fn new(allow: AllowList) -> Self {
        Self {
            allow,
            ..Self::default()
        }
    }

    /// Adds the certificate authorities of a PEM file's contents to [`extra_roots`](Self::extra_roots).
    ///
    /// # Errors
    /// When the text holds no certificate, or a damaged one.
    pub fn trust_pem(&mut self, pem: &[u8]) -> Result<(), TlsError> {
        let roots: Vec<_> = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|error| TlsError::Pem(error.to_string()))?;
        if roots.is_empty() {
            return Err(TlsError::Pem("it holds no certificate".to_owned()));
        }
        self.extra_roots.extend(roots);
        Ok(())
    }
}

/// Lets guests send HTTP requests within an allow list. Without it all are denied.
pub struct HttpClientCapability {
    client: Arc<Client>,
}

impl HttpClientCapability {
    /// A client with no connection yet.
    ///
    /// # Errors
    /// When an extra root is not a certificate authority's certificate.
    pub fn new(options: HttpClientOptions) -> Result<Self, TlsError> {
        let timeouts = Timeouts {
            connect: options.connect_timeout,
            first_byte: options.first_byte_timeout,
            between_bytes: options.between_bytes_timeout,
            first_byte_restarts: true,
        };
        let pool = Pool::new(PoolOptions {
            idle_timeout: options.idle_timeout,
            idle_per_origin_max: options.idle_per_origin_max,
            connections_max: options.connections_max,
        });
        let connector = Connector::new(options.allow, options.resolver, options.extra_roots)?;
        Ok(Self {
            client: Arc::new(Client(Arc::new(Shared {
                connector,
                pool,
                timeouts,
            }))),
        })
    }

    /// The client that guests send through.
    pub fn client(&self) -> Arc<dyn HttpClient> {
        self.client.clone()
    }
}

impl Capability for HttpClientCapability {
    fn name(&self) -> &'static str {
        "http-client"
    }

    fn admit(&self, admission: &mut Admission<'_>) -> wasmtime::Result<()> {
        admission.http_client(self.client());
        Ok(())
    }

    fn take_reached(&self) -> Vec<(&'static str, u64)> {
        vec![("outgoing", self.client.0.pool.take_waited())]
    }
}

struct Client(Arc<Shared>);

struct Shared {
    connector: Connector,
    pool: Arc<Pool>,
    timeouts: Timeouts,
}

impl HttpClient for Client {
    fn send(&self, request: http::Request<Body>, options: RequestOptions) -> Sending {
        let shared = self.0.clone();
        Box::pin(async move { shared.send(request, options).await })
    }

    fn upgrade(&self, request: http::Request<()>, options: RequestOptions) -> Upgrading {
        let shared = self.0.clone();
        Box::pin(async move { upgrade::upgrade(&shared, request, options).await })
    }
}

impl Shared {
    async fn send(&self, request: http::Request<Body>, options: RequestOptions) -> exchange::Answer {
        let origin = Origin::of(request.uri())?;
        if request.method() == http::Method::CONNECT {
            // A tunnel would lead past the allow list.
            return Err(ErrorCode::HttpRequestMethodInvalid);
        }
        self.admit(&origin)?;
        let timeouts = self.timeouts.with(options);
        let uri = request.uri().clone();
        let (mut request, upload) = exchange::outgoing(request);
        let mut resends = 0;
        loop {
            let lease = self
                .lease(&origin, Instant::now() + timeouts.connect, resends > 0)
                .await?;
            match exchange::run(lease, request, &uri, &upload, timeouts).await {
                Outcome::Answered(response) => return Ok(response),
                Outcome::NotSent(again, _) if resends < RESENDS_MAX => request = again,
                Outcome::NotSent(_, error) | Outcome::Failed(error) => return Err(error),
            }
            resends += 1;
        }
    }

    /// Whether the allow list has `origin`. Where its name leads is checked as it is connected to.
    fn admit(&self, origin: &Origin) -> Result<(), ErrorCode> {
        let allow = &self.connector.allow;
        if allow.allows_url(origin.scheme, &origin.host, origin.port) {
            return Ok(());
        }
        tracing::info!(%origin, "outgoing request denied: no pattern covers it");
        Err(ErrorCode::HttpRequestDenied)
    }

    /// A connection to `origin`: a pooled one, or a new one when there is none or `fresh` asks for one.
    async fn lease(&self, origin: &Origin, until: Instant, fresh: bool) -> Result<Lease, ErrorCode> {
        loop {
            match self.pool.checkout(origin, fresh) {
                Checkout::Lease(Lease::Http1(mut lease)) => {
                    if lease.is_ready().await {
                        return Ok(Lease::Http1(lease));
                    }
                }
                Checkout::Lease(lease) => return Ok(lease),
                Checkout::Open(opening) => {
                    if let Some(lease) = self.open(origin, opening, until, fresh).await? {
                        return Ok(lease);
                    }
                }
                Checkout::Wait(opening) => before(until, opening.ended(), ErrorCode::ConnectionTimeout).await?,
            }
        }
    }

    /// A new connection, or `None` when one was put back while it was waited for.
    async fn open(
        &self,
        origin: &Origin,
        opening: Opening,
        until: Instant,
        fresh: bool,
    ) -> Result<Option<Lease>, ErrorCode> {
        let permit = self.pool.permit((!fresh).then_some(origin));
        let Some(permit) = before(until, permit, ErrorCode::ConnectionLimitReached).await? else {
            return Ok(None);
        };
        let stream = self.connector.connect(origin, Speaks::Any, until).await?;
        let lease = before(until, opening.start(stream, permit), ErrorCode::ConnectionTimeout).await??;
        Ok(Some(lease))
    }
}
