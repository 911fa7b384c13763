//! The heads of requests, made fit for the protocol that they are sent in.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, Uri, Version};
use http_body::Body as _;

use super::Outgoing;
use crate::http_client::proxy::Forwarding;

/// Makes `request` one of HTTP/1.1: origin form, `Host`, and a body whose end the origin can tell.
pub(super) fn fit_http1(request: &mut Request<Outgoing>, uri: &Uri) {
    *request.version_mut() = Version::HTTP_11;
    let path = uri
        .path_and_query()
        .cloned()
        .unwrap_or_else(|| PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(path);
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let trailers = request.headers().contains_key(header::TRAILER);
    let body = request.body_mut();
    // Trailers that were not announced cannot be sent, so without them a body without data ends here.
    body.ends_with_head = body.size_hint().exact() == Some(0) && !trailers;
    let empty = body.is_end_stream();
    // A known length is announced, unless that would leave no place for trailers.
    let chunked = !empty && body.declared.is_none() && (trailers || body.size_hint().exact().is_none());
    let expects_body = matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH);
    let headers = request.headers_mut();
    // An authority is made of characters that a field may hold.
    if let Ok(host) = HeaderValue::from_str(authority) {
        headers.insert(header::HOST, host);
    }
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
    if chunked {
        headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    } else if empty && expects_body {
        // Some origins refuse these methods without a length (RFC 9110, 8.6).
        headers
            .entry(header::CONTENT_LENGTH)
            .or_insert(HeaderValue::from_static("0"));
    }
}

/// Makes `request`, which is one of HTTP/1.1, one for a proxy: absolute form (RFC 9112, 3.2.2), and who asks.
pub(super) fn fit_proxy(request: &mut Request<Outgoing>, uri: &Uri, forwarding: &Forwarding) {
    *request.uri_mut() = uri.clone();
    if let Some(authorization) = &forwarding.authorization {
        let headers = request.headers_mut();
        headers.insert(header::PROXY_AUTHORIZATION, authorization.clone());
    }
}

/// Makes `request` one of HTTP/2: absolute form, and no field that concerns a connection.
pub(super) fn fit_http2(request: &mut Request<Outgoing>, uri: &Uri) {
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = uri.clone();
    request.body_mut().ends_with_head = false;
    let headers = request.headers_mut();
    for name in [
        header::HOST,
        header::CONNECTION,
        header::TRANSFER_ENCODING,
        header::PROXY_AUTHORIZATION,
    ] {
        headers.remove(name);
    }
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
}

/// Fields that concern one connection only (RFC 9110, 7.6.1): ours say what they must, and a response's were for us.
const HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

pub(in crate::http_client) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let listed: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in listed.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}
