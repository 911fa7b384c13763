//! What a route may say: a host, the beginning of a path, methods; and when two routes overlap.
//!
//! Pure text. Which route answers a request, and how a request's path is brought to its normal form, is up to
//! `wharf-server`; where a route is written, to [`crate::manifest`].

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// Which requests a route answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutePattern {
    /// Who was asked.
    pub host: HostPattern,
    /// A prefix by segments: `/api` answers `/api` and `/api/users` and not `/apiary`. Without a slash at its end, but
    /// for `/`, which answers everything.
    pub path: String,
    /// `None` means all. `GET` answers `HEAD` as well (RFC 9110 section 9.3.2).
    pub methods: Option<BTreeSet<String>>,
}

/// The hosts that a route answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostPattern {
    /// Every host that no other route names.
    #[default]
    Any,
    /// This one, in lower case and without a dot at its end; an IPv6 address in brackets.
    Exact(String),
    /// All names below this one, at any depth, and not the name itself: `example.com` for `*.example.com`.
    Wildcard(String),
}

impl RoutePattern {
    /// Every request.
    pub fn any() -> Self {
        Self {
            host: HostPattern::Any,
            path: "/".to_owned(),
            methods: None,
        }
    }

    /// Whether a request may be meant for both, so that neither is the more specific one.
    pub fn overlaps(&self, other: &Self) -> bool {
        let share_methods = || match (&self.methods, &other.methods) {
            (Some(own), Some(others)) => answered(own).any(|method| takes(others, method)),
            _ => true,
        };
        self.host == other.host && self.path == other.path && share_methods()
    }
}

/// The methods that a route of these methods answers.
pub fn answered(methods: &BTreeSet<String>) -> impl Iterator<Item = &str> {
    let head = takes(methods, "HEAD") && !methods.contains("HEAD");
    methods.iter().map(String::as_str).chain(head.then_some("HEAD"))
}

/// Whether a route of these methods answers `method`: HEAD asks for what GET would say (RFC 9110 section 9.3.2).
pub fn takes(methods: &BTreeSet<String>, method: &str) -> bool {
    methods.contains(method) || (method == "HEAD" && methods.contains("GET"))
}

impl fmt::Display for RoutePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(methods) = &self.methods {
            let methods: Vec<&str> = methods.iter().map(String::as_str).collect();
            write!(f, "{} ", methods.join(", "))?;
        }
        write!(f, "{}{}", self.host, self.path)
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => Ok(()),
            Self::Exact(host) => f.write_str(host),
            Self::Wildcard(domain) => write!(f, "*.{domain}"),
        }
    }
}

/// Text is no pattern of hosts. Each says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Nothing at all.
    #[error("a host has a name; leave `host` out to answer every host")]
    Empty,
    /// `http://` before it.
    #[error("a host is written without its scheme, such as example.com")]
    Scheme,
    /// Something after a slash.
    #[error("a host has no path; write that as `path`")]
    Path,
    /// A port after it.
    #[error("a host is written without its port: a route answers on every address that the server listens on")]
    Port,
    /// An IPv6 address that is not in brackets, or none in brackets.
    #[error("an IPv6 address is written in brackets, such as [::1]")]
    Ipv6,
    /// A star that does not stand for the first labels.
    #[error("`*` stands for the first labels of a name, as in *.example.com; leave `host` out to answer every host")]
    Star,
    /// A letter that the name system does not have.
    #[error("`{0}` has letters beyond ASCII; write the name as browsers send it, with labels that begin with xn--")]
    NotAscii(String),
    /// Not the name of a host.
    #[error("`{0}` is not the name of a host: labels of letters, digits and hyphens, joined by dots")]
    Name(String),
}

impl FromStr for HostPattern {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        if text.is_empty() {
            return Err(HostError::Empty);
        }
        if text.contains("://") {
            return Err(HostError::Scheme);
        }
        if text.contains('/') {
            return Err(HostError::Path);
        }
        if let Some(rest) = text.strip_prefix('[') {
            return bracketed(rest);
        }
        if text.parse::<Ipv6Addr>().is_ok() {
            return Err(HostError::Ipv6);
        }
        if text.contains(':') {
            return Err(HostError::Port);
        }
        match text.strip_prefix("*.") {
            Some(domain) => name(domain).map(Self::Wildcard),
            None => name(text).map(Self::Exact),
        }
    }
}

/// An IPv6 address, in the one form that RFC 5952 gives it.
fn bracketed(rest: &str) -> Result<HostPattern, HostError> {
    let (address, after) = rest.split_once(']').ok_or(HostError::Ipv6)?;
    let address: Ipv6Addr = address.parse().map_err(|_| HostError::Ipv6)?;
    match after {
        "" => Ok(HostPattern::Exact(format!("[{address}]"))),
        _ => Err(HostError::Port),
    }
}

