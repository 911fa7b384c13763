//! The one language in which an operator says what a guest may reach beyond this machine.
//!
//! Pure: nothing is resolved or opened here. `http_client.rs` and `sockets.rs` ask twice, once for the name a guest
//! gives and once for each address that the name turned out to have; the second question keeps a public name from
//! leading to an address inside the operator's network.

mod address;
mod pattern;

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use wharf_host::capability::Fault;

pub use self::pattern::{Pattern, PatternError};

/// What is granted. A call passes when one pattern covers it.
#[derive(Clone, Debug, Default)]
pub struct AllowList {
    patterns: Vec<Pattern>,
}

impl AllowList {
    /// Reads patterns in the forms that [`Pattern`] describes. No patterns grant nothing.
    ///
    /// # Errors
    /// The first text that is not a pattern.
    pub fn parse<S: AsRef<str>>(patterns: impl IntoIterator<Item = S>) -> Result<Self, PatternError> {
        let patterns = patterns
            .into_iter()
            .map(|pattern| pattern.as_ref().parse())
            .collect::<Result<_, _>>()?;
        Ok(Self { patterns })
    }

    /// The patterns, in the order they were given.
    pub fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    /// Whether a URL with this scheme, host and port may be asked for.
    ///
    /// A yes about a name is not yet a yes about its addresses: ask [`allows_address`](Self::allows_address) of each.
    pub fn allows_url(&self, scheme: Scheme, host: &Host, port: u16) -> bool {
        self.patterns
            .iter()
            .any(|pattern| pattern.covers_scheme(scheme) && pattern.covers_port(port) && pattern.covers_host(host))
    }

    /// Whether any port of `host` may be reached, so that its addresses may be looked up.
    pub fn allows_host(&self, host: &Host) -> bool {
        self.patterns.iter().any(|pattern| pattern.covers_host(host))
    }

    /// Whether a connection may be opened to `address` and `port`.
    ///
    /// `resolved_from` is the host that `address` was looked up for, or `None` when the guest named the address
    /// itself. An address passes when a pattern of addresses covers it, or when a pattern of names covers
    /// `resolved_from` and the address belongs to the public internet. So a name is refused where it leads to a
    /// private, loopback, link-local, shared, multicast, unspecified or cloud metadata address, save `localhost`
    /// where it leads to loopback.
    pub fn allows_address(&self, address: IpAddr, port: u16, resolved_from: Option<&Host>) -> bool {
        let address = address::canonical(address);
        let name = resolved_from.filter(|host| !address::is_reserved(address) || host.is_localhost_at(address));
        self.patterns.iter().any(|pattern| {
            pattern.covers_port(port)
                && (pattern.covers_address(address) || name.is_some_and(|name| pattern.covers_host(name)))
        })
    }
}

/// What is wrong with a manifest's list of patterns under `key`.
pub(crate) fn faults(key: &str, patterns: &[String]) -> Vec<Fault> {
    let wrong = patterns.iter().enumerate().filter_map(|(nth, text)| {
        let error = text.parse::<Pattern>().err()?;
        Some(Fault::new([key, &nth.to_string()], error.to_string()))
    });
    wrong.collect()
}

/// The schemes of outgoing requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Cleartext.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    /// `http` or `https`, in upper or lower case.
    pub fn parse(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("http") {
            Some(Self::Http)
        } else if text.eq_ignore_ascii_case("https") {
            Some(Self::Https)
        } else {
            None
        }
    }

    /// The port that a URL without one means.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// The host part of a URL, in the one form in which hosts are compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name to look up: ASCII, in lower case, without the dot that may end it.
    Name(String),
    /// An address; IPv4 even where it was written as IPv4-mapped IPv6.
    Address(IpAddr),
}

