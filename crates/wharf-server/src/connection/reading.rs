//! A request's body as its client sends it, held to the limits of its app.
//!
//! Time counts only while the guest waits for the client: a guest that takes its time costs the client nothing. Small bodies of
//! known length are read before a guest is asked, so that a client that is slow to send one holds no instance. Others take room of those
//! whose content is still to come; where that is short, their beginning is read first.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, Sleep, sleep_until};
use wharf_host::http::{ErrorCode, Payload};
use wharf_host::{Deadline, Failure, Service, UploadRoom};

use super::activity::{Activity, Awaits};
use super::content::Content;
use super::frames::TRAILERS_BEGIN;
use crate::limits::{Limit, RequestLimits};

/// How long a guest has waited in all before the rate is looked at: a packet that had to be sent again makes no slow client.
const RATE_GRACE: Duration = Duration::from_secs(10);

/// Bodies up to this length are read before a guest is asked. What a form or a call's arguments take; more is a stream.
const SMALL_BYTES: u64 = 64 << 10;

/// How many pieces of one are taken ahead: each is held apart, however small its client makes it.
const FRAMES_AHEAD: usize = 32;

/// What a body was found to be, for whoever answers its request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict(Arc<AtomicU8>);

/// Why a request is not answered by a guest, whatever it makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Its body has met a limit.
    Met(Limit),
    /// Its body is none: chunks without a size (RFC 9112 section 7.1). Over HTTP/1.1 alone: over HTTP/2 frames tell that, which are
    /// not passed on.
    Malformed,
    /// Its body ends before it is all there (RFC 9112 section 8): its client has left, or sends no more. Over HTTP/1.1 alone, too.
    CutShort,
}

const FAULTS: [Fault; 5] = [
    Fault::Met(Limit::Body),
    Fault::Met(Limit::BodyRate),
    Fault::Met(Limit::BodyIdleTime),
    Fault::Malformed,
    Fault::CutShort,
];

impl Verdict {
    pub fn fault(&self) -> Option<Fault> {
        let code = usize::from(self.0.load(Ordering::Acquire));
        FAULTS.get(code.checked_sub(1)?).copied()
    }

    fn limit(&self) -> Option<Limit> {
        match self.fault()? {
            Fault::Met(limit) => Some(limit),
            Fault::Malformed | Fault::CutShort => None,
        }
    }

    fn set(&self, fault: Fault) {
        let code = FAULTS.iter().position(|&known| known == fault).map_or(0, |nth| nth + 1);
        self.0.store(u8::try_from(code).unwrap_or(0), Ordering::Release);
    }
}

/// A body on its way in.
pub(crate) struct Reading {
    body: Content,
    limits: RequestLimits,
    verdict: Verdict,
    received: u64,
    /// How long the guest has waited for it in all.
    waited: Duration,
    /// Since when it waits.
    waits_since: Option<Instant>,
    /// One for the whole body, which looks now and then.
    timer: Option<Pin<Box<Sleep>>>,
    activity: Arc<Activity>,
    /// A guest has been asked, and holds an instance while it waits.
    is_guests: bool,
    awaits: Option<Awaits>,
    /// What was there already when a guest was about to be asked.
    ahead: VecDeque<Read>,
    /// Held until all of it is there.
    room: Option<UploadRoom>,
}

/// What comes of a body: `None` is its end.
type Read = Option<Result<Frame<Bytes>, ErrorCode>>;

impl Reading {
    /// A body that `activity` sends.
    pub fn new(body: Content, limits: &RequestLimits, activity: &Arc<Activity>) -> Self {
        Self {
            body,
            limits: limits.clone(),
            verdict: Verdict::default(),
            received: 0,
            waited: Duration::ZERO,
            waits_since: None,
            timer: None,
            activity: activity.clone(),
            is_guests: false,
            awaits: None,
            ahead: VecDeque::new(),
            room: None,
        }
    }

    /// What will tell of a limit that it meets.
    pub fn verdict(&self) -> Verdict {
        self.verdict.clone()
    }

    /// The body to give to a guest of `service`. Waits for all of a small one, unless the client waits to be asked for it (RFC 9110
    /// section 10.1.1); one that breaks off meanwhile does so for the guest.
    ///
    /// # Errors
    /// When there is no room until `deadline`, or the queue for it is full or stands.
    pub async fn payload(
        mut self,
        is_to_be_asked_for: bool,
        service: &Service,
        deadline: Deadline,
    ) -> Result<Payload, Failure> {
        let exact = self.body.size_hint().exact();
        if exact.is_some_and(|bytes| bytes <= SMALL_BYTES) && !is_to_be_asked_for {
            return Ok(self.whole().await);
        }
        if exact.is_none() && !is_to_be_asked_for {
            self.look_ahead().await;
        }
        self.room = match service.try_upload_room() {
            Some(room) => Some(room),
            // Whoever sends it slowly waits where nothing is held for it. A client that waits to be asked for it is asked.
            None if self.begins().await => None,
            None => Some(service.upload_room(deadline).await?),
        };
        self.is_guests = true;
        Ok(Payload::from(wharf_host::http::Body::new(self)))
    }

    async fn whole(self) -> Payload {
        match self.collect().await {
            Ok(whole) if whole.trailers().is_none() => Payload::from(whole.to_bytes()),
            Ok(whole) => Payload::from(wharf_host::http::Body::new(whole.map_err(|never| match never {}))),
            Err(code) => Payload::from(wharf_host::http::Body::new(BrokenOff(Some(code)))),
        }
    }

