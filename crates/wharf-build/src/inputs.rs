//! What a component is made of, as one line: where it is the same as the last time, nothing is built.

use std::fs;
use std::path::{Path, PathBuf};

use crate::BuildError;
use crate::files::read;

/// Folders of what others have made from the source, or fetched for it.
const DERIVED_FOLDERS: [&str; 3] = ["target", "node_modules", "__pycache__"];

/// Files that are made of the WIT among a Go module's own.
const DERIVED_FILES: [&str; 3] = ["wit_bindings.go", "wit_exports.go", "empty.s"];

/// Files and folders that lie among the source and are none of it: they are written while what was built is served, or by this
/// process. Whoever builds or watches leaves them out.
#[derive(Clone, Debug, Default)]
pub struct Data {
    places: Vec<PathBuf>,
    /// Where this process's own lines go, as far as that is a file: with each line of a build it would ask for another one.
    outputs: Vec<FileId>,
}

/// What a file is by which it is the same under any name.
type FileId = (u64, u64);

impl Data {
    /// What is written to these files and folders.
    pub fn new(places: impl IntoIterator<Item = PathBuf>) -> Self {
        Self {
            places: places.into_iter().map(|place| real(&place)).collect(),
            outputs: outputs(),
        }
    }

    /// The same, and this, which is without links on the way.
    pub fn add(&mut self, place: PathBuf) {
        self.places.push(place);
    }

    /// Whether `path` is data among the source in `place`; both without links on the way. What `place` itself is, or is in, is source:
    /// somebody has named it as such.
    #[must_use]
    pub fn has(&self, path: &Path, place: &Path) -> bool {
        let is_written = |data: &PathBuf| path.starts_with(data) && !place.starts_with(data);
        path != place && (self.places.iter().any(is_written) || self.is_output(path))
    }

    /// Whether all of a folder is data.
    #[must_use]
    pub fn is(&self, folder: &Path) -> bool {
        self.places.iter().any(|data| data == folder)
    }

    fn is_output(&self, path: &Path) -> bool {
        let id = || fs::metadata(path).ok().and_then(|metadata| file_id(&metadata));
        !self.outputs.is_empty() && id().is_some_and(|id| self.outputs.contains(&id))
    }
}

#[cfg(unix)]
fn outputs() -> Vec<FileId> {
    use std::os::fd::AsFd as _;

    let (stdout, stderr) = (std::io::stdout(), std::io::stderr());
    let open = [stdout.as_fd(), stderr.as_fd()].into_iter();
    let files = open
        .filter_map(|open| open.try_clone_to_owned().ok())
        .map(fs::File::from);
    files.filter_map(|file| file_id(&file.metadata().ok()?)).collect()
}

#[cfg(unix)]
fn file_id(metadata: &fs::Metadata) -> Option<FileId> {
    use std::os::unix::fs::MetadataExt as _;

    metadata.is_file().then(|| (metadata.dev(), metadata.ino()))
}

/// Files have no such number there that the standard library would tell.
#[cfg(not(unix))]
fn outputs() -> Vec<FileId> {
    Vec::new()
}

#[cfg(not(unix))]
fn file_id(_: &fs::Metadata) -> Option<FileId> {
    None
}

/// A path from the root on and without links on the way, as far as it is there already: as changes are told.
#[must_use]
pub fn real(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match (path.parent(), path.file_name()) {
        (Some(folder), Some(name)) => real(folder).join(name),
        _ => path,
    }
}

/// The digest of all files in `places`, which are files and folders, but for `data`; of `tools`, which are programs, and of `words`.
pub(crate) fn digest(words: &str, places: &[&Path], data: &Data, tools: &[PathBuf]) -> Result<String, BuildError> {
    let mut hasher = blake3::Hasher::new();
    let mut add = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    add(words.as_bytes());
    // Not their content: an interpreter has many files. A program that is installed anew has another time.
    for tool in tools {
        let metadata = fs::metadata(tool).map_err(BuildError::file("read", tool))?;
        add(format!("{} {} {:?}", tool.display(), metadata.len(), metadata.modified().ok()).as_bytes());
    }
    for place in places {
        let mut files = Vec::new();
        let place = real(place);
        collect(&place, &|path| data.has(path, &place), &mut files)?;
        files.sort();
        for file in files {
            add(file.as_os_str().as_encoded_bytes());
            add(&read(&file)?);
        }
    }
    Ok(hasher.finalize().to_string())
}

/// Whether something in a project's folder is what people do not write themselves: hidden, fetched, or made of the source.
#[must_use]
pub fn is_derived(path: &Path, is_folder: bool) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_component = path.extension().is_some_and(|extension| extension == "wasm");
    let is_foreign_folder = || DERIVED_FOLDERS.contains(&&*name) || path.join("pyvenv.cfg").exists();
    name.starts_with('.') || is_component || DERIVED_FILES.contains(&&*name) || is_folder && is_foreign_folder()
}

