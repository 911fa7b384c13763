//! Elements of streams, and values of futures, whose types are known only when the component is there.
//!
//! The engine hands streams to a host in types that the host knows when it is built, and its traits say how large a value of such a
//! type is in a guest's memory. [`Item`] is one type for all sizes: to the engine it takes no memory at all, so that every address
//! which the engine computes is that of the first element, and where the others are is found here, by the types of the component at
//! hand. Of the engine's types that are no public interface, it uses those that its own derive macros do.
//!
//! Handles in an element are the store's own; what becomes of them is for whoever takes the element.
#![expect(
    unsafe_code,
    reason = "the engine's traits for values are unsafe to implement: sizes must be true"
)]

use std::cell::Cell;
use std::mem::MaybeUninit;

use wasmtime::component::__internal::wasmtime_environ::component::{RecordField, VariantInfo};
use wasmtime::component::__internal::{
    CanonicalAbiInfo, ComponentTypes, InstanceType, InterfaceType, LiftContext, LowerContext,
};
use wasmtime::component::{ComponentType, FutureAny, Lift, Lower, ResourceAny, Source, StreamAny, Val};
use wasmtime::{Result, StoreContextMut, bail, ensure, format_err};

/// An element of a stream, or the value of a future, of any type.
pub(crate) struct Item(pub Val);

/// What the host can take from a stream or a future.
pub(crate) trait Element: Lift + Send + Sync + 'static {
    /// Takes what has been written, at most so many. Once for each time that the engine offers a write: what is left of that, it
    /// offers again.
    fn take<D>(source: &mut Source<'_, Self>, store: StoreContextMut<'_, D>, most: usize) -> Result<Vec<Self>> {
        let mut elements = Vec::with_capacity(most);
        source.read(store, &mut elements)?;
        Ok(elements)
    }
}

impl Element for u8 {}

impl Element for Vec<u8> {}

impl Element for () {
    /// One by one: a vector has room for any number of what takes none, and so takes all there is.
    fn take<D>(source: &mut Source<'_, Self>, mut store: StoreContextMut<'_, D>, most: usize) -> Result<Vec<Self>> {
        let mut elements = Vec::new();
        for _ in 0..most {
            let mut element = None;
            source.read(&mut store, &mut element)?;
            elements.extend(element);
        }
        Ok(elements)
    }
}

thread_local! {
    /// The number of the [`Item`] that is read next, of those that a guest has written at once. It counts while they are taken, and is
    /// nothing otherwise: the engine has no way to hand it through.
    static NEXT: Cell<usize> = const { Cell::new(0) };
}

impl Element for Item {
    fn take<D>(source: &mut Source<'_, Self>, store: StoreContextMut<'_, D>, most: usize) -> Result<Vec<Self>> {
        let mut items = Vec::with_capacity(most);
        NEXT.set(0);
        source.read(store, &mut items)?;
        Ok(items)
    }
}

// SAFETY: what is said to take no memory is never too large for the memory that there is. The engine computes addresses and bounds
// with this size, all of them of slices whose bounds are checked, and nothing here is read or written but through such slices. No
// other type has an `Item` in it, nor is one a parameter or a result.
unsafe impl ComponentType for Item {
    type Lower = <u32 as ComponentType>::Lower;

    const ABI: CanonicalAbiInfo = CanonicalAbiInfo {
        size32: 0,
        align32: 1,
        size64: 0,
        align64: 1,
        flat_count: None,
    };

    /// Any type: each value is checked against it when it is written.
    fn typecheck(_: &InterfaceType, _: &InstanceType<'_>) -> Result<()> {
        Ok(())
    }
}

// SAFETY: reads within memory, with bounds checked.
unsafe impl Lift for Item {
    fn linear_lift_from_flat(_: &mut LiftContext<'_>, _: InterfaceType, _: &Self::Lower) -> Result<Self> {
        bail!("elements are read from memory")
    }

