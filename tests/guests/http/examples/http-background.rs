//! Answers `answered` and works on: after `delay` milliseconds it tells `report` what became of the response. `body` says
//! how the answer is written: `closed` before the work, `declared` by its length and closed after the work, or `relayed`,
//! which is the request's own content.

use guests_http::{Query, fields, post, reply, sleep_ms};
use wasip3::http::types::{ErrorCode, Request, Response};
use wasip3::wit_bindgen::{FutureReader, spawn_local};
use wasip3::wit_future;

guests_http::service!(handle);

const ANSWER: &str = "answered";

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let query = Query::of(&request);
    Ok(match query.text("body") {
        Some("relayed") => relay(query, request),
        Some("declared") => declare(query),
        _ => close(query),
    })
}

fn close(query: Query) -> Response {
    let (response, mut reply) = reply(fields(&[]));
    spawn_local(async move {
        reply.write(ANSWER.into()).await;
        let sent = reply.finish(Ok(None)).await;
        work(&query).await;
        tell(&query, sent).await;
    });
    response
}

fn declare(query: Query) -> Response {
    let (response, mut reply) = reply(fields(&[("content-length", &ANSWER.len().to_string())]));
    spawn_local(async move {
        reply.write(ANSWER.into()).await;
        work(&query).await;
        let sent = reply.finish(Ok(None)).await;
        tell(&query, sent).await;
    });
    response
}

fn relay(query: Query, request: Request) -> Response {
    let (_, done) = wit_future::new(|| Ok(()));
    let (body, trailers) = Request::consume_body(request, done);
    let (response, sent) = Response::new(fields(&[]), Some(body), trailers);
    spawn_local(async move {
        work(&query).await;
        tell(&query, sent).await;
    });
    response
}

async fn work(query: &Query) {
    sleep_ms(query.number("delay").unwrap_or(100)).await;
}

async fn tell(query: &Query, sent: FutureReader<Result<(), ErrorCode>>) {
    let body = query.text("body").unwrap_or("closed");
    let outcome = sent.await;
    if let Some(url) = query.text("report") {
        let _ = post(url, &format!("{body}: {outcome:?}")).await;
    }
}
