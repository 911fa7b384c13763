//! `wharf call`: functions by hand, values that are read and printed, and how a call ends.

use std::path::Path;

use wharf_tests::{Finished, finish, guest, wharf};

use crate::components::{binary, command03, file};

fn call(file: &Path, words: &[&str]) -> Finished {
    finish(wharf().arg("call").arg(file).args(words), "")
}

/// A component whose functions give back what they are given, each of another type; and some that end otherwise.
fn component() -> Vec<u8> {
    binary(
        r#"(component
            (core module $m
                (memory (export "memory") 1)
                (global $next (mut i32) (i32.const 1024))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                    (global.set $next (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -8)))
                    (global.get $next)
                    (global.set $next (i32.add (global.get $next) (local.get 3))))
                (func (export "one") (param i32) (result i32) (local.get 0))
                (func (export "long") (param i64) (result i64) (local.get 0))
                (func (export "text") (param i32 i32) (result i32)
                    (i32.store (i32.const 0) (local.get 0))
                    (i32.store (i32.const 4) (local.get 1))
                    (i32.const 0))
                (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
                (func (export "pair") (param i32 i32) (result i32)
                    (i32.store8 (i32.const 0) (local.get 0))
                    (i32.store8 (i32.const 1) (local.get 1))
                    (i32.const 0))
                (func $innermost_of_the_trap (export "trap") unreachable)
                (func (export "loop") (loop (br 0))))
            (core instance $i (instantiate $m))
            (alias core export $i "memory" (core memory $memory))
            (alias core export $i "realloc" (core func $realloc))
            (type $direction_type (enum "up" "down"))
            (export $direction "direction" (type $direction_type))
            (func (export "bool") (param "a" bool) (result bool) (canon lift (core func $i "one")))
            (func (export "s8") (param "a" s8) (result s8) (canon lift (core func $i "one")))
            (func (export "s64") (param "a" s64) (result s64) (canon lift (core func $i "long")))
            (func (export "char") (param "a" char) (result char) (canon lift (core func $i "one")))
            (func (export "turn") (param "a" $direction) (result $direction) (canon lift (core func $i "one")))
            (func (export "string") (param "a" string) (result string)
                (canon lift (core func $i "text") (memory $memory) (realloc $realloc)))
            (func (export "list") (param "a" (list u8)) (result (list u8))
                (canon lift (core func $i "text") (memory $memory) (realloc $realloc)))
            (func (export "option") (param "a" (option u8)) (result (option u8))
                (canon lift (core func $i "pair") (memory $memory)))
            (func (export "result") (param "a" (result u8 (error u8))) (result (result u8 (error u8)))
                (canon lift (core func $i "pair") (memory $memory)))
            (func (export "tuple") (param "a" (tuple u8 u8)) (result (tuple u8 u8))
                (canon lift (core func $i "pair") (memory $memory)))
            (func $add (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "add")))
            (func (export "trap") (canon lift (core func $i "trap")))
            (func (export "loop") (canon lift (core func $i "loop")))
            (instance $math (export "add" (func $add)))
            (export "acme:math/sum@1.0.0" (instance $math)))"#,
    )
}

#[test]
fn values_come_back_as_they_were_written() {
    let (_scratch, file) = file("values.wasm", component());
    for (function, value) in [
        ("bool", "true"),
        ("s8", "-128"),
        ("s64", "-9223372036854775808"),
        ("char", "'\u{e4}'"),
        ("char", "'\\''"),
        ("turn", "down"),
        ("string", "\"a \\\"quoted\\\" \\n line\""),
        ("string", "\"\""),
        ("list", "[1, 2, 255]"),
        ("option", "none"),
        ("option", "some(7)"),
        ("result", "ok(3)"),
        ("tuple", "(1, 2)"),
    ] {
        let finished = call(&file, &[function, value]);
        assert_eq!(
            (finished.code(), &*finished.stdout),
            (Some(0), &*format!("{value}\n")),
            "{finished:?}"
        );
    }
}

#[test]
fn functions_are_found_by_their_names() {
    let (_scratch, file) = file("values.wasm", component());
    let listed = call(&file, &[]);
    assert_eq!(listed.code(), Some(0), "{listed:?}");
    for line in [
        "acme:math/sum@1.0.0#add: func(a: u32, b: u32) -> u32",
        "turn: func(a: enum { up, down }) -> enum { up, down }",
        "trap: func()",
    ] {
        assert!(listed.stdout.lines().any(|told| told == line), "{line}: {listed:?}");
    }
    for name in ["acme:math/sum@1.0.0#add", "acme:math/sum#add", "sum#add", "add"] {
        let finished = call(&file, &[name, "40", "2"]);
        assert_eq!(
            (finished.code(), &*finished.stdout),
            (Some(0), "42\n"),
            "{name}: {finished:?}"
        );
    }
    let finished = call(&file, &["subtract", "1"]);
    assert_eq!(finished.code(), Some(2), "{finished:?}");
    assert!(
        finished.stderr.contains("no function `subtract`") && finished.stderr.contains("sum@1.0.0#add"),
        "{finished:?}"
    );
}

