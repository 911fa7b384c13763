//! Small components, written as text, and running the program on them.

use std::path::PathBuf;

use wharf_tests::{Finished, Scratch, finish, wharf};

/// A command of WASI 0.3 whose `run` is `body`: core instructions that leave 0 for Ok, 1 for Err.
pub fn command03(body: &str) -> Vec<u8> {
    exporting(&[("wasi:cli/run@0.3.0", "async", body)])
}

/// A command of WASI 0.2, likewise.
pub fn command02(body: &str) -> Vec<u8> {
    exporting(&[("wasi:cli/run@0.2.6", "", body)])
}

/// A component that exports one `run` for each name, kind of function and body.
pub fn exporting(runs: &[(&str, &str, &str)]) -> Vec<u8> {
    let parts = runs.iter().enumerate().map(|(at, (name, kind, body))| {
        format!(
            r#"(core module $code{at}
                (func $innermost_of_the_trap unreachable)
                (func $grown (param $pages i32) (result i32)
                    (i32.eq (memory.grow (local.get $pages)) (i32.const -1)))
                (memory 1)
                (func $run (export "run") (result i32) {body}))
            (core instance $code{at} (instantiate $code{at}))
            (type $run{at} (func {kind} (result (result))))
            (func $run{at} (type $run{at}) (canon lift (core func $code{at} "run")))
            (instance $exported{at} (export "run" (func $run{at})))
            (export "{name}" (instance $exported{at}))"#
        )
    });
    binary(&format!("(component {})", parts.collect::<String>()))
}

/// The binary form of WebAssembly text.
pub fn binary(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("the text is a component or a module")
}

/// A file with these contents, in a folder of its own that goes with the first value.
pub fn file(name: &str, contents: impl AsRef<[u8]>) -> (Scratch, PathBuf) {
    let scratch = Scratch::new();
    let file = scratch.write(name, contents);
    (scratch, file)
}

/// Runs `wharf WORDS`.
pub fn wharf_with<S: AsRef<std::ffi::OsStr>>(words: impl IntoIterator<Item = S>) -> Finished {
    finish(wharf().args(words), "")
}

/// Runs `wharf run FLAGS` on a component with these contents.
pub fn run(flags: &[&str], component: &[u8]) -> Finished {
    let (_scratch, file) = file("tool.wasm", component);
    finish(wharf().arg("run").args(flags).arg(file), "")
}
