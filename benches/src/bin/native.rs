//! The ceiling: the workloads without WebAssembly, on the same hyper and tokio as Wharf. `native ADDRESS`.

use std::convert::Infallible;
use std::hint::black_box;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;

/// Keeps its connections, as the hosts of components may.
type Outgoing = Client<HttpConnector, Empty<Bytes>>;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let addr: SocketAddr = std::env::args().nth(1).context("usage: native ADDRESS")?.parse()?;
    let listener = TcpListener::bind(addr).await?;
    eprintln!("native: serving at http://{}", listener.local_addr()?);
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    // For as long as the program runs; counting its users would be at the expense of every request.
    let outgoing: &'static Outgoing = Box::leak(Box::new(Client::builder(TokioExecutor::new()).build(connector)));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, outgoing));
            let mut builder = auto::Builder::new(TokioExecutor::new());
            builder.http1().timer(TokioTimer::new());
            // A client that leaves is no failure.
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
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
        "calls" => {
            let url = format!("http://{argument}/hello");
            let calls = tokio::try_join!(call(outgoing, &url), call(outgoing, &url), call(outgoing, &url));
            if calls.is_err() {
                let mut failed = Response::new(full("a call failed"));
                *failed.status_mut() = StatusCode::BAD_GATEWAY;
                return Ok(failed);
            }
            full("hello, wharf")
        }
        _ => full("hello, wharf"),
    };
    Ok(Response::new(body))
}

/// Asks another server and takes its answer to the end.
async fn call(outgoing: &Outgoing, url: &str) -> anyhow::Result<Bytes> {
    let response = outgoing.get(url.parse()?).await?;
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
