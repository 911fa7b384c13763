//! A request meets a service; the one place where failures become responses.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::uri::Authority;
use http::{Method, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use wharf_host::http::{ErrorCode, Payload};
use wharf_host::{Failure, Service};

/// Names a failure in the response and in the log.
const ERROR_ID: HeaderName = HeaderName::from_static("wharf-error-id");

/// Answers `request`, whatever happens.
pub(crate) async fn answer(
    service: &Service,
    mut request: http::Request<Incoming>,
    local: SocketAddr,
) -> http::Response<Payload> {
    if let Err(refusal) = complete(&mut request, local) {
        return refused(refusal, request.version());
    }
    let (method, uri) = (request.method().clone(), request.uri().clone());
    match service.handle(request).await {
        Ok(response) if response.status().is_informational() => {
            let failure = Informational(response.status());
            failed(service.name(), &method, uri.path(), StatusCode::BAD_GATEWAY, &failure)
        }
        Ok(response) => fit(&method, response),
        Err(failure) => failed(service.name(), &method, uri.path(), status_of(&failure), &failure),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the guest answered with {0}, which announces a response and is none")]
struct Informational(StatusCode);

/// Sees to it that the request names its origin once (RFC 9112 section 3.2).
fn complete(request: &mut http::Request<Incoming>, local: SocketAddr) -> Result<(), Refusal> {
    if request.method() == Method::CONNECT {
        return Err(Refusal {
            status: StatusCode::NOT_IMPLEMENTED,
            reason: "CONNECT is for proxies",
        });
    }
    let version = request.version();
    // HTTP/2 names it with the request (RFC 9113 section 8.3.1).
    if version >= Version::HTTP_2 && request.uri().authority().is_some() {
        return Ok(());
    }
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_host(host) => Ok(()),
        (None, _) if version == Version::HTTP_10 => {
            if let Ok(local) = HeaderValue::try_from(local.to_string()) {
                request.headers_mut().insert(header::HOST, local);
            }
            Ok(())
        }
        (None, _) => Err(Refusal {
            status: StatusCode::BAD_REQUEST,
            reason: "the request has no Host header",
        }),
        _ => Err(Refusal {
            status: StatusCode::BAD_REQUEST,
            reason: "the request's Host header is not one host",
        }),
    }
}

/// Host and perhaps port, and no user information (RFC 9110 section 7.2).
fn is_host(value: &HeaderValue) -> bool {
    !value.as_bytes().contains(&b'@') && Authority::try_from(value.as_bytes()).is_ok()
}

/// A request that reaches no guest.
struct Refusal {
    status: StatusCode,
    reason: &'static str,
}

fn refused(refusal: Refusal, version: Version) -> http::Response<Payload> {
    let mut response = text(refusal.status, format!("{}: {}\n", refusal.status, refusal.reason));
    if version < Version::HTTP_2 {
        // Whoever sends such a request may mean something else by what follows it.
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Some responses have no body on the wire (RFC 9110 section 6.4.1), whatever the guest writes.
fn fit(method: &Method, response: http::Response<Payload>) -> http::Response<Payload> {
    let status = response.status();
    let bodiless = matches!(
        status,
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
    );
    if method != Method::HEAD && !bodiless {
        return response;
    }
    let (mut head, body) = response.into_parts();
    if let (false, Some(bytes)) = (bodiless, body.size_hint().exact()) {
        head.headers
            .entry(header::CONTENT_LENGTH)
            .or_insert(HeaderValue::from(bytes));
    }
    body.discard();
    http::Response::from_parts(head, Payload::default())
}

/// The table: what a client sees of a failure. 500 means the operator should look, 502 that the component broke, 503 that
/// trying again later helps, 504 that time ran out.
fn status_of(failure: &Failure) -> StatusCode {
    match failure {
        Failure::Guest(code) => status_of_code(code),
        Failure::Trap { .. } | Failure::Exited(_) | Failure::NoResponse | Failure::SharedInstanceEnded { .. } => {
            StatusCode::BAD_GATEWAY
        }
        Failure::ResponseTimeout { .. } | Failure::CpuTime(_) => StatusCode::GATEWAY_TIMEOUT,
        Failure::Busy { .. } => StatusCode::SERVICE_UNAVAILABLE,
        Failure::Instantiate(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// What a guest's `error-code` says of the exchange it stands for: a guest that passes an origin's failure on is a
/// gateway (RFC 9110 section 15.6.3). A guest that finds fault with the request says so in a response.
fn status_of_code(code: &ErrorCode) -> StatusCode {
    match code {
        ErrorCode::ConnectionLimitReached | ErrorCode::DestinationUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::DnsTimeout
        | ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => StatusCode::GATEWAY_TIMEOUT,
        // The component's own fault, or its operator's.
        ErrorCode::InternalError(_)
        | ErrorCode::ConfigurationError
        | ErrorCode::LoopDetected
        | ErrorCode::HttpRequestDenied
        | ErrorCode::HttpRequestLengthRequired
        | ErrorCode::HttpRequestBodySize(_)
        | ErrorCode::HttpRequestMethodInvalid
        | ErrorCode::HttpRequestUriInvalid
        | ErrorCode::HttpRequestUriTooLong
        | ErrorCode::HttpRequestHeaderSectionSize(_)
        | ErrorCode::HttpRequestHeaderSize(_)
        | ErrorCode::HttpRequestTrailerSectionSize(_)
        | ErrorCode::HttpRequestTrailerSize(_) => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorCode::DnsError(_)
        | ErrorCode::DestinationNotFound
        | ErrorCode::DestinationIpProhibited
        | ErrorCode::DestinationIpUnroutable
        | ErrorCode::ConnectionRefused
        | ErrorCode::ConnectionTerminated
        | ErrorCode::TlsProtocolError
        | ErrorCode::TlsCertificateError
        | ErrorCode::TlsAlertReceived(_)
        | ErrorCode::HttpResponseIncomplete
        | ErrorCode::HttpResponseHeaderSectionSize(_)
        | ErrorCode::HttpResponseHeaderSize(_)
        | ErrorCode::HttpResponseBodySize(_)
        | ErrorCode::HttpResponseTrailerSectionSize(_)
        | ErrorCode::HttpResponseTrailerSize(_)
        | ErrorCode::HttpResponseTransferCoding(_)
        | ErrorCode::HttpResponseContentCoding(_)
        | ErrorCode::HttpUpgradeFailed
        | ErrorCode::HttpProtocolError => StatusCode::BAD_GATEWAY,
    }
}

fn failed(
    component: &str,
    method: &Method,
    path: &str,
    status: StatusCode,
    failure: &dyn std::error::Error,
) -> http::Response<Payload> {
    // Unguessable and unlike any other; nothing hangs on more than that.
    let id = format!("{:016x}", RandomState::new().build_hasher().finish());
    tracing::error!(%id, component, %method, path, status = status.as_u16(), %failure, "request failed");
    let mut response = text(status, format!("{status} (error {id})\n"));
    if let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert(ERROR_ID, id);
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn text(status: StatusCode, text: String) -> http::Response<Payload> {
    let mut response = http::Response::new(Payload::from(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}
