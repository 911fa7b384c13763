//! Compiled code on disk, so that a component is compiled once per machine.
//!
//! An entry is one file: the compiled code as Wasmtime writes it, then a footer. Its key is made of everything that
//! decides what the code looks like: the component's bytes, the engine's settings and version, and the footer's
//! format. The key is the file's name and stands in the footer too, so that an entry under a wrong name is none. Entries are written beside their place and renamed into it, so any number of processes may share a folder:
//! whoever is second replaces a file by an equal one, and nobody sees half of one.
//!
//! # Why an entry is trusted
//! Compiled code is machine code; running a forged entry is running the forger's program. So an entry is used only
//! if nobody but this user (or root) could have written it: the folder and the file belong to us and are writable by no
//! one else, which is checked on the open file itself each time. What remains is damage (a torn disk, a full one, a
//! stray write), which the footer's checksum finds; `cache/checked.rs` knows which files need not be read for it again. An entry that
//! fails any check is compiled anew and replaced.

mod checked;

use std::fs::{self, File, OpenOptions};
use std::hash::Hasher as _;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::component::Component;
use xxhash_rust::xxh3::Xxh3;

use crate::engine::Engine;

/// Changes when the layout of an entry does.
const FORMAT: &[u8; 8] = b"WHARF\0C2";

/// Key, format, checksum and length.
const FOOTER_BYTES: usize = blake3::OUT_LEN + FORMAT.len() + 16 + 8;

/// What the entries of a folder may add up to. The oldest are deleted past it; compiled code is three to four times
/// the size of its component, so this holds some hundreds of large apps.
const TOTAL_BYTES_MAX: u64 = 4 << 30;

/// Compiled components in a folder of their own. Cheap to clone; safe to share between processes.
#[derive(Clone, Debug)]
pub struct CodeCache {
    folder: PathBuf,
}

/// Why a folder cannot hold compiled code.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The folder cannot be made or opened.
    #[error("cannot use {} for compiled code: {error}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        error: io::Error,
    },
    /// Others could plant machine code in it.
    #[error("cannot use {} for compiled code: others can write to it; `chmod go-w` it, or choose another folder", path.display())]
    Shared {
        /// The folder.
        path: PathBuf,
    },
}

impl CodeCache {
    /// Opens `folder`, making it (for this user alone) if it is absent.
    ///
    /// # Errors
    /// When it cannot be made, or when other users can write to it.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, CacheError> {
        let folder = folder.into();
        create_private(&folder).map_err(|error| CacheError::Io {
            path: folder.clone(),
            error,
        })?;
        let meta = fs::metadata(&folder).map_err(|error| CacheError::Io {
            path: folder.clone(),
            error,
        })?;
        if !only_ours(&meta) {
            return Err(CacheError::Shared { path: folder });
        }
        Ok(Self { folder })
    }

    /// Compiled code for `bytes` from the folder, else compiled now and left in it.
    ///
    /// A folder that cannot be read or written costs time, never the component.
    pub(crate) fn load_or_compile(&self, engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Component> {
        let key = key_of(engine, bytes);
        let path = self.folder.join(format!("{key}.cwasm"));
        match load(engine, &path, &key) {
            Ok(Some(component)) => return Ok(component),
            Ok(None) => {}
            Err(reason) => {
                tracing::warn!(entry = %path.display(), %reason, "compiled code is unusable: compiling anew");
            }
        }
        let component = Component::from_binary(engine.wasmtime(), bytes)?;
        match self.store(&path, &key, &component.serialize()?) {
            // The mapped file is shared with other processes and holds memory images: better than the copy just made.
            Ok(()) => Ok(load(engine, &path, &key).ok().flatten().unwrap_or(component)),
            Err(error) => {
                tracing::warn!(entry = %path.display(), %error, "compiled code cannot be kept");
                Ok(component)
            }
        }
    }

    /// Compiled code for `bytes` from the folder, if it is there and whole.
    pub(crate) fn load(&self, engine: &Engine, bytes: &[u8]) -> Option<Component> {
        let key = key_of(engine, bytes);
        let path = self.folder.join(format!("{key}.cwasm"));
        load(engine, &path, &key).ok().flatten()
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn store(&self, path: &Path, key: &blake3::Hash, code: &[u8]) -> io::Result<()> {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let draft = self.folder.join(format!(".{}-{serial}.draft", std::process::id()));
        let written = write_entry(&draft, key, code).and_then(|()| fs::rename(&draft, path));
        if written.is_err() {
            let _ = fs::remove_file(&draft);
        } else {
            self.prune();
        }
        written
    }

    /// Deletes the oldest entries past [`TOTAL_BYTES_MAX`]. Whoever has one mapped keeps it.
    fn prune(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return;
        };
        let mut entries: Vec<_> = entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let meta = entry.metadata().ok()?;
                Some((
                    meta.accessed().or_else(|_| meta.modified()).ok()?,
                    meta.len(),
                    entry.path(),
                ))
            })
            .collect();
        let mut total: u64 = entries.iter().map(|(_, bytes, _)| bytes).sum();
        entries.sort();
        for (_, bytes, path) in entries {
            if total <= TOTAL_BYTES_MAX {
                return;
            }
            let _ = fs::remove_file(path);
            total -= bytes;
        }
    }
}

