//! What links mean: which component meets another's import.

use std::collections::BTreeMap;
use std::slice;

use super::Meaning;
use crate::app::{AppComponent, Link};
use crate::manifest::written::AppManifest;

impl Meaning<'_> {
    /// Links lead to components of the app, and not round in a circle: no component could be made first.
    pub(super) fn links(&mut self, written: &AppManifest, components: &[AppComponent]) {
        for component in written.components.values() {
            for other in component.links.values() {
                if !written.components.contains_key(other.as_str()) {
                    self.unknown_component(other, components);
                }
            }
        }
        let circle = circle(components);
        // It is shown at its first link.
        if let [name, other, ..] = circle.as_slice()
            && let Some(component) = written.components.get(*name)
            && let Some((import, _)) = component.links.iter().find(|(_, to)| to.as_str() == *other)
        {
            let message = format!("links lead round in a circle: {}", circle.join(" -> "));
            self.problem(import.span(), message);
        }
    }
}

/// The names on a circle of links, the first of them at the end again; nothing where there is none.
fn circle(components: &[AppComponent]) -> Vec<&str> {
    let mut walk = Walk {
        by_name: components
            .iter()
            .map(|component| (&*component.name, component))
            .collect(),
        seen: BTreeMap::new(),
        way: Vec::new(),
    };
    let circle = components.iter().find_map(|component| walk.circle_from(component));
    circle.unwrap_or_default()
}

/// Follows every link once.
struct Walk<'a> {
    by_name: BTreeMap<&'a str, &'a AppComponent>,
    /// Which components were come upon, and whether they are on the way still. None is ever taken out: there may be more ways
    /// to a component than anyone can go.
    seen: BTreeMap<&'a str, bool>,
    /// From where the walk began to where it is, each with its links that are left. No recursion: it may be longer than the
    /// stack.
    way: Vec<(&'a AppComponent, slice::Iter<'a, Link>)>,
}

impl<'a> Walk<'a> {
    fn circle_from(&mut self, start: &'a AppComponent) -> Option<Vec<&'a str>> {
        if !self.seen.contains_key(&*start.name) {
            self.enter(start);
        }
        while let Some((component, links)) = self.way.last_mut() {
            let Some(link) = links.next() else {
                self.seen.insert(&component.name, false);
                self.way.pop();
                continue;
            };
            match self.seen.get(&*link.component) {
                Some(true) => return Some(self.round(&link.component)),
                Some(false) => {}
                None => {
                    if let Some(next) = self.by_name.get(&*link.component) {
                        self.enter(next);
                    }
                }
            }
        }
        None
    }

    fn enter(&mut self, component: &'a AppComponent) {
        self.seen.insert(&component.name, true);
        self.way.push((component, component.links.iter()));
    }

    /// From a component on the way to itself.
    fn round(&self, to: &'a str) -> Vec<&'a str> {
        let names = self.way.iter().map(|(component, _)| component.name.as_str());
        names.skip_while(|name| *name != to).chain([to]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Components by number, each with links to those of the numbers.
    #[track_caller]
    fn check(links: &[&[usize]], expected: &[&str]) {
        let components: Vec<_> = (0..).zip(links).map(|(nth, to)| component(nth, to)).collect();
        assert_eq!(circle(&components), expected);
    }

    fn component(nth: usize, to: &[usize]) -> AppComponent {
        let links = to.iter().map(|to| Link {
            import: "a:b/c".to_owned(),
            component: to.to_string(),
        });
        AppComponent {
            links: links.collect(),
            ..AppComponent::new(nth.to_string(), "a.wasm")
        }
    }

    #[test]
    fn circles_are_found_wherever_they_begin() {
        check(&[], &[]);
        check(&[&[1, 2], &[2], &[]], &[]);
        check(&[&[], &[0], &[0, 1]], &[]);
        check(&[&[7]], &[]);
        check(&[&[0]], &["0", "0"]);
        check(&[&[1], &[0]], &["0", "1", "0"]);
        check(&[&[1], &[3, 2], &[3, 1], &[]], &["1", "2", "1"]);
        check(&[&[], &[0], &[3], &[0, 4], &[2]], &["2", "3", "4", "2"]);
    }

    #[test]
    fn a_long_way_is_no_deep_one() {
        let mut components: Vec<_> = (0..100_000).map(|nth| component(nth, &[nth + 1])).collect();
        assert!(circle(&components).is_empty());
        components.push(component(100_000, &[0]));
        assert_eq!(circle(&components).len(), 100_002);
    }
}
