//! One WebSocket that a guest has opened: frames between its peer and the guest.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::{Instant, sleep_until, timeout};

use crate::http::Duplex;
use crate::limits::{Limits, OpenedSocketLimits, OpenedSocketsReached};
use crate::websocket::wire::{Received, Role, Wire, WireError, may_be_sent};
use crate::websocket::{CloseInfo, Outgoing, Socket};

/// RFC 6455 section 7.4.1.
const GOING_AWAY: u16 = 1001;

/// What a connection is held to, and where it is counted that it has met that.
pub(super) struct Bounds {
    pub limits: Arc<Limits>,
    pub reached: Arc<OpenedSocketsReached>,
}

impl Bounds {
    fn limits(&self) -> &OpenedSocketLimits {
        &self.limits.opened_sockets
    }
}

struct Drive {
    wire: Wire<Box<dyn Duplex>>,
    socket: Socket,
    bounds: Bounds,
    /// When something last came, when a message last went either way, and when a ping was sent since.
    heard: Instant,
    spoken: Instant,
    pinged: Option<Instant>,
    /// A close frame was sent; the peer has until then to answer.
    closing: Option<Instant>,
}

enum Event {
    Received(Received),
    Broken(WireError),
    Closes(CloseInfo),
}

/// Drives the connection to its end.
pub(super) async fn drive(stream: Box<dyn Duplex>, socket: Socket, bounds: Bounds) {
    let now = Instant::now();
    let mut drive = Drive {
        wire: Wire::new(stream, Role::Client, bounds.limits().message_bytes_max),
        socket,
        bounds,
        heard: now,
        spoken: now,
        pinged: None,
        closing: None,
    };
    let info = drive.until_end().await;
    let Drive {
        mut wire,
        socket,
        bounds,
        ..
    } = drive;
    let is_lost = info.code == CloseInfo::LOST;
    socket.finish(info);
    drop(socket);
    if !is_lost {
        let close_timeout = bounds.limits().close_timeout;
        let _ = timeout(close_timeout, poll_fn(|cx| wire.poll_flush(cx))).await;
        // The server closes the connection below first (RFC 6455 section 7.1.1).
        let _ = timeout(close_timeout, poll_fn(|cx| wire.poll_drain(cx))).await;
    }
}

impl Drive {
    /// How the connection ended.
    async fn until_end(&mut self) -> CloseInfo {
        let mut timer = pin!(sleep_until(self.next()));
        loop {
            let event = poll_fn(|cx| {
                if let Poll::Ready(event) = self.poll_event(cx) {
                    return Poll::Ready(Some(event));
                }
                let next = self.next();
                if timer.is_elapsed() || next < timer.deadline() {
                    timer.as_mut().reset(next);
                }
                timer.as_mut().poll(cx).map(|()| None)
            });
            let ended = match event.await {
                Some(Event::Received(received)) => self.receive(received),
                Some(Event::Broken(error)) => Some(self.broken(&error)),
                Some(Event::Closes(info)) => {
                    // A code that may not be sent is the guest's mistake; its peer has made none.
                    let info = Some(info).filter(|info| may_be_sent(info.code));
                    self.wire
                        .close(Some(&info.unwrap_or_else(|| CloseInfo::new(CloseInfo::NORMAL, ""))));
                    self.closing = Some(Instant::now() + self.bounds.limits().close_timeout);
                    None
                }
                None => self.look(),
            };
            if let Some(info) = ended {
                return info;
            }
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        while let Poll::Ready(flushed) = self.wire.poll_flush(cx) {
            if let Err(error) = flushed {
                return Poll::Ready(Event::Broken(error.into()));
            }
            if self.closing.is_some() {
                break;
            }
            match self.socket.poll_outgoing(cx) {
                Poll::Pending => break,
                Poll::Ready(Outgoing::Message(message)) => {
                    self.spoken = Instant::now();
                    self.wire.send(message);
                }
                Poll::Ready(Outgoing::Close(info)) => return Poll::Ready(Event::Closes(info)),
                Poll::Ready(Outgoing::Failed) => return Poll::Ready(Event::Closes(CloseInfo::new(GOING_AWAY, ""))),
            }
        }
        if self.socket.poll_room(cx).is_pending() && self.closing.is_none() {
            return Poll::Pending;
        }
        self.wire.poll_receive(cx).map(|received| match received {
            Ok(received) => Event::Received(received),
            Err(error) => Event::Broken(error),
        })
    }

    fn receive(&mut self, received: Received) -> Option<CloseInfo> {
        self.heard = Instant::now();
        self.pinged = None;
        match received {
            Received::Message(message) => {
                self.spoken = self.heard;
                let mut nobody = Context::from_waker(std::task::Waker::noop());
                if self.closing.is_none() || self.socket.poll_room(&mut nobody).is_ready() {
                    self.socket.deliver(message);
                }
            }
            Received::Ping(content) => self.wire.pong(content),
            Received::Pong | Received::Fragment => {}
            Received::Close(info) => {
                if self.closing.is_none() {
                    self.wire.close(info.as_ref());
                }
                return Some(info.unwrap_or_else(|| CloseInfo::new(CloseInfo::NO_CODE, "")));
            }
        }
        None
    }

    /// The peer does not keep to the protocol, or is gone.
    fn broken(&mut self, error: &WireError) -> CloseInfo {
        if let WireError::TooLarge { .. } = error {
            self.bounds.reached.count(OpenedSocketsReached::MESSAGE);
        }
        let info = match error.close_code() {
            Some(code) => CloseInfo::new(code, error.to_string()),
            None => return CloseInfo::new(CloseInfo::LOST, ""),
        };
        if self.closing.is_none() {
            self.wire.close(Some(&info));
        }
        info
    }

    fn next(&self) -> Instant {
        let limits = self.bounds.limits();
        let answer = match self.pinged {
            Some(pinged) => pinged + limits.pong_timeout,
            None => self.heard + limits.ping_interval,
        };
        let ends = self.closing.unwrap_or(self.spoken + limits.idle_timeout);
        ends.min(answer)
    }

    fn look(&mut self) -> Option<CloseInfo> {
        let now = Instant::now();
        let lost = || Some(CloseInfo::new(CloseInfo::LOST, ""));
        let limits = self.bounds.limits().clone();
        match self.closing {
            Some(until) if until <= now => {
                self.bounds.reached.count(OpenedSocketsReached::CLOSE_TIME);
                return lost();
            }
            None if self.spoken + limits.idle_timeout <= now => {
                self.bounds.reached.count(OpenedSocketsReached::IDLE_TIME);
                let info = CloseInfo::new(GOING_AWAY, "nothing was said for too long");
                self.wire.close(Some(&info));
                return Some(info);
            }
            _ => {}
        }
        match self.pinged {
            Some(pinged) if now >= pinged + limits.pong_timeout => {
                let mut nobody = Context::from_waker(std::task::Waker::noop());
                if self.socket.poll_room(&mut nobody).is_ready() {
                    self.bounds.reached.count(OpenedSocketsReached::PONG_TIME);
                    return lost();
                }
                // The guest takes nothing, so that no answer is read.
                self.pinged = None;
                self.heard = now;
            }
            None if now >= self.heard + limits.ping_interval => {
                self.wire.ping();
                self.pinged = Some(now);
            }
            _ => {}
        }
        None
    }
}
