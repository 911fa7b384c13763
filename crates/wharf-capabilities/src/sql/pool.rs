//! The connections of one database that an app has, and who gets one.
//!
//! Which to keep and which to close is decided here; how many there are, and who waits for how long, is what `deadpool` keeps
//! to. A connection goes back only where it is said to be good ([`Lease::put_back`]), or can be made so
//! ([`Lease::put_back_as_new`]): whatever is dropped on the way is closed.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{Manager, Metrics, Object, PoolError, QueueMode, RecycleError, RecycleResult, TimeoutType};

use tokio::runtime::Handle;
use tokio::time::timeout;

use super::engine::{ConnectError, Connection, Engine};
use super::error::Error;
use super::standing::{Seldom, Standing};

/// A connection that was not used for so long is asked whether it still stands before it is used.
const UNCHECKED_MAX: Duration = Duration::from_secs(5);

/// How long one may take to be made as good as new. Past it, it is closed.
const RESET_MAX: Duration = Duration::from_secs(5);

/// How many may be open, and how long one may be waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct PoolLimits {
    pub connections: usize,
    /// How many may wait for one.
    pub queue: usize,
    /// For a connection to come free, and once more for a new one to be made.
    pub acquire: Duration,
    /// One that nobody used for so long is closed.
    pub unused: Duration,
}

/// The connections of one database.
pub(super) struct Pool {
    pool: deadpool::managed::Pool<Opener>,
    limits: PoolLimits,
    waiting: AtomicUsize,
    /// Calls that were not even let wait.
    without_place: AtomicU64,
    /// That there are too few.
    says_exhausted: Seldom,
}

/// A connection that somebody uses.
pub(super) struct Lease(Option<Object<Opener>>);

/// Makes connections, and notes when that fails and when it works again.
struct Opener {
    engine: Arc<dyn Engine>,
    standing: Arc<Standing>,
}

/// How many connections there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub open: usize,
    pub in_use: usize,
    pub waiting: usize,
}

impl Manager for Opener {
    type Type = Box<dyn Connection>;
    type Error = ConnectError;

    async fn create(&self) -> Result<Self::Type, ConnectError> {
        let connected = self.engine.connect().await;
        match &connected {
            Ok(_) => self.standing.connected(),
            Err(error) => self.standing.is_down(&error.reason),
        }
        connected
    }

    async fn recycle(&self, connection: &mut Self::Type, metrics: &Metrics) -> RecycleResult<ConnectError> {
        let is_fresh = metrics.last_used() < UNCHECKED_MAX;
        match connection.is_usable() && (is_fresh || connection.check().await) {
            true => {
                self.standing.works();
                Ok(())
            }
            false => Err(RecycleError::message("it does not stand any more")),
        }
    }
}

impl Pool {
    pub fn new(engine: Arc<dyn Engine>, standing: Arc<Standing>, limits: PoolLimits) -> Self {
        let opener = Opener { engine, standing };
        let limit = Some(limits.acquire);
        let built = deadpool::managed::Pool::builder(opener)
            .max_size(limits.connections)
            .wait_timeout(limit)
            .create_timeout(limit)
            .recycle_timeout(limit)
            // What is used least can then be closed.
            .queue_mode(QueueMode::Lifo)
            .runtime(Runtime::Tokio1)
            .build();
        #[allow(clippy::expect_used, reason = "fails for want of a runtime, which is given")]
        let pool = built.expect("there is a runtime for its time limits");
        Self {
            pool,
            limits,
            waiting: AtomicUsize::new(0),
            without_place: AtomicU64::new(0),
            says_exhausted: Seldom::default(),
        }
    }

    /// A connection, as soon as there is one.
    pub async fn acquire(&self) -> Result<Lease, Error> {
        let status = self.pool.status();
        let _waiting = Waiting::new(&self.waiting);
        let is_crowded = self.waiting.load(Ordering::Relaxed) > self.limits.queue.saturating_add(status.available);
        if is_crowded && status.size >= status.max_size {
            let queue = self.limits.queue;
            self.without_place.fetch_add(1, Ordering::Relaxed);
            return Err(self.exhausted(&format!("more than {queue} calls wait for one")));
        }
        match self.pool.get().await {
            Ok(connection) => Ok(Lease(Some(connection))),
            Err(error) => Err(self.refused(error)),
        }
    }

    fn refused(&self, error: PoolError<ConnectError>) -> Error {
        match error {
            PoolError::Timeout(TimeoutType::Wait) => {
                self.exhausted(&format!("none came free within {:?}", self.limits.acquire))
            }
            PoolError::Timeout(TimeoutType::Create | TimeoutType::Recycle) => {
                let limit = self.limits.acquire;
                self.pool
                    .manager()
                    .standing
                    .is_down(&format!("no answer within {limit:?}"));
                Error::ConnectionFailed("the database does not answer".to_owned())
            }
            PoolError::Backend(failed) => failed.error,
            PoolError::Closed => Error::ConnectionFailed("the server stops".to_owned()),
            PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                Error::Other("the pool of connections is not set up".to_owned())
            }
        }
    }

    /// Said now and then, however many calls are refused.
    fn exhausted(&self, reason: &str) -> Error {
        if self.says_exhausted.now() {
            let (label, most) = (&self.pool.manager().standing.label, self.limits.connections);
            tracing::warn!("{label}: all connections are in use, of which there may be {most}: {reason}");
        }
        Error::PoolExhausted
    }

    /// Closes those that nobody has used for long.
    pub fn close_unused(&self) {
        self.pool.retain(|_, metrics| metrics.last_used() < self.limits.unused);
    }

    /// How many calls found no place in the queue.
    pub fn without_place(&self) -> u64 {
        self.without_place.load(Ordering::Relaxed)
    }

    pub fn usage(&self) -> Usage {
        let status = self.pool.status();
        Usage {
            open: status.size,
            in_use: status.size.saturating_sub(status.available),
            waiting: status.waiting,
        }
    }

    /// Closes all of them; those in use as they come back.
    pub fn close(&self) {
        self.pool.close();
    }
}

/// Counts who waits for a connection.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lease {
    /// Gives it back for others to use, if it is as good as new.
    pub fn put_back(mut self) {
        if self.is_usable() {
            drop(self.0.take());
        }
    }

    /// Gives it back once it has been made as good as new, for which nobody waits who has his answer.
    pub fn put_back_as_new(mut self, runtime: &Handle) {
        runtime.spawn(async move {
            if timeout(RESET_MAX, self.reset()).await == Ok(true) {
                self.put_back();
            }
        });
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(Object::take(connection));
        }
    }
}

impl Deref for Lease {
    type Target = dyn Connection;

    #[allow(
        clippy::expect_used,
        reason = "only `put_back` and `drop` take it, and they consume the lease"
    )]
    fn deref(&self) -> &Self::Target {
        let connection: &Object<Opener> = self.0.as_ref().expect("a lease has its connection");
        &***connection
    }
}

impl DerefMut for Lease {
    #[allow(clippy::expect_used, reason = "as above")]
    fn deref_mut(&mut self) -> &mut Self::Target {
        let connection: &mut Object<Opener> = self.0.as_mut().expect("a lease has its connection");
        &mut ***connection
    }
}
