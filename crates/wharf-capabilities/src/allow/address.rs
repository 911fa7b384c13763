//! Ranges of IP addresses, and which addresses are not the public internet.
//!
//! Pure arithmetic. What follows from an address being reserved is decided in `allow.rs`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses that share their first bits, such as `10.0.0.0/8`. A single address is a range of full length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AddressRange {
    base: IpAddr,
    prefix_bits: u8,
}

impl AddressRange {
    /// The range of one address.
    pub(super) fn single(address: IpAddr) -> Self {
        let base = canonical(address);
        Self {
            base,
            prefix_bits: bits(base),
        }
    }

    /// `base/prefix_bits`, or the range that was probably meant when `base` has bits beyond the prefix.
    ///
    /// `prefix_bits` must not exceed the address's length.
    pub(super) fn new(base: IpAddr, prefix_bits: u8) -> Result<Self, Self> {
        let (base, prefix_bits) = match (base, canonical(base)) {
            // `::ffff:10.0.0.0/104` speaks of IPv4 addresses, and those are compared as such.
            (IpAddr::V6(_), v4 @ IpAddr::V4(_)) if prefix_bits >= 96 => (v4, prefix_bits - 96),
            _ => (base, prefix_bits),
        };
        let masked = Self {
            base: mask(base, prefix_bits),
            prefix_bits,
        };
        if masked.base == base { Ok(masked) } else { Err(masked) }
    }

    /// Whether `address`, which is canonical, lies in the range.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.base.is_ipv4() && mask(address, self.prefix_bits) == self.base
    }

    const fn v4(a: u8, b: u8, c: u8, d: u8, prefix_bits: u8) -> Self {
        Self {
            base: IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
            prefix_bits,
        }
    }

    const fn v6(a: u16, b: u16, c: u16, prefix_bits: u8) -> Self {
        Self {
            base: IpAddr::V6(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0)),
            prefix_bits,
        }
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix_bits)
    }
}

/// How many bits an address of this family has.
pub(super) fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The one form in which addresses are compared: `::ffff:127.0.0.1` reaches the same machine as `127.0.0.1`.
pub(super) fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// Whether packets to `address` stay out of the public internet, or may: private, loopback, link-local, shared (CGNAT),
/// multicast, unspecified, reserved, documentation and cloud metadata addresses.
pub(super) fn is_reserved(address: IpAddr) -> bool {
    match canonical(address) {
        v4 @ IpAddr::V4(_) => RESERVED_V4.iter().any(|range| range.contains(v4)),
        v6 @ IpAddr::V6(inner) => {
            !GLOBAL_V6.contains(v6) && !TRANSLATED_V6.contains(v6)
                || RESERVED_V6.iter().any(|range| range.contains(v6))
                || carried_v4(inner).is_some_and(|v4| is_reserved(v4.into()))
        }
    }
}

/// After IANA's registry of special-purpose IPv4 addresses (RFC 6890); all that is not globally reachable.
const RESERVED_V4: &[AddressRange] = &[
    AddressRange::v4(0, 0, 0, 0, 8),        // "this network"; 0.0.0.0 reaches the own machine
    AddressRange::v4(10, 0, 0, 0, 8),       // private
    AddressRange::v4(100, 64, 0, 0, 10),    // shared by carriers; clouds put metadata there (100.100.100.200)
    AddressRange::v4(127, 0, 0, 0, 8),      // loopback
    AddressRange::v4(168, 63, 129, 16, 32), // a public number that means the host inside one cloud (Azure)
    AddressRange::v4(169, 254, 0, 0, 16),   // link-local; cloud metadata at 169.254.169.254
    AddressRange::v4(172, 16, 0, 0, 12),    // private
    AddressRange::v4(192, 0, 0, 0, 24),     // protocol assignments; cloud metadata at 192.0.0.192
    AddressRange::v4(192, 0, 2, 0, 24),     // documentation
    AddressRange::v4(192, 88, 99, 0, 24),   // 6to4 relays, withdrawn
    AddressRange::v4(192, 168, 0, 0, 16),   // private
    AddressRange::v4(198, 18, 0, 0, 15),    // benchmarks
    AddressRange::v4(198, 51, 100, 0, 24),  // documentation
    AddressRange::v4(203, 0, 113, 0, 24),   // documentation
    AddressRange::v4(224, 0, 0, 0, 4),      // multicast
    AddressRange::v4(240, 0, 0, 0, 4),      // reserved, and broadcast
];

