//! `wharf run`: which program runs, how it ends, what its limits do.

use wharf_tests::{Finished, finish, wharf};

use crate::components::{command02, command03, exporting, file, run};

#[track_caller]
fn check(finished: &Finished, code: i32, errors: &[&str]) {
    assert_eq!(finished.code(), Some(code), "{finished:?}");
    assert_eq!(finished.stdout, "", "nothing of Wharf's own");
    for part in errors {
        assert!(
            finished.stderr.contains(part),
            "{part:?} is not said: {}",
            finished.stderr
        );
    }
    assert!(!errors.is_empty() || finished.stderr.is_empty(), "{}", finished.stderr);
}

#[test]
fn the_exit_code_tells_how_the_program_ended() {
    for command in [command02, command03] {
        check(&run(&[], &command("i32.const 0")), 0, &[]);
        check(&run(&[], &command("i32.const 1")), 1, &[]);
    }
}

#[test]
fn a_trap_is_134_with_a_backtrace_that_names_functions() {
    for command in [command02, command03] {
        let errors = [
            "error: the program trapped: wasm trap: wasm `unreachable`",
            "innermost_of_the_trap",
            "run",
            "unreachable",
        ];
        check(
            &run(&[], &command("call $innermost_of_the_trap i32.const 0")),
            134,
            &errors,
        );
    }
}

/// What builds for 0.3 leaves a `run` of 0.2 behind that only traps.
#[test]
fn of_two_versions_the_newer_runs() {
    let (good, bad) = ("i32.const 0", "unreachable");
    check(
        &run(
            &[],
            &exporting(&[("wasi:cli/run@0.2.6", "", bad), ("wasi:cli/run@0.3.0", "async", good)]),
        ),
        0,
        &[],
    );
    check(
        &run(
            &[],
            &exporting(&[("wasi:cli/run@0.3.2", "async", good), ("wasi:cli/run@0.2.6", "", bad)]),
        ),
        0,
        &[],
    );
}

#[test]
fn memory_is_bounded_when_it_is_asked_for() {
    let grow = "(call $grown (i32.const 1000))";
    check(&run(&[], &command03(grow)), 0, &[]);
    check(&run(&["--max-memory", "63MiB"], &command03(grow)), 0, &[]);
    check(&run(&["--max-memory", "62MiB"], &command03(grow)), 1, &[]);
    let trap = format!("(if {grow} (then call $innermost_of_the_trap)) i32.const 0");
    check(
        &run(&["--max-memory", "1MiB"], &command03(&trap)),
        134,
        &["refused memory past 1 MiB"],
    );
}

#[test]
fn what_follows_the_file_is_for_the_program() {
    let (_scratch, file) = file("tool.wasm", command03("i32.const 0"));
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["--", "-x"],
        &["--dir", "nowhere"],
        &["--unknown"],
        &[""],
    ] {
        let finished = finish(wharf().arg("run").arg(&file).args(arguments), "");
        check(&finished, 0, &[]);
    }
}

#[test]
fn messages_about_the_inside_are_written_when_asked_for() {
    let component = command03("i32.const 0");
    let quiet = run(&["--no-cache"], &component);
    check(&quiet, 0, &[]);
    let (_scratch, file) = file("tool.wasm", &component);
    let finished = finish(wharf().args(["run", "--log", "debug"]).arg(file), "");
    assert_eq!(finished.code(), Some(0));
    assert!(finished.stderr.contains("DEBUG loaded"), "{finished:?}");
}

/// A program whose messages nobody reads ends as it would otherwise.
#[cfg(unix)]
#[test]
fn a_closed_standard_error_changes_nothing() {
    use std::process::Stdio;

    for (body, code) in [("i32.const 0", 0), ("unreachable", 134)] {
        let (_scratch, file) = file("tool.wasm", command03(body));
        let (reader, writer) = std::io::pipe().expect("there are pipes");
        drop(reader);
        let mut command = wharf();
        command.arg("run").arg(file).stdout(Stdio::null()).stderr(writer);
        assert_eq!(command.status().expect("the program starts").code(), Some(code));
    }
}

/// Built here, since only what a compiler makes has lines: the guests of the tests are stripped of them.
#[test]
fn backtraces_have_source_lines_unless_they_are_not_wanted() {
    const DETAILS: &str = "WASMTIME_BACKTRACE_DETAILS";
    const SOURCE: &str = "fn innermost(values: &[u32], at: usize) -> u32 {\n    values[at]\n}\n\nfn main() {\n    \
        let values: Vec<u32> = (0..3).collect();\n    std::process::exit(innermost(&values, std::env::args().count() + 3) as i32);\n}\n";
    let scratch = wharf_tests::Scratch::new();
    let (source, component) = (scratch.write("breaks.rs", SOURCE), scratch.join("breaks.wasm"));
    let mut rustc = std::process::Command::new("rustc");
    rustc.args(["--target", "wasm32-wasip2", "-g", "-C", "opt-level=1", "-o"]);
    let built = finish(rustc.arg(&component).arg(source), "");
    assert_eq!(
        built.code(),
        Some(0),
        "`rustup target add wasm32-wasip2` may be missing: {built:?}"
    );
    for (details, has_lines) in [(None, true), (Some("0"), false), (Some("1"), true)] {
        for (word, function) in [("run", None), ("call", Some("run"))] {
            let mut command = wharf();
            command.args([word, "--no-cache"]).arg(&component).args(function);
            match details {
                Some(details) => command.env(DETAILS, details),
                None => command.env_remove(DETAILS),
            };
            let finished = finish(&mut command, "");
            assert_eq!(finished.code(), Some(134), "{finished:?}");
            let backtrace = finished.stderr.split("wasm backtrace:").nth(1).unwrap_or_default();
            assert_eq!(backtrace.contains("breaks.rs:2:"), has_lines, "{finished:?}");
        }
    }
}
