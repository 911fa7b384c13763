//! Whether a component can call another that has an instance of its own, by the types of both alone.
//!
//! Who runs them decides the same once more, by types as an engine has them (`wharf-host`, `linked/types.rs`); here it is found out
//! before anything is compiled, and told in terms of WIT.

use std::collections::BTreeMap;
use std::fmt;

use wit_parser::decoding::{DecodedWasm, decode};
use wit_parser::{
    Enum, Flags, Function, Handle, InterfaceId, Record, Resolve, Type, TypeDefKind, TypeOwner, Variant, WorldId,
    WorldItem, WorldKey,
};

/// Why a function cannot be called where it is exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The function, as WIT names it.
    pub function: String,
    /// The way to what is at fault, from the outside: a parameter or the result, and parts of it.
    pub place: Vec<String>,
    /// What is at fault.
    pub reason: Reason,
}

/// What is at fault with a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It does not cross, wherever the two agree.
    Stays {
        /// What it is, such as `a stream of resources`.
        what: String,
        /// What crosses instead.
        instead: &'static str,
    },
    /// The two do not agree: how.
    Differs(String),
}

impl Fault {
    fn new(reason: Reason) -> Self {
        let (function, place) = (String::new(), Vec::new());
        Self {
            function,
            place,
            reason,
        }
    }

    fn stays(what: impl Into<String>, instead: &'static str) -> Self {
        let what = what.into();
        Self::new(Reason::Stays { what, instead })
    }

    fn differs(how: impl Into<String>) -> Self {
        Self::new(Reason::Differs(how.into()))
    }

    fn within(mut self, part: impl Into<String>) -> Self {
        self.place.insert(0, part.into());
        self
    }
}

/// Where, and what; the function is told by whoever shows it.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place.join(", "))?;
        }
        match &self.reason {
            Reason::Stays { what, .. } => write!(f, "{what} does not cross"),
            Reason::Differs(how) => f.write_str(how),
        }
    }
}

/// A component's types.
struct Side {
    resolve: Resolve,
    world: WorldId,
}

impl Side {
    fn read(bytes: &[u8]) -> Option<Self> {
        match decode(bytes) {
            Ok(DecodedWasm::Component(resolve, world)) => Some(Self { resolve, world }),
            _ => None,
        }
    }

    fn import(&self, name: &str) -> Option<InterfaceId> {
        self.interface(&self.resolve.worlds[self.world].imports, name)
    }

    fn export(&self, name: &str) -> Option<InterfaceId> {
        self.interface(&self.resolve.worlds[self.world].exports, name)
    }

    fn interface<'a>(
        &self,
        items: impl IntoIterator<Item = (&'a WorldKey, &'a WorldItem)>,
        name: &str,
    ) -> Option<InterfaceId> {
        items.into_iter().find_map(|(key, item)| match item {
            WorldItem::Interface { id, .. } if self.resolve.name_world_key(key) == name => Some(*id),
            _ => None,
        })
    }

    fn functions(&self, interface: InterfaceId) -> impl Iterator<Item = &Function> {
        self.resolve.interfaces[interface].functions.values()
    }

    /// The type itself, where it is one by another name.
    fn meant(&self, mut ty: Type) -> Type {
        while let Type::Id(id) = ty
            && let TypeDefKind::Type(other) = &self.resolve.types[id].kind
        {
            ty = *other;
        }
        ty
    }

    fn kind(&self, ty: Type) -> Option<&TypeDefKind> {
        match self.meant(ty) {
            Type::Id(id) => Some(&self.resolve.types[id].kind),
            _ => None,
        }
    }
}

/// Whether all functions can be called that `caller` imports under the names of `met`, where `linked` exports them under the names
/// beside, as it does what `caller` imports under the names of `besides`. Of what cannot be read, nothing is said: who reads it for
/// its own sake does.
///
/// # Errors
/// The first that cannot, and the name of its import.
pub(super) fn check(
    caller: &[u8],
    linked: &[u8],
    met: &BTreeMap<String, String>,
    besides: &[String],
) -> Result<(), (String, Fault)> {
    match (Side::read(caller), Side::read(linked)) {
        (Some(caller), Some(linked)) => check_sides(&caller, &linked, met, besides),
        _ => Ok(()),
    }
}

