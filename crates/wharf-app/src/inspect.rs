//! Says what a file is before anything runs it: what a component imports and exports, which worlds it fits, who made it.
//!
//! Reads the outer structure, and of what is inside the types alone: those nest, and are refused where they nest too deeply for
//! whoever reads them next. Steps over code, so a component of 20 MB takes microseconds. Whether the code inside is valid is left
//! to the engine; whether imports can be met, to [`crate::imports`].

mod makers;
mod memory;

use std::fmt;
use std::str::FromStr;

use makers::Makers;
pub use memory::largest_memory;
use semver::Version;
use wasmparser::{
    Chunk, ComponentAlias, ComponentExport, ComponentExternalKind, ComponentImport, ComponentOuterAliasKind,
    ComponentType, ComponentTypeRef, CustomSectionReader, InstanceTypeDeclaration, KnownCustom, Parser, Payload,
    ProducersSectionReader,
};

/// The layer and version of the component binary format that this crate reads, as bytes 4 to 8 of a file.
const COMPONENT_VERSION: u16 = 13;
const COMPONENT_LAYER: u16 = 1;

/// What a component file contains, without running or compiling it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// What the component needs from outside, in the file's order.
    pub imports: Vec<Import>,
    /// What the component offers, in the file's order.
    pub exports: Vec<Export>,
    /// Who made the component.
    pub producers: Producers,
}

/// Something that a component needs from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The name as written in the file.
    pub name: String,
    /// The name taken apart, if it is that of an interface.
    pub interface: Option<InterfaceName>,
    /// Whether a host has to supply anything: an interface that only names types asks for nothing.
    pub required: bool,
}

/// Something that a component offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// The name as written in the file.
    pub name: String,
    /// The name taken apart, if it is that of an interface.
    pub interface: Option<InterfaceName>,
}

/// The name of an interface: `namespace:package/interface@version`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceName {
    /// `wasi` in `wasi:http/types@0.3.0`.
    pub namespace: String,
    /// `http` in `wasi:http/types@0.3.0`.
    pub package: String,
    /// `types` in `wasi:http/types@0.3.0`.
    pub interface: String,
    /// `0.3.0` in `wasi:http/types@0.3.0`.
    pub version: Option<Version>,
}

/// Who made a component, from the `producers` sections of the component and of everything inside it.
///
/// What comes with every component of a language says nothing of how this one was written, and is left out: the adapter for WASI 0.1, and
/// the languages that interpreters were written in. Each entry is a name and a version (which may be empty), and stands once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Producers {
    /// Languages it was written in.
    pub languages: Vec<(String, String)>,
    /// Tools that processed it: compilers, linkers, binding generators.
    pub tools: Vec<(String, String)>,
}

/// What a component can be used as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    /// Answers HTTP requests: exports `wasi:http/handler@0.3`.
    Service03,
    /// Answers HTTP requests: exports `wasi:http/incoming-handler@0.2`.
    Proxy02,
    /// Runs as a program: exports `wasi:cli/run@0.3`.
    Command03,
    /// Runs as a program: exports `wasi:cli/run@0.2`.
    Command02,
    /// Stands in front of a service: imports and exports `wasi:http/handler@0.3`.
    Middleware03,
    /// None of the others.
    Other,
}

impl Inspection {
    /// Inspects the contents of a file.
    ///
    /// # Errors
    /// When `bytes` are no component that this crate can read.
    pub fn new(bytes: &[u8]) -> Result<Inspection, InspectError> {
        check_header(bytes)?;
        let outline = Outline::read(bytes)?;
        if outline.is_wit_package() {
            return Err(InspectError::WitPackage);
        }
        Ok(Inspection {
            imports: outline.imports,
            exports: outline.exports,
            producers: outline.producers,
        })
    }

