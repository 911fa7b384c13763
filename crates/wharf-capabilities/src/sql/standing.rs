//! Whether a database is there, and what the operator has been told of that: once, however many calls it happens to.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often the same is said where calls fail one after another.
const SAID_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// How much of a server's words the log shows, in characters. A guest can have it say what it likes.
const REASON_MAX: usize = 500;

/// How one database stands. All its pools have the same.
pub(super) struct Standing {
    /// The app and the database, for the log.
    pub label: Arc<str>,
    /// No connection can be made.
    is_down: AtomicBool,
    /// One that stood was lost, and none has worked since.
    has_lost: AtomicBool,
    /// That another program has locked it.
    says_locked: Seldom,
    /// That something was too large.
    says_large: Seldom,
    /// That calls were refused for what others hold.
    says_held: Seldom,
    /// That SQLite has no more room.
    says_full: Seldom,
}

impl Standing {
    pub fn new(label: Arc<str>) -> Self {
        Self {
            label,
            is_down: AtomicBool::new(false),
            has_lost: AtomicBool::new(false),
            says_locked: Seldom::default(),
            says_large: Seldom::default(),
            says_held: Seldom::default(),
            says_full: Seldom::default(),
        }
    }

    /// A connection could not be made.
    pub fn is_down(&self, reason: &str) {
        if !self.is_down.swap(true, Ordering::Relaxed) {
            tracing::warn!("{}: no connection: {reason}", self.label);
        }
    }

    /// A connection was lost that we have not given up.
    pub fn lost(&self, reason: &str) {
        if !self.has_lost.swap(true, Ordering::Relaxed) {
            let in_one_line = reason.chars().map(|c| if c.is_control() { ' ' } else { c });
            let shown: String = in_one_line.take(REASON_MAX).collect();
            tracing::warn!("{}: a connection was lost: {shown}", self.label);
        }
    }

    /// A connection was made.
    pub fn connected(&self) {
        let was_down = self.is_down.swap(false, Ordering::Relaxed);
        if self.has_lost.swap(false, Ordering::Relaxed) || was_down {
            tracing::info!("{}: connected again", self.label);
        }
    }

    /// A connection that stood before still does: the next loss is another.
    pub fn works(&self) {
        self.has_lost.store(false, Ordering::Relaxed);
    }

    /// More came at once than a row may have.
    pub fn large(&self, what: &str) {
        if self.says_large.now() {
            tracing::warn!("{}: a result is given up: {what} (row)", self.label);
        }
    }

    /// A call was refused that brings so much.
    pub fn holds_too_much(&self, bytes: usize, most: usize) {
        if self.says_held.now() {
            let label = &self.label;
            tracing::warn!(
                "{label}: a call with {bytes} bytes of parameters is refused: all calls may hold {most} (held)"
            );
        }
    }

    /// SQLite had no more room, in its file or in memory.
    pub fn full(&self, reason: &str) {
        if self.says_full.now() {
            tracing::warn!("{}: {reason}", self.label);
        }
    }

    /// Another program had it for longer than `waited`.
    pub fn locked(&self, waited: Duration, reason: &str) {
        if self.says_locked.now() {
            let label = &self.label;
            tracing::warn!(
                "{label}: another program has locked it for longer than {waited:?} (acquire-time): {reason}"
            );
        }
    }
}

/// When something was last said that is not to be said all the time.
#[derive(Default)]
pub(super) struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    /// Whether it is time to say it. Then it is taken for said.
    pub fn now(&self) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_time = said.is_none_or(|at| at.elapsed() >= SAID_AGAIN_AFTER);
        if is_time {
            *said = Some(Instant::now());
        }
        is_time
    }
}
