//! Logs what the query says: `level`, `context`, `message`; `times` as often, and a message of `bytes`: `wasi:logging` 0.1.0-draft.

use guests_http::Query;
use guests_store::{service, text};
use wasip3::http::types::{ErrorCode, Request, Response};

wasip3::wit_bindgen::generate!({
    path: "../../../wit/logging",
    world: "wasi:logging/imports",
    runtime_path: "wasip3::wit_bindgen::rt",
    generate_all,
});

use wasi::logging::logging::{Level, log};

service!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let query = Query::of(&request);
    let level = match query.text("level") {
        Some("trace") => Level::Trace,
        Some("debug") => Level::Debug,
        Some("warn") => Level::Warn,
        Some("error") => Level::Error,
        Some("critical") => Level::Critical,
        _ => Level::Info,
    };
    let message = match query.number("bytes") {
        Some(bytes) => "x".repeat(bytes as usize),
        None => query.text("message").unwrap_or_default().to_owned(),
    };
    for _ in 0..query.number("times").unwrap_or(1) {
        log(level, query.text("context").unwrap_or_default(), &message);
    }
    Ok(text("logged"))
}
