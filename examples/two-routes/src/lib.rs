//! A service of two routes and a stream: one answers at once, one awaits a database, one sends rows as they come.
//!
//! It is a component of the standard world `wasi:http/service`: no main function, no listener, no loop that waits for
//! events. Each request calls `handle`, which awaits what it needs; other requests run meanwhile.

mod bindings;
mod database;

use std::pin::Pin;

use bytes::Bytes;
use futures_util::TryStreamExt;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Method, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use serde::Serialize;
use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{self, ErrorCode};
use wasip3::http_compat::{Request, http_from_wasi_request, http_into_wasi_response};

use database::Error;

/// The content of a response: whole, or as it comes.
type Content = Pin<Box<dyn Body<Data = Bytes, Error = Error>>>;

struct TwoRoutes;

wasip3::http::service::export!(TwoRoutes);

impl Guest for TwoRoutes {
    async fn handle(request: types::Request) -> Result<types::Response, ErrorCode> {
        let request = http_from_wasi_request(request)?;
        let response = match respond(request).await {
            Ok(response) => response,
            Err(error) => failed(&error),
        };
        http_into_wasi_response(response)
    }
}

async fn respond(request: Request) -> Result<Response<Content>, Error> {
    let path = request.uri().path();
    let berth = path.strip_prefix("/api/data/").map(str::parse::<i64>);
    match (request.method(), path, berth) {
        (&Method::GET, "/api/health", _) => Ok(json(StatusCode::OK, &Health { status: "ok" })),
        (&Method::GET, "/api/data", _) => Ok(json(StatusCode::OK, &database::ships().await?)),
        (&Method::GET, "/api/stream", _) => lines().await,
        (&Method::GET, _, Some(Ok(berth))) => Ok(match database::ship(berth).await? {
            Some(ship) => json(StatusCode::OK, &ship),
            None => problem(StatusCode::NOT_FOUND, "no ship is at this berth"),
        }),
        (&Method::PUT, _, Some(Ok(berth))) => put(berth, request).await,
        (_, "/api/health" | "/api/data" | "/api/stream", _) => Ok(not_allowed("GET")),
        (_, _, Some(Ok(_))) => Ok(not_allowed("GET, PUT")),
        _ => Ok(problem(StatusCode::NOT_FOUND, "there is nothing at this path")),
    }
}

/// Takes a ship, `{"name":"Kestrel","tons":1500}`.
async fn put(berth: i64, request: Request) -> Result<Response<Content>, Error> {
    let Ok(content) = request.into_body().collect().await else {
        return Ok(problem(StatusCode::BAD_REQUEST, "the request broke off"));
    };
    let Ok(ship) = serde_json::from_slice(&content.to_bytes()) else {
        return Ok(problem(
            StatusCode::BAD_REQUEST,
            "a ship has a name, a text, and tons, a number",
        ));
    };
    database::put(berth, ship).await?;
    Ok(response(StatusCode::NO_CONTENT, None, Full::default()))
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

#[derive(Serialize)]
struct Problem {
    error: &'static str,
}

/// What a client hears of a database that did not do what it was asked: whether it was the client's doing, and whether trying again
/// helps. The rest is the operator's, and goes to the log.
fn failed(error: &Error) -> Response<Content> {
    // SQLite's names, and PostgreSQL's codes.
    let code = match error {
        Error::QueryFailed(error) => error.code.as_str(),
        _ => "",
    };
    let (status, said) = match (error, code) {
        (_, "SQLITE_CONSTRAINT_UNIQUE" | "23505") => (StatusCode::CONFLICT, "this ship is at another berth"),
        (_, "SQLITE_CONSTRAINT_CHECK" | "23514") => (StatusCode::UNPROCESSABLE_ENTITY, "berths and tons begin at one"),
        (_, "SQLITE_FULL") => (StatusCode::INSUFFICIENT_STORAGE, "the database is full"),
        (Error::PoolExhausted | Error::ConnectionFailed(_) | Error::Conflict(_), _) => {
            (StatusCode::SERVICE_UNAVAILABLE, "the database is busy, or away")
        }
        (Error::Timeout, _) => (StatusCode::GATEWAY_TIMEOUT, "the database takes too long"),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "the database failed"),
    };
    let mut response = problem(status, said);
    if status.is_server_error() {
        eprintln!("the database: {error:?}");
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn problem(status: StatusCode, error: &'static str) -> Response<Content> {
    json(status, &Problem { error })
}

fn not_allowed(allowed: &'static str) -> Response<Content> {
    let mut response = problem(StatusCode::METHOD_NOT_ALLOWED, "this is done otherwise");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// A whole value as JSON.
fn json(status: StatusCode, value: &impl Serialize) -> Response<Content> {
    response(status, Some("application/json"), Full::new(encode(value)))
}

/// One line of JSON for each row, sent when the row is there: the response is never held whole, and a client that reads
/// slowly, or leaves, slows or ends the query. A query that fails on the way breaks the response off.
async fn lines() -> Result<Response<Content>, Error> {
    let rows = database::arrivals().await?.map_ok(|ship| {
        let line = [encode(&ship), Bytes::from_static(b"\n")].concat();
        Frame::data(Bytes::from(line))
    });
    let content = Box::pin(StreamBody::new(rows)) as Content;
    Ok(response_of(StatusCode::OK, Some("application/x-ndjson"), content))
}

fn encode(value: &impl Serialize) -> Bytes {
    // What has no JSON, such as a map whose keys are lists, is not in this service.
    serde_json::to_vec(value)
        .expect("structs of numbers and strings have JSON")
        .into()
}

fn response(status: StatusCode, content_type: Option<&'static str>, content: Full<Bytes>) -> Response<Content> {
    // What is whole cannot fail.
    response_of(status, content_type, Box::pin(content.map_err(|never| match never {})))
}

fn response_of(status: StatusCode, content_type: Option<&'static str>, content: Content) -> Response<Content> {
    let mut response = Response::new(content);
    *response.status_mut() = status;
    if let Some(content_type) = content_type {
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    response
}
