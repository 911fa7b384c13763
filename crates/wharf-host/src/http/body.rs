//! Bodies, in both directions.
//!
//! A body that a guest makes is piped into a buffer of the host's at the moment its message is made: most writes
//! then end at once, without a turn of the store's event loop, and the other side takes what is there. The buffer has
//! a bound; past it the guest's write waits. A body that came from the network stays what it is, and when a guest only
//! hands it on, its bytes never enter the guest's memory.

use std::any::{Any, TypeId};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Buf as _, Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use wasmtime::component::{
    Destination, FutureConsumer, FutureProducer, FutureReader, Resource, Source, StreamConsumer, StreamProducer,
    StreamReader, StreamResult,
};
use wasmtime::{AsContextMut, StoreContextMut};

use super::bindings::wasi::http::types::ErrorCode;
use super::fields::Fields;
use super::legacy::Outgoing;
use crate::service::Caller;
use crate::state::InstanceState;

/// What a guest may write ahead of the network. Large enough that a stream costs few switches between guest and
/// socket, small enough that ten thousand slow readers stay within 1.3 GB.
const PIPE_BYTES_MAX: usize = 128 << 10;

/// What a guest resolves its trailers with.
pub(crate) type GuestTrailers = FutureReader<Result<Option<Resource<Fields>>, ErrorCode>>;

type ReceivedTrailers = Result<Option<HeaderMap>, ErrorCode>;

/// A message's body. As an [`http_body::Body`] its error is the guest's `error-code`.
#[derive(Debug, Default)]
pub struct Payload {
    kind: Kind,
    owner: Option<Owner>,
}

#[derive(Default)]
enum Kind {
    #[default]
    Empty,
    Full(Bytes),
    Incoming(hyper::body::Incoming),
    Boxed(super::Body),
    Legacy(Outgoing),
    Guest(GuestBody),
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Empty => "Empty",
            Self::Full(_) => "Full",
            Self::Incoming(_) => "Incoming",
            Self::Boxed(_) => "Boxed",
            Self::Legacy(_) => "Legacy",
            Self::Guest(_) => "Guest",
        })
    }
}

/// What learns that a body was dropped before its end: whoever read it is gone.
#[derive(Debug)]
pub(crate) enum Owner {
    /// The instance that writes it, in a task of its own, which ends.
    Task(AbortHandle),
    /// The request of a shared instance that it answers.
    Shared(Caller),
}

impl Owner {
    fn reader_left(&self) {
        match self {
            Self::Task(task) => task.abort(),
            Self::Shared(caller) => caller.leave(),
        }
    }
}

impl Payload {
    fn new(kind: Kind) -> Self {
        Self { kind, owner: None }
    }

    pub(crate) fn guest(body: GuestBody) -> Self {
        Self::new(Kind::Guest(body))
    }

    /// The guest body inside, if a guest of this store made it.
    pub(crate) fn as_guest(&self) -> Option<&GuestBody> {
        match &self.kind {
            Kind::Guest(body) => Some(body),
            _ => None,
        }
    }

    /// Tells `owner` when this body is dropped before its end.
    pub(crate) fn set_owner(&mut self, owner: Owner) {
        self.owner = Some(owner);
    }

    /// Drops the body without ending what writes it: nobody is to read it, by the rules of HTTP.
    pub fn discard(mut self) {
        self.owner = None;
        if let Kind::Guest(body) = &self.kind {
            body.pipe.lock().settle(Ok(()));
        }
    }

    /// The reader has had all it can have. A body of a known length is not read past its last byte.
    fn is_delivered(&self) -> bool {
        match &self.kind {
            Kind::Guest(body) => body.is_delivered(),
            _ => http_body::Body::is_end_stream(self),
        }
    }

