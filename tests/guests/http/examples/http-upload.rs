//! Counts the request's body and sums its bytes. `wait` milliseconds before the first read; `limit` bytes and no more;
//! `unread` answers without taking the body, `keep` does and keeps it; `progress` is called after every MiB.

use guests_http::{CHUNK_BYTES, Query, post, sleep_ms, text};
use wasip3::http::types::{ErrorCode, Request, Response};
use wasip3::wit_bindgen::StreamResult;
use wasip3::wit_future;

const MIB: u64 = 1024 * 1024;

guests_http::service!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let query = Query::of(&request);
    sleep_ms(query.number("wait").unwrap_or(0)).await;
    if query.has("unread") {
        return Ok(text("not read"));
    }
    if query.has("keep") {
        std::mem::forget(request);
        return Ok(text("kept"));
    }
    let limit = query.number("limit").unwrap_or(u64::MAX);
    // What became of the request is said once its content has been read.
    let (_told, done) = wit_future::new(|| Ok(()));
    let (mut body, trailers) = Request::consume_body(request, done);
    let (mut bytes, mut sum, mut reported) = (0_u64, 0_u64, 0_u64);
    while bytes < limit {
        let (result, piece) = body.read(Vec::with_capacity(CHUNK_BYTES)).await;
        bytes += piece.len() as u64;
        sum += piece.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        if let Some(url) = query.text("progress")
            && bytes / MIB > reported
        {
            reported = bytes / MIB;
            let _ = post(url, &format!("read {bytes}")).await;
        }
        if !matches!(result, StreamResult::Complete(_)) {
            let outcome = match trailers.await {
                Ok(_) => "complete".to_owned(),
                Err(error) => format!("{error:?}"),
            };
            return Ok(text(format!("bytes {bytes} sum {sum} {outcome}")));
        }
    }
    Ok(text(format!("bytes {bytes} sum {sum} stopped")))
}
