//! The content of a request as its connection brings it, whatever that speaks.
//!
//! What a request may bring is `reading.rs`'s.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::select;
use futures_util::task::AtomicWaker;
use h2::{Ping, PingPong, Reason, RecvStream};
use http::HeaderMap;
use http::header::{self, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;
use wharf_host::http::ErrorCode;

use super::activity::Activity;

/// How long a client may go on with content that nobody wants. Clients that are told to stop at once (RST_STREAM after the response, RFC 9113
/// section 8.1) may take that for the loss of their answer, as curl does; those that have sent more by then than is worth waiting for
/// are told so.
const LINGER: Duration = Duration::from_secs(5);

/// What a request brings.
pub(crate) enum Content {
    Http1(Incoming),
    Http2(Streamed),
}

/// The content of a request over HTTP/2, whose client may send more of it as it is taken.
pub(crate) struct Streamed {
    /// There until whoever has this goes.
    stream: Option<RecvStream>,
    /// How many bytes the head says it has, and how many of them were taken.
    declared: Option<u64>,
    taken: u64,
    /// Everything came but the trailers.
    is_data_done: bool,
    /// The client waits to be asked for it (RFC 9110 section 10.1.1).
    waits: bool,
    coming: Option<Arc<Coming>>,
    unwanted: Option<(Arc<Activity>, Option<Nudge>)>,
}

/// Content that nobody wants, by its stream's number, of those whose heads say how much there is. A client that has its answer may end
/// with less (curl does, at the first word of a refusal). The library would reset such a stream for its length, and with it an answer
/// that has not gone out as a whole.
#[derive(Default)]
pub(super) struct Unwanted(Mutex<BTreeMap<u32, (u64, oneshot::Sender<()>)>>);

impl Unwanted {
    /// Ready when the content ends before it should. An error where it is forgotten before that.
    fn ends_early(&self, stream: u32, declared: u64) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.streams().insert(stream, (declared, sender));
        receiver
    }

    /// Whether it ends too early, after `bytes`, with content that nobody wants. Whoever throws it away is told.
    pub fn is_ended_early(&self, stream: u32, bytes: u64) -> bool {
        let mut streams = self.streams();
        if streams.get(&stream).is_none_or(|(declared, _)| bytes >= *declared) {
            return false;
        }
        if let Some((_, thrower)) = streams.remove(&stream) {
            // It may have given up by now.
            let _ = thrower.send(());
        }
        true
    }

    fn forget(&self, stream: u32) {
        self.streams().remove(&stream);
    }

    fn streams(&self) -> MutexGuard<'_, BTreeMap<u32, (u64, oneshot::Sender<()>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A frame that says nothing (PING, RFC 9113 section 6.7), for clients that have sent and received everything and do not see it until
/// something comes: curl, where it was answered before it had sent everything.
#[derive(Clone)]
pub(super) struct Nudge(Arc<Mutex<PingPong>>);

impl Nudge {
    pub fn new(ping_pong: PingPong) -> Self {
        Self(Arc::new(Mutex::new(ping_pong)))
    }

    fn send(&self) {
        let mut ping_pong = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The answer to an earlier one is forgotten. If it is still on its way, that one says the same.
        let _ = ping_pong.poll_pong(&mut Context::from_waker(Waker::noop()));
        let _ = ping_pong.send_ping(Ping::opaque());
    }
}

/// What whoever answers a request has to know of its content.
#[derive(Default)]
pub(super) struct Coming {
    /// The client is to be asked for it.
    is_due: AtomicBool,
    task: AtomicWaker,
    /// All of it was taken.
    is_over: AtomicBool,
}

impl Coming {
    /// Whether some of it may still be on its way.
    pub fn is_unread(&self) -> bool {
        !self.is_over.load(Ordering::Acquire)
    }

    /// Whether the client is to be asked now; wakes the task of `cx` when it is.
    pub fn is_due(&self, cx: &Context<'_>) -> bool {
        self.task.register(cx.waker());
        self.is_due.swap(false, Ordering::AcqRel)
    }

    fn ask(&self) {
        self.is_due.store(true, Ordering::Release);
        self.task.wake();
    }
}

impl Streamed {
    pub(super) fn new(
        stream: RecvStream,
        headers: &HeaderMap,
        activity: &Arc<Activity>,
        nudge: Option<&Nudge>,
    ) -> Self {
        let is_asked_for = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
        // A request without content takes nothing that is shared.
        let is_coming = !stream.is_end_stream();
        Self {
            declared: length(headers),
            taken: 0,
            is_data_done: false,
            waits: headers.get(header::EXPECT).is_some_and(is_asked_for),
            coming: is_coming.then(Arc::default),
            unwanted: is_coming.then(|| (activity.clone(), nudge.cloned())),
            stream: Some(stream),
        }
    }

    /// None where there is no content.
    pub(super) fn coming(&self) -> Option<Arc<Coming>> {
        self.coming.clone()
    }

    /// The stream itself, for whatever else it carries.
    pub fn into_stream(mut self) -> Option<RecvStream> {
        self.stream.take()
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, h2::Error>>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(None);
        };
        let polled = stream.poll_data(cx);
        match &polled {
            Poll::Pending => {
                if let (true, Some(coming)) = (std::mem::take(&mut self.waits), &self.coming) {
                    coming.ask();
                }
            }
            Poll::Ready(Some(Ok(bytes))) => {
                // The client may send as much again. A stream that has ended needs no window.
                let _ = stream.flow_control().release_capacity(bytes.len());
                self.taken += bytes.len() as u64;
            }
            Poll::Ready(_) => {}
        }
        polled
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if !self.is_data_done {
            match ready!(self.poll_data(cx)) {
                Some(data) => return Poll::Ready(Some(data.map(Frame::data))),
                None => {
                    self.is_data_done = true;
                    if let Some(coming) = &self.coming {
                        coming.is_over.store(true, Ordering::Release);
                    }
                }
            }
        }
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(None);
        };
        let trailers = ready!(stream.poll_trailers(cx));
        Poll::Ready(trailers.map(|trailers| trailers.map(Frame::trailers)).transpose())
    }
}

