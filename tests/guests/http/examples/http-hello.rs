//! Answers every request with the same 12 bytes.

use guests_http::text;
use wasip3::http::types::{ErrorCode, Request, Response};

guests_http::service!(handle);

async fn handle(_request: Request) -> Result<Response, ErrorCode> {
    Ok(text("hello, wharf"))
}
