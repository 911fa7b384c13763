//! Components that keep an instance of their own: which of a whole's imports lead to one, and what is added to such a
//! component so that its callers, who are elsewhere, can let go of its resources.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use wac_graph::types::{ItemKind, Package, Type};
use wac_graph::{CompositionGraph, NodeId};

use super::assemble::{LinkFault, export_for, meant, of_same_path};
use super::{encode, report};
use crate::app::{App, AppComponent, LinkedAs};
use crate::inspect::Inspection;

/// Names of the functions that drop a resource of a component with an instance of its own: this, and a number from 0.
pub const DROP: &str = "wharf-drop-";

/// A link to a component that has an instance of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnLink<'a> {
    /// The component that has the link: the whole's own, or one that is joined with it.
    pub from: &'a AppComponent,
    /// The import, as written.
    pub import: &'a str,
    /// The component that meets it.
    pub to: &'a AppComponent,
}

/// The links of `component`, and of all that is joined with it, to components with instances of their own.
pub fn own_links<'a>(app: &'a App, component: &'a AppComponent) -> Vec<OwnLink<'a>> {
    let mut seen = BTreeSet::new();
    let mut joined = vec![component];
    let mut found = Vec::new();
    while let Some(from) = joined.pop() {
        if !seen.insert(&from.name) {
            continue;
        }
        for link in &from.links {
            let Some(to) = app.component(&link.component) else {
                continue;
            };
            match to.linked_as {
                LinkedAs::Joined => joined.push(to),
                LinkedAs::Own => found.push(OwnLink {
                    from,
                    import: &link.import,
                    to,
                }),
            }
        }
    }
    found
}

/// Which export of the linked component meets which import of the whole, by full names.
///
/// # Errors
/// When the whole has no such import, or the linked component no such export.
pub fn own_interfaces(
    link: &OwnLink<'_>,
    whole: &Inspection,
    linked: &Inspection,
) -> Result<BTreeMap<String, String>, LinkFault> {
    let imports = meant(whole, link.import);
    if imports.is_empty() {
        let names = whole.imports.iter().map(|import| import.name.as_str());
        return Err(LinkFault::NoImport {
            import: link.import.to_owned(),
            found: of_same_path(link.import, names),
        });
    }
    let met = imports.into_iter().map(|import| match export_for(linked, &import) {
        Some(export) => Ok((import, export)),
        None => {
            let names = linked.exports.iter().map(|export| export.name.as_str());
            Err(LinkFault::NoExport {
                found: of_same_path(&import, names),
                import,
                file: link.to.file.clone(),
            })
        }
    });
    met.collect()
}

/// The other components of an app that export what `component` imports by the name `import`. Of files that `read` cannot read nothing is said.
pub fn exporters<'a>(
    app: &App,
    component: &AppComponent,
    import: &str,
    mut read: impl FnMut(&Path) -> io::Result<Cow<'a, [u8]>>,
) -> Vec<String> {
    let others = app.components.iter().filter(|other| other.name != component.name);
    let mut exports = |other: &AppComponent| {
        let inspection = Inspection::new(&read(&other.file).ok()?).ok()?;
        export_for(&inspection, import)
    };
    let exporters = others.filter(|other| exports(other).is_some());
    exporters.map(|other| other.name.clone()).collect()
}

