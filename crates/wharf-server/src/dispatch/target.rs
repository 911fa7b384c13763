//! What a request is for: whether it says so in one way and once, as HTTP asks for.
//!
//! Who answers it is found elsewhere (`dispatch.rs`); here it is only seen to that everybody would find the same.

use std::net::SocketAddr;

use http::header::{self, HeaderValue};
use http::uri::Authority;
use http::{Method, StatusCode, Version};
use hyper::body::Incoming;

use crate::problem::Problem;

/// Sees to it that the request names its origin once (RFC 9112 section 3.2).
pub(super) fn complete(request: &mut http::Request<Incoming>, local: SocketAddr) -> Result<(), Problem> {
    if request.method() == Method::CONNECT {
        return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, "CONNECT is for proxies"));
    }
    let version = request.version();
    if version >= Version::HTTP_2 && request.uri().authority().is_some() {
        return complete_http2(request);
    }
    if version < Version::HTTP_2 {
        check_target(request.method(), request.uri())?;
        check_codings(request.headers())?;
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
        (None, _) => Err(Problem::new(StatusCode::BAD_REQUEST, "the request has no Host header")),
        _ => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "the request's Host header is not one host",
        )),
    }
}

/// HTTP/2 names the origin with the request (RFC 9113 section 8.3.1). What came in the clear is `http`, whatever a proxy has
/// made of it: a guest would believe the scheme.
fn complete_http2(request: &mut http::Request<Incoming>) -> Result<(), Problem> {
    let bad = |reason| Err(Problem::new(StatusCode::BAD_REQUEST, reason));
    let mut uri = request.uri().clone().into_parts();
    let Some(authority) = uri.authority.as_ref().filter(|authority| is_authority(authority)) else {
        return bad("the request's authority is not one host");
    };
    let host = request.headers().get(header::HOST);
    if host.is_some_and(|host| !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes())) {
        return bad("the request names two hosts");
    }
    match uri.scheme.as_ref().map(http::uri::Scheme::as_str) {
        Some("http") => return check_path(request.method(), request.uri()),
        Some("https") => uri.scheme = Some(http::uri::Scheme::HTTP),
        _ => return bad("the request's scheme is none of this server's"),
    }
    if let Ok(uri) = http::Uri::from_parts(uri) {
        *request.uri_mut() = uri;
    }
    check_path(request.method(), request.uri())
}

/// A path, or `*` for OPTIONS.
fn check_path(method: &Method, uri: &http::Uri) -> Result<(), Problem> {
    match uri.path() {
        "*" if method == Method::OPTIONS => Ok(()),
        path if path.starts_with('/') => Ok(()),
        _ => Err(Problem::new(StatusCode::BAD_REQUEST, "the request's target is none")),
    }
}

/// The forms of a target (RFC 9112 section 3.2): a path, a whole URI, and `*` for OPTIONS.
fn check_target(method: &Method, uri: &http::Uri) -> Result<(), Problem> {
    let bad = || Problem::new(StatusCode::BAD_REQUEST, "the request's target is none");
    match (uri.scheme_str(), uri.authority()) {
        (None, None) if uri.path().starts_with('/') => Ok(()),
        (None, None) if uri.path() == "*" && method == Method::OPTIONS => Ok(()),
        (Some("http"), Some(authority)) if is_authority(authority) => Ok(()),
        // It came in the clear, whatever it says, and a guest would believe it (RFC 9110 section 7.4).
        (Some(scheme), _) if scheme != "http" => Err(Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "this server does not answer for this scheme",
        )),
        _ => Err(bad()),
    }
}

/// hyper takes content in chunks whatever is below them, and guests would take that for the content (RFC 9112 section
/// 6.1).
fn check_codings(headers: &http::HeaderMap) -> Result<(), Problem> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(Problem::new(
            StatusCode::NOT_IMPLEMENTED,
            "the only transfer coding here is chunked, once",
        )),
    }
}

fn is_host(value: &HeaderValue) -> bool {
    Authority::try_from(value.as_bytes()).is_ok_and(|authority| is_authority(&authority))
}

/// Host and perhaps port, and no user information (RFC 9110 section 7.2). The `http` crate takes any word for a port.
fn is_authority(authority: &Authority) -> bool {
    let host = authority.host();
    let Some(port) = authority.as_str().strip_prefix(host) else {
        return false;
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    !host.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The host that a request is for, without its port. [`complete`] has seen to it that there is one.
pub(super) fn host(request: &http::Request<Incoming>) -> &str {
    if let Some(authority) = request.uri().authority() {
        return authority.host();
    }
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    without_port(host.unwrap_or_default())
}

fn without_port(host: &str) -> &str {
    // The colons of an IPv6 address stand in brackets.
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    }
}
