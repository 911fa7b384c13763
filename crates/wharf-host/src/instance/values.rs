//! Calls whose types are known only when the component is there: its functions, values for them, and what comes back.
//!
//! Streams and futures of a result are read to their end, and stand in it as a list and a value. That can be done for elements whose
//! types are known here: numbers, truth values, text, and lists of bytes; others stay what they are.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::mpsc;
use wasmtime::StoreContextMut;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{
    Accessor, FutureAny, FutureConsumer, FutureReader, Lift, Source, StreamAny, StreamConsumer, StreamReader,
    StreamResult, Val,
};

use super::{CallError, Instance};
use crate::component::Component;
use crate::running::Running;
use crate::service::Failure;
use crate::state::InstanceState;

/// Elements that are taken from a stream at once.
const TAKEN_AT_ONCE: usize = 4096;

/// Elements of a stream that are kept. A stream that goes on is ended.
const STREAM_ELEMENTS_MAX: usize = 16 << 20;

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

/// Reads `$any` with the first of the types that it has.
macro_rules! with_type_of {
    ($any:expr, $method:ident, $read:ident, $accessor:expr, $($ty:ty => $val:expr),+ $(,)?) => {
        $(if let Ok(reader) = $any.clone().$method::<$ty>() {
            return $read($accessor, reader, $val).await;
        })+
    };
}

async fn drained_stream(accessor: &Accessor<InstanceState>, stream: StreamAny) -> wasmtime::Result<Val> {
    if let Ok(reader) = stream.clone().try_into_stream_reader::<u8>() {
        let bytes: Vec<u8> = elements(accessor, reader).await?;
        return Ok(text_or_bytes(bytes));
    }
    with_type_of!(stream, try_into_stream_reader, list_of, accessor,
        String => Val::String, bool => Val::Bool, char => Val::Char, i8 => Val::S8, u16 => Val::U16, i16 => Val::S16,
        u32 => Val::U32, i32 => Val::S32, u64 => Val::U64, i64 => Val::S64, f32 => Val::Float32, f64 => Val::Float64,
        Vec<u8> => text_or_bytes, Vec<String> => |texts| Val::List(texts.into_iter().map(Val::String).collect()));
    Ok(Val::Stream(stream))
}

async fn drained_future(accessor: &Accessor<InstanceState>, future: FutureAny) -> wasmtime::Result<Val> {
    with_type_of!(future, try_into_future_reader, value_of, accessor,
        () => |()| Val::Tuple(Vec::new()), Result<(), ()> => |result| Val::Result(result.map(|()| None).map_err(|()| None)),
        String => Val::String, bool => Val::Bool, char => Val::Char, u8 => Val::U8, i8 => Val::S8, u16 => Val::U16,
        i16 => Val::S16, u32 => Val::U32, i32 => Val::S32, u64 => Val::U64, i64 => Val::S64, f32 => Val::Float32,
        f64 => Val::Float64, Vec<u8> => text_or_bytes,
        Result<(), String> => |result| Val::Result(result.map(|()| None).map_err(|error| Some(Box::new(Val::String(error))))));
    Ok(Val::Future(future))
}

/// Bytes are text more often than not, and a list of numbers says little.
fn text_or_bytes(bytes: Vec<u8>) -> Val {
    match String::from_utf8(bytes) {
        Ok(text) => Val::String(text),
        Err(error) => Val::List(error.into_bytes().into_iter().map(Val::U8).collect()),
    }
}

async fn list_of<T: Lift + Send + Sync + 'static>(
    accessor: &Accessor<InstanceState>,
    reader: StreamReader<T>,
    val: impl Fn(T) -> Val,
) -> wasmtime::Result<Val> {
    Ok(Val::List(
        elements(accessor, reader).await?.into_iter().map(val).collect(),
    ))
}

async fn value_of<T: Lift + Send + Sync + 'static>(
    accessor: &Accessor<InstanceState>,
    reader: FutureReader<T>,
    val: impl Fn(T) -> Val,
) -> wasmtime::Result<Val> {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    accessor.with(|mut store| reader.pipe(&mut store, One(sender)))?;
    let value = receiver.recv().await;
    value
        .map(val)
        .ok_or_else(|| wasmtime::Error::msg("a future of the result was dropped without a value"))
}

async fn elements<T: Lift + Send + Sync + 'static>(
    accessor: &Accessor<InstanceState>,
    reader: StreamReader<T>,
) -> wasmtime::Result<Vec<T>> {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    accessor.with(|mut store| reader.pipe(&mut store, Many { sender, taken: 0 }))?;
    let mut elements = Vec::new();
    while let Some(mut some) = receiver.recv().await {
        elements.append(&mut some);
    }
    Ok(elements)
}

/// Takes what a stream has. Its bound is on how many there are in all.
struct Many<T> {
    sender: mpsc::UnboundedSender<Vec<T>>,
    taken: usize,
}

impl<D, T: Lift + Send + Sync + 'static> StreamConsumer<D> for Many<T> {
    type Item = T;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut store: StoreContextMut<'_, D>,
        mut source: Source<'_, T>,
        _: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let count = source.remaining(&mut store).min(TAKEN_AT_ONCE);
        if count > 0 {
            let mut some = Vec::with_capacity(count);
            source.read(&mut store, &mut some)?;
            self.taken += some.len();
            // The one who reads is there until the stream has ended.
            let _ = self.sender.send(some);
        }
        Poll::Ready(Ok(match self.taken >= STREAM_ELEMENTS_MAX {
            true => StreamResult::Dropped,
            false => StreamResult::Completed,
        }))
    }
}

/// Takes the value of a future.
struct One<T>(mpsc::UnboundedSender<T>);

impl<D, T: Lift + Send + Sync + 'static> FutureConsumer<D> for One<T> {
    type Item = T;

    fn poll_consume(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut store: StoreContextMut<D>,
        mut source: Source<'_, T>,
        _: bool,
    ) -> Poll<wasmtime::Result<()>> {
        let mut value = None;
        source.read(&mut store, &mut value)?;
        if let Some(value) = value {
            let _ = self.0.send(value);
        }
        Poll::Ready(Ok(()))
    }
}
