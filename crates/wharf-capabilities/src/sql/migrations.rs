//! Migrations: files of SQL that are applied once each, in the order of their names, before anybody uses the database.
//!
//! What has been applied stands in the table `wharf_migrations` of the database itself, with a digest: a file that changed
//! afterwards is an error, not a surprise. Each file is applied in a transaction of its own, as far as the database has such for
//! definitions (MySQL and MariaDB do not). Servers that start at the same time wait for each other.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::engine::{Connection, Control, TransactionOptions};
use super::error::{Error, Failure};
use super::flow::{Statement, execute, query};
use super::pool::Pool;
use super::value::{Row, Value};

/// The largest file that is taken for a migration. What has more is data, which is not loaded at every deploy.
const FILE_BYTES_MAX: u64 = 16 << 20;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS wharf_migrations \
                     (name VARCHAR(255) PRIMARY KEY, digest VARCHAR(64) NOT NULL, \
                     applied TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)";

/// A file of SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Migration {
    pub name: String,
    pub sql: String,
    digest: String,
}

/// How an attempt has ended, once it has.
type Attempt = watch::Receiver<Option<Result<(), Error>>>;

/// What one database is to have had applied.
pub(super) struct Migrations {
    files: Mutex<Arc<[Migration]>>,
    are_applied: Arc<AtomicBool>,
    /// How the attempt that is under way ends.
    attempt: Mutex<Option<Attempt>>,
    /// How long a call waits for them.
    wait: Duration,
}

/// Why files are none.
#[derive(Debug, thiserror::Error)]
pub(super) enum MigrationError {
    #[error("cannot read {}: {error}", path.display())]
    Read { path: PathBuf, error: io::Error },
    #[error("{} has more than 16 MiB", .0.display())]
    TooLarge(PathBuf),
    #[error("{} is to be named in up to 200 ASCII letters, digits, `-`, `_` and `.`", .0.display())]
    Name(PathBuf),
}

/// The migrations of a folder: its files `*.sql`, in the order of their names.
pub(super) fn read(folder: &Path) -> Result<Vec<Migration>, MigrationError> {
    files(folder)?.into_iter().map(|path| read_one(&path)).collect()
}

/// The files of a folder that are migrations.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>, MigrationError> {
    let failed = |error| MigrationError::Read {
        path: folder.to_owned(),
        error,
    };
    let entries = std::fs::read_dir(folder).map_err(failed)?;
    let paths: Result<Vec<_>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.map_err(failed)?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    paths.sort();
    Ok(paths)
}

fn read_one(path: &Path) -> Result<Migration, MigrationError> {
    let failed = |error| MigrationError::Read {
        path: path.to_owned(),
        error,
    };
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.len() > 200 || !name.bytes().all(is_plain) {
        return Err(MigrationError::Name(path.to_owned()));
    }
    let bytes = std::fs::metadata(path).map_err(failed)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(MigrationError::TooLarge(path.to_owned()));
    }
    let sql = std::fs::read_to_string(path).map_err(failed)?;
    Ok(Migration::new(name, sql))
}

impl Migration {
    pub fn new(name: &str, sql: String) -> Self {
        Self {
            name: name.to_owned(),
            digest: blake3::hash(sql.as_bytes()).to_hex().to_string(),
            sql,
        }
    }
}

impl Migrations {
    pub fn new(files: Vec<Migration>, wait: Duration) -> Self {
        Self {
            are_applied: Arc::new(AtomicBool::new(files.is_empty())),
            files: Mutex::new(files.into()),
            attempt: Mutex::default(),
            wait,
        }
    }

    /// These are to be applied from now on. Where they are others than before, calls wait for them; those before are returned
    /// if they had been applied.
    pub fn renew(&self, files: Vec<Migration>) -> Option<Arc<[Migration]>> {
        let mut known = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if **known == *files {
            return None;
        }
        let before = std::mem::replace(&mut *known, files.into());
        self.are_applied.swap(false, Ordering::AcqRel).then_some(before)
    }

    /// What was to be applied cannot be: whoever is served by what was there before is served on.
    pub fn restore(&self, before: Arc<[Migration]>) {
        *self.files.lock().unwrap_or_else(PoisonError::into_inner) = before;
        self.are_applied.store(true, Ordering::Release);
    }

    /// Waits until they are applied, but not for long: an attempt goes on without whoever waited for it.
    pub async fn applied(&self, label: &Arc<str>, pool: &Arc<Pool>) -> Result<(), Error> {
        if self.are_applied.load(Ordering::Acquire) {
            return Ok(());
        }
        let outcome = timeout(self.wait, self.attempt(label, pool)).await;
        outcome.unwrap_or_else(|_| {
            Err(Error::ConnectionFailed(
                "the database is still being migrated".to_owned(),
            ))
        })
    }

