//! The engine's clock: one for all requests, so that a deadline costs a comparison and not a timer of its own.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use slab::Slab;

/// How often running guests are interrupted, and how exact deadlines are. Each tick a busy guest yields to its
/// neighbours, and its limits are checked; shorter would cost switches, longer would let a busy guest hold a thread
/// noticeably.
pub const TICK: Duration = Duration::from_millis(10);

/// Counts ticks, and wakes whoever waits for one.
#[derive(Default)]
pub(crate) struct Clock {
    ticks: AtomicU64,
    sleepers: Mutex<Sleepers>,
}

#[derive(Default)]
struct Sleepers {
    all: Slab<Sleeper>,
    /// Nobody is due before this tick. Not always exact: those who no longer wait are not taken into account.
    next: u64,
}

struct Sleeper {
    due: u64,
    waker: Waker,
}

impl Clock {
    /// Ticks since it began.
    pub fn ticks(&self) -> u64 {
        self.ticks.load(Ordering::Acquire)
    }

    /// The first tick at which `duration` has surely passed.
    pub fn after(&self, duration: Duration) -> u64 {
        let ticks = u64::try_from(duration.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(u64::MAX);
        // The tick that is under way counts for nothing.
        self.ticks().saturating_add(ticks).saturating_add(1)
    }

    /// Ready at the tick `due`.
    pub fn at(&self, due: u64) -> At<'_> {
        At {
            clock: self,
            due,
            key: None,
        }
    }

    /// One tick has passed.
    pub fn tick(&self) {
        let now = self.ticks.fetch_add(1, Ordering::AcqRel) + 1;
        for waker in self.lock().take_due(now) {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Sleepers> {
        // Nothing in here panics; and a list with a sleeper too many does no harm.
        self.sleepers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sleepers {
    fn insert(&mut self, due: u64, waker: Waker) -> usize {
        self.next = if self.all.is_empty() { due } else { self.next.min(due) };
        self.all.insert(Sleeper { due, waker })
    }

    /// The wakers of those who are due. They stay until they have seen it.
    fn take_due(&mut self, now: u64) -> Vec<Waker> {
        if self.all.is_empty() || now < self.next {
            return Vec::new();
        }
        let due = |sleeper: &&Sleeper| sleeper.due <= now;
        let wakers = self
            .sleepers()
            .filter(due)
            .map(|sleeper| sleeper.waker.clone())
            .collect();
        let later = self.sleepers().map(|sleeper| sleeper.due).filter(|&due| due > now);
        self.next = later.min().unwrap_or(u64::MAX);
        wakers
    }

    fn sleepers(&self) -> impl Iterator<Item = &Sleeper> {
        self.all.iter().map(|(_, sleeper)| sleeper)
    }
}

/// See [`Clock::at`].
pub(crate) struct At<'a> {
    clock: &'a Clock,
    due: u64,
    key: Option<usize>,
}

impl Future for At<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let clock = self.clock;
        let mut sleepers = clock.lock();
        // Under the lock: a tick comes before it, and is seen, or after it, and sees the sleeper.
        if clock.ticks() >= self.due {
            return Poll::Ready(());
        }
        match self.key.and_then(|key| sleepers.all.get_mut(key)) {
            Some(sleeper) => sleeper.waker.clone_from(cx.waker()),
            None => self.key = Some(sleepers.insert(self.due, cx.waker().clone())),
        }
        Poll::Pending
    }
}

impl Drop for At<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let gone = self.clock.lock().all.try_remove(key);
            // Not under the lock: the last of a waker drops its task, with whatever that holds.
            drop(gone);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn whoever_is_due_is_woken_and_nobody_else() {
        let clock = Clock::default();
        let (soon, late) = (Arc::new(Wakes::default()), Arc::new(Wakes::default()));
        let (soon_waker, late_waker) = (Waker::from(soon.clone()), Waker::from(late.clone()));
        let mut first = pin!(clock.at(2));
        let mut second = pin!(clock.at(4));
        assert!(first.as_mut().poll(&mut Context::from_waker(&soon_waker)).is_pending());
        assert!(second.as_mut().poll(&mut Context::from_waker(&late_waker)).is_pending());
        for (tick, expected) in [(1, (0, 0)), (2, (1, 0)), (3, (1, 0)), (4, (1, 1))] {
            clock.tick();
            let woken = (soon.0.load(Ordering::Relaxed), late.0.load(Ordering::Relaxed));
            // Perhaps more than once, as long as it has not looked.
            assert_eq!(woken.0.min(1), expected.0, "the first at tick {tick}");
            assert_eq!(woken.1, expected.1, "the second at tick {tick}");
        }
        assert!(first.as_mut().poll(&mut Context::from_waker(&soon_waker)).is_ready());
        assert!(second.as_mut().poll(&mut Context::from_waker(&late_waker)).is_ready());
    }

    #[test]
    fn whoever_comes_after_the_clock_stood_empty_is_woken() {
        let clock = Clock::default();
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(wakes.clone());
        for due in [1, 3, 2] {
            let mut at = pin!(clock.at(clock.ticks() + due));
            assert!(at.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            let before = wakes.0.load(Ordering::Relaxed);
            (0..due).for_each(|_| clock.tick());
            assert_eq!(wakes.0.load(Ordering::Relaxed), before + 1, "due after {due}");
        }
        assert!(clock.lock().all.is_empty(), "each was gone before the next");
    }

    #[test]
    fn whoever_no_longer_waits_is_forgotten() {
        let clock = Clock::default();
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(wakes.clone());
        {
            let mut at = pin!(clock.at(1));
            assert!(at.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        clock.tick();
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
        assert!(clock.lock().all.is_empty());
    }

    #[test]
    fn a_duration_has_passed_at_the_tick_after_it() {
        let clock = Clock::default();
        for (milliseconds, ticks) in [(0, 1), (1, 2), (10, 2), (11, 3), (1000, 101)] {
            assert_eq!(
                clock.after(Duration::from_millis(milliseconds)),
                ticks,
                "{milliseconds} ms"
            );
        }
        assert_eq!(clock.after(Duration::MAX), u64::MAX);
    }
}
