//! The interfaces that components may import here, as WIT: those that are there for every app, and those that sections of a
//! manifest bring ([`Section::wit`]), all carried in the program.
//!
//! Packages of others are read in [`local`]. How packages get into a project's folder, and what is done about what is there, is in
//! [`vendor`].
//!
//! [`Section::wit`]: crate::section::Section::wit

pub mod local;
pub mod vendor;

use std::collections::BTreeSet;

use wit_parser::UnresolvedPackageGroup;

use crate::section::Sections;

/// A package of interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Package {
    /// `wasi:http`.
    pub name: &'static str,
    /// `0.3.2`.
    pub version: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    /// Its declarations.
    pub text: &'static str,
}

/// A package whose name and version are in its declarations.
macro_rules! package {
    ($name:literal, $version:literal, $file:literal, $about:literal) => {
        Package {
            name: $name,
            version: $version,
            about: $about,
            text: include_str!(concat!("../../../wit/", $file)),
        }
    };
}

/// Those that every app has.
const PACKAGES: &[Package] = &[
    package!(
        "wasi:cli",
        "0.3.2",
        "wasi-0.3/deps/cli.wit",
        "arguments, environment, standard streams, exit"
    ),
    package!(
        "wasi:clocks",
        "0.3.2",
        "wasi-0.3/deps/clocks.wit",
        "time, timers, the time zone"
    ),
    package!(
        "wasi:filesystem",
        "0.3.2",
        "wasi-0.3/deps/filesystem.wit",
        "files and folders"
    ),
    package!(
        "wasi:http",
        "0.3.2",
        "wasi-0.3/deps/http.wit",
        "HTTP, to answer and to ask"
    ),
    package!("wasi:random", "0.3.2", "wasi-0.3/deps/random.wit", "random numbers"),
    package!(
        "wasi:sockets",
        "0.3.2",
        "wasi-0.3/deps/sockets.wit",
        "TCP, UDP, name lookup"
    ),
    package!(
        "wharf:websocket",
        "0.1.0",
        "websocket/websocket.wit",
        "WebSockets, to take and to open"
    ),
];

/// Those of WASI 0.2, which the same names without a version do not mean.
const FORMER_PACKAGES: &[Package] = &[
    package!("wasi:clocks", "0.2.12", "wasi-0.2/deps/clocks.wit", "time, of WASI 0.2"),
    package!(
        "wasi:io",
        "0.2.12",
        "wasi-0.2/deps/io.wit",
        "streams and waiting, of WASI 0.2"
    ),
    package!(
        "wasi:sockets",
        "0.2.12",
        "wasi-0.2/deps/sockets.wit",
        "TCP, UDP, name lookup, of WASI 0.2"
    ),
];

/// All packages of a server.
#[derive(Clone, Debug)]
pub struct Packages(Vec<Package>);

/// Why a name is that of no package.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no package `{wanted}`; {}`wharf wit list` names those there are", nearest.as_ref().map(|name| format!("did you mean `{name}`? ")).unwrap_or_default())]
pub struct NoSuchPackage {
    /// What was asked for.
    pub wanted: String,
    /// What may have been meant.
    pub nearest: Option<String>,
}

impl Package {
    /// The package of this name and version, which its declarations have as well.
    pub const fn new(name: &'static str, version: &'static str, about: &'static str, text: &'static str) -> Self {
        Self {
            name,
            version,
            about,
            text,
        }
    }

    /// `wasi:http@0.3.2`.
    pub fn full_name(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// The packages whose types it uses, by their full names.
    fn needs(&self) -> Vec<String> {
        // What cannot be read needs nothing; that all can be is tested.
        let Ok(read) = UnresolvedPackageGroup::parse(self.name, self.text) else {
            return Vec::new();
        };
        read.main.foreign_deps.keys().map(ToString::to_string).collect()
    }

    /// The interfaces that it declares, by name.
    pub fn interfaces(&self) -> Vec<String> {
        let Ok(read) = UnresolvedPackageGroup::parse(self.name, self.text) else {
            return Vec::new();
        };
        let named = read
            .main
            .interfaces
            .iter()
            .filter_map(|(_, interface)| interface.name.clone());
        named.collect()
    }
}

impl Packages {
    /// Those that every app has, and those of `sections`.
    pub fn new(sections: &Sections) -> Self {
        let of_sections = sections.iter().flat_map(|section| section.wit());
        let all = PACKAGES.iter().copied().chain(of_sections);
        Self(all.chain(FORMER_PACKAGES.iter().copied()).collect())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Package> {
        self.0.iter()
    }

    /// The package of this name: with its version, or without for the first that is listed, which is the newest.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(&self, wanted: &str) -> Result<Package, NoSuchPackage> {
        let mut all = self.iter();
        let found = all.find(|package| package.name == wanted || package.full_name() == wanted);
        found.copied().ok_or_else(|| NoSuchPackage {
            wanted: wanted.to_owned(),
            nearest: nearest(&self.0, wanted),
        })
    }

