//! What tasks need of others', from crates.io, PyPI and npm, in exact versions, below `target/bench-tools`.

use std::env::consts::EXE_EXTENSION;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::workspace::{Workspace, run};

/// A program, and the package it is in.
pub struct Tool {
    pub program: &'static str,
    pub package: &'static str,
    pub version: &'static str,
    /// Flags for `cargo install` that say what is built of it.
    pub flags: &'static [&'static str],
}

/// Where all of them are.
pub fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target().join("bench-tools")
}

/// Installs a package of PyPI's into the folder of those that tests use; true where it is there.
pub fn python_package(workspace: &Workspace, package: &str, version: &str) -> bool {
    let folder = folder(workspace).join("python-tests");
    if folder.join(format!("{package}-{version}.dist-info")).is_dir() {
        return true;
    }
    println!("Installing {package} {version}");
    let mut install = Command::new("python3");
    install.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--upgrade",
    ]);
    install
        .arg("--target")
        .arg(&folder)
        .arg(format!("{package}=={version}"));
    // It need not warn that root installs: this goes into a folder of its own.
    install.env("PIP_ROOT_USER_ACTION", "ignore");
    let done = run(&mut install);
    if let Err(error) = &done {
        println!("{package} cannot be had from PyPI: {error:#}");
    }
    done.is_ok()
}

/// Installs a package of npm's into the folder of those that tests use; true where it is there.
pub fn npm_package(workspace: &Workspace, package: &str, version: &str) -> bool {
    let folder = folder(workspace).join("npm");
    let manifest = folder.join("node_modules").join(package).join("package.json");
    let has_version = |text: String| text.contains(&format!("\"version\": \"{version}\""));
    if fs::read_to_string(&manifest).is_ok_and(has_version) {
        return true;
    }
    println!("Installing {package} {version}");
    let mut install = Command::new("npm");
    install.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]);
    install.arg(&folder).arg(format!("{package}@{version}"));
    let done = fs::create_dir_all(&folder)
        .map_err(anyhow::Error::from)
        .and_then(|()| run(&mut install));
    if let Err(error) = &done {
        println!("{package} cannot be had from npm: {error:#}");
    }
    done.is_ok()
}

impl Tool {
    /// The program, installed if it is not there in this version.
    pub fn installed(&self, workspace: &Workspace) -> Result<PathBuf> {
        let root = folder(workspace);
        let program = self.file(workspace);
        if self.is_version_of(&program) {
            return Ok(program);
        }
        println!("Installing {} {} (takes minutes)", self.package, self.version);
        let mut install = workspace.cargo(["install", self.package, "--locked", "--version", self.version]);
        // For a build without optimisation: nobody looks into these programs.
        install.args(self.flags).env("CARGO_PROFILE_DEV_DEBUG", "0");
        install.arg("--root").arg(&root);
        install.arg("--target-dir").arg(root.join("build"));
        run(&mut install).with_context(|| format!("{} cannot be had from crates.io", self.package))?;
        Ok(program)
    }

    /// Whether the program is there in this version.
    pub fn is_installed(&self, workspace: &Workspace) -> bool {
        self.is_version_of(&self.file(workspace))
    }

    fn file(&self, workspace: &Workspace) -> PathBuf {
        let programs = folder(workspace).join("bin");
        programs.join(self.program).with_extension(EXE_EXTENSION)
    }

    fn is_version_of(&self, program: &Path) -> bool {
        let version = Command::new(program).arg("--version").output();
        version.is_ok_and(|output| {
            let words = String::from_utf8_lossy(&output.stdout);
            words.split_whitespace().any(|word| word == self.version)
        })
    }
}
