//! The host of this suite: WASI and nothing else, with ends of streams and futures that a test holds in its hand.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use tokio::sync::oneshot;
use wasmtime::component::{
    Accessor, Component, Destination, FutureConsumer, FutureReader, Lift, Linker, Lower, Source, StreamConsumer,
    StreamProducer, StreamReader, StreamResult, VecBuffer,
};
use wasmtime::{ResourceLimiter, Result, Store, StoreContextMut};
use wasmtime_wasi::{ResourceTable, WasiCtx, WasiCtxView, WasiView};

use crate::engine::{engine, without_deadline};

/// What a store holds.
#[derive(Default)]
pub struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    /// Linear memory of all instances together.
    pub memory_bytes: u64,
}

impl ResourceLimiter for State {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> Result<bool> {
        self.memory_bytes += (desired - current) as u64;
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> Result<bool> {
        Ok(true)
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

/// A compiled component, a linker with WASI of both versions, and a store for one instance.
pub fn prepare(component: &[u8]) -> (Component, Linker<State>, Store<State>) {
    let component = Component::from_binary(engine(), component).unwrap_or_else(|error| panic!("{error:#}"));
    let mut linker = Linker::new(engine());
    wasmtime_wasi::p2::add_to_linker_async(&mut linker).unwrap();
    wasmtime_wasi::p3::add_to_linker(&mut linker).unwrap();
    let mut store = Store::new(engine(), State::default());
    store.limiter(|state| state);
    without_deadline(&mut store);
    (component, linker, store)
}

/// Runs a test that waits.
pub fn run(test: impl Future<Output = Result<()>>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let deadline = std::time::Duration::from_secs(120);
    let result = runtime.block_on(async { tokio::time::timeout(deadline, test).await });
    match result {
        Ok(Ok(())) => {}
        Ok(Err(error)) => panic!("{error:#}"),
        Err(_) => panic!("not done within {deadline:?}"),
    }
}

/// Something that is shut until somebody opens it.
#[derive(Clone, Default)]
pub struct Gate(Arc<Mutex<(bool, Option<Waker>)>>);

impl Gate {
    /// One that is open from the start.
    pub fn opened() -> Self {
        let gate = Self::default();
        gate.open();
        gate
    }

    pub fn open(&self) {
        let mut state = self.0.lock().unwrap();
        state.0 = true;
        if let Some(waker) = state.1.take() {
            waker.wake();
        }
    }

    pub fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.0.lock().unwrap();
        if state.0 {
            return Poll::Ready(());
        }
        state.1 = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// The host writes: items in portions of at most `portion`, each behind the gate.
pub struct Writer<T> {
    pub items: std::collections::VecDeque<T>,
    pub portion: usize,
    pub gate: Gate,
    /// Gets what was left when the reader went, or when all was written.
    pub left: Option<oneshot::Sender<Vec<T>>>,
}

impl<T> Writer<T> {
    /// A writer of `items`, and what will tell which of them were not taken.
    pub fn new(items: impl IntoIterator<Item = T>, portion: usize, gate: Gate) -> (Self, oneshot::Receiver<Vec<T>>) {
        let (left, receiver) = oneshot::channel();
        (
            Self {
                items: items.into_iter().collect(),
                portion,
                gate,
                left: Some(left),
            },
            receiver,
        )
    }
}

impl<T> Drop for Writer<T> {
    fn drop(&mut self) {
        if let Some(left) = self.left.take() {
            // The test may not care.
            let _ = left.send(self.items.drain(..).collect());
        }
    }
}

impl<T: Lower + Unpin + Send + Sync + 'static> StreamProducer<State> for Writer<T> {
    type Item = T;
    type Buffer = VecBuffer<T>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'a, State>,
        mut destination: Destination<'a, T, VecBuffer<T>>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        if self.gate.poll(cx).is_pending() {
            return if finish {
                Poll::Ready(Ok(StreamResult::Cancelled))
            } else {
                Poll::Pending
            };
        }
        // No more than there is room for: the rest would be kept for the reader, out of the test's sight.
        let room = destination.remaining(store).unwrap_or(self.portion);
        let count = self.portion.min(room).min(self.items.len());
        let portion: Vec<T> = self.items.drain(..count).collect();
        destination.set_buffer(portion.into());
        Poll::Ready(Ok(if self.items.is_empty() {
            StreamResult::Dropped
        } else {
            StreamResult::Completed
        }))
    }
}

/// The host reads: items in portions of at most `portion`, each behind the gate, and drops its end after `most`.
pub struct Reader<T> {
    items: Vec<T>,
    portion: usize,
    most: usize,
    gate: Gate,
    done: Option<oneshot::Sender<Vec<T>>>,
}

impl<T> Reader<T> {
    /// A reader, and what will tell what it read once the stream has ended.
    pub fn new(portion: usize, most: usize, gate: Gate) -> (Self, oneshot::Receiver<Vec<T>>) {
        let (done, receiver) = oneshot::channel();
        (
            Self {
                items: Vec::new(),
                portion,
                most,
                gate,
                done: Some(done),
            },
            receiver,
        )
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        if let Some(done) = self.done.take() {
            // The test may not care.
            let _ = done.send(std::mem::take(&mut self.items));
        }
    }
}

impl<T: Lift + Unpin + Send + Sync + 'static> StreamConsumer<State> for Reader<T> {
    type Item = T;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<State>,
        mut source: Source<'_, T>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        if self.gate.poll(cx).is_pending() {
            return if finish {
                Poll::Ready(Ok(StreamResult::Cancelled))
            } else {
                Poll::Pending
            };
        }
        let mut portion = Vec::with_capacity(self.portion.min(self.most - self.items.len()));
        source.read(store, &mut portion)?;
        self.items.append(&mut portion);
        Poll::Ready(Ok(if self.items.len() >= self.most {
            StreamResult::Dropped
        } else {
            StreamResult::Completed
        }))
    }
}

/// Everything a stream brings.
pub async fn read_all<T>(accessor: &Accessor<State>, reader: StreamReader<T>) -> Result<Vec<T>>
where
    T: Lift + Unpin + Send + Sync + 'static,
{
    let (consumer, items) = Reader::new(64, usize::MAX, Gate::opened());
    accessor.with(|access| reader.pipe(access, consumer))?;
    Ok(items.await?)
}

/// The value of a future.
pub async fn read_future<T>(accessor: &Accessor<State>, reader: FutureReader<T>) -> Result<T>
where
    T: Lift + Unpin + Send + Sync + 'static,
{
    let (sender, value) = oneshot::channel();
    accessor.with(|access| reader.pipe(access, Receive(Some(sender))))?;
    Ok(value.await?)
}

struct Receive<T>(Option<oneshot::Sender<T>>);

impl<T: Lift + Send + Sync + Unpin + 'static> FutureConsumer<State> for Receive<T> {
    type Item = T;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        store: StoreContextMut<State>,
        mut source: Source<'_, T>,
        _: bool,
    ) -> Poll<Result<()>> {
        let mut value = Vec::with_capacity(1);
        source.read(store, &mut value)?;
        if let (Some(sender), Some(value)) = (self.0.take(), value.pop()) {
            // The test may not care.
            let _ = sender.send(value);
        }
        Poll::Ready(Ok(()))
    }
}
