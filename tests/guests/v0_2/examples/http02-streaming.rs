//! Streams `n` numbered lines with `delay` milliseconds before each but the first, over WASI 0.2; or `bytes` bytes.

use guests_v0_2::{number, respond, sleep_ms, write};
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, ResponseOutparam};
use wasip2::io::streams::OutputStream;

const PIECE_BYTES: u64 = 64 * 1024;

guests_v0_2::proxy!(handle);

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let body = respond(out, 200, Fields::new());
    let stream = body.write().expect("the stream is taken once");
    let outcome = match number(&request, "bytes") {
        Some(bytes) => generate(&stream, bytes),
        None => lines(
            &stream,
            number(&request, "n").unwrap_or(4),
            number(&request, "delay").unwrap_or(0),
        ),
    };
    drop(stream);
    if outcome.is_some() {
        let _ = OutgoingBody::finish(body, None);
    }
}

/// `None` once nobody reads any more.
fn generate(stream: &OutputStream, bytes: u64) -> Option<()> {
    (0..bytes).step_by(PIECE_BYTES as usize).try_for_each(|offset| {
        let end = bytes.min(offset + PIECE_BYTES);
        let piece: Vec<u8> = (offset..end).map(|position| (position % 251) as u8).collect();
        write(stream, &piece).ok()
    })
}

fn lines(stream: &OutputStream, count: u64, delay: u64) -> Option<()> {
    (0..count).try_for_each(|number| {
        if number > 0 {
            sleep_ms(delay);
        }
        write(stream, format!("chunk {number}\n").as_bytes()).ok()
    })
}
