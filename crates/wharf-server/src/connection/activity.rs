//! What a connection does: whether it has requests, since when it has none, and what it was told.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use slab::Slab;
use tokio::sync::Notify;
use tokio_util::sync::WaitForCancellationFutureOwned;
use wharf_host::http::{ErrorCode, Payload};

use crate::app::{App, OfApp};
use crate::door::Door;
use crate::limits::Limit;
use crate::places::Place;

/// The time in which requests that a client takes back are counted.
const RESETS_WINDOW: Duration = Duration::from_secs(30);

/// A piece of a response that is not taken for so long is one that the client has to be waited for.
const UNTAKEN: Duration = Duration::from_secs(1);

/// Stands for "never", in milliseconds since a connection began.
const NEVER: u64 = u64::MAX;

/// One connection, which is counted, with its requests.
pub(crate) struct Activity {
    door: Arc<Door>,
    began: Instant,
    requests: AtomicUsize,
    /// Requests that have begun since the connection did.
    carried: AtomicU64,
    /// When the last request ended, in milliseconds since the connection began.
    idle_since: AtomicU64,
    /// When the first byte of a head came whose last has not.
    head_since: AtomicU64,
    /// HTTP/2, where frames come that are no head.
    http2: AtomicBool,
    pub traffic: Traffic,
    /// Bodies of requests that guests wait for.
    awaited: AtomicUsize,
    /// Responses under way over HTTP/2, where a client can stop one without stopping the connection.
    streams: Mutex<Slab<Arc<Pace>>>,
    /// Which app the last request was for, as [`App::key`] has it.
    app: AtomicUsize,
    /// Requests taken back in the window that began at the time in the second.
    resets: AtomicUsize,
    resets_since: AtomicU64,
    told: Told,
    /// The place of the connection, as long as it has one.
    place: OnceLock<Weak<Place>>,
    /// The connection is no longer one of HTTP.
    is_given_up: AtomicBool,
}

/// How a response over HTTP/2 is taken.
struct Pace {
    /// When a piece was last asked for, in milliseconds since the connection began; [`NEVER`] while the guest is waited for.
    asked: AtomicU64,
}

/// What has gone over the connection.
#[derive(Default)]
pub(crate) struct Traffic {
    read: AtomicU64,
    written: AtomicU64,
    /// What had been written and read when the last request began.
    written_before: AtomicU64,
    read_before: AtomicU64,
    /// The last write found no room: the client has more to take.
    blocked: AtomicBool,
    /// What had been read and written at the last look, and whether the client was waited for then.
    looked: AtomicU64,
    waited: AtomicBool,
}

/// What the connection has been told by others than its client.
#[derive(Default)]
struct Told {
    evicted: AtomicBool,
    slow: AtomicBool,
    notify: Notify,
}

impl Activity {
    pub fn new(door: Arc<Door>) -> Self {
        door.metrics.connections.inc();
        Self {
            door,
            began: Instant::now(),
            requests: AtomicUsize::new(0),
            carried: AtomicU64::new(0),
            idle_since: AtomicU64::new(0),
            head_since: AtomicU64::new(NEVER),
            http2: AtomicBool::new(false),
            traffic: Traffic::default(),
            awaited: AtomicUsize::new(0),
            streams: Mutex::default(),
            app: AtomicUsize::new(0),
            resets: AtomicUsize::new(0),
            resets_since: AtomicU64::new(0),
            told: Told::default(),
            place: OnceLock::new(),
            is_given_up: AtomicBool::new(false),
        }
    }

    /// A request has begun; it lasts until what this returns is dropped.
    pub fn begin(self: &Arc<Self>) -> Begun {
        self.requests.fetch_add(1, Ordering::AcqRel);
        self.door.metrics.requests.inc();
        self.head_since.store(NEVER, Ordering::Relaxed);
        let head_bytes_max = self.read_since_request();
        self.traffic.request_begins();
        let nth = self.carried.fetch_add(1, Ordering::Relaxed) + 1;
        let most = self.door.limits.requests_per_connection_max;
        let is_last = nth == most;
        if nth > most.saturating_add(self.door.limits.streams_max.into()) {
            // Over HTTP/2 it was told that no more are taken, and has had time to hear it.
            self.evict();
        }
        if is_last {
            self.door.metrics.reached(Limit::RequestsPerConnection);
            self.told.notify.notify_one();
        }
        Begun {
            activity: self.clone(),
            app: None,
            is_last,
            head_bytes_max,
            ended: false,
        }
    }

    /// Remembers the connection's place, for those that outlive its requests.
    pub fn has(&self, place: &Arc<Place>) {
        let _ = self.place.set(Arc::downgrade(place));
    }

    /// The connection's place.
    pub fn place(&self) -> Option<Arc<Place>> {
        self.place.get()?.upgrade()
    }

    /// It counts as having a request until what this returns is dropped.
    pub fn hold(self: &Arc<Self>) -> Held {
        self.requests.fetch_add(1, Ordering::AcqRel);
        Held(self.clone())
    }

