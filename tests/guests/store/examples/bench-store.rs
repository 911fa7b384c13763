//! What the benchmarks measure of stores: `/fill` makes an entry in the cache and one in the key-value store, `/cache/COUNT` and
//! `/keyvalue/COUNT` look them up so often, one after the other. What finds anything else is no answer. The native server of the
//! benchmarks does the same.

use guests_store::{cache, service, text};
use wasi::keyvalue::store;
use wasip3::http::types::{ErrorCode, Request, Response};

wasip3::wit_bindgen::generate!({
    path: "../../../wit/keyvalue/draft2",
    world: "wasi:keyvalue/imports",
    runtime_path: "wasip3::wit_bindgen::rt",
    generate_all,
});

service!(handle);

const KEY: &str = "entry";
const VALUE: [u8; 64] = [b'v'; 64];

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let path = request.get_path_with_query().unwrap_or_default();
    let (name, count) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
    let count = count.parse().unwrap_or(1);
    match name {
        "fill" => fill().await?,
        "cache" => {
            for _ in 0..count {
                is_value(cache::get(KEY.to_owned()).await.map_err(failed)?)?;
            }
        }
        "keyvalue" => {
            let bucket = store::open("default").map_err(failed)?;
            for _ in 0..count {
                is_value(bucket.get(KEY).map_err(failed)?)?;
            }
        }
        _ => return Err(failed("there is no such path")),
    }
    Ok(text("hello, wharf"))
}

async fn fill() -> Result<(), ErrorCode> {
    let kept = cache::set(KEY.to_owned(), VALUE.to_vec(), Some(86_400)).await;
    kept.map_err(failed)?;
    let bucket = store::open("default").map_err(failed)?;
    bucket.set(KEY, &VALUE).map_err(failed)
}

fn is_value(found: Option<Vec<u8>>) -> Result<(), ErrorCode> {
    match found {
        Some(value) if value == VALUE => Ok(()),
        _ => Err(failed("the entry is not there")),
    }
}

fn failed(error: impl std::fmt::Debug) -> ErrorCode {
    ErrorCode::InternalError(Some(format!("{error:?}")))
}
