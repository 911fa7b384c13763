//! Exports `wharf:websocket/handler` and nothing that takes requests. Sends back what comes.

use guests_http::fields;
use guests_http::websocket::{Decision, Handshake, accept};
use wasip3::wit_bindgen::spawn_local;

guests_http::websocket_service!(take);

async fn take(handshake: Handshake) -> Decision {
    let mut incoming = handshake.incoming;
    let (accepted, mut connection) = accept(None, fields(&[]));
    spawn_local(async move {
        while let Some(message) = incoming.next().await {
            if !connection.send(message).await {
                break;
            }
        }
    });
    Ok(accepted)
}
