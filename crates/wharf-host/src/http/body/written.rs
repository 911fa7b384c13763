//! Bodies that a guest makes.
//!
//! They are piped into a buffer of the host's at the moment their message is made: most writes then end at once, without
//! a turn of the store's event loop, and the other side takes what is there. The buffer has a bound; past it the guest's
//! write waits. A body that came from the network and that the guest only hands on stays what it is: its bytes never
//! enter the guest's memory.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use wasmtime::component::{
    FutureConsumer, FutureProducer, FutureReader, Resource, Source, StreamConsumer, StreamReader, StreamResult,
};
use wasmtime::{AsContextMut, StoreContextMut};

use super::received::{Received, TrailersSender};
use super::{ErrorCode, Fields, GuestTrailers, Payload};
use crate::limits::Ledger;
use crate::state::InstanceState;

/// What a guest may write ahead of the network. Large enough that a stream costs few switches between guest and
/// socket, small enough that ten thousand slow readers stay within 1.3 GB.
const PIPE_BYTES_MAX: usize = 128 << 10;

/// The same once the host keeps as much for the instance as it may: bodies go on, and more slowly.
const PIPE_BYTES_MIN: usize = 4 << 10;

/// Whose body it is, for the error of a wrong `content-length`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Request,
    Response,
}

impl Direction {
    fn wrong_size(self, bytes: u64) -> ErrorCode {
        match self {
            Self::Request => ErrorCode::HttpRequestBodySize(Some(bytes)),
            Self::Response => ErrorCode::HttpResponseBodySize(Some(bytes)),
        }
    }
}

/// The buffer between a guest's stream and whoever reads the body.
struct Pipe {
    buffer: BytesMut,
    ledger: Arc<Ledger>,
    content: Content,
    trailers: Trailers,
    /// The `content-length` that was declared, what has been written towards it, and what the reader has had of it.
    declared: Option<u64>,
    written: u64,
    read: u64,
    direction: Direction,
    /// Whether the message arrived; what the future of `request.new` or `response.new` resolves to.
    outcome: Option<Result<(), ErrorCode>>,
    /// The guest gave no stream of content.
    contentless: bool,
    /// The message is with somebody, the client or another guest, who will say what became of it.
    sending: bool,
    /// A request's response has begun.
    answered: bool,
    reader_gone: bool,
    /// The reader went without having had everything.
    unread: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    watcher: Option<Waker>,
    settled: Option<Waker>,
}

enum Content {
    Flowing,
    Ended,
    Failed(ErrorCode),
}

enum Trailers {
    Awaited,
    Absent,
    Present(HeaderMap),
    Failed(ErrorCode),
}

#[derive(Clone)]
struct SharedPipe(Arc<Mutex<Pipe>>);

impl SharedPipe {
    fn lock(&self) -> MutexGuard<'_, Pipe> {
        // A panic while the lock was held leaves at worst a body that ends early.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pipe {
    /// How many more bytes the guest may write before some are read.
    fn room(&self) -> usize {
        let most = match self.ledger.refuses(PIPE_BYTES_MAX) {
            true => PIPE_BYTES_MIN,
            false => PIPE_BYTES_MAX,
        };
        most.saturating_sub(self.buffer.len())
    }

    fn put(&mut self, bytes: &[u8]) {
        self.ledger.charge(bytes.len());
        self.buffer.extend_from_slice(bytes);
    }

    fn take(&mut self) -> Bytes {
        self.ledger.credit(self.buffer.len());
        self.buffer.split().freeze()
    }