    /// After the response that is under way, the connection speaks another protocol.
    pub fn gives_up_connection(&self) {
        self.is_given_up.store(true, Ordering::Release);
    }

    pub fn is_given_up(&self) -> bool {
        self.is_given_up.load(Ordering::Acquire)
    }

    /// What has come begins an HTTP/2 connection.
    pub fn speaks_http2(&self) {
        self.http2.store(true, Ordering::Relaxed);
    }

    /// Bytes have come. Between requests they are the beginning of a head.
    pub fn received(&self, bytes: usize) {
        self.traffic.read.fetch_add(bytes as u64, Ordering::Relaxed);
        if self.http2.load(Ordering::Relaxed) {
            return;
        }
        if self.head_since.load(Ordering::Relaxed) == NEVER && self.requests.load(Ordering::Relaxed) == 0 {
            self.head_since.store(self.now(), Ordering::Relaxed);
        }
    }

    /// For how long there has been no request, or `None` when there is one.
    pub fn idle(&self) -> Option<Duration> {
        if self.requests.load(Ordering::Acquire) > 0 {
            return None;
        }
        let since = Duration::from_millis(self.idle_since.load(Ordering::Acquire));
        Some(self.began.elapsed().saturating_sub(since))
    }

    /// For how long a head has been coming that has begun.
    pub fn head(&self) -> Option<Duration> {
        let since = self.head_since.load(Ordering::Relaxed);
        (since != NEVER).then(|| self.began.elapsed().saturating_sub(Duration::from_millis(since)))
    }

    /// Tells the connection to make room.
    pub fn evict(&self) {
        self.told.evicted.store(true, Ordering::Release);
        self.told.notify.notify_one();
    }

    pub fn is_evicted(&self) -> bool {
        self.told.evicted.load(Ordering::Acquire)
    }

    /// Tells the connection to go because its client is slow and others wait.
    pub fn evict_for_slowness(&self) {
        self.told.slow.store(true, Ordering::Release);
        self.evict();
    }

    pub fn was_slow(&self) -> bool {
        self.told.slow.load(Ordering::Acquire)
    }

    /// Bytes that have come since the last request began.
    pub fn read_since_request(&self) -> u64 {
        let before = self.traffic.read_before.load(Ordering::Relaxed);
        self.traffic.read.load(Ordering::Relaxed) - before
    }

    /// Whether a raw answer over HTTP/1.1 would be the request's only one.
    pub fn is_unanswered(&self) -> bool {
        let traffic = &self.traffic;
        let before = traffic.written_before.load(Ordering::Relaxed);
        !self.http2.load(Ordering::Relaxed) && traffic.written.load(Ordering::Relaxed) == before
    }

    fn stream_begins(self: &Arc<Self>) -> OpenStream {
        let pace = Arc::new(Pace {
            asked: AtomicU64::new(self.now()),
        });
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let key = streams.insert(pace.clone());
        drop(streams);
        OpenStream {
            activity: self.clone(),
            pace,
            key,
        }
    }

    /// A guest waits for a body of this connection until what this returns is dropped.
    pub fn await_body(self: &Arc<Self>) -> Awaits {
        self.awaited.fetch_add(1, Ordering::Relaxed);
        Awaits(self.clone())
    }

    /// Which app its last request was for.
    pub fn app(&self) -> usize {
        self.app.load(Ordering::Relaxed)
    }

    /// Whether the client has something to take now.
    pub fn is_untaken(&self) -> bool {
        self.traffic.blocked.load(Ordering::Relaxed) || self.stream_untaken().is_some()
    }

    /// For how long the client has not taken a piece of the response of which it has taken none for the longest time.
    pub fn stream_untaken(&self) -> Option<Duration> {
        let streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let since = streams
            .iter()
            .map(|(_, pace)| pace.asked.load(Ordering::Relaxed))
            .min()?;
        (since != NEVER).then(|| self.began.elapsed().saturating_sub(Duration::from_millis(since)))
    }

    /// Whether the client has been waited for at this look and the one before, and `bytes` or more have not moved between.
    pub fn is_slow(&self, bytes: u64) -> bool {
        let traffic = &self.traffic;
        let waits = traffic.blocked.load(Ordering::Relaxed)
            || self.awaited.load(Ordering::Relaxed) > 0
            || self.stream_untaken().is_some_and(|untaken| untaken > UNTAKEN);
        let waited = traffic.waited.swap(waits, Ordering::Relaxed);
        let moved = traffic.read.load(Ordering::Relaxed) + traffic.written.load(Ordering::Relaxed);
        let before = traffic.looked.swap(moved, Ordering::Relaxed);
        waits && waited && moved - before < bytes
    }

    /// Until the connection is told something.
    pub async fn told(&self) {
        self.told.notify.notified().await;
    }

