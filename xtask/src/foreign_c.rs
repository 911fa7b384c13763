//! A C compiler that compiles nothing, for `cargo check` of other systems.
//!
//! Dependencies with C in them (the engine's signal handlers, TLS's arithmetic) compile it in their build scripts, also when
//! Cargo only checks. Nothing links the result then: Rust's side of those crates declares what the C side holds. So
//! where no compiler for the system is installed, this program takes its place and that of the archiver: it makes empty
//! files where objects are expected. Rust code is checked in full; C code, which is not ours, is not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// The word that makes this program act as a compiler or an archiver.
pub const TASK: &str = "foreign-c";

/// Has the build scripts of a `cargo check` for `target` call this program instead of a C compiler.
pub fn pretend(command: &mut Command, target: &str) -> Result<()> {
    let program = std::env::current_exe().context("a process knows its own file")?;
    let target = target.replace('-', "_");
    for tool in ["CC", "AR"] {
        command.env(format!("{tool}_{target}"), format!("{} {TASK}", program.display()));
    }
    // Apple's targets ask for a folder of system headers; any folder will do, since nothing is included.
    command.env("SDKROOT", "/");
    Ok(())
}

/// Acts as a compiler or an archiver.
pub fn run(args: &[String]) -> Result<()> {
    match product(args) {
        Some(file) => fs::write(&file, []).with_context(|| format!("cannot write {}", file.display())),
        None => Ok(()),
    }
}

/// The file that is expected: after `-o`, or the archive among an archiver's arguments.
fn product(args: &[String]) -> Option<PathBuf> {
    let object = args
        .iter()
        .position(|arg| arg == "-o")
        .and_then(|flag| args.get(flag + 1));
    let archive = || {
        args.iter()
            .find(|arg| Path::new(arg).extension().is_some_and(|extension| extension == "a"))
    };
    object.or_else(archive).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_product(args: &str, expected: Option<&str>) {
        let args: Vec<_> = args.split_whitespace().map(str::to_owned).collect();
        assert_eq!(product(&args), expected.map(PathBuf::from), "{args:?}");
    }

    #[test]
    fn products_are_objects_and_archives() {
        check_product("-O2 -o out/a.o -c a.c", Some("out/a.o"));
        check_product("cq out/liba.a a.o b.o", Some("out/liba.a"));
        check_product("s out/liba.a", Some("out/liba.a"));
        check_product("-E family.c", None);
    }
}
