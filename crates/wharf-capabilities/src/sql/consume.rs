//! Takes the lists of parameters that a guest writes, a few ahead of the database.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::mpsc;
use tokio_util::sync::PollSender;
use wasmtime::StoreContextMut;
use wasmtime::component::{Accessor, Source, StreamConsumer, StreamReader, StreamResult};
use wharf_host::InstanceState;

use super::database::Lists;
use super::value::Value;

/// Lists that are taken from a guest at once.
const LISTS_MAX: usize = 64;

/// What the guest writes to `params`, for whoever runs a statement with it.
pub(super) fn lists(store: &Accessor<InstanceState>, params: StreamReader<Vec<Value>>) -> wasmtime::Result<Lists> {
    let (sender, receiver) = mpsc::channel(1);
    let taken = Taken(PollSender::new(sender));
    store.with(|mut store| params.pipe(&mut store, taken))?;
    Ok(receiver)
}

/// Dropped when the guest has written everything, or is gone.
struct Taken(PollSender<Vec<Vec<Value>>>);

impl<D> StreamConsumer<D> for Taken {
    type Item = Vec<Value>;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'_, D>,
        mut source: Source<'_, Vec<Value>>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        match self.0.poll_reserve(cx) {
            Poll::Ready(Ok(())) => {}
            // The statement has ended already, and nobody takes more.
            Poll::Ready(Err(_)) => return Poll::Ready(Ok(StreamResult::Dropped)),
            Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => return Poll::Pending,
        }
        let count = source.remaining(&mut store).min(LISTS_MAX);
        if count == 0 {
            self.0.abort_send();
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let mut lists = Vec::with_capacity(count);
        source.read(&mut store, &mut lists)?;
        let is_taken = self.0.send_item(lists).is_ok();
        Poll::Ready(Ok(if is_taken {
            StreamResult::Completed
        } else {
            StreamResult::Dropped
        }))
    }
}
