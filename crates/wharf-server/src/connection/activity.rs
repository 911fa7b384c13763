//! What a connection does: whether it has requests, since when it has none, and what it was told.

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;
use http::StatusCode;
use slab::Slab;
use tokio::sync::Notify;
use wharf_host::http::{ErrorCode, Payload};

use super::answer::Answer;
use super::content::Unwanted;
use super::gone;
use super::stream::{Socket, WeakSocket};
use super::streams::{Carries, OpenStream};
use crate::app::{App, OfApp};
use crate::door::Door;
use crate::limits::Limit;
use crate::places::Place;
use crate::refusals::Kind;

/// The time in which requests that a client takes back are counted, and frames that carry nothing.
const COUNT_WINDOW: Duration = Duration::from_secs(30);

/// How many frames that carry nothing each request may bring along: a window of its own and the connection's, and a ping or two.
const FRAMES_PER_REQUEST: u64 = 10;

/// How many bytes of what is written may bring one along: clients open their windows after some KiB, odd ones after each.
const BYTES_PER_FRAME: u64 = 256;

/// A piece of a response that is not taken for so long is one that the client has to be waited for.
const UNTAKEN: Duration = Duration::from_secs(1);

/// Stands for a status that was counted, or is not there yet.
const COUNTED: u16 = 0;

