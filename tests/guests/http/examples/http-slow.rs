//! Works for `delay` milliseconds, before the head (`at=head`, the default) or in the middle of the body (`at=body`);
//! with `read` it first reads the request's body to its end. Calls `started` when it begins and `finished` when it is
//! done, and meanwhile has a call to `outgoing` open: so a test sees whether the work was cancelled, and whether the call
//! was closed.

use std::pin::pin;

use futures::future::{Either, select};
use guests_http::{Query, Reply, collect, fields, get, post, reply, sleep_ms, text};
use wasip3::http::types::{ErrorCode, Request, Response};
use wasip3::wit_bindgen::spawn_local;
use wasip3::wit_future;

guests_http::service!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let query = Query::of(&request);
    if query.text("at") != Some("body") {
        work(&query, request).await;
        return Ok(text("done"));
    }
    let (response, reply) = reply(fields(&[("content-type", "text/plain")]));
    spawn_local(respond(query, request, reply));
    Ok(response)
}

async fn respond(query: Query, request: Request, mut reply: Reply) {
    reply.write(b"begun, ".to_vec()).await;
    work(&query, request).await;
    reply.write(b"done".to_vec()).await;
}

async fn work(query: &Query, request: Request) {
    let work = pin!(tell_and_wait(query, request));
    let call = pin!(async {
        if let Some(url) = query.text("outgoing") {
            let _ = get(url).await;
        }
    });
    match select(work, call).await {
        Either::Left(((), _)) => {}
        Either::Right(((), work)) => work.await,
    }
}

async fn tell_and_wait(query: &Query, request: Request) {
    if let Some(url) = query.text("started") {
        let _ = post(url, "started").await;
    }
    let mut whole = true;
    if query.has("read") {
        let (_, done) = wit_future::new(|| Ok(()));
        let (body, trailers) = Request::consume_body(request, done);
        collect(body).await;
        whole = trailers.await.is_ok();
    }
    if !whole || !query.has("read") {
        sleep_ms(query.number("delay").unwrap_or(1_000)).await;
    }
    if let Some(url) = query.text("finished") {
        let _ = post(url, "finished").await;
    }
}