    fn wake_reader(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    fn settle(&mut self, outcome: Result<(), ErrorCode>) {
        if self.outcome.is_none() {
            self.outcome = Some(outcome);
            if let Some(waker) = self.watcher.take() {
                waker.wake();
            }
        }
    }

    /// Nothing more will come from the guest, or nobody is there to take it.
    fn is_settled(&self) -> bool {
        let complete = !matches!(self.content, Content::Flowing) && !matches!(self.trailers, Trailers::Awaited);
        complete || self.reader_gone
    }

    fn wake_if_settled(&mut self) {
        if self.is_settled()
            && let Some(waker) = self.settled.take()
        {
            waker.wake();
        }
    }

    /// The reader has had all content; at most trailers are left.
    fn is_drained(&self) -> bool {
        self.buffer.is_empty() && matches!(self.content, Content::Ended)
    }

    fn count_read(&mut self, frame: &Frame<Bytes>) {
        self.read += frame.data_ref().map_or(0, |data| data.len() as u64);
    }

    /// The reader has had as much as was announced to it.
    fn is_as_declared(&self) -> bool {
        self.declared == Some(self.read) && !matches!(self.content, Content::Failed(_))
    }

    /// The reader has, or could have had, everything.
    fn is_at_end(&self) -> bool {
        self.buffer.is_empty() && matches!((&self.content, &self.trailers), (Content::Ended, Trailers::Absent))
    }

    fn fail(&mut self, error: ErrorCode) {
        self.content = Content::Failed(error);
        self.wake_reader();
        self.wake_if_settled();
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.ledger.credit(self.buffer.len());
    }
}

/// The reading end of a body that a guest made.
pub(crate) struct GuestBody {
    pipe: SharedPipe,
    /// A body the guest only hands on: its bytes come from here, its trailers through the guest.
    relayed: Option<Relay>,
}

struct Relay {
    body: Box<Payload>,
    trailers: TrailersSender,
}

/// Makes a body of what a guest handed to `request.new` or `response.new`, and the future that tells it what became of
/// the message.
pub(crate) fn adopt<S>(
    mut store: S,
    contents: Option<StreamReader<u8>>,
    trailers: GuestTrailers,
    declared: Option<u64>,
    direction: Direction,
) -> wasmtime::Result<(GuestBody, FutureReader<Result<(), ErrorCode>>)>
where
    S: AsContextMut<Data = InstanceState>,
{
    let pipe = SharedPipe(Arc::new(Mutex::new(Pipe {
        buffer: BytesMut::new(),
        ledger: store.as_context_mut().data().http.ledger.clone(),
        content: if contents.is_some() {
            Content::Flowing
        } else {
            Content::Ended
        },
        trailers: Trailers::Awaited,
        declared,
        written: 0,
        read: 0,
        direction,
        outcome: None,
        contentless: contents.is_none(),
        sending: false,
        answered: false,
        reader_gone: false,
        unread: false,
        reader: None,
        writer: None,
        watcher: None,
        settled: None,
    })));
    if contents.is_none() && declared.is_some_and(|bytes| bytes > 0) && direction == Direction::Request {
        pipe.lock().content = Content::Failed(direction.wrong_size(0));
    }
    let mut relayed = None;
    if let Some(contents) = contents {
        match contents.try_into::<Received>(&mut store) {
            Ok(received) if received.rest.is_empty() => {
                pipe.lock().content = Content::Ended;
                relayed = Some(Relay {
                    body: Box::new(received.body),
                    trailers: received.trailers,
                });
            }
            Ok(received) => {
                let again = StreamReader::new(&mut store, received)?;
                again.pipe(&mut store, Writer { pipe: pipe.clone() })?;
            }
            Err(contents) => contents.pipe(&mut store, Writer { pipe: pipe.clone() })?,
        }
    }
    trailers.pipe(&mut store, TrailersReader { pipe: pipe.clone() })?;
    let outcome = FutureReader::new(&mut store, OutcomeProducer { pipe: pipe.clone() })?;
    Ok((GuestBody { pipe, relayed }, outcome))
}

impl GuestBody {
    /// Ready once the guest will write nothing more to this body.
    pub(crate) fn watch(&self) -> Settled {
        Settled(self.pipe.clone())
    }

    /// The message that this body belongs to is with somebody, who tells what became of it, and not of its body alone,
    /// through the receipt.
    pub(crate) fn sending(&self) -> Receipt {
        self.pipe.lock().sending = true;
        self.receipt()
    }

    /// A handle that tells the guest what became of its message.
    pub(crate) fn receipt(&self) -> Receipt {
        Receipt(self.pipe.clone())
    }

    pub(super) fn failed(&self) -> Option<ErrorCode> {
        let pipe = self.pipe.lock();
        match (&pipe.content, &pipe.trailers) {
            (Content::Failed(error), _) | (_, Trailers::Failed(error)) => Some(error.clone()),
            _ => None,
        }
    }

    /// See [`Payload::is_delivered`].
    pub(super) fn is_delivered(&self) -> bool {
        let pipe = self.pipe.lock();
        let at_end = match &self.relayed {
            Some(relay) => relay.body.is_delivered(),
            None => pipe.is_at_end(),
        };
        at_end || pipe.is_as_declared()
    }

