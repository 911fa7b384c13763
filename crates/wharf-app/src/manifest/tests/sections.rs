//! Sections of capabilities: taken from wherever an app may stand, checked, and named where they are wrong.

use super::*;
use crate::section::Written;

const APP: &str = "component = 'a.wasm'\n";

/// What the app's section says, with the folder it is in.
fn greeting(app: &App) -> (&Written, &str) {
    let written = &app.sections["greeting"];
    (written, written.value["to"].as_str().unwrap())
}

#[test]
fn a_section_is_the_apps_that_it_stands_in() {
    let alone = Tree::of(&format!("{APP}[greeting]\nto = 'you'\nfrom = ['me', 'her']"));
    let configuration = configuration(&alone);
    let (written, to) = greeting(&configuration.apps[0]);
    assert_eq!((to, &written.folder), ("you", &alone.0));
    assert_eq!(written.value["from"], serde_json::json!(["me", "her"]));
    let place = configuration
        .place("shop", &Subject::Section("greeting".into()))
        .unwrap();
    assert_eq!(alone.relative(place), "wharf.toml:2:2");

    let server = Tree::new(&[
        (
            FILE_NAME,
            b"[server]\napps = 'apps'\n[apps.one]\ncomponent = 'a'\n[apps.one.greeting]\nto = 'one'\n\
              [apps.two]\ncomponent = 'a'\nroutes = [{ path = '/two' }]\n",
        ),
        (
            "apps/three.toml",
            b"component = 'a'\nroutes = [{ path = '/three' }]\ngreeting = { to = 'three' }",
        ),
    ]);
    let apps = super::configuration(&server).apps;
    let named = |name: &str| apps.iter().find(|app| app.name == name).unwrap();
    assert_eq!(greeting(named("one")).1, "one");
    assert!(named("two").sections.is_empty());
    assert_eq!(greeting(named("three")).1, "three");
    assert_eq!(greeting(named("three")).0.folder, server.path("apps"));
}

#[test]
fn what_is_wrong_with_a_section_is_said_where_it_stands() {
    let section = |lines: &str| format!("{APP}[greeting]\n{lines}");
    check_wrong(
        &section("too = 'you'"),
        &["2:1: `to` is missing", "3:1: unknown key `too`; did you mean `to`?"],
    );
    check_wrong(&section("to = 1"), &["3:6: `to` is a whole number here"]);
    check_wrong(&section("to = ''"), &["3:6: `to`: nobody is greeted"]);
    check_wrong(
        &section("to = ''\nfrom = ['a', '', 'b', '']"),
        &["3:6: `to`: nobody", "4:14: `from`: nobody", "4:23: `from`: nobody"],
    );
    check_wrong("component = 'a'\ngreting = {}", &["did you mean `greeting`?"]);
    check_wrong(
        "[server]\n[greeting]\nto = 'you'",
        &["`greeting` belongs to an app: write it under `[apps.NAME]`"],
    );
    check_wrong(
        "[server]\n[apps.one]\ncomponent = 'a'\n[apps.one.greeting]\nto = ''",
        &["5:6: `to`: nobody is greeted\n"],
    );
}

#[test]
fn a_section_that_nobody_knows_is_an_unknown_key() {
    let tree = Tree::of(&format!("{APP}[greeting]\nto = 'you'"));
    let problems = read(&tree.0, &Sections::default()).unwrap_err();
    assert!(problems.to_string().contains("unknown key `greeting`"), "{problems}");
}

#[test]
fn sections_are_in_the_schema_and_in_the_reference() {
    let schema: serde_json::Value = serde_json::from_str(&schema(&sections())).unwrap();
    let property = &schema["$defs"]["AppManifest"]["properties"]["greeting"];
    assert_eq!(property["description"], "Who says good day.");
    let page = reference(&sections());
    let section = page.split("### `[greeting]`").nth(1).unwrap();
    assert!(
        section.starts_with("\n\nWho says good day.\n\n- `to` (string, required): To whom.\n"),
        "{section}"
    );
    assert!(!reference(&Sections::default()).contains("greeting"));
}
