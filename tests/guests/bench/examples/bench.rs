//! One workload per path: `/timer/MS`, `/cpu/ROUNDS`, `/download/BYTES`, `/upload`, `/echo`, `/chunks/COUNT`,
//! `/calls/AUTHORITY` (three at once), `/fetch/AUTHORITY/COUNT/AT-ONCE`, `/events` (one each minute), `/times` (what time it is, every millisecond);
//! anything else answers at once. The native server of the benchmarks does the same.

use std::cell::Cell;
use std::hint::black_box;

use futures::TryStreamExt as _;
use futures::future::join3;
use futures::stream::FuturesUnordered;
use guests_http::{fields, get, reply, sleep_ms, text};
use wasip3::clocks::system_clock;
use wasip3::http::types::{ErrorCode, Request, Response};
use wasip3::wit_bindgen::{StreamResult, spawn_local};
use wasip3::wit_future;

guests_http::service!(handle);

const PIECE_BYTES: u64 = 64 * 1024;

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let path = request.get_path_with_query().unwrap_or_default();
    let mut parts = path.split('/').skip(1);
    let (name, argument) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let number: u64 = argument.parse().unwrap_or(0);
    match name {
        "timer" => sleep_ms(number).await,
        "cpu" => drop(black_box(compute(number))),
        "download" => return Ok(pieces(number, PIECE_BYTES)),
        "chunks" => return Ok(pieces(number * 8, 8)),
        "upload" => drain(request).await,
        "echo" => return Ok(echo(request)),
        "events" => return Ok(events()),
        "times" => return Ok(times()),
        "calls" => {
            let url = format!("http://{argument}/hello");
            let answers = join3(get(&url), get(&url), get(&url)).await;
            (answers.0?, answers.1?, answers.2?);
        }
        "fetch" => {
            let mut number = || parts.next().and_then(|part| part.parse().ok()).unwrap_or(1);
            fetch(&format!("http://{argument}/hello"), number(), number()).await?;
        }
        _ => {}
    }
    Ok(text("hello, wharf"))
}

/// Calls `url` so often, so many at a time.
async fn fetch(url: &str, count: u64, at_once: u64) -> Result<(), ErrorCode> {
    let left = Cell::new(count);
    let one_after_the_other = || async {
        while let Some(fewer) = left.get().checked_sub(1) {
            left.set(fewer);
            // What is no answer of the origin's own counts as none.
            match get(url).await? {
                (200, _) => {}
                (status, _) => return Err(ErrorCode::InternalError(Some(format!("{url}: {status}")))),
            }
        }
        Ok(())
    };
    // Each is looked at when something came for it: looking at all of them each time costs more than the calls.
    let calls: FuturesUnordered<_> = (0..at_once).map(|_| one_after_the_other()).collect();
    calls.try_collect().await
}

fn compute(rounds: u64) -> u64 {
    (0..rounds).fold(1, |sum: u64, round| {
        black_box(sum.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(round))
    })
}

fn pieces(bytes: u64, piece: u64) -> Response {
    let (response, mut reply) = reply(fields(&[]));
    spawn_local(async move {
        let mut left = bytes;
        while left > 0 {
            let length = left.min(piece);
            if !reply.write(vec![b'w'; length as usize]).await {
                return;
            }
            left -= length;
        }
    });
    response
}

/// An event each minute, the first at once.
fn events() -> Response {
    let (response, mut reply) = reply(fields(&[("content-type", "text/event-stream")]));
    spawn_local(async move {
        while reply.write(b"data: hello\n\n".to_vec()).await {
            sleep_ms(60_000).await;
        }
    });
    response
}

/// What time it is, in nanoseconds since 1970, as 8 bytes; until nobody reads it any more.
fn times() -> Response {
    let (response, mut reply) = reply(fields(&[]));
    spawn_local(async move {
        loop {
            sleep_ms(1).await;
            let now = system_clock::now();
            let now = now.seconds as u64 * 1_000_000_000 + u64::from(now.nanoseconds);
            if !reply.write(now.to_le_bytes().to_vec()).await {
                return;
            }
        }
    });
    response
}

async fn drain(request: Request) {
    let (_, done) = wit_future::new(|| Ok(()));
    let (mut body, _trailers) = Request::consume_body(request, done);
    let mut buffer = Vec::with_capacity(PIECE_BYTES as usize);
    loop {
        buffer.clear();
        let (result, filled) = body.read(buffer).await;
        buffer = filled;
        if !matches!(result, StreamResult::Complete(_)) {
            return;
        }
    }
}

/// Through the guest's memory, byte for byte.
fn echo(request: Request) -> Response {
    let (_, done) = wit_future::new(|| Ok(()));
    let (mut body, _trailers) = Request::consume_body(request, done);
    let (response, mut reply) = reply(fields(&[]));
    spawn_local(async move {
        loop {
            let (result, piece) = body.read(Vec::with_capacity(PIECE_BYTES as usize)).await;
            if !piece.is_empty() && !reply.write(piece).await {
                return;
            }
            if !matches!(result, StreamResult::Complete(_)) {
                return;
            }
        }
    });
    response
}
