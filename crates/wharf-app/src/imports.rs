//! Which interfaces Wharf provides to a component, what grants each, and which imports nothing can meet.
//!
//! This explains; it does not decide. Whether an import is met is up to the linker of `wharf-host`, where embedders may
//! have added interfaces that this table does not know. When linking fails, [`missing`] says why in a user's words.

use std::fmt;

use crate::inspect::{Inspection, InterfaceName};

/// One package of interfaces that Wharf provides, on one version track.
struct Package {
    name: &'static str,
    /// The versions that are met: all releases `0.MINOR.x`, as the component model has it.
    minor: u64,
    /// The newest version whose functions are all there.
    newest: &'static str,
    interfaces: &'static [&'static str],
    grant: Grant,
}

/// What an operator gives so that an interface reaches anything. Without it, calls are answered with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Nothing: every guest has it.
    Always,
    /// `--env`.
    Environment,
    /// `--dir` or `--dir-ro`.
    Directory,
    /// `--allow-net`.
    Network,
    /// `--allow-outbound`.
    Outbound,
}

/// Everything that Wharf provides.
const PROVIDED: &[Package] = &[
    Package {
        name: "wasi:cli",
        minor: 3,
        newest: "0.3.2",
        interfaces: &[
            "exit",
            "types",
            "stdin",
            "stdout",
            "stderr",
            "terminal-input",
            "terminal-output",
            "terminal-stdin",
            "terminal-stdout",
            "terminal-stderr",
        ],
        grant: Grant::Always,
    },
    Package {
        name: "wasi:cli",
        minor: 3,
        newest: "0.3.2",
        interfaces: &["environment"],
        grant: Grant::Environment,
    },
    Package {
        name: "wasi:clocks",
        minor: 3,
        newest: "0.3.2",
        interfaces: &["types", "monotonic-clock", "system-clock", "timezone"],
        grant: Grant::Always,
    },
    Package {
        name: "wasi:random",
        minor: 3,
        newest: "0.3.2",
        interfaces: &["random", "insecure", "insecure-seed"],
        grant: Grant::Always,
    },
    Package {
        name: "wasi:filesystem",
        minor: 3,
        newest: "0.3.2",
        interfaces: &["types", "preopens"],
        grant: Grant::Directory,
    },
    Package {
        name: "wasi:sockets",
        minor: 3,
        newest: "0.3.2",
        interfaces: &["types", "ip-name-lookup"],
        grant: Grant::Network,
    },
    Package {
        name: "wasi:http",
        minor: 3,
        newest: "0.3.2",
        interfaces: &["types"],
        grant: Grant::Always,
    },
    Package {
        name: "wasi:http",
        minor: 3,
        newest: "0.3.2",
        interfaces: &["client"],
        grant: Grant::Outbound,
    },
    Package {
        name: "wharf:websocket",
        minor: 1,
        newest: "0.1.0",
        interfaces: &["types"],
        grant: Grant::Always,
    },
    Package {
        name: "wharf:websocket",
        minor: 1,
        newest: "0.1.0",
        interfaces: &["client"],
        grant: Grant::Outbound,
    },
    Package {
        name: "wasi:io",
        minor: 2,
        newest: "0.2.12",
        interfaces: &["error", "poll", "streams"],
        grant: Grant::Always,
    },
    Package {
        name: "wasi:cli",
        minor: 2,
        newest: "0.2.12",
        interfaces: &[
            "exit",
            "stdin",
            "stdout",
            "stderr",
            "terminal-input",
            "terminal-output",
            "terminal-stdin",
            "terminal-stdout",
            "terminal-stderr",
        ],
        grant: Grant::Always,
    },
    Package {
        name: "wasi:cli",
        minor: 2,
        newest: "0.2.12",
        interfaces: &["environment"],
        grant: Grant::Environment,
    },
    Package {
        name: "wasi:clocks",
        minor: 2,
        newest: "0.2.12",
        interfaces: &["monotonic-clock", "wall-clock"],
        grant: Grant::Always,
    },
    Package {
        name: "wasi:random",
        minor: 2,
        newest: "0.2.12",
        interfaces: &["random", "insecure", "insecure-seed"],
        grant: Grant::Always,
    },
    Package {
        name: "wasi:filesystem",
        minor: 2,
        newest: "0.2.12",
        interfaces: &["types", "preopens"],
        grant: Grant::Directory,
    },
    Package {
        name: "wasi:sockets",
        minor: 2,
        newest: "0.2.12",
        interfaces: &[
            "network",
            "instance-network",
            "ip-name-lookup",
            "tcp",
            "tcp-create-socket",
            "udp",
            "udp-create-socket",
        ],
        grant: Grant::Network,
    },
    Package {
        name: "wasi:http",
        minor: 2,
        newest: "0.2.12",
        interfaces: &["types"],
        grant: Grant::Always,
    },
    Package {
        name: "wasi:http",
        minor: 2,
        newest: "0.2.12",
        interfaces: &["outgoing-handler"],
        grant: Grant::Outbound,
    },
];

