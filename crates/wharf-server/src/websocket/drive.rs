//! One open WebSocket: frames between its client and its guest, and the limits of both.
//!
//! Nothing is read from the client while the guest has not taken what was read before, and nothing is taken from the guest
//! while the client has not. One timer looks now and then at all that may take too long (`websocket/patience.rs`).

use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until, timeout, timeout_at};
use wharf_host::websocket::wire::{Received, Role, Wire, WireError, may_be_sent};
use wharf_host::websocket::{CloseInfo, Outgoing, Socket};

use super::carrier::{Carrier, Promised};
use super::count::{By, Open};
use super::patience::{Look, Patience};
use crate::connection::streams::OpenStream;
use crate::limits::Limit;

/// How long a client may take to close its side once everything was said.
const LAST_GRACE: Duration = Duration::from_millis(500);

/// RFC 6455 section 7.4.1, and the registry it founds.
const GOING_AWAY: u16 = 1001;
const POLICY: u16 = 1008;
const FAILED: u16 = 1011;
const RESTART: u16 = 1012;

/// Waits for the connection, and drives it to its end.
pub(super) fn begin(promised: Promised, socket: Socket, open: Open) -> impl Future<Output = ()> {
    async move {
        let stream = promised.stream();
        // A client that leaves now has left before it was answered: the guest hears of it as the socket is dropped.
        let Some(carrier) = promised.carrier().await else {
            return open.closed(By::Client, CloseInfo::LOST);
        };
        let limits = &open.app().inner().sockets;
        let drive = Drive {
            wire: Wire::new(carrier, Role::Server, limits.message_bytes_max),
            patience: Patience::new(limits, &open.door.limits),
            socket,
            open,
            stream,
            phase: Phase::Open,
        };
        drive.run().await;
    }
}

struct Drive {
    wire: Wire<Carrier>,
    socket: Socket,
    patience: Patience,
    open: Open,
    /// The stream of HTTP/2 that carries it; over HTTP/1.1 its connection carries nothing else.
    stream: Option<Arc<OpenStream>>,
    phase: Phase,
}

/// How far a connection is.
enum Phase {
    Open,
    /// The server wants to go, and gives the guest until then to close.
    Restarting {
        until: Instant,
    },
    /// A close frame was sent; the client has until then to send its own.
    Closing {
        until: Instant,
    },
}

enum Next {
    Event(Event),
    /// Something may take too long.
    Look,
    /// The client has left.
    Left,
}

/// What happens next.
enum Event {
    Received(Received),
    Broken(WireError),
    /// The guest wants the connection to be closed.
    Closes(CloseInfo),
    GuestFailed,
}

/// How a connection ended.
struct End {
    by: By,
    info: CloseInfo,
    /// There is something left to be said to the client, and it to be waited for.
    is_orderly: bool,
}

impl End {
    fn orderly(by: By, info: CloseInfo) -> Self {
        Self {
            by,
            info,
            is_orderly: true,
        }
    }

    fn lost(by: By) -> Self {
        Self {
            by,
            info: CloseInfo::new(CloseInfo::LOST, ""),
            is_orderly: false,
        }
    }
}

/// Has everything sent that was said, and the end; waits for what the client still says.
async fn say_goodbye(wire: &mut Wire<Carrier>, is_stream: bool, close_timeout: Duration) {
    let until = Instant::now() + close_timeout;
    let said = timeout_at(until, poll_fn(|cx| wire.poll_flush(cx))).await;
    if is_stream && said.is_err() {
        // Its end would say that everything was said: it is reset.
        return;
    }
    let soon = Instant::now() + LAST_GRACE;
    // Of a stream, the end is taken once everything before it was.
    let until = if is_stream { soon.max(until) } else { soon };
    let _ = timeout_at(until, poll_fn(|cx| wire.poll_shutdown(cx))).await;
    // A socket that is closed with something unread takes back what was written to it.
    let _ = timeout(LAST_GRACE, poll_fn(|cx| wire.poll_drain(cx))).await;
}

impl Drive {
    fn run(mut self) -> impl Future<Output = ()> {
        async move {
            let end = self.until_end().await;
            let app = self.open.app();
            self.open.closed(end.by, end.info.code);
            tracing::debug!(app = app.name(), code = end.info.code, by = ?end.by, "WebSocket ended");
            let close_timeout = app.inner().sockets.close_timeout;
            self.socket.finish(end.info);
            // Nothing the guest still writes can be sent.
            drop(self.socket);
            if end.is_orderly {
                let is_stream = self.stream.is_some();
                say_goodbye(&mut self.wire, is_stream, close_timeout).await;
            }
        }
    }

