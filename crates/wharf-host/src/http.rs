//! `wasi:http@0.3` for guests, on the types of the `http` crate.
//!
//! The interface's functions are in `http/host.rs`, bodies in `http/body.rs` and the folder beside it. Who opens connections for outgoing
//! requests is decided by the [`HttpClient`] an instance was admitted with; this module opens none.

pub(crate) mod bindings;
pub(crate) mod body;
pub(crate) mod callers;
pub(crate) mod fields;
pub(crate) mod host;
pub(crate) mod legacy;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::limits::{Ledger, Limits, OpenedSocketsReached};
pub use body::{Payload, broken_off};
use callers::Callers;

pub use bindings::wasi::http::types::{DnsErrorPayload, ErrorCode, FieldSizePayload, TlsAlertReceivedPayload};

/// A body on either side of an outgoing call. Its error is what the guest sees.
pub type Body = UnsyncBoxBody<Bytes, ErrorCode>;

/// The timeouts of one outgoing request (`wasi:http/types.request-options`); `None` means the client's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestOptions {
    /// Until the connection stands, TLS included.
    pub connect_timeout: Option<Duration>,
    /// From the request's head being sent to the response's head.
    pub first_byte_timeout: Option<Duration>,
    /// Between two pieces of the response's body.
    pub between_bytes_timeout: Option<Duration>,
}

/// Sends a guest's outgoing requests (`wasi:http/client`).
pub trait HttpClient: Send + Sync + 'static {
    /// Sends `request`, whose URI has scheme and authority, and answers with the response's head and streaming body.
    ///
    /// Dropping the future, or the response's body before its end, closes the exchange with the origin.
    fn send(&self, request: http::Request<Body>, options: RequestOptions) -> Sending;

    /// Asks the origin, on a connection of its own, to speak another protocol on it (RFC 9110 section 7.8): the request's fields
    /// say which. Nothing is reached that [`HttpClient::send`] would not reach.
    ///
    /// Dropping the future, or what it gives, closes the connection. A client that knows no upgrades denies them.
    fn upgrade(&self, request: http::Request<()>, options: RequestOptions) -> Upgrading {
        let _ = (request, options);
        Box::pin(async { Err(ErrorCode::HttpRequestDenied) })
    }
}

/// The answer to an upgrade, to come.
pub type Upgrading = Pin<Box<dyn Future<Output = Result<Upgraded, ErrorCode>> + Send>>;

/// The answer to an upgrade.
pub struct Upgraded {
    /// The response's head.
    pub head: http::Response<()>,
    /// The connection, where the response is 101.
    pub stream: Option<Box<dyn Duplex>>,
}

/// Bytes both ways.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// The response to an outgoing request, to come.
pub type Sending = Pin<Box<dyn Future<Output = Result<http::Response<Body>, ErrorCode>> + Send>>;

/// What an instance keeps for its HTTP functions.
pub(crate) struct HttpState {
    pub client: Option<Arc<dyn HttpClient>>,
    pub fields_bytes_max: usize,
    pub ledger: Arc<Ledger>,
    pub legacy: legacy::Legacy,
    /// For WebSockets that the guest opens.
    pub limits: Arc<Limits>,
    pub sockets_reached: Arc<OpenedSocketsReached>,
    /// The clients a shared instance works for.
    pub callers: Option<Callers>,
}

impl HttpState {
    pub fn new(
        client: Option<Arc<dyn HttpClient>>,
        limits: &Arc<Limits>,
        sockets_reached: &Arc<OpenedSocketsReached>,
    ) -> Self {
        let legacy = legacy::Legacy::new(client.clone(), limits.fields_bytes_max);
        Self {
            client,
            fields_bytes_max: limits.fields_bytes_max,
            ledger: Arc::new(Ledger::new(limits)),
            legacy,
            limits: limits.clone(),
            sockets_reached: sockets_reached.clone(),
            callers: None,
        }
    }
}