    fn linear_lift_from_memory(cx: &mut LiftContext<'_>, ty: InterfaceType, first: &[u8]) -> Result<Self> {
        let number = NEXT.get();
        NEXT.set(number + 1);
        let memory = cx.memory();
        let abi = cx.types.canonical_abi(&ty);
        let size = abi.size32 as usize;
        // A slice of nothing still says where it is.
        let first = first.as_ptr().addr().checked_sub(memory.as_ptr().addr());
        let first = first.ok_or_else(|| format_err!("an element is not in memory"))?;
        ensure!(first.is_multiple_of(abi.align32 as usize), "write pointer not aligned");
        let at = number.checked_mul(size).and_then(|offset| offset.checked_add(first));
        let bytes = at.and_then(|at| memory.get(at..)?.get(..size));
        let bytes = bytes.ok_or_else(|| format_err!("write pointer out of bounds of memory"))?;
        lift(cx, ty, bytes).map(Self)
    }
}

// SAFETY: writes within memory, with bounds checked.
unsafe impl Lower for Item {
    fn linear_lower_to_flat<T>(
        &self,
        _: &mut LowerContext<'_, T>,
        _: InterfaceType,
        _: &mut MaybeUninit<Self::Lower>,
    ) -> Result<()> {
        bail!("elements are written to memory")
    }

    fn linear_lower_to_memory<T>(&self, cx: &mut LowerContext<'_, T>, ty: InterfaceType, offset: usize) -> Result<()> {
        Self::linear_store_list_to_memory(cx, ty, offset, std::slice::from_ref(self))
    }

    fn linear_store_list_to_memory<T>(
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        offset: usize,
        items: &[Self],
    ) -> Result<()> {
        let abi = cx.types.canonical_abi(&ty);
        let size = abi.size32 as usize;
        ensure!(offset.is_multiple_of(abi.align32 as usize), "read pointer not aligned");
        let end = items
            .len()
            .checked_mul(size)
            .and_then(|bytes| bytes.checked_add(offset));
        let is_inside = end.is_some_and(|end| end <= cx.as_slice_mut().len());
        ensure!(is_inside, "read pointer out of bounds of memory");
        let mut numbered = items.iter().enumerate();
        numbered.try_for_each(|(number, item)| lower(cx, ty, offset + number * size, &item.0))
    }
}

