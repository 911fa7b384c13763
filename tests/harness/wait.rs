//! Waiting for something that another thread or process does.

use std::time::{Duration, Instant};

/// How long [`eventually`] and reads from the network wait: far beyond anything a working program needs.
pub const DEADLINE: Duration = Duration::from_secs(60);

const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Waits until `condition` holds.
///
/// # Panics
///
/// When it does not hold within 60 s; `what` completes the sentence "waited 60 s for …".
pub fn eventually(condition: impl FnMut() -> bool, what: &str) {
    eventually_within(DEADLINE, condition, what);
}

/// Like [`eventually`], with a deadline of the caller's.
///
/// # Panics
///
/// When `condition` does not hold within `deadline`.
pub fn eventually_within(deadline: Duration, mut condition: impl FnMut() -> bool, what: &str) {
    assert!(
        poll(deadline, || condition().then_some(())).is_some(),
        "waited {deadline:?} for {what}"
    );
}

/// Asks until there is an answer, or until `deadline` has passed.
pub(crate) fn poll<T>(deadline: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if started.elapsed() >= deadline {
            return None;
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_until_the_condition_holds() {
        let mut asked = 0;
        eventually(
            || {
                asked += 1;
                asked == 3
            },
            "the third question",
        );
        assert_eq!(asked, 3);
    }

    #[test]
    #[should_panic(expected = "for what never comes")]
    fn gives_up_at_the_deadline() {
        eventually_within(Duration::from_millis(30), || false, "what never comes");
    }
}
