//! Whether the processors keep up.
//!
//! A queue for instances cannot see this: guests that compute finish one after the other, and what waits is in the
//! scheduler's queue. How long a task waits there is measured by one that wants to run every few milliseconds. When that is
//! noticeable, and stays so, guests are made to take turns (`turns.rs`), until nobody has had to wait for one for a while.

use std::time::{Duration, Instant};

use crate::door::Door;

/// How often the wait is measured.
const EVERY: Duration = Duration::from_millis(5);

/// The same while there is no request: a server that has nothing to do is to leave the processor alone.
const EVERY_IDLE: Duration = Duration::from_millis(50);

/// A wait that nobody notices: two turns of a guest that computes (10 ms each).
const SHORT: Duration = Duration::from_millis(20);

/// A wait that has not been short for so long is no burst, and no other program's short visit to the processor.
const STANDING: Duration = Duration::from_millis(100);

/// After so long without a crowd, it is taken to be gone.
const CALM: Duration = Duration::from_secs(1);

/// Measures as long as the server runs.
pub(crate) async fn watch(door: &Door) {
    let mut short_at = Instant::now();
    let mut crowd: Option<Instant> = None;
    loop {
        let is_idle = crowd.is_none() && door.metrics.requests.get() == 0;
        let due = Instant::now() + if is_idle { EVERY_IDLE } else { EVERY };
        tokio::time::sleep_until(due.into()).await;
        let now = Instant::now();
        if is_idle {
            // Nobody can have waited before: only what it has been late by counts.
            short_at = due.min(now);
        }
        if now.saturating_duration_since(due) <= SHORT {
            short_at = now;
        }
        if now - short_at > STANDING || (crowd.is_some() && door.turns.is_any_waiting()) {
            crowd = Some(now);
        }
        if crowd.is_some_and(|seen| now - seen > CALM) {
            crowd = None;
        }
        door.turns.set_crowded(crowd.is_some());
    }
}
