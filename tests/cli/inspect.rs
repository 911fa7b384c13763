//! `wharf inspect`: what is said of a file, of what is no component, and of two files.

use std::path::Path;

use serde_json::Value;
use wharf_tests::{Finished, finish, guest, wharf};

use crate::components::{binary, command03, file};

fn inspect(words: &[&str], files: &[&Path]) -> Finished {
    finish(wharf().arg("inspect").args(words).args(files), "")
}

/// All of `parts` are said of the file, in this order.
#[track_caller]
fn check(file: &Path, parts: &[&str]) {
    let finished = inspect(&[], &[file]);
    assert_eq!((finished.code(), &*finished.stderr), (Some(0), ""), "{finished:?}");
    let mut rest = &*finished.stdout;
    for part in parts {
        let at = rest.find(part);
        let at = at.unwrap_or_else(|| panic!("{part:?} is not said, or too early:\n{}", finished.stdout));
        rest = &rest[at + part.len()..];
    }
}

#[test]
fn a_component_is_described_for_people() {
    check(
        &guest("http-outgoing"),
        &[
            "http-outgoing.wasm: an HTTP service (wasi:http/service@0.3)",
            "WASI 0.2.6 and 0.3.2",
            "written in Rust",
            "made with rustc",
            "Needs",
            "wasi:http/client@0.3.2",
            "--allow-outbound PATTERN, or [http-client] in a manifest",
            "wasi:cli/environment@0.2.6",
            "--env NAME=VALUE, or [environment] in a manifest",
            "Offers",
            "wasi:http/handler@0.3.2\n    handle: async func(request: request) -> result<response, error-code>",
            "On plain Wasmtime 48\n  runs: wasmtime serve -S cli ",
            "Size",
            "module `http_outgoing",
            "code, by whose it is",
            "core, ",
        ],
    );
    check(
        &guest("sql"),
        &[
            "wharf:sql/database@0.1.0",
            "[sql] in a manifest",
            "does not run with `wasmtime serve`:\n    wharf:sql/database@0.1.0: Wharf's own",
        ],
    );
    check(
        &guest("http02-hello"),
        &["an HTTP service (wasi:http/proxy@0.2)", "wasmtime serve "],
    );
    check(
        &guest("cli-exit"),
        &["a command (wasi:cli/command@0.3)", "runs: wasmtime run "],
    );
    check(
        &guest("http-middleware-inner"),
        &[
            "an HTTP middleware",
            "the service that it stands before",
            "does not run with `wasmtime serve`",
        ],
    );
}

/// Whatever the toolchain: the interfaces of each are told, and its code is valid.
#[test]
fn every_guest_is_described_whole() {
    let folder = guest("http-hello");
    let folder = folder.parent().expect("a guest is in a folder");
    let files = std::fs::read_dir(folder).expect("the folder can be read");
    let files = files.map(|entry| entry.expect("it is there").path());
    let files: Vec<_> = files
        .filter(|file| file.extension().is_some_and(|extension| extension == "wasm"))
        .collect();
    assert!(files.len() > 50, "{} guests", files.len());
    for file in files {
        let described = json(&inspect(&["--json"], &[&file]), 0);
        for absent in ["untold", "invalid"] {
            assert_eq!(described[absent], Value::Null, "{}", file.display());
        }
    }
}

#[track_caller]
fn json(finished: &Finished, code: i32) -> Value {
    assert_eq!(finished.code(), Some(code), "{finished:?}");
    serde_json::from_str(&finished.stdout).expect("it is JSON")
}

#[test]
fn json_has_the_documented_shape() {
    let described = json(&inspect(&["--json"], &[&guest("sql")]), 0);
    assert_eq!(described["format"], 1);
    assert_eq!(described["kind"], "component");
    let import = |name: &str| {
        let imports = described["imports"].as_array().expect("a list");
        imports
            .iter()
            .find(|import| import["name"] == name)
            .expect("it is imported")
    };
    assert_eq!(import("wharf:sql/database@0.1.0")["from"]["by"], "section");
    assert_eq!(import("wharf:sql/database@0.1.0")["from"]["section"], "sql");
    assert_eq!(import("wasi:http/types@0.3.2")["from"]["by"], "always");
    assert_eq!(
        import("wasi:cli/environment@0.2.6")["from"]["flags"],
        "--env NAME=VALUE"
    );
    let handle = &described["exports"][0]["items"];
    let handle = handle
        .as_array()
        .expect("a list")
        .iter()
        .find(|item| item["name"] == "handle");
    let handle = handle.expect("it is exported");
    assert_eq!(
        handle["type"],
        "async func(request: request) -> result<response, error-code>"
    );
    assert_eq!(handle["function"], true);
    assert_eq!(described["wasmtime"]["serve"]["runs"], false);
    assert_eq!(
        described["wasmtime"]["serve"]["in-the-way"][0]["import"],
        "wharf:sql/database@0.1.0"
    );
    assert_eq!(described["part"]["parts"][0]["kind"], "module");
    // Every field stands in the page about it.
    let page = include_str!("../../docs/reference/inspect.md");
    for field in described.as_object().expect("an object").keys() {
        assert!(page.contains(&format!("| `{field}` |")), "{field} is not documented");
    }
}

