//! What a store does, wherever its entries are: each call is one [`Operation`], checked against the store's limits.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use sha1::{Digest as _, Sha1};
use wharf_host::capability::Sample;

use super::memory::Memory;
use super::redis::Remote;
use super::sqlite::Sqlite;
use crate::held::Holding;

/// How long a key may be. Guests count on it, so it is no setting.
pub(super) const KEY_BYTES_MAX: usize = 1024;
/// How many keys one call names. More would hold up a store for everybody else.
const BATCH_MAX: usize = 1000;
/// How many keys a list has before the rest is asked for.
pub(super) const PAGE: usize = 1000;

/// Why a call has no result. What guests read is its text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    #[error("invalid key: it has 1 to {KEY_BYTES_MAX} bytes")]
    InvalidKey,
    #[error("invalid cursor: it comes from the list before")]
    InvalidCursor,
    #[error("too large: a value has at most {0} bytes")]
    TooLarge(u64),
    #[error("too large: a call names at most {BATCH_MAX} keys")]
    TooMany,
    #[error("too large: the values of a call have at most {0} bytes")]
    BatchTooLarge(u64),
    #[error("not a number: the value is no whole number, or cannot hold the sum")]
    NotANumber,
    #[error("full: the store has no room for this")]
    Full,
    #[error("busy: too many calls are under way")]
    Busy,
    #[error("busy: the calls that are under way have too much")]
    Held,
    #[error("unavailable: the store cannot be reached, or is too slow")]
    Unavailable,
    #[error("refused: {0}")]
    Refused(String),
}

/// What tells one value from another, for who compares and swaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint([u8; 20]);

impl Fingerprint {
    // SHA-1 is what Redis can compute where the value is; who finds two values with one fingerprint deceives itself.
    pub fn of(value: &[u8]) -> Self {
        Self(Sha1::digest(value).into())
    }

