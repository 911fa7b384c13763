//! A relay in a row of relays: hands bytes on to the next relay, chunk by chunk, and never holds more than one chunk.

use guests_component::{pump, wit_bindgen};
use wit_bindgen::{StreamReader, spawn_local};

wit_bindgen::generate!({
    path: "wit",
    world: "flow-relay",
    runtime_path: "guests_component::wit_bindgen::rt",
});

use exports::wharf::guests::relay::Guest;
use wharf::guests::relay;

struct Relay;

impl Guest for Relay {
    async fn relay(bytes: StreamReader<u8>) -> StreamReader<u8> {
        let (writer, reader) = wit_stream::new();
        spawn_local(pump(bytes, writer));
        relay::relay(reader).await
    }
}

export!(Relay);
