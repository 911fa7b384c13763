//! A service of two routes and a stream: one answers at once, one awaits a database, one sends rows as they come.
//!
//! It is a component of the standard world `wasi:http/service`: no main function, no listener, no loop that waits for
//! events. Each request calls `handle`, which awaits what it needs; other requests run meanwhile.

mod database;

use std::convert::Infallible;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::StreamExt;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{Full, StreamBody};
use serde::Serialize;
use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{self, ErrorCode};
use wasip3::http_compat::{Request, http_from_wasi_request, http_into_wasi_response};

/// The content of a response: whole, or as it comes.
type Content = Pin<Box<dyn Body<Data = Bytes, Error = Infallible>>>;

struct TwoRoutes;

wasip3::http::service::export!(TwoRoutes);

impl Guest for TwoRoutes {
    async fn handle(request: types::Request) -> Result<types::Response, ErrorCode> {
        let request = http_from_wasi_request(request)?;
        http_into_wasi_response(respond(&request).await)
    }
}

async fn respond(request: &Request) -> Response<Content> {
    if request.method() != Method::GET {
        let mut response = json(
            StatusCode::METHOD_NOT_ALLOWED,
            &Problem {
                error: "only GET is served here",
            },
        );
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        return response;
    }
    match request.uri().path() {
        "/api/health" => json(StatusCode::OK, &Health { status: "ok" }),
        "/api/data" => json(StatusCode::OK, &database::ships().await),
        "/api/stream" => lines(),
        _ => json(
            StatusCode::NOT_FOUND,
            &Problem {
                error: "there is nothing at this path",
            },
        ),
    }
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

#[derive(Serialize)]
struct Problem {
    error: &'static str,
}

/// A whole value as JSON.
fn json(status: StatusCode, value: &impl Serialize) -> Response<Content> {
    response(status, "application/json", Full::new(encode(value)))
}

/// One line of JSON for each row, sent when the row is there: the response is never held whole, and a client that reads
/// slowly, or leaves, slows or ends the query.
fn lines() -> Response<Content> {
    let rows = database::arrivals().map(|ship| {
        let line = [encode(&ship), Bytes::from_static(b"\n")].concat();
        Ok(Frame::data(Bytes::from(line)))
    });
    response(StatusCode::OK, "application/x-ndjson", StreamBody::new(rows))
}

fn encode(value: &impl Serialize) -> Bytes {
    // What has no JSON, such as a map whose keys are lists, is not in this service.
    serde_json::to_vec(value)
        .expect("structs of numbers and strings have JSON")
        .into()
}

fn response(
    status: StatusCode,
    content_type: &'static str,
    content: impl Body<Data = Bytes, Error = Infallible> + 'static,
) -> Response<Content> {
    let mut response = Response::new(Box::pin(content) as Content);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
