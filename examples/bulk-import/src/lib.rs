//! Takes a file of readings, CSV or one JSON object a line, of any size, and stores them in one transaction, while it says how
//! far it is.
//!
//! Three streams meet here, and none is ever held whole: the request's content comes in pieces, each piece becomes records
//! (`records.rs`), and records go to the database as parameters of one statement, no faster than it takes them
//! (`import.rs`). The response is a stream of events. A client that leaves in the middle leaves nothing behind: the
//! transaction is dropped with the work, and rolled back.

mod bindings;
mod import;
mod records;
mod stations;

use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Fields, Method, Request, Response};
use wasip3::wit_bindgen::{StreamWriter, spawn_local};
use wasip3::{wit_future, wit_stream};

use records::Format;

struct BulkImport;

wasip3::http::service::export!(BulkImport);

impl Guest for BulkImport {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let target = request.get_path_with_query().unwrap_or_default();
        let path = target.split('?').next().unwrap_or_default();
        Ok(match (request.get_method(), path) {
            (Method::Post, "/api/import") => match Format::of(&content_type(&request)) {
                Some(format) => {
                    let (response, body) = respond(200, "text/event-stream");
                    spawn_local(import::run(format, request, body));
                    response
                }
                None => say(415, "send text/csv or application/x-ndjson\n"),
            },
            (Method::Get, "/api/stations") => match stations::list().await {
                Ok(json) => {
                    let (response, mut body) = respond(200, "application/json");
                    spawn_local(async move { drop(body.write_all(json.into_bytes()).await) });
                    response
                }
                Err(error) => say(503, &format!("{error}\n")),
            },
            (_, "/api/import" | "/api/stations") => say(405, "this is done otherwise\n"),
            _ => say(404, "there is nothing at this path\n"),
        })
    }
}

fn content_type(request: &Request) -> String {
    let field = request.get_headers().get("content-type").pop().unwrap_or_default();
    let field = String::from_utf8_lossy(&field).to_ascii_lowercase();
    field.split(';').next().unwrap_or_default().trim().to_owned()
}

fn say(status: u16, text: &str) -> Response {
    let (response, mut body) = respond(status, "text/plain");
    let text = text.as_bytes().to_vec();
    spawn_local(async move { drop(body.write_all(text).await) });
    response
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
