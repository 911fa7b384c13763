//! Answers with the value of `key`, or with all there are: `wasi:config` 0.2.0-draft-2024-09-27.

use guests_http::Query;
use guests_store::{service, text};
use wasip3::http::types::{ErrorCode, Request, Response};

wasip3::wit_bindgen::generate!({
    path: "../../../wit/config/draft-2024-09-27",
    world: "wasi:config/imports",
    runtime_path: "wasip3::wit_bindgen::rt",
    generate_all,
});

use wasi::config::store;

service!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let query = Query::of(&request);
    Ok(text(match query.text("key") {
        Some(key) => format!("{:?}", store::get(key)),
        None => format!("{:?}", store::get_all()),
    }))
}
