//! `wasi:random` 0.3, where a guest asks for bytes: Wasmtime makes up to 64 MiB of them in one go, and nothing else of
//! the thread's moves meanwhile. The interface allows fewer bytes than were asked for, so a guest gets them in parts.

use wasmtime::StoreContextMut;
use wasmtime::component::Linker;
use wasmtime_wasi::p3::bindings::random::{insecure::Host as _, random::Host as _};

use crate::state::InstanceState;

/// What one call gives. A millisecond's work; more than programs ask for, some of which take it for granted that they
/// get everything.
const BYTES_MAX: u64 = 1 << 20;

/// Replaces two functions of the interfaces that are linked already.
pub(super) fn link(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let replaced = replace(linker);
    linker.allow_shadowing(false);
    replaced
}

fn replace(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    linker.instance("wasi:random/random@0.3.0")?.func_wrap(
        "get-random-bytes",
        |mut store: StoreContextMut<'_, InstanceState>, (bytes,): (u64,)| {
            let random = store.data_mut().wasi.random();
            Ok((random.get_random_bytes(bytes.min(BYTES_MAX))?,))
        },
    )?;
    linker.instance("wasi:random/insecure@0.3.0")?.func_wrap(
        "get-insecure-random-bytes",
        |mut store: StoreContextMut<'_, InstanceState>, (bytes,): (u64,)| {
            let random = store.data_mut().wasi.random();
            Ok((random.get_insecure_random_bytes(bytes.min(BYTES_MAX))?,))
        },
    )
}
