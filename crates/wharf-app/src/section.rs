//! Sections of an app's manifest that are not the manifest's own: what a capability lets its users say, and what it then
//! provides.
//!
//! Whoever builds a server lists the sections it knows ([`Sections`]). From there they are keys like all others: in the
//! schema, in the reference, in what is said of a slip. A section is read twice: for its shape, by its schema, and for its
//! meaning, by [`Section::check`], which sees plain values and names what is wrong by its keys; where these stand in the
//! file, the manifest's reader knows. What a section opens is no business of this crate.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::{Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::app::SecretSource;
use crate::imports::{Missing, MissingImports, Reason, missing, nearest, provided_names};
use crate::inspect::{Inspection, InterfaceName};
use crate::wit::Package;

/// A section of an app's manifest that a capability reads.
pub trait Section: Send + Sync + 'static {
    /// Its key, which is the capability's one word.
    fn name(&self) -> &'static str;

    /// What may stand in it: `generator.subschema_for::<T>()`, `T` being what it is read into. The comments of `T` and of
    /// its fields become the reference.
    fn schema(&self, generator: &mut SchemaGenerator) -> Schema;

    /// The interfaces that an app with this section may import, as `wharf:sql/database@0.1.0`. A release stands for all of
    /// its track, a pre-release for itself.
    fn interfaces(&self) -> &'static [&'static str];

    /// The packages that declare these, for `wharf wit`. None by default: then their users get them elsewhere.
    fn wit(&self) -> Vec<Package> {
        Vec::new()
    }

    /// Everything that is wrong with a section whose shape is right. Looks at no network, and at files as `wharf check`
    /// does: to see whether they are there.
    fn check(&self, written: &Written) -> Vec<Fault>;

    /// Interfaces of the app's own that it may import because the section says so, as `acme:shop/cache`: without a version all
    /// of them are meant.
    fn named(&self, written: &Written) -> Vec<String> {
        let _ = written;
        Vec::new()
    }

    /// Files that the section names, a change of which makes the app another one.
    fn files(&self, written: &Written) -> Vec<PathBuf> {
        let _ = written;
        Vec::new()
    }

    /// Files and folders that are written while the app is served, because the section says so. They are part of nobody's
    /// source, whatever folder they are in.
    fn data(&self, written: &Written) -> Vec<PathBuf> {
        let _ = written;
        Vec::new()
    }

    /// The secrets that the section names, each under its key as in a [`Fault`], as far as [`check`](Self::check) does not read them
    /// itself. `wharf check` says of each whether it can be read now.
    fn secrets(&self, written: &Written) -> Vec<(Vec<String>, SecretSource)> {
        let _ = written;
        Vec::new()
    }
}

/// A section as it is written. Its debug form shows no values, which may be anybody's secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Written {
    /// What it says, of the shape of its schema.
    pub value: Value,
    /// The folder that its paths are relative to; absolute.
    pub folder: PathBuf,
}

/// Something that is wrong with a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which key of the section, from the outermost: places in lists are numbers, from 0. Empty for the section itself.
    pub path: Vec<String>,
    /// What is wrong.
    pub message: String,
    /// What to do, where the message does not say it.
    pub help: Option<String>,
}

impl Written {
    /// What is written, as the type whose schema it has.
    ///
    /// # Errors
    /// Where the type asks for more than its schema.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        T::deserialize(&self.value).map_err(|error| Fault::new([], error.to_string()))
    }

    /// A path of the section, seen from the manifest's folder.
    pub fn path(&self, text: &str) -> PathBuf {
        // Taken apart and put together: `./a` is `a`.
        self.folder.join(text).components().collect()
    }

    /// The manifest's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Written")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

impl Fault {
    /// What is wrong at `path`.
    pub fn new<'a>(path: impl IntoIterator<Item = &'a str>, message: impl Into<String>) -> Self {
        Self {
            path: path.into_iter().map(str::to_owned).collect(),
            message: message.into(),
            help: None,
        }
    }

    /// The same, with what to do about it.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same, inside the section's key `key`.
    #[must_use]
    pub fn below(mut self, key: &str) -> Self {
        self.path.insert(0, key.to_owned());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.is_empty() {
            true => f.write_str(&self.message),
            false => write!(f, "`{}`: {}", self.path.join("."), self.message),
        }
    }
}

impl std::error::Error for Fault {}

