//! Copies of a database's file, made while it is served.
//!
//! A copy is what a reader sees at one moment: nobody waits for it, neither readers nor writers, and it is a whole database
//! without a log beside it. It gets its name when it is complete.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::OpenFlags;

/// Which copies are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sql) struct Backup {
    pub folder: PathBuf,
    pub interval: Duration,
    /// How many are kept.
    pub keep: usize,
}

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub(super) enum BackupError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Makes copies for as long as it is polled.
pub(in crate::sql) async fn keep(label: std::sync::Arc<str>, file: PathBuf, backup: Backup) {
    loop {
        tokio::time::sleep(backup.interval).await;
        let (from, to) = (file.clone(), backup.clone());
        let made = tokio::task::spawn_blocking(move || copy(&from, &to, now())).await;
        match made {
            Ok(Ok(made)) => tracing::info!("{label}: copied to {}", made.display()),
            Ok(Err(error)) => tracing::error!("{label}: no copy was made: {error}"),
            Err(error) => tracing::error!("{label}: no copy was made: {error}"),
        }
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

/// Makes one, and removes those that are too many. Blocks.
fn copy(file: &Path, backup: &Backup, seconds: u64) -> Result<PathBuf, BackupError> {
    std::fs::create_dir_all(&backup.folder)?;
    let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let made = backup.folder.join(format!("{stem}-{seconds:010}.db"));
    let unfinished = made.with_extension("db.unfinished");
    let _ = std::fs::remove_file(&unfinished);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = rusqlite::Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.execute("VACUUM INTO ?1", [unfinished.to_string_lossy()])?;
    std::fs::File::open(&unfinished)?.sync_all()?;
    std::fs::rename(&unfinished, &made)?;
    remove_old(&stem, backup)?;
    Ok(made)
}

fn remove_old(stem: &str, backup: &Backup) -> std::io::Result<()> {
    let is_copy = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let number = name
            .strip_prefix(&format!("{stem}-"))
            .and_then(|rest| rest.strip_suffix(".db"));
        number.is_some_and(|number| number.len() == 10 && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let entries = std::fs::read_dir(&backup.folder)?.filter_map(|entry| Some(entry.ok()?.path()));
    let mut copies: Vec<_> = entries.filter(is_copy).collect();
    copies.sort();
    let too_many = copies.len().saturating_sub(backup.keep);
    copies.iter().take(too_many).try_for_each(std::fs::remove_file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_whole_and_few() {
        let scratch = std::env::temp_dir().join(format!("wharf-sql-backup-{}", std::process::id()));
        std::fs::create_dir_all(&scratch).unwrap();
        let file = scratch.join("app.db");
        super::super::prepare_file(&file).unwrap();
        let writer = rusqlite::Connection::open(&file).unwrap();
        writer
            .execute_batch("CREATE TABLE IF NOT EXISTS a (b); DELETE FROM a; INSERT INTO a VALUES (1)")
            .unwrap();
        let backup = Backup {
            folder: scratch.join("copies"),
            interval: Duration::from_secs(1),
            keep: 2,
        };
        // Somebody writes meanwhile; it is not in the copy until it is committed.
        writer
            .execute_batch("BEGIN IMMEDIATE; INSERT INTO a VALUES (2)")
            .unwrap();
        let made: Vec<_> = (1..=3).map(|seconds| copy(&file, &backup, seconds).unwrap()).collect();
        let count = |path: &Path| {
            let copy = rusqlite::Connection::open(path).unwrap();
            copy.query_row("SELECT count(*) FROM a", [], |row| row.get::<_, i64>(0))
                .unwrap()
        };
        assert!(!made[0].exists());
        assert_eq!((count(&made[1]), count(&made[2])), (1, 1));
        std::fs::remove_dir_all(&scratch).unwrap();
    }
}
