//! What the HTTP guests share: query parameters, bodies written and read piece by piece, calls to an origin.
//!
//! Everything stands on the raw interfaces of WASI 0.3, so that a guest does what it says and nothing hidden.

mod body;
mod call;
mod query;
pub mod sql;
pub mod websocket;

pub use body::{Reply, collect, describe, empty, fields, reply, text, text_with_status};
pub use call::{Outgoing, Url, get, post, request_to};
pub use query::Query;

use wasip3::clocks::monotonic_clock::wait_for;

/// How many bytes a guest reads or writes at once.
pub const CHUNK_BYTES: usize = 64 * 1024;

/// Waits without holding up anything else.
pub async fn sleep_ms(milliseconds: u64) {
    wait_for(milliseconds * 1_000_000).await;
}

/// Byte number `offset` of every generated body, so that the other side can check what it got without keeping it.
pub fn pattern(offset: u64) -> u8 {
    (offset % 251) as u8
}

/// A piece of a generated body.
pub fn pattern_chunk(offset: u64, length: usize) -> Vec<u8> {
    (offset..offset + length as u64).map(pattern).collect()
}

/// Exports a function as `wasi:http/handler.handle`.
#[macro_export]
macro_rules! service {
    ($handle:ident) => {
        struct Service;
        wasip3::http::service::export!(Service);
        impl wasip3::exports::http::handler::Guest for Service {
            async fn handle(
                request: wasip3::http::types::Request,
            ) -> Result<wasip3::http::types::Response, wasip3::http::types::ErrorCode> {
                $handle(request).await
            }
        }
    };
}
