//! How files look: their sizes and times, not their content. What looks the same has not changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use wharf_app::app as plan;
use wharf_app::manifest::Configuration;
use wharf_app::section::Sections;

use super::Source;
use super::inputs::files_of;
use crate::tls;

/// What was seen of the files that a deployment was read from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    files: BTreeMap<PathBuf, Option<Stamp>>,
    /// The folder of apps, and where apps may have their manifests in it. Not the folders of apps themselves: whatever a guest
    /// writes beside its manifest changes those, and is nobody's reason to read all anew.
    folder: Option<(PathBuf, BTreeMap<PathBuf, Option<Stamp>>)>,
}

/// What changes when a file is written or replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
    file: u64,
}

impl Seen {
    pub(super) fn of(source: &Source, configuration: &Configuration, sections: &Sections) -> Self {
        let apps = configuration.apps.iter();
        let mut paths: Vec<PathBuf> = apps.flat_map(|app| files_of(app, sections)).collect();
        let secrets = configuration.apps.iter().flat_map(|app| app.secrets.values());
        paths.extend(secrets.flat_map(plan::SecretSource::files));
        paths.extend(configuration.server.tls.iter().flat_map(tls::watched));
        if let Source::Manifest(path) = source {
            paths.push(match path.is_dir() {
                true => path.join(wharf_app::manifest::FILE_NAME),
                false => path.clone(),
            });
        }
        let folder = configuration.server.apps.clone();
        Self {
            files: paths.into_iter().map(|path| (path.clone(), Stamp::of(&path))).collect(),
            folder: folder.map(|folder| (folder.clone(), manifests_below(&folder))),
        }
    }

    /// Takes over what an earlier look saw of the same files.
    pub(super) fn keep(&mut self, before: Self) {
        for (path, stamp) in before.files {
            if let Some(known) = self.files.get_mut(&path) {
                *known = stamp;
            }
        }
        if let (Some((folder, found)), Some((same, before))) = (&mut self.folder, before.folder)
            && *folder == same
        {
            *found = before;
        }
    }

    pub(super) fn again(&self) -> Self {
        let files = self.files.keys().map(|path| (path.clone(), Stamp::of(path)));
        let folder = self.folder.as_ref();
        Self {
            files: files.collect(),
            folder: folder.map(|(folder, _)| (folder.clone(), manifests_below(folder))),
        }
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        #[cfg(unix)]
        let file = std::os::unix::fs::MetadataExt::ino(&metadata);
        #[cfg(not(unix))]
        let file = 0;
        Some(Self {
            modified: metadata.modified().ok(),
            bytes: metadata.len(),
            file,
        })
    }
}

/// Where the apps of a folder have their manifests, and how these look. A folder without one is none of them.
fn manifests_below(folder: &Path) -> BTreeMap<PathBuf, Option<Stamp>> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let manifests = entries.filter_map(|entry| {
        let path = entry.path();
        let manifest = match path.is_dir() {
            true => path.join(wharf_app::manifest::FILE_NAME),
            false if path.extension().is_some_and(|extension| extension == "toml") => path,
            false => return None,
        };
        let stamp = Stamp::of(&manifest)?;
        Some((manifest, Some(stamp)))
    });
    manifests.collect()
}
