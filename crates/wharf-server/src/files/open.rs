//! Opens what lies below a folder, and nothing else.
//!
//! A symlink counts where it leads to something inside. That the folder does not change between the question where a
//! link leads and the opening of it, `open/unix.rs` does not rely on.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::fs::File;
use std::io;
use std::time::SystemTime;

#[cfg(unix)]
pub(super) use unix::{Folder, is_out_of_handles};
#[cfg(windows)]
pub(super) use windows::{Folder, is_out_of_handles};

/// What is found below a folder.
#[derive(Debug)]
pub(super) enum Entry {
    File(OpenFile),
    Folder,
}

/// A regular file, as it was when it was opened.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub file: File,
    pub bytes: u64,
    /// Where the system keeps it.
    pub modified: Option<SystemTime>,
}

impl Folder {
    /// What `name` is, a path that `/` separates; empty for the folder itself. Blocks, but not on what is neither file
    /// nor folder, such as a pipe: that is not found.
    pub fn entry(&self, name: &str) -> io::Result<Entry> {
        let file = self.open_below(name)?;
        // Asked of what is open, not of the name, which may mean another file by now.
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Ok(Entry::Folder);
        }
        if !metadata.is_file() {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Entry::File(OpenFile {
            file,
            bytes: metadata.len(),
            modified: metadata.modified().ok(),
        }))
    }
}
