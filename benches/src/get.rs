//! One request or WebSocket by the harness itself, where what counts is a single answer and not how many there are.

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpSocket, TcpStream};
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

/// The same from another address of this machine than the system would choose.
pub async fn connect_from(source: IpAddr, addr: SocketAddr) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket
        .bind((source, 0).into())
        .context("cannot connect from another address")?;
    let stream = socket.connect(addr).await.context("cannot connect")?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A WebSocket at `path`, on a connection of its own.
pub async fn websocket(addr: SocketAddr, path: &str) -> Result<WebSocketStream<TcpStream>> {
    websocket_over(connect(addr).await?, addr, path).await
}

/// The same on this connection.
pub async fn websocket_over(stream: TcpStream, addr: SocketAddr, path: &str) -> Result<WebSocketStream<TcpStream>> {
    let url = format!("ws://{addr}{path}");
    let (socket, _) = tokio_tungstenite::client_async(url, stream).await?;
    Ok(socket)
}

/// Asks for `path` on this connection, which is closed when this returns.
pub async fn ask(stream: TcpStream, addr: SocketAddr, path: &str) -> Result<StatusCode> {
    Ok(ask_whole(stream, addr, path).await?.0)
}

/// The same with the answer's content.
pub async fn ask_whole(stream: TcpStream, addr: SocketAddr, path: &str) -> Result<(StatusCode, Bytes)> {
    let (mut sender, mut connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path).header(header::HOST, addr.to_string());
    let request = request.body(Empty::<Bytes>::new())?;
    let answer = async move {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let content = response.into_body().collect().await?.to_bytes();
        Ok::<_, hyper::Error>((status, content))
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
