//! A connection as what it turns out to speak: HTTP/1.1 or HTTP/2, with the bounds that each library has of its own.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::Handler;
use super::answer::Answer;
use super::frames::Frames;
use super::http2::Http2;
use super::stream::Counted;
use crate::limits::ServerLimits;

/// What hyper reads at a time at most, heads and bodies alike: its own figure. Less costs uploads twice the processor time; so a
/// head may fill it before it is refused (`dispatch.rs`).
pub(super) const READ_BYTES: usize = 8192 + 4096 * 100;

/// hyper's own bound, which it keeps in a place that costs no allocation.
const USUAL_HEAD_FIELDS: usize = 100;

/// What a client may send of one request before a guest has read any of it. It lets a client send 100 Mbit/s over a way of 20 ms;
/// within a site, as much as the network carries.
const STREAM_WINDOW: u32 = 256 << 10;

/// The same for all requests of a connection: so many guests that do not read leave the others room.
const CONNECTION_WINDOW: u32 = 16 * STREAM_WINDOW;

/// What the library may hold of one response that was not written yet: some frames, so that the connection always has one.
const STREAM_UNWRITTEN: usize = 64 << 10;

/// How many streams that broke the protocol are reset before their connection is ended: hyper's figure.
const STREAMS_RESET_MAX: usize = 1024;

/// HPACK counts so much for each field on top of its bytes (RFC 7541 section 4.1).
const FIELD_BYTES: usize = 32;

/// How many times as large a head may be as it should before the library answers by itself, without an id and a metric. A head
/// is small until it is unpacked.
const HEAD_EXCESS: usize = 4;

type Wire<T> = Frames<Counted<T>>;

/// What went wrong with a connection.
pub(super) type Broken = Box<dyn std::error::Error + Send + Sync>;

/// [`Handler`] as hyper wants it.
pub(super) trait Answers:
    Service<Request<Incoming>, Response = Response<Answer>, Error = Infallible> + Unpin
{
}

impl<S> Answers for S where S: Service<Request<Incoming>, Response = Response<Answer>, Error = Infallible> + Unpin {}

/// A connection under way.
#[expect(clippy::large_enum_variant, reason = "the largest is what nearly all come to")]
pub(super) enum Spoken<T, S: Answers> {
    /// Its first bytes will tell.
    Begins(Option<(Wire<T>, Handler, S)>),
    Http1(http1::UpgradeableConnection<TokioIo<Wire<T>>, S>),
    // Boxed: the library keeps twice as much of a connection as hyper does of one of the others.
    Http2(Box<Http2<Wire<T>>>),
}

impl<T, S> Spoken<T, S>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: Answers,
{
    pub fn new(wire: Wire<T>, handler: Handler, service: S) -> Self {
        Self::Begins(Some((wire, handler, service)))
    }

    /// Takes no further requests, and ends with those that have begun.
    pub fn close(&mut self) {
        match self {
            Self::Begins(begun) => *begun = None,
            Self::Http1(connection) => Pin::new(connection).graceful_shutdown(),
            Self::Http2(connection) => connection.close(),
        }
    }

    /// Ready when the connection has ended.
    pub fn poll(&mut self, limits: &ServerLimits, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        loop {
            match self {
                Self::Begins(begun) => {
                    let Some((wire, ..)) = begun else {
                        return Poll::Ready(Ok(()));
                    };
                    let version = ready!(wire.poll_version(cx))?;
                    if let Some((wire, handler, service)) = begun.take() {
                        *self = match version {
                            Version::HTTP_2 => Self::Http2(Box::new(Http2::new(wire, &http2(limits), handler))),
                            _ => Self::Http1(
                                http1(limits)
                                    .serve_connection(TokioIo::new(wire), service)
                                    .with_upgrades(),
                            ),
                        };
                    }
                }
                Self::Http1(connection) => return Pin::new(connection).poll(cx).map_err(Into::into),
                Self::Http2(connection) => return connection.poll(cx).map_err(Into::into),
            }
        }
    }
}

/// Heads have no timer of hyper's: see [`super::Patience`].
fn http1(limits: &ServerLimits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(limits.head_bytes_max.max(READ_BYTES));
    if limits.head_fields_max != USUAL_HEAD_FIELDS {
        builder.max_headers(limits.head_fields_max);
    }
    builder
}

fn http2(limits: &ServerLimits) -> h2::server::Builder {
    let mut builder = h2::server::Builder::new();
    builder
        // For WebSockets (RFC 8441).
        .enable_connect_protocol()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(STREAM_UNWRITTEN)
        .max_local_error_reset_streams(Some(STREAMS_RESET_MAX))
        .max_header_list_size(head_list_bytes_max(limits))
        .max_concurrent_streams(limits.streams_max);
    builder
}

/// Past it the library answers, and past four times as much it closes the connection.
fn head_list_bytes_max(limits: &ServerLimits) -> u32 {
    let most = HEAD_EXCESS * (limits.head_bytes_max + FIELD_BYTES * limits.head_fields_max);
    u32::try_from(most).unwrap_or(u32::MAX)
}

/// How many frames of a head without an end are more than the library takes, whose own bound is five quarters of those that the
/// largest head fills, and not below five.
pub(super) fn continuations_refused(limits: &ServerLimits) -> usize {
    let frames = head_list_bytes_max(limits) as usize / (16 << 10);
    (frames + frames / 4).max(5) + 1
}