/// The argument is named, with a mark under what is wrong in it.
#[test]
fn arguments_of_other_types_are_pointed_at() {
    let (_scratch, file) = file("values.wasm", component());
    for (words, parts) in [
        (
            &["add", "1", "two"][..],
            &["argument 2 (`b: u32`): expected u32\n  two\n  ^^^\n"][..],
        ),
        (
            &["add", "1"],
            &["2 arguments are wanted, and 1 given", "func(a: u32, b: u32)"],
        ),
        (
            &["s8", "128"],
            &["argument 1 (`a: s8`): expected s8, which is -128 to 127\n  128\n  ^^^\n"],
        ),
        (&["s8"], &["1 argument is wanted, and 0 given"]),
        (&["list", "[1, \"b\"]"], &["expected u8\n  [1, \"b\"]\n      ^^^\n"]),
        (
            &["string", "text"],
            &["expected string", "written in quotes", "'\"text\"'"],
        ),
        (
            &["string", "Some text"],
            &["expected string\n  Some text\n  ^^^^^^^^^\n", "written in quotes"],
        ),
        (&["turn", "Up"], &["expected enum { up, down }\n  Up\n  ^^\n"]),
        (
            &["tuple", "{\"a\": 1}"],
            &["unexpected token: String\n", "names of fields have no quotes"],
        ),
        (
            &["--timeout", "1s", "trap"],
            &["`--timeout` stands behind ", "options stand before"],
        ),
        (&["turn", "left"], &["there is no case `left`, but up, down"]),
        (&["tuple", "(1, 2, 3)"], &["expected a tuple of 2, and these are 3"]),
        (&["list", "[1,"], &["argument 1 (`a: list<u8>`): "]),
    ] {
        let finished = call(&file, words);
        assert_eq!((finished.code(), &*finished.stdout), (Some(2), ""), "{finished:?}");
        for part in parts {
            assert!(finished.stderr.contains(part), "{part:?}: {}", finished.stderr);
        }
    }
}

#[test]
fn the_exit_code_tells_how_the_call_ended() {
    let (_scratch, file) = file("values.wasm", component());
    let err = call(&file, &["result", "err(4)"]);
    assert_eq!((err.code(), &*err.stdout), (Some(1), "err(4)\n"), "{err:?}");
    let trap = call(&file, &["trap"]);
    assert_eq!(trap.code(), Some(134), "{trap:?}");
    for part in [
        "error: the function trapped: wasm trap: wasm `unreachable`",
        "innermost_of_the_trap",
    ] {
        assert!(trap.stderr.contains(part), "{part}: {trap:?}");
    }
    let endless = finish(wharf().args(["call", "--timeout", "200ms"]).arg(&file).arg("loop"), "");
    assert_eq!(endless.code(), Some(124), "{endless:?}");
    assert!(endless.stderr.contains("--timeout"), "{endless:?}");
    let none = call(Path::new("absent.wasm"), &["f"]);
    assert_eq!(none.code(), Some(125), "{none:?}");
}

/// Those of WASI's own worlds as well, with what was granted.
#[test]
fn async_functions_are_called_with_what_is_granted() {
    let (_scratch, file) = file("tool.wasm", command03("i32.const 1"));
    let finished = call(&file, &["run"]);
    assert_eq!((finished.code(), &*finished.stdout), (Some(1), "err\n"), "{finished:?}");
    let mut command = wharf();
    command
        .args(["call", "--env", "GREETING=hello"])
        .arg(guest("cli-environment"))
        .arg("wasi:cli/run@0.3.2#run");
    let finished = finish(&mut command, "");
    assert_eq!(finished.code(), Some(0), "{finished:?}");
    assert!(finished.stdout.contains("\"GREETING\" \"hello\""), "{finished:?}");
}

/// Streams and futures of a result are read to their end; one that does not end is ended with the call.
#[test]
fn streams_and_futures_are_drained() {
    let ends = guest("flow-ends");
    let future = call(&ends, &["promise", "\"later\""]);
    assert_eq!((future.code(), &*future.stdout), (Some(0), "\"later\"\n"), "{future:?}");
    let stream = call(&ends, &["produce", "100000"]);
    assert_eq!(stream.code(), Some(0), "{stream:?}");
    let bytes = stream.stdout.trim_matches(['[', ']', '\n']).split(", ").count();
    assert_eq!(bytes, 100_000);
    let unwritable = call(&ends, &["sum", "1"]);
    assert_eq!(unwritable.code(), Some(2), "{unwritable:?}");
    assert!(
        unwritable.stderr.contains("stream<u8> cannot be written as text"),
        "{unwritable:?}"
    );
}

