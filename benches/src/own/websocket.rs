//! Messages that come back, on WebSockets.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::{Asks, gather, microseconds};
use crate::client::Outcome;
use crate::get;

const MESSAGE: [u8; 64] = [b'w'; 64];

/// Nobody takes long to answer a message, or to close.
const DEADLINE: Duration = Duration::from_secs(60);

/// Every connection has so many messages under way.
pub async fn run(asks: &Asks, under_way: usize) -> Result<Outcome> {
    let mut sockets = Vec::new();
    for _ in 0..asks.connections {
        sockets.push(get::websocket(asks.addr, &asks.path).await?);
    }
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for socket in sockets {
        tasks.spawn_local(talk(socket, under_way, begin + asks.duration));
    }
    gather(tasks, begin, asks.duration).await
}

/// How long each message took that came back before `end`, from when it was given to the socket. What has come is
/// answered with as many new ones, which are sent at once.
async fn talk(mut socket: WebSocketStream<TcpStream>, under_way: usize, end: Instant) -> Result<Vec<f64>> {
    let message = Message::Binary(Bytes::from_static(&MESSAGE));
    let (mut sent, mut times) = (VecDeque::with_capacity(under_way), Vec::new());
    for _ in 0..under_way {
        sent.push_back(Instant::now());
        socket.feed(message.clone()).await?;
    }
    loop {
        socket.flush().await?;
        let mut answer = Some(
            timeout(DEADLINE, socket.next())
                .await?
                .context("closed by the server")?,
        );
        let now = Instant::now();
        while let Some(came) = answer {
            ensure!(came? == message, "a message came back as another");
            times.push(microseconds(now - sent.pop_front().context("nothing was sent")?));
            sent.push_back(now);
            socket.feed(message.clone()).await?;
            answer = socket.next().now_or_never().flatten();
        }
        if now >= end {
            close(socket).await;
            return Ok(times);
        }
    }
}

/// So that the server is at rest before another one is measured.
async fn close(mut socket: WebSocketStream<TcpStream>) {
    let closed = async {
        let _ = socket.close(None).await;
        while socket.next().await.is_some_and(|came| came.is_ok()) {}
    };
    let _ = timeout(DEADLINE, closed).await;
}
