//! One request and its response on a connection: heads made fit for the protocol, bodies streamed both ways, timeouts,
//! and the end of all of it when the guest loses interest.

mod heads;

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::header::{self, HeaderMap};
use http::{Request, Response, StatusCode, Uri};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep, timeout_at};
use wharf_host::http::{Body, ErrorCode, RequestOptions};

use self::heads::{fit_http1, fit_http2, fit_proxy};
use super::failure::{self, Phase};
use super::pool::Lease;

pub(super) use self::heads::strip_hop_by_hop;

/// What a guest gets.
pub(super) type Answer = Result<Response<Body>, ErrorCode>;

/// A guest may ask for centuries; clocks may not be able to add them.
const TIMEOUT_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// How long each step may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    pub connect: Duration,
    pub first_byte: Duration,
    pub between_bytes: Duration,
    /// Whether `first_byte` counts anew with each piece of the request's body.
    pub first_byte_restarts: bool,
}

impl Timeouts {
    /// These, where the guest asks for nothing else.
    pub(super) fn with(self, options: RequestOptions) -> Self {
        Self {
            connect: options.connect_timeout.unwrap_or(self.connect).min(TIMEOUT_MAX),
            first_byte: options.first_byte_timeout.unwrap_or(self.first_byte).min(TIMEOUT_MAX),
            between_bytes: options
                .between_bytes_timeout
                .unwrap_or(self.between_bytes)
                .min(TIMEOUT_MAX),
            first_byte_restarts: self.first_byte_restarts && options.first_byte_timeout.is_none(),
        }
    }
}

/// What became of one attempt.
pub(super) enum Outcome {
    Answered(Response<Body>),
    /// Nothing of the request was worked on; here it is, unused, with what a guest is told if nobody tries again.
    NotSent(Request<Outgoing>, ErrorCode),
    Failed(ErrorCode),
}

/// A request as it can go over any connection, and where its body reports to.
pub(super) fn outgoing(request: Request<Body>) -> (Request<Outgoing>, Arc<Upload>) {
    let upload = Arc::new(Upload::new());
    let (mut head, body) = request.into_parts();
    strip_hop_by_hop(&mut head.headers);
    head.headers.remove(header::HOST);
    if head.headers.get(header::TE).is_some_and(|te| te != "trailers") {
        head.headers.remove(header::TE);
    }
    let body = Outgoing {
        declared: declared_length(&head.headers),
        sent: 0,
        ends_with_head: false,
        inner: Some(body),
        upload: upload.clone(),
    };
    (Request::from_parts(head, body), upload)
}

/// Sends `request` on the connection of `lease` and waits for the head of the response. `uri` is the request's own,
/// absolute one.
pub(super) async fn run(
    lease: Lease,
    mut request: Request<Outgoing>,
    uri: &Uri,
    upload: &Arc<Upload>,
    timeouts: Timeouts,
) -> Outcome {
    let mut exchange = Exchange {
        lease: Some(lease),
        upload: upload.clone(),
    };
    let Some(lease) = &mut exchange.lease else {
        return Outcome::Failed(ErrorCode::InternalError(None));
    };
    let mut at_proxy = false;
    let (answer, phase, replay) = match lease {
        Lease::Http1(lease) => {
            fit_http1(&mut request, uri);
            if let Some(forwarding) = &lease.forwarding {
                at_proxy = true;
                fit_proxy(&mut request, uri, forwarding);
            }
            let received = lease.received.bytes();
            let answer = first_byte(lease.sender.try_send_request(request), timeouts, upload).await;
            let phase = if lease.received.bytes() > received {
                Phase::Answering
            } else {
                Phase::Unanswered
            };
            (answer, phase, None)
        }
        Lease::Http2(lease) => {
            fit_http2(&mut request, uri);
            // A request without a body can be sent again when the origin says it did not look at it.
            let replay = request
                .body()
                .is_end_stream()
                .then(|| copy_without_body(&request, upload));
            let answer = first_byte(lease.sender.try_send_request(request), timeouts, upload).await;
            (answer, Phase::Unanswered, replay)
        }
    };
    match answer {
        // RFC 9209 section 2.3: no data came in time. Its `http_response_timeout` is for whole responses.
        None => Outcome::Failed(ErrorCode::ConnectionReadTimeout),
        Some(Ok(response)) if at_proxy && response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            tracing::warn!("the proxy for outgoing requests asks for another user or password");
            Outcome::Failed(ErrorCode::ConfigurationError)
        }
        Some(Ok(response)) => answered(response, exchange, timeouts),
        Some(Err(mut error)) => {
            let code = upload
                .fault()
                .unwrap_or_else(|| failure::of_exchange(error.error(), phase));
            let replay = replay.filter(|_| failure::is_unprocessed(error.error()));
            match error.take_message().or(replay) {
                Some(request) => {
                    exchange.leave();
                    Outcome::NotSent(request, code)
                }
                None => Outcome::Failed(code),
            }
        }
    }
}

