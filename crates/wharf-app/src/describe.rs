//! Describes a file for people and their tools: what it is, what it needs and what gives it that, what it offers, and what its
//! bytes are.
//!
//! Reads and compares; runs nothing and opens nothing. The outer structure is read by [`crate::inspect`]; what is added here costs
//! a walk through every byte, and is for whoever asks. How it is shown is the program's business.

mod changes;
mod elf;
mod groups;
mod needs;
mod parts;
mod plain;
mod world;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use wasmparser::{Payload, TypeRef, Validator, WasmFeatures};

use crate::inspect::{InspectError, Inspection, InterfaceName, Producers, World};
use crate::section::Sections;

pub use changes::{Change, Changes, Effect};
pub use elf::CompiledCode;
pub use groups::Group;
pub use needs::Source;
pub use parts::{Part, PartKind, SectionSize};
pub use plain::{InTheWay, Plain, PlainCommand};
pub use world::Item;

/// The shape of [`Description`] as JSON. It is raised when something is taken away or changes its meaning; what is added leaves it.
pub const FORMAT: u32 = 1;

/// What a file is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Description {
    /// [`FORMAT`].
    pub format: u32,
    /// What the file is, at its outermost.
    pub kind: Kind,
    /// Its size.
    pub bytes: u64,
    /// What it can be used as, most specific first.
    pub uses: Vec<String>,
    /// The versions of WASI that its imports and exports name.
    pub wasi: Vec<String>,
    /// What it was written in, and what it was made by.
    pub languages: Vec<Tool>,
    /// Compilers, linkers, generators of bindings.
    pub tools: Vec<Tool>,
    /// What it needs from outside, in the file's order.
    pub imports: Vec<Need>,
    /// What it offers, in the file's order.
    pub exports: Vec<Offer>,
    /// Whether Wasmtime's own commands run it. A component's.
    pub wasmtime: Option<Plain>,
    /// Its sections, and what is nested in it. Not of compiled code.
    pub part: Option<Part>,
    /// Compiled code, as far as can be told.
    pub compiled: Option<CompiledCode>,
    /// What is wrong with it, and where: such a file does not run.
    pub invalid: Option<String>,
    /// Why the functions of its interfaces are not said.
    pub untold: Option<String>,
    /// Its world as WIT.
    #[serde(skip)]
    pub wit: Option<String>,
}

/// What a file is, at its outermost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A component.
    Component,
    /// A core module, which nothing here runs.
    Module,
    /// A WIT package in binary form.
    WitPackage,
    /// Compiled code.
    Compiled,
}

/// A language or a tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// Its version, which may be empty.
    pub version: String,
}

/// Something that a component needs from outside.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Need {
    /// The name as written in the file.
    pub name: String,
    /// Whether anybody has to supply anything: an interface that only names types asks for nothing.
    pub required: bool,
    /// Its functions and types.
    pub items: Vec<Item>,
    /// What gives it.
    pub from: Source,
}

/// Something that a component offers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Offer {
    /// The name as written in the file.
    pub name: String,
    /// Its functions and types.
    pub items: Vec<Item>,
}

impl Description {
    /// Describes the content of a file, in a server whose apps may have `sections`.
    ///
    /// # Errors
    /// When the content is none of [`Kind`], or so damaged that nothing can be said of it.
    pub fn new(bytes: &[u8], sections: &Sections) -> Result<Self, InspectError> {
        if let Some(compiled) = CompiledCode::read(bytes) {
            return Ok(Self::of_compiled(bytes, compiled, sections));
        }
        match Inspection::new(bytes) {
            Ok(inspection) => Self::of_component(bytes, &inspection, sections),
            Err(InspectError::CoreModule | InspectError::Preview1Module) => Self::of_module(bytes),
            Err(InspectError::WitPackage) => Ok(Self {
                wit: world::of_package(bytes),
                part: Some(Part::read(bytes)?),
                ..Self::empty(Kind::WitPackage, bytes)
            }),
            Err(error) => Err(error),
        }
    }

    fn empty(kind: Kind, bytes: &[u8]) -> Self {
        Self {
            format: FORMAT,
            kind,
            bytes: bytes.len() as u64,
            uses: Vec::new(),
            wasi: Vec::new(),
            languages: Vec::new(),
            tools: Vec::new(),
            imports: Vec::new(),
            exports: Vec::new(),
            wasmtime: None,
            part: None,
            compiled: None,
            invalid: None,
            untold: None,
            wit: None,
        }
    }