/// Stands for "never", in milliseconds since a connection began.
pub(super) const NEVER: u64 = u64::MAX;

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
    pub(super) unwanted: Unwanted,
    /// Bodies of requests that guests wait for.
    awaited: AtomicUsize,
    /// Responses and WebSockets under way over HTTP/2, where a client can stop one without stopping the connection.
    streams: Mutex<Slab<Weak<OpenStream>>>,
    /// Pieces of these that were handed over.
    pieces: AtomicU64,
    /// Which app the last request was for, as [`App::key`] has it.
    app: AtomicUsize,
    /// Requests taken back in the window that began at the time in the second.
    resets: AtomicUsize,
    resets_since: AtomicU64,
    /// Frames that carried nothing in the window that began at the time in the second, and how many were due by then.
    frames: AtomicU64,
    frames_since: AtomicU64,
    frames_due: AtomicU64,
    /// There were too many.
    refused: AtomicBool,
    told: Told,
    /// The place of the connection, as long as it has one.
    place: OnceLock<(Weak<Place>, WeakSocket)>,
    /// The connection is no longer one of HTTP.
    is_given_up: AtomicBool,
    /// Its client ended before the content of its request did.
    is_cut_short: AtomicBool,
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
    /// A response waits for the next write, and who carries it.
    is_awaited: AtomicBool,
    writer: AtomicWaker,
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
            unwanted: Unwanted::default(),
            awaited: AtomicUsize::new(0),
            streams: Mutex::default(),
            pieces: AtomicU64::new(0),
            app: AtomicUsize::new(0),
            resets: AtomicUsize::new(0),
            resets_since: AtomicU64::new(0),
            frames: AtomicU64::new(0),
            frames_since: AtomicU64::new(0),
            frames_due: AtomicU64::new(0),
            refused: AtomicBool::new(false),
            told: Told::default(),
            place: OnceLock::new(),
            is_given_up: AtomicBool::new(false),
            is_cut_short: AtomicBool::new(false),
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
            self.takes_no_more();
        }
        Begun {
            activity: self.clone(),
            app: None,
            is_last,
            head_bytes_max,
            ended: AtomicBool::new(false),
            status: AtomicU16::new(COUNTED),
            path: None,
        }
    }

    /// Remembers the connection's place and socket, for what outlives its requests.
    /// Neither is held by it: requests may outlive the connection.
    pub fn has(&self, place: &Arc<Place>, socket: &Socket) {
        let _ = self.place.set((Arc::downgrade(place), socket.downgrade()));
    }

    /// The connection's place.
    pub fn place(&self) -> Option<Arc<Place>> {
        let (place, _) = self.place.get()?;
        place.upgrade()
    }

    /// Ready once the client has closed its side, whatever is still unread.
    pub async fn peer_left(&self) {
        if let Some(socket) = self.place.get().and_then(|(_, socket)| socket.upgrade()) {
            gone::wait(&socket).await;
        }
    }

    /// It counts as having a request until what this returns is dropped.
    pub fn hold(self: &Arc<Self>) -> Held {
        self.requests.fetch_add(1, Ordering::AcqRel);
        Held(self.clone())
    }

    /// Over HTTP/1.1 its client has ended, or left, amid the content of its request.
    pub fn is_cut_short(&self) {
        self.is_cut_short.store(true, Ordering::Relaxed);
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

    pub fn is_http2(&self) -> bool {
        self.http2.load(Ordering::Relaxed)
    }

    /// A frame has come that carries nothing: whether there may be as many.
    pub fn may_say_nothing(&self) -> bool {
        let due = self.carried.load(Ordering::Relaxed) * FRAMES_PER_REQUEST
            + self.pieces.load(Ordering::Relaxed)
            + self.traffic.written.load(Ordering::Relaxed) / BYTES_PER_FRAME;
        let now = self.now();
        if is_past(COUNT_WINDOW, self.frames_since.load(Ordering::Relaxed), now) {
            self.frames_since.store(now, Ordering::Relaxed);
            self.frames.store(0, Ordering::Relaxed);
            self.frames_due.store(due, Ordering::Relaxed);
        }
        let frames = self.frames.fetch_add(1, Ordering::Relaxed) + 1;
        let due = due - self.frames_due.load(Ordering::Relaxed).min(due);
        let may = frames <= due + u64::from(self.door.limits.control_frames_max);
        if !may {
            self.refused.store(true, Ordering::Relaxed);
            self.door.metrics.reached(Limit::ControlFrames);
            tracing::debug!(limit = Limit::ControlFrames.name(), "closed a connection");
        }
        may
    }

    /// The library has ended the connection for a limit.
    pub fn is_ended_for(&self, limit: Limit) {
        // What it was made to say was counted.
        if !self.refused.load(Ordering::Relaxed) {
            self.door.metrics.reached(limit);
            tracing::debug!(limit = limit.name(), "closed a connection");
        }
    }

    /// The client has begun more streams than it may have, and was told.
    pub fn refused_stream(&self) {
        self.door.metrics.reached(Limit::Streams);
    }

    /// See [`super::spoken::continuations_refused`].
    pub fn continuations_refused(&self) -> usize {
        super::spoken::continuations_refused(&self.door.limits)
    }

    /// A piece of a response is on its way.
    pub fn sent_piece(&self) {
        self.pieces.fetch_add(1, Ordering::Relaxed);
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

    /// The connection carries no request after those that have begun.
    pub fn takes_no_more(&self) {
        self.told.notify.notify_one();
    }

    /// Tells the connection to make room.
    pub fn evict(&self) {
        self.told.evicted.store(true, Ordering::Release);
        self.told.notify.notify_one();
    }

    pub fn is_evicted(&self) -> bool {
        self.told.evicted.load(Ordering::Acquire)
    }

    /// Ends what a slow client holds because others wait: responses that it does not take, where it is that over HTTP/2, else
    /// the connection.
    pub fn evict_for_slowness(&self) {
        let is_of_streams = !self.traffic.blocked.load(Ordering::Relaxed) && self.awaited.load(Ordering::Relaxed) == 0;
        if self.is_http2() && is_of_streams {
            return self.end_untaken(|stream| stream.untaken().is_some_and(|untaken| untaken > UNTAKEN));
        }
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

    /// A response begins that may have to wait for its client.
    pub(super) fn response_begins(&self, request: Begun) -> Arc<OpenStream> {
        self.stream_begins(Carries::Response(request))
    }

    /// A WebSocket begins in a stream of HTTP/2, as soon as the handshake that is being answered is.
    pub fn socket_begins(self: &Arc<Self>, app: &App) -> Arc<OpenStream> {
        self.stream_begins(Carries::Socket(self.clone(), app.key()))
    }

    fn stream_begins(&self, carries: Carries) -> Arc<OpenStream> {
        let mut streams = self.streams();
        let entry = streams.vacant_entry();
        let stream = OpenStream::begin(carries, entry.key());
        entry.insert(Arc::downgrade(&stream));
        stream
    }

    pub(super) fn stream_ends(&self, key: usize) {
        self.streams().remove(key);
    }

    /// The responses and WebSockets under way over HTTP/2.
    pub(super) fn open_streams(&self) -> Vec<Arc<OpenStream>> {
        self.streams()
            .iter()
            .filter_map(|(_, stream)| stream.upgrade())
            .collect()
    }

    /// Not to be held while a stream is dropped, which takes itself out.
    fn streams(&self) -> MutexGuard<'_, Slab<Weak<OpenStream>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A response was ended for its client's slowness.
    pub(super) fn ended_slow_stream(&self) {
        self.door.metrics.reached(Limit::WriteRate);
        tracing::debug!(limit = Limit::WriteRate.name(), "ended a stream");
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

    /// For how long the client has taken nothing of the response of which it has taken nothing for the longest time.
    pub fn stream_untaken(&self) -> Option<Duration> {
        self.open_streams().iter().filter_map(|stream| stream.untaken()).max()
    }

    /// Breaks off what the client does not take of an app's: over HTTP/2 such responses, else the connection.
    pub fn break_off_untaken(&self, app: usize) {
        if self.is_http2() && !self.traffic.blocked.load(Ordering::Relaxed) {
            self.end_untaken(|stream| stream.app() == Some(app));
        } else if self.app() == app && self.is_untaken() {
            self.evict();
        }
    }

    /// Ends responses that wait for the client, or the connection where one of them cannot be ended alone.
    fn end_untaken(&self, which: impl Fn(&OpenStream) -> bool) {
        let untaken = self
            .open_streams()
            .into_iter()
            .filter(|stream| stream.untaken().is_some());
        for stream in untaken {
            if which(&stream) && !stream.end() {
                self.evict();
            }
        }
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

    /// The client of an HTTP/2 connection has taken a request back.
    fn taken_back(&self) {
        let now = self.now();
        if is_past(COUNT_WINDOW, self.resets_since.load(Ordering::Relaxed), now) {
            self.resets_since.store(now, Ordering::Relaxed);
            self.resets.store(0, Ordering::Relaxed);
        }
        let resets = self.resets.fetch_add(1, Ordering::Relaxed) + 1;
        if resets == self.door.limits.resets_max as usize + 1 {
            self.door.metrics.reached(Limit::Resets);
            self.evict();
        }
    }

    /// In milliseconds since the connection began.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(NEVER - 1)
    }
}

/// Whether `window` has passed since a time in milliseconds.
fn is_past(window: Duration, since: u64, now: u64) -> bool {
    u128::from(now.saturating_sub(since)) > window.as_millis()
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
        if self.is_awaited.load(Ordering::Relaxed) && self.is_awaited.swap(false, Ordering::Relaxed) {
            self.writer.wake();
        }
    }

    /// Wakes the task of `cx` once something more is written. For that task alone, which writes as well.
    pub fn poll_next_write(&self, cx: &Context<'_>) -> Poll<()> {
        self.writer.register(cx.waker());
        self.is_awaited.store(true, Ordering::Relaxed);
        Poll::Pending
    }

    /// An answer has begun, whatever of it has been written.
    pub fn answers(&self) {
        self.written_before.store(NEVER, Ordering::Relaxed);
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
    ended: AtomicBool,
    /// The status of its response, until that is counted.
    status: AtomicU16,
    /// What was asked for, where the response may break off.
    path: Option<Box<str>>,
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

    /// Its response has begun. It is counted when it has ended, since until then it may break off.
    pub fn responded(&self, status: StatusCode) {
        self.status.store(status.as_u16(), Ordering::Relaxed);
    }

    /// Its response comes in pieces: what was asked for is kept, to be said of one that breaks off.
    pub fn may_break_off(&mut self, path: &str) {
        self.path = Some(path.into());
    }

    /// Its response is complete.
    pub(super) fn is_answered(&self) {
        self.ended.store(true, Ordering::Relaxed);
        self.count(false);
    }

    /// Its response broke off on this side. The client has the head, and sees that.
    pub(super) fn broke_off(&self, code: &ErrorCode) {
        self.ended.store(true, Ordering::Relaxed);
        if self.activity.is_cut_short.load(Ordering::Relaxed) {
            // Nobody's fault but its client's, who mostly is not there to see it.
            tracing::debug!(
                ?code,
                path = self.path.as_deref(),
                "a client left amid the content of its request"
            );
            return self.count(false);
        }
        self.count(true);
        if let Some(app) = self.app() {
            let path = self.path.as_deref().unwrap_or_default();
            let _ = self.activity.door.refused.say(app, Kind::BrokeOff(code), path, None);
        }
    }

    fn count(&self, is_broken: bool) {
        let status = self.status.swap(COUNTED, Ordering::Relaxed);
        if let Ok(status) = StatusCode::from_u16(status) {
            self.activity.door.metrics.responded(self.app(), status, is_broken);
        }
    }

    /// Its client did not take what is left of its response.
    pub(super) fn is_taken_back(&self) {
        self.ended.store(false, Ordering::Relaxed);
    }

    /// The request lasts as long as the body of its response.
    pub fn with(self, body: Payload) -> Answer {
        if http_body::Body::is_end_stream(&body) {
            self.is_answered();
        }
        Answer::new(self, body)
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.activity.idle_since.store(self.activity.now(), Ordering::Release);
        self.activity.requests.fetch_sub(1, Ordering::AcqRel);
        self.activity.door.metrics.requests.dec();
        self.count(false);
        // Over HTTP/1.1 nobody takes a request back without the connection, and a body of known length is not asked for its end.
        if !self.ended.load(Ordering::Relaxed) && self.activity.is_http2() {
            self.activity.taken_back();
        }
    }
}
