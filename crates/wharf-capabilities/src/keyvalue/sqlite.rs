//! Entries in a file of SQLite's: they outlive the server, and power cuts.
//!
//! A thread has the file to itself and does what comes one after the other, as much as has come in one transaction, so that
//! many writers share a write to the disk. Callers hear of it once it is there.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, TransactionBehavior, params};
use tokio::sync::{mpsc, oneshot};

use super::store::{Failure, Fingerprint, Operation, Outcome, PAGE, sum, within};
use crate::heap;
use crate::held::Held;

/// How many calls wait for the file. Each may hold one value.
const QUEUE: usize = 256;
/// How many are done in one transaction: more would let the first wait for long.
const TOGETHER: usize = 64;
/// How long another process may have the file locked.
const LOCKED_MAX: Duration = Duration::from_secs(5);
/// What SQLite fills new files by.
const PAGE_BYTES: i64 = 4096;

/// Where the entries of one store are.
pub(super) struct SqliteOptions {
    pub app: String,
    /// The store's name, which is that of its table.
    pub store: String,
    pub file: PathBuf,
    pub file_bytes_max: u64,
}

/// The entries of one store.
pub(super) struct Sqlite {
    queue: Mutex<Option<Queue>>,
    shared: Arc<Shared>,
}

struct Queue {
    calls: mpsc::Sender<Call>,
    /// Resolves when the thread has ended.
    ended: oneshot::Receiver<()>,
}

#[derive(Default)]
struct Shared {
    file_bytes: AtomicU64,
    queued: AtomicU64,
}

struct Call {
    operation: Operation,
    batch_bytes_max: u64,
    /// Room for what it brings, until it is done.
    _held: Held,
    answer: oneshot::Sender<Result<Outcome, Failure>>,
}

impl Sqlite {
    /// Opens the file, or makes it. Blocks.
    pub fn open(options: SqliteOptions) -> Result<Self, rusqlite::Error> {
        let table = Table::open(&options)?;
        let (calls, receiver) = mpsc::channel(QUEUE);
        let (ends, ended) = oneshot::channel();
        let shared = Arc::new(Shared::default());
        shared.file_bytes.store(table.bytes(), Ordering::Relaxed);
        let worker = Worker {
            table,
            options,
            shared: shared.clone(),
            said: None,
        };
        let spawned = std::thread::Builder::new()
            .name("wharf-keyvalue".to_owned())
            .spawn(move || {
                worker.work(receiver);
                let _ = ends.send(());
            });
        spawned.map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        Ok(Self {
            queue: Mutex::new(Some(Queue { calls, ended })),
            shared,
        })
    }

    pub async fn run(&self, operation: Operation, batch_bytes_max: u64, held: Held) -> Result<Outcome, Failure> {
        let (answer, outcome) = oneshot::channel();
        let call = Call {
            operation,
            batch_bytes_max,
            _held: held,
            answer,
        };
        self.send(call)?;
        outcome.await.unwrap_or(Err(Failure::Unavailable))
    }

    fn send(&self, call: Call) -> Result<(), Failure> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queue.as_ref().ok_or(Failure::Unavailable)?;
        self.shared.queued.fetch_add(1, Ordering::Relaxed);
        queue.calls.try_send(call).map_err(|error| {
            self.shared.queued.fetch_sub(1, Ordering::Relaxed);
            match error {
                mpsc::error::TrySendError::Full(_) => Failure::Busy,
                mpsc::error::TrySendError::Closed(_) => Failure::Unavailable,
            }
        })
    }

    /// Takes no more, and waits until all that came is done.
    pub async fn close(&self) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Queue { calls, ended }) = queue {
            drop(calls);
            let _ = ended.await;
        }
    }

    /// How large the file is.
    pub fn bytes(&self) -> u64 {
        self.shared.file_bytes.load(Ordering::Relaxed)
    }

    /// How many calls wait.
    pub fn queued(&self) -> u64 {
        self.shared.queued.load(Ordering::Relaxed)
    }
}

struct Worker {
    table: Table,
    options: SqliteOptions,
    shared: Arc<Shared>,
    /// What was last said of the file, so that it is said once.
    said: Option<String>,
}