/// Reads a value (Canonical ABI, "Loading").
fn lift(cx: &mut LiftContext<'_>, ty: InterfaceType, bytes: &[u8]) -> Result<Val> {
    let types = cx.types;
    Ok(match ty {
        InterfaceType::Bool => Val::Bool(bool::linear_lift_from_memory(cx, ty, bytes)?),
        InterfaceType::S8 => Val::S8(i8::linear_lift_from_memory(cx, ty, bytes)?),
        InterfaceType::U8 => Val::U8(u8::linear_lift_from_memory(cx, ty, bytes)?),
        InterfaceType::S16 => Val::S16(i16::linear_lift_from_memory(cx, ty, bytes)?),
        InterfaceType::U16 => Val::U16(u16::linear_lift_from_memory(cx, ty, bytes)?),
        InterfaceType::S32 => Val::S32(i32::linear_lift_from_memory(cx, ty, bytes)?),
        InterfaceType::U32 => Val::U32(u32::linear_lift_from_memory(cx, ty, bytes)?),
        InterfaceType::S64 => Val::S64(i64::linear_lift_from_memory(cx, ty, bytes)?),
        InterfaceType::U64 => Val::U64(u64::linear_lift_from_memory(cx, ty, bytes)?),
        InterfaceType::Float32 => Val::Float32(f32::linear_lift_from_memory(cx, ty, bytes)?),
        InterfaceType::Float64 => Val::Float64(f64::linear_lift_from_memory(cx, ty, bytes)?),
        InterfaceType::Char => Val::Char(char::linear_lift_from_memory(cx, ty, bytes)?),
        InterfaceType::String => Val::String(String::linear_lift_from_memory(cx, ty, bytes)?),
        InterfaceType::List(list) => Val::List(lift_list(cx, types[list].element, bytes)?),
        InterfaceType::Record(record) => {
            let mut fields = Fields::new(types);
            let of = |field: &RecordField| {
                let value = lift(cx, field.ty, fields.next(field.ty, bytes)?)?;
                Ok((field.name.clone(), value))
            };
            Val::Record(types[record].fields.iter().map(of).collect::<Result<_>>()?)
        }
        InterfaceType::Tuple(tuple) => {
            let mut fields = Fields::new(types);
            let of = |ty: &InterfaceType| lift(cx, *ty, fields.next(*ty, bytes)?);
            Val::Tuple(types[tuple].types.iter().map(of).collect::<Result<_>>()?)
        }
        InterfaceType::Variant(variant) => {
            let variant = &types[variant];
            let case = discriminant(&variant.info, bytes)?;
            let (name, ty) = variant.cases.get_index(case).ok_or_else(|| no_case(case))?;
            Val::Variant(name.clone(), lift_payload(cx, *ty, &variant.info, bytes)?)
        }
        InterfaceType::Enum(names) => {
            let case = discriminant(&types[names].info, bytes)?;
            let name = types[names].names.iter().nth(case).ok_or_else(|| no_case(case))?;
            Val::Enum(name.clone())
        }
        InterfaceType::Option(option) => {
            let option = &types[option];
            match discriminant(&option.info, bytes)? {
                0 => Val::Option(None),
                1 => Val::Option(lift_payload(cx, Some(option.ty), &option.info, bytes)?),
                case => return Err(no_case(case)),
            }
        }
        InterfaceType::Result(result) => {
            let result = &types[result];
            match discriminant(&result.info, bytes)? {
                0 => Val::Result(Ok(lift_payload(cx, result.ok, &result.info, bytes)?)),
                1 => Val::Result(Err(lift_payload(cx, result.err, &result.info, bytes)?)),
                case => return Err(no_case(case)),
            }
        }
        InterfaceType::Flags(flags) => {
            let names = types[flags].names.iter().enumerate();
            let is_set = |nth: usize| bytes.get(nth / 8).is_some_and(|byte| byte >> (nth % 8) & 1 == 1);
            Val::Flags(
                names
                    .filter(|(nth, _)| is_set(*nth))
                    .map(|(_, name)| name.clone())
                    .collect(),
            )
        }
        InterfaceType::Own(_) => Val::Resource(ResourceAny::linear_lift_from_memory(cx, ty, bytes)?),
        InterfaceType::Stream(_) => Val::Stream(StreamAny::linear_lift_from_memory(cx, ty, bytes)?),
        InterfaceType::Future(_) => Val::Future(FutureAny::linear_lift_from_memory(cx, ty, bytes)?),
        _ => bail!("no element of a stream"),
    })
}

fn lift_list(cx: &mut LiftContext<'_>, element: InterfaceType, bytes: &[u8]) -> Result<Vec<Val>> {
    let (pointer, length) = (number(bytes, 0)?, number(bytes, 4)?);
    let abi = cx.types.canonical_abi(&element);
    let size = abi.size32 as usize;
    ensure!(pointer % abi.align32 as usize == 0, "list pointer is not aligned");
    let memory = cx.memory();
    let content = length
        .checked_mul(size)
        .and_then(|bytes| memory.get(pointer..)?.get(..bytes));
    let content = content.ok_or_else(|| format_err!("list out of bounds of memory"))?;
    cx.consume_fuel_array(length, size_of::<Val>())?;
    let mut values = Vec::with_capacity(length);
    for nth in 0..length {
        values.push(lift(cx, element, &content[nth * size..][..size])?);
    }
    Ok(values)
}

fn lift_payload(
    cx: &mut LiftContext<'_>,
    ty: Option<InterfaceType>,
    info: &VariantInfo,
    bytes: &[u8],
) -> Result<Option<Box<Val>>> {
    let Some(ty) = ty else { return Ok(None) };
    let mut fields = Fields::new(cx.types);
    fields.offset = info.payload_offset32 as usize;
    let payload = fields.next(ty, bytes)?;
    Ok(Some(Box::new(lift(cx, ty, payload)?)))
}

