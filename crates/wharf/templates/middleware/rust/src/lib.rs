//! The middleware: sees each request before the service does, and each response after it.

mod policy;

use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{wit_bindgen, wit_future};

wit_bindgen::generate!({
    path: "wit",
    world: "middleware",
    runtime_path: "wasip3::wit_bindgen::rt",
    with: {
        "wasi:clocks/types@0.3.2": wasip3::clocks::types,
        "wasi:http/types@0.3.2": wasip3::http::types,
    },
    generate_all,
});

struct Middleware;

export!(Middleware);

impl exports::wasi::http::handler::Guest for Middleware {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        if !policy::is_allowed(&request.get_path_with_query().unwrap_or_default()) {
            return Ok(refused());
        }
        with_fields(wasi::http::handler::handle(request).await?)
    }
}

/// An answer of the middleware's own: the service does not hear of it.
fn refused() -> Response {
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (response, _) = Response::new(Fields::new(), None, trailers);
    let _ = response.set_status_code(403);
    response
}

/// The same response with further fields. Its body passes by: no byte of it comes here.
fn with_fields(response: Response) -> Result<Response, ErrorCode> {
    let headers = response.get_headers().clone();
    for (name, value) in policy::FIELDS {
        let set = headers.set(name, &[value.as_bytes().to_vec()]);
        set.map_err(|error| ErrorCode::InternalError(Some(format!("{error:?}"))))?;
    }
    let status = response.get_status_code();
    let (_, taken) = wit_future::new(|| Ok(()));
    let (body, trailers) = Response::consume_body(response, taken);
    let (response, _) = Response::new(headers, Some(body), trailers);
    response.set_status_code(status).map_err(|()| ErrorCode::HttpProtocolError)?;
    Ok(response)
}
