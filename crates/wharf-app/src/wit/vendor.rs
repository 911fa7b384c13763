//! Packages of WIT in a project's folder: what has to be written, and what stands in the way.
//!
//! Each package is a file of its own below `deps`, which is where tools for WIT look, and a lock file says which versions were
//! written and what they were. By it a file that somebody has changed is told from one that an older Wharf wrote. Nothing is read
//! or written here: whoever calls has looked at the folder, and does as the plan says.

use std::collections::BTreeMap;
use std::fmt::Write as _;

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
    version: String,
    file: String,
    digest: String,
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
    /// `0.3.2`.
    pub version: &'a str,
    /// The file, relative to the folder of the project's WIT.
    pub file: &'a str,
    /// Whether it is there, and another.
    pub is_there: bool,
}

/// What is done about one package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The package.
    pub package: Package,
    /// Its file, relative to the folder of the project's WIT.
    pub file: String,
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

/// The full names of the packages that a file of WIT declares: its own, and those nested in it.
pub fn declared(text: &str) -> impl Iterator<Item = &str> {
    let names = text
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("package "));
    names.filter_map(|rest| Some(rest.split([';', '{']).next()?.trim()))
}

/// Where a package goes, relative to the folder of the project's WIT.
pub fn file_of(package: &Package) -> String {
    format!(
        "{DEPS}/{}-{}/package.wit",
        package.name.replace(':', "-"),
        package.version
    )
}

/// What it takes to have `wanted` of `packages` and all they need, where `content` says what is in a file, and `elsewhere` are the full
/// names of packages that are in files which no plan has named, with the files.
pub fn plan(
    packages: &Packages,
    wanted: &[Package],
    lock: &Lock,
    elsewhere: &BTreeMap<String, String>,
    content: impl Fn(&str) -> Option<Vec<u8>>,
) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for package in wanted.iter().flat_map(|package| packages.with_needs(package)) {
        if steps.iter().any(|step| step.package == package) {
            continue;
        }
        // Twice in one folder, a package is no package.
        if let Some(file) = elsewhere.get(&package.full_name()) {
            let (file, does) = (file.clone(), Does::Leave);
            steps.push(Step { package, file, does });
            continue;
        }
        let file = file_of(&package);
        let does = match content(&file) {
            None => Does::Add,
            Some(content) if content == package.text.as_bytes() => Does::Keep,
            Some(content)
                if lock
                    .0
                    .get(&file)
                    .is_some_and(|locked| locked.digest == digest(&content)) =>
            {
                Does::Renew
            }
            Some(_) => Does::Refuse,
        };
        steps.push(Step { package, file, does });
    }
    steps
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
        for step in steps.iter().filter(|step| step.does != Does::Leave) {
            let locked = Locked {
                name: step.package.name.to_owned(),
                version: step.package.version.to_owned(),
                file: step.file.clone(),
                digest: digest(step.package.text.as_bytes()),
            };
            self.0.insert(step.file.clone(), locked);
        }
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
            } = locked;
            // A `String` takes whatever there is; names, versions and files hold nothing that needs to be escaped.
            let _ = write!(
                text,
                "\n[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nfile = \"{file}\"\ndigest = \"{digest}\"\n"
            );
        }
        text
    }
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
        let steps = plan(&packages(), &[greeting], lock, &BTreeMap::new(), |_| {
            content.map(|content| content.as_bytes().to_vec())
        });
        let told: Vec<_> = steps.iter().map(|step| (step.file.as_str(), step.does)).collect();
        assert_eq!(told, [("deps/acme-greeting-0.2.1/package.wit", expected)]);
    }

    #[test]
    fn what_somebody_has_changed_is_told_from_what_is_old() {
        let greeting = packages().find("acme:greeting").unwrap();
        let mut lock = Lock::default();
        check(&lock, None, Does::Add);
        check(&lock, Some(greeting.text), Does::Keep);
        check(&lock, Some("package acme:greeting@0.2.1;"), Does::Refuse);
        let old = Locked {
            name: greeting.name.to_owned(),
            version: greeting.version.to_owned(),
            file: file_of(&greeting),
            digest: digest(b"as it was"),
        };
        lock.0.insert(file_of(&greeting), old);
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
        let steps = plan(&packages(), &[http], &Lock::default(), &elsewhere, |_| None);
        let clocks = steps.iter().find(|step| step.package.name == "wasi:clocks").unwrap();
        assert_eq!((&*clocks.file, clocks.does), ("deps/clocks.wit", Does::Leave));
        assert!(
            steps
                .iter()
                .all(|step| step.does == Does::Add || step.package.name == "wasi:clocks")
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
        lock.add(&plan(&packages(), &[greeting], &lock, &BTreeMap::new(), |_| None));
        let difference = |is_there| Difference {
            package: "acme:greeting",
            version: "0.2.1",
            file: "deps/acme-greeting-0.2.1/package.wit",
            is_there,
        };
        assert_eq!(lock.differences(|_| Some(greeting.text.into())), []);
        assert_eq!(lock.differences(|_| Some("mine".into())), [difference(true)]);
        assert_eq!(lock.differences(|_| None), [difference(false)]);
    }

    #[test]
    fn a_lock_is_read_as_it_is_written() {
        let packages = ["wasi:http", "acme:greeting"].map(|name| packages().find(name).unwrap());
        let steps = plan(&self::packages(), &packages, &Lock::default(), &BTreeMap::new(), |_| {
            None
        });
        assert!(steps.len() > 2, "what they need is with them");
        let mut lock = Lock::default();
        lock.add(&steps);
        assert_eq!(Lock::read(&lock.text()).unwrap(), lock);
        assert_eq!(Lock::read("").unwrap(), Lock::default());
        let error = Lock::read("[[package]]\nname = \"a\"\n").unwrap_err();
        assert!(error.to_string().contains("version"), "{error}");
    }
}
