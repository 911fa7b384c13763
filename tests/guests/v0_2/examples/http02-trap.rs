//! Traps at the place named by `at`, over WASI 0.2: `before-head`, `in-body`; `unset` returns without an answer;
//! anywhere else it answers.

use guests_v0_2::{parameter, respond, write};
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, ResponseOutparam};

guests_v0_2::proxy!(handle);

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let at = parameter(&request, "at").unwrap_or_default();
    match at.as_str() {
        "before-head" => std::arch::wasm32::unreachable(),
        "unset" => return,
        _ => {}
    }
    let body = respond(out, 200, Fields::new());
    let stream = body.write().expect("the stream is taken once");
    let _ = write(&stream, b"first half, ");
    if at == "in-body" {
        std::arch::wasm32::unreachable();
    }
    let _ = write(&stream, b"second half");
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}
