//! Whose request it is: what proxies say of that in its fields, and what guests are told.
//!
//! Anybody can write such fields, so whatever of them comes from nobody who is trusted is gone before a guest sees it. Guests
//! are told by the server alone: one client, and the scheme that it spoke. What the fields mean is in RFC 7239; those that begin
//! with `x-forwarded-` mean the same by custom.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName, HeaderValue};

use crate::inbound::{Inbound, Peer, ProxyOptions};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// What all fields begin with that proxies have made up in this matter.
const CUSTOM: &str = "x-forwarded-";

/// The fields in which trusted proxies say who asks, and in which guests are told.
///
/// One kind of them: a proxy that writes one passes the other on as its client wrote it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardedFields {
    /// `x-forwarded-for`, `x-forwarded-proto`, and from proxies `x-forwarded-host` and `x-forwarded-port`.
    #[default]
    Custom,
    /// `forwarded` (RFC 7239).
    Standard,
    /// None: nobody is believed, and guests are not told.
    None,
}

/// Who asks, and how, where a trusted proxy has said so.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Asker {
    /// Where it is known.
    client: Option<IpAddr>,
    /// Whether it spoke TLS; `None` where the proxy did not say.
    is_https: Option<bool>,
    /// The host it asked, and perhaps the port.
    host: Option<String>,
}

/// What is known of a request's client, by its connection or by a proxy.
pub(crate) struct Known<'a> {
    inbound: &'a Inbound,
    fields: ForwardedFields,
    asker: Option<Asker>,
}

impl<'a> Known<'a> {
    /// Takes out of `headers` what was said of the client there, and believes it as far as it comes from who is trusted.
    pub fn take(options: &ProxyOptions, inbound: &'a Inbound, headers: &mut HeaderMap) -> Self {
        // Few requests have any.
        let asker = match headers.keys().any(is_about_clients) {
            true => options.take(inbound, headers),
            false => None,
        };
        Self {
            inbound,
            fields: options.fields,
            asker,
        }
    }

    /// Whether the client spoke TLS.
    pub fn is_https(&self) -> bool {
        let said = self.asker.as_ref().and_then(|asker| asker.is_https);
        said.unwrap_or(self.inbound.is_tls)
    }

    /// The host that the client asked, where it is another than the request names.
    pub fn host(&self) -> Option<&str> {
        self.asker.as_ref()?.host.as_deref()
    }

    /// Tells guests.
    pub fn tell(&self, headers: &mut HeaderMap) {
        let is_https = self.is_https();
        let value = match &self.asker {
            None => self.inbound.told.clone(),
            Some(asker) => told(self.fields, asker.client, is_https),
        };
        match self.fields {
            ForwardedFields::None => {}
            ForwardedFields::Standard => drop(value.map(|value| headers.insert(FORWARDED, value))),
            ForwardedFields::Custom => {
                drop(value.map(|value| headers.insert(X_FORWARDED_FOR, value)));
                let scheme = if is_https { "https" } else { "http" };
                headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
            }
        }
    }
}

/// The value of the field that names a client, if there is one to be told.
pub(crate) fn told(fields: ForwardedFields, client: Option<IpAddr>, is_https: bool) -> Option<HeaderValue> {
    let scheme = if is_https { "https" } else { "http" };
    let text = match (fields, client) {
        (ForwardedFields::None, _) | (ForwardedFields::Custom, None) => return None,
        (ForwardedFields::Custom, Some(client)) => client.to_string(),
        (ForwardedFields::Standard, None) => format!("proto={scheme}"),
        (ForwardedFields::Standard, Some(IpAddr::V4(client))) => format!("for={client};proto={scheme}"),
        // Brackets and colons are in no token (RFC 7239 section 6).
        (ForwardedFields::Standard, Some(IpAddr::V6(client))) => format!("for=\"[{client}]\";proto={scheme}"),
    };
    HeaderValue::try_from(text).ok()
}

