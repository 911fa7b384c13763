//! Answers that are sent while they are made: a story of which nobody knows the length, and rows without number.
//!
//! Neither is ever held whole. A piece is made, and written; the write waits until there is room at the other end, and
//! only then is the next piece made. So memory stays flat, a client that reads slowly slows the work down, and with a
//! client that leaves the work ends.

mod dice;
mod rows;
mod voyage;

use std::borrow::Cow;

use wasip3::cli::environment::get_environment;
use wasip3::clocks::monotonic_clock::{Duration, wait_for};
use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::wit_bindgen::{StreamWriter, spawn_local};
use wasip3::{wit_future, wit_stream};

use rows::Rows;
use voyage::Voyage;

/// Rows go out by the piece: one at a time, they would be on their way for longer than it takes to make them.
const PIECE_BYTES: usize = 64 * 1024;

const MILLISECOND: Duration = 1_000_000;

struct StreamingAnswer;

wasip3::http::service::export!(StreamingAnswer);

impl Guest for StreamingAnswer {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let target = request.get_path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        match path {
            "/api/story" => {
                let (response, body) = respond(200, "text/plain; charset=utf-8");
                let ship = parameter(query, "ship").unwrap_or("Albatross".into());
                spawn_local(tell(Voyage::of(&ship), body));
                Ok(response)
            }
            "/api/rows" => {
                let (response, body) = respond(200, "application/jsonl");
                let count = parameter(query, "count").and_then(|count| count.parse().ok());
                spawn_local(list(Rows::new(count.unwrap_or(1000)), body));
                Ok(response)
            }
            _ => {
                let (response, mut body) = respond(404, "text/plain; charset=utf-8");
                spawn_local(async move { body.write_all(b"there is nothing at this path\n".to_vec()).await });
                Ok(response)
            }
        }
    }
}

/// Sends a story word by word, each when it has come to mind.
async fn tell(story: Voyage, mut body: StreamWriter<u8>) {
    let pause = setting("WORD_MS", 45) * MILLISECOND;
    for word in story {
        wait_for(pause).await;
        // What is left over is what nobody has read: the client is gone.
        if !body.write_all(word.into_bytes()).await.is_empty() {
            return;
        }
    }
}

/// Sends rows, as many at a time as make a piece.
async fn list(mut rows: Rows, mut body: StreamWriter<u8>) {
    let mut piece = Vec::new();
    loop {
        while piece.len() < PIECE_BYTES && rows.write_next(&mut piece) {}
        if piece.is_empty() || !body.write_all(std::mem::take(&mut piece)).await.is_empty() {
            return;
        }
    }
}

/// A response, and what its content is written to.
fn respond(status: u16, content_type: &str) -> (Response, StreamWriter<u8>) {
    let fields = [("content-type", content_type), ("cache-control", "no-store")];
    let fields = fields.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    let fields = Fields::from_list(&fields).expect("these fields are valid");
    let (body, content) = wit_stream::new();
    let (_, no_trailers) = wit_future::new(|| Ok(None));
    let (response, _) = Response::new(fields, Some(content), no_trailers);
    response.set_status_code(status).expect("this status is valid");
    (response, body)
}

fn parameter<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let mut parameters = form_urlencoded::parse(query.as_bytes());
    parameters.find_map(|(known, value)| (known == name).then_some(value))
}

/// A number from the manifest's `[environment]`.
fn setting(name: &str, default: u64) -> u64 {
    let variables = get_environment();
    let value = variables.iter().find(|(known, _)| known == name);
    value.and_then(|(_, value)| value.parse().ok()).unwrap_or(default)
}
