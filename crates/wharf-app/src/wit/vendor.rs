//! Packages of WIT in a project's folder: what has to be written, and what stands in the way.
//!
//! Each package has a folder of its own below `deps`, which is where tools for WIT look, and a lock file says which versions were
//! written, what they were, and where they came from. By it a file that somebody has changed is told from one that an older Wharf
//! wrote, or that was taken from an older source. Nothing is read or written here: whoever calls has looked at the folder, and does
//! as the plan says.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::{Package, Packages};

/// The lock file, in the folder of the project's WIT.
pub const LOCK: &str = "wharf-wit.lock";

/// The folder of other packages, in the same.
pub const DEPS: &str = "deps";

/// What the lock file says, by file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock(BTreeMap<String, Locked>);

/// A package that was written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Locked {
    name: String,
    #[serde(default)]
    version: String,
    file: String,
    digest: String,
    from: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    package: Vec<Locked>,
}

/// A file that is not as the lock has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference<'a> {
    /// `wasi:http`.
    pub package: &'a str,
    /// `0.3.2`; empty for a package without a version.
    pub version: &'a str,
    /// The file, relative to the folder of the project's WIT.
    pub file: &'a str,
    /// Where it came from, likewise; `None` for what Wharf carries.
    pub from: Option<&'a str>,
    /// Whether that is where it lies.
    pub is_own: bool,
    /// Whether it is there, and another.
    pub is_there: bool,
}

/// A file of a package that a project is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vendored {
    /// `wasi:http`.
    pub name: String,
    /// `0.3.2`; empty for a package without a version.
    pub version: String,
    /// The file, relative to the folder of the project's WIT.
    pub file: String,
    /// What is to be in it.
    pub text: Cow<'static, str>,
    /// Where it comes from, relative to the same folder; `None` for what Wharf carries.
    pub from: Option<String>,
}

/// What is done about one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The file.
    pub vendored: Vendored,
    /// What is done.
    pub does: Does,
}

/// What is done about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// It is not there, and is written.
    Add,
    /// It is there as it is to be.
    Keep,
    /// Somebody else has put it there, in a file of their own.
    Leave,
    /// An older Wharf wrote it: it is written anew.
    Renew,
    /// Somebody has changed it: it is left alone, unless they say otherwise.
    Refuse,
}

/// Where a package came from, by what the lock in a folder of WIT says of it; without the steps there and back.
pub fn place(folder: &Path, from: &str) -> PathBuf {
    let mut place = PathBuf::new();
    for part in folder.join(from).components() {
        match (part, place.components().next_back()) {
            (Component::ParentDir, Some(Component::Normal(_))) => {
                place.pop();
            }
            (Component::CurDir, Some(_)) => {}
            _ => place.push(part),
        }
    }
    place
}

/// The full names of the packages that a file of WIT declares: its own, and those nested in it.
pub fn declared(text: &str) -> impl Iterator<Item = &str> {
    let names = text
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("package "));
    names.filter_map(|rest| Some(rest.split([';', '{']).next()?.trim()))
}

/// The folder that a package goes to, relative to the folder of the project's WIT.
pub fn folder_of(name: &str, version: &str) -> String {
    let name = name.replace(':', "-");
    match version {
        "" => format!("{DEPS}/{name}"),
        version => format!("{DEPS}/{name}-{version}"),
    }
}

impl Vendored {
    /// `wasi:http@0.3.2`.
    pub fn full_name(&self) -> String {
        full_name(&self.name, &self.version)
    }
}

impl From<&Package> for Vendored {
    fn from(package: &Package) -> Self {
        Self {
            name: package.name.to_owned(),
            version: package.version.to_owned(),
            file: format!("{}/package.wit", folder_of(package.name, package.version)),
            text: package.text.into(),
            from: None,
        }
    }
}

impl Packages {
    /// What a project has to have for `wanted`: those and all they need, each once.
    pub fn vendored(&self, wanted: &[Package]) -> Vec<Vendored> {
        let mut all: Vec<Vendored> = Vec::new();
        for package in wanted.iter().flat_map(|package| self.with_needs(package)) {
            let vendored = Vendored::from(&package);
            if !all.contains(&vendored) {
                all.push(vendored);
            }
        }
        all
    }
}

