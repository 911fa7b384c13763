//! Generates `bytes` bytes; with `progress`, calls that URL after every MiB that was taken.

use guests_http::{CHUNK_BYTES, Query, fields, pattern_chunk, post, reply};
use wasip3::http::types::{ErrorCode, Request, Response};
use wasip3::wit_bindgen::spawn_local;

const MIB: u64 = 1024 * 1024;

guests_http::service!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let query = Query::of(&request);
    let total = query.number("bytes").unwrap_or(MIB);
    let (response, mut reply) = reply(fields(&[("content-type", "application/octet-stream")]));
    spawn_local(async move {
        let mut offset = 0;
        while offset < total {
            let length = (CHUNK_BYTES as u64).min(total - offset);
            if !reply.write(pattern_chunk(offset, length as usize)).await {
                return;
            }
            offset += length;
            if let Some(url) = query.text("progress")
                && offset % MIB == 0
            {
                let _ = post(url, &format!("written {offset}")).await;
            }
        }
    });
    Ok(response)
}