fn check_sides(
    caller: &Side,
    linked: &Side,
    met: &BTreeMap<String, String>,
    besides: &[String],
) -> Result<(), (String, Fault)> {
    let own = met.keys().chain(besides).filter_map(|import| caller.import(import));
    let own: Vec<_> = own.collect();
    let pair = Pair {
        caller,
        linked,
        own: &own,
    };
    for (import, export) in met {
        let (Some(imported), Some(exported)) = (caller.import(import), linked.export(export)) else {
            continue;
        };
        for function in caller.functions(imported) {
            let other = linked.functions(exported).find(|other| other.name == function.name);
            let checked = match other {
                Some(other) => pair.function(function, other),
                None => Err(Fault::differs("it is not exported")),
            };
            checked.map_err(|fault| {
                // Of a method, `[method]resource.name`.
                let function = function.name.split_once(']').map_or(&*function.name, |(_, name)| name);
                let function = function.to_owned();
                (import.clone(), Fault { function, ..fault })
            })?;
        }
    }
    Ok(())
}

/// A caller and whom it calls.
struct Pair<'a> {
    caller: &'a Side,
    linked: &'a Side,
    /// The caller's imports that the other meets.
    own: &'a [InterfaceId],
}

impl Pair<'_> {
    fn function(&self, import: &Function, export: &Function) -> Result<(), Fault> {
        let is_async = |function: &Function| if function.kind.is_async() { "async" } else { "not async" };
        let (ours, theirs) = (is_async(import), is_async(export));
        if ours != theirs {
            return Err(Fault::differs(format!(
                "it is {ours} where it is imported, and {theirs} where it is exported"
            )));
        }
        if import.params.len() != export.params.len() || import.result.is_some() != export.result.is_some() {
            return Err(Fault::differs(
                "it has another number of parameters or results where it is exported",
            ));
        }
        for (ours, theirs) in import.params.iter().zip(&export.params) {
            let within = |fault: Fault| fault.within(format!("parameter `{}`", ours.name));
            self.ty(ours.ty, theirs.ty).map_err(within)?;
        }
        self.maybe(import.result, export.result)
            .map_err(|fault| fault.within("the result"))
    }

    fn maybe(&self, import: Option<Type>, export: Option<Type>) -> Result<(), Fault> {
        match (import, export) {
            (Some(import), Some(export)) => self.ty(import, export),
            (None, None) => Ok(()),
            _ => Err(Fault::differs("it carries something on one side alone")),
        }
    }

    fn ty(&self, import: Type, export: Type) -> Result<(), Fault> {
        use TypeDefKind as Kind;
        let (Some(ours), Some(theirs)) = (self.caller.kind(import), self.linked.kind(export)) else {
            return self.simple(import, export);
        };
        match (ours, theirs) {
            (Kind::Handle(ours), Kind::Handle(theirs)) => self.handle(*ours, *theirs),
            (Kind::List(ours), Kind::List(theirs)) | (Kind::Option(ours), Kind::Option(theirs)) => {
                self.ty(*ours, *theirs)
            }
            (Kind::FixedLengthList(ours, length), Kind::FixedLengthList(theirs, other)) if length == other => {
                self.ty(*ours, *theirs)
            }
            (Kind::Map(key, value), Kind::Map(other_key, other_value)) => {
                self.ty(*key, *other_key)?;
                self.ty(*value, *other_value)
            }
            (Kind::Tuple(ours), Kind::Tuple(theirs)) if ours.types.len() == theirs.types.len() => {
                let mut parts = ours.types.iter().zip(&theirs.types);
                parts.try_for_each(|(ours, theirs)| self.ty(*ours, *theirs))
            }
            (Kind::Record(ours), Kind::Record(theirs)) => self.record(ours, theirs),
            (Kind::Variant(ours), Kind::Variant(theirs)) => self.variant(ours, theirs),
            (Kind::Result(ours), Kind::Result(theirs)) => {
                self.maybe(ours.ok, theirs.ok)?;
                self.maybe(ours.err, theirs.err)
            }
            (Kind::Enum(ours), Kind::Enum(theirs)) => {
                let names = |names: &Enum| names.cases.iter().map(|case| case.name.clone()).collect::<Vec<_>>();
                same_names("enumerations", &names(ours), &names(theirs))
            }
            (Kind::Flags(ours), Kind::Flags(theirs)) => {
                let names = |names: &Flags| names.flags.iter().map(|flag| flag.name.clone()).collect::<Vec<_>>();
                same_names("flags", &names(ours), &names(theirs))
            }
            (Kind::Stream(ours), Kind::Stream(theirs)) => self.element("stream", *ours, *theirs),
            (Kind::Future(ours), Kind::Future(theirs)) => self.element("future", *ours, *theirs),
            _ => Err(unlike()),
        }
    }

    /// Types without a declaration, of which at least one side has one.
    fn simple(&self, import: Type, export: Type) -> Result<(), Fault> {
        match (self.caller.meant(import), self.linked.meant(export)) {
            (Type::ErrorContext, Type::ErrorContext) => Err(Fault::stays("an error context", "a `string`")),
            (ours, theirs) if ours == theirs => Ok(()),
            _ => Err(unlike()),
        }
    }

    fn record(&self, ours: &Record, theirs: &Record) -> Result<(), Fault> {
        let names = |record: &Record| record.fields.iter().map(|field| field.name.clone()).collect::<Vec<_>>();
        same_names("records", &names(ours), &names(theirs))?;
        let mut fields = ours.fields.iter().zip(&theirs.fields);
        fields.try_for_each(|(ours, theirs)| {
            let within = |fault: Fault| fault.within(format!("field `{}`", ours.name));
            self.ty(ours.ty, theirs.ty).map_err(within)
        })
    }

    fn variant(&self, ours: &Variant, theirs: &Variant) -> Result<(), Fault> {
        let names = |variant: &Variant| variant.cases.iter().map(|case| case.name.clone()).collect::<Vec<_>>();
        same_names("variants", &names(ours), &names(theirs))?;
        let mut cases = ours.cases.iter().zip(&theirs.cases);
        cases.try_for_each(|(ours, theirs)| {
            let within = |fault: Fault| fault.within(format!("case `{}`", ours.name));
            self.maybe(ours.ty, theirs.ty).map_err(within)
        })
    }

    /// The linked component's own resources stay with it, and their handles cross.
    fn handle(&self, ours: Handle, theirs: Handle) -> Result<(), Fault> {
        let resource = match (ours, theirs) {
            (Handle::Own(resource), Handle::Own(_)) | (Handle::Borrow(resource), Handle::Borrow(_)) => resource,
            _ => return Err(unlike()),
        };
        let Type::Id(resource) = self.caller.meant(Type::Id(resource)) else {
            return Err(unlike());
        };
        let resolve = &self.caller.resolve;
        let resource = &resolve.types[resource];
        match resource.owner {
            TypeOwner::Interface(owner) if self.own.contains(&owner) => Ok(()),
            owner => {
                let of = match owner {
                    TypeOwner::Interface(owner) => resolve.id_of(owner),
                    TypeOwner::World(_) | TypeOwner::None => None,
                };
                let name = resource.name.as_deref().unwrap_or("of no name");
                let of = of.map(|of| format!(" of {of}")).unwrap_or_default();
                Err(Fault::stays(
                    format!("the resource `{name}`{of}, which belongs to neither of the two"),
                    "what is in it: a text, a list, a stream of bytes",
                ))
            }
        }
    }

    /// What comes through a stream or a future.
    fn element(&self, through: &str, import: Option<Type>, export: Option<Type>) -> Result<(), Fault> {
        let (ours, theirs) = match (import, export) {
            (Some(ours), Some(theirs)) => (ours, theirs),
            (ours, theirs) => return self.maybe(ours, theirs),
        };
        if let Some((what, instead)) = self.caller.stays(ours) {
            return Err(Fault::stays(format!("a {through} of {what}"), instead));
        }
        self.ty(ours, theirs)
    }
}

