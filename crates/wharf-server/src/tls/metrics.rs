//! What is counted of handshakes, certificates and orders.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::certificate::Certificate;

/// Handshakes that failed are logged as often as this in a second, at most: anybody can make them fail.
const FAILURES_LOGGED: u64 = 10;

/// The counters. Clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct TlsMetrics {
    handshakes: Family<OfHandshake, Counter>,
    expires: Family<OfName, Gauge>,
    orders: Family<OfOrder, Counter>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfHandshake {
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfName {
    name: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfOrder {
    outcome: &'static str,
}

impl TlsMetrics {
    pub fn register(&self, registry: &mut Registry) {
        let handshakes = "TLS handshakes, by how they ended";
        registry.register("tls_handshakes", handshakes, self.handshakes.clone());
        let expires = "When the certificate for a name expires, in seconds since 1970; of several, the first to";
        registry.register_with_unit("certificate_expires", expires, Unit::Seconds, self.expires.clone());
        let orders = "Orders of certificates, by how they ended";
        registry.register("acme_orders", orders, self.orders.clone());
    }

    pub fn shook(&self, outcome: &'static str) {
        self.handshakes.get_or_create(&OfHandshake { outcome }).inc();
    }

    pub fn ordered(&self, is_done: bool) {
        let outcome = if is_done { "succeeded" } else { "failed" };
        self.orders.get_or_create(&OfOrder { outcome }).inc();
    }

    /// These are the certificates from now on.
    pub fn certificates<'a>(&self, certificates: impl Iterator<Item = &'a Certificate>) {
        self.expires.clear();
        for certificate in certificates {
            let expires = certificate.not_after.duration_since(SystemTime::UNIX_EPOCH);
            let expires = i64::try_from(expires.map_or(0, |since| since.as_secs())).unwrap_or(i64::MAX);
            for name in &certificate.names {
                let gauge = self.expires.get_or_create_owned(&OfName { name: name.clone() });
                let known = gauge.get();
                gauge.set(if known == 0 { expires } else { known.min(expires) });
            }
        }
    }
}

/// Lets so many things of a second be logged, and no more.
#[derive(Debug, Default)]
pub(super) struct Trickle {
    second: AtomicU64,
    logged: AtomicU64,
}

impl Trickle {
    pub fn lets_through(&self) -> bool {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.unwrap_or(Duration::ZERO).as_secs();
        if self.second.swap(now, Ordering::Relaxed) != now {
            self.logged.store(0, Ordering::Relaxed);
        }
        self.logged.fetch_add(1, Ordering::Relaxed) < FAILURES_LOGGED
    }
}
