//! Where a request goes: scheme, host and port. Connections are shared by requests with the same origin.

use std::fmt;

use http::Uri;
use http::uri::Authority;
use wharf_host::http::ErrorCode;

use crate::allow::{Host, Scheme};

/// Scheme, host and port of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    pub scheme: Scheme,
    pub host: Host,
    pub port: u16,
}

impl Origin {
    /// The origin of an absolute URI.
    ///
    /// # Errors
    /// `HTTP-request-URI-invalid` when a part is missing, is not what the pattern language calls a host, or holds a
    /// user name, which clients must not send (RFC 9110, 4.2.4). `HTTP-protocol-error` for a scheme of another
    /// protocol.
    pub(super) fn of(uri: &Uri) -> Result<Self, ErrorCode> {
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(ErrorCode::HttpRequestUriInvalid);
        };
        let scheme = Scheme::parse(scheme).ok_or(ErrorCode::HttpProtocolError)?;
        let (host, port) = split(authority).ok_or(ErrorCode::HttpRequestUriInvalid)?;
        let host = Host::parse(host).ok_or(ErrorCode::HttpRequestUriInvalid)?;
        Ok(Self {
            scheme,
            host,
            port: port.unwrap_or(scheme.default_port()),
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

/// Host and port. `None` for a port that is none, which `Authority::port_u16` reads as if there was no port.
fn split(authority: &Authority) -> Option<(&str, Option<u16>)> {
    let text = authority.as_str();
    match text.rsplit_once(':') {
        _ if text.contains('@') => None,
        Some((host, "")) if !text.ends_with("]") => Some((host, None)),
        Some((host, digits)) if !text.ends_with("]") => match digits.parse::<u16>() {
            Ok(port) if port != 0 && port.to_string() == digits => Some((host, Some(port))),
            _ => None,
        },
        _ => Some((text, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_read_from_absolute_uris() {
        #[track_caller]
        fn check(uri: &str, expected: Option<&str>) {
            let origin = uri.parse::<Uri>().ok().and_then(|uri| Origin::of(&uri).ok());
            assert_eq!(origin.map(|origin| origin.to_string()).as_deref(), expected, "{uri}");
        }
        check("http://example.com/", Some("http://example.com:80"));
        check("https://example.com/a?b", Some("https://example.com:443"));
        check("HTTPS://Example.COM.:8443/", Some("https://example.com:8443"));
        check("http://example.com:/", Some("http://example.com:80"));
        check("http://127.0.0.1:8080/", Some("http://127.0.0.1:8080"));
        check("http://[::1]/", Some("http://[::1]:80"));
        check("http://[::1]:8080/", Some("http://[::1]:8080"));
        check("http://[::ffff:127.0.0.1]:8080/", Some("http://127.0.0.1:8080"));
        check("/path", None);
        check("ftp://example.com/", None);
        check("http://user@example.com/", None);
        check("http://example.com:80@evil.test/", None);
        check("http://example.com:99999/", None);
        check("http://example.com:0/", None);
        check("http://example.com:+80/", None);
        check("http://0177.0.0.1/", None);
        check("http://2130706433/", None);
        check("http://a..b/", None);
    }
}
