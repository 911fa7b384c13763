//! Which version of WASI a component is run as, and commands of WASI 0.2.

use std::fs;
use std::path::Path;

use wharf_tests::{Scratch, finish};

use crate::run::{command, lines, run, value};

const GUEST: &str = "v0-2-command";

#[test]
fn of_two_exported_versions_the_newer_one_runs() {
    let lines = lines("cli-both-versions", &["--env", "A=1"], &["one"]);
    let expected = [
        r#"argument "cli-both-versions.wasm""#,
        r#"argument "one""#,
        r#"variable "A" "1""#,
        "directory None",
    ];
    assert_eq!(lines, expected);
}

/// The guests of 0.3.0 are those of 0.3.2 built against these declarations; a difference beside the version would mean
/// that one of the two says something else than the standard.
#[test]
fn the_declarations_of_both_versions_are_the_same() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package is in a folder");
    for package in ["cli", "clocks", "filesystem", "http", "random", "sockets"] {
        let declarations = |folder: &str| {
            let file = root.join(folder).join(format!("{package}.wit"));
            let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            lines.map(|line| line.replace("@0.3.2", "@0.3.0")).collect::<Vec<_>>()
        };
        assert_eq!(
            declarations("tests/guests/v0_3_0/wit/deps"),
            declarations("wit/wasi-0.3/deps"),
            "{package}"
        );
    }
}

#[test]
fn a_command_of_0_2_sees_its_environment() {
    let expected = [
        r#"argument "v0-2-command.wasm""#,
        r#"argument "environment""#,
        r#"argument "--two words""#,
        r#"variable "A" "1""#,
    ];
    assert_eq!(
        lines(GUEST, &["--env", "A=1"], &["environment", "--two words"]),
        expected
    );
}

fn check_exit(arguments: &[&str], code: i32) {
    let finished = run(GUEST, &[], arguments);
    assert_eq!(finished.code(), Some(code), "{arguments:?}: {finished:?}");
}

#[test]
fn a_command_of_0_2_ends_with_its_code() {
    check_exit(&["environment"], 0);
    check_exit(&["exit", "0"], 0);
    check_exit(&["exit", "1"], 1);
    // The standard library knows only success and failure here, whatever the number.
    check_exit(&["exit", "7"], 1);
    check_exit(&["return", "0"], 0);
    check_exit(&["return", "3"], 1);
    check_exit(&["panic"], 134);
}

#[test]
fn the_standard_streams_of_0_2_carry_every_byte() {
    let input = "line\n".repeat(1 << 18);
    let finished = finish(&mut command(GUEST, &[], &["copy"]), &input);
    assert_eq!(finished.code(), Some(0), "{}", finished.stderr);
    assert!(finished.stdout == input, "{} other bytes", finished.stdout.len());
}

#[test]
fn a_command_of_0_2_works_with_files() {
    let scratch = Scratch::new();
    let directory = format!("{}::/work", scratch.display());
    let expected = [
        r#"two "first and second""#,
        r#"three "first" 5"#,
        r#"names ["three", "two"]"#,
    ];
    assert_eq!(lines(GUEST, &["--dir", &directory], &["files", "/work"]), expected);
    assert_eq!(
        fs::read_to_string(scratch.join("two")).expect("it was written"),
        "first and second"
    );
}

/// `/work` is the folder `work`, writable, and `/read` the same one, read-only; `secret` lies beside it.
fn check_files(arguments: &[&str], expected: &str) {
    let scratch = Scratch::new();
    scratch.write("secret", "secret");
    scratch.write("work/file", "text");
    #[cfg(unix)]
    std::os::unix::fs::symlink("../secret", scratch.join("work/link")).expect("a link can be made");
    let work = format!("{}::/work", scratch.join("work").display());
    let read = format!("{}::/read", scratch.join("work").display());
    let lines = lines(GUEST, &["--dir", &work, "--dir-ro", &read], arguments);
    assert_eq!(lines, [expected], "{arguments:?}");
}

#[test]
fn a_command_of_0_2_stays_in_its_directories() {
    check_files(&["read", "/work/file"], r#"content "text""#);
    check_files(&["read", "/read/file"], r#"content "text""#);
    check_files(&["read", "/work/../secret"], "error PermissionDenied");
    check_files(&["read", "/work/../work/file"], "error PermissionDenied");
    check_files(&["read", "/etc/hostname"], "error NotFound");
    #[cfg(unix)]
    check_files(&["read", "/work/link"], "error PermissionDenied");
    check_files(&["files", "/read"], "error PermissionDenied");
}

#[test]
fn a_command_of_0_2_has_clocks_and_random_numbers() {
    let clocks = lines(GUEST, &[], &["clocks"]);
    let slept: u64 = value(&clocks, "slept").parse().expect("a number");
    assert!(slept >= 20_000_000, "{slept}");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.expect("after 1970").as_secs();
    let then: u64 = value(&clocks, "now").parse().expect("a number");
    assert!((now - 60..=now).contains(&then), "{then} {now}");

    assert_ne!(lines(GUEST, &[], &["random"]), lines(GUEST, &[], &["random"]));
}

fn check_network(flags: &[&str], arguments: &[&str], expected: &[&str]) {
    assert_eq!(lines(GUEST, flags, arguments), expected, "{flags:?} {arguments:?}");
}

#[test]
fn a_command_of_0_2_reaches_the_network_it_is_allowed() {
    let tcp = ["peer true", r#"server "question""#, r#"client "answer""#];
    let udp = [r#"received "datagram" true"#];
    for address in ["127.0.0.1:0", "[::1]:0"] {
        check_network(&["--allow-net", "*"], &["tcp", address], &tcp);
        check_network(&["--allow-net", "*"], &["udp", address], &udp);
        check_network(&[], &["tcp", address], &["error PermissionDenied"]);
        check_network(&[], &["udp", address], &["error PermissionDenied"]);
    }
}
