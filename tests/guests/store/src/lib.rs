//! What the guests of stores share: the interfaces, and steps that a test asks for, one after the other or all at once.
//!
//! A request's body has one step a line, of words; the answer has one line for each.

pub mod cache;
mod keyvalue;

use wasip3::http::types::{ErrorCode, Request, Response};

pub use guests_http::{collect, service, text};

/// The lines of a request's body, each as its words.
pub async fn steps(request: Request) -> Vec<Vec<String>> {
    let (_, done) = wasip3::wit_future::new(|| Ok(()));
    let (body, trailers) = Request::consume_body(request, done);
    let bytes = collect(body).await;
    let _ = trailers.await;
    let text = String::from_utf8(bytes).expect("steps are text");
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect();
    text.lines().map(words).collect()
}

/// A value as it is written in steps: `*N` is N bytes, `-` none, anything else itself.
pub fn value(word: &str) -> Vec<u8> {
    match word.strip_prefix('*').and_then(|count| count.parse().ok()) {
        Some(count) => vec![b'x'; count],
        None if word == "-" => Vec::new(),
        None => word.as_bytes().to_vec(),
    }
}

/// A key as it is written in steps: `*N` is N bytes, `-` none, anything else itself.
pub fn key(word: &str) -> String {
    String::from_utf8(value(word)).expect("words are text")
}

/// A value as it is shown: long ones by their length.
pub fn shown(value: &[u8]) -> String {
    match value.len() {
        0..=100 => String::from_utf8_lossy(value).into_owned(),
        bytes => format!("{bytes} bytes"),
    }
}

/// Answers with lines.
pub fn answer(lines: &[String]) -> Result<Response, ErrorCode> {
    Ok(text(lines.join("\n")))
}
