//! What is said of the files that manifests name.

use super::*;

const HANDLER: &str = r#"(component (instance $i) (export "wasi:http/handler@0.3.0" (instance $i)))"#;
const LEGACY: &str = r#"(component (instance $i) (export "wasi:http/incoming-handler@0.2.0" (instance $i)))"#;
const COMMAND: &str = r#"(component (instance $i) (export "wasi:cli/run@0.3.0" (instance $i)))"#;
const MIDDLEWARE: &str = r#"(component (import "wasi:http/handler@0.3.0" (instance $h))
    (export "wasi:http/handler@0.3.0" (instance $h)))"#;
const NEEDY: &str = r#"(component (import "acme:store/cache@1.0.0" (instance (export "get" (func))))
    (instance $i) (export "wasi:http/handler@0.3.0" (instance $i)))"#;
/// It begins with 2 MiB.
const LARGE: &str = r#"(component (core module (memory 32)) (instance $i)
    (export "wasi:http/handler@0.3.0" (instance $i)))"#;
const CACHE: &str = r#"(component
    (core module $m (func (export "f")))
    (core instance $m (instantiate $m))
    (func $f (canon lift (core func $m "f")))
    (instance $i (export "get" (func $f)))
    (export "acme:store/cache@1.0.0" (instance $i)))"#;

/// Checks an app whose folder holds all components above, and expects each of `expected` in what is said.
#[track_caller]
fn check_files(manifest: &str, expected: &[&str]) {
    let components = [
        ("handler.wasm", HANDLER),
        ("legacy.wasm", LEGACY),
        ("command.wasm", COMMAND),
        ("middleware.wasm", MIDDLEWARE),
        ("needy.wasm", NEEDY),
        ("cache.wasm", CACHE),
        ("large.wasm", LARGE),
    ];
    let components = components.map(|(name, text)| (name, wat::parse_str(text).unwrap()));
    let mut files: Vec<(&str, &[u8])> = components
        .iter()
        .map(|(name, bytes)| (*name, bytes.as_slice()))
        .collect();
    files.extend([
        (FILE_NAME, manifest.as_bytes()),
        ("text.wasm", b"hello".as_slice()),
        ("public/index.html", b""),
    ]);
    let tree = Tree::new(&files);
    let problems = check(&configuration(&tree), &sections());
    let said: Vec<String> = problems.iter().map(|problem| tree.relative(problem)).collect();
    assert_eq!(said.len(), expected.len(), "{}", said.join("\n"));
    for (said, expected) in said.iter().zip(expected) {
        assert!(said.contains(expected), "{said}\ndoes not hold\n{expected}");
    }
}

#[test]
fn what_routes_lead_to_are_services() {
    check_files("component = 'handler.wasm'", &[]);
    check_files("component = 'legacy.wasm'", &[]);
    check_files("component = 'handler.wasm'\nisolation = 'shared'", &[]);
    check_files(
        "component = 'legacy.wasm'\nisolation = 'shared'",
        &["wharf.toml:1:13: a component for WASI 0.2 cannot be"],
    );
    check_files("component = 'large.wasm'\nlimits.memory = '2MiB'", &[]);
    check_files(
        "component = 'large.wasm'\nlimits.memory = '1MiB'",
        &["begins with 2048 KiB of memory, more than the 1024 KiB that it may have"],
    );
    check_files(
        "component = 'command.wasm'",
        &["wharf.toml:1:13: this exports neither wasi:http/handler@0.3 nor"],
    );
    check_files(
        "component = 'middleware.wasm'",
        &["wharf.toml:1:13: this is a middleware"],
    );
    check_files("component = 'handler.wasm'\nmiddleware = ['middleware.wasm']", &[]);
    check_files(
        "component = 'handler.wasm'\nmiddleware = ['handler.wasm']",
        &["wharf.toml:2:15: handler.wasm: middleware 1 does not import wasi:http/handler@0.3"],
    );
    check_files(
        "component = 'legacy.wasm'\nmiddleware = ['middleware.wasm']",
        &["wharf.toml:1:13: legacy.wasm: the service does not export wasi:http/handler@0.3"],
    );
}

#[test]
fn files_are_there_and_are_components() {
    check_files(
        "component = 'none.wasm'",
        &["wharf.toml:1:13: none.wasm: cannot be read: "],
    );
    check_files(
        "component = 'text.wasm'",
        &["wharf.toml:1:13: text.wasm: this is not a WebAssembly component"],
    );
    check_files(
        "component = 'handler.wasm'\nmiddleware = ['a.wasm', 'b.wasm']",
        &[
            "wharf.toml:2:15: a.wasm: cannot be read",
            "wharf.toml:2:25: b.wasm: cannot be read",
        ],
    );
}

