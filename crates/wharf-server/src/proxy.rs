//! The PROXY protocol, version 1 and 2: how a proxy that passes bytes on says whose they are, before the first of them.
//!
//! By the letter of HAProxy's `proxy-protocol.txt`. Pure: bytes in, meaning out. Who may say it, and how long it may take, is
//! the connection's (`connection/greeting.rs`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The longest line of version 1, with its end.
const LINE_BYTES_MAX: usize = 107;

/// What version 2 begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// What stands before the addresses of version 2.
const FIXED_BYTES: usize = 16;

/// Whose connection it is, as a proxy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The proxy's own, such as a check of health.
    Proxy,
    /// A client's.
    Client(IpAddr),
    /// A client's without an address: it came to the proxy by a Unix socket, or by what the protocol has no name for.
    Nameless,
}

/// What the bytes that have come so far are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// The beginning of a header.
    Incomplete,
    /// A header of so many bytes, and perhaps something after it.
    Complete(usize, Source),
    /// None, for this reason.
    Bad(&'static str),
}

/// Reads the header that `bytes` begin with.
pub(crate) fn header(bytes: &[u8]) -> Header {
    let begins = |with: &[u8]| {
        let compared = with.len().min(bytes.len());
        bytes[..compared] == with[..compared]
    };
    if begins(SIGNATURE) {
        binary(bytes)
    } else if begins(b"PROXY ") {
        line(bytes)
    } else {
        Header::Bad("it does not begin with a PROXY header")
    }
}

/// Version 1 (section 2.1).
fn line(bytes: &[u8]) -> Header {
    let within = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let Some(end) = within.windows(2).position(|two| two == b"\r\n") else {
        return match bytes.len() < LINE_BYTES_MAX {
            true => Header::Incomplete,
            false => Header::Bad("the line of its PROXY header does not end"),
        };
    };
    let source = std::str::from_utf8(&within[..end]).ok().and_then(source_of_line);
    match source {
        Some(source) => Header::Complete(end + 2, source),
        None => Header::Bad("its PROXY header is not one of version 1"),
    }
}

fn source_of_line(line: &str) -> Option<Source> {
    let mut words = line.split(' ').skip(1);
    let protocol = words.next()?;
    if protocol == "UNKNOWN" {
        // Whatever follows is to be ignored. It may be the proxy's own (section 2.1 has no other word for that); but who would be
        // believed what it says for others has to be known.
        return Some(Source::Nameless);
    }
    let [source, destination, port, destination_port] = [(); 4].map(|()| words.next());
    let source: IpAddr = source?.parse().ok()?;
    let destination: IpAddr = destination?.parse().ok()?;
    let fits = match protocol {
        "TCP4" => source.is_ipv4() && destination.is_ipv4(),
        "TCP6" => source.is_ipv6() && destination.is_ipv6(),
        _ => false,
    };
    let is_whole = is_port(port?) && is_port(destination_port?) && words.next().is_none();
    (fits && is_whole).then_some(Source::Client(source.to_canonical()))
}

/// A decimal number up to 65535 without zeros before it.
fn is_port(text: &str) -> bool {
    let is_plain = text == "0" || !text.starts_with(['0', '+']);
    is_plain && text.parse::<u16>().is_ok()
}

