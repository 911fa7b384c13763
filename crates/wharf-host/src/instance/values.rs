//! Calls whose types are known only when the component is there: its functions, values for them, and what comes back.
//!
//! Streams and futures of a result are read to their end, and stand in it as a list and a value; so do those in their elements. Those
//! stay what they are that the guest has from the host, and have other elements than bytes: their types are known there alone.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::mpsc;
use wasmtime::StoreContextMut;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{
    Accessor, FutureAny, FutureConsumer, FutureReader, Source, StreamAny, StreamConsumer, StreamReader, StreamResult,
    Val,
};

use super::{CallError, Instance};
use crate::component::Component;
use crate::item::{Element, Item};
use crate::running::Running;
use crate::service::Failure;
use crate::state::InstanceState;

/// Elements that are taken from a stream at once.
const TAKEN_AT_ONCE: usize = 4096;

/// Bytes of a stream that are kept, and elements that are nothing. A stream that goes on is ended.
const STREAM_BYTES_MAX: usize = 16 << 20;

/// Other elements of a stream that are kept: each may be a tree of values.
const STREAM_ELEMENTS_MAX: usize = 1 << 20;

/// A function that a component exports.
pub struct ExportedFunction {
    /// What [`Instance::call_with`] finds it by: its plain name, or `namespace:package/interface@version#name`.
    pub name: String,
    /// Its parameters and results.
    pub ty: ComponentFunc,
}

impl Component {
    /// The functions that it exports, those of its interfaces included, in the file's order.
    pub fn functions(&self) -> Vec<ExportedFunction> {
        let engine = self.engine().wasmtime();
        let ty = self.wasmtime().component_type();
        let mut functions = Vec::new();
        for (name, export) in ty.exports(engine) {
            match export.ty {
                ComponentItem::ComponentFunc(ty) => functions.push(ExportedFunction {
                    name: name.to_owned(),
                    ty,
                }),
                ComponentItem::ComponentInstance(instance) => {
                    let inner = instance.exports(engine).filter_map(|(inner, export)| match export.ty {
                        ComponentItem::ComponentFunc(ty) => Some(ExportedFunction {
                            name: format!("{name}#{inner}"),
                            ty,
                        }),
                        _ => None,
                    });
                    functions.extend(inner);
                }
                _ => {}
            }
        }
        functions
    }

    /// The names of the functions that it imports with the interface `import`.
    pub fn functions_of_import(&self, import: &str) -> Vec<String> {
        let engine = self.engine().wasmtime();
        let ty = self.wasmtime().component_type();
        match ty.get_import(engine, import).map(|import| import.ty) {
            Some(ComponentItem::ComponentInstance(instance)) => {
                let items = instance.exports(engine);
                let functions = items.filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)));
                functions.map(|(name, _)| name.to_owned()).collect()
            }
            _ => Vec::new(),
        }
    }
}

impl Instance {
    /// Calls the exported function `name` with values of its parameters' types, and reads the streams and futures of its result.
    ///
    /// # Errors
    /// When there is no such function, the values are not of its types, it fails, or it takes longer than
    /// [`crate::Limits::response_timeout`], its streams included.
    pub async fn call_with(&mut self, name: &str, params: &[Val]) -> Result<Option<Val>, CallError> {
        let no_such = || CallError::NoSuchFunction(name.to_owned());
        let index = self.find(name).ok_or_else(no_such)?;
        let function = self.instance.get_func(&mut self.store, index).ok_or_else(no_such)?;
        let count = function.ty(&self.store).results().len();
        self.store.set_epoch_deadline(1);
        let limit = self.blueprint.limits.response_timeout;
        let work = self.store.run_concurrent(async |accessor| {
            let mut results = vec![Val::Bool(false); count];
            function.call_concurrent(accessor, params, &mut results).await?;
            match results.pop() {
                Some(result) => drained(accessor, result).await.map(Some),
                None => Ok(None),
            }
        });
        let running = Running::new(self.blueprint.engine.clone(), self.busy.clone(), work);
        match tokio::time::timeout(limit, running).await {
            Ok(result) => result
                .flatten()
                .map_err(|error| Failure::of(error, self.store.data().refused()).into()),
            Err(_) => Err(Failure::ResponseTimeout { limit }.into()),
        }
    }
}

