//! What one instance may use, and what happens when it wants more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use wasmtime::ResourceLimiter;

use crate::engine::TICK;

/// The bounds of one instance and of one request. Every one of them is enforced whatever the guest does.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Linear memory of one instance, all its components together. Past it `memory.grow` fails, which most guests
    /// answer with a trap. 512 MiB holds an interpreter and a large working set; a leak ends long before the machine does.
    ///
    /// What the host keeps for the instance may be as much again: fields that the guest builds, and bodies that it has
    /// written ahead of the network. Past it fields are `size-exceeded`, and bodies are read before more is taken.
    pub memory_bytes_max: usize,
    /// Resources of the host's that an instance may hold: requests, fields, files, sockets. Past it the guest traps.
    /// A shared instance holds a handful for each of ten thousand requests.
    pub resources_max: usize,
    /// Sockets and open files of an app's guests, all its instances together, each of which takes a file descriptor of the
    /// process. Past it a guest is refused another. As many as a process usually has to begin with.
    pub descriptors_max: usize,
    /// Whose guests these are: those of components that name the same app hold these together. Without a name, each component's.
    pub app: Option<Arc<str>>,
    /// Elements of all tables of one instance; past it `table.grow` fails. Interpreters need some tens of thousands.
    pub table_elements_max: usize,
    /// Processor time a guest may use without once waiting, rounded up to ticks of 10 ms. Past it the instance ends.
    /// Work that takes longer belongs in a queue, not in a request.
    pub cpu_time_max: Duration,
    /// From the request's arrival to the response's head. Past it the request is answered with 504 and its work ends.
    pub response_timeout: Duration,
    /// How long a guest may go on after its response has ended, before its instance is dropped.
    pub background_timeout: Duration,
    /// How long a request waits for a free instance before it is refused. In a queue that has not been empty for a
    /// quarter of a second the wait is 20 ms at most: that is no burst but more than can be served, and whoever cannot be
    /// served is better told at once.
    pub queue_timeout: Duration,
    /// How many requests wait for an instance; one more is refused at once. A thousand waiting requests are some
    /// megabytes, and what a fast guest works off within its queue's time.
    pub queue_length_max: usize,
    /// Bytes of the head of a request or response that a guest builds, and of its trailers.
    pub fields_bytes_max: usize,
    /// The bounds of each WebSocket that a guest opens.
    pub opened_sockets: OpenedSocketLimits,
}

/// The bounds of a WebSocket that a guest opens. Its peer is somebody's server, which may be as wrong as any client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedSocketLimits {
    /// Bytes of one message from the peer, all its fragments together: past it 1009. As large as a client's of the server's may
    /// be, and held in full, too.
    pub message_bytes_max: usize,
    /// How long there may be no message either way: past it 1001. A feed that is silent for an hour is taken up anew.
    pub idle_timeout: Duration,
    /// After how long a silent peer is asked whether it is there: as a server asks.
    pub ping_interval: Duration,
    /// How long it may take to answer: past it the connection is over.
    pub pong_timeout: Duration,
    /// How long a peer may take to close a connection that the guest has closed, and to take the last that is said to it.
    pub close_timeout: Duration,
}

impl Default for OpenedSocketLimits {
    fn default() -> Self {
        Self {
            message_bytes_max: 1 << 20,
            idle_timeout: Duration::from_secs(3600),
            ping_interval: Duration::from_secs(30),
            pong_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(10),
        }
    }
}

