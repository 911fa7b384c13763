//! A body that can be taken back from who holds it.
//!
//! A guest that several requests share, or that is used again, may keep a request's body without reading it, also when the client has
//! left or has its answer; what the body holds of the connection, and has buffered, must not be kept with it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::super::bindings::wasi::http::types::ErrorCode;
use super::Payload;

/// Lends `body`.
pub(super) fn lend(body: Payload) -> (Lent, Lender) {
    let slot = Arc::new(Mutex::new(Slot {
        body: Some(body),
        reader: None,
    }));
    (Lent(slot.clone()), Lender(slot))
}

/// The body, as long as it is not taken back. After that it has broken off.
pub(super) struct Lent(Arc<Mutex<Slot>>);

/// Takes the body back.
#[derive(Debug)]
pub(crate) struct Lender(Arc<Mutex<Slot>>);

#[derive(Debug)]
struct Slot {
    body: Option<Payload>,
    /// Who waits for more of it.
    reader: Option<Waker>,
}

impl Lender {
    /// Whether somebody still holds the body.
    pub fn is_lent(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).body.is_some()
    }

    /// Drops the body, whoever holds it.
    pub fn take_back(&self) {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (body, reader) = (slot.body.take(), slot.reader.take());
        drop(slot);
        drop(body);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl Drop for Lent {
    /// The lender may be kept for long, and the body must not be kept with it.
    fn drop(&mut self) {
        let body = self.0.lock().unwrap_or_else(PoisonError::into_inner).body.take();
        drop(body);
    }
}

impl http_body::Body for Lent {
    type Data = Bytes;
    type Error = ErrorCode;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(body) = &mut slot.body else {
            return Poll::Ready(Some(Err(ErrorCode::ConnectionTerminated)));
        };
        let polled = Pin::new(body).poll_frame(cx);
        slot.reader = polled.is_pending().then(|| cx.waker().clone());
        polled
    }

    fn is_end_stream(&self) -> bool {
        let slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slot.body.as_ref().is_some_and(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slot.body
            .as_ref()
            .map_or_else(SizeHint::default, http_body::Body::size_hint)
    }
}
