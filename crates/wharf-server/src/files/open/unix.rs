//! Opening below a folder where file handles stand for folders: nothing that is renamed or linked meanwhile leads out.
//!
//! Linux finds and opens in one call. Elsewhere, and where a sandbox does not know that call, links are resolved first and
//! the result is walked from the folder's handle without following any: whoever puts a link there in between gains nothing.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

/// A pipe without a writer is opened at once, and no terminal becomes the server's.
const READ: OFlags = OFlags::RDONLY
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);

/// A folder on the way to a file need not be readable.
#[cfg(target_os = "linux")]
const PASS: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
const PASS: OFlags = OFlags::RDONLY;

/// An open folder.
#[derive(Debug)]
pub(in crate::files) struct Folder {
    handle: OwnedFd,
    path: PathBuf,
}

impl Folder {
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            handle: rustix::fs::open(path, flags, Mode::empty())?,
            path: path.to_owned(),
        })
    }

    pub(in crate::files) fn open_below(&self, name: &str) -> io::Result<File> {
        let name = if name.is_empty() { "." } else { name };
        match self.beneath(name) {
            // No such call here, or not in this sandbox; something was renamed meanwhile; or a link leads out, or to the
            // inside by an absolute path.
            Err(Errno::NOSYS | Errno::PERM | Errno::AGAIN | Errno::XDEV) => self.walk(name),
            opened => Ok(opened.map_err(found_nothing)?.into()),
        }
    }

    #[cfg(target_os = "linux")]
    fn beneath(&self, name: &str) -> Result<OwnedFd, Errno> {
        use rustix::fs::{ResolveFlags, openat2};
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        openat2(&self.handle, name, READ, Mode::empty(), resolve)
    }

    #[cfg(not(target_os = "linux"))]
    fn beneath(&self, _name: &str) -> Result<OwnedFd, Errno> {
        Err(Errno::NOSYS)
    }

    /// As [`Folder::open_below`] does, in steps that every Unix has.
    pub(in crate::files) fn walk(&self, name: &str) -> io::Result<File> {
        let resolve = |path: &Path| {
            path.canonicalize()
                .map_err(|error| Errno::from_io_error(&error).map_or(error, found_nothing))
        };
        let target = resolve(&self.path.join(name))?;
        let inside = target
            .strip_prefix(resolve(&self.path)?)
            .map_err(|_| io::ErrorKind::NotFound)?;
        let Some(last) = inside.file_name() else {
            return Ok(openat(&self.handle, ".", READ, Mode::empty())?.into());
        };
        let mut above: Option<OwnedFd> = None;
        for folder in inside.parent().into_iter().flatten() {
            let flags = PASS | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let from = above.as_ref().unwrap_or(&self.handle);
            above = Some(openat(from, folder, flags, Mode::empty()).map_err(found_nothing)?);
        }
        let from = above.as_ref().unwrap_or(&self.handle);
        let file = openat(from, last, READ | OFlags::NOFOLLOW, Mode::empty());
        Ok(file.map_err(found_nothing)?.into())
    }
}

/// What the system says of a name that means no file: a file on the way to it, links in a circle, a name longer than a name
/// can be, a socket, a device without a driver.
fn found_nothing(error: Errno) -> io::Error {
    match error {
        Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG | Errno::NXIO | Errno::NODEV | Errno::OPNOTSUPP => {
            io::ErrorKind::NotFound.into()
        }
        error => error.into(),
    }
}

/// The process, or the system, has as many files open as it may.
pub(in crate::files) fn is_out_of_handles(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}