impl Drop for Streamed {
    /// Nobody wants the rest, which the client may be in the middle of sending.
    fn drop(&mut self) {
        let stream = self.stream.take().filter(|stream| !stream.is_end_stream());
        if let (Some(stream), Some((activity, nudge)), Ok(runtime)) =
            (stream, self.unwanted.take(), Handle::try_current())
        {
            // Noted before the answer goes out.
            let number = stream.stream_id().as_u32();
            let early = self.declared.map(|bytes| activity.unwanted.ends_early(number, bytes));
            runtime.spawn(async move {
                // What has not ended by then is reset.
                let _ = timeout(LINGER, throw_away(stream, early, nudge)).await;
                activity.unwanted.forget(number);
            });
        }
    }
}

/// Takes what still comes, and makes room for more, until it ends.
async fn throw_away(mut stream: RecvStream, early: Option<oneshot::Receiver<()>>, nudge: Option<Nudge>) {
    let all = async {
        while let Some(data) = poll_fn(|cx| stream.poll_data(cx)).await {
            let Ok(bytes) = data else { return };
            let _ = stream.flow_control().release_capacity(bytes.len());
        }
        if let Some(nudge) = nudge {
            nudge.send();
        }
    };
    match early {
        Some(early) => drop(select(pin!(all), early).await),
        None => all.await,
    }
}

/// How many bytes the head says that the content has. Where several fields say it they agree, or nobody reads it (`dispatch/http2.rs`).
fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

impl Body for Content {
    type Data = Bytes;
    type Error = ErrorCode;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        match self.get_mut() {
            Self::Http1(body) => {
                let frame = ready!(Pin::new(body).poll_frame(cx));
                Poll::Ready(frame.map(|frame| frame.map_err(|error| wharf_host::http::broken_off(&error))))
            }
            Self::Http2(body) => match ready!(body.poll_frame(cx)) {
                // Whoever has its answer need not send the rest (RFC 9113 section 8.1).
                Some(Err(error)) if error.reason() == Some(Reason::NO_ERROR) => Poll::Ready(None),
                frame => Poll::Ready(frame.map(|frame| frame.map_err(|_| ErrorCode::ConnectionTerminated))),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.stream.as_ref().is_none_or(RecvStream::is_end_stream),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body) => {
                let left = body.declared.map(|bytes| bytes.saturating_sub(body.taken));
                left.map_or_else(SizeHint::default, SizeHint::with_exact)
            }
        }
    }
}
