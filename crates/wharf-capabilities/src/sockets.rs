//! TCP, UDP and name lookup for guests, through `wasi:sockets`, as far as an allow list goes.
//!
//! The sockets themselves are Wasmtime's; it asks here before each use of an address.
//!
//! - **Connect, send**: to addresses that a pattern of addresses covers; to addresses of a granted name once the guest
//!   has looked that name up through [`resolve`](Network::resolve), for ten minutes.
//! - **Bind, listen**: on local addresses and ports that a pattern covers (`127.0.0.1:8080`, `0.0.0.0` for all
//!   interfaces on every port). A socket that connects is bound to the unspecified address and port 0 on the way;
//!   that much is always allowed, listening there is not.
//! - **Accept, receive**: from anybody, once the app has bound a granted address; before that only from peers that it
//!   may itself connect to, so that answers to its datagrams arrive and nothing else does.

mod section;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use wharf_host::Sample;
use wharf_host::capability::{AddressUse, Admission, BoxFuture, Capability, LookupError, Network};

use crate::allow::{AllowList, Host, Pattern};
use crate::denials::Denials;
use crate::resolve::{self, Resolve};

pub use section::SocketsKind;

/// How long an address stays reachable after a lookup. Long enough for a guest's own pool to reconnect without asking
/// again, short enough that a name which moved does not leave its old address open for hours.
const LOOKUP_VALID: Duration = Duration::from_secs(600);

/// How many lookups are remembered; past it the oldest is forgotten, and a guest must look that name up again.
const LOOKUPS_REMEMBERED_MAX: usize = 4096;

/// Lets guests use sockets within an allow list. Without it all of `wasi:sockets` is denied.
pub struct SocketsCapability {
    network: Arc<GrantedNetwork>,
}

impl SocketsCapability {
    /// Grants the app called `app` what `allow` covers, looking names up with the system's resolver.
    ///
    /// # Errors
    /// When a pattern speaks of `http://` or `https://`, which means nothing to a socket.
    pub fn new(app: &str, allow: AllowList) -> Result<Self, SchemeOfSocket> {
        Self::with_resolver(app, allow, resolve::standard())
    }

    /// The same with another resolver.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_resolver(app: &str, allow: AllowList, resolver: Arc<dyn Resolve>) -> Result<Self, SchemeOfSocket> {
        allow.patterns().iter().try_for_each(without_scheme)?;
        let network = GrantedNetwork {
            allow,
            resolver,
            lookups: Arc::new(Mutex::new(Lookups::default())),
            serves: AtomicBool::new(false),
            denials: Denials::of(app),
        };
        Ok(Self {
            network: Arc::new(network),
        })
    }
}

impl Capability for SocketsCapability {
    fn name(&self) -> &'static str {
        "sockets"
    }

    fn admit(&self, admission: &mut Admission<'_>) -> wasmtime::Result<()> {
        admission.network(self.network.clone());
        Ok(())
    }

    fn samples(&self) -> Vec<Sample> {
        vec![self.network.denials.sample()]
    }
}

fn without_scheme(pattern: &Pattern) -> Result<(), SchemeOfSocket> {
    match pattern.has_scheme() {
        true => Err(SchemeOfSocket {
            pattern: pattern.to_string(),
        }),
        false => Ok(()),
    }
}

/// A pattern for sockets with a scheme.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}` has a scheme, and sockets have none: write the host, with its port if only one is meant")]
pub struct SchemeOfSocket {
    pattern: String,
}

struct GrantedNetwork {
    allow: AllowList,
    resolver: Arc<dyn Resolve>,
    lookups: Arc<Mutex<Lookups>>,
    /// Whether the app has bound a granted address.
    serves: AtomicBool,
    denials: Denials,
}

impl Network for GrantedNetwork {
    fn allows(&self, address: SocketAddr, purpose: AddressUse) -> BoxFuture<bool> {
        let (what, allows) = match purpose {
            AddressUse::Bind => ("binding a socket", self.may_bind(address)),
            AddressUse::Listen => ("listening", self.reaches(address)),
            AddressUse::Connect => ("outgoing connection", self.reaches(address)),
            // A peer asks for it, not the guest: there is no grant that somebody forgot.
            AddressUse::Accept => return ready(self.serves.load(Ordering::Relaxed) || self.reaches(address)),
        };
        if !allows {
            self.denials.tell(what, &address, "no pattern covers it");
        }
        ready(allows)
    }

