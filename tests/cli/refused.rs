//! What cannot be run or served, and what is said about it: what it is, where, and what to do.

use wharf_tests::{Finished, Scratch, finish, guest, wharf};

use crate::components::{binary, command02, command03, file, run};

/// The first line names the file, and `parts` are said. Nothing stands on standard output.
#[track_caller]
fn check(finished: &Finished, code: i32, file: &str, parts: &[&str]) {
    assert_eq!(finished.code(), Some(code), "{finished:?}");
    assert_eq!(finished.stdout, "");
    let first = finished.stderr.lines().next().unwrap_or_default();
    assert!(
        first.starts_with("error: ") && first.contains(file),
        "{file} is not named: {}",
        finished.stderr
    );
    for part in parts {
        assert!(
            finished.stderr.contains(part),
            "{part:?} is not said: {}",
            finished.stderr
        );
    }
}

/// `run` and `serve` refuse a file with these contents alike.
#[track_caller]
fn check_contents(contents: impl AsRef<[u8]>, parts: &[&str]) {
    let (_scratch, file) = file("odd.wasm", contents);
    check(&finish(wharf().arg("run").arg(&file), ""), 125, "odd.wasm", parts);
    check(
        &finish(wharf().args(["serve", "--addr", "127.0.0.1:0"]).arg(&file), ""),
        1,
        "odd.wasm",
        parts,
    );
}

#[test]
fn a_file_that_is_no_component_is_named_for_what_it_is() {
    check_contents("", &["the file is empty"]);
    check_contents(
        binary("(module)"),
        &["core WebAssembly module", "wasm32-wasip2", "wasm-tools component new"],
    );
    check_contents("(component)", &["WebAssembly text", "wasm-tools parse"]);
    check_contents("package a:b;", &["WIT"]);
    check_contents("#!/bin/sh", &["begins with 23 21 2f 62"]);
    check_contents(b"\x7fELF\x02\x01", &["an ELF file"]);
    check_contents(b"\0asm\x0e\0\x01\0", &["binary version 14", "use a newer Wharf"]);
}

#[test]
fn a_file_that_is_cut_off_is_said_to_be_and_where() {
    let whole = command03("i32.const 0");
    check_contents(
        &whole[..whole.len() - 3],
        &[&format!("ends at byte {}", whole.len() - 3), "cut off"],
    );
    let whole = std::fs::read(guest("http-hello")).expect("it was just built");
    check_contents(&whole[..whole.len() / 2], &["cut off"]);
}

