//! How answering a request can fail. Which status a client sees for it is the server's business.

use std::sync::Arc;
use std::time::Duration;

use wasmtime_wasi::I32Exit;

use crate::http::ErrorCode;
use crate::limits::{CpuTimeExceeded, Refused};

/// Why a request has no response.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The guest answered with an error instead of a response.
    #[error("the guest answered with the error {0:?}")]
    Guest(ErrorCode),
    /// The guest trapped.
    #[error("the guest trapped{}: {}", because(refused), Causes(error))]
    Trap {
        /// What happened, and where in the guest.
        error: wasmtime::Error,
        /// Growth it had been refused before: the likely reason.
        refused: Option<Refused>,
    },
    /// The guest ended its program.
    #[error("the guest exited with status {0}")]
    Exited(i32),
    /// The guest returned without a response.
    #[error("the guest returned without a response")]
    NoResponse,
    /// No response's head within the limit.
    #[error("no response within {} ms", limit.as_millis())]
    ResponseTimeout {
        /// The limit it met.
        limit: Duration,
    },
    /// The guest computed for too long.
    #[error(transparent)]
    CpuTime(CpuTimeExceeded),
    /// No instance was free in time.
    #[error("no instance was free within {} ms", waited.as_millis())]
    Busy {
        /// How long the request waited.
        waited: Duration,
    },
    /// As many requests wait as may.
    #[error("{length} requests wait already, as many as may")]
    QueueFull {
        /// The limit it met.
        length: usize,
    },
    /// An instance could not be made.
    #[error("cannot instantiate: {}", Causes(.0))]
    Instantiate(wasmtime::Error),
    /// The instance that several requests shared ended; this one could not be sent again.
    #[error("the instance this request shared with others ended: {reason}")]
    SharedInstanceEnded {
        /// Why it ended.
        reason: Arc<str>,
    },
}

/// An engine's error from its first cause outward, the guest's backtrace last, and without the host's own.
#[derive(Debug)]
pub(crate) struct Causes<'a>(pub &'a wasmtime::Error);

impl std::fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let causes: Vec<_> = self.0.chain().collect();
        for (nth, cause) in causes.iter().rev().enumerate() {
            let separator = if nth == 0 { "" } else { "\n" };
            write!(f, "{separator}{cause}")?;
        }
        Ok(())
    }
}

fn because(refused: &Option<Refused>) -> String {
    refused.map(|refused| format!(" ({refused})")).unwrap_or_default()
}

/// A guest went on for too long after its response.
#[derive(Debug, thiserror::Error)]
#[error("the guest was still at work {} s after its response had ended", limit.as_secs())]
pub(crate) struct BackgroundTimeout {
    pub limit: Duration,
}

impl Failure {
    /// What happened, in one line. Where in the guest it did is for the log, not for who was waiting.
    pub(crate) fn in_short(&self) -> String {
        self.to_string().lines().next().unwrap_or_default().to_owned()
    }

    /// Names what went wrong in a guest.
    pub(crate) fn of(error: wasmtime::Error, refused: Option<Refused>) -> Self {
        if let Some(exit) = error.downcast_ref::<I32Exit>() {
            return Self::Exited(exit.0);
        }
        match error.downcast::<CpuTimeExceeded>() {
            Ok(exceeded) => Self::CpuTime(exceeded),
            Err(error) => match error.downcast::<Failure>() {
                Ok(failure) => failure,
                Err(error) => Self::Trap { error, refused },
            },
        }
    }
}
