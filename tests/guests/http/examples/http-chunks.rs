//! Streams `n` numbered lines with `delay` milliseconds before each but the first.

use guests_http::{Query, fields, reply, sleep_ms};
use wasip3::http::types::{ErrorCode, Request, Response};
use wasip3::wit_bindgen::spawn_local;

guests_http::service!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let query = Query::of(&request);
    let count = query.number("n").unwrap_or(4);
    let delay = query.number("delay").unwrap_or(0);
    let (response, mut reply) = reply(fields(&[("content-type", "text/plain")]));
    spawn_local(async move {
        for number in 0..count {
            if number > 0 {
                sleep_ms(delay).await;
            }
            if !reply.write(format!("chunk {number}\n").into_bytes()).await {
                return;
            }
        }
    });
    Ok(response)
}
