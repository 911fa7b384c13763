//! Streams and futures on their way between the store of a caller and that of a linked component, in either direction.
//!
//! On the one side the host takes what a guest writes; on the other it writes that to a guest; between them is a channel
//! that holds one batch, so that who writes goes no faster than who reads. An end that is dropped on one side is dropped
//! on the other.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::sync::{mpsc, oneshot};
use wasmtime::component::{
    Destination, FutureAny, FutureConsumer, FutureProducer, FutureReader, Source, StreamAny, StreamConsumer,
    StreamProducer, StreamReader, StreamResult, Val, VecBuffer,
};
use wasmtime::{StoreContextMut, bail};

use super::fault::{Fault, OnFault};
use super::item::Item;
use super::types::Shape;
use crate::state::InstanceState;

/// Elements that are taken at a time, at most.
const BATCH_MAX: usize = 256;

/// The far end of something that crosses.
pub(super) enum Crossing {
    Stream(mpsc::Receiver<Vec<Val>>),
    Future(oneshot::Receiver<Val>),
}

/// All that crosses with one value, in the order of the numbers that stand for it there.
pub(super) type Crossings = Vec<Option<Crossing>>;

/// Calls a function for the size of an element.
macro_rules! for_size {
    ($size:expr, $function:ident($($argument:expr),*)) => {
        for_size!(@ $size, $function($($argument),*), [
            1 2 3 4 5 6 7 8 12 16 20 24 28 32 36 40 44 48 56 64 72 80 88 96 104 112 120 128
        ])
    };
    (@ $size:expr, $function:ident $arguments:tt, [$($known:literal)*]) => {
        match $size {
            $($known => $function::<$known> $arguments,)*
            other => bail!("an element of {other} bytes"),
        }
    };
}

/// Whether elements of this size can cross.
pub(super) fn crosses(size: usize) -> bool {
    fn yes<const SIZE: usize>() -> wasmtime::Result<()> {
        Ok(())
    }
    fn check(size: usize) -> wasmtime::Result<()> {
        for_size!(size, yes())
    }
    check(size).is_ok()
}

/// Takes a stream or a future from a guest; its number stands in its place.
pub(super) fn leave(
    store: &mut StoreContextMut<'_, InstanceState>,
    shape: &Shape,
    value: &mut Val,
    crossings: &mut Crossings,
) -> wasmtime::Result<()> {
    let crossing = match (shape, &*value) {
        (Shape::Stream { size }, Val::Stream(stream)) => for_size!(*size, take_stream(store, stream.clone()))?,
        (Shape::Future { size, .. }, Val::Future(future)) => for_size!(*size, take_future(store, future.clone()))?,
        _ => bail!("neither a stream nor a future"),
    };
    *value = Val::U32(u32::try_from(crossings.len())?);
    crossings.push(Some(crossing));
    Ok(())
}

/// Gives a stream or a future to a guest in place of its number.
pub(super) fn arrive(
    store: &mut StoreContextMut<'_, InstanceState>,
    shape: &Shape,
    value: &mut Val,
    crossings: &mut Crossings,
    ended: Fault,
) -> wasmtime::Result<()> {
    let Val::U32(number) = *value else {
        bail!("not a number")
    };
    let crossing = crossings.get_mut(number as usize).and_then(Option::take);
    *value = match (shape, crossing) {
        (Shape::Stream { size }, Some(Crossing::Stream(batches))) => for_size!(*size, give_stream(store, batches))?,
        (Shape::Future { size, on_fault }, Some(Crossing::Future(value))) => {
            for_size!(*size, give_future(store, value, on_fault.clone(), ended))?
        }
        _ => bail!("neither a stream nor a future"),
    };
    Ok(())
}

fn take_stream<const SIZE: usize>(
    store: &mut StoreContextMut<'_, InstanceState>,
    stream: StreamAny,
) -> wasmtime::Result<Crossing> {
    let (sender, receiver) = mpsc::channel(1);
    stream
        .try_into_stream_reader::<Item<SIZE>>()?
        .pipe(store, TakingOf::<SIZE>(Taking { sender, room: None }))?;
    Ok(Crossing::Stream(receiver))
}

fn give_stream<const SIZE: usize>(
    store: &mut StoreContextMut<'_, InstanceState>,
    batches: mpsc::Receiver<Vec<Val>>,
) -> wasmtime::Result<Val> {
    let giving = Giving::<SIZE> {
        batches,
        rest: Vec::new().into_iter(),
    };
    let reader = StreamReader::new(&mut *store, giving)?;
    Ok(Val::Stream(reader.try_into_stream_any(store)?))
}

fn take_future<const SIZE: usize>(
    store: &mut StoreContextMut<'_, InstanceState>,
    future: FutureAny,
) -> wasmtime::Result<Crossing> {
    let (sender, receiver) = oneshot::channel();
    future
        .try_into_future_reader::<Item<SIZE>>()?
        .pipe(store, TakingOne::<SIZE>(Some(sender)))?;
    Ok(Crossing::Future(receiver))
}

