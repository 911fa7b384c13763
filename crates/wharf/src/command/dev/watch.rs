//! Which files have changed, as soon as they rest.
//!
//! Each folder is watched by itself, and not those that tools fill: a build's own folder changes thousands of times while it is
//! filled, and systems watch only so many.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use notify::event::{EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use wharf_build::Data;

/// How long nothing may change for what was written to be whole. Editors write a file in several steps, within a few milliseconds;
/// more would be waited for with each change.
const REST: Duration = Duration::from_millis(30);

/// What is written again and again is looked at after this all the same.
const REST_MAX: Duration = Duration::from_millis(500);

/// Watches folders and files.
pub struct Watch {
    watcher: RecommendedWatcher,
    events: Receiver<notify::Result<notify::Event>>,
    watched: BTreeSet<PathBuf>,
}

impl Watch {
    /// Nothing is watched yet.
    pub fn new() -> notify::Result<Self> {
        let (send, events) = mpsc::channel();
        Ok(Self {
            watcher: notify::recommended_watcher(send)?,
            events,
            watched: BTreeSet::new(),
        })
    }

    /// Watches these from now on, too: files, and folders with those in them, but for those of `data`. Returns what could not be watched,
    /// as text.
    pub fn look_at<'a>(&mut self, places: impl Iterator<Item = &'a Path>, data: &Data) -> Vec<String> {
        let mut troubles = Vec::new();
        for place in places {
            match place.is_dir() {
                true => self.add_all(place, &|path| data.has(path, place), &mut troubles),
                // A file that is replaced is another one: its folder tells.
                false => self.add(place.parent().unwrap_or(place), &mut troubles),
            };
        }
        troubles
    }

    fn add_all(&mut self, folder: &Path, is_data: &dyn Fn(&Path) -> bool, troubles: &mut Vec<String>) {
        self.add(folder, troubles);
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        for entry in entries {
            let path = entry.path();
            // Links are not followed: they may lead back.
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder && !wharf_build::is_derived(&path, true) && !is_data(&path) {
                self.add_all(&path, is_data, troubles);
            }
        }
    }

    fn add(&mut self, folder: &Path, troubles: &mut Vec<String>) {
        if self.watched.contains(folder) || !folder.is_dir() {
            return;
        }
        match self.watcher.watch(folder, RecursiveMode::NonRecursive) {
            Ok(()) => drop(self.watched.insert(folder.to_owned())),
            Err(error) => troubles.push(format!(
                "{} cannot be watched, and its changes are not seen: {error}",
                folder.display()
            )),
        }
    }

    /// Waits until something has changed, and until that rests. `None`: the system lost count of what.
    pub fn next(&mut self) -> Option<BTreeSet<PathBuf>> {
        self.next_until(None)
    }

    /// What has changed by now, and until that rests; nothing, perhaps.
    pub fn so_far(&mut self) -> Option<BTreeSet<PathBuf>> {
        self.within(REST)
    }

    /// What has changed by then, and until that rests; nothing, perhaps.
    pub fn within(&mut self, wait: Duration) -> Option<BTreeSet<PathBuf>> {
        self.next_until(Some(Instant::now() + wait))
    }

    fn next_until(&mut self, until: Option<Instant>) -> Option<BTreeSet<PathBuf>> {
        let mut changed = BTreeSet::new();
        let mut is_known = true;
        let mut since: Option<Instant> = None;
        loop {
            let event = match (since, until) {
                (None, None) => self.events.recv().ok(),
                (None, Some(until)) => self
                    .events
                    .recv_timeout(until.saturating_duration_since(Instant::now()))
                    .ok(),
                (Some(since), _) if since.elapsed() > REST_MAX => None,
                (Some(_), _) => self.events.recv_timeout(REST).ok(),
            };
            match event {
                Some(Ok(event)) if event.need_rescan() => is_known = false,
                Some(Ok(event)) => changed.extend(self.taken(event)),
                Some(Err(_)) => is_known = false,
                None => return is_known.then_some(changed),
            }
            if !(changed.is_empty() && is_known) {
                since.get_or_insert_with(Instant::now);
            }
        }
    }

    /// The files that an event is about, without those that nobody wrote on purpose.
    fn taken(&mut self, event: notify::Event) -> Vec<PathBuf> {
        match event.kind {
            // Somebody reads.
            EventKind::Access(_) => return Vec::new(),
            EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)) => {
                event.paths.iter().for_each(|path| self.forget(path));
            }
            _ => {}
        }
        // Its parent tells that a folder is there, perhaps after somebody has begun to watch it; what else a folder is told of itself, its
        // parent is told as well.
        let is_new = matches!(event.kind, EventKind::Create(_));
        let mut paths = event.paths;
        paths.retain(|path| !is_temporary(path) && (is_new || !self.watched.contains(path)));
        paths
    }

    /// What has gone, or has another name, is watched anew once it is back.
    fn forget(&mut self, path: &Path) {
        let gone: Vec<PathBuf> = self
            .watched
            .iter()
            .filter(|known| known.starts_with(path))
            .cloned()
            .collect();
        for folder in gone {
            let _ = self.watcher.unwatch(&folder);
            self.watched.remove(&folder);
        }
    }
}

/// Whether a name is one that editors give what they keep for a moment, or is hidden.
fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    // Emacs' locks and copies; vim's trial of what it may write, and its swap files; JetBrains' safe write.
    name.starts_with(['.', '#'])
        || name.ends_with('~')
        || name == "4913"
        || name.contains("___jb_")
        || matches!(&*extension, "swp" | "swo" | "swx" | "tmp" | "unfinished")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_editors_keep_for_a_moment_is_no_change() {
        for name in [
            ".lib.rs.swp",
            "4913",
            "lib.rs~",
            "#lib.rs#",
            ".#lib.rs",
            "a___jb_tmp___",
            "a.tmp",
            ".git",
        ] {
            assert!(is_temporary(&Path::new("/a").join(name)), "{name}");
        }
        for name in ["lib.rs", "Makefile", "a#b", "tmp"] {
            assert!(!is_temporary(&Path::new("/a").join(name)), "{name}");
        }
    }

    #[test]
    fn changes_are_told_also_of_folders_that_come_later() {
        let folder = std::env::temp_dir().join(format!("wharf-watch-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("target")).unwrap();
        std::fs::create_dir_all(folder.join("data")).unwrap();
        let folder = folder.canonicalize().unwrap();
        let mut watch = Watch::new().unwrap();
        let data = Data::new([folder.join("data")]);
        let look = |watch: &mut Watch| assert_eq!(watch.look_at([&*folder].into_iter(), &data), Vec::<String>::new());
        let mut check = |file: &str| {
            look(&mut watch);
            std::fs::write(folder.join("target/a"), "a").unwrap();
            std::fs::write(folder.join("data/a"), "a").unwrap();
            std::fs::write(folder.join("a~"), "a").unwrap();
            std::fs::create_dir_all(folder.join(file).parent().unwrap()).unwrap();
            std::fs::write(folder.join(file), "a").unwrap();
            let mut changed = BTreeSet::new();
            while !changed.iter().any(|path: &PathBuf| folder.join(file).starts_with(path)) {
                changed.extend(watch.next().unwrap());
            }
            let strange =
                |path: &&PathBuf| path.ends_with("target/a") || path.ends_with("data/a") || path.ends_with("a~");
            assert_eq!(changed.iter().find(strange), None);
        };
        check("a");
        check("src/b");
        check("src/b");
        std::fs::rename(folder.join("src"), folder.join("old")).unwrap();
        check("src/b");
        check("src/b");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