/// A value with its streams and futures read, one after the other: a future beside a stream says how the stream ended.
async fn drained(accessor: &Accessor<InstanceState>, value: Val) -> wasmtime::Result<Val> {
    Ok(match value {
        Val::Stream(stream) => drained_stream(accessor, stream).await?,
        Val::Future(future) => drained_future(accessor, future).await?,
        Val::Tuple(values) => Val::Tuple(all_drained(accessor, values).await?),
        Val::List(values) => Val::List(all_drained(accessor, values).await?),
        Val::Record(fields) => {
            let (names, values): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
            let values = all_drained(accessor, values).await?;
            Val::Record(names.into_iter().zip(values).collect())
        }
        Val::Variant(case, payload) => Val::Variant(case, inner_drained(accessor, payload).await?),
        Val::Option(payload) => Val::Option(inner_drained(accessor, payload).await?),
        Val::Result(Ok(payload)) => Val::Result(Ok(inner_drained(accessor, payload).await?)),
        Val::Result(Err(payload)) => Val::Result(Err(inner_drained(accessor, payload).await?)),
        value => value,
    })
}

async fn all_drained(accessor: &Accessor<InstanceState>, values: Vec<Val>) -> wasmtime::Result<Vec<Val>> {
    let mut all = Vec::with_capacity(values.len());
    for value in values {
        all.push(match holds_any(&value) {
            true => Box::pin(drained(accessor, value)).await?,
            false => value,
        });
    }
    Ok(all)
}

async fn inner_drained(
    accessor: &Accessor<InstanceState>,
    payload: Option<Box<Val>>,
) -> wasmtime::Result<Option<Box<Val>>> {
    match payload {
        Some(value) => Ok(Some(Box::new(Box::pin(drained(accessor, *value)).await?))),
        None => Ok(None),
    }
}

/// Whether there may be a stream or a future in it: most lists are long and plain.
fn holds_any(value: &Val) -> bool {
    use Val::{Future, List, Option, Record, Result, Stream, Tuple, Variant};
    matches!(
        value,
        Stream(_) | Future(_) | Tuple(_) | List(_) | Record(_) | Variant(..) | Option(_) | Result(_)
    )
}

async fn drained_stream(accessor: &Accessor<InstanceState>, stream: StreamAny) -> wasmtime::Result<Val> {
    if let Ok(reader) = stream.clone().try_into_stream_reader::<u8>() {
        let mut elements = Elements::of(accessor, reader)?;
        let mut bytes = Vec::new();
        while let Some(mut some) = elements.next().await {
            bytes.append(&mut some);
        }
        return Ok(text_or_bytes(bytes));
    }
    if let Ok(reader) = stream.clone().try_into_stream_reader::<()>() {
        return list_of(accessor, reader, |()| Val::Tuple(Vec::new())).await;
    }
    if let Ok(reader) = stream.clone().try_into_stream_reader::<Vec<u8>>() {
        return list_of(accessor, reader, text_or_bytes).await;
    }
    let reader = stream.try_into_stream_reader::<Item>()?;
    let stream = accessor.with(|store| StreamAny::try_from_stream_reader(store, reader))?;
    match stream.clone().try_into_stream_reader::<OfGuest>() {
        Ok(_) => list_of(accessor, stream.try_into_stream_reader()?, |Item(value)| value).await,
        Err(_) => Ok(Val::Stream(stream)),
    }
}

async fn drained_future(accessor: &Accessor<InstanceState>, future: FutureAny) -> wasmtime::Result<Val> {
    if let Ok(reader) = future.clone().try_into_future_reader::<u8>() {
        return value_of(accessor, reader, Val::U8).await;
    }
    if let Ok(reader) = future.clone().try_into_future_reader::<()>() {
        return value_of(accessor, reader, |()| Val::Tuple(Vec::new())).await;
    }
    if let Ok(reader) = future.clone().try_into_future_reader::<Vec<u8>>() {
        return value_of(accessor, reader, text_or_bytes).await;
    }
    let reader = future.try_into_future_reader::<Item>()?;
    let future = accessor.with(|store| FutureAny::try_from_future_reader(store, reader))?;
    match future.clone().try_into_future_reader::<OfGuest>() {
        Ok(_) => value_of(accessor, future.try_into_future_reader()?, |Item(value)| value).await,
        Err(_) => Ok(Val::Future(future)),
    }
}

