//! The ceiling: the workloads without WebAssembly, on the same hyper, rustls and tokio as Wharf, WebSockets by
//! tokio-tungstenite. `native ADDRESS [--tls-certificate FILE --tls-key FILE]`.

use std::convert::Infallible;
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{bail, ensure};
use bytes::Bytes;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _, TryStreamExt as _, stream};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::{Body, Frame};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Sleep, sleep};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

/// Keeps its connections, as the hosts of components may.
type Outgoing = Client<HttpConnector, Empty<Bytes>>;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let (addr, tls) = match args[..] {
        [addr] => (addr, None),
        [addr, "--tls-certificate", certificate, "--tls-key", key] => (addr, Some(tls(certificate, key)?)),
        _ => bail!("usage: native ADDRESS [--tls-certificate FILE --tls-key FILE]"),
    };
    let listener = TcpListener::bind(addr).await?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    eprintln!("native: serving at {scheme}://{}", listener.local_addr()?);
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    // For as long as the program runs; counting its users would be at the expense of every request.
    let outgoing: &'static Outgoing = Box::leak(Box::new(Client::builder(TokioExecutor::new()).build(connector)));
    // Ended like this, a program that was built to count what it does writes it.
    let mut end = pin!(tokio::signal::ctrl_c());
    loop {
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => accepted?,
            ended = &mut end => return Ok(ended?),
        };
        stream.set_nodelay(true)?;
        let tls = tls.clone();
        tokio::spawn(async move {
            match tls {
                None => serve(stream, outgoing).await,
                // A client that leaves is no failure.
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, outgoing).await;
                    }
                }
            }
        });
    }
}

/// As Wharf has it: both versions of TLS and of HTTP, and tickets for clients that come again.
fn tls(certificate: &str, key: &str) -> anyhow::Result<TlsAcceptor> {
    let certificates = CertificateDer::pem_file_iter(certificate)?.collect::<Result<_, _>>()?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions()?.with_no_client_auth();
    let mut config = config.with_single_cert(certificates, PrivateKeyDer::from_pem_file(key)?)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = ring::Ticketer::new()?;
    Ok(Arc::new(config).into())
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, outgoing: &'static Outgoing) {
    let service = service_fn(|request| answer(request, outgoing));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new());
    // A client that leaves is no failure.
    let _ = builder
        .serve_connection_with_upgrades(TokioIo::new(stream), service)
        .await;
}

type Answer = Response<BoxBody<Bytes, hyper::Error>>;

async fn answer(request: Request<Incoming>, outgoing: &Outgoing) -> Result<Answer, Infallible> {
    let path = request.uri().path().to_owned();
    let (name, argument) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
    let number: u64 = argument.parse().unwrap_or(0);
    let body = match name {
        "timer" => {
            tokio::time::sleep(Duration::from_millis(number)).await;
            full("hello, wharf")
        }
        "cpu" => {
            black_box(compute(number));
            full("hello, wharf")
        }
        "download" => Pieces::new(number, 64 << 10).map_err(|never| match never {}).boxed(),
        "chunks" => Pieces::new(number * 8, 8).map_err(|never| match never {}).boxed(),
        "upload" => {
            let mut body = request.into_body();
            while let Some(Ok(_)) = body.frame().await {}
            full("hello, wharf")
        }
        "echo" => request.into_body().boxed(),
        "websocket" => return Ok(websocket(request)),
        "events" => return Ok(events()),
        "times" => Times::default().map_err(|never| match never {}).boxed(),
        "calls" => {
            let url = format!("http://{argument}/hello");
            let calls = tokio::try_join!(call(outgoing, &url), call(outgoing, &url), call(outgoing, &url));
            match calls {
                Ok(_) => full("hello, wharf"),
                Err(_) => return Ok(a_call_failed()),
            }
        }
        "fetch" => match fetch(outgoing, argument).await {
            Ok(()) => full("hello, wharf"),
            Err(_) => return Ok(a_call_failed()),
        },
        _ => full("hello, wharf"),
    };
    Ok(Response::new(body))
}

/// The default, 128 KiB, would be most of what a connection holds; for small messages this is as fast.
const READ_BUFFER_BYTES: usize = 4096;

