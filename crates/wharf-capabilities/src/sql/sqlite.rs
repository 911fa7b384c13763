//! SQLite: files and databases in memory, each connection on a thread of its own (`sql/sqlite/worker.rs`).
//!
//! A file has one connection that writes, for which writers queue, and any number that read beside it (write-ahead log). A
//! database in memory has one connection for everything, and lives as long as its app: a connection that is given up there
//! gives up its turn, not the data.

mod allow;
mod backup;
mod errors;
mod values;
mod worker;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use rusqlite::{InterruptHandle, OpenFlags};
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use super::engine::{Canceller, ConnectError, Connection, Control, Dialect, Engine};
use super::error::Failure;
use super::flow::{Sink, Statement};
use worker::{Job, Worker};

pub(super) use backup::{Backup, keep};
pub(super) use errors::{FULL, NO_MEMORY};

const DIALECT: Dialect = Dialect {
    lock: "",
    unlock: "",
    params: ["$1", "$2"],
};

/// Where a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    File(PathBuf),
    Memory,
}

/// What connections are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Everything.
    Write,
    /// Reading, beside others that write.
    Read,
    /// Reading what nobody here writes.
    ReadOnly,
}

/// What all connections to a database have in common.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub place: Place,
    /// The largest text, blob, or row.
    pub length_max: usize,
    /// How long a lock of another process's is waited for.
    pub busy: Duration,
    /// The size that the file, or what is in memory, must not pass.
    pub size_max: Option<u64>,
    /// The same for the temporary tables of one connection.
    pub temporary_bytes_max: u64,
    /// Counts the threads.
    pub threads: TaskTracker,
}

/// Makes connections of one kind.
pub(super) struct Sqlite {
    options: Options,
    access: Access,
    /// The one that has the data, in memory.
    only: Mutex<Option<Worker>>,
}

impl Sqlite {
    pub fn new(options: Options, access: Access) -> Self {
        Self {
            options,
            access,
            only: Mutex::default(),
        }
    }

    async fn open(&self) -> Result<Worker, ConnectError> {
        let in_memory = self.options.place == Place::Memory;
        let known = self.only.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known.filter(|_| in_memory) {
            return Ok(known);
        }
        let opened = Worker::start(&self.options, self.access).await;
        let worker = opened
            .map_err(|error| ConnectError::unreachable(self.options.place.to_string() + ": " + &error.to_string()))?;
        if in_memory {
            *self.only.lock().unwrap_or_else(PoisonError::into_inner) = Some(worker.clone());
        }
        Ok(worker)
    }
}

impl Engine for Sqlite {
    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn Connection>, ConnectError>> {
        async move {
            let connection = SqliteConnection {
                worker: self.open().await?,
            };
            // What somebody else left undone.
            let reset = connection.ask(Job::Reset).await;
            reset.map_err(|failure| ConnectError::unreachable(failure.into_error().to_string()))?;
            let connection: Box<dyn Connection> = Box::new(connection);
            Ok(connection)
        }
        .boxed()
    }
}

/// Sees to it that there is a database at `path` that several connections can use, making it where there is none. Blocks.
pub(super) fn prepare_file(path: &Path) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = rusqlite::Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Memory => f.write_str("memory"),
        }
    }
}

/// A connection, as whoever uses it holds it.
struct SqliteConnection {
    worker: Worker,
}

impl SqliteConnection {
    fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, Failure>>) -> Job,
    ) -> BoxFuture<'static, Result<T, Failure>> {
        let (reply, receiver) = oneshot::channel();
        let sent = self.worker.send(job(reply));
        async move {
            let lost = || Failure::Gone("the database's thread has ended".to_owned());
            if !sent {
                return Err(lost());
            }
            receiver.await.unwrap_or_else(|_| Err(lost()))
        }
        .boxed()
    }
}

impl Connection for SqliteConnection {
    fn run(&mut self, statement: Arc<Statement>, sink: Sink) -> BoxFuture<'_, Result<u64, Failure>> {
        self.ask(|reply| Job::Run { statement, sink, reply })
    }

    fn control(&mut self, control: Control) -> BoxFuture<'_, Result<(), Failure>> {
        self.ask(|reply| Job::Control { control, reply })
    }

    /// Another one is made faster than it would be.
    fn reset(&mut self) -> BoxFuture<'_, bool> {
        futures_util::future::ready(false).boxed()
    }

    fn script(&mut self, sql: String) -> BoxFuture<'_, Result<(), Failure>> {
        self.ask(|reply| Job::Script { sql, reply })
    }

    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }

    fn canceller(&self) -> Box<dyn Canceller> {
        Box::new(Interrupt(self.worker.interrupt.clone()))
    }

    fn is_usable(&self) -> bool {
        self.worker.is_alive()
    }

    fn check(&mut self) -> BoxFuture<'_, bool> {
        futures_util::future::ready(self.is_usable()).boxed()
    }
}

struct Interrupt(Arc<InterruptHandle>);

impl Canceller for Interrupt {
    fn cancel(&self, _: usize) -> BoxFuture<'_, bool> {
        self.0.interrupt();
        futures_util::future::ready(true).boxed()
    }

    /// An interruption meets what runs when it is called, and nothing that begins later.
    fn has_met(&self, _: &Result<u64, Failure>, _: usize) -> bool {
        true
    }
}