    pub fn hex(&self) -> String {
        self.0.iter().fold(String::new(), |mut hex, byte| {
            // Writing to a string does not fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

/// One thing to do with a store.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    Get(Vec<String>),
    Set(Vec<(String, Bytes)>),
    Delete(Vec<String>),
    Exists(String),
    /// The keys after this place.
    List(u64),
    Increment(String, i64),
    /// Sets a value, where the present one is this.
    Swap(String, Option<Fingerprint>, Bytes),
}

impl Operation {
    /// How large the values are that it brings.
    fn bytes(&self) -> usize {
        match self {
            Self::Set(entries) => entries.iter().map(|(_, value)| value.len()).sum(),
            Self::Swap(_, _, value) => value.len(),
            _ => 0,
        }
    }
}

/// What comes of it.
#[derive(Debug, PartialEq)]
pub(super) enum Outcome {
    Done,
    /// In the order of the keys.
    Values(Vec<Option<Bytes>>),
    Is(bool),
    /// And the place of the last, where there may be more.
    Keys(Vec<String>, Option<u64>),
    Sum(i64),
}

/// Where the entries are.
pub(super) enum Backend {
    Memory(Memory),
    Sqlite(Sqlite),
    Redis(Box<Remote>),
}

/// A store of an app's.
pub(super) struct Store {
    backend: Backend,
    value_bytes_max: u64,
    batch_bytes_max: u64,
    holding: Arc<Holding>,
    counts: Counts,
}

/// What is counted of a store.
#[derive(Default)]
struct Counts {
    calls: AtomicU64,
    failed: AtomicU64,
    too_large: AtomicU64,
    too_many: AtomicU64,
    full: AtomicU64,
    busy: AtomicU64,
}

impl Store {
    pub fn new(backend: Backend, value_bytes_max: u64, batch_bytes_max: u64, holding: Arc<Holding>) -> Self {
        Self {
            backend,
            value_bytes_max,
            batch_bytes_max,
            holding,
            counts: Counts::default(),
        }
    }

    /// Does one thing. Dropping the future gives its outcome up; what has begun may be done nevertheless.
    pub async fn run(&self, operation: Operation) -> Result<Outcome, Failure> {
        let outcome = match self.check(&operation) {
            Ok(()) => self.run_checked(operation).await,
            Err(failure) => Err(failure),
        };
        self.count(&outcome);
        outcome
    }

    async fn run_checked(&self, operation: Operation) -> Result<Outcome, Failure> {
        let most = self.batch_bytes_max;
        let hold = || self.holding.take(operation.bytes()).map_err(|_| Failure::Held);
        match &self.backend {
            // Nothing waits there.
            Backend::Memory(memory) => memory.run(&operation, most),
            Backend::Sqlite(sqlite) => {
                let held = hold()?;
                sqlite.run(operation, most, held).await
            }
            Backend::Redis(remote) => {
                let _held = hold()?;
                remote.run(operation, most).await
            }
        }
    }

    pub async fn close(&self) {
        if let Backend::Sqlite(sqlite) = &self.backend {
            sqlite.close().await;
        }
    }

    fn check(&self, operation: &Operation) -> Result<(), Failure> {
        match operation {
            Operation::Get(keys) | Operation::Delete(keys) => {
                check_count(keys.len())?;
                keys.iter().try_for_each(|key| check_key(key))
            }
            Operation::Set(entries) => {
                check_count(entries.len())?;
                let bytes = entries
                    .iter()
                    .map(|(key, value)| key.len() + value.len())
                    .sum::<usize>();
                if entries.len() > 1 && bytes as u64 > self.batch_bytes_max {
                    return Err(Failure::BatchTooLarge(self.batch_bytes_max));
                }
                entries.iter().try_for_each(|(key, value)| {
                    check_key(key)?;
                    self.check_value(value)
                })
            }
            Operation::Exists(key) | Operation::Increment(key, _) => check_key(key),
            Operation::List(_) => Ok(()),
            Operation::Swap(key, _, value) => {
                check_key(key)?;
                self.check_value(value)
            }
        }
    }

    fn check_value(&self, value: &Bytes) -> Result<(), Failure> {
        match value.len() as u64 > self.value_bytes_max {
            true => Err(Failure::TooLarge(self.value_bytes_max)),
            false => Ok(()),
        }
    }

    fn count(&self, outcome: &Result<Outcome, Failure>) {
        self.counts.calls.fetch_add(1, Ordering::Relaxed);
        let Err(failure) = outcome else { return };
        self.counts.failed.fetch_add(1, Ordering::Relaxed);
        let limit = match failure {
            Failure::TooLarge(_) => &self.counts.too_large,
            Failure::TooMany | Failure::BatchTooLarge(_) => &self.counts.too_many,
            Failure::Full => &self.counts.full,
            Failure::Busy => &self.counts.busy,
            _ => return,
        };
        limit.fetch_add(1, Ordering::Relaxed);
    }

    pub fn samples(&self, name: &str) -> Vec<Sample> {
        let sample = |of, help, is_counter, value: u64| Sample {
            name: of,
            help,
            is_counter,
            labels: vec![("store", name.to_owned())],
            value: value as f64,
        };
        let (calls, failed) = (&self.counts.calls, &self.counts.failed);
        let mut samples = vec![
            sample("calls", "calls of guests", true, calls.load(Ordering::Relaxed)),
            sample(
                "errors",
                "calls that ended with an error",
                true,
                failed.load(Ordering::Relaxed),
            ),
        ];
        let limits = [
            ("value", &self.counts.too_large),
            ("batch", &self.counts.too_many),
            ("size", &self.counts.full),
            ("calls", &self.counts.busy),
        ];
        let limits = limits.map(|(limit, times)| (limit, times.load(Ordering::Relaxed)));
        let limits = limits.into_iter().chain([("held", self.holding.refused())]);
        samples.extend(limits.map(|(limit, times)| Sample {
            name: "limits_reached",
            help: "how often each limit was reached",
            is_counter: true,
            labels: vec![("store", name.to_owned()), ("limit", limit.to_owned())],
            value: times as f64,
        }));
        let held = self.holding.bytes() as u64;
        samples.push(sample("held_bytes", "values that are on their way", false, held));
        match &self.backend {
            Backend::Memory(memory) => {
                let (entries, bytes) = memory.size();
                samples.push(sample("entries", "entries in memory", false, entries));
                samples.push(sample("bytes", "what a store's entries take", false, bytes));
            }
            Backend::Sqlite(sqlite) => {
                samples.push(sample("bytes", "what a store's entries take", false, sqlite.bytes()));
                samples.push(sample("queue", "calls that wait for the file", false, sqlite.queued()));
            }
            Backend::Redis(remote) => {
                let (connected, connections) = remote.connections();
                samples.push(sample("connected", "whether the server is connected", false, connected));
                samples.push(sample("connections", "connections that were made", true, connections));
            }
        }
        samples
    }
}

fn check_key(key: &str) -> Result<(), Failure> {
    match (1..=KEY_BYTES_MAX).contains(&key.len()) {
        true => Ok(()),
        false => Err(Failure::InvalidKey),
    }
}

fn check_count(keys: usize) -> Result<(), Failure> {
    match keys > BATCH_MAX {
        true => Err(Failure::TooMany),
        false => Ok(()),
    }
}

/// A counter's value: a whole number in decimal, as Redis has it. What is not there counts as 0.
pub(super) fn sum(value: Option<&[u8]>, delta: i64) -> Result<i64, Failure> {
    let number = match value {
        Some(value) => std::str::from_utf8(value)
            .ok()
            .and_then(|text| text.parse::<i64>().ok()),
        None => Some(0),
    };
    number
        .and_then(|number| number.checked_add(delta))
        .ok_or(Failure::NotANumber)
}

/// Takes values as long as there is room for them.
pub(super) fn within(left: &mut u64, most: u64, value: Option<&[u8]>) -> Result<(), Failure> {
    let bytes = value.map_or(0, <[u8]>::len) as u64;
    *left = left.checked_sub(bytes).ok_or(Failure::BatchTooLarge(most))?;
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn get(key: &str) -> Operation {
        Operation::Get(vec![key.to_owned()])
    }

    fn set(key: &str, value: &str) -> Operation {
        Operation::Set(vec![(key.to_owned(), value.to_owned().into())])
    }

    fn values(values: &[Option<&str>]) -> Outcome {
        let values = values
            .iter()
            .map(|value| value.map(|value| Bytes::from(value.to_owned())));
        Outcome::Values(values.collect())
    }

    /// What every backend does, on an empty store for values of 1 KiB and calls of 4 KiB.
    pub async fn check(store: &Store) {
        let swap = |key: &str, seen: Option<&str>, value: &str| {
            let seen = seen.map(|seen| Fingerprint::of(seen.as_bytes()));
            Operation::Swap(key.to_owned(), seen, value.to_owned().into())
        };
        let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
        let large = "x".repeat(1024);
        let many = (0..5).map(|number| (format!("many {number}"), Bytes::from(large.clone())));
        let many: Vec<_> = many.collect();
        let cases: Vec<(Operation, Result<Outcome, Failure>)> = vec![
            (get("a"), Ok(values(&[None]))),
            (set("a", "1"), Ok(Outcome::Done)),
            (set("a", "2"), Ok(Outcome::Done)),
            (set("b é *", ""), Ok(Outcome::Done)),
            (get("a"), Ok(values(&[Some("2")]))),
            (Operation::Exists("a".to_owned()), Ok(Outcome::Is(true))),
            (Operation::Exists("c".to_owned()), Ok(Outcome::Is(false))),
            (
                Operation::Get(keys(&["b é *", "c", "a", "a"])),
                Ok(values(&[Some(""), None, Some("2"), Some("2")])),
            ),
            (Operation::Get(Vec::new()), Ok(values(&[]))),
            (Operation::Set(Vec::new()), Ok(Outcome::Done)),
            (Operation::Delete(Vec::new()), Ok(Outcome::Done)),
            (Operation::Increment("a".to_owned(), 40), Ok(Outcome::Sum(42))),
            (Operation::Increment("n".to_owned(), -7), Ok(Outcome::Sum(-7))),
            (get("n"), Ok(values(&[Some("-7")]))),
            (Operation::Increment("b é *".to_owned(), 1), Err(Failure::NotANumber)),
            (set("n", &i64::MAX.to_string()), Ok(Outcome::Done)),
            (Operation::Increment("n".to_owned(), 1), Err(Failure::NotANumber)),
            (swap("a", Some("41"), "no"), Ok(Outcome::Is(false))),
            (swap("a", None, "no"), Ok(Outcome::Is(false))),
            (swap("a", Some("42"), "yes"), Ok(Outcome::Is(true))),
            (swap("new", Some(""), "no"), Ok(Outcome::Is(false))),
            (swap("new", None, "made"), Ok(Outcome::Is(true))),
            (
                Operation::Get(keys(&["a", "new"])),
                Ok(values(&[Some("yes"), Some("made")])),
            ),
            (Operation::Delete(keys(&["a", "n", "new", "c"])), Ok(Outcome::Done)),
            (get("a"), Ok(values(&[None]))),
            (get(""), Err(Failure::InvalidKey)),
            (get(&"k".repeat(1024)), Ok(values(&[None]))),
            (get(&"k".repeat(1025)), Err(Failure::InvalidKey)),
            (set("large", &large), Ok(Outcome::Done)),
            (set("large", &"x".repeat(1025)), Err(Failure::TooLarge(1024))),
            (Operation::Set(many.clone()), Err(Failure::BatchTooLarge(4096))),
            (Operation::Set(many[..3].to_vec()), Ok(Outcome::Done)),
            (Operation::Get(keys(&["large"; 5])), Err(Failure::BatchTooLarge(4096))),
            (
                Operation::Get(keys(&["large"; 4])),
                Ok(values(&[Some(large.as_str()); 4])),
            ),
            (Operation::Delete(vec!["k".to_owned(); 1001]), Err(Failure::TooMany)),
        ];
        for (operation, expected) in cases {
            let shown = format!("{operation:?}");
            assert_eq!(store.run(operation).await, expected, "{shown:.200}");
        }
        check_list(store).await;
    }

    async fn check_list(store: &Store) {
        for first in (0..2500).step_by(50) {
            let entries = (first..first + 50).map(|number| (format!("list {number}"), Bytes::new()));
            store.run(Operation::Set(entries.collect())).await.unwrap();
        }
        let (mut found, mut after, mut pages) = (std::collections::BTreeSet::new(), 0, 0);
        loop {
            let Outcome::Keys(keys, next) = store.run(Operation::List(after)).await.unwrap() else {
                panic!("a list has keys");
            };
            found.extend(keys);
            pages += 1;
            match next {
                Some(next) => after = next,
                None => break,
            }
        }
        assert_eq!(found.len(), 2505, "{:?}", found.iter().take(9).collect::<Vec<_>>());
        assert!(pages > 1 && found.contains("b é *") && found.contains("list 2499"));
    }
}