/// Whether a field says something of clients, or would if the right one wrote it; also with `_` for `-`, since what guests read
/// variables from makes the same name of both.
fn is_about_clients(name: &HeaderName) -> bool {
    let name = name.as_str();
    let begins = |with: &str| {
        let same = |(one, other): (u8, u8)| one == other || (one, other) == (b'_', b'-');
        name.len() >= with.len() && name.bytes().zip(with.bytes()).all(same)
    };
    // By its length first: nearly all others are told apart by it or by their first letter.
    name.len() >= X_REAL_IP.as_str().len()
        && matches!(name.as_bytes()[0], b'f' | b'x')
        && (begins(CUSTOM)
            || name == "forwarded"
            || name.len() == X_REAL_IP.as_str().len() && begins(X_REAL_IP.as_str()))
}

impl ProxyOptions {
    fn take(&self, inbound: &Inbound, headers: &mut HeaderMap) -> Option<Asker> {
        if !inbound.is_trusted {
            let names: Vec<HeaderName> = headers.keys().filter(|name| is_about_clients(name)).cloned().collect();
            for name in names {
                headers.remove(name);
            }
            return None;
        }
        let asker = match self.fields {
            ForwardedFields::Custom => self.read_custom(inbound.client, headers),
            ForwardedFields::Standard => self.read_standard(inbound.client, headers),
            ForwardedFields::None => None,
        };
        // What else a trusted proxy says, such as which user it knows, is for the guest.
        for name in [
            FORWARDED,
            X_FORWARDED_FOR,
            X_FORWARDED_PROTO,
            X_FORWARDED_HOST,
            X_FORWARDED_PORT,
            X_REAL_IP,
        ] {
            headers.remove(name);
        }
        asker.map(|asker| Asker {
            host: asker.host.filter(|_| self.believes_host),
            ..asker
        })
    }

    /// Who is the first from the right that is not trusted itself, and how many stand to the right of it. `hops` are what
    /// proxies have written, the last first; one that says nothing of use ends the search.
    fn client(&self, peer: Peer, hops: impl Iterator<Item = Option<IpAddr>>) -> (Option<IpAddr>, Option<usize>) {
        let mut found = (peer.ip(), None);
        for (nth, hop) in hops.enumerate() {
            found = (hop, Some(nth));
            if !hop.is_some_and(|hop| self.trusts(Peer::Ip(hop))) {
                break;
            }
        }
        found
    }

    fn read_custom(&self, peer: Peer, headers: &HeaderMap) -> Option<Asker> {
        let (hops, schemes) = (list(headers, &X_FORWARDED_FOR), list(headers, &X_FORWARDED_PROTO));
        let (hosts, ports) = (list(headers, &X_FORWARDED_HOST), list(headers, &X_FORWARDED_PORT));
        if [&hops, &schemes, &hosts, &ports].iter().all(|list| list.is_empty()) {
            return None;
        }
        let (client, nth) = self.client(peer, hops.iter().map(|hop| node(hop)));
        // Of a list as long as that of the clients, what was said of this one; else what the proxy itself says.
        let of_client = |list: &[String]| {
            let nth = nth.filter(|_| list.len() == hops.len()).unwrap_or(0);
            list.get(nth).cloned()
        };
        let is_https = of_client(&schemes).and_then(|scheme| is_https(&scheme));
        let host = of_client(&hosts).map(|host| with_port(host, of_client(&ports), is_https));
        Some(Asker { client, is_https, host })
    }

    fn read_standard(&self, peer: Peer, headers: &HeaderMap) -> Option<Asker> {
        let lines: Vec<&HeaderValue> = headers.get_all(FORWARDED).iter().collect();
        if lines.is_empty() {
            return None;
        }
        // A line that is none ends the search as an unknown client does: what stands before it is not known to be a proxy's.
        let mut hops: Vec<Option<Element>> = Vec::new();
        for line in lines.iter().rev() {
            match line.to_str().ok().and_then(elements) {
                Some(elements) => hops.extend(elements.into_iter().rev().map(Some)),
                None => hops.push(None),
            }
        }
        let nodes = hops.iter().map(|hop| node(hop.as_ref()?.node.as_deref()?));
        let (client, nth) = self.client(peer, nodes);
        let element = nth.and_then(|nth| hops.get(nth)?.as_ref());
        Some(Asker {
            client,
            is_https: element.and_then(|element| is_https(element.proto.as_deref()?)),
            host: element.and_then(|element| element.host.clone()),
        })
    }
}

