//! What is counted, and how it is written down (OpenMetrics 1.0). Counting costs a request some additions; whatever can be
//! asked for is asked for when somebody wants to know.

use std::fmt;

use http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use wharf_host::Service;

/// The statuses' first digits, as they stand in labels.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The counters of a server.
pub(crate) struct Metrics {
    registry: Registry,
    pub connections: Gauge,
    pub requests: Gauge,
    responses: [Counter; CLASSES.len()],
    asked: Asked,
}

/// What is only looked up when somebody asks.
#[derive(Default)]
struct Asked {
    waiting: Gauge,
    instances: Gauge,
    idle: Gauge,
    kept_bytes: Gauge,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Class {
    class: &'static str,
}

impl Metrics {
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("wharf");
        let responses = Family::<Class, Counter>::default();
        let (connections, requests, asked) = (Gauge::default(), Gauge::default(), Asked::default());
        let mut gauge = |name: &str, help: &str, gauge: &Gauge| registry.register(name, help, gauge.clone());
        gauge("connections", "Connections that are open", &connections);
        gauge("requests", "Requests under way", &requests);
        gauge("requests_waiting", "Requests that wait for an instance", &asked.waiting);
        gauge("instances", "Instances there are", &asked.instances);
        gauge("instances_idle", "Of these, kept for requests to come", &asked.idle);
        let kept = "Memory that ended instances left resident for those to come";
        registry.register_with_unit("pool_kept", kept, Unit::Bytes, asked.kept_bytes.clone());
        registry.register(
            "responses",
            "Responses by the first digit of their status",
            responses.clone(),
        );
        Self {
            registry,
            connections,
            requests,
            responses: CLASSES.map(|class| responses.get_or_create_owned(&Class { class })),
            asked,
        }
    }

    /// A response has begun.
    pub fn responded(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        if let Some(responses) = self.responses.get(class) {
            responses.inc();
        }
    }

    /// All of them as text, with what `service` says of itself.
    pub fn write(&self, service: &Service) -> Result<String, fmt::Error> {
        let usage = service.usage();
        self.asked.waiting.set(count(usage.waiting));
        self.asked.idle.set(count(usage.idle));
        if let Some(pool) = service.engine().pool_usage() {
            self.asked
                .instances
                .set(i64::try_from(pool.instances).unwrap_or(i64::MAX));
            self.asked.kept_bytes.set(count(pool.kept_bytes));
        }
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
