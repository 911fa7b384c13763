//! Components in text form, joined by links.

use super::*;

/// A component's name and text, and its links: an import, and the name of the component that meets it.
type Given<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

/// A component that exports an interface with one function `f`, and imports others.
fn provider(export: &str, imports: &[&str]) -> String {
    let imports: String = imports
        .iter()
        .map(|name| format!("(import {name:?} (instance (export \"f\" (func))))"))
        .collect();
    format!(
        r#"(component {imports}
            (core module $m (func (export "f")))
            (core instance $m (instantiate $m))
            (func $f (canon lift (core func $m "f")))
            (instance $i (export "f" (func $f)))
            (export {export:?} (instance $i)))"#
    )
}

/// An app, and its files.
fn app(components: &[Given<'_>]) -> (App, BTreeMap<PathBuf, Vec<u8>>) {
    let mut app = App::default();
    let mut files = BTreeMap::new();
    for (name, text, links) in components {
        let file = PathBuf::from(format!("{name}.wasm"));
        let mut component = AppComponent::new(*name, &file);
        let links = links.iter().map(|(import, component)| Link {
            import: (*import).to_owned(),
            component: (*component).to_owned(),
        });
        component.links = links.collect();
        app.components.push(component);
        files.insert(file, wat::parse_str(text).unwrap());
    }
    (app, files)
}

fn join(app: &App, files: &BTreeMap<PathBuf, Vec<u8>>) -> Result<Vec<u8>, AssembleError> {
    let joined = assemble(app, &app.components[0], |file| {
        let bytes = files.get(file).map(Cow::from);
        bytes.ok_or(io::ErrorKind::NotFound.into())
    });
    joined.map(Cow::into_owned)
}

/// Joins the first component with what it links to.
#[track_caller]
fn check(components: &[Given<'_>], imports: &[&str], exports: &[&str]) -> Vec<u8> {
    let (app, files) = app(components);
    let joined = join(&app, &files).unwrap_or_else(|error| panic!("{error}"));
    let inspection = Inspection::new(&joined).unwrap();
    assert_eq!(
        inspection.imports.iter().map(|import| &import.name).collect::<Vec<_>>(),
        imports
    );
    assert_eq!(
        inspection.exports.iter().map(|export| &export.name).collect::<Vec<_>>(),
        exports
    );
    joined
}

#[track_caller]
fn check_error(components: &[Given<'_>], expected: &str) {
    let (app, files) = app(components);
    let error = join(&app, &files).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn a_component_without_links_stays_as_it_is() {
    let text = provider("a:b/front@1.0.0", &["a:b/other@1.0.0"]);
    let joined = check(&[("front", &text, &[])], &["a:b/other@1.0.0"], &["a:b/front@1.0.0"]);
    assert_eq!(joined, wat::parse_str(&text).unwrap());
}

#[test]
fn links_meet_imports_and_leave_the_others() {
    let front = provider("a:b/front@1.0.0", &["a:b/cache@1.0.0", "a:b/clock@1.0.0"]);
    let cache = provider("a:b/cache@1.0.0", &["a:b/clock@1.0.0", "a:b/disk@1.0.0"]);
    let imports = ["a:b/clock@1.0.0", "a:b/disk@1.0.0"];
    let export = ["a:b/front@1.0.0"];
    check(
        &[("front", &front, &[("a:b/cache", "cache")]), ("cache", &cache, &[])],
        &imports,
        &export,
    );
    check(
        &[
            ("front", &front, &[("a:b/cache@1.0.0", "cache")]),
            ("cache", &cache, &[]),
        ],
        &imports,
        &export,
    );
}

#[test]
fn links_are_followed_and_each_component_is_there_once() {
    let front = provider("a:b/front@1.0.0", &["a:b/left@1.0.0", "a:b/right@1.0.0"]);
    let left = provider("a:b/left@1.0.0", &["a:b/store@1.0.0"]);
    let right = provider("a:b/right@1.0.0", &["a:b/store@1.0.0"]);
    let store = provider("a:b/store@1.0.0", &[]);
    let joined = check(
        &[
            ("front", &front, &[("a:b/left", "left"), ("a:b/right", "right")]),
            ("left", &left, &[("a:b/store", "store")]),
            ("right", &right, &[("a:b/store", "store")]),
            ("store", &store, &[]),
        ],
        &[],
        &["a:b/front@1.0.0"],
    );
    let instances = wasmparser::Parser::new(0)
        .parse_all(&joined)
        .filter_map(|payload| match payload.unwrap() {
            wasmparser::Payload::ComponentInstanceSection(section) => Some(section.count()),
            _ => None,
        });
    // Those inside a component are not counted apart: each has one, and the whole has one for each.
    assert_eq!(instances.sum::<u32>(), 8);
}

#[test]
fn versions_of_one_track_meet() {
    let front = provider("a:b/front@1.0.0", &["a:b/cache@1.0.0"]);
    let cache = provider("a:b/cache@1.2.0", &[]);
    check(
        &[("front", &front, &[("a:b/cache", "cache")]), ("cache", &cache, &[])],
        &[],
        &["a:b/front@1.0.0"],
    );
    let cache = provider("a:b/cache@2.0.0", &[]);
    check_error(
        &[("front", &front, &[("a:b/cache", "cache")]), ("cache", &cache, &[])],
        "front.wasm: it imports `a:b/cache@1.0.0`, and cache.wasm does not export that (it exports a:b/cache@2.0.0)",
    );
}

#[test]
fn what_cannot_be_joined_names_the_file() {
    let front = provider("a:b/front@1.0.0", &["a:b/cache@1.0.0"]);
    let link: &[(&str, &str)] = &[("a:b/cache", "cache")];
    check_error(
        &[("front", &front, link)],
        "front.wasm: its link `a:b/cache` leads to `cache`, which the app does not have",
    );
    let other = provider("a:b/other@1.0.0", &[]);
    check_error(
        &[("front", &front, link), ("cache", &other, &[])],
        "and cache.wasm does not export that",
    );
    check_error(
        &[
            ("front", &front, &[("a:b/cache@2.0.0", "cache")]),
            ("cache", &other, &[]),
        ],
        "front.wasm: it does not import `a:b/cache@2.0.0` (it imports a:b/cache@1.0.0)",
    );
    let odd = r#"(component (import "g" (func $g (param "a" string)))
        (instance $i (export "f" (func $g))) (export "a:b/cache@1.0.0" (instance $i)))"#;
    check_error(
        &[("front", &front, link), ("cache", odd, &[])],
        "front.wasm: its import `a:b/cache@1.0.0` and what cache.wasm exports are of different types",
    );
    let circle = provider("a:b/cache@1.0.0", &["a:b/front@1.0.0"]);
    check_error(
        &[("front", &front, link), ("cache", &circle, &[("a:b/front", "front")])],
        "cache.wasm: its link `a:b/front` leads back",
    );
    check_error(
        &[("front", &front, link), ("cache", "(module)", &[])],
        "cache.wasm: this is a core WebAssembly module",
    );
    let (app, mut files) = app(&[("front", &front, link), ("cache", &other, &[])]);
    files.remove(Path::new("cache.wasm"));
    assert!(
        join(&app, &files)
            .unwrap_err()
            .to_string()
            .starts_with("cache.wasm: cannot be read")
    );
}

/// The one who joins has not got to functions of an exact type, and panics.
#[test]
fn a_panic_is_an_error_like_others() {
    let front = provider("a:b/front@1.0.0", &["a:b/cache@1.0.0"]);
    let odd = r#"(component
        (import "m" (core module (type $t (func)) (import "a" "b" (func (exact (type $t))))))
        (instance $i) (export "a:b/cache@1.0.0" (instance $i)))"#;
    check_error(
        &[("front", &front, &[("a:b/cache", "cache")]), ("cache", odd, &[])],
        "front.wasm: it cannot be joined: not yet implemented",
    );
}