    /// What the component can be used as, most specific first and never empty.
    ///
    /// WASI 0.3 wins: a component that exports `wasi:cli/run` at 0.3 and at 0.2 is a command of 0.3 alone, because what
    /// builds for 0.3 leaves a 0.2 `run` behind that only traps. A middleware is no service: alone, it has nothing to
    /// pass a request to.
    pub fn worlds(&self) -> Vec<World> {
        let mut worlds = Vec::new();
        if self.export("wasi:http/handler", (0, 3)).is_some() {
            let middleware = self.import("wasi:http/handler", (0, 3)).is_some();
            worlds.push(if middleware {
                World::Middleware03
            } else {
                World::Service03
            });
        } else if self.export("wasi:http/incoming-handler", (0, 2)).is_some() {
            worlds.push(World::Proxy02);
        }
        if self.export("wasi:cli/run", (0, 3)).is_some() {
            worlds.push(World::Command03);
        } else if self.export("wasi:cli/run", (0, 2)).is_some() {
            worlds.push(World::Command02);
        }
        if worlds.is_empty() {
            worlds.push(World::Other);
        }
        worlds
    }

    /// Whether the component can be used as `world`.
    pub fn fits(&self, world: World) -> bool {
        self.worlds().contains(&world)
    }

    /// The export by which it takes WebSockets, beside what its worlds say: `wharf:websocket/handler@0.1`.
    pub fn websockets(&self) -> Option<&Export> {
        self.export("wharf:websocket/handler", (0, 1))
    }

    /// Whether it is there for other components to call: it offers what is not WASI's, and nothing that Wharf would run.
    pub fn is_library(&self) -> bool {
        let is_own = |export: &Export| export.interface.as_ref().is_none_or(|name| name.namespace != "wasi");
        self.fits(World::Other) && self.websockets().is_none() && self.offers().any(is_own)
    }

    /// What to do with it instead, for those who would have it answer HTTP, which it cannot.
    pub fn unserved(&self) -> &'static str {
        match self.is_library() {
            true => "other components call a library, by `links` of a manifest, and `wharf call` tries it",
            false => "a command runs with `wharf run`",
        }
    }

    /// The export of the interface `path` (`namespace:package/interface`) on the version track `track`.
    pub fn export(&self, path: &str, track: (u64, u64)) -> Option<&Export> {
        self.exports
            .iter()
            .find(|export| export.interface.as_ref().is_some_and(|name| name.is(path, track)))
    }

    /// What it has for those who use it: without what toolchains of Python and JavaScript call while they make a component, and leave there.
    pub fn offers(&self) -> impl Iterator<Item = &Export> {
        let is_left = |export: &Export| {
            let mut languages = self.producers.languages.iter().map(|(name, _)| name.as_str());
            languages.any(|language| makers::leaves(language) == Some(export.name.as_str()))
        };
        self.exports.iter().filter(move |export| !is_left(export))
    }

    /// The import of the interface `path` (`namespace:package/interface`) on the version track `track`.
    pub fn import(&self, path: &str, track: (u64, u64)) -> Option<&Import> {
        self.imports
            .iter()
            .find(|import| import.interface.as_ref().is_some_and(|name| name.is(path, track)))
    }
}

impl InterfaceName {
    /// `namespace:package/interface`, without the version.
    pub fn path(&self) -> String {
        format!("{}:{}/{}", self.namespace, self.package, self.interface)
    }

    /// The track that the version is on: versions on one track stand in for each other.
    ///
    /// As the component model has it: the major version, below 1.0 the minor one too. A pre-release is on no track,
    /// nor is a version below 0.1: both match exactly or not at all.
    pub fn track(&self) -> Option<(u64, u64)> {
        match self.version.as_ref()? {
            version if !version.pre.is_empty() => None,
            Version { major: 0, minor: 0, .. } => None,
            Version { major: 0, minor, .. } => Some((0, *minor)),
            Version { major, .. } => Some((*major, 0)),
        }
    }

    /// Whether this is the interface `path` (`namespace:package/interface`) on `track`.
    fn is(&self, path: &str, track: (u64, u64)) -> bool {
        self.track() == Some(track) && self.path() == path
    }
}

impl FromStr for InterfaceName {
    type Err = NotAnInterface;

