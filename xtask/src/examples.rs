//! Builds the examples: each folder of `examples` with a `Cargo.toml` is one, a package with one component. Those with a
//! `wharf.toml` are apps with pages; the others are services, which need none. Those with a `wharf.toml` alone are of several languages.

use std::env::consts::EXE_SUFFIX;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use wharf_build::cargo::artifacts;

use crate::bench_guests;
use crate::toolchain::{GUEST_TARGET, add_target};
use crate::tools;
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

/// The names of those that are apps of several languages, which `wharf build` builds.
pub fn mixed(workspace: &Workspace) -> Result<Vec<String>> {
    let folder = workspace.root().join("examples");
    let mut names = Vec::new();
    for entry in folder.read_dir().context("there is no folder examples")? {
        let path = entry?.path();
        if path.join("wharf.toml").is_file() && !path.join("Cargo.toml").is_file() {
            names.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

/// Builds the app `name` of several languages with `program`; returns its folder. What its languages need of tools is installed below
/// the target folder, not into the example's.
pub fn build_mixed(workspace: &Workspace, program: &Path, name: &str) -> Result<PathBuf> {
    add_target(GUEST_TARGET)?;
    let python = bench_guests::python_packages(workspace)?;
    ensure!(
        tools::npm_package(workspace, "componentize-qjs", "0.4.5"),
        "componentize-qjs cannot be had"
    );
    let npm = tools::folder(workspace).join("npm/node_modules/.bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = [python.join("go/bin"), python.join("bin"), npm];
    let path = std::env::join_paths(folders.into_iter().chain(std::env::split_paths(&path)))?;
    let folder = workspace.root().join("examples").join(name);
    let mut command = Command::new(program);
    command
        .arg("build")
        .arg(&folder)
        .env("PATH", path)
        .env("PYTHONPATH", python);
    command.env("CARGO_TARGET_DIR", workspace.target().join("guests-build"));
    run(&mut command)?;
    Ok(folder)
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
