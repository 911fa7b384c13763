//! Uses a resource of one interface of a store by way of another.

use guests_http::text;
use wasip3::http::types::{ErrorCode, Request, Response};

wit_bindgen::generate!({
    path: "wit",
    world: "watcher",
});

use acme::store::store::Cursor;
use acme::store::watch;

guests_http::service!(handle);

async fn handle(_: Request) -> Result<Response, ErrorCode> {
    Ok(text(watch::place(&Cursor::new(7)).to_string()))
}
