//! Help, version, and what is said to those who mistype.

use crate::components::wharf_with;

#[track_caller]
fn check_help(words: &[&str], parts: &[&str]) {
    let finished = wharf_with(words);
    assert_eq!(finished.code(), Some(0), "{finished:?}");
    assert_eq!(finished.stderr, "");
    for part in parts {
        assert!(
            finished.stdout.contains(part),
            "{words:?} does not say {part:?}:\n{}",
            finished.stdout
        );
    }
    let longest = finished.stdout.lines().map(|line| line.chars().count()).max();
    assert!(
        longest <= Some(120),
        "a line of {longest:?} characters:\n{}",
        finished.stdout
    );
}

#[test]
fn help_names_every_command_and_shows_examples() {
    let parts = [
        "Usage: wharf <COMMAND>",
        "\n  serve ",
        "\n  run ",
        "--version",
        "Examples:\n  wharf serve app.wasm",
    ];
    check_help(&["--help"], &parts);
    check_help(&["-h"], &parts);
    check_help(&["help"], &parts);
}

#[test]
fn help_of_run_names_every_flag_and_exit_status() {
    let parts = [
        "Usage: wharf run [OPTIONS] <FILE> [ARGS]...",
        "--env <NAME=VALUE>",
        "--dir <HOST::GUEST>",
        "--dir-ro <HOST::GUEST>",
        "--allow-net <PATTERN>",
        "--allow-outbound <PATTERN>",
        "--outbound-ca <FILE>",
        "--max-memory <SIZE>",
        "--cache <FOLDER>",
        "--no-cache",
        "--log <LEVEL>",
        "Exit status:",
        "134",
        "125",
        "Examples:",
    ];
    check_help(&["run", "--help"], &parts);
    check_help(&["help", "run"], &parts);
}

#[test]
fn help_of_serve_names_every_flag_with_its_default() {
    let parts = [
        "Usage: wharf serve [OPTIONS] <FILE>",
        "--addr <HOST:PORT|unix:PATH>",
        "--tls-certificate <FILE>",
        "--tls-key <FILE>",
        "[default: 127.0.0.1:8080]",
        "--isolation <HOW>",
        "request",
        "serial",
        "shared",
        "--middleware <FILE>",
        "--drain-timeout <DURATION>",
        "[default: 30s]",
        "--env <NAME=VALUE>",
        "--dir <HOST::GUEST>",
        "--dir-ro <HOST::GUEST>",
        "--allow-net <PATTERN>",
        "--allow-outbound <PATTERN>",
        "--max-memory <SIZE>",
        "--timeout <DURATION>",
        "Limits:",
        "Examples:",
    ];
    check_help(&["serve", "--help"], &parts);
}

#[test]
fn the_version_names_the_engine() {
    for flag in ["--version", "-V"] {
        let finished = wharf_with([flag]);
        assert_eq!(finished.code(), Some(0));
        let expected = format!("wharf {} (Wasmtime 48.0.", env!("CARGO_PKG_VERSION"));
        assert!(finished.stdout.starts_with(&expected), "{finished:?}");
    }
}

#[track_caller]
fn check_usage(words: &[&str], part: &str) {
    let finished = wharf_with(words);
    assert_eq!(finished.code(), Some(2), "{finished:?}");
    assert_eq!(finished.stdout, "");
    assert!(
        finished.stderr.contains(part),
        "{words:?} does not say {part:?}:\n{}",
        finished.stderr
    );
}

#[test]
fn wrong_usage_is_2_and_says_what_was_expected() {
    check_usage(&[], "Usage: wharf <COMMAND>");
    check_usage(&["sevre"], "similar subcommand exists: 'serve'");
    check_usage(&["run"], "required arguments were not provided");
    check_usage(&["run", "--dirs", "x", "a.wasm"], "similar argument exists: '--dir'");
    check_usage(&["run", "--env", "A", "a.wasm"], "expected NAME=VALUE, such as");
    check_usage(&["run", "--dir", "::/a", "a.wasm"], "expected HOST::GUEST, such as");
    check_usage(
        &["run", "--allow-net", "https://a.test", "a.wasm"],
        "sockets have no scheme",
    );
    check_usage(
        &["run", "--allow-outbound", "a.test/path", "a.wasm"],
        "`a.test/path` is not a pattern",
    );
    check_usage(&["serve", "--addr", "8080", "a.wasm"], "expected HOST:PORT, such as");
    check_usage(&["serve", "--drain-timeout", "30", "a.wasm"], "such as 30s");
    check_usage(&["serve", "--max-memory", "64M", "a.wasm"], "such as 64MiB");
    check_usage(
        &["serve", "--isolation", "none", "a.wasm"],
        "possible values: request, serial, shared",
    );
    check_usage(&["serve", "a.wasm", "b.wasm"], "unexpected argument 'b.wasm'");
}
