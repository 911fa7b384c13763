//! Files that are to be one component, with nothing said of who calls whom: whoever exports what another imports meets it.

use std::path::PathBuf;

use super::assemble::export_for;
use crate::app::{App, AppComponent, Link};
use crate::inspect::{InspectError, Inspection};

/// Files that cannot be told to be one component.
#[derive(Debug, thiserror::Error)]
pub enum PlugError {
    /// A file is no component.
    #[error("{}: {error}", file.display())]
    Inspect {
        /// The file.
        file: PathBuf,
        /// What it is instead.
        error: InspectError,
    },
    /// A file has no part in the whole.
    #[error("{} exports nothing of what the others import (`wharf inspect` shows both)", .0.display())]
    Unused(PathBuf),
}

/// An app of these files, given with their contents, whose first component links to the others, and these to each other: an import
/// leads to the first of those behind it that exports it, or else to the first before it. Components are called as their files are.
///
/// # Errors
/// Where a file is no component, or one behind the first exports nothing of what any other imports.
pub fn plugged(files: &[(PathBuf, Vec<u8>)]) -> Result<App, PlugError> {
    let inspect = |(file, content): &(PathBuf, Vec<u8>)| {
        Inspection::new(content).map_err(|error| PlugError::Inspect {
            file: file.clone(),
            error,
        })
    };
    let inspections: Vec<_> = files.iter().map(inspect).collect::<Result<_, _>>()?;
    let name = |nth: usize| files[nth].0.display().to_string();
    let mut components = Vec::new();
    let mut is_used = vec![false; files.len()];
    for (nth, inspection) in inspections.iter().enumerate() {
        let mut component = AppComponent::new(name(nth), &files[nth].0);
        // The first is the one that is called: nobody calls it back.
        let others = (nth + 1..files.len()).chain(1..nth);
        for import in &inspection.imports {
            let mut others = others.clone();
            if let Some(to) = others.find(|other| export_for(&inspections[*other], &import.name).is_some()) {
                is_used[to] = true;
                component.links.push(Link {
                    import: import.name.clone(),
                    component: name(to),
                });
            }
        }
        components.push(component);
    }
    match (1..files.len()).find(|nth| !is_used[*nth]) {
        Some(unused) => Err(PlugError::Unused(files[unused].0.clone())),
        None => Ok(App {
            components,
            ..App::default()
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, imports: &[&str], exports: &[&str]) -> (PathBuf, Vec<u8>) {
        let imports: String = imports
            .iter()
            .map(|name| format!("(import \"{name}\" (instance))"))
            .collect();
        let exports = exports.iter().enumerate().map(|(nth, name)| {
            // An instance with nothing in it.
            format!("(instance $e{nth}) (export \"{name}\" (instance $e{nth}))")
        });
        let text = format!("(component {imports}{})", exports.collect::<String>());
        (name.into(), wat::parse_str(&text).unwrap())
    }

    #[test]
    fn what_is_no_component_is_named() {
        let error = plugged(&[("main".into(), b"text".to_vec())]).unwrap_err();
        assert!(error.to_string().starts_with("main: "), "{error}");
    }

    #[test]
    fn imports_lead_to_the_first_who_exports_them() {
        #[track_caller]
        fn check(files: &[(PathBuf, Vec<u8>)], expected: Result<&[(&str, &str, &str)], &str>) {
            match (plugged(files), expected) {
                (Ok(app), Ok(expected)) => {
                    let links = app.components.iter().flat_map(|component| {
                        let links = component.links.iter();
                        links.map(move |link| (&*component.name, &*link.import, &*link.component))
                    });
                    assert_eq!(links.collect::<Vec<_>>(), expected);
                }
                (Err(error), Err(expected)) => assert!(error.to_string().starts_with(expected), "{error}"),
                (found, _) => panic!("{found:?}"),
            }
        }
        let (a, b) = ("acme:shop/a@1.0.0", "acme:shop/b@1.0.0");
        let main = || file("main", &[a], &[]);
        check(&[main(), file("one", &[], &[a])], Ok(&[("main", a, "one")]));
        check(
            &[main(), file("one", &[], &[a, b]), file("two", &[b], &[a])],
            Err("two exports nothing"),
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
        check(&[main(), file("one", &[], &[b])], Err("one exports nothing"));
    }
}