    fn of_component(bytes: &[u8], inspection: &Inspection, sections: &Sections) -> Result<Self, InspectError> {
        // First: it bounds how deep things nest, for those who read on.
        let part = Part::read(bytes)?;
        let (world, untold) = match world::Interfaces::read(bytes) {
            Ok(world) => (Some(world), None),
            Err(error) => (None, Some(error)),
        };
        let items = |name: &str, read: fn(&world::Interfaces, &str) -> Vec<Item>| {
            world.as_ref().map_or_else(Vec::new, |world| read(world, name))
        };
        let import_items = |name: &str| items(name, world::Interfaces::import);
        let export_items = |name: &str| items(name, world::Interfaces::export);
        Ok(Self {
            uses: uses(inspection),
            imports: needs::needs(inspection, sections, import_items),
            exports: inspection
                .offers()
                .map(|export| Offer {
                    name: export.name.clone(),
                    items: export_items(&export.name),
                })
                .collect(),
            wasi: wasi(inspection),
            languages: tools(&inspection.producers.languages),
            tools: tools(&inspection.producers.tools),
            wasmtime: Some(Plain::of(inspection)),
            part: Some(part),
            invalid: invalid(bytes),
            untold,
            wit: world.map(world::Interfaces::into_wit),
            ..Self::empty(Kind::Component, bytes)
        })
    }

    fn of_module(bytes: &[u8]) -> Result<Self, InspectError> {
        let part = Part::read(bytes)?;
        let outline = ModuleOutline::read(bytes)?;
        Ok(Self {
            imports: outline.imports,
            exports: outline.exports,
            languages: tools(&outline.producers.languages),
            tools: tools(&outline.producers.tools),
            part: Some(part),
            invalid: invalid(bytes),
            ..Self::empty(Kind::Module, bytes)
        })
    }

    fn of_compiled(bytes: &[u8], compiled: CompiledCode, sections: &Sections) -> Self {
        let mut description = Self::empty(Kind::Compiled, bytes);
        if let Some(component) = &compiled.component {
            let inspection = component.inspection();
            description.uses = uses(&inspection);
            description.wasi = wasi(&inspection);
            description.languages = tools(&inspection.producers.languages);
            description.tools = tools(&inspection.producers.tools);
            description.imports = needs::needs(&inspection, sections, |_| Vec::new());
            description.exports = inspection
                .offers()
                .map(|export| Offer {
                    name: export.name.clone(),
                    items: Vec::new(),
                })
                .collect();
        }
        description.compiled = Some(compiled);
        description
    }
}

fn uses(inspection: &Inspection) -> Vec<String> {
    let known = inspection.worlds().into_iter().filter(|world| *world != World::Other);
    let mut uses: Vec<String> = known.map(|world| world.to_string()).collect();
    if inspection.websockets().is_some() {
        uses.push("a WebSocket service (wharf:websocket/handler@0.1)".to_owned());
    }
    if uses.is_empty() {
        uses.push(match inspection.is_library() {
            true => "a library, for other components to call".to_owned(),
            false => World::Other.to_string(),
        });
    }
    uses
}

/// The versions of WASI that a component names, each once, the lowest first.
fn wasi(inspection: &Inspection) -> Vec<String> {
    let imports = inspection.imports.iter().map(|import| &import.interface);
    let exports = inspection.exports.iter().map(|export| &export.interface);
    let names = imports.chain(exports).flatten();
    // Interfaces beside the standard's own packages have versions of their own.
    let is_standard = |name: &&InterfaceName| {
        let packages = ["cli", "clocks", "filesystem", "http", "io", "random", "sockets"];
        name.namespace == "wasi" && packages.contains(&name.package.as_str())
    };
    let versions: BTreeSet<_> = names
        .filter(is_standard)
        .filter_map(|name| name.version.clone())
        .collect();
    versions.iter().map(ToString::to_string).collect()
}

fn tools(entries: &[(String, String)]) -> Vec<Tool> {
    let tool = |(name, version): &(String, String)| Tool {
        name: name.clone(),
        version: version.clone(),
    };
    entries.iter().map(tool).collect()
}

/// What a validator says, of code as well as of structure. It knows all that any engine may have switched on.
fn invalid(bytes: &[u8]) -> Option<String> {
    let mut validator = Validator::new_with_features(WasmFeatures::all());
    let error = validator.validate_all(bytes).err()?;
    Some(format!("at byte {}: {}", error.offset(), error.message()))
}

/// What a core module imports and exports. Its imports are grouped by the module that they name.
#[derive(Default)]
struct ModuleOutline {
    imports: Vec<Need>,
    exports: Vec<Offer>,
    producers: Producers,
}

