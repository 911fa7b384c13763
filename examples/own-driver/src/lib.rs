//! The same app twice: notes in PostgreSQL by way of a driver of the guest's own, below `/own`, and by way of Wharf's, below
//! `/sql`.
//!
//! The driver is tokio-postgres as it is in the registry. It speaks to a socket of WASI's (`socket.rs`), and its connections
//! are kept from request to request (`own.rs`), since under `isolation = "shared"` the instance is. With Wharf's
//! (`hosted.rs`) the connections are the host's: they outlive instances, count against a limit, and a query ends in the
//! database when its client leaves.

mod bindings;
mod hosted;
mod own;
mod socket;

use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::wit_bindgen::{StreamWriter, spawn_local};
use wasip3::{wit_future, wit_stream};

/// Why there is no answer.
type Error = Box<dyn std::error::Error>;

struct Notes;

wasip3::http::service::export!(Notes);

impl Guest for Notes {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let target = request.get_path_with_query().unwrap_or_default();
        let path = target.split('?').next().unwrap_or_default();
        let note = match path.trim_start_matches('/').split_once("/notes") {
            Some(("own", "")) => return Ok(stream(|body| own::list(body))),
            Some(("sql", "")) => return Ok(stream(|body| hosted::list(body))),
            Some((driver @ ("own" | "sql"), id)) => match id.trim_start_matches('/').parse() {
                Ok(id) if driver == "own" => own::note(id).await,
                Ok(id) => hosted::note(id).await,
                Err(_) => Ok(None),
            },
            _ => Ok(None),
        };
        Ok(match note {
            Ok(Some(text)) => say(200, text),
            Ok(None) => say(404, "there is no such note".to_owned()),
            Err(error) => say(503, format!("the database: {error}")),
        })
    }
}

fn say(status: u16, text: String) -> Response {
    let (response, mut body) = respond(status);
    spawn_local(async move { drop(body.write_all((text + "\n").into_bytes()).await) });
    response
}

/// An answer that is written while it is read. One that fails in the middle is broken off: its end is not the end.
fn stream<F: Future<Output = Result<(), Error>> + 'static>(write: impl FnOnce(StreamWriter<u8>) -> F) -> Response {
    let (body, content) = wit_stream::new();
    let (ended, trailers) = wit_future::new(|| Err(ErrorCode::InternalError(None)));
    let (response, _) = Response::new(Fields::new(), Some(content), trailers);
    let written = write(body);
    spawn_local(async move {
        let end = written.await.map(|()| None);
        let end = end.map_err(|error| ErrorCode::InternalError(Some(error.to_string())));
        drop(ended.write(end).await);
    });
    response
}

fn respond(status: u16) -> (Response, StreamWriter<u8>) {
    let (body, content) = wit_stream::new();
    let (_, no_trailers) = wit_future::new(|| Ok(None));
    let (response, _) = Response::new(Fields::new(), Some(content), no_trailers);
    response.set_status_code(status).expect("this status is valid");
    (response, body)
}
