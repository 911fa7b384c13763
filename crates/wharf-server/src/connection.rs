//! One connection: HTTP/1.1 or cleartext HTTP/2 by its first bytes.

mod gone;
mod stream;

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpStream;
use wharf_host::Service;

use crate::{ServerOptions, dispatch};
use stream::Stream;

/// How long hyper has to notice by itself that a client has left. It does at once, unless it holds unread parts of a
/// body that the guest does not take.
const LEAVE_GRACE: Duration = Duration::from_millis(200);

/// Serves `stream` in a task of its own.
pub(crate) fn spawn(stream: TcpStream, service: &Service, options: &ServerOptions, graceful: &GracefulShutdown) {
    // Responses are written in one piece; waiting for more would only delay the last one.
    let _ = stream.set_nodelay(true);
    let Ok(local) = stream.local_addr() else { return };
    let stream = Stream::new(stream);
    let socket = stream.socket();
    let service = service.clone();
    let answer = service_fn(move |request| {
        let service = service.clone();
        async move { Ok::<_, Infallible>(dispatch::answer(&service, request, local).await) }
    });
    let connection = builder(options).serve_connection(stream, answer).into_owned();
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            () = gone::wait(&socket) => match tokio::time::timeout(LEAVE_GRACE, connection).await {
                Ok(ended) => ended,
                Err(_) => return tracing::debug!("client left with its request unread"),
            },
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended");
        }
    });
}

fn builder(options: &ServerOptions) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(options.head_timeout);
    builder.http2().timer(TokioTimer::new());
    builder
}
