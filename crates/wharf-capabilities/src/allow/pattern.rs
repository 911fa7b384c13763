//! One pattern of an allow list: how it is written, and what it covers.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use super::address::{self, AddressRange};
use super::{Host, Scheme};

/// One grant.
///
/// | pattern | covers |
/// |---|---|
/// | `*` | everything, the own machine and private networks included |
/// | `example.com` | this name, on every port |
/// | `example.com:443` | this name on this port |
/// | `example.com:*` | the same as `example.com`, said aloud |
/// | `*.example.com` | all names below, at any depth, not `example.com` itself |
/// | `https://example.com` | requests with this scheme, on its own port (443, for `http` 80) |
/// | `https://example.com:8443` | requests with this scheme on this port (`:*` for every port) |
/// | `public`, `public:443`, `https://public` | the public internet: all names but `localhost`, all addresses that are not reserved |
/// | `127.0.0.1`, `127.0.0.1:80`, `::1`, `[::1]:80` | this address |
/// | `10.0.0.0/8`, `10.0.0.0/8:443`, `fd00::/8`, `[fd00::/8]:443` | the addresses of this range |
///
/// Names are compared without regard to case and a final dot. IPv4-mapped IPv6 addresses are IPv4 addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    scheme: Option<Scheme>,
    hosts: Hosts,
    ports: Ports,
}

impl Pattern {
    /// Whether the pattern speaks of `http://` or `https://` requests only.
    pub fn has_scheme(&self) -> bool {
        self.scheme.is_some()
    }

    pub(super) fn covers_scheme(&self, scheme: Scheme) -> bool {
        self.scheme.is_none_or(|granted| granted == scheme)
    }

    pub(super) fn covers_port(&self, port: u16) -> bool {
        match self.ports {
            Ports::All => true,
            Ports::One(granted) => granted == port,
        }
    }

    pub(super) fn covers_host(&self, host: &Host) -> bool {
        match (&self.hosts, host) {
            (Hosts::All, _) => true,
            (Hosts::Public, Host::Name(_)) => !host.is_localhost(),
            (Hosts::Public, Host::Address(address)) => !address::is_reserved(*address),
            (Hosts::Name(granted), Host::Name(name)) => granted == name,
            (Hosts::Below(domain), Host::Name(name)) => name
                .strip_suffix(domain.as_str())
                .is_some_and(|below| below.len() > 1 && below.ends_with('.')),
            (Hosts::Addresses(range), Host::Address(address)) => range.contains(*address),
            _ => false,
        }
    }

