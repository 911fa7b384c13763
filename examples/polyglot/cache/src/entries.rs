//! Texts with an end. It knows nothing of components, so that `cargo test` tests it without one.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// As many are kept. What would be one more takes the place of the one that ends first.
const ENTRIES_MAX: usize = 1000;

#[derive(Default)]
pub struct Entries(HashMap<String, Entry>);

struct Entry {
    value: String,
    ends: Instant,
}

impl Entries {
    pub fn get(&self, key: &str, now: Instant) -> Option<&str> {
        let entry = self.0.get(key).filter(|entry| now < entry.ends)?;
        Some(&entry.value)
    }

    pub fn set(&mut self, key: String, value: String, now: Instant, ttl: Duration) {
        self.0.remove(&key);
        if self.0.len() >= ENTRIES_MAX {
            self.make_room(now);
        }
        self.0.insert(key, Entry { value, ends: now + ttl });
    }

    /// What has ended goes; where all are still good, the one that ends first.
    fn make_room(&mut self, now: Instant) {
        self.0.retain(|_, entry| now < entry.ends);
        if self.0.len() < ENTRIES_MAX {
            return;
        }
        let first = self.0.iter().min_by_key(|(_, entry)| entry.ends);
        if let Some(key) = first.map(|(key, _)| key.clone()) {
            self.0.remove(&key);
        }
    }
}

#[test]
fn entries_end() {
    let (mut entries, now) = (Entries::default(), Instant::now());
    entries.set("a".into(), "1".into(), now, Duration::from_secs(2));
    entries.set("a".into(), "2".into(), now, Duration::from_secs(3));
    let at = |seconds| now + Duration::from_secs(seconds);
    assert_eq!(entries.get("a", at(2)), Some("2"));
    assert_eq!(entries.get("a", at(3)), None);
    assert_eq!(entries.get("b", now), None);
}

#[test]
fn the_one_that_ends_first_makes_room() {
    let (mut entries, now) = (Entries::default(), Instant::now());
    for number in 0..=ENTRIES_MAX {
        entries.set(
            number.to_string(),
            String::new(),
            now,
            Duration::from_secs(100 + number as u64),
        );
    }
    assert_eq!(entries.0.len(), ENTRIES_MAX);
    assert_eq!(entries.get("0", now), None);
    assert_eq!(entries.get("1", now), Some(""));
}
