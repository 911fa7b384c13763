//! Folders of this machine, shown to guests through `wasi:filesystem`.
//!
//! Only what is shown is decided here; the interface itself, and that no path leads out of a folder, is Wasmtime's.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;

use wharf_host::capability::{Admission, Capability, FsPerms};

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
#[derive(Debug)]
pub struct FilesystemCapability {
    folders: Vec<Folder>,
}

impl FilesystemCapability {
    /// Takes folders that exist and can be read.
    ///
    /// # Errors
    /// For the first folder that guests could not be shown.
    pub fn new(folders: impl IntoIterator<Item = Folder>) -> Result<Self, FolderError> {
        let folders: Vec<_> = folders.into_iter().map(checked).collect::<Result<_, _>>()?;
        let mut names = HashSet::new();
        match folders.iter().find(|folder| !names.insert(folder.guest.as_str())) {
            Some(twice) => Err(FolderError::NameTaken {
                guest: twice.guest.clone(),
            }),
            None => Ok(Self { folders }),
        }
    }
}

impl Capability for FilesystemCapability {
    fn name(&self) -> &'static str {
        "filesystem"
    }

    fn admit(&self, admission: &mut Admission<'_>) -> wasmtime::Result<()> {
        for folder in &self.folders {
            let permissions = if folder.read_only {
                FsPerms::ReadOnly
            } else {
                FsPerms::ReadWrite
            };
            admission.directory(&folder.host, &folder.guest, permissions)?;
        }
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

/// The folder by its absolute path: a later change of the process's folder changes nothing for guests.
fn checked(folder: Folder) -> Result<Folder, FolderError> {
    let Folder { host, guest, read_only } = folder;
    if guest.is_empty() {
        return Err(FolderError::NoName { host });
    }
    let opened = std::fs::metadata(&host).and_then(|metadata| {
        // Reading it once tells now what each instance would run into later.
        let is_folder = metadata.is_dir();
        if is_folder {
            std::fs::read_dir(&host)?;
        }
        Ok((is_folder, std::path::absolute(&host)?))
    });
    match opened {
        Ok((true, host)) => Ok(Folder { host, guest, read_only }),
        Ok((false, _)) => Err(FolderError::NotFolder { host, guest }),
        Err(source) => Err(FolderError::Unreadable { host, guest, source }),
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

    #[test]
    fn relative_folders_are_pinned() {
        let capability = FilesystemCapability::new([folder("..", "/up"), folder(".", "/")]).unwrap();
        assert!(capability.folders.iter().all(|folder| folder.host.is_absolute()));
        assert!(FilesystemCapability::new([]).unwrap().folders.is_empty());
    }
}
