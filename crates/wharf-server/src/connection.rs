//! One connection: HTTP/1.1 or HTTP/2, by its first bytes (RFC 9113 section 3.3), or as was agreed on by TLS: whoever begins with
//! something else then is not understood.
//!
//! What comes before its first request is in `connection/greeting.rs`, what its bytes go through in `connection/stream.rs`, and what it
//! speaks in `connection/spoken.rs`.

pub(crate) mod activity;
pub(crate) mod answer;
pub(crate) mod content;
mod frames;
mod gone;
mod greeting;
pub(crate) mod http2;
pub(crate) mod reading;
mod spoken;
mod stream;
pub(crate) mod streams;
pub(crate) mod tunnel;

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use tokio::io::{AsyncRead, AsyncWrite, Interest};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, timeout};

use crate::dispatch;
use crate::door::Door;
use crate::inbound::{Entrance, Inbound, Peer};
use crate::limits::{Limit, ServerLimits};
use crate::places::Place;
use activity::Activity;
use answer::Answer;
use content::Content;
use frames::Frames;
use greeting::{Greets, Newcomer};
use spoken::{Answers, Broken, READ_BYTES, Spoken};
use stream::{Counted, LastWords, Plain, Socket};

/// How long hyper has to notice by itself that a client has left. It does at once, unless it holds unread parts of a
/// body that the guest does not take.
const LEAVE_GRACE: Duration = Duration::from_millis(200);

/// How long a connection without requests may stay open once it has been told to close: a client may have sent its next
/// request before it heard of that, and over HTTP/2 it confirms what it heard.
const CLOSE_GRACE: Duration = Duration::from_millis(250);

/// How long a client may take to read the last that was written to it.
const LAST_GRACE: Duration = Duration::from_millis(500);

/// What hyper says of an address of more than 65,534 bytes, which nothing holds that is made of one (`http::Uri`).
const ADDRESS_TOO_LONG: &str = "URI too long";

const TURNED_AWAY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n\
    content-type: text/plain; charset=utf-8\r\ncontent-length: 46\r\n\r\n503 Service Unavailable: too many connections\n";

const TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\
    content-type: text/plain; charset=utf-8\r\ncontent-length: 54\r\n\r\n408 Request Timeout: the request did not come in time\n";

/// Serves a connection that came by TCP until either side ends it. The door's drain asks for its end: what has begun is
/// finished.
pub(crate) async fn serve(stream: TcpStream, peer: SocketAddr, entrance: Arc<Entrance>, door: Arc<Door>) {
    // Responses are written in one piece; waiting for more would only delay the last one.
    let _ = stream.set_nodelay(true);
    let Ok(local) = stream.local_addr() else { return };
    let newcomer = Newcomer {
        stream,
        peer: Peer::at(peer),
        local: Some(local),
        activity: Arc::new(Activity::new(door.clone())),
        entrance,
        door,
    };
    if !newcomer.entrance.is_plain() {
        // Boxed: what few connections need has no place in those of all others.
        return Box::pin(serve_other(newcomer)).await;
    }
    let Some((newcomer, place)) = enter(newcomer).await else {
        return;
    };
    let Newcomer { door, activity, .. } = newcomer;
    let inbound = Inbound::new(&door.proxies, &newcomer.entrance, newcomer.local, newcomer.peer);
    let stream = Plain::new(newcomer.stream, activity.clone());
    activity.has(&place, &stream.socket());
    let connection = Connection::new(stream.socket(), activity, door);
    connection.serve(stream, inbound).await;
}

/// The same for one that came by a Unix socket.
#[cfg(unix)]
pub(crate) async fn serve_unix(stream: tokio::net::UnixStream, entrance: Arc<Entrance>, door: Arc<Door>) {
    let newcomer = Newcomer {
        stream,
        peer: Peer::Unix,
        local: None,
        activity: Arc::new(Activity::new(door.clone())),
        entrance,
        door,
    };
    serve_other(newcomer).await;
}

