//! Notes in SQLite, by rusqlite on the threads that tokio has for what blocks.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::spawn_blocking;

use crate::{CONNECTIONS, Content, PIECE_BYTES};

/// Pieces of an answer that are there before the client has taken them.
const PIECES: usize = 4;

pub struct Sqlite {
    idle: Mutex<Vec<Connection>>,
    free: Semaphore,
}

impl Sqlite {
    pub fn open(file: &Path) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = |_| Connection::open_with_flags(file, flags);
        let idle: Vec<_> = (0..CONNECTIONS).map(open).collect::<Result<_, _>>()?;
        Ok(Self {
            idle: Mutex::new(idle),
            free: Semaphore::new(CONNECTIONS),
        })
    }

    pub async fn note(&'static self, id: i64) -> Result<Option<String>> {
        self.with(move |connection| {
            let mut statement = connection.prepare_cached("select text from note where id = $1")?;
            Ok(statement.query_row([id], |row| row.get(0)).optional()?)
        })
        .await
    }

    /// All of them, a line each, as they are read.
    pub async fn list(&'static self) -> Result<Content> {
        let (pieces, rest) = mpsc::channel(PIECES);
        tokio::spawn(async move {
            let failed = pieces.clone();
            if let Err(error) = self.with(move |connection| send(connection, &pieces)).await {
                // Nobody may be there any more.
                let _ = failed.send(Err(error)).await;
            }
        });
        let pieces = stream::unfold(rest, |mut rest| async move {
            let piece: Result<Bytes> = rest.recv().await?;
            Some((piece.map(Frame::data), rest))
        });
        Ok(Content::new(StreamBody::new(pieces)))
    }

    /// Calls `work` with a connection that nobody else uses.
    async fn with<T: Send + 'static>(
        &'static self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let right = self.free.acquire().await?;
        // It goes back where nobody waits for the outcome any more, too.
        let worked = spawn_blocking(move || {
            let connection = self.idle().pop().context("there are as many as rights")?;
            let outcome = work(&connection);
            self.idle().push(connection);
            drop(right);
            outcome
        });
        worked.await?
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn send(connection: &Connection, pieces: &mpsc::Sender<Result<Bytes>>) -> Result<()> {
    let mut statement = connection.prepare_cached("select text from note order by id")?;
    let mut rows = statement.query([])?;
    let mut lines = String::new();
    while let Some(row) = rows.next()? {
        lines += row.get_ref(0)?.as_str()?;
        lines.push('\n');
        if lines.len() > PIECE_BYTES && pieces.blocking_send(Ok(std::mem::take(&mut lines).into())).is_err() {
            return Ok(());
        }
    }
    // A client that has left misses nothing.
    let _ = pieces.blocking_send(Ok(lines.into()));
    Ok(())
}