/// Waits for the head of the response; `None` when it takes too long.
async fn first_byte<T>(answer: impl Future<Output = T>, timeouts: Timeouts, upload: &Upload) -> Option<T> {
    let mut answer = pin!(answer);
    let mut until = Instant::now() + timeouts.first_byte;
    loop {
        if let Ok(answer) = timeout_at(until, answer.as_mut()).await {
            return Some(answer);
        }
        let later = upload.last_progress() + timeouts.first_byte;
        if !timeouts.first_byte_restarts || later <= until {
            return None;
        }
        until = later;
    }
}

fn answered(response: Response<Incoming>, mut exchange: Exchange, timeouts: Timeouts) -> Outcome {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        // Nobody asked for another protocol, and guests have no way to speak it.
        return Outcome::Failed(ErrorCode::HttpUpgradeFailed);
    }
    let (mut head, incoming) = response.into_parts();
    strip_hop_by_hop(&mut head.headers);
    let incoming = if incoming.is_end_stream() {
        exchange.finish();
        None
    } else {
        Some(incoming)
    };
    let body = Arriving {
        incoming,
        exchange,
        between_bytes: timeouts.between_bytes,
        timer: None,
        timer_set: false,
    };
    Outcome::Answered(Response::from_parts(head, body.boxed_unsync()))
}

/// An exchange that is under way. Dropped before it has finished, it is broken off: HTTP/1.1 closes the connection,
/// HTTP/2 resets the stream, and the request's body, if it is still being sent, ends.
struct Exchange {
    lease: Option<Lease>,
    upload: Arc<Upload>,
}

impl Exchange {
    /// The response is complete; the request may still be on the way.
    fn finish(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.release(self.upload.ended.load(Ordering::Acquire));
        }
    }

    /// Nothing was sent, so there is nothing to break off.
    fn leave(mut self) {
        self.lease = None;
    }

    fn break_off(&mut self) {
        if self.lease.take().is_some() {
            self.upload.abandon();
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.break_off();
    }
}

/// The same again, for a request without a body.
pub(super) fn again(request: &Request<Outgoing>) -> Option<(Request<Outgoing>, Arc<Upload>)> {
    let body = request.body();
    // Trailers that were not announced are as good as none.
    let empty = body.size_hint().exact() == Some(0) && !request.headers().contains_key(header::TRAILER);
    let upload = Arc::new(Upload::new());
    empty.then(|| (copy_without_body(request, &upload), upload))
}

fn copy_without_body(request: &Request<Outgoing>, upload: &Arc<Upload>) -> Request<Outgoing> {
    let body = Outgoing {
        declared: None,
        sent: 0,
        ends_with_head: false,
        inner: None,
        upload: upload.clone(),
    };
    let mut copy = Request::new(body);
    *copy.method_mut() = request.method().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What both ends of a request's body know of it.
pub(super) struct Upload {
    begun: Instant,
    /// When the body moved last, in milliseconds since `begun`.
    progress_ms: AtomicU64,
    /// Nobody waits for the response any more.
    abandoned: AtomicBool,
    /// The body has been sent, or will not be.
    ended: AtomicBool,
    sender: AtomicWaker,
    /// What was wrong with the body; that is what a guest is told, whatever followed from it on the connection.
    fault: OnceLock<ErrorCode>,
}

impl Upload {
    fn new() -> Self {
        Self {
            begun: Instant::now(),
            progress_ms: AtomicU64::new(0),
            abandoned: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            sender: AtomicWaker::new(),
            fault: OnceLock::new(),
        }
    }

    fn fault(&self) -> Option<ErrorCode> {
        self.fault.get().cloned()
    }

    fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
        self.sender.wake();
    }

    fn note_progress(&self) {
        let progress_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.progress_ms.store(progress_ms, Ordering::Relaxed);
    }

    fn last_progress(&self) -> Instant {
        self.begun + Duration::from_millis(self.progress_ms.load(Ordering::Relaxed))
    }
}

