//! The HTTP front end of Wharf: it takes connections, finds the app that a request is for, and drains.
//!
//! What a component is and how it runs is `wharf-host`'s; what a manifest says, `wharf-app`'s; where messages and signals
//! come from and go to is the program's (`wharf`).

mod accept;
mod admin;
mod app;
mod connection;
mod dispatch;
mod door;
mod files;
mod limits;
mod listener;
mod load;
mod metrics;
mod places;
mod problem;
mod reload;
mod route;
mod turns;
mod websocket;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::TaskTracker;

pub use app::{App, AppOptions, Target};
pub use files::{Files, FilesError, FilesOptions};
pub use limits::{RequestLimits, ServerLimits, SocketLimits};
pub use listener::{AdminAt, BindError, Listen};
pub use problem::{ErrorPages, Page};
pub use reload::{Assemble, Deployment, Reloaded, Seen, Source, Trouble};
/// What manifests say. The program reaches it through here, see `docs/decisions/0004-arrows.md`.
pub mod manifest {
    pub use wharf_app::app;
    pub use wharf_app::manifest::*;
}
pub use wharf_host::Service;

use admin::Admin;
use door::Door;
use listener::{AdminListener, Listener};

/// How a [`Server`] is set up.
#[derive(Debug)]
pub struct ServerOptions {
    /// Where it listens.
    pub listen: Vec<Listen>,
    /// Where it answers `/livez`, `/readyz` and `/metrics`, beside the apps.
    pub admin: Option<AdminAt>,
    /// How long work in progress may take once the server stops, or once an app was replaced.
    pub drain_timeout: Duration,
    /// What connections may use.
    pub limits: ServerLimits,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            listen: vec![Listen::At(SocketAddr::from(([127, 0, 0, 1], 8080)))],
            admin: None,
            // What orchestrators grant between SIGTERM and SIGKILL.
            drain_timeout: Duration::from_secs(30),
            limits: ServerLimits::default(),
        }
    }
}

/// A listening server.
pub struct Server {
    listeners: Vec<Listener>,
    admin: Option<AdminListener>,
    door: Arc<Door>,
    drain_timeout: Duration,
}

/// How a server's work ended once it was told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Everything in progress was finished.
    Completely,
    /// The drain's time was over with work still in progress, which was ended.
    TimedOut,
}

impl Server {
    /// Listens where `options` says, for `apps` whose routes do not overlap.
    ///
    /// # Errors
    /// When an address cannot be bound.
    pub fn bind(options: ServerOptions, apps: Vec<App>) -> Result<Self, BindError> {
        let listeners = options.listen.into_iter().map(Listener::bind);
        Ok(Self {
            listeners: listeners.collect::<Result<_, _>>()?,
            admin: options.admin.map(AdminListener::bind).transpose()?,
            door: Arc::new(Door::new(options.limits, apps)),
            drain_timeout: options.drain_timeout,
        })
    }

    /// Where it listens.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(Listener::local_addr).collect()
    }

    /// Where its admin listener is.
    pub fn admin(&self) -> Option<AdminAt> {
        self.admin.as_ref().map(AdminListener::place)
    }

    /// The way to other apps, while it serves.
    pub fn apps(&self) -> Apps {
        Apps {
            door: self.door.clone(),
            drain_timeout: self.drain_timeout,
        }
    }

    /// Serves until `stop` is ready; then takes no more connections and lets work in progress finish.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Drained {
        let (door, connections) = (self.door, TaskTracker::new());
        let admin = Admin { door: door.clone() };
        let admin = self.admin.map(|listener| tokio::spawn(admin.serve(listener)));
        let watch = tokio::spawn({
            let door = door.clone();
            async move { tokio::join!(load::watch(&door), places::make_room(&door)) }
        });
        let serve = self.listeners.iter().map(|listener| {
            listener.serve(|stream, peer| {
                connections.spawn(connection::serve(stream, peer, door.clone()));
            })
        });
        tokio::select! {
            _ = futures_util::future::join_all(serve) => {}
            () = stop => {}
        }
        drop(self.listeners);
        door.drain.cancel();
        door.apps().all.iter().for_each(App::retire);
        connections.close();
        let finish = async {
            connections.wait().await;
            door.retiring.close();
            door.retiring.wait().await;
            for app in &door.apps().all {
                app.finished().await;
            }
        };
        let finished = tokio::time::timeout(self.drain_timeout, finish).await;
        watch.abort();
        if let Some(admin) = admin {
            admin.abort();
            // The listener goes with it, and its socket's file.
            let _ = admin.await;
        }
        match finished {
            Ok(()) => Drained::Completely,
            Err(_) => Drained::TimedOut,
        }
    }
}

/// The apps of a server, to be replaced while it serves. Cheap to clone.
#[derive(Clone)]
pub struct Apps {
    door: Arc<Door>,
    drain_timeout: Duration,
}

impl Apps {
    /// Those there are.
    pub fn all(&self) -> Vec<App> {
        self.door.apps().all.clone()
    }

    /// Serves `apps` from now on, whose routes do not overlap. An app that stays keeps its instances; one that goes
    /// finishes what it has begun, for as long as the server's drain allows.
    pub fn replace(&self, apps: Vec<App>) {
        for gone in self.door.replace(apps) {
            self.door
                .retiring
                .spawn(retire(self.door.clone(), gone, self.drain_timeout));
        }
    }

    /// Counts a reload.
    pub fn reloaded(&self, taken: bool) {
        self.door.metrics.reloaded(taken);
    }
}

/// Lets an app finish that answers no new requests, and ends what it does when its time is over.
async fn retire(door: Arc<Door>, app: App, timeout: Duration) {
    app.retire();
    if tokio::time::timeout(timeout, app.finished()).await.is_err() {
        let requests = app.open();
        tracing::warn!(
            app = app.name(),
            requests,
            "cut off requests of a version that was replaced"
        );
        app.cut_off();
        // Responses that nobody takes are not asked for another piece, and would not find out.
        door.places.close_untaken(&app);
    }
    door.metrics.collect(std::slice::from_ref(&app));
}
