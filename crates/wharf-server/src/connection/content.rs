//! The content of a request as its connection brings it, whatever that speaks.
//!
//! What a request may bring is `reading.rs`'s.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use h2::{Reason, RecvStream};
use http::HeaderMap;
use http::header::{self, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use wharf_host::http::ErrorCode;

/// What a request brings.
pub(crate) enum Content {
    Http1(Incoming),
    Http2(Streamed),
}

/// The content of a request over HTTP/2, whose client may send more of it as it is taken.
pub(crate) struct Streamed {
    stream: RecvStream,
    /// Bytes that are still to come, where the head says how many.
    left: Option<u64>,
    /// Everything came but the trailers.
    is_data_done: bool,
    invitation: Option<Arc<Invitation>>,
}

/// Who waits for a client that waits to be asked for its content (RFC 9110 section 10.1.1).
#[derive(Default)]
pub(super) struct Invitation {
    is_due: AtomicBool,
    task: AtomicWaker,
}

impl Invitation {
    /// Whether the client is to be asked now; wakes the task of `cx` when it is.
    pub fn is_due(&self, cx: &Context<'_>) -> bool {
        self.task.register(cx.waker());
        self.is_due.swap(false, Ordering::AcqRel)
    }

    fn send(&self) {
        self.is_due.store(true, Ordering::Release);
        self.task.wake();
    }
}

impl Streamed {
    pub(super) fn new(stream: RecvStream, headers: &HeaderMap) -> Self {
        let is_asked_for = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
        let waits = headers.get(header::EXPECT).is_some_and(is_asked_for);
        Self {
            stream,
            left: length(headers),
            is_data_done: false,
            invitation: waits.then(Arc::default),
        }
    }

    pub(super) fn invitation(&self) -> Option<Arc<Invitation>> {
        self.invitation.clone()
    }

    /// The stream itself, for whatever else it carries.
    pub fn into_stream(self) -> RecvStream {
        self.stream
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, h2::Error>>> {
        let polled = self.stream.poll_data(cx);
        match &polled {
            Poll::Pending => {
                if let Some(invitation) = self.invitation.take() {
                    invitation.send();
                }
            }
            Poll::Ready(Some(Ok(bytes))) => {
                // The client may send as much again. A stream that has ended needs no window.
                let _ = self.stream.flow_control().release_capacity(bytes.len());
                self.left = self.left.map(|left| left.saturating_sub(bytes.len() as u64));
            }
            Poll::Ready(_) => {}
        }
        polled
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if !self.is_data_done {
            match ready!(self.poll_data(cx)) {
                Some(data) => return Poll::Ready(Some(data.map(Frame::data))),
                None => self.is_data_done = true,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(cx));
        Poll::Ready(trailers.map(|trailers| trailers.map(Frame::trailers)).transpose())
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
            Self::Http2(body) => body.stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body) => body.left.map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}
