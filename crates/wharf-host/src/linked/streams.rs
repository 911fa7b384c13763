//! Streams and futures on their way between the store of a caller and that of a linked component, in either direction.
//!
//! On the one side the host takes what a guest writes; on the other it writes that to a guest; between them is a channel
//! that holds one batch, so that who writes goes no faster than who reads. An end that is dropped on one side is dropped
//! on the other. Handles in elements are exchanged when these are taken, and again when there is somebody to give them to: no sooner,
//! so that none is left over when the reader drops its end.

use std::any::{Any, TypeId};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::{mpsc, oneshot};
use wasmtime::component::{
    Destination, FutureAny, FutureConsumer, FutureProducer, FutureReader, Lower, Source, StreamAny, StreamConsumer,
    StreamProducer, StreamReader, StreamResult, Val, VecBuffer,
};
use wasmtime::{AsContextMut as _, StoreContextMut, format_err};

use super::fault::OnFault;
use super::handles::{Crossings, Side};
use super::types::{Payload, Shape};
use crate::item::{Element, Item};
use crate::state::InstanceState;

/// The far end of a stream or a future: an [`IncomingStream`] or an [`IncomingFuture`] of the type that its payload says.
pub(super) struct Incoming(Box<dyn Any + Send>);

impl Incoming {
    fn open<T: 'static>(self) -> wasmtime::Result<T> {
        let opened = self.0.downcast().map(|incoming| *incoming);
        opened.map_err(|_| format_err!("a stream or a future of another type"))
    }
}

struct IncomingStream<E: Crosser> {
    batches: mpsc::Receiver<Vec<E::Sent>>,
    /// What has come and is not read yet.
    rest: std::vec::IntoIter<E::Sent>,
}

struct IncomingFuture<E: Crosser>(oneshot::Receiver<E::Sent>);

/// An element, as guests write and read it.
trait Crosser: Element + Lower {
    /// Elements that are taken at a time, at most.
    const BATCH_MAX: usize;

    /// What it is on its way.
    type Sent: Send + Unpin + 'static;

    /// Makes elements of the store ready to go.
    fn leave(
        elements: Vec<Self>,
        gate: &Gate,
        store: StoreContextMut<'_, InstanceState>,
    ) -> wasmtime::Result<Vec<Self::Sent>>;

    /// Makes what has come elements of the store, up to the first that cannot be one.
    fn arrive(
        sent: Vec<Self::Sent>,
        gate: &Gate,
        store: StoreContextMut<'_, InstanceState>,
    ) -> wasmtime::Result<Vec<Self>>;

    /// The element that is this value, which has no handles.
    fn of(value: Val) -> Option<Self>;
}

/// Where elements leave or arrive.
#[derive(Clone)]
struct Gate {
    side: Side,
    /// Of an element; of bytes and of nothing there is no need for one.
    shape: Option<Arc<Shape>>,
}

impl Gate {
    fn new(side: &Side, payload: &Payload) -> Self {
        let shape = match payload {
            Payload::Value(shape) => Some(shape.clone()),
            Payload::Nothing | Payload::Byte => None,
        };
        let side = side.clone();
        Self { side, shape }
    }
}

/// A value on its way, and what crosses with it.
struct Parcel(Val, Crossings);

impl Crosser for Item {
    const BATCH_MAX: usize = 256;

    type Sent = Parcel;

    fn leave(
        elements: Vec<Self>,
        gate: &Gate,
        mut store: StoreContextMut<'_, InstanceState>,
    ) -> wasmtime::Result<Vec<Parcel>> {
        let leave = |Self(mut value): Self| {
            let mut crossings = Crossings::new();
            if let Some(shape) = &gate.shape {
                gate.side.leave(&mut store, shape, &mut value, &mut crossings)?;
            }
            Ok(Parcel(value, crossings))
        };
        elements.into_iter().map(leave).collect()
    }

    fn arrive(
        sent: Vec<Parcel>,
        gate: &Gate,
        mut store: StoreContextMut<'_, InstanceState>,
    ) -> wasmtime::Result<Vec<Self>> {
        let admitted = sent
            .into_iter()
            .take_while(|Parcel(_, crossings)| gate.side.admits(crossings));
        let arrive = |Parcel(mut value, mut crossings): Parcel| {
            if let Some(shape) = &gate.shape {
                gate.side.arrive(&mut store, shape, &mut value, &mut crossings)?;
            }
            Ok(Self(value))
        };
        admitted.map(arrive).collect()
    }

    fn of(value: Val) -> Option<Self> {
        Some(Self(value))
    }
}

/// An element without handles, which crosses as it is.
trait Plain: Element + Lower + Unpin {
    /// See [`Crosser::BATCH_MAX`].
    const BATCH_MAX: usize;
}

impl Plain for u8 {
    const BATCH_MAX: usize = 64 << 10;
}

impl Plain for () {
    const BATCH_MAX: usize = 256;
}

