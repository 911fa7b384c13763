//! Connections that stand, by origin: who uses them, which idle, and when idle ones end.
//!
//! Bookkeeping only; each connection is driven by a task of `drive.rs`. A task holds the pool weakly: when the app's
//! client goes, its idle connections close, and those in use after their exchange.

mod lease;
mod waiting;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use hyper::client::conn::http2;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;
use wharf_host::http::ErrorCode;

use self::waiting::{OriginPlace, Waits};
use super::connect::Stream;
use super::drive;
use super::exchange::Outgoing;
use super::origin::Origin;

pub(super) use self::lease::{Http1Lease, Http2Lease, Lease, Load};
pub(super) use self::waiting::Permit;

/// How many requests share a connection of HTTP/2. With more, another connection is opened: one lost packet holds up
/// all requests of its connection.
pub(super) const STREAMS_MAX: usize = 64;

pub(super) struct PoolOptions {
    pub idle_timeout: Duration,
    pub idle_per_origin_max: usize,
    /// For those beyond `idle_per_origin_max`; no longer than `idle_timeout`.
    pub surplus_idle_timeout: Duration,
    pub connections_max: usize,
    pub connections_per_origin_max: usize,
    pub waiting_per_origin_max: usize,
}

/// All connections of a client.
pub(super) struct Pool {
    options: PoolOptions,
    origins: Mutex<HashMap<Origin, Connections>>,
    permits: Arc<Semaphore>,
    /// How often a request has found all connections taken.
    waited: AtomicU64,
    /// How often one has found those to its origin taken, of which there may be fewer.
    waited_for_origin: AtomicU64,
    /// How often a request has found so many waiting that it was refused.
    refused: AtomicU64,
    next_id: AtomicU64,
}

/// How many connections and waits there are.
#[derive(Default)]
pub(super) struct Figures {
    pub open: usize,
    pub idle: usize,
    pub waiting: usize,
}

/// The connections to one origin. Kept while one is open or being opened for all.
#[derive(Default)]
struct Connections {
    /// HTTP/1.1, longest idle first. The last is taken first, so that a burst's surplus ages and ends.
    idle: Vec<Idle>,
    /// HTTP/2, in use or not.
    shared: Vec<Shared>,
    /// All, those in use and those that are being opened included.
    open: usize,
    /// While the first connection to an HTTPS origin is opened: it may turn out to serve all who wait.
    opening: Option<watch::Receiver<()>>,
    /// The origin did not choose HTTP/2, so nobody need wait for another's connection.
    speaks_http1: bool,
    /// Requests that wait because all connections are taken; they are told of each that is put back or ends.
    waiting: usize,
    returned: Arc<Notify>,
}

struct Idle {
    id: u64,
    lease: Http1Lease,
    since: Instant,
}

struct Shared {
    id: u64,
    sender: http2::SendRequest<Outgoing>,
    load: Arc<Load>,
}

/// What [`Pool::checkout`] has for a request.
pub(super) enum Checkout {
    /// A connection that stands.
    Lease(Lease),
    /// Nothing: open a connection.
    Open(Opening),
    /// Nothing yet: ask again when this ends.
    Wait(Ongoing),
    /// Nothing, and as many wait already as may.
    Refused(ErrorCode),
}

impl Pool {
    pub(super) fn new(options: PoolOptions) -> Arc<Self> {
        let permits = Arc::new(Semaphore::new(options.connections_max.min(Semaphore::MAX_PERMITS)));
        Arc::new(Self {
            options,
            origins: Mutex::default(),
            permits,
            waited: AtomicU64::new(0),
            waited_for_origin: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            next_id: AtomicU64::new(0),
        })
    }