/// A component, and functions that drop the resources of the interfaces it exports.
///
/// The engine drops a guest's resource only where nothing else is under way in its store. As a call like any other it can be
/// at any time.
pub(super) fn with_drops(bytes: Cow<'_, [u8]>) -> Result<Cow<'_, [u8]>, String> {
    let mut graph = CompositionGraph::new();
    let package = Package::from_bytes("wharf:linked", None, bytes.to_vec(), graph.types_mut()).map_err(report)?;
    let world = package.ty();
    let interfaces: Vec<_> = graph.types()[world]
        .exports
        .iter()
        .map(|(name, kind)| (name.clone(), *kind))
        .collect();
    let resources = resources(&graph, &interfaces);
    if resources.is_empty() {
        return Ok(bytes);
    }
    let package = graph.register_package(package).map_err(report)?;
    let linked = graph.instantiate(package);
    for (name, _) in &interfaces {
        let export = graph.alias_instance_export(linked, name).map_err(report)?;
        graph.export(export, name).map_err(report)?;
    }
    add_drops(&mut graph, linked, &resources)?;
    encode(&graph).map(Cow::Owned).map_err(|error| error.to_string())
}

/// The resources of each interface that has any.
fn resources(graph: &CompositionGraph, exports: &[(String, ItemKind)]) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    for (interface, kind) in exports {
        let ItemKind::Instance(id) = kind else { continue };
        let items = graph.types()[*id].exports.iter();
        let names = items.filter(|(_, kind)| matches!(kind, ItemKind::Type(Type::Resource(_))));
        let names: Vec<_> = names.map(|(name, _)| name.clone()).collect();
        if !names.is_empty() {
            found.insert(interface.clone(), names);
        }
    }
    found
}

fn add_drops(
    graph: &mut CompositionGraph,
    linked: NodeId,
    resources: &BTreeMap<String, Vec<String>>,
) -> Result<(), String> {
    let dropper = wat::parse_str(dropper(resources)).map_err(report)?;
    let package = Package::from_bytes("wharf:dropper", None, dropper, graph.types_mut()).map_err(report)?;
    let package = graph.register_package(package).map_err(report)?;
    let dropper = graph.instantiate(package);
    for interface in resources.keys() {
        let export = graph.alias_instance_export(linked, interface).map_err(report)?;
        let argument = graph.set_instantiation_argument(dropper, interface, export);
        argument.map_err(report)?;
    }
    for nth in 0..resources.values().map(Vec::len).sum() {
        let name = format!("{DROP}{nth}");
        let export = graph.alias_instance_export(dropper, &name).map_err(report)?;
        graph.export(export, &name).map_err(report)?;
    }
    Ok(())
}

/// A component that imports resources and exports a function for each, which takes one and drops it.
fn dropper(resources: &BTreeMap<String, Vec<String>>) -> String {
    let mut text = String::from("(component\n");
    let mut nth = 0;
    for (place, (interface, names)) in resources.iter().enumerate() {
        let types: String = names
            .iter()
            .map(|name| format!(r#" (export "{name}" (type (sub resource)))"#))
            .collect();
        // Writing to a string does not fail.
        let _ = writeln!(text, r#"(import "{interface}" (instance $i{place}{types}))"#);
        for name in names {
            let _ = writeln!(
                text,
                r#"(alias export $i{place} "{name}" (type $r{nth}))
                   (core func $d{nth} (canon resource.drop $r{nth}))
                   (func (export "{DROP}{nth}") (param "resource" (own $r{nth})) (canon lift (core func $d{nth})))"#
            );
            nth += 1;
        }
    }
    text.push(')');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTERS: &str = r#"(component
        (core module $m (func (export "new") (result i32) i32.const 1) (func (export "drop") (param i32)))
        (core instance $m (instantiate $m))
        (type $r (resource (rep i32) (dtor (core func $m "drop"))))
        (instance $i (export "counter" (type $r)))
        (export "acme:store/counters" (instance $i)))"#;

    fn names(bytes: &[u8]) -> Vec<String> {
        let inspection = Inspection::new(bytes).expect("it is a component");
        inspection.exports.into_iter().map(|export| export.name).collect()
    }

    #[test]
    fn resources_get_functions_that_drop_them() {
        let bytes = wat::parse_str(COUNTERS).expect("it is well written");
        let with_drops = with_drops(Cow::Owned(bytes)).expect("it can be joined");
        wasmparser::Validator::new_with_features(wasmparser::WasmFeatures::all())
            .validate_all(&with_drops)
            .expect("it is valid");
        assert_eq!(names(&with_drops), ["acme:store/counters", "wharf-drop-0"]);
    }

    #[test]
    fn components_without_resources_stay_as_they_are() {
        let bytes = wat::parse_str("(component)").expect("it is well written");
        assert!(matches!(with_drops(Cow::Borrowed(&bytes)), Ok(Cow::Borrowed(_))));
    }
}
