//! Passes on what a store says of itself.

use wit_bindgen::{FutureReader, StreamReader};

wit_bindgen::generate!({
    path: "wit",
    world: "relay",
});

struct Relay;

impl exports::acme::store::relayed::Guest for Relay {
    async fn about(hold_ms: u32) -> String {
        format!("relayed {}", acme::store::store::about(hold_ms).await)
    }

    async fn chunks(count: u32) -> StreamReader<StreamReader<u8>> {
        acme::store::store::chunks(count).await
    }

    async fn promise(count: u32) -> FutureReader<StreamReader<u32>> {
        acme::store::store::promise(count).await
    }
}

export!(Relay);
