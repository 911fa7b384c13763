//! What lies between a guest's streams and the driver of its WebSocket: few messages each way, and how each side has ended.
//!
//! Both queues have bounds, by number and by bytes: past them the driver does not read the client's socket, and the guest's
//! write waits. One message always fits, however large; how large one may be is the driver's to limit, or the guest's memory's.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use wasmtime::StoreContextMut;
use wasmtime::component::{
    Destination, FutureConsumer, FutureProducer, Source, StreamConsumer, StreamProducer, StreamResult, VecBuffer,
};

use super::Outgoing;
use super::types::{CloseInfo, Message};
use crate::limits::Ledger;

/// Messages that are held each way at most. Enough that neither side waits for each message's turn of the other.
const QUEUE_MAX: usize = 16;

/// The same in bytes: many small messages, or one that is larger.
const QUEUE_BYTES_MAX: usize = 64 << 10;

/// One WebSocket, seen from both sides.
pub(crate) struct Link {
    state: Mutex<State>,
    ledger: Arc<Ledger>,
    /// The ticks that the guest has run without waiting. A message is a reason to begin anew.
    busy: Arc<AtomicU64>,
}

struct State {
    incoming: Queue,
    outgoing: Queue,
    /// The guest reads no more.
    is_unread: bool,
    /// No messages come from the client any more, and why.
    finished: Option<CloseInfo>,
    /// The driver has gone.
    left: bool,
    /// The guest has written everything.
    written: bool,
    close: Close,
    guest: Guest,
    /// Whoever waits: the guest's reading, writing, and hearing of the end; its call; the driver.
    reader: Option<Waker>,
    writer: Option<Waker>,
    listener: Option<Waker>,
    call: Option<Waker>,
    driver: Option<Waker>,
}

/// What the guest wants the connection to be closed with.
enum Close {
    Awaited,
    Said(CloseInfo),
}

/// What has become of the guest's call.
enum Guest {
    AtWork,
    Done,
    Failed,
}

#[derive(Default)]
struct Queue {
    messages: VecDeque<Message>,
    bytes: usize,
}

impl Queue {
    fn is_full(&self) -> bool {
        self.messages.len() >= QUEUE_MAX || self.bytes >= QUEUE_BYTES_MAX
    }

    fn put(&mut self, message: Message) {
        self.bytes += message.bytes();
        self.messages.push_back(message);
    }

    fn take(&mut self) -> Option<Message> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.bytes();
        // Most sockets say nothing most of the time: an empty queue is to cost nothing.
        if self.messages.is_empty() {
            self.messages = VecDeque::new();
        }
        Some(message)
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

impl Link {
    pub fn new(ledger: Arc<Ledger>, busy: Arc<AtomicU64>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                incoming: Queue::default(),
                outgoing: Queue::default(),
                is_unread: false,
                finished: None,
                left: false,
                written: false,
                close: Close::Awaited,
                guest: Guest::AtWork,
                reader: None,
                writer: None,
                listener: None,
                call: None,
                driver: None,
            }),
            ledger,
            busy,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held leaves at worst a connection that ends early.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one more message has to wait. Where the host keeps as much for the instance as it may, it does behind any other.
    fn is_full(&self, queue: &Queue) -> bool {
        queue.is_full() || (!queue.messages.is_empty() && self.ledger.refuses(0))
    }

    pub fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if !self.is_full(&state.incoming) || state.is_unread {
            return Poll::Ready(());
        }
        state.driver = Some(cx.waker().clone());
        Poll::Pending
    }

    pub fn deliver(&self, message: Message) {
        let mut state = self.lock();
        if state.is_unread || state.finished.is_some() {
            return;
        }
        self.ledger.charge(message.bytes());
        state.incoming.put(message);
        wake(&mut state.reader);
    }

    pub fn poll_outgoing(&self, cx: &mut Context<'_>) -> Poll<Outgoing> {
        let mut state = self.lock();
        if let Some(message) = state.outgoing.take() {
            self.ledger.credit(message.bytes());
            wake(&mut state.writer);
            return Poll::Ready(Outgoing::Message(message));
        }
        match (&state.guest, &state.close) {
            (Guest::Failed, _) => return Poll::Ready(Outgoing::Failed),
            (_, Close::Said(info)) if state.written => return Poll::Ready(Outgoing::Close(info.clone())),
            (Guest::Done, Close::Said(info)) => return Poll::Ready(Outgoing::Close(info.clone())),
            (Guest::Done, Close::Awaited) => {
                return Poll::Ready(Outgoing::Close(CloseInfo::new(CloseInfo::NORMAL, "")));
            }
            (Guest::AtWork, _) => {}
        }
        state.driver = Some(cx.waker().clone());
        Poll::Pending
    }

    pub fn finish(&self, closed: CloseInfo) {
        let mut state = self.lock();
        state.finished.get_or_insert(closed);
        wake(&mut state.reader);
        wake(&mut state.listener);
    }

    /// The driver has gone, and with it the connection.
    pub fn leave(&self) {
        self.finish(CloseInfo::new(CloseInfo::LOST, ""));
        let mut state = self.lock();
        state.left = true;
        self.ledger.credit(state.outgoing.bytes);
        state.outgoing = Queue::default();
        wake(&mut state.writer);
        wake(&mut state.call);
    }

    /// Ready once the driver has gone.
    pub fn poll_left(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.left {
            return Poll::Ready(());
        }
        state.call = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The guest's call has ended.
    fn end(&self, guest: Guest) {
        let mut state = self.lock();
        if matches!(state.guest, Guest::AtWork) {
            state.guest = guest;
        }
        wake(&mut state.driver);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let state = self.lock();
        self.ledger.credit(state.incoming.bytes + state.outgoing.bytes);
    }
}

