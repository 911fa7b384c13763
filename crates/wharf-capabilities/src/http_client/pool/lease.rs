//! Connections in use, and how busy those are that several requests share.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::{Place, STREAMS_MAX};
use crate::http_client::connect::Received;
use crate::http_client::exchange::Outgoing;
use crate::http_client::proxy::Forwarding;

/// How long a connection that was put back may take to be ready. Past it another one is used.
const SETTLE_TIMEOUT: Duration = Duration::from_millis(100);

/// A connection in use by one request.
pub(in crate::http_client) enum Lease {
    Http1(Http1Lease),
    Http2(Http2Lease),
}

impl Lease {
    /// Gives the connection back after a complete response. `uploaded` says whether the request has been sent as well.
    pub(in crate::http_client) fn release(self, uploaded: bool) {
        match self {
            Self::Http1(lease) if uploaded => lease.place.clone().rest(lease),
            Self::Http1(lease) => lease.go_home(),
            Self::Http2(lease) => drop(lease),
        }
    }
}

/// A connection of HTTP/1.1. Dropping it closes the connection at once, whatever is under way on it.
pub(in crate::http_client) struct Http1Lease {
    pub sender: http1::SendRequest<Outgoing>,
    /// What the connection has received since it stands.
    pub received: Received,
    /// Where the connection leads to a proxy: how requests are written on it.
    pub forwarding: Option<Forwarding>,
    place: Place,
    /// To the task that drives the connection, for it to wait until the request has been sent.
    home: mpsc::Sender<Self>,
    _task: AbortOnDrop,
}

impl Http1Lease {
    /// `home` leads to `task`, which drives the connection.
    pub(in crate::http_client) fn new(
        sender: http1::SendRequest<Outgoing>,
        received: Received,
        forwarding: Option<Forwarding>,
        place: Place,
        home: mpsc::Sender<Self>,
        task: AbortHandle,
    ) -> Self {
        let _task = AbortOnDrop(task);
        Self {
            sender,
            received,
            forwarding,
            place,
            home,
            _task,
        }
    }

    /// Whether the next request can be sent. It can within microseconds after a response, as soon as the connection's
    /// task has come round, unless the origin does not take the rest of the last request.
    pub(in crate::http_client) async fn is_ready(&mut self) -> bool {
        // Most are, and need no timer.
        if let Poll::Ready(ready) = poll_fn(|cx| Poll::Ready(self.sender.poll_ready(cx))).await {
            return ready.is_ok();
        }
        let ready = Box::pin(tokio::time::timeout(SETTLE_TIMEOUT, self.sender.ready()));
        matches!(ready.await, Ok(Ok(())))
    }

    fn go_home(self) {
        // Fails when the connection has ended; then there is nothing to keep.
        let _ = self.home.clone().try_send(self);
    }

    /// Puts the connection back once its request has been sent.
    pub(in crate::http_client) async fn settle(mut self) {
        if self.sender.ready().await.is_ok() {
            self.place.clone().rest(self);
        }
    }
}

/// Ends a task with its owner.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A connection of HTTP/2, shared with other requests. Dropping it leaves the connection open.
pub(in crate::http_client) struct Http2Lease {
    pub sender: http2::SendRequest<Outgoing>,
    _stream: OpenStream,
}

impl Http2Lease {
    /// One more request on a connection, which is as busy as `load` says.
    pub(super) fn new(sender: http2::SendRequest<Outgoing>, load: &Arc<Load>) -> Self {
        Self {
            sender,
            _stream: load.begin(),
        }
    }
}

/// How busy a connection of HTTP/2 is.
pub(in crate::http_client) struct Load {
    streams: AtomicUsize,
    streams_max: AtomicUsize,
    used: Mutex<Instant>,
    /// Who waits for a stream.
    returned: Arc<Notify>,
}

impl Load {
    pub(super) fn new(returned: Arc<Notify>) -> Arc<Self> {
        Arc::new(Self {
            streams: AtomicUsize::new(0),
            streams_max: AtomicUsize::new(STREAMS_MAX),
            used: Mutex::new(Instant::now()),
            returned,
        })
    }

    /// Takes over how many streams the origin allows.
    pub(in crate::http_client) fn limit(&self, streams_max: usize) {
        self.streams_max
            .store(streams_max.clamp(1, STREAMS_MAX), Ordering::Relaxed);
    }

    pub(super) fn has_room(&self) -> bool {
        self.streams.load(Ordering::Relaxed) < self.streams_max.load(Ordering::Relaxed)
    }

    fn begin(self: &Arc<Self>) -> OpenStream {
        self.streams.fetch_add(1, Ordering::Relaxed);
        OpenStream(self.clone())
    }

    /// Since when no request uses the connection.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let used = *self.used.lock().unwrap_or_else(PoisonError::into_inner);
        (self.streams.load(Ordering::Acquire) == 0).then_some(used)
    }
}

struct OpenStream(Arc<Load>);

impl Drop for OpenStream {
    fn drop(&mut self) {
        *self.0.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.0.streams.fetch_sub(1, Ordering::Release);
        self.0.returned.notify_one();
    }
}