async fn serve_other<S: Greets>(newcomer: Newcomer<S>) {
    let Some((newcomer, place)) = enter(newcomer).await else {
        return;
    };
    let (door, activity) = (newcomer.door.clone(), newcomer.activity.clone());
    let Some(greeted) = newcomer.greet(&place).await else {
        return;
    };
    activity.has(&place, &greeted.socket);
    let mut connection = Connection::new(greeted.socket, activity, door);
    connection.last_words = greeted.last_words;
    connection.agreed = greeted.agreed;
    connection.serve(greeted.stream, greeted.inbound).await;
}

/// A place for the connection, if there is one.
async fn enter<S: Greets>(newcomer: Newcomer<S>) -> Option<(Newcomer<S>, Arc<Place>)> {
    let Newcomer {
        door, peer, entrance, ..
    } = &newcomer;
    // Behind a proxy that passes bytes on is whoever it says.
    let client = if entrance.proxy_protocol { None } else { peer.ip() };
    match Place::take(door, client, newcomer.activity.clone()) {
        Ok(place) => Some((newcomer, Arc::new(place))),
        Err(limit) => {
            tracing::debug!(%peer, limit = limit.name(), "turned a connection away");
            let Newcomer { stream, activity, .. } = newcomer;
            let is_plain = newcomer.entrance.is_plain();
            let stream = Plain::new(stream, activity);
            // Without TLS nobody who waits for it would understand.
            if is_plain {
                Box::pin(turn_away(&stream.socket(), &newcomer.door)).await;
            }
            None
        }
    }
}

/// Says that there is no place, to as many as that can be said to without holding much for them.
async fn turn_away(socket: &Socket, door: &Door) {
    let Ok(_turned_away) = door.refusals.try_acquire() else {
        return;
    };
    let say = async {
        socket.ready(Interest::WRITABLE).await?;
        socket.try_write(TURNED_AWAY)?;
        socket.finish();
        Ok::<_, std::io::Error>(())
    };
    if let Ok(Ok(())) = timeout(LAST_GRACE, say).await {
        linger(socket).await;
    }
}

/// Reads and throws away what still comes until the client closes, too: a socket that is closed with something unread, or
/// that something comes to afterwards, takes back what was written to it (RFC 9112 section 9.6).
async fn linger(socket: &Socket) {
    let mut rest = [0; 1024];
    let read = async {
        while socket.ready(Interest::READABLE).await.is_ok() {
            match socket.try_read(&mut rest) {
                Ok(1..) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Ok(0) | Err(_) => return,
            }
        }
    };
    let _ = timeout(LAST_GRACE, read).await;
}

/// Who answers the requests of a connection.
#[derive(Clone)]
struct Handler {
    activity: Arc<Activity>,
    inbound: Arc<(Arc<Door>, Inbound)>,
}

impl Handler {
    /// The request has begun when this returns.
    fn answer(
        &self,
        request: http::Request<Content>,
    ) -> impl Future<Output = http::Response<Answer>> + Send + 'static + use<> {
        dispatch::answer(self.inbound.clone(), request, self.activity.begin())
    }
}

/// A connection seen from outside of hyper.
struct Connection {
    socket: Socket,
    activity: Arc<Activity>,
    door: Arc<Door>,
    patience: Patience,
    /// Where it speaks TLS.
    last_words: Option<Arc<LastWords>>,
    /// What it speaks, where that is known before its first byte.
    agreed: Option<Agreed>,
}

/// What client and server have agreed on by TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Agreed {
    Http1,
    Http2,
}

impl Connection {
    fn new(socket: Socket, activity: Arc<Activity>, door: Arc<Door>) -> Self {
        Self {
            socket,
            patience: Patience::new(&door.limits),
            activity,
            door,
            last_words: None,
            agreed: None,
        }
    }

