//! Works for `delay` milliseconds before the head (`at=head`, the default) or in the middle of the body (`at=body`).
//! Calls `started` when it begins and `finished` when it is done, and meanwhile has a call to `outgoing` open: so a
//! test sees whether the work was cancelled, and whether the call was closed.

use guests_http::{Query, fields, get, post, reply, sleep_ms, text};
use wasip3::http::types::{ErrorCode, Request, Response};
use wasip3::wit_bindgen::spawn_local;

guests_http::service!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let query = Query::of(&request);
    if query.text("at") != Some("body") {
        work(&query).await;
        return Ok(text("done"));
    }
    let (response, mut reply) = reply(fields(&[("content-type", "text/plain")]));
    spawn_local(async move {
        reply.write(b"begun, ".to_vec()).await;
        work(&query).await;
        reply.write(b"done".to_vec()).await;
    });
    Ok(response)
}

async fn work(query: &Query) {
    if let Some(url) = query.text("outgoing") {
        let url = url.to_owned();
        spawn_local(async move {
            let _ = get(&url).await;
        });
    }
    if let Some(url) = query.text("started") {
        let _ = post(url, "started").await;
    }
    sleep_ms(query.number("delay").unwrap_or(1_000)).await;
    if let Some(url) = query.text("finished") {
        let _ = post(url, "finished").await;
    }
}