/// A guest's call for a socket. Dropped before it was said how it ended, it has failed.
pub(crate) struct Call(pub Arc<Link>);

impl Call {
    /// The guest has nothing left to do for the socket.
    pub fn done(self) {
        self.0.end(Guest::Done);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.0.end(Guest::Failed);
    }
}

/// Writes the client's messages into a guest.
pub(crate) struct Incoming(pub Arc<Link>);

impl<D: 'static> StreamProducer<D> for Incoming {
    type Item = Message;
    type Buffer = VecBuffer<Message>;

    fn poll_produce<'a>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, Message, VecBuffer<Message>>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let link = &self.0;
        let mut state = link.lock();
        if state.incoming.messages.is_empty() {
            if state.finished.is_some() {
                return Poll::Ready(Ok(StreamResult::Dropped));
            }
            if finish {
                return Poll::Ready(Ok(StreamResult::Cancelled));
            }
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let wanted = destination.remaining(&mut store).unwrap_or(1);
        let taken = state.incoming.messages.len().min(wanted);
        let messages: Vec<_> = (0..taken).map_while(|_| state.incoming.take()).collect();
        if taken > 0 {
            link.ledger.credit(messages.iter().map(Message::bytes).sum());
            link.busy.store(0, Ordering::Relaxed);
            wake(&mut state.driver);
        }
        // A read of length zero asks whether there is something: there is.
        destination.set_buffer(messages.into());
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

impl Drop for Incoming {
    /// The guest wants no more of them, or is gone.
    fn drop(&mut self) {
        let link = &self.0;
        let mut state = link.lock();
        state.is_unread = true;
        link.ledger.credit(state.incoming.bytes);
        state.incoming = Queue::default();
        wake(&mut state.driver);
    }
}

/// Tells a guest how its connection ended.
pub(crate) struct Closed(pub Arc<Link>);

impl<D> FutureProducer<D> for Closed {
    type Item = CloseInfo;

    fn poll_produce(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        _: StoreContextMut<'_, D>,
        finish: bool,
    ) -> Poll<wasmtime::Result<Option<CloseInfo>>> {
        let mut state = self.0.lock();
        match &state.finished {
            Some(closed) => Poll::Ready(Ok(Some(closed.clone()))),
            None if finish => Poll::Ready(Ok(None)),
            None => {
                state.listener = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// Takes the messages that a guest writes.
pub(crate) struct Written(pub Arc<Link>);

impl<D> StreamConsumer<D> for Written {
    type Item = Message;

    fn poll_consume(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'_, D>,
        mut source: Source<'_, Message>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let link = &self.0;
        let mut state = link.lock();
        if state.left {
            return Poll::Ready(Ok(StreamResult::Dropped));
        }
        if source.remaining(&mut store) == 0 {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        if link.is_full(&state.outgoing) {
            if finish {
                return Poll::Ready(Ok(StreamResult::Cancelled));
            }
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        while source.remaining(&mut store) > 0 && !link.is_full(&state.outgoing) {
            let mut message = None;
            source.read(&mut store, &mut message)?;
            let Some(message) = message else { break };
            link.ledger.charge(message.bytes());
            state.outgoing.put(message);
        }
        wake(&mut state.driver);
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

impl Drop for Written {
    /// The guest has dropped its end, or is gone; which of the two, its call tells.
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.written = true;
        wake(&mut state.driver);
    }
}

/// Takes what a guest closes its connection with.
pub(crate) struct CloseSaid(pub Arc<Link>);

impl<D> FutureConsumer<D> for CloseSaid {
    type Item = CloseInfo;

    fn poll_consume(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        store: StoreContextMut<'_, D>,
        mut source: Source<'_, CloseInfo>,
        _: bool,
    ) -> Poll<wasmtime::Result<()>> {
        let mut info = None;
        source.read(store, &mut info)?;
        let mut state = self.0.lock();
        if let Some(info) = info {
            state.close = Close::Said(info);
            wake(&mut state.driver);
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for CloseSaid {
    /// A guest that says nothing means the ordinary end.
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if matches!(state.close, Close::Awaited) {
            state.close = Close::Said(CloseInfo::new(CloseInfo::NORMAL, ""));
            wake(&mut state.driver);
        }
    }
}
