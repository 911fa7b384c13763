//! The engine every test of this suite runs on: Wharf's own, as it serves with.

use std::sync::LazyLock;

use wasmtime::Store;
use wharf_host::{Component, Engine, EngineOptions};

/// One for all: each reserves address space for a thousand instances.
static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new(EngineOptions::default()).unwrap());

/// Wasmtime as Wharf configures it.
pub fn engine() -> &'static wasmtime::Engine {
    ENGINE.wasmtime()
}

/// The pool has room for whatever a component is made of.
#[test]
fn components_of_every_shape_fit_the_pool() {
    assert!(ENGINE.is_pooled());
    let shapes = [
        "(core module $m (memory 1) (memory 1)) (core instance (instantiate $m))",
        "(core module $m (table 1 funcref) (table 1 funcref)) (core instance (instantiate $m))",
        "(core module $m (table 1000000 funcref)) (core instance (instantiate $m))",
        "(core module $m (memory 4096)) (core instance (instantiate $m))",
    ];
    for shape in shapes {
        let bytes = wat::parse_str(format!("(component {shape})")).unwrap();
        Component::new(&ENGINE, "shape", &bytes, None).unwrap_or_else(|error| panic!("{shape}: {error}"));
    }
}

/// Lets a store run as long as it likes; Wharf's clock would end it with the first tick.
pub fn without_deadline<T>(store: &mut Store<T>) {
    store.set_epoch_deadline(u64::MAX / 2);
}
