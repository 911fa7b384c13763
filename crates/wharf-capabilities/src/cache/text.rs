//! The cache for text and without errors: `wharf:cache/text`, and interfaces of the app's own with the same functions.
//!
//! What a component imports of its own decides how it is met: names come from the manifest, functions and types from the
//! component.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime::bail;
use wasmtime::component::types::{ComponentFunc, ComponentItem, Type};
use wasmtime::component::{Lift, LinkerInstance};
use wharf_host::InstanceState;
use wharf_host::capability::{Imports, is_meant};

use super::Cache;

const NAME: &str = "wharf:cache/text@0.1.0";

/// Adds what the component imports of these.
pub(super) fn link(imports: &mut Imports<'_>, cache: &Arc<Cache>) -> wasmtime::Result<()> {
    let is_ours = |name: &str| name == NAME || cache.options.meets.iter().any(|own| is_meant(own, name));
    for (name, functions) in imports.interfaces(is_ours) {
        let mut interface = imports.linker().instance(&name)?;
        for (function, ty) in functions {
            let ComponentItem::ComponentFunc(ty) = ty else {
                continue;
            };
            match (function.as_str(), Shape::of(&ty)) {
                ("get", Some(Shape::Get)) => link_get(&mut interface, cache, ty.async_())?,
                ("set", Some(Shape::Set32)) => link_set::<u32>(&mut interface, cache, ty.async_())?,
                ("set", Some(Shape::Set64)) => link_set::<u64>(&mut interface, cache, ty.async_())?,
                _ => bail!("{name}: the cache has no `{function}` of this type, but {EXPECTED}"),
            }
        }
    }
    Ok(())
}

const EXPECTED: &str = "`get(key: string) -> option<string>` and `set(key: string, value: string, ttl-seconds: u32)`";

/// The types that there are functions for.
#[derive(Debug, PartialEq)]
enum Shape {
    Get,
    Set32,
    Set64,
}

impl Shape {
    fn of(ty: &ComponentFunc) -> Option<Self> {
        let params: Vec<Type> = ty.params().map(|(_, ty)| ty).collect();
        let results: Vec<Type> = ty.results().collect();
        match (&params[..], &results[..]) {
            ([Type::String], [Type::Option(found)]) if found.ty() == Type::String => Some(Self::Get),
            ([Type::String, Type::String, Type::U32], []) => Some(Self::Set32),
            ([Type::String, Type::String, Type::U64], []) => Some(Self::Set64),
            _ => None,
        }
    }
}

fn link_get(
    interface: &mut LinkerInstance<'_, InstanceState>,
    cache: &Arc<Cache>,
    is_async: bool,
) -> wasmtime::Result<()> {
    let cache = cache.clone();
    match is_async {
        true => interface.func_wrap_concurrent("get", move |_, (key,): (String,)| {
            let cache = cache.clone();
            Box::pin(async move { Ok((get(&cache, &key).await,)) })
        }),
        false => interface.func_wrap_async("get", move |_, (key,): (String,)| {
            let cache = cache.clone();
            Box::new(async move { Ok((get(&cache, &key).await,)) })
        }),
    }
}

fn link_set<Ttl>(
    interface: &mut LinkerInstance<'_, InstanceState>,
    cache: &Arc<Cache>,
    is_async: bool,
) -> wasmtime::Result<()>
where
    Ttl: Lift + Into<u64> + Send + Sync + 'static,
{
    let cache = cache.clone();
    match is_async {
        true => interface.func_wrap_concurrent("set", move |_, (key, value, ttl): (String, String, Ttl)| {
            let cache = cache.clone();
            Box::pin(async move {
                set(&cache, &key, value, ttl.into()).await;
                Ok(())
            })
        }),
        false => interface.func_wrap_async("set", move |_, (key, value, ttl): (String, String, Ttl)| {
            let cache = cache.clone();
            Box::new(async move {
                set(&cache, &key, value, ttl.into()).await;
                Ok(())
            })
        }),
    }
}

/// An entry that is no text is none.
async fn get(cache: &Cache, key: &str) -> Option<String> {
    let found = cache.get(key).await.ok()??;
    String::from_utf8(found.into()).ok()
}

async fn set(cache: &Cache, key: &str, value: String, ttl: u64) {
    let ttl = u32::try_from(ttl).unwrap_or(u32::MAX);
    // The failure is counted, and where it is the backend's also said.
    let _ = cache.set(key, Bytes::from(value), Some(ttl)).await;
}
