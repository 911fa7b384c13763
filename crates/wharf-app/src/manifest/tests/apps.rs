//! The apps of a server's folder: those that are wrong, and those that stand against each other.

use super::*;

/// Reads a server whose folder of apps has `files`, and expects the names of those that are served, and of each that is
/// wrong its name and all that is said of it.
#[track_caller]
fn check_server(inline: &str, files: &[(&str, &str)], served: &[&str], broken: &[(&str, &[&str])]) {
    let server = format!("[server]\napps = 'apps'\n{inline}");
    let paths: Vec<String> = files.iter().map(|(file, _)| format!("apps/{file}")).collect();
    let paths = paths.iter().map(String::as_str);
    let contents = files.iter().map(|(_, content)| content.as_bytes());
    let mut files: Vec<(&str, &[u8])> = paths.zip(contents).collect();
    files.push((FILE_NAME, server.as_bytes()));
    let tree = Tree::new(&files);
    let configuration = configuration(&tree);
    let names: Vec<&str> = configuration.apps.iter().map(|app| app.name.as_str()).collect();
    assert_eq!(names, served);
    let names: Vec<String> = configuration
        .broken
        .iter()
        .map(|one| tree.relative(&one.name))
        .collect();
    assert_eq!(names, broken.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    for (found, (name, expected)) in configuration.broken.iter().zip(broken) {
        let said: Vec<String> = found.problems.problems.iter().map(|one| tree.relative(one)).collect();
        assert_eq!(said.len(), expected.len(), "{name}: {}", said.join("\n"));
        for (said, expected) in said.iter().zip(*expected) {
            assert!(said.contains(expected), "{name}: {said}\ndoes not hold\n{expected}");
        }
    }
}

#[test]
fn an_app_that_is_wrong_leaves_the_others() {
    check_server(
        "[apps.inline]\ncomponent = 'a.wasm'",
        &[
            ("c.toml", "componnt = 'c.wasm'"),
            ("d.toml", "component = 'c.wasm'\n[server]\n"),
            ("h.toml", "component = 'h.wasm'\n[[routes]]\nhost = 'h.test'"),
            ("i.toml", "name = 'till'\nmemory = "),
            ("j.toml", "name = 'till'\ncomponent = "),
            ("k.toml", "name = 'inline'\ncomponent = "),
        ],
        &["inline", "h"],
        &[
            (
                "c",
                &[
                    "apps/c.toml: this is the manifest of neither",
                    "unknown key `componnt`; did you mean `component`?",
                ],
            ),
            (
                "d",
                &["apps/d.toml:2:2: an app of a server's folder has no section `[server]`"],
            ),
            ("till", &["apps/i.toml:2:10: this is not TOML"]),
            ("apps/j.toml", &["apps/j.toml:2:13: this is not TOML"]),
            ("apps/k.toml", &["apps/k.toml:2:13: this is not TOML"]),
        ],
    );
    let tree = Tree::new(&[(FILE_NAME, b"[server]\napps = 'apps'"), ("apps/f.toml", b"\xff")]);
    let broken = &configuration(&tree).broken[0];
    assert_eq!(broken.name, "f");
    let said = tree.relative(&broken.problems);
    assert!(said.contains("apps/f.toml:1:1: this is not UTF-8"), "{said}");
}

#[test]
fn neither_of_two_apps_of_a_folder_wins_by_its_file() {
    let app = |routes: &str| format!("component = 'app.wasm'\n{routes}");
    let (a, both) = (
        app("[[routes]]\nhost = 'a.test'"),
        app("[[routes]]\nhost = 'b.test'\n[[routes]]\nhost = 'A.test'"),
    );
    check_server(
        "",
        &[
            ("a.toml", &a),
            ("b.toml", &both),
            ("c.toml", &app("[[routes]]\nhost = 'c.test'")),
        ],
        &["c"],
        &[
            (
                "a",
                &[
                    "apps/a.toml:2:1: this route answers the same requests as one of the app `b` at apps/b.toml:4:1: a.test/",
                ],
            ),
            (
                "b",
                &[
                    "apps/b.toml:4:1: this route answers the same requests as one of the app `a` at apps/a.toml:2:1: a.test/",
                ],
            ),
        ],
    );
    check_server(
        "",
        &[("x.toml", &a), ("y.toml", &a), ("z.toml", &a)],
        &[],
        &[
            ("x", &["app `y` at apps/y.toml:2:1", "app `z` at apps/z.toml:2:1"]),
            ("y", &["app `x` at apps/x.toml:2:1", "app `z` at apps/z.toml:2:1"]),
            ("z", &["app `x` at apps/x.toml:2:1", "app `y` at apps/y.toml:2:1"]),
        ],
    );
    let named = |host: &str| format!("name = 'n'\ncomponent = 'app.wasm'\n[[routes]]\nhost = '{host}'");
    check_server(
        "",
        &[("x.toml", &named("x.test")), ("y.toml", &named("y.test"))],
        &[],
        &[
            ("n", &["apps/x.toml:1:8: there is another app `n` at apps/y.toml:1:8"]),
            (
                "apps/y.toml",
                &["apps/y.toml:1:8: there is another app `n` at apps/x.toml:1:8"],
            ),
        ],
    );
}

#[test]
fn an_app_of_the_servers_own_manifest_goes_before_those_of_its_folder() {
    check_server(
        "[apps.inline]\ncomponent = 'a.wasm'",
        &[
            ("g.toml", "component = 'g.wasm'"),
            ("inline.toml", "component = 'g.wasm'\n[[routes]]\nhost = 'i.test'"),
        ],
        &["inline"],
        &[
            (
                "g",
                &["apps/g.toml: this route answers the same requests as one of the app `inline` at wharf.toml:3:7: /"],
            ),
            (
                "apps/inline.toml",
                &["apps/inline.toml: there is another app `inline` at wharf.toml:3:7"],
            ),
        ],
    );
}

/// Two apps stand against each other where their routes overlap, and nowhere else.
#[test]
fn apps_are_told_apart_as_routes_are() {
    let routes = [
        "",
        "path = '/x'",
        "path = '/%78'",
        "path = '/x/y'",
        "host = 'a.test'",
        "host = '*.test'",
        "methods = ['GET']",
        "methods = ['HEAD']",
        "methods = ['GET', 'POST']",
        "methods = ['POST', 'PUT']",
        "host = 'a.test'\nmethods = ['DELETE']",
    ];
    let source = |route: &str| format!("component = 'a.wasm'\n[[routes]]\n{route}");
    for one in routes {
        for other in routes {
            let (first, second) = (source(one), source(other));
            let tree = Tree::new(&[
                (FILE_NAME, b"[server]\napps = 'apps'"),
                ("apps/one.toml", first.as_bytes()),
                ("apps/other.toml", second.as_bytes()),
            ]);
            let pattern = |file: &str| {
                read(&tree.path(file), &sections()).unwrap().apps[0].routes[0]
                    .pattern
                    .clone()
            };
            let expected = pattern("apps/one.toml").overlaps(&pattern("apps/other.toml"));
            let broken = configuration(&tree).broken;
            assert_eq!(broken.len(), if expected { 2 } else { 0 }, "{one} and {other}");
        }
    }
}

#[test]
fn a_crowd_of_apps_with_one_mistake_is_told_in_few_words() {
    let names: Vec<String> = (0..300).map(|nth| format!("apps/{nth:03}.toml")).collect();
    let mut files: Vec<(&str, &[u8])> = names
        .iter()
        .map(|name| (name.as_str(), &b"component = 'a'"[..]))
        .collect();
    files.push((FILE_NAME, b"[server]\napps = 'apps'"));
    let broken = configuration(&Tree::new(&files)).broken;
    assert_eq!(broken.len(), 300);
    assert!(broken.iter().all(|broken| broken.problems.problems.len() == 10));
}

#[test]
fn an_app_that_is_wrong_is_called_by_a_name() {
    #[track_caller]
    fn check(file: &str, manifest: &str, expected: &str) {
        let file = format!("apps/{file}");
        let tree = Tree::new(&[(FILE_NAME, b"[server]\napps = 'apps'"), (&file, manifest.as_bytes())]);
        let broken = configuration(&tree).broken;
        assert_eq!(broken.len(), 1);
        assert_eq!(broken[0].name, expected);
        let said = &broken[0].problems.problems[0].message;
        assert!(!said.contains(['\n', '\r', '\u{1b}']), "{said}");
    }
    let metric = r#"name = "a\"} 5\nwharf_connections 999""#;
    check(
        "a.toml",
        &format!("{metric}\ncomponent = 'a'"),
        "a___5_wharf_connections_999",
    );
    check("a.toml", metric, "a___5_wharf_connections_999");
    check("b c.toml", "component = 'a'", "b_c");
    check("bücher/wharf.toml", "component = 'a'", "b_cher");
    check("a.toml", "name = ''\ncomponent = 'a'", "_");
    check("a.toml", "name = '.a'\ncomponent = 'a'", "_a");
    check("a.toml", "name = \"\\u001b[2J\"\ncomponent = 'a'", "__2J");
    check(
        "a.toml",
        &format!("name = '{}'\ncomponent = 'a'", "n".repeat(65)),
        &"n".repeat(64),
    );
}

#[test]
fn files_whose_names_no_app_may_have_are_told_apart() {
    check_server(
        "",
        &[
            ("a b.toml", "name = 'n'\nmemory = "),
            ("a!b.toml", "name = 'n'\nmemory = "),
            ("a_b.toml", "name = 'n'\nmemory = "),
        ],
        &[],
        &[
            ("n", &["apps/a b.toml:2:10"]),
            ("apps/a_b.toml", &["apps/a!b.toml:2:10"]),
            ("apps/a_b.toml_", &["apps/a_b.toml:2:10"]),
        ],
    );
}
