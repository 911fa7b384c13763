//! The functions of `wasi:keyvalue`, as guests call them.
//!
//! Three shapes are in use under two versions: cursors are numbers or texts, counters without or with a sign, and `get-many` of
//! `0.2.0-draft2` has two types, of which the component's own import decides. None of them is `async`: the instance
//! waits for each call.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime::component::types::{ComponentFunc, ComponentItem, Type};
use wasmtime::component::{ComponentType, Lift, Linker, LinkerInstance, Lower, Resource, ResourceType};
use wharf_host::InstanceState;
use wharf_host::capability::Imports;

use super::store::{Failure, Fingerprint, Operation, Outcome, Store};
use super::{DEFAULT_STORE, Stores};

/// The variant `error`.
#[derive(Debug, ComponentType, Lift, Lower)]
#[component(variant)]
enum Error {
    #[component(name = "no-such-store")]
    NoSuchStore,
    #[component(name = "access-denied")]
    AccessDenied,
    #[component(name = "other")]
    Other(String),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Other(failure.to_string())
    }
}

/// The record `key-response`.
#[derive(ComponentType, Lower)]
#[component(record)]
struct KeyResponse<C: Lower> {
    keys: Vec<String>,
    cursor: Option<C>,
}

/// The variant `cas-error`.
#[derive(ComponentType, Lower)]
#[component(variant)]
enum CasError {
    #[component(name = "store-error")]
    Store(Error),
    #[component(name = "cas-failed")]
    Failed(Resource<Cas>),
}

/// The resource `bucket`.
struct Bucket(Arc<Store>);

/// The resource `cas`: what a value was when it was last looked at.
struct Cas {
    store: Arc<Store>,
    key: String,
    seen: Option<Fingerprint>,
}

/// Where a list goes on.
trait Cursor: Lift + Lower + Send + Sync + Sized + 'static {
    fn place(self) -> Result<u64, Failure>;
    fn of(place: u64) -> Self;
}

impl Cursor for u64 {
    fn place(self) -> Result<u64, Failure> {
        Ok(self)
    }

    fn of(place: u64) -> Self {
        place
    }
}

impl Cursor for String {
    fn place(self) -> Result<u64, Failure> {
        self.parse().map_err(|_| Failure::InvalidCursor)
    }

    fn of(place: u64) -> Self {
        place.to_string()
    }
}

type Data = InstanceState;
type Answer<T> = wasmtime::Result<(Result<T, Error>,)>;
type OnKey = (Resource<Bucket>, String);

/// Adds what the component imports of the interfaces, on `stores`.
pub(super) fn link(imports: &mut Imports<'_>, stores: &Arc<Stores>) -> wasmtime::Result<()> {
    const DRAFT: &str = "0.2.0-draft";
    const DRAFT_2: &str = "0.2.0-draft2";
    let with_keys = is_with_keys(imports, "wasi:keyvalue/batch@0.2.0-draft2");
    let linker = imports.linker();
    link_store::<u64>(linker, DRAFT, stores)?;
    link_store::<String>(linker, DRAFT_2, stores)?;
    link_increment::<u64>(&mut interface(linker, "atomics", DRAFT)?)?;
    let mut atomics = interface(linker, "atomics", DRAFT_2)?;
    link_increment::<i64>(&mut atomics)?;
    link_cas(&mut atomics)?;
    link_batch(&mut interface(linker, "batch", DRAFT)?, false)?;
    link_batch(&mut interface(linker, "batch", DRAFT_2)?, with_keys)
}

fn interface<'a>(
    linker: &'a mut Linker<Data>,
    name: &str,
    version: &str,
) -> wasmtime::Result<LinkerInstance<'a, Data>> {
    linker.instance(&format!("wasi:keyvalue/{name}@{version}"))
}

/// Whether `get-many` answers with all keys, and a value for those that have one: Spin's shape. Else with an option for each key.
fn is_with_keys(imports: &Imports<'_>, interface: &str) -> bool {
    let interfaces = imports.interfaces(|name| name == interface);
    let functions = interfaces.into_iter().flat_map(|(_, functions)| functions);
    let mut types = functions.filter(|(name, _)| name == "get-many").map(|(_, ty)| ty);
    matches!(types.next(), Some(ComponentItem::ComponentFunc(ty)) if has_tuples(&ty))
}

fn has_tuples(ty: &ComponentFunc) -> bool {
    let Some(Type::Result(result)) = ty.results().next() else {
        return false;
    };
    matches!(result.ok(), Some(Type::List(list)) if matches!(list.ty(), Type::Tuple(_)))
}