    fn from_str(name: &str) -> Result<InterfaceName, NotAnInterface> {
        let (path, version) = match name.split_once('@') {
            Some((path, version)) => (path, Some(Version::parse(version).map_err(|_| NotAnInterface)?)),
            None => (name, None),
        };
        let (namespace, rest) = path.split_once(':').ok_or(NotAnInterface)?;
        let (package, interface) = rest.split_once('/').ok_or(NotAnInterface)?;
        if [namespace, package, interface]
            .iter()
            .any(|part| part.is_empty() || part.contains([':', '/']))
        {
            return Err(NotAnInterface);
        }
        let (namespace, package, interface) = (namespace.to_owned(), package.to_owned(), interface.to_owned());
        Ok(InterfaceName {
            namespace,
            package,
            interface,
            version,
        })
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.namespace, self.package, self.interface)?;
        match &self.version {
            Some(version) => write!(f, "@{version}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            World::Service03 => "an HTTP service (wasi:http/service@0.3)",
            World::Proxy02 => "an HTTP service (wasi:http/proxy@0.2)",
            World::Command03 => "a command (wasi:cli/command@0.3)",
            World::Command02 => "a command (wasi:cli/command@0.2)",
            World::Middleware03 => "an HTTP middleware (wasi:http/middleware@0.3)",
            World::Other => "a component of a world that Wharf does not know",
        })
    }
}

/// A string is not of the form `namespace:package/interface[@version]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of an interface: expected namespace:package/interface@version")]
pub struct NotAnInterface;

/// A file is no component that can be used here. Each says what the file is and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InspectError {
    /// No bytes at all.
    #[error("the file is empty; build the component again")]
    Empty,
    /// A core module.
    #[error(
        "this is a core WebAssembly module, not a component; build for wasm32-wasip2, or wrap it with \
         `wasm-tools component new`"
    )]
    CoreModule,
    /// A core module that imports from `wasi_snapshot_preview1`.
    #[error(
        "this is a core WebAssembly module for WASI preview 1, not a component; build for wasm32-wasip2 instead of \
         wasm32-wasip1, or wrap it with `wasm-tools component new --adapt wasi_snapshot_preview1=ADAPTER.wasm`"
    )]
    Preview1Module,
    /// The binary form of a WIT package.
    #[error("this is a WIT package in binary form: it declares interfaces and has no code to run; give a component")]
    WitPackage,
    /// The text form of a WIT package.
    #[error("this is WIT source: it declares interfaces and has no code to run; give a component built for it")]
    WitText,
    /// The text form of a component or module.
    #[error("this is WebAssembly text; turn it into a component with `wasm-tools parse FILE -o FILE.wasm`")]
    Text,
    /// Another kind of file, recognized by how it begins.
    #[error("this is not a WebAssembly component but {0}")]
    OtherFormat(&'static str),
    /// Another kind of file, not recognized.
    #[error(
        "this is not a WebAssembly component: it begins with {}, and a component with 00 61 73 6d",
        hex(first)
    )]
    NotWasm {
        /// The first bytes of the file, at most four.
        first: Vec<u8>,
    },
    /// The file ends too early.
    #[error("the component is cut off: the file ends at byte {offset}, inside a section; copy or build it again")]
    Truncated {
        /// Where the file ends, in bytes.
        offset: u64,
    },
    /// A component in a binary format that this crate does not read.
    #[error(
        "this is a component of binary version {version} and Wharf reads version {COMPONENT_VERSION}; {}",
        if *version > COMPONENT_VERSION { "use a newer Wharf" } else { "build it again with current tools" }
    )]
    ComponentVersion {
        /// The version that the file is of.
        version: u16,
    },
    /// The structure of the file is broken.
    #[error("the component is damaged at byte {offset}: {message}; copy or build it again")]
    Malformed {
        /// Where, in bytes.
        offset: u64,
        /// What is wrong there.
        message: String,
    },
    /// A type holds a type that holds a type, and so on, for longer than any component does that was made to be used.
    #[error(
        "at byte {offset}, types nest more than 100 levels deep, and none may; build the component with simpler interfaces"
    )]
    TooDeep {
        /// Where, in bytes.
        offset: u64,
    },
}

