//! Outgoing requests of guests, through `wasi:http`, as far as an allow list goes.
//!
//! One client serves all instances of an app, so that they share connections. A request goes through four steps, each
//! in a file of its own: the policy and the order of steps here, a connection from `pool.rs` or a new one from
//! `connect.rs` (with `proxy.rs` and `tls.rs`), the exchange on it in `exchange.rs`. What went wrong becomes the guest's
//! `error-code` in `failure.rs`; whether it is tried again is said in `retry.rs`.

mod connect;
mod drive;
mod exchange;
mod failure;
mod origin;
mod pool;
mod proxy;
mod retry;
mod section;
#[cfg(test)]
mod tests;
mod tls;
mod upgrade;

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::time::Instant;
use wharf_host::capability::{Admission, Capability, Sample};
use wharf_host::http::{Body, ErrorCode, HttpClient, RequestOptions, Sending, Upgrading};

use self::connect::{Connector, Speaks, before};
use self::exchange::{Outcome, Outgoing, Timeouts, Upload};
use self::origin::Origin;
use self::pool::{Checkout, Figures, Lease, Opening, Pool, PoolOptions};
use self::retry::Retries;
use self::tls::Tls;
use crate::allow::AllowList;
use crate::denials::Denials;
use crate::resolve::{self, Resolve};

pub use self::proxy::{Lookup, Proxy, ProxyError};
pub use self::section::HttpClientKind;
pub use self::tls::{Identity, TlsError};

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

/// Idle connections are looked at no more often, whatever is set.
const LOOK_AT_IDLE_MIN: Duration = Duration::from_millis(10);

/// Those beyond it are kept for as long as it takes to tell a steady crowd from a burst: opening a connection anew costs
/// more than the request that it is for.
const SURPLUS_IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// Leaves room for as many incoming connections under the usual limit of 4096 or more open files. Past it a request
/// waits for a connection until its connect timeout, and then fails with `connection-limit-reached`.
const CONNECTIONS_MAX: usize = 1024;

/// Who waits costs some kilobytes, and has its own timeout for a connection.
const WAITING_PER_ORIGIN_MAX: usize = 10_000;

/// How often a request that certainly was not worked on is sent again. Twice is enough for a connection that was
/// closed while idle and an origin that restarts; more often would hide an origin that refuses everything.
const RESENDS_MAX: usize = 2;

/// What an app's outgoing requests may do.
pub struct HttpClientOptions {
    /// Whose requests they are, for the log. No name by default.
    pub app: String,
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
    /// How many HTTP/1.1 connections to one origin may idle for so long. 32 by default.
    pub idle_per_origin_max: usize,
    /// How long those may idle that are more, the longest idle ones. 10 seconds by default.
    pub surplus_idle_timeout: Duration,
    /// How many connections may be open. 1024 by default.
    pub connections_max: usize,
    /// How many of them to one origin. All by default.
    pub connections_per_origin_max: usize,
    /// How many requests may wait for a connection to one origin; one more fails with `connection-limit-reached` at once.
    /// 10000 by default.
    pub waiting_per_origin_max: usize,
    /// The origins of cleartext that are known to speak HTTP/2. None by default.
    pub http2: AllowList,
    /// Through which proxy requests go. None by default.
    pub proxy: Option<Proxy>,
    /// Certificates to show; of those for an origin the first. None by default.
    pub identities: Vec<Identity>,
    /// Who looks names up. The system by default, with what it answers kept for a while.
    pub resolver: Arc<dyn Resolve>,
}

