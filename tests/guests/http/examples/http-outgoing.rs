//! Calls `url` `n` times at once and reports one line per call. Options: `method`, `body` (bytes to send),
//! `trailer` (value of a trailer to send), `te`, `path` (sets it, `none` for none), `scheme`, `authority` (`none` for
//! none), `header` (`name:value`), `connect-timeout`, `first-byte-timeout`, `between-bytes-timeout` (milliseconds),
//! `cancel` (gives up after that many milliseconds), `unread` (drops the answer's body).

use std::pin::pin;

use futures::future::{Either, join_all, select};
use guests_http::{CHUNK_BYTES, Outgoing, Query, Url, collect, describe, fields, pattern_chunk, sleep_ms, text};
use guests_http::{Reply, request_to};
use wasip3::clocks::monotonic_clock::now;
use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Fields, Method, Request, RequestOptions, Response};
use wasip3::wit_bindgen::spawn_local;
use wasip3::wit_future;

guests_http::service!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let query = Query::of(&request);
    let started = now();
    let count = query.number("n").unwrap_or(1);
    let lines = join_all((0..count).map(|_| call(&query))).await;
    let elapsed_ms = (now() - started) / 1_000_000;
    Ok(text(format!("{}elapsed-ms {elapsed_ms}\n", lines.concat())))
}

async fn call(query: &Query) -> String {
    let Outgoing { request, body } = prepare(query);
    let size = query.number("body").unwrap_or(0);
    let trailer = query.text("trailer").map(str::to_owned);
    spawn_local(write(body, size, trailer));
    let answer = pin!(exchange(request, query.has("unread")));
    let Some(milliseconds) = query.number("cancel") else {
        return answer.await;
    };
    match select(answer, pin!(sleep_ms(milliseconds))).await {
        Either::Left((answer, _)) => answer,
        Either::Right(_) => "cancelled\n".to_owned(),
    }
}

fn prepare(query: &Query) -> Outgoing {
    let url = query.text("url").expect("a test names the url");
    let headers = Fields::new();
    if let Some((name, value)) = query.text("header").and_then(|header| header.split_once(':')) {
        headers
            .append(name, value.as_bytes())
            .expect("a test's header is valid");
    }
    if query.has("trailer") {
        headers.append("trailer", b"x-sent").expect("trailer is a valid field");
    }
    if query.has("te") {
        headers.append("te", b"trailers").expect("te is a valid field");
    }
    let method = match query.text("method") {
        None | Some("GET") => Method::Get,
        Some("HEAD") => Method::Head,
        Some("POST") => Method::Post,
        Some("PUT") => Method::Put,
        Some(other) => Method::Other(other.to_owned()),
    };
    let outgoing = request_to(url, method, headers, options(query));
    let request = &outgoing.request;
    let none = |value: &str| (value != "none").then(|| value.to_owned());
    if let Some(path) = query.text("path") {
        request
            .set_path_with_query(none(path).as_deref())
            .expect("a test's path is valid");
    }
    if let Some(authority) = query.text("authority") {
        request
            .set_authority(none(authority).as_deref())
            .expect("a test's authority is valid");
    }
    if let Some(scheme) = query.text("scheme") {
        let scheme = none(scheme).map(|scheme| Url::parse(&format!("{scheme}://h/")).scheme);
        request.set_scheme(scheme.as_ref()).expect("a test's scheme is valid");
    }
    outgoing
}

fn options(query: &Query) -> Option<RequestOptions> {
    let nanoseconds = |name| query.number(name).map(|milliseconds| milliseconds * 1_000_000);
    let connect = nanoseconds("connect-timeout");
    let first_byte = nanoseconds("first-byte-timeout");
    let between_bytes = nanoseconds("between-bytes-timeout");
    connect.or(first_byte).or(between_bytes)?;
    let options = RequestOptions::new();
    options
        .set_connect_timeout(connect)
        .expect("connect timeouts are supported");
    options
        .set_first_byte_timeout(first_byte)
        .expect("first byte timeouts are supported");
    options
        .set_between_bytes_timeout(between_bytes)
        .expect("between bytes timeouts are supported");
    Some(options)
}

async fn write(mut body: Reply, size: u64, trailer: Option<String>) {
    let mut offset = 0;
    while offset < size {
        let length = (CHUNK_BYTES as u64).min(size - offset);
        if !body.write(pattern_chunk(offset, length as usize)).await {
            return;
        }
        offset += length;
    }
    let trailers = trailer.map(|value| fields(&[("x-sent", &value)]));
    body.finish(Ok(trailers)).await;
}

async fn exchange(request: Request, unread: bool) -> String {
    let response = match client::send(request).await {
        Ok(response) => response,
        Err(error) => return format!("error {error:?}\n"),
    };
    let status = response.get_status_code();
    if unread {
        return format!("status {status} unread\n");
    }
    let (_, done) = wit_future::new(|| Ok(()));
    let (body, trailers) = Response::consume_body(response, done);
    let bytes = collect(body).await;
    let sum: u64 = bytes.iter().map(|byte| u64::from(*byte)).sum();
    let trailers = match trailers.await {
        Ok(None) => "none".to_owned(),
        Ok(Some(trailers)) => describe(&trailers).trim_end().replace('\n', ", "),
        Err(error) => format!("error {error:?}"),
    };
    format!("status {status} bytes {} sum {sum} trailers {trailers}\n", bytes.len())
}
