//! The HTTP front end of Wharf: it takes connections, finds the app that a request is for, and drains.
//!
//! What a component is and how it runs is `wharf-host`'s; what a manifest says, `wharf-app`'s; where messages and signals
//! come from and go to is the program's (`wharf`).

#[macro_use]
mod one_of;

mod accept;
mod admin;
mod app;
mod connection;
mod development;
mod dispatch;
mod door;
mod files;
mod forwarded;
mod inbound;
mod limits;
mod listener;
mod load;
mod metrics;
mod places;
mod problem;
mod proxy;
mod refusals;
mod reload;
mod route;
mod seldom;
mod tls;
mod turns;
mod websocket;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::TaskTracker;

pub use app::{App, AppOptions, Target};
pub use development::Development;
pub use files::{Files, FilesError, FilesOptions};
pub use forwarded::ForwardedFields;
pub use inbound::ProxyOptions;
pub use limits::{RequestLimits, ServerLimits, SocketLimits};
pub use listener::{Address, BindError, Listen, ListenOn, Listening, Redirect};
pub use problem::{ErrorPages, Page};
pub use reload::{Assemble, Deployment, Part, Reloaded, Seen, Source, Trouble, TroubleWith, Wanted};
/// What manifests say. The program reaches it through here, see `docs/decisions/0004-arrows.md`.
pub mod manifest {
    pub use wharf_app::app;
    pub use wharf_app::compose;
    pub use wharf_app::manifest::*;
    pub use wharf_app::read;
    pub use wharf_app::secret::encrypted;
    pub use wharf_app::section::{Section, Sections, Written};
}
pub use tls::{
    AcmeOptions, CertificateError, CertificateFiles, Challenge, ClientCertificates, Fault, Tls, TlsError, TlsOptions,
    TlsVersion,
};
pub use wharf_host::Service;

use admin::Admin;
use door::Door;
use listener::{Listener, Socket};

/// How a [`Server`] is set up.
#[derive(Debug)]
pub struct ServerOptions {
    /// Where it listens.
    pub listen: Vec<Listen>,
    /// Where it answers `/livez`, `/readyz` and `/metrics`, beside the apps.
    pub admin: Option<Address>,
    /// Who the server is to clients that come by TLS. Listeners with TLS need it.
    pub tls: Option<Tls>,
    /// What proxies in front may say.
    pub proxies: ProxyOptions,
    /// How long work in progress may take once the server stops, or once an app was replaced.
    pub drain_timeout: Duration,
    /// What connections may use.
    pub limits: ServerLimits,
    /// What is added for those who develop the apps. `None`: nothing, as in production.
    pub development: Option<Development>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            listen: vec![Listen::plain(ListenOn::Tcp(SocketAddr::from(([127, 0, 0, 1], 8080))))],
            admin: None,
            tls: None,
            proxies: ProxyOptions::default(),
            // What orchestrators grant between SIGTERM and SIGKILL.
            drain_timeout: Duration::from_secs(30),
            limits: ServerLimits::default(),
            development: None,
        }
    }
}

/// A listening server.
pub struct Server {
    listeners: Vec<Listener>,
    admin: Option<Socket>,
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
    /// When an address cannot be bound, or a listener needs what there is not.
    pub fn bind(options: ServerOptions, apps: Vec<App>) -> Result<Self, BindError> {
        let ServerOptions {
            limits,
            proxies,
            tls,
            development,
            ..
        } = options;
        Ok(Self {
            listeners: Listener::bind_all(options.listen, tls.as_ref())?,
            admin: options.admin.map(Socket::bind_admin).transpose()?,
            door: Arc::new(Door::new(limits, proxies, tls, development, apps)),
            drain_timeout: options.drain_timeout,
        })
    }

    /// Where it listens.
    pub fn listening(&self) -> Vec<Listening> {
        self.listeners.iter().map(Listener::listening).collect()
    }

    /// Where its admin listener is.
    pub fn admin(&self) -> Option<Address> {
        self.admin.as_ref().map(Socket::address)
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
        let admin = Admin::new(door.clone());
        let admin = self.admin.map(|listener| tokio::spawn(admin.serve(listener)));
        let watch = tokio::spawn({
            let door = door.clone();
            async move { tokio::join!(load::watch(&door), places::make_room(&door), keep_ordered(&door)) }
        });
        let serve = self.listeners.iter().map(|listener| {
            let Listener { socket, entrance } = listener;
            socket.serve(
                |stream, peer| {
                    connections.spawn(connection::serve(stream, peer, entrance.clone(), door.clone()));
                },
                #[cfg(unix)]
                |stream| {
                    connections.spawn(connection::serve_unix(stream, entrance.clone(), door.clone()));
                },
            )
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

/// Has certificates in time, where they are ordered.
async fn keep_ordered(door: &Door) {
    if let Some(tls) = &door.tls {
        tls.keep_ordered().await;
    }
}

/// What a reload came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything is served as it is written.
    Taken,
    /// Something could not be taken, and is served as it was.
    Refused,
    /// Nothing was refused, and something is not there yet: it comes with a later reload.
    Late,
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

    /// Counts a reload, and remembers what of it could not be taken, by app and why, or with an empty name for everything: the
    /// admin listener says so until the next one.
    pub fn reloaded(&self, outcome: Outcome, refused: Vec<(String, String)>) {
        self.door.stale.store(Arc::new(refused));
        self.door.metrics.reloaded(outcome);
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
