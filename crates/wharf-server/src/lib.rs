//! The HTTP front end of Wharf: it takes connections, hands requests to a [`Service`], and drains.
//!
//! What a component is and how it runs is `wharf-host`'s; where messages and signals come from and go to is the
//! program's (`wharf`).

mod admin;
mod connection;
mod dispatch;
mod listener;
mod metrics;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use listener::BindError;
pub use wharf_app::compose;
pub use wharf_host::Service;

use admin::Admin;
use listener::Listener;
use metrics::Metrics;

/// How a [`Server`] is set up.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Where it listens; port 0 picks a free one.
    pub addr: SocketAddr,
    /// Where it answers `/livez`, `/readyz` and `/metrics`, beside the service; port 0 picks a free one.
    pub admin: Option<SocketAddr>,
    /// How long work in progress may take once the server stops.
    pub drain_timeout: Duration,
    /// How long a connection may be without a request: a client that is silent, or takes longer than this for the head of
    /// one, is closed.
    pub head_timeout: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            addr: SocketAddr::from(([127, 0, 0, 1], 8080)),
            admin: None,
            // What orchestrators grant between SIGTERM and SIGKILL.
            drain_timeout: Duration::from_secs(30),
            // A head is a packet or two; the slowest honest client sends it within seconds.
            head_timeout: Duration::from_secs(30),
        }
    }
}

/// A listening server.
pub struct Server {
    listener: Listener,
    admin: Option<Listener>,
    options: ServerOptions,
    service: Service,
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
    /// Listens at the address of `options`.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn bind(options: ServerOptions, service: Service) -> Result<Self, BindError> {
        Ok(Self {
            listener: Listener::bind(options.addr)?,
            admin: options.admin.map(Listener::bind).transpose()?,
            options,
            service,
        })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// Where its admin listener is.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(Listener::local_addr)
    }

    /// Serves until `stop` is ready; then takes no more connections and lets work in progress finish.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Drained {
        let (connections, drain) = (TaskTracker::new(), CancellationToken::new());
        let metrics = Arc::new(Metrics::new());
        let admin = Admin {
            service: self.service.clone(),
            metrics: metrics.clone(),
            drain: drain.clone(),
        };
        let admin = self.admin.map(|listener| tokio::spawn(admin.serve(listener)));
        let serve = self.listener.serve(|stream| {
            let (service, options) = (self.service.clone(), self.options.clone());
            let connection = connection::serve(stream, service, options, drain.clone(), metrics.clone());
            connections.spawn(connection);
        });
        tokio::select! {
            () = serve => {}
            () = stop => {}
        }
        drop(self.listener);
        drain.cancel();
        connections.close();
        let finish = async {
            connections.wait().await;
            self.service.finished().await;
        };
        let finished = tokio::time::timeout(self.options.drain_timeout, finish).await;
        if let Some(admin) = admin {
            admin.abort();
        }
        match finished {
            Ok(()) => Drained::Completely,
            Err(_) => Drained::TimedOut,
        }
    }
}
