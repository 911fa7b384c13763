//! Answers every request with the same 12 bytes, over WASI 0.2.

use guests_v0_2::respond_text;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

guests_v0_2::proxy!(handle);

fn handle(_request: IncomingRequest, out: ResponseOutparam) {
    respond_text(out, "hello, wharf");
}
