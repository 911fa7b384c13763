//! Carries the bytes of a WebSocket through a stream of HTTP/2, on a thread of its own.

use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;

use bytes::Bytes;
use h2::{RecvStream, SendStream, ext::Protocol};
use http::Request;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::http::Reply;
use crate::http2;
use crate::wait::DEADLINE;

/// An extended CONNECT, and the near end of what it carries.
pub(super) fn open(addr: SocketAddr, path: &str, fields: &[(&str, &str)]) -> Result<(UnixStream, Reply), Reply> {
    let (near, far) = UnixStream::pair().expect("the system has socket pairs");
    near.set_read_timeout(Some(DEADLINE)).expect("the deadline is not zero");
    near.set_write_timeout(Some(DEADLINE))
        .expect("the deadline is not zero");
    let mut request = Request::connect(format!("http://{addr}{path}"))
        .header("sec-websocket-version", "13")
        .extension(Protocol::from_static("websocket"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let request = request.body(()).expect("the path is one");
    let (answer, answered) = mpsc::channel();
    std::thread::spawn(move || http2::run(carry(addr, request, far, answer)));
    let reply = answered.recv().expect("the handshake is answered");
    match reply.status {
        200 => Ok((near, reply)),
        _ => Err(reply),
    }
}

async fn carry(addr: SocketAddr, request: Request<()>, far: UnixStream, answer: mpsc::Sender<Reply>) {
    let handle = http2::connect(addr).await;
    let mut handle = handle.ready().await.expect("the server takes a request");
    let sent = async {
        // The server's settings have to have come.
        while !handle.is_extended_connect_protocol_enabled() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        handle.send_request(request, false).expect("the request can be sent")
    };
    let (response, send) = sent.await;
    let response = response.await.expect("the handshake is answered");
    let is_open = response.status() == 200;
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = response.headers().iter();
    let mut reply = Reply {
        status: response.status().as_u16(),
        headers: headers
            .map(|(name, value)| (name.as_str().to_owned(), text(value)))
            .collect(),
        body: Vec::new(),
        trailers: Vec::new(),
    };
    let mut receive = response.into_body();
    if !is_open {
        while let Ok(Some(piece)) = http2::data(&mut receive).await {
            reply.body.extend_from_slice(&piece);
        }
        let _ = answer.send(reply);
        return;
    }
    let _ = answer.send(reply);
    far.set_nonblocking(true).expect("a socket takes this");
    let far = tokio::net::UnixStream::from_std(far).expect("a runtime is there");
    let (mut from, mut to) = far.into_split();
    let up = tokio::spawn(async move { upload(&mut from, send).await });
    download(&mut to, &mut receive).await;
    let _ = to.shutdown().await;
    let _ = up.await;
}

async fn upload(from: &mut tokio::net::unix::OwnedReadHalf, mut send: SendStream<Bytes>) -> io::Result<()> {
    let mut piece = vec![0; 16 << 10];
    loop {
        let bytes = from.read(&mut piece).await?;
        if bytes == 0 {
            let _ = send.send_data(Bytes::new(), true);
            return Ok(());
        }
        let mut rest = Bytes::copy_from_slice(&piece[..bytes]);
        while !rest.is_empty() {
            send.reserve_capacity(rest.len());
            let room = std::future::poll_fn(|cx| send.poll_capacity(cx)).await;
            let Some(Ok(room)) = room else { return Ok(()) };
            let part = rest.split_to(room.min(rest.len()));
            if send.send_data(part, false).is_err() {
                return Ok(());
            }
        }
    }
}

async fn download(to: &mut tokio::net::unix::OwnedWriteHalf, receive: &mut RecvStream) {
    while let Some(Ok(piece)) = receive.data().await {
        if to.write_all(&piece).await.is_err() {
            return;
        }
        let _ = receive.flow_control().release_capacity(piece.len());
    }
}
