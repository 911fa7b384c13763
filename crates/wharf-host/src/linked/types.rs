//! What crosses between a caller and a linked component, decided once, when the caller is linked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use wasmtime::component::types::{ComponentFunc, ComponentItem, Type};
use wasmtime::component::{ResourceType, Val};
use wasmtime::{bail, ensure};

use super::fault::OnFault;

/// The resources of the interfaces that a caller imports from one linked component.
#[derive(Default)]
pub(super) struct Resources(Vec<(ResourceType, u32)>);

impl Resources {
    /// Gives each resource among `items` a number of its own, unless it has one: interfaces name each other's resources.
    pub fn number(&mut self, items: &[(String, ComponentItem)]) {
        // No store knows two resources by one number, whichever components they belong to.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        for (_, item) in items {
            if let ComponentItem::Resource(ty) = item
                && self.of(*ty).is_err()
            {
                self.0.push((*ty, NEXT.fetch_add(1, Ordering::Relaxed)));
            }
        }
    }

    /// The number of one.
    pub fn of(&self, ty: ResourceType) -> wasmtime::Result<u32> {
        let known = self.0.iter().find(|(known, _)| *known == ty);
        known.map(|(_, number)| *number).ok_or_else(|| {
            wasmtime::format_err!(
                "a resource of another interface: only those that the linked component itself defines can be passed to it"
            )
        })
    }
}

/// How one function is called.
pub(super) struct Plan {
    /// Where it is among the component's exports.
    pub place: usize,
    params: Vec<Passing>,
    result: Option<Passing>,
    on_fault: OnFault,
}

impl Plan {
    /// A call of `export` through an import of the type `import`.
    ///
    /// # Errors
    /// When they differ, or something is passed that cannot cross.
    pub fn new(
        import: &ComponentFunc,
        export: &ComponentFunc,
        place: usize,
        resources: &Resources,
    ) -> wasmtime::Result<Self> {
        let is_async = |ty: &ComponentFunc| if ty.async_() { "async" } else { "not async" };
        ensure!(
            import.async_() == export.async_(),
            "is {} where it is imported, and {} where it is exported",
            is_async(import),
            is_async(export)
        );
        ensure!(
            import.params().len() == export.params().len() && import.results().len() == export.results().len(),
            "has another number of parameters or results where it is exported"
        );
        let mut params = Vec::new();
        for ((name, import), (_, export)) in import.params().zip(export.params()) {
            let place = |error: wasmtime::Error| error.context(format!("parameter `{name}`"));
            params.push(Passing::new(&import, &export, resources).map_err(place)?);
        }
        let mut result = None;
        for (import, export) in import.results().zip(export.results()) {
            let place = |error: wasmtime::Error| error.context("result");
            result = Some(Passing::new(&import, &export, resources).map_err(place)?);
        }
        Ok(Self {
            place,
            params,
            on_fault: OnFault::new(import.results().next().as_ref()),
            result,
        })
    }

    pub fn params(&self) -> &[Passing] {
        &self.params
    }

    pub fn result(&self) -> Option<&Passing> {
        self.result.as_ref()
    }

    pub fn on_fault(&self) -> &OnFault {
        &self.on_fault
    }
}

/// How values of one type cross.
pub(super) struct Passing {
    /// What is to be done where handles are; `None` where there can be none, and values cross as they are.
    pub handles: Option<Shape>,
}

/// Where in a value the handles are.
#[derive(Debug)]
pub(super) enum Shape {
    /// No handle is in it.
    Plain,
    /// A resource that changes hands.
    Own(u32),
    /// A resource that is lent for the call.
    Borrow,
    /// A stream.
    Stream(Payload),
    /// A future, and what it says when nothing will come.
    Future(Payload, OnFault),
    /// A list, of fixed length or not.
    Elements(Box<Shape>),
    /// Keys have no handles.
    Values(Box<Shape>),
    /// A record's or a tuple's parts, in order.
    Parts(Vec<Shape>),
    /// A variant's cases that carry something.
    Cases(Vec<(String, Shape)>),
    /// What an option holds.
    Some(Box<Shape>),
    /// What a result holds.
    Result(Box<Shape>, Box<Shape>),
}

/// What comes through a stream or a future.
#[derive(Debug)]
pub(super) enum Payload {
    /// Nothing that has a value.
    Nothing,
    /// Bytes. The host itself makes streams of them, such as a body, and knows them by no other type.
    Byte,
    /// Values, and where in them the handles are.
    Value(Arc<Shape>),
}

