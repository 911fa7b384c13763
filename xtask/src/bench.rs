//! Builds everybody who is measured, and measures them.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::bench_guests;
use crate::debian;
use crate::dist;
use crate::guests;
use crate::tools::Tool;
use crate::workspace::{Workspace, run};

/// The release that Wharf is built on.
pub const WASMTIME: Tool = Tool {
    program: "wasmtime",
    package: "wasmtime-cli",
    version: "48.0.8",
    flags: &[],
};

/// Programs of others' that are measured, or measure.
const TOOLS: &[Tool] = &[
    WASMTIME,
    // The newest when the workload `rate` was written. Its one default feature by name: a later release may have more.
    Tool {
        program: "oha",
        package: "oha",
        version: "1.16.0",
        flags: &["--no-default-features", "--features", "rustls"],
    },
];

/// Servers that some workloads ask. They are installed by `cargo xtask test`, not by a measurement; without them those workloads are
/// left out.
const ASKED: [&str; 2] = ["postgres", "redis-server"];

/// Builds Wharf as people install it, with the profile that is there or a new one, the native server alike, the peer, a client and
/// the components; then measures. `args` are names of workloads, `--quick` and `--rounds N`.
pub fn bench(workspace: &Workspace, args: &[String]) -> Result<()> {
    guests::build(workspace)?;
    bench_guests::build(workspace)?;
    println!("Building the benchmark");
    run(&mut workspace.cargo(["build", "--profile", "dist", "--package", "wharf-bench"]))?;
    let [native, native_data] = dist::NATIVE;
    let measured = dist::with_profiles(workspace, &[dist::WHARF, native, native_data])?;
    // Not the program that people install, so without its link-time optimisation, which takes longest.
    run(&mut workspace.cargo(["build", "--release", "--package", "wharf-bench-engine"]))?;
    let built = workspace.target().join("dist");
    let bin = workspace.target().join("bench/bin");
    fs::create_dir_all(&bin).with_context(|| format!("cannot make {}", bin.display()))?;
    measured.iter().try_for_each(|program| put(program, &bin))?;
    put(&workspace.target().join("release/wharf-bench-engine"), &bin)?;
    for tool in TOOLS {
        put(&tool.installed(workspace)?, &bin)?;
    }
    let mut command = Command::new(built.join("wharf-bench"));
    command.env("WHARF_TESTS_WITHOUT", debian::missing(&ASKED).join(" "));
    command.arg("--bin").arg(bin);
    command.arg("--guests").arg(workspace.target().join("guests"));
    command.arg("--out").arg(workspace.root().join("benches/results"));
    run(command.args(args))
}

fn put(program: &Path, folder: &Path) -> Result<()> {
    let name = program.file_name().context("a program has a name")?;
    fs::copy(program, folder.join(name)).with_context(|| format!("cannot copy {}", program.display()))?;
    Ok(())
}