/// The sections that apps may have, in the order in which the reference names them. Cheap to clone.
#[derive(Clone, Default)]
pub struct Sections(Arc<[Arc<dyn Section>]>);

impl Sections {
    /// Each has a name of its own.
    pub fn new(sections: impl IntoIterator<Item = Arc<dyn Section>>) -> Self {
        Self(sections.into_iter().collect())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Section> {
        self.0.iter().map(|section| &**section)
    }

    /// The section of this name.
    pub fn get(&self, name: &str) -> Option<&dyn Section> {
        self.iter().find(|section| section.name() == name)
    }

    /// Files that an app's sections name, a change of which makes it another one.
    pub fn files(&self, written: &BTreeMap<String, Written>) -> Vec<PathBuf> {
        let known = written
            .iter()
            .filter_map(|(name, written)| Some((self.get(name)?, written)));
        known.flat_map(|(section, written)| section.files(written)).collect()
    }

    /// Files and folders that are written while an app with these sections is served.
    pub fn data(&self, written: &BTreeMap<String, Written>) -> Vec<PathBuf> {
        let known = written
            .iter()
            .filter_map(|(name, written)| Some((self.get(name)?, written)));
        known.flat_map(|(section, written)| section.data(written)).collect()
    }

    /// The imports of a component that neither Wharf nor the sections of its app meet.
    pub fn missing(&self, inspection: &Inspection, granted: &BTreeMap<String, Written>) -> MissingImports {
        let imports = missing(inspection).imports.into_iter();
        MissingImports {
            imports: imports
                .filter_map(|import| self.still_missing(import, granted))
                .collect(),
        }
    }

    fn still_missing(&self, import: Missing, granted: &BTreeMap<String, Written>) -> Option<Missing> {
        let Ok(wanted) = import.name.parse::<InterfaceName>() else {
            return Some(import);
        };
        let provides = |section: &&dyn Section| known(*section).any(|known| meets(&known, &wanted));
        let has_other_version = |section: &&dyn Section| known(*section).any(|known| known.path() == wanted.path());
        let name = import.name;
        let names = |section: &dyn Section, written| section.named(written).iter().any(|own| is_meant(own, &name));
        let granted_sections = self
            .iter()
            .filter_map(|section| Some((section, granted.get(section.name())?)));
        if granted_sections
            .into_iter()
            .any(|(section, written)| names(section, written))
        {
            return None;
        }
        if let Some(section) = self.iter().find(provides) {
            let section = section.name();
            let reason = Reason::NotGranted { section };
            return (!granted.contains_key(section)).then(|| Missing::for_reason(&name, reason));
        }
        let reason = match self.iter().find(has_other_version) {
            Some(section) => Reason::OtherVersionOfSection {
                known: known(section)
                    .filter(|known| known.path() == wanted.path())
                    .map(|known| known.to_string())
                    .collect(),
            },
            None => import.reason,
        };
        let of_sections = self
            .iter()
            .flat_map(|section| section.interfaces())
            .map(ToString::to_string);
        let nearest = (reason == Reason::Unknown).then(|| nearest(&name, of_sections.chain(provided_names())));
        Some(Missing {
            nearest: nearest.flatten(),
            ..Missing::for_reason(&name, reason)
        })
    }
}

impl fmt::Debug for Sections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|section| section.name()))
            .finish()
    }
}

/// What a section provides; a name that is none provides nothing.
fn known(section: &dyn Section) -> impl Iterator<Item = InterfaceName> {
    section.interfaces().iter().filter_map(|name| name.parse().ok())
}

/// Whether an interface that is named with or without a version is the one of this name.
pub fn is_meant(named: &str, name: &str) -> bool {
    name.strip_prefix(named)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('@'))
}

/// Versions of one track stand in for each other; those on none are the same or not.
fn meets(known: &InterfaceName, wanted: &InterfaceName) -> bool {
    let same_track = known.track().is_some() && known.track() == wanted.track();
    known.path() == wanted.path() && (same_track || known.version == wanted.version)
}

#[cfg(test)]
pub(crate) mod tests {
    use schemars::JsonSchema;
    use serde::Deserialize;

    use super::*;
    use crate::secret::WrittenSecret;

    /// Who says good day.
    #[derive(Deserialize, JsonSchema)]
    #[serde(rename_all = "kebab-case", deny_unknown_fields)]
    struct WrittenGreeting {
        /// To whom.
        to: String,
        /// By whom.
        #[serde(default)]
        from: Vec<String>,
        /// By which they know each other.
        sign: Option<WrittenSecret>,
    }

