//! Entries in the memory of this process, bounded by their bytes.
//!
//! Which entry goes when there is no room is moka's affair: those that are asked for seldom.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use moka::Expiry;
use moka::notification::RemovalCause;
use moka::ops::compute::{CompResult, Op};
use moka::sync::Cache;

use super::Failure;

/// What an entry costs beside the bytes of its key and its value: moka's bookkeeping and two allocations.
const ENTRY_OVERHEAD_BYTES: usize = 256;

/// Entries by key. Cheap to clone.
#[derive(Clone)]
pub struct Memory {
    entries: Cache<Box<str>, Entry>,
    bytes_max: u64,
    /// Bytes that were written since the entries were last looked through for those that go.
    unsettled: Arc<AtomicU64>,
    evicted: Arc<AtomicU64>,
}

#[derive(Clone)]
struct Entry {
    value: Bytes,
    /// From when it is written; `None` leaves the time as it was.
    ttl: Option<Duration>,
}

impl Memory {
    /// No entries, and at most `bytes_max` of them.
    pub fn new(bytes_max: u64) -> Self {
        let evicted = Arc::new(AtomicU64::new(0));
        let count = evicted.clone();
        let entries = Cache::builder()
            .max_capacity(bytes_max)
            .weigher(weigh)
            .expire_after(Ttl)
            .eviction_listener(move |_, _, cause| {
                if cause == RemovalCause::Size {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
            .build();
        Self {
            entries,
            bytes_max,
            unsettled: Arc::default(),
            evicted,
        }
    }

    /// The value of an entry.
    pub fn get(&self, key: &str) -> Option<Bytes> {
        Some(self.entries.get(key)?.value)
    }

    /// Makes an entry, or replaces it.
    pub fn set(&self, key: &str, value: Bytes, ttl: Duration) {
        let weight = weight(key, &value);
        self.entries.insert(key.into(), Entry { value, ttl: Some(ttl) });
        self.settle(weight);
    }

    /// Removes an entry.
    pub fn delete(&self, key: &str) {
        self.entries.invalidate(key);
    }

    /// Adds to a counter.
    pub fn increment(&self, key: &str, delta: i64, ttl: Duration) -> Result<i64, Failure> {
        let add = |entry: Option<moka::Entry<Box<str>, Entry>>| {
            let now = entry.as_ref().map_or(Some(0), |entry| number(&entry.value().value));
            let sum = now.and_then(|now| now.checked_add(delta)).ok_or(Failure::NotANumber)?;
            Ok::<_, Failure>(Op::Put(Entry {
                value: sum.to_string().into(),
                ttl: entry.is_none().then_some(ttl),
            }))
        };
        let done = self.entries.entry(key.into()).and_try_compute_with(add)?;
        self.settle(weight(key, b""));
        match done {
            CompResult::Inserted(entry) | CompResult::ReplacedWith(entry) => {
                number(&entry.value().value).ok_or(Failure::NotANumber)
            }
            _ => Err(Failure::NotANumber),
        }
    }

    /// How many entries there are, and how many bytes they count as.
    pub fn size(&self) -> (u64, u64) {
        self.entries.run_pending_tasks();
        (self.entries.entry_count(), self.entries.weighted_size())
    }

    /// How many entries have gone for want of room.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// By itself moka looks for what has to go after so many writes, however large they are.
    fn settle(&self, weight: u32) {
        let unsettled = self.unsettled.fetch_add(weight.into(), Ordering::Relaxed);
        if unsettled + u64::from(weight) > self.bytes_max / 16 {
            self.unsettled.store(0, Ordering::Relaxed);
            self.entries.run_pending_tasks();
        }
    }
}

#[allow(clippy::borrowed_box, reason = "moka hands out its keys")]
fn weigh(key: &Box<str>, entry: &Entry) -> u32 {
    weight(key, &entry.value)
}

fn weight(key: &str, value: &[u8]) -> u32 {
    u32::try_from(key.len() + value.len() + ENTRY_OVERHEAD_BYTES).unwrap_or(u32::MAX)
}

/// A whole number in decimal.
fn number(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

struct Ttl;

impl Expiry<Box<str>, Entry> for Ttl {
    fn expire_after_create(&self, _: &Box<str>, entry: &Entry, _: Instant) -> Option<Duration> {
        entry.ttl
    }

    fn expire_after_update(&self, _: &Box<str>, entry: &Entry, _: Instant, left: Option<Duration>) -> Option<Duration> {
        entry.ttl.or(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn entries_are_bounded_by_their_bytes() {
        let bytes_max = 1 << 20;
        let memory = Memory::new(bytes_max);
        let value = Bytes::from(vec![7; 10_000]);
        for number in 0..1000 {
            memory.set(&format!("key {number}"), value.clone(), HOUR);
            // At no time much more, however fast they come.
            assert!(memory.entries.weighted_size() <= bytes_max * 9 / 8);
        }
        let (entries, bytes) = memory.size();
        assert!(bytes <= bytes_max && entries > 50, "{entries} entries, {bytes} bytes");
        assert!(memory.evicted() > 800);
    }

    #[test]
    fn an_entry_lives_as_long_as_it_was_given() {
        let memory = Memory::new(1 << 20);
        memory.set("short", Bytes::new(), Duration::from_millis(30));
        memory.set("long", Bytes::new(), HOUR);
        memory.set("none", Bytes::new(), Duration::ZERO);
        std::thread::sleep(Duration::from_millis(60));
        assert_eq!(
            ["short", "long", "none"].map(|key| memory.get(key).is_some()),
            [false, true, false]
        );
    }

    #[test]
    fn counters() {
        let memory = Memory::new(1 << 20);
        assert_eq!(memory.increment("n", 2, Duration::from_millis(80)).unwrap(), 2);
        assert_eq!(memory.increment("n", -5, HOUR).unwrap(), -3);
        assert_eq!(memory.get("n").unwrap(), "-3");
        std::thread::sleep(Duration::from_millis(120));
        // The second increment did not prolong it.
        assert_eq!(memory.increment("n", 1, HOUR).unwrap(), 1);
        memory.set("n", "x".into(), HOUR);
        assert!(matches!(memory.increment("n", 1, HOUR), Err(Failure::NotANumber)));
        memory.set("n", i64::MAX.to_string().into(), HOUR);
        assert!(matches!(memory.increment("n", 1, HOUR), Err(Failure::NotANumber)));
    }

    #[test]
    fn no_increment_is_lost() {
        let memory = Memory::new(1 << 20);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        memory.increment("n", 1, HOUR).unwrap();
                    }
                });
            }
        });
        assert_eq!(memory.get("n").unwrap(), "8000");
    }
}
