//! Requests that wait because all connections are taken, and the right to have one more open.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit};
use wharf_host::http::ErrorCode;

use super::{Connections, Pool};
use crate::http_client::origin::Origin;

/// How often a request that waits because all connections are taken looks for an idle one to close in its favour.
const LOOK_FOR_IDLE: Duration = Duration::from_millis(50);

/// A request that waits for a connection to be put back, or to end.
pub(super) struct Waits {
    pool: Arc<Pool>,
    origin: Origin,
    returned: Arc<Notify>,
}

impl Waits {
    pub(super) fn new(pool: &Arc<Pool>, origin: &Origin) -> Result<Self, ErrorCode> {
        Self::among(&mut pool.lock(), pool, origin)
    }

    /// The same for whoever has the lock already.
    ///
    /// # Errors
    /// `connection-limit-reached` when as many wait as may.
    pub(super) fn among(
        origins: &mut HashMap<Origin, Connections>,
        pool: &Arc<Pool>,
        origin: &Origin,
    ) -> Result<Self, ErrorCode> {
        let connections = origins.entry(origin.clone()).or_default();
        if connections.waiting >= pool.options.waiting_per_origin_max {
            pool.refused.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%origin, "outgoing request refused: too many wait for a connection to its origin");
            return Err(ErrorCode::ConnectionLimitReached);
        }
        connections.waiting += 1;
        Ok(Self {
            pool: pool.clone(),
            origin: origin.clone(),
            returned: connections.returned.clone(),
        })
    }

    /// A place among the connections to the origin; `None` when one was put back and `reuse` asks for that as well.
    pub(super) async fn place(&self, reuse: bool) -> Option<OriginPlace> {
        loop {
            // Before the look: what happens between the two is told.
            let mut returned = pin!(self.returned.notified());
            returned.as_mut().enable();
            if reuse && self.pool.has_idle(&self.origin) {
                return None;
            }
            if let Some(place) = self.pool.try_place(&self.origin) {
                return Some(place);
            }
            if !reuse {
                self.pool.close_idle_of(&self.origin);
            }
            returned.await;
        }
    }

    /// A place among all connections.
    pub(super) async fn among_all(&self, reuse: bool) -> Option<OwnedSemaphorePermit> {
        let returned = async {
            if !reuse {
                std::future::pending::<()>().await;
            }
            self.returned.notified().await;
        };
        // One place in the queue, kept while idle connections are looked for.
        let (mut turn, mut returned) = (pin!(self.pool.permits.clone().acquire_owned()), pin!(returned));
        let mut wait = Duration::ZERO;
        loop {
            tokio::select! {
                biased;
                // The semaphore is never closed.
                permit = turn.as_mut() => return permit.ok(),
                () = returned.as_mut() => return None,
                () = tokio::time::sleep(wait) => self.pool.close_longest_idle(),
            }
            wait = LOOK_FOR_IDLE;
        }
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.pool.with(&self.origin, |connections| connections.waiting -= 1);
    }
}

/// The right to have one connection open, among those to its origin and among all.
pub(in crate::http_client) struct Permit {
    _place: OriginPlace,
    _all: OwnedSemaphorePermit,
}

impl Permit {
    pub(super) fn new(place: OriginPlace, all: OwnedSemaphorePermit) -> Self {
        Self {
            _place: place,
            _all: all,
        }
    }
}

/// A place among the connections to one origin.
pub(super) struct OriginPlace {
    pool: Weak<Pool>,
    origin: Origin,
}

impl OriginPlace {
    /// Whoever makes one has counted it.
    pub(super) fn new(pool: &Arc<Pool>, origin: &Origin) -> Self {
        Self {
            pool: Arc::downgrade(pool),
            origin: origin.clone(),
        }
    }
}

impl Drop for OriginPlace {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.with(&self.origin, |connections| {
                connections.open -= 1;
                connections.returned.notify_one();
            });
        }
    }
}
