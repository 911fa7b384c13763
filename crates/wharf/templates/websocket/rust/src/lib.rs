//! The service: answers each message of a WebSocket with another.
//!
//! The host has the protocol: handshakes, frames, pings, sizes, UTF-8, closing. Here come messages, and go messages.

mod bindings;
mod reply;

use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::wit_bindgen::{FutureReader, FutureWriter, StreamReader, StreamWriter, spawn_local};

use bindings::exports::wharf::websocket::handler::Accepted;
use bindings::wharf::websocket::types::{CloseInfo, Message};

struct Service;

wasip3::http::service::export!(Service);
bindings::export!(Service with_types_in bindings);

/// Requests that are no handshakes.
impl wasip3::exports::http::handler::Guest for Service {
    async fn handle(_: Request) -> Result<Response, ErrorCode> {
        let (_, trailers) = wasip3::wit_future::new(|| Ok(None));
        let (response, _) = Response::new(Fields::new(), None, trailers);
        let _ = response.set_status_code(426);
        Ok(response)
    }
}

/// Handshakes. `Err` would be an ordinary response, such as 403.
impl bindings::exports::wharf::websocket::handler::Guest for Service {
    async fn handle(
        _: Request,
        incoming: StreamReader<Message>,
        _: FutureReader<CloseInfo>,
    ) -> Result<Accepted, Response> {
        let (outgoing, messages) = bindings::wit_stream::new();
        let (close, closing) = bindings::wit_future::new(ordinary_end);
        // It goes on after this call has returned, as long as the connection is there.
        spawn_local(attend(incoming, outgoing, close));
        Ok(Accepted {
            subprotocol: None,
            headers: Fields::new(),
            outgoing: messages,
            close: closing,
        })
    }
}

/// Answers message after message. A write waits for the client to take the one before.
async fn attend(
    mut incoming: StreamReader<Message>,
    mut outgoing: StreamWriter<Message>,
    close: FutureWriter<CloseInfo>,
) {
    while let Some(message) = incoming.next().await {
        let reply = match message {
            Message::Text(text) => Message::Text(reply::reply(&text)),
            Message::Binary(bytes) => Message::Binary(bytes),
        };
        if !outgoing.write_all(vec![reply]).await.is_empty() {
            break;
        }
    }
    drop(outgoing);
    // Nobody waits for this if the connection is gone.
    let _ = close.write(ordinary_end()).await;
}

fn ordinary_end() -> CloseInfo {
    CloseInfo {
        code: 1000,
        reason: String::new(),
    }
}