/// All of IPv6 that is handed out for the public internet. What lies outside is reserved: loopback, unspecified,
/// unique local (fd00:ec2::254 among them), link-local, multicast.
const GLOBAL_V6: AddressRange = AddressRange::v6(0x2000, 0, 0, 3);

/// Public IPv4 addresses as a network without IPv4 writes them (NAT64, RFC 6052).
const TRANSLATED_V6: AddressRange = AddressRange::v6(0x64, 0xff9b, 0, 96);

/// What is reserved within `GLOBAL_V6`.
const RESERVED_V6: &[AddressRange] = &[
    AddressRange::v6(0x2001, 0, 0, 23),     // protocol assignments, Teredo among them
    AddressRange::v6(0x2001, 0xdb8, 0, 32), // documentation
    AddressRange::v6(0x3fff, 0, 0, 20),     // documentation
];

/// The IPv4 address that a translating or tunnelling network would send packets for `address` to.
fn carried_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let octets = address.octets();
    let from = if TRANSLATED_V6.contains(address.into()) {
        12
    } else if octets[..2] == [0x20, 0x02] {
        // 6to4, RFC 3056.
        2
    } else {
        return None;
    };
    Some(Ipv4Addr::new(
        octets[from],
        octets[from + 1],
        octets[from + 2],
        octets[from + 3],
    ))
}

/// The first `prefix_bits` of `address`, the rest zero.
fn mask(address: IpAddr, prefix_bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let keep = u32::MAX.checked_shl(32 - u32::from(prefix_bits)).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & keep).into()
        }
        IpAddr::V6(v6) => {
            let keep = u128::MAX.checked_shl(128 - u32::from(prefix_bits)).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & keep).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_addresses_are_told_from_public_ones() {
        let reserved = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::127.0.0.1",
            "64:ff9b::10.1.2.3",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "2002:a9fe:a9fe::",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ];
        for address in reserved {
            assert!(is_reserved(address.parse().unwrap()), "{address} is reserved");
        }
        let public = [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.1",
            "168.63.129.15",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
            "2001:4860:4860::8888",
            "2606:4700:4700::1111",
            "2a00:1450:4001:81b::200e",
        ];
        for address in public {
            assert!(!is_reserved(address.parse().unwrap()), "{address} is public");
        }
    }

    #[test]
    fn ranges_contain_what_shares_their_prefix() {
        #[track_caller]
        fn check(base: &str, prefix_bits: u8, inside: &[&str], outside: &[&str]) {
            let range = AddressRange::new(base.parse().unwrap(), prefix_bits).unwrap();
            for address in inside {
                assert!(
                    range.contains(canonical(address.parse().unwrap())),
                    "{address} in {range}"
                );
            }
            for address in outside {
                assert!(
                    !range.contains(canonical(address.parse().unwrap())),
                    "{address} not in {range}"
                );
            }
        }
        check(
            "10.0.0.0",
            8,
            &["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"],
            &["9.255.255.255", "11.0.0.0", "::a00:1"],
        );
        check(
            "0.0.0.0",
            0,
            &["0.0.0.0", "255.255.255.255", "::ffff:1.2.3.4"],
            &["::1", "::"],
        );
        check("::", 0, &["::1", "ffff::"], &["127.0.0.1", "::ffff:127.0.0.1"]);
        check("192.168.1.7", 32, &["192.168.1.7"], &["192.168.1.6", "192.168.1.8"]);
        check("fd00::", 8, &["fd00:ec2::254", "fdff::1"], &["fc00::1", "fe80::1"]);
        check("2001:db8::1", 128, &["2001:db8::1"], &["2001:db8::2"]);
        check("::ffff:10.0.0.0", 104, &["10.2.3.4", "::ffff:10.2.3.4"], &["11.0.0.0"]);
    }

    #[test]
    fn a_base_with_bits_beyond_its_prefix_is_refused_with_the_range_meant() {
        let meant = AddressRange::new("10.1.2.3".parse().unwrap(), 8).unwrap_err();
        assert_eq!(meant.to_string(), "10.0.0.0/8");
        let meant = AddressRange::new("fd00::1".parse().unwrap(), 64).unwrap_err();
        assert_eq!(meant.to_string(), "fd00::/64");
    }
}