    async fn until_end(&mut self) -> End {
        let retired = self.open.app().inner().retired.clone();
        let mut retired = pin!(retired.cancelled_owned());
        let mut is_retired = false;
        let activity = self.open.activity.clone();
        let mut left = pin!(activity.peer_left());
        let mut timer = Box::pin(sleep_until(self.patience.next(self.phase_until())));
        loop {
            let ended = tokio::select! {
                biased;
                event = poll_fn(|cx| self.poll_next(timer.as_mut(), left.as_mut(), cx)) => match event {
                    Next::Event(event) => self.take(event),
                    Next::Look => self.look(),
                    Next::Left => Some(End::lost(By::Client)),
                },
                () = retired.as_mut(), if !is_retired => {
                    is_retired = true;
                    self.restart();
                    None
                }
                () = told(&activity), if self.stream.is_none() => match activity.is_evicted() {
                    true => Some(End::lost(By::Server)),
                    false => None,
                },
            };
            if let Some(end) = ended {
                return end;
            }
        }
    }

    /// What happens, or that it is time to look whether something takes too long. When that is depends on who waits for whom,
    /// which is known once everything has been tried.
    fn poll_next(
        &mut self,
        mut timer: Pin<&mut Sleep>,
        left: Pin<&mut impl Future<Output = ()>>,
        cx: &mut Context<'_>,
    ) -> Poll<Next> {
        if let Poll::Ready(event) = self.poll_event(cx) {
            return Poll::Ready(Next::Event(event));
        }
        // The guest takes nothing, so that nothing is read, and no end noticed.
        if self.stream.is_none() && !self.patience.is_reading() && left.poll(cx).is_ready() {
            return Poll::Ready(Next::Left);
        }
        let next = self.patience.next(self.phase_until());
        // One that fires early looks, and is set anew.
        if timer.is_elapsed() || next < timer.deadline() {
            timer.as_mut().reset(next);
        }
        timer.poll(cx).map(|()| Next::Look)
    }

    fn phase_until(&self) -> Option<Instant> {
        match self.phase {
            Phase::Open => None,
            Phase::Restarting { until } | Phase::Closing { until } => Some(until),
        }
    }

