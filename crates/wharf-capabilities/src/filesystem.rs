//! Folders of this machine, shown to guests through `wasi:filesystem`.
//!
//! Only what is shown is decided here; the interface itself, and that no path leads out of a folder, is Wasmtime's.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;

use wharf_host::capability::{Admission, Capability, Folders, FsPerms};

/// One folder that guests see.
#[derive(Clone, Debug)]
pub struct Folder {
    /// Where it is on this machine. Relative paths are taken from the folder that the process runs in.
    pub host: PathBuf,
    /// Under which name the guest finds it, such as `/data` or `.`.
    pub guest: String,
    /// Whether the guest may only read.
    pub read_only: bool,
}

/// Lets guests use some folders, each under a name of its own. Without it they see none.
///
/// The folders are opened once: what a guest sees stays the same folder when another takes its name.
#[derive(Debug)]
pub struct FilesystemCapability {
    folders: Folders,
}

impl FilesystemCapability {
    /// Opens folders, which exist and can be read.
    ///
    /// # Errors
    /// For the first folder that guests could not be shown.
    pub fn new(folders: impl IntoIterator<Item = Folder>) -> Result<Self, FolderError> {
        let folders: Vec<_> = folders.into_iter().collect();
        let mut names = HashSet::new();
        for folder in &folders {
            check(folder)?;
            if !names.insert(folder.guest.as_str()) {
                return Err(FolderError::NameTaken {
                    guest: folder.guest.clone(),
                });
            }
        }
        let opened = Folders::open(folders.iter().map(|folder| {
            let permissions = match folder.read_only {
                true => FsPerms::ReadOnly,
                false => FsPerms::ReadWrite,
            };
            (folder.host.as_path(), folder.guest.as_str(), permissions)
        }));
        match opened {
            Ok(folders) => Ok(Self { folders }),
            Err((nth, error)) => Err(unreadable(&folders[nth], io::Error::other(format!("{error:#}")))),
        }
    }
}

impl Capability for FilesystemCapability {
    fn name(&self) -> &'static str {
        "filesystem"
    }

    fn admit(&self, admission: &mut Admission<'_>) -> wasmtime::Result<()> {
        admission.folders(&self.folders);
        Ok(())
    }
}

/// A folder that cannot be shown to guests.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Nothing is there, or it may not be read.
    #[error("the folder {} cannot be opened, so guests cannot find it as `{guest}`", host.display())]
    Unreadable {
        /// The folder on this machine.
        host: PathBuf,
        /// Its name for guests.
        guest: String,
        /// What the system said.
        source: io::Error,
    },
    /// It is a file or something else.
    #[error("{} is not a folder, so guests cannot find it as `{guest}`", host.display())]
    NotFolder {
        /// The path on this machine.
        host: PathBuf,
        /// Its name for guests.
        guest: String,
    },
    /// A guest could not tell them apart.
    #[error("two folders have the name `{guest}` for guests")]
    NameTaken {
        /// The name for guests.
        guest: String,
    },
    /// A guest could not open it.
    #[error("the folder {} has no name for guests", host.display())]
    NoName {
        /// The folder on this machine.
        host: PathBuf,
    },
}

/// Tells apart what opening alone would not.
fn check(folder: &Folder) -> Result<(), FolderError> {
    if folder.guest.is_empty() {
        return Err(FolderError::NoName {
            host: folder.host.clone(),
        });
    }
    let metadata = std::fs::metadata(&folder.host).map_err(|error| unreadable(folder, error))?;
    if !metadata.is_dir() {
        return Err(FolderError::NotFolder {
            host: folder.host.clone(),
            guest: folder.guest.clone(),
        });
    }
    // One that can be opened and not listed would fail in the guest's hands.
    std::fs::read_dir(&folder.host)
        .map(drop)
        .map_err(|error| unreadable(folder, error))
}

fn unreadable(folder: &Folder, source: io::Error) -> FolderError {
    FolderError::Unreadable {
        host: folder.host.clone(),
        guest: folder.guest.clone(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(host: &str, guest: &str) -> Folder {
        Folder {
            host: host.into(),
            guest: guest.to_owned(),
            read_only: false,
        }
    }

    #[test]
    fn folders_are_checked_before_any_guest_runs() {
        #[track_caller]
        fn check(folders: Vec<Folder>, message: &str) {
            let error = FilesystemCapability::new(folders).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        check(
            vec![folder("/nonexistent/folder", "/data")],
            "the folder /nonexistent/folder cannot be opened, so guests cannot find it as `/data`",
        );
        check(
            vec![folder(manifest, "/data")],
            &format!("{manifest} is not a folder, so guests cannot find it as `/data`"),
        );
        check(
            vec![folder(".", "/a"), folder("..", "/a")],
            "two folders have the name `/a` for guests",
        );
        check(vec![folder(".", "")], "the folder . has no name for guests");
    }
}