impl From<wasmparser::Error> for InspectError {
    fn from(error: wasmparser::Error) -> InspectError {
        // The parser has no kinds of errors to tell them apart by.
        if error.message() == "component type nesting is too deep" {
            return InspectError::TooDeep { offset: error.offset() };
        }
        InspectError::Malformed {
            offset: error.offset(),
            message: error.message().to_string(),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .join(" ")
}

/// Refuses what the first bytes already show to be something else.
fn check_header(bytes: &[u8]) -> Result<(), InspectError> {
    const MAGIC: &[u8] = b"\0asm";
    if bytes.is_empty() {
        return Err(InspectError::Empty);
    }
    if !bytes.starts_with(MAGIC) && !MAGIC.starts_with(bytes) {
        return Err(not_wasm(bytes));
    }
    let Some(&[v0, v1, l0, l1]) = bytes.get(4..8) else {
        return Err(InspectError::Truncated {
            offset: bytes.len() as u64,
        });
    };
    match (u16::from_le_bytes([v0, v1]), u16::from_le_bytes([l0, l1])) {
        (COMPONENT_VERSION, COMPONENT_LAYER) => Ok(()),
        (version, COMPONENT_LAYER) => Err(InspectError::ComponentVersion { version }),
        _ if imports_preview1(bytes) => Err(InspectError::Preview1Module),
        _ => Err(InspectError::CoreModule),
    }
}

fn imports_preview1(module: &[u8]) -> bool {
    let imports = Parser::new(0).parse_all(module).find_map(|payload| match payload {
        Ok(Payload::ImportSection(section)) => Some(section),
        _ => None,
    });
    imports.is_some_and(|section| {
        section
            .into_imports()
            .any(|import| import.is_ok_and(|import| import.module == "wasi_snapshot_preview1"))
    })
}

/// What people hand over by mistake, by how it begins.
const OTHER_FORMATS: &[(&[u8], &str)] = &[
    (
        b"\x7fELF",
        "an ELF file: a native program, or a component compiled ahead of time; give the .wasm it was made from",
    ),
    (b"MZ", "a Windows program"),
    (b"\xcf\xfa\xed\xfe", "a macOS program"),
    (b"\x1f\x8b", "a gzip file; unpack it first"),
    (b"PK\x03\x04", "a zip archive; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a zstd file; unpack it first"),
    (
        b"version https://git-lfs",
        "a Git LFS pointer; fetch the file itself with `git lfs pull`",
    ),
    (
        b"<!DOCTYPE html",
        "a web page, perhaps an error saved in place of a download",
    ),
    (
        b"<!doctype html",
        "a web page, perhaps an error saved in place of a download",
    ),
    (b"<html", "a web page, perhaps an error saved in place of a download"),
];

fn not_wasm(bytes: &[u8]) -> InspectError {
    if let Some((_, description)) = OTHER_FORMATS.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return InspectError::OtherFormat(description);
    }
    // Comments before the first word are short in practice; a file is not read whole to name it.
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(4096)]);
    let code = skip_comments(&start);
    if code.starts_with("(component") || code.starts_with("(module") {
        return InspectError::Text;
    }
    if ["package ", "interface ", "world "]
        .iter()
        .any(|word| code.starts_with(word))
    {
        return InspectError::WitText;
    }
    InspectError::NotWasm {
        first: bytes[..bytes.len().min(4)].to_vec(),
    }
}

/// The rest of `text` after white space and the comments of WebAssembly text and WIT.
fn skip_comments(text: &str) -> &str {
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    loop {
        let end = if rest.starts_with(";;") || rest.starts_with("//") {
            rest.find('\n').map(|at| at + 1)
        } else if rest.starts_with("(;") {
            rest.find(";)").map(|at| at + 2)
        } else if rest.starts_with("/*") {
            rest.find("*/").map(|at| at + 2)
        } else {
            return rest;
        };
        match end {
            Some(end) => rest = rest[end..].trim_start(),
            None => return "",
        }
    }
}

