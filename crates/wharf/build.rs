//! Tells the program which version of Wasmtime it is built with, for `wharf --version`, and takes the templates of `wharf new` into it.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

const LOCK: &str = "../../Cargo.lock";
const TEMPLATES: &str = "templates";
const DEPS: &str = "deps";

fn main() -> Result<(), Box<dyn Error>> {
    // Where templates are is written down: another clone may be built in the same place.
    println!("cargo::rerun-if-env-changed=CARGO_MANIFEST_DIR");
    for place in [LOCK, TEMPLATES, "build.rs"] {
        println!("cargo::rerun-if-changed={place}");
    }
    match fs::read_to_string(LOCK).ok().as_deref().and_then(wasmtime_version) {
        Some(version) => println!("cargo::rustc-env=WASMTIME_VERSION={version}"),
        None => println!("cargo::error=no version of wasmtime in {LOCK}"),
    }
    let output = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    fs::write(output.join("templates.rs"), templates()?)?;
    Ok(())
}

fn wasmtime_version(lock: &str) -> Option<&str> {
    let (_, package) = lock.split_once("name = \"wasmtime\"\nversion = \"")?;
    package.split('"').next()
}

/// All templates as an array: of `templates/KIND/LANGUAGE`, with the line in `templates/KIND/about`.
fn templates() -> Result<String, Box<dyn Error>> {
    let mut array = String::from("[\n");
    for kind in entries(Path::new(TEMPLATES))? {
        let about = fs::read_to_string(kind.join("about"))?;
        for folder in entries(&kind)?.into_iter().filter(|entry| entry.is_dir()) {
            let (kind, language) = (name(&kind), name(&folder));
            writeln!(
                array,
                "Template {{ kind: {kind:?}, language: {language:?}, about: {:?}, deps: &{:?}, files: &[",
                about.trim(),
                deps(&folder)?
            )?;
            for (path, source) in files(&folder)? {
                let source = fs::canonicalize(source)?.display().to_string();
                writeln!(array, "({path:?}, include_str!({source:?})),")?;
            }
            array.push_str("] },\n");
        }
    }
    array.push(']');
    Ok(array)
}

/// A template's files: the path in the project, and where the content is.
fn files(folder: &Path) -> Result<Vec<(String, PathBuf)>, Box<dyn Error>> {
    let mut files = Vec::new();
    collect(folder, "", &mut files)?;
    files.retain(|(path, _)| path != DEPS);
    Ok(files)
}

/// The packages of WIT that a template stands on, as `wharf wit add` takes them: a line of its file `deps` for each, if it has one.
fn deps(folder: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let file = folder.join(DEPS);
    let names = if file.is_file() {
        fs::read_to_string(file)?
    } else {
        String::new()
    };
    Ok(names.lines().map(str::to_owned).collect())
}

fn collect(folder: &Path, prefix: &str, files: &mut Vec<(String, PathBuf)>) -> Result<(), Box<dyn Error>> {
    for entry in entries(folder)? {
        // A real one would hide files of the repository.
        let path = match &*name(&entry) {
            "gitignore" => format!("{prefix}.gitignore"),
            name => format!("{prefix}{name}"),
        };
        match entry.is_dir() {
            true => collect(&entry, &format!("{path}/"), files)?,
            false => files.push((path, entry)),
        }
    }
    Ok(())
}

/// What is in a folder, in the order of names, without what tools leave there.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))? {
        entries.push(entry?.path());
    }
    entries.retain(|entry| !name(entry).starts_with('.') && name(entry) != "__pycache__");
    entries.sort();
    Ok(entries)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
