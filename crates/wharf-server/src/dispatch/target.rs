//! What a request is for: whether it says so in one way and once, as HTTP asks for, and what guests are shown of it.
//!
//! Who answers it is found elsewhere (`dispatch.rs`); here it is only seen to that everybody would find the same.

use std::net::SocketAddr;

use http::header::{self, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, StatusCode, Uri, Version};

use crate::forwarded::Known;
use crate::problem::Problem;
use crate::websocket;

/// What a host is that has no name, on a Unix socket.
const NAMELESS: HeaderValue = HeaderValue::from_static("localhost");

/// Sees to it that the request names its origin once (RFC 9112 section 3.2), with the scheme and the host that its client used.
/// `local` is for clients so old that they name none.
pub(super) fn complete<B>(
    request: &mut http::Request<B>,
    known: &Known<'_>,
    local: Option<SocketAddr>,
) -> Result<(), Problem> {
    if request.method() == Method::CONNECT && !websocket::is_extended_connect(request) {
        return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, super::NO_PROXY));
    }
    let version = request.version();
    if version >= Version::HTTP_2 && request.uri().authority().is_some() {
        check_http2(request)?;
    } else {
        if version < Version::HTTP_2 {
            check_target(request.method(), request.uri(), known.is_https())?;
            check_codings(request.headers())?;
        }
        check_host(request, local)?;
    }
    show(request, known);
    Ok(())
}

fn check_host<B>(request: &mut http::Request<B>, local: Option<SocketAddr>) -> Result<(), Problem> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_host(host) => Ok(()),
        (None, _) if request.version() == Version::HTTP_10 => {
            let local = local.and_then(|local| HeaderValue::try_from(local.to_string()).ok());
            request.headers_mut().insert(header::HOST, local.unwrap_or(NAMELESS));
            Ok(())
        }
        (None, _) => Err(Problem::new(StatusCode::BAD_REQUEST, "the request has no Host header")),
        _ => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "the request's Host header is not one host",
        )),
    }
}

/// HTTP/2 names the origin with the request (RFC 9113 section 8.3.1).
fn check_http2<B>(request: &http::Request<B>) -> Result<(), Problem> {
    let bad = |reason| Err(Problem::new(StatusCode::BAD_REQUEST, reason));
    let Some(authority) = request.uri().authority().filter(|authority| is_authority(authority)) else {
        return bad("the request's authority is not one host");
    };
    let host = request.headers().get(header::HOST);
    if host.is_some_and(|host| !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes())) {
        return bad("the request names two hosts");
    }
    // Which of the two it is says the connection: proxies in between write what they like.
    if !matches!(request.uri().scheme_str(), Some("http" | "https")) {
        return bad("the request's scheme is none of this server's");
    }
    check_path(request.method(), request.uri())
}

/// A path, or `*` for OPTIONS.
fn check_path(method: &Method, uri: &Uri) -> Result<(), Problem> {
    match uri.path() {
        "*" if method == Method::OPTIONS => Ok(()),
        path if path.starts_with('/') => Ok(()),
        _ => Err(Problem::new(StatusCode::BAD_REQUEST, "the request's target is none")),
    }
}

/// The forms of a target (RFC 9112 section 3.2): a path, a whole URI, and `*` for OPTIONS.
fn check_target(method: &Method, uri: &Uri, is_https: bool) -> Result<(), Problem> {
    let bad = || Problem::new(StatusCode::BAD_REQUEST, "the request's target is none");
    let own = if is_https { "https" } else { "http" };
    match (uri.scheme_str(), uri.authority()) {
        (None, None) if uri.path().starts_with('/') => Ok(()),
        (None, None) if uri.path() == "*" && method == Method::OPTIONS => Ok(()),
        (Some(scheme), Some(authority)) if scheme == own && is_authority(authority) => Ok(()),
        // It came otherwise, whatever it says, and a guest would believe it (RFC 9110 section 7.4).
        (Some(scheme), _) if scheme != own => Err(Problem::new(
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

/// Writes the scheme and the host of the client's request into this one, where they are others: guests believe them, whatever
/// a proxy has made of them. A request that names no scheme is one of `http`.
fn show<B>(request: &mut http::Request<B>, known: &Known<'_>) {
    let host = known.host().and_then(|host| Authority::try_from(host).ok());
    let host = host.filter(is_authority);
    let scheme = if known.is_https() { Scheme::HTTPS } else { Scheme::HTTP };
    let has_scheme = match request.uri().scheme() {
        Some(has) => *has == scheme,
        None => scheme == Scheme::HTTP,
    };
    if has_scheme && host.is_none() {
        return;
    }
    if let Some(value) = host.as_ref().and_then(|host| HeaderValue::try_from(host.as_str()).ok()) {
        request.headers_mut().insert(header::HOST, value);
    }
    let mut parts = request.uri().clone().into_parts();
    let named = || Authority::try_from(request.headers().get(header::HOST)?.as_bytes()).ok();
    parts.authority = host.or(parts.authority).or_else(named);
    parts.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
    parts.scheme = Some(scheme);
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
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
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    // There may be a colon and nothing after it (RFC 3986 section 3.2.3).
    !host.is_empty() && is_number && (digits.is_empty() || digits.parse::<u16>().is_ok())
}

/// The host that a request is for, without its port. [`complete`] has seen to it that there is one.
pub(super) fn host<B>(request: &http::Request<B>) -> &str {
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

/// The same request by `https`, at this port of the same host (RFC 9110 section 4.2.2).
pub(super) fn secure<B>(request: &http::Request<B>, port: u16) -> Option<HeaderValue> {
    let host = host(request);
    let path = match request.uri().path_and_query().map(PathAndQuery::as_str) {
        Some("*") | None => "/",
        Some(path) => path,
    };
    HeaderValue::try_from(match port {
        443 => format!("https://{host}{path}"),
        port => format!("https://{host}:{port}{path}"),
    })
    .ok()
}
