//! Where the parts of apps are written, for what is found out after reading: a missing file, a wrong component.

use std::collections::BTreeMap;

use super::problem::Place;
use crate::compose::AssembleError;

/// A part of an app that a problem may be about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The app as a whole.
    App,
    /// The file of the component of this name.
    Component(String),
    /// The middleware in front of this component at this place in its list, from 0.
    Middleware(String, usize),
    /// This component's link for this import.
    Link(String, String),
    /// The limit of an instance's memory.
    Memory,
    /// The route at this place in the app's list.
    Route(usize),
    /// The folder of the route at this place.
    Files(usize),
    /// The fallback of the files of the route at this place.
    Fallback(usize),
    /// The folder that guests see under this path.
    Folder(String),
    /// The file of the page for this status or class, as written.
    ErrorPage(String),
    /// The secret of this name.
    Secret(String),
    /// The section of a capability of this name.
    Section(String),
    /// The secret under this key of the section of this name, see [`Section::secrets`](crate::section::Section::secrets).
    SectionSecret(String, Vec<String>),
}

impl Subject {
    /// What `component` could not be joined for.
    #[must_use]
    pub fn at_fault(component: &str, error: &AssembleError) -> Self {
        match error {
            AssembleError::Link { component, import, .. } => Self::Link(component.clone(), import.clone()),
            AssembleError::Middleware { nth, .. } => Self::Middleware(component.to_owned(), *nth),
            _ => Self::Component(component.to_owned()),
        }
    }
}

/// Places of the parts of any number of apps.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(BTreeMap<(String, Subject), Place>);

impl Places {
    pub fn insert(&mut self, app: &str, subject: Subject, place: Place) {
        self.0.insert((app.to_owned(), subject), place);
    }

    pub fn get(&self, app: &str, subject: &Subject) -> Option<&Place> {
        self.0.get(&(app.to_owned(), subject.clone()))
    }

    pub fn extend(&mut self, others: Places) {
        self.0.extend(others.0);
    }
}