/// Sends every message back; those that come together, together.
fn websocket(mut request: Request<Incoming>) -> Answer {
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY);
    let accept = key.map(|key| derive_accept_key(key.as_bytes())).unwrap_or_default();
    tokio::spawn(async move {
        let upgraded = hyper::upgrade::on(&mut request).await.ok()?;
        // Without what hyper needed around it.
        let parts = auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded).ok()?;
        let (stream, read) = (parts.io.into_inner(), parts.read_buf.to_vec());
        let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
        let mut socket = WebSocketStream::from_partially_read(stream, read, Role::Server, Some(config)).await;
        while let Some(first) = socket.next().await {
            let mut next = Some(first);
            while let Some(message) = next {
                let message = message.ok()?;
                if message.is_binary() || message.is_text() {
                    socket.feed(message).await.ok()?;
                }
                next = socket.next().now_or_never().flatten();
            }
            socket.flush().await.ok()?;
        }
        Some(())
    });
    let mut response = Response::new(full(""));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    // An empty one, for a request that is no handshake, no client accepts.
    let accept = HeaderValue::from_str(&accept).unwrap_or(HeaderValue::from_static(""));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    response
}

/// An event each minute, the first at once.
fn events() -> Answer {
    let events = stream::unfold(Duration::ZERO, |wait| async move {
        sleep(wait).await;
        let event = Frame::data(Bytes::from_static(b"data: hello\n\n"));
        Some((Ok(event), Duration::from_secs(60)))
    });
    let mut response = Response::new(BodyExt::boxed(StreamBody::new(events)));
    let value = HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, value);
    response
}

/// What time it is, in nanoseconds since 1970, about every millisecond.
#[derive(Default)]
struct Times(Option<Pin<Box<Sleep>>>);

impl Body for Times {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let millisecond = || Box::pin(sleep(Duration::from_millis(1)));
        ready!(self.0.get_or_insert_with(millisecond).as_mut().poll(context));
        self.0 = None;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = now.as_nanos() as u64;
        Poll::Ready(Some(Ok(Frame::data(Bytes::copy_from_slice(&now.to_le_bytes())))))
    }
}

fn a_call_failed() -> Answer {
    let mut failed = Response::new(full("a call failed"));
    *failed.status_mut() = StatusCode::BAD_GATEWAY;
    failed
}

/// Calls so often, so many at a time: `AUTHORITY/COUNT/AT-ONCE`.
async fn fetch(outgoing: &Outgoing, argument: &str) -> anyhow::Result<()> {
    let mut parts = argument.split('/');
    let url = format!("http://{}/hello", parts.next().unwrap_or_default());
    let mut number = || parts.next().and_then(|part| part.parse().ok()).unwrap_or(1);
    let (count, at_once) = (number(), number());
    let url = &url;
    let calls = stream::iter(0..count).map(|_| call(outgoing, url));
    calls
        .buffer_unordered(at_once)
        .try_for_each(|_| std::future::ready(Ok(())))
        .await
}

/// Asks another server and takes its answer to the end.
async fn call(outgoing: &Outgoing, url: &str) -> anyhow::Result<Bytes> {
    let response = outgoing.get(url.parse()?).await?;
    ensure!(response.status() == StatusCode::OK, "{url}: {}", response.status());
    Ok(response.into_body().collect().await?.to_bytes())
}

fn full(text: &'static str) -> BoxBody<Bytes, hyper::Error> {
    Full::new(Bytes::from_static(text.as_bytes()))
        .map_err(|never| match never {})
        .boxed()
}

/// The same rounds of the same arithmetic as the guest's.
fn compute(rounds: u64) -> u64 {
    (0..rounds).fold(1, |sum: u64, round| {
        black_box(sum.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(round))
    })
}

/// So many bytes, in pieces.
struct Pieces {
    left: u64,
    piece: Bytes,
}

impl Pieces {
    fn new(bytes: u64, piece: usize) -> Self {
        Self {
            left: bytes,
            piece: Bytes::from(vec![b'w'; piece]),
        }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let length = self.left.min(self.piece.len() as u64);
        self.left -= length;
        Poll::Ready(Some(Ok(Frame::data(self.piece.slice(..length as usize)))))
    }
}
