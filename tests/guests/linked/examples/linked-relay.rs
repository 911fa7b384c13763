//! Passes on what a store says of itself.

wit_bindgen::generate!({
    path: "wit",
    world: "relay",
});

struct Relay;

impl exports::acme::store::relayed::Guest for Relay {
    async fn about(hold_ms: u32) -> String {
        format!("relayed {}", acme::store::store::about(hold_ms).await)
    }
}

export!(Relay);
