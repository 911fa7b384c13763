//! On WASI 0.3.0: sends the request's content and trailers back. With the header `x-through`, an authority, it sends them
//! there and answers with what comes from there.

mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "service", generate_all });
}

use bindings::exports::wasi::http::handler::Guest;
use bindings::wasi::http::client;
use bindings::wasi::http::types::{ErrorCode, Fields, Method, Request, Response, Scheme};
use bindings::wit_future;

struct Echo;

bindings::export!(Echo with_types_in bindings);

impl Guest for Echo {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let (_, done) = wit_future::new(|| Ok(()));
        let through = request.get_headers().get("x-through").pop();
        let (body, trailers) = Request::consume_body(request, done);
        let Some(authority) = through else {
            return Ok(Response::new(announced(), Some(body), trailers).0);
        };
        let (forward, _sent) = Request::new(announced(), Some(body), trailers, None);
        let addressed = String::from_utf8(authority).is_ok_and(|authority| {
            forward.set_method(&Method::Post).is_ok()
                && forward.set_scheme(Some(&Scheme::Http)).is_ok()
                && forward.set_authority(Some(&authority)).is_ok()
        });
        if !addressed {
            return Err(ErrorCode::HttpRequestUriInvalid);
        }
        let answer = client::send(forward).await?;
        let (_, done) = wit_future::new(|| Ok(()));
        let (body, trailers) = Response::consume_body(answer, done);
        Ok(Response::new(announced(), Some(body), trailers).0)
    }
}

/// Over HTTP/1.1 only trailers that were announced are sent.
fn announced() -> Fields {
    Fields::from_list(&[("trailer".to_owned(), b"x-sum".to_vec())]).expect("the field is valid")
}
