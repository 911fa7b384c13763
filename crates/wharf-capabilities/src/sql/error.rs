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
}

impl Failure {
    /// What the guest hears.
    pub fn into_error(self) -> Error {
        match self {
            Self::Refused(error) | Self::Lost(error) => error,
            Self::Gone(_) => Error::ConnectionFailed("the connection was lost".to_owned()),
            Self::Locked(report) => Error::Conflict(report),
            Self::Writes => Error::NotAllowed("the database is read-only".to_owned()),
        }
    }

    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::Gone(_))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}
