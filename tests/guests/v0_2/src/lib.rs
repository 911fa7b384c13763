//! What the HTTP guests on WASI 0.2 share: the query, writing a body, one outgoing call. A command is a plain Rust
//! program and needs none of it.

use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingRequest, IncomingResponse, Method, OutgoingBody,
    OutgoingRequest, OutgoingResponse, ResponseOutparam, Scheme,
};
use wasip2::io::streams::{OutputStream, StreamError};

/// The most that one call may write to an output stream.
const WRITE_BYTES_MAX: usize = 4096;

/// The value of `name` in the request's query.
pub fn parameter(request: &IncomingRequest, name: &str) -> Option<String> {
    let path = request.path_with_query()?;
    let mut pairs = path
        .split_once('?')?
        .1
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
}

/// The number called `name` in the request's query.
pub fn number(request: &IncomingRequest, name: &str) -> Option<u64> {
    let value = parameter(request, name)?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}

/// Waits, holding up this instance.
pub fn sleep_ms(milliseconds: u64) {
    subscribe_duration(milliseconds * 1_000_000).block();
}

/// Begins a response and returns its body.
pub fn respond(out: ResponseOutparam, status: u16, headers: Fields) -> OutgoingBody {
    let response = OutgoingResponse::new(headers);
    response
        .set_status_code(status)
        .expect("the guest's own status is valid");
    let body = response.body().expect("the body is taken once");
    ResponseOutparam::set(out, Ok(response));
    body
}

/// Answers with `text`.
pub fn respond_text(out: ResponseOutparam, text: &str) {
    let body = respond(out, 200, Fields::new());
    let stream = body.write().expect("the stream is taken once");
    let written = write(&stream, text.as_bytes());
    drop(stream);
    if written.is_ok() {
        // The client may have left; that is its own affair.
        let _ = OutgoingBody::finish(body, None);
    }
}

/// Writes all of `bytes`, waiting for the reader.
pub fn write(stream: &OutputStream, bytes: &[u8]) -> Result<(), StreamError> {
    bytes
        .chunks(WRITE_BYTES_MAX)
        .try_for_each(|piece| stream.blocking_write_and_flush(piece))
}

/// Starts a GET of `url`, which is `http://AUTHORITY/PATH`.
pub fn start_get(url: &str) -> Result<FutureIncomingResponse, ErrorCode> {
    let rest = url
        .strip_prefix("http://")
        .unwrap_or_else(|| panic!("{url} does not begin with http://"));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let request = OutgoingRequest::new(Fields::new());
    request.set_method(&Method::Get).expect("GET is valid");
    request.set_scheme(Some(&Scheme::Http)).expect("http is valid");
    request
        .set_authority(Some(authority))
        .expect("a test's authority is valid");
    request
        .set_path_with_query((!path.is_empty()).then_some(path))
        .expect("a test's path is valid");
    outgoing_handler::handle(request, None)
}

/// Waits for the answer and reads its body to the end.
pub fn finish_get(answer: &FutureIncomingResponse) -> Result<(u16, Vec<u8>), ErrorCode> {
    answer.subscribe().block();
    let response = answer.get().expect("it is ready").expect("it is taken once")?;
    Ok((response.status(), read_all(&response)))
}

fn read_all(response: &IncomingResponse) -> Vec<u8> {
    let body = response.consume().expect("the body is taken once");
    let stream = body.stream().expect("the stream is taken once");
    let mut bytes = Vec::new();
    while let Ok(piece) = stream.blocking_read(WRITE_BYTES_MAX as u64) {
        bytes.extend(piece);
    }
    bytes
}

/// Exports a function as `wasi:http/incoming-handler.handle`.
#[macro_export]
macro_rules! proxy {
    ($handle:ident) => {
        struct Proxy;
        wasip2::http::proxy::export!(Proxy);
        impl wasip2::exports::http::incoming_handler::Guest for Proxy {
            fn handle(request: wasip2::http::types::IncomingRequest, out: wasip2::http::types::ResponseOutparam) {
                $handle(request, out);
            }
        }
    };
}