/// What the elements of a stream are that the guest has made, to the engine: any type is an [`Item`], and so a box of one. Of what the
/// host has made it knows the very type, which is not this.
type OfGuest = Box<Item>;

/// Bytes are text more often than not, and a list of numbers says little.
fn text_or_bytes(bytes: Vec<u8>) -> Val {
    match String::from_utf8(bytes) {
        Ok(text) => Val::String(text),
        Err(error) => Val::List(error.into_bytes().into_iter().map(Val::U8).collect()),
    }
}

/// Each element is read out before the next: what there is in it, its writer may go on with while the stream goes on.
async fn list_of<E: Element>(
    accessor: &Accessor<InstanceState>,
    reader: StreamReader<E>,
    val: impl Fn(E) -> Val,
) -> wasmtime::Result<Val> {
    let mut elements = Elements::of(accessor, reader)?;
    let mut values = Vec::new();
    while let Some(some) = elements.next().await {
        values.extend(all_drained(accessor, some.into_iter().map(&val).collect()).await?);
    }
    Ok(Val::List(values))
}

async fn value_of<E: Element>(
    accessor: &Accessor<InstanceState>,
    reader: FutureReader<E>,
    val: impl Fn(E) -> Val,
) -> wasmtime::Result<Val> {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    accessor.with(|mut store| reader.pipe(&mut store, One(sender)))?;
    match receiver.recv().await {
        Some(element) => Box::pin(drained(accessor, val(element))).await,
        None => Err(wasmtime::Error::msg(
            "a future of the result was dropped without a value",
        )),
    }
}

/// What a stream has, as it comes.
struct Elements<E>(mpsc::UnboundedReceiver<Vec<E>>);

impl<E: Element> Elements<E> {
    fn of(accessor: &Accessor<InstanceState>, reader: StreamReader<E>) -> wasmtime::Result<Self> {
        let (sender, receiver) = mpsc::unbounded_channel();
        accessor.with(|mut store| reader.pipe(&mut store, Many { sender, taken: 0 }))?;
        Ok(Self(receiver))
    }

    async fn next(&mut self) -> Option<Vec<E>> {
        self.0.recv().await
    }
}

/// Takes what a stream has. Its bound is on how many there are in all.
struct Many<E> {
    sender: mpsc::UnboundedSender<Vec<E>>,
    taken: usize,
}

impl<D, E: Element> StreamConsumer<D> for Many<E> {
    type Item = E;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut store: StoreContextMut<'_, D>,
        mut source: Source<'_, E>,
        _: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let count = source.remaining(&mut store).min(TAKEN_AT_ONCE);
        if count > 0 {
            let some = E::take(&mut source, store, count)?;
            self.taken += some.len();
            // The one who reads is there until the stream has ended.
            let _ = self.sender.send(some);
        }
        let most = if size_of::<E>() <= 1 {
            STREAM_BYTES_MAX
        } else {
            STREAM_ELEMENTS_MAX
        };
        Poll::Ready(Ok(match self.taken >= most {
            true => StreamResult::Dropped,
            false => StreamResult::Completed,
        }))
    }
}

/// Takes the value of a future.
struct One<E>(mpsc::UnboundedSender<E>);

impl<D, E: Element> FutureConsumer<D> for One<E> {
    type Item = E;

    fn poll_consume(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        store: StoreContextMut<D>,
        mut source: Source<'_, E>,
        _: bool,
    ) -> Poll<wasmtime::Result<()>> {
        if let Some(value) = E::take(&mut source, store, 1)?.pop() {
            let _ = self.0.send(value);
        }
        Poll::Ready(Ok(()))
    }
}
