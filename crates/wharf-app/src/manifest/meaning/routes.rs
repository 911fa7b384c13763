//! What routes mean: which requests, and what answers them.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use super::Meaning;
use crate::app::{Answer, AppComponent, Files, Route};
use crate::manifest::field::{At, TextOr};
use crate::manifest::places::Subject;
use crate::manifest::problem::nearest;
use crate::manifest::written;
use crate::route::{self, HostPattern, RoutePattern};

const INDEX: &str = "index.html";

/// Those of HTTP, as words are compared (RFC 9110 section 9.3, RFC 5789).
const METHODS: [&str; 9] = [
    "get", "head", "post", "put", "delete", "connect", "options", "trace", "patch",
];

impl Meaning<'_> {
    /// `has_components` is whether any are written: `components` is empty as well where they could not be made out.
    pub(super) fn routes(
        &mut self,
        written: &[At<written::Route>],
        components: &[AppComponent],
        has_components: bool,
        whole: Range<usize>,
    ) -> Vec<Route> {
        if written.is_empty() {
            return self.only_route(components, whole).into_iter().collect();
        }
        let mut routes: Vec<(Route, Range<usize>)> = Vec::new();
        for route in written {
            let (pattern, answer) = (self.pattern(route), self.answer(route, components, has_components));
            let (Some(pattern), Some(answer)) = (pattern, answer) else {
                continue;
            };
            if let Some((other, span)) = routes.iter().find(|(other, _)| other.pattern.overlaps(&pattern)) {
                let line = self.place(span.clone());
                let message = format!(
                    "this route answers the same requests as the one at {line}: {}",
                    other.pattern
                );
                self.problem(route.span(), message).help =
                    Some("change its host, path or methods, or leave one of the two out".to_owned());
                continue;
            }
            let nth = routes.len();
            self.remember(Subject::Route(nth), route.span());
            self.remember_files(nth, route);
            routes.push((Route { pattern, answer }, route.span()));
        }
        routes.into_iter().map(|(route, _)| route).collect()
    }

    /// The route of an app that has none written.
    fn only_route(&mut self, components: &[AppComponent], whole: Range<usize>) -> Option<Route> {
        match components {
            [] => None,
            [only] => {
                self.remember(Subject::Route(0), whole);
                Some(Route {
                    pattern: RoutePattern::any(),
                    answer: Answer::Component(only.name.clone()),
                })
            }
            [_, ..] => {
                self.problem(
                    whole,
                    "the app has several components and no route that says which of them answers",
                )
                .help = Some(format!(
                    "add a section `[[routes]]` with `component = \"{}\"`",
                    components[0].name
                ));
                None
            }
        }
    }

    fn pattern(&mut self, written: &written::Route) -> Option<RoutePattern> {
        let host = match &written.host {
            Some(host) => self.part("host", host, host.parse()),
            None => Some(HostPattern::Any),
        };
        let path = match &written.path {
            Some(path) => self.part("path", path, route::path(path)),
            None => Some("/".to_owned()),
        };
        let methods = match &written.methods {
            Some(methods) => self.methods(methods).map(Some),
            None => Some(None),
        };
        Some(RoutePattern {
            host: host?,
            path: path?,
            methods: methods?,
        })
    }

    fn part<T, E: fmt::Display>(&mut self, key: &str, text: &At<String>, result: Result<T, E>) -> Option<T> {
        result
            .map_err(|error| {
                self.problem(text.span(), format!("`{key}`: {error}"));
            })
            .ok()
    }

    fn methods(&mut self, written: &At<Vec<At<String>>>) -> Option<BTreeSet<String>> {
        if written.is_empty() {
            self.problem(written.span(), "a route without methods answers nothing")
                .help = Some("leave `methods` out to answer all".to_owned());
            return None;
        }
        // All are looked at, so that all mistakes are found.
        let methods: Vec<_> = written.iter().map(|text| self.method(text)).collect();
        methods.into_iter().collect()
    }

    /// A method that nobody knows may be somebody's own, unless it looks like one that everybody knows.
    fn method(&mut self, text: &At<String>) -> Option<String> {
        let method = self.part("methods", text, route::method(text))?;
        if METHODS.contains(&method.to_ascii_lowercase().as_str()) {
            return Some(method);
        }
        if let Some(near) = nearest(text, METHODS) {
            let near = near.to_ascii_uppercase();
            self.problem(
                text.span(),
                format!("`methods`: `{method}` is no method that clients know"),
            )
            .help = Some(format!("did you mean `{near}`?"));
            return None;
        }
        Some(method)
    }

    /// Files are read, whatever the route says.
    fn check_methods_of_files(&mut self, route: &written::Route) {
        let methods = route.methods.iter().flat_map(|methods| methods.iter());
        for method in methods.filter(|method| !["GET", "HEAD"].contains(&method.as_str())) {
            self.problem(
                method.span(),
                format!(
                    "`methods`: files are only read, so that `{}` would be refused",
                    **method
                ),
            )
            .help = Some("leave `methods` out, or let a component answer this".to_owned());
        }
    }

    fn answer(
        &mut self,
        route: &At<written::Route>,
        components: &[AppComponent],
        has_components: bool,
    ) -> Option<Answer> {
        match (&route.component, &route.files) {
            (Some(component), Some(_)) => {
                self.problem(component.span(), "a route has either `component` or `files`")
                    .help = Some("leave one of them out; a further route answers other requests".to_owned());
                None
            }
            (None, Some(files)) => {
                self.check_methods_of_files(route);
                Some(Answer::Files(self.files(files)))
            }
            (Some(name), None) if components.iter().any(|component| component.name == **name) => {
                Some(Answer::Component(name.to_string()))
            }
            (Some(name), None) if has_components => {
                // Where the components themselves are wrong, that is what is to be mended first.
                if !components.is_empty() {
                    self.unknown_component(name, components);
                }
                None
            }
            (None, None) if has_components => self.only_component(route, components),
            (_, None) => {
                self.problem(route.span(), "the app has no component that could answer this")
                    .help = Some("name one at the top, `component = \"app.wasm\"`, or `files` here".to_owned());
                None
            }
        }
    }

    fn only_component(&mut self, route: &At<written::Route>, components: &[AppComponent]) -> Option<Answer> {
        match components {
            [] => None,
            [only] => Some(Answer::Component(only.name.clone())),
            [first, ..] => {
                self.problem(
                    route.span(),
                    "the route does not say which of the app's components answers",
                )
                .help = Some(format!("add `component = \"{}\"`, or another", first.name));
                None
            }
        }
    }

    fn files(&mut self, written: &At<TextOr<written::Files>>) -> Files {
        let table = match &**written {
            TextOr::Text(folder) => {
                return Files {
                    folder: self.path_of(folder, written.span()),
                    index: INDEX.to_owned(),
                    fallback: None,
                    precompressed: true,
                    cache_control: None,
                };
            }
            TextOr::Table(table) => table,
        };
        if let Some(index) = table
            .index
            .as_ref()
            .filter(|index| index.is_empty() || index.contains('/'))
        {
            self.problem(index.span(), "`index` is the name of a file, without a folder");
        }
        if let Some(fallback) = table.fallback.as_ref().filter(|fallback| leads_out(fallback)) {
            self.problem(
                fallback.span(),
                "`fallback` is a file inside the folder, relative to it",
            );
        }
        if let Some(value) = table.cache_control.as_ref().filter(|value| !is_field_value(value)) {
            self.problem(
                value.span(),
                "`cache-control` is one line of ASCII, such as \"public, max-age=3600\"",
            );
        }
        Files {
            folder: self.path_of(&table.folder, table.folder.span()),
            index: table.index.as_ref().map_or(INDEX.to_owned(), |index| index.to_string()),
            fallback: table.fallback.as_ref().map(|fallback| fallback.to_string()),
            precompressed: table.precompressed.unwrap_or(true),
            cache_control: table.cache_control.as_ref().map(|value| value.to_string()),
        }
    }

    fn remember_files(&mut self, nth: usize, route: &written::Route) {
        let Some(files) = &route.files else { return };
        match &**files {
            TextOr::Text(_) => self.remember(Subject::Files(nth), files.span()),
            TextOr::Table(table) => {
                self.remember(Subject::Files(nth), table.folder.span());
                if let Some(fallback) = &table.fallback {
                    self.remember(Subject::Fallback(nth), fallback.span());
                }
            }
        }
    }
}

fn leads_out(file: &str) -> bool {
    file.is_empty() || file.starts_with('/') || file.split('/').any(|part| part == "..")
}

fn is_field_value(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}
