//! Spins forever at the place named by `at`: `handler` or `body`; anywhere else it answers after `hold`
//! milliseconds.

use std::hint::black_box;

use guests_http::{Query, fields, reply, sleep_ms};
use wasip3::http::types::{ErrorCode, Request, Response};
use wasip3::wit_bindgen::spawn_local;

guests_http::service!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let query = Query::of(&request);
    let at = query.text("at").unwrap_or("nowhere").to_owned();
    if at == "handler" {
        spin();
    }
    sleep_ms(query.number("hold").unwrap_or(0)).await;
    let (response, mut reply) = reply(fields(&[("content-type", "text/plain")]));
    spawn_local(async move {
        reply.write(b"turning".to_vec()).await;
        if at == "body" {
            spin();
        }
    });
    Ok(response)
}

fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}
