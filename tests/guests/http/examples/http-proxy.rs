//! Forwards the request to the origin named by the header `x-origin` and streams the answer back: method, path, headers,
//! bodies and trailers both ways.

use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Fields, Request, Response, Scheme};
use wasip3::wit_future;

guests_http::service!(handle);

/// Belong to one connection, and are not forwarded.
const CONNECTION_FIELDS: [&str; 5] = ["connection", "host", "keep-alive", "transfer-encoding", "x-origin"];

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let headers = request.get_headers();
    let origin = headers
        .get("x-origin")
        .into_iter()
        .next()
        .ok_or(ErrorCode::HttpRequestUriInvalid)?;
    let origin = String::from_utf8(origin).map_err(|_| ErrorCode::HttpRequestUriInvalid)?;
    let (method, path) = (request.get_method(), request.get_path_with_query());
    let headers = forwarded(&headers)?;
    let (_, done) = wit_future::new(|| Ok(()));
    let (body, trailers) = Request::consume_body(request, done);
    let (forward, _sent) = Request::new(headers, Some(body), trailers, None);
    forward
        .set_method(&method)
        .map_err(|()| ErrorCode::HttpRequestMethodInvalid)?;
    forward
        .set_scheme(Some(&Scheme::Http))
        .map_err(|()| ErrorCode::HttpRequestUriInvalid)?;
    forward
        .set_authority(Some(&origin))
        .map_err(|()| ErrorCode::HttpRequestUriInvalid)?;
    forward
        .set_path_with_query(path.as_deref())
        .map_err(|()| ErrorCode::HttpRequestUriInvalid)?;
    let answer = client::send(forward).await?;
    let status = answer.get_status_code();
    let headers = forwarded(&answer.get_headers())?;
    let (_, done) = wit_future::new(|| Ok(()));
    let (body, trailers) = Response::consume_body(answer, done);
    let (response, _sent) = Response::new(headers, Some(body), trailers);
    response
        .set_status_code(status)
        .map_err(|()| ErrorCode::HttpProtocolError)?;
    Ok(response)
}

fn forwarded(fields: &Fields) -> Result<Fields, ErrorCode> {
    let entries = fields.copy_all().into_iter();
    let entries: Vec<_> = entries
        .filter(|(name, _)| !CONNECTION_FIELDS.contains(&&*name.to_lowercase()))
        .collect();
    Fields::from_list(&entries).map_err(|error| ErrorCode::InternalError(Some(format!("{error:?}"))))
}
