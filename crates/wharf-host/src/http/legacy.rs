//! `wasi:http@0.2`, served by `wasmtime-wasi-http` on the same [`HttpClient`] as 0.3.
//!
//! Only what it needs from this host stands here: where outgoing requests go, and how errors are named.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http_body::Frame;
use http_body_util::BodyExt as _;
use tokio::task::unconstrained;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceTable};
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler;
use wasmtime_wasi_http::p2::bindings::http::types as p2;
use wasmtime_wasi_http::p2::body::{HostOutgoingBody, HyperOutgoingBody};
use wasmtime_wasi_http::p2::types::{HostFutureIncomingResponse, HostOutgoingRequest};
use wasmtime_wasi_http::{
    Error, RequestOptions as LegacyOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

use super::{DnsErrorPayload, ErrorCode, FieldSizePayload, HttpClient, RequestOptions, TlsAlertReceivedPayload};
use crate::state::InstanceState;

/// The 0.2 half of an instance's HTTP state.
pub(crate) struct Legacy {
    ctx: WasiHttpCtx,
    hooks: Hooks,
}

impl Legacy {
    pub fn new(client: Option<Arc<dyn HttpClient>>, fields_bytes_max: usize) -> Self {
        let mut ctx = WasiHttpCtx::new();
        ctx.set_field_size_limit(fields_bytes_max);
        Self {
            ctx,
            hooks: Hooks { client },
        }
    }
}

impl WasiHttpView for InstanceState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let legacy = &mut self.http.legacy;
        WasiHttpCtxView {
            hooks: &mut legacy.hooks,
            table: &mut self.table,
            ctx: &mut legacy.ctx,
        }
    }
}

/// Replaces the function that sends a request: Wasmtime's refuses one without a path, which means `/`.
pub(crate) fn link(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut handler = linker.instance("wasi:http/outgoing-handler@0.2.12")?;
    let replaced = handler.func_wrap("handle", handle);
    linker.allow_shadowing(false);
    replaced
}

type Handled = (Result<Resource<HostFutureIncomingResponse>, p2::ErrorCode>,);

fn handle(
    mut store: StoreContextMut<'_, InstanceState>,
    (request, options): (Resource<HostOutgoingRequest>, Option<Resource<LegacyOptions>>),
) -> wasmtime::Result<Handled> {
    let state = store.data_mut();
    let path = &mut state.table.get_mut(&request)?.path_with_query;
    path.get_or_insert_with(|| "/".to_owned());
    Ok((
        match outgoing_handler::Host::handle(&mut state.http(), request, options) {
            Ok(response) => Ok(response),
            Err(error) => Err(error.downcast()?),
        },
    ))
}

struct Hooks {
    client: Option<Arc<dyn HttpClient>>,
}

type Sent = Result<
    (
        http::Response<WasiBody>,
        Box<dyn Future<Output = Result<(), Error>> + Send>,
    ),
    Error,
>;

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<LegacyOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let client = self.client.clone();
        Box::new(async move {
            let client = client.ok_or(Error::HttpRequestDenied)?;
            let request = request.map(|body| body.map_err(|e| error_code(&e)).boxed_unsync());
            let response = client
                .send(request, options.map(translate).unwrap_or_default())
                .await
                .map_err(error)?;
            let nothing: Box<dyn Future<Output = Result<(), Error>> + Send> = Box::new(async { Ok(()) });
            Ok((response.map(|body| body.map_err(error).boxed_unsync()), nothing))
        })
    }

    fn p2_error_from_hyper(&mut self, _: &hyper::Error) -> p2::ErrorCode {
        p2::ErrorCode::ConnectionTerminated
    }
}

/// The body of a 0.2 guest's response. `wasmtime-wasi-http` ends a body alike whether its guest finished it or is gone,
/// and not at all when the guest returned with it unfinished; this one breaks off.
pub(crate) struct Outgoing {
    body: HyperOutgoingBody,
    writing: Arc<Writing>,
}

