//! The tasks that drive connections: one for each, from its handshake to its end.
//!
//! A task ends when the origin closes, when the connection has idled for too long, when the request on it is given up
//! (HTTP/1.1), and when the client is gone.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use wharf_host::http::ErrorCode;

use super::connect::Stream;
use super::exchange::Outgoing;
use super::failure;
use super::pool::{Http1Lease, Load, STREAMS_MAX, Slot};

/// How large the head of a response may be, and its trailers. Past it the guest sees
/// `HTTP-response-header-section-size` (HTTP/1.1) or `HTTP-protocol-error` (HTTP/2, whose engine does not say more).
/// Twice the most generous limit of common servers.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// What an origin may send ahead on one stream before the guest takes it: enough for 100 Mbit/s across an ocean.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;

/// What an origin may send ahead on all streams of a connection. As much as on each of them together, so that a guest
/// that does not read holds up nobody else's response.
const CONNECTION_WINDOW_BYTES: u32 = STREAM_WINDOW_BYTES * STREAMS_MAX as u32;

/// What is kept of a request's body that the origin does not take yet.
const SEND_BUFFER_BYTES_MAX: usize = 256 << 10;

/// While requests wait on a silent connection of HTTP/2, the origin is asked for a sign of life this often, and given
/// this long for it. Otherwise one lost origin would take all requests of its connection along until their timeouts.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

pub(super) async fn start_http1(stream: Stream, slot: Slot) -> Result<Http1Lease, ErrorCode> {
    let (received, forwarding) = (stream.received(), stream.forwarding());
    let mut builder = http1::Builder::new();
    builder.max_header_size(HEAD_BYTES_MAX).max_buf_size(HEAD_BYTES_MAX);
    let (sender, connection) = builder
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failure::of_opening(&error))?;
    let (home, returned) = mpsc::channel(1);
    let place = slot.place();
    let task = tokio::spawn(async move {
        tokio::select! {
            biased;
            ended = connection => if let Err(error) = ended {
                tracing::debug!(error = &error as &dyn std::error::Error, "a connection of HTTP/1.1 ended");
            },
            never = attend(returned, &slot) => match never {},
        }
    });
    let task = task.abort_handle();
    Ok(Http1Lease::new(sender, received, forwarding, place, home, task))
}

/// Puts the connection back into the pool after responses that came before their request had ended, and closes it when
/// it idles for too long.
async fn attend(mut returned: mpsc::Receiver<Http1Lease>, slot: &Slot) -> Infallible {
    // One timer that is only set anew when it fires: most connections go out again long before.
    let mut timer = pin!(sleep_until(Instant::now()));
    let mut has_pool = true;
    loop {
        tokio::select! {
            lease = returned.recv() => match lease {
                Some(lease) => lease.settle().await,
                // The request was given up, and this task is about to be aborted.
                None => return std::future::pending().await,
            },
            () = timer.as_mut(), if has_pool => match slot.expire() {
                Some(at) => timer.as_mut().reset(at),
                None => has_pool = false,
            },
        }
    }
}

pub(super) async fn start_http2(
    stream: Stream,
    load: Arc<Load>,
    slot: Slot,
) -> Result<http2::SendRequest<Outgoing>, ErrorCode> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES_MAX)
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    let (sender, mut connection) = builder
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failure::of_opening(&error))?;
    tokio::spawn(async move {
        let mut timer = Some(Box::pin(sleep_until(Instant::now())));
        let ended = poll_fn(|cx| {
            if let Poll::Ready(ended) = Pin::new(&mut connection).poll(cx) {
                return Poll::Ready(ended);
            }
            load.limit(connection.current_max_send_streams());
            while let Some(at) = &mut timer
                && at.as_mut().poll(cx).is_ready()
            {
                match slot.expire() {
                    Some(later) => at.as_mut().reset(later),
                    None => timer = None,
                }
            }
            Poll::Pending
        });
        if let Err(error) = ended.await {
            tracing::debug!(error = &error as &dyn std::error::Error, "a connection of HTTP/2 ended");
        }
    });
    Ok(sender)
}
