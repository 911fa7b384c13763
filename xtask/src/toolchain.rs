//! The Rust toolchain and its targets.

use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use wharf_build::cargo;

use crate::workspace::shown;

pub use wharf_build::cargo::TARGET as GUEST_TARGET;

/// Makes sure that the standard library of `target` is installed, by rustup where it is not.
pub fn add_target(target: &str) -> Result<()> {
    if has_target(target)? {
        return Ok(());
    }
    let mut command = Command::new("rustup");
    command.args(["target", "add", target]).stdout(Stdio::null());
    match command.output() {
        Ok(output) if output.status.success() && has_target(target)? => {
            println!("Added the target {target}");
            Ok(())
        }
        Ok(output) => bail!(
            "{} failed: {}",
            shown(&command),
            String::from_utf8_lossy(&output.stderr).trim()
        ),
        Err(error) if error.kind() == ErrorKind::NotFound => bail!(
            "this toolchain has no target {target}, and rustup, which could add it, is not installed: \
             install rustup from https://rustup.rs, or the package of your system with Rust's standard library for {target}"
        ),
        Err(error) => Err(error).with_context(|| format!("cannot start {}", shown(&command))),
    }
}

/// Asks the compiler, not rustup: a toolchain from elsewhere may have the target, too.
fn has_target(target: &str) -> Result<bool> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    Ok(cargo::library_folder(Path::new(&rustc), target)?.is_some())
}
