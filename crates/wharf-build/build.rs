//! Takes the library that bindings for Go stand on into this crate: Go's own files, which the package of the generator carries in the
//! version that it generates for. So building a component needs no network, and never another version.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const LOCK: &str = "../../Cargo.lock";
const PACKAGE: &str = "wit-bindgen-go";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={LOCK}");
    println!("cargo::rerun-if-changed=build.rs");
    let library = folder_of_package()?.join("src/pkg");
    let mut files = vec![library.join("go.mod")];
    collect(&library.join("wit"), &mut files)?;
    files.sort();
    let mut table = String::from("[\n");
    for file in &files {
        let name = file.strip_prefix(&library)?.display().to_string().replace('\\', "/");
        writeln!(
            table,
            "    ({name:?}, include_bytes!({:?}).as_slice()),",
            file.display().to_string()
        )?;
    }
    table.push(']');
    let output = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    fs::write(output.join("library.rs"), table)?;
    Ok(())
}

/// Where Cargo has put the generator.
fn folder_of_package() -> Result<PathBuf, Box<dyn Error>> {
    let mut command = Command::new(std::env::var_os("CARGO").ok_or("cargo sets CARGO")?);
    command.args(["metadata", "--format-version", "1", "--locked", "--filter-platform"]);
    let output = command
        .arg(std::env::var_os("TARGET").ok_or("cargo sets TARGET")?)
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"]
        .as_array()
        .ok_or("cargo metadata lists no packages")?;
    let package = packages.iter().find(|package| package["name"] == PACKAGE);
    let manifest = package.and_then(|package| package["manifest_path"].as_str());
    let folder = manifest.and_then(|manifest| Path::new(manifest).parent());
    Ok(folder
        .ok_or("cargo metadata does not describe wit-bindgen-go")?
        .to_owned())
}

/// Adds the files of Go and its assembler in a folder and below.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path
            .extension()
            .is_some_and(|extension| extension == "go" || extension == "s")
        {
            files.push(path);
        }
    }
    Ok(())
}
