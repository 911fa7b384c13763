//! Builds the guests of the tests: every example of the workspace `tests/guests` as a component, and the example services
//! (`example-NAME`).
//!
//! Each lands in `target/guests/NAME.wasm`, where the tests' harness looks for it. A guest that did not change keeps its
//! file, so that whatever is derived from it (compiled code in a cache) stays good. Those that the benchmarks measure are
//! built as projects of `wharf new` are; the others take less time to link.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use wharf_build::cargo::{Artifact, artifacts};

use crate::examples;
use crate::toolchain::{GUEST_TARGET, add_target};
use crate::workspace::{Workspace, output};

/// As `wharf build` builds what `wharf new` made: optimised for time, and as one piece.
const MEASURED: &str = "measured";

/// Builds all guests and removes those whose source is gone.
pub fn build(workspace: &Workspace) -> Result<()> {
    add_target(GUEST_TARGET)?;
    let folder = workspace.target().join("guests");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut names = Vec::new();
    let mut built = compile(workspace, &["--release", "--examples"])?;
    let measured: Vec<_> = built.keys().filter(|name| is_measured(name)).cloned().collect();
    let choice = measured.iter().flat_map(|name| ["--example", name]);
    let options: Vec<_> = ["--profile", MEASURED].into_iter().chain(choice).collect();
    built.extend(compile(workspace, &options)?);
    for example in examples::names(workspace)? {
        built.insert(format!("example-{example}"), examples::build(workspace, &example)?);
    }
    for (name, file) in built {
        let component = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        store(&folder, &name, &component)?;
        names.push(name);
    }
    remove_others(&folder, &names)
}

/// Whether the benchmarks run a guest.
fn is_measured(name: &str) -> bool {
    name.starts_with("bench") || name.ends_with("-hello")
}

/// Compiles examples; returns the components' files by the examples' names.
fn compile(workspace: &Workspace, options: &[&str]) -> Result<BTreeMap<String, PathBuf>> {
    let mut command = workspace.cargo(["build", "--quiet", "--workspace"]);
    command.args(options);
    command.args(["--target", GUEST_TARGET, "--message-format", "json-render-diagnostics"]);
    command
        .arg("--manifest-path")
        .arg(workspace.root().join("tests/guests/Cargo.toml"));
    command.arg("--target-dir").arg(workspace.target().join("guests-build"));
    let messages = output(&mut command)?;
    let mut guests = BTreeMap::new();
    let built = artifacts(&messages).context("cargo wrote a line that is not JSON")?;
    for Artifact { name, file, .. } in built.into_iter().filter(|built| built.kind == "example") {
        if guests.insert(name.clone(), file).is_some() {
            bail!("two guests have the name {name}");
        }
    }
    Ok(guests)
}

/// Writes a guest if it changed. The file appears whole or not at all: tests of another run may be reading it.
fn store(folder: &Path, name: &str, component: &[u8]) -> Result<()> {
    let file = folder.join(format!("{name}.wasm"));
    if fs::read(&file).is_ok_and(|old| old == component) {
        return Ok(());
    }
    let unfinished = folder.join(format!("{name}.{}.unfinished", std::process::id()));
    fs::write(&unfinished, component)
        .and_then(|()| fs::rename(&unfinished, &file))
        .with_context(|| format!("cannot write {}", file.display()))?;
    println!("Built the guest {name} ({} KiB)", component.len() / 1024);
    Ok(())
}

/// Removes what has no source here, but for the guests of `bench_guests`, which are built elsewhere and take longer.
fn remove_others(folder: &Path, names: &[String]) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let file = entry?.path();
        let name = file.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        let is_of_bench = name.starts_with("bench-python") || name.starts_with("bench-go");
        if !is_of_bench && !names.iter().any(|known| known == name) {
            fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
        }
    }
    Ok(())
}
