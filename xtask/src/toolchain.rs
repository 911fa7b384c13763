//! The Rust toolchain and its targets, and programs that come from the system.

use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::workspace::{output, shown};

/// The target that guests are built for.
pub const GUEST_TARGET: &str = "wasm32-wasip2";

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
    let path = output(Command::new(rustc).args(["--print", "target-libdir", "--target", target]))?;
    let path = String::from_utf8(path).context("the path of a target is not UTF-8")?;
    Ok(Path::new(path.trim_end()).is_dir())
}

/// Makes sure that the program `name` is there: from Debian's package of that name where this system and user allow it.
pub fn debian_package(name: &str) -> Result<()> {
    if is_program(name) {
        return Ok(());
    }
    let mut update = Command::new("apt-get");
    let mut install = Command::new("apt-get");
    let commands = [update.arg("update"), install.args(["install", "--yes", name])];
    for command in commands {
        let done = command.env("DEBIAN_FRONTEND", "noninteractive").output();
        if !done.is_ok_and(|output| output.status.success()) {
            bail!("{name} is not installed; install it, on Debian as root by `apt-get install {name}`");
        }
    }
    match is_program(name) {
        true => Ok(()),
        false => bail!("the package {name} has no program {name}"),
    }
}

fn is_program(name: &str) -> bool {
    let version = Command::new(name)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    version.is_ok_and(|status| status.success())
}