    /// The client has taken a request back. Over HTTP/1.1 that ends the connection anyway.
    fn taken_back(&self) {
        let now = self.now();
        let since = self.resets_since.load(Ordering::Relaxed);
        if u128::from(now.saturating_sub(since)) > RESETS_WINDOW.as_millis() {
            self.resets_since.store(now, Ordering::Relaxed);
            self.resets.store(0, Ordering::Relaxed);
        }
        let resets = self.resets.fetch_add(1, Ordering::Relaxed) + 1;
        if resets == self.door.limits.resets_max as usize + 1 {
            self.door.metrics.reached(Limit::Resets);
            self.evict();
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(NEVER - 1)
    }
}

impl Traffic {
    fn request_begins(&self) {
        let written = self.written.load(Ordering::Relaxed);
        self.written_before.store(written, Ordering::Relaxed);
        let read = self.read.load(Ordering::Relaxed);
        self.read_before.store(read, Ordering::Relaxed);
    }

    /// Bytes have been written.
    pub fn wrote(&self, bytes: usize) {
        self.blocked.store(false, Ordering::Relaxed);
        self.written.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Nothing more can be written until the client has taken something.
    pub fn block(&self) {
        self.blocked.store(true, Ordering::Relaxed);
    }

    /// Bytes written so far, and whether more wait for the client.
    pub fn written(&self) -> (u64, bool) {
        let written = self.written.load(Ordering::Relaxed);
        (written, self.blocked.load(Ordering::Relaxed))
    }
}

/// A guest waits for a body.
pub(crate) struct Awaits(Arc<Activity>);

impl Drop for Awaits {
    fn drop(&mut self) {
        self.0.awaited.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection that is in use, though it may have no request.
pub(crate) struct Held(Arc<Activity>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.idle_since.store(self.0.now(), Ordering::Release);
        self.0.requests.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        self.door.metrics.connections.dec();
    }
}

/// A request that has not ended.
pub(crate) struct Begun {
    activity: Arc<Activity>,
    app: Option<OfApp>,
    /// The connection carries no other after it.
    pub is_last: bool,
    /// Its head has no more bytes than this: they came since the request before it.
    pub head_bytes_max: u64,
    /// It was answered in full.
    ended: bool,
}

impl Begun {
    pub fn belongs_to(&mut self, app: &App) {
        self.activity.app.store(app.key(), Ordering::Relaxed);
        self.app = Some(app.begin());
    }

    pub fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }

    pub fn app(&self) -> Option<&App> {
        self.app.as_ref().map(OfApp::app)
    }

    /// Its response has begun.
    pub fn responded(&self, status: StatusCode) {
        self.activity.door.metrics.responded(self.app(), status);
    }

    /// The request lasts as long as the body of its response.
    pub fn with(mut self, body: Payload) -> Answer {
        self.ended = body.is_end_stream();
        let stream = match self.ended || !self.activity.http2.load(Ordering::Relaxed) {
            true => None,
            false => Some(self.activity.stream_begins()),
        };
        Answer {
            body,
            request: self,
            cut: None,
            stream,
        }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.activity.idle_since.store(self.activity.now(), Ordering::Release);
        self.activity.requests.fetch_sub(1, Ordering::AcqRel);
        self.activity.door.metrics.requests.dec();
        if !self.ended {
            self.activity.taken_back();
        }
    }
}

/// A response under way over HTTP/2.
struct OpenStream {
    activity: Arc<Activity>,
    pace: Arc<Pace>,
    key: usize,
}

impl OpenStream {
    /// The client has asked for a piece; `waits` says that it has to wait for the guest.
    fn asked(&self, waits: bool) {
        let asked = if waits { NEVER } else { self.activity.now() };
        self.pace.asked.store(asked, Ordering::Relaxed);
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut streams = self.activity.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.remove(self.key);
    }
}

/// A response's body, as long as which its request lasts.
pub(crate) struct Answer {
    body: Payload,
    request: Begun,
    stream: Option<OpenStream>,
    /// Made when this one first has to wait.
    cut: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl Answer {
    fn is_cut(&self) -> bool {
        self.request.app().is_some_and(|app| app.inner().cut.is_cancelled())
    }

    fn break_off(&mut self) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        self.request.ended = true;
        Poll::Ready(Some(Err(ErrorCode::ConnectionTerminated)))
    }

    /// Ready when the app's responses are to break off.
    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.cut.is_none() {
            let app = self.request.app();
            self.cut = app.map(|app| Box::pin(app.inner().cut.clone().cancelled_owned()));
        }
        match &mut self.cut {
            Some(cut) => cut.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = ErrorCode;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        if self.is_cut() {
            return self.break_off();
        }
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Some(stream) = &self.stream {
            stream.asked(frame.is_pending());
        }
        match &frame {
            Poll::Ready(Some(Ok(_))) => self.request.ended = self.body.is_end_stream(),
            Poll::Ready(None) => self.request.ended = true,
            Poll::Ready(Some(Err(code))) => {
                self.request.ended = true;
                // The client has the head, and sees the response break off.
                tracing::warn!(?code, "a response broke off");
            }
            Poll::Pending => {
                if self.poll_cut(cx).is_ready() {
                    return self.break_off();
                }
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
