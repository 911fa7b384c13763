//! A middleware named by its file's `NAME`: adds itself to the request's `x-order` on the way in and to the response's
//! on the way out. `refuse=NAME` makes it answer by itself, `trap=NAME` makes it trap; `sent` makes it say in `x-sent` what
//! became of the request it passed on.

use guests_http::{Query, text_with_status};
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::wit_bindgen::FutureReader;
use wasip3::{wit_bindgen, wit_future};

use crate::NAME;

wit_bindgen::generate!({
    path: "../../../wit/wasi-0.3",
    world: "wasi:http/middleware@0.3.2",
    runtime_path: "wasip3::wit_bindgen::rt",
    features: [],
    with: {
        "wasi:cli/stderr@0.3.2": wasip3::cli::stderr,
        "wasi:cli/stdin@0.3.2": wasip3::cli::stdin,
        "wasi:cli/stdout@0.3.2": wasip3::cli::stdout,
        "wasi:cli/types@0.3.2": wasip3::cli::types,
        "wasi:clocks/monotonic-clock@0.3.2": wasip3::clocks::monotonic_clock,
        "wasi:clocks/system-clock@0.3.2": wasip3::clocks::system_clock,
        "wasi:clocks/types@0.3.2": wasip3::clocks::types,
        "wasi:http/client@0.3.2": wasip3::http::client,
        "wasi:http/types@0.3.2": wasip3::http::types,
        "wasi:random/insecure-seed@0.3.2": wasip3::random::insecure_seed,
        "wasi:random/insecure@0.3.2": wasip3::random::insecure,
        "wasi:random/random@0.3.2": wasip3::random::random,
    },
});

struct Middleware;
export!(Middleware);

impl exports::wasi::http::handler::Guest for Middleware {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let query = Query::of(&request);
        if query.text("refuse") == Some(NAME) {
            return Ok(text_with_status(403, format!("refused by {NAME}")));
        }
        if query.text("trap") == Some(NAME) {
            std::arch::wasm32::unreachable();
        }
        let (request, sent) = marked_request(request)?;
        let response = wasi::http::handler::handle(request).await?;
        let sent = match query.has("sent") {
            true => Some(sent.await),
            false => None,
        };
        marked_response(response, sent)
    }
}

fn marked(fields: &Fields) -> Result<Fields, ErrorCode> {
    let fields = fields.clone();
    let order = fields.get("x-order").into_iter().next().unwrap_or_default();
    let order = [order, NAME.as_bytes().to_vec()]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>();
    fields
        .set("x-order", &[order.join(&b","[..])])
        .map_err(|error| ErrorCode::InternalError(Some(format!("{error:?}"))))?;
    Ok(fields)
}

fn marked_request(request: Request) -> Result<(Request, FutureReader<Result<(), ErrorCode>>), ErrorCode> {
    let headers = marked(&request.get_headers())?;
    let (method, path) = (request.get_method(), request.get_path_with_query());
    let (scheme, authority) = (request.get_scheme(), request.get_authority());
    let (_, done) = wit_future::new(|| Ok(()));
    let (body, trailers) = Request::consume_body(request, done);
    let (request, sent) = Request::new(headers, Some(body), trailers, None);
    request
        .set_method(&method)
        .map_err(|()| ErrorCode::HttpRequestMethodInvalid)?;
    request
        .set_path_with_query(path.as_deref())
        .map_err(|()| ErrorCode::HttpRequestUriInvalid)?;
    request
        .set_scheme(scheme.as_ref())
        .map_err(|()| ErrorCode::HttpRequestUriInvalid)?;
    request
        .set_authority(authority.as_deref())
        .map_err(|()| ErrorCode::HttpRequestUriInvalid)?;
    Ok((request, sent))
}

fn marked_response(response: Response, sent: Option<Result<(), ErrorCode>>) -> Result<Response, ErrorCode> {
    let headers = marked(&response.get_headers())?;
    if let Some(sent) = sent {
        headers
            .set("x-sent", &[format!("{sent:?}").into_bytes()])
            .map_err(|error| ErrorCode::InternalError(Some(format!("{error:?}"))))?;
    }
    let status = response.get_status_code();
    let (_, done) = wit_future::new(|| Ok(()));
    let (body, trailers) = Response::consume_body(response, done);
    let (response, _sent) = Response::new(headers, Some(body), trailers);
    response
        .set_status_code(status)
        .map_err(|()| ErrorCode::HttpProtocolError)?;
    Ok(response)
}
