//! Bodies that a guest reads.

use std::any::{Any, TypeId};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use tokio::sync::oneshot;
use wasmtime::component::{
    Destination, DirectDestination, FutureConsumer, FutureProducer, FutureReader, Resource, Source, StreamProducer,
    StreamReader, StreamResult,
};
use wasmtime::{AsContextMut, StoreContextMut};

use super::written::Receipt;
use super::{ErrorCode, Fields, GuestTrailers, Payload, ReceivedTrailers};
use crate::state::InstanceState;

/// Opens a message's body for a guest: its bytes, and its trailers once those have ended.
///
/// `result` is how the guest says what it made of the body; it reaches the maker of a guest's body.
pub(crate) fn consume<S>(
    mut store: S,
    body: Payload,
    result: FutureReader<Result<(), ErrorCode>>,
) -> wasmtime::Result<(StreamReader<u8>, GuestTrailers)>
where
    S: AsContextMut<Data = InstanceState>,
{
    result.pipe(
        &mut store,
        ResultReader {
            sender: body.as_guest().map(|body| body.sending()),
        },
    )?;
    let (sender, trailers) = oneshot::channel();
    let received = Received {
        body,
        rest: Bytes::new(),
        trailers: TrailersSender(Some(sender)),
    };
    let stream = StreamReader::new(&mut store, received)?;
    let trailers = FutureReader::new(&mut store, TrailersProducer { trailers })?;
    Ok((stream, trailers))
}

/// Writes a received body into a guest.
pub(super) struct Received {
    pub body: Payload,
    /// What was received and not yet taken. Kept here rather than in Wasmtime's buffer, so that a guest that reads a
    /// little and hands the rest on loses nothing.
    pub rest: Bytes,
    pub trailers: TrailersSender,
}

/// Tells a guest the trailers of a body, once.
pub(super) struct TrailersSender(Option<oneshot::Sender<ReceivedTrailers>>);

impl TrailersSender {
    pub fn finish(&mut self, trailers: ReceivedTrailers) {
        if let Some(sender) = self.0.take() {
            // The guest may not care for trailers.
            let _ = sender.send(trailers);
        }
    }
}

impl Received {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        while self.rest.is_empty() {
            match http_body::Body::poll_frame(Pin::new(&mut self.body), cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(frame) => {
                        let trailers = frame.into_trailers().ok();
                        self.trailers.finish(Ok(trailers));
                        return Poll::Ready(Err(Ended));
                    }
                },
                Poll::Ready(Some(Err(error))) => {
                    self.trailers.finish(Err(error));
                    return Poll::Ready(Err(Ended));
                }
                Poll::Ready(None) => {
                    self.trailers.finish(Ok(None));
                    return Poll::Ready(Err(Ended));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what is there, and what follows it without waiting: a turn of the guest costs more than the copying. The end
    /// is told with the last bytes.
    fn fill<D>(&mut self, cx: &mut Context<'_>, destination: &mut DirectDestination<'_, D>) -> StreamResult {
        let mut room = destination.remaining().len();
        loop {
            let taken = room.min(self.rest.len());
            destination.remaining()[..taken].copy_from_slice(&self.rest[..taken]);
            destination.mark_written(taken);
            self.rest.advance(taken);
            room -= taken;
            if room == 0 {
                return StreamResult::Completed;
            }
            match self.poll_fill(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(Ended)) => return StreamResult::Dropped,
                Poll::Pending => return StreamResult::Completed,
            }
        }
    }
}

struct Ended;

impl<D: 'static> StreamProducer<D> for Received {
    type Item = u8;
    type Buffer = Bytes;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        destination: Destination<'a, u8, Bytes>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        match self.poll_fill(cx) {
            Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(Ended)) => return Poll::Ready(Ok(StreamResult::Dropped)),
            Poll::Ready(Ok(())) => {}
        }
        // A read of length zero asks whether there is something: there is.
        let wanted = destination.remaining(&mut store).unwrap_or(self.rest.len());
        if wanted == 0 {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let mut destination = destination.as_direct(store, wanted);
        Poll::Ready(Ok(self.fill(cx, &mut destination)))
    }

    fn try_into(me: Pin<Box<Self>>, ty: TypeId) -> Result<Box<dyn Any>, Pin<Box<Self>>> {
        if ty != TypeId::of::<Self>() {
            return Err(me);
        }
        let received: Box<Self> = Pin::into_inner(me);
        Ok(received)
    }
}

/// Resolves to a received body's trailers.
struct TrailersProducer {
    trailers: oneshot::Receiver<ReceivedTrailers>,
}

impl FutureProducer<InstanceState> for TrailersProducer {
    type Item = Result<Option<Resource<Fields>>, ErrorCode>;

    fn poll_produce(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<InstanceState>,
        finish: bool,
    ) -> Poll<wasmtime::Result<Option<Self::Item>>> {
        let received = match Pin::new(&mut self.trailers).poll(cx) {
            Poll::Pending if finish => return Poll::Ready(Ok(None)),
            Poll::Pending => return Poll::Pending,
            // The guest dropped the body before its end: nobody will learn whether there were trailers.
            Poll::Ready(Err(_)) => Ok(None),
            Poll::Ready(Ok(received)) => received,
        };
        let trailers = match received {
            Ok(Some(map)) => Ok(Some(store.data_mut().table.push(Fields::received(map))?)),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        Poll::Ready(Ok(Some(trailers)))
    }
}

/// Takes what a guest says of a body it consumed.
struct ResultReader {
    sender: Option<Receipt>,
}

impl FutureConsumer<InstanceState> for ResultReader {
    type Item = Result<(), ErrorCode>;

    fn poll_consume(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        store: StoreContextMut<InstanceState>,
        mut source: Source<'_, Self::Item>,
        _: bool,
    ) -> Poll<wasmtime::Result<()>> {
        let mut value = None;
        source.read(store, &mut value)?;
        match (&self.sender, value) {
            (Some(sender), Some(Ok(()))) => sender.arrived(),
            (Some(sender), Some(Err(error))) => sender.failed(error),
            (None, _) | (_, None) => {}
        }
        Poll::Ready(Ok(()))
    }
}