impl Worker {
    fn work(mut self, mut queue: mpsc::Receiver<Call>) {
        let mut calls = Vec::with_capacity(TOGETHER);
        while queue.blocking_recv_many(&mut calls, TOGETHER) > 0 {
            self.shared.queued.fetch_sub(calls.len() as u64, Ordering::Relaxed);
            // Whoever left has nothing begun.
            calls.retain(|call| !call.answer.is_closed());
            let outcomes = self.outcomes(&calls);
            for (call, outcome) in calls.drain(..).zip(outcomes) {
                let _ = call.answer.send(outcome);
            }
            self.shared.file_bytes.store(self.table.bytes(), Ordering::Relaxed);
        }
    }

    fn outcomes(&mut self, calls: &[Call]) -> Vec<Result<Outcome, Failure>> {
        match self.table.together(calls) {
            Ok(outcomes) => outcomes,
            // Some errors take back all that was done with them. By itself each does what it can.
            Err(_) if calls.len() > 1 => {
                let alone = calls.iter().flat_map(|call| self.outcomes(std::slice::from_ref(call)));
                alone.collect()
            }
            Err(error) => vec![Err(self.failure(&error))],
        }
    }

    fn failure(&mut self, error: &rusqlite::Error) -> Failure {
        if error.sqlite_error_code() == Some(ErrorCode::DiskFull) {
            return Failure::Full;
        }
        let reason = error.to_string();
        if self.said.as_ref() != Some(&reason) {
            let SqliteOptions { app, store, file, .. } = &self.options;
            let section = format!("{}.{store}", super::section::NAME);
            tracing::warn!(%app, section, file = %file.display(), %reason, "SQLite does not do what it is asked");
            self.said = Some(reason);
        }
        Failure::Unavailable
    }
}

/// The table of one store.
struct Table {
    connection: Connection,
    statements: Statements,
}

struct Statements {
    get: String,
    set: String,
    delete: String,
    list: String,
}

/// What one operation ends with: an error of the file's ends the whole transaction, a failure is the caller's own.
type Done = Result<Result<Outcome, Failure>, rusqlite::Error>;

impl Table {
    fn open(options: &SqliteOptions) -> Result<Self, rusqlite::Error> {
        let connection = connect(&options.file, options.file_bytes_max)?;
        let name = format!("\"wharf_keyvalue_{}\"", options.store);
        // Whoever lists them goes on behind a number, whatever was made since.
        connection.execute_batch(&format!(
            "CREATE TABLE IF NOT EXISTS {name} (
                number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, value BLOB NOT NULL
            ) STRICT"
        ))?;
        let statements = Statements {
            get: format!("SELECT value FROM {name} WHERE key = ?1"),
            set: format!(
                "INSERT INTO {name} (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
            ),
            delete: format!("DELETE FROM {name} WHERE key = ?1"),
            list: format!("SELECT number, key FROM {name} WHERE number > ?1 ORDER BY number LIMIT ?2"),
        };
        Ok(Self { connection, statements })
    }

    /// Does all of `calls` in one transaction, or none.
    fn together(&mut self, calls: &[Call]) -> Result<Vec<Result<Outcome, Failure>>, rusqlite::Error> {
        let is_read = calls.iter().all(|call| call.operation.is_read());
        let behavior = match is_read {
            true => TransactionBehavior::Deferred,
            // What reads and then writes must not find the file locked in between.
            false => TransactionBehavior::Immediate,
        };
        let statements = &self.statements;
        let transaction = self.connection.transaction_with_behavior(behavior)?;
        let outcomes = calls.iter().map(|call| statements.run(&transaction, call));
        let outcomes = outcomes.collect::<Result<_, _>>()?;
        transaction.commit()?;
        Ok(outcomes)
    }

    fn bytes(&self) -> u64 {
        number(&self.connection, "page_count").unwrap_or(0) * number(&self.connection, "page_size").unwrap_or(0)
    }
}

fn connect(file: &Path, file_bytes_max: u64) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open(file)?;
    heap::bound(&connection)?;
    connection.busy_timeout(LOCKED_MAX)?;
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // What a guest was told is stored is on the disk.
    connection.pragma_update(None, "synchronous", "FULL")?;
    // A file that was there has the size of its own.
    let page_bytes = number(&connection, "page_size")?.max(1);
    let pages_max = i64::try_from(file_bytes_max.div_ceil(page_bytes)).unwrap_or(i64::MAX);
    connection.pragma_update(None, "max_page_count", pages_max)?;
    Ok(connection)
}