    /// `address` must be canonical.
    pub(super) fn covers_address(&self, address: IpAddr) -> bool {
        match &self.hosts {
            Hosts::All => true,
            Hosts::Public => !address::is_reserved(address),
            Hosts::Addresses(range) => range.contains(address),
            Hosts::Name(_) | Hosts::Below(_) => false,
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        parse(text).map_err(|fault| PatternError {
            pattern: text.to_owned(),
            fault,
        })
    }
}

/// Text that is not a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{pattern}` is not a pattern of what may be reached: {fault}\n\
     a pattern looks like example.com, example.com:443, *.example.com, https://example.com, 127.0.0.1:8080, \
     [::1]:8080, 10.0.0.0/8 or * for everything"
)]
pub struct PatternError {
    pattern: String,
    fault: Fault,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    All,
    Public,
    Name(String),
    /// All names that end in a dot and this domain.
    Below(String),
    Addresses(AddressRange),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ports {
    All,
    One(u16),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Fault {
    #[error("it is empty")]
    Empty,
    #[error("the scheme `{0}` is neither http nor https")]
    Scheme(String),
    #[error("`@` has no place here, a grant holds no user name")]
    User,
    #[error("a grant covers a whole host, it has no path")]
    Path,
    #[error("`{0}` is not a port from 1 to 65535, and not `*`")]
    Port(String),
    #[error("`*` stands alone, in place of a port, or for the first labels of a name")]
    Star,
    #[error("`{0}` is not the name of a host")]
    Name(String),
    #[error("`{0}` has letters beyond ASCII; write the name as it is looked up, with labels that begin with xn--")]
    NotAscii(String),
    #[error("`{0}` ends in a number and is not an IPv4 address of four decimal numbers without leading zeros")]
    Ipv4(String),
    #[error("`{0}` is not an IPv6 address")]
    Ipv6(String),
    #[error("there is no `]` after the `[`")]
    Bracket,
    #[error("`{0}` is not a number of bits from 0 to {1}")]
    Prefix(String, u8),
    #[error("the address has bits beyond its prefix; the range is {0}")]
    BitsBeyondPrefix(String),
    #[error("a range of addresses has no scheme")]
    SchemeOfRange,
}

/// Not a name that anybody could look up: there is no such top-level domain.
const PUBLIC: &str = "public";

fn parse(text: &str) -> Result<Pattern, Fault> {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (
            Some(Scheme::parse(scheme).ok_or_else(|| Fault::Scheme(scheme.to_owned()))?),
            rest,
        ),
        None => (None, text),
    };
    if rest.is_empty() {
        return Err(Fault::Empty);
    }
    if rest.contains('@') {
        return Err(Fault::User);
    }
    if rest.contains(['?', '#', '\\']) {
        return Err(Fault::Path);
    }
    if text == "*" {
        return Ok(Pattern {
            text: text.to_owned(),
            scheme,
            hosts: Hosts::All,
            ports: Ports::All,
        });
    }
    let (hosts, port) = split_port(rest)?;
    let hosts = match hosts.split_once('/') {
        Some((base, prefix_bits)) => parse_range(base, prefix_bits)?,
        None if hosts.contains(':') || rest.starts_with('[') => {
            Hosts::Addresses(AddressRange::single(parse_ipv6(hosts)?))
        }
        None => parse_host(hosts)?,
    };
    if scheme.is_some() && rest.contains('/') {
        return Err(Fault::SchemeOfRange);
    }
    let ports = match (port, scheme) {
        (Some("*"), _) | (None, None) => Ports::All,
        (Some(port), _) => Ports::One(parse_port(port)?),
        (None, Some(scheme)) => Ports::One(scheme.default_port()),
    };
    Ok(Pattern {
        text: text.to_owned(),
        scheme,
        hosts,
        ports,
    })
}

/// Takes the port off, and the brackets.
fn split_port(rest: &str) -> Result<(&str, Option<&str>), Fault> {
    if let Some(inner) = rest.strip_prefix('[') {
        let (hosts, after) = inner.split_once(']').ok_or(Fault::Bracket)?;
        return match after.strip_prefix(':') {
            None if after.is_empty() => Ok((hosts, None)),
            None => Err(Fault::Port(after.to_owned())),
            Some(port) => Ok((hosts, Some(port))),
        };
    }
    match rest.split_once(':') {
        // Two colons are an IPv6 address without brackets, which leaves no room for a port.
        Some((_, more)) if more.contains(':') => Ok((rest, None)),
        Some((hosts, port)) => Ok((hosts, Some(port))),
        None => Ok((rest, None)),
    }
}

fn parse_port(text: &str) -> Result<u16, Fault> {
    match text.parse() {
        Ok(port) if port != 0 && is_decimal(text) => Ok(port),
        _ => Err(Fault::Port(text.to_owned())),
    }
}

fn parse_range(base: &str, prefix_bits: &str) -> Result<Hosts, Fault> {
    let base: IpAddr = base.parse().map_err(|_| Fault::Path)?;
    let bits_max = address::bits(base);
    let prefix_bits = match prefix_bits.parse() {
        Ok(bits) if bits <= bits_max && is_decimal(prefix_bits) => bits,
        _ => return Err(Fault::Prefix(prefix_bits.to_owned(), bits_max)),
    };
    let range = AddressRange::new(base, prefix_bits).map_err(|meant| Fault::BitsBeyondPrefix(meant.to_string()))?;
    Ok(Hosts::Addresses(range))
}

fn parse_ipv6(text: &str) -> Result<IpAddr, Fault> {
    let address: Ipv6Addr = text.parse().map_err(|_| Fault::Ipv6(text.to_owned()))?;
    Ok(address.into())
}

fn parse_host(text: &str) -> Result<Hosts, Fault> {
    if text == PUBLIC {
        return Ok(Hosts::Public);
    }
    if let Some(domain) = text.strip_prefix("*.") {
        return match Host::parse(domain) {
            Some(Host::Name(domain)) => Ok(Hosts::Below(domain)),
            Some(Host::Address(_)) => Err(Fault::Star),
            None => Err(fault_of_host(domain)),
        };
    }
    match Host::parse(text) {
        Some(Host::Name(name)) => Ok(Hosts::Name(name)),
        Some(Host::Address(address)) => Ok(Hosts::Addresses(AddressRange::single(address))),
        None => Err(fault_of_host(text)),
    }
}

fn fault_of_host(text: &str) -> Fault {
    if text.contains('*') {
        Fault::Star
    } else if !text.is_ascii() {
        Fault::NotAscii(text.to_owned())
    } else if super::ends_in_number(text.strip_suffix('.').unwrap_or(text)) {
        Fault::Ipv4(text.to_owned())
    } else {
        Fault::Name(text.to_owned())
    }
}

fn is_decimal(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_kept_as_written() {
        for text in [
            "*",
            "Example.com",
            "example.com.",
            "example.com:443",
            "example.com:*",
            "my_service:80",
            "db",
            "*.example.com",
            "*.com:65535",
            "https://example.com",
            "http://*.example.com:*",
            "127.0.0.1",
            "http://127.0.0.1:8080",
            "::1",
            "[::1]",
            "[::1]:443",
            "https://[::1]:443",
            "10.0.0.0/8",
            "10.0.0.0/8:443",
            "0.0.0.0/0",
            "fd00::/8",
            "[fd00::/8]",
            "[fd00::/8]:443",
            "xn--exmple-cua.com",
        ] {
            match text.parse::<Pattern>() {
                Ok(pattern) => assert_eq!(pattern.to_string(), text),
                Err(error) => panic!("{error}"),
            }
        }
    }

    #[track_caller]
    fn check_refused(text: &str, fault: &str) {
        match text.parse::<Pattern>() {
            Ok(pattern) => panic!("{text:?} was taken as {pattern:?}"),
            Err(error) => {
                let message = error.to_string();
                let (first, second) = message.split_once('\n').unwrap();
                assert_eq!(
                    first,
                    format!("`{text}` is not a pattern of what may be reached: {fault}")
                );
                assert!(second.starts_with("a pattern looks like example.com, "), "{second}");
            }
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_the_reason() {
        check_refused("", "it is empty");
        check_refused("https://", "it is empty");
        check_refused("ftp://example.com", "the scheme `ftp` is neither http nor https");
        check_refused("://example.com", "the scheme `` is neither http nor https");
        check_refused("user@example.com", "`@` has no place here, a grant holds no user name");
        check_refused(
            "https://user:secret@example.com",
            "`@` has no place here, a grant holds no user name",
        );
        check_refused("https://example.com/", "a grant covers a whole host, it has no path");
        check_refused("https://example.com/api", "a grant covers a whole host, it has no path");
        check_refused("example.com/8", "a grant covers a whole host, it has no path");
        check_refused("example.com?x", "a grant covers a whole host, it has no path");
        check_refused("example.com\\x", "a grant covers a whole host, it has no path");
        check_refused("example.com:", "`` is not a port from 1 to 65535, and not `*`");
        check_refused("example.com:0", "`0` is not a port from 1 to 65535, and not `*`");
        check_refused(
            "example.com:65536",
            "`65536` is not a port from 1 to 65535, and not `*`",
        );
        check_refused("example.com:+80", "`+80` is not a port from 1 to 65535, and not `*`");
        check_refused("example.com:http", "`http` is not a port from 1 to 65535, and not `*`");
        check_refused("[::1]443", "`443` is not a port from 1 to 65535, and not `*`");
        let star = "`*` stands alone, in place of a port, or for the first labels of a name";
        check_refused("*:443", star);
        check_refused("https://*", star);
        check_refused("*.", "`` is not the name of a host");
        check_refused("*example.com", star);
        check_refused("www.*.com", star);
        check_refused("*.*.com", star);
        check_refused("*.10.0.0.1", star);
        check_refused("10.0.0.*", star);
        check_refused(":80", "`` is not the name of a host");
        check_refused("a..b", "`a..b` is not the name of a host");
        check_refused("example.com..", "`example.com..` is not the name of a host");
        check_refused(" example.com", "` example.com` is not the name of a host");
        check_refused("example%2ecom", "`example%2ecom` is not the name of a host");
        check_refused(
            "ex\u{e4}mple.com",
            "`ex\u{e4}mple.com` has letters beyond ASCII; write the name as it is looked up, with labels that begin with \
             xn--",
        );
        let ipv4 = "ends in a number and is not an IPv4 address of four decimal numbers without leading zeros";
        for text in [
            "127.1",
            "0177.0.0.1",
            "127.0.0.01",
            "2130706433",
            "0x7f.1",
            "1.2.3.4.5",
            "256.0.0.1",
            "127.0.0.1.",
        ] {
            check_refused(text, &format!("`{text}` {ipv4}"));
        }
        check_refused("1:2:3", "`1:2:3` is not an IPv6 address");
        check_refused("[127.0.0.1]", "`127.0.0.1` is not an IPv6 address");
        check_refused("[example.com]:80", "`example.com` is not an IPv6 address");
        check_refused("[fe80::1%eth0]", "`fe80::1%eth0` is not an IPv6 address");
        check_refused("[::1", "there is no `]` after the `[`");
        check_refused("10.0.0.0/33", "`33` is not a number of bits from 0 to 32");
        check_refused("10.0.0.0/-1", "`-1` is not a number of bits from 0 to 32");
        check_refused("10.0.0.0/", "`` is not a number of bits from 0 to 32");
        check_refused("fd00::/129", "`129` is not a number of bits from 0 to 128");
        check_refused(
            "10.1.2.3/8",
            "the address has bits beyond its prefix; the range is 10.0.0.0/8",
        );
        check_refused(
            "[fd00::1/64]:80",
            "the address has bits beyond its prefix; the range is fd00::/64",
        );
        check_refused("https://10.0.0.0/8", "a range of addresses has no scheme");
    }
}
