//! The interfaces that components may import here, as WIT: all of `wit/`, carried in the program.
//!
//! Which of them a manifest has to ask for is said by the sections ([`crate::section`]) and by [`crate::imports`]; how packages get
//! into a project's folder, and what is done about what is there, in [`vendor`].

pub mod vendor;

use std::collections::BTreeSet;

use wit_parser::UnresolvedPackageGroup;

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

/// All there are. Spin's shape of `wasi:keyvalue` is left out: its name and version are those of the proposal.
pub const PACKAGES: &[Package] = &[
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
        "wharf:cache",
        "0.1.0",
        "cache/cache.wit",
        "entries with a time to live, counters, leases"
    ),
    package!(
        "wharf:sql",
        "0.1.0",
        "sql/sql.wit",
        "SQLite, PostgreSQL, MySQL and MariaDB"
    ),
    package!(
        "wharf:websocket",
        "0.1.0",
        "websocket/websocket.wit",
        "WebSockets, to take and to open"
    ),
    package!(
        "wasi:config",
        "0.2.0-rc.1",
        "config/rc1/config.wit",
        "values of the app's configuration"
    ),
    package!(
        "wasi:config",
        "0.2.0-draft-2024-09-27",
        "config/draft-2024-09-27/config.wit",
        "the same, under its former name"
    ),
    package!(
        "wasi:keyvalue",
        "0.2.0-draft2",
        "keyvalue/draft2/keyvalue.wit",
        "keys and values"
    ),
    package!(
        "wasi:keyvalue",
        "0.2.0-draft",
        "keyvalue/draft/keyvalue.wit",
        "the same, in its former shape"
    ),
    package!(
        "wasi:logging",
        "0.1.0-draft",
        "logging/logging.wit",
        "messages with a level"
    ),
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

/// Why a name is that of no package.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no package `{wanted}`{}; `wharf wit list` names those there are", nearest.as_ref().map(|name| format!("; did you mean `{name}`?")).unwrap_or_default())]
pub struct NoSuchPackage {
    /// What was asked for.
    pub wanted: String,
    /// What may have been meant.
    pub nearest: Option<String>,
}

impl Package {
    /// `wasi:http@0.3.2`.
    pub fn full_name(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// The package of this name: with its version, or without for the first that is listed, which is the newest.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(wanted: &str) -> Result<&'static Self, NoSuchPackage> {
        let found = PACKAGES
            .iter()
            .find(|package| package.name == wanted || package.full_name() == wanted);
        found.ok_or_else(|| NoSuchPackage {
            wanted: wanted.to_owned(),
            nearest: nearest(wanted),
        })
    }

    /// Those whose types it uses.
    pub fn needs(&self) -> Vec<&'static Self> {
        // What cannot be read needs nothing; that all can be is tested.
        let Ok(read) = UnresolvedPackageGroup::parse(self.name, self.text) else {
            return Vec::new();
        };
        let names: Vec<String> = read.main.foreign_deps.keys().map(ToString::to_string).collect();
        PACKAGES
            .iter()
            .filter(|package| names.contains(&package.full_name()))
            .collect()
    }

    /// It and all that it needs, each once, what is needed first.
    pub fn with_needs(&self) -> Vec<&'static Self> {
        let mut all = Vec::new();
        let mut seen = BTreeSet::new();
        if let Ok(own) = Self::find(&self.full_name()) {
            own.collect(&mut seen, &mut all);
        }
        all
    }

    fn collect(&'static self, seen: &mut BTreeSet<String>, all: &mut Vec<&'static Self>) {
        if seen.insert(self.full_name()) {
            self.needs().iter().for_each(|package| package.collect(seen, all));
            all.push(self);
        }
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

/// Whether a word can be a name in WIT: it is one, and none that the language has for itself, such as `type`.
pub fn is_word(word: &str) -> bool {
    UnresolvedPackageGroup::parse("word", &format!("package local:{word};")).is_ok()
}

/// The name that is most like what was asked for.
fn nearest(wanted: &str) -> Option<String> {
    /// Names that have less in common are no slip of somebody's.
    const LIKENESS_MIN: f64 = 0.7;
    let (name, version) = wanted
        .split_once('@')
        .map_or((wanted, None), |(name, version)| (name, Some(version)));
    let rated = PACKAGES.iter().map(|package| {
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

    #[test]
    fn every_package_can_be_read_and_is_what_it_is_called() {
        for package in PACKAGES {
            let read = UnresolvedPackageGroup::parse(package.name, package.text);
            let read = read.unwrap_or_else(|(_, error)| panic!("{}: {error}", package.full_name()));
            assert_eq!(read.main.name.to_string(), package.full_name());
            assert_eq!(
                read.main.foreign_deps.len(),
                package.needs().len(),
                "{}",
                package.full_name()
            );
            assert!(!package.interfaces().is_empty());
        }
    }

    #[test]
    fn what_a_package_needs_comes_before_it() {
        let names = |wanted: &str| {
            let all = Package::find(wanted).unwrap().with_needs();
            all.iter().map(|package| package.full_name()).collect::<Vec<_>>()
        };
        assert_eq!(names("wharf:sql"), ["wharf:sql@0.1.0"]);
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
            ("sql", Some("wharf:sql")),
            ("wasi:http@0.3.9", Some("wasi:http@0.3.2")),
            ("zebra", None),
        ] {
            let error = Package::find(wanted).unwrap_err();
            assert_eq!(error.nearest.as_deref(), expected, "{error}");
        }
    }
}
