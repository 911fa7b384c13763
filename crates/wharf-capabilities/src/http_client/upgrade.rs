//! Connections on which another protocol is to be spoken: one request each, over HTTP/1.1, and no pool.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::header::{self, HeaderValue};
use http::{Request, StatusCode, Uri};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use wharf_host::http::{ErrorCode, RequestOptions, Upgraded};

use super::connect::{Speaks, before};
use super::origin::Origin;
use super::pool::Permit;
use super::{Shared, failure};

/// How large the head of the answer may be.
const HEAD_BYTES_MAX: usize = 64 << 10;

pub(super) async fn upgrade(
    shared: &Shared,
    mut request: Request<()>,
    options: RequestOptions,
) -> Result<Upgraded, ErrorCode> {
    let origin = Origin::of(request.uri())?;
    shared.admit("outgoing WebSocket", &origin)?;
    let timeouts = shared.timeouts.with(options);
    let until = Instant::now() + timeouts.connect;
    let permit = before(
        until,
        shared.pool.permit(&origin, false),
        ErrorCode::ConnectionLimitReached,
    )
    .await??;
    let permit = permit.ok_or(ErrorCode::ConnectionLimitReached)?;
    let stream = shared.connector.connect(&origin, Speaks::Http1, until).await?;
    let mut builder = http1::Builder::new();
    builder.max_header_size(HEAD_BYTES_MAX).max_buf_size(HEAD_BYTES_MAX);
    let opened = builder.handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = opened.map_err(|error| failure::of_opening(&error))?;
    // Ends with the exchange, or hands the connection over.
    tokio::spawn(connection.with_upgrades());
    name_origin(&mut request)?;
    // As long as for the connection: nothing of this is work.
    let until = Instant::now() + timeouts.connect;
    let answer = sender.send_request(request.map(|()| Empty::<bytes::Bytes>::new()));
    let answer = before(until, answer, ErrorCode::ConnectionReadTimeout).await?;
    let mut response = answer.map_err(|error| failure::of_opening(&error))?;
    let stream = match response.status() {
        StatusCode::SWITCHING_PROTOCOLS => {
            let upgraded = before(
                until,
                hyper::upgrade::on(&mut response),
                ErrorCode::ConnectionReadTimeout,
            )
            .await?;
            let upgraded = upgraded.map_err(|error| failure::of_opening(&error))?;
            let stream = TokioIo::new(upgraded);
            Some(Box::new(Counted {
                stream,
                _permit: permit,
            }) as Box<_>)
        }
        _ => None,
    };
    Ok(Upgraded {
        head: response.map(drop),
        stream,
    })
}

/// The request as it stands on the wire: a path, and the host beside it (RFC 9112 section 3.2.1).
fn name_origin(request: &mut Request<()>) -> Result<(), ErrorCode> {
    let invalid = || ErrorCode::HttpRequestUriInvalid;
    let authority = request.uri().authority().ok_or_else(invalid)?;
    let host = HeaderValue::try_from(authority.as_str()).map_err(|_| invalid())?;
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let path: Uri = path.parse().map_err(|_| invalid())?;
    *request.uri_mut() = path;
    request.headers_mut().insert(header::HOST, host);
    Ok(())
}

/// A connection that counts among those that are open.
struct Counted {
    stream: TokioIo<hyper::upgrade::Upgraded>,
    _permit: Permit,
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Counted {
    writes_as!(stream);
}
