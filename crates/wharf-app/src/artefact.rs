//! Compiled components as files: the code, a note of what it was made from, and a tail by which both are found.
//!
//! The code comes first, so that the file is what Wasmtime itself writes, with something behind it. The note is JSON and says what
//! the component imports and exports, which the code alone does not. Whether code is trusted, and whether it fits an engine, is
//! decided where it is run (`wharf-host`).

use serde::{Deserialize, Serialize};

use crate::describe::Tool;
use crate::inspect::{Export, Import, Inspection, Producers};

/// The end of every such file; it changes when the layout does.
const MAGIC: &[u8; 8] = b"WHARF\0A1";

/// Length of the code, length of the note, magic.
const TAIL_BYTES: usize = 8 + 8 + MAGIC.len();

/// What compiled code was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Note {
    /// The version of Wharf that compiled it.
    pub wharf: String,
    /// The target triple that it was compiled for; without one, for the machine that compiled it.
    pub target: Option<String>,
    /// The component's size.
    pub bytes: u64,
    /// The component's BLAKE3 digest, in hexadecimal.
    pub component: String,
    /// The code's BLAKE3 digest, in hexadecimal: finds damage, and nothing else.
    pub code: String,
    /// What it imports, each with whether it is required.
    pub imports: Vec<(String, bool)>,
    /// What it exports.
    pub exports: Vec<String>,
    /// What it was written in.
    pub languages: Vec<Tool>,
    /// What it was made by.
    pub tools: Vec<Tool>,
}

impl Note {
    /// The note of what was compiled, without digests and target.
    pub fn new(inspection: &Inspection, bytes: u64) -> Self {
        let tools = |entries: &[(String, String)]| {
            let tool = |(name, version): &(String, String)| Tool {
                name: name.clone(),
                version: version.clone(),
            };
            entries.iter().map(tool).collect()
        };
        Self {
            wharf: env!("CARGO_PKG_VERSION").to_owned(),
            target: None,
            bytes,
            component: String::new(),
            code: String::new(),
            imports: inspection
                .imports
                .iter()
                .map(|import| (import.name.clone(), import.required))
                .collect(),
            exports: inspection.exports.iter().map(|export| export.name.clone()).collect(),
            languages: tools(&inspection.producers.languages),
            tools: tools(&inspection.producers.tools),
        }
    }

    /// What [`Inspection::new`] said of the component.
    pub fn inspection(&self) -> Inspection {
        let import = |(name, required): &(String, bool)| Import {
            interface: name.parse().ok(),
            name: name.clone(),
            required: *required,
        };
        let export = |name: &String| Export {
            interface: name.parse().ok(),
            name: name.clone(),
        };
        let entries = |tools: &[Tool]| {
            let entry = |tool: &Tool| (tool.name.clone(), tool.version.clone());
            tools.iter().map(entry).collect()
        };
        Inspection {
            imports: self.imports.iter().map(import).collect(),
            exports: self.exports.iter().map(export).collect(),
            producers: Producers {
                languages: entries(&self.languages),
                tools: entries(&self.tools),
            },
        }
    }
}

/// The content of a file with `code` and `note`.
///
/// # Errors
/// None that is known: a note can be written.
pub fn seal(code: &[u8], note: &Note) -> serde_json::Result<Vec<u8>> {
    let note = serde_json::to_vec(note)?;
    let lengths = [code.len() as u64, note.len() as u64].map(u64::to_le_bytes);
    Ok([code, &note, &lengths[0], &lengths[1], MAGIC].concat())
}

/// The code and the note of such a file, or `None` where it is none or is cut off.
pub fn open(file: &[u8]) -> Option<(&[u8], Note)> {
    let (content, tail) = file.split_at_checked(file.len().checked_sub(TAIL_BYTES)?)?;
    let (lengths, magic) = tail.split_at_checked(16)?;
    if magic != MAGIC {
        return None;
    }
    let length = |at: usize| usize::try_from(u64::from_le_bytes(lengths.get(at..at + 8)?.try_into().ok()?)).ok();
    let (code, note) = content.split_at_checked(length(0)?)?;
    let is_whole = note.len() == length(8)?;
    let note = serde_json::from_slice(note).ok()?;
    is_whole.then_some((code, note))
}

/// Whether a file begins as compiled code does, Wharf's or not: an ELF file of Wasmtime's kind.
pub fn is_compiled(file: &[u8]) -> bool {
    /// Wasmtime's own value of `EI_OSABI`.
    const OSABI: u8 = 200;
    file.starts_with(b"\x7fELF") && file.get(7) == Some(&OSABI)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note() -> Note {
        let text = r#"(component (import "a:b/c@1.0.0" (instance (export "f" (func)))) (import "wasi:cli/types@0.3.0" (instance))
            (component $c) (instance $i (instantiate $c)) (export "wasi:cli/run@0.3.0" (instance $i))
            (@producers (language "Go" "1.26")))"#;
        let bytes = wat::parse_str(text).unwrap();
        let inspection = Inspection::new(&bytes).unwrap();
        let note = Note::new(&inspection, bytes.len() as u64);
        assert_eq!(note.inspection(), inspection);
        note
    }

    #[test]
    fn a_file_gives_back_what_was_put_in_it() {
        for code in [&b""[..], b"code"] {
            let file = seal(code, &note()).unwrap();
            assert_eq!(open(&file), Some((code, note())));
        }
    }

    #[test]
    fn a_file_that_is_cut_off_or_something_else_is_none() {
        let file = seal(b"code", &note()).unwrap();
        for length in 0..file.len() {
            assert_eq!(open(&file[..length]), None, "{length}");
        }
        assert_eq!(open(&[&file[1..]].concat()), None, "a byte is gone at the beginning");
        assert_eq!(
            open(b"\0asm\x0d\0\x01\0 and much else that is longer than the tail"),
            None
        );
        let huge = [&u64::MAX.to_le_bytes()[..], &u64::MAX.to_le_bytes(), MAGIC].concat();
        assert_eq!(open(&huge), None);
    }
}