    /// Moves messages from the guest to the client until either has to wait; and hears what the client says, where the guest
    /// can hear more.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        while let Poll::Ready(flushed) = self.wire.poll_flush(cx) {
            if let Err(error) = flushed {
                return Poll::Ready(Event::Broken(error.into()));
            }
            if matches!(self.phase, Phase::Closing { .. }) {
                break;
            }
            match self.socket.poll_outgoing(cx) {
                Poll::Pending => break,
                Poll::Ready(Outgoing::Message(message)) => {
                    self.open.sent(message.bytes());
                    self.patience.message();
                    self.wire.send(message);
                }
                Poll::Ready(Outgoing::Close(info)) => return Poll::Ready(Event::Closes(info)),
                Poll::Ready(Outgoing::Failed) => return Poll::Ready(Event::GuestFailed),
            }
        }
        let (written, is_blocked) = self.wire.written();
        self.patience.writes(written, is_blocked);
        if let Some(stream) = &self.stream {
            stream.wrote(written, is_blocked);
        }
        // What comes while the connection is being closed is only for the guest if it has room for it.
        let has_room = self.socket.poll_room(cx).is_ready() || !matches!(self.phase, Phase::Open);
        self.patience.reads(has_room);
        if !has_room {
            return Poll::Pending;
        }
        self.wire.poll_receive(cx).map(|received| match received {
            Ok(received) => Event::Received(received),
            Err(error) => Event::Broken(error),
        })
    }

    fn take(&mut self, event: Event) -> Option<End> {
        match event {
            Event::Received(received) => self.receive(received),
            Event::Broken(error) => Some(self.broken(&error)),
            Event::Closes(info) => {
                self.guest_closes(info);
                None
            }
            Event::GuestFailed => {
                let code = match self.phase {
                    Phase::Open => FAILED,
                    _ => RESTART,
                };
                // Why it failed is said where it ran.
                tracing::debug!(
                    app = self.open.app().name(),
                    code,
                    "closed a WebSocket whose guest failed"
                );
                Some(self.say(By::App, code, ""))
            }
        }
    }

    fn receive(&mut self, received: Received) -> Option<End> {
        if !self.patience.frame() {
            return Some(self.meets(Limit::WebsocketRate, POLICY, "too many messages"));
        }
        match received {
            Received::Message(message) => {
                self.patience.message();
                self.open.received(message.bytes());
                let is_open = matches!(self.phase, Phase::Open);
                let has_room = || {
                    self.socket
                        .poll_room(&mut Context::from_waker(std::task::Waker::noop()))
                        .is_ready()
                };
                if is_open || has_room() {
                    self.socket.deliver(message);
                }
            }
            Received::Ping(content) => self.wire.pong(content),
            Received::Pong | Received::Fragment => {}
            Received::Close(info) => return Some(self.client_closes(info)),
        }
        None
    }

    /// The client closes, or confirms that the connection is closed.
    fn client_closes(&mut self, info: Option<CloseInfo>) -> End {
        let by = match self.phase {
            Phase::Closing { .. } => By::App,
            Phase::Open | Phase::Restarting { .. } => By::Client,
        };
        if by == By::Client {
            // Its own code is sent back (RFC 6455 section 5.5.1).
            self.wire.close(info.as_ref());
        }
        End::orderly(by, info.unwrap_or_else(|| CloseInfo::new(CloseInfo::NO_CODE, "")))
    }

    /// The guest has written everything.
    fn guest_closes(&mut self, mut info: CloseInfo) {
        if !may_be_sent(info.code) {
            let app = self.open.app().name();
            tracing::warn!(
                app,
                code = info.code,
                "a guest closed its WebSocket with a code that may not be sent"
            );
            info = CloseInfo::new(FAILED, "");
        }
        if matches!(self.phase, Phase::Restarting { .. }) && info.code == CloseInfo::NORMAL {
            // What it would not have said by itself: the client is to come again.
            info = CloseInfo::new(RESTART, info.reason);
        }
        self.wire.close(Some(&info));
        self.phase = Phase::Closing {
            until: Instant::now() + self.open.app().inner().sockets.close_timeout,
        };
    }

    /// The client does not keep to the protocol or its limits, or is gone.
    fn broken(&mut self, error: &WireError) -> End {
        tracing::debug!(app = self.open.app().name(), %error, "WebSocket broke off");
        match (error, error.close_code()) {
            (WireError::TooLarge { .. }, _) => self.meets(Limit::WebsocketMessage, 1009, "message too large"),
            (_, Some(code)) => self.say(By::Server, code, &error.to_string()),
            (_, None) if self.stream.as_ref().is_some_and(|stream| stream.is_over()) => End::lost(By::Server),
            (_, None) => End::lost(By::Client),
        }
    }

    fn reached(&self, limit: Limit) {
        self.open.door.metrics.reached_by(self.open.app(), limit);
    }

    fn meets(&mut self, limit: Limit, code: u16, reason: &str) -> End {
        self.reached(limit);
        tracing::debug!(app = self.open.app().name(), limit = limit.name(), "closed a WebSocket");
        self.say(By::Server, code, reason)
    }

    /// The last word, for which no answer is waited for.
    fn say(&mut self, by: By, code: u16, reason: &str) -> End {
        let info = CloseInfo::new(code, reason);
        if !matches!(self.phase, Phase::Closing { .. }) {
            self.wire.close(Some(&info));
        }
        End::orderly(by, info)
    }

    /// The server stops, or the app is replaced: the guest hears that its client is gone, and has a while to say goodbye.
    fn restart(&mut self) {
        if matches!(self.phase, Phase::Open) {
            self.socket.finish(CloseInfo::new(RESTART, "service restart"));
            self.phase = Phase::Restarting {
                until: Instant::now() + self.open.app().inner().sockets.restart_timeout,
            };
        }
    }

    fn look(&mut self) -> Option<End> {
        let now = Instant::now();
        match self.phase {
            Phase::Restarting { until } if until <= now => {
                return Some(self.say(By::Server, RESTART, "service restart"));
            }
            Phase::Closing { until } if until <= now => {
                self.reached(Limit::WebsocketCloseTime);
                return Some(End::lost(By::App));
            }
            _ => {}
        }
        match self.patience.look(now) {
            Look::Fine => None,
            Look::Ping => {
                self.wire.ping();
                None
            }
            Look::Idle => Some(self.meets(Limit::WebsocketIdleTime, GOING_AWAY, "nothing was said for too long")),
            Look::Dead => {
                self.reached(Limit::WebsocketPongTime);
                Some(End::lost(By::Client))
            }
            Look::Slow => {
                self.open.door.metrics.reached(Limit::WriteRate);
                Some(End::lost(By::Server))
            }
        }
    }
}

async fn told(activity: &crate::connection::activity::Activity) {
    activity.told().await;
    if !activity.is_evicted() {
        // That no more requests are taken is none of a socket's concern.
        pending::<()>().await;
    }
}
