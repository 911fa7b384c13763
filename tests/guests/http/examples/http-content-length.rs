//! Declares a body of `declared` bytes and writes `actual` ones; `report` gets what became of it.

use guests_http::{Query, fields, pattern_chunk, post, reply};
use wasip3::http::types::{ErrorCode, Request, Response};
use wasip3::wit_bindgen::spawn_local;

guests_http::service!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let query = Query::of(&request);
    let declared = query.text("declared").unwrap_or("0");
    let actual = query.number("actual").unwrap_or(0) as usize;
    let (response, mut reply) = reply(fields(&[("content-length", declared)]));
    spawn_local(async move {
        reply.write(pattern_chunk(0, actual)).await;
        let sent = reply.finish(Ok(None)).await.await;
        if let Some(url) = query.text("report") {
            let _ = post(url, &format!("{sent:?}")).await;
        }
    });
    Ok(response)
}
