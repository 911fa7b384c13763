//! Fails as `at` says, over WASI 0.2: traps `before-head` or `in-body`, or returns with the answer `unset` or made and
//! `unsent`, or with its body unfinished, be it `dropped` or `kept`; anywhere else it answers.

use guests_v0_2::{parameter, respond, write};
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

guests_v0_2::proxy!(handle);

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let at = parameter(&request, "at").unwrap_or_default();
    match at.as_str() {
        "before-head" => std::arch::wasm32::unreachable(),
        "unset" => return,
        "unsent" => {
            let response = OutgoingResponse::new(Fields::new());
            std::mem::forget(response.body());
            return std::mem::forget((response, out));
        }
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
    match at.as_str() {
        "dropped" => drop(body),
        "kept" => std::mem::forget(body),
        _ => drop(OutgoingBody::finish(body, None)),
    }
}
