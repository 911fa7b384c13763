//! A folder for one test.

use std::io::ErrorKind;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A new, empty folder that is removed, with all that is in it, when this value is dropped.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes the folder in the system's place for temporary files.
    ///
    /// # Panics
    ///
    /// When no folder can be made there.
    #[expect(
        clippy::new_without_default,
        reason = "a default value that makes a folder would surprise"
    )]
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("wharf-test-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            match std::fs::create_dir(&path) {
                // Symlinks on the way are resolved (macOS has one), so that tests can compare paths.
                Ok(()) => {
                    return Self {
                        path: path.canonicalize().unwrap_or(path),
                    };
                }
                // Left behind by a killed process that had our number: take the next one.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => panic!("cannot make {}: {error}", path.display()),
            }
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file, and the folders above it, and returns its path.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn write(&self, name: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> PathBuf {
        let file = self.path.join(name);
        let folder = file.parent().unwrap_or(&self.path);
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&file, contents))
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", file.display()));
        file
    }
}

impl Deref for Scratch {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

impl AsRef<Path> for Scratch {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A test may have taken write permission away; what cannot be removed stays for the system to clear.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_empty_unlike_any_other_and_gone_afterwards() {
        let (first, second) = (Scratch::new(), Scratch::new());
        assert_ne!(first.path(), second.path());
        assert_eq!(first.read_dir().unwrap().count(), 0);
        let file = first.write("a/b.txt", "text");
        assert_eq!(std::fs::read(&file).unwrap(), b"text");
        let path = first.path().to_owned();
        drop(first);
        assert!(!path.exists());
    }
}