#[test]
fn damage_inside_is_found_before_anything_runs() {
    let mut component = command03("i32.const 0");
    let body = component
        .windows(3)
        .position(|bytes| bytes == [0x41, 0, 0x0b])
        .expect("i32.const 0, end");
    component[body] = 0xff;
    check_contents(component, &["cannot be compiled"]);
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_the_reason() {
    let scratch = Scratch::new();
    for command in ["run", "serve"] {
        let code = if command == "run" { 125 } else { 1 };
        let finished = finish(wharf().arg(command).arg(scratch.join("none.wasm")), "");
        check(&finished, code, "none.wasm", &["cannot read", "No such file"]);
    }
    // The folder of a manifest.
    let finished = finish(wharf().arg("serve").arg(scratch.path()), "");
    check(
        &finished,
        1,
        "wharf.toml",
        &["cannot be read", "No such file", "help: name the folder of a project"],
    );
    // A folder where a component is wanted.
    scratch.write("tool.wasm", "");
    for (command, code) in [("run", 125), ("call", 125), ("inspect", 2), ("compile", 1)] {
        let finished = finish(wharf().arg(command).arg(scratch.path()), "");
        check(
            &finished,
            code,
            "is a folder",
            &["name the component in it, such as", "tool.wasm"],
        );
    }
}

#[test]
fn a_component_of_another_world_is_told_where_it_belongs() {
    let (_scratch, tool) = file("tool.wasm", command03("i32.const 0"));
    let finished = finish(wharf().args(["serve", "--addr", "127.0.0.1:0"]).arg(&tool), "");
    check(&finished, 1, "tool.wasm", &["wasi:http/handler", "wharf run"]);
    let (_scratch, library) = file(
        "library.wasm",
        binary("(component (component $c) (instance $i (instantiate $c)) (export \"a:b/c\" (instance $i)))"),
    );
    let finished = finish(wharf().args(["serve", "--addr", "127.0.0.1:0"]).arg(&library), "");
    check(&finished, 1, "library.wasm", &["wasi:http/handler", "wharf call"]);
    let finished = finish(wharf().arg("run").arg(guest("http-hello")), "");
    check(&finished, 125, "http-hello.wasm", &["wasi:cli/run", "wharf serve"]);
    check(&run(&[], &binary("(component)")), 125, "tool.wasm", &["wasi:cli/run"]);
}

#[test]
fn a_middleware_alone_is_told_to_stand_before_a_service() {
    let finished = finish(
        wharf()
            .args(["serve", "--addr", "127.0.0.1:0"])
            .arg(guest("http-middleware-inner")),
        "",
    );
    check(
        &finished,
        1,
        "http-middleware-inner.wasm",
        &["middleware", "service", "--middleware"],
    );
}

#[test]
fn imports_that_nothing_meets_are_listed_all_at_once() {
    let component = binary(
        r#"(component
            (import "wasi:http/client@0.3.0-rc-2026-03-15" (instance (export "f" (func))))
            (import "wasi:cli/environment@0.3.0" (instance))
            (import "acme:cache/store@1.2.3" (instance (export "f" (func))))
            (import "wasi:htpt/types@0.3.0" (instance (export "f" (func))))
            (import "wasi:cli/environment@0.4.0" (instance (export "f" (func))))
            (core module $code (func (export "run") (result i32) i32.const 0))
            (core instance $code (instantiate $code))
            (type $run (func async (result (result))))
            (func $run (type $run) (canon lift (core func $code "run")))
            (instance $exported (export "run" (func $run)))
            (export "wasi:cli/run@0.3.0" (instance $exported)))"#,
    );
    let parts = [
        "4 imports that nothing meets",
        "did you mean wasi:http/types@0.3.2?",
        "  wasi:http/client@0.3.0-rc-2026-03-15\n    Wharf has it as wasi:http/client@0.3.2\n    granted by --allow-outbound",
        "  acme:cache/store@1.2.3\n    Wharf has no interface of this name\n    imported for f\n",
        "  wasi:cli/environment@0.4.0\n    Wharf has it as wasi:cli/environment@0.3.2 and as wasi:cli/environment@0.2.12",
    ];
    check(&run(&[], &component), 125, "tool.wasm", &parts);
}

/// By whoever looks at the manifest, and by whoever serves it.
#[test]
fn a_link_that_is_missing_is_proposed() {
    let scratch = Scratch::new();
    for (name, from) in [
        ("caller", "linked-caller"),
        ("store", "linked-store"),
        ("hello", "http-hello"),
    ] {
        std::fs::copy(guest(from), scratch.join(name).with_extension("wasm")).expect("it was just built");
    }
    let manifest = "routes = [{ path = '/', component = 'caller' }]\n\
                    [components.caller]\nfile = 'caller.wasm'\n\
                    [components.hello]\nfile = 'hello.wasm'\n\
                    [components.store]\nfile = 'store.wasm'\ninstance = 'own'\n";
    scratch.write("wharf.toml", manifest);
    for words in [&["check"][..], &["serve", "--addr", "127.0.0.1:0"]] {
        let finished = finish(wharf().args(words).arg(scratch.path()), "");
        assert_eq!(finished.code(), Some(1), "{finished:?}");
        let said = [finished.stdout, finished.stderr].concat();
        let help = "help: `store` exports it: `links = { \"acme:store/store@0.1.0\" = \"store\" }`";
        assert!(said.contains(help), "{words:?}: {said}");
    }
}

