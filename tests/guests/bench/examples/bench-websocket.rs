//! Sends back every message of its WebSockets, those that come together in one write. A plain request it answers at once.

use guests_http::fields;
use guests_http::text;
use guests_http::websocket::{Decision, Handshake, accept};
use wasip3::http::types::{ErrorCode, Request, Response};
use wasip3::wit_bindgen::{StreamResult, spawn_local};

guests_http::websocket_service!(handle, take);

/// As many as are taken at a time.
const MESSAGES: usize = 64;

async fn handle(_: Request) -> Result<Response, ErrorCode> {
    Ok(text("hello, wharf"))
}

async fn take(handshake: Handshake) -> Decision {
    let mut incoming = handshake.incoming;
    let (accepted, mut connection) = accept(None, fields(&[]));
    spawn_local(async move {
        let mut messages = Vec::with_capacity(MESSAGES);
        loop {
            let (result, came) = incoming.read(messages).await;
            let left = connection.outgoing.write_all(came).await;
            if !left.is_empty() || !matches!(result, StreamResult::Complete(_)) {
                return;
            }
            messages = Vec::with_capacity(MESSAGES);
        }
    });
    Ok(accepted)
}
