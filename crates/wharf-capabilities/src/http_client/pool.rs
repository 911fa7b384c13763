//! Connections that stand, by origin: who uses them, which idle, and when idle ones end.
//!
//! Bookkeeping only; each connection is driven by a task of `drive.rs`. A task holds the pool weakly: when the app's
//! client goes, its idle connections close, and those in use after their exchange.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use wharf_host::http::ErrorCode;

use super::connect::{Received, Stream};
use super::drive;
use super::exchange::Outgoing;
use super::origin::Origin;
use crate::allow::Scheme;

/// How often a request that waits because all connections are taken looks for an idle one to close in its favour.
const LOOK_FOR_IDLE: Duration = Duration::from_millis(50);

/// How long a connection that was put back may take to be ready. Past it another one is used.
const SETTLE_TIMEOUT: Duration = Duration::from_millis(100);

/// How many requests share a connection of HTTP/2. With more, another connection is opened: one lost packet holds up
/// all requests of its connection.
pub(super) const STREAMS_MAX: usize = 64;

pub(super) struct PoolOptions {
    pub idle_timeout: Duration,
    pub idle_per_origin_max: usize,
    pub connections_max: usize,
}

/// All connections of a client.
pub(super) struct Pool {
    options: PoolOptions,
    origins: Mutex<HashMap<Origin, Connections>>,
    permits: Arc<Semaphore>,
    /// How often a request has found all connections taken.
    waited: AtomicU64,
    next_id: AtomicU64,
}

/// The connections to one origin. Kept while one is open or being opened for all.
#[derive(Default)]
struct Connections {
    /// HTTP/1.1, longest idle first. The last is taken first, so that a burst's surplus ages and ends.
    idle: Vec<Idle>,
    /// HTTP/2, in use or not.
    shared: Vec<Shared>,
    /// All, those in use included.
    open: usize,
    /// While the first connection to an HTTPS origin is opened: it may turn out to serve all who wait.
    opening: Option<watch::Receiver<()>>,
    /// The origin did not choose HTTP/2, so nobody need wait for another's connection.
    speaks_http1: bool,
    /// Requests that wait because all connections are taken; they are told of each that is put back.
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
}

impl Pool {
    pub(super) fn new(options: PoolOptions) -> Arc<Self> {
        let permits = Arc::new(Semaphore::new(options.connections_max.min(Semaphore::MAX_PERMITS)));
        Arc::new(Self {
            options,
            origins: Mutex::default(),
            permits,
            waited: AtomicU64::new(0),
            next_id: AtomicU64::new(0),
        })
    }

