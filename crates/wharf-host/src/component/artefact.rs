//! Compiled components as files that people keep and carry: made here, and taken here when somebody vouches for them.
//!
//! The cache beside this takes what it wrote itself. A file that comes from elsewhere is machine code of whoever made it, and no
//! check can tell good code from bad: so it is taken for the word of the one who runs it, and the digest in it finds damage, not
//! malice. Wasmtime refuses code of another version, for another processor or with other settings.

use std::path::Path;

use wasmtime::component::Component as Compiled;
use wharf_app::artefact::{self, Note};

use super::{Component, ComponentError, inspect};
use crate::engine::{Engine, EngineOptions, compiler};

/// Compiles `bytes` to the content of a file that [`Component::from_artefact`] takes: for engines with these `options`, on the
/// target triple `target`, or on processors that can do what this one can. `name` is for messages only.
///
/// # Errors
/// When the bytes are no component or do not compile, or nothing here compiles for the target.
pub fn compile(
    options: &EngineOptions,
    target: Option<&str>,
    name: &str,
    bytes: &[u8],
) -> Result<Vec<u8>, ComponentError> {
    let inspection = inspect(name, bytes)?;
    let engine = compiler(options, target).map_err(|error| ComponentError::Target {
        target: target.unwrap_or("this machine").to_owned(),
        error,
    })?;
    let compile_error = |error| ComponentError::Compile {
        name: name.into(),
        error,
    };
    let code = engine.precompile_component(bytes).map_err(compile_error)?;
    let note = Note {
        target: target.map(str::to_owned),
        component: digest(bytes),
        code: digest(&code),
        ..Note::new(&inspection, bytes.len() as u64)
    };
    artefact::seal(&code, &note).map_err(|error| compile_error(wasmtime::Error::new(error)))
}

fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

impl Component {
    /// Whether the content of a file is compiled code, of Wharf's or not.
    pub fn is_artefact(file: &[u8]) -> bool {
        artefact::is_compiled(file)
    }

    /// The component whose compiled code [`compile`] made. `name` is for messages only.
    ///
    /// # Safety
    /// The code runs as a part of this process. Whoever calls this must have it from somebody that is trusted as much as whoever
    /// made this program.
    ///
    /// # Errors
    /// When the file is something else, is damaged, or was compiled for another engine or machine.
    #[expect(unsafe_code, reason = "compiled code is trusted on the caller's word")]
    pub unsafe fn from_artefact(engine: &Engine, name: &str, file: &[u8]) -> Result<Self, ComponentError> {
        let Some((code, note)) = artefact::open(file) else {
            return Err(ComponentError::NotOurs { name: name.into() });
        };
        if digest(code) != note.code {
            return Err(ComponentError::Damaged { name: name.into() });
        }
        // SAFETY: the caller vouches for the code, and Wasmtime copies it: nobody changes it while it runs.
        let compiled = unsafe { Compiled::deserialize(engine.wasmtime(), code) };
        let compiled = compiled.map_err(|error| ComponentError::OtherEngine {
            name: name.into(),
            component: source_name(name),
            made_by: note.wharf.clone(),
            error,
        })?;
        Ok(Self::of(engine, name, note.inspection(), compiled))
    }
}

/// What the component that the code is of may be called.
fn source_name(name: &str) -> String {
    Path::new(name).with_extension("wasm").display().to_string()
}