    fn resolve(&self, name: String) -> BoxFuture<Result<Vec<IpAddr>, LookupError>> {
        let host = match name_or_address(&name) {
            Some(Host::Address(address)) => return ready(Ok(vec![address])),
            Some(host) => host,
            None => return ready(Err(LookupError::InvalidArgument)),
        };
        if !self.allow.allows_host(&host) {
            self.denials.tell("name lookup", &host, "no pattern covers it");
            return ready(Err(LookupError::AccessDenied));
        }
        let answer = self.resolver.resolve(&host.to_string());
        let lookups = self.lookups.clone();
        Box::pin(async move {
            let addresses = answer.await?;
            let mut lookups = lookups.lock().unwrap_or_else(PoisonError::into_inner);
            for address in &addresses {
                lookups.remember(*address, &host, Instant::now());
            }
            Ok(addresses)
        })
    }
}

fn ready<T: Send + Sync + 'static>(value: T) -> BoxFuture<T> {
    Box::pin(std::future::ready(value))
}

impl GrantedNetwork {
    /// Whether a pattern covers `address`, or covers a name that was lately found to have it.
    fn reaches(&self, address: SocketAddr) -> bool {
        let (ip, port) = (address.ip().to_canonical(), address.port());
        if self.allow.allows_address(ip, port, None) {
            return true;
        }
        let lookups = self.lookups.lock().unwrap_or_else(PoisonError::into_inner);
        let mut names = lookups.names_of(ip, Instant::now());
        names.any(|host| self.allow.allows_address(ip, port, Some(host)))
    }

    fn may_bind(&self, address: SocketAddr) -> bool {
        if self.reaches(address) {
            self.serves.store(true, Ordering::Relaxed);
            return true;
        }
        address.ip().is_unspecified() && address.port() == 0
    }
}

/// Reads what a guest asks to look up, internationalised names included (the interface asks for that).
fn name_or_address(text: &str) -> Option<Host> {
    match url::Host::parse(text) {
        Ok(url::Host::Domain(name)) => Host::parse(&name),
        Ok(url::Host::Ipv4(address)) => Some(Host::Address(address.into())),
        Ok(url::Host::Ipv6(address)) => Some(Host::Address(IpAddr::V6(address).to_canonical())),
        // URLs have IPv6 addresses in brackets, guests may give them bare.
        Err(_) => text
            .parse()
            .ok()
            .map(|address: IpAddr| Host::Address(address.to_canonical())),
    }
}

/// Which names were lately found to have which addresses.
#[derive(Default)]
struct Lookups {
    /// Each name with the time until which it counts.
    names: HashMap<IpAddr, Vec<(Host, Instant)>>,
    count: usize,
}

impl Lookups {
    fn names_of(&self, address: IpAddr, now: Instant) -> impl Iterator<Item = &Host> {
        let names = self.names.get(&address).into_iter().flatten();
        names.filter(move |(_, until)| *until > now).map(|(host, _)| host)
    }

    fn remember(&mut self, address: IpAddr, host: &Host, now: Instant) {
        let until = now + LOOKUP_VALID;
        let known = self
            .names
            .get_mut(&address)
            .and_then(|names| names.iter_mut().find(|(name, _)| name == host));
        if let Some((_, known_until)) = known {
            *known_until = until;
            return;
        }
        if self.count >= LOOKUPS_REMEMBERED_MAX {
            self.forget_some(now);
        }
        self.names.entry(address).or_default().push((host.clone(), until));
        self.count += 1;
    }