/// The key of the compiled form of `bytes` under `engine`.
fn key_of(engine: &Engine, bytes: &[u8]) -> blake3::Hash {
    struct Feed(blake3::Hasher);
    impl std::hash::Hasher for Feed {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut feed = Feed(blake3::Hasher::new());
    feed.write(FORMAT);
    // Wasmtime's version, its settings, the target and the processor's features.
    std::hash::Hash::hash(&engine.wasmtime().precompile_compatibility_hash(), &mut feed);
    feed.write_u64(bytes.len() as u64);
    feed.write(bytes);
    feed.0.finalize()
}

fn write_entry(path: &Path, key: &blake3::Hash, code: &[u8]) -> io::Result<()> {
    let mut sum = Xxh3::new();
    sum.update(code);
    let mut file = private_file(path)?;
    file.write_all(code)?;
    file.write_all(&footer(key, &sum, code.len()))?;
    // Without this a power cut may leave the name with no content behind it; the checksum would find that, at the
    // cost of a compilation.
    file.sync_data()
}

fn footer(key: &blake3::Hash, sum: &Xxh3, code_bytes: usize) -> Vec<u8> {
    let sum = sum.digest128().to_le_bytes();
    let length = (code_bytes as u64).to_le_bytes();
    [&key.as_bytes()[..], FORMAT, &sum, &length].concat()
}

/// `Ok(None)` when there is no entry; `Err` says what is wrong with the one there.
fn load(engine: &Engine, path: &Path, key: &blake3::Hash) -> Result<Option<Component>, String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let meta = file.metadata().map_err(|error| error.to_string())?;
    if !meta.is_file() || !only_ours(&meta) {
        return Err("others can write to it".into());
    }
    if !checked::is_checked(path, &meta, key) {
        check(&file, &meta, key)?;
        checked::remember(path, &meta, key);
    }
    map(engine, path).map(Some).map_err(|error| format!("{error:#}"))
}

/// Checks that the open file is undamaged and what its name says.
fn check(mut file: &File, meta: &fs::Metadata, key: &blake3::Hash) -> Result<(), String> {
    let Some(code_bytes) = (meta.len() as usize).checked_sub(FOOTER_BYTES) else {
        return Err("it is truncated".into());
    };
    let mut sum = Xxh3::new();
    let mut left = code_bytes;
    let mut chunk = vec![0; left.clamp(1, 1 << 16)];
    while left > 0 {
        let part = &mut chunk[..left.min(1 << 16)];
        file.read_exact(part).map_err(|error| error.to_string())?;
        sum.update(part);
        left -= part.len();
    }
    let mut found = [0; FOOTER_BYTES];
    file.read_exact(&mut found).map_err(|error| error.to_string())?;
    if found[..] != footer(key, &sum, code_bytes) {
        return Err("it is damaged, or another component's".into());
    }
    Ok(())
}

#[expect(
    unsafe_code,
    reason = "the one place where compiled code is trusted; see the module's page"
)]
fn map(engine: &Engine, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: the bytes were written by `Component::serialize` in a process of this user: `load` has just seen that
    // nobody else can write to the file or, through `CodeCache::open`, to its folder, and that it is what was written.
    // Wasmtime itself refuses code of another version, target or configuration. Between the check and this line only
    // this user could have put another file in its place, and Wharf's own processes put there only what they compiled;
    // none ever writes into an entry in place.
    unsafe { Component::deserialize_file(engine.wasmtime(), path) }
}

#[cfg(unix)]
fn create_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn create_private(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

#[cfg(unix)]
fn private_file(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// Whether only this user, or root, can write to what `meta` describes.
#[cfg(unix)]
fn only_ours(meta: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let us = rustix::process::geteuid().as_raw();
    (meta.uid() == us || meta.uid() == 0) && meta.mode() & 0o022 == 0
}

/// Elsewhere the profile folder's inherited permissions are what protects it.
#[cfg(not(unix))]
fn only_ours(_: &fs::Metadata) -> bool {
    true
}