    fn poll_relayed(&mut self, cx: &mut Context<'_>) -> Option<Poll<Result<Frame<Bytes>, ErrorCode>>> {
        let relay = self.relayed.as_mut()?;
        match http_body::Body::poll_frame(Pin::new(&mut *relay.body), cx) {
            Poll::Pending => return Some(Poll::Pending),
            Poll::Ready(Some(Ok(frame))) => match frame.into_trailers() {
                Ok(trailers) => relay.trailers.finish(Ok(Some(trailers))),
                Err(data) => {
                    self.pipe.lock().count_read(&data);
                    return Some(Poll::Ready(Ok(data)));
                }
            },
            Poll::Ready(Some(Err(error))) => {
                relay.trailers.finish(Err(error.clone()));
                self.relayed = None;
                self.pipe.lock().settle(Err(error.clone()));
                return Some(Poll::Ready(Err(error)));
            }
            Poll::Ready(None) => relay.trailers.finish(Ok(None)),
        }
        self.relayed = None;
        None
    }
}

impl http_body::Body for GuestBody {
    type Data = Bytes;
    type Error = ErrorCode;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        if let Some(frame) = self.poll_relayed(cx) {
            return frame.map(Some);
        }
        let pipe = &mut *self.pipe.lock();
        if !pipe.buffer.is_empty() {
            let data = Frame::data(pipe.take());
            pipe.count_read(&data);
            if let Some(writer) = pipe.writer.take() {
                writer.wake();
            }
            return Poll::Ready(Some(Ok(data)));
        }
        let failed = match (&pipe.content, &mut pipe.trailers) {
            (Content::Failed(error), _) => error.clone(),
            (Content::Ended, Trailers::Failed(error)) => error.clone(),
            (Content::Ended, Trailers::Absent) => {
                pipe.settle(Ok(()));
                return Poll::Ready(None);
            }
            (Content::Ended, Trailers::Present(trailers)) => {
                let trailers = std::mem::take(trailers);
                pipe.trailers = Trailers::Absent;
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
            (Content::Flowing, _) | (Content::Ended, Trailers::Awaited) => {
                pipe.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
        };
        pipe.settle(Err(failed.clone()));
        Poll::Ready(Some(Err(failed)))
    }

    fn is_end_stream(&self) -> bool {
        self.relayed.is_none() && self.pipe.lock().is_at_end()
    }

    fn size_hint(&self) -> SizeHint {
        if let Some(relay) = &self.relayed {
            return relay.body.size_hint();
        }
        let pipe = self.pipe.lock();
        match (&pipe.content, &pipe.trailers) {
            (Content::Ended, Trailers::Absent) => SizeHint::with_exact(pipe.buffer.len() as u64),
            // Otherwise a request without content would be sent as if some might come, until the guest has resolved
            // its trailers.
            _ if pipe.contentless && pipe.direction == Direction::Request => SizeHint::with_exact(0),
            _ => SizeHint::new(),
        }
    }
}

impl Drop for GuestBody {
    fn drop(&mut self) {
        let delivered = self.is_delivered();
        let mut pipe = self.pipe.lock();
        pipe.reader_gone = true;
        let read = delivered || (self.relayed.is_none() && pipe.is_drained());
        match pipe.direction {
            Direction::Request if pipe.sending && !pipe.answered => pipe.unread = !read,
            // Trailers may be left: over HTTP/1.1 nobody reads those that were not announced.
            Direction::Request if pipe.sending && read => pipe.settle(Ok(())),
            Direction::Response if delivered => pipe.settle(Ok(())),
            _ => pipe.settle(Err(ErrorCode::ConnectionTerminated)),
        }
        if let Some(writer) = pipe.writer.take() {
            writer.wake();
        }
        pipe.wake_if_settled();
    }
}

/// See [`GuestBody::watch`].
pub(crate) struct Settled(SharedPipe);

impl Settled {
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut pipe = self.0.lock();
        if pipe.is_settled() {
            return Poll::Ready(());
        }
        pipe.settled = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// See [`GuestBody::receipt`].
pub(crate) struct Receipt(SharedPipe);

impl Receipt {
    /// The message arrived.
    pub(super) fn arrived(&self) {
        self.0.lock().settle(Ok(()));
    }

    /// The message was not sent.
    pub(crate) fn failed(&self, error: ErrorCode) {
        self.0.lock().settle(Err(error));
    }

