//! What the server holds of guests' data while their calls wait or run: bounded in bytes, however many calls there are.
//!
//! A guest's own memory does not bound it: what a call is given is copied, and the guest may free its own and call again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Enough for bulk inserts beside each other, and little beside what a server has.
pub(crate) const HELD_BYTES: u64 = 64 << 20;

/// How much calls hold together, and may.
#[derive(Debug)]
pub(crate) struct Holding {
    bytes: AtomicUsize,
    bytes_max: usize,
    refused: AtomicU64,
}

/// What one call holds, until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    by: Arc<Holding>,
    bytes: usize,
}

/// Why something is not held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// Others hold too much.
    Now,
    /// It is more than all calls together may hold.
    Ever,
}

impl Holding {
    pub fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            bytes: AtomicUsize::new(0),
            bytes_max,
            refused: AtomicU64::new(0),
        })
    }

    /// Room for what a call brings. Without it the call is refused, and counted.
    pub fn take(self: &Arc<Self>, bytes: usize) -> Result<Held, NoRoom> {
        let fits = |now: usize| now.checked_add(bytes).filter(|sum| *sum <= self.bytes_max);
        match self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            Ok(_) => Ok(self.held(bytes)),
            Err(_) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                Err(match bytes > self.bytes_max {
                    true => NoRoom::Ever,
                    false => NoRoom::Now,
                })
            }
        }
    }

    /// Counts what is here already, whether there is room for it or not: calls that come later are refused for it.
    pub fn add(self: &Arc<Self>, bytes: usize) -> Held {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.held(bytes)
    }

    fn held(self: &Arc<Self>, bytes: usize) -> Held {
        Held {
            by: self.clone(),
            bytes,
        }
    }

    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How many calls were refused.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Held {
    /// Whose it is.
    pub fn by(&self) -> &Arc<Holding> {
        &self.by
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.by.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_bounded_and_given_back() {
        let holding = Holding::new(10);
        let first = holding.take(6).unwrap();
        assert_eq!(holding.take(5).unwrap_err(), NoRoom::Now);
        assert_eq!(holding.take(11).unwrap_err(), NoRoom::Ever);
        assert_eq!(holding.take(usize::MAX).unwrap_err(), NoRoom::Ever);
        let second = holding.take(4).unwrap();
        assert_eq!((holding.bytes(), holding.refused()), (10, 3));
        drop(first);
        let more = holding.add(20);
        assert_eq!(holding.take(1).unwrap_err(), NoRoom::Now);
        drop((second, more));
        assert_eq!(holding.bytes(), 0);
        assert!(holding.take(10).is_ok());
    }
}
