//! What all connections of a server have in common: the apps behind it, and the limits at it.
//!
//! The apps are swapped as one ([`Door::replace`]): a request finds its app in the old set or in the new one.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::{App, Target};
use crate::development::Development;
use crate::inbound::ProxyOptions;
use crate::limits::ServerLimits;
use crate::metrics::Metrics;
use crate::places::Places;
use crate::refusals::Refusals;
use crate::route::RouteTable;
use crate::seldom::Seldom;
use crate::tls::Tls;
use crate::turns::Turns;

/// Clients that are turned away with a word at a time; more get none.
const REFUSALS_MAX: usize = 256;

/// The one way in.
pub(crate) struct Door {
    apps: ArcSwap<AppSet>,
    pub limits: ServerLimits,
    pub proxies: ProxyOptions,
    /// Where some of its listeners speak it.
    pub tls: Option<Tls>,
    /// Where somebody develops what is served.
    pub development: Option<Development>,
    pub metrics: Arc<Metrics>,
    pub places: Places,
    pub turns: Turns,
    /// For clients that are turned away with a word.
    pub refusals: Semaphore,
    /// Requests that there is no time or room for.
    pub refused: Refusals,
    /// Of connections that are closed because of what proxies may do.
    pub strangers: Seldom,
    /// What the last reload could not take, by app, and why; without a name for everything. An older version answers, where there is one.
    pub stale: ArcSwap<Vec<(String, String)>>,
    /// Apps that were replaced and have not finished.
    pub retiring: TaskTracker,
    /// The server takes no more connections, and ends those that have no request.
    pub drain: CancellationToken,
}

/// The apps of one moment.
pub(crate) struct AppSet {
    pub all: Vec<App>,
    pub routes: RouteTable<Arc<Route>>,
}

/// Who answers a route.
pub(crate) struct Route {
    pub app: App,
    pub target: Target,
}

impl Door {
    pub fn new(
        limits: ServerLimits,
        proxies: ProxyOptions,
        tls: Option<Tls>,
        development: Option<Development>,
        apps: Vec<App>,
    ) -> Self {
        let metrics = Arc::new(Metrics::new(tls.as_ref().map(Tls::metrics)));
        metrics.name_apps(&apps);
        Self {
            apps: ArcSwap::from_pointee(AppSet::new(apps)),
            places: Places::new(&limits),
            turns: Turns::new(std::thread::available_parallelism().map_or(1, usize::from)),
            refusals: Semaphore::new(REFUSALS_MAX),
            refused: Refusals::default(),
            strangers: Seldom::default(),
            stale: ArcSwap::default(),
            limits,
            proxies,
            tls,
            development,
            metrics,
            retiring: TaskTracker::new(),
            drain: CancellationToken::new(),
        }
    }

    /// The apps of this moment.
    pub fn apps(&self) -> Guard<Arc<AppSet>> {
        self.apps.load()
    }

    /// Puts `apps` in the place of those there are; what is not among the new ones is returned.
    pub fn replace(&self, apps: Vec<App>) -> Vec<App> {
        self.metrics.name_apps(&apps);
        let old = self.apps.swap(Arc::new(AppSet::new(apps)));
        let now = self.apps.load();
        let is_kept = |app: &App| now.all.iter().any(|kept| kept.is(app));
        let gone: Vec<App> = old.all.iter().filter(|app| !is_kept(app)).cloned().collect();
        self.metrics.forget_apps(&gone, &now.all);
        self.refused
            .forget(|name| !now.all.iter().any(|app| app.name() == name));
        gone
    }
}

impl AppSet {
    fn new(all: Vec<App>) -> Self {
        let routes = all.iter().flat_map(|app| {
            let routes = app.inner().routes.iter().cloned();
            routes.map(|(pattern, target)| {
                let app = app.clone();
                (pattern, Arc::new(Route { app, target }))
            })
        });
        Self {
            routes: RouteTable::new(routes),
            all: all.clone(),
        }
    }
}