impl ModuleOutline {
    fn read(bytes: &[u8]) -> Result<Self, InspectError> {
        let mut outline = Self::default();
        for payload in wasmparser::Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import?;
                        outline.import(import.module, import.name, &import.ty);
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        let name = export?.name.to_owned();
                        let items = Vec::new();
                        outline.exports.push(Offer { name, items });
                    }
                }
                Payload::CustomSection(section) => outline.producers.add_section(&section),
                _ => {}
            }
        }
        Ok(outline)
    }

    fn import(&mut self, module: &str, name: &str, ty: &TypeRef) {
        let kind = match ty {
            TypeRef::Func(_) | TypeRef::FuncExact(_) => "func",
            TypeRef::Table(_) => "table",
            TypeRef::Memory(_) => "memory",
            TypeRef::Global(_) => "global",
            TypeRef::Tag(_) => "tag",
        };
        let item = Item {
            name: name.to_owned(),
            text: kind.to_owned(),
            is_function: kind == "func",
        };
        match self.imports.iter_mut().find(|need| need.name == module) {
            Some(need) => need.items.push(item),
            None => self.imports.push(Need {
                name: module.to_owned(),
                required: true,
                items: vec![item],
                from: Source::of_a_module(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `Description` says of the text form of a component or a module.
    pub(super) fn describe(text: &str) -> Description {
        let bytes = wat::parse_str(text).unwrap();
        Description::new(&bytes, &crate::section::tests::sections()).unwrap()
    }

    #[test]
    fn a_component_is_described_with_what_gives_it_its_imports() {
        let described = describe(
            r#"(component
                (import "wasi:http/client@0.3.1" (instance (export "f" (func))))
                (import "wasi:cli/stdin@0.2.6" (instance (export "f" (func))))
                (import "acme:greeting/greet@0.2.1" (instance (export "f" (func (param "name" string)))))
                (component $c)
                (instance $i (instantiate $c))
                (export "a:b/c@1.0.0" (instance $i))
                (@producers (language "Rust" "2024")))"#,
        );
        assert_eq!(described.kind, Kind::Component);
        assert_eq!(described.wasi, ["0.2.6", "0.3.1"]);
        assert_eq!(described.languages[0].name, "Rust");
        let given: Vec<_> = described.imports.iter().map(|need| need.from.to_string()).collect();
        assert_eq!(
            given,
            [
                "--allow-outbound PATTERN, or [http-client] in a manifest",
                "always there",
                "[greeting] in a manifest"
            ]
        );
        assert_eq!(described.exports[0].name, "a:b/c@1.0.0");
        assert_eq!(described.invalid, None);
    }

    #[test]
    fn a_component_that_others_call_is_a_library() {
        let exporting = |name: &str| {
            describe(&format!(
                "(component (component $c) (instance $i (instantiate $c)) (export {name:?} (instance $i)))"
            ))
        };
        assert_eq!(exporting("a:b/c").uses, ["a library, for other components to call"]);
        assert_eq!(
            exporting("wharf:websocket/handler@0.1.0").uses,
            ["a WebSocket service (wharf:websocket/handler@0.1)"]
        );
        // Made for a host of another time, not for components.
        let unknown = ["a component of a world that Wharf does not know"];
        assert_eq!(exporting("wasi:http/handler@0.3.0-rc-2026-03-15").uses, unknown);
        assert_eq!(describe("(component)").uses, unknown);
    }

    #[test]
    fn a_module_is_described_by_what_it_imports() {
        let described = describe(
            r#"(module
                (import "env" "a" (func)) (import "env" "m" (memory 1)) (import "other" "g" (global i32))
                (func (export "run")))"#,
        );
        assert_eq!(described.kind, Kind::Module);
        let imports: Vec<_> = described
            .imports
            .iter()
            .map(|need| (need.name.as_str(), need.items.len()))
            .collect();
        assert_eq!(imports, [("env", 2), ("other", 1)]);
        assert_eq!(described.exports[0].name, "run");
    }

    #[test]
    fn what_is_wrong_in_code_is_said_with_its_place() {
        let mut bytes = wat::parse_str("(module (func (result i32) i32.const 7))").unwrap();
        let at = bytes.windows(2).position(|bytes| bytes == [0x41, 7]).unwrap();
        bytes[at] = 0xff;
        let described = Description::new(&bytes, &Sections::default()).unwrap();
        let invalid = described.invalid.unwrap();
        assert!(invalid.starts_with(&format!("at byte {at}: ")), "{invalid}");
    }

    #[test]
    fn a_wit_package_is_told_as_wit() {
        let mut resolve = wit_parser::Resolve::new();
        let package = resolve.push_str("a.wit", "package a:b; interface c { f: func(); }");
        let bytes = wit_component::encode(&resolve, package.unwrap()).unwrap();
        let described = Description::new(&bytes, &Sections::default()).unwrap();
        assert_eq!(described.kind, Kind::WitPackage);
        assert!(described.wit.unwrap().contains("f: func();"));
    }
}
