//! Requests that wait for an instance: how many may, and for how long.
//!
//! A queue takes up bursts. One that never empties takes up nothing, it only makes everybody late: whoever is served then
//! has waited long, and whoever waits in vain learns so last of all. So patience depends on how long the queue has stood.
//! What is served stays the same, since there is always somebody next; the surplus is told at once.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::Failure;
use crate::engine::TICK;

/// A queue that has not been empty for this long is no burst.
const STANDING: Duration = Duration::from_millis(250);

/// How long a request waits in a standing queue. Long enough that there is always a next one, short enough that a client
/// which is told to come back later has lost nothing.
const BRIEF: Duration = Duration::from_millis(20);

/// The queue of one service.
pub(super) struct Queue {
    waiting: AtomicUsize,
    /// The tick at which it was last empty.
    since: AtomicU64,
    length_max: usize,
    timeout: Duration,
}

/// A request that waits, until this is dropped.
pub(super) struct Waits<'a> {
    queue: &'a Queue,
    /// How long it may.
    pub patience: Duration,
}

impl Queue {
    /// Takes `length_max` requests, each for `timeout` unless the queue stands.
    pub fn new(length_max: usize, timeout: Duration) -> Self {
        Self {
            waiting: AtomicUsize::new(0),
            since: AtomicU64::new(0),
            length_max,
            timeout,
        }
    }

    /// Lets a request wait; `now` is the engine's tick.
    pub fn join(&self, now: u64) -> Result<Waits<'_>, Failure> {
        let before = self.waiting.fetch_add(1, Ordering::AcqRel);
        let mut waits = Waits {
            queue: self,
            patience: self.timeout,
        };
        if before >= self.length_max {
            return Err(Failure::QueueFull {
                length: self.length_max,
            });
        }
        if before == 0 {
            self.since.store(now, Ordering::Release);
        } else if self.stands(now) {
            waits.patience = BRIEF.min(self.timeout);
        }
        Ok(waits)
    }

    fn stands(&self, now: u64) -> bool {
        let ticks = now.saturating_sub(self.since.load(Ordering::Acquire));
        u128::from(ticks) * TICK.as_nanos() > STANDING.as_nanos()
    }

    pub fn is_any(&self) -> bool {
        self.len() > 0
    }

    pub fn len(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.queue.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(5);

    /// Ticks after which a queue stands.
    fn standing() -> u64 {
        u64::try_from(STANDING.as_nanos() / TICK.as_nanos()).unwrap() + 1
    }

    #[test]
    fn a_burst_may_wait_and_a_standing_queue_may_not() {
        let queue = Queue::new(10, TIMEOUT);
        let first = queue.join(100).unwrap();
        let second = queue.join(100 + standing() - 1).unwrap();
        let third = queue.join(100 + standing()).unwrap();
        assert_eq!(
            [first.patience, second.patience, third.patience],
            [TIMEOUT, TIMEOUT, BRIEF]
        );
        drop((first, second, third));
        let burst = queue.join(100 + 10 * standing()).unwrap();
        assert_eq!(burst.patience, TIMEOUT, "it was empty in between");
    }

    #[test]
    fn a_full_queue_refuses_and_forgets_whom_it_refused() {
        let queue = Queue::new(1, TIMEOUT);
        let first = queue.join(0).unwrap();
        assert!(matches!(queue.join(0), Err(Failure::QueueFull { length: 1 })));
        assert_eq!(queue.len(), 1);
        drop(first);
        assert!(!queue.is_any());
        assert!(queue.join(0).is_ok());
    }

    #[test]
    fn no_patience_is_longer_than_the_operators() {
        let brief = BRIEF / 2;
        let queue = Queue::new(10, brief);
        let _first = queue.join(0).unwrap();
        assert_eq!(queue.join(standing()).unwrap().patience, brief);
    }
}
