//! The functions and types of a component's interfaces, as WIT has them.

use std::collections::HashMap;

use serde::Serialize;
use wit_component::{OutputToString, WitPrinter};
use wit_parser::decoding::{DecodedWasm, decode};
use wit_parser::{Function, FunctionKind, InterfaceId, Resolve, Type, TypeOwner, WorldId, WorldItem, WorldKey};

/// A function or a type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// Its name; of a method, `resource.method`.
    pub name: String,
    /// What it is: `async func(key: string) -> option<string>`, or a type's whole declaration.
    #[serde(rename = "type")]
    pub text: String,
    /// Whether it can be called.
    #[serde(rename = "function")]
    pub is_function: bool,
}

/// All interfaces of a component, read once.
pub struct Interfaces {
    resolve: Resolve,
    world: WorldId,
}

impl Interfaces {
    /// Reads a component's types. `Err` says why they cannot be had.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        match decode(bytes) {
            Ok(DecodedWasm::Component(resolve, world)) => Ok(Self { resolve, world }),
            Ok(DecodedWasm::WitPackage(..)) => Err("it is a WIT package".to_owned()),
            Err(error) => Err(format!("{error:#}")),
        }
    }

    /// What is imported under a name, or nothing.
    pub fn import(&self, name: &str) -> Vec<Item> {
        self.items(&self.resolve.worlds[self.world].imports, name)
    }

    /// What is exported under a name, or nothing.
    pub fn export(&self, name: &str) -> Vec<Item> {
        self.items(&self.resolve.worlds[self.world].exports, name)
    }

    fn items<'a>(&self, items: impl IntoIterator<Item = (&'a WorldKey, &'a WorldItem)>, name: &str) -> Vec<Item> {
        let mut items = items.into_iter();
        let found = items.find(|(key, _)| self.resolve.name_world_key(key) == name);
        match found {
            Some((_, WorldItem::Interface { id, .. })) => self.interface(*id),
            Some((_, WorldItem::Function(function))) => vec![self.function(function)],
            Some((_, WorldItem::Type { .. })) | None => Vec::new(),
        }
    }

    fn interface(&self, id: InterfaceId) -> Vec<Item> {
        let interface = &self.resolve.interfaces[id];
        let types = interface.types.iter().map(|(name, ty)| {
            let mut printer = printer();
            let one = std::iter::once((name.as_str(), *ty));
            let _ = printer.print_types(&self.resolve, TypeOwner::Interface(id), one, &HashMap::new());
            Item {
                name: name.clone(),
                text: printer.output.to_string().trim().to_owned(),
                is_function: false,
            }
        });
        let functions = interface.functions.values().map(|function| self.function(function));
        types.chain(functions).collect()
    }

    fn function(&self, function: &Function) -> Item {
        let resource = function.kind.resource();
        let resource = resource.and_then(|resource| self.resolve.types[resource].name.as_deref());
        let name = match resource {
            Some(resource) => format!("{resource}.{}", function.item_name()),
            None => function.name.clone(),
        };
        Item {
            name,
            text: self.signature(function),
            is_function: true,
        }
    }

    fn signature(&self, function: &Function) -> String {
        use FunctionKind::{AsyncFreestanding, AsyncMethod, AsyncStatic, Constructor, Method, Static};
        let kind = &function.kind;
        let asynchronous = matches!(kind, AsyncFreestanding | AsyncMethod(_) | AsyncStatic(_));
        let before = match kind {
            Static(_) | AsyncStatic(_) => "static ",
            _ => "",
        };
        let word = match kind {
            Constructor(_) => "constructor",
            _ if asynchronous => "async func",
            _ => "func",
        };
        // A method's first parameter is what it is called on.
        let skipped = usize::from(matches!(kind, Method(_) | AsyncMethod(_)));
        let params = function.params.iter().skip(skipped);
        let params: Vec<_> = params
            .map(|param| format!("{}: {}", param.name, self.type_name(&param.ty)))
            .collect();
        let result = match &function.result {
            Some(ty) if !matches!(kind, Constructor(_)) => format!(" -> {}", self.type_name(ty)),
            _ => String::new(),
        };
        format!("{before}{word}({}){result}", params.join(", "))
    }

    fn type_name(&self, ty: &Type) -> String {
        let mut printer = printer();
        let _ = printer.print_type_name(&self.resolve, ty);
        printer.output.to_string()
    }

    /// The component's world as WIT: its own package, and those it refers to.
    pub fn into_wit(self) -> String {
        let Some(own) = self.resolve.worlds[self.world].package else {
            return String::new();
        };
        wit(&self.resolve, own)
    }
}

/// A WIT package in binary form, as text.
pub fn of_package(bytes: &[u8]) -> Option<String> {
    let decoded = decode(bytes).ok()?;
    Some(wit(decoded.resolve(), decoded.package()))
}

fn wit(resolve: &Resolve, own: wit_parser::PackageId) -> String {
    let others: Vec<_> = resolve
        .packages
        .iter()
        .map(|(id, _)| id)
        .filter(|id| *id != own)
        .collect();
    let mut printer = WitPrinter::default();
    // It prints what it has been given whole, or a part of it where a type has no name to be called by.
    let _ = printer.print(resolve, own, &others);
    printer.output.to_string()
}

fn printer() -> WitPrinter<OutputToString> {
    let mut printer = WitPrinter::default();
    printer.emit_docs(false);
    printer
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A component of the world `w` that `wit` declares.
    fn component(wit: &str) -> Vec<u8> {
        let mut resolve = Resolve::new();
        let package = resolve.push_str("a.wit", wit).unwrap();
        let world = resolve.select_world(&[package], Some("w")).unwrap();
        let mut text = String::from("(module (memory (export \"memory\") 1)");
        for function in ["f", "[method]r.g"] {
            text += &format!("(func (export \"a:b/out#{function}\") (param i32) (result i32) unreachable)");
        }
        text += "(func (export \"a:b/out#[dtor]r\") (param i32)))";
        let mut module = wat::parse_str(text).unwrap();
        let encoding = wit_component::StringEncoding::UTF8;
        wit_component::embed_component_metadata(&mut module, &resolve, world, encoding).unwrap();
        let mut encoder = wit_component::ComponentEncoder::default();
        encoder.module(&module).unwrap().encode().unwrap()
    }

    #[test]
    fn functions_and_types_are_as_they_were_declared() {
        let wit = "package a:b;
            interface out {
                record point { x: u8, y: u8 }
                resource r { g: func() -> u8; }
                f: func(of: u8) -> u8;
            }
            world w { export out; }";
        let component = component(wit);
        let interfaces = Interfaces::read(&component).unwrap();
        let told: Vec<_> = interfaces
            .export("a:b/out")
            .into_iter()
            .map(|item| (item.name, item.text.split_whitespace().collect::<Vec<_>>().join(" ")))
            .collect();
        let expected = [
            ("point", "record point { x: u8, y: u8, }"),
            ("r", "resource r;"),
            ("r.g", "func() -> u8"),
            ("f", "func(of: u8) -> u8"),
        ];
        assert_eq!(told, expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
        assert!(interfaces.import("a:b/out").is_empty());
        assert!(interfaces.into_wit().contains("f: func(of: u8) -> u8;"));
    }
}
