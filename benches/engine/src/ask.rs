//! One request to a service, without a network.

use anyhow::{Result, ensure};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use wharf_host::Service;
use wharf_host::http::Payload;

/// Asks for `path` with `content`, and reads the answer to its end: how many bytes came.
///
/// # Errors
/// When it fails, or has another status than 200.
pub async fn ask(service: &Service, path: &str, content: Bytes) -> Result<usize> {
    let request = http::Request::builder().uri(path).header("host", "localhost");
    let answer = service.handle(request.body(Payload::from(content))?).await?;
    ensure!(answer.status() == 200, "the answer to {path} is {}", answer.status());
    let mut body = answer.into_body();
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        bytes += frame?.data_ref().map_or(0, Bytes::len);
    }
    Ok(bytes)
}
