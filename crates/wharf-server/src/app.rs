//! An app as the server holds it: what answers its routes, what its requests may send, what it does at this moment.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use wharf_app::route::RoutePattern;
use wharf_host::Service;

use crate::files::Files;
use crate::limits::{RequestLimits, SocketLimits};
use crate::metrics::Tally;
use crate::problem::ErrorPages;

/// How an [`App`] is set up.
pub struct AppOptions {
    /// In messages and metrics.
    pub name: String,
    /// What answers where.
    pub routes: Vec<(RoutePattern, Target)>,
    /// What its requests may send.
    pub limits: RequestLimits,
    /// What its WebSockets may do.
    pub sockets: SocketLimits,
    /// Pages for what no guest of its answers.
    pub error_pages: ErrorPages,
    /// Why it cannot answer, or not all of it.
    pub trouble: Option<String>,
}

/// What answers a route.
#[derive(Clone)]
pub enum Target {
    /// A component.
    Service(Service),
    /// A folder.
    Files(Files),
    /// Nothing: what should answer could not be made, and the reason was said when it was tried.
    Broken,
}

/// An app that is served, in one version. Cheap to clone: a clone is the same app.
#[derive(Clone)]
pub struct App(Arc<Inner>);

pub(crate) struct Inner {
    pub name: Arc<str>,
    pub routes: Vec<(RoutePattern, Target)>,
    pub limits: RequestLimits,
    pub sockets: SocketLimits,
    pub error_pages: ErrorPages,
    pub trouble: Option<String>,
    /// Requests that have not ended.
    open: AtomicUsize,
    /// WebSockets that have not ended.
    open_sockets: AtomicUsize,
    /// It answers no new requests: its WebSockets are to end.
    pub retired: CancellationToken,
    /// Its responses that have not ended are to break off.
    pub cut: CancellationToken,
    /// Its counters, once it is served.
    pub tally: OnceLock<Arc<Tally>>,
}

impl App {
    /// Nothing is asked of its components yet.
    pub fn new(options: AppOptions) -> Self {
        Self(Arc::new(Inner {
            name: options.name.into(),
            routes: options.routes,
            limits: options.limits,
            sockets: options.sockets,
            error_pages: options.error_pages,
            trouble: options.trouble,
            open: AtomicUsize::new(0),
            open_sockets: AtomicUsize::new(0),
            retired: CancellationToken::new(),
            cut: CancellationToken::new(),
            tally: OnceLock::new(),
        }))
    }

    /// A component that answers every request, under its own name.
    pub fn of_service(service: Service) -> Self {
        Self::new(AppOptions {
            name: service.name().to_owned(),
            routes: vec![(RoutePattern::any(), Target::Service(service))],
            limits: RequestLimits::default(),
            sockets: SocketLimits::default(),
            error_pages: ErrorPages::default(),
            trouble: None,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Why it cannot answer, or not all of it.
    pub fn trouble(&self) -> Option<&str> {
        self.0.trouble.as_deref()
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Unlike that of any other app there is.
    pub(crate) fn key(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// Requests that wait for an instance.
    pub(crate) fn waiting(&self) -> usize {
        self.services().iter().map(|service| service.usage().waiting).sum()
    }

    /// Whether somebody waits for a place in the pool that its instances come from.
    pub(crate) fn waits_for_pool(&self) -> bool {
        let services = self.services();
        services.iter().any(|service| service.engine().is_waited_for())
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.0
    }

    /// Its components, each once.
    pub(crate) fn services(&self) -> Vec<&Service> {
        let mut services: Vec<&Service> = Vec::new();
        for (_, target) in &self.0.routes {
            if let Target::Service(service) = target
                && !services.iter().any(|known| known.is(service))
            {
                services.push(service);
            }
        }
        services
    }

    /// Counts a request as the app's until it ends.
    pub(crate) fn begin(&self) -> OfApp {
        self.0.open.fetch_add(1, Ordering::AcqRel);
        OfApp(self.clone())
    }

    /// Waits until it has no request any more and its components have nothing left to do.
    pub(crate) async fn finished(&self) {
        while self.0.open.load(Ordering::Acquire) > 0 {
            tokio::time::sleep(LOOK).await;
        }
        for service in self.services() {
            service.finished().await;
        }
    }

    /// It answers no new requests any more, and finishes what it has begun.
    pub(crate) fn retire(&self) {
        self.0.retired.cancel();
    }

    /// Ends what it does: responses break off, and its components' instances end.
    pub(crate) fn cut_off(&self) {
        self.0.cut.cancel();
        for service in self.services() {
            service.abort();
        }
    }

    /// Requests that have not ended.
    pub(crate) fn open(&self) -> usize {
        self.0.open.load(Ordering::Acquire)
    }
}

/// How often it is looked whether an app that was replaced is done: whoever waits for that has no hurry, and no request
/// should have to tell anybody of its end.
const LOOK: Duration = Duration::from_millis(50);

/// A request of an app's that has not ended.
pub(crate) struct OfApp(App);

impl OfApp {
    pub fn app(&self) -> &App {
        &self.0
    }
}

impl Drop for OfApp {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A WebSocket of an app's that has not ended.
pub(crate) struct OpenSocket(App);

impl OpenSocket {
    /// `None` where the app has as many as it may.
    pub fn take(app: &App) -> Option<Self> {
        // Given back where there are too many.
        let open = Self(app.clone());
        let before = app.0.open_sockets.fetch_add(1, Ordering::AcqRel);
        (before < app.0.sockets.sockets_max).then_some(open)
    }
}

impl Drop for OpenSocket {
    fn drop(&mut self) {
        self.0.0.open_sockets.fetch_sub(1, Ordering::AcqRel);
    }
}
