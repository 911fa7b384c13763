//! One connection: HTTP/1.1 or cleartext HTTP/2 by its first bytes.

pub(crate) mod activity;
mod gone;
pub(crate) mod reading;
mod stream;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use crate::dispatch;
use crate::door::Door;
use crate::limits::{Limit, ServerLimits};
use crate::places::Place;
use activity::Activity;
use stream::{Socket, Stream};

/// How long hyper has to notice by itself that a client has left. It does at once, unless it holds unread parts of a
/// body that the guest does not take.
const LEAVE_GRACE: Duration = Duration::from_millis(200);

/// How long a connection without requests may stay open once it has been told to close: a client may have sent its next
/// request before it heard of that, and over HTTP/2 it confirms what it heard.
const CLOSE_GRACE: Duration = Duration::from_millis(250);

/// How long a client may take to read the last that was written to it.
const LAST_GRACE: Duration = Duration::from_millis(500);

/// What hyper reads at a time at most, heads and bodies alike: its own figure. Less costs uploads twice the processor time; so a
/// head may fill it before it is refused (`dispatch.rs`).
const READ_BYTES: usize = 8192 + 4096 * 100;

/// hyper's own bound, which it keeps in a place that costs no allocation.
const USUAL_HEAD_FIELDS: usize = 100;

const TURNED_AWAY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n\
    content-type: text/plain; charset=utf-8\r\ncontent-length: 46\r\n\r\n503 Service Unavailable: too many connections\n";

const TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\
    content-type: text/plain; charset=utf-8\r\ncontent-length: 54\r\n\r\n408 Request Timeout: the request did not come in time\n";

/// Serves `stream` until either side ends it. The door's drain asks for its end: what has begun is finished.
pub(crate) async fn serve(stream: TcpStream, peer: SocketAddr, door: Arc<Door>) {
    // Responses are written in one piece; waiting for more would only delay the last one.
    let _ = stream.set_nodelay(true);
    let Ok(local) = stream.local_addr() else { return };
    let activity = Arc::new(Activity::new(door.clone()));
    // An IPv4 client is the same one on a socket for both families.
    let client: IpAddr = peer.ip().to_canonical();
    let place = match Place::take(&door, client, activity.clone()) {
        Ok(place) => Arc::new(place),
        Err(limit) => {
            tracing::debug!(%peer, limit = limit.name(), "turned a connection away");
            drop(activity);
            return turn_away(stream, &door).await;
        }
    };
    activity.has(&place);
    let stream = Stream::new(stream, activity.clone());
    let connection = Connection {
        socket: stream.socket(),
        patience: Patience::new(&door.limits),
        activity: activity.clone(),
        door: door.clone(),
    };
    let answer = service_fn(move |request: http::Request<Incoming>| {
        let (door, request_begins) = (door.clone(), activity.begin());
        async move { Ok::<_, Infallible>(dispatch::answer(&door, request, local, request_begins).await) }
    });
    connection.drive(stream, answer).await;
}

/// Says that there is no place, to as many as that can be said to without holding much for them.
async fn turn_away(stream: TcpStream, door: &Door) {
    let Ok(_turned_away) = door.refusals.try_acquire() else {
        return;
    };
    let say = async {
        stream.writable().await?;
        stream.try_write(TURNED_AWAY)?;
        rustix::net::shutdown(&stream, rustix::net::Shutdown::Write)?;
        Ok::<_, std::io::Error>(())
    };
    if let Ok(Ok(())) = tokio::time::timeout(LAST_GRACE, say).await {
        linger(&stream).await;
    }
}

/// Reads and throws away what still comes until the client closes, too: a socket that is closed with something unread, or
/// that something comes to afterwards, takes back what was written to it (RFC 9112 section 9.6).
async fn linger(stream: &TcpStream) {
    let mut rest = [0; 1024];
    let read = async {
        while stream.readable().await.is_ok() {
            match stream.try_read(&mut rest) {
                Ok(1..) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Ok(0) | Err(_) => return,
            }
        }
    };
    let _ = tokio::time::timeout(LAST_GRACE, read).await;
}

/// A connection seen from outside of hyper.
struct Connection {
    socket: Socket,
    activity: Arc<Activity>,
    door: Arc<Door>,
    patience: Patience,
}

