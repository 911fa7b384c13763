//! The Rust toolchain, and what rustup adds to it.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use wharf_build::cargo;

use crate::workspace::{output, shown};

pub use wharf_build::cargo::TARGET as GUEST_TARGET;

/// Makes sure that the standard library of `target` is installed, by rustup where it is not.
pub fn add_target(target: &str) -> Result<()> {
    let is_there = || Ok(library_folder(target)?.is_some());
    let package = format!("the package of your system with Rust's standard library for {target}");
    add("target", target, is_there, &package)
}

/// The program that reads and merges what programs built by this toolchain have counted: of its own LLVM, since another release's
/// need not know the format. Added by rustup where it is not installed.
pub fn profile_tool(host: &str) -> Result<PathBuf> {
    let library = library_folder(host)?.context("this toolchain has no standard library for its own system")?;
    let tool = library.with_file_name("bin").join("llvm-profdata");
    let tool = tool.with_extension(std::env::consts::EXE_EXTENSION);
    add(
        "component",
        "llvm-tools",
        || Ok(tool.is_file()),
        "a Rust toolchain that has it",
    )?;
    Ok(tool)
}

/// The system that this toolchain builds for unless it is told otherwise.
pub fn host() -> Result<String> {
    let version = String::from_utf8(output(Command::new(rustc()).arg("-vV"))?)?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc -vV names no host")
}

/// Has rustup add what is not there. `instead` is what brings it to a toolchain that is not rustup's.
fn add(kind: &str, name: &str, is_there: impl Fn() -> Result<bool>, instead: &str) -> Result<()> {
    if is_there()? {
        return Ok(());
    }
    let mut command = Command::new("rustup");
    command.args([kind, "add", name]).stdout(Stdio::null());
    match command.output() {
        Ok(output) if output.status.success() && is_there()? => {
            println!("Added the {kind} {name}");
            Ok(())
        }
        Ok(output) => bail!(
            "{} failed: {}",
            shown(&command),
            String::from_utf8_lossy(&output.stderr).trim()
        ),
        Err(error) if error.kind() == ErrorKind::NotFound => bail!(
            "this toolchain has no {kind} {name}, and rustup, which could add it, is not installed: install rustup from \
             https://rustup.rs, or {instead}"
        ),
        Err(error) => Err(error).with_context(|| format!("cannot start {}", shown(&command))),
    }
}

/// Asks the compiler, not rustup: a toolchain from elsewhere may have the target, too.
fn library_folder(target: &str) -> Result<Option<PathBuf>> {
    Ok(cargo::library_folder(Path::new(&rustc()), target)?)
}

fn rustc() -> OsString {
    std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())
}