/// Whether the guest that writes a body is still at it, and whether anybody reads it.
#[derive(Default)]
pub(crate) struct Writing {
    state: AtomicU8,
    reader: AtomicWaker,
    has_reader: AtomicBool,
    writer: AtomicWaker,
}

const AT_WORK: u8 = 0;
const RETURNED: u8 = 1;
const FAILED: u8 = 2;

impl Writing {
    /// The guest will write nothing more: it has returned, or failed.
    pub fn end(&self, failed: bool) {
        self.state
            .store(if failed { FAILED } else { RETURNED }, Ordering::Release);
        self.reader.wake();
    }

    fn state(&self) -> u8 {
        self.state.load(Ordering::Acquire)
    }

    /// The reader has come to the end, of whatever kind, or has gone.
    fn read(&self) {
        self.has_reader.store(false, Ordering::Release);
        self.writer.wake();
    }

    /// Waits until nobody reads the body any more. As long as the store holds an unfinished body, its reader can tell it
    /// from one that ended.
    pub async fn wait_until_read(&self) {
        poll_fn(|cx| {
            self.writer.register(cx.waker());
            match self.has_reader.load(Ordering::Acquire) {
                true => Poll::Pending,
                false => Poll::Ready(()),
            }
        })
        .await;
    }
}

/// Whether a guest that has returned left bodies of its messages unfinished.
pub(crate) fn has_unfinished_bodies(table: &mut ResourceTable) -> bool {
    table.iter_mut().any(|resource| resource.is::<HostOutgoingBody>())
}

impl Outgoing {
    pub fn new(body: HyperOutgoingBody, writing: Arc<Writing>) -> Self {
        writing.has_reader.store(true, Ordering::Release);
        Self { body, writing }
    }

    pub fn failed(&self) -> Option<ErrorCode> {
        (self.writing.state() == FAILED).then_some(ErrorCode::HttpResponseIncomplete)
    }
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = ErrorCode;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        self.writing.reader.register(cx.waker());
        // Asked for before the body is: what the guest had written when it ended is there then.
        let ended = self.writing.state() != AT_WORK;
        let body = &mut self.body;
        // A turn used up would look like a body without an end.
        let frame = std::pin::pin!(unconstrained(poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)))).poll(cx);
        let frame = match frame {
            Poll::Ready(None) => self.failed().map(Err),
            Poll::Pending if ended => Some(Err(ErrorCode::HttpResponseIncomplete)),
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Some(frame)) => Some(frame.map_err(|error| error_code(&error))),
        };
        if !matches!(frame, Some(Ok(_))) {
            self.writing.read();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream() && self.failed().is_none()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.writing.read();
    }
}

fn translate(options: LegacyOptions) -> RequestOptions {
    RequestOptions {
        connect_timeout: options.connect_timeout,
        first_byte_timeout: options.first_byte_timeout,
        between_bytes_timeout: options.between_bytes_timeout,
    }
}

