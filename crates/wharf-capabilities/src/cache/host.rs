//! The functions of `wharf:cache/cache`, as guests call them.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime::component::{Accessor, ComponentType, Lift, Linker, Lower, Resource, ResourceType};
use wharf_host::InstanceState;

use super::leases::Lease;
use super::{Cache, Failure, Lookup};

/// The variant `error`.
#[derive(Debug, ComponentType, Lift, Lower)]
#[component(variant)]
enum Error {
    #[component(name = "invalid-key")]
    InvalidKey,
    #[component(name = "too-large")]
    TooLarge,
    #[component(name = "not-a-number")]
    NotANumber,
    #[component(name = "busy")]
    Busy,
    #[component(name = "unavailable")]
    Unavailable,
    #[component(name = "other")]
    Other(String),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::InvalidKey => Self::InvalidKey,
            Failure::TooLarge => Self::TooLarge,
            Failure::NotANumber => Self::NotANumber,
            Failure::Busy => Self::Busy,
            Failure::Unavailable => Self::Unavailable,
            Failure::Other(message) => Self::Other(message),
        }
    }
}

/// The variant `lookup`.
#[derive(ComponentType, Lower)]
#[component(variant)]
enum Found {
    #[component(name = "hit")]
    Hit(Bytes),
    #[component(name = "miss")]
    Miss(Resource<Lease>),
}

type Answer<T> = wasmtime::Result<(Result<T, Error>,)>;

/// Adds the interface to what a component may import, on `cache`.
pub(super) fn link(linker: &mut Linker<InstanceState>, cache: &Arc<Cache>) -> wasmtime::Result<()> {
    let mut interface = linker.instance("wharf:cache/cache@0.1.0")?;
    interface.resource("lease", ResourceType::host::<Lease>(), |mut store, lease| {
        let lease = Resource::<Lease>::new_own(lease);
        store.data_mut().table().delete(lease)?;
        Ok(())
    })?;
    let shared = cache.clone();
    interface.func_wrap_concurrent("get", move |_, (key,): (String,)| {
        let cache = shared.clone();
        Box::pin(async move { answer(cache.get(&key).await) })
    })?;
    let shared = cache.clone();
    interface.func_wrap_concurrent("set", move |_, (key, value, ttl): (String, Bytes, Option<u32>)| {
        let cache = shared.clone();
        Box::pin(async move { answer(cache.set(&key, value, ttl).await) })
    })?;
    let shared = cache.clone();
    interface.func_wrap_concurrent("delete", move |_, (key,): (String,)| {
        let cache = shared.clone();
        Box::pin(async move { answer(cache.delete(&key).await) })
    })?;
    let shared = cache.clone();
    interface.func_wrap_concurrent("increment", move |_, (key, delta, ttl): (String, i64, Option<u32>)| {
        let cache = shared.clone();
        Box::pin(async move { answer(cache.increment(&key, delta, ttl).await) })
    })?;
    let shared = cache.clone();
    interface.func_wrap_concurrent("get-or-lease", move |accessor, (key,): (String,)| {
        let cache = shared.clone();
        Box::pin(async move { look_up(accessor, &cache, &key).await })
    })?;
    let shared = cache.clone();
    type Filling = (Resource<Lease>, Bytes, Option<u32>);
    interface.func_wrap_concurrent("[static]lease.fill", move |accessor, (lease, value, ttl): Filling| {
        let cache = shared.clone();
        Box::pin(async move {
            let lease = accessor.with(|mut store| store.get().table().delete(lease))?;
            answer(cache.fill(lease, value, ttl).await)
        })
    })?;
    interface.func_wrap("[static]lease.decline", |mut store, (lease,): (Resource<Lease>,)| {
        store.data_mut().table().delete(lease)?.decline();
        Ok(())
    })
}

async fn look_up(accessor: &Accessor<InstanceState>, cache: &Cache, key: &str) -> Answer<Found> {
    let found = match cache.look_up(key).await {
        Ok(Lookup::Hit(value)) => Ok(Found::Hit(value)),
        // A guest that holds too many resources ends here, and its lease with it.
        Ok(Lookup::Miss(lease)) => Ok(Found::Miss(accessor.with(|mut store| store.get().table().push(lease))?)),
        Err(failure) => Err(failure.into()),
    };
    Ok((found,))
}

fn answer<T>(done: Result<T, Failure>) -> Answer<T> {
    Ok((done.map_err(Error::from),))
}