impl Passing {
    fn new(import: &Type, export: &Type, resources: &Resources) -> wasmtime::Result<Self> {
        let shape = Shape::new(import, export, resources)?;
        Ok(Self {
            handles: (!shape.is_plain()).then_some(shape),
        })
    }
}

impl Shape {
    /// The shape of a type that both sides mean the same by.
    fn new(import: &Type, export: &Type, resources: &Resources) -> wasmtime::Result<Self> {
        let of = |import: &Type, export: &Type| Self::new(import, export, resources);
        let boxed = |import: &Type, export: &Type| of(import, export).map(Box::new);
        let shape = match (import, export) {
            (Type::Own(resource), Type::Own(_)) => Self::Own(resources.of(*resource)?),
            (Type::Borrow(resource), Type::Borrow(_)) => resources.of(*resource).map(|_| Self::Borrow)?,
            (Type::List(import), Type::List(export)) => Self::Elements(boxed(&import.ty(), &export.ty())?),
            (Type::FixedLengthList(import), Type::FixedLengthList(export)) => {
                ensure!(import.len() == export.len(), "lists of different lengths");
                Self::Elements(boxed(&import.ty(), &export.ty())?)
            }
            (Type::Map(import), Type::Map(export)) => {
                of(&import.key(), &export.key())?;
                Self::Values(boxed(&import.value(), &export.value())?)
            }
            (Type::Option(import), Type::Option(export)) => Self::Some(boxed(&import.ty(), &export.ty())?),
            (Type::Tuple(import), Type::Tuple(export)) => {
                ensure!(
                    import.types().len() == export.types().len(),
                    "tuples of different lengths"
                );
                let parts = import.types().zip(export.types());
                Self::Parts(
                    parts
                        .map(|(import, export)| of(&import, &export))
                        .collect::<Result<_, _>>()?,
                )
            }
            (Type::Record(import), Type::Record(export)) => {
                let names = |fields: Vec<&str>| fields.join(", ");
                let theirs = export.fields().map(|field| field.name).collect::<Vec<_>>();
                let ours = import.fields().map(|field| field.name).collect::<Vec<_>>();
                ensure!(ours == theirs, "records of {} and of {}", names(ours), names(theirs));
                let parts = import.fields().zip(export.fields());
                let part = |(import, export): (
                    wasmtime::component::types::Field<'_>,
                    wasmtime::component::types::Field<'_>,
                )| {
                    of(&import.ty, &export.ty).map_err(|error| error.context(format!("field `{}`", import.name)))
                };
                Self::Parts(parts.map(part).collect::<Result<_, _>>()?)
            }
            (Type::Variant(import), Type::Variant(export)) => {
                let mut cases = Vec::new();
                ensure!(
                    import.cases().len() == export.cases().len(),
                    "variants of different cases"
                );
                for (import, export) in import.cases().zip(export.cases()) {
                    ensure!(import.name == export.name, "variants of different cases");
                    match (&import.ty, &export.ty) {
                        (Some(ours), Some(theirs)) => cases.push((import.name.to_owned(), of(ours, theirs)?)),
                        (None, None) => {}
                        _ => bail!("case `{}` carries something on one side alone", import.name),
                    }
                }
                Self::Cases(cases)
            }
            (Type::Result(import), Type::Result(export)) => {
                let side = |import: Option<Type>, export: Option<Type>| match (import, export) {
                    (Some(import), Some(export)) => boxed(&import, &export),
                    (None, None) => Ok(Box::new(Self::Plain)),
                    _ => bail!("results that carry something on one side alone"),
                };
                Self::Result(side(import.ok(), export.ok())?, side(import.err(), export.err())?)
            }
            (Type::Enum(import), Type::Enum(export)) => {
                ensure!(import.names().eq(export.names()), "enumerations of different names");
                Self::Plain
            }
            (Type::Flags(import), Type::Flags(export)) => {
                ensure!(import.names().eq(export.names()), "flags of different names");
                Self::Plain
            }
            (Type::Stream(import), Type::Stream(export)) => {
                Self::Stream(Payload::new(import.ty(), export.ty(), resources)?)
            }
            (Type::Future(import), Type::Future(export)) => {
                let payload = Payload::new(import.ty(), export.ty(), resources)?;
                Self::Future(payload, OnFault::new(import.ty().as_ref()))
            }
            (Type::ErrorContext, Type::ErrorContext) => bail!("an error context does not cross to a linked component"),
            // What is left has no parts.
            (import, export) => {
                let same = std::mem::discriminant(import) == std::mem::discriminant(export);
                ensure!(same, "of different types on the two sides");
                Self::Plain
            }
        };
        Ok(shape.reduced())
    }