/// What stands between the commas of all lines of a field, the last first.
fn list(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let lines: Vec<&str> = headers
        .get_all(name)
        .iter()
        .map(|line| line.to_str().unwrap_or("?"))
        .collect();
    let words = lines.iter().rev().flat_map(|line| line.rsplit(','));
    words.map(|word| word.trim().to_owned()).collect()
}

fn is_https(scheme: &str) -> Option<bool> {
    match scheme {
        _ if scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("wss") => Some(true),
        _ if scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("ws") => Some(false),
        _ => None,
    }
}

/// The host with the port, where that is not in it and not the scheme's own.
fn with_port(host: String, port: Option<String>, is_https: Option<bool>) -> String {
    let usual = if is_https == Some(true) { 443 } else { 80 };
    let port = port
        .and_then(|port| port.parse::<u16>().ok())
        .filter(|&port| port != usual);
    let has_port = host.rsplit_once(':').is_some_and(|(_, after)| !after.contains(']'));
    match port {
        Some(port) if !has_port => format!("{host}:{port}"),
        _ => host,
    }
}

/// The address of a node (RFC 7239 section 6), with or without port and brackets.
fn node(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    let address = bare.parse::<IpAddr>().ok().or_else(|| {
        let (address, port) = text.rsplit_once(':')?;
        // A port may be hidden behind a name of the proxy's own.
        let is_port = port.parse::<u16>().is_ok() || port.starts_with('_');
        match address.strip_prefix('[') {
            Some(address) => address.strip_suffix(']')?.parse().ok().map(IpAddr::V6),
            None => text.parse::<SocketAddr>().ok().map(|at| at.ip()).or_else(|| {
                let v4 = address.parse().ok().map(IpAddr::V4);
                v4.filter(|_| is_port)
            }),
        }
    });
    address.map(|address| address.to_canonical())
}

/// What one proxy says (RFC 7239 section 4), as far as it is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Element {
    node: Option<String>,
    proto: Option<String>,
    host: Option<String>,
}

/// The elements of one line; `None` where it is not written as one.
fn elements(line: &str) -> Option<Vec<Element>> {
    let mut elements = vec![Element::default()];
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(',') {
            elements.push(Element::default());
            rest = after.trim_start();
            continue;
        }
        if let Some(after) = rest.strip_prefix(';') {
            rest = after.trim_start();
            continue;
        }
        let (name, after) = rest.split_once('=')?;
        let (value, after) = value(after)?;
        let element = elements.last_mut()?;
        let place = match name {
            _ if name.eq_ignore_ascii_case("for") => Some(&mut element.node),
            _ if name.eq_ignore_ascii_case("proto") => Some(&mut element.proto),
            _ if name.eq_ignore_ascii_case("host") => Some(&mut element.host),
            _ if is_token(name) => None,
            _ => return None,
        };
        if let Some(place) = place
            && place.replace(value).is_some()
        {
            // Each may stand once in an element.
            return None;
        }
        rest = after.trim_start();
        if !rest.is_empty() && !rest.starts_with([',', ';']) {
            return None;
        }
    }
    Some(elements)
}

/// A token or a quoted string (RFC 9110 section 5.6), and what follows it.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ';', ' ', '\t']).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return is_token(value).then(|| (value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            char => value.push(char),
        }
    }
    None
}