/// What it takes to have `wanted`, where `content` says what is in a file, and `elsewhere` are the full names of packages that are in
/// files which no plan has named, with the files.
pub fn plan(
    wanted: Vec<Vendored>,
    lock: &Lock,
    elsewhere: &BTreeMap<String, String>,
    content: impl Fn(&str) -> Option<Vec<u8>>,
) -> Vec<Step> {
    let step = |mut vendored: Vendored| {
        // Twice in one folder, a package is no package.
        if let Some(file) = elsewhere.get(&vendored.full_name()) {
            vendored.file.clone_from(file);
            let does = Does::Leave;
            return Step { vendored, does };
        }
        let does = match content(&vendored.file) {
            None => Does::Add,
            Some(content) if content == vendored.text.as_bytes() => Does::Keep,
            Some(content) if lock.is_as_written(&vendored.file, &content) => Does::Renew,
            Some(_) => Does::Refuse,
        };
        Step { vendored, does }
    };
    wanted.into_iter().map(step).collect()
}

impl Locked {
    fn is_own(&self) -> bool {
        let folder = self.file.rsplit_once('/').map(|(folder, _)| folder);
        self.from
            .as_deref()
            .is_some_and(|from| from == self.file || Some(from) == folder)
    }
}

impl Lock {
    /// What a lock file says.
    ///
    /// # Errors
    /// When it is not as [`Lock::text`] writes it: with the place.
    pub fn read(text: &str) -> Result<Self, toml::de::Error> {
        let written: Written = toml::from_str(text)?;
        let entries = written.package.into_iter().map(|locked| (locked.file.clone(), locked));
        Ok(Self(entries.collect()))
    }

    /// Takes in what a plan has written, or found as it is to be.
    pub fn add(&mut self, steps: &[Step]) {
        for Step { vendored, .. } in steps.iter().filter(|step| step.does != Does::Leave) {
            let locked = Locked {
                name: vendored.name.clone(),
                version: vendored.version.clone(),
                file: vendored.file.clone(),
                digest: digest(vendored.text.as_bytes()),
                from: vendored.from.clone(),
            };
            self.0.insert(vendored.file.clone(), locked);
        }
    }

    /// Takes out the files of packages that `steps` write, and which those packages do not have any more; their names, and whether
    /// nobody has changed them.
    pub fn remove_former(&mut self, steps: &[Step], content: impl Fn(&str) -> Option<Vec<u8>>) -> Vec<(String, bool)> {
        let is_former = |locked: &Locked| {
            let mut written = steps.iter().filter(|step| step.does != Does::Leave);
            let mut of_package = written
                .clone()
                .filter(|step| step.vendored.name == locked.name && step.vendored.version == locked.version);
            of_package.next().is_some() && !written.any(|step| step.vendored.file == locked.file)
        };
        let former: Vec<_> = self.0.values().filter(|locked| is_former(locked)).cloned().collect();
        let removed = former.into_iter().filter_map(|locked| {
            self.0.remove(&locked.file);
            let found = content(&locked.file)?;
            Some((locked.file, digest(&found) == locked.digest))
        });
        removed.collect()
    }

    /// Whether it says something of a file.
    pub fn has(&self, file: &str) -> bool {
        self.0.contains_key(file)
    }

    /// Whether a file was taken as it lies there, and is the project's own.
    pub fn is_own(&self, file: &str) -> bool {
        self.0.get(file).is_some_and(Locked::is_own)
    }

    /// What of the files in `deps` it says nothing of: the places to add, which are folders there and files, each once.
    pub fn unpinned<'a>(&self, files: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'a str> {
        let unknown = files.into_iter().filter(|file| !self.has(file));
        unknown
            .map(|file| {
                let end = file.match_indices('/').nth(1);
                end.map_or(file, |(end, _)| &file[..end])
            })
            .collect()
    }

    /// The packages that came from elsewhere than Wharf: their full names, and where from.
    pub fn others(&self) -> BTreeMap<String, &str> {
        let others = self.0.values().filter_map(|locked| {
            let from = locked.from.as_deref()?;
            Some((full_name(&locked.name, &locked.version), from))
        });
        others.collect()
    }

    fn is_as_written(&self, file: &str, content: &[u8]) -> bool {
        let locked = self.0.get(file);
        locked.is_some_and(|locked| locked.digest == digest(content))
    }