    /// Without the parts that need no look.
    fn reduced(self) -> Self {
        match self {
            Self::Elements(inner) | Self::Values(inner) | Self::Some(inner) if inner.is_plain() => Self::Plain,
            Self::Parts(parts) if parts.iter().all(Self::is_plain) => Self::Plain,
            Self::Cases(cases) if cases.iter().all(|(_, shape)| shape.is_plain()) => Self::Plain,
            Self::Result(ok, err) if ok.is_plain() && err.is_plain() => Self::Plain,
            other => other,
        }
    }

    fn is_plain(&self) -> bool {
        matches!(self, Self::Plain)
    }

    /// Visits the handles in `value`, which is of this shape.
    pub fn visit(
        &self,
        value: &mut Val,
        visitor: &mut impl FnMut(&Shape, &mut Val) -> wasmtime::Result<()>,
    ) -> wasmtime::Result<()> {
        match (self, value) {
            (Self::Plain, _) => Ok(()),
            (handle @ (Self::Own(_) | Self::Borrow | Self::Stream(_) | Self::Future(..)), value) => {
                visitor(handle, value)
            }
            (Self::Elements(shape), Val::List(values) | Val::FixedLengthList(values)) => {
                values.iter_mut().try_for_each(|value| shape.visit(value, visitor))
            }
            (Self::Values(shape), Val::Map(entries)) => entries
                .iter_mut()
                .try_for_each(|(_, value)| shape.visit(value, visitor)),
            (Self::Parts(shapes), Val::Tuple(values)) => {
                let mut parts = shapes.iter().zip(values);
                parts.try_for_each(|(shape, value)| shape.visit(value, visitor))
            }
            (Self::Parts(shapes), Val::Record(fields)) => {
                let mut parts = shapes.iter().zip(fields);
                parts.try_for_each(|(shape, (_, value))| shape.visit(value, visitor))
            }
            (Self::Cases(cases), Val::Variant(name, Some(value))) => {
                match cases.iter().find(|(case, _)| case == name) {
                    Some((_, shape)) => shape.visit(value, visitor),
                    None => Ok(()),
                }
            }
            (Self::Some(shape), Val::Option(Some(value)))
            | (Self::Result(shape, _), Val::Result(Ok(Some(value))))
            | (Self::Result(_, shape), Val::Result(Err(Some(value)))) => shape.visit(value, visitor),
            // A case, an option or a side without a value.
            _ => Ok(()),
        }
    }
}

impl Payload {
    /// Of elements that both sides mean the same by.
    fn new(import: Option<Type>, export: Option<Type>, resources: &Resources) -> wasmtime::Result<Self> {
        let (import, export) = match (import, export) {
            (Some(import), Some(export)) => (import, export),
            (None, None) => return Ok(Self::Nothing),
            _ => bail!("a stream or a future that carries something on one side alone"),
        };
        let shape = Shape::new(&import, &export, resources)?;
        ensure!(
            has_known_parts(&import),
            "a stream or a future of maps or lists of fixed length does not cross to a linked component"
        );
        match import {
            Type::U8 => Ok(Self::Byte),
            _ => Ok(Self::Value(Arc::new(shape))),
        }
    }
}

/// Whether a type is made of those alone that elements can have.
fn has_known_parts(ty: &Type) -> bool {
    let is_known = |ty: Option<Type>| ty.is_none_or(|ty| has_known_parts(&ty));
    match ty {
        Type::Map(_) | Type::FixedLengthList(_) => false,
        Type::List(list) => has_known_parts(&list.ty()),
        Type::Record(record) => record.fields().all(|field| has_known_parts(&field.ty)),
        Type::Tuple(tuple) => tuple.types().all(|ty| has_known_parts(&ty)),
        Type::Variant(variant) => variant.cases().all(|case| is_known(case.ty)),
        Type::Option(option) => has_known_parts(&option.ty()),
        Type::Result(result) => is_known(result.ok()) && is_known(result.err()),
        _ => true,
    }
}