/// Version 2 (section 2.2).
fn binary(bytes: &[u8]) -> Header {
    let Some((fixed, rest)) = bytes.split_at_checked(FIXED_BYTES) else {
        return Header::Incomplete;
    };
    let (version, command, family) = (fixed[12] >> 4, fixed[12] & 0xf, fixed[13]);
    if version != 2 || command > 1 {
        return Header::Bad("its PROXY header is of a version or a command that is unknown");
    }
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    let Some(block) = rest.get(..length) else {
        return Header::Incomplete;
    };
    // What follows the addresses says more than is asked for (section 2.2.1).
    let source = match (command, family) {
        // LOCAL: the family of the proxy's own connections is to be ignored.
        (0, _) => Some(Source::Proxy),
        // AF_UNSPEC: passed on for somebody.
        (1, 0x00) => Some(Source::Nameless),
        (1, 0x11 | 0x12) if length >= 12 => {
            let address = block.first_chunk::<4>().copied();
            address.map(|address| Source::Client(Ipv4Addr::from(address).into()))
        }
        (1, 0x21 | 0x22) if length >= 36 => {
            let address = block.first_chunk::<16>().copied();
            address.map(|address| Source::Client(IpAddr::from(Ipv6Addr::from(address)).to_canonical()))
        }
        (1, 0x31 | 0x32) if length >= 216 => Some(Source::Nameless),
        _ => None,
    };
    match source {
        Some(source) => Header::Complete(FIXED_BYTES + length, source),
        None => Header::Bad("its PROXY header has addresses that are unknown or too short"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAD_LINE: Header = Header::Bad("its PROXY header is not one of version 1");

    fn client(address: &str) -> Source {
        Source::Client(address.parse().unwrap())
    }

    /// Whatever follows, and in however many pieces it comes.
    #[track_caller]
    fn check(bytes: &[u8], expected: Source) {
        for length in 0..bytes.len() {
            assert_eq!(header(&bytes[..length]), Header::Incomplete, "the first {length} bytes");
        }
        for rest in [&b""[..], b"GET / HTTP/1.1\r\n", b"\r\n\r\n\0", b"PROXY UNKNOWN\r\n"] {
            let complete = Header::Complete(bytes.len(), expected);
            assert_eq!(header(&[bytes, rest].concat()), complete);
        }
    }

    #[test]
    fn lines() {
        check(b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n", client("192.0.2.1"));
        check(b"PROXY TCP6 2001:db8::1 ::1 0 65535\r\n", client("2001:db8::1"));
        check(b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 1\r\n", client("192.0.2.1"));
        check(b"PROXY UNKNOWN\r\n", Source::Nameless);
        check(b"PROXY UNKNOWN ffff::1 whatever 5 6 7\r\n", Source::Nameless);
        let full = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        let longest = format!("PROXY UNKNOWN {full} {full} 65535 65535\r\n");
        assert_eq!(longest.len(), LINE_BYTES_MAX);
        check(longest.as_bytes(), Source::Nameless);
    }

    #[test]
    fn lines_that_are_none() {
        for line in [
            "TCP4 192.0.2.1 198.51.100.1 56324",
            "TCP4 192.0.2.1 198.51.100.1 56324 443 1",
            "TCP4 192.0.2.1  198.51.100.1 56324 443",
            "TCP4 192.0.2.1 198.51.100.1 056324 443",
            "TCP4 192.0.2.1 198.51.100.1 +5 443",
            "TCP4 192.0.2.1 198.51.100.1 65536 443",
            "TCP4 192.0.2.01 198.51.100.1 1 443",
            "TCP4 2001:db8::1 ::1 1 2",
            "TCP6 192.0.2.1 198.51.100.1 1 2",
            "TCP4 2001:db8::1 198.51.100.1 1 2",
            "UDP4 192.0.2.1 198.51.100.1 1 2",
            "tcp4 192.0.2.1 198.51.100.1 1 2",
            "",
            "\u{e9}",
        ] {
            assert_eq!(header(format!("PROXY {line}\r\n").as_bytes()), BAD_LINE, "{line}");
        }
        assert_eq!(header(b"PROXY TCP4 192.0.2.1 198.51.100.1 1 2\n\r\n"), BAD_LINE);
        for other in ["GET / HTTP/1.1\r\n", "PROXX", "\u{16}\u{3}\u{1}", "\r\n\r\n\u{1}"] {
            assert!(matches!(header(other.as_bytes()), Header::Bad(_)), "{other}");
        }
        let endless = format!("PROXY UNKNOWN {}", "x".repeat(LINE_BYTES_MAX));
        assert!(matches!(header(endless.as_bytes()), Header::Bad(_)));
        assert_eq!(header(&endless.as_bytes()[..LINE_BYTES_MAX - 1]), Header::Incomplete);
    }

    fn block(version_and_command: u8, family: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[version_and_command, family][..], &length, content].concat()
    }

    #[test]
    fn blocks() {
        let v4 = [192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 4, 1, 187];
        check(&block(0x21, 0x11, &v4), client("192.0.2.1"));
        check(&block(0x21, 0x12, &v4), client("192.0.2.1"));
        // PP2_TYPE_ALPN, then one that nobody knows.
        let more = [&v4[..], &[1, 0, 2, b'h', b'2', 0xee, 0, 0]].concat();
        check(&block(0x21, 0x11, &more), client("192.0.2.1"));
        let long = [&v4[..], &vec![0; 5000]].concat();
        check(&block(0x21, 0x11, &long), client("192.0.2.1"));
        let mut v6 = [0; 36];
        v6[..4].copy_from_slice(&[0x20, 1, 0xd, 0xb8]);
        v6[15] = 1;
        check(&block(0x21, 0x21, &v6), client("2001:db8::1"));
        check(&block(0x21, 0x31, &[0; 216]), Source::Nameless);
        check(&block(0x21, 0x00, &[]), Source::Nameless);
        check(&block(0x21, 0x00, &[9; 20]), Source::Nameless);
        check(&block(0x20, 0x00, &[]), Source::Proxy);
        check(&block(0x20, 0x11, &v4), Source::Proxy);
        check(&block(0x20, 0xff, &[1]), Source::Proxy);
    }

    #[test]
    fn blocks_that_are_none() {
        for (version_and_command, family, bytes) in [
            (0x11, 0x11, 12),
            (0x31, 0x11, 12),
            (0x22, 0x11, 12),
            (0x2f, 0x11, 12),
            (0x21, 0x11, 11),
            (0x21, 0x21, 35),
            (0x21, 0x31, 215),
            (0x21, 0x41, 216),
            (0x21, 0x10, 216),
            (0x21, 0x13, 216),
            (0x21, 0x01, 216),
        ] {
            let bytes = block(version_and_command, family, &vec![0; bytes]);
            assert!(
                matches!(header(&bytes), Header::Bad(_)),
                "{version_and_command:x} {family:x}"
            );
        }
    }
}
