//! Polls a guest where its result is wanted, as long as it has work to do.
//!
//! A store wakes itself whenever it has a next piece of work. Handing each of those wake-ups to the executor would cost
//! a turn of its queue; here they are noticed and answered at once, for as long as one tick of the engine's clock, so
//! that a busy guest does not keep its thread from its neighbours.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

use crate::engine::Engine;

/// A guest's work with its store inside.
pub(crate) struct Running<'a, T> {
    work: Pin<Box<dyn Future<Output = T> + Send + 'a>>,
    burst: Arc<Burst>,
    waker: Waker,
    busy: Arc<AtomicU64>,
    engine: Engine,
}

/// Where a [`Running`] stands after it was polled.
pub(crate) enum Progress<T> {
    /// It is done.
    Finished(T),
    /// It waits for something outside.
    Parked,
    /// It has used up its turn and wants another.
    Yielded,
}

impl<'a, T> Running<'a, T> {
    /// `busy` counts the ticks the guest ran without waiting; it is set back whenever the guest waits.
    pub fn new(engine: Engine, busy: Arc<AtomicU64>, work: impl Future<Output = T> + Send + 'a) -> Self {
        let burst = Arc::new(Burst {
            state: AtomicU8::new(IDLE),
            outside: AtomicWaker::new(),
        });
        let waker = Waker::from(burst.clone());
        Self {
            work: Box::pin(work),
            burst,
            waker,
            busy,
            engine,
        }
    }

    /// Lets the guest work until it finishes, waits, or has had a tick's worth. Only the latter two wake `cx` later.
    pub fn progress(&mut self, cx: &mut Context<'_>) -> Progress<T> {
        self.burst.outside.register(cx.waker());
        let begun = self.engine.ticks();
        loop {
            self.burst.state.store(POLLING, Ordering::Release);
            if let Poll::Ready(done) = self.work.as_mut().poll(&mut Context::from_waker(&self.waker)) {
                return Progress::Finished(done);
            }
            if self
                .burst
                .state
                .compare_exchange(POLLING, IDLE, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
            {
                self.busy.store(0, Ordering::Relaxed);
                return Progress::Parked;
            }
            if self.engine.ticks() != begun {
                self.burst.state.store(IDLE, Ordering::Release);
                cx.waker().wake_by_ref();
                return Progress::Yielded;
            }
        }
    }
}

impl<T> Future for Running<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match self.progress(cx) {
            Progress::Finished(done) => Poll::Ready(done),
            Progress::Parked | Progress::Yielded => Poll::Pending,
        }
    }
}

const IDLE: u8 = 0;
const POLLING: u8 = 1;
const WOKEN: u8 = 2;

/// Tells a wake-up during a poll, which the poll itself answers, from one outside of it.
struct Burst {
    state: AtomicU8,
    outside: AtomicWaker,
}

impl Wake for Burst {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.swap(WOKEN, Ordering::AcqRel) == IDLE {
            self.outside.wake();
        }
    }
}