/// The body of a request, held to the `content-length` that it was announced with.
pub(super) struct Outgoing {
    inner: Option<Body>,
    declared: Option<u64>,
    sent: u64,
    /// Nothing can follow the head, whatever `inner` may still bring.
    ends_with_head: bool,
    upload: Arc<Upload>,
}

/// A body that ended before its end. Hyper resets a stream of HTTP/2 with the reason it finds among the sources.
#[derive(Debug, thiserror::Error)]
#[error("the body of the request broke off")]
pub(super) struct BrokenOff(#[source] h2::Error);

impl Outgoing {
    fn fail(&mut self, fault: ErrorCode) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        // The first fault is the cause of all others.
        let _ = self.upload.fault.set(fault);
        self.inner = None;
        Poll::Ready(Some(Err(BrokenOff(h2::Reason::CANCEL.into()))))
    }

    fn wrong_size(&mut self) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        self.fail(ErrorCode::HttpRequestBodySize(Some(self.sent)))
    }

    fn is_short(&self) -> bool {
        self.declared.is_some_and(|declared| self.sent < declared)
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.upload.ended.store(true, Ordering::Release);
    }
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        self.upload.sender.register(cx.waker());
        if self.upload.abandoned.load(Ordering::Acquire) {
            self.inner = None;
            return Poll::Ready(Some(Err(BrokenOff(h2::Reason::CANCEL.into()))));
        }
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        let frame = match ready!(Pin::new(&mut *inner).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            Some(Err(fault)) => return self.fail(fault),
            None if self.is_short() => return self.wrong_size(),
            None => return Poll::Ready(None),
        };
        let ends = inner.is_end_stream() || frame.is_trailers();
        self.upload.note_progress();
        self.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
        let too_long = self.declared.is_some_and(|declared| self.sent > declared);
        if too_long || (ends && self.is_short()) {
            return self.wrong_size();
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        // A body that is too short has one more thing to say.
        let ended = self.inner.as_ref().is_none_or(Body::is_end_stream);
        (self.ends_with_head || ended) && !self.is_short()
    }

    fn size_hint(&self) -> SizeHint {
        match (self.declared, &self.inner) {
            (Some(declared), _) => SizeHint::with_exact(declared.saturating_sub(self.sent)),
            (None, Some(inner)) => inner.size_hint(),
            (None, None) => SizeHint::with_exact(0),
        }
    }
}

/// The body of a response, as the guest reads it.
struct Arriving {
    incoming: Option<Incoming>,
    exchange: Exchange,
    between_bytes: Duration,
    /// Runs only while the guest waits: an origin is not to blame for a guest that does not read.
    timer: Option<Pin<Box<Sleep>>>,
    timer_set: bool,
}

impl Arriving {
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(Duration::ZERO)));
        if !self.timer_set {
            timer.as_mut().reset(Instant::now() + self.between_bytes);
            self.timer_set = true;
        }
        timer.as_mut().poll(cx)
    }

    fn fail(&mut self, error: ErrorCode) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        self.incoming = None;
        self.exchange.break_off();
        Poll::Ready(Some(Err(error)))
    }
}

impl http_body::Body for Arriving {
    type Data = Bytes;
    type Error = ErrorCode;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        let Some(incoming) = &mut self.incoming else {
            return Poll::Ready(None);
        };
        let Poll::Ready(frame) = Pin::new(&mut *incoming).poll_frame(cx) else {
            ready!(self.poll_timer(cx));
            return self.fail(ErrorCode::ConnectionReadTimeout);
        };
        let ended = incoming.is_end_stream();
        self.timer_set = false;
        match frame {
            Some(Ok(frame)) => {
                // Nothing follows trailers, and nobody asks for more.
                if ended || frame.is_trailers() {
                    self.incoming = None;
                    self.exchange.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                let fault = self.exchange.upload.fault();
                self.fail(fault.unwrap_or_else(|| failure::of_exchange(&error, Phase::Answering)))
            }
            None => {
                self.incoming = None;
                self.exchange.finish();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming
            .as_ref()
            .map_or(SizeHint::with_exact(0), Incoming::size_hint)
    }
}
