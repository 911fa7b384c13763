//! Opening below a folder on Windows: where a path leads is asked before it is opened. Links may be made there by
//! administrators alone, so nobody else can put one in between.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Lets folders be opened (`FILE_FLAG_BACKUP_SEMANTICS`).
const FOLDERS_TOO: u32 = 0x0200_0000;

/// `ERROR_TOO_MANY_OPEN_FILES`.
const TOO_MANY_OPEN_FILES: i32 = 4;

/// A folder that was there.
#[derive(Debug)]
pub(in crate::files) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub fn open(path: &Path) -> io::Result<Self> {
        std::fs::read_dir(path)?;
        Ok(Self {
            path: path.canonicalize()?,
        })
    }

    pub(in crate::files) fn open_below(&self, name: &str) -> io::Result<File> {
        let target = self.path.join(name).canonicalize().map_err(found_nothing)?;
        if !target.starts_with(&self.path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        OpenOptions::new().read(true).custom_flags(FOLDERS_TOO).open(target)
    }
}

/// A name that cannot be one, or has a file on the way to it, is nobody's.
fn found_nothing(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::InvalidFilename | io::ErrorKind::InvalidInput | io::ErrorKind::NotADirectory => {
            io::ErrorKind::NotFound.into()
        }
        _ => error,
    }
}

/// The process has as many files open as it may.
pub(in crate::files) fn is_out_of_handles(error: &io::Error) -> bool {
    error.raw_os_error() == Some(TOO_MANY_OPEN_FILES)
}