fn number(connection: &Connection, pragma: &str) -> Result<u64, rusqlite::Error> {
    let value: i64 = connection.pragma_query_value(None, pragma, |row| row.get(0))?;
    Ok(value.unsigned_abs())
}

impl Operation {
    fn is_read(&self) -> bool {
        matches!(self, Self::Get(_) | Self::Exists(_) | Self::List(_))
    }
}

impl Statements {
    fn run(&self, connection: &Connection, call: &Call) -> Done {
        match &call.operation {
            Operation::Get(keys) => self.values(connection, keys, call.batch_bytes_max),
            Operation::Set(entries) => {
                for (key, value) in entries {
                    self.set(connection, key, value)?;
                }
                Ok(Ok(Outcome::Done))
            }
            Operation::Delete(keys) => {
                let mut statement = connection.prepare_cached(&self.delete)?;
                for key in keys {
                    statement.execute([key])?;
                }
                Ok(Ok(Outcome::Done))
            }
            Operation::Exists(key) => {
                let found = connection.prepare_cached(&self.get)?.exists([key])?;
                Ok(Ok(Outcome::Is(found)))
            }
            Operation::List(after) => self.keys(connection, *after),
            Operation::Increment(key, delta) => {
                let sum = match sum(self.get(connection, key)?.as_deref(), *delta) {
                    Ok(sum) => sum,
                    Err(failure) => return Ok(Err(failure)),
                };
                self.set(connection, key, sum.to_string().as_bytes())?;
                Ok(Ok(Outcome::Sum(sum)))
            }
            Operation::Swap(key, seen, value) => {
                let present = self.get(connection, key)?.map(|present| Fingerprint::of(&present));
                let is_same = present == *seen;
                if is_same {
                    self.set(connection, key, value)?;
                }
                Ok(Ok(Outcome::Is(is_same)))
            }
        }
    }

    fn get(&self, connection: &Connection, key: &str) -> Result<Option<Vec<u8>>, rusqlite::Error> {
        let mut statement = connection.prepare_cached(&self.get)?;
        statement.query_row([key], |row| row.get(0)).optional()
    }

    fn set(&self, connection: &Connection, key: &str, value: &[u8]) -> Result<(), rusqlite::Error> {
        connection.prepare_cached(&self.set)?.execute(params![key, value])?;
        Ok(())
    }

    fn values(&self, connection: &Connection, keys: &[String], most: u64) -> Done {
        let mut left = most;
        let mut values = Vec::with_capacity(keys.len());
        for key in keys {
            let value = self.get(connection, key)?;
            if keys.len() > 1
                && let Err(failure) = within(&mut left, most, value.as_deref())
            {
                return Ok(Err(failure));
            }
            values.push(value.map(Bytes::from));
        }
        Ok(Ok(Outcome::Values(values)))
    }

    fn keys(&self, connection: &Connection, after: u64) -> Done {
        let Ok(after) = i64::try_from(after) else {
            return Ok(Err(Failure::InvalidCursor));
        };
        let mut statement = connection.prepare_cached(&self.list)?;
        let rows = statement.query_map(params![after, PAGE as i64 + 1], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut rows: Vec<(i64, String)> = rows.collect::<Result<_, _>>()?;
        let has_more = rows.len() > PAGE;
        rows.truncate(PAGE);
        let last = rows.last().map(|(number, _)| number.unsigned_abs());
        let keys = rows.into_iter().map(|(_, key)| key).collect();
        Ok(Ok(Outcome::Keys(keys, last.filter(|_| has_more))))
    }
}

#[cfg(test)]
mod tests {
    use super::super::store::{Backend, Store, tests::check};
    use super::*;
    use crate::held::Holding;

    /// A folder that is removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("wharf-keyvalue-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn open(folder: &Folder, store: &str, file_bytes_max: u64) -> Store {
        let sqlite = Sqlite::open(SqliteOptions {
            app: "app".to_owned(),
            store: store.to_owned(),
            file: folder.0.join("store.db"),
            file_bytes_max,
        });
        Store::new(Backend::Sqlite(sqlite.unwrap()), 1024, 4096, Holding::new(1 << 20))
    }