/// What one pass over the sections finds.
#[derive(Default)]
struct Outline {
    imports: Vec<Import>,
    exports: Vec<Export>,
    producers: Producers,
    /// The component's type index space: whether each type is an instance type that asks for nothing.
    types: Vec<TypeOutline>,
    exports_types_only: bool,
    has_modules: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum TypeOutline {
    /// An instance type without functions, resources or anything else that exists at run time.
    TypesOnly,
    Other,
}

impl Outline {
    fn read(bytes: &[u8]) -> Result<Outline, InspectError> {
        let mut outline = Outline {
            exports_types_only: true,
            ..Outline::default()
        };
        let truncated = InspectError::Truncated {
            offset: bytes.len() as u64,
        };
        let mut rest = bytes;
        let mut parser = Parser::new(0);
        let mut parents = Vec::new();
        let mut makers = Makers::default();
        // The parser cannot know where the outermost component ends; the end of the file between two sections is it.
        while !rest.is_empty() || !parents.is_empty() {
            let Chunk::Parsed { payload, consumed } = parser.parse(rest, rest.is_empty())? else {
                return Err(truncated);
            };
            rest = &rest[consumed..];
            if parents.is_empty() {
                outline.section(&payload)?;
            } else {
                types_inside(&payload)?;
            }
            match payload {
                Payload::ModuleSection {
                    parser: ref inner,
                    ref unchecked_range,
                }
                | Payload::ComponentSection {
                    parser: ref inner,
                    ref unchecked_range,
                } => {
                    if unchecked_range.end > bytes.len() as u64 {
                        return Err(truncated);
                    }
                    makers.enter(matches!(payload, Payload::ModuleSection { .. }));
                    parents.push(std::mem::replace(&mut parser, inner.clone()));
                }
                Payload::CodeSectionStart { size, .. } => {
                    parser.skip_section();
                    rest = rest.get(size as usize..).ok_or_else(|| truncated.clone())?;
                }
                Payload::CustomSection(section) => makers.section(&section),
                Payload::UnknownSection { id, range, .. } => {
                    let message = format!("there is no section of the kind {id}");
                    return Err(InspectError::Malformed {
                        offset: range.start,
                        message,
                    });
                }
                Payload::End(_) => match parents.pop() {
                    Some(parent) => {
                        makers.leave();
                        parser = parent;
                    }
                    None => break,
                },
                _ => {}
            }
        }
        outline.producers = makers.finish();
        Ok(outline)
    }

    /// Takes in one section of the outermost component.
    fn section(&mut self, payload: &Payload<'_>) -> Result<(), InspectError> {
        match payload {
            Payload::ComponentTypeSection(types) => {
                for ty in types.clone() {
                    self.types.push(TypeOutline::new(&ty?));
                }
            }
            Payload::ComponentAliasSection(aliases) => {
                for alias in aliases.clone() {
                    self.alias(&alias?);
                }
            }
            Payload::ComponentImportSection(imports) => {
                for import in imports.clone() {
                    self.import(&import?);
                }
            }
            Payload::ComponentExportSection(exports) => {
                for export in exports.clone() {
                    self.export(&export?);
                }
            }
            Payload::ModuleSection { .. } => self.has_modules = true,
            _ => types_inside(payload)?,
        }
        Ok(())
    }

    fn alias(&mut self, alias: &ComponentAlias<'_>) {
        if let ComponentAlias::InstanceExport {
            kind: ComponentExternalKind::Type,
            ..
        }
        | ComponentAlias::Outer {
            kind: ComponentOuterAliasKind::Type,
            ..
        } = alias
        {
            self.types.push(TypeOutline::Other);
        }
    }

    fn import(&mut self, import: &ComponentImport<'_>) {
        let required = match import.ty {
            ComponentTypeRef::Instance(index) => self.types.get(index as usize) != Some(&TypeOutline::TypesOnly),
            ComponentTypeRef::Type(wasmparser::TypeBounds::Eq(_)) => false,
            _ => true,
        };
        if let ComponentTypeRef::Type(_) = import.ty {
            self.types.push(TypeOutline::Other);
        }
        let name = import.name.full_name().into_owned();
        self.imports.push(Import {
            interface: name.parse().ok(),
            name,
            required,
        });
    }

    fn export(&mut self, export: &ComponentExport<'_>) {
        if export.kind == ComponentExternalKind::Type {
            self.types.push(TypeOutline::Other);
        } else {
            self.exports_types_only = false;
        }
        let name = export.name.full_name().into_owned();
        self.exports.push(Export {
            interface: name.parse().ok(),
            name,
        });
    }

