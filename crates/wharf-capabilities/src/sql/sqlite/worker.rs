//! The thread of one connection to SQLite, whose library blocks.
//!
//! It takes one job after another. A job's rows wait for the guest on this thread, and nowhere else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{InterruptHandle, OpenFlags};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::allow::Allow;
use super::{Access, Options, Place, errors, values};
use crate::heap;
use crate::sql::engine::{Control, TransactionOptions};
use crate::sql::error::{Error, Failure};
use crate::sql::flow::{Room, Sink, Statement};
use crate::sql::value::Column;

/// Statements that are kept prepared. An app has some dozens.
const STATEMENTS_MAX: usize = 128;

/// Longer ones are prepared each time: whoever writes each of them anew would have as many kept of any length.
const KEPT_BYTES_MAX: usize = 16 << 10;

/// What a connection is asked to do.
pub(super) enum Job {
    Run {
        statement: Arc<Statement>,
        sink: Sink,
        reply: oneshot::Sender<Result<u64, Failure>>,
    },
    Control {
        control: Control,
        reply: oneshot::Sender<Result<(), Failure>>,
    },
    Script {
        sql: String,
        reply: oneshot::Sender<Result<(), Failure>>,
    },
    /// Ends the transaction that somebody may have left.
    Reset(oneshot::Sender<Result<(), Failure>>),
}

/// The other end of the thread. It ends when the last clone is dropped.
#[derive(Clone)]
pub(super) struct Worker {
    jobs: mpsc::Sender<Job>,
    pub interrupt: Arc<InterruptHandle>,
    is_alive: Arc<AtomicBool>,
}

impl Worker {
    /// Opens a connection on a thread of its own.
    pub async fn start(options: &Options, access: Access) -> Result<Self, rusqlite::Error> {
        let (jobs, receiver) = mpsc::channel();
        let (opened, opened_receiver) = oneshot::channel();
        let is_alive = Arc::new(AtomicBool::new(true));
        let alive = Alive(is_alive.clone());
        let (options, runtime) = (options.clone(), Handle::current());
        let token = options.threads.token();
        let started = thread::Builder::new().name("wharf-sqlite".to_owned()).spawn(move || {
            let _token = token;
            let _alive = alive;
            match Desk::open(&options, access, runtime) {
                Ok(desk) => {
                    // Whoever waited may have left: then no job comes, and the thread ends.
                    let _ = opened.send(Ok(desk.connection.get_interrupt_handle()));
                    desk.work(&receiver);
                }
                Err(error) => drop(opened.send(Err(error))),
            }
        });
        let no_thread = || rusqlite::Error::InvalidPath("there is no thread for it".into());
        started.map_err(|_| no_thread())?;
        let interrupt = opened_receiver.await.map_err(|_| no_thread())??;
        Ok(Self {
            jobs,
            interrupt: Arc::new(interrupt),
            is_alive,
        })
    }

    /// Whether there is somebody to do it.
    pub fn send(&self, job: Job) -> bool {
        self.jobs.send(job).is_ok()
    }

    pub fn is_alive(&self) -> bool {
        self.is_alive.load(Ordering::Relaxed)
    }
}