impl Default for HttpClientOptions {
    fn default() -> Self {
        Self {
            app: String::new(),
            allow: AllowList::default(),
            extra_roots: Vec::new(),
            connect_timeout: CONNECT_TIMEOUT,
            first_byte_timeout: FIRST_BYTE_TIMEOUT,
            between_bytes_timeout: BETWEEN_BYTES_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            idle_per_origin_max: IDLE_PER_ORIGIN_MAX,
            surplus_idle_timeout: SURPLUS_IDLE_TIMEOUT,
            connections_max: CONNECTIONS_MAX,
            connections_per_origin_max: usize::MAX,
            waiting_per_origin_max: WAITING_PER_ORIGIN_MAX,
            http2: AllowList::default(),
            proxy: None,
            identities: Vec::new(),
            resolver: resolve::standard(),
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
        self.extra_roots.extend(tls::certificates(pem)?);
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
    /// When an extra root is not a certificate authority's certificate, or a client certificate does not fit its key.
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
            surplus_idle_timeout: options
                .surplus_idle_timeout
                .min(options.idle_timeout)
                .max(LOOK_AT_IDLE_MIN),
            connections_max: options.connections_max,
            connections_per_origin_max: options.connections_per_origin_max,
            waiting_per_origin_max: options.waiting_per_origin_max,
        });
        let connector = Connector {
            allow: options.allow,
            denials: Denials::of(&options.app),
            resolver: options.resolver,
            tls: Tls::new(options.extra_roots, options.identities)?,
            http2: options.http2,
            proxy: options.proxy,
        };
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
        let pool = &self.client.0.pool;
        vec![
            ("http-client-connections", pool.take_waited()),
            ("http-client-connections-per-origin", pool.take_waited_for_origin()),
            ("http-client-waiting-per-origin", pool.take_refused()),
        ]
    }

    fn samples(&self) -> Vec<Sample> {
        let Figures { open, idle, waiting } = self.client.0.pool.figures();
        let sample = |name, help, value| Sample {
            name,
            help,
            is_counter: false,
            labels: Vec::new(),
            value: value as f64,
        };
        vec![
            sample("connections", "Connections of outgoing requests that are open", open),
            sample("idle_connections", "Those of them that no request uses", idle),
            sample("waiting", "Outgoing requests that wait for a connection", waiting),
            self.client.0.connector.denials.sample(),
        ]
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
    async fn send(&self, mut request: http::Request<Body>, options: RequestOptions) -> exchange::Answer {
        let origin = Origin::of(request.uri())?;
        if request.method() == http::Method::CONNECT {
            // A tunnel would lead past the allow list.
            return Err(ErrorCode::HttpRequestMethodInvalid);
        }
        self.admit("outgoing request", &origin)?;
        let method = request.method().clone();
        let mut retries = Retries::take(&method, request.headers_mut())?;
        let timeouts = self.timeouts.with(options);
        let uri = request.uri().clone();
        let (mut request, mut upload) = exchange::outgoing(request);
        loop {
            let mut spare = match retries.are_left() && retries.repeatable {
                true => exchange::again(&request),
                false => None,
            };
            let (ended, wait) = match self.attempt(&origin, request, &uri, &upload, timeouts).await {
                Outcome::Answered(response) => {
                    let wait = spare.as_ref().and_then(|_| retries.after_answer(&response));
                    (Ok(response), wait)
                }
                Outcome::NotSent(unsent, error) => {
                    let wait = retries.after_error(&error);
                    spare = Some((unsent, upload));
                    (Err(error), wait)
                }
                Outcome::Failed(error) => {
                    let wait = spare.as_ref().and_then(|_| retries.after_error(&error));
                    (Err(error), wait)
                }
            };
            let (Some(wait), Some(again)) = (wait, spare) else {
                return ended;
            };
            drop(ended);
            Box::pin(tokio::time::sleep(wait)).await;
            (request, upload) = again;
        }
    }

    /// Sends `request` once, or again where certainly nothing of it was worked on.
    async fn attempt(
        &self,
        origin: &Origin,
        mut request: http::Request<Outgoing>,
        uri: &http::Uri,
        upload: &Arc<Upload>,
        timeouts: Timeouts,
    ) -> Outcome {
        let mut resends = 0;
        loop {
            let until = Instant::now() + timeouts.connect;
            let lease = match self.lease(origin, until, resends > 0).await {
                Ok(lease) => lease,
                Err(error) => return Outcome::NotSent(request, error),
            };
            match exchange::run(lease, request, uri, upload, timeouts).await {
                Outcome::NotSent(again, _) if resends < RESENDS_MAX => request = again,
                ended => return ended,
            }
            resends += 1;
        }
    }

    /// Whether the allow list has `origin`, where `what` is to go. Where its name leads is checked as it is connected to.
    fn admit(&self, what: &str, origin: &Origin) -> Result<(), ErrorCode> {
        let allow = &self.connector.allow;
        if allow.allows_url(origin.scheme, &origin.host, origin.port) {
            return Ok(());
        }
        self.connector.denials.tell(what, origin, "no pattern covers it");
        Err(ErrorCode::HttpRequestDenied)
    }

    /// A connection to `origin`: a pooled one, or a new one when there is none or `fresh` asks for one.
    async fn lease(&self, origin: &Origin, until: Instant, fresh: bool) -> Result<Lease, ErrorCode> {
        let shares = self.connector.may_share(origin);
        loop {
            match self.pool.checkout(origin, fresh, shares) {
                Checkout::Lease(Lease::Http1(mut lease)) => {
                    if lease.is_ready().await {
                        return Ok(Lease::Http1(lease));
                    }
                }
                Checkout::Lease(lease) => return Ok(lease),
                Checkout::Open(opening) => {
                    // Apart, since most requests find a connection: what is awaited in place is moved along with them.
                    if let Some(lease) = Box::pin(self.open(origin, opening, until, fresh)).await? {
                        return Ok(lease);
                    }
                }
                Checkout::Wait(opening) => {
                    let ended = before(until, opening.ended(), ErrorCode::ConnectionTimeout);
                    Box::pin(ended).await?;
                }
                Checkout::Refused(error) => return Err(error),
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
        let permit = self.pool.permit(origin, !fresh);
        let Some(permit) = before(until, permit, ErrorCode::ConnectionLimitReached).await?? else {
            return Ok(None);
        };
        let stream = self.connector.connect(origin, Speaks::Any, until).await?;
        let lease = before(until, opening.start(stream, permit), ErrorCode::ConnectionTimeout).await??;
        Ok(Some(lease))
    }
}
