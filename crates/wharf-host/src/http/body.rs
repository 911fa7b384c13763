//! Bodies, in both directions.
//!
//! A [`Payload`] is a body as everything outside the guest sees it. How one comes about that a guest writes is in
//! `body/written.rs`, how a guest reads one in `body/received.rs`, what its trailers may say in `body/trailers.rs`.

mod lent;
mod received;
mod trailers;
mod written;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tokio::task::AbortHandle;
use wasmtime::component::{FutureReader, Resource};

use super::bindings::wasi::http::types::ErrorCode;
use super::callers::Caller;
use super::fields::Fields;
use super::legacy::Outgoing;

pub(crate) use lent::Lender;
pub(crate) use received::consume;
pub(crate) use written::{Direction, GuestBody, Settled, adopt};

/// What a guest resolves its trailers with.
pub(crate) type GuestTrailers = FutureReader<Result<Option<Resource<Fields>>, ErrorCode>>;

type ReceivedTrailers = Result<Option<HeaderMap>, ErrorCode>;

/// A message's body. As an [`http_body::Body`] its error is the guest's `error-code`.
#[derive(Debug, Default)]
pub struct Payload {
    kind: Kind,
    owner: Option<Owner>,
}

#[derive(Default)]
enum Kind {
    #[default]
    Empty,
    Full(Bytes),
    Incoming(hyper::body::Incoming),
    Boxed(super::Body),
    Legacy(Outgoing),
    Guest(GuestBody),
    Lent(lent::Lent),
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Empty => "Empty",
            Self::Full(_) => "Full",
            Self::Incoming(_) => "Incoming",
            Self::Boxed(_) => "Boxed",
            Self::Legacy(_) => "Legacy",
            Self::Guest(_) => "Guest",
            Self::Lent(_) => "Lent",
        })
    }
}

/// What learns that a body was dropped before its end: whoever read it is gone.
#[derive(Debug)]
pub(crate) enum Owner {
    /// The instance that writes it, in a task of its own, which ends.
    Task(AbortHandle),
    /// The request of a shared instance that it answers.
    Shared(Caller),
}

impl Owner {
    fn reader_left(&self) {
        match self {
            Self::Task(task) => task.abort(),
            Self::Shared(caller) => caller.leave(),
        }
    }
}

impl Payload {
    fn new(kind: Kind) -> Self {
        Self { kind, owner: None }
    }

    pub(crate) fn guest(body: GuestBody) -> Self {
        Self::new(Kind::Guest(body))
    }

    /// A body that can be taken back, and what takes it back. One that has ended is nothing to take.
    pub(crate) fn lend(self) -> (Self, Option<Lender>) {
        if http_body::Body::is_end_stream(&self) {
            return (self, None);
        }
        let (lent, lender) = lent::lend(self);
        (Self::new(Kind::Lent(lent)), Some(lender))
    }

    /// The guest body inside, if a guest of this store made it.
    pub(crate) fn as_guest(&self) -> Option<&GuestBody> {
        match &self.kind {
            Kind::Guest(body) => Some(body),
            _ => None,
        }
    }

    /// Tells `owner` when this body is dropped before its end.
    pub(crate) fn set_owner(&mut self, owner: Owner) {
        self.owner = Some(owner);
    }

    /// Drops the body without ending what writes it: nobody is to read it, by the rules of HTTP.
    pub fn discard(mut self) {
        self.owner = None;
        if let Kind::Guest(body) = &self.kind {
            body.receipt().arrived();
        }
    }

    /// All of it is there: it cannot break off.
    pub fn is_whole(&self) -> bool {
        matches!(self.kind, Kind::Empty | Kind::Full(_))
    }

    /// The reader has had all it can have. A body of a known length is not read past its last byte.
    fn is_delivered(&self) -> bool {
        match &self.kind {
            Kind::Guest(body) => body.is_delivered(),
            _ => http_body::Body::is_end_stream(self),
        }
    }

    /// Why this body will break off, if that is known before it is read.
    pub(crate) fn failed(&self) -> Option<ErrorCode> {
        match &self.kind {
            Kind::Guest(body) => body.failed(),
            Kind::Legacy(body) => body.failed(),
            Kind::Empty | Kind::Full(_) | Kind::Incoming(_) | Kind::Boxed(_) | Kind::Lent(_) => None,
        }
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        if let Some(owner) = self.owner.take()
            && !self.is_delivered()
        {
            owner.reader_left();
        }
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Self::new(if bytes.is_empty() {
            Kind::Empty
        } else {
            Kind::Full(bytes)
        })
    }
}

impl From<hyper::body::Incoming> for Payload {
    fn from(body: hyper::body::Incoming) -> Self {
        Self::new(if http_body::Body::is_end_stream(&body) {
            Kind::Empty
        } else {
            Kind::Incoming(body)
        })
    }
}

impl From<Outgoing> for Payload {
    fn from(body: Outgoing) -> Self {
        Self::new(Kind::Legacy(body))
    }
}

impl From<super::Body> for Payload {
    fn from(body: super::Body) -> Self {
        Self::new(Kind::Boxed(body))
    }
}

impl http_body::Body for Payload {
    type Data = Bytes;
    type Error = ErrorCode;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        let mut frame = match &mut self.kind {
            Kind::Empty => return Poll::Ready(None),
            Kind::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.kind = Kind::Empty;
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            Kind::Incoming(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(|e| broken_off(&e)))),
            Kind::Boxed(body) => Pin::new(body).poll_frame(cx),
            Kind::Legacy(body) => Pin::new(body).poll_frame(cx),
            Kind::Guest(body) => Pin::new(body).poll_frame(cx),
            Kind::Lent(body) => Pin::new(body).poll_frame(cx),
        };
        // In place: pieces of content pass here by the hundred, and are not to be moved about for what is not in them.
        if let Poll::Ready(Some(Ok(found))) = &mut frame
            && let Some(fields) = found.trailers_mut()
            && !trailers::permit(fields)
        {
            frame = Poll::Ready(None);
        }
        // Ended or broken off by its writer, who may go on with other work.
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            self.owner = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Full(_) => false,
            Kind::Incoming(body) => body.is_end_stream(),
            Kind::Boxed(body) => body.is_end_stream(),
            Kind::Legacy(body) => body.is_end_stream(),
            Kind::Guest(body) => body.is_end_stream(),
            Kind::Lent(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Incoming(body) => body.size_hint(),
            Kind::Boxed(body) => body.size_hint(),
            Kind::Legacy(body) => body.size_hint(),
            Kind::Guest(body) => body.size_hint(),
            Kind::Lent(body) => body.size_hint(),
        }
    }
}

/// Whether what came is no body, and not merely less than all of one. hyper has these two for chunks and trailers that are none.
fn is_malformed(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| matches!(cause.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput))
}

/// What a guest sees when the peer's body breaks off.
pub fn broken_off(error: &hyper::Error) -> ErrorCode {
    if error.is_timeout() {
        ErrorCode::ConnectionReadTimeout
    } else if error.is_parse() || error.is_user() || is_malformed(error) {
        ErrorCode::HttpProtocolError
    } else {
        ErrorCode::ConnectionTerminated
    }
}