/// How often WebSockets that guests have opened have met a limit, by its name in metrics.
#[derive(Debug)]
pub(crate) struct OpenedSocketsReached([(&'static str, AtomicU64); 4]);

impl OpenedSocketsReached {
    pub const MESSAGE: &str = "websocket-opened-message";
    pub const IDLE_TIME: &str = "websocket-opened-idle-time";
    pub const PONG_TIME: &str = "websocket-opened-pong-time";
    pub const CLOSE_TIME: &str = "websocket-opened-close-time";

    pub fn count(&self, limit: &'static str) {
        if let Some((_, times)) = self.0.iter().find(|(name, _)| *name == limit) {
            times.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Since this was last asked.
    pub fn take(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0
            .iter()
            .map(|(name, times)| (*name, times.swap(0, Ordering::Relaxed)))
    }
}

impl Default for OpenedSocketsReached {
    fn default() -> Self {
        let names = [Self::MESSAGE, Self::IDLE_TIME, Self::PONG_TIME, Self::CLOSE_TIME];
        Self(names.map(|name| (name, AtomicU64::new(0))))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes_max: 512 << 20,
            resources_max: 100_000,
            descriptors_max: 1024,
            app: None,
            table_elements_max: 1 << 20,
            cpu_time_max: Duration::from_secs(10),
            response_timeout: Duration::from_secs(30),
            background_timeout: Duration::from_secs(30),
            queue_timeout: Duration::from_secs(5),
            queue_length_max: 1000,
            fields_bytes_max: 128 << 10,
            opened_sockets: OpenedSocketLimits::default(),
        }
    }
}

impl Limits {
    pub(crate) fn cpu_ticks_max(&self) -> u64 {
        u64::try_from(self.cpu_time_max.as_nanos().div_ceil(TICK.as_nanos()))
            .unwrap_or(u64::MAX)
            .max(1)
    }
}

/// Counts what the host keeps for an instance outside the instance's own memory.
#[derive(Debug)]
pub(crate) struct Ledger {
    bytes: AtomicUsize,
    bytes_max: usize,
}

impl Ledger {
    pub fn new(limits: &Limits) -> Self {
        Self {
            bytes: AtomicUsize::new(0),
            bytes_max: limits.memory_bytes_max,
        }
    }

    pub fn charge(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub fn credit(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether so much more would be too much.
    pub fn refuses(&self, bytes: usize) -> bool {
        self.bytes.load(Ordering::Relaxed).saturating_add(bytes) > self.bytes_max
    }
}

/// The guest computed for longer than [`Limits::cpu_time_max`] without waiting once.
#[derive(Debug, thiserror::Error)]
#[error("the guest used {} ms of processor time without waiting", limit.as_millis())]
pub struct CpuTimeExceeded {
    /// The limit it met.
    pub limit: Duration,
}

/// Counts what an instance's memories and tables hold, and refuses growth past the limits.
#[derive(Debug)]
pub(crate) struct Growth {
    memory_bytes: usize,
    memory_bytes_max: usize,
    table_elements: usize,
    table_elements_max: usize,
    /// Set when growth was refused: what most likely explains a trap that follows.
    pub(crate) refused: Option<Refused>,
}

/// Which growth was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Linear memory, in bytes.
    Memory {
        /// The limit it met.
        bytes_max: usize,
    },
    /// Table elements.
    Table {
        /// The limit it met.
        elements_max: usize,
    },
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Memory { bytes_max } => write!(f, "it had been refused memory past {} MiB", bytes_max >> 20),
            Self::Table { elements_max } => write!(f, "it had been refused a table past {elements_max} elements"),
        }
    }
}

impl Growth {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            memory_bytes: 0,
            memory_bytes_max: limits.memory_bytes_max,
            table_elements: 0,
            table_elements_max: limits.table_elements_max,
            refused: None,
        }
    }
}

impl ResourceLimiter for Growth {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.memory_bytes.saturating_sub(current).saturating_add(desired);
        if total > self.memory_bytes_max {
            self.refused = Some(Refused::Memory {
                bytes_max: self.memory_bytes_max,
            });
            return Ok(false);
        }
        self.memory_bytes = total;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.table_elements.saturating_sub(current).saturating_add(desired);
        if total > self.table_elements_max {
            self.refused = Some(Refused::Table {
                elements_max: self.table_elements_max,
            });
            return Ok(false);
        }
        self.table_elements = total;
        Ok(true)
    }

    // A store holds one component's instances; how many those are is bounded by the pool.
    fn instances(&self) -> usize {
        10_000
    }
    fn tables(&self) -> usize {
        10_000
    }
    fn memories(&self) -> usize {
        10_000
    }
}