    /// What in the folder is not as it was written, where `content` says what is in a file.
    pub fn differences(&self, content: impl Fn(&str) -> Option<Vec<u8>>) -> Vec<Difference<'_>> {
        let different = self.0.values().filter_map(|locked| {
            let found = content(&locked.file);
            let is_there = found.is_some();
            let is_same = found.is_some_and(|found| digest(&found) == locked.digest);
            (!is_same).then_some(Difference {
                package: &locked.name,
                version: &locked.version,
                file: &locked.file,
                from: locked.from.as_deref(),
                is_own: locked.is_own(),
                is_there,
            })
        });
        different.collect()
    }

    /// The lock file.
    pub fn text(&self) -> String {
        let mut text = String::from(
            "# Which packages `wharf wit add` has written, and what they were. Belongs in version control.\n",
        );
        for locked in self.0.values() {
            let Locked {
                name,
                version,
                file,
                digest,
                from,
            } = locked;
            text.push_str("\n[[package]]\n");
            let version = (!version.is_empty()).then_some(version);
            let lines = [
                ("name", Some(name)),
                ("version", version),
                ("file", Some(file)),
                ("digest", Some(digest)),
                ("from", from.as_ref()),
            ];
            for (key, value) in lines.into_iter().filter_map(|(key, value)| Some((key, value?))) {
                // A `String` takes whatever there is.
                let _ = writeln!(text, "{key} = {}", quoted(value));
            }
        }
        text
    }
}

fn full_name(name: &str, version: &str) -> String {
    match version {
        "" => name.to_owned(),
        version => format!("{name}@{version}"),
    }
}

