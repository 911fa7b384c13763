//! The repository's own rules.
//!
//! Here is what a machine checks better than a reader: which crate knows which, what a file opens with, whether a named
//! path exists. Everything else is taste and review.

mod arrows;
mod documents;
mod sources;
mod texts;

use std::path::{Path, PathBuf};
use std::process::Command;

/// The repository's folder.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests is a folder of the repository")
}

/// The files of the repository, relative to its folder: those that git tracks and those it would add.
fn files() -> Vec<PathBuf> {
    let listed = run(Command::new("git").args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]));
    let mut files: Vec<_> = listed
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(PathBuf::from)
        .collect();
    // A file that is deleted and not yet committed is still listed; one with a conflict is listed twice.
    files.retain(|file| root().join(file).is_file());
    files.dedup();
    assert!(!files.is_empty(), "git lists no files");
    files
}

/// The files whose name ends with one of `extensions`, with their text.
fn texts(extensions: &[&str]) -> Vec<(PathBuf, String)> {
    let wanted = |file: &PathBuf| {
        file.extension()
            .is_some_and(|own| extensions.iter().any(|wanted| own == *wanted))
    };
    let read = |file: PathBuf| {
        let text = std::fs::read_to_string(root().join(&file));
        let text = text.unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()));
        (file, text)
    };
    files().into_iter().filter(wanted).map(read).collect()
}

/// The standard output of a command run in the repository's folder.
fn run(command: &mut Command) -> String {
    let output = command
        .current_dir(root())
        .output()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?} failed ({}):\n{stderr}",
        output.status
    );
    String::from_utf8(output.stdout).expect("names in this repository are UTF-8")
}

fn cargo(args: &[&str]) -> String {
    run(Command::new(env!("CARGO")).args(args))
}

/// Fails with all findings at once: whoever mends one sees the others.
fn check_none(findings: impl IntoIterator<Item = String>, rule: &str) {
    let findings: Vec<_> = findings.into_iter().collect();
    assert!(findings.is_empty(), "{rule}:\n  {}", findings.join("\n  "));
}