#[test]
fn imports_are_met_by_wharf_or_by_links() {
    check_files(
        "component = 'needy.wasm'",
        &["nothing meets the import acme:store/cache@1.0.0: Wharf has no interface"],
    );
    let app = |link: &str| {
        let front = format!("[components.front]\nfile = 'needy.wasm'\nlinks = {{ {link} }}\n");
        front + "[components.cache]\nfile = 'cache.wasm'\n[[routes]]\ncomponent = 'front'"
    };
    check_files(&app("'acme:store/cache' = 'cache'"), &[]);
    check_files(&app("'acme:store/cache@1.0.0' = 'cache'"), &[]);
    check_files(
        &app(""),
        &["help: `cache` exports it: `links = { \"acme:store/cache@1.0.0\" = \"cache\" }`"],
    );
    let rivals = "[components.rival]\nfile = 'cache.wasm'\n".to_owned() + &app("");
    check_files(
        &rivals,
        &["help: `cache` and `rival` export it: `links = { \"acme:store/cache@1.0.0\" = NAME }`"],
    );
    let useless = "[components.front]\nfile = 'needy.wasm'\n[components.other]\nfile = 'handler.wasm'\n[[routes]]\ncomponent = 'front'";
    check_files(useless, &["help: add the component that exports it to the app"]);
    check_files(
        &app("'acme:store/cash' = 'cache'"),
        &["wharf.toml:3:11: needy.wasm: it does not import `acme:store/cash`"],
    );
}

#[test]
fn links_are_looked_at_where_no_route_leads() {
    let manifest = "[components.a]\nfile = 'needy.wasm'\nlinks = { 'acme:store/cash' = 'cache' }\n\
                    [components.cache]\nfile = 'cache.wasm'\n[[routes]]\nfiles = 'public'";
    check_files(
        manifest,
        &["wharf.toml:3:11: needy.wasm: it does not import `acme:store/cash`"],
    );
}

#[test]
fn folders_pages_certificates_and_secrets_are_there() {
    let manifest = "[[routes]]\nfiles = { folder = 'public', fallback = 'index.html' }\n\
                    [filesystem]\n'/a' = 'public'\n[errors]\n404 = 'public/index.html'\n\
                    [secrets]\nA = { file = 'public/index.html' }\nB = { variable = 'PATH' }";
    check_files(manifest, &[]);
    let manifest = "[[routes]]\nfiles = 'gone'\n[[routes]]\npath = '/a'\nfiles = { folder = 'public', fallback = 'gone' }\n\
                    [filesystem]\n'/a' = 'handler.wasm'\n[errors]\n404 = 'gone.html'\n\
                    [secrets]\nA = { file = 'gone' }\nB = { variable = 'WHARF_TEST_IS_NOT_SET' }";
    check_files(
        manifest,
        &[
            "wharf.toml:2:9: gone cannot be found",
            "wharf.toml:5:41: public/gone cannot be read",
            "wharf.toml:7:8: handler.wasm is not a folder",
            "wharf.toml:9:7: gone.html cannot be read",
            "wharf.toml:11:14: gone cannot be read",
            "wharf.toml:12:18: the variable `WHARF_TEST_IS_NOT_SET` is not set",
        ],
    );
}

#[test]
fn secrets_are_texts() {
    let tree = Tree::new(&[
        (
            FILE_NAME,
            b"component = 'a.wasm'\n[secrets]\nA = { file = 'bytes' }\nB = { file = 'text' }",
        ),
        ("a.wasm", &wat::parse_str(HANDLER).unwrap()),
        ("bytes", b"a\xffb"),
        ("text", "ä\n".as_bytes()),
    ]);
    let problems = check(&configuration(&tree), &sections());
    assert_eq!(problems.len(), 1, "{problems:?}");
    let said = tree.relative(&problems[0]);
    assert!(said.starts_with("wharf.toml:3:14: bytes is not UTF-8 text"), "{said}");
}

#[test]
#[cfg(unix)]
fn what_gives_bytes_without_end_is_not_read() {
    let manifest = "component = '/dev/zero'\n[[routes]]\nfiles = { folder = '/dev', fallback = 'zero' }\n\
                    [[routes]]\npath = '/a'\ncomponent = 'main'\n[errors]\n404 = '/dev/zero'\n\
                    [secrets]\nA = { file = '/dev/zero' }";
    let problems = check(&configuration(&Tree::of(manifest)), &sections());
    let refused = |problem: &Problem| problem.message.ends_with("cannot be read: it is no regular file");
    assert_eq!(problems.len(), 4, "{problems:?}");
    assert!(problems.iter().all(refused), "{problems:?}");
}

#[test]
fn an_app_from_flags_is_checked_by_its_name() {
    let app = App::of_component("shop", "/nowhere/app.wasm");
    let problems = check(&app.into(), &sections());
    assert_eq!(problems.len(), 1);
    assert!(
        problems[0]
            .to_string()
            .starts_with("shop: /nowhere/app.wasm: cannot be read"),
        "{}",
        problems[0]
    );
}
