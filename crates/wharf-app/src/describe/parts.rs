//! What the bytes of a file are: its sections, and the modules and components that are nested in it.

use std::collections::HashMap;

use serde::Serialize;
use wasmparser::{
    ComponentName, ComponentNameSectionReader, Encoding, KnownCustom, Name, NameSectionReader, Parser, Payload, TypeRef,
};

use super::groups::{Group, group};
use crate::inspect::InspectError;

/// How deep components may nest for their parts to be told, which whoever reads the description does by calls within calls.
/// Compositions of compositions have a handful of levels.
const DEPTH_MAX: usize = 64;

/// The file itself, or a module or component inside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Part {
    /// What it is.
    pub kind: PartKind,
    /// The name that its tools have left in it, if they have.
    pub name: Option<String>,
    /// Its size, with all that is nested in it.
    pub bytes: u64,
    /// Its own sections, the largest first; those of one name together.
    pub sections: Vec<SectionSize>,
    /// Whose code its functions are; of a module that names them.
    pub code: Vec<Group>,
    /// What is nested in it, in the file's order.
    pub parts: Vec<Part>,
}

/// What a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartKind {
    /// A component.
    Component,
    /// A core module.
    Module,
}

/// The size of a section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SectionSize {
    /// `code`, `data`, ...; of a custom section, its own name.
    pub name: String,
    /// Size of its content.
    pub bytes: u64,
}

impl Part {
    /// Walks through a file.
    ///
    /// # Errors
    /// When its structure is broken, or nests too deeply.
    pub fn read(bytes: &[u8]) -> Result<Self, InspectError> {
        let mut open: Vec<Reading> = Vec::new();
        // The outermost has no length of its own.
        let mut length = bytes.len() as u64;
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload?;
            match &payload {
                Payload::Version { encoding, range, .. } => {
                    if open.len() == DEPTH_MAX {
                        return Err(InspectError::TooDeep { offset: range.start });
                    }
                    open.push(Reading::new(*encoding, length));
                }
                Payload::ModuleSection { unchecked_range, .. } | Payload::ComponentSection { unchecked_range, .. } => {
                    length = unchecked_range.end.saturating_sub(unchecked_range.start);
                }
                Payload::End(_) => {
                    let Some(part) = open.pop().map(Reading::finish) else {
                        break;
                    };
                    match open.last_mut() {
                        Some(parent) => parent.part.parts.push(part),
                        None => return Ok(part),
                    }
                }
                _ => {
                    if let Some(reading) = open.last_mut() {
                        reading.take(&payload)?;
                    }
                }
            }
        }
        Err(InspectError::Truncated {
            offset: bytes.len() as u64,
        })
    }

    /// Calls `look` with this part and all within it, each with how deep it lies.
    pub fn each<'a>(&'a self, depth: usize, look: &mut impl FnMut(&'a Part, usize)) {
        look(self, depth);
        for part in &self.parts {
            part.each(depth + 1, look);
        }
    }
}

/// A part that is being read.
struct Reading<'a> {
    part: Part,
    imported_functions: u32,
    /// Sizes of the functions' bodies, in their order.
    bodies: Vec<u64>,
    names: HashMap<u32, &'a str>,
}

impl<'a> Reading<'a> {
    fn new(encoding: Encoding, bytes: u64) -> Self {
        let kind = match encoding {
            Encoding::Module => PartKind::Module,
            Encoding::Component => PartKind::Component,
        };
        Self {
            part: Part {
                kind,
                name: None,
                bytes,
                sections: Vec::new(),
                code: Vec::new(),
                parts: Vec::new(),
            },
            imported_functions: 0,
            bodies: Vec::new(),
            names: HashMap::new(),
        }
    }

    fn take(&mut self, payload: &Payload<'a>) -> Result<(), InspectError> {
        match payload {
            Payload::CustomSection(section) => {
                match section.as_known() {
                    KnownCustom::Name(names) => self.names_of_module(names),
                    KnownCustom::ComponentName(names) => self.name_of_component(names),
                    _ => {}
                }
                self.add(section.name(), section.data().len() as u64);
                return Ok(());
            }
            Payload::ImportSection(imports) => {
                for import in imports.clone().into_imports() {
                    if matches!(import?.ty, TypeRef::Func(_) | TypeRef::FuncExact(_)) {
                        self.imported_functions += 1;
                    }
                }
            }
            Payload::CodeSectionEntry(body) => self.bodies.push(body.range().end - body.range().start),
            _ => {}
        }
        if let Some((id, range)) = payload.as_section() {
            self.add(section_name(self.part.kind, id), range.end.saturating_sub(range.start));
        }
        Ok(())
    }

