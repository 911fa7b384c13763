//! Calls `url` `n` times at once over WASI 0.2, and reports one line per call.

use guests_v0_2::{finish_get, number, parameter, respond_text, start_get};
use wasip2::clocks::monotonic_clock::now;
use wasip2::http::types::{ErrorCode, FutureIncomingResponse, IncomingRequest, ResponseOutparam};

guests_v0_2::proxy!(handle);

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let url = parameter(&request, "url").expect("a test names the url");
    let started = now();
    let answers: Vec<_> = (0..number(&request, "n").unwrap_or(1))
        .map(|_| start_get(&url))
        .collect();
    let lines: String = answers.into_iter().map(line).collect();
    let elapsed_ms = (now() - started) / 1_000_000;
    respond_text(out, &format!("{lines}elapsed-ms {elapsed_ms}\n"));
}

fn line(answer: Result<FutureIncomingResponse, ErrorCode>) -> String {
    match answer.and_then(|answer| finish_get(&answer)) {
        Ok((status, bytes)) => format!("status {status} bytes {}\n", bytes.len()),
        Err(error) => format!("error {error:?}\n"),
    }
}