/// Where the parts of a record are.
struct Fields<'a> {
    types: &'a ComponentTypes,
    offset: usize,
}

impl<'a> Fields<'a> {
    fn new(types: &'a ComponentTypes) -> Self {
        Self { types, offset: 0 }
    }

    /// Where the next part begins, and its size.
    fn place(&mut self, ty: InterfaceType) -> (usize, usize) {
        let abi = self.types.canonical_abi(&ty);
        (abi.next_field32_size(&mut self.offset), abi.size32 as usize)
    }

    fn next<'b>(&mut self, ty: InterfaceType, bytes: &'b [u8]) -> Result<&'b [u8]> {
        let (offset, size) = self.place(ty);
        let part = bytes.get(offset..).and_then(|rest| rest.get(..size));
        part.ok_or_else(|| format_err!("a value is shorter than its type"))
    }
}

fn number(bytes: &[u8], offset: usize) -> Result<usize> {
    let bytes = bytes.get(offset..).and_then(|rest| rest.first_chunk::<4>());
    let number = bytes.map(|bytes| u32::from_le_bytes(*bytes) as usize);
    number.ok_or_else(|| format_err!("a value is shorter than its type"))
}

fn discriminant(info: &VariantInfo, bytes: &[u8]) -> Result<usize> {
    let too_short = || format_err!("a value is shorter than its type");
    let size = usize::from(info.size);
    let bytes = bytes.get(..size).ok_or_else(too_short)?;
    Ok(bytes
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | usize::from(*byte)))
}

fn no_case(number: usize) -> wasmtime::Error {
    format_err!("no case has the number {number}")
}

/// Writes a value (Canonical ABI, "Storing").
fn lower<T>(cx: &mut LowerContext<'_, T>, ty: InterfaceType, offset: usize, value: &Val) -> Result<()> {
    let types = cx.types;
    match (ty, value) {
        (InterfaceType::Bool, Val::Bool(value)) => value.linear_lower_to_memory(cx, ty, offset),
        (InterfaceType::S8, Val::S8(value)) => value.linear_lower_to_memory(cx, ty, offset),
        (InterfaceType::U8, Val::U8(value)) => value.linear_lower_to_memory(cx, ty, offset),
        (InterfaceType::S16, Val::S16(value)) => value.linear_lower_to_memory(cx, ty, offset),
        (InterfaceType::U16, Val::U16(value)) => value.linear_lower_to_memory(cx, ty, offset),
        (InterfaceType::S32, Val::S32(value)) => value.linear_lower_to_memory(cx, ty, offset),
        (InterfaceType::U32, Val::U32(value)) => value.linear_lower_to_memory(cx, ty, offset),
        (InterfaceType::S64, Val::S64(value)) => value.linear_lower_to_memory(cx, ty, offset),
        (InterfaceType::U64, Val::U64(value)) => value.linear_lower_to_memory(cx, ty, offset),
        (InterfaceType::Float32, Val::Float32(value)) => value.linear_lower_to_memory(cx, ty, offset),
        (InterfaceType::Float64, Val::Float64(value)) => value.linear_lower_to_memory(cx, ty, offset),
        (InterfaceType::Char, Val::Char(value)) => value.linear_lower_to_memory(cx, ty, offset),
        (InterfaceType::String, Val::String(value)) => value.linear_lower_to_memory(cx, ty, offset),
        (InterfaceType::List(list), Val::List(values)) => lower_list(cx, types[list].element, offset, values),
        (InterfaceType::Record(record), Val::Record(values)) => {
            let mut fields = Fields::new(types);
            let mut parts = types[record].fields.iter().zip(values);
            parts.try_for_each(|(field, (_, value))| lower(cx, field.ty, offset + fields.place(field.ty).0, value))
        }
        (InterfaceType::Tuple(tuple), Val::Tuple(values)) => {
            let mut fields = Fields::new(types);
            let mut parts = types[tuple].types.iter().zip(values);
            parts.try_for_each(|(ty, value)| lower(cx, *ty, offset + fields.place(*ty).0, value))
        }
        (InterfaceType::Variant(variant), Val::Variant(name, payload)) => {
            let variant = &types[variant];
            let (case, _, ty) = variant
                .cases
                .get_full(name)
                .ok_or_else(|| format_err!("no case {name}"))?;
            lower_case(cx, &variant.info, offset, case, *ty, payload.as_deref())
        }
        (InterfaceType::Enum(names), Val::Enum(name)) => {
            let case = types[names]
                .names
                .get_index_of(name)
                .ok_or_else(|| format_err!("no case {name}"))?;
            lower_case(cx, &types[names].info, offset, case, None, None)
        }
        (InterfaceType::Option(option), Val::Option(value)) => {
            let option = &types[option];
            let ty = value.is_some().then_some(option.ty);
            lower_case(
                cx,
                &option.info,
                offset,
                usize::from(value.is_some()),
                ty,
                value.as_deref(),
            )
        }
        (InterfaceType::Result(result), Val::Result(value)) => {
            let result = &types[result];
            let (case, ty, payload) = match value {
                Ok(payload) => (0, result.ok, payload),
                Err(payload) => (1, result.err, payload),
            };
            lower_case(cx, &result.info, offset, case, ty, payload.as_deref())
        }
        (InterfaceType::Flags(flags), Val::Flags(set)) => {
            let mut bytes = vec![0; types.canonical_abi(&ty).size32 as usize];
            for (nth, name) in types[flags].names.iter().enumerate() {
                if set.contains(name) {
                    bytes[nth / 8] |= 1 << (nth % 8);
                }
            }
            put(cx, offset, &bytes)
        }
        (InterfaceType::Own(_), Val::Resource(value)) => value.linear_lower_to_memory(cx, ty, offset),
        (InterfaceType::Stream(_), Val::Stream(value)) => value.linear_lower_to_memory(cx, ty, offset),
        (InterfaceType::Future(_), Val::Future(value)) => value.linear_lower_to_memory(cx, ty, offset),
        _ => bail!("a value of another type"),
    }
}

