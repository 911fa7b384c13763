//! Notes in PostgreSQL, by tokio-postgres: connections that are kept, each with its statements.

use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use futures_util::{TryStreamExt as _, stream};
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_postgres::{Client, NoTls, RowStream, Statement};

use crate::{CONNECTIONS, Content, PIECE_BYTES};

pub struct Postgres {
    idle: Mutex<Vec<Connection>>,
    free: Semaphore,
}

struct Connection {
    client: Client,
    note: Statement,
    list: Statement,
}

/// One that somebody uses; it goes back when this is dropped.
struct Lent {
    pool: &'static Postgres,
    connection: Option<Connection>,
    _right: SemaphorePermit<'static>,
}

impl Postgres {
    pub async fn open(config: &str) -> Result<Self> {
        let mut idle = Vec::new();
        for _ in 0..CONNECTIONS {
            let (client, connection) = tokio_postgres::connect(config, NoTls).await?;
            tokio::spawn(connection);
            let note = client.prepare("select text from note where id = $1").await?;
            let list = client.prepare("select text from note order by id").await?;
            idle.push(Connection { client, note, list });
        }
        Ok(Self {
            idle: Mutex::new(idle),
            free: Semaphore::new(CONNECTIONS),
        })
    }

    pub async fn note(&'static self, id: i64) -> Result<Option<String>> {
        let lent = self.lend().await?;
        let connection = lent.connection()?;
        let row = connection.client.query_opt(&connection.note, &[&id]).await?;
        Ok(row.map(|row| row.get(0)))
    }

    /// All of them, a line each, as they are read.
    pub async fn list(&'static self) -> Result<Content> {
        let lent = self.lend().await?;
        let connection = lent.connection()?;
        let none: [i64; 0] = [];
        let rows = Box::pin(connection.client.query_raw(&connection.list, none).await?);
        // Rows are not asked for again once they have ended: the connection is somebody else's then.
        let pieces = stream::try_unfold(Some((lent, rows)), |rest| async move {
            let Some((lent, mut rows)) = rest else { return Ok(None) };
            let (piece, has_ended) = piece(&mut rows).await?;
            let rest = (!has_ended).then_some((lent, rows));
            Ok(Some((Frame::data(piece.into()), rest)))
        });
        Ok(Content::new(StreamBody::new(pieces)))
    }

    async fn lend(&'static self) -> Result<Lent> {
        let right = self.free.acquire().await?;
        Ok(Lent {
            pool: self,
            connection: self.idle().pop(),
            _right: right,
        })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The next lines, and whether they are the last ones.
async fn piece(rows: &mut Pin<Box<RowStream>>) -> Result<(String, bool)> {
    let mut lines = String::new();
    while let Some(row) = rows.try_next().await? {
        lines += row.get(0);
        lines.push('\n');
        if lines.len() > PIECE_BYTES {
            return Ok((lines, false));
        }
    }
    Ok((lines, true))
}

impl Lent {
    fn connection(&self) -> Result<&Connection> {
        self.connection.as_ref().context("there are as many as rights")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.pool.idle().extend(self.connection.take());
    }
}
