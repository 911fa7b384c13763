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

/// What a component is given.
const GRANTS: &[&str] = &[
    "--env <NAME=VALUE>",
    "--dir <HOST::GUEST>",
    "--dir-ro <HOST::GUEST>",
    "--allow-net <PATTERN>",
    "--allow-outbound <PATTERN>",
    "--outbound-ca <FILE>",
    "--max-memory <SIZE>",
];

/// What stands in the help of all that run components.
const MACHINE: &[&str] = &["--cache <FOLDER>", "--no-cache", "--allow-precompiled", "--log <LEVEL>"];

const ENDS: &[&str] = &["Exit status:", "Examples:"];

/// Commands, and what their help says: among it each of their flags.
const COMMANDS: &[(&[&str], &[&[&str]])] = &[
    (
        &["dev"],
        &[
            &[
                "Usage: wharf dev [OPTIONS] [FILE]",
                "--addr <HOST:PORT|unix:PATH>",
                "--jobs <NUMBER>",
                "--no-script",
                "/.wharf/dev/events",
                "Ctrl-C",
                "Examples:\n  wharf dev\n",
            ],
            MACHINE,
            ENDS,
        ],
    ),
    (
        &["run"],
        &[
            &["Usage: wharf run [OPTIONS] <FILE> [ARGS]...", "134", "125"],
            GRANTS,
            MACHINE,
            ENDS,
        ],
    ),
    (
        &["serve"],
        &[
            &[
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
                "--timeout <DURATION>",
                "--admin <HOST:PORT|unix:PATH|none>",
                "--head-timeout <DURATION>",
                "--idle-timeout <DURATION>",
                "[default: 75s]",
                "--max-cpu-time <DURATION>",
                "--max-instances <COUNT>",
                "--queue-timeout <DURATION>",
                "--background-timeout <DURATION>",
                "--core-dumps",
                "Limits:",
            ],
            GRANTS,
            MACHINE,
            ENDS,
        ],
    ),
    (
        &["check"],
        &[&["Usage: wharf check [FILE]", "wharf check apps/shop"], ENDS],
    ),
    (&["schema"], &[&["Usage: wharf schema [OPTIONS]", "--reference"], ENDS]),
    (
        &["inspect"],
        &[
            &["Usage: wharf inspect [OPTIONS] <FILE> [OTHER]", "--json", "--wit"],
            ENDS,
        ],
    ),
    (
        &["compose"],
        &[
            &[
                "Usage: wharf compose [OPTIONS] --output <OUT> <FILE> [WITH]...",
                "--output <OUT>",
                "--middleware <FILE>",
                "--component <NAME>",
            ],
            ENDS,
        ],
    ),
    (
        &["build"],
        &[
            &[
                "Usage: wharf build [OPTIONS] [FILE]",
                "--only <NAME>",
                "--jobs <NUMBER>",
                "--install",
                "WHARF_COMPONENT",
            ],
            ENDS,
        ],
    ),
    (
        &["doctor"],
        &[&["Usage: wharf doctor [OPTIONS] [FILE]", "--install"], ENDS],
    ),
    (
        &["compile"],
        &[
            &[
                "Usage: wharf compile [OPTIONS] <FILE>",
                "--output <OUT>",
                "--target <TRIPLE>",
                "--in-little-space",
            ],
            ENDS,
        ],
    ),
    (
        &["call"],
        &[
            &[
                "Usage: wharf call [OPTIONS] <FILE> [EXPORT] [ARGS]...",
                "--timeout <DURATION>",
                "[default: 30s]",
                "WAVE",
                "124",
            ],
            GRANTS,
            MACHINE,
            ENDS,
        ],
    ),
    (
        &["wit"],
        &[&["Usage: wharf wit <COMMAND>", "list", "show", "add"], ENDS],
    ),
    (&["wit", "show"], &[&["<PACKAGE>", "--of <FOLDER>"]]),
    (
        &["wit", "add"],
        &[&[
            "Usage: wharf wit add [OPTIONS] <PACKAGE>...",
            "--to <FOLDER>",
            "--force",
        ]],
    ),
];

#[test]
fn help_of_commands_names_every_flag_and_exit_status() {
    for (command, parts) in COMMANDS {
        let (parts, words) = (parts.concat(), [command, &["--help"][..]].concat());
        check_help(&words, &parts);
        check_all_flags_are_known(&words, &parts);
        check_help(&[&["help"], *command].concat(), &parts);
    }
}

/// A flag that is added is one that a test here names.
#[track_caller]
fn check_all_flags_are_known(words: &[&str], parts: &[&str]) {
    let help = wharf_with(words).stdout;
    // Those of options stand at the beginning of their lines; examples have others.
    let flags = help.lines().filter_map(|line| {
        let (short, rest) = line.trim_start().split_once("--")?;
        let name = rest.split([' ', ',']).next()?;
        (short.is_empty() || short == "-h, " || short == "-V, ").then(|| format!("--{name}"))
    });
    for flag in flags.filter(|flag| flag != "--help") {
        let is_named = parts.iter().any(|part| part.split(' ').next() == Some(&flag));
        assert!(is_named, "{flag} of {words:?} is named by no test");
    }
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
    check_usage(&["servr"], "similar subcommand exists: 'serve'");
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
