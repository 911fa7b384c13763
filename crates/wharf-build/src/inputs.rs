//! What a component is made of, as one line: where it is the same as the last time, nothing is built.

use std::fs;
use std::path::{Path, PathBuf};

use crate::BuildError;
use crate::files::read;

/// Folders of what others have made from the source, or fetched for it.
const DERIVED_FOLDERS: [&str; 3] = ["target", "node_modules", "__pycache__"];

/// Files that are made of the WIT among a Go module's own.
const DERIVED_FILES: [&str; 3] = ["wit_bindings.go", "wit_exports.go", "empty.s"];

/// The digest of all files in `places`, which are files and folders, of `tools`, which are programs, and of `words`.
pub(crate) fn digest(words: &str, places: &[&Path], tools: &[PathBuf]) -> Result<String, BuildError> {
    let mut hasher = blake3::Hasher::new();
    let mut add = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    add(words.as_bytes());
    // Not their content: an interpreter has many files. A program that is installed anew has another time.
    for tool in tools {
        let metadata = fs::metadata(tool).map_err(BuildError::file("read", tool))?;
        add(format!("{} {} {:?}", tool.display(), metadata.len(), metadata.modified().ok()).as_bytes());
    }
    for place in places {
        let mut files = Vec::new();
        collect(place, &mut files)?;
        files.sort();
        for file in files {
            add(file.as_os_str().as_encoded_bytes());
            add(&read(&file)?);
        }
    }
    Ok(hasher.finalize().to_string())
}

/// Whether something in a project's folder is what people do not write themselves: hidden, fetched, or made of the source.
#[must_use]
pub fn is_derived(path: &Path, is_folder: bool) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_component = path.extension().is_some_and(|extension| extension == "wasm");
    let is_foreign_folder = || DERIVED_FOLDERS.contains(&&*name) || path.join("pyvenv.cfg").exists();
    name.starts_with('.') || is_component || DERIVED_FILES.contains(&&*name) || is_folder && is_foreign_folder()
}

/// Adds the files of a place that people write.
fn collect(place: &Path, files: &mut Vec<PathBuf>) -> Result<(), BuildError> {
    if place.is_file() {
        files.push(place.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(place).map_err(BuildError::file("read", place))? {
        let entry = entry.map_err(BuildError::file("read", place))?;
        let kind = entry.file_type().map_err(BuildError::file("read", place))?;
        let path = entry.path();
        // A link to a folder may lead back to where it stands.
        if is_derived(&path, kind.is_dir()) {
            continue;
        } else if kind.is_dir() {
            collect(&path, files)?;
        } else if path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_counts_and_what_is_made_of_it_does_not() {
        let folder = std::env::temp_dir().join(format!("wharf-build-inputs-{}", std::process::id()));
        let write = |file: &str, text: &str| {
            let file = folder.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        write("src/a.go", "a");
        let digest = || digest("words", &[&folder], &[]).unwrap();
        let mut last = digest();
        let mut check = |file: &str, text: &str, counts: bool| {
            write(file, text);
            let now = digest();
            assert_eq!(now != last, counts, "{file}");
            last = now;
        };
        check("src/a.go", "b", true);
        check("src/c.go", "", true);
        check("src/a.go", "b", false);
        check("app.wasm", "a", false);
        check(".git/HEAD", "a", false);
        check("target/debug/a", "a", false);
        check("node_modules/a/b.js", "a", false);
        check("__pycache__/a.pyc", "a", false);
        check("venv/pyvenv.cfg", "a", false);
        check("venv/lib/a.py", "a", false);
        check("imports/x/wit_bindings.go", "a", false);
        fs::remove_dir_all(&folder).unwrap();
    }
}
