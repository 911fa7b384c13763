//! Files that are to be one component, with nothing said of who calls whom: whoever exports what another imports meets it.

use std::path::{Path, PathBuf};

use super::assemble::export_for;
use crate::app::{App, AppComponent, Link};
use crate::inspect::Inspection;

/// An app of these files, whose first component links to the others, and these to each other: an import leads to the first of those
/// behind it that exports it, or else to the first before it. Components are called as their files are, in full.
///
/// # Errors
/// The file, of those behind the first, that exports nothing of what any other imports.
pub fn plugged(files: &[(PathBuf, Inspection)]) -> Result<App, &Path> {
    let name = |file: &Path| file.display().to_string();
    let mut components = Vec::new();
    for (nth, (file, inspection)) in files.iter().enumerate() {
        let mut component = AppComponent::new(name(file), file);
        // The first is the one that is called: nobody calls it back.
        let others = (nth + 1..files.len()).chain(1..nth);
        for import in &inspection.imports {
            let to = others
                .clone()
                .find(|other| export_for(&files[*other].1, &import.name).is_some());
            component.links.extend(to.map(|to| Link {
                import: import.name.clone(),
                component: name(&files[to].0),
            }));
        }
        components.push(component);
    }
    let is_used = |file: &Path| {
        let mut links = components.iter().flat_map(|component| &component.links);
        links.any(|link| link.component == name(file))
    };
    match files.iter().skip(1).find(|(file, _)| !is_used(file)) {
        Some((unused, _)) => Err(unused),
        None => Ok(App {
            components,
            ..App::default()
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, imports: &[&str], exports: &[&str]) -> (PathBuf, Inspection) {
        let imports: String = imports
            .iter()
            .map(|name| format!("(import \"{name}\" (instance))"))
            .collect();
        let exports = exports.iter().enumerate().map(|(nth, name)| {
            // An instance with nothing in it.
            format!("(instance $e{nth}) (export \"{name}\" (instance $e{nth}))")
        });
        let text = format!("(component {imports}{})", exports.collect::<String>());
        let bytes = wat::parse_str(&text).unwrap();
        (name.into(), Inspection::new(&bytes).unwrap())
    }

    #[test]
    fn imports_lead_to_the_first_who_exports_them() {
        #[track_caller]
        fn check(files: &[(PathBuf, Inspection)], expected: Result<&[(&str, &str, &str)], &str>) {
            let app = plugged(files).map_err(|unused| unused.to_str().unwrap());
            let links = app.as_ref().map(|app| {
                let links = app.components.iter().flat_map(|component| {
                    let links = component.links.iter();
                    links.map(move |link| (&*component.name, &*link.import, &*link.component))
                });
                links.collect::<Vec<_>>()
            });
            assert_eq!(links.as_deref().map_err(|unused| **unused), expected);
        }
        let (a, b) = ("acme:shop/a@1.0.0", "acme:shop/b@1.0.0");
        let main = || file("main", &[a], &[]);
        check(&[main(), file("one", &[], &[a])], Ok(&[("main", a, "one")]));
        check(
            &[main(), file("one", &[], &[a, b]), file("two", &[b], &[a])],
            Err("two"),
        );
        // Each stands in front of the next.
        check(
            &[main(), file("front", &[a], &[a]), file("back", &[], &[a])],
            Ok(&[("main", a, "front"), ("front", a, "back")]),
        );
        check(
            &[
                main(),
                file("one", &[b], &[a]),
                file("two", &[], &["acme:shop/b@1.2.0"]),
            ],
            Ok(&[("main", a, "one"), ("one", b, "two")]),
        );
        check(&[main(), file("one", &[], &[b])], Err("one"));
    }
}