    /// Finds a connection for a request to `origin`. With `fresh`, only one that nobody has used will do. `shares` says
    /// that a new connection may turn out to serve many at once.
    pub(super) fn checkout(self: &Arc<Self>, origin: &Origin, fresh: bool, shares: bool) -> Checkout {
        // Dropped after the lock.
        let mut dead = Vec::new();
        let mut origins = self.lock();
        let mut alone = fresh || !shares;
        if !fresh && let Some(connections) = origins.get_mut(origin) {
            if let Some(lease) = connections.take(&mut dead) {
                return Checkout::Lease(lease);
            }
            alone |= connections.speaks_http1;
        }
        let announce = if alone {
            None
        } else {
            let connections = origins.entry(origin.clone()).or_default();
            if let Some(opening) = connections.opening.clone() {
                // Who opens waits for a place itself, so all who wait for that wait for a place.
                let counted = connections.waiting > 0;
                let waits = counted.then(|| Waits::among(&mut origins, self, origin));
                return match waits.transpose() {
                    Ok(waits) => Checkout::Wait(Ongoing { opening, _waits: waits }),
                    Err(refused) => Checkout::Refused(refused),
                };
            }
            let (announce, opening) = watch::channel(());
            connections.opening = Some(opening);
            Some(announce)
        };
        Checkout::Open(Opening {
            pool: self.clone(),
            origin: origin.clone(),
            announce,
        })
    }

    /// How often a request has found all connections taken since this was last asked.
    pub(super) fn take_waited(&self) -> u64 {
        self.waited.swap(0, Ordering::Relaxed)
    }

    /// The same of those to its origin.
    pub(super) fn take_waited_for_origin(&self) -> u64 {
        self.waited_for_origin.swap(0, Ordering::Relaxed)
    }

    /// How often a request was refused, since so many waited already, since this was last asked.
    pub(super) fn take_refused(&self) -> u64 {
        self.refused.swap(0, Ordering::Relaxed)
    }

    /// Waits until one more connection to `origin` may be open; meanwhile the longest idle ones are closed. With `reuse`,
    /// `None` when instead one to `origin` was put back, which the next [`Pool::checkout`] finds.
    ///
    /// # Errors
    /// `connection-limit-reached` when as many wait already as may.
    pub(super) async fn permit(self: &Arc<Self>, origin: &Origin, reuse: bool) -> Result<Option<Permit>, ErrorCode> {
        let place = self.try_place(origin);
        let is_of_origin = place.is_none() && self.options.connections_per_origin_max < self.options.connections_max;
        if let Some(place) = place
            && let Ok(all) = self.permits.clone().try_acquire_owned()
        {
            return Ok(Some(Permit::new(place, all)));
        }
        let waited = if is_of_origin {
            &self.waited_for_origin
        } else {
            &self.waited
        };
        waited.fetch_add(1, Ordering::Relaxed);
        let waits = Waits::new(self, origin)?;
        let Some(place) = waits.place(reuse).await else {
            return Ok(None);
        };
        let Some(all) = waits.among_all(reuse).await else {
            return Ok(None);
        };
        Ok(Some(Permit::new(place, all)))
    }

    /// A place among the connections to `origin`.
    fn try_place(self: &Arc<Self>, origin: &Origin) -> Option<OriginPlace> {
        let mut origins = self.lock();
        let connections = match origins.get_mut(origin) {
            Some(connections) => connections,
            None => origins.entry(origin.clone()).or_default(),
        };
        if connections.open >= self.options.connections_per_origin_max {
            return None;
        }
        connections.open += 1;
        Some(OriginPlace::new(self, origin))
    }

    /// Whether a request to `origin` finds a connection now.
    fn has_idle(&self, origin: &Origin) -> bool {
        let origins = self.lock();
        origins.get(origin).is_some_and(|connections| {
            !connections.idle.is_empty() || connections.shared.iter().any(|shared| shared.load.has_room())
        })
    }

    /// Closes the longest idle connection to `origin`.
    fn close_idle_of(&self, origin: &Origin) {
        let closed = self.with(origin, |connections| {
            let longest = connections.all_idle().min_by_key(|(since, _)| *since);
            longest.and_then(|(_, id)| connections.remove(id))
        });
        drop(closed);
    }