/// What grants the interface `name`, or `None` if Wharf does not provide it at that version.
pub fn grant(name: &InterfaceName) -> Option<Grant> {
    providers(name)
        .find(|package| name.track() == Some((0, package.minor)))
        .map(|package| package.grant)
}

/// The packages that provide an interface of this name, whatever the version.
fn providers(name: &InterfaceName) -> impl Iterator<Item = &'static Package> {
    let (package_name, interface) = (format!("{}:{}", name.namespace, name.package), name.interface.clone());
    PROVIDED
        .iter()
        .filter(move |package| package.name == package_name && package.interfaces.contains(&interface.as_str()))
}

/// The imports of a component that Wharf cannot meet.
pub fn missing(inspection: &Inspection) -> MissingImports {
    let unmet = inspection.imports.iter().filter(|import| import.required);
    MissingImports {
        imports: unmet
            .filter_map(|import| Missing::new(&import.name, import.interface.as_ref()))
            .collect(),
    }
}

/// The imports of one component that nothing meets; as an error it lists each, with why and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingImports {
    /// One entry for each import, in the file's order.
    pub imports: Vec<Missing>,
}

/// One import that nothing meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The import's name as written in the file.
    pub name: String,
    /// Why nothing meets it.
    pub reason: Reason,
    /// An interface that there is, whose name is much like it.
    pub nearest: Option<String>,
    /// Its functions, as far as whoever links has looked at them.
    pub functions: Vec<String>,
    /// The app's other components that export it, which it could be linked to.
    pub exported_by: Vec<String>,
}

/// Why nothing meets an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Wharf has the interface under other versions only.
    OtherVersion {
        /// The newest name under which Wharf has it, for each track.
        known: Vec<String>,
        /// What grants it there.
        grant: Grant,
        /// Whether the import names a pre-release, which only the very same version meets.
        prerelease: bool,
    },
    /// A capability has it, which the app does not ask for.
    NotGranted {
        /// The section of the manifest that asks for it.
        section: &'static str,
    },
    /// A capability has the interface under other versions only.
    OtherVersionOfSection {
        /// The names under which it has it.
        known: Vec<String>,
    },
    /// A service has to stand behind the component: it is a middleware.
    Service,
    /// Wharf knows the package, and this is no interface of it.
    NotInPackage,
    /// Nothing that Wharf knows has the interface.
    Unknown,
    /// Not an interface but a function, value or component asked for by name.
    NotAnInterface,
}

