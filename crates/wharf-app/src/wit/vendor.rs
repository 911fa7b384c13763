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
    /// An older Wharf wrote it: it is written anew.
    Renew,
    /// Somebody has changed it: it is left alone, unless they say otherwise.
    Refuse,
}

/// Where a package goes, relative to the folder of the project's WIT.
pub fn file_of(package: &Package) -> String {
    format!(
        "deps/{}-{}/package.wit",
        package.name.replace(':', "-"),
        package.version
    )
}

/// What it takes to have `wanted` of `packages` and all they need, where `content` says what is in a file.
pub fn plan(
    packages: &Packages,
    wanted: &[Package],
    lock: &Lock,
    content: impl Fn(&str) -> Option<Vec<u8>>,
) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for package in wanted.iter().flat_map(|package| packages.with_needs(package)) {
        if steps.iter().any(|step| step.package == package) {
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
        for step in steps {
            let locked = Locked {
                name: step.package.name.to_owned(),
                version: step.package.version.to_owned(),
                file: step.file.clone(),
                digest: digest(step.package.text.as_bytes()),
            };
            self.0.insert(step.file.clone(), locked);
        }
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
        let steps = plan(&packages(), &[greeting], lock, |_| {
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
    fn a_lock_is_read_as_it_is_written() {
        let packages = ["wasi:http", "acme:greeting"].map(|name| packages().find(name).unwrap());
        let steps = plan(&self::packages(), &packages, &Lock::default(), |_| None);
        assert!(steps.len() > 2, "what they need is with them");
        let mut lock = Lock::default();
        lock.add(&steps);
        assert_eq!(Lock::read(&lock.text()).unwrap(), lock);
        assert_eq!(Lock::read("").unwrap(), Lock::default());
        let error = Lock::read("[[package]]\nname = \"a\"\n").unwrap_err();
        assert!(error.to_string().contains("version"), "{error}");
    }
}
