//! What lies between a running statement and the guest that reads its rows: few rows, and who waits for whom.
//!
//! The statement puts rows in; past a bound it waits for the guest, which takes all there are at once. Who watches it sees for
//! how long it has waited, and for whom. How rows get into a guest is in `sql/bindings.rs`, the queue in `sql/flow/queue.rs`.

mod queue;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::error::{Error, Failure};
use super::params::Params;
use super::value::{Column, Row, row_bytes};

pub(super) use queue::{Reader, Room};

/// One statement and what is bound to its parameters.
#[derive(Debug)]
pub(super) struct Statement {
    pub sql: Arc<str>,
    pub params: Params,
}

/// A statement to be run, and where its result goes.
pub(super) struct Call {
    pub statement: Arc<Statement>,
    pub sink: Sink,
    pub end: oneshot::Sender<Result<u64, Error>>,
}

/// What comes back to whoever asked. Dropping `here` means that nobody wants it any more.
pub(super) struct Answer {
    pub columns: oneshot::Receiver<Vec<Column>>,
    pub rows: Reader,
    /// The number of rows that were changed. Comes after the last row.
    pub end: oneshot::Receiver<Result<u64, Error>>,
    pub here: DropGuard,
    is_unwanted: CancellationToken,
}

impl Answer {
    /// From then on nobody wants it, whether `here` is held or not.
    pub fn until(&self, left: impl Future<Output = ()> + Send + 'static) {
        let is_unwanted = self.is_unwanted.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = left => is_unwanted.cancel(),
                () = is_unwanted.cancelled() => {}
            }
        });
    }
}

/// Where a statement's rows go. Clones lead to the same place.
#[derive(Clone)]
pub(super) struct Sink {
    columns: Arc<Mutex<Option<oneshot::Sender<Vec<Column>>>>>,
    /// Nothing where rows are not wanted.
    rows: Option<Arc<queue::Writer>>,
    row_bytes_max: usize,
    watch: Arc<Watch>,
}

/// What is seen of a running statement from outside.
pub(super) struct Watch {
    begun: Instant,
    /// Milliseconds after `begun` at which the statement last got on.
    moved_ms: AtomicU64,
    /// It waits for the guest, not for the database.
    waits_for_guest: AtomicBool,
    /// All rows are on their way: from now on the guest leaves because it has what it wanted.
    is_done: AtomicBool,
    /// Nobody wants the result any more.
    left: CancellationToken,
    /// The statement is to end, whoever it waits for.
    stop: CancellationToken,
}

/// How long a statement may wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// For the database.
    pub statement: Duration,
    /// For the guest.
    pub idle: Duration,
}

/// Why a statement is ended from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Nobody wants its result.
    Left,
    /// The database took too long.
    Slow,
    /// The guest did not read.
    Unread,
}

/// A call whose rows are wanted.
pub(super) fn query(sql: &str, params: Params, row_bytes_max: usize) -> (Call, Answer) {
    let (rows, reader) = queue::queue(params.holding());
    call(sql, params, row_bytes_max, Some(rows), reader)
}

/// A call of which only the end is wanted.
pub(super) fn execute(sql: &str, params: Params, row_bytes_max: usize) -> (Call, Answer) {
    let (_, reader) = queue::queue(None);
    call(sql, params, row_bytes_max, None, reader)
}

/// What comes back to whoever asked for something that is not even begun.
pub(super) fn refused(error: Error) -> Answer {
    let (call, answer) = execute("", Params::default(), 0);
    // It is there as long as the answer.
    let _ = call.end.send(Err(error));
    answer
}

fn call(
    sql: &str,
    params: Params,
    row_bytes_max: usize,
    rows: Option<queue::Writer>,
    reader: Reader,
) -> (Call, Answer) {
    let (columns, columns_receiver) = oneshot::channel();
    let (end, end_receiver) = oneshot::channel();
    let watch = Arc::new(Watch {
        begun: Instant::now(),
        moved_ms: AtomicU64::new(0),
        waits_for_guest: AtomicBool::new(false),
        is_done: AtomicBool::new(false),
        left: CancellationToken::new(),
        stop: CancellationToken::new(),
    });
    let is_unwanted = watch.left.clone();
    let sink = Sink {
        columns: Arc::new(Mutex::new(Some(columns))),
        rows: rows.map(Arc::new),
        row_bytes_max,
        watch,
    };
    let statement = Arc::new(Statement {
        sql: sql.into(),
        params,
    });
    let answer = Answer {
        columns: columns_receiver,
        rows: reader,
        end: end_receiver,
        here: is_unwanted.clone().drop_guard(),
        is_unwanted,
    };
    (Call { statement, sink, end }, answer)
}

