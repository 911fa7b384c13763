//! The engine every test of this suite runs on.

use wasmtime::{Config, Engine};

/// An engine with the component model's whole async surface, as Wharf serves with.
pub fn engine() -> Engine {
    let mut config = Config::new();
    config
        .wasm_component_model_async(true)
        .wasm_component_model_more_async_builtins(true)
        .wasm_component_model_async_stackful(true)
        .wasm_component_model_error_context(true)
        .wasm_component_model_threading(true);
    Engine::new(&config).unwrap()
}