    fn serve<T>(self, stream: T, inbound: Inbound) -> impl Future<Output = ()>
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let counted = Counted::new(stream, self.activity.clone(), self.agreed);
        let wire = Frames::new(counted, self.activity.clone());
        let handler = Handler {
            activity: self.activity.clone(),
            inbound: Arc::new((self.door.clone(), inbound)),
        };
        let service = service_fn({
            let handler = handler.clone();
            move |request: http::Request<Incoming>| handler.answer(request.map(Content::Http1)).map(Ok::<_, Infallible>)
        });
        self.drive(Spoken::new(wire, handler, service))
    }

    fn drive<T, S>(mut self, mut connection: Spoken<T, S>) -> impl Future<Output = ()>
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        S: Answers,
    {
        async move {
            let door = self.door.clone();
            let limits = &door.limits;
            loop {
                tokio::select! {
                    biased;
                    ended = poll_fn(|cx| connection.poll(limits, cx)) => {
                        self.note(ended);
                        if self.activity.is_given_up() {
                            return;
                        }
                        return Box::pin(linger(&self.socket)).await;
                    }
                    () = gone::wait(&self.socket) => return match timeout(LEAVE_GRACE, poll_fn(|cx| connection.poll(limits, cx))).await {
                        Ok(ended) => self.note(ended),
                        Err(_) => tracing::debug!("client left with its request unread"),
                    },
                    () = self.activity.told() => {
                        if self.activity.is_evicted() {
                            return self.make_room();
                        }
                        connection.close();
                    }
                    () = self.door.drain.cancelled(), if !self.patience.closing => {
                        self.say_nothing_more();
                        connection.close();
                        self.patience.close();
                    }
                    () = self.patience.timer.as_mut() => match self.patience.look(&self.activity) {
                        Look::Fine => {}
                        Look::Idle => {
                            self.door.metrics.reached(Limit::IdleTimeout);
                            self.say_nothing_more();
                            connection.close();
                            self.patience.close();
                        }
                        Look::Over(limit) => return self.end(limit),
                    }
                }
            }
        }
    }

    /// The connection was told to go.
    fn make_room(&self) {
        tracing::debug!("closed a connection to make room, or for what its client did");
        if self.activity.was_slow() && self.activity.is_unanswered() {
            self.say_last(TOO_SLOW);
        } else {
            self.say_nothing_more();
        }
    }

    /// The client has met a limit, or nobody has anything left to say.
    fn end(&self, limit: Option<Limit>) {
        if let Some(limit) = limit {
            self.door.metrics.reached(limit);
            tracing::debug!(limit = limit.name(), "closed a connection");
        }
        if limit == Some(Limit::HeadTimeout) {
            self.say_last(TOO_SLOW);
        } else {
            self.say_nothing_more();
        }
    }

    /// Nothing is owed to the client, and TLS says that: hyper does not where nothing of a connection has come yet.
    fn say_nothing_more(&self) {
        if self.last_words.is_some() && self.activity.idle().is_some() {
            self.say_last(b"");
        }
    }

    /// Says that the connection ends, and why, as far as there is room: nobody waits for a client that is late.
    fn say_last(&self, words: &'static [u8]) {
        match &self.last_words {
            None => drop(self.socket.try_write(words)),
            Some(last_words) => drop(last_words.set(words)),
        }
    }

    fn note(&self, ended: Result<(), Broken>) {
        let Err(error) = ended else { return };
        let hyper = error.downcast_ref::<hyper::Error>();
        if hyper.is_some_and(hyper::Error::is_parse_too_large) {
            // hyper has answered with 431, or 414, and does not say for which of them but in words.
            let bytes = usize::try_from(self.activity.read_since_request()).unwrap_or(usize::MAX);
            let limit = match bytes < self.door.limits.head_bytes_max.max(READ_BYTES) {
                true if error.to_string() == ADDRESS_TOO_LONG => Limit::Address,
                true => Limit::HeadFields,
                false => Limit::HeadBytes,
            };
            self.door.metrics.reached(limit);
            tracing::debug!(limit = limit.name(), "request refused");
        }
        tracing::debug!(%error, "connection ended");
    }
}

