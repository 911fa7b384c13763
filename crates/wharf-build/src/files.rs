//! Files that appear whole or not at all.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::BuildError;

pub(crate) fn read(file: &Path) -> Result<Vec<u8>, BuildError> {
    fs::read(file).map_err(BuildError::file("read", file))
}

pub(crate) fn read_text(file: &Path) -> Result<String, BuildError> {
    fs::read_to_string(file).map_err(BuildError::file("read", file))
}

pub(crate) fn make_folder(folder: &Path) -> Result<(), BuildError> {
    fs::create_dir_all(folder).map_err(BuildError::file("make", folder))
}

/// Removes a file that need not be there.
pub(crate) fn remove(file: &Path) -> Result<(), BuildError> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(BuildError::file("remove", file)(error)),
        _ => Ok(()),
    }
}

/// Writes a file if that changes it, in a folder that need not be there: what is derived from it stays good otherwise. True where it
/// did.
pub(crate) fn store(file: &Path, content: &[u8]) -> Result<bool, BuildError> {
    if fs::read(file).is_ok_and(|old| old == content) {
        return Ok(false);
    }
    let folder = file.parent().unwrap_or(Path::new("."));
    make_folder(folder)?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    // In the same folder: from another one it might be a copy, and half of one for a while.
    let unfinished = folder.join(format!(".{name}.{}.unfinished", std::process::id()));
    let written = fs::write(&unfinished, content).and_then(|()| fs::rename(&unfinished, file));
    written.map_err(|error| {
        let _ = fs::remove_file(&unfinished);
        BuildError::file("write", file)(error)
    })?;
    Ok(true)
}
