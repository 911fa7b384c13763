//! Counts the requests of its instance, over WASI 0.2: `instance ID request N`.

use std::cell::Cell;

use guests_v0_2::{number, respond_text, sleep_ms};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};
use wasip2::random::random::get_random_u64;

guests_v0_2::proxy!(handle);

thread_local! {
    static IDENTITY: Cell<Option<u64>> = const { Cell::new(None) };
    static REQUESTS: Cell<u64> = const { Cell::new(0) };
}

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let identity = IDENTITY.get().unwrap_or_else(|| {
        let identity = get_random_u64();
        IDENTITY.set(Some(identity));
        identity
    });
    REQUESTS.set(REQUESTS.get() + 1);
    sleep_ms(number(&request, "hold").unwrap_or(0));
    respond_text(
        out,
        &format!("instance {identity:016x} request {} at-once 1", REQUESTS.get()),
    );
}