struct Alive(Arc<AtomicBool>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// What the thread has.
struct Desk {
    connection: rusqlite::Connection,
    access: Access,
    allow: Allow,
    /// Somebody has begun a transaction. SQLite may have ended it by itself.
    in_transaction: bool,
    /// The transaction is one that only reads.
    only_reads: bool,
    runtime: Handle,
}

impl Desk {
    fn open(options: &Options, access: Access, runtime: Handle) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX
            | match access {
                Access::ReadOnly => OpenFlags::SQLITE_OPEN_READ_ONLY,
                Access::Write | Access::Read => OpenFlags::SQLITE_OPEN_READ_WRITE,
            };
        let connection = match &options.place {
            Place::File(path) => rusqlite::Connection::open_with_flags(path, flags)?,
            Place::Memory => rusqlite::Connection::open_in_memory()?,
        };
        connection.busy_timeout(options.busy)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        if access == Access::Read {
            connection.pragma_update(None, "query_only", true)?;
        }
        if let Some(bytes) = options.size_max {
            bound(&connection, "main", bytes)?;
        }
        bound(&connection, "temp", options.temporary_bytes_max)?;
        heap::bound(&connection)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        let length = i32::try_from(options.length_max).unwrap_or(i32::MAX);
        connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, length)?;
        connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
        let allow = Allow::default();
        connection.authorizer(Some(allow.authorizer()))?;
        Ok(Self {
            connection,
            access,
            allow,
            in_transaction: false,
            only_reads: false,
            runtime,
        })
    }

    fn work(mut self, jobs: &mpsc::Receiver<Job>) {
        // Who has left hears nothing.
        while let Ok(job) = jobs.recv() {
            match job {
                Job::Run { statement, sink, reply } => {
                    let outcome = self.run(&statement, &sink);
                    // Who hears of the end finds the room again that this took.
                    drop((sink, statement));
                    let _ = reply.send(outcome);
                }
                Job::Control { control, reply } => drop(reply.send(self.control(control))),
                Job::Script { sql, reply } => drop(reply.send(self.trusted(&sql))),
                Job::Reset(reply) => drop(reply.send(self.control(Control::Rollback))),
            }
        }
    }

    fn run(&self, statement: &Statement, sink: &Sink) -> Result<u64, Failure> {
        if self.in_transaction == self.connection.is_autocommit() {
            return Err(Error::TransactionEnded.into());
        }
        if sink.watch().is_over() {
            return Err(Error::Cancelled.into());
        }
        let (mut kept, mut alone);
        let prepared: &mut rusqlite::Statement<'_> = if statement.sql.len() <= KEPT_BYTES_MAX {
            kept = self
                .connection
                .prepare_cached(&statement.sql)
                .map_err(errors::failure)?;
            &mut kept
        } else {
            alone = self.connection.prepare(&statement.sql).map_err(errors::failure)?;
            &mut alone
        };
        let only_reads = self.access != Access::Write || (self.in_transaction && self.only_reads);
        if only_reads && !prepared.readonly() {
            return Err(Failure::Writes);
        }
        values::bind(prepared, &statement.params)?;
        let declared = values::declared(prepared);
        let mut described = sink.wants_rows().then(|| columns(prepared));
        let before = self.connection.total_changes();
        let mut rows = prepared.raw_query();
        while let Some(row) = rows.next().map_err(errors::failure)? {
            // Only now: what fails before the first row is an error of the call.
            if let Some(described) = described.take() {
                sink.columns(|| described);
            }
            if sink.put(values::row(row, &declared)?)? == Room::None {
                self.runtime.block_on(sink.room())?;
            }
        }
        drop(rows);
        if let Some(described) = described {
            sink.columns(|| described);
        }
        sink.finish();
        // What changed nothing leaves the count of the statement before it.
        let has_changed = self.connection.total_changes() != before;
        Ok(if has_changed { self.connection.changes() } else { 0 })
    }

    fn control(&mut self, control: Control) -> Result<(), Failure> {
        match control {
            Control::Begin(options) => {
                self.trusted(self.begin(options))?;
                self.in_transaction = true;
                self.only_reads = options.read_only;
                Ok(())
            }
            Control::Commit if self.connection.is_autocommit() => {
                self.in_transaction = false;
                Err(Error::TransactionEnded.into())
            }
            Control::Commit => {
                self.trusted("COMMIT")?;
                self.in_transaction = false;
                Ok(())
            }
            Control::Rollback => {
                self.in_transaction = false;
                match self.connection.is_autocommit() {
                    true => Ok(()),
                    false => self.trusted("ROLLBACK"),
                }
            }
        }
    }

    /// SQLite has one level, serializable, which is at least every other. Who is going to write waits for that at the
    /// beginning: who begins to write later could not wait, only fail.
    fn begin(&self, options: TransactionOptions) -> &'static str {
        match self.access {
            Access::Write if !options.read_only => "BEGIN IMMEDIATE",
            _ => "BEGIN",
        }
    }

    /// Runs what is not a guest's.
    fn trusted(&self, sql: &str) -> Result<(), Failure> {
        let _open = self.allow.all();
        self.connection.execute_batch(sql).map_err(errors::failure)
    }
}

/// How large one of a connection's schemas may become: past it there is `SQLITE_FULL`.
fn bound(connection: &rusqlite::Connection, schema: &str, bytes: u64) -> rusqlite::Result<()> {
    let page_bytes: i64 = connection.pragma_query_value(Some(schema), "page_size", |row| row.get(0))?;
    let pages = i64::try_from(bytes).unwrap_or(i64::MAX) / page_bytes.max(1);
    connection.pragma_update(Some(schema), "max_page_count", pages.max(1))
}

fn columns(prepared: &rusqlite::Statement<'_>) -> Vec<Column> {
    let columns = prepared.columns();
    let columns = columns.iter().map(|column| Column {
        name: column.name().to_owned(),
        type_name: column.decl_type().unwrap_or_default().to_owned(),
    });
    columns.collect()
}
