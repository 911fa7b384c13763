//! What is counted, and how it is written down (OpenMetrics 1.0). Counting costs a request some additions; whatever can be
//! asked for is asked for when somebody wants to know.

mod capabilities;

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

use crate::Outcome;
use crate::app::App;
use crate::limits::Limit;
use crate::tls::TlsMetrics;
use crate::websocket::Counts;
use capabilities::CapabilityFigures;

/// The statuses' first digits, as they stand in labels, and what stands there for responses that broke off.
const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "broken"];
const BROKEN: usize = 5;

/// The label of what belongs to no app.
const NO_APP: &str = "";

/// The counters of a server.
pub(crate) struct Metrics {
    registry: Registry,
    pub connections: Gauge,
    pub requests: Gauge,
    by_status: Family<Class, Counter>,
    limits: Family<OfLimit, Counter>,
    /// By app, for those that come back in a new version.
    apps: Mutex<HashMap<Arc<str>, Arc<Tally>>>,
    /// What belongs to no app.
    other: Tally,
    reloads: Family<OfOutcome, Counter>,
    short: Family<OfOutcome, Counter>,
    pub websockets: Counts,
    asked: Asked,
    capabilities: CapabilityFigures,
}

/// What is counted of one app, or of none.
pub(crate) struct Tally {
    /// Responses by their class.
    responses: [Counter; CLASSES.len()],
    /// By limit. Those that are others' are not written down.
    limits: [Counter; Limit::ALL.len()],
}

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
    app: String,
    limit: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct State {
    state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfOutcome {
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
        let reloads = Family::<OfOutcome, Counter>::default();
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
        let responses = "Responses by app and the first digit of their status, or broken for those that broke off; those of no app have an empty name";
        registry.register("responses", responses, by_status.clone());
        let websockets = Counts::default();
        websockets.register(&mut registry);
        let reached = "How often each limit was reached, by app; those of the server have an empty name";
        registry.register("limits_reached", reached, limits.clone());
        registry.register(
            "reloads",
            "Reloads, by whether the new state was taken",
            reloads.clone(),
        );
        let short = Family::<OfOutcome, Counter>::default();
        registry.register(
            "connections_short",
            "What came of newcomers that there was no place for: those that another made room for, and those that were refused",
            short.clone(),
        );
        let other = Tally::new(&by_status, &limits, NO_APP);
        let capabilities = CapabilityFigures::default();
        registry.register_collector(Box::new(capabilities.clone()));
        Self {
            registry,
            connections,
            requests,
            by_status,
            limits,
            apps: Mutex::default(),
            other,
            reloads,
            short,
            websockets,
            asked,
            capabilities,
        }
    }

    /// Begins to count for `apps`. A new version of an app goes on with the figures of the one before.
    pub fn name_apps(&self, apps: &[App]) {
        let mut tallies = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        for app in apps {
            let name = app.inner().name.clone();
            let tally = tallies
                .entry(name)
                .or_insert_with(|| Arc::new(Tally::new(&self.by_status, &self.limits, app.name())));
            app.inner().tally.get_or_init(|| tally.clone());
        }
    }

    /// Ends to count for those of `gone` whose name none of `kept` has.
    pub fn forget_apps(&self, gone: &[App], kept: &[App]) {
        let mut tallies = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        for app in gone
            .iter()
            .filter(|app| !kept.iter().any(|kept| kept.name() == app.name()))
        {
            tallies.remove(app.name());
            for class in CLASSES {
                self.by_status.remove(&Class {
                    app: app.name().to_owned(),
                    class,
                });
            }
            for limit in Limit::ALL.map(Limit::name) {
                self.limits.remove(&OfLimit {
                    app: app.name().to_owned(),
                    limit,
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

    /// A response has ended, or was broken off by this side.
    pub fn responded(&self, app: Option<&App>, status: StatusCode, is_broken: bool) {
        self.tally(app).responded(status, is_broken);
    }

    fn tally<'a>(&'a self, app: Option<&'a App>) -> &'a Tally {
        let tally = app.and_then(|app| app.inner().tally.get());
        tally.map_or(&self.other, |tally| tally)
    }

    /// A limit of the server's was reached.
    pub fn reached(&self, limit: Limit) {
        tracing::debug!(limit = limit.name(), "a limit was reached");
        self.other.limits[limit as usize].inc();
    }

    /// A limit was reached by what `app` does or is asked: one of its own, or of the server's.
    pub fn reached_by(&self, app: &App, limit: Limit) {
        self.add(app, limit, 1);
    }

    fn add(&self, app: &App, limit: Limit, times: u64) {
        if times == 0 {
            return;
        }
        tracing::debug!(app = app.name(), limit = limit.name(), times, "a limit was reached");
        let tally = self.tally(limit.is_of_app().then_some(app));
        tally.limits[limit as usize].inc_by(times);
    }

    /// There was no place for a connection, and others `made_room` for it or it was refused.
    pub fn was_short_of_places(&self, made_room: bool) {
        let outcome = if made_room { "made-room" } else { "refused" };
        self.short.get_or_create(&OfOutcome { outcome }).inc();
    }

    /// A reload has ended.
    pub fn reloaded(&self, outcome: Outcome) {
        let outcome = match outcome {
            Outcome::Taken => "taken",
            Outcome::Refused => "refused",
            Outcome::Late => "late",
        };
        self.reloads.get_or_create(&OfOutcome { outcome }).inc();
    }

    /// Counts what has become of limits that `apps` keep for themselves.
    pub fn collect(&self, apps: &[App]) {
        for app in apps {
            let services = app.services().into_iter();
            for (name, times) in services.flat_map(|service| service.take_reached()) {
                if let Some(limit) = Limit::of_service(name) {
                    self.add(app, limit, times);
                }
            }
        }
    }

    /// All of them as text, with what `apps` say of themselves.
    pub fn write(&self, apps: &[App]) -> Result<String, fmt::Error> {
        self.asked.look_up(apps);
        self.capabilities.look_up(apps);
        self.collect(apps);
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Tally {
    fn new(by_status: &Family<Class, Counter>, limits: &Family<OfLimit, Counter>, app: &str) -> Self {
        let responses = CLASSES.map(|class| {
            by_status.get_or_create_owned(&Class {
                app: app.to_owned(),
                class,
            })
        });
        // From the start, so that whoever looks at increases sees the first.
        let limits = Limit::ALL.map(|limit| match limit.is_of_app() == (app != NO_APP) {
            true => limits.get_or_create_owned(&OfLimit {
                app: app.to_owned(),
                limit: limit.name(),
            }),
            false => Counter::default(),
        });
        Self { responses, limits }
    }

    fn responded(&self, status: StatusCode, is_broken: bool) {
        let class = match is_broken {
            true => BROKEN,
            false => usize::from(status.as_u16() / 100).saturating_sub(1),
        };
        if let Some(responses) = self.responses.get(class) {
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
