//! Sends the request's body and trailers back as they come, over WASI 0.2.

use guests_v0_2::respond;
use wasip2::http::types::{Fields, IncomingBody, IncomingRequest, OutgoingBody, ResponseOutparam};

const PIECE_BYTES: u64 = 64 * 1024;

guests_v0_2::proxy!(handle);

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let headers = Fields::new();
    if let Some(names) = request.headers().get("trailer").first() {
        headers
            .set("trailer", std::slice::from_ref(names))
            .expect("what a client may send, a server may send");
    }
    let incoming = request.consume().expect("the body is taken once");
    let body = respond(out, 200, headers);
    {
        let input = incoming.stream().expect("the stream is taken once");
        let output = body.write().expect("the stream is taken once");
        while output.blocking_splice(&input, PIECE_BYTES).is_ok() {}
    }
    let trailers = IncomingBody::finish(incoming);
    trailers.subscribe().block();
    let trailers = trailers.get().expect("it is ready").expect("it is taken once");
    // The client may have left; that is its own affair.
    let _ = OutgoingBody::finish(body, trailers.ok().flatten().map(|trailers| trailers.clone()));
}
