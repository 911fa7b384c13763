//! A connection that speaks HTTP/2 (RFC 9113): its requests as they come, each carried by a task of its own, so that they run on
//! all processors, and so that each can be ended by itself.
//!
//! Frames, the compression of heads and windows are the library's, and what that leaves out is `frames.rs`'s. Content on its way
//! in is `content.rs`'s, on its way out `answer.rs`'s.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{Buf as _, Bytes};
use h2::server::{self, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body::Body as _;
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;

use super::Handler;
use super::answer::Answer;
use super::content::{Coming, Content, Nudge, Streamed};
use super::streams::{OpenStream, Piece};

/// A connection under way.
pub(super) struct Http2<T> {
    state: State<T>,
    handler: Handler,
    nudge: Option<Nudge>,
    is_closing: bool,
}

enum State<T> {
    /// The client's preface is still to come.
    Begins(server::Handshake<T, Piece>),
    Serves(server::Connection<T, Piece>),
}

impl<T: AsyncRead + AsyncWrite + Unpin> Http2<T> {
    pub fn new(io: T, library: &server::Builder, handler: Handler) -> Self {
        Self {
            state: State::Begins(library.handshake(io)),
            handler,
            nudge: None,
            is_closing: false,
        }
    }

    /// Takes no further requests, and tells the client so (GOAWAY, RFC 9113 section 6.8).
    pub fn close(&mut self) {
        self.is_closing = true;
        if let State::Serves(connection) = &mut self.state {
            connection.graceful_shutdown();
        }
    }

    /// Takes requests until the connection has ended.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        loop {
            match &mut self.state {
                State::Begins(handshake) => {
                    let mut connection = ready!(Pin::new(handshake).poll(cx))?;
                    if self.is_closing {
                        connection.graceful_shutdown();
                    }
                    self.nudge = connection.ping_pong().map(Nudge::new);
                    self.state = State::Serves(connection);
                }
                State::Serves(connection) => match ready!(connection.poll_accept(cx)) {
                    Some(accepted) => {
                        let (request, respond) = accepted?;
                        self.handler.carry(request, respond, self.nudge.as_ref());
                    }
                    None => return Poll::Ready(Ok(())),
                },
            }
        }
    }
}

impl Handler {
    fn carry(&self, request: Request<RecvStream>, respond: SendResponse<Piece>, nudge: Option<&Nudge>) {
        let (head, stream) = request.into_parts();
        let content = Streamed::new(stream, &head.headers, &self.activity, nudge);
        let coming = content.coming();
        let answer = self.answer(Request::from_parts(head, Content::Http2(content)));
        tokio::spawn(Carried {
            phase: Phase::Answers { answer },
            respond,
            coming,
        });
    }
}

pin_project! {
    /// A request's stream, until its response is with the library, or its client does not want it any more. A stream that is let
    /// go of before its end is reset by the library.
    struct Carried<F> {
        #[pin]
        phase: Phase<F>,
        respond: SendResponse<Piece>,
        coming: Option<Arc<Coming>>,
    }
}

pin_project! {
    #[project = PhaseProjection]
    enum Phase<F> {
        Answers {
            #[pin]
            answer: F,
        },
        Writes {
            writing: Writing,
        },
    }
}

impl<F: Future<Output = Response<Answer>>> Future for Carried<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut carried = self.project();
        if let PhaseProjection::Answers { answer } = carried.phase.as_mut().project() {
            let Poll::Ready(response) = answer.poll(cx) else {
                return poll_left(carried.respond, carried.coming.as_deref(), cx);
            };
            let is_unread = carried.coming.as_ref().is_some_and(|coming| coming.is_unread());
            match respond(response, carried.respond, is_unread) {
                Ok(Some(writing)) => carried.phase.set(Phase::Writes { writing }),
                Ok(None) => return Poll::Ready(()),
                Err(error) => {
                    tracing::debug!(%error, "a response could not begin");
                    carried.respond.send_reset(Reason::INTERNAL_ERROR);
                    return Poll::Ready(());
                }
            }
        }
        let PhaseProjection::Writes { writing } = carried.phase.project() else {
            return Poll::Ready(());
        };
        let ended = ready!(writing.poll(cx));
        if let Err(error) = ended {
            tracing::debug!(%error, "a stream ended");
        }
        Poll::Ready(())
    }
}

/// Ready once the client wants no answer any more. Asks it for its content meanwhile, when somebody wants that.
fn poll_left(respond: &mut SendResponse<Piece>, coming: Option<&Coming>, cx: &mut Context<'_>) -> Poll<()> {
    if coming.is_some_and(|coming| coming.is_due(cx)) {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::CONTINUE;
        // The stream may have ended, which the next line tells.
        let _ = respond.send_informational(response);
    }
    respond.poll_reset(cx).map(drop)
}

/// Begins a response. What is left to be written of it, if anything is.
///
/// Whoever may still be sending is not told its length: curl then reads no further than that, hears nothing of the windows it is given,
/// and waits for them without end. The end of the stream says the same.
fn respond(
    response: Response<Answer>,
    respond: &mut SendResponse<Piece>,
    is_unread: bool,
) -> Result<Option<Writing>, h2::Error> {
    let (mut head, body) = response.into_parts();
    complete(&mut head.headers);
    if let Some(opening) = head.extensions.remove::<Opening>() {
        opening.open(respond.send_response(Response::from_parts(head, ()), false)?);
        return Ok(None);
    }
    let is_whole = body.is_end_stream();
    if is_unread && !is_whole {
        head.headers.remove(header::CONTENT_LENGTH);
    } else if let (false, Some(bytes)) = (is_whole, body.size_hint().exact()) {
        let length = head.headers.entry(header::CONTENT_LENGTH);
        length.or_insert_with(|| HeaderValue::from(bytes));
    }
    let send = respond.send_response(Response::from_parts(head, ()), is_whole)?;
    Ok((!is_whole).then(|| Writing {
        stream: body.stream(),
        body,
        send,
        waiting: None,
    }))
}

