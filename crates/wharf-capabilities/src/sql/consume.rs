//! Takes the lists of parameters that a guest writes, a few ahead of the database.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::mpsc;
use tokio_util::sync::PollSender;
use wasmtime::StoreContextMut;
use wasmtime::component::{Accessor, Source, StreamConsumer, StreamReader, StreamResult};
use wharf_host::InstanceState;

use super::database::{Database, Lists};
use super::error::Error;
use super::params::Params;
use super::value::{Value, row_bytes};

/// Lists that are taken from a guest at once.
const LISTS_MAX: usize = 64;

/// The same in bytes, as far as those before tell how large they are: one that is larger comes alone.
const BYTES_MAX: usize = 256 << 10;

/// What the guest writes to `params`, for whoever runs a statement with it on `database`.
pub(super) fn lists(
    store: &Accessor<InstanceState>,
    params: StreamReader<Vec<Value>>,
    database: Arc<Database>,
) -> wasmtime::Result<Lists> {
    let (sender, receiver) = mpsc::channel(1);
    let taken = Taken {
        lists: PollSender::new(sender),
        database,
        bytes_each: BYTES_MAX,
    };
    store.with(|mut store| params.pipe(&mut store, taken))?;
    Ok(receiver)
}

/// Dropped when the guest has written everything, or is gone.
struct Taken {
    lists: PollSender<Result<Vec<Params>, Error>>,
    database: Arc<Database>,
    /// The largest of those that were taken last; nobody knows how large the first is.
    bytes_each: usize,
}

impl Taken {
    /// Room for all of them, or the error that the call ends with.
    fn hold(&mut self, lists: Vec<Vec<Value>>) -> Result<Vec<Params>, Error> {
        self.bytes_each = lists
            .iter()
            .map(|list| row_bytes(list))
            .max()
            .unwrap_or_default()
            .max(1);
        lists.into_iter().map(|list| self.database.hold("", list)).collect()
    }
}

impl<D> StreamConsumer<D> for Taken {
    type Item = Vec<Value>;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'_, D>,
        mut source: Source<'_, Vec<Value>>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        match self.lists.poll_reserve(cx) {
            Poll::Ready(Ok(())) => {}
            // The statement has ended already, and nobody takes more.
            Poll::Ready(Err(_)) => return Poll::Ready(Ok(StreamResult::Dropped)),
            Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => return Poll::Pending,
        }
        let count = source
            .remaining(&mut store)
            .min((BYTES_MAX / self.bytes_each).clamp(1, LISTS_MAX));
        if count == 0 {
            self.lists.abort_send();
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let mut lists = Vec::with_capacity(count);
        source.read(&mut store, &mut lists)?;
        let lists = self.hold(lists);
        let goes_on = lists.is_ok();
        let is_taken = self.lists.send_item(lists).is_ok();
        Poll::Ready(Ok(if is_taken && goes_on {
            StreamResult::Completed
        } else {
            StreamResult::Dropped
        }))
    }
}
