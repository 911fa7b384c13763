//! Builds everybody who is measured, and measures them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::guests;
use crate::workspace::{Workspace, run};

/// The peer's release: the one that Wharf is built on.
const WASMTIME_VERSION: &str = "48.0.8";

/// Builds Wharf as people install it, the native server, the peer and the components; then measures. `args` are names of
/// workloads, `--quick` and `--rounds N`.
pub fn bench(workspace: &Workspace, args: &[String]) -> Result<()> {
    guests::build(workspace)?;
    // Each by itself, as somebody who installs it would.
    for package in ["wharf", "wharf-bench"] {
        println!("Building {package} (profile dist)");
        run(&mut workspace.cargo(["build", "--profile", "dist", "--package", package]))?;
    }
    let built = workspace.target().join("dist");
    let bin = workspace.target().join("bench/bin");
    fs::create_dir_all(&bin).with_context(|| format!("cannot make {}", bin.display()))?;
    put(&built.join("wharf"), &bin)?;
    put(&built.join("native"), &bin)?;
    put(&wasmtime(workspace)?, &bin)?;
    let mut command = Command::new(built.join("wharf-bench"));
    command.arg("--bin").arg(bin);
    command.arg("--guests").arg(workspace.target().join("guests"));
    command.arg("--out").arg(workspace.root().join("benches/results"));
    run(command.args(args))
}

/// The peer, installed if it is not there.
fn wasmtime(workspace: &Workspace) -> Result<PathBuf> {
    let root = workspace.target().join("bench-tools");
    let program = root.join("bin/wasmtime");
    if !program.is_file() {
        println!("Installing wasmtime {WASMTIME_VERSION}, which is compared with (takes minutes)");
        let mut install = workspace.cargo(["install", "wasmtime-cli", "--locked", "--version", WASMTIME_VERSION]);
        install.arg("--root").arg(&root);
        run(install.arg("--target-dir").arg(root.join("build")))?;
    }
    Ok(program)
}

fn put(program: &Path, folder: &Path) -> Result<()> {
    let name = program.file_name().context("a program has a name")?;
    fs::copy(program, folder.join(name)).with_context(|| format!("cannot copy {}", program.display()))?;
    Ok(())
}