impl Missing {
    /// The entry for an import, or `None` if Wharf meets it.
    fn new(name: &str, interface: Option<&InterfaceName>) -> Option<Missing> {
        let reason = match interface {
            Some(interface) if grant(interface).is_some() => return None,
            Some(interface) => Reason::new(interface),
            None => Reason::NotAnInterface,
        };
        let nearest = (reason == Reason::Unknown)
            .then(|| nearest(name, provided_names()))
            .flatten();
        Some(Missing {
            nearest,
            ..Missing::for_reason(name, reason)
        })
    }

    /// The link that would meet it, where other components of the app export it.
    pub(crate) fn link(&self) -> Option<String> {
        let names: Vec<_> = self.exported_by.iter().map(|name| format!("`{name}`")).collect();
        let (name, verb) = match &self.exported_by[..] {
            [] => return None,
            [one] => (format!("\"{one}\""), "exports"),
            _ => ("NAME".to_owned(), "export"),
        };
        Some(format!(
            "{} {verb} it: `links = {{ \"{}\" = {name} }}`",
            names.join(" and "),
            self.name
        ))
    }

    /// The entry for an import, when no name is much like it.
    pub(crate) fn for_reason(name: &str, reason: Reason) -> Missing {
        Missing {
            name: name.to_owned(),
            reason,
            nearest: None,
            functions: Vec::new(),
            exported_by: Vec::new(),
        }
    }
}

/// Every interface that Wharf provides, under its newest version.
pub(crate) fn provided_names() -> impl Iterator<Item = String> {
    PROVIDED.iter().flat_map(|package| {
        let name = move |interface: &&str| format!("{}/{interface}@{}", package.name, package.newest);
        package.interfaces.iter().map(name)
    })
}

/// The one of `names` that is most like `wanted`, if it may be a slip.
pub(crate) fn nearest(wanted: &str, names: impl Iterator<Item = String>) -> Option<String> {
    /// Names that have less in common are of something else.
    const LIKENESS_MIN: f64 = 0.85;
    let without_version = |name: &str| name.split('@').next().unwrap_or_default().to_owned();
    let wanted = without_version(wanted);
    let rated = names.map(|name| {
        (
            strsim::normalized_damerau_levenshtein(&wanted, &without_version(&name)),
            name,
        )
    });
    let best = rated.reduce(|best, next| if next.0 > best.0 { next } else { best })?;
    (best.0 >= LIKENESS_MIN).then_some(best.1)
}

impl Reason {
    fn new(interface: &InterfaceName) -> Reason {
        let mut providers = providers(interface).peekable();
        if let Some(first) = providers.peek() {
            let grant = first.grant;
            let known = providers
                .map(|package| format!("{}@{}", interface.path(), package.newest))
                .collect();
            let prerelease = interface
                .version
                .as_ref()
                .is_some_and(|version| !version.pre.is_empty());
            return Reason::OtherVersion {
                known,
                grant,
                prerelease,
            };
        }
        match interface.path().as_str() {
            "wasi:http/handler" => Reason::Service,
            path if PROVIDED
                .iter()
                .any(|package| path.split('/').next() == Some(package.name)) =>
            {
                Reason::NotInPackage
            }
            _ => Reason::Unknown,
        }
    }

    /// What to do about it.
    pub(crate) fn advice(&self) -> &'static str {
        match self {
            Reason::OtherVersion { prerelease: true, .. } => {
                "a pre-release is met by the very same version alone: build against WASI 0.3.0 or later"
            }
            Reason::OtherVersion { .. } | Reason::OtherVersionOfSection { .. } => {
                "build against a version that Wharf has"
            }
            Reason::NotGranted { .. } => "add that section to the app's manifest",
            Reason::Service => "put it in front of a service: wharf serve --middleware FILE SERVICE",
            Reason::NotInPackage => "see which version of the package has it, and build against that",
            Reason::Unknown | Reason::NotAnInterface => {
                "join the component with one that exports it: `wharf compose`, or `links` of a manifest"
            }
        }
    }
}