    /// How it stands.
    pub(super) fn figures(&self) -> Figures {
        let mut figures = Figures::default();
        for connections in self.lock().values() {
            figures.open += connections.open;
            figures.idle += connections.all_idle().count();
            figures.waiting += connections.waiting;
        }
        figures
    }

    fn close_longest_idle(&self) {
        let mut origins = self.lock();
        let idle = origins
            .iter()
            .flat_map(|(origin, connections)| connections.all_idle().map(move |(since, id)| (since, id, origin)));
        let longest = idle
            .min_by_key(|(since, ..)| *since)
            .map(|(_, id, origin)| (origin.clone(), id));
        let closed = longest.and_then(|(origin, id)| origins.get_mut(&origin)?.remove(id));
        drop(origins);
        drop(closed);
    }

    /// Tells those who wait for a connection to `origin`.
    fn returned(&self, origin: &Origin) -> Arc<Notify> {
        self.lock().entry(origin.clone()).or_default().returned.clone()
    }

    /// Works on the connections to `origin`, and forgets them when none is left. What `work` returns is dropped after
    /// the lock: the end of a connection may take the lock itself.
    fn with<T>(&self, origin: &Origin, work: impl FnOnce(&mut Connections) -> T) -> Option<T> {
        let mut origins = self.lock();
        let connections = origins.get_mut(origin)?;
        let done = work(connections);
        if connections.is_unused() {
            origins.remove(origin);
        }
        Some(done)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Origin, Connections>> {
        // Each change is complete before anything can panic.
        self.origins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many origins are known, and how many connections are open.
    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize) {
        (
            self.lock().len(),
            self.options.connections_max - self.permits.available_permits(),
        )
    }

    #[cfg(test)]
    pub(super) fn idle(&self) -> usize {
        self.lock()
            .values()
            .map(|connections| connections.all_idle().count())
            .sum()
    }
}

impl Connections {
    /// The connection that a request should use.
    fn take(&mut self, dead: &mut Vec<Idle>) -> Option<Lease> {
        while let Some(idle) = self.idle.pop() {
            if !idle.lease.sender.is_closed() {
                return Some(Lease::Http1(idle.lease));
            }
            dead.push(idle);
        }
        self.shared.retain(|shared| !shared.sender.is_closed());
        let shared = self.shared.iter().find(|shared| shared.load.has_room())?;
        Some(Lease::Http2(Http2Lease::new(shared.sender.clone(), &shared.load)))
    }

    /// Since when connection `id` idles.
    fn idle_since(&self, id: u64) -> Option<Instant> {
        let mut idle = self.all_idle();
        idle.find(|(_, other)| *other == id).map(|(since, _)| since)
    }

    /// Whether more than `most` idle, and connection `id` is one of the longest idle that are too many.
    fn is_surplus(&self, id: u64, most: usize) -> bool {
        let surplus = self.idle.len().saturating_sub(most);
        self.idle.iter().take(surplus).any(|idle| idle.id == id)
    }

    fn all_idle(&self) -> impl Iterator<Item = (Instant, u64)> {
        let unused = self
            .shared
            .iter()
            .filter_map(|shared| Some((shared.load.idle_since()?, shared.id)));
        self.idle.iter().map(|idle| (idle.since, idle.id)).chain(unused)
    }

    /// Takes connection `id` out; it closes when what is returned is dropped.
    fn remove(&mut self, id: u64) -> Option<Removed> {
        if let Some(at) = self.idle.iter().position(|idle| idle.id == id) {
            return Some(Removed::Idle {
                _connection: self.idle.remove(at),
            });
        }
        let at = self.shared.iter().position(|shared| shared.id == id)?;
        Some(Removed::Shared {
            _connection: self.shared.swap_remove(at),
        })
    }

