//! `wharf:cache`: entries that an app's guests keep for a while, and the work of making them, done once for all who miss one.
//!
//! What a manifest says of it is in `cache/section.rs`; entries in this process in `cache/memory.rs`, in Redis in
//! `cache/redis.rs`; whose turn it is to make one in `cache/leases.rs`; the functions that guests call in `cache/host.rs` and,
//! for interfaces of theirs, `cache/text.rs`. Why it is as it is: `docs/decisions/0012-cache.md`.

mod host;
mod leases;
mod memory;
mod redis;
mod section;
mod text;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use wharf_host::capability::{Admission, Capability, Imports, Sample};

use leases::{Asked, Handed, Lease, Leases};
use memory::Memory;
use redis::Remote;
use section::Options;

pub use section::CacheKind;

/// How long a key may be. Guests count on it, so it is no setting.
const KEY_BYTES_MAX: usize = 1024;

/// Why a call has no result; the variant `error` of the interface.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Failure {
    /// The key is empty or too long.
    #[error("no key: 1 to {KEY_BYTES_MAX} bytes")]
    InvalidKey,
    /// The value is too large.
    #[error("the value is too large")]
    TooLarge,
    /// There is no counter, or it cannot hold the sum.
    #[error("no number, or the sum is none of 64 bits")]
    NotANumber,
    /// A limit on calls is reached.
    #[error("too many calls are under way")]
    Busy,
    /// The backend is away.
    #[error("the cache is away")]
    Unavailable,
    /// The backend says no.
    #[error("{0}")]
    Other(String),
}

/// The cache of one app.
struct Cache {
    options: Options,
    near: Option<Memory>,
    remote: Option<Remote>,
    leases: Leases,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
    collapsed: AtomicU64,
    failed: AtomicU64,
    // Limits that were reached.
    too_large: AtomicU64,
    leases_full: AtomicU64,
    waiting_full: AtomicU64,
}

/// What there is of an entry.
enum Lookup {
    Hit(Bytes),
    Miss(Lease),
}

