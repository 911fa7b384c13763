//! A proxy between guests and origins: which requests go through it, and how one gets to an origin behind it.
//!
//! Where a request may go is decided before, in `connect.rs`: a proxy changes the way, not the policy. The proxy's own
//! address is the operator's word and needs no grant; guests do not reach it by it.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use wharf_host::http::ErrorCode;

use super::failure;
use super::origin::Origin;
use crate::allow::{AllowList, Host, Scheme};

/// How large the head of a proxy's answer may be.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Who looks up the names of origins behind a proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lookup {
    /// Wharf does, checks the addresses, and asks the proxy for a tunnel to one of them: where a name leads cannot change
    /// between the check and the connection.
    #[default]
    Here,
    /// The proxy does. Wharf checks names, and addresses that a guest itself names; what the proxy reaches through a
    /// name is for the proxy to limit.
    Proxy,
}

/// A proxy for outgoing requests.
#[derive(Clone)]
pub struct Proxy {
    pub(super) origin: Origin,
    except: AllowList,
    pub(super) lookup: Lookup,
    authorization: Option<HeaderValue>,
}

/// Text that is not the URL of a proxy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// Another scheme, no host, a path, or a user name.
    #[error("`{0}` is not the URL of a proxy: write http://HOST:PORT, without a path and without a user name")]
    Url(String),
    /// A colon would end the user name (RFC 7617, 2), and control characters have no place in either.
    #[error(
        "the user name or the password of the proxy has characters that cannot be sent: control characters, or a colon in the name"
    )]
    Credentials,
}

impl Proxy {
    /// The proxy at `url`, for all requests but those that `except` covers.
    ///
    /// # Errors
    /// When `url` is not `http://HOST:PORT`; the port may be left out, and is 80 then.
    pub fn new(url: &str, except: AllowList, lookup: Lookup) -> Result<Self, ProxyError> {
        let wrong = || ProxyError::Url(without_user(url));
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let origin = Origin::of(&uri).map_err(|_| wrong())?;
        if origin.scheme != Scheme::Http || uri.path() != "/" || uri.query().is_some() {
            return Err(wrong());
        }
        Ok(Self {
            origin,
            except,
            lookup,
            authorization: None,
        })
    }

    /// Says who asks, in the scheme `Basic` (RFC 7617).
    ///
    /// # Errors
    /// When one of the two cannot be sent.
    pub fn with_credentials(mut self, user: &str, password: &str) -> Result<Self, ProxyError> {
        if user.contains(':') || user.chars().chain(password.chars()).any(char::is_control) {
            return Err(ProxyError::Credentials);
        }
        let encoded = BASE64_STANDARD.encode(format!("{user}:{password}"));
        let mut value = HeaderValue::try_from(format!("Basic {encoded}")).map_err(|_| ProxyError::Credentials)?;
        value.set_sensitive(true);
        self.authorization = Some(value);
        Ok(self)
    }

    /// Whether requests to `origin` go through it.
    pub(super) fn is_for(&self, origin: &Origin) -> bool {
        !self.except.allows_url(origin.scheme, &origin.host, origin.port)
    }

    /// How requests are written on a connection to the proxy that is no tunnel.
    pub(super) fn forwarding(&self) -> Forwarding {
        Forwarding {
            authorization: self.authorization.clone(),
        }
    }

    /// Makes `tcp`, which leads to the proxy, lead to `target` (RFC 9110, 9.3.6).
    pub(super) async fn tunnel(&self, tcp: TcpStream, target: &str) -> Result<TcpStream, ErrorCode> {
        let mut builder = http1::Builder::new();
        builder.max_header_size(HEAD_BYTES_MAX).max_buf_size(HEAD_BYTES_MAX);
        let opened = builder.handshake(TokioIo::new(tcp)).await;
        let (mut sender, connection) = opened.map_err(|error| self.broke_off(&error))?;
        let request = self.connect_request(target)?;
        // In this task: whoever gives the request up gives the tunnel up.
        let talk = async move {
            let mut response = sender
                .send_request(request)
                .await
                .map_err(|error| self.broke_off(&error))?;
            if !response.status().is_success() {
                return Err(self.refused(response.status(), target));
            }
            let upgraded = hyper::upgrade::on(&mut response).await;
            let upgraded = upgraded.map_err(|error| self.broke_off(&error))?;
            let parts = upgraded
                .downcast::<TokioIo<TcpStream>>()
                .map_err(|_| ErrorCode::InternalError(None))?;
            // Neither TLS nor HTTP begins with the server.
            let begins = parts.read_buf.is_empty();
            begins
                .then(|| parts.io.into_inner())
                .ok_or(ErrorCode::HttpProtocolError)
        };
        tokio::join!(connection.with_upgrades(), talk).1
    }

