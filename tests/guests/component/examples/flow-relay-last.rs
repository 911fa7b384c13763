//! The last relay of a row: hands bytes on to whoever called.

use guests_component::{pump, wit_bindgen};
use wit_bindgen::{StreamReader, spawn_local};

wit_bindgen::generate!({
    path: "wit",
    world: "flow-relay-last",
    runtime_path: "guests_component::wit_bindgen::rt",
});

use exports::wharf::guests::relay::Guest;

struct Relay;

impl Guest for Relay {
    async fn relay(bytes: StreamReader<u8>) -> StreamReader<u8> {
        let (writer, reader) = wit_stream::new();
        spawn_local(pump(bytes, writer));
        reader
    }
}

export!(Relay);