    /// Drops what counts no more, or the oldest when all still counts.
    fn forget_some(&mut self, now: Instant) {
        let oldest = self.names.values().flatten().map(|(_, until)| *until).min();
        let limit = oldest.map_or(now, |oldest| oldest.max(now));
        for names in self.names.values_mut() {
            names.retain(|(_, until)| *until > limit);
        }
        self.names.retain(|_, names| !names.is_empty());
        self.count = self.names.values().map(Vec::len).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers from a table, and counts nothing as an error but what is missing in it.
    struct Table(&'static [(&'static str, &'static [&'static str])]);

    impl Resolve for Table {
        fn resolve(&self, name: &str) -> BoxFuture<Result<Vec<IpAddr>, LookupError>> {
            let found = self.0.iter().find(|(known, _)| *known == name);
            let addresses = found.map(|(_, addresses)| addresses.iter().map(|ip| ip.parse().unwrap()).collect());
            Box::pin(std::future::ready(addresses.ok_or(LookupError::NameUnresolvable)))
        }
    }

    const NAMES: Table = Table(&[
        ("db.example.com", &["93.184.216.34", "2606:2800:220:1::1"]),
        ("rebinding.example.com", &["127.0.0.1"]),
        ("localhost", &["127.0.0.1", "::1"]),
        ("xn--bcher-kva.example", &["93.184.216.35"]),
    ]);

    fn network(patterns: &str) -> Arc<GrantedNetwork> {
        let allow = AllowList::parse(patterns.split_whitespace()).unwrap();
        SocketsCapability::with_resolver("shop", allow, Arc::new(NAMES))
            .unwrap()
            .network
    }

    #[track_caller]
    fn check(network: &GrantedNetwork, purpose: AddressUse, address: &str, allowed: bool) {
        use futures_util::FutureExt as _;
        let granted = network.allows(address.parse().unwrap(), purpose).now_or_never();
        assert_eq!(granted, Some(allowed), "{purpose:?} {address}");
    }

    #[tokio::test]
    async fn addresses_are_reached_by_patterns_of_addresses() {
        let network = network("127.0.0.1:5432 10.0.0.0/8 [::1]:80");
        check(&network, AddressUse::Connect, "127.0.0.1:5432", true);
        check(&network, AddressUse::Connect, "[::ffff:127.0.0.1]:5432", true);
        check(&network, AddressUse::Connect, "127.0.0.1:5433", false);
        check(&network, AddressUse::Connect, "10.1.2.3:1", true);
        check(&network, AddressUse::Connect, "[::1]:80", true);
        check(&network, AddressUse::Connect, "93.184.216.34:80", false);
    }

    #[tokio::test]
    async fn addresses_of_a_name_are_reached_after_its_lookup() {
        let network = network("db.example.com:5432");
        check(&network, AddressUse::Connect, "93.184.216.34:5432", false);
        let addresses = network.resolve("DB.example.com.".to_owned()).await.unwrap();
        assert_eq!(addresses.len(), 2);
        check(&network, AddressUse::Connect, "93.184.216.34:5432", true);
        check(&network, AddressUse::Connect, "[2606:2800:220:1::1]:5432", true);
        check(&network, AddressUse::Connect, "93.184.216.34:80", false);
        check(&network, AddressUse::Connect, "93.184.216.35:5432", false);
    }

    #[tokio::test]
    async fn a_name_that_leads_to_loopback_opens_nothing() {
        let network = network("*.example.com");
        assert_eq!(
            network.resolve("rebinding.example.com".to_owned()).await.unwrap().len(),
            1
        );
        check(&network, AddressUse::Connect, "127.0.0.1:80", false);
        let network = self::network("localhost:80");
        check(&network, AddressUse::Connect, "127.0.0.1:80", false);
        network.resolve("localhost".to_owned()).await.unwrap();
        check(&network, AddressUse::Connect, "127.0.0.1:80", true);
        check(&network, AddressUse::Connect, "127.0.0.1:81", false);
    }

    /// Every name leads to one address.
    struct To(IpAddr);

    impl Resolve for To {
        fn resolve(&self, _: &str) -> BoxFuture<Result<Vec<IpAddr>, LookupError>> {
            Box::pin(std::future::ready(Ok(vec![self.0])))
        }
    }

    #[tokio::test]
    async fn no_name_opens_what_is_reserved() {
        let reserved = [
            "127.0.0.1",
            "0.0.0.0",
            "10.1.2.3",
            "169.254.169.254",
            "168.63.129.16",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "fd00:ec2::254",
            "fe80::1",
        ];
        for address in reserved {
            for patterns in ["evil.test", "*.test", "public", "public:80 localhost"] {
                let address: IpAddr = address.parse().unwrap();
                let allow = AllowList::parse(patterns.split_whitespace()).unwrap();
                let network = SocketsCapability::with_resolver("shop", allow, Arc::new(To(address)))
                    .unwrap()
                    .network;
                network.resolve("evil.test".to_owned()).await.unwrap();
                for purpose in [AddressUse::Connect, AddressUse::Listen, AddressUse::Accept] {
                    check(&network, purpose, &SocketAddr::new(address, 80).to_string(), false);
                }
            }
        }
    }

    #[tokio::test]
    async fn names_are_looked_up_when_granted() {
        #[track_caller]
        fn check(patterns: &str, name: &str, expected: Result<usize, LookupError>) {
            use futures_util::FutureExt as _;
            let answer = network(patterns).resolve(name.to_owned()).now_or_never().unwrap();
            assert_eq!(answer.map(|addresses| addresses.len()), expected, "{name:?}");
        }
        check("*", "db.example.com", Ok(2));
        check("*", "unknown.example.com", Err(LookupError::NameUnresolvable));
        check("db.example.com", "db.example.com", Ok(2));
        check("", "db.example.com", Err(LookupError::AccessDenied));
        check("10.0.0.0/8", "db.example.com", Err(LookupError::AccessDenied));
        check("*", "b\u{fc}cher.example", Ok(1));
        check("xn--bcher-kva.example", "B\u{dc}CHER.example", Ok(1));
        // Addresses are not looked up, so there is nothing to grant.
        for address in [
            "127.0.0.1",
            "::1",
            "[::1]",
            "0.0.0.0",
            "[::]",
            "::ffff:10.0.0.1",
            "93.184.216.34",
        ] {
            check("", address, Ok(1));
        }
        for text in [
            "",
            " ",
            "a b",
            "db.example.com:80",
            "http://db.example.com/",
            "[db.example.com]",
            "a..b",
            "<>",
        ] {
            check("*", text, Err(LookupError::InvalidArgument));
        }
    }

    #[tokio::test]
    async fn binding_needs_a_grant_and_connecting_does_not_need_one_to_bind() {
        let network = network("db.example.com 127.0.0.1:8080");
        for implicit in ["0.0.0.0:0", "[::]:0"] {
            check(&network, AddressUse::Bind, implicit, true);
            check(&network, AddressUse::Listen, implicit, false);
        }
        check(&network, AddressUse::Bind, "0.0.0.0:8080", false);
        check(&network, AddressUse::Bind, "127.0.0.1:0", false);
        check(&network, AddressUse::Bind, "127.0.0.1:8080", true);
        check(&network, AddressUse::Listen, "127.0.0.1:8080", true);
        check(&network, AddressUse::Listen, "127.0.0.1:8081", false);
        let everything = self::network("*");
        check(&everything, AddressUse::Bind, "0.0.0.0:80", true);
        check(&everything, AddressUse::Listen, "[::]:0", true);
        let nothing = self::network("");
        check(&nothing, AddressUse::Bind, "127.0.0.1:80", false);
        check(&self::network("0.0.0.0"), AddressUse::Listen, "0.0.0.0:80", true);
        check(&self::network("127.0.0.1:*"), AddressUse::Bind, "127.0.0.1:0", true);
    }

    #[tokio::test]
    async fn what_a_guest_is_denied_is_counted() {
        let network = network("db.example.com 127.0.0.1:8080");
        let denied = || network.denials.sample().value;
        check(&network, AddressUse::Bind, "0.0.0.0:0", true);
        check(&network, AddressUse::Accept, "10.0.0.1:54", false);
        assert_eq!(denied(), 0.0);
        for (nth, purpose) in [AddressUse::Connect, AddressUse::Bind, AddressUse::Listen]
            .iter()
            .enumerate()
        {
            check(&network, *purpose, "127.0.0.1:1", false);
            assert_eq!(denied(), nth as f64 + 1.0, "{purpose:?}");
        }
        let answer = network.resolve("unknown.example.com".to_owned()).await;
        assert_eq!((answer, denied()), (Err(LookupError::AccessDenied), 4.0));
    }

    #[tokio::test]
    async fn strangers_are_heard_once_a_granted_address_is_bound() {
        let network = network("10.0.0.0/8:53 127.0.0.1:8080");
        check(&network, AddressUse::Bind, "0.0.0.0:0", true);
        check(&network, AddressUse::Accept, "10.0.0.1:53", true);
        check(&network, AddressUse::Accept, "10.0.0.1:54", false);
        check(&network, AddressUse::Accept, "127.0.0.1:50000", false);
        check(&network, AddressUse::Bind, "127.0.0.1:8080", true);
        check(&network, AddressUse::Accept, "127.0.0.1:50000", true);
    }

    #[test]
    fn lookups_expire_and_are_bounded() {
        let host = |number: usize| Host::Name(format!("host{number}.example.com"));
        let ip = |number: usize| IpAddr::from([8, 0, (number >> 8) as u8, number as u8]);
        let start = Instant::now();
        let mut lookups = Lookups::default();
        for number in 0..LOOKUPS_REMEMBERED_MAX {
            lookups.remember(ip(number), &host(number), start + Duration::from_millis(number as u64));
        }
        let later = start + Duration::from_secs(10);
        lookups.remember(ip(1), &host(1), later);
        assert_eq!(lookups.count, LOOKUPS_REMEMBERED_MAX);
        // One more makes the oldest go, and host 1 is no longer that old.
        lookups.remember(ip(0), &host(5), later);
        assert_eq!(lookups.names_of(ip(0), later).collect::<Vec<_>>(), [&host(5)]);
        assert_eq!(lookups.names_of(ip(1), later).collect::<Vec<_>>(), [&host(1)]);
        assert_eq!(lookups.count, LOOKUPS_REMEMBERED_MAX);
        assert_eq!(lookups.names_of(ip(1), later + LOOKUP_VALID).count(), 0);
        lookups.forget_some(later + LOOKUP_VALID);
        assert_eq!((lookups.count, lookups.names.len()), (0, 0));
    }

    #[test]
    fn patterns_with_a_scheme_are_no_grants_for_sockets() {
        let allow = AllowList::parse(["10.0.0.0/8", "https://example.com"]).unwrap();
        let error = SocketsCapability::new("shop", allow).err().unwrap();
        assert_eq!(
            error.to_string(),
            "`https://example.com` has a scheme, and sockets have none: write the host, with its port if only one is meant"
        );
    }
}