impl Grant {
    /// The flags that grant it, or `None` where nothing needs to be granted.
    pub fn flags(self) -> Option<&'static str> {
        match self {
            Grant::Always => None,
            Grant::Environment => Some("--env NAME=VALUE"),
            Grant::Directory => Some("--dir HOST::GUEST or --dir-ro HOST::GUEST"),
            Grant::Network => Some("--allow-net PATTERN"),
            Grant::Outbound => Some("--allow-outbound PATTERN"),
        }
    }
}

impl MissingImports {
    /// Adds the functions of each, which whoever links knows.
    #[must_use]
    pub fn with_functions(mut self, functions: impl Fn(&str) -> Vec<String>) -> Self {
        for missing in &mut self.imports {
            missing.functions = functions(&missing.name);
        }
        self
    }

    /// Adds to each who else in the app exports it.
    #[must_use]
    pub fn with_exporters(mut self, exporters: impl Fn(&str) -> Vec<String>) -> Self {
        for missing in &mut self.imports {
            missing.exported_by = exporters(&missing.name);
        }
        self
    }

    /// Whether everything is met.
    pub fn is_empty(&self) -> bool {
        self.imports.is_empty()
    }
}

impl std::error::Error for MissingImports {}

impl fmt::Display for MissingImports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.imports.len() {
            1 => write!(f, "the component needs an import that nothing meets")?,
            count => write!(f, "the component needs {count} imports that nothing meets")?,
        }
        self.imports.iter().try_for_each(|missing| write!(f, "\n\n{missing}"))
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {}", self.name)?;
        write!(f, "\n    {}", self.reason)?;
        if let Reason::OtherVersion { grant, .. } = &self.reason
            && let Some(flags) = grant.flags()
        {
            write!(f, "\n    granted by {flags}")?;
        }
        if !self.functions.is_empty() {
            write!(f, "\n    imported for {}", listed(&self.functions))?;
        }
        if let Some(nearest) = &self.nearest {
            write!(f, "\n    did you mean {nearest}?")?;
        }
        match self.link() {
            Some(link) => write!(f, "\n    help: {link}"),
            None => write!(f, "\n    help: {}", self.reason.advice()),
        }
    }
}