/// A text as TOML has it, and JSON. Names of files may have anything in them.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// What a file is told from others by.
fn digest(content: &[u8]) -> String {
    format!("blake3:{}", blake3::hash(content).to_hex())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::section::tests::sections;

    fn packages() -> Packages {
        Packages::new(&sections())
    }

    #[track_caller]
    fn check(lock: &Lock, content: Option<&str>, expected: Does) {
        let greeting = packages().find("acme:greeting").unwrap();
        let wanted = packages().vendored(&[greeting]);
        let steps = plan(wanted, lock, &BTreeMap::new(), |_| {
            content.map(|content| content.as_bytes().to_vec())
        });
        let told: Vec<_> = steps.iter().map(|step| (&*step.vendored.file, step.does)).collect();
        assert_eq!(told, [("deps/acme-greeting-0.2.1/package.wit", expected)]);
    }

    #[test]
    fn what_somebody_has_changed_is_told_from_what_is_old() {
        let greeting = packages().find("acme:greeting").unwrap();
        let mut lock = Lock::default();
        check(&lock, None, Does::Add);
        check(&lock, Some(greeting.text), Does::Keep);
        check(&lock, Some("package acme:greeting@0.2.1;"), Does::Refuse);
        let old = Vendored {
            text: "as it was".into(),
            ..Vendored::from(&greeting)
        };
        let (vendored, does) = (old, Does::Add);
        lock.add(&[Step { vendored, does }]);
        check(&lock, Some("as it was"), Does::Renew);
        check(&lock, Some("as it was, and more"), Does::Refuse);
    }

    #[test]
    fn what_is_in_another_file_is_left_there() {
        let text = "// Of WASI.\npackage wasi:http@0.3.2;\n\n  package wasi:clocks@0.3.2 {\n}\n// package a:b;\n";
        let declared: Vec<_> = declared(text).collect();
        assert_eq!(declared, ["wasi:http@0.3.2", "wasi:clocks@0.3.2"]);

        let elsewhere = BTreeMap::from([("wasi:clocks@0.3.2".to_owned(), "deps/clocks.wit".to_owned())]);
        let http = packages().find("wasi:http").unwrap();
        let steps = plan(packages().vendored(&[http]), &Lock::default(), &elsewhere, |_| None);
        let clocks = steps.iter().find(|step| step.vendored.name == "wasi:clocks").unwrap();
        assert_eq!((&*clocks.vendored.file, clocks.does), ("deps/clocks.wit", Does::Leave));
        assert!(
            steps
                .iter()
                .all(|step| step.does == Does::Add || step.vendored.name == "wasi:clocks")
        );
        // It is nobody's promise what is in there.
        let mut lock = Lock::default();
        lock.add(&steps);
        assert!(!lock.text().contains("clocks"), "{}", lock.text());
    }

    #[test]
    fn what_differs_from_the_lock_is_told() {
        let greeting = packages().find("acme:greeting").unwrap();
        let mut lock = Lock::default();
        let wanted = packages().vendored(&[greeting]);
        lock.add(&plan(wanted, &lock, &BTreeMap::new(), |_| None));
        let difference = |is_there| Difference {
            package: "acme:greeting",
            version: "0.2.1",
            file: "deps/acme-greeting-0.2.1/package.wit",
            from: None,
            is_own: false,
            is_there,
        };
        assert_eq!(lock.differences(|_| Some(greeting.text.into())), []);
        assert_eq!(lock.differences(|_| Some("mine".into())), [difference(true)]);
        assert_eq!(lock.differences(|_| None), [difference(false)]);
    }

    #[test]
    fn a_lock_is_read_as_it_is_written() {
        let wanted = ["wasi:http", "acme:greeting"].map(|name| packages().find(name).unwrap());
        let mut wanted = packages().vendored(&wanted);
        wanted.push(Vendored {
            name: "acme:own".to_owned(),
            version: String::new(),
            file: "deps/acme-own/a \"b\".wit".to_owned(),
            text: "package acme:own;".into(),
            from: Some("../../it's".to_owned()),
        });
        let steps = plan(wanted, &Lock::default(), &BTreeMap::new(), |_| None);
        assert!(steps.len() > 2, "what they need is with them");
        let mut lock = Lock::default();
        lock.add(&steps);
        assert_eq!(Lock::read(&lock.text()).unwrap(), lock);
        assert_eq!(Lock::read("").unwrap(), Lock::default());
        let others: Vec<_> = lock.others().into_iter().collect();
        assert_eq!(others, [("acme:own".to_owned(), "../../it's")]);
        let error = Lock::read("[[package]]\nname = \"a\"\n").unwrap_err();
        assert!(error.to_string().contains("file"), "{error}");
    }

    #[test]
    fn what_no_lock_has_is_named_by_its_place() {
        let mut lock = Lock::default();
        let file = |file: &str, from: Option<&str>| Vendored {
            name: "acme:own".to_owned(),
            version: String::new(),
            file: file.to_owned(),
            text: "".into(),
            from: from.map(str::to_owned),
        };
        let wanted = vec![
            file("deps/wharf/a.wit", None),
            file("deps/own/a.wit", Some("deps/own")),
            file("deps/own.wit", Some("deps/own.wit")),
            file("deps/copied/a.wit", Some("../own")),
        ];
        lock.add(&plan(wanted, &lock, &BTreeMap::new(), |_| None));
        let files = [
            "deps/wharf/a.wit",
            "deps/own/a.wit",
            "deps/own.wit",
            "deps/copied/a.wit",
            "deps/copied/b.wit",
            "deps/new/a.wit",
            "deps/new/b.wit",
            "deps/new.wit",
        ];
        let unpinned: Vec<_> = lock.unpinned(files).into_iter().collect();
        assert_eq!(unpinned, ["deps/copied", "deps/new", "deps/new.wit"]);
        let own: Vec<_> = files.into_iter().filter(|file| lock.is_own(file)).collect();
        assert_eq!(own, ["deps/own/a.wit", "deps/own.wit"]);
    }

    /// Of a package that has been written anew, under other names of files.
    #[test]
    fn files_that_a_package_has_no_more_are_taken_out() {
        let file = |file: &str| Vendored {
            name: "acme:own".to_owned(),
            version: String::new(),
            file: file.to_owned(),
            text: file.to_owned().into(),
            from: Some("..".to_owned()),
        };
        let mut lock = Lock::default();
        let first = ["a", "b", "c"].map(file).to_vec();
        lock.add(&plan(first, &lock, &BTreeMap::new(), |_| None));
        let steps = plan(vec![file("c")], &lock, &BTreeMap::new(), |_| None);
        let removed = lock.remove_former(&steps, |file| Some(file.replace('b', "changed").into()));
        assert_eq!(removed, [("a".to_owned(), true), ("b".to_owned(), false)]);
        assert!(!lock.has("a") && lock.has("c"));
        // Another package's files are nothing to it.
        let greeting = packages().vendored(&[packages().find("acme:greeting").unwrap()]);
        let steps = plan(greeting, &lock, &BTreeMap::new(), |_| None);
        assert_eq!(lock.remove_former(&steps, |_| Some(Vec::new())), []);
    }
}
