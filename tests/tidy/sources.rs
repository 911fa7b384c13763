//! Rust files and what else is kept: how they open, what they are called, how large they are.

use std::path::Path;

use crate::{cargo, check_none, files, root, texts};

/// Larger files make every clone slower for good, and are not read by anybody.
const FILE_BYTES_MAX: u64 = 512 * 1024;

/// What a build makes: it belongs to the target folder.
const BUILT: [&str; 9] = ["a", "cwasm", "dll", "dylib", "exe", "o", "rlib", "so", "wasm"];

/// Names that do not say what is inside.
const EMPTY_NAMES: [&str; 8] = ["common", "helper", "helpers", "manager", "misc", "mod", "util", "utils"];

#[test]
fn rust_files_open_with_what_they_are() {
    let silent = texts(&["rs"]).into_iter().filter(|(_, text)| !text.starts_with("//! "));
    check_none(
        silent.map(|(file, _)| file.display().to_string()),
        "without a comment `//!` at the head",
    );
}

#[test]
fn names_say_what_is_inside() {
    let is_empty_name = |file: &Path| {
        let stems = file
            .iter()
            .filter_map(|part| Path::new(part).file_stem())
            .filter_map(|stem| stem.to_str());
        stems.into_iter().any(|stem| EMPTY_NAMES.contains(&stem))
    };
    let named = files().into_iter().filter(|file| is_empty_name(file));
    check_none(named.map(|file| file.display().to_string()), "named after nothing");
}

#[test]
fn files_are_small_and_written_by_hand() {
    let findings = files().into_iter().filter_map(|file| {
        let bytes = root().join(&file).metadata().expect("a listed file exists").len();
        let is_built = file
            .extension()
            .is_some_and(|own| BUILT.iter().any(|built| own == *built));
        match (is_built, bytes > FILE_BYTES_MAX) {
            (true, _) => Some(format!("{} is built", file.display())),
            (_, true) => Some(format!("{} has {bytes} bytes", file.display())),
            _ => None,
        }
    });
    check_none(findings, "not to be kept here");
}

#[test]
fn declarations_are_as_printed() {
    cargo(&["run", "--quiet", "--package", "xtask", "--", "wit", "--check"]);
}