impl Host {
    /// Reads a name, an IPv4 address, or an IPv6 address with or without brackets.
    ///
    /// `None` for all else: user names, percent signs, letters beyond ASCII (an internationalised name is written as
    /// `xn--…`), and the other ways to write IPv4 addresses (`127.1`, `0177.0.0.1`, `0x7f000001`), which some
    /// resolvers read as addresses although a pattern would take them for names.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            return inner.parse::<Ipv6Addr>().ok().map(Self::from_address);
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(Self::from_address(address));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let is_name = name.len() <= NAME_BYTES_MAX && name.split('.').all(is_label) && !ends_in_number(&name);
        is_name.then_some(Self::Name(name))
    }

    fn from_address(address: impl Into<IpAddr>) -> Self {
        Self::Address(address::canonical(address.into()))
    }

    /// Whether this is a name that means the own machine (RFC 6761, 6.3).
    fn is_localhost(&self) -> bool {
        let Self::Name(name) = self else { return false };
        name == "localhost" || name.ends_with(".localhost")
    }

    /// The same, and `address` is the own machine's.
    fn is_localhost_at(&self, address: IpAddr) -> bool {
        self.is_localhost() && address.is_loopback()
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// RFC 1035, 2.3.4: 255 bytes on the wire are 253 characters.
const NAME_BYTES_MAX: usize = 253;
/// RFC 1035, 2.3.4.
const LABEL_BYTES_MAX: usize = 63;

/// Letters, digits, hyphens, and the underscore, which is not for hosts but is in use (`my_service`).
fn is_label(label: &str) -> bool {
    (1..=LABEL_BYTES_MAX).contains(&label.len())
        && label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// Whether a reader of URLs would take `name` for an IPv4 address: no name on the internet ends so.
fn ends_in_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    let hexadecimal = last
        .strip_prefix("0x")
        .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    hexadecimal || !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(patterns: &str) -> AllowList {
        AllowList::parse(patterns.split_whitespace()).unwrap()
    }

    /// Reads `scheme://host:port`, where the host may be anything.
    #[track_caller]
    fn check_url(patterns: &str, url: &str, allowed: bool) {
        let (scheme, rest) = url.split_once("://").unwrap();
        let (host, port) = rest.rsplit_once(':').unwrap();
        let granted = match (Scheme::parse(scheme), Host::parse(host)) {
            (Some(scheme), Some(host)) => list(patterns).allows_url(scheme, &host, port.parse().unwrap()),
            _ => false,
        };
        assert_eq!(granted, allowed, "{patterns:?} and {url}");
    }

    #[test]
    fn urls_pass_when_a_pattern_covers_them() {
        // Nothing is granted by default, everything by the star.
        check_url("", "https://example.com:443", false);
        check_url("*", "https://example.com:443", true);
        check_url("*", "http://127.0.0.1:8080", true);
        check_url("*", "http://[::1]:8080", true);
        check_url("*", "http://localhost:1", true);
        check_url("*", "http://169.254.169.254:80", true);
        // A name stands for itself, on every port unless one is given.
        check_url("example.com", "https://example.com:443", true);
        check_url("example.com", "http://example.com:8080", true);
        check_url("example.com:*", "http://example.com:8080", true);
        check_url("example.com", "https://www.example.com:443", false);
        check_url("example.com", "https://example.org:443", false);
        check_url("example.com", "https://notexample.com:443", false);
        check_url("example.com", "https://example.com.evil.test:443", false);
        check_url("example.com:443", "https://example.com:443", true);
        check_url("example.com:443", "https://example.com:8443", false);
        check_url("example.com:443", "http://example.com:443", true);
        // A scheme brings its own port.
        check_url("https://example.com", "https://example.com:443", true);
        check_url("https://example.com", "https://example.com:8443", false);
        check_url("https://example.com", "http://example.com:443", false);
        check_url("http://example.com", "http://example.com:80", true);
        check_url("http://example.com", "https://example.com:443", false);
        check_url("https://example.com:8443", "https://example.com:8443", true);
        check_url("https://example.com:*", "https://example.com:1", true);
        check_url("https://example.com:*", "http://example.com:1", false);
        check_url("HTTPS://Example.COM", "https://example.com:443", true);
        // Subdomains are those below, at any depth, and not the domain itself.
        check_url("*.example.com", "https://www.example.com:443", true);
        check_url("*.example.com", "https://a.b.example.com:443", true);
        check_url("*.example.com", "https://example.com:443", false);
        check_url("*.example.com", "https://badexample.com:443", false);
        check_url("*.example.com", "https://example.com.evil.test:443", false);
        check_url("*.example.com:443", "https://www.example.com:80", false);
        check_url("https://*.example.com", "https://www.example.com:443", true);
        check_url("https://*.example.com", "http://www.example.com:443", false);
        // Addresses are covered by addresses and ranges, never by names.
        check_url("127.0.0.1", "http://127.0.0.1:8080", true);
        check_url("127.0.0.1:8080", "http://127.0.0.1:8080", true);
        check_url("127.0.0.1:8080", "http://127.0.0.1:8081", false);
        check_url("127.0.0.1:8080", "http://127.0.0.2:8080", false);
        check_url("http://127.0.0.1:8080", "http://127.0.0.1:8080", true);
        check_url("10.0.0.0/8", "http://10.1.2.3:80", true);
        check_url("10.0.0.0/8", "http://11.1.2.3:80", false);
        check_url("10.0.0.0/8:443", "https://10.1.2.3:443", true);
        check_url("10.0.0.0/8:443", "https://10.1.2.3:444", false);
        check_url("10.0.0.0/8:*", "https://10.1.2.3:444", true);
        check_url("0.0.0.0/0", "http://127.0.0.1:80", true);
        check_url("0.0.0.0/0", "http://[::1]:80", false);
        check_url("[::1]:443", "https://[::1]:443", true);
        check_url("[::1]:443", "https://[::1]:80", false);
        check_url("[::1]", "https://[::1]:80", true);
        check_url("::1", "https://[::1]:80", true);
        check_url("[0:0:0:0:0:0:0:1]", "https://[::1]:80", true);
        check_url("fd00::/8", "https://[fd12::1]:80", true);
        check_url("[fd00::/8]:80", "https://[fd12::1]:80", true);
        check_url("[fd00::/8]:80", "https://[fd12::1]:81", false);
        check_url("https://[::1]:8443", "https://[::1]:8443", true);
        check_url("localhost", "http://127.0.0.1:80", false);
        check_url("127.0.0.1", "http://localhost:80", false);
        check_url("127.0.0.0/8 ::1", "http://localhost:80", false);
        // The public internet is neither this machine nor its networks.
        check_url("public", "https://example.com:443", true);
        check_url("public", "http://93.184.216.34:80", true);
        check_url("public", "http://localhost:80", false);
        check_url("public", "http://app.localhost:80", false);
        check_url("public", "http://127.0.0.1:80", false);
        check_url("public", "http://10.0.0.1:80", false);
        check_url("public", "http://169.254.169.254:80", false);
        check_url("public", "http://[fd00:ec2::254]:80", false);
        check_url("public", "http://[64:ff9b::a9fe:a9fe]:80", false);
        check_url("https://public", "https://example.com:443", true);
        check_url("https://public", "http://example.com:80", false);
        check_url("public:443", "https://example.com:8443", false);
        // One of several is enough.
        check_url("a.test b.test:80", "http://b.test:80", true);
        check_url("a.test b.test:80", "http://b.test:81", false);
    }

    #[test]
    fn tricks_with_urls_do_not_widen_a_grant() {
        // Case and the final dot make no difference.
        check_url("example.com", "https://EXAMPLE.com:443", true);
        check_url("EXAMPLE.com", "https://example.COM:443", true);
        check_url("example.com", "https://example.com.:443", true);
        check_url("example.com.", "https://example.com:443", true);
        check_url("*.example.com", "https://www.example.com.:443", true);
        check_url("example.com", "https://example.com..:443", false);
        check_url("*.example.com", "https://.example.com:443", false);
        check_url("*.example.com", "https://a..example.com:443", false);
        // What is not a host is not allowed, not even by the star.
        for granted in ["*", "example.com", "127.0.0.0/8"] {
            for host in [
                "",
                ".",
                "user@example.com",
                "example.com@evil.test",
                "example%2ecom",
                "%31%32%37.0.0.1",
                "exa mple.com",
                "example.com\\@evil.test",
                "example.com/",
                "example.com#",
                "example.com\0",
                "ex\u{e4}mple.com",
                "example\u{3002}com",
                "\u{ff11}27.0.0.1",
                "0177.0.0.1",
                "127.1",
                "127.0.1",
                "2130706433",
                "0x7f.0.0.1",
                "0x7f000001",
                "127.0.0.0x1",
                "127.0.0.01",
                "127.0.0.256",
                "127.0.0.1.",
                "1.2.3.4.5",
                "example.1",
                "[127.0.0.1]",
                "[::1",
                "::1]",
                "[::1%25lo]",
                "[example.com]",
                "*",
                "*.example.com",
            ] {
                check_url(granted, &format!("http://{host}:80"), false);
            }
        }
        let long_label = format!("{}.com", "a".repeat(64));
        check_url("*", &format!("http://{long_label}:80"), false);
        let long_name = "abcdefg.".repeat(32) + "com";
        check_url("*", &format!("http://{long_name}:80"), false);
        // IPv4 in the clothes of IPv6 is IPv4.
        check_url("127.0.0.1", "http://[::ffff:127.0.0.1]:80", true);
        check_url("127.0.0.1", "http://[::ffff:7f00:1]:80", true);
        check_url("[::ffff:127.0.0.1]:80", "http://127.0.0.1:80", true);
        check_url("::/0", "http://[::ffff:127.0.0.1]:80", false);
        // Names in Punycode are compared as written, without a look at what they show.
        check_url("xn--exmple-cua.com", "http://XN--exmple-cua.com:80", true);
        check_url("example.com", "http://xn--exmple-cua.com:80", false);
        // Other schemes are no business of this list.
        check_url("*", "ftp://example.com:21", false);
        check_url("*", "file://example.com:80", false);
    }

    #[track_caller]
    fn check_address(patterns: &str, resolved_from: Option<&str>, address: &str, port: u16, allowed: bool) {
        let host = resolved_from.map(|host| Host::parse(host).unwrap());
        let granted = list(patterns).allows_address(address.parse().unwrap(), port, host.as_ref());
        assert_eq!(
            granted, allowed,
            "{patterns:?}: {address} port {port} for {resolved_from:?}"
        );
    }

    #[test]
    fn a_name_leads_to_public_addresses_only() {
        let public = ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34"];
        let reserved = [
            "127.0.0.1",
            "127.8.8.8",
            "::1",
            "::ffff:127.0.0.1",
            "0.0.0.0",
            "::",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.0.1",
            "100.64.0.1",
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "fd00:ec2::254",
            "fe80::1",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
        ];
        for granted in [
            "example.com",
            "*.com",
            "https://example.com",
            "example.com:443 localhost",
            "public",
            "public:443 localhost",
        ] {
            for address in public {
                check_address(granted, Some("example.com"), address, 443, true);
            }
            for address in reserved {
                check_address(granted, Some("example.com"), address, 443, false);
            }
        }
        // The star means all of it.
        for address in public.into_iter().chain(reserved) {
            check_address("*", Some("example.com"), address, 443, true);
            check_address("*", None, address, 443, true);
        }
    }

    #[test]
    fn a_reserved_address_is_reached_by_its_own_grant() {
        check_address("example.com 10.0.0.0/8", Some("example.com"), "10.1.2.3", 443, true);
        check_address("example.com 10.0.0.0/8", Some("example.com"), "192.168.1.1", 443, false);
        check_address("example.com 10.1.2.3:443", Some("example.com"), "10.1.2.3", 443, true);
        check_address("example.com 10.1.2.3:80", Some("example.com"), "10.1.2.3", 443, false);
        check_address(
            "example.com 127.0.0.1",
            Some("example.com"),
            "::ffff:127.0.0.1",
            443,
            true,
        );
        check_address("127.0.0.1:8080", None, "127.0.0.1", 8080, true);
        check_address("127.0.0.1:8080", None, "127.0.0.1", 8081, false);
        check_address("169.254.169.254", None, "169.254.169.254", 80, true);
        check_address("[::1]:443", None, "::1", 443, true);
        check_address("[::1]:443", None, "127.0.0.1", 443, false);
        check_address("224.0.0.0/4", None, "239.1.1.1", 5353, true);
    }

    #[test]
    fn localhost_is_the_one_name_for_loopback() {
        check_address("localhost", Some("localhost"), "127.0.0.1", 80, true);
        check_address("localhost", Some("LOCALHOST."), "::1", 80, true);
        check_address("localhost:80", Some("localhost"), "127.0.0.1", 81, false);
        check_address("localhost", Some("localhost"), "10.0.0.1", 80, false);
        check_address("localhost", Some("localhost"), "0.0.0.0", 80, false);
        check_address("app.localhost", Some("app.localhost"), "127.0.0.1", 80, true);
        check_address("*.localhost", Some("app.localhost"), "127.0.0.1", 80, true);
        check_address("example.com localhost", Some("example.com"), "127.0.0.1", 80, false);
        check_address("public", Some("localhost"), "127.0.0.1", 80, false);
        check_address("public", None, "93.184.216.34", 80, true);
        check_address("public", None, "127.0.0.1", 80, false);
        check_address(
            "localhost.example.com",
            Some("localhost.example.com"),
            "127.0.0.1",
            80,
            false,
        );
        check_address("localhost", None, "127.0.0.1", 80, false);
    }

    #[test]
    fn names_do_not_vouch_for_addresses_that_others_resolved() {
        check_address("example.com", None, "93.184.216.34", 443, false);
        check_address("example.com", Some("example.org"), "93.184.216.34", 443, false);
        check_address("example.com:443", Some("example.com"), "93.184.216.34", 80, false);
        check_address("", Some("example.com"), "93.184.216.34", 443, false);
    }

    #[test]
    fn names_may_be_looked_up_when_a_port_of_theirs_is_granted() {
        #[track_caller]
        fn check(patterns: &str, name: &str, allowed: bool) {
            let granted = Host::parse(name).is_some_and(|host| list(patterns).allows_host(&host));
            assert_eq!(granted, allowed, "{patterns:?} and {name}");
        }
        check("", "example.com", false);
        check("*", "example.com", true);
        check("example.com:5432", "Example.com.", true);
        check("*.example.com", "db.example.com", true);
        check("*.example.com", "example.com", false);
        check("10.0.0.0/8", "example.com", false);
        check("10.0.0.0/8", "10.1.1.1", true);
    }
}
