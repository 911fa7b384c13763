//! Counts the requests of its instance: `instance ID request N at-once M`. `hold` milliseconds make requests overlap.

use std::cell::Cell;

use guests_http::{Query, sleep_ms, text};
use wasip3::http::types::{ErrorCode, Request, Response};
use wasip3::random::random::get_random_u64;

guests_http::service!(handle);

thread_local! {
    static IDENTITY: Cell<Option<u64>> = const { Cell::new(None) };
    static REQUESTS: Cell<u64> = const { Cell::new(0) };
    static OPEN: Cell<u64> = const { Cell::new(0) };
    static MOST_OPEN: Cell<u64> = const { Cell::new(0) };
}

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let query = Query::of(&request);
    let identity = IDENTITY.get().unwrap_or_else(|| {
        let identity = get_random_u64();
        IDENTITY.set(Some(identity));
        identity
    });
    REQUESTS.set(REQUESTS.get() + 1);
    let number = REQUESTS.get();
    OPEN.set(OPEN.get() + 1);
    MOST_OPEN.set(MOST_OPEN.get().max(OPEN.get()));
    let _open = Open;
    sleep_ms(query.number("hold").unwrap_or(0)).await;
    Ok(text(format!(
        "instance {identity:016x} request {number} at-once {}",
        MOST_OPEN.get()
    )))
}

/// Counts a request as open, also when it is cancelled.
struct Open;

impl Drop for Open {
    fn drop(&mut self) {
        OPEN.set(OPEN.get() - 1);
    }
}
