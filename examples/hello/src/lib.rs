//! The service that docs/start.md writes.

use http::Response;
use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{self, ErrorCode};
use wasip3::http_compat::{http_from_wasi_request, http_into_wasi_response};

struct Hello;

wasip3::http::service::export!(Hello);

impl Guest for Hello {
    async fn handle(request: types::Request) -> Result<types::Response, ErrorCode> {
        let request = http_from_wasi_request(request)?;
        let text = format!("Hello from {}\n", request.uri().path());
        http_into_wasi_response(Response::new(text))
    }
}
