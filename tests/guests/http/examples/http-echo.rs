//! Sends the request's body and trailers back, piece by piece as they come: both directions at once, through the guest.

use guests_http::{CHUNK_BYTES, fields, reply};
use wasip3::http::types::{ErrorCode, Request, Response};
use wasip3::wit_bindgen::{StreamResult, spawn_local};
use wasip3::wit_future;

guests_http::service!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let announced = request.get_headers().get("trailer").into_iter().next();
    let (_, done) = wit_future::new(|| Ok(()));
    let (mut body, trailers) = Request::consume_body(request, done);
    let headers = fields(&[("content-type", "application/octet-stream")]);
    if let Some(names) = announced {
        headers
            .set("trailer", &[names])
            .expect("what a client may send, a server may send");
    }
    let (response, mut reply) = reply(headers);
    spawn_local(async move {
        loop {
            let (result, piece) = body.read(Vec::with_capacity(CHUNK_BYTES)).await;
            if !piece.is_empty() && !reply.write(piece).await {
                return;
            }
            if !matches!(result, StreamResult::Complete(_)) {
                break;
            }
        }
        let trailers = trailers.await;
        reply.finish(trailers).await;
    });
    Ok(response)
}
