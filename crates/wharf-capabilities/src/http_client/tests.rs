//! The client against origins on loopback.

mod connections;
mod exchanges;
mod failures;
mod limits;
mod origin;
mod policy;
mod proxies;
mod retries;
mod upgrades;
mod ways;

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use tokio::sync::mpsc;
use wharf_host::capability::{BoxFuture, LookupError};
use wharf_host::http::{Body, ErrorCode, RequestOptions};

use super::{HttpClientCapability, HttpClientOptions};
use crate::allow::AllowList;
use crate::resolve::Resolve;

use self::origin::{Page, TestOrigin, authority};

/// Long enough for the slowest machine; a test that waits this long has failed.
const DEADLINE: Duration = Duration::from_secs(30);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("in time")
}

/// Waits until `condition` holds.
async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let until = std::time::Instant::now() + DEADLINE;
    while !condition() {
        assert!(std::time::Instant::now() < until, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Names that lead to loopback, and some that do not.
struct Names;

impl Resolve for Names {
    fn resolve(&self, name: &str) -> BoxFuture<Result<Vec<IpAddr>, LookupError>> {
        let addresses: &[&str] = match name {
            "origin.test" | "rebinding.test" | "a.test" | "b.test" => &["127.0.0.1"],
            "half.test" => &["10.11.12.13", "127.0.0.1"],
            "dual.test" => &["::1", "127.0.0.1"],
            "nowhere.test" => &[],
            "silent.test" => return Box::pin(std::future::pending()),
            "shaky.test" => return Box::pin(async { Err(LookupError::TemporaryResolverFailure) }),
            _ => return Box::pin(async { Err(LookupError::NameUnresolvable) }),
        };
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Box::pin(async move { Ok(addresses) })
    }
}

fn options(patterns: &str) -> HttpClientOptions {
    let mut options = HttpClientOptions::new(AllowList::parse(patterns.split_whitespace()).unwrap());
    options.resolver = Arc::new(Names);
    options.extra_roots = vec![authority()];
    options
}

fn client(patterns: &str) -> HttpClientCapability {
    HttpClientCapability::new(options(patterns)).unwrap()
}

fn empty() -> Body {
    Empty::new().map_err(never).boxed_unsync()
}

fn full(text: &'static str) -> Body {
    Full::new(Bytes::from(text)).map_err(never).boxed_unsync()
}

fn never(never: Infallible) -> ErrorCode {
    match never {}
}

type Piece = Result<Frame<Bytes>, ErrorCode>;

/// A body that comes piece by piece, with room for `ahead` of them.
fn pieces(ahead: usize) -> (mpsc::Sender<Piece>, Body) {
    let (sender, receiver) = mpsc::channel(ahead);
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
        let piece: Piece = receiver.recv().await?;
        Some((piece, receiver))
    });
    (sender, BodyExt::boxed_unsync(StreamBody::new(stream)))
}

fn data(text: &'static str) -> Piece {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

fn trailers(name: &'static str, value: &'static str) -> Piece {
    let mut fields = http::HeaderMap::new();
    fields.insert(name, value.parse().unwrap());
    Ok(Frame::trailers(fields))
}

fn get(url: &str) -> Request<Body> {
    Request::get(url).body(empty()).unwrap()
}

fn post(url: &str, body: Body) -> Request<Body> {
    Request::post(url).body(body).unwrap()
}

fn page(text: &'static str) -> Response<Page> {
    Response::new(
        Full::new(Bytes::from(text))
            .map_err(|never| match never {})
            .boxed_unsync(),
    )
}

async fn send(client: &HttpClientCapability, request: Request<Body>) -> Result<Response<Body>, ErrorCode> {
    soon(client.client().send(request, RequestOptions::default())).await
}

async fn text(response: Response<Body>) -> String {
    let bytes = soon(response.into_body().collect()).await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Codes have no equality; their debug text has.
#[track_caller]
fn check_code(actual: Option<&ErrorCode>, expected: &ErrorCode) {
    assert_eq!(actual.map(|code| format!("{code:?}")), Some(format!("{expected:?}")));
}