    pub(crate) struct Greeting;

    impl Section for Greeting {
        fn name(&self) -> &'static str {
            "greeting"
        }

        fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
            generator.subschema_for::<WrittenGreeting>()
        }

        fn interfaces(&self) -> &'static [&'static str] {
            &["acme:greeting/greet@0.2.1", "acme:greeting/draft@0.1.0-draft"]
        }

        fn wit(&self) -> Vec<Package> {
            vec![Package {
                name: "acme:greeting",
                version: "0.2.1",
                about: "who says good day",
                text: "package acme:greeting@0.2.1;\ninterface greet { f: func(); }\n",
            }]
        }

        fn check(&self, written: &Written) -> Vec<Fault> {
            let greeting: WrittenGreeting = match written.read() {
                Ok(greeting) => greeting,
                Err(fault) => return vec![fault],
            };
            let nobody = greeting
                .to
                .is_empty()
                .then(|| Fault::new(["to"], "nobody is greeted").with_help("name one"));
            let sign = greeting.sign.and_then(|sign| sign.source(written).err());
            let froms = greeting.from.iter().enumerate().filter(|(_, from)| from.is_empty());
            let froms = froms.map(|(nth, _)| Fault::new([nth.to_string().as_str()], "nobody").below("from"));
            let sign = sign.map(|fault| fault.below("sign"));
            nobody.into_iter().chain(froms).chain(sign).collect()
        }

        fn named(&self, _: &Written) -> Vec<String> {
            vec!["acme:own/greet".to_owned()]
        }

        fn files(&self, written: &Written) -> Vec<PathBuf> {
            vec![written.path("./greeting.txt")]
        }
    }

    pub(crate) fn sections() -> Sections {
        Sections::new([Arc::new(Greeting) as Arc<dyn Section>])
    }

    fn written() -> Written {
        Written {
            value: serde_json::json!({ "to": "you" }),
            folder: "/apps".into(),
        }
    }

    #[track_caller]
    fn check(import: &str, granted: bool, expected: Option<Reason>) {
        let bytes = wat::parse_str(format!(
            "(component (import {import:?} (instance (export \"f\" (func)))))"
        ))
        .unwrap();
        let granted = granted.then(|| ("greeting".to_owned(), written()));
        let missing = sections().missing(&Inspection::new(&bytes).unwrap(), &granted.into_iter().collect());
        let reason = missing.imports.into_iter().next().map(|missing| missing.reason);
        assert_eq!(reason, expected, "{import}");
    }

    #[test]
    fn a_section_meets_what_it_provides() {
        let ungranted = Some(Reason::NotGranted { section: "greeting" });
        for import in [
            "acme:greeting/greet@0.2.1",
            "acme:greeting/greet@0.2.9",
            "acme:greeting/draft@0.1.0-draft",
        ] {
            check(import, true, None);
            check(import, false, ungranted.clone());
        }
        let known = vec!["acme:greeting/greet@0.2.1".to_owned()];
        check(
            "acme:greeting/greet@0.3.0",
            true,
            Some(Reason::OtherVersionOfSection { known }),
        );
        let known = vec!["acme:greeting/draft@0.1.0-draft".to_owned()];
        check(
            "acme:greeting/draft@0.1.0",
            true,
            Some(Reason::OtherVersionOfSection { known }),
        );
        check("acme:greeting/other@0.2.1", true, Some(Reason::Unknown));
        check("wasi:cli/stdin@0.3.0", false, None);
    }

    #[test]
    fn a_section_may_name_interfaces() {
        for import in ["acme:own/greet", "acme:own/greet@7.0.0"] {
            check(import, true, None);
            check(import, false, Some(Reason::Unknown));
        }
        check("acme:own/greeting", true, Some(Reason::Unknown));
    }

    #[test]
    fn what_a_section_says_is_not_shown() {
        let shown = format!("{:?}", written());
        assert!(shown.contains("/apps") && !shown.contains("you"), "{shown}");
    }

    #[test]
    fn files_of_sections_are_seen_from_the_manifest() {
        let granted = [("greeting".to_owned(), written()), ("unknown".to_owned(), written())];
        let files = sections().files(&granted.into_iter().collect());
        assert_eq!(files, [PathBuf::from("/apps/greeting.txt")]);
    }
}
