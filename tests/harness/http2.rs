//! HTTP/2 without TLS, by prior knowledge, on the `h2` crate: it shows streams, resets and windows as they are.

use std::future::Future;
use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, client};
use http::{HeaderMap, Request};
use tokio::net::TcpStream;

use crate::http::{Headers, Reply};
use crate::wait::DEADLINE;

/// Runs a test to its end on a runtime of its own.
///
/// # Panics
///
/// When it has not ended after 60 s.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("the system has what a runtime needs");
    let deadline = 3 * DEADLINE;
    let result = runtime.block_on(async { tokio::time::timeout(deadline, test).await });
    result.unwrap_or_else(|_| panic!("the test has not ended after {deadline:?}"))
}

/// Connects, and drives the connection on a task of its own for as long as a handle or a stream lives.
///
/// # Panics
///
/// When it cannot connect, or the peer does not speak HTTP/2.
pub async fn connect(addr: SocketAddr) -> SendRequest<Bytes> {
    connect_with(addr, &client::Builder::new()).await
}

/// Like [`connect`], with windows and limits of the caller's.
///
/// # Panics
///
/// As [`connect`].
pub async fn connect_with(addr: SocketAddr, builder: &client::Builder) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(addr).await.expect("the server accepts connections");
    stream.set_nodelay(true).expect("a TCP socket takes this option");
    let (handle, connection) = builder.handshake(stream).await.expect("the server speaks HTTP/2");
    // How a connection ended shows in its streams.
    tokio::spawn(connection);
    handle.ready().await.expect("the server takes a request")
}

/// Sends a GET and reads the whole response.
///
/// # Panics
///
/// When there is no whole response.
pub async fn get(handle: &SendRequest<Bytes>, addr: SocketAddr, path: &str) -> Reply {
    let request = Request::get(format!("http://{addr}{path}"))
        .body(())
        .expect("the path is one");
    send(handle, request).await
}

/// Sends a request without content and reads the whole response.
///
/// # Panics
///
/// When there is none.
pub async fn send(handle: &SendRequest<Bytes>, request: Request<()>) -> Reply {
    let mut handle = handle.clone().ready().await.expect("the server takes a request");
    let (response, _) = handle.send_request(request, true).expect("the request can be sent");
    collect(response).await.expect("a whole response")
}

/// Sends a request with content, if there is any, and reads the whole response.
///
/// # Panics
///
/// When there is none.
pub async fn send_with(handle: &SendRequest<Bytes>, request: Request<()>, content: Vec<u8>) -> Reply {
    if content.is_empty() {
        return send(handle, request).await;
    }
    let mut handle = handle.clone().ready().await.expect("the server takes a request");
    let (response, mut stream) = handle.send_request(request, false).expect("the request can be sent");
    stream.send_data(content.into(), true).expect("the content can be sent");
    collect(response).await.expect("a whole response")
}

/// Reads the whole response, trailers included.
///
/// # Errors
///
/// A reset of the stream or an end of the connection.
pub async fn collect(response: ResponseFuture) -> Result<Reply, h2::Error> {
    let (head, mut stream) = response.await?.into_parts();
    let mut body = Vec::new();
    while let Some(piece) = data(&mut stream).await? {
        body.extend_from_slice(&piece);
    }
    let trailers = stream.trailers().await?.unwrap_or_default();
    Ok(Reply {
        status: head.status.as_u16(),
        headers: list(&head.headers),
        body,
        trailers: list(&trailers),
    })
}

/// The next piece of content, its part of the window given back; `None` at the content's end.
///
/// # Errors
///
/// A reset of the stream or an end of the connection.
pub async fn data(stream: &mut RecvStream) -> Result<Option<Bytes>, h2::Error> {
    let Some(piece) = stream.data().await.transpose()? else {
        return Ok(None);
    };
    stream.flow_control().release_capacity(piece.len())?;
    Ok(Some(piece))
}

fn list(headers: &HeaderMap) -> Headers {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), text(value)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server of one connection that answers each request with its path, in two pieces and with a trailer.
    async fn answer(listener: tokio::net::TcpListener) -> Result<(), h2::Error> {
        let (stream, _) = listener.accept().await.expect("the client connects");
        let mut connection = h2::server::handshake(stream).await?;
        while let Some(request) = connection.accept().await {
            let (request, mut respond) = request?;
            let mut content = respond.send_response(http::Response::new(()), false)?;
            content.send_data(Bytes::from_static(b"at "), false)?;
            content.send_data(Bytes::from(request.uri().path().to_owned()), false)?;
            let trailers = [(
                http::HeaderName::from_static("x-end"),
                http::HeaderValue::from_static("1"),
            )];
            content.send_trailers(HeaderMap::from_iter(trailers))?;
        }
        Ok(())
    }

    #[test]
    fn responses_are_collected_with_their_trailers() {
        run(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let addr = listener.local_addr().unwrap();
            let server = tokio::spawn(answer(listener));
            let handle = connect(addr).await;
            for path in ["/a", "/b"] {
                let reply = get(&handle, addr, path).await;
                assert_eq!((reply.status, reply.text()), (200, format!("at {path}")));
                assert_eq!(reply.trailer("x-end"), Some("1"));
            }
            drop(handle);
            server.await.unwrap().unwrap();
        });
    }
}