fn name(text: &str) -> Result<String, HostError> {
    if text.contains('*') {
        return Err(HostError::Star);
    }
    if !text.is_ascii() {
        return Err(HostError::NotAscii(text.to_owned()));
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    // RFC 1035 section 2.3.4. Underscores are in the names of many inner networks.
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    match name.len() <= 253 && name.split('.').all(is_label) {
        true => Ok(name.to_ascii_lowercase()),
        false => Err(HostError::Name(text.to_owned())),
    }
}

/// Text is no prefix of paths. Each says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// No slash at its beginning.
    #[error("a path begins with `/`")]
    Relative,
    /// A query or a fragment.
    #[error("a path has no query and no fragment: leave out `{0}` and what follows it")]
    Query(char),
    /// A star.
    #[error("a path is a prefix by itself, /api answers /api/users; leave `*` out")]
    Star,
    /// `.` or `..`.
    #[error("a path has no `.` and no `..`; write where it leads")]
    Dots,
    /// Two slashes in a row.
    #[error("a path has no empty segments; write one `/`")]
    EmptySegment,
    /// A character that is not in URLs.
    #[error("`{0}` is not in the paths of requests as it is; write it percent-encoded")]
    Character(char),
    /// A percent sign that begins no escape.
    #[error("`%` begins an escape of two hexadecimal digits; write the sign itself as `%25`")]
    Escape,
}

/// A prefix of paths, without a slash at its end and with its escapes in one form.
///
/// # Errors
/// When no request's path could begin so.
pub fn path(text: &str) -> Result<String, PathError> {
    let inner = text.strip_prefix('/').ok_or(PathError::Relative)?;
    if let Some(mark) = text.chars().find(|c| "?#".contains(*c)) {
        return Err(PathError::Query(mark));
    }
    if text.contains('*') {
        return Err(PathError::Star);
    }
    if let Some(character) = text
        .chars()
        .find(|c| !c.is_ascii_graphic() || "\"<>\\^`{|}".contains(*c))
    {
        return Err(PathError::Character(character));
    }
    // What an escape stands for is looked at below: `%2e` is a dot.
    let inner = escapes(inner).ok_or(PathError::Escape)?;
    let inner = inner.strip_suffix('/').unwrap_or(&inner);
    for segment in inner.split('/').filter(|_| !inner.is_empty()) {
        match segment {
            "" => return Err(PathError::EmptySegment),
            "." | ".." => return Err(PathError::Dots),
            _ => {}
        }
    }
    // `//` has an empty segment, although nothing is left of it here.
    match text {
        "//" => Err(PathError::EmptySegment),
        _ => Ok(format!("/{inner}")),
    }
}

/// A path whose escapes have one form: hexadecimal digits are in upper case, and characters that need no escape have none
/// (RFC 3986 sections 6.2.2.1 and 6.2.2.2). `None` where a percent sign begins no escape.
fn escapes(path: &str) -> Option<Cow<'_, str>> {
    if !path.contains('%') {
        return Some(Cow::Borrowed(path));
    }
    let mut parts = path.split('%');
    let mut normal = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        // Looked at one by one: a sign would pass for a part of a number.
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        let byte = u8::from_str_radix(digits, 16).ok()?;
        match is_unreserved(byte) {
            true => normal.push(char::from(byte)),
            false => normal.push_str(&format!("%{byte:02X}")),
        }
        normal.push_str(rest);
    }
    Some(Cow::Owned(normal))
}

/// RFC 3986 section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// Text is no method.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MethodError {
    /// Methods are told apart by case (RFC 9110 section 9.1), and all known ones are upper case.
    #[error("methods are in upper case: `{}`", .0.to_ascii_uppercase())]
    Case(String),
    /// Not a token.
    #[error("`{0}` is not a method, such as GET or POST")]
    Token(String),
}

