//! What gives a component each of its imports: flags, sections of a manifest, another component, or nothing.

use std::collections::BTreeMap;
use std::fmt;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::Need;
use super::world::Item;
use crate::imports::{Grant, Missing, Reason, grant};
use crate::inspect::Inspection;
use crate::section::Sections;

/// What gives an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Wharf itself, to everybody.
    Always,
    /// Wharf itself; it reaches what is granted.
    Granted(Grant),
    /// A capability, to apps with a section of this name.
    Section(&'static str),
    /// The service that it stands before.
    Service,
    /// Nothing that Wharf has.
    Nothing {
        /// Why not.
        reason: String,
        /// What to do.
        help: String,
    },
}

impl Source {
    pub(super) fn of_a_module() -> Self {
        Self::Nothing {
            reason: "Wharf runs components, and this is a core module".to_owned(),
            help: "build for wasm32-wasip2, or wrap it with `wasm-tools component new`".to_owned(),
        }
    }

    /// Whether Wharf can give it.
    pub fn is_there(&self) -> bool {
        !matches!(self, Self::Nothing { .. })
    }
}

impl Grant {
    /// The section of an app's manifest that grants it, or `None` where nothing needs to be granted.
    pub fn section(self) -> Option<&'static str> {
        match self {
            Grant::Always => None,
            Grant::Environment => Some("environment"),
            Grant::Directory => Some("filesystem"),
            Grant::Network => Some("sockets"),
            Grant::Outbound => Some("http-client"),
        }
    }
}

/// Every import, with what gives it.
pub fn needs(inspection: &Inspection, sections: &Sections, items: impl Fn(&str) -> Vec<Item>) -> Vec<Need> {
    let missing = sections.missing(inspection, &BTreeMap::new()).imports;
    let need = |import: &crate::inspect::Import| {
        let missing = missing.iter().find(|missing| missing.name == import.name);
        let known = import.interface.as_ref().and_then(grant);
        let from = match (missing, known) {
            (Some(missing), _) => source(missing),
            (None, Some(grant)) if grant != Grant::Always => Source::Granted(grant),
            (None, _) => Source::Always,
        };
        Need {
            name: import.name.clone(),
            required: import.required,
            items: items(&import.name),
            from,
        }
    };
    inspection.imports.iter().map(need).collect()
}

fn source(missing: &Missing) -> Source {
    match &missing.reason {
        Reason::NotGranted { section } => Source::Section(section),
        Reason::Service => Source::Service,
        reason => Source::Nothing {
            reason: reason.to_string(),
            help: reason.advice().to_owned(),
        },
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => f.write_str("always there"),
            Self::Granted(grant) => {
                let flags = grant.flags().unwrap_or_default();
                write!(f, "{flags}, or [{}] in a manifest", grant.section().unwrap_or_default())
            }
            Self::Section(section) => write!(f, "[{section}] in a manifest"),
            Self::Service => f.write_str("the service that it stands before: wharf serve --middleware FILE SERVICE"),
            Self::Nothing { reason, .. } => write!(f, "nothing: {reason}"),
        }
    }
}

/// `by` says which of the kinds it is; `flags`, `section`, `reason` and `help` stand where there are any.
impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::Always => map.serialize_entry("by", "always")?,
            Self::Granted(grant) => {
                map.serialize_entry("by", "grant")?;
                map.serialize_entry("flags", &grant.flags())?;
                map.serialize_entry("section", &grant.section())?;
            }
            Self::Section(section) => {
                map.serialize_entry("by", "section")?;
                map.serialize_entry("section", section)?;
            }
            Self::Service => map.serialize_entry("by", "service")?,
            Self::Nothing { reason, help } => {
                map.serialize_entry("by", "nothing")?;
                map.serialize_entry("reason", reason)?;
                map.serialize_entry("help", help)?;
            }
        }
        map.end()
    }
}