impl Side {
    /// What in a type cannot be in an element, and what can instead.
    fn stays(&self, ty: Type) -> Option<(&'static str, &'static str)> {
        use TypeDefKind as Kind;
        let maybe = |ty: &Option<Type>| ty.and_then(|ty| self.stays(ty));
        match self.kind(ty)? {
            Kind::Map(..) => Some(("maps", "a `list` of tuples in place of the map")),
            Kind::FixedLengthList(..) => Some(("lists of fixed length", "a `list` without a length")),
            Kind::List(ty) | Kind::Option(ty) => self.stays(*ty),
            Kind::Tuple(tuple) => tuple.types.iter().find_map(|ty| self.stays(*ty)),
            Kind::Record(record) => record.fields.iter().find_map(|field| self.stays(field.ty)),
            Kind::Variant(variant) => variant.cases.iter().find_map(|case| maybe(&case.ty)),
            Kind::Result(result) => maybe(&result.ok).or_else(|| maybe(&result.err)),
            Kind::Handle(_)
            | Kind::Stream(_)
            | Kind::Future(_)
            | Kind::Enum(_)
            | Kind::Flags(_)
            | Kind::Resource
            | Kind::Type(_)
            | Kind::Unknown => None,
        }
    }
}

fn unlike() -> Fault {
    Fault::differs("it is of different types on the two sides")
}

