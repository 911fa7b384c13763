//! Entries in the memory of this process: gone when it ends, refused when there is no room.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::store::{Failure, Fingerprint, Operation, Outcome, PAGE, sum, within};

/// What an entry costs beside the bytes of its key and its value: its places in two tables.
const ENTRY_OVERHEAD_BYTES: u64 = 128;

/// The entries of one store.
pub(super) struct Memory {
    bytes_max: u64,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    by_key: HashMap<Arc<str>, Entry>,
    /// In the order in which they were made: whoever lists them goes on where it was, whatever was made since.
    by_number: BTreeMap<u64, Arc<str>>,
    next: u64,
    bytes: u64,
}

struct Entry {
    number: u64,
    value: Bytes,
}

impl Memory {
    pub fn new(bytes_max: u64) -> Self {
        Self {
            bytes_max,
            entries: Mutex::default(),
        }
    }

    pub fn run(&self, operation: &Operation, batch_bytes_max: u64) -> Result<Outcome, Failure> {
        let mut entries = self.lock();
        match operation {
            Operation::Get(keys) => entries.values(keys, batch_bytes_max),
            Operation::Set(pairs) => {
                for (key, value) in pairs {
                    entries.set(key, value.clone(), self.bytes_max)?;
                }
                Ok(Outcome::Done)
            }
            Operation::Delete(keys) => {
                keys.iter().for_each(|key| entries.delete(key));
                Ok(Outcome::Done)
            }
            Operation::Exists(key) => Ok(Outcome::Is(entries.by_key.contains_key(key.as_str()))),
            Operation::List(after) => Ok(entries.keys(*after)),
            Operation::Increment(key, delta) => {
                let sum = sum(entries.value(key).map(|value| &value[..]), *delta)?;
                entries.set(key, sum.to_string().into(), self.bytes_max)?;
                Ok(Outcome::Sum(sum))
            }
            Operation::Swap(key, seen, value) => {
                let is_same = entries.value(key).map(|value| Fingerprint::of(value)) == *seen;
                if is_same {
                    entries.set(key, value.clone(), self.bytes_max)?;
                }
                Ok(Outcome::Is(is_same))
            }
        }
    }

    /// How many entries there are, and how many bytes they count as.
    pub fn size(&self) -> (u64, u64) {
        let entries = self.lock();
        (entries.by_key.len() as u64, entries.bytes)
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn value(&self, key: &str) -> Option<&Bytes> {
        Some(&self.by_key.get(key)?.value)
    }

    fn values(&self, keys: &[String], most: u64) -> Result<Outcome, Failure> {
        let mut left = most;
        let is_batch = keys.len() > 1;
        let values = keys.iter().map(|key| {
            let value = self.value(key);
            if is_batch {
                within(&mut left, most, value.map(|value| &value[..]))?;
            }
            Ok(value.cloned())
        });
        Ok(Outcome::Values(values.collect::<Result<_, Failure>>()?))
    }

    fn set(&mut self, key: &str, value: Bytes, bytes_max: u64) -> Result<(), Failure> {
        let cost = cost(key, &value);
        let before = self.by_key.get(key).map_or(0, |entry| self::cost(key, &entry.value));
        let bytes = self.bytes - before + cost;
        if bytes > bytes_max && cost > before {
            return Err(Failure::Full);
        }
        self.bytes = bytes;
        match self.by_key.get_mut(key) {
            Some(entry) => entry.value = value,
            None => {
                let key: Arc<str> = key.into();
                // From 1: a list begins after 0.
                self.next += 1;
                let number = self.next;
                self.by_number.insert(number, key.clone());
                self.by_key.insert(key, Entry { number, value });
            }
        }
        Ok(())
    }

    fn delete(&mut self, key: &str) {
        if let Some(entry) = self.by_key.remove(key) {
            self.by_number.remove(&entry.number);
            self.bytes -= cost(key, &entry.value);
        }
    }

    fn keys(&self, after: u64) -> Outcome {
        let mut rest = self.by_number.range((Bound::Excluded(after), Bound::Unbounded));
        let page: Vec<_> = rest.by_ref().take(PAGE).collect();
        let last = page.last().map(|(number, _)| **number);
        let keys = page.iter().map(|(_, key)| key.as_ref().to_owned()).collect();
        Outcome::Keys(keys, last.filter(|_| rest.next().is_some()))
    }
}

fn cost(key: &str, value: &[u8]) -> u64 {
    (key.len() + value.len()) as u64 + ENTRY_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::super::store::{Backend, Store, tests::check};
    use super::*;
    use crate::held::Holding;

    #[tokio::test]
    async fn operations() {
        check(&Store::new(
            Backend::Memory(Memory::new(1 << 20)),
            1024,
            4096,
            Holding::new(1 << 20),
        ))
        .await;
    }

    #[test]
    fn what_has_no_room_is_refused() {
        let memory = Memory::new(1000);
        let set = |key: &str, bytes: usize| Operation::Set(vec![(key.to_owned(), vec![0; bytes].into())]);
        assert_eq!(memory.run(&set("a", 500), 0), Ok(Outcome::Done));
        assert_eq!(memory.run(&set("b", 300), 0), Err(Failure::Full));
        assert_eq!(memory.run(&set("a", 700), 0), Ok(Outcome::Done));
        assert_eq!(memory.run(&set("a", 900), 0), Err(Failure::Full));
        assert_eq!(
            memory.run(&Operation::Delete(vec!["a".to_owned()]), 0),
            Ok(Outcome::Done)
        );
        assert_eq!(
            (memory.size(), memory.run(&set("b", 800), 0)),
            ((0, 0), Ok(Outcome::Done))
        );
    }
}