    fn add(&mut self, name: &str, bytes: u64) {
        let sections = &mut self.part.sections;
        match sections.iter_mut().find(|section| section.name == name) {
            Some(section) => section.bytes += bytes,
            None => sections.push(SectionSize {
                name: name.to_owned(),
                bytes,
            }),
        }
    }

    /// Names help people; what cannot be read of them is left out.
    fn names_of_module(&mut self, names: NameSectionReader<'a>) {
        for name in names.into_iter().map_while(Result::ok) {
            match name {
                Name::Module { name, .. } => self.part.name = Some(name.to_owned()),
                Name::Function(functions) => {
                    let namings = functions.into_iter().map_while(Result::ok);
                    self.names.extend(namings.map(|naming| (naming.index, naming.name)));
                }
                _ => {}
            }
        }
    }

    fn name_of_component(&mut self, names: ComponentNameSectionReader<'a>) {
        for name in names.into_iter().map_while(Result::ok) {
            if let ComponentName::Component { name, .. } = name {
                self.part.name = Some(name.to_owned());
            }
        }
    }

    fn finish(mut self) -> Part {
        if !self.names.is_empty() {
            let functions = (self.imported_functions..).zip(&self.bodies);
            let named = functions.map(|(index, bytes)| (self.names.get(&index).copied().unwrap_or_default(), *bytes));
            self.part.code = group(named);
        }
        self.part
            .sections
            .sort_by_key(|section| std::cmp::Reverse(section.bytes));
        self.part
    }
}

/// What a section is called (Core Specification section 5.5.2; Component Model, Binary.md).
fn section_name(kind: PartKind, id: u8) -> &'static str {
    const OF_MODULES: [&str; 14] = [
        "custom",
        "types",
        "imports",
        "functions",
        "tables",
        "memories",
        "globals",
        "exports",
        "start",
        "elements",
        "code",
        "data",
        "data count",
        "tags",
    ];
    const OF_COMPONENTS: [&str; 13] = [
        "custom",
        "modules",
        "core instances",
        "core types",
        "components",
        "instances",
        "aliases",
        "types",
        "lifts and lowers",
        "start",
        "imports",
        "exports",
        "values",
    ];
    let names: &[&str] = match kind {
        PartKind::Module => &OF_MODULES,
        PartKind::Component => &OF_COMPONENTS,
    };
    names.get(usize::from(id)).copied().unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Part {
        Part::read(&wat::parse_str(text).unwrap()).unwrap()
    }

    #[test]
    fn parts_have_names_sections_and_groups() {
        let part = read(
            r#"(component $outer
                (core module $main
                    (import "a" "b" (func $runtime.imported))
                    (func $runtime.alloc (drop (i32.const 1)))
                    (func $other)
                    (memory 1)
                    (data (i32.const 0) "0123456789012345678901234567890123456789"))
                (component $inner (core module)))"#,
        );
        let mut told = Vec::new();
        part.each(0, &mut |part, depth| told.push((depth, part.kind, part.name.clone())));
        let named = |name: &str| Some(name.to_owned());
        assert_eq!(
            told,
            [
                (0, PartKind::Component, named("outer")),
                (1, PartKind::Module, named("main")),
                (1, PartKind::Component, named("inner")),
                (2, PartKind::Module, None),
            ]
        );
        let main = &part.parts[0];
        let bytes = |name: &str| main.sections.iter().find(|section| section.name == name).unwrap().bytes;
        assert!(bytes("data") >= 40 && bytes("code") > 0 && bytes("memories") > 0);
        // The imported function has a name and no code.
        let groups: Vec<_> = main
            .code
            .iter()
            .map(|group| (group.name.as_str(), group.functions))
            .collect();
        assert_eq!(groups, [("runtime", 1), ("", 1)]);
        assert!(main.bytes + part.parts[1].bytes < part.bytes);
    }

    #[test]
    fn what_nests_too_deeply_is_refused() {
        let nested = |levels: usize| format!("{}{}", "(component ".repeat(levels), ")".repeat(levels));
        read(&nested(DEPTH_MAX));
        let error = Part::read(&wat::parse_str(nested(DEPTH_MAX + 1)).unwrap()).unwrap_err();
        assert!(matches!(error, InspectError::TooDeep { .. }), "{error}");
    }
}
