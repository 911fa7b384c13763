//! Traps at the place named by `at`: `before-head`, `after-head` (nothing of the body written), `in-body` (half of it
//! written), `after-response`; anywhere else it answers, too. `hold` milliseconds pass before
//! the trap, or before the answer.

use guests_http::{Query, fields, reply, sleep_ms};
use wasip3::http::types::{ErrorCode, Request, Response};
use wasip3::wit_bindgen::spawn_local;

guests_http::service!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let query = Query::of(&request);
    let at = query.text("at").unwrap_or("nowhere").to_owned();
    let hold = query.number("hold").unwrap_or(0);
    match at.as_str() {
        "before-head" => fall(hold).await,
        "after-head" | "in-body" | "after-response" => {}
        _ => sleep_ms(hold).await,
    }
    let (response, mut reply) = reply(fields(&[("content-type", "text/plain")]));
    spawn_local(async move {
        if at == "after-head" {
            fall(hold).await;
        }
        reply.write(b"first half, ".to_vec()).await;
        if at == "in-body" {
            fall(hold).await;
        }
        reply.write(b"second half".to_vec()).await;
        reply.finish(Ok(None)).await;
        if at == "after-response" {
            fall(hold).await;
        }
    });
    Ok(response)
}

#[inline(never)]
async fn fall(hold: u64) {
    sleep_ms(hold).await;
    wharf_test_trap_here();
}

/// Has a name of its own, to be found in the backtrace.
#[inline(never)]
fn wharf_test_trap_here() {
    std::arch::wasm32::unreachable();
}