fn link_store<C: Cursor>(linker: &mut Linker<Data>, version: &str, stores: &Arc<Stores>) -> wasmtime::Result<()> {
    let mut store = interface(linker, "store", version)?;
    store.resource("bucket", ResourceType::host::<Bucket>(), |mut store, bucket| {
        store.data_mut().table().delete(Resource::<Bucket>::new_own(bucket))?;
        Ok(())
    })?;
    let stores = stores.clone();
    store.func_wrap("open", move |mut store, (name,): (String,)| {
        let name = if name.is_empty() { DEFAULT_STORE } else { &name };
        let opened = match stores.get(name) {
            Some(found) => Ok(store.data_mut().table().push(Bucket(found.clone()))?),
            None => Err(Error::NoSuchStore),
        };
        Ok((opened,))
    })?;
    store.func_wrap_async("[method]bucket.get", |mut store, (bucket, key): OnKey| {
        let opened = opened(store.data_mut(), &bucket);
        Box::new(async move {
            let got = opened?.run(Operation::Get(vec![key])).await;
            answer(got.map(one))
        })
    })?;
    type Setting = (Resource<Bucket>, String, Bytes);
    store.func_wrap_async("[method]bucket.set", |mut store, (bucket, key, value): Setting| {
        let opened = opened(store.data_mut(), &bucket);
        Box::new(async move { answer(done(opened?.run(Operation::Set(vec![(key, value)])).await)) })
    })?;
    store.func_wrap_async("[method]bucket.delete", |mut store, (bucket, key): OnKey| {
        let opened = opened(store.data_mut(), &bucket);
        Box::new(async move { answer(done(opened?.run(Operation::Delete(vec![key])).await)) })
    })?;
    store.func_wrap_async("[method]bucket.exists", |mut store, (bucket, key): OnKey| {
        let opened = opened(store.data_mut(), &bucket);
        Box::new(async move {
            let found = opened?.run(Operation::Exists(key)).await;
            answer(found.map(|found| found == Outcome::Is(true)))
        })
    })?;
    type Listing<C> = (Resource<Bucket>, Option<C>);
    store.func_wrap_async("[method]bucket.list-keys", |mut store, (bucket, cursor): Listing<C>| {
        let opened = opened(store.data_mut(), &bucket);
        Box::new(async move {
            let opened = opened?;
            answer(list(&opened, cursor).await)
        })
    })
}

async fn list<C: Cursor>(store: &Store, cursor: Option<C>) -> Result<KeyResponse<C>, Failure> {
    let after = cursor.map_or(Ok(0), C::place)?;
    match store.run(Operation::List(after)).await? {
        Outcome::Keys(keys, next) => Ok(KeyResponse {
            keys,
            cursor: next.map(C::of),
        }),
        _ => Err(Failure::Unavailable),
    }
}

