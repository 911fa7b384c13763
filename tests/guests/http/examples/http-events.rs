//! An event stream: `n` events (as many as are taken, if it is not said), one each `every` milliseconds. With `every=0` they are
//! written as fast as they are taken.

use guests_http::{Query, fields, reply, sleep_ms};
use wasip3::http::types::{ErrorCode, Request, Response};
use wasip3::wit_bindgen::spawn_local;

guests_http::service!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let query = Query::of(&request);
    let count = query.number("n").unwrap_or(u64::MAX);
    let every = query.number("every").unwrap_or(1_000);
    let (response, mut reply) = reply(fields(&[
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store"),
    ]));
    spawn_local(async move {
        for number in 0..count {
            if number > 0 && every > 0 {
                sleep_ms(every).await;
            }
            // Ten bytes each.
            if !reply.write(format!("data:{:03}\n\n", number % 1000).into_bytes()).await {
                return;
            }
        }
    });
    Ok(response)
}