fn same_names(what: &str, ours: &[String], theirs: &[String]) -> Result<(), Fault> {
    match ours == theirs {
        true => Ok(()),
        false => {
            let (ours, theirs) = (ours.join(", "), theirs.join(", "));
            Err(Fault::differs(format!(
                "{what} of {ours} where it is imported, and of {theirs} where it is exported"
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARED: &str = "
        interface others { resource request { text: func() -> string; } }
        interface pools { resource pool { constructor(); } }";

    /// A component that imports, or exports, an interface of functions and types.
    fn side(how: &str, interface: &str) -> Side {
        let text = format!(
            "package a:b;{SHARED}
             interface all {{ use others.{{request}}; use pools.{{pool}}; {interface} }}
             world w {{ {how} pools; {how} all; }}"
        );
        let mut resolve = Resolve::new();
        let package = resolve
            .push_str("a.wit", &text)
            .unwrap_or_else(|error| panic!("{interface}: {error:#}"));
        let world = resolve.select_world(&[package], Some("w")).unwrap();
        Side { resolve, world }
    }

    fn checked(import: &str, export: &str) -> Result<(), (String, Fault)> {
        let met = BTreeMap::from([("a:b/all".to_owned(), "a:b/all".to_owned())]);
        let (caller, linked) = (side("import", import), side("export", export));
        check_sides(&caller, &linked, &met, &["a:b/pools".to_owned()])
    }

    #[test]
    fn what_crosses_is_let_through() {
        for interface in [
            "f: func(a: string, b: list<u8>) -> result<option<tuple<f32, char>>, string>;",
            "f: async func(a: stream, b: future) -> stream<u8>;",
            "record row { name: string, tags: list<string> } f: func() -> tuple<stream<row>, future<result<row, string>>>;",
            "resource cursor { constructor(at: u32); next: async func() -> u32; merge: static func(a: cursor, b: borrow<cursor>); }",
            "f: func(of: borrow<pool>) -> list<pool>;",
            "f: func() -> stream<tuple<u32, string, string, string, string, string, string>>;",
            "f: func() -> stream<tuple<u8, u8, u8, u8, u8, u8, u8, u8, u8>>;",
            "f: func() -> stream<pool>;",
            "f: func(a: future<stream<u8>>, b: stream<future<list<pool>>>);",
            "record row { name: string, more: future<string>, of: option<pool> } f: func() -> list<tuple<u8, stream<row>>>;",
            "resource cursor { rest: func() -> stream<cursor>; }",
        ] {
            assert_eq!(checked(interface, interface), Ok(()), "{interface}");
        }
    }

    #[test]
    fn what_stays_is_named() {
        for (interface, expected) in [
            (
                "f: func() -> stream<list<u8, 4>>;",
                "a stream of lists of fixed length does not cross",
            ),
            (
                "f: func(a: stream<tuple<u8, future<option<request>>>>);",
                "parameter `a`: the resource `request` of a:b/others, which belongs to neither of the two",
            ),
            (
                "record asked { by: request } f: func(a: option<asked>);",
                "parameter `a`, field `by`: the resource `request` of a:b/others, which belongs to neither of the two",
            ),
            (
                "f: func() -> error-context;",
                "the result: an error context does not cross",
            ),
        ] {
            let (import, fault) = checked(interface, interface).unwrap_err();
            assert_eq!((&*import, &*fault.function), ("a:b/all", "f"), "{interface}");
            assert!(matches!(fault.reason, Reason::Stays { .. }), "{interface}: {fault}");
            assert!(fault.to_string().contains(expected), "{interface}: {fault}");
        }
        let (_, fault) = checked(
            "resource cursor { rest: func() -> stream<list<u8, 4>>; }",
            "resource cursor { rest: func() -> stream<list<u8, 4>>; }",
        )
        .unwrap_err();
        assert_eq!(fault.function, "cursor.rest");
    }

    #[test]
    fn what_differs_is_told_from_what_stays() {
        for (import, export, expected) in [
            ("f: func();", "f: async func();", "not async where it is imported"),
            ("f: func();", "g: func();", "it is not exported"),
            ("f: func(a: u8);", "f: func();", "another number of parameters"),
            (
                "f: func(a: u8);",
                "f: func(a: s8);",
                "parameter `a`: it is of different types",
            ),
            (
                "f: func() -> list<u8>;",
                "f: func() -> string;",
                "the result: it is of different types",
            ),
            (
                "record r { a: u8 } f: func(r: r);",
                "record r { b: u8 } f: func(r: r);",
                "records of a where it is imported, and of b where it is exported",
            ),
            (
                "f: func() -> stream<u8>;",
                "f: func() -> stream<u16>;",
                "different types",
            ),
            (
                "f: func() -> stream;",
                "f: func() -> stream<u8>;",
                "carries something on one side alone",
            ),
        ] {
            let (_, fault) = checked(import, export).unwrap_err();
            assert!(matches!(fault.reason, Reason::Differs(_)), "{import}: {fault}");
            assert!(fault.to_string().contains(expected), "{import}: {fault}");
        }
    }
}
