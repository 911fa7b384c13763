//! Compiled code, as far as can be told without an engine: an ELF file of Wasmtime's kind, with Wharf's note behind it or without.

use serde::Serialize;

use super::parts::SectionSize;
use crate::artefact::{self, Note};

/// The section in which Wasmtime says what its code fits: a number, a length, as much of a version, then settings.
const ENGINE_SECTION: &str = ".wasmtime.engine";

/// What a compiled file says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CompiledCode {
    /// The version of Wasmtime that it fits.
    pub wasmtime: Option<String>,
    /// The processor that it is for.
    pub processor: &'static str,
    /// Whether it was a component or a core module.
    pub of: &'static str,
    /// The sections of the ELF file, the largest first.
    pub sections: Vec<SectionSize>,
    /// What it was compiled from, where `wharf compile` made it.
    pub component: Option<Note>,
}

impl CompiledCode {
    /// What a file says, or `None` where it is something else.
    pub fn read(file: &[u8]) -> Option<Self> {
        if !artefact::is_compiled(file) {
            return None;
        }
        let mut sections = Vec::new();
        let mut wasmtime = None;
        for (name, content) in sections_of(file).unwrap_or_default() {
            if name == ENGINE_SECTION {
                wasmtime = version(content);
            }
            sections.push(SectionSize {
                name,
                bytes: content.len() as u64,
            });
        }
        sections.sort_by_key(|section| std::cmp::Reverse(section.bytes));
        Some(Self {
            wasmtime,
            processor: processor(number(file, 18, 2)),
            of: match number(file, 48, 4) {
                Some(flags) if flags & 1 != 0 => "module",
                Some(flags) if flags & 2 != 0 => "component",
                _ => "unknown",
            },
            sections,
            component: artefact::open(file).map(|(_, note)| note),
        })
    }
}

/// `EI_MACHINE`.
fn processor(machine: Option<u64>) -> &'static str {
    match machine {
        Some(0x3e) => "x86_64",
        Some(0xb7) => "aarch64",
        Some(0xf3) => "riscv64",
        Some(0x16) => "s390x",
        _ => "unknown",
    }
}

fn version(content: &[u8]) -> Option<String> {
    let (length, rest) = content.get(1..)?.split_first()?;
    let version = std::str::from_utf8(rest.get(..usize::from(*length))?).ok()?;
    let is_version = version.chars().all(|c| c.is_ascii_alphanumeric() || ".+-".contains(c));
    (is_version && !version.is_empty()).then(|| version.to_owned())
}

/// The sections that have content in the file, by name; `None` where the headers are damaged. Little-endian, as all that Wharf
/// runs on is.
fn sections_of(file: &[u8]) -> Option<Vec<(String, &[u8])>> {
    const ENTRY_BYTES: usize = 64;
    const WITHOUT_CONTENT: u64 = 8;
    let at = usize::try_from(number(file, 0x28, 8)?).ok()?;
    let (count, names) = (number(file, 0x3c, 2)? as usize, number(file, 0x3e, 2)? as usize);
    let entry = |index: usize| {
        let from = at.checked_add(index.checked_mul(ENTRY_BYTES)?)?;
        file.get(from..from.checked_add(ENTRY_BYTES)?)
    };
    let content = |entry: &[u8]| {
        let from = usize::try_from(number(entry, 0x18, 8)?).ok()?;
        let length = usize::try_from(number(entry, 0x20, 8)?).ok()?;
        file.get(from..from.checked_add(length)?)
    };
    let names = content(entry(names)?)?;
    let name = |entry: &[u8]| {
        let name = names.get(number(entry, 0, 4)? as usize..)?;
        let end = name.iter().position(|byte| *byte == 0)?;
        Some(String::from_utf8_lossy(&name[..end]).into_owned())
    };
    let mut sections = Vec::new();
    for index in 1..count {
        let entry = entry(index)?;
        if number(entry, 4, 4)? != WITHOUT_CONTENT {
            sections.push((name(entry)?, content(entry)?));
        }
    }
    Some(sections)
}

fn number(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(length)?)?;
    Some(
        bytes
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_where_there_is_one() {
        for (content, expected) in [
            (&b"\x00\x0248..."[..], Some("48")),
            (b"\x00\x0648.0.8 ", Some("48.0.8")),
            (b"\x00\x00", None),
            (b"\x00\x0948", None),
            (b"\x00\x02\xff\xff", None),
            (b"", None),
        ] {
            assert_eq!(version(content).as_deref(), expected, "{content:?}");
        }
    }

    #[test]
    fn a_damaged_file_is_told_as_far_as_it_goes() {
        assert_eq!(CompiledCode::read(b"\x7fELF\x02\x01\x01\x00 a native program"), None);
        // Headers that point past the end.
        let mut file = b"\x7fELF\x02\x01\x01\xc8".to_vec();
        file.resize(64, 0xff);
        file[18..20].copy_from_slice(&[0x3e, 0]);
        let told = CompiledCode::read(&file).unwrap();
        assert_eq!(
            (told.processor, told.sections.len(), told.wasmtime),
            ("x86_64", 0, None)
        );
    }
}
