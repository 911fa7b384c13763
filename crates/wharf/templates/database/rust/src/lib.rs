//! The service: which request is answered how.

mod database;
mod note;

use http::header::CONTENT_TYPE;
use http::{Method, Response, StatusCode};
use http_body_util::BodyExt;
use serde::Serialize;
use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{self, ErrorCode};
use wasip3::http_compat::{Request, http_from_wasi_request, http_into_wasi_response};

use database::Error;

struct Service;

wasip3::http::service::export!(Service);

impl Guest for Service {
    async fn handle(request: types::Request) -> Result<types::Response, ErrorCode> {
        let response = match respond(http_from_wasi_request(request)?).await {
            Ok(response) => response,
            Err(error) => failed(&error),
        };
        http_into_wasi_response(response)
    }
}

async fn respond(request: Request) -> Result<Response<String>, Error> {
    let path = request.uri().path().to_owned();
    let id = path.strip_prefix("/notes/").and_then(|id| id.parse().ok());
    match (request.method(), &*path, id) {
        (&Method::GET, "/notes", _) => Ok(json(StatusCode::OK, &database::notes().await?)),
        (&Method::POST, "/notes", _) => add(request).await,
        (&Method::GET, _, Some(id)) => Ok(match database::note(id).await? {
            Some(note) => json(StatusCode::OK, &note),
            None => problem(StatusCode::NOT_FOUND, "there is no such note"),
        }),
        (&Method::DELETE, _, Some(id)) => Ok(match database::remove(id).await? {
            true => empty(StatusCode::NO_CONTENT),
            false => problem(StatusCode::NOT_FOUND, "there is no such note"),
        }),
        (_, "/notes", _) | (_, _, Some(_)) => Ok(problem(StatusCode::METHOD_NOT_ALLOWED, "notes know no such method")),
        _ => Ok(problem(StatusCode::NOT_FOUND, "there is nothing at this path; /notes has the notes")),
    }
}

/// Stores the request's text as a note.
async fn add(request: Request) -> Result<Response<String>, Error> {
    let Ok(content) = request.into_body().collect().await else {
        return Ok(problem(StatusCode::BAD_REQUEST, "the request broke off"));
    };
    match note::text(&content.to_bytes()) {
        Ok(text) => Ok(json(StatusCode::CREATED, &database::add(text).await?)),
        Err(why) => Ok(problem(StatusCode::UNPROCESSABLE_ENTITY, why)),
    }
}

/// What a client hears when the database fails: whether it helps to try again. Why, is the operator's to know, in the log.
fn failed(error: &Error) -> Response<String> {
    eprintln!("the database: {error:?}");
    match error {
        Error::PoolExhausted | Error::ConnectionFailed(_) | Error::Timeout | Error::Conflict(_) => {
            problem(StatusCode::SERVICE_UNAVAILABLE, "the database is busy, or away")
        }
        _ => problem(StatusCode::INTERNAL_SERVER_ERROR, "the database failed"),
    }
}

fn problem(status: StatusCode, error: &str) -> Response<String> {
    json(status, &serde_json::json!({ "error": error }))
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<String> {
    match serde_json::to_string(value) {
        Ok(text) => {
            let mut response = empty(status);
            response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
            *response.body_mut() = text;
            response
        }
        Err(_) => empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

fn empty(status: StatusCode) -> Response<String> {
    let mut response = Response::new(String::new());
    *response.status_mut() = status;
    response
}