/// How long a connection is kept that carries no request, or whose client does not take its response: one timer, which
/// looks now and then.
struct Patience {
    timer: Pin<Box<Sleep>>,
    head_timeout: Duration,
    idle_timeout: Duration,
    write_timeout: Duration,
    write_rate_min: u64,
    /// Since when the client has been behind at every look, and how much had been written then.
    behind: Option<(Instant, u64)>,
    /// The connection has been asked to close.
    closing: bool,
}

/// What a look at a connection says.
enum Look {
    Fine,
    /// It has been without a request for as long as it may.
    Idle,
    /// It is to end, for the limit it has met if it met any.
    Over(Option<Limit>),
}

impl Patience {
    fn new(limits: &ServerLimits) -> Self {
        let &ServerLimits {
            head_timeout,
            idle_timeout,
            write_timeout,
            write_rate_min,
            ..
        } = limits;
        Self {
            timer: Box::pin(sleep(head_timeout.min(idle_timeout).min(write_timeout / 2))),
            head_timeout,
            idle_timeout,
            write_timeout,
            write_rate_min,
            behind: None,
            closing: false,
        }
    }

    fn close(&mut self) {
        self.closing = true;
        self.idle_timeout = self.idle_timeout.min(CLOSE_GRACE);
        self.timer.as_mut().reset(Instant::now() + self.idle_timeout);
    }

    /// The timer has fired: what there is to see, and when to look again.
    fn look(&mut self, activity: &Activity) -> Look {
        if self.is_behind(activity) {
            return Look::Over(Some(Limit::WriteRate));
        }
        let mut next = self.head_timeout.min(self.write_timeout / 2);
        if let Some(head) = activity.head() {
            match left(self.head_timeout, head) {
                Some(left) => next = next.min(left),
                None => return Look::Over(Some(Limit::HeadTimeout)),
            }
        }
        if let Some(idle) = activity.idle() {
            match left(self.idle_timeout, idle) {
                Some(left) => next = next.min(left),
                None if self.closing => return Look::Over(None),
                // Its head is late before it is idle.
                None if activity.head().is_some() => {}
                None => return Look::Idle,
            }
        }
        self.timer.as_mut().reset(Instant::now() + next);
        Look::Fine
    }

    /// Whether the client has taken too little for too long of what waits for it.
    fn is_behind(&mut self, activity: &Activity) -> bool {
        let (written, waits) = activity.traffic.written();
        if !waits {
            self.behind = None;
            // There is room for all of them, so each waits for its own window.
            return activity.end_those_behind(self.write_timeout, self.write_rate_min);
        }
        let (since, before) = *self.behind.get_or_insert((Instant::now(), written));
        let elapsed = since.elapsed();
        if elapsed < self.write_timeout {
            return false;
        }
        let least = self.write_rate_min as f64 * elapsed.as_secs_f64();
        if ((written - before) as f64) < least {
            return true;
        }
        self.behind = Some((Instant::now(), written));
        false
    }
}

/// What is left of `limit`, or none any more.
fn left(limit: Duration, elapsed: Duration) -> Option<Duration> {
    limit.checked_sub(elapsed).filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    pub(super) fn check_length(answer: &[u8]) {
        let text = std::str::from_utf8(answer).unwrap();
        let (head, content) = text.split_once("\r\n\r\n").unwrap();
        let (_, length) = head.split_once("content-length: ").unwrap();
        assert_eq!(length.parse(), Ok(content.len()), "{head}");
    }

    #[test]
    fn answers_that_are_written_as_they_are_have_the_length_they_say() {
        check_length(TURNED_AWAY);
        check_length(TOO_SLOW);
    }
}