    /// Finds a connection for a request to `origin`. With `fresh`, only one that nobody has used will do.
    pub(super) fn checkout(self: &Arc<Self>, origin: &Origin, fresh: bool) -> Checkout {
        // Dropped after the lock.
        let mut dead = Vec::new();
        let mut origins = self.lock();
        let mut alone = fresh || origin.scheme == Scheme::Http;
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
            if let Some(opening) = &connections.opening {
                return Checkout::Wait(Ongoing(opening.clone()));
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

    /// Waits until one more connection may be open; meanwhile the longest idle ones are closed. `None` when instead one to
    /// `origin` was put back, which the next [`Pool::checkout`] finds.
    pub(super) async fn permit(&self, origin: Option<&Origin>) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = self.permits.clone().try_acquire_owned() {
            return Some(permit);
        }
        self.waited.fetch_add(1, Ordering::Relaxed);
        let waits = origin.map(|origin| Waits::new(self, origin));
        let returned = async {
            match &waits {
                Some(waits) => waits.returned.notified().await,
                None => std::future::pending().await,
            }
        };
        // One place in the queue, kept while idle connections are looked for.
        let (mut turn, mut returned) = (pin!(self.permits.clone().acquire_owned()), pin!(returned));
        let mut wait = Duration::ZERO;
        loop {
            tokio::select! {
                biased;
                // The semaphore is never closed.
                permit = turn.as_mut() => return permit.ok(),
                () = returned.as_mut() => return None,
                () = tokio::time::sleep(wait) => self.close_longest_idle(),
            }
            wait = LOOK_FOR_IDLE;
        }
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
        Some(Lease::Http2(Http2Lease {
            sender: shared.sender.clone(),
            _stream: shared.load.begin(),
        }))
    }

    /// Since when connection `id` idles.
    fn idle_since(&self, id: u64) -> Option<Instant> {
        let mut idle = self.all_idle();
        idle.find(|(_, other)| *other == id).map(|(since, _)| since)
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

/// A request that waits for a connection to be put back.
struct Waits<'a> {
    pool: &'a Pool,
    origin: &'a Origin,
    returned: Arc<Notify>,
}

impl<'a> Waits<'a> {
    fn new(pool: &'a Pool, origin: &'a Origin) -> Self {
        let mut origins = pool.lock();
        let connections = origins.entry(origin.clone()).or_default();
        connections.waiting += 1;
        let returned = connections.returned.clone();
        Self { pool, origin, returned }
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.pool.with(self.origin, |connections| connections.waiting -= 1);
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
    pub(super) async fn start(self, stream: Stream, permit: OwnedSemaphorePermit) -> Result<Lease, ErrorCode> {
        let id = self.pool.next_id.fetch_add(1, Ordering::Relaxed);
        let place = Place {
            pool: Arc::downgrade(&self.pool),
            origin: self.origin.clone(),
            id,
        };
        let slot = Slot { place, _permit: permit };
        self.pool.lock().entry(self.origin.clone()).or_default().open += 1;
        if stream.speaks_http2() {
            let load = Load::new();
            let sender = drive::start_http2(stream, load.clone(), slot).await?;
            let lease = Http2Lease {
                sender: sender.clone(),
                _stream: load.begin(),
            };
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
pub(super) struct Ongoing(watch::Receiver<()>);

impl Ongoing {
    /// Returns when it has succeeded or failed.
    pub(super) async fn ended(mut self) {
        // Nothing is ever sent: this ends with an error when the sender is dropped.
        let _ = self.0.changed().await;
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
            (idle.len() > pool.options.idle_per_origin_max).then(|| idle.remove(0).lease)
        });
    }
}

/// The place of one connection, held by the task that drives it and given up when that ends.
pub(super) struct Slot {
    place: Place,
    _permit: OwnedSemaphorePermit,
}

impl Slot {
    /// Where the connection belongs.
    pub(super) fn place(&self) -> Place {
        self.place.clone()
    }

    /// Closes the connection if it has idled for too long. Answers when to look again; `None` when the client is gone.
    pub(super) fn expire(&self) -> Option<Instant> {
        let pool = self.place.pool.upgrade()?;
        let (now, idle_timeout) = (Instant::now(), pool.options.idle_timeout);
        let closed = pool.with(&self.place.origin, |connections| {
            // One in use may idle from now on at the earliest.
            let due = connections.idle_since(self.place.id).unwrap_or(now) + idle_timeout;
            if due > now {
                Err(due)
            } else {
                Ok(connections.remove(self.place.id))
            }
        });
        Some(closed.and_then(Result::err).unwrap_or(now + idle_timeout))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(pool) = self.place.pool.upgrade() {
            pool.with(&self.place.origin, |connections| {
                connections.open -= 1;
                connections.remove(self.place.id)
            });
        }
    }
}

/// A connection in use by one request.
pub(super) enum Lease {
    Http1(Http1Lease),
    Http2(Http2Lease),
}

impl Lease {
    /// Gives the connection back after a complete response. `uploaded` says whether the request has been sent as well.
    pub(super) fn release(self, uploaded: bool) {
        match self {
            Self::Http1(lease) if uploaded => lease.place.clone().rest(lease),
            Self::Http1(lease) => lease.go_home(),
            Self::Http2(lease) => drop(lease),
        }
    }
}

/// A connection of HTTP/1.1. Dropping it closes the connection at once, whatever is under way on it.
pub(super) struct Http1Lease {
    pub sender: http1::SendRequest<Outgoing>,
    /// What the connection has received since it stands.
    pub received: Received,
    place: Place,
    /// To the task that drives the connection, for it to wait until the request has been sent.
    home: mpsc::Sender<Self>,
    _task: AbortOnDrop,
}

impl Http1Lease {
    /// `home` leads to `task`, which drives the connection.
    pub(super) fn new(
        sender: http1::SendRequest<Outgoing>,
        received: Received,
        place: Place,
        home: mpsc::Sender<Self>,
        task: AbortHandle,
    ) -> Self {
        let _task = AbortOnDrop(task);
        Self {
            sender,
            received,
            place,
            home,
            _task,
        }
    }

    /// Whether the next request can be sent. It can within microseconds after a response, as soon as the connection's
    /// task has come round, unless the origin does not take the rest of the last request.
    pub(super) async fn is_ready(&mut self) -> bool {
        matches!(
            tokio::time::timeout(SETTLE_TIMEOUT, self.sender.ready()).await,
            Ok(Ok(()))
        )
    }

    fn go_home(self) {
        // Fails when the connection has ended; then there is nothing to keep.
        let _ = self.home.clone().try_send(self);
    }

    /// Puts the connection back once its request has been sent.
    pub(super) async fn settle(mut self) {
        if self.sender.ready().await.is_ok() {
            self.place.clone().rest(self);
        }
    }
}

/// Ends a task with its owner.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A connection of HTTP/2, shared with other requests. Dropping it leaves the connection open.
pub(super) struct Http2Lease {
    pub sender: http2::SendRequest<Outgoing>,
    _stream: OpenStream,
}

/// How busy a connection of HTTP/2 is.
pub(super) struct Load {
    streams: AtomicUsize,
    streams_max: AtomicUsize,
    used: Mutex<Instant>,
}

impl Load {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            streams: AtomicUsize::new(0),
            streams_max: AtomicUsize::new(STREAMS_MAX),
            used: Mutex::new(Instant::now()),
        })
    }

    /// Takes over how many streams the origin allows.
    pub(super) fn limit(&self, streams_max: usize) {
        self.streams_max
            .store(streams_max.clamp(1, STREAMS_MAX), Ordering::Relaxed);
    }

    fn has_room(&self) -> bool {
        self.streams.load(Ordering::Relaxed) < self.streams_max.load(Ordering::Relaxed)
    }

    fn begin(self: &Arc<Self>) -> OpenStream {
        self.streams.fetch_add(1, Ordering::Relaxed);
        OpenStream(self.clone())
    }

    /// Since when no request uses the connection.
    fn idle_since(&self) -> Option<Instant> {
        let used = *self.used.lock().unwrap_or_else(PoisonError::into_inner);
        (self.streams.load(Ordering::Acquire) == 0).then_some(used)
    }
}

struct OpenStream(Arc<Load>);

impl Drop for OpenStream {
    fn drop(&mut self) {
        *self.0.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.0.streams.fetch_sub(1, Ordering::Release);
    }
}