    /// A WIT package in binary form is a component that exports nothing but types.
    fn is_wit_package(&self) -> bool {
        self.exports_types_only && !self.exports.is_empty() && self.imports.is_empty() && !self.has_modules
    }
}

/// Reads the types of something inside, for nothing but that they can be read: those who join components read types of all
/// depths, a call within a call, and their parser would not stop before the stack has ended.
fn types_inside(payload: &Payload<'_>) -> Result<(), InspectError> {
    match payload {
        Payload::ComponentTypeSection(types) => types.clone().into_iter().try_for_each(|ty| ty.map(drop)),
        Payload::CoreTypeSection(types) => types.clone().into_iter().try_for_each(|ty| ty.map(drop)),
        _ => Ok(()),
    }
    .map_err(InspectError::from)
}

impl TypeOutline {
    fn new(ty: &ComponentType<'_>) -> TypeOutline {
        let ComponentType::Instance(declarations) = ty else {
            return TypeOutline::Other;
        };
        let needs_nothing = declarations.iter().all(|declaration| match declaration {
            InstanceTypeDeclaration::Export { ty, .. } => {
                matches!(ty, ComponentTypeRef::Type(wasmparser::TypeBounds::Eq(_)))
            }
            _ => true,
        });
        if needs_nothing {
            TypeOutline::TypesOnly
        } else {
            TypeOutline::Other
        }
    }
}

impl Producers {
    /// Adds the entries of a section, if it is one of producers.
    pub(crate) fn add_section(&mut self, section: &CustomSectionReader<'_>) {
        if let KnownCustom::Producers(producers) = section.as_known() {
            self.add(producers);
        }
    }

    /// Adds those of `other` that are not here yet.
    fn merge(&mut self, other: Self) {
        for (list, further) in [(&mut self.languages, other.languages), (&mut self.tools, other.tools)] {
            for entry in further {
                if !list.contains(&entry) {
                    list.push(entry);
                }
            }
        }
    }