impl Sink {
    /// Says what the rows are made of. Only what is said first counts.
    pub fn columns(&self, columns: impl FnOnce() -> Vec<Column>) {
        let sender = self.columns.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let (Some(sender), Some(_)) = (sender, &self.rows) {
            // Whoever left is seen at the next row.
            let _ = sender.send(columns());
        }
    }

    /// Puts a row in, without waiting. Where there is no room for another, wait for it: [`Sink::room`].
    pub fn put(&self, row: Row) -> Result<Room, Failure> {
        self.watch.moved();
        if self.watch.is_over() {
            return Err(Error::Cancelled.into());
        }
        let Some(rows) = &self.rows else { return Ok(Room::Some) };
        let bytes = row_bytes(&row);
        if bytes > self.row_bytes_max {
            let most = self.row_bytes_max;
            let what = format!("a row of {bytes} bytes, more than the {most} that one may have");
            return Err(Failure::Large { what, is_lost: false });
        }
        Ok(rows.put(row, bytes))
    }

    /// Waits until the guest has taken what was put in.
    pub async fn room(&self) -> Result<(), Failure> {
        let Some(rows) = &self.rows else { return Ok(()) };
        let _waiting = WaitsForGuest::new(&self.watch);
        tokio::select! {
            () = rows.room() => Ok(()),
            () = self.watch.stop.cancelled() => Err(Error::Cancelled.into()),
        }
    }

    /// Whether anybody wants rows, or only their end.
    pub fn wants_rows(&self) -> bool {
        self.rows.is_some()
    }

    /// All rows are in.
    pub fn finish(&self) {
        // Where none are wanted, leaving is always giving up: there may be another statement for the same call.
        self.watch.is_done.store(self.wants_rows(), Ordering::Release);
    }

    pub fn watch(&self) -> Arc<Watch> {
        self.watch.clone()
    }
}

/// As long as it lives, the statement waits for the guest.
struct WaitsForGuest<'a>(&'a Watch);

impl<'a> WaitsForGuest<'a> {
    fn new(watch: &'a Watch) -> Self {
        watch.moved();
        watch.waits_for_guest.store(true, Ordering::Relaxed);
        Self(watch)
    }
}

impl Drop for WaitsForGuest<'_> {
    fn drop(&mut self) {
        self.0.moved();
        self.0.waits_for_guest.store(false, Ordering::Relaxed);
    }
}

impl Watch {
    /// The statement got on.
    pub fn moved(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved_ms.store(now, Ordering::Relaxed);
    }

    /// Whether anything more is of no use.
    pub fn is_over(&self) -> bool {
        self.stop.is_cancelled() || self.left.is_cancelled()
    }

    /// Nobody wants the result any more.
    pub async fn left(&self) {
        self.left.cancelled().await;
    }

    /// The statement is to end: it waits for nobody from now on.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits until there is a reason to end the statement.
    pub async fn ended(&self, patience: Patience) -> Ended {
        loop {
            let waits_for_guest = self.waits_for_guest.load(Ordering::Relaxed);
            let (limit, ended) = match waits_for_guest {
                true => (patience.idle, Ended::Unread),
                false => (patience.statement, Ended::Slow),
            };
            let until = self.begun + Duration::from_millis(self.moved_ms.load(Ordering::Relaxed)) + limit;
            if until <= Instant::now() {
                return ended;
            }
            // Whom it waits for may change meanwhile, and with it the limit: looked at again before the shorter has passed.
            let soon = Instant::now() + patience.statement.min(patience.idle);
            let time = tokio::time::sleep_until(until.min(soon));
            let is_done = || self.is_done.load(Ordering::Acquire);
            tokio::select! {
                () = self.left.cancelled(), if !is_done() => match is_done() {
                    true => {}
                    false => return Ended::Left,
                },
                () = time => {}
            }
        }
    }
}

impl Ended {
    /// What the guest hears, if it still listens.
    pub fn error(self) -> Error {
        match self {
            Self::Left => Error::Cancelled,
            Self::Slow | Self::Unread => Error::Timeout,
        }
    }
}
