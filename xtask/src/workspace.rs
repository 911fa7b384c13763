//! Where this repository is on disk, and running commands in it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;
pub use wharf_build::shown;

/// The repository and Cargo's folder for what it builds.
pub struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// The workspace that this program was built in.
    pub fn find() -> Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = manifest
            .parent()
            .context("xtask is a folder of the repository")?
            .to_owned();
        let metadata = metadata(&root.join("Cargo.toml"), &["--no-deps"])?;
        let target = metadata["target_directory"]
            .as_str()
            .context("cargo metadata names no target_directory")?;
        Ok(Self {
            target: target.into(),
            root,
        })
    }

    /// The repository's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Cargo's target folder: `CARGO_TARGET_DIR`, a configuration's choice or `target`.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Where a build of the development profile puts the program.
    pub fn program(&self) -> PathBuf {
        self.target
            .join("debug/wharf")
            .with_extension(std::env::consts::EXE_EXTENSION)
    }

    /// A call of the Cargo that runs this program, from the repository's folder.
    pub fn cargo<I: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = I>) -> Command {
        let mut command = cargo();
        command.current_dir(&self.root).args(args);
        command
    }
}

/// What `cargo metadata` says of the package or workspace of a manifest.
pub fn metadata(manifest: &Path, args: &[&str]) -> Result<Value> {
    let mut command = cargo();
    command
        .args(["metadata", "--format-version", "1", "--manifest-path"])
        .arg(manifest)
        .args(args);
    Ok(serde_json::from_slice(&output(&mut command)?)?)
}

/// Runs a command whose output the user sees.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", shown(command)))?;
    if !status.success() {
        bail!("{} failed ({status})", shown(command));
    }
    Ok(())
}

/// Runs a command and returns its standard output; the user sees its standard error.
pub fn output(command: &mut Command) -> Result<Vec<u8>> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {}", shown(command)))?;
    if !output.status.success() {
        bail!("{} failed ({})", shown(command), output.status);
    }
    Ok(output.stdout)
}

fn cargo() -> Command {
    wharf_build::cargo::command(Path::new(&std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())))
}
