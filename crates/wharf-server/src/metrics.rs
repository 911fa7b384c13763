//! What is counted, and how it is written down (OpenMetrics 1.0). Counting costs a request some additions; whatever can be
//! asked for is asked for when somebody wants to know.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::app::App;
use crate::limits::Limit;
use crate::tls::TlsMetrics;
use crate::websocket::Counts;

/// The statuses' first digits, as they stand in labels.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The label of what belongs to no app.
const NO_APP: &str = "";

/// The counters of a server.
pub(crate) struct Metrics {
    registry: Registry,
    pub connections: Gauge,
    pub requests: Gauge,
    limits: [Counter; Limit::ALL.len()],
    by_status: Family<Class, Counter>,
    /// By app, for those that come back in a new version.
    responses: Mutex<HashMap<Arc<str>, Arc<Responses>>>,
    other: Arc<Responses>,
    reloads: Family<Outcome, Counter>,
    pub websockets: Counts,
    asked: Asked,
}

/// The responses of one app, by the first digit of their status.
pub(crate) struct Responses([Counter; CLASSES.len()]);

/// What is only looked up when somebody asks.
#[derive(Default)]
struct Asked {
    apps: Family<State, Gauge>,
    waiting: Family<OfApp, Gauge>,
    idle: Family<OfApp, Gauge>,
    instances: Gauge,
    kept_bytes: Gauge,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Class {
    app: String,
    class: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfApp {
    app: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfLimit {
    limit: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct State {
    state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

impl Metrics {
    pub fn new(tls: Option<&TlsMetrics>) -> Self {
        let mut registry = Registry::with_prefix("wharf");
        if let Some(tls) = tls {
            tls.register(&mut registry);
        }
        let by_status = Family::<Class, Counter>::default();
        let limits = Family::<OfLimit, Counter>::default();
        let reloads = Family::<Outcome, Counter>::default();
        let (connections, requests, asked) = (Gauge::default(), Gauge::default(), Asked::default());
        registry.register("connections", "Connections that are open", connections.clone());
        registry.register("requests", "Requests under way", requests.clone());
        registry.register("apps", "Apps, by whether all of them can answer", asked.apps.clone());
        let waiting = "Requests that wait for an instance";
        registry.register("requests_waiting", waiting, asked.waiting.clone());
        registry.register("instances", "Instances there are", asked.instances.clone());
        let idle = "Of these, kept for requests to come";
        registry.register("instances_idle", idle, asked.idle.clone());
        let kept = "Memory that ended instances left resident for those to come";
        registry.register_with_unit("pool_kept", kept, Unit::Bytes, asked.kept_bytes.clone());
        let responses = "Responses by app and the first digit of their status; those of no app have an empty name";
        registry.register("responses", responses, by_status.clone());
        let websockets = Counts::default();
        websockets.register(&mut registry);
        let reached = "How often each limit was reached";
        registry.register("limits_reached", reached, limits.clone());
        registry.register(
            "reloads",
            "Reloads, by whether the new state was taken",
            reloads.clone(),
        );
        let other = Arc::new(Responses::new(&by_status, NO_APP));
        let limits = Limit::ALL.map(|limit| limits.get_or_create_owned(&OfLimit { limit: limit.name() }));
        Self {
            registry,
            connections,
            requests,
            limits,
            by_status,
            responses: Mutex::default(),
            other,
            reloads,
            websockets,
            asked,
        }
    }

    /// Begins to count for `apps`. A new version of an app goes on with the figures of the one before.
    pub fn name_apps(&self, apps: &[App]) {
        let mut responses = self.responses.lock().unwrap_or_else(PoisonError::into_inner);
        for app in apps {
            let name = app.inner().name.clone();
            let counters = responses
                .entry(name)
                .or_insert_with(|| Arc::new(Responses::new(&self.by_status, app.name())));
            app.inner().responses.get_or_init(|| counters.clone());
        }
    }

    /// Ends to count for those of `gone` whose name none of `kept` has.
    pub fn forget_apps(&self, gone: &[App], kept: &[App]) {
        let mut responses = self.responses.lock().unwrap_or_else(PoisonError::into_inner);
        for app in gone
            .iter()
            .filter(|app| !kept.iter().any(|kept| kept.name() == app.name()))
        {
            responses.remove(app.name());
            for class in CLASSES {
                self.by_status.remove(&Class {
                    app: app.name().to_owned(),
                    class,
                });
            }
            self.websockets.forget(app.name());
            let label = OfApp {
                app: app.name().to_owned(),
            };
            self.asked.waiting.remove(&label);
            self.asked.idle.remove(&label);
        }
    }

    /// A response has begun.
    pub fn responded(&self, app: Option<&App>, status: StatusCode) {
        let responses = app.and_then(|app| app.inner().responses.get());
        responses.unwrap_or(&self.other).count(status);
    }

    /// A limit was reached.
    pub fn reached(&self, limit: Limit) {
        self.limits[limit as usize].inc();
    }

    /// A reload has ended.
    pub fn reloaded(&self, taken: bool) {
        let outcome = if taken { "taken" } else { "refused" };
        self.reloads.get_or_create(&Outcome { outcome }).inc();
    }

    /// Counts what has become of limits that `apps` keep for themselves.
    pub fn collect(&self, apps: &[App]) {
        let services = apps.iter().flat_map(|app| app.services());
        for (name, times) in services.flat_map(|service| service.take_reached()) {
            if let Some(limit) = Limit::ALL.iter().find(|limit| limit.name() == name) {
                self.limits[*limit as usize].inc_by(times);
            }
        }
    }

    /// All of them as text, with what `apps` say of themselves.
    pub fn write(&self, apps: &[App]) -> Result<String, fmt::Error> {
        self.asked.look_up(apps);
        self.collect(apps);
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Responses {
    fn new(by_status: &Family<Class, Counter>, app: &str) -> Self {
        Self(CLASSES.map(|class| {
            by_status.get_or_create_owned(&Class {
                app: app.to_owned(),
                class,
            })
        }))
    }

    fn count(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        if let Some(responses) = self.0.get(class) {
            responses.inc();
        }
    }
}

impl Asked {
    fn look_up(&self, apps: &[App]) {
        let whole = apps.iter().filter(|app| app.trouble().is_none()).count();
        self.apps.get_or_create(&State { state: "whole" }).set(count(whole));
        let broken = count(apps.len() - whole);
        self.apps.get_or_create(&State { state: "broken" }).set(broken);
        for app in apps {
            let label = OfApp {
                app: app.name().to_owned(),
            };
            let usages: Vec<_> = app.services().into_iter().map(|service| service.usage()).collect();
            let waiting = usages.iter().map(|usage| usage.waiting).sum();
            let idle = usages.iter().map(|usage| usage.idle).sum();
            self.waiting.get_or_create(&label).set(count(waiting));
            self.idle.get_or_create(&label).set(count(idle));
        }
        // All apps of a server run on one engine.
        let service = apps.iter().find_map(|app| app.services().into_iter().next());
        if let Some(pool) = service.and_then(|service| service.engine().pool_usage()) {
            self.instances.set(i64::try_from(pool.instances).unwrap_or(i64::MAX));
            self.kept_bytes.set(count(pool.kept_bytes));
        }
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
