//! Builds the examples: each folder of `examples` with a `Cargo.toml` is one, a package with one component. Those with a
//! `wharf.toml` are apps with pages; the others are services, which need none.

use std::env::consts::EXE_SUFFIX;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use wharf_build::cargo::artifacts;

use crate::toolchain::{GUEST_TARGET, add_target};
use crate::workspace::{Workspace, output, run};

/// The names of all examples.
pub fn names(workspace: &Workspace) -> Result<Vec<String>> {
    let folder = workspace.root().join("examples");
    let mut names = Vec::new();
    for entry in folder.read_dir().context("there is no folder examples")? {
        let entry = entry?;
        if entry.path().join("Cargo.toml").is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// The manifest of the example `name`.
pub fn manifest(workspace: &Workspace, name: &str) -> PathBuf {
    workspace.root().join("examples").join(name).join("Cargo.toml")
}

/// Builds the example `name` and returns what to serve: its folder if it is an app, with the component where the manifest
/// looks for it, as if it had been built there; else the component.
pub fn place(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    let component = build(workspace, name)?;
    let folder = workspace.root().join("examples").join(name);
    if !folder.join("wharf.toml").is_file() {
        return Ok(component);
    }
    let built = folder.join("target").join(GUEST_TARGET).join("release");
    let file = component.file_name().context("a component is a file")?;
    fs::create_dir_all(&built)
        .and_then(|()| fs::copy(&component, built.join(file)))
        .with_context(|| format!("cannot write into {}", built.display()))?;
    Ok(folder)
}

/// Builds what serves the example `name`: the program, or the example's own one in its folder `server`.
pub fn program(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    let own = workspace.root().join("examples").join(name).join("server/Cargo.toml");
    let package = match own.is_file() {
        true => format!("{name}-server"),
        false => "wharf".to_owned(),
    };
    run(&mut workspace.cargo(["build", "--package", &package]))?;
    Ok(workspace.program().with_file_name(format!("{package}{EXE_SUFFIX}")))
}

/// Builds the example `name`; returns its component's file.
pub fn build(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    add_target(GUEST_TARGET)?;
    let mut command = workspace.cargo([
        "build",
        "--quiet",
        "--release",
        "--target",
        GUEST_TARGET,
        "--manifest-path",
    ]);
    command.arg(manifest(workspace, name));
    command.arg("--target-dir").arg(workspace.target().join("guests-build"));
    let messages = output(command.args(["--message-format", "json-render-diagnostics"]))?;
    let built = artifacts(&messages).context("cargo wrote a line that is not JSON")?;
    let mut components = built.into_iter().map(|built| built.file);
    // What it depends on is built before it.
    components
        .next_back()
        .with_context(|| format!("the example {name} was built without a component"))
}
