//! From a core module, as compilers of Go and C write it, to a component; and what a component says of those who made it.

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasm_metadata::Producers;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

use crate::BuildError;
use crate::world::World;

/// Says in a core module which world it is of, for [`encode`]. Bindings for C bring that along themselves.
///
/// # Errors
/// [`BuildError::Encode`] where the world cannot be written down.
pub(crate) fn embed(mut module: Vec<u8>, world: &World) -> Result<Vec<u8>, BuildError> {
    embed_component_metadata(&mut module, &world.resolve, world.id, StringEncoding::UTF8, false)
        .map_err(|error| BuildError::Encode(format!("{error:#}")))?;
    Ok(module)
}

/// Makes a core module a component. What it calls of WASI 0.1 becomes calls of 0.2.
///
/// # Errors
/// [`BuildError::Encode`] where the module does not have what its world asks for.
pub(crate) fn encode(module: &[u8]) -> Result<Vec<u8>, BuildError> {
    let mut encoder = ComponentEncoder::default();
    let encoded = encoder
        .module(module)
        .and_then(|encoder| {
            encoder.adapter(
                WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
                WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
            )
        })
        .and_then(|encoder| encoder.validate(true).encode());
    encoded.map_err(|error| BuildError::Encode(format!("{error:#}")))
}

/// Says in a component what it was written in, and what has put it together with the language's interpreter: those who do that leave only
/// what the interpreter was written in. What is no component stays as it is, and is refused by whoever puts it in its place.
pub(crate) fn sign(component: Vec<u8>, language: &str, tool: &str, version: &str) -> Vec<u8> {
    let mut producers = Producers::empty();
    producers.add("language", language, "");
    producers.add("processed-by", tool, version);
    producers.add("processed-by", "wharf", env!("CARGO_PKG_VERSION"));
    producers.add_to_wasm(&component).unwrap_or(component)
}
