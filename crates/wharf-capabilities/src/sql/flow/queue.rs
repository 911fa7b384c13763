//! Rows on their way to a guest: bounded, and taken all at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;

use crate::held::{Held, Holding};
use crate::sql::value::{Row, row_bytes};

/// Rows that wait for the guest. Enough that neither side waits for each row of the other.
const ROWS_MAX: usize = 256;

/// The same in bytes: many small rows, or one that is larger.
const BYTES_MAX: usize = 64 << 10;

/// Whether there is room for another row.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::sql) enum Room {
    Some,
    None,
}

/// Puts rows in. Dropped when no more come.
pub(super) struct Writer(Arc<Queue>);

/// Takes them out. Dropped when nobody wants more.
pub(in crate::sql) struct Reader(Arc<Queue>);

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    taken: Notify,
    holding: Option<Arc<Holding>>,
}

#[derive(Default)]
struct State {
    rows: Vec<Row>,
    bytes: usize,
    /// Of the rows that were taken last, what the guest did not read at once.
    bytes_unread: usize,
    /// All that is left when the statement has ended. Before that, connections bound how much there is.
    left: Option<Held>,
    is_ended: bool,
    is_unread: bool,
    reader: Option<Waker>,
}

/// What is left of the rows when the statement has ended counts as held by `holding`, until they are read.
pub(super) fn queue(holding: Option<Arc<Holding>>) -> (Writer, Reader) {
    let queue = Arc::new(Queue {
        holding,
        ..Queue::default()
    });
    (Writer(queue.clone()), Reader(queue))
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn room(&self) -> Room {
        match self.rows.len() < ROWS_MAX && self.bytes < BYTES_MAX {
            true => Room::Some,
            false => Room::None,
        }
    }
}

impl Writer {
    /// Puts one in, whether there is room or not. One that nobody wants is dropped.
    pub fn put(&self, row: Row, bytes: usize) -> Room {
        let mut state = self.0.lock();
        if state.is_unread {
            return Room::Some;
        }
        state.rows.push(row);
        state.bytes += bytes;
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
        state.room()
    }

    /// Waits until there is room.
    pub async fn room(&self) {
        while self.0.lock().room() == Room::None {
            self.0.taken.notified().await;
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_ended = true;
        let left = state.bytes + state.bytes_unread;
        if left > 0 && !state.is_unread {
            state.left = self.0.holding.as_ref().map(|holding| holding.add(left));
        }
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }
}

impl Reader {
    /// All rows there are, at least one, of which `wanted` are read at once; `None` after the last.
    pub fn poll_take(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<Option<Vec<Row>>> {
        let mut state = self.0.lock();
        if !state.rows.is_empty() {
            state.bytes = 0;
            let rows = std::mem::take(&mut state.rows);
            state.bytes_unread = rows.iter().skip(wanted).map(|row| row_bytes(row)).sum();
            drop(state);
            self.0.taken.notify_one();
            return Poll::Ready(Some(rows));
        }
        if state.is_ended {
            return Poll::Ready(None);
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The same, waiting.
    pub async fn take(&mut self) -> Option<Vec<Row>> {
        std::future::poll_fn(|cx| self.poll_take(cx, usize::MAX)).await
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_unread = true;
        state.rows = Vec::new();
        state.bytes = 0;
        state.left = None;
        drop(state);
        self.0.taken.notify_one();
    }
}
