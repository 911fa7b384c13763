//! The service behind middlewares: answers with the order in which they saw the request, and starts the response's.

use guests_http::{Query, describe, fields, reply};
use wasip3::http::types::{ErrorCode, Request, Response};
use wasip3::wit_bindgen::spawn_local;

guests_http::service!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let query = Query::of(&request);
    if query.text("trap") == Some("service") {
        std::arch::wasm32::unreachable();
    }
    let order = request
        .get_headers()
        .get("x-order")
        .into_iter()
        .next()
        .unwrap_or_default();
    let headers = describe(&request.get_headers());
    let scheme = format!("{:?} {:?}", request.get_scheme(), request.get_authority());
    let (response, mut reply) = reply(fields(&[
        ("x-order", "service"),
        ("x-seen", &String::from_utf8_lossy(&order)),
    ]));
    spawn_local(async move {
        reply.write(format!("{scheme}\n{headers}").into_bytes()).await;
    });
    Ok(response)
}
