//! Whether the processors keep up, and whose requests are refused where they do not.
//!
//! A queue for instances cannot see this: guests that compute finish one after the other, and what waits is in the
//! scheduler's queue. How long a task waits there is measured by one that wants to run every few milliseconds. As long as
//! that wait comes and goes there are bursts; once it has stood for a quarter of a second there is more work than can be
//! done, and doing all of it later would help nobody: requests are refused until the wait is short again. Only those of
//! apps that are the reason: that take most of the processors' time, or their share of it beside others, with many
//! requests. A handful of long computations is work, no crowd; and where other programs take the processors, refusing
//! requests would not give them back.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::app::App;
use crate::door::Door;

/// How often the wait is measured.
const EVERY: Duration = Duration::from_millis(5);

/// A wait that is not noticed: two turns of a guest that computes (10 ms each).
const SHORT: Duration = Duration::from_millis(20);

/// A wait that has not been short for this long is no burst.
const STANDING: Duration = Duration::from_millis(250);

/// After so long without a long wait, the crowd is taken to be gone.
const CALM: Duration = Duration::from_secs(1);

/// How often it is looked which apps are the reason.
const WINDOW: Duration = Duration::from_millis(125);

/// The part of all processors' time that guests take when they are the reason.
const BUSY_PART: f64 = 0.5;

/// Requests for each core that an app may begin in a window, or have waiting for their next turn, without being a crowd.
const PER_CORE: u64 = 8;

/// What is known of the load at this moment.
pub(crate) struct Load {
    /// Requests are to be refused.
    refusing: AtomicBool,
    /// What requests cost is to be measured.
    watching: AtomicBool,
    cores: u64,
}

impl Load {
    pub fn new() -> Self {
        Self {
            refusing: AtomicBool::new(false),
            watching: AtomicBool::new(false),
            cores: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64),
        }
    }

    /// Whether a request of `app` is one too many.
    pub fn refuses(&self, app: &App) -> bool {
        if self.watching.load(Ordering::Relaxed) {
            app.inner().effort.begun.fetch_add(1, Ordering::Relaxed);
        }
        self.refusing.load(Ordering::Relaxed) && app.inner().effort.crowds.load(Ordering::Relaxed)
    }

    /// Drives `work` for `app`, and counts what that takes while somebody wants to know.
    pub async fn measured<T>(&self, app: &App, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        std::future::poll_fn(|cx| {
            if !self.watching.load(Ordering::Relaxed) {
                return work.as_mut().poll(cx);
            }
            let begun = Instant::now();
            let polled = work.as_mut().poll(cx);
            let spent = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
            app.inner().effort.spent.fetch_add(spent, Ordering::Relaxed);
            polled
        })
        .await
    }
}

/// Measures as long as the server runs.
pub(crate) async fn watch(door: &Door) {
    let mut crowd = Crowd::new(Instant::now());
    let mut weighed = Instant::now();
    loop {
        let due = Instant::now() + EVERY;
        tokio::time::sleep_until(due.into()).await;
        let now = Instant::now();
        let refusing = crowd.see(now, now.saturating_duration_since(due));
        door.load.refusing.store(refusing, Ordering::Relaxed);
        door.load.watching.store(crowd.may_come(now), Ordering::Relaxed);
        if now - weighed > WINDOW {
            weighed = now;
            weigh(&door.apps().all, door.load.cores);
        }
    }
}

/// What an app asks of the processors, as far as it is measured.
#[derive(Default)]
pub(crate) struct Effort {
    /// Time that its requests have taken in this window, in nanoseconds.
    spent: AtomicU64,
    /// Requests that came in this window.
    begun: AtomicU64,
    /// It looked like a crowd in the last window.
    suspected: AtomicBool,
    /// It did in the last two.
    crowds: AtomicBool,
}

/// Finds out which apps are the reason.
fn weigh(apps: &[App], cores: u64) {
    let spent: Vec<u64> = apps
        .iter()
        .map(|app| app.inner().effort.spent.swap(0, Ordering::Relaxed))
        .collect();
    let total: u64 = spent.iter().sum();
    let busy = total as f64 >= BUSY_PART * WINDOW.as_nanos() as f64 * cores as f64;
    let active = spent.iter().filter(|&&spent| spent > 0).count().max(1) as u64;
    for (app, spent) in apps.iter().zip(spent) {
        let effort = &app.inner().effort;
        let begun = effort.begun.swap(0, Ordering::Relaxed);
        let many = begun.max(app.wanting_turns() as u64) > cores * PER_CORE;
        let suspected = busy && many && spent >= total / active;
        let before = effort.suspected.swap(suspected, Ordering::Relaxed);
        effort.crowds.store(suspected && before, Ordering::Relaxed);
    }
}

/// What the waits measured so far mean.
struct Crowd {
    /// When the wait was last short.
    short_at: Instant,
    /// When it was last long, once it had stood.
    seen: Option<Instant>,
}

impl Crowd {
    fn new(now: Instant) -> Self {
        Self {
            short_at: now,
            seen: None,
        }
    }

    /// A wait was measured; whether requests are to be refused.
    fn see(&mut self, now: Instant, wait: Duration) -> bool {
        let long = wait > SHORT;
        if !long {
            self.short_at = now;
        }
        if long && (self.seen.is_some() || now - self.short_at > STANDING) {
            self.seen = Some(now);
        }
        if self.seen.is_some_and(|last| now - last > CALM) {
            self.seen = None;
        }
        long && self.seen.is_some()
    }

    /// Whether it is worth knowing what requests cost.
    fn may_come(&self, now: Instant) -> bool {
        self.seen.is_some() || now - self.short_at > SHORT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits in milliseconds, `count` of them every ten milliseconds; what each is answered with must be the same.
    #[track_caller]
    fn check(crowd: &mut Crowd, now: &mut Instant, count: u32, wait: u64, expected: bool) {
        for nth in 0..count {
            *now += Duration::from_millis(10);
            let refusing = crowd.see(*now, Duration::from_millis(wait));
            assert_eq!(refusing, expected, "the {nth}th wait of {wait} ms");
        }
    }

    #[test]
    fn a_burst_is_worked_off_and_a_crowd_is_refused_until_the_wait_is_short() {
        let mut now = Instant::now();
        let mut crowd = Crowd::new(now);
        check(&mut crowd, &mut now, 25, 50, false);
        assert!(crowd.may_come(now));
        check(&mut crowd, &mut now, 1, 5, false);
        check(&mut crowd, &mut now, 25, 50, false);
        check(&mut crowd, &mut now, 10, 50, true);
        check(&mut crowd, &mut now, 3, 10, false);
        // The crowd is still there: nobody waits for a quarter of a second again.
        check(&mut crowd, &mut now, 3, 30, true);
        check(&mut crowd, &mut now, 101, 1, false);
        assert!(!crowd.may_come(now));
        check(&mut crowd, &mut now, 25, 50, false);
    }
}
