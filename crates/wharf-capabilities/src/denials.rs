//! What the guests of an app ask for and have no grant for: counted, and said to whoever runs the server, who may have
//! forgotten the grant.
//!
//! The same for requests, WebSockets, sockets and lookups of names. A guest decides how often it asks, not how much is written:
//! the same thing is said once a minute, and all of it at a rate.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use wharf_host::Sample;

use crate::rate::{Passed, Rate};

/// How often the same is said.
const SAME_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// How much of what was said is remembered. Past it the same may be said more often, at the rate.
const SAID_MAX: usize = 256;

/// How many lines are written a second, ten seconds' worth of them at once: an app asks for few places that it has no grant for,
/// unless it looks for them.
const LINES_PER_SECOND: usize = 1;

/// The denials of one app, by one capability.
pub(crate) struct Denials {
    app: String,
    count: AtomicU64,
    rate: Rate,
    /// What was said, and when.
    said: Mutex<HashMap<String, Instant>>,
}

impl Denials {
    /// None so far, of the app called `app`.
    pub fn of(app: &str) -> Self {
        Self {
            app: app.to_owned(),
            count: AtomicU64::new(0),
            rate: Rate::new(LINES_PER_SECOND),
            said: Mutex::default(),
        }
    }

    /// That `what`, such as an outgoing request, is denied to where it was to go.
    pub fn tell(&self, what: &str, to: &dyn Display, why: &str) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let Some(left_out) = self.is_said(what, to, Instant::now()) else {
            return;
        };
        let app = &self.app;
        match left_out {
            0 => tracing::info!(%app, %to, "{what} denied: {why}"),
            _ => tracing::info!(%app, %to, left_out, "{what} denied: {why}"),
        }
    }

    /// If it is to be said, how many others were not.
    fn is_said(&self, what: &str, to: &dyn Display, now: Instant) -> Option<u64> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let again = |at: &Instant| now.saturating_duration_since(*at) >= SAME_AGAIN_AFTER;
        let key = format!("{what} {to}");
        if said.get(&key).is_some_and(|at| !again(at)) {
            return None;
        }
        let left_out = match self.rate.pass_at(now) {
            Passed::Yes => 0,
            Passed::YesAfter(left_out) => left_out,
            Passed::No => return None,
        };
        if said.len() >= SAID_MAX {
            said.retain(|_, at| !again(at));
        }
        if said.len() < SAID_MAX {
            said.insert(key, now);
        }
        Some(left_out)
    }

    /// How many there were.
    pub fn sample(&self) -> Sample {
        Sample {
            name: "denied",
            help: "What guests asked for without a grant",
            is_counter: true,
            labels: Vec::new(),
            value: self.count.load(Ordering::Relaxed) as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_once_a_minute_and_everything_at_a_rate() {
        let denials = Denials::of("shop");
        let start = Instant::now();
        let is_said = |to: &str, after: f64| {
            let now = start + Duration::from_secs_f64(after);
            denials.is_said("outgoing request", &to, now)
        };
        assert_eq!(is_said("a", 0.0), Some(0));
        assert_eq!((is_said("a", 0.0), is_said("a", 59.0)), (None, None));
        assert_eq!(is_said("a", 60.0), Some(0));
        let told = (0..1000).filter(|nth| is_said(&nth.to_string(), 60.0).is_some());
        assert_eq!(told.count(), 9);
        assert_eq!(is_said("b", 61.5), Some(991));
        assert_eq!(is_said("0", 61.5), None, "it was said, and is within its minute");
    }

    #[test]
    fn little_is_remembered() {
        let denials = Denials::of("shop");
        let start = Instant::now();
        for nth in 0..2 * SAID_MAX as u64 {
            let now = start + Duration::from_millis(nth * 1000);
            assert!(denials.is_said("outgoing request", &nth, now).is_some());
            assert!(denials.said.lock().unwrap().len() <= SAID_MAX);
        }
    }
}
