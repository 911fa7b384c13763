//! `wharf compile`: a component's code as a file.
//!
//! It is compiled in a process with limits, as a server's components are; here it is read, and put where it is wanted.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use wharf_server::manifest::read;

use super::said;
use crate::cli::tools::Compile;
use crate::load;
use crate::size::size;

/// Compiles a file.
pub fn compile(compile: &Compile) -> ExitCode {
    said(try_compile(compile))
}

fn try_compile(compile: &Compile) -> anyhow::Result<String> {
    let name = compile.file.display().to_string();
    let output = compile
        .output
        .clone()
        .unwrap_or_else(|| compile.file.with_extension("cwasm"));
    ensure!(
        output != compile.file,
        "{name}: the code would take the component's place: name another file with -o"
    );
    load::refuse_folder(&compile.file)?;
    let bytes = read::regular(&compile.file, read::COMPONENT_BYTES_MAX);
    let bytes = bytes.with_context(|| format!("cannot read {name}"))?;
    let code = crate::compile::artefact(&name, &bytes, compile.target.as_deref(), compile.in_little_space)?;
    put(&output, &code).with_context(|| format!("cannot write {}", output.display()))?;
    Ok(format!(
        "{}: {} of code from {} of {name}\n",
        output.display(),
        size(code.len() as u64),
        size(bytes.len() as u64)
    ))
}

/// Writes beside the place and renames into it: nobody sees half a file, and a server that has the old one mapped keeps it. Folders above
/// it are made.
pub(super) fn put(output: &Path, code: &[u8]) -> io::Result<()> {
    if let Some(folder) = output.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut draft = OsString::from(output);
    draft.push(format!(".{}.draft", std::process::id()));
    let draft = PathBuf::from(draft);
    let written = fs::write(&draft, code).and_then(|()| fs::rename(&draft, output));
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written
}
