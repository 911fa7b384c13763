//! Middleware that sees the handshakes of WebSockets: those without `authorization: secret` are refused, others are passed on, and
//! answered with one more field.

use guests_http::text_with_status;
use wasip3::http::types::{ErrorCode, Request, Response};
use wasip3::wit_bindgen::{FutureReader, StreamReader};

wasip3::wit_bindgen::generate!({
    path: ["../../../wit/wasi-0.3", "../../../wit/websocket"],
    inline: "
        package guests:middleware;
        world middleware {
            import wasi:http/handler@0.3.2;
            export wasi:http/handler@0.3.2;
            import wharf:websocket/handler@0.1.0;
            export wharf:websocket/handler@0.1.0;
        }
    ",
    world: "guests:middleware/middleware",
    runtime_path: "wasip3::wit_bindgen::rt",
    with: {
        "wasi:clocks/types@0.3.2": wasip3::clocks::types,
        "wasi:http/types@0.3.2": wasip3::http::types,
        "wasi:http/handler@0.3.2": generate,
        "wharf:websocket/handler@0.1.0": generate,
        "wharf:websocket/types@0.1.0": generate,
    },
});

struct Guard;
export!(Guard);

impl exports::wasi::http::handler::Guest for Guard {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        wasi::http::handler::handle(request).await
    }
}

impl exports::wharf::websocket::handler::Guest for Guard {
    async fn handle(
        request: Request,
        incoming: StreamReader<wharf::websocket::types::Message>,
        closed: FutureReader<wharf::websocket::types::CloseInfo>,
    ) -> Result<exports::wharf::websocket::handler::Accepted, Response> {
        if request.get_headers().get("authorization") != [b"secret"] {
            return Err(text_with_status(401, "who are you?"));
        }
        let accepted = wharf::websocket::handler::handle(request, incoming, closed).await?;
        let headers = accepted.headers.clone();
        headers.append("x-guard", b"passed").expect("a field like any other");
        Ok(exports::wharf::websocket::handler::Accepted {
            subprotocol: accepted.subprotocol,
            headers,
            outgoing: accepted.outgoing,
            close: accepted.close,
        })
    }
}
