//! Reports the scheme and the authority of a request as a guest of WASI 0.2 sees them.

use guests_v0_2::respond_text;
use wasip2::http::types::{IncomingRequest, ResponseOutparam, Scheme};

guests_v0_2::proxy!(handle);

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let scheme = match request.scheme() {
        None => "none",
        Some(Scheme::Http) => "http",
        Some(Scheme::Https) => "https",
        Some(Scheme::Other(_)) => "other",
    };
    let authority = request.authority().unwrap_or_else(|| "none".to_owned());
    respond_text(out, &format!("scheme: {scheme}\nauthority: {authority}\n"));
}