fn link_increment<N>(atomics: &mut LinkerInstance<'_, Data>) -> wasmtime::Result<()>
where
    N: TryInto<i64> + TryFrom<i64> + Lift + Lower + Send + Sync + 'static,
{
    type Adding<N> = (Resource<Bucket>, String, N);
    atomics.func_wrap_async("increment", |mut store, (bucket, key, delta): Adding<N>| {
        let opened = opened(store.data_mut(), &bucket);
        Box::new(async move {
            let opened = opened?;
            answer(increment(&opened, key, delta).await)
        })
    })
}

async fn increment<N: TryInto<i64> + TryFrom<i64>>(store: &Store, key: String, delta: N) -> Result<N, Failure> {
    let delta = delta.try_into().map_err(|_| Failure::NotANumber)?;
    match store.run(Operation::Increment(key, delta)).await? {
        Outcome::Sum(sum) => sum.try_into().map_err(|_| Failure::NotANumber),
        _ => Err(Failure::Unavailable),
    }
}

fn link_cas(atomics: &mut LinkerInstance<'_, Data>) -> wasmtime::Result<()> {
    atomics.resource("cas", ResourceType::host::<Cas>(), |mut store, cas| {
        store.data_mut().table().delete(Resource::<Cas>::new_own(cas))?;
        Ok(())
    })?;
    atomics.func_wrap_async("[static]cas.new", |mut store, (bucket, key): OnKey| {
        let opened = opened(store.data_mut(), &bucket);
        Box::new(async move {
            let opened = opened?;
            match look(&opened, &key).await {
                Ok((_, seen)) => {
                    let cas = Cas {
                        store: opened,
                        key,
                        seen,
                    };
                    Ok::<(Result<_, Error>,), _>((Ok(store.data_mut().table().push(cas)?),))
                }
                Err(failure) => Ok((Err(failure.into()),)),
            }
        })
    })?;
    atomics.func_wrap_async("[method]cas.current", |mut store, (cas,): (Resource<Cas>,)| {
        Box::new(async move {
            let table = store.data_mut().table();
            let (of, key) = table.get(&cas).map(|cas| (cas.store.clone(), cas.key.clone()))?;
            // From here on this is the value that a swap compares with.
            let (value, seen) = match look(&of, &key).await {
                Ok(looked) => looked,
                Err(failure) => return Ok((Err(failure.into()),)),
            };
            store.data_mut().table().get_mut(&cas)?.seen = seen;
            Ok::<(Result<_, Error>,), _>((Ok(value),))
        })
    })?;
    atomics.func_wrap_async("swap", |mut store, (cas, value): (Resource<Cas>, Bytes)| {
        Box::new(async move {
            let mut cas = store.data_mut().table().delete(cas)?;
            match swap(&mut cas, value).await {
                Ok(true) => Ok((Ok(()),)),
                Ok(false) => Ok((Err(CasError::Failed(store.data_mut().table().push(cas)?)),)),
                Err(failure) => Ok((Err(CasError::Store(failure.into())),)),
            }
        })
    })
}

/// A value, and what to compare with.
async fn look(store: &Store, key: &str) -> Result<(Option<Bytes>, Option<Fingerprint>), Failure> {
    let value = one(store.run(Operation::Get(vec![key.to_owned()])).await?);
    let seen = value.as_ref().map(|value| Fingerprint::of(value));
    Ok((value, seen))
}

/// Whether it was done. Where it was not, the present value is what the next swap compares with.
async fn swap(cas: &mut Cas, value: Bytes) -> Result<bool, Failure> {
    let swapped = cas.store.run(Operation::Swap(cas.key.clone(), cas.seen, value)).await?;
    let is_done = swapped == Outcome::Is(true);
    if !is_done {
        cas.seen = look(&cas.store, &cas.key).await?.1;
    }
    Ok(is_done)
}

fn link_batch(batch: &mut LinkerInstance<'_, Data>, with_keys: bool) -> wasmtime::Result<()> {
    type OnKeys = (Resource<Bucket>, Vec<String>);
    if with_keys {
        batch.func_wrap_async("get-many", |mut store, (bucket, keys): OnKeys| {
            let opened = opened(store.data_mut(), &bucket);
            Box::new(async move {
                let values = opened?.run(Operation::Get(keys.clone())).await.map(values);
                let pairs = values.map(|values| keys.into_iter().zip(values).collect::<Vec<_>>());
                answer(pairs)
            })
        })?;
    } else {
        batch.func_wrap_async("get-many", |mut store, (bucket, keys): OnKeys| {
            let opened = opened(store.data_mut(), &bucket);
            Box::new(async move {
                let values = opened?.run(Operation::Get(keys.clone())).await.map(values);
                let pairs = |values: Vec<Option<Bytes>>| {
                    let pairs = keys.into_iter().zip(values);
                    pairs.map(|(key, value)| Some((key, value?))).collect::<Vec<_>>()
                };
                answer(values.map(pairs))
            })
        })?;
    }
    type Entries = (Resource<Bucket>, Vec<(String, Bytes)>);
    batch.func_wrap_async("set-many", |mut store, (bucket, entries): Entries| {
        let opened = opened(store.data_mut(), &bucket);
        Box::new(async move { answer(done(opened?.run(Operation::Set(entries)).await)) })
    })?;
    batch.func_wrap_async("delete-many", |mut store, (bucket, keys): OnKeys| {
        let opened = opened(store.data_mut(), &bucket);
        Box::new(async move { answer(done(opened?.run(Operation::Delete(keys)).await)) })
    })
}

fn opened(state: &mut Data, bucket: &Resource<Bucket>) -> wasmtime::Result<Arc<Store>> {
    Ok(state.table().get(bucket)?.0.clone())
}

fn one(outcome: Outcome) -> Option<Bytes> {
    values(outcome).into_iter().next().flatten()
}

fn values(outcome: Outcome) -> Vec<Option<Bytes>> {
    match outcome {
        Outcome::Values(values) => values,
        _ => Vec::new(),
    }
}

fn done(outcome: Result<Outcome, Failure>) -> Result<(), Failure> {
    outcome.map(|_| ())
}

fn answer<T>(outcome: Result<T, Failure>) -> Answer<T> {
    Ok((outcome.map_err(Error::from),))
}
