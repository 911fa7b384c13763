//! Which pages may open WebSockets: browsers send a user's cookies along whichever page asks, and let every page read what comes.
//!
//! A browser says in `Origin` which page asks (RFC 6455 section 10.2); other clients send none, and could send anything.

use std::str::FromStr;

/// Origins whose pages may connect, beside the server's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(Vec<Origin>);

/// One of them, or several that are written as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(Allowed);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Allowed {
    Any,
    /// `https://app.example.com`, in lower case and without the scheme's own port.
    One(String),
    /// `https://*.example.com`: what stands before the star, and after it.
    Below {
        scheme: String,
        rest: String,
    },
}

impl Origins {
    /// Whether the page of `origin`, as its browser says it, may connect to `host`, as it was asked for.
    pub fn allow(&self, origin: &str, host: &str) -> bool {
        let origin = normal(origin);
        is_own(&origin, host) || self.0.iter().any(|Origin(allowed)| allowed.allows(&origin))
    }
}

impl FromIterator<Origin> for Origins {
    fn from_iter<I: IntoIterator<Item = Origin>>(origins: I) -> Self {
        Self(origins.into_iter().collect())
    }
}

impl FromStr for Origin {
    type Err = NotAnOrigin;

    /// `SCHEME://HOST`, `SCHEME://*.HOST`, either with a port; or `*` for all.
    fn from_str(written: &str) -> Result<Self, NotAnOrigin> {
        Allowed::parse(written).map(Self).ok_or(NotAnOrigin)
    }
}

/// A text is no origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an origin: expected `SCHEME://HOST`, `SCHEME://*.HOST`, with `:PORT` or without, or `*` for all")]
pub struct NotAnOrigin;

/// Whether the page is of the host that was asked. Its scheme is not compared: who is in front of the server may have taken off
/// what made it `https`, and no stranger's page gets to speak for the host by either.
fn is_own(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else {
        return false;
    };
    !authority.is_empty() && without_usual_port(scheme, &host.to_ascii_lowercase()) == authority
}

impl Allowed {
    fn parse(written: &str) -> Option<Self> {
        if written == "*" {
            return Some(Self::Any);
        }
        let origin = normal(written);
        let (scheme, authority) = origin.split_once("://")?;
        let host = authority.strip_prefix("*.").unwrap_or(authority);
        let is_of_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        let is_scheme = !scheme.is_empty() && scheme.bytes().all(is_of_scheme);
        // A name, an address, or an address of IPv6 in brackets, and perhaps a port.
        let is_of_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        let is_host = !host.is_empty() && !host.starts_with(':') && host.bytes().all(is_of_host);
        if !is_scheme || !is_host {
            return None;
        }
        Some(match authority.strip_prefix('*') {
            Some(rest) => Self::Below {
                scheme: scheme.to_owned(),
                rest: rest.to_owned(),
            },
            None => Self::One(origin),
        })
    }

    fn allows(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::One(one) => one == origin,
            Self::Below { scheme, rest } => {
                let authority = origin
                    .strip_prefix(scheme.as_str())
                    .and_then(|rest| rest.strip_prefix("://"));
                let name = authority.and_then(|authority| authority.strip_suffix(rest.as_str()));
                name.is_some_and(|name| !name.is_empty())
            }
        }
    }
}

/// In lower case, and without the port that is the scheme's own.
fn normal(origin: &str) -> String {
    let origin = origin.to_ascii_lowercase();
    match origin.split_once("://") {
        Some((scheme, authority)) => format!("{scheme}://{}", without_usual_port(scheme, authority)),
        None => origin,
    }
}

fn without_usual_port<'a>(scheme: &str, authority: &'a str) -> &'a str {
    let usual = match scheme {
        "http" | "ws" => ":80",
        "https" | "wss" => ":443",
        _ => return authority,
    };
    authority.strip_suffix(usual).unwrap_or(authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(allowed: &[&str], origin: &str, host: &str, expected: bool) {
        let origins: Origins = allowed
            .iter()
            .map(|written| written.parse::<Origin>().unwrap())
            .collect();
        assert_eq!(
            origins.allow(origin, host),
            expected,
            "{origin} at {host} with {allowed:?}"
        );
    }

    #[test]
    fn the_servers_own_pages_connect() {
        check(&[], "https://a.test", "a.test", true);
        check(&[], "http://A.test:80", "a.test", true);
        check(&[], "http://a.test", "a.test:80", true);
        check(&[], "http://a.test:8080", "a.test:8080", true);
        check(&[], "http://[::1]:8080", "[::1]:8080", true);
        check(&[], "http://a.test:8080", "a.test", false);
        check(&[], "https://b.test", "a.test", false);
        check(&[], "https://a.test.b.test", "a.test", false);
        check(&[], "https://x.a.test", "a.test", false);
        check(&[], "null", "a.test", false);
        check(&[], "", "a.test", false);
    }

    #[test]
    fn others_connect_where_they_are_named() {
        let named = ["https://b.test", "https://*.c.test", "http://d.test:8080"];
        check(&named, "https://b.test", "a.test", true);
        check(&named, "https://B.test:443", "a.test", true);
        check(&named, "http://b.test", "a.test", false);
        check(&named, "https://x.b.test", "a.test", false);
        check(&named, "https://x.c.test", "a.test", true);
        check(&named, "https://x.y.c.test", "a.test", true);
        check(&named, "https://c.test", "a.test", false);
        check(&named, "https://.c.test", "a.test", false);
        check(&named, "https://xc.test", "a.test", false);
        check(&named, "http://d.test:8080", "a.test", true);
        check(&named, "http://d.test", "a.test", false);
        check(&named, "https://a.test", "a.test", true);
        check(&["*"], "null", "a.test", true);
    }

    #[test]
    fn what_is_no_origin_is_said() {
        let all = [
            "b.test",
            "https://",
            "https://b.test/",
            "https://u@b.test",
            "https://*",
            "https://a.*.test",
            "null",
            "",
        ];
        for wrong in all {
            assert_eq!(wrong.parse::<Origin>(), Err(NotAnOrigin), "{wrong}");
        }
    }
}
