//! Writes the generated parts of the documentation: the reference of the manifest, and its schema for editors.
//!
//! The program prints them, which knows all sections there are. A test of its own compares them with what is written.

use std::fs;

use anyhow::{Context, Result};

use crate::workspace::{self, Workspace};

/// Each file in the repository, and the arguments with which the program prints it.
const PAGES: [(&str, &[&str]); 2] = [
    ("docs/reference/manifest.md", &["schema", "--reference"]),
    ("docs/reference/manifest.schema.json", &["schema"]),
];

/// Writes every page anew.
pub fn write(workspace: &Workspace) -> Result<()> {
    for (path, args) in PAGES {
        let run = ["run", "--quiet", "-p", "wharf", "--"].iter().chain(args);
        let text = workspace::output(&mut workspace.cargo(run))?;
        let file = workspace.root().join(path);
        if fs::read(&file).is_ok_and(|present| present == text) {
            continue;
        }
        fs::create_dir_all(file.parent().context("a page is in a folder")?)
            .and_then(|()| fs::write(&file, text))
            .with_context(|| format!("cannot write {}", file.display()))?;
        println!("Updated {path}");
    }
    Ok(())
}