    fn is_unused(&self) -> bool {
        self.open == 0 && self.waiting == 0 && self.opening.is_none()
    }
}

enum Removed {
    Idle { _connection: Idle },
    Shared { _connection: Shared },
}

/// The right and the duty to open a connection.
pub(super) struct Opening {
    pool: Arc<Pool>,
    origin: Origin,
    /// Dropped when the opening has ended, one way or the other; those who wait then ask again.
    announce: Option<watch::Sender<()>>,
}

impl Opening {
    /// Makes a connection of `stream` and enters it into the pool.
    pub(super) async fn start(self, stream: Stream, permit: Permit) -> Result<Lease, ErrorCode> {
        let id = self.pool.next_id.fetch_add(1, Ordering::Relaxed);
        let place = Place {
            pool: Arc::downgrade(&self.pool),
            origin: self.origin.clone(),
            id,
        };
        let slot = Slot { place, _permit: permit };
        if stream.speaks_http2() {
            let load = Load::new(self.pool.returned(&self.origin));
            let sender = drive::start_http2(stream, load.clone(), slot).await?;
            let lease = Http2Lease::new(sender.clone(), &load);
            self.pool
                .lock()
                .entry(self.origin.clone())
                .or_default()
                .shared
                .push(Shared { id, sender, load });
            Ok(Lease::Http2(lease))
        } else {
            let lease = drive::start_http1(stream, slot).await?;
            self.pool.lock().entry(self.origin.clone()).or_default().speaks_http1 = true;
            Ok(Lease::Http1(lease))
        }
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        if self.announce.is_none() {
            return;
        }
        self.pool.with(&self.origin, |connections| connections.opening = None);
    }
}

/// Somebody else's opening.
pub(super) struct Ongoing {
    opening: watch::Receiver<()>,
    _waits: Option<Waits>,
}

impl Ongoing {
    /// Returns when it has succeeded or failed.
    pub(super) async fn ended(mut self) {
        // Nothing is ever sent: this ends with an error when the sender is dropped.
        let _ = self.opening.changed().await;
    }
}

/// Where one connection belongs in the pool.
#[derive(Clone)]
pub(super) struct Place {
    pool: Weak<Pool>,
    origin: Origin,
    id: u64,
}

impl Place {
    /// Takes a connection back for the next request.
    fn rest(&self, lease: Http1Lease) {
        let Some(pool) = self.pool.upgrade() else { return };
        pool.with(&self.origin, |Connections { idle, returned, .. }| {
            if lease.sender.is_closed() {
                // It has ended, and nobody would take it out again.
                return Some(lease);
            }
            let (id, since) = (self.id, Instant::now());
            idle.push(Idle { id, lease, since });
            returned.notify_one();
            None
        });
    }
}

/// The place of one connection, held by the task that drives it and given up when that ends.
pub(super) struct Slot {
    place: Place,
    _permit: Permit,
}

impl Slot {
    /// Where the connection belongs.
    pub(super) fn place(&self) -> Place {
        self.place.clone()
    }

    /// Closes the connection if it has idled for too long. Answers when to look again; `None` when the client is gone.
    pub(super) fn expire(&self) -> Option<Instant> {
        let pool = self.place.pool.upgrade()?;
        let (now, options) = (Instant::now(), &pool.options);
        let later = now + options.surplus_idle_timeout;
        let closed = pool.with(&self.place.origin, |connections| {
            let id = self.place.id;
            // One in use may idle from now on at the earliest.
            let Some(since) = connections.idle_since(id) else {
                return Err(later);
            };
            let may_idle = match connections.is_surplus(id, options.idle_per_origin_max) {
                true => options.surplus_idle_timeout,
                false => options.idle_timeout,
            };
            match since + may_idle {
                due if due > now => Err(due.min(later)),
                _ => Ok(connections.remove(id)),
            }
        });
        Some(closed.and_then(Result::err).unwrap_or(later))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(pool) = self.place.pool.upgrade() {
            pool.with(&self.place.origin, |connections| connections.remove(self.place.id));
        }
    }
}