/// The rest of a response.
struct Writing {
    body: Answer,
    send: SendStream<Piece>,
    /// What waits for the client's window, and whether it is the last.
    waiting: Option<(Piece, bool)>,
    stream: Option<Arc<OpenStream>>,
}

impl Writing {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        if let Some(stream) = &self.stream
            && stream.is_over_for(cx)
        {
            return Poll::Ready(Ok(()));
        }
        loop {
            if let Poll::Ready(reason) = self.send.poll_reset(cx)? {
                return Poll::Ready(Err(reason.into()));
            }
            if self.waiting.is_some() {
                if !ready!(poll_window(&mut self.send, cx))? {
                    return Poll::Ready(Ok(()));
                }
                if let Some((piece, is_last)) = self.waiting.take() {
                    self.send.send_data(piece, is_last)?;
                    if is_last {
                        return Poll::Ready(Ok(()));
                    }
                }
            }
            if ready!(self.poll_piece(cx))? {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Takes the next of the response, and says whether that was its end.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, h2::Error>> {
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            // Why it broke off was said where it did.
            Some(Err(_)) => {
                self.send.send_reset(Reason::INTERNAL_ERROR);
                return Poll::Ready(Ok(true));
            }
            None => return Poll::Ready(self.send.send_data(Bytes::new().into(), true).map(|()| true)),
        };
        match frame.into_data() {
            Ok(piece) => {
                let is_last = self.body.is_end_stream();
                if !piece.has_remaining() {
                    return Poll::Ready(self.send.send_data(piece, is_last).map(|()| is_last));
                }
                // A window is asked for once there is something to be sent: what is asked for is taken from all others.
                self.send.reserve_capacity(1);
                self.waiting = Some((piece, is_last));
                Poll::Ready(Ok(false))
            }
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                self.send.reserve_capacity(0);
                Poll::Ready(self.send.send_trailers(trailers).map(|()| true))
            }
        }
    }
}

/// Waits until the client takes something more, unless the stream has ended, which is false.
pub(super) fn poll_window(send: &mut SendStream<Piece>, cx: &mut Context<'_>) -> Poll<Result<bool, h2::Error>> {
    while send.capacity() == 0 {
        if ready!(send.poll_capacity(cx)).transpose()?.is_none() {
            return Poll::Ready(Ok(false));
        }
    }
    Poll::Ready(Ok(true))
}

/// In a response's extensions: whoever waits for the stream itself, which carries something else from then on (RFC 8441).
#[derive(Clone)]
pub(crate) struct Opening(Arc<Mutex<Option<oneshot::Sender<SendStream<Piece>>>>>);

impl Opening {
    pub fn new() -> (Self, oneshot::Receiver<SendStream<Piece>>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Arc::new(Mutex::new(Some(sender)))), receiver)
    }

    fn open(&self, stream: SendStream<Piece>) {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Nobody waits any more: the stream is reset.
        let _ = sender.map(|sender| sender.send(stream));
    }
}

/// What HTTP/2 says by other means (RFC 9113 section 8.2.2).
const OF_CONNECTION: [HeaderName; 5] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
];

/// Takes out what no response over HTTP/2 has, and adds what each has.
fn complete(headers: &mut HeaderMap) {
    for name in &OF_CONNECTION {
        headers.remove(name);
    }
    if let Some(names) = headers.remove(header::CONNECTION)
        && let Ok(names) = names.to_str()
    {
        for name in names.split(',') {
            headers.remove(name.trim());
        }
    }
    headers.entry(header::DATE).or_insert_with(date);
}

/// The time as a field has it (RFC 9110 section 5.6.7), made once a second.
fn date() -> HeaderValue {
    thread_local! {
        static LAST: RefCell<(u64, HeaderValue)> = const { RefCell::new((0, HeaderValue::from_static(""))) };
    }
    let now = SystemTime::now();
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    LAST.with_borrow_mut(|(last, value)| {
        if *last != seconds {
            *last = seconds;
            // Such a text is a value.
            *value = HeaderValue::try_from(httpdate::fmt_http_date(now)).unwrap_or_else(|_| value.clone());
        }
        value.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_completed() {
        let fields = [
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("te", "trailers"),
            ("keep-alive", "1"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h3"),
            ("proxy-connection", "close"),
            ("x-end", "1"),
            ("date", "yesterday"),
        ];
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, HeaderValue::from_static(value));
        }
        complete(&mut headers);
        assert_eq!(headers.len(), 2, "{headers:?}");
        assert_eq!(headers["x-end"], "1");
        assert_eq!(headers[header::DATE], "yesterday");
    }

    #[test]
    fn dates_are_of_now() {
        let read = |value: HeaderValue| httpdate::parse_http_date(value.to_str().unwrap()).unwrap();
        let before = SystemTime::now() - std::time::Duration::from_secs(1);
        let (first, second) = (read(date()), read(date()));
        assert!(before <= first && first <= second && second <= SystemTime::now());
    }
}
