//! Whether a connection has requests, and since when it has none.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use wharf_host::http::{ErrorCode, Payload};

use crate::metrics::Metrics;

/// Counts the requests of one connection, which is counted itself.
pub(super) struct Activity {
    metrics: Arc<Metrics>,
    requests: AtomicUsize,
    began: Instant,
    /// When the last request ended, in milliseconds since the connection began.
    idle_since: AtomicU64,
}

impl Activity {
    pub fn new(metrics: Arc<Metrics>) -> Self {
        metrics.connections.inc();
        Self {
            metrics,
            requests: AtomicUsize::new(0),
            began: Instant::now(),
            idle_since: AtomicU64::new(0),
        }
    }

    /// A request has begun; it lasts until what this returns is dropped.
    pub fn begin(self: &Arc<Self>) -> Begun {
        self.requests.fetch_add(1, Ordering::AcqRel);
        self.metrics.requests.inc();
        Begun(self.clone())
    }

    /// For how long there has been no request, or `None` when there is one.
    pub fn idle(&self) -> Option<Duration> {
        if self.requests.load(Ordering::Acquire) > 0 {
            return None;
        }
        let since = Duration::from_millis(self.idle_since.load(Ordering::Acquire));
        Some(self.began.elapsed().saturating_sub(since))
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        self.metrics.connections.dec();
    }
}

/// A request that has not ended.
pub(super) struct Begun(Arc<Activity>);

impl Begun {
    /// Its response has begun.
    pub fn responded(&self, status: StatusCode) {
        self.0.metrics.responded(status);
    }

    /// The request lasts as long as the body of its response.
    pub fn with(self, body: Payload) -> Answer {
        Answer { body, _request: self }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let elapsed = u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.idle_since.store(elapsed, Ordering::Release);
        self.0.requests.fetch_sub(1, Ordering::AcqRel);
        self.0.metrics.requests.dec();
    }
}

/// A response's body, as long as which its request lasts.
pub(super) struct Answer {
    body: Payload,
    _request: Begun,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = ErrorCode;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Err(code))) = &frame {
            // The client has the head, and sees the response break off.
            tracing::warn!(?code, "a response broke off");
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