/// Adds the files of a place that people write.
fn collect(place: &Path, is_data: &dyn Fn(&Path) -> bool, files: &mut Vec<PathBuf>) -> Result<(), BuildError> {
    if place.is_file() {
        files.push(place.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(place).map_err(BuildError::file("read", place))? {
        let entry = entry.map_err(BuildError::file("read", place))?;
        let kind = entry.file_type().map_err(BuildError::file("read", place))?;
        let path = entry.path();
        // A link to a folder may lead back to where it stands.
        if is_derived(&path, kind.is_dir()) || is_data(&path) {
            continue;
        } else if kind.is_dir() {
            collect(&path, is_data, files)?;
        } else if path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_counts_and_what_is_made_of_it_does_not() {
        let folder = std::env::temp_dir().join(format!("wharf-build-inputs-{}", std::process::id()));
        let write = |file: &str, text: &str| {
            let file = folder.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        write("src/a.go", "a");
        let data = ["shop.db", "src/uploads", ".", "src/../kept"].map(|place| folder.join(place));
        let data = Data::new(data);
        let digest = || digest("words", &[&folder], &data, &[]).unwrap();
        let mut last = digest();
        let mut check = |file: &str, text: &str, counts: bool| {
            write(file, text);
            let now = digest();
            assert_eq!(now != last, counts, "{file}");
            last = now;
        };
        check("src/a.go", "b", true);
        check("src/c.go", "", true);
        check("src/a.go", "b", false);
        check("go.sum", "a", true);
        check("requirements.txt", "a", true);
        check("wit/wharf-wit.lock", "a", true);
        check("table.csv", "a", true);
        check("app.wasm", "a", false);
        check(".git/HEAD", "a", false);
        check("target/debug/a", "a", false);
        check("node_modules/a/b.js", "a", false);
        check("__pycache__/a.pyc", "a", false);
        check("venv/pyvenv.cfg", "a", false);
        check("venv/lib/a.py", "a", false);
        check("imports/x/wit_bindings.go", "a", false);
        check("shop.db", "a", false);
        check("shop.db", "b", false);
        check("shop.db-schema", "a", true);
        check("src/uploads/b/a.go", "a", false);
        check("kept/a.go", "a", false);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_tool_is_another_by_its_length_and_its_time() {
        let folder = std::env::temp_dir().join(format!("wharf-build-tools-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let tool = folder.join("tool");
        let digest = |content: &str, seconds: u64| {
            fs::write(&tool, content).unwrap();
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            fs::File::options()
                .write(true)
                .open(&tool)
                .unwrap()
                .set_modified(time)
                .unwrap();
            digest("words", &[], &Data::default(), std::slice::from_ref(&tool)).unwrap()
        };
        let first = digest("a", 1);
        assert_eq!(digest("b", 1), first);
        assert_ne!(digest("a", 2), first);
        assert_ne!(digest("ab", 1), first);
        fs::remove_dir_all(&folder).unwrap();
    }

    /// A folder that is made later is where its parent leads to.
    #[cfg(unix)]
    #[test]
    fn what_is_not_there_yet_is_without_links_too() {
        let folder = std::env::temp_dir().join(format!("wharf-build-real-{}", std::process::id()));
        fs::create_dir_all(folder.join("there")).unwrap();
        std::os::unix::fs::symlink("there", folder.join("link")).unwrap();
        let there = folder.join("there").canonicalize().unwrap();
        for (path, expected) in [
            (folder.join("link"), there.clone()),
            (folder.join("link/a"), there.join("a")),
            (folder.join("link/a/b"), there.join("a/b")),
            (
                "wharf-build-real".into(),
                std::env::current_dir().unwrap().join("wharf-build-real"),
            ),
        ] {
            assert_eq!(real(&path), expected, "{}", path.display());
        }
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_is_named_as_source_is_source_whoever_writes_it() {
        let data = Data::new(["/shop/data", "/shop/shop.db"].map(PathBuf::from));
        for (path, place, expected) in [
            ("/shop/data/a", "/shop", true),
            ("/shop/data", "/shop", true),
            ("/shop/data/a", "/shop/data", false),
            ("/shop/data/in/a", "/shop/data/in", false),
            ("/shop/shop.db", "/shop", true),
            ("/shop/shop.db", "/shop/shop.db", false),
            ("/shop/database", "/shop", false),
        ] {
            assert_eq!(
                data.has(Path::new(path), Path::new(place)),
                expected,
                "{path} in {place}"
            );
        }
    }
}