impl Connection {
    async fn drive<S>(mut self, stream: Stream, answer: S)
    where
        S: hyper::service::Service<
                http::Request<Incoming>,
                Response = http::Response<activity::Answer>,
                Error = Infallible,
                Future: Send + 'static,
            > + Send
            + 'static,
    {
        let builder = builder(&self.door.limits);
        let mut connection = pin!(builder.serve_connection_with_upgrades(stream, answer));
        loop {
            tokio::select! {
                biased;
                ended = connection.as_mut() => {
                    self.note(ended);
                    if self.activity.is_given_up() {
                        return;
                    }
                    return linger(self.socket.tcp()).await;
                }
                () = gone::wait(self.socket.tcp()) => return match tokio::time::timeout(LEAVE_GRACE, connection).await {
                    Ok(ended) => self.note(ended),
                    Err(_) => tracing::debug!("client left with its request unread"),
                },
                () = self.activity.told() => {
                    if self.activity.is_evicted() {
                        return self.make_room();
                    }
                    connection.as_mut().graceful_shutdown();
                }
                () = self.door.drain.cancelled(), if !self.patience.closing => {
                    connection.as_mut().graceful_shutdown();
                    self.patience.close();
                }
                () = self.patience.timer.as_mut() => match self.patience.look(&self.activity) {
                    Look::Fine => {}
                    Look::Idle => {
                        self.door.metrics.reached(Limit::IdleTimeout);
                        connection.as_mut().graceful_shutdown();
                        self.patience.close();
                    }
                    Look::Over(limit) => return self.end(limit),
                }
            }
        }
    }

    /// The connection was told to go.
    fn make_room(&self) {
        tracing::debug!("closed a connection to make room, or for what its client did");
        if self.activity.was_slow() && self.activity.is_unanswered() {
            let _ = self.socket.tcp().try_write(TOO_SLOW);
        }
    }

    /// The client has met a limit, or nobody has anything left to say.
    fn end(&self, limit: Option<Limit>) {
        if let Some(limit) = limit {
            self.door.metrics.reached(limit);
            tracing::debug!(limit = limit.name(), "closed a connection");
        }
        if limit == Some(Limit::HeadTimeout) {
            // As far as there is room: nobody waits for a client that is late.
            let _ = self.socket.tcp().try_write(TOO_SLOW);
        }
    }

    fn note(&self, ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
        let Err(error) = ended else { return };
        let hyper = error.downcast_ref::<hyper::Error>();
        if hyper.is_some_and(hyper::Error::is_parse_too_large) {
            // hyper has answered with 431, or 414, and does not say for which of the two.
            let bytes = usize::try_from(self.activity.read_since_request()).unwrap_or(usize::MAX);
            let limit = match bytes < self.door.limits.head_bytes_max.max(READ_BYTES) {
                true => Limit::HeadFields,
                false => Limit::HeadBytes,
            };
            self.door.metrics.reached(limit);
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
        if activity
            .stream_untaken()
            .is_some_and(|untaken| untaken >= self.write_timeout)
        {
            return true;
        }
        let (written, waits) = activity.traffic.written();
        if !waits {
            self.behind = None;
            return false;
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

fn builder(limits: &ServerLimits) -> auto::Builder<TokioExecutor> {
    // Heads have no timer of hyper's: see [`Patience`].
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().max_buf_size(limits.head_bytes_max.max(READ_BYTES));
    if limits.head_fields_max != USUAL_HEAD_FIELDS {
        builder.http1().max_headers(limits.head_fields_max);
    }
    builder
        .http2()
        .timer(TokioTimer::new())
        // For WebSockets (RFC 8441).
        .enable_connect_protocol()
        .max_header_list_size(u32::try_from(limits.head_bytes_max).unwrap_or(u32::MAX))
        .max_concurrent_streams(limits.streams_max);
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_are_written_as_they_are_have_the_length_they_say() {
        for answer in [TURNED_AWAY, TOO_SLOW] {
            let text = std::str::from_utf8(answer).unwrap();
            let (head, content) = text.split_once("\r\n\r\n").unwrap();
            let (_, length) = head.split_once("content-length: ").unwrap();
            assert_eq!(length.parse(), Ok(content.len()), "{head}");
        }
    }
}
