//! One request or WebSocket by the harness itself, where what counts is a single answer and not how many there are.

use std::net::SocketAddr;
use std::pin::pin;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;

/// Asks for `path` on a connection of its own, which is closed when this returns: the status of a complete answer.
pub async fn get(addr: SocketAddr, path: &str) -> Result<StatusCode> {
    ask(connect(addr).await?, addr, path).await
}

pub async fn connect(addr: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(addr).await.context("cannot connect")?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A WebSocket at `path`, on a connection of its own.
pub async fn websocket(addr: SocketAddr, path: &str) -> Result<WebSocketStream<TcpStream>> {
    let url = format!("ws://{addr}{path}");
    let (socket, _) = tokio_tungstenite::client_async(url, connect(addr).await?).await?;
    Ok(socket)
}

/// Asks for `path` on this connection, which is closed when this returns.
pub async fn ask(stream: TcpStream, addr: SocketAddr, path: &str) -> Result<StatusCode> {
    let (mut sender, mut connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path).header(header::HOST, addr.to_string());
    let request = request.body(Empty::<Bytes>::new())?;
    let answer = async move {
        let response = sender.send_request(request).await?;
        let status = response.status();
        response.into_body().collect().await?;
        Ok::<_, hyper::Error>(status)
    };
    let mut answer = pin!(answer);
    // In one task: the connection works on nothing but this request, and goes with it.
    tokio::select! {
        answer = &mut answer => Ok(answer?),
        ended = &mut connection => {
            ended?;
            Ok(answer.await?)
        }
    }
}
