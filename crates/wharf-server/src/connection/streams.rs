//! Responses over HTTP/2, where a client can stop one without stopping the connection: each is watched, and ended, by itself.
//!
//! What is handed to the library is counted until it has been written. So it is known what of a response waits for its client,
//! whether the guest is done with it or not, and its request lasts as long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::task::AtomicWaker;

use super::activity::{Activity, Begun, NEVER};
use crate::app::App;

/// A response under way over HTTP/2, or a WebSocket.
pub(crate) struct OpenStream {
    carries: Carries,
    /// Where its connection has it.
    key: usize,
    /// Bytes of content given to the library, and those of them that it has written.
    handed: AtomicU64,
    taken: AtomicU64,
    /// When some were last written, or had to wait, in milliseconds since the connection began; [`NEVER`] while none wait.
    moved: AtomicU64,
    /// Since when all looks have found some waiting, and how much had been written then.
    behind: AtomicU64,
    taken_before: AtomicU64,
    /// Nothing more is handed over, so that nobody is left to be ended.
    is_handed_over: AtomicBool,
    is_over: AtomicBool,
    /// Who carries the stream, and who waits until everything is written.
    task: AtomicWaker,
    writer: AtomicWaker,
}

/// What a stream is for.
pub(crate) enum Carries {
    Response(Begun),
    /// Frames of a WebSocket of the app with this key. It is watched by who drives it.
    Socket(Arc<Activity>, usize),
}

impl OpenStream {
    pub fn begin(carries: Carries, key: usize) -> Arc<Self> {
        Arc::new(Self {
            carries,
            key,
            handed: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            moved: AtomicU64::new(NEVER),
            behind: AtomicU64::new(NEVER),
            taken_before: AtomicU64::new(0),
            is_handed_over: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            task: AtomicWaker::new(),
            writer: AtomicWaker::new(),
        })
    }

    pub fn request(&self) -> Option<&Begun> {
        match &self.carries {
            Carries::Response(request) => Some(request),
            Carries::Socket(..) => None,
        }
    }

    fn activity(&self) -> &Arc<Activity> {
        match &self.carries {
            Carries::Response(request) => request.activity(),
            Carries::Socket(activity, _) => activity,
        }
    }

    /// Whose it is, as [`App::key`] has it.
    pub fn app(&self) -> Option<usize> {
        match &self.carries {
            Carries::Response(request) => request.app().map(App::key),
            Carries::Socket(_, app) => Some(*app),
        }
    }

    /// Of a WebSocket: so many bytes were taken by the library, and whether more wait.
    pub fn wrote(&self, bytes: u64, waits: bool) {
        let before = self.taken.swap(bytes, Ordering::AcqRel);
        let waited = self.handed.swap(bytes + u64::from(waits), Ordering::AcqRel) > before;
        match waits {
            true if waited && before == bytes => {}
            true => self.moved.store(self.now(), Ordering::Relaxed),
            false => self.moved.store(NEVER, Ordering::Relaxed),
        }
    }

    /// Content for the library, which tells when it is written.
    pub fn hand(self: &Arc<Self>, bytes: Bytes) -> Piece {
        let before = self.handed.fetch_add(bytes.len() as u64, Ordering::AcqRel);
        if before == self.taken.load(Ordering::Acquire) {
            self.moved.store(self.now(), Ordering::Relaxed);
        }
        self.activity().sent_piece();
        Piece {
            bytes,
            stream: Some(self.clone()),
        }
    }

    /// Bytes of content so far.
    pub fn handed(&self) -> u64 {
        self.handed.load(Ordering::Acquire)
    }

    /// Nothing more will be.
    pub fn is_handed_over(&self) {
        self.is_handed_over.store(true, Ordering::Release);
    }

    fn took(&self, bytes: usize) {
        let taken = self.taken.fetch_add(bytes as u64, Ordering::AcqRel) + bytes as u64;
        if taken == self.handed.load(Ordering::Acquire) {
            self.behind.store(NEVER, Ordering::Relaxed);
            self.moved.store(NEVER, Ordering::Relaxed);
            self.writer.wake();
        } else {
            self.moved.store(self.now(), Ordering::Relaxed);
        }
    }

    fn waits(&self) -> bool {
        self.taken.load(Ordering::Acquire) < self.handed.load(Ordering::Acquire)
    }

    /// Ready once everything that was handed over is written.
    pub fn poll_taken(&self, cx: &Context<'_>) -> Poll<()> {
        if self.waits() {
            self.writer.register(cx.waker());
        }
        match self.waits() {
            true => Poll::Pending,
            false => Poll::Ready(()),
        }
    }

    /// For how long something has waited for the client without any of it being taken.
    pub fn untaken(&self) -> Option<Duration> {
        if !self.waits() {
            return None;
        }
        let now = self.now();
        // Somebody may have taken the last while more was handed over, and has forgotten that since.
        let _ = self
            .moved
            .compare_exchange(NEVER, now, Ordering::Relaxed, Ordering::Relaxed);
        Some(Duration::from_millis(
            now.saturating_sub(self.moved.load(Ordering::Relaxed)),
        ))
    }

    /// Whether something has waited for the client at all looks for `timeout`, and less than `rate_min` bytes a second of it
    /// were taken meanwhile.
    pub fn is_behind(&self, timeout: Duration, rate_min: u64) -> bool {
        if !self.waits() {
            return false;
        }
        let (now, taken) = (self.now(), self.taken.load(Ordering::Relaxed));
        let since = self.behind.load(Ordering::Relaxed);
        let elapsed = Duration::from_millis(now.saturating_sub(since));
        if since != NEVER && elapsed < timeout {
            return false;
        }
        let least = rate_min as f64 * elapsed.as_secs_f64();
        let before = self.taken_before.swap(taken, Ordering::Relaxed);
        self.behind.store(now, Ordering::Relaxed);
        since != NEVER && ((taken - before) as f64) < least
    }

    /// Ends the stream, and nothing else of its connection. False where nobody is left to do so: all of its response is with the
    /// library.
    #[must_use]
    pub fn end(&self) -> bool {
        self.is_over.store(true, Ordering::Release);
        self.task.wake();
        !self.is_handed_over.load(Ordering::Acquire)
    }

    /// The same for who carries the stream, whose task is woken when somebody ends it.
    pub(super) fn is_over_for(&self, cx: &Context<'_>) -> bool {
        self.task.register(cx.waker());
        self.is_over()
    }

    /// Whether somebody has ended it.
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    fn now(&self) -> u64 {
        self.activity().now()
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        if let Carries::Response(request) = &self.carries
            && self.waits()
        {
            request.is_taken_back();
        }
        self.activity().stream_ends(self.key);
    }
}

/// Content on its way to a client.
pub(crate) struct Piece {
    bytes: Bytes,
    stream: Option<Arc<OpenStream>>,
}

impl From<Bytes> for Piece {
    /// Content that nobody watches: over HTTP/1.1 the connection tells all.
    fn from(bytes: Bytes) -> Self {
        Self { bytes, stream: None }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        if let Some(stream) = &self.stream {
            stream.took(count);
        }
    }
}

impl Activity {
    /// Ends responses that the client takes too slowly, each by itself. True where the connection has to end for one.
    pub(super) fn end_those_behind(&self, timeout: Duration, rate_min: u64) -> bool {
        let behind = self
            .open_streams()
            .into_iter()
            // Who drives a WebSocket looks at that, too.
            .filter(|stream| stream.request().is_some() && stream.is_behind(timeout, rate_min));
        for stream in behind {
            if !stream.end() {
                return true;
            }
            self.ended_slow_stream();
        }
        false
    }
}
