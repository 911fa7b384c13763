//! Writes the generated parts of the documentation: the reference of the manifest, and its schema for editors.
//!
//! What they say is made by `wharf-app`, from the comments of the types that manifests are read into.

use std::fs;

use anyhow::{Context, Result, ensure};
use wharf_app::manifest;

use crate::workspace::Workspace;

/// Each file in the repository, and what it is to say.
fn pages() -> [(&'static str, String); 2] {
    [
        ("docs/reference/manifest.md", manifest::reference()),
        ("docs/reference/manifest.schema.json", manifest::schema()),
    ]
}

/// Writes every page anew.
pub fn write(workspace: &Workspace) -> Result<()> {
    for (path, text) in pages() {
        let file = workspace.root().join(path);
        if fs::read_to_string(&file).is_ok_and(|present| present == text) {
            continue;
        }
        fs::create_dir_all(file.parent().context("a page is in a folder")?)
            .and_then(|()| fs::write(&file, text))
            .with_context(|| format!("cannot write {}", file.display()))?;
        println!("Updated {path}");
    }
    Ok(())
}

/// Fails when a page is not what `write` would make of it.
pub fn check(workspace: &Workspace) -> Result<()> {
    for (path, text) in pages() {
        let file = workspace.root().join(path);
        let present = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        ensure!(
            present == text,
            "{path} is not as it would be written (run `cargo xtask docs`)"
        );
    }
    Ok(())
}