    /// Waits for as much as a small body has, or for the end, and puts it together; whether that was the end.
    async fn begins(&mut self) -> bool {
        let mut data = BytesMut::new();
        let last = loop {
            if data.len() as u64 >= SMALL_BYTES {
                break None;
            }
            match poll_fn(|cx| Pin::new(&mut *self).poll_frame(cx)).await {
                Some(Ok(frame)) if frame.is_data() => {
                    data.extend_from_slice(&frame.into_data().unwrap_or_default());
                }
                other => break Some(other),
            }
        };
        if !data.is_empty() {
            self.ahead.push_back(Some(Ok(Frame::data(data.freeze()))));
        }
        let is_over = last.is_some();
        self.ahead.extend(last);
        is_over
    }

    /// Takes what has come with the head. Chunks that are none mostly come so: a guest need not be asked to tell their client,
    /// whatever it would have answered with before it saw them. Nothing is waited for.
    async fn look_ahead(&mut self) {
        let mut is_asked_for = false;
        while self.received < SMALL_BYTES && self.ahead.len() < FRAMES_AHEAD {
            let body = &mut self.body;
            match poll_fn(|cx| Poll::Ready(Pin::new(&mut *body).poll_frame(cx))).await {
                Poll::Ready(frame) => {
                    is_asked_for = false;
                    let read = self.read(frame);
                    let is_over = !matches!(read, Some(Ok(_)));
                    self.ahead.push_back(read);
                    if is_over {
                        return;
                    }
                }
                // The connection reads once it was asked, in its own turn.
                Poll::Pending if is_asked_for => return,
                Poll::Pending => {
                    is_asked_for = true;
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// What has come is to the guest.
    fn read(&mut self, read: Read) -> Read {
        let mut frame = read?;
        if let Err(code) = &frame
            && !self.activity.is_http2()
        {
            let is_malformed = matches!(code, ErrorCode::HttpProtocolError);
            self.verdict.set(if is_malformed {
                Fault::Malformed
            } else {
                Fault::CutShort
            });
            if !is_malformed {
                self.activity.is_cut_short();
            }
        }
        if let Ok(Some(trailers)) = frame.as_mut().map(Frame::trailers_mut)
            && trailers.contains_key(TRAILERS_BEGIN)
        {
            strip(trailers);
            if trailers.is_empty() {
                return None;
            }
        }
        if let Ok(Some(data)) = frame.as_ref().map(Frame::data_ref)
            && let Err(code) = self.take(data)
        {
            return Some(Err(code));
        }
        Some(frame)
    }

    fn refuse(&mut self, limit: Limit) -> ErrorCode {
        self.verdict.set(Fault::Met(limit));
        match limit {
            Limit::Body => ErrorCode::HttpRequestBodySize(Some(self.limits.body_bytes_max)),
            _ => ErrorCode::ConnectionReadTimeout,
        }
    }

    fn take(&mut self, data: &Bytes) -> Result<(), ErrorCode> {
        self.received = self.received.saturating_add(data.len() as u64);
        match self.received > self.limits.body_bytes_max {
            true => Err(self.refuse(Limit::Body)),
            false => Ok(()),
        }
    }

    /// The guest waits: until the client has been too slow, or something comes.
    fn poll_too_slow(&mut self, cx: &mut Context<'_>) -> Poll<ErrorCode> {
        loop {
            let now = Instant::now();
            let since = *self.waits_since.get_or_insert(now);
            if now - since >= self.limits.body_idle_timeout {
                return Poll::Ready(self.refuse(Limit::BodyIdleTime));
            }
            let waited = self.waited + (now - since);
            if self.is_slow(waited) {
                return Poll::Ready(self.refuse(Limit::BodyRate));
            }
            let idle_over = since + self.limits.body_idle_timeout;
            let rate_over = now + RATE_GRACE.saturating_sub(waited).max(Duration::from_secs(1));
            if self.is_guests && self.awaits.is_none() {
                self.awaits = Some(self.activity.await_body());
            }
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(sleep_until(idle_over.min(rate_over))));
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            // It was set for an earlier wait: look again.
            timer.as_mut().reset(idle_over.min(rate_over));
        }
    }

    fn is_slow(&self, waited: Duration) -> bool {
        waited > RATE_GRACE && (self.received as f64) < self.limits.body_rate_min as f64 * waited.as_secs_f64()
    }
}

impl Body for Reading {
    type Data = Bytes;
    type Error = ErrorCode;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        if let Some(limit) = self.verdict.limit() {
            return Poll::Ready(Some(Err(self.refuse(limit))));
        }
        if let Some(ahead) = self.ahead.pop_front() {
            return Poll::Ready(ahead);
        }
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
            return self.poll_too_slow(cx).map(|code| Some(Err(code)));
        };
        if let Some(since) = self.waits_since.take() {
            self.waited += since.elapsed();
            self.awaits = None;
        }
        let read = self.read(frame);
        if self.body.is_end_stream() || !matches!(read, Some(Ok(_))) {
            self.room = None;
        }
        Poll::Ready(read)
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let ahead = self.ahead.iter().flatten().flatten();
        let ahead: usize = ahead.filter_map(|frame| frame.data_ref().map(Bytes::len)).sum();
        let (ahead, left) = (ahead as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(left.lower().saturating_add(ahead));
        if let Some(upper) = left.upper() {
            hint.set_upper(upper.saturating_add(ahead));
        }
        hint
    }
}

/// Takes the first field out; the others keep their order.
fn strip(trailers: &mut HeaderMap) {
    let all = std::mem::take(trailers);
    let theirs = all.iter().filter(|(name, _)| *name != TRAILERS_BEGIN);
    for (name, value) in theirs {
        trailers.append(name, value.clone());
    }
}

/// A body of which no more comes.
struct BrokenOff(Option<ErrorCode>);

impl Body for BrokenOff {
    type Data = Bytes;
    type Error = ErrorCode;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        Poll::Ready(self.0.take().map(Err))
    }
}