/// The name of a method.
///
/// # Errors
/// When no client would send it.
pub fn method(text: &str) -> Result<String, MethodError> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.is_empty() || text == "*" || !text.bytes().all(is_token) {
        return Err(MethodError::Token(text.to_owned()));
    }
    match text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        true => Err(MethodError::Case(text.to_owned())),
        false => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_host(text: &str, expected: Result<HostPattern, HostError>) {
        assert_eq!(text.parse::<HostPattern>(), expected, "{text}");
    }

    #[track_caller]
    fn check_path(text: &str, expected: Result<&str, PathError>) {
        assert_eq!(path(text), expected.map(str::to_owned), "{text}");
    }

    fn exact(host: &str) -> Result<HostPattern, HostError> {
        Ok(HostPattern::Exact(host.to_owned()))
    }

    #[test]
    fn hosts_have_one_form() {
        check_host("Shop.Example.com", exact("shop.example.com"));
        check_host("shop.example.com.", exact("shop.example.com"));
        check_host("xn--bcher-kva.example", exact("xn--bcher-kva.example"));
        check_host("127.0.0.1", exact("127.0.0.1"));
        check_host("[0:0::1]", exact("[::1]"));
        check_host("*.Example.com", Ok(HostPattern::Wildcard("example.com".into())));
    }

    #[test]
    fn what_is_no_host_is_refused_for_what_it_is() {
        check_host("", Err(HostError::Empty));
        check_host("http://a", Err(HostError::Scheme));
        check_host("a/b", Err(HostError::Path));
        check_host("a:80", Err(HostError::Port));
        check_host("[::1]:80", Err(HostError::Port));
        check_host("::1", Err(HostError::Ipv6));
        check_host("[a]", Err(HostError::Ipv6));
        check_host("[::1", Err(HostError::Ipv6));
        for text in ["*", "a.*", "*.*.a", "*a.b"] {
            check_host(text, Err(HostError::Star));
        }
        check_host("bücher.example", Err(HostError::NotAscii("bücher.example".into())));
        for text in ["a b", "a..b", ".a", "a@b", "."] {
            check_host(text, Err(HostError::Name(text.into())));
        }
        check_host("*.", Err(HostError::Name(String::new())));
    }

    #[test]
    fn paths_have_one_form() {
        check_path("/", Ok("/"));
        check_path("/api", Ok("/api"));
        check_path("/api/", Ok("/api"));
        check_path("/a/b.c/~d", Ok("/a/b.c/~d"));
        check_path("/%C3%A4", Ok("/%C3%A4"));
        check_path("/%c3%a4/", Ok("/%C3%A4"));
        check_path("/%61p%69%2D%7e", Ok("/api-~"));
        check_path("/a%2fb", Ok("/a%2Fb"));
        check_path("/%2561", Ok("/%2561"));
        check_path("/%2A%3F", Ok("/%2A%3F"));
    }

    #[test]
    fn what_is_no_path_is_refused_for_what_it_is() {
        check_path("", Err(PathError::Relative));
        check_path("api", Err(PathError::Relative));
        check_path("/a?b", Err(PathError::Query('?')));
        check_path("/a#b", Err(PathError::Query('#')));
        check_path("/a/*", Err(PathError::Star));
        check_path("/a/../b", Err(PathError::Dots));
        check_path("/.", Err(PathError::Dots));
        check_path("/a//b", Err(PathError::EmptySegment));
        check_path("//", Err(PathError::EmptySegment));
        check_path("/a b", Err(PathError::Character(' ')));
        check_path("/ä", Err(PathError::Character('ä')));
        check_path("/%2e%2E", Err(PathError::Dots));
        check_path("/a/.%2e", Err(PathError::Dots));
        for text in ["/%", "/%4", "/%zz", "/%+1", "/%%36%31", "/a%/b"] {
            check_path(text, Err(PathError::Escape));
        }
    }

    #[test]
    fn methods_are_tokens_in_upper_case() {
        assert_eq!(method("GET"), Ok("GET".into()));
        assert_eq!(method("VERSION-CONTROL"), Ok("VERSION-CONTROL".into()));
        assert_eq!(method("get"), Err(MethodError::Case("get".into())));
        for text in ["", "*", "GET POST", "GÉT"] {
            assert_eq!(method(text), Err(MethodError::Token(text.into())));
        }
    }

    #[track_caller]
    fn check_overlap(one: (&str, &str, &str), other: (&str, &str, &str), expected: bool) {
        let pattern = |(host, at, methods): (&str, &str, &str)| RoutePattern {
            host: match host {
                "" => HostPattern::Any,
                host => host.parse().unwrap(),
            },
            path: path(at).unwrap(),
            methods: (!methods.is_empty()).then(|| methods.split(' ').map(str::to_owned).collect()),
        };
        let (one, other) = (pattern(one), pattern(other));
        assert_eq!(one.overlaps(&other), expected, "{one} and {other}");
        assert_eq!(other.overlaps(&one), expected, "{other} and {one}");
    }

    #[test]
    fn routes_overlap_that_nothing_tells_apart() {
        check_overlap(("", "/", ""), ("", "/", ""), true);
        check_overlap(("a.b", "/x", ""), ("A.B.", "/x/", "GET"), true);
        check_overlap(("a.b", "/x", "GET POST"), ("a.b", "/x", "POST PUT"), true);
        check_overlap(("a.b", "/x", "GET"), ("a.b", "/x", "HEAD"), true);
        check_overlap(("a.b", "/%c3%a4", ""), ("a.b", "/%C3%A4", ""), true);
        check_overlap(("a.b", "/%78", ""), ("a.b", "/x", ""), true);
        check_overlap(("a.b", "/x", "GET"), ("a.b", "/x", "POST"), false);
        check_overlap(("a.b", "/x", ""), ("a.b", "/x/y", ""), false);
        check_overlap(("a.b", "/", ""), ("", "/", ""), false);
        check_overlap(("a.b.c", "/", ""), ("*.b.c", "/", ""), false);
        check_overlap(("*.c", "/", ""), ("*.b.c", "/", ""), false);
    }
}
