//! What one database has been asked, and how that went, for the metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use super::error::{Error, Failure};
use super::flow::Ended;

/// Counts since the server began.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub succeeded: AtomicU64,
    pub failed: AtomicU64,
    /// Ended because nobody wanted their result any more.
    pub cancelled: AtomicU64,
    /// Ended because the database, or the guest, took too long.
    pub timed_out: AtomicU64,
    pub exhausted: AtomicU64,
    pub disconnected: AtomicU64,
    /// For want of room in SQLite's database, and of memory for SQLite.
    pub full: AtomicU64,
    pub without_memory: AtomicU64,
    pub transactions: AtomicU64,
    pub rolled_back: AtomicU64,
    /// Larger than a row may be.
    pub large: AtomicU64,
}

impl Counters {
    pub fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// A statement was ended from outside.
    pub fn ended(&self, ended: Ended) {
        match ended {
            Ended::Left => Self::add(&self.cancelled),
            Ended::Slow | Ended::Unread => Self::add(&self.timed_out),
        }
    }

    /// A statement has ended. Those that were ended from outside are counted there.
    pub fn finished(&self, outcome: &Result<u64, Failure>) {
        match outcome {
            Ok(_) => Self::add(&self.succeeded),
            Err(Failure::Refused(error) | Failure::Lost(error)) => self.refused(error),
            Err(Failure::Gone(_)) => Self::add(&self.disconnected),
            Err(Failure::Locked(_) | Failure::Writes | Failure::Large { .. }) => Self::add(&self.failed),
        }
    }

    /// A call was answered with an error.
    pub fn refused(&self, error: &Error) {
        match error {
            Error::Cancelled | Error::Timeout => {}
            Error::PoolExhausted => Self::add(&self.exhausted),
            Error::ConnectionFailed(_) | Error::AccessDenied => Self::add(&self.disconnected),
            _ => Self::add(&self.failed),
        }
    }
}
