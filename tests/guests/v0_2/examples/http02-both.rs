//! Exports the handlers of both versions. The 0.3 one must be chosen: the 0.2 one traps, as the one that today's
//! standard library leaves in a command does.

use wasip2::http::types::{IncomingRequest, ResponseOutparam};
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::wit_bindgen::spawn_local;
use wasip3::{wit_future, wit_stream};

guests_v0_2::proxy!(handle_v0_2);

fn handle_v0_2(_request: IncomingRequest, _out: ResponseOutparam) {
    std::arch::wasm32::unreachable();
}

struct Service;
wasip3::http::service::export!(Service);

impl wasip3::exports::http::handler::Guest for Service {
    async fn handle(_request: Request) -> Result<Response, ErrorCode> {
        let (mut body, reader) = wit_stream::new();
        let (_, trailers) = wit_future::new(|| Ok(None));
        let (response, _sent) = Response::new(Fields::new(), Some(reader), trailers);
        spawn_local(async move {
            body.write_all(b"0.3 answered".to_vec()).await;
        });
        Ok(response)
    }
}
