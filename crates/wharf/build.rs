//! Tells the program which version of Wasmtime it is built with, for `wharf --version`.

use std::fs;

const LOCK: &str = "../../Cargo.lock";

fn main() {
    println!("cargo::rerun-if-changed={LOCK}");
    match fs::read_to_string(LOCK).ok().as_deref().and_then(wasmtime_version) {
        Some(version) => println!("cargo::rustc-env=WASMTIME_VERSION={version}"),
        None => println!("cargo::error=no version of wasmtime in {LOCK}"),
    }
}

fn wasmtime_version(lock: &str) -> Option<&str> {
    let (_, package) = lock.split_once("name = \"wasmtime\"\nversion = \"")?;
    package.split('"').next()
}
