//! Folders for compiled code that is not kept.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::notify;

/// A folder for this user alone, which goes when it is dropped.
pub struct Temporary(PathBuf);

impl Temporary {
    fn make(parent: &Path) -> io::Result<Self> {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        loop {
            let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
            let path = parent.join(format!("wharf-code-{}-{serial}", std::process::id()));
            match make_private(&path) {
                Ok(()) => return Ok(Self(path)),
                // Somebody else's, perhaps put there for us: not to be trusted.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// One after the other, wherever there may be room: on the disk first, since memory is scarcer.
pub fn temporary() -> impl Iterator<Item = Temporary> {
    let runtime = notify::runtime_folder();
    let shared_memory = cfg!(target_os = "linux").then(|| PathBuf::from("/dev/shm"));
    let parents = [Some(std::env::temp_dir()), runtime, shared_memory];
    parents
        .into_iter()
        .flatten()
        .filter_map(|parent| Temporary::make(&parent).ok())
}

/// Whether a file can be made in it. One byte is more than a full disk has.
pub fn takes_files(folder: &Path) -> bool {
    let probe = folder.join(format!(".{}-probe.draft", std::process::id()));
    let takes = fs::write(&probe, [0]).is_ok();
    let _ = fs::remove_file(&probe);
    takes
}

#[cfg(unix)]
fn make_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().mode(0o700).create(path)
}

#[cfg(not(unix))]
fn make_private(path: &Path) -> io::Result<()> {
    fs::create_dir(path)
}
