//! Uses a cache by an interface of its own: the query has `key`, and `value` for what to keep for `ttl` seconds.

use guests_http::Query;
use guests_store::{service, text};
use wasip3::http::types::{ErrorCode, Request, Response};

wasip3::wit_bindgen::generate!({
    inline: "
        package acme:shop@1.2.0;
        interface cache {
            get: async func(key: string) -> option<string>;
            set: async func(key: string, value: string, ttl-seconds: u64);
        }
        interface plain-cache {
            get: func(key: string) -> option<string>;
            set: func(key: string, value: string, ttl-seconds: u32);
        }
        world guest {
            import cache;
            import plain-cache;
        }
    ",
    runtime_path: "wasip3::wit_bindgen::rt",
});

use acme::shop::{cache, plain_cache};

service!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let query = Query::of(&request);
    let key = query.text("key").unwrap_or_default().to_owned();
    if let Some(value) = query.text("value") {
        cache::set(key.clone(), value.to_owned(), query.number("ttl").unwrap_or(60)).await;
    }
    let found = (cache::get(key.clone()).await, plain_cache::get(&key));
    plain_cache::set("written", "plainly", 60);
    Ok(text(format!("{found:?} {:?}", cache::get("written".to_owned()).await)))
}
