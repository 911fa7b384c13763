//! What can go wrong with a database, as guests see it. Nothing in here shows an address, a user or a password.

use wasmtime::component::{ComponentType, Lift, Lower};

/// The variant `error` of `wharf:sql/types`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, ComponentType, Lift, Lower)]
#[component(variant)]
pub enum Error {
    /// The manifest names none of this name.
    #[component(name = "no-such-database")]
    #[error("there is no such database")]
    NoSuchDatabase,
    /// The server refuses the operator's credentials.
    #[component(name = "access-denied")]
    #[error("the database refuses the credentials")]
    AccessDenied,
    /// There is no connection.
    #[component(name = "connection-failed")]
    #[error("no connection: {0}")]
    ConnectionFailed(String),
    /// None came free in time.
    #[component(name = "pool-exhausted")]
    #[error("no connection came free in time")]
    PoolExhausted,
    /// Parameters do not fit the statement.
    #[component(name = "invalid-params")]
    #[error("wrong parameters: {0}")]
    InvalidParams(String),
    /// The statement is not for guests.
    #[component(name = "not-allowed")]
    #[error("not allowed: {0}")]
    NotAllowed(String),
    /// The database said no.
    #[component(name = "query-failed")]
    #[error("{0}")]
    QueryFailed(DbError),
    /// A value cannot be carried.
    #[component(name = "value-conversion-failed")]
    #[error("{0}")]
    ValueConversionFailed(String),
    /// It took too long.
    #[component(name = "timeout")]
    #[error("it took too long")]
    Timeout,
    /// The guest wanted no more.
    #[component(name = "cancelled")]
    #[error("the rows were dropped before their end")]
    Cancelled,
    /// May be tried again.
    #[component(name = "conflict")]
    #[error("conflict: {0}")]
    Conflict(DbError),
    /// Nobody knows whether it was committed.
    #[component(name = "commit-unknown")]
    #[error("the connection was lost during a commit")]
    CommitUnknown,
    /// There is none any more.
    #[component(name = "transaction-ended")]
    #[error("the transaction has ended")]
    TransactionEnded,
    /// Anything else.
    #[component(name = "other")]
    #[error("{0}")]
    Other(String),
}

/// What the database itself reported.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error, ComponentType, Lift, Lower)]
#[component(record)]
#[error("{message} ({code})")]
pub struct DbError {
    /// SQLSTATE, or the name of SQLite's extended result code.
    pub code: String,
    /// For people.
    pub message: String,
    /// More for people.
    pub detail: Option<String>,
    /// Which was violated.
    pub constraint: Option<String>,
}

/// How a statement failed, and what that means for its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The connection is as good as before.
    Refused(Error),
    /// The connection is not to be used again.
    Lost(Error),
    /// There is no connection any more: why, as the operator reads it.
    Gone(String),
    /// Another program has the database, and had it for longer than was waited for. The connection is as good as before.
    Locked(DbError),
    /// This connection only reads; one that writes is to be asked. Nothing has happened.
    Writes,
    /// What came is larger than a row may be: what the guest hears.
    Large {
        what: String,
        /// The connection is not to be used again.
        is_lost: bool,
    },
}

/// A statement left the server in a transaction that is none of ours.
const LEFT_OPEN: &str =
    "the statement left a transaction open, which is rolled back: transactions begin with `begin` of wharf:sql";

/// A statement ended the transaction that it was in.
const ENDED: &str = "the statement ended the transaction, and what came before it may be committed: `commit` and `rollback` of wharf:sql do that";

impl Failure {
    /// What the guest hears.
    pub fn into_error(self) -> Error {
        match self {
            Self::Refused(error) | Self::Lost(error) => error,
            Self::Gone(_) => Error::ConnectionFailed("the connection was lost".to_owned()),
            Self::Locked(report) => Error::Conflict(report),
            Self::Writes => Error::NotAllowed("the database is read-only".to_owned()),
            Self::Large { what, .. } => Error::ValueConversionFailed(what),
        }
    }

    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::Gone(_) | Self::Large { is_lost: true, .. })
    }

    /// The same, with a connection that is not to be used again.
    pub fn lost(self) -> Self {
        match self {
            Self::Large { what, .. } => Self::Large { what, is_lost: true },
            Self::Gone(_) => self,
            failure => Self::Lost(failure.into_error()),
        }
    }
}

/// Judges a statement by whether the server is in a transaction after it, and is to be. Where the two differ, the connection goes with
/// whatever is open on it, and one of our transactions is over: neither can the guest's next call be outside of it unawares, nor
/// anybody else's be within.
pub(super) fn within(outcome: Result<u64, Failure>, is_open: bool, is_ours: bool) -> Result<u64, Failure> {
    let what = match (is_open, is_ours) {
        (true, false) => LEFT_OPEN,
        (false, true) => ENDED,
        _ => return outcome,
    };
    Err(match outcome {
        Ok(_) => Failure::Lost(Error::NotAllowed(what.to_owned())),
        Err(failure) => failure.lost(),
    })
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}