    /// Why this body will break off, if that is known before it is read.
    pub(crate) fn failed(&self) -> Option<ErrorCode> {
        match &self.kind {
            Kind::Guest(body) => body.failed(),
            Kind::Legacy(body) => body.failed(),
            Kind::Empty | Kind::Full(_) | Kind::Incoming(_) | Kind::Boxed(_) => None,
        }
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        if let Some(owner) = self.owner.take()
            && !self.is_delivered()
        {
            owner.reader_left();
        }
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Self::new(if bytes.is_empty() {
            Kind::Empty
        } else {
            Kind::Full(bytes)
        })
    }
}

impl From<hyper::body::Incoming> for Payload {
    fn from(body: hyper::body::Incoming) -> Self {
        Self::new(if http_body::Body::is_end_stream(&body) {
            Kind::Empty
        } else {
            Kind::Incoming(body)
        })
    }
}

impl From<Outgoing> for Payload {
    fn from(body: Outgoing) -> Self {
        Self::new(Kind::Legacy(body))
    }
}

impl From<super::Body> for Payload {
    fn from(body: super::Body) -> Self {
        Self::new(Kind::Boxed(body))
    }
}

impl http_body::Body for Payload {
    type Data = Bytes;
    type Error = ErrorCode;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        let frame = match &mut self.kind {
            Kind::Empty => return Poll::Ready(None),
            Kind::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.kind = Kind::Empty;
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            Kind::Incoming(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(|e| broken(&e)))),
            Kind::Boxed(body) => Pin::new(body).poll_frame(cx),
            Kind::Legacy(body) => Pin::new(body).poll_frame(cx),
            Kind::Guest(body) => Pin::new(body).poll_frame(cx),
        };
        // Ended or broken off by its writer, who may go on with other work.
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            self.owner = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Full(_) => false,
            Kind::Incoming(body) => body.is_end_stream(),
            Kind::Boxed(body) => body.is_end_stream(),
            Kind::Legacy(body) => body.is_end_stream(),
            Kind::Guest(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Incoming(body) => body.size_hint(),
            Kind::Boxed(body) => body.size_hint(),
            Kind::Legacy(body) => body.size_hint(),
            Kind::Guest(body) => body.size_hint(),
        }
    }
}

/// What a guest sees when the peer's body breaks off.
fn broken(error: &hyper::Error) -> ErrorCode {
    if error.is_timeout() {
        ErrorCode::ConnectionReadTimeout
    } else if error.is_parse() || error.is_user() {
        ErrorCode::HttpProtocolError
    } else {
        ErrorCode::ConnectionTerminated
    }
}

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
    /// A request's response has begun.
    answered: bool,
    reader_gone: bool,
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

/// The reading end of a body that a guest made.
pub(crate) struct GuestBody {
    pipe: SharedPipe,
    /// A body the guest only hands on: its bytes come from here, its trailers through the guest.
    relayed: Option<Relay>,
}

struct Relay {
    body: Box<Payload>,
    trailers: Option<oneshot::Sender<ReceivedTrailers>>,
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
        answered: false,
        reader_gone: false,
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

    /// A handle that tells the guest what became of its message.
    pub(crate) fn receipt(&self) -> Receipt {
        Receipt(self.pipe.clone())
    }

    fn failed(&self) -> Option<ErrorCode> {
        let pipe = self.pipe.lock();
        match (&pipe.content, &pipe.trailers) {
            (Content::Failed(error), _) | (_, Trailers::Failed(error)) => Some(error.clone()),
            _ => None,
        }
    }

    fn is_delivered(&self) -> bool {
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
                Ok(trailers) => finish_trailers(&mut relay.trailers, Ok(Some(trailers))),
                Err(data) => {
                    self.pipe.lock().count_read(&data);
                    return Some(Poll::Ready(Ok(data)));
                }
            },
            Poll::Ready(Some(Err(error))) => {
                finish_trailers(&mut relay.trailers, Err(error.clone()));
                self.relayed = None;
                self.pipe.lock().settle(Err(error.clone()));
                return Some(Poll::Ready(Err(error)));
            }
            Poll::Ready(None) => finish_trailers(&mut relay.trailers, Ok(None)),
        }
        self.relayed = None;
        None
    }
}