/// Whatever their elements are, and also where they are in elements.
#[test]
fn elements_of_all_types_are_printed() {
    let store = guest("linked-store");
    for (words, expected) in [
        (
            &["rows", "2", "0", "\"\""][..],
            "([{key: \"row 0\", value: [0, 0, 0, 0], tags: [\"\", \"\"]}, \
              {key: \"row 1\", value: [1, 0, 0, 0], tags: [\"x\", \"x\"]}], ok(2))",
        ),
        (&["ticks", "2"], "([(), ()], ())"),
        (&["chunks", "3"], "[\"0 \", \"1 \", \"2 \"]"),
        (&["promise", "3"], "[0, 1, 2]"),
        (
            &["pages", "3", "\"\""],
            "[{number: 0, rows: [], ended: ok(0), mark: some(<resource>)}, \
              {number: 1, rows: [0], ended: ok(1), mark: none}, \
              {number: 2, rows: [0, 1], ended: ok(2), mark: some(<resource>)}]",
        ),
        (&["walk", "2", "\"\""], "[<resource>, <resource>]"),
    ] {
        let called = call(&store, words);
        assert_eq!(called.code(), Some(0), "{words:?}: {called:?}");
        assert_eq!(called.stdout.trim_end(), expected, "{words:?}");
    }
}

/// Of what a component has from the host and passes on, bytes are read; types that the host alone knows are not.
#[test]
fn streams_of_the_hosts_own_are_told() {
    let component = binary(
        r#"(component
            (import "wasi:cli/types@0.3.0" (instance $types
                (type $code (enum "io" "illegal-byte-sequence" "pipe"))
                (export "error-code" (type (eq $code)))))
            (alias export $types "error-code" (type $code))
            (import "wasi:cli/stdin@0.3.0" (instance $stdin
                (alias outer 1 $code (type $outer))
                (export "error-code" (type $code (eq $outer)))
                (type $ended (future (result (error $code))))
                (type $bytes (stream u8))
                (export "read-via-stream" (func (result (tuple $bytes $ended))))))
            (core module $memory (memory (export "memory") 1))
            (core instance $memory (instantiate $memory))
            (alias core export $memory "memory" (core memory $m))
            (core func $read (canon lower (func $stdin "read-via-stream") (memory $m)))
            (core module $code
                (import "" "read" (func $read (param i32)))
                (func (export "input") (result i32) (call $read (i32.const 8)) (i32.const 8)))
            (core instance $i (instantiate $code (with "" (instance (export "read" (func $read))))))
            (alias export $stdin "error-code" (type $known))
            (type $ended (future (result (error $known))))
            (type $bytes (stream u8))
            (func (export "input") (result (tuple $bytes $ended))
                (canon lift (core func $i "input") (memory $m))))"#,
    );
    let (_scratch, file) = file("input.wasm", component);
    let called = finish(wharf().arg("call").arg(file).arg("input"), "hello");
    assert_eq!(called.code(), Some(0), "{called:?}");
    assert_eq!(called.stdout, "(\"hello\", <future>)\n");
}

/// What a component writes to a stream is looked at as closely as what it returns.
#[test]
fn elements_that_are_no_values_trap() {
    for (element, address, bytes, expected) in [
        ("u32", 1, "", "pointer not aligned"),
        ("(tuple u8 u64)", 4, "", "pointer not aligned"),
        ("u32", 65533, "", "pointer"),
        (
            "(tuple char)",
            0,
            "\\00\\d8\\00\\00",
            "converted integer out of range for `char`",
        ),
        ("(option u8)", 0, "\\09", "no case has the number 9"),
        ("string", 0, "\\08\\00\\00\\00\\01\\00\\00\\00\\ff", "invalid utf-8"),
        (
            "(list u32)",
            0,
            "\\f0\\ff\\ff\\ff\\04\\00\\00\\00",
            "list out of bounds of memory",
        ),
        (
            "(list u32)",
            0,
            "\\01\\00\\00\\00\\04\\00\\00\\00",
            "list pointer is not aligned",
        ),
        ("(stream u8)", 0, "\\63\\00\\00\\00", "handle"),
    ] {
        let component = binary(&format!(
            r#"(component
                (type $element {element})
                (type $stream (stream $element))
                (core module $memory (memory (export "memory") 1) (data (i32.const 0) "{bytes}"))
                (core instance $memory (instantiate $memory))
                (alias core export $memory "memory" (core memory $m))
                (core func $new (canon stream.new $stream))
                (core func $write (canon stream.write $stream async (memory $m)))
                (core module $code
                    (import "" "new" (func $new (result i64)))
                    (import "" "write" (func $write (param i32 i32 i32) (result i32)))
                    (func (export "one") (result i32) (local $ends i64)
                        (local.set $ends (call $new))
                        (drop (call $write
                            (i32.wrap_i64 (i64.shr_u (local.get $ends) (i64.const 32)))
                            (i32.const {address}) (i32.const 1)))
                        (i32.wrap_i64 (local.get $ends))))
                (core instance $i (instantiate $code (with "" (instance
                    (export "new" (func $new)) (export "write" (func $write))))))
                (func (export "one") (result $stream) (canon lift (core func $i "one"))))"#,
        ));
        let (_scratch, file) = file("one.wasm", component);
        let called = call(&file, &["one"]);
        assert_eq!(called.code(), Some(134), "{element} at {address}: {called:?}");
        assert!(called.stderr.contains(expected), "{element} at {address}: {called:?}");
    }
}