    fn connect_request(&self, target: &str) -> Result<Request<Empty<Bytes>>, ErrorCode> {
        let mut request = Request::new(Empty::new());
        *request.method_mut() = Method::CONNECT;
        *request.uri_mut() = target.parse().map_err(|_| ErrorCode::HttpRequestUriInvalid)?;
        let host = HeaderValue::try_from(target).map_err(|_| ErrorCode::HttpRequestUriInvalid)?;
        request.headers_mut().insert(header::HOST, host);
        if let Some(authorization) = &self.authorization {
            request
                .headers_mut()
                .insert(header::PROXY_AUTHORIZATION, authorization.clone());
        }
        Ok(request)
    }

    /// It could not be connected to.
    pub(super) fn unreachable(&self, error: &dyn fmt::Display) -> ErrorCode {
        tracing::warn!(proxy = %self.origin, %error, "the proxy for outgoing requests cannot be reached");
        ErrorCode::DestinationUnavailable
    }

    fn broke_off(&self, error: &hyper::Error) -> ErrorCode {
        tracing::warn!(proxy = %self.origin, error = error as &dyn std::error::Error, "the proxy for outgoing requests broke off");
        match failure::of_opening(error) {
            ErrorCode::ConnectionTerminated => ErrorCode::DestinationUnavailable,
            code => code,
        }
    }

    /// It answered, and did not make the tunnel.
    fn refused(&self, status: StatusCode, target: &str) -> ErrorCode {
        tracing::warn!(proxy = %self.origin, %status, target, "the proxy for outgoing requests refused");
        match status {
            StatusCode::FORBIDDEN => ErrorCode::HttpRequestDenied,
            StatusCode::GATEWAY_TIMEOUT => ErrorCode::ConnectionTimeout,
            // Some answer 401 to a wrong password.
            StatusCode::PROXY_AUTHENTICATION_REQUIRED
            | StatusCode::UNAUTHORIZED
            | StatusCode::BAD_REQUEST
            | StatusCode::METHOD_NOT_ALLOWED => ErrorCode::ConfigurationError,
            _ => ErrorCode::DestinationUnavailable,
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

/// On a connection that leads to a proxy and through which cleartext requests of one origin go.
#[derive(Clone, Debug)]
pub(super) struct Forwarding {
    /// What each request says of who asks.
    pub authorization: Option<HeaderValue>,
}

/// Host and port, as a tunnel is asked for.
pub(super) fn target(host: &Host, port: u16) -> String {
    format!("{host}:{port}")
}

/// A URL as it may stand in a message: a password is not repeated.
fn without_user(url: &str) -> String {
    match url.rsplit_once('@') {
        Some((_, rest)) => format!("...@{rest}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_proxies() {
        #[track_caller]
        fn check(url: &str, expected: Option<&str>) {
            let proxy = Proxy::new(url, AllowList::default(), Lookup::Here);
            let origin = proxy.as_ref().ok().map(|proxy| proxy.origin.to_string());
            assert_eq!(origin.as_deref(), expected, "{url}");
        }
        check("http://proxy.test:3128", Some("http://proxy.test:3128"));
        check("http://proxy.test:3128/", Some("http://proxy.test:3128"));
        check("http://10.0.0.1", Some("http://10.0.0.1:80"));
        check("http://[::1]:3128", Some("http://[::1]:3128"));
        check("https://proxy.test:3128", None);
        check("socks5://proxy.test", None);
        check("proxy.test:3128", None);
        check("http://proxy.test/path", None);
        check("http://proxy.test/?query", None);
        check("", None);
    }

    #[test]
    fn a_password_is_not_repeated() {
        let error = Proxy::new("http://wharf:geheim@proxy.test", AllowList::default(), Lookup::Here).unwrap_err();
        assert!(!error.to_string().contains("geheim"), "{error}");
        let proxy = Proxy::new("http://proxy.test", AllowList::default(), Lookup::Here).unwrap();
        let proxy = proxy.with_credentials("wharf", "geheim").unwrap();
        let said = format!("{proxy:?} {:?}", proxy.forwarding());
        assert!(
            !said.contains("geheim") && !said.contains(&BASE64_STANDARD.encode("wharf:geheim")),
            "{said}"
        );
    }

    #[test]
    fn credentials_that_cannot_be_sent() {
        let proxy = Proxy::new("http://proxy.test", AllowList::default(), Lookup::Here).unwrap();
        for (user, password) in [("a:b", "c"), ("a\r\nx: y", "c"), ("a", "c\n")] {
            let answer = proxy.clone().with_credentials(user, password);
            assert_eq!(answer.err(), Some(ProxyError::Credentials), "{user:?} {password:?}");
        }
    }
}