fn finish_trailers(sender: &mut Option<oneshot::Sender<ReceivedTrailers>>, trailers: ReceivedTrailers) {
    if let Some(sender) = sender.take() {
        // The guest may not care for trailers.
        let _ = sender.send(trailers);
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
            let data = Frame::data(pipe.buffer.split().freeze());
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
            // Whether a request whose body has been read was sent is for its sender to say. Trailers may be left: over
            // HTTP/1.1 nobody reads those that were not announced.
            Direction::Request if read && !pipe.answered => {}
            Direction::Request if read => pipe.settle(Ok(())),
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
    /// The message was not sent.
    pub(crate) fn failed(&self, error: ErrorCode) {
        self.0.lock().settle(Err(error));
    }

    /// The message's head was sent and answered; its body may still be on the way.
    pub(crate) fn sent(&self) {
        let mut pipe = self.0.lock();
        pipe.answered = true;
        if pipe.is_at_end() || pipe.reader_gone {
            pipe.settle(Ok(()));
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
        let room = PIPE_BYTES_MAX.saturating_sub(pipe.buffer.len());
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
        pipe.buffer.extend_from_slice(&bytes[..taken]);
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

/// Opens a message's body for a guest: its bytes, and its trailers once those have ended.
///
/// `result` is how the guest says what it made of the body; it reaches the maker of a guest's body.
#[expect(clippy::type_complexity, reason = "the interface's own signature")]
pub(crate) fn consume<S>(
    mut store: S,
    body: Payload,
    result: FutureReader<Result<(), ErrorCode>>,
) -> wasmtime::Result<(
    StreamReader<u8>,
    FutureReader<Result<Option<Resource<Fields>>, ErrorCode>>,
)>
where
    S: AsContextMut<Data = InstanceState>,
{
    result.pipe(
        &mut store,
        ResultReader {
            pipe: body.as_guest().map(|body| body.pipe.clone()),
        },
    )?;
    let (sender, trailers) = oneshot::channel();
    let received = Received {
        body,
        rest: Bytes::new(),
        trailers: Some(sender),
    };
    let stream = StreamReader::new(&mut store, received)?;
    let trailers = FutureReader::new(&mut store, TrailersProducer { trailers })?;
    Ok((stream, trailers))
}

/// Writes a received body into a guest.
struct Received {
    body: Payload,
    /// What was received and not yet taken. Kept here rather than in Wasmtime's buffer, so that a guest that reads a
    /// little and hands the rest on loses nothing.
    rest: Bytes,
    trailers: Option<oneshot::Sender<ReceivedTrailers>>,
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
                        finish_trailers(&mut self.trailers, Ok(trailers));
                        return Poll::Ready(Err(Ended));
                    }
                },
                Poll::Ready(Some(Err(error))) => {
                    finish_trailers(&mut self.trailers, Err(error));
                    return Poll::Ready(Err(Ended));
                }
                Poll::Ready(None) => {
                    finish_trailers(&mut self.trailers, Ok(None));
                    return Poll::Ready(Err(Ended));
                }
            }
        }
        Poll::Ready(Ok(()))
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
        if wanted > 0 {
            let taken = wanted.min(self.rest.len());
            let mut destination = destination.as_direct(store, taken);
            destination.remaining()[..taken].copy_from_slice(&self.rest[..taken]);
            destination.mark_written(taken);
            self.rest.advance(taken);
        }
        Poll::Ready(Ok(StreamResult::Completed))
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
    pipe: Option<SharedPipe>,
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
        if let (Some(pipe), Some(result)) = (&self.pipe, value) {
            pipe.lock().settle(result);
        }
        Poll::Ready(Ok(()))
    }
}
