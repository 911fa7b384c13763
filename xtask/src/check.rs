//! What must hold of every change, beside its tests.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::examples;
use crate::foreign_c;
use crate::toolchain::add_target;
use crate::workspace::{Workspace, run, shown};

/// Other systems that the code must compile for.
const OTHER_TARGETS: [&str; 3] = [
    "aarch64-unknown-linux-gnu",
    "aarch64-apple-darwin",
    "x86_64-pc-windows-gnu",
];

type Check = fn(&Workspace) -> Result<()>;

const CHECKS: &[(&str, Check)] = &[
    ("formatting", formatting),
    ("clippy", clippy),
    ("tidy", tidy),
    ("documentation", documentation),
];

/// Compiling for other systems takes as long as all the rest together.
const CHECKS_ELSEWHERE: &[(&str, Check)] = &[("other systems", other_systems)];

/// Runs every check, also after one has failed, so that one run shows everything. With `here`, all but those for
/// other systems.
pub fn check(workspace: &Workspace, here: bool) -> Result<()> {
    let elsewhere = if here { &[] } else { CHECKS_ELSEWHERE };
    let mut failed = Vec::new();
    for (name, check) in CHECKS.iter().chain(elsewhere) {
        println!("--- {name}");
        if let Err(error) = check(workspace) {
            eprintln!("error: {error:#}");
            failed.push(*name);
        }
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    println!("All checks passed");
    Ok(())
}

fn formatting(workspace: &Workspace) -> Result<()> {
    for manifest in manifests(workspace)? {
        run(workspace
            .cargo(["fmt", "--all", "--manifest-path"])
            .arg(manifest)
            .args(["--", "--check"]))?;
    }
    Ok(())
}

/// The workspace's manifest, the guests' and the examples'.
fn manifests(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let root = workspace.root();
    let mut manifests = vec![root.join("Cargo.toml"), root.join("tests/guests/Cargo.toml")];
    let examples = examples::names(workspace)?;
    manifests.extend(examples.iter().map(|name| examples::manifest(workspace, name)));
    // The part in Rust of an app that is mostly not.
    manifests.push(root.join("examples/polyglot/cache/Cargo.toml"));
    Ok(manifests)
}

fn clippy(workspace: &Workspace) -> Result<()> {
    run(&mut workspace.cargo(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

fn tidy(workspace: &Workspace) -> Result<()> {
    run(&mut workspace.cargo(["test", "--workspace", "--test", "tidy"]))
}

fn documentation(workspace: &Workspace) -> Result<()> {
    run(workspace
        .cargo(["doc", "--workspace", "--no-deps"])
        .env("RUSTDOCFLAGS", "-D warnings"))
}

/// Compiles for other systems up to machine code. What a machine lacks for that is said and passed over: the toolchain
/// may come without rustup.
fn other_systems(workspace: &Workspace) -> Result<()> {
    for target in OTHER_TARGETS {
        if let Err(error) = add_target(target) {
            println!("skipped {target}: {error:#}");
            continue;
        }
        let mut command = workspace.cargo(["check", "--workspace", "--all-targets", "--target", target]);
        foreign_c::pretend(&mut command, target)?;
        run_unless_dependency_cannot_build(&mut command, target)?;
    }
    Ok(())
}

/// Our crates have no build scripts. Where a dependency's fails, this machine cannot build that dependency for the
/// target, which says nothing about our code.
fn run_unless_dependency_cannot_build(command: &mut Command, target: &str) -> Result<()> {
    let name = shown(command);
    let output = command
        .stderr(Stdio::piped())
        .output()
        .with_context(|| format!("cannot start {name}"))?;
    let messages = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        println!("{target} compiles");
        return Ok(());
    }
    eprintln!("{messages}");
    match messages
        .lines()
        .find(|line| line.contains("failed to run custom build command for"))
    {
        Some(line) => println!("skipped {target}: {}", line.trim()),
        None => bail!("{name} failed ({})", output.status),
    }
    Ok(())
}
