//! Reports the request's trailers in the body, and sends trailers of its own: announced ones unless `unannounced` is
//! asked for, an error in their place with `error`, a body-less message with `empty`. `late=NAME:VALUE` adds trailers that nobody may
//! send, and `alone` leaves it at those.

use guests_http::{Query, collect, describe, fields, reply};
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::wit_bindgen::spawn_local;
use wasip3::wit_future;

guests_http::service!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let query = Query::of(&request);
    let headers = Fields::new();
    if !query.has("unannounced") {
        headers
            .append("trailer", b"x-bytes, x-twice")
            .expect("trailer is a valid field");
    }
    let (_, done) = wit_future::new(|| Ok(()));
    let (body, trailers) = Request::consume_body(request, done);
    let (response, mut reply) = reply(headers);
    spawn_local(async move {
        let bytes = collect(body).await.len();
        let received = match trailers.await {
            Ok(None) => "none\n".to_owned(),
            Ok(Some(trailers)) => describe(&trailers),
            Err(error) => format!("error {error:?}\n"),
        };
        if !query.has("empty") {
            reply.write(received.into_bytes()).await;
        }
        let trailers = if query.has("error") {
            Err(ErrorCode::InternalError(Some("the guest gave up".to_owned())))
        } else {
            let bytes = bytes.to_string();
            let mut trailers = vec![("x-bytes", &*bytes), ("x-twice", "one"), ("x-twice", "two")];
            if query.has("alone") {
                trailers.clear();
            }
            trailers.extend(query.all("late").filter_map(|field| field.split_once(':')));
            Ok(Some(fields(&trailers)))
        };
        reply.finish(trailers).await;
    });
    Ok(response)
}
