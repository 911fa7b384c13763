//! Messages that anybody could cause any number of.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often one is written: often enough to be found, seldom enough to bury nothing.
const PAUSE: Duration = Duration::from_secs(1);

/// One kind of message.
#[derive(Debug, Default)]
pub(crate) struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    /// Says it, unless that was done a moment ago.
    pub fn say(&self, say: impl FnOnce()) {
        let now = Instant::now();
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_none_or(|said| now - said >= PAUSE) {
            *said = Some(now);
            drop(said);
            say();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_a_moment_ago_is_not_said_again() {
        let (seldom, mut said) = (Seldom::default(), 0);
        for _ in 0..10 {
            seldom.say(|| said += 1);
        }
        assert_eq!(said, 1);
        *seldom.0.lock().unwrap() = Instant::now().checked_sub(PAUSE);
        seldom.say(|| said += 1);
        assert_eq!(said, 2);
    }
}
