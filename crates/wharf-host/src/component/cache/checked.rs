//! Which entries were read whole once and found undamaged, so that they need not be read whole each time.
//!
//! An interpreter's compiled code is tens of megabytes, of which a request touches a few: comparing the checksum takes longer than
//! everything else. So a note beside an entry says what the file system tells of it when it had been compared. A file
//! that was written to, replaced, restored or copied since has another time of change, which no program can set, or another number, and
//! is compared again. Without a note, or where notes cannot be kept, every start compares.

use std::fs::{self, File, Metadata};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{only_ours, private_file};

/// A file that was changed this recently may be changed again without its times telling: clocks of file systems tick in
/// milliseconds, and here whole seconds are compared.
const SETTLED: Duration = Duration::from_secs(2);

/// Whether the entry at `path`, of which the file system tells `meta`, was found to be what `key` says.
pub fn is_checked(path: &Path, meta: &Metadata, key: &blake3::Hash) -> bool {
    let (Some(expected), Ok(mut note)) = (content(meta, key), File::open(note(path))) else {
        return false;
    };
    let is_ours = note.metadata().is_ok_and(|meta| meta.is_file() && only_ours(&meta));
    let mut found = Vec::with_capacity(expected.len() + 1);
    is_ours && note.read_to_end(&mut found).is_ok() && found == expected
}

/// Notes that the entry at `path`, of which the file system told `meta` before it was read, is what `key` says.
pub fn remember(path: &Path, meta: &Metadata, key: &blake3::Hash) {
    let Some(content) = content(meta, key).filter(|_| is_settled(meta)) else {
        return;
    };
    // Two threads of a process that meet here: one of them finds its draft taken, and there is nothing to be done.
    let draft = path.with_extension(format!("checked-{}", std::process::id()));
    let written = private_file(&draft)
        .and_then(|mut file| file.write_all(&content))
        .and_then(|()| fs::rename(&draft, note(path)));
    if let Err(error) = written {
        tracing::debug!(entry = %path.display(), %error, "a compared entry cannot be noted");
    }
}

fn note(path: &Path) -> PathBuf {
    path.with_extension("checked")
}

#[cfg(unix)]
fn is_settled(meta: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let changed = Duration::from_secs(u64::try_from(meta.ctime()).unwrap_or(0));
    now.saturating_sub(changed) > SETTLED
}

#[cfg(not(unix))]
fn is_settled(_: &Metadata) -> bool {
    false
}

/// The key; device, number and length of the file, and the times of its last write and its last change.
#[cfg(unix)]
fn content(meta: &Metadata, key: &blake3::Hash) -> Option<Vec<u8>> {
    use std::os::unix::fs::MetadataExt as _;
    let numbers = [meta.dev(), meta.ino(), meta.len()].map(u64::to_le_bytes);
    let times = [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()].map(i64::to_le_bytes);
    Some([&key.as_bytes()[..], &numbers.concat(), &times.concat()].concat())
}

/// Elsewhere every time that a file has can be set.
#[cfg(not(unix))]
fn content(_: &Metadata, _: &blake3::Hash) -> Option<Vec<u8>> {
    None
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    type Change = fn(&Path);

    fn meta(path: &Path) -> Metadata {
        fs::metadata(path).expect("it is there")
    }

    #[test]
    fn what_was_compared_is_known_until_it_changes() {
        let changes: [(&str, Change); 5] = [
            ("written in place", |path| {
                fs::write(path, "edoc").expect("it is ours");
            }),
            ("replaced", |path| {
                fs::write(path.with_extension("new"), "code").expect("a new file");
                fs::rename(path.with_extension("new"), path).expect("they are ours");
            }),
            ("cut off", |path| fs::write(path, "").expect("it is ours")),
            ("its note is damaged", |path| {
                fs::write(note(path), "x").expect("it is ours")
            }),
            ("its note is away", |path| {
                fs::remove_file(note(path)).expect("it is ours")
            }),
        ];
        let folder = std::env::temp_dir().join(format!("wharf-checked-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a new folder");
        let paths: Vec<_> = (0..changes.len())
            .map(|nth| folder.join(format!("{nth}.cwasm")))
            .collect();
        let (key, other) = (blake3::hash(b"a"), blake3::hash(b"b"));
        for path in &paths {
            let begun = Instant::now();
            fs::write(path, "code").expect("a new file");
            remember(path, &meta(path), &key);
            let is_checked = is_checked(path, &meta(path), &key);
            // Unless this thread has slept in between.
            assert!(!is_checked || begun.elapsed() > SETTLED, "it was written just now");
        }
        std::thread::sleep(SETTLED + Duration::from_secs(2));
        for ((what, change), path) in changes.iter().zip(&paths) {
            remember(path, &meta(path), &key);
            assert!(is_checked(path, &meta(path), &key), "{what}");
            assert!(!is_checked(path, &meta(path), &other), "{what}");
            change(path);
            assert!(!is_checked(path, &meta(path), &key), "{what}");
        }
        fs::remove_dir_all(folder).expect("it is ours");
    }
}
