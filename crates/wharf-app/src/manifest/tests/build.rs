//! Sections `[build]`.

use super::*;
use crate::app::{Build, Language, Recipe};

/// What the manifest says of how its one component is made.
#[track_caller]
fn build_of(tree: &Tree) -> Option<Build> {
    configuration(tree).apps[0].components[0].build.clone()
}

#[test]
fn a_component_that_nobody_builds_is_there() {
    assert_eq!(build_of(&Tree::of("component = 'a.wasm'")), None);
}

#[test]
fn a_language_is_enough() {
    for (name, language) in [
        ("rust", Language::Rust),
        ("go", Language::Go),
        ("python", Language::Python),
        ("javascript", Language::JavaScript),
        ("c", Language::C),
    ] {
        let tree = Tree::of(&format!("component = 'a.wasm'\n[build]\nlanguage = '{name}'"));
        let expected = Build {
            recipe: Recipe::Language(language),
            folder: tree.0.clone(),
            wit: tree.path("wit"),
            world: None,
            entry: None,
            inputs: Vec::new(),
        };
        assert_eq!(build_of(&tree), Some(expected));
        assert_eq!(language.name(), name);
    }
}

#[test]
fn each_component_has_its_own() {
    let manifest = "
        [components.api]
        file = 'api.wasm'
        [components.api.build]
        command = ['make', 'api']
        folder = 'api'
        wit = 'shared/wit'
        world = 'acme:shop/api'
        entry = 'main'
        inputs = ['shared', './api.mk']
        [components.cache]
        file = 'cache.wasm'
        [[routes]]
        component = 'api'
        [[routes]]
        path = '/cache'
        component = 'cache'
    ";
    let tree = Tree::of(manifest);
    let configuration = configuration(&tree);
    let component = |name: &str| configuration.apps[0].component(name).unwrap();
    let expected = Build {
        recipe: Recipe::Command(vec!["make".to_owned(), "api".to_owned()]),
        folder: tree.path("api"),
        wit: tree.path("shared/wit"),
        world: Some("acme:shop/api".to_owned()),
        entry: Some("main".to_owned()),
        inputs: vec![tree.path("shared"), tree.path("api.mk")],
    };
    assert_eq!(component("api").build, Some(expected));
    assert_eq!(component("cache").build, None);
}

#[test]
fn one_way_of_building_is_said() {
    const BOTH: &str = "a component is built by either a `language` or a `command`";
    check_wrong("component = 'a.wasm'\n[build]\n", &[BOTH]);
    check_wrong(
        "component = 'a.wasm'\n[build]\nlanguage = 'go'\ncommand = ['make']",
        &[BOTH],
    );
    check_wrong("component = 'a.wasm'\n[build]\ncommand = []", &["the command is empty"]);
    check_wrong("component = 'a.wasm'\n[build]\nlanguage = 'cobol'", &["`cobol`"]);
    let nothing = "[[routes]]\npath = '/'\nfiles = 'public'\n[build]\nlanguage = 'go'";
    check_wrong(nothing, &["there is no `component` here for this to build"]);
}

#[test]
fn a_component_that_is_not_built_yet_is_told_from_one_that_is_not_there() {
    for (more, is_built) in [("", false), ("[build]\nlanguage = 'go'", true)] {
        let tree = Tree::of(&format!("component = 'a.wasm'\n{more}"));
        let problems = check(&configuration(&tree), &sections());
        let said: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(said.join("\n").contains("`wharf build` makes it"), is_built, "{said:?}");
    }
}