/// The first few, and how many more.
fn listed(functions: &[String]) -> String {
    const SHOWN_MAX: usize = 6;
    let shown = functions.iter().take(SHOWN_MAX).map(String::as_str);
    let shown = shown.collect::<Vec<_>>().join(", ");
    match functions.len().saturating_sub(SHOWN_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NotGranted { section } => write!(f, "an app has it that has a section `[{section}]`"),
            Reason::OtherVersion { known, .. } | Reason::OtherVersionOfSection { known } => {
                write!(f, "Wharf has it as {}", known.join(" and as "))
            }
            Reason::Service => write!(f, "this is a middleware: it passes requests on to a service behind it"),
            Reason::NotInPackage => write!(f, "Wharf has the package, but no such interface in any of its versions"),
            Reason::Unknown => write!(f, "Wharf has no interface of this name"),
            Reason::NotAnInterface => write!(f, "not an interface that a host could know, but a bare name"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing_of(imports: &[&str]) -> MissingImports {
        let imports: String = imports
            .iter()
            .map(|name| format!("(import {name:?} (instance (export \"f\" (func))))"))
            .collect();
        let bytes = wat::parse_str(format!("(component {imports})")).unwrap();
        missing(&Inspection::new(&bytes).unwrap())
    }

    #[track_caller]
    fn check(import: &str, reason: Reason, message: &str) {
        let missing = missing_of(&[import]);
        assert_eq!(
            missing.imports,
            [Missing {
                nearest: missing.imports[0].nearest.clone(),
                ..Missing::for_reason(import, reason)
            }]
        );
        assert!(missing.to_string().contains(message), "{missing}");
    }

    #[test]
    fn everything_provided_is_met_at_every_release_of_its_track() {
        for package in PROVIDED {
            for interface in package.interfaces {
                for version in [format!("0.{}.0", package.minor), package.newest.to_owned()] {
                    let name = format!("{}/{interface}@{version}", package.name);
                    assert!(missing_of(&[&name]).is_empty(), "{name}");
                }
            }
        }
    }

    #[test]
    fn a_slip_in_a_name_is_told_what_may_be_meant() {
        for (import, expected) in [
            ("wasi:htpt/client@0.3.0", Some("wasi:http/client@0.3.2")),
            ("wasi:filesytem/types@0.3.0", Some("wasi:filesystem/types@0.3.2")),
            ("acme:cache/store@1.2.3", None),
        ] {
            let missing = missing_of(&[import]);
            assert_eq!(missing.imports[0].nearest.as_deref(), expected, "{import}");
            let told = missing.to_string().contains("did you mean");
            assert_eq!(told, expected.is_some(), "{missing}");
        }
    }

    #[test]
    fn what_an_import_is_for_is_said_and_not_at_length() {
        let functions = |count: usize| (0..count).map(|n| format!("f{n}")).collect::<Vec<_>>();
        for (count, expected) in [
            (1, "imported for f0\n"),
            (7, "imported for f0, f1, f2, f3, f4, f5 and 1 more\n"),
        ] {
            let missing = missing_of(&["acme:cache/store@1.2.3"]).with_functions(|_| functions(count));
            assert!(missing.to_string().contains(expected), "{missing}");
        }
    }

    #[test]
    fn a_pre_release_is_missing_and_its_releases_are_named() {
        check(
            "wasi:http/client@0.3.0-rc-2026-03-15",
            Reason::OtherVersion {
                known: vec!["wasi:http/client@0.3.2".into()],
                grant: Grant::Outbound,
                prerelease: true,
            },
            "granted by --allow-outbound PATTERN",
        );
    }

    #[test]
    fn an_interface_of_another_version_is_known_as_what_wharf_has() {
        let known = vec![
            "wasi:cli/environment@0.3.2".into(),
            "wasi:cli/environment@0.2.12".into(),
        ];
        let reason = Reason::OtherVersion {
            known,
            grant: Grant::Environment,
            prerelease: false,
        };
        check(
            "wasi:cli/environment@0.4.0",
            reason.clone(),
            "as wasi:cli/environment@0.3.2 and as wasi:cli/env",
        );
        check("wasi:cli/environment", reason, "build against a version that Wharf has");
        let known = vec!["wasi:io/poll@0.2.12".into()];
        let reason = Reason::OtherVersion {
            known,
            grant: Grant::Always,
            prerelease: false,
        };
        check(
            "wasi:io/poll@0.3.0",
            reason,
            "Wharf has it as wasi:io/poll@0.2.12\n    help:",
        );
    }

    #[test]
    fn what_wharf_does_not_know_is_said_to_be_unknown() {
        check("wasi:http/handler@0.3.0", Reason::Service, "--middleware");
        check("wasi:http/websocket@0.3.0", Reason::NotInPackage, "no such interface");
        check("acme:cache/store@1.0.0", Reason::Unknown, "wharf compose");
        check("helper", Reason::NotAnInterface, "bare name");
    }

    #[test]
    fn the_list_names_every_import_and_only_those_that_are_missing() {
        let missing = missing_of(&["wasi:cli/stdin@0.3.0", "acme:cache/store@1.0.0", "wasi:nn/graph@0.2.0"]);
        assert_eq!(
            missing.to_string(),
            "the component needs 2 imports that nothing meets\n\
             \n  acme:cache/store@1.0.0\
             \n    Wharf has no interface of this name\
             \n    help: join the component with one that exports it: `wharf compose`, or `links` of a manifest\n\
             \n  wasi:nn/graph@0.2.0\
             \n    Wharf has no interface of this name\
             \n    help: join the component with one that exports it: `wharf compose`, or `links` of a manifest"
        );
    }
}