impl<E: Plain> Crosser for E {
    const BATCH_MAX: usize = <E as Plain>::BATCH_MAX;

    type Sent = Self;

    fn leave(elements: Vec<Self>, _: &Gate, _: StoreContextMut<'_, InstanceState>) -> wasmtime::Result<Vec<Self>> {
        Ok(elements)
    }

    fn arrive(sent: Vec<Self>, _: &Gate, _: StoreContextMut<'_, InstanceState>) -> wasmtime::Result<Vec<Self>> {
        Ok(sent)
    }

    fn of(_: Val) -> Option<Self> {
        None
    }
}

/// Calls a function for the type of a payload.
macro_rules! for_payload {
    ($payload:expr, $function:ident($($argument:expr),*)) => {
        match $payload {
            Payload::Nothing => $function::<()>($($argument),*),
            Payload::Byte => $function::<u8>($($argument),*),
            Payload::Value(_) => $function::<Item>($($argument),*),
        }
    };
}

/// Takes a stream from a guest.
pub(super) fn take_stream(
    side: &Side,
    store: &mut StoreContextMut<'_, InstanceState>,
    payload: &Payload,
    stream: StreamAny,
) -> wasmtime::Result<Incoming> {
    fn take<E: Crosser>(
        gate: Gate,
        store: &mut StoreContextMut<'_, InstanceState>,
        stream: StreamAny,
    ) -> wasmtime::Result<Incoming> {
        let incoming = match stream.try_into_stream_reader::<E>()?.try_into(&mut *store) {
            // The guest passes on what has come from another component, and has not to do with it any more.
            Ok(incoming) => incoming,
            Err(reader) => {
                let (sender, batches) = mpsc::channel(1);
                let room = None;
                reader.pipe(store, Taking::<E> { gate, sender, room })?;
                let rest = Vec::new().into_iter();
                IncomingStream::<E> { batches, rest }
            }
        };
        Ok(Incoming(Box::new(incoming)))
    }
    for_payload!(payload, take(Gate::new(side, payload), store, stream))
}

/// Gives a stream to a guest.
pub(super) fn give_stream(
    side: &Side,
    store: &mut StoreContextMut<'_, InstanceState>,
    payload: &Payload,
    incoming: Incoming,
) -> wasmtime::Result<Val> {
    fn give<E: Crosser>(
        gate: Gate,
        store: &mut StoreContextMut<'_, InstanceState>,
        incoming: Incoming,
    ) -> wasmtime::Result<Val> {
        let incoming = incoming.open::<IncomingStream<E>>()?;
        let reader = StreamReader::new(&mut *store, Giving { gate, incoming })?;
        Ok(Val::Stream(reader.try_into_stream_any(store)?))
    }
    for_payload!(payload, give(Gate::new(side, payload), store, incoming))
}

/// Takes a future from a guest.
pub(super) fn take_future(
    side: &Side,
    store: &mut StoreContextMut<'_, InstanceState>,
    payload: &Payload,
    future: FutureAny,
) -> wasmtime::Result<Incoming> {
    fn take<E: Crosser>(
        gate: Gate,
        store: &mut StoreContextMut<'_, InstanceState>,
        future: FutureAny,
    ) -> wasmtime::Result<Incoming> {
        let (sender, receiver) = oneshot::channel();
        let sender = Some(sender);
        let reader = future.try_into_future_reader::<E>()?;
        reader.pipe(store, TakingOne::<E> { gate, sender })?;
        Ok(Incoming(Box::new(IncomingFuture::<E>(receiver))))
    }
    for_payload!(payload, take(Gate::new(side, payload), store, future))
}

/// Gives a future to a guest.
pub(super) fn give_future(
    side: &Side,
    store: &mut StoreContextMut<'_, InstanceState>,
    payload: &Payload,
    incoming: Incoming,
    on_fault: &OnFault,
) -> wasmtime::Result<Val> {
    fn give<E: Crosser>(
        gate: Gate,
        store: &mut StoreContextMut<'_, InstanceState>,
        incoming: Incoming,
        on_fault: OnFault,
    ) -> wasmtime::Result<Val> {
        let giving = GivingOne {
            gate,
            incoming: Some(incoming.open::<IncomingFuture<E>>()?),
            on_fault,
        };
        let reader = FutureReader::new(&mut *store, giving)?;
        Ok(Val::Future(reader.try_into_future_any(store)?))
    }
    let on_fault = on_fault.clone();
    for_payload!(payload, give(Gate::new(side, payload), store, incoming, on_fault))
}

type Room<E> = Pin<Box<dyn Future<Output = Option<mpsc::OwnedPermit<Vec<<E as Crosser>::Sent>>>> + Send>>;

/// Takes what a guest writes to a stream.
struct Taking<E: Crosser> {
    gate: Gate,
    sender: mpsc::Sender<Vec<E::Sent>>,
    /// Waiting for the other side to take what came before.
    room: Option<Room<E>>,
}

