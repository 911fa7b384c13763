//! Answers with the `status` asked for; with a body unless `bare`, whatever the status. `set-status-code` refusing is
//! reported with 400.

use guests_http::{Query, empty, fields, reply, text_with_status};
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::wit_bindgen::spawn_local;

guests_http::service!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let query = Query::of(&request);
    let status = query.number("status").unwrap_or(200) as u16;
    let (response, reply) = if query.has("bare") {
        (empty(Fields::new()), None)
    } else {
        let (response, reply) = reply(fields(&[("content-type", "text/plain")]));
        (response, Some(reply))
    };
    if response.set_status_code(status).is_err() {
        return Ok(text_with_status(400, format!("refused {status}")));
    }
    if response.get_status_code() != status {
        return Ok(text_with_status(
            500,
            format!("set {status}, got {}", response.get_status_code()),
        ));
    }
    if let Some(mut reply) = reply {
        spawn_local(async move {
            reply.write(format!("status {status}").into_bytes()).await;
        });
    }
    Ok(response)
}
