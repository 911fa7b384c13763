//! `wasi:keyvalue`: stores that guests open by name, in the three shapes that are in use.
//!
//! What a manifest says of them is in `keyvalue/section.rs`, what a store does in `keyvalue/store.rs`, where its entries are in
//! `keyvalue/memory.rs`, `keyvalue/sqlite.rs` and `keyvalue/redis.rs`, and the functions that guests call in
//! `keyvalue/host.rs`.

mod host;
mod memory;
mod redis;
mod section;
mod sqlite;
mod store;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;
use wharf_host::capability::{Admission, BoxFuture, Capability, Imports, Sample};

use store::Store;

pub use section::KeyvalueKind;

/// The name of a store that guests mean who name none.
const DEFAULT_STORE: &str = "default";

/// An app's stores, by name.
struct KeyvalueCapability(Arc<Stores>);

type Stores = BTreeMap<String, Arc<Store>>;

impl Capability for KeyvalueCapability {
    fn name(&self) -> &'static str {
        section::NAME
    }

    fn link(&self, imports: &mut Imports<'_>) -> wasmtime::Result<()> {
        host::link(imports, &self.0)
    }

    fn admit(&self, _: &mut Admission<'_>) -> wasmtime::Result<()> {
        // The functions that were linked know the app's stores.
        Ok(())
    }

    fn samples(&self) -> Vec<Sample> {
        self.0.iter().flat_map(|(name, store)| store.samples(name)).collect()
    }

    fn close(&self) -> BoxFuture<()> {
        let stores = self.0.clone();
        Box::pin(async move {
            join_all(stores.values().map(|store| store.close())).await;
        })
    }
}