fn lower_list<T>(cx: &mut LowerContext<'_, T>, element: InterfaceType, offset: usize, values: &[Val]) -> Result<()> {
    let abi = cx.types.canonical_abi(&element);
    let size = abi.size32 as usize;
    let bytes = values
        .len()
        .checked_mul(size)
        .ok_or_else(|| format_err!("a list is too long"))?;
    let pointer = cx.realloc(0, 0, abi.align32, bytes)?;
    for (nth, value) in values.iter().enumerate() {
        lower(cx, element, pointer + nth * size, value)?;
    }
    let word = |number: usize| u32::try_from(number).map(u32::to_le_bytes);
    put(cx, offset, &word(pointer)?)?;
    put(cx, offset + 4, &word(values.len())?)
}

fn lower_case<T>(
    cx: &mut LowerContext<'_, T>,
    info: &VariantInfo,
    offset: usize,
    case: usize,
    ty: Option<InterfaceType>,
    payload: Option<&Val>,
) -> Result<()> {
    let number = u32::try_from(case)?.to_le_bytes();
    put(cx, offset, &number[..usize::from(info.size)])?;
    match (ty, payload) {
        (Some(ty), Some(payload)) => lower(cx, ty, offset + info.payload_offset32 as usize, payload),
        (None, None) => Ok(()),
        _ => bail!("a case with another payload"),
    }
}

fn put<T>(cx: &mut LowerContext<'_, T>, offset: usize, bytes: &[u8]) -> Result<()> {
    let place = cx
        .as_slice_mut()
        .get_mut(offset..)
        .and_then(|rest| rest.get_mut(..bytes.len()));
    place
        .ok_or_else(|| format_err!("out of bounds of memory"))?
        .copy_from_slice(bytes);
    Ok(())
}
