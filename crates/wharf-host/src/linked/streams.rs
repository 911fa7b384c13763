//! Streams and futures on their way between the store of a caller and that of a linked component, in either direction.
//!
//! On the one side the host takes what a guest writes; on the other it writes that to a guest; between them is a channel
//! that holds one batch, so that who writes goes no faster than who reads. An end that is dropped on one side is dropped
//! on the other.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::sync::{mpsc, oneshot};
use wasmtime::component::{
    Destination, FutureAny, FutureConsumer, FutureProducer, FutureReader, Lift, Lower, Source, StreamAny,
    StreamConsumer, StreamProducer, StreamReader, StreamResult, Val, VecBuffer,
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

/// An element, as guests write and read it. One that is nothing stands as an empty tuple.
pub(super) trait Element: Lift + Lower + Send + Sync + 'static {
    fn new(value: Val) -> Self;
    fn value(self) -> Val;

    /// Takes what a guest writes, at most so many.
    fn read<D>(
        source: &mut Source<'_, Self>,
        mut store: StoreContextMut<'_, D>,
        most: usize,
    ) -> wasmtime::Result<Vec<Val>> {
        let mut batch: Vec<Self> = Vec::with_capacity(most);
        source.read(&mut store, &mut batch)?;
        Ok(batch.into_iter().map(Self::value).collect())
    }
}

impl<const SIZE: usize> Element for Item<SIZE> {
    fn new(value: Val) -> Self {
        Self(value)
    }

    fn value(self) -> Val {
        self.0
    }
}

impl Element for () {
    fn new(_: Val) -> Self {}

    fn value(self) -> Val {
        Val::Tuple(Vec::new())
    }

    /// One by one: a vector has room for any number of what takes none, and so takes all there is.
    fn read<D>(
        source: &mut Source<'_, Self>,
        mut store: StoreContextMut<'_, D>,
        most: usize,
    ) -> wasmtime::Result<Vec<Val>> {
        let mut batch = Vec::new();
        for _ in 0..most {
            let mut element = None;
            source.read(&mut store, &mut element)?;
            batch.extend(element.map(Self::value));
        }
        Ok(batch)
    }
}

/// Calls a function for the size of an element, which is 0 where there is none.
macro_rules! for_size {
    ($size:expr, $function:ident($($argument:expr),*)) => {
        for_size!(@ $size, $function($($argument),*), [
            1 2 3 4 5 6 7 8 12 16 20 24 28 32 36 40 44 48 52 56 60 64
            68 72 76 80 84 88 92 96 100 104 108 112 116 120 124 128
        ])
    };
    (@ $size:expr, $function:ident $arguments:tt, [$($known:literal)*]) => {
        match $size {
            0 => $function::<()> $arguments,
            $($known => $function::<Item<$known>> $arguments,)*
            other => bail!("an element of {other} bytes"),
        }
    };
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

fn take_stream<E: Element>(
    store: &mut StoreContextMut<'_, InstanceState>,
    stream: StreamAny,
) -> wasmtime::Result<Crossing> {
    let (sender, receiver) = mpsc::channel(1);
    stream
        .try_into_stream_reader::<E>()?
        .pipe(store, TakingOf::<E>(Taking { sender, room: None }, PhantomData))?;
    Ok(Crossing::Stream(receiver))
}

fn give_stream<E: Element>(
    store: &mut StoreContextMut<'_, InstanceState>,
    batches: mpsc::Receiver<Vec<Val>>,
) -> wasmtime::Result<Val> {
    let giving = Giving::<E> {
        batches,
        rest: Vec::new().into_iter(),
        element: PhantomData,
    };
    let reader = StreamReader::new(&mut *store, giving)?;
    Ok(Val::Stream(reader.try_into_stream_any(store)?))
}

fn take_future<E: Element>(
    store: &mut StoreContextMut<'_, InstanceState>,
    future: FutureAny,
) -> wasmtime::Result<Crossing> {
    let (sender, receiver) = oneshot::channel();
    future
        .try_into_future_reader::<E>()?
        .pipe(store, TakingOne::<E>(Some(sender), PhantomData))?;
    Ok(Crossing::Future(receiver))
}

fn give_future<E: Element>(
    store: &mut StoreContextMut<'_, InstanceState>,
    value: oneshot::Receiver<Val>,
    on_fault: OnFault,
    ended: Fault,
) -> wasmtime::Result<Val> {
    let giving = GivingOne::<E> {
        value,
        on_fault,
        ended,
        element: PhantomData,
    };
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

impl<D, E: Element> StreamConsumer<D> for TakingOf<E> {
    type Item = E;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'_, D>,
        mut source: Source<'_, E>,
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
        permit.send(E::read(&mut source, store, wanted)?);
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

/// A [`Taking`] of elements of this type.
struct TakingOf<E>(Taking, PhantomData<fn(E)>);

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
struct Giving<E> {
    batches: mpsc::Receiver<Vec<Val>>,
    /// Of the batch that is being written.
    rest: std::vec::IntoIter<Val>,
    element: PhantomData<fn() -> E>,
}

impl<D: 'static, E: Element> StreamProducer<D> for Giving<E> {
    type Item = E;
    type Buffer = VecBuffer<E>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, E, VecBuffer<E>>,
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
        let items: Vec<_> = self.rest.by_ref().take(wanted).map(E::new).collect();
        destination.set_buffer(items.into());
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

/// Takes what a guest writes to a future.
struct TakingOne<E>(Option<oneshot::Sender<Val>>, PhantomData<fn(E)>);

impl<D, E: Element> FutureConsumer<D> for TakingOne<E> {
    type Item = E;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        store: StoreContextMut<'_, D>,
        mut source: Source<'_, E>,
        _: bool,
    ) -> Poll<wasmtime::Result<()>> {
        let mut item: Option<E> = None;
        source.read(store, &mut item)?;
        if let (Some(element), Some(sender)) = (item, self.0.take()) {
            let _ = sender.send(E::value(element));
        }
        Poll::Ready(Ok(()))
    }
}

/// Writes what comes from the other side to a guest's future.
struct GivingOne<E> {
    value: oneshot::Receiver<Val>,
    on_fault: OnFault,
    ended: Fault,
    element: PhantomData<fn() -> E>,
}

impl<D, E: Element> FutureProducer<D> for GivingOne<E> {
    type Item = E;

    fn poll_produce(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        _: StoreContextMut<'_, D>,
        finish: bool,
    ) -> Poll<wasmtime::Result<Option<E>>> {
        match Pin::new(&mut self.value).poll(cx) {
            Poll::Ready(Ok(value)) => Poll::Ready(Ok(Some(E::new(value)))),
            // Nothing will come any more.
            Poll::Ready(Err(_)) => match self.on_fault.value(&self.ended) {
                Some(value) => Poll::Ready(Ok(Some(E::new(value)))),
                None => Poll::Ready(Err(self.ended.clone().into())),
            },
            Poll::Pending if finish => Poll::Ready(Ok(None)),
            Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::bail;
    use wharf_app::compose::crossing::element_crosses;

    use super::Item;

    /// There is code for what is said to cross, and for nothing else.
    #[test]
    fn elements_cross_whose_size_is_known() {
        fn known<E>() -> wasmtime::Result<usize> {
            Ok(size_of::<E>())
        }
        let size_of_known = |size: usize| -> wasmtime::Result<usize> { for_size!(size, known()) };
        for size in 0..=512 {
            assert_eq!(size_of_known(size).is_ok(), element_crosses(size), "{size}");
        }
    }
}
