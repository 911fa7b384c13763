//! Which apps of a server stand against each other: those of one name, and those whose routes answer the same requests.
//!
//! Of two apps of the server's folder neither stays. If the first by name did, whoever may write one of the files could take
//! another's requests by what the file is called. Apps of the server's own manifest go before those of the folder: who
//! writes that one has all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::places::{Places, Subject};
use super::problem::{Place, Problem};
use crate::app::App;
use crate::route::{HostPattern, RoutePattern, answered};

/// How many others are named to one app. Whoever has more sees those once these are gone; a thousand apps with one mistake
/// would make a million problems otherwise.
const NAMED_MAX: usize = 10;

/// An app that is right by itself.
pub(super) struct Read {
    pub app: App,
    pub places: Places,
    /// Its manifest; `None` in the server's own.
    pub file: Option<PathBuf>,
}

/// The apps of a server, by what they may have in common.
pub(super) struct Rivals<'a> {
    apps: &'a [Read],
    by_name: BTreeMap<&'a str, Vec<usize>>,
    by_host_and_path: BTreeMap<(&'a HostPattern, &'a str), Routes>,
}

/// The routes of one host and path.
#[derive(Default)]
struct Routes {
    of_all_methods: Vec<RouteAt>,
    by_method: BTreeMap<String, Vec<RouteAt>>,
}

/// A route, by the places of its app and of itself.
#[derive(Clone, Copy)]
struct RouteAt {
    app: usize,
    nth: usize,
}

impl<'a> Rivals<'a> {
    pub fn new(apps: &'a [Read]) -> Self {
        let mut rivals = Self {
            apps,
            by_name: BTreeMap::new(),
            by_host_and_path: BTreeMap::new(),
        };
        for (at, read) in apps.iter().enumerate() {
            rivals.by_name.entry(&read.app.name).or_default().push(at);
            for (nth, route) in read.app.routes.iter().enumerate() {
                let key = (&route.pattern.host, route.pattern.path.as_str());
                let routes = rivals.by_host_and_path.entry(key).or_default();
                routes.add(&route.pattern, RouteAt { app: at, nth });
            }
        }
        rivals
    }

    /// What is wrong with the app at `own` for the sake of others.
    pub fn of(&self, own: usize) -> Vec<Problem> {
        let namesakes = self.by_name.get(self.apps[own].app.name.as_str());
        let namesakes = namesakes.into_iter().flatten();
        let mut problems: Vec<Problem> = namesakes
            .filter(|other| self.has_to_yield(own, **other))
            .take(NAMED_MAX)
            .map(|other| self.same_name(own, *other))
            .collect();
        for (nth, route) in self.apps[own].app.routes.iter().enumerate() {
            let left = NAMED_MAX.saturating_sub(problems.len());
            let others = self.others(own, &route.pattern).take(left);
            problems.extend(others.map(|other| self.same_requests(RouteAt { app: own, nth }, other)));
        }
        problems
    }

    /// Whether `own` cannot stay where it has something in common with `other`.
    fn has_to_yield(&self, own: usize, other: usize) -> bool {
        let is_inline = |at: usize| self.apps[at].file.is_none();
        match is_inline(own) {
            // Both are in one file, which is wrong as a whole: it is said once.
            true => is_inline(other) && other < own,
            false => own != other,
        }
    }

    /// One route of each app that `own` has to yield to for its route `pattern`.
    fn others<'b>(&'b self, own: usize, pattern: &'b RoutePattern) -> impl Iterator<Item = RouteAt> + 'b {
        let routes = self.by_host_and_path.get(&(&pattern.host, pattern.path.as_str()));
        let routes = routes.into_iter().flat_map(|routes| routes.overlapping(pattern));
        let mut seen = BTreeSet::new();
        routes.filter(move |other| self.has_to_yield(own, other.app) && seen.insert(other.app))
    }

    fn same_name(&self, own: usize, other: usize) -> Problem {
        let name = &self.apps[own].app.name;
        let message = format!("there is another app `{name}`{}", at(self.place(other, &Subject::App)));
        let place = self.place(own, &Subject::App).cloned();
        Problem::new(place, message).with_help("give one of the two another name")
    }

    fn same_requests(&self, own: RouteAt, other: RouteAt) -> Problem {
        let app = &self.apps[other.app].app;
        let message = format!(
            "this route answers the same requests as one of the app `{}`{}: {}",
            app.name,
            at(self.place(other.app, &Subject::Route(other.nth))),
            app.routes[other.nth].pattern
        );
        let place = self.place(own.app, &Subject::Route(own.nth)).cloned();
        Problem::new(place, message).with_help("give one of the two another host or path")
    }

    fn place(&self, app: usize, subject: &Subject) -> Option<&'a Place> {
        let read = &self.apps[app];
        read.places.get(&read.app.name, subject)
    }
}

impl Routes {
    fn add(&mut self, pattern: &RoutePattern, route: RouteAt) {
        let Some(methods) = &pattern.methods else {
            self.of_all_methods.push(route);
            return;
        };
        for method in answered(methods) {
            self.by_method.entry(method.to_owned()).or_default().push(route);
        }
    }

    /// The routes that [overlap](RoutePattern::overlaps) with one of this host and path, itself among them; some more than
    /// once.
    fn overlapping<'b>(&'b self, pattern: &'b RoutePattern) -> impl Iterator<Item = RouteAt> + 'b {
        let sharing: Box<dyn Iterator<Item = &Vec<RouteAt>> + 'b> = match &pattern.methods {
            Some(methods) => Box::new(answered(methods).filter_map(|method| self.by_method.get(method))),
            None => Box::new(self.by_method.values()),
        };
        self.of_all_methods.iter().chain(sharing.flatten()).copied()
    }
}

fn at(place: Option<&Place>) -> String {
    place.map(|place| format!(" at {place}")).unwrap_or_default()
}