    /// The message's head was sent and answered; its body may still be on the way.
    pub(crate) fn sent(&self) {
        let mut pipe = self.0.lock();
        pipe.answered = true;
        if pipe.unread {
            pipe.settle(Err(ErrorCode::ConnectionTerminated));
        } else if pipe.is_at_end() || pipe.reader_gone {
            pipe.settle(Ok(()));
        }
    }
}

impl Drop for Receipt {
    /// Whoever had the message gave up.
    fn drop(&mut self) {
        let mut pipe = self.0.lock();
        if pipe.sending && !pipe.answered {
            pipe.settle(Err(ErrorCode::ConnectionTerminated));
        }
    }
}

/// Takes what the guest writes.
struct Writer {
    pipe: SharedPipe,
}

impl<D> StreamConsumer<D> for Writer {
    type Item = u8;

    fn poll_consume(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<D>,
        source: Source<'_, u8>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let mut pipe = self.pipe.lock();
        if pipe.reader_gone || matches!(pipe.content, Content::Failed(_)) {
            return Poll::Ready(Ok(StreamResult::Dropped));
        }
        let mut source = source.as_direct(store);
        let bytes = source.remaining();
        let room = pipe.room();
        if room == 0 {
            if finish {
                return Poll::Ready(Ok(StreamResult::Cancelled));
            }
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let taken = bytes.len().min(room);
        let written = pipe.written + taken as u64;
        if pipe.declared.is_some_and(|declared| written > declared) {
            let error = pipe.direction.wrong_size(written);
            pipe.fail(error);
            return Poll::Ready(Ok(StreamResult::Dropped));
        }
        pipe.put(&bytes[..taken]);
        pipe.written = written;
        pipe.wake_reader();
        source.mark_read(taken);
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

impl Drop for Writer {
    /// The guest has dropped its end, or is gone; which of the two, its trailers tell.
    fn drop(&mut self) {
        let mut pipe = self.pipe.lock();
        if !matches!(pipe.content, Content::Flowing) {
            return;
        }
        match pipe.declared {
            Some(declared) if pipe.written != declared => {
                let error = pipe.direction.wrong_size(pipe.written);
                pipe.fail(error);
            }
            _ => pipe.content = Content::Ended,
        }
        pipe.wake_reader();
        pipe.wake_if_settled();
    }
}

/// Takes the trailers the guest resolves, or notes that it never will.
struct TrailersReader {
    pipe: SharedPipe,
}

impl FutureConsumer<InstanceState> for TrailersReader {
    type Item = Result<Option<Resource<Fields>>, ErrorCode>;

    fn poll_consume(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut store: StoreContextMut<InstanceState>,
        mut source: Source<'_, Self::Item>,
        _: bool,
    ) -> Poll<wasmtime::Result<()>> {
        let mut value = None;
        source.read(&mut store, &mut value)?;
        let trailers = match value {
            Some(Ok(Some(fields))) => Trailers::Present(store.data_mut().table.delete(fields)?.into_map()),
            Some(Ok(None)) => Trailers::Absent,
            Some(Err(error)) => Trailers::Failed(error),
            None => return Poll::Ready(Ok(())),
        };
        let mut pipe = self.pipe.lock();
        pipe.trailers = trailers;
        pipe.wake_reader();
        pipe.wake_if_settled();
        Poll::Ready(Ok(()))
    }
}

impl Drop for TrailersReader {
    fn drop(&mut self) {
        let mut pipe = self.pipe.lock();
        if matches!(pipe.trailers, Trailers::Awaited) {
            pipe.trailers = Trailers::Failed(ErrorCode::HttpResponseIncomplete);
            pipe.wake_reader();
            pipe.wake_if_settled();
        }
    }
}

/// Resolves to what became of a message.
struct OutcomeProducer {
    pipe: SharedPipe,
}

impl FutureProducer<InstanceState> for OutcomeProducer {
    type Item = Result<(), ErrorCode>;

    fn poll_produce(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        _: StoreContextMut<InstanceState>,
        finish: bool,
    ) -> Poll<wasmtime::Result<Option<Self::Item>>> {
        let mut pipe = self.pipe.lock();
        match &pipe.outcome {
            Some(outcome) => Poll::Ready(Ok(Some(outcome.clone()))),
            None if finish => Poll::Ready(Ok(None)),
            None => {
                pipe.watcher = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}
