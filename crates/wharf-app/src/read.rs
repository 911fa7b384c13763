//! Reads files that somebody else has named: regular ones, and no more of them than anybody needs.
//!
//! Opening a FIFO waits for whoever writes to it, and a device may never end.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

/// A manifest. People write them: the longest is some kilobytes.
pub const MANIFEST_BYTES_MAX: u64 = 1 << 20;

/// A component. The largest known, interpreters with their libraries, have some tens of mebibytes.
pub const COMPONENT_BYTES_MAX: u64 = 256 << 20;

/// A page, a secret, certificates.
pub const FILE_BYTES_MAX: u64 = 16 << 20;

/// The content of the regular file at `path`.
///
/// # Errors
/// What the system says; also when it is no regular file, or has more than `bytes_max` bytes.
pub fn regular(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    // Before it is opened, which may wait; and once it is open, since it may be another one by then.
    suitable(&fs::metadata(path)?, bytes_max)?;
    let file = File::open(path)?;
    suitable(&file.metadata()?, bytes_max)?;
    let mut content = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut content)?;
    match content.len() as u64 > bytes_max {
        true => Err(too_large(bytes_max)),
        false => Ok(content),
    }
}

fn suitable(metadata: &fs::Metadata, bytes_max: u64) -> io::Result<()> {
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    match metadata.len() > bytes_max {
        true => Err(too_large(bytes_max)),
        false => Ok(()),
    }
}

fn too_large(bytes_max: u64) -> io::Error {
    io::Error::other(format!("it is larger than {} MiB", bytes_max >> 20))
}
