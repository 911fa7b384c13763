//! The body of a response on its way to hyper, as long as which its request lasts.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio_util::sync::WaitForCancellationFutureOwned;
use wharf_host::http::{ErrorCode, Payload};

use super::activity::{Begun, Traffic};
use super::streams::{OpenStream, Piece};
use crate::app::App;

/// How much of a response over HTTP/2 the library is given at a time: a frame's worth, so that it holds little of one that is
/// not taken.
const PIECE_BYTES: usize = 16 << 10;

/// A response's body.
pub(crate) struct Answer {
    body: Payload,
    request: Request,
    /// Of a piece that was too large.
    left: Bytes,
    /// What the body ended with, for when everything before it is written.
    last: Option<Option<Frame<Piece>>>,
    /// Made when this one first has to wait.
    cut: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

/// How much of a response over HTTP/1.1 the library is given before that is written: two of the pieces that guests mostly write. By
/// itself it would hold several times as much of each response that is not taken.
const UNWRITTEN_BYTES: u64 = 64 << 10;

enum Request {
    /// Its connection carries nothing else now.
    Alone(Begun, Handed),
    Stream(Arc<OpenStream>),
}

/// What the library was given of a response over HTTP/1.1.
#[derive(Default)]
struct Handed {
    bytes: u64,
    /// What the connection had written before the first of it.
    written_before: Option<u64>,
}

impl Handed {
    /// Ready when so little of it waits to be written that there may be more.
    fn poll_room(&self, traffic: &Traffic, cx: &Context<'_>) -> Poll<()> {
        let Some(before) = self.written_before else {
            return Poll::Ready(());
        };
        // What frames it counts as well, so that this is a little less than what waits.
        let written = traffic.written().0 - before;
        match self.bytes.saturating_sub(written) > UNWRITTEN_BYTES {
            true => traffic.poll_next_write(cx),
            false => Poll::Ready(()),
        }
    }

    fn hand(&mut self, bytes: usize, traffic: &Traffic) {
        self.written_before.get_or_insert_with(|| traffic.written().0);
        self.bytes += bytes as u64;
    }
}

type Polled = Poll<Option<Result<Frame<Piece>, ErrorCode>>>;

impl Answer {
    pub fn new(request: Begun, body: Payload) -> Self {
        let request = match !body.is_end_stream() && request.activity().is_http2() {
            true => Request::Stream(request.activity().clone().response_begins(request)),
            false => Request::Alone(request, Handed::default()),
        };
        Self {
            body,
            request,
            left: Bytes::new(),
            last: None,
            cut: None,
        }
    }

    fn request(&self) -> Option<&Begun> {
        match &self.request {
            Request::Alone(request, _) => Some(request),
            Request::Stream(stream) => stream.request(),
        }
    }

    /// The stream of HTTP/2 that carries the rest of it, if there is a rest.
    pub fn stream(&self) -> Option<Arc<OpenStream>> {
        match &self.request {
            Request::Alone(..) => None,
            Request::Stream(stream) => Some(stream.clone()),
        }
    }

    fn app(&self) -> Option<&App> {
        self.request()?.app()
    }

    fn is_answered(&self) {
        if let Some(request) = self.request() {
            request.is_answered();
        }
    }

    fn is_cut(&self) -> bool {
        self.app().is_some_and(|app| app.inner().cut.is_cancelled())
    }

    fn break_off(&mut self, code: ErrorCode) -> Polled {
        if let Some(request) = self.request() {
            request.broke_off(&code);
        }
        Poll::Ready(Some(Err(code)))
    }

    /// Ready when the app's responses are to break off.
    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.cut.is_none() {
            let app = self.app();
            self.cut = app.map(|app| Box::pin(app.inner().cut.clone().cancelled_owned()));
        }
        match &mut self.cut {
            Some(cut) => cut.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }

    /// The response is longer than a piece. While one is not all written, somebody has to stay who can end it; a short one is
    /// worth no second frame.
    fn is_long(&self) -> bool {
        match &self.request {
            Request::Alone(..) => false,
            Request::Stream(stream) => stream.handed() > PIECE_BYTES as u64,
        }
    }

    /// The next piece of what is there.
    fn piece(&mut self) -> Polled {
        let piece = match &mut self.request {
            Request::Alone(request, handed) => {
                handed.hand(self.left.len(), &request.activity().traffic);
                Piece::from(std::mem::take(&mut self.left))
            }
            Request::Stream(stream) => stream.hand(self.left.split_to(PIECE_BYTES.min(self.left.len()))),
        };
        if self.left.is_empty() && self.body.is_end_stream() {
            self.is_answered();
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn poll_last(&mut self, cx: &Context<'_>) -> Polled {
        if let Request::Stream(stream) = &self.request
            && self.is_long()
        {
            ready!(stream.poll_taken(cx));
        }
        Poll::Ready(self.last.take().flatten().map(Ok))
    }
}

impl Body for Answer {
    type Data = Piece;
    type Error = ErrorCode;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        if self.is_cut() {
            return self.break_off(ErrorCode::ConnectionTerminated);
        }
        if !self.left.is_empty() {
            return self.piece();
        }
        if self.last.is_some() {
            return self.poll_last(cx);
        }
        if let Request::Alone(request, handed) = &self.request
            && handed.poll_room(&request.activity().traffic, cx).is_pending()
        {
            return match self.poll_cut(cx) {
                Poll::Ready(()) => self.break_off(ErrorCode::ConnectionTerminated),
                Poll::Pending => Poll::Pending,
            };
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => {
                    self.left = data;
                    return self.piece();
                }
                Err(trailers) => self.last = Some(trailers.into_trailers().ok().map(Frame::trailers)),
            },
            Poll::Ready(None) => self.last = Some(None),
            Poll::Ready(Some(Err(code))) => return self.break_off(code),
            Poll::Pending if self.poll_cut(cx).is_ready() => return self.break_off(ErrorCode::ConnectionTerminated),
            Poll::Pending => return Poll::Pending,
        }
        self.is_answered();
        self.poll_last(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && self.last.is_none() && self.body.is_end_stream() && !self.is_long()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Request::Stream(stream) = &self.request {
            stream.is_handed_over();
        }
    }
}