impl Cache {
    /// The cache of `app`. A remote one is not looked for yet.
    fn new(app: &str, options: Options) -> Self {
        let remote = options.redis.clone().map(|redis| Remote::new(app, redis));
        // How long an entry of a remote cache may be answered for from here is also whether it is at all.
        let is_near = remote.is_none() || !options.local_time.is_zero();
        Self {
            near: is_near.then(|| Memory::new(options.memory_bytes_max)),
            remote,
            leases: Leases::new(options.leases),
            counts: Counts::default(),
            options,
        }
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>, Failure> {
        let found = self.find(key).await;
        self.counted(&found);
        found
    }

    async fn set(&self, key: &str, value: Bytes, ttl: Option<u32>) -> Result<(), Failure> {
        let done = self.put(key, value, ttl).await;
        self.failed(done)
    }

    async fn delete(&self, key: &str) -> Result<(), Failure> {
        let done = async {
            check(key)?;
            if let Some(remote) = &self.remote {
                remote.delete(key).await?;
            }
            self.forget(key);
            Ok(())
        };
        let done = done.await;
        self.failed(done)
    }

    async fn increment(&self, key: &str, delta: i64, ttl: Option<u32>) -> Result<i64, Failure> {
        let done = async {
            check(key)?;
            let ttl = self.ttl(ttl);
            match (&self.remote, &self.near) {
                (Some(remote), _) => {
                    let sum = remote.increment(key, delta, ttl).await;
                    self.forget(key);
                    sum
                }
                (None, Some(near)) => near.increment(key, delta, ttl),
                (None, None) => Err(Failure::Unavailable),
            }
        };
        let done = done.await;
        self.failed(done)
    }

    async fn look_up(&self, key: &str) -> Result<Lookup, Failure> {
        check(key)?;
        // Most find something, and are in nobody's way.
        if let Some(value) = self.near.as_ref().and_then(|near| near.get(key)) {
            self.counts.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(Lookup::Hit(value));
        }
        let lease = match self.leases.ask(key) {
            Asked::Lease(lease) => lease,
            Asked::Full(limit) => return self.failed(Err(self.full(limit))),
            Asked::Wait(waiting) => match waiting.wait().await {
                Handed::Value(value) => {
                    self.counts.collapsed.fetch_add(1, Ordering::Relaxed);
                    return Ok(Lookup::Hit(value));
                }
                Handed::Failed(failure) => return self.failed(Err(failure)),
                Handed::Lease(lease) if lease.is_alone() => {
                    self.counts.misses.fetch_add(1, Ordering::Relaxed);
                    return Ok(Lookup::Miss(lease));
                }
                Handed::Lease(lease) => lease,
            },
        };
        // Whoever has the turn looks, for all who wait: somebody may have made the entry before the turn began.
        let found = self.find(key).await;
        self.counted(&found);
        match found {
            Ok(Some(value)) => {
                lease.fill(&value);
                Ok(Lookup::Hit(value))
            }
            Ok(None) => Ok(Lookup::Miss(lease)),
            Err(failure) => {
                lease.fail(&failure);
                Err(failure)
            }
        }
    }

    async fn fill(&self, lease: Lease, value: Bytes, ttl: Option<u32>) -> Result<(), Failure> {
        if value.len() as u64 > self.options.value_bytes_max {
            // Nor may those who wait be given it; each makes its own, and none waits for the others.
            lease.decline();
            return self.failed(Err(self.full("value")));
        }
        let done = self.put(lease.key(), value.clone(), ttl).await;
        lease.fill(&value);
        self.failed(done)
    }

    async fn find(&self, key: &str) -> Result<Option<Bytes>, Failure> {
        check(key)?;
        if let Some(value) = self.near.as_ref().and_then(|near| near.get(key)) {
            return Ok(Some(value));
        }
        let Some(remote) = &self.remote else {
            return Ok(None);
        };
        let found = remote.get(key, self.options.value_bytes_max).await;
        let found = found.map_err(|failure| match failure {
            Failure::TooLarge => self.full("value"),
            failure => failure,
        })?;
        if let (Some((value, left)), Some(near)) = (&found, &self.near) {
            near.set(key, value.clone(), self.options.local_time.min(*left));
        }
        Ok(found.map(|(value, _)| value))
    }

    async fn put(&self, key: &str, value: Bytes, ttl: Option<u32>) -> Result<(), Failure> {
        check(key)?;
        if value.len() as u64 > self.options.value_bytes_max {
            return Err(self.full("value"));
        }
        let ttl = self.ttl(ttl);
        let near_ttl = match &self.remote {
            Some(remote) => {
                // First what all servers see: what is here already must not outlive a failure there.
                self.forget(key);
                let held = self.options.holding.take(value.len());
                let _held = held.map_err(|_| Failure::Busy)?;
                remote.set(key, value.clone(), ttl).await?;
                self.options.local_time.min(ttl)
            }
            None => ttl,
        };
        match &self.near {
            Some(near) if !near_ttl.is_zero() => near.set(key, value, near_ttl),
            _ => self.forget(key),
        }
        Ok(())
    }

    fn forget(&self, key: &str) {
        if let Some(near) = &self.near {
            near.delete(key);
        }
    }

    fn ttl(&self, seconds: Option<u32>) -> Duration {
        seconds.map_or(self.options.ttl, |seconds| Duration::from_secs(seconds.into()))
    }

    fn counted(&self, found: &Result<Option<Bytes>, Failure>) {
        let counter = match found {
            Ok(Some(_)) => &self.counts.hits,
            Ok(None) => &self.counts.misses,
            Err(_) => &self.counts.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn failed<T>(&self, done: Result<T, Failure>) -> Result<T, Failure> {
        if done.is_err() {
            self.counts.failed.fetch_add(1, Ordering::Relaxed);
        }
        done
    }

    /// A limit is reached.
    fn full(&self, limit: &'static str) -> Failure {
        let (counter, failure) = match limit {
            "value" => (&self.counts.too_large, Failure::TooLarge),
            "leases" => (&self.counts.leases_full, Failure::Busy),
            _ => (&self.counts.waiting_full, Failure::Busy),
        };
        counter.fetch_add(1, Ordering::Relaxed);
        failure
    }
}

fn check(key: &str) -> Result<(), Failure> {
    match (1..=KEY_BYTES_MAX).contains(&key.len()) {
        true => Ok(()),
        false => Err(Failure::InvalidKey),
    }
}

/// An app's cache, as its guests meet it.
struct CacheCapability(Arc<Cache>);

impl Capability for CacheCapability {
    fn name(&self) -> &'static str {
        section::NAME
    }

    fn link(&self, imports: &mut Imports<'_>) -> wasmtime::Result<()> {
        host::link(imports.linker(), &self.0)?;
        text::link(imports, &self.0)
    }

    fn admit(&self, _: &mut Admission<'_>) -> wasmtime::Result<()> {
        // The functions that were linked know the app's cache.
        Ok(())
    }

    fn samples(&self) -> Vec<Sample> {
        let cache = &self.0;
        let counts = &cache.counts;
        let look_ups = |result: &str, count: &AtomicU64| Sample {
            name: "lookups",
            help: "entries that were looked up, by what was found: collapsed got what another call made",
            is_counter: true,
            labels: vec![("result", result.to_owned())],
            value: count.load(Ordering::Relaxed) as f64,
        };
        let gauge = |name, help, value: u64| Sample {
            name,
            help,
            is_counter: false,
            labels: Vec::new(),
            value: value as f64,
        };
        let reached = |limit: &str, times: u64| Sample {
            name: "limits_reached",
            help: "how often each limit was reached",
            is_counter: true,
            labels: vec![("limit", limit.to_owned())],
            value: times as f64,
        };
        let evicted = cache.near.as_ref().map_or(0, Memory::evicted);
        let (entries, bytes) = cache.near.as_ref().map_or((0, 0), Memory::size);
        let (leases, waiting) = cache.leases.counts();
        let mut samples = vec![
            look_ups("hit", &counts.hits),
            look_ups("miss", &counts.misses),
            look_ups("collapsed", &counts.collapsed),
            Sample {
                name: "errors",
                help: "calls that ended with an error",
                is_counter: true,
                labels: Vec::new(),
                value: counts.failed.load(Ordering::Relaxed) as f64,
            },
            reached("memory", evicted),
            reached("value", counts.too_large.load(Ordering::Relaxed)),
            reached("leases", counts.leases_full.load(Ordering::Relaxed)),
            reached("waiting", counts.waiting_full.load(Ordering::Relaxed)),
            gauge("entries", "entries in memory", entries),
            gauge("memory_bytes", "what they take", bytes),
            gauge("leases", "entries in the making", leases as u64),
            gauge("waiting", "calls that wait for an entry in the making", waiting as u64),
        ];
        if let Some(Remote(redis)) = &cache.remote {
            samples.push(reached("calls", redis.without_place()));
            samples.push(reached("held", cache.options.holding.refused()));
            let held = cache.options.holding.bytes() as u64;
            samples.push(gauge("held_bytes", "values that are on their way to Redis", held));
            samples.push(gauge(
                "connected",
                "whether Redis is connected",
                redis.is_connected().into(),
            ));
            samples.push(Sample {
                name: "connections",
                help: "connections to Redis that were made",
                is_counter: true,
                labels: Vec::new(),
                value: redis.connections() as f64,
            });
        }
        samples
    }
}
