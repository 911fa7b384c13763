//! One connection: HTTP/1.1 or cleartext HTTP/2 by its first bytes.

mod activity;
mod gone;
mod stream;

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::CancellationToken;
use wharf_host::Service;

use crate::metrics::Metrics;
use crate::{ServerOptions, dispatch};
use activity::Activity;
use stream::Stream;

/// How long hyper has to notice by itself that a client has left. It does at once, unless it holds unread parts of a
/// body that the guest does not take.
const LEAVE_GRACE: Duration = Duration::from_millis(200);

/// How long a connection without requests may stay open once it has been told to close: a client may have sent its next
/// request before it heard of that, and over HTTP/2 it confirms what it heard.
const CLOSE_GRACE: Duration = Duration::from_millis(250);

/// Serves `stream` until either side ends it. `drain` asks for its end: what has begun is finished.
pub(crate) async fn serve(
    stream: TcpStream,
    service: Service,
    options: ServerOptions,
    drain: CancellationToken,
    metrics: Arc<Metrics>,
) {
    // Responses are written in one piece; waiting for more would only delay the last one.
    let _ = stream.set_nodelay(true);
    let Ok(local) = stream.local_addr() else { return };
    let stream = Stream::new(stream);
    let socket = stream.socket();
    let activity = Arc::new(Activity::new(metrics));
    let counting = activity.clone();
    let answer = service_fn(move |request: http::Request<Incoming>| {
        let (service, request_ends) = (service.clone(), counting.begin());
        async move {
            let response = dispatch::answer(&service, request, local).await;
            request_ends.responded(response.status());
            Ok::<_, Infallible>(response.map(|body| request_ends.with(body)))
        }
    });
    let builder = builder();
    let mut connection = pin!(builder.serve_connection(stream, answer));
    let mut patience = Patience::new(options.head_timeout);
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => return note(ended),
            () = gone::wait(socket.tcp()) => return match tokio::time::timeout(LEAVE_GRACE, connection).await {
                Ok(ended) => note(ended),
                Err(_) => tracing::debug!("client left with its request unread"),
            },
            () = drain.cancelled(), if !patience.closing => {
                connection.as_mut().graceful_shutdown();
                patience.close();
            }
            () = patience.timer.as_mut() => {
                if patience.is_over(&activity) {
                    if patience.closing {
                        return tracing::debug!("closed a connection that had no request");
                    }
                    connection.as_mut().graceful_shutdown();
                    patience.close();
                }
            }
        }
    }
}

fn note(ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

/// How long a connection is kept that carries no request: one timer, which looks now and then.
struct Patience {
    timer: Pin<Box<Sleep>>,
    limit: Duration,
    /// The connection has been asked to close.
    closing: bool,
}

impl Patience {
    fn new(limit: Duration) -> Self {
        Self {
            timer: Box::pin(sleep(limit)),
            limit,
            closing: false,
        }
    }

    fn close(&mut self) {
        self.closing = true;
        self.limit = self.limit.min(CLOSE_GRACE);
        self.timer.as_mut().reset(Instant::now() + self.limit);
    }

    /// The timer has fired: whether the connection had no request for as long as it may, or when to look again.
    fn is_over(&mut self, activity: &Activity) -> bool {
        let left = match activity.idle() {
            None => self.limit,
            Some(idle) => match self.limit.checked_sub(idle).filter(|left| !left.is_zero()) {
                Some(left) => left,
                None => return true,
            },
        };
        self.timer.as_mut().reset(Instant::now() + left);
        false
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    // Heads have no timer of hyper's: a connection whose head does not come has no request, see [`Patience`].
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http2().timer(TokioTimer::new());
    builder
}
