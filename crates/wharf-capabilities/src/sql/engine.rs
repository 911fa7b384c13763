//! What every database must be able to do. Pools, limits, cancellation and transactions are the same for all of them
//! (`sql/database.rs` and beside it); what differs is behind these traits.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use wasmtime::component::{ComponentType, Lift};

use super::error::{Error, Failure};
use super::flow::{Sink, Statement};

/// A database that connections can be made to.
pub(super) trait Engine: Send + Sync + 'static {
    /// Makes a connection. Takes as long as it takes; whoever asks has a limit.
    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn Connection>, ConnectError>>;
}

/// One connection. It does one thing at a time.
///
/// Dropping a future of one of these leaves the connection in no known state: it is not to be used again.
pub(super) trait Connection: Send + 'static {
    /// Runs one statement, and says how many rows it changed.
    fn run(&mut self, statement: Arc<Statement>, sink: Sink) -> BoxFuture<'_, Result<u64, Failure>>;

    /// Begins, commits or rolls back a transaction.
    fn control(&mut self, control: Control) -> BoxFuture<'_, Result<(), Failure>>;

    /// Makes it as good as new, after a statement that may have changed it. Whether that was done.
    fn reset(&mut self) -> BoxFuture<'_, bool>;

    /// Runs any number of statements without parameters. The text is the operator's.
    fn script(&mut self, sql: String) -> BoxFuture<'_, Result<(), Failure>>;

    /// How migrations are kept apart and remembered.
    fn dialect(&self) -> &'static Dialect;

    /// To end, from outside, what the connection is about to do.
    fn canceller(&self) -> Box<dyn Canceller>;

    /// Whether it is as good as new, as far as is known without asking the server.
    fn is_usable(&self) -> bool;

    /// Asks the server whether it is: after a connection has not been used for a while, and after something on it was cancelled.
    fn check(&mut self) -> BoxFuture<'_, bool>;
}

/// What differs between databases where migrations are applied.
#[derive(Debug)]
pub(super) struct Dialect {
    /// Waits until no other server is at it, within a transaction; empty where the transaction does that.
    pub lock: &'static str,
    /// Ends that, after the transaction; empty where the transaction's end does.
    pub unlock: &'static str,
    /// How the first and the second parameter are written.
    pub params: [&'static str; 2],
}

/// Ends what runs on a connection.
pub(super) trait Canceller: Send + Sync {
    /// Asks the database to end it, for the `nth` time, and says whether all has been done about it that ever will be. That it
    /// has ended, the statement itself says.
    fn cancel(&self, nth: usize) -> BoxFuture<'_, bool>;

    /// Whether a statement that ended so, when that had been asked for so often, leaves its connection to others, once all has
    /// been done about every request.
    fn has_met(&self, outcome: &Result<u64, Failure>, asked: usize) -> bool;
}

/// A transaction's beginning and its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Control {
    Begin(TransactionOptions),
    Commit,
    Rollback,
}

/// The record `transaction-options`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub(super) struct TransactionOptions {
    pub isolation: Option<Isolation>,
    #[component(name = "read-only")]
    pub read_only: bool,
}

/// The enum `isolation`.
// Its values are read from guests' memory, by number.
#[allow(dead_code)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
pub(super) enum Isolation {
    #[component(name = "read-committed")]
    ReadCommitted,
    #[component(name = "repeatable-read")]
    RepeatableRead,
    #[component(name = "serializable")]
    Serializable,
}

impl Isolation {
    /// As standard SQL writes it.
    pub fn sql(self) -> &'static str {
        match self {
            Self::ReadCommitted => "READ COMMITTED",
            Self::RepeatableRead => "REPEATABLE READ",
            Self::Serializable => "SERIALIZABLE",
        }
    }
}

/// Why there is no connection: what the guest hears, and what the operator reads.
#[derive(Clone, Debug)]
pub(super) struct ConnectError {
    pub error: Error,
    /// With addresses and names, without passwords.
    pub reason: String,
}

impl ConnectError {
    /// The server cannot be reached.
    pub fn unreachable(reason: impl Into<String>) -> Self {
        Self {
            error: Error::ConnectionFailed("the database cannot be reached".to_owned()),
            reason: reason.into(),
        }
    }

    /// The server does not want us.
    pub fn denied(reason: impl Into<String>) -> Self {
        Self {
            error: Error::AccessDenied,
            reason: reason.into(),
        }
    }

    /// The server takes no more connections, whoever has them.
    pub fn full(reason: impl Into<String>) -> Self {
        Self {
            error: Error::ConnectionFailed("the database takes no more connections".to_owned()),
            reason: reason.into(),
        }
    }

    /// Its certificate does not hold.
    pub fn tls(reason: impl Into<String>) -> Self {
        Self {
            error: Error::ConnectionFailed("the database's certificate does not hold".to_owned()),
            reason: reason.into(),
        }
    }
}
