//! Answers at once and works on: `delay` milliseconds after the response has ended it calls `report`.

use guests_http::{Query, fields, post, reply, sleep_ms};
use wasip3::http::types::{ErrorCode, Request, Response};
use wasip3::wit_bindgen::spawn_local;

guests_http::service!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let query = Query::of(&request);
    let (response, mut reply) = reply(fields(&[("content-type", "text/plain")]));
    spawn_local(async move {
        reply.write(b"answered".to_vec()).await;
        reply.finish(Ok(None)).await;
        sleep_ms(query.number("delay").unwrap_or(100)).await;
        if let Some(url) = query.text("report") {
            let _ = post(url, "worked on").await;
        }
    });
    Ok(response)
}
