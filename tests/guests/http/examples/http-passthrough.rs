//! Makes the request's body stream the response's, untouched: no byte passes through the guest.

use guests_http::fields;
use wasip3::http::types::{ErrorCode, Request, Response};
use wasip3::wit_future;

guests_http::service!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let announced = request.get_headers().get("trailer").into_iter().next();
    let (_, done) = wit_future::new(|| Ok(()));
    let (body, trailers) = Request::consume_body(request, done);
    let headers = fields(&[("content-type", "application/octet-stream")]);
    if let Some(names) = announced {
        headers
            .set("trailer", &[names])
            .expect("what a client may send, a server may send");
    }
    let (response, _sent) = Response::new(headers, Some(body), trailers);
    Ok(response)
}