    fn set(key: &str, value: &str) -> Operation {
        Operation::Set(vec![(key.to_owned(), value.to_owned().into())])
    }

    async fn get(store: &Store, key: &str) -> Option<Bytes> {
        match store.run(Operation::Get(vec![key.to_owned()])).await {
            Ok(Outcome::Values(mut values)) => values.remove(0),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn operations() {
        let folder = Folder::new("operations");
        check(&open(&folder, "default", 64 << 20)).await;
    }

    #[tokio::test]
    async fn entries_outlive_who_wrote_them() {
        let folder = Folder::new("outlive");
        let (first, other) = (open(&folder, "a", 1 << 20), open(&folder, "b-c.d", 1 << 20));
        first.run(set("key", "first")).await.unwrap();
        other.run(set("key", "other")).await.unwrap();
        first.close().await;
        assert_eq!(first.run(set("key", "late")).await, Err(Failure::Unavailable));
        let first = open(&folder, "a", 1 << 20);
        assert_eq!(get(&first, "key").await.as_deref(), Some(&b"first"[..]));
        assert_eq!(get(&other, "key").await.as_deref(), Some(&b"other"[..]));
    }

    #[tokio::test]
    async fn a_full_file_refuses_what_is_new_and_keeps_what_is_old() {
        let folder = Folder::new("full");
        let store = open(&folder, "default", 64 << 10);
        let value = "x".repeat(1000);
        let mut stored = 0;
        while store.run(set(&format!("key {stored}"), &value)).await.is_ok() {
            stored += 1;
            assert!(stored < 200, "more than the file may hold");
        }
        assert_eq!(store.run(set("one more", &value)).await, Err(Failure::Full));
        assert!(stored > 10 && get(&store, "key 0").await.is_some());
        let all = (0..stored).map(|number| format!("key {number}")).collect();
        assert_eq!(store.run(Operation::Delete(all)).await, Ok(Outcome::Done));
        assert_eq!(store.run(set("one more", &value)).await, Ok(Outcome::Done));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn calls_that_wait_have_no_more_than_they_may() {
        let folder = Folder::new("held");
        let file = folder.0.join("store.db");
        let sqlite = Sqlite::open(SqliteOptions {
            app: "app".to_owned(),
            store: "default".to_owned(),
            file: file.clone(),
            file_bytes_max: 64 << 20,
        });
        let holding = Holding::new(1 << 20);
        let store = Store::new(Backend::Sqlite(sqlite.unwrap()), 1 << 20, 1 << 20, holding.clone());
        let store = Arc::new(store);
        let locked = Connection::open(&file).unwrap();
        locked.execute_batch("BEGIN IMMEDIATE").unwrap();
        let value = "x".repeat(300 << 10);
        let calls = (0..3).map(|number| {
            let (store, value) = (store.clone(), value.clone());
            tokio::spawn(async move { store.run(set(&format!("key {number}"), &value)).await })
        });
        let calls: Vec<_> = calls.collect();
        while holding.bytes() < 900 << 10 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(store.run(set("one more", &value)).await, Err(Failure::Held));
        locked.execute_batch("COMMIT").unwrap();
        for call in calls {
            assert_eq!(call.await.unwrap(), Ok(Outcome::Done));
        }
        assert_eq!(holding.bytes(), 0);
        assert_eq!(store.run(set("one more", &value)).await, Ok(Outcome::Done));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_comes_together_is_done_each_by_itself() {
        let folder = Folder::new("together");
        let store = Arc::new(open(&folder, "default", 64 << 20));
        store.run(set("text", "no number")).await.unwrap();
        let calls = (0..200).map(|number| {
            let store = store.clone();
            let key = if number % 10 == 0 { "text" } else { "counter" };
            tokio::spawn(async move { store.run(Operation::Increment(key.to_owned(), 1)).await })
        });
        let calls: Vec<_> = calls.collect();
        let mut wrong = 0;
        for call in calls {
            wrong += usize::from(call.await.unwrap() == Err(Failure::NotANumber));
        }
        assert_eq!((wrong, get(&store, "counter").await), (20, Some("180".into())));
    }
}
