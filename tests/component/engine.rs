//! The engine every test of this suite runs on: Wharf's own, as it serves with.

use std::sync::LazyLock;

use wasmtime::Store;
use wharf_host::{Engine, EngineOptions};

/// One for all: each reserves address space for a thousand instances.
static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new(EngineOptions::default()).unwrap());

/// Wasmtime as Wharf configures it.
pub fn engine() -> &'static wasmtime::Engine {
    ENGINE.wasmtime()
}

/// Lets a store run as long as it likes; Wharf's clock would end it with the first tick.
pub fn without_deadline<T>(store: &mut Store<T>) {
    store.set_epoch_deadline(u64::MAX / 2);
}
