//! Answers with `count` headers of `size` bytes each, and reports how many headers and bytes came in.

use guests_http::{Query, reply};
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::wit_bindgen::spawn_local;

guests_http::service!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let query = Query::of(&request);
    let size = query.number("size").unwrap_or(0) as usize;
    let received = request.get_headers().copy_all();
    let bytes: usize = received.iter().map(|(name, value)| name.len() + value.len()).sum();
    let headers = Fields::new();
    for number in 0..query.number("count").unwrap_or(0) {
        if let Err(error) = headers.append(&format!("x-large-{number}"), &vec![b'v'; size]) {
            return Ok(guests_http::text_with_status(
                507,
                format!("header {number}: {error:?}"),
            ));
        }
    }
    let (response, mut reply) = reply(headers);
    let report = format!("headers {} bytes {bytes}", received.len());
    spawn_local(async move {
        reply.write(report.into_bytes()).await;
    });
    Ok(response)
}