impl<E: Crosser> StreamConsumer<InstanceState> for Taking<E> {
    type Item = E;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'_, InstanceState>,
        mut source: Source<'_, E>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let wanted = source.remaining(&mut store).min(E::BATCH_MAX);
        if wanted == 0 {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let permit = match self.poll_room(cx) {
            Poll::Ready(Some(permit)) => permit,
            Poll::Ready(None) => return Poll::Ready(Ok(StreamResult::Dropped)),
            Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => return Poll::Pending,
        };
        let elements = E::take(&mut source, store.as_context_mut(), wanted)?;
        permit.send(E::leave(elements, &self.gate, store)?);
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

impl<E: Crosser> Taking<E> {
    /// A place in the channel; `None` once the other side has dropped its end.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Option<mpsc::OwnedPermit<Vec<E::Sent>>>> {
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
struct Giving<E: Crosser> {
    gate: Gate,
    incoming: IncomingStream<E>,
}

impl<E: Crosser> StreamProducer<InstanceState> for Giving<E> {
    type Item = E;
    type Buffer = VecBuffer<E>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, InstanceState>,
        mut destination: Destination<'a, E, VecBuffer<E>>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        while self.incoming.rest.len() == 0 {
            match self.incoming.batches.poll_recv(cx) {
                Poll::Ready(Some(batch)) => self.incoming.rest = batch.into_iter(),
                Poll::Ready(None) => return Poll::Ready(Ok(StreamResult::Dropped)),
                Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
                Poll::Pending => return Poll::Pending,
            }
        }
        // A read of length zero asks whether there is something: there is. A host that reads takes what there is.
        let wanted = destination.remaining(&mut store).unwrap_or(usize::MAX);
        let sent: Vec<_> = self.incoming.rest.by_ref().take(wanted).collect();
        let count = sent.len();
        let elements = E::arrive(sent, &self.gate, store)?;
        let is_all = elements.len() == count;
        destination.set_buffer(elements.into());
        Poll::Ready(Ok(match is_all {
            true => StreamResult::Completed,
            // With what leads nowhere any more, a stream ends.
            false => StreamResult::Dropped,
        }))
    }

    /// For those who take it back, to pass it on.
    fn try_into(me: Pin<Box<Self>>, ty: TypeId) -> Result<Box<dyn Any>, Pin<Box<Self>>> {
        match ty == TypeId::of::<IncomingStream<E>>() {
            true => Ok(Box::new(Pin::into_inner(me).incoming)),
            false => Err(me),
        }
    }
}

/// Takes what a guest writes to a future.
struct TakingOne<E: Crosser> {
    gate: Gate,
    sender: Option<oneshot::Sender<E::Sent>>,
}

impl<E: Crosser> FutureConsumer<InstanceState> for TakingOne<E> {
    type Item = E;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut store: StoreContextMut<'_, InstanceState>,
        mut source: Source<'_, E>,
        _: bool,
    ) -> Poll<wasmtime::Result<()>> {
        let element = E::take(&mut source, store.as_context_mut(), 1)?;
        let sent = E::leave(element, &self.gate, store)?.pop();
        if let (Some(sent), Some(sender)) = (sent, self.sender.take()) {
            let _ = sender.send(sent);
        }
        Poll::Ready(Ok(()))
    }
}

/// Writes what comes from the other side to a guest's future.
struct GivingOne<E: Crosser> {
    gate: Gate,
    /// Gone once nothing will come any more.
    incoming: Option<IncomingFuture<E>>,
    on_fault: OnFault,
}

impl<E: Crosser> FutureProducer<InstanceState> for GivingOne<E> {
    type Item = E;

    fn poll_produce(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'_, InstanceState>,
        finish: bool,
    ) -> Poll<wasmtime::Result<Option<E>>> {
        let come = self
            .incoming
            .as_mut()
            .map(|incoming| Pin::new(&mut incoming.0).poll(cx));
        let arrived = match come {
            Some(Poll::Ready(Ok(sent))) => E::arrive(vec![sent], &self.gate, store)?.pop(),
            Some(Poll::Ready(Err(_))) | None => None,
            Some(Poll::Pending) if finish => return Poll::Ready(Ok(None)),
            Some(Poll::Pending) => return Poll::Pending,
        };
        let ended = self.gate.side.unwritten();
        let error = || self.on_fault.value(&ended).and_then(E::of);
        match (arrived.or_else(error), &self.gate.side) {
            (Some(element), _) => Poll::Ready(Ok(Some(element))),
            (None, Side::Caller(_)) => Poll::Ready(Err(ended.into())),
            // A caller that has ended does not end those it called: others use them. What waits for its value waits unheard.
            (None, Side::Home(_)) => {
                self.incoming = None;
                match finish {
                    true => Poll::Ready(Ok(None)),
                    false => Poll::Pending,
                }
            }
        }
    }
}