    /// A package and all whose types it uses, each once, what is needed first.
    pub fn with_needs(&self, package: &Package) -> Vec<Package> {
        let mut all = Vec::new();
        self.collect(package, &mut BTreeSet::new(), &mut all);
        all
    }

    fn collect(&self, package: &Package, seen: &mut BTreeSet<String>, all: &mut Vec<Package>) {
        if seen.insert(package.full_name()) {
            let needs = package.needs();
            let needed = self.iter().filter(|other| needs.contains(&other.full_name()));
            needed.for_each(|needed| self.collect(needed, seen, all));
            all.push(*package);
        }
    }
}

/// Whether a word can be a name in WIT: it is one, and none that the language has for itself, such as `type`.
pub fn is_word(word: &str) -> bool {
    UnresolvedPackageGroup::parse("word", &format!("package local:{word};")).is_ok()
}

/// The name that is most like what was asked for.
fn nearest(packages: &[Package], wanted: &str) -> Option<String> {
    /// Names that have less in common are no slip of somebody's.
    const LIKENESS_MIN: f64 = 0.7;
    let (name, version) = wanted
        .split_once('@')
        .map_or((wanted, None), |(name, version)| (name, Some(version)));
    let rated = packages.iter().map(|package| {
        let short = package.name.split(':').next_back().unwrap_or_default();
        let likeness = strsim::jaro_winkler(name, package.name).max(strsim::jaro_winkler(name, short));
        (likeness, package)
    });
    // Of the same likeness the first, which is the newest.
    let best = rated.reduce(|best, next| if next.0 > best.0 { next } else { best })?;
    let (likeness, package) = best;
    (likeness >= LIKENESS_MIN).then(|| match version {
        Some(_) => package.full_name(),
        None => package.name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::section::tests::sections;

    fn packages() -> Packages {
        Packages::new(&sections())
    }

    #[test]
    fn every_package_can_be_read_and_is_what_it_is_called() {
        let packages = packages();
        for package in packages.iter() {
            let read = UnresolvedPackageGroup::parse(package.name, package.text);
            let read = read.unwrap_or_else(|(_, error)| panic!("{}: {error}", package.full_name()));
            assert_eq!(read.main.name.to_string(), package.full_name());
            for needed in package.needs() {
                assert!(packages.find(&needed).is_ok(), "{}: {needed}", package.full_name());
            }
            assert!(!package.interfaces().is_empty());
        }
    }

    #[test]
    fn what_a_package_needs_comes_before_it() {
        let names = |wanted: &str| {
            let all = packages().with_needs(&packages().find(wanted).unwrap());
            all.iter().map(Package::full_name).collect::<Vec<_>>()
        };
        assert_eq!(names("acme:greeting"), ["acme:greeting@0.2.1"]);
        let http = names("wasi:http");
        assert_eq!(http.last().unwrap(), "wasi:http@0.3.2");
        assert!(http.contains(&"wasi:clocks@0.3.2".to_owned()), "{http:?}");
        let sockets = names("wasi:sockets@0.2.12");
        assert!(sockets.contains(&"wasi:io@0.2.12".to_owned()), "{sockets:?}");
    }

    #[test]
    fn words_of_the_language_are_no_names() {
        for word in ["shop", "my-shop", "my-type", "a1", "class", "fn"] {
            assert!(is_word(word), "{word}");
        }
        for word in ["type", "func", "string", "u8", "export", "async", "Shop_", "1a", "a b"] {
            assert!(!is_word(word), "{word}");
        }
    }

    #[test]
    fn a_slip_is_told_what_was_meant() {
        for (wanted, expected) in [
            ("wasi:htpt", Some("wasi:http")),
            ("greeting", Some("acme:greeting")),
            ("wasi:http@0.3.9", Some("wasi:http@0.3.2")),
            ("zebra", None),
        ] {
            let error = packages().find(wanted).unwrap_err();
            assert_eq!(error.nearest.as_deref(), expected, "{error}");
        }
    }
}