/// More than tokens: proxies write addresses without the quotes that colons and brackets ask for.
fn is_token(text: &str) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:[]/".contains(&byte);
    !text.is_empty() && text.bytes().all(is_fine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbound::Entrance;

    fn options(fields: ForwardedFields) -> ProxyOptions {
        let networks = ["10.0.0.0/8", "2001:db8::/32"].map(|network| network.parse().unwrap());
        ProxyOptions {
            trusted: wharf_app::app::TrustedProxies {
                networks: networks.to_vec(),
                unix: true,
            },
            fields,
            believes_host: true,
            believes_client_cert: false,
        }
    }

    /// What guests see of `lines` that `peer` has sent, and the host that was asked.
    #[track_caller]
    fn check_of(options: &ProxyOptions, peer: Peer, lines: &[(&str, &str)], told: &[(&str, &str)], host: Option<&str>) {
        let inbound = Inbound::new(options, &Entrance::default(), None, peer);
        let parse = |lines: &[(&str, &str)]| -> HeaderMap {
            let lines = lines.iter().map(|(name, value)| {
                let name: HeaderName = name.parse().unwrap();
                (name, HeaderValue::try_from(*value).unwrap())
            });
            let mut map = HeaderMap::new();
            for (name, value) in lines {
                map.append(name, value);
            }
            map
        };
        let mut headers = parse(lines);
        let known = Known::take(options, &inbound, &mut headers);
        assert_eq!(known.host(), host, "{lines:?}");
        known.tell(&mut headers);
        assert_eq!(headers, parse(told), "{lines:?}");
    }

    const PROXY: Peer = Peer::Ip(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)));
    const STRANGER: Peer = Peer::Ip(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7)));
    const FOR: &str = "x-forwarded-for";
    const PROTO: &str = "x-forwarded-proto";

    #[test]
    fn a_stranger_is_believed_nothing() {
        let options = options(ForwardedFields::Custom);
        let told = [(FOR, "192.0.2.7"), (PROTO, "http")];
        let said = [
            (FOR, "198.51.100.1"),
            (PROTO, "https"),
            ("x-forwarded-host", "b.test"),
            ("x-forwarded-user", "root"),
            ("x_forwarded_for", "198.51.100.1"),
            ("x-forwarded_proto", "https"),
            ("x-real-ip", "198.51.100.1"),
            ("x_real_ip", "198.51.100.1"),
            ("forwarded", "for=198.51.100.1"),
        ];
        check_of(&options, STRANGER, &said, &told, None);
        check_of(&options, Peer::Unknown, &said, &[(PROTO, "http")], None);
        let other = [
            ("x-forward", "1"),
            ("forward", "2"),
            ("x-request-id", "3"),
            ("x_real_ipv", "4"),
        ];
        check_of(&options, STRANGER, &other, &[&other[..], &told[..]].concat(), None);
    }

    #[test]
    fn a_client_is_the_first_from_the_right_that_is_not_trusted() {
        #[track_caller]
        fn check(said: &[&str], client: Option<&str>) {
            let options = options(ForwardedFields::Custom);
            let said: Vec<_> = said.iter().map(|line| (FOR, *line)).collect();
            let told: Vec<_> = client.map(|client| (FOR, client)).into_iter().collect();
            check_of(&options, PROXY, &said, &[&told[..], &[(PROTO, "http")]].concat(), None);
        }
        check(&["192.0.2.1"], Some("192.0.2.1"));
        check(&["198.51.100.1, 192.0.2.1"], Some("192.0.2.1"));
        check(&["198.51.100.1, 192.0.2.1, 10.9.9.9,2001:db8::5"], Some("192.0.2.1"));
        check(&["198.51.100.1", "192.0.2.1", "10.9.9.9"], Some("192.0.2.1"));
        check(&["10.1.1.1, 10.2.2.2"], Some("10.1.1.1"));
        check(&["192.0.2.1:5555"], Some("192.0.2.1"));
        check(&["[2001:db9::1]:5555"], Some("2001:db9::1"));
        check(&["2001:db9::1"], Some("2001:db9::1"));
        check(&["::ffff:192.0.2.1"], Some("192.0.2.1"));
        // Whoever cannot be known is not somebody else.
        check(&["192.0.2.1, unknown"], None);
        check(&["192.0.2.1, unknown, 10.0.0.2"], None);
        check(&["192.0.2.1,"], None);
        check(&["192.0.2.1\t\u{e9}"], None);
    }

    #[test]
    fn schemes_and_hosts_are_those_that_the_client_used() {
        #[track_caller]
        fn check(said: &[(&str, &str)], client: &str, proto: &str, host: Option<&str>) {
            let options = options(ForwardedFields::Custom);
            check_of(&options, PROXY, said, &[(FOR, client), (PROTO, proto)], host);
        }
        let (client, host, port) = ("192.0.2.1", "x-forwarded-host", "x-forwarded-port");
        check(&[(FOR, client), (PROTO, "https")], client, "https", None);
        check(&[(FOR, client), (PROTO, "HTTPS")], client, "https", None);
        check(&[(FOR, client), (PROTO, "gopher")], client, "http", None);
        let two = "192.0.2.1, 10.0.0.2";
        check(&[(FOR, two), (PROTO, "https, http")], client, "https", None);
        check(&[(FOR, two), (PROTO, "https")], client, "https", None);
        check(&[(FOR, client), (PROTO, "https, http")], client, "http", None);
        check(&[(PROTO, "https")], "10.0.0.1", "https", None);
        check(&[(FOR, client), (host, "a.test")], client, "http", Some("a.test"));
        check(
            &[(FOR, client), (host, "a.test"), (port, "8080")],
            client,
            "http",
            Some("a.test:8080"),
        );
        check(
            &[(FOR, client), (host, "a.test:1"), (port, "8080")],
            client,
            "http",
            Some("a.test:1"),
        );
        check(
            &[(FOR, client), (host, "[::1]"), (port, "81")],
            client,
            "http",
            Some("[::1]:81"),
        );
        let secure = [(FOR, client), (PROTO, "https"), (host, "a.test"), (port, "443")];
        check(&secure, client, "https", Some("a.test"));
    }

    #[test]
    fn what_else_a_trusted_proxy_says_is_for_the_guest() {
        let options = options(ForwardedFields::Custom);
        let said = [
            ("x-forwarded-user", "ann"),
            ("x-real-ip", "192.0.2.9"),
            ("forwarded", "for=192.0.2.9"),
        ];
        let told = [("x-forwarded-user", "ann"), (FOR, "10.0.0.1"), (PROTO, "http")];
        check_of(&options, PROXY, &said, &told, None);
        let told = [("x-forwarded-user", "ann"), (PROTO, "http")];
        check_of(&options, Peer::Unix, &said, &told, None);
    }

    #[test]
    fn the_standards_field() {
        #[track_caller]
        fn check(peer: Peer, said: &[&str], told: &str, host: Option<&str>) {
            let options = options(ForwardedFields::Standard);
            let said: Vec<_> = said.iter().map(|line| ("forwarded", *line)).collect();
            check_of(&options, peer, &said, &[("forwarded", told)], host);
        }
        check(
            STRANGER,
            &["for=198.51.100.1;proto=https"],
            "for=192.0.2.7;proto=http",
            None,
        );
        check(PROXY, &[], "for=10.0.0.1;proto=http", None);
        check(PROXY, &["for=192.0.2.1"], "for=192.0.2.1;proto=http", None);
        check(
            PROXY,
            &["For=\"[2001:db9::1]:4711\";Proto=https"],
            "for=\"[2001:db9::1]\";proto=https",
            None,
        );
        check(
            PROXY,
            &["for=\"192.0.2.1:_p\";by=x;host=\"a.test:81\""],
            "for=192.0.2.1;proto=http",
            Some("a.test:81"),
        );
        let two = "for=198.51.100.9, for=192.0.2.1;proto=https;host=a.test, for=10.0.0.2;proto=http;host=b.test";
        check(PROXY, &[two], "for=192.0.2.1;proto=https", Some("a.test"));
        check(
            PROXY,
            &["for=198.51.100.9", "for=192.0.2.1", "for=10.0.0.2"],
            "for=192.0.2.1;proto=http",
            None,
        );
        check(
            PROXY,
            &["for=\"a,b;\\\"c\", for=192.0.2.1"],
            "for=192.0.2.1;proto=http",
            None,
        );
        // Hidden, missing or damaged.
        check(PROXY, &["for=_hidden;proto=https"], "proto=https", None);
        check(PROXY, &["for=192.0.2.1, proto=https"], "proto=https", None);
        check(PROXY, &["for=192.0.2.1, for=unknown"], "proto=http", None);
        check(PROXY, &["for=\", for=192.0.2.1"], "proto=http", None);
        check(PROXY, &["for=\"", "for=192.0.2.1"], "for=192.0.2.1;proto=http", None);
        check(PROXY, &["for=1.1.1.1;for=192.0.2.1"], "proto=http", None);
        check(PROXY, &["for"], "proto=http", None);
    }

    #[test]
    fn nobody_is_told() {
        let options = options(ForwardedFields::None);
        let said = [(FOR, "192.0.2.1"), (PROTO, "https"), ("forwarded", "for=192.0.2.1")];
        check_of(&options, PROXY, &said, &[], None);
        check_of(&options, STRANGER, &said, &[], None);
    }
}
