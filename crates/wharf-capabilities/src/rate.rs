//! How many lines may be written: so many a second, and some seconds' worth of them at once.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// How many seconds' worth may come at once: what an app has to say when it starts, or fails.
const SECONDS_AT_ONCE: f64 = 10.0;

/// A bucket of lines that fills by itself.
pub(crate) struct Rate {
    per_second: f64,
    state: Mutex<State>,
}

struct State {
    left: f64,
    since: Instant,
    /// Lines that were left out since the last that was written.
    left_out: u64,
}

/// Whether a line may be written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    Yes,
    /// It may, and so many before it were not.
    YesAfter(u64),
    No,
}

impl Rate {
    pub fn new(per_second: usize) -> Self {
        let per_second = per_second as f64;
        Self {
            per_second,
            state: Mutex::new(State {
                left: per_second * SECONDS_AT_ONCE,
                since: Instant::now(),
                left_out: 0,
            }),
        }
    }

    /// Asks for one line.
    pub fn pass(&self) -> Passed {
        self.pass_at(Instant::now())
    }

    /// Asks for one line at a time that is `now`.
    pub fn pass_at(&self, now: Instant) -> Passed {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let filled = now.saturating_duration_since(state.since).as_secs_f64() * self.per_second;
        state.left = (state.left + filled).min(self.per_second * SECONDS_AT_ONCE);
        state.since = now;
        if state.left < 1.0 {
            state.left_out += 1;
            return Passed::No;
        }
        state.left -= 1.0;
        match std::mem::take(&mut state.left_out) {
            0 => Passed::Yes,
            left_out => Passed::YesAfter(left_out),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn lines_pass_at_a_rate() {
        let rate = Rate::new(2);
        let begun = Instant::now();
        let passed = (0..25).filter(|_| rate.pass_at(begun) == Passed::Yes).count();
        assert_eq!(passed, 20);
        let later = begun + Duration::from_millis(600);
        assert_eq!(rate.pass_at(later), Passed::YesAfter(5));
        assert_eq!(rate.pass_at(later), Passed::No);
        let much_later = begun + Duration::from_secs(3600);
        assert_eq!(rate.pass_at(much_later), Passed::YesAfter(1));
        let passed = (0..25).filter(|_| rate.pass_at(much_later) == Passed::Yes).count();
        assert_eq!(passed, 19);
    }
}