#[test]
fn a_world_is_printed_as_wit() {
    let finished = inspect(&["--wit"], &[&guest("sql")]);
    assert_eq!(finished.code(), Some(0), "{finished:?}");
    for part in [
        "import wharf:sql/database@0.1.0;",
        "export wasi:http/handler@0.3.2;",
        "package wharf:sql@0.1.0 {",
    ] {
        assert!(finished.stdout.contains(part), "{part}:\n{}", finished.stdout);
    }
}

#[test]
fn what_is_no_component_is_described_as_far_as_it_goes() {
    let (_scratch, module) = file(
        "plain.wasm",
        binary("(module (import \"env\" \"f\" (func)) (func (export \"run\")))"),
    );
    check(
        &module,
        &[
            "a core module",
            "env",
            "nothing: ",
            "help: build for wasm32-wasip2",
            "Offers\n  run",
        ],
    );
}

#[test]
fn damage_is_said_with_its_place() {
    let whole = command03("i32.const 0");
    let (_scratch, cut) = file("cut.wasm", &whole[..whole.len() - 3]);
    let finished = inspect(&[], &[&cut]);
    assert_eq!(finished.code(), Some(2), "{finished:?}");
    let place = format!(
        "cut.wasm: the component is cut off: the file ends at byte {}",
        whole.len() - 3
    );
    assert!(finished.stderr.contains(&place), "{}", finished.stderr);

    let mut broken = whole;
    let body = broken
        .windows(3)
        .position(|bytes| bytes == [0x41, 0, 0x0b])
        .expect("i32.const 0, end");
    broken[body] = 0xff;
    let (_scratch, broken) = file("broken.wasm", broken);
    let finished = inspect(&[], &[&broken]);
    assert_eq!(finished.code(), Some(1), "{finished:?}");
    assert!(
        finished.stdout.contains(&format!("not valid, at byte {body}: ")),
        "{}",
        finished.stdout
    );

    for (contents, part) in [
        ("", "the file is empty"),
        ("package a:b;", "WIT"),
        ("\x7fELF...", "ELF"),
    ] {
        let (_scratch, odd) = file("odd.wasm", contents);
        let finished = inspect(&[], &[&odd]);
        assert_eq!((finished.code(), &*finished.stdout), (Some(2), ""), "{finished:?}");
        assert!(
            finished.stderr.contains("odd.wasm") && finished.stderr.contains(part),
            "{}",
            finished.stderr
        );
    }
}

/// A component with these imports; its export is a function or nothing.
fn component(imports: &[&str], export: &str) -> Vec<u8> {
    let imports: String = imports
        .iter()
        .map(|name| format!("(import {name:?} (instance (export \"f\" (func))))"))
        .collect();
    binary(&format!(
        "(component {imports}
            (core module $m (func (export \"f\") (param i32)) (func (export \"g\")))
            (core instance $i (instantiate $m))
            (func $f (param \"a\" u32) (canon lift (core func $i \"f\")))
            (func $g (canon lift (core func $i \"g\")))
            {export})"
    ))
}

#[test]
fn two_files_are_compared_for_those_who_use_them() {
    const F: &str = "(export \"f\" (func $f))";
    const OTHER: &str = "(export \"f\" (func $g))";
    const BOTH: &str = "(export \"f\" (func $f)) (export \"g\" (func $g))";
    let old = component(&["a:b/c@1.0.0"], F);
    for (new, code, parts) in [
        (component(&["a:b/c@1.0.0"], F), 0, &["the same imports and exports"][..]),
        (
            component(&["a:b/c@1.0.0"], BOTH),
            0,
            &["can use the second", "export g is new"],
        ),
        (component(&[], F), 0, &["import a:b/c@1.0.0 is gone"]),
        (component(&["a:b/c@1.0.0"], ""), 1, &["break", "export f is gone"]),
        (
            component(&["a:b/c@1.0.0", "a:b/d@1.0.0"], F),
            1,
            &["Breaks\n  import a:b/d@1.0.0 is new"],
        ),
        (
            component(&["a:b/c@1.0.0", "wasi:cli/exit@0.3.0"], F),
            0,
            &[
                "can use the second",
                "Needs, of what every app has\n  import wasi:cli/exit@0.3.0 is new",
            ],
        ),
        (
            component(&["a:b/c@2.0.0"], F),
            1,
            &["import a:b/c@2.0.0 is new", "import a:b/c@1.0.0 is gone"],
        ),
        (
            component(&["a:b/c@1.0.0"], OTHER),
            1,
            &["function f was `func(a: u32)`, is `func()`"],
        ),
    ] {
        let ((_one, old), (_two, new)) = (file("old.wasm", &old), file("new.wasm", new));
        let finished = inspect(&[], &[&old, &new]);
        assert_eq!(finished.code(), Some(code), "{finished:?}");
        for part in parts {
            assert!(finished.stdout.contains(part), "{part}:\n{}", finished.stdout);
        }
        let changes = json(&inspect(&["--json"], &[&old, &new]), code);
        assert_eq!(changes["breaks"], code == 1);
    }
}
