//! Reports what the futures of `response.new` and `request.new` resolve to. `kind=response`: the response has `bytes`
//! bytes and, with `error`, an error in place of its trailers; the outcome is sent to `report`. `kind=request`: the same
//! for a request to `url`, and the outcome is answered.

use futures::future::join;
use guests_http::{Outgoing, Query, Reply, fields, pattern_chunk, post, reply, request_to, text};
use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Fields, Method, Request, Response};
use wasip3::wit_bindgen::spawn_local;

guests_http::service!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let query = Query::of(&request);
    if query.text("kind") == Some("request") {
        return Ok(text(outgoing(&query).await));
    }
    let (response, reply) = reply(fields(&[("content-type", "application/octet-stream")]));
    spawn_local(async move {
        let outcome = transmit(reply, &query).await;
        if let Some(url) = query.text("report") {
            let _ = post(url, &outcome).await;
        }
    });
    Ok(response)
}

async fn outgoing(query: &Query) -> String {
    let url = query.text("url").expect("a test names the url");
    let Outgoing { request, body } = request_to(url, Method::Post, Fields::new(), None);
    let (answer, outcome) = join(client::send(request), transmit(body, query)).await;
    let answer = match answer {
        Ok(response) => format!("status {}", response.get_status_code()),
        Err(error) => format!("error {error:?}"),
    };
    format!("{answer} transmission {outcome}")
}

async fn transmit(mut reply: Reply, query: &Query) -> String {
    let bytes = query.number("bytes").unwrap_or(0) as usize;
    reply.write(pattern_chunk(0, bytes)).await;
    let trailers = match query.has("error") {
        true => Err(ErrorCode::InternalError(Some("the guest gave up".to_owned()))),
        false => Ok(None),
    };
    let sent = reply.finish(trailers).await;
    format!("{:?}", sent.await)
}