fn give_future<const SIZE: usize>(
    store: &mut StoreContextMut<'_, InstanceState>,
    value: oneshot::Receiver<Val>,
    on_fault: OnFault,
    ended: Fault,
) -> wasmtime::Result<Val> {
    let giving = GivingOne::<SIZE> { value, on_fault, ended };
    let reader = FutureReader::new(&mut *store, giving)?;
    Ok(Val::Future(reader.try_into_future_any(store)?))
}

type Room = Pin<Box<dyn Future<Output = Option<mpsc::OwnedPermit<Vec<Val>>>> + Send>>;

/// Takes what a guest writes to a stream.
struct Taking {
    sender: mpsc::Sender<Vec<Val>>,
    /// Waiting for the other side to take what came before.
    room: Option<Room>,
}

impl<D, const SIZE: usize> StreamConsumer<D> for TakingOf<SIZE> {
    type Item = Item<SIZE>;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'_, D>,
        mut source: Source<'_, Item<SIZE>>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let wanted = source.remaining(&mut store).min(BATCH_MAX);
        if wanted == 0 {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let permit = match self.0.poll_room(cx) {
            Poll::Ready(Some(permit)) => permit,
            Poll::Ready(None) => return Poll::Ready(Ok(StreamResult::Dropped)),
            Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => return Poll::Pending,
        };
        let mut batch: Vec<Item<SIZE>> = Vec::with_capacity(wanted);
        source.read(&mut store, &mut batch)?;
        permit.send(batch.into_iter().map(|item| item.0).collect());
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

/// A [`Taking`] of elements of this size.
struct TakingOf<const SIZE: usize>(Taking);

impl Taking {
    /// A place in the channel; `None` once the other side has dropped its end.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Option<mpsc::OwnedPermit<Vec<Val>>>> {
        if self.room.is_none()
            && let Ok(permit) = self.sender.clone().try_reserve_owned()
        {
            return Poll::Ready(Some(permit));
        }
        let sender = &self.sender;
        let room = self.room.get_or_insert_with(|| {
            let sender = sender.clone();
            Box::pin(async move { sender.reserve_owned().await.ok() })
        });
        let permit = ready!(room.as_mut().poll(cx));
        self.room = None;
        Poll::Ready(permit)
    }
}

/// Writes what comes from the other side to a guest's stream.
struct Giving<const SIZE: usize> {
    batches: mpsc::Receiver<Vec<Val>>,
    /// Of the batch that is being written.
    rest: std::vec::IntoIter<Val>,
}

impl<D: 'static, const SIZE: usize> StreamProducer<D> for Giving<SIZE> {
    type Item = Item<SIZE>;
    type Buffer = VecBuffer<Item<SIZE>>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, Item<SIZE>, VecBuffer<Item<SIZE>>>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        while self.rest.len() == 0 {
            match self.batches.poll_recv(cx) {
                Poll::Ready(Some(batch)) => self.rest = batch.into_iter(),
                Poll::Ready(None) => return Poll::Ready(Ok(StreamResult::Dropped)),
                Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
                Poll::Pending => return Poll::Pending,
            }
        }
        // A read of length zero asks whether there is something: there is.
        let wanted = destination.remaining(&mut store).unwrap_or(1);
        let items: Vec<_> = self.rest.by_ref().take(wanted).map(Item).collect();
        destination.set_buffer(items.into());
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

/// Takes what a guest writes to a future.
struct TakingOne<const SIZE: usize>(Option<oneshot::Sender<Val>>);

impl<D, const SIZE: usize> FutureConsumer<D> for TakingOne<SIZE> {
    type Item = Item<SIZE>;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        store: StoreContextMut<'_, D>,
        mut source: Source<'_, Item<SIZE>>,
        _: bool,
    ) -> Poll<wasmtime::Result<()>> {
        let mut item = None;
        source.read(store, &mut item)?;
        if let (Some(Item(value)), Some(sender)) = (item, self.0.take()) {
            let _ = sender.send(value);
        }
        Poll::Ready(Ok(()))
    }
}

/// Writes what comes from the other side to a guest's future.
struct GivingOne<const SIZE: usize> {
    value: oneshot::Receiver<Val>,
    on_fault: OnFault,
    ended: Fault,
}

impl<D, const SIZE: usize> FutureProducer<D> for GivingOne<SIZE> {
    type Item = Item<SIZE>;

    fn poll_produce(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        _: StoreContextMut<'_, D>,
        finish: bool,
    ) -> Poll<wasmtime::Result<Option<Item<SIZE>>>> {
        match Pin::new(&mut self.value).poll(cx) {
            Poll::Ready(Ok(value)) => Poll::Ready(Ok(Some(Item(value)))),
            // Nothing will come any more.
            Poll::Ready(Err(_)) => match self.on_fault.value(&self.ended) {
                Some(value) => Poll::Ready(Ok(Some(Item(value)))),
                None => Poll::Ready(Err(self.ended.clone().into())),
            },
            Poll::Pending if finish => Poll::Ready(Ok(None)),
            Poll::Pending => Poll::Pending,
        }
    }
}