/// The two enumerations have the same cases; their payloads differ in form only.
pub(crate) fn error(code: ErrorCode) -> Error {
    match code {
        ErrorCode::DnsTimeout => Error::DnsTimeout,
        ErrorCode::DnsError(DnsErrorPayload { rcode, info_code }) => Error::DnsError { rcode, info_code },
        ErrorCode::DestinationNotFound => Error::DestinationNotFound,
        ErrorCode::DestinationUnavailable => Error::DestinationUnavailable,
        ErrorCode::DestinationIpProhibited => Error::DestinationIpProhibited,
        ErrorCode::DestinationIpUnroutable => Error::DestinationIpUnroutable,
        ErrorCode::ConnectionRefused => Error::ConnectionRefused,
        ErrorCode::ConnectionTerminated => Error::ConnectionTerminated,
        ErrorCode::ConnectionTimeout => Error::ConnectionTimeout,
        ErrorCode::ConnectionReadTimeout => Error::ConnectionReadTimeout,
        ErrorCode::ConnectionWriteTimeout => Error::ConnectionWriteTimeout,
        ErrorCode::ConnectionLimitReached => Error::ConnectionLimitReached,
        ErrorCode::TlsProtocolError => Error::TlsProtocolError,
        ErrorCode::TlsCertificateError => Error::TlsCertificateError,
        ErrorCode::TlsAlertReceived(TlsAlertReceivedPayload {
            alert_id,
            alert_message,
        }) => Error::TlsAlertReceived {
            alert_id,
            alert_message,
        },
        ErrorCode::HttpRequestDenied => Error::HttpRequestDenied,
        ErrorCode::HttpRequestLengthRequired => Error::HttpRequestLengthRequired,
        ErrorCode::HttpRequestBodySize(size) => Error::HttpRequestBodySize(size),
        ErrorCode::HttpRequestMethodInvalid => Error::HttpRequestMethodInvalid,
        ErrorCode::HttpRequestUriInvalid => Error::HttpRequestUriInvalid,
        ErrorCode::HttpRequestUriTooLong => Error::HttpRequestUriTooLong,
        ErrorCode::HttpRequestHeaderSectionSize(size) => Error::HttpRequestHeaderSectionSize(size),
        ErrorCode::HttpRequestHeaderSize(field) => {
            let FieldSizePayload { field_name, field_size } = field.unwrap_or(FieldSizePayload {
                field_name: None,
                field_size: None,
            });
            Error::HttpRequestHeaderSize { field_name, field_size }
        }
        ErrorCode::HttpRequestTrailerSectionSize(size) => Error::HttpRequestTrailerSectionSize(size),
        ErrorCode::HttpRequestTrailerSize(FieldSizePayload { field_name, field_size }) => {
            Error::HttpRequestTrailerSize { field_name, field_size }
        }
        ErrorCode::HttpResponseIncomplete => Error::HttpResponseIncomplete,
        ErrorCode::HttpResponseHeaderSectionSize(size) => Error::HttpResponseHeaderSectionSize(size),
        ErrorCode::HttpResponseHeaderSize(FieldSizePayload { field_name, field_size }) => {
            Error::HttpResponseHeaderSize { field_name, field_size }
        }
        ErrorCode::HttpResponseBodySize(size) => Error::HttpResponseBodySize(size),
        ErrorCode::HttpResponseTrailerSectionSize(size) => Error::HttpResponseTrailerSectionSize(size),
        ErrorCode::HttpResponseTrailerSize(FieldSizePayload { field_name, field_size }) => {
            Error::HttpResponseTrailerSize { field_name, field_size }
        }
        ErrorCode::HttpResponseTransferCoding(coding) => Error::HttpResponseTransferCoding(coding),
        ErrorCode::HttpResponseContentCoding(coding) => Error::HttpResponseContentCoding(coding),
        ErrorCode::HttpResponseTimeout => Error::HttpResponseTimeout,
        ErrorCode::HttpUpgradeFailed => Error::HttpUpgradeFailed,
        ErrorCode::HttpProtocolError => Error::HttpProtocolError,
        ErrorCode::LoopDetected => Error::LoopDetected,
        ErrorCode::ConfigurationError => Error::ConfigurationError,
        ErrorCode::InternalError(text) => Error::InternalError(text),
    }
}

/// What a 0.2 guest's body can fail with, on its way out.
pub(crate) fn error_code(error: &Error) -> ErrorCode {
    match error {
        Error::HttpRequestBodySize(size) => ErrorCode::HttpRequestBodySize(*size),
        Error::HttpResponseBodySize(size) => ErrorCode::HttpResponseBodySize(*size),
        Error::ConnectionTerminated => ErrorCode::ConnectionTerminated,
        Error::HttpProtocolError => ErrorCode::HttpProtocolError,
        other => ErrorCode::InternalError(Some(format!("{other:?}"))),
    }
}