/// A service that imports a function with a result of the type `$items` of these, and a component that exports it.
fn caller_and_linked(types: &str) -> (Vec<u8>, Vec<u8>) {
    let caller = format!(
        r#"(component
            (import "wasi:http/types@0.2.6" (instance $types
                (export "incoming-request" (type (sub resource)))
                (export "response-outparam" (type (sub resource)))))
            (alias export $types "incoming-request" (type $request))
            (alias export $types "response-outparam" (type $answer))
            (import "acme:big/a@0.1.0" (instance {types} (export "items" (func (result $items)))))
            (core module $code (func (export "handle") (param i32 i32)))
            (core instance $code (instantiate $code))
            (func $handle (param "request" (own $request)) (param "response-out" (own $answer))
                (canon lift (core func $code "handle")))
            (instance $exported (export "handle" (func $handle)))
            (export "wasi:http/incoming-handler@0.2.6" (instance $exported)))"#
    );
    let linked = format!(
        r#"(component
            (core module $code (func (export "items") (result i32) unreachable))
            (core instance $code (instantiate $code))
            {types}
            (type $function (func (result $items)))
            (func $function (type $function) (canon lift (core func $code "items")))
            (instance $exported (export "items" (func $function)))
            (export "acme:big/a@0.1.0" (instance $exported)))"#
    );
    (binary(&caller), binary(&linked))
}

/// What does not cross to an instance of its own is said by whoever looks at the manifest as by whoever serves it: at the link, with
/// what to do.
#[test]
fn a_link_to_an_instance_of_its_own_that_cannot_be() {
    for (types, expected, instead) in [
        (
            "(type $items error-context)",
            "`items` of acme:big/a@0.1.0 cannot be called in `big`, which has an instance of its own: \
             the result: an error context does not cross",
            "a `string`",
        ),
        (
            "(type $row (tuple u8 error-context)) (type $rows (stream $row)) (type $items (future $rows))",
            "the result: an error context does not cross",
            "a `string`",
        ),
    ] {
        let scratch = Scratch::new();
        let (caller, linked) = caller_and_linked(types);
        scratch.write("caller.wasm", caller);
        scratch.write("big.wasm", linked);
        let manifest = |instance: &str| {
            format!(
                "routes = [{{ path = '/', component = 'caller' }}]\n[components.caller]\nfile = 'caller.wasm'\n\
                 links = {{ 'acme:big/a' = 'big' }}\n[components.big]\nfile = 'big.wasm'\ninstance = '{instance}'\n"
            )
        };
        let file = scratch.write("wharf.toml", manifest("own"));
        for words in [&["check"][..], &["serve", "--addr", "127.0.0.1:0"]] {
            let finished = finish(wharf().args(words).arg(&file), "");
            assert_eq!(finished.code(), Some(1), "{finished:?}");
            let said = [finished.stdout, finished.stderr].concat();
            let help = "help: join the two, without `instance = \"own\"` in [components.big]";
            for part in ["wharf.toml:4:11: ", expected, help, instead] {
                assert!(said.contains(part), "{words:?}: {part}: {said}");
            }
            assert!(!said.contains("capability"), "{words:?}: {said}");
        }
        // As it says.
        scratch.write("wharf.toml", manifest("joined"));
        let joined = finish(wharf().arg("check").arg(&file), "");
        assert_eq!(joined.code(), Some(0), "{joined:?}");
    }
}

#[test]
fn a_component_that_begins_with_more_memory_than_it_may_have() {
    let finished = finish(
        wharf()
            .args(["serve", "--addr", "127.0.0.1:0", "--max-memory", "1MiB"])
            .arg(guest("http-hello")),
        "",
    );
    check(
        &finished,
        1,
        "http-hello.wasm",
        &["begins with 1088 KiB of memory", "the 1024 KiB"],
    );
}

#[test]
fn a_folder_that_cannot_be_granted_is_named() {
    let scratch = Scratch::new();
    let absent = scratch.join("absent");
    for flag in ["--dir", "--dir-ro"] {
        let grant = format!("{}::/data", absent.display());
        let finished = run(&[flag, &grant], &command03("i32.const 0"));
        check(&finished, 125, "absent", &["/data", "No such file"]);
    }
    let plain = scratch.write("plain", "");
    let finished = run(&["--dir", &plain.display().to_string()], &command02("i32.const 0"));
    check(&finished, 125, "plain", &["not a folder"]);
}
