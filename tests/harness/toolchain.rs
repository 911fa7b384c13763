//! The tools of the languages that components are written in, where `cargo xtask test` has put them.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::installed::check_is_known;
use crate::program::target_dir;

/// The `PATH` with the tools of `language` in it; `None` where they are known to be absent, and the test that asks is left out.
///
/// # Panics
///
/// When they are missing, and nobody said so.
pub fn path(language: &str) -> Option<OsString> {
    let (program, folders) = match language {
        "go" => ("go", vec![python().join("go/bin")]),
        "python" => ("componentize-py", vec![python().join("bin")]),
        "javascript" => ("componentize-qjs", vec![tools().join("npm/node_modules/.bin")]),
        "c" => ("clang-19", vec![]),
        _ => ("cargo", vec![]),
    };
    let system = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = folders.into_iter().chain(std::env::split_paths(&system)).collect();
    if !folders.iter().any(|folder| folder.join(program).is_file()) {
        check_is_known(program);
        return None;
    }
    Some(std::env::join_paths(folders).expect("a folder of PATH has no separator in it"))
}

/// Wasmtime's own program, of the release that Wharf is built on: where `WHARF_TESTS_WASMTIME` says, else where `cargo xtask bench` has
/// put it. `None` where it is known to be absent, and the test that asks is left out.
///
/// # Panics
///
/// When it is missing, and nobody said so.
pub fn wasmtime() -> Option<PathBuf> {
    let named = std::env::var_os("WHARF_TESTS_WASMTIME").map(PathBuf::from);
    let program = named.unwrap_or_else(|| tools().join("bin/wasmtime"));
    if program.is_file() {
        return Some(program);
    }
    check_is_known("wasmtime");
    None
}

/// The folder of npm's packages with jco in it; `None` where it is known to be absent, and the test that asks is left out.
///
/// # Panics
///
/// When it is missing, and nobody said so.
pub fn jco() -> Option<PathBuf> {
    let packages = tools().join("npm/node_modules");
    if packages.join("@bytecodealliance/jco").is_dir() {
        return Some(packages);
    }
    check_is_known("jco");
    None
}

/// The packages of Python's, for `PYTHONPATH`.
pub fn python() -> PathBuf {
    tools().join("python")
}

/// Where the projects that tests make are compiled by Cargo.
pub fn cargo_target() -> PathBuf {
    target_dir().join("guests-build")
}

fn tools() -> PathBuf {
    target_dir().join("bench-tools")
}
