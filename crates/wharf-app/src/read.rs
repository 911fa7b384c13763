//! Reads files that somebody else has named: regular ones, and no more of them than anybody needs.
//!
//! Opening a FIFO waits for whoever writes to it, and a device may never end.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

/// A manifest. People write them: the longest is some kilobytes. Past it, the manifest cannot be read.
pub const MANIFEST_BYTES_MAX: u64 = 1 << 20;

/// A component. The largest known, interpreters with their libraries, have some tens of mebibytes. Past it, the app
/// cannot be made.
pub const COMPONENT_BYTES_MAX: u64 = 256 << 20;

/// A page, a secret, certificates. Each is held in memory: a page with its pictures inside has a few mebibytes, all
/// certificates that Mozilla trusts have a quarter of one. Past it, the app cannot be made.
pub const FILE_BYTES_MAX: u64 = 16 << 20;

/// The content of the regular file at `path`.
///
/// # Errors
/// What the system says; also when it is no regular file, or has more than `bytes_max` bytes.
pub fn regular(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let file = open(path, bytes_max)?;
    let mut content = Vec::new();
    // It may grow meanwhile, and some files of the system say that they are empty.
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut content)?;
    match content.len() as u64 > bytes_max {
        true => Err(too_large(bytes_max)),
        false => Ok(content),
    }
}

/// The regular file at `path`, which has no more than `bytes_max` bytes as yet.
///
/// # Errors
/// What the system says; also when it is no regular file, or has more bytes.
pub fn open(path: &Path, bytes_max: u64) -> io::Result<File> {
    // Before it is opened, which may wait; and once it is open, since it may be another one by then.
    suitable(&fs::metadata(path)?, bytes_max)?;
    let file = File::open(path)?;
    suitable(&file.metadata()?, bytes_max)?;
    Ok(file)
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    const MIB: u64 = 1 << 20;

    /// A folder for one test, which goes when it is dropped.
    struct Folder(PathBuf);

    impl Folder {
        fn new(test: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("wharf-read-{test}-{}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        /// A file of as many bytes as `bytes`, all of them 0 and none of them on the disk.
        fn sparse(&self, name: &str, bytes: u64) -> PathBuf {
            let path = self.0.join(name);
            File::create(&path).unwrap().set_len(bytes).unwrap();
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[track_caller]
    fn check(path: &Path, bytes_max: u64, expected: Result<usize, &str>) {
        let found = regular(path, bytes_max);
        let found = found.map(|bytes| bytes.len()).map_err(|error| error.to_string());
        assert_eq!(found, expected.map_err(str::to_owned), "{}", path.display());
    }

    #[test]
    fn a_file_is_read_up_to_its_bound() {
        let folder = Folder::new("bound");
        check(&folder.sparse("empty", 0), MIB, Ok(0));
        check(&folder.sparse("whole", MIB), MIB, Ok(1 << 20));
        check(&folder.sparse("more", MIB + 1), MIB, Err("it is larger than 1 MiB"));
        check(
            &folder.sparse("huge", 1 << 40),
            COMPONENT_BYTES_MAX,
            Err("it is larger than 256 MiB"),
        );
    }

    #[test]
    fn what_is_no_regular_file_is_refused() {
        const REFUSED: Result<usize, &str> = Err("it is no regular file");
        let folder = Folder::new("kinds");
        let error = regular(&folder.0, MIB).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
        #[cfg(unix)]
        {
            let fifo = folder.0.join("fifo");
            let made = std::process::Command::new("mkfifo").arg(&fifo).status();
            assert!(made.unwrap().success());
            check(&fifo, MIB, REFUSED);
            let link = folder.0.join("link");
            std::os::unix::fs::symlink(&fifo, &link).unwrap();
            check(&link, MIB, REFUSED);
            check(Path::new("/dev/zero"), MIB, REFUSED);
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_file_that_says_it_is_empty_is_read() {
        let bytes = regular(Path::new("/proc/self/status"), MIB).unwrap();
        assert!(!bytes.is_empty());
    }
}