    /// Adds a section's entries. One that cannot be read is left out: it says nothing about whether the code runs.
    fn add(&mut self, section: ProducersSectionReader<'_>) {
        for field in section.into_iter().map_while(Result::ok) {
            let list = match field.name {
                "language" => &mut self.languages,
                _ => &mut self.tools,
            };
            for value in field.values.into_iter().map_while(Result::ok) {
                let entry = (value.name.to_owned(), value.version.to_owned());
                if !list.contains(&entry) {
                    list.push(entry);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(text: &str) -> Vec<u8> {
        wat::parse_str(text).unwrap()
    }

    fn inspect(text: &str) -> Inspection {
        Inspection::new(&binary(text)).unwrap()
    }

    #[track_caller]
    fn check_error(bytes: impl AsRef<[u8]>, expected: InspectError, message: &str) {
        let error = Inspection::new(bytes.as_ref()).unwrap_err();
        assert_eq!(error, expected);
        assert!(error.to_string().contains(message), "{error}");
    }

    /// A component that imports and exports instances of these names; the imports hold one function each.
    fn component(imports: &[&str], exports: &[&str]) -> String {
        let imports: String = imports
            .iter()
            .map(|name| format!("(import {name:?} (instance (export \"f\" (func))))"))
            .collect();
        let exports: String = exports
            .iter()
            .map(|name| format!("(export {name:?} (instance $empty))"))
            .collect();
        format!("(component {imports} (instance $empty) {exports})")
    }

    #[track_caller]
    fn check_worlds(imports: &[&str], exports: &[&str], expected: &[World]) {
        assert_eq!(inspect(&component(imports, exports)).worlds(), expected);
    }

    #[test]
    fn what_is_no_component_is_named() {
        check_error([], InspectError::Empty, "empty");
        check_error(binary("(module)"), InspectError::CoreModule, "wasm-tools component new");
        check_error(
            binary(
                r#"(module (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32))))"#,
            ),
            InspectError::Preview1Module,
            "wasm32-wasip1",
        );
        check_error("(component)", InspectError::Text, "wasm-tools parse");
        check_error(";; a comment\n (; another ;) (module $m)", InspectError::Text, "text");
        check_error("// a world\npackage acme:cache;", InspectError::WitText, "WIT");
        check_error(
            "hello",
            InspectError::NotWasm {
                first: b"hell".to_vec(),
            },
            "68 65 6c 6c",
        );
        check_error("#", InspectError::NotWasm { first: b"#".to_vec() }, "begins with 23,");
        check_error(
            b"\0asm\x0e\0\x01\0",
            InspectError::ComponentVersion { version: 14 },
            "use a newer Wharf",
        );
        check_error(
            b"\0asm\x0c\0\x01\0",
            InspectError::ComponentVersion { version: 12 },
            "build it again",
        );
        check_error(
            binary(r#"(component (type $i (component (export "a:b/c" (instance)))) (export "c" (type $i)))"#),
            InspectError::WitPackage,
            "WIT package",
        );
    }

    #[test]
    fn other_formats_are_recognized_by_how_they_begin() {
        for (magic, description) in OTHER_FORMATS {
            check_error(
                [magic, b"...".as_slice()].concat(),
                InspectError::OtherFormat(description),
                description,
            );
        }
    }

    #[test]
    fn a_file_cut_off_anywhere_inside_a_section_is_truncated() {
        let whole = binary(
            r#"(component
                (import "wasi:cli/environment@0.3.0" (instance (export "f" (func))))
                (core module (func) (memory 1) (data (i32.const 0) "0123456789"))
                (component (import "a" (func))))"#,
        );
        Inspection::new(&whole).unwrap();
        let boundaries = section_ends(&whole);
        for length in (1..whole.len()).filter(|length| !boundaries.contains(length)) {
            let offset = length as u64;
            check_error(
                &whole[..length],
                InspectError::Truncated { offset },
                &format!("byte {offset}"),
            );
        }
    }

    /// Where the sections of the outermost component end: a file cut off there is a shorter component.
    fn section_ends(bytes: &[u8]) -> Vec<usize> {
        let mut ends = vec![8];
        while let Some(&end) = ends.last()
            && end < bytes.len()
        {
            let mut reader = wasmparser::BinaryReader::new(&bytes[end + 1..], 0);
            let size = reader.read_var_u32().unwrap() as usize;
            ends.push(end + 1 + reader.current_position() + size);
        }
        ends
    }

    #[test]
    fn damage_is_malformed_and_says_where() {
        let mut bytes = binary(r#"(component (import "f" (func)))"#);
        bytes[8] = 0x7f;
        let error = Inspection::new(&bytes).unwrap_err();
        assert!(matches!(error, InspectError::Malformed { offset: 10, .. }), "{error:?}");
    }

    /// A component with a type that holds as many others within each other, as many components down.
    fn deep(types: usize, components: usize) -> Vec<u8> {
        fn section(id: u8, content: &[u8]) -> Vec<u8> {
            let mut length = content.len();
            let mut section = vec![id];
            while length >= 0x80 {
                section.push(length as u8 | 0x80);
                length >>= 7;
            }
            section.push(length as u8);
            section.extend(content);
            section
        }
        const HEADER: &[u8] = b"\0asm\x0d\0\x01\0";
        const COMPONENT_TYPE_OF_A_TYPE: [u8; 3] = [0x41, 1, 1];
        let ty = [&COMPONENT_TYPE_OF_A_TYPE.repeat(types)[..], &[0x41, 0]].concat();
        let mut bytes = [HEADER, &section(7, &[&[1][..], &ty].concat())].concat();
        for _ in 0..components {
            bytes = [HEADER, &section(4, &bytes)].concat();
        }
        bytes
    }

    #[test]
    fn types_that_nest_too_deeply_are_refused_wherever_they_are() {
        for components in 0..4 {
            Inspection::new(&deep(90, components)).unwrap();
            let error = Inspection::new(&deep(200_000, components)).unwrap_err();
            assert!(matches!(error, InspectError::TooDeep { .. }), "{components}: {error}");
        }
    }

    #[test]
    fn names_are_taken_apart() {
        let inspection = inspect(&component(&["wasi:http/types@0.3.0"], &["run"]));
        let expected = InterfaceName {
            namespace: "wasi".into(),
            package: "http".into(),
            interface: "types".into(),
            version: Some(Version::new(0, 3, 0)),
        };
        assert_eq!(inspection.imports[0].interface, Some(expected));
        assert_eq!(
            inspection.exports,
            [Export {
                name: "run".into(),
                interface: None
            }]
        );
    }

    #[test]
    fn interface_names_round_trip_and_others_are_refused() {
        for name in ["wasi:http/types@0.3.0", "a:b/c", "wasi:http/types@0.3.0-rc-2026-03-15"] {
            assert_eq!(name.parse::<InterfaceName>().unwrap().to_string(), name);
        }
        for name in [
            "run", "a:b", "a/b", "a:b/c@x", ":b/c", "a:/c", "a:b/", "a:b/c/d", "a:b:c/d",
        ] {
            assert_eq!(name.parse::<InterfaceName>(), Err(NotAnInterface), "{name}");
        }
    }

    #[test]
    fn versions_are_on_the_track_that_the_component_model_gives_them() {
        let track = |version: &str| format!("a:b/c@{version}").parse::<InterfaceName>().unwrap().track();
        assert_eq!(track("0.3.0"), Some((0, 3)));
        assert_eq!(track("0.3.99"), Some((0, 3)));
        assert_eq!(track("2.4.1"), Some((2, 0)));
        assert_eq!(track("0.0.1"), None);
        assert_eq!(track("0.3.0-rc-2026-03-15"), None);
        assert_eq!("a:b/c".parse::<InterfaceName>().unwrap().track(), None);
    }

    #[test]
    fn an_interface_that_only_names_types_asks_for_nothing() {
        let inspection = inspect(
            r#"(component
                (import "a:b/types@1.0.0" (instance $types (type $t u64) (export "t" (type (eq $t)))))
                (alias export $types "t" (type $t))
                (import "a:b/uses@1.0.0" (instance (alias outer 1 $t (type $t)) (export "t" (type (eq $t)))))
                (import "a:b/resource@1.0.0" (instance (export "r" (type (sub resource)))))
                (import "a:b/function@1.0.0" (instance (export "f" (func (param "t" $t)))))
                (import "function" (func)))"#,
        );
        let required: Vec<(&str, bool)> = inspection
            .imports
            .iter()
            .map(|import| (import.name.as_str(), import.required))
            .collect();
        assert_eq!(
            required,
            [
                ("a:b/types@1.0.0", false),
                ("a:b/uses@1.0.0", false),
                ("a:b/resource@1.0.0", true),
                ("a:b/function@1.0.0", true),
                ("function", true)
            ]
        );
    }

    #[test]
    fn worlds_are_found_and_wasi_03_wins() {
        check_worlds(&[], &["wasi:http/handler@0.3.2"], &[World::Service03]);
        check_worlds(&[], &["wasi:http/incoming-handler@0.2.6"], &[World::Proxy02]);
        check_worlds(
            &[],
            &["wasi:http/incoming-handler@0.2.6", "wasi:http/handler@0.3.0"],
            &[World::Service03],
        );
        check_worlds(&[], &["wasi:cli/run@0.2.6", "wasi:cli/run@0.3.0"], &[World::Command03]);
        check_worlds(&[], &["wasi:cli/run@0.2.0"], &[World::Command02]);
        check_worlds(
            &[],
            &["wasi:cli/run@0.3.0", "wasi:http/handler@0.3.0"],
            &[World::Service03, World::Command03],
        );
        check_worlds(
            &["wasi:http/handler@0.3.0"],
            &["wasi:http/handler@0.3.2"],
            &[World::Middleware03],
        );
        check_worlds(&[], &["wasi:http/handler@0.3.0-rc-2026-03-15"], &[World::Other]);
        check_worlds(&[], &["wasi:http/handler"], &[World::Other]);
        check_worlds(&[], &[], &[World::Other]);
    }

    #[test]
    fn producers_are_gathered_from_everything_inside_and_stand_once() {
        let inspection = inspect(
            r#"(component
                (core module
                    (@producers (language "Rust" "2024") (processed-by "rustc" "1.95.0")))
                (component
                    (core module (@producers (language "Rust" "2024") (sdk "kit" "1"))))
                (@producers (processed-by "wit-component" "0.262.0")))"#,
        );
        let entry = |name: &str, version: &str| (name.to_owned(), version.to_owned());
        assert_eq!(inspection.producers.languages, [entry("Rust", "2024")]);
        let tools = [
            entry("rustc", "1.95.0"),
            entry("kit", "1"),
            entry("wit-component", "0.262.0"),
        ];
        assert_eq!(inspection.producers.tools, tools);
    }
}