    /// Waits for the attempt that is under way, or for one that begins now.
    pub async fn attempt(&self, label: &Arc<str>, pool: &Arc<Pool>) -> Result<(), Error> {
        let mut attempt = self.join(label, pool);
        let outcome = attempt.wait_for(Option::is_some).await;
        let outcome = outcome.ok().and_then(|outcome| outcome.clone());
        outcome.unwrap_or_else(|| Err(Error::Other("the migration was broken off".to_owned())))
    }

    fn join(&self, label: &Arc<str>, pool: &Arc<Pool>) -> Attempt {
        let mut attempt = self.attempt.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(under_way) = attempt.as_ref().filter(|attempt| attempt.has_changed().is_ok()) {
            return under_way.clone();
        }
        let (sender, receiver) = watch::channel(None);
        *attempt = Some(receiver.clone());
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (label, pool) = (label.clone(), pool.clone());
        let are_applied = self.are_applied.clone();
        tokio::spawn(async move {
            let outcome = apply(&label, &pool, &files).await;
            are_applied.store(outcome.is_ok(), Ordering::Release);
            sender.send_replace(Some(outcome));
        });
        receiver
    }
}

/// Applies those that have not been.
async fn apply(label: &str, pool: &Pool, files: &[Migration]) -> Result<(), Error> {
    let mut lease = pool.acquire().await?;
    for file in files {
        match apply_one(&mut *lease, file).await {
            Ok(true) => tracing::info!("{label}: applied the migration {}", file.name),
            Ok(false) => {}
            Err(failure) => {
                let why = failure.into_error();
                tracing::error!("{label}: the migration {} failed: {why}", file.name);
                return Err(Error::Other(format!("the migration {} failed: {why}", file.name)));
            }
        }
    }
    lease.put_back();
    Ok(())
}

/// Whether there was something to do.
async fn apply_one(connection: &mut dyn Connection, file: &Migration) -> Result<bool, Failure> {
    let dialect = connection.dialect();
    connection.script(TABLE.to_owned()).await.or_else(exists)?;
    connection
        .control(Control::Begin(TransactionOptions::default()))
        .await?;
    if !dialect.lock.is_empty() {
        rows(connection, dialect.lock, Vec::new()).await?;
    }
    let is_new = apply_locked(connection, file).await;
    let end = if matches!(is_new, Ok(true)) {
        Control::Commit
    } else {
        Control::Rollback
    };
    let ended = connection.control(end).await;
    if !dialect.unlock.is_empty() {
        rows(connection, dialect.unlock, Vec::new()).await?;
    }
    let is_new = is_new?;
    ended.map(|()| is_new)
}

/// Two servers that make the table at the same time meet each other in some databases, although each asks whether it is there.
fn exists(failure: Failure) -> Result<(), Failure> {
    match &failure {
        Failure::Refused(Error::QueryFailed(error)) if error.code == "23505" => Ok(()),
        _ => Err(failure),
    }
}

async fn apply_locked(connection: &mut dyn Connection, file: &Migration) -> Result<bool, Failure> {
    let [first, second] = connection.dialect().params;
    let select = format!("SELECT digest FROM wharf_migrations WHERE name = {first}");
    let known = rows(connection, &select, vec![Value::Text(file.name.clone())]).await?;
    match known.first().and_then(|row| row.first()) {
        Some(Value::Text(digest)) if *digest == file.digest => return Ok(false),
        Some(_) => return Err(Error::Other("its file has changed since it was applied".to_owned()).into()),
        None => {}
    }
    connection.script(file.sql.clone()).await?;
    let insert = format!("INSERT INTO wharf_migrations (name, digest) VALUES ({first}, {second})");
    let params = vec![Value::Text(file.name.clone()), Value::Text(file.digest.clone())];
    run(connection, &insert, params).await?;
    Ok(true)
}

async fn run(connection: &mut dyn Connection, sql: &str, params: Vec<Value>) -> Result<u64, Failure> {
    let (call, _answer) = execute(sql, params.into(), 0);
    connection.run(call.statement, call.sink).await
}

/// All rows of a result, which are known to be few.
async fn rows(connection: &mut dyn Connection, sql: &str, params: Vec<Value>) -> Result<Vec<Row>, Failure> {
    let (call, mut answer) = query(sql, params.into(), usize::MAX);
    let gather = async {
        let mut rows = Vec::new();
        while let Some(batch) = answer.rows.take().await {
            rows.extend(batch);
        }
        rows
    };
    let (statement, sink): (Arc<Statement>, _) = (call.statement, call.sink);
    let (outcome, rows) = futures_util::future::join(connection.run(statement, sink), gather).await;
    outcome.map(|_| rows)
}
