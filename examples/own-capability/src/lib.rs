//! Says how often it was asked, whichever instance answers.

use http::Response;
use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{self, ErrorCode};
use wasip3::http_compat::{http_from_wasi_request, http_into_wasi_response};

wit_bindgen::generate!({ path: "wit", world: "counting" });

struct Counting;

wasip3::http::service::export!(Counting);

impl Guest for Counting {
    async fn handle(request: types::Request) -> Result<types::Response, ErrorCode> {
        let request = http_from_wasi_request(request)?;
        let name = request.uri().path().trim_start_matches('/').to_owned();
        let (status, text) = match acme::tally::tally::add(name.clone(), 1).await {
            Some(times) => (200, format!("{name}: {times}\n")),
            None => (404, format!("nobody counts {name}\n")),
        };
        let mut response = Response::new(text);
        *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
        http_into_wasi_response(response)
    }
}
