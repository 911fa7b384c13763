//! Sets up and passes all tests.

mod again;

use anyhow::{Context, Result};

use crate::bench::WASMTIME;
use crate::bench_guests;
use crate::debian;
use crate::guests;
use crate::tools;
use crate::workspace::{Workspace, metadata, run};

/// What tests run beside the server: proxies in front of it and behind it, a crowd of slow clients, an authority that gives out
/// certificates, who looks for weaknesses of TLS, clients of HTTP/2, a browser with what drives it, and databases; and tools of languages that
/// components are written in.
const PROGRAMS: [&str; 21] = [
    "age",
    "nginx",
    "haproxy",
    "squid",
    "tinyproxy",
    "slowhttptest",
    "pebble",
    "curl",
    "openssl",
    "testssl",
    "nghttp",
    "h2load",
    "chromium",
    "chromedriver",
    "python3",
    "postgres",
    "mariadbd",
    "redis-server",
    "clang-19",
    "wasm-ld-19",
    "npm",
];

/// Builds the guests, the program and the tests, and runs the tests. `args` go to `cargo test`; a first filter of the
/// form `SUITE::NAME` chooses the suite, too, since the tests inside it are named without it.
pub fn test(workspace: &Workspace, args: &[String]) -> Result<()> {
    guests::build(workspace)?;
    let args = with_suite(args, &suites(workspace)?);
    // By itself: built along with the tests, the program would get what they ask of the engine, such as shared memories.
    run(&mut workspace.cargo(["build", "--package", "wharf"]))?;
    let absent = absent(workspace);
    let tests = || {
        let mut tests = workspace.cargo(["test", "--workspace", "--no-fail-fast"]);
        tests
            .env("WHARF_BIN", workspace.program())
            .env("WHARF_TESTS_WITHOUT", absent.join(" "));
        tests
    };
    again::run_and_try_again(tests().args(args), &mut tests())?;
    match absent[..] {
        [] => println!("All tests passed"),
        ref absent => println!("All tests passed, but those that need {}", absent.join(", ")),
    }
    Ok(())
}

/// The programs that cannot be had here.
fn absent(workspace: &Workspace) -> Vec<&'static str> {
    if let Err(error) = debian::packages(&PROGRAMS) {
        println!("Tests are left out: {error:#}");
    }
    let mut absent = debian::missing(&PROGRAMS);
    // A client of WebSockets that is others'.
    if !tools::python_package(workspace, "websockets", "15.0.1") {
        absent.push("python3-websockets");
    }
    if let Err(error) = bench_guests::python_packages(workspace) {
        println!("Tests are left out: {error:#}");
        absent.extend(["componentize-py", "go"]);
    }
    if !tools::npm_package(workspace, "componentize-qjs", "0.4.5") {
        absent.push("componentize-qjs");
    }
    // A part of jco needs the second without saying so: where npm puts it decides whether it is found.
    let jco = [
        ("@bytecodealliance/jco", "1.35.0"),
        ("@bytecodealliance/preview2-shim", "0.26.1"),
    ];
    if !jco
        .iter()
        .all(|(package, version)| tools::npm_package(workspace, package, version))
    {
        absent.push("jco");
    }
    // Compiling it takes as long as all tests together: who measures has it.
    if !WASMTIME.is_installed(workspace) {
        println!("Tests are left out: there is no wasmtime, which `cargo xtask bench` installs");
        absent.push("wasmtime");
    }
    absent
}

/// The names of the suites in `tests/`.
fn suites(workspace: &Workspace) -> Result<Vec<String>> {
    let metadata = metadata(&workspace.root().join("tests/Cargo.toml"), &["--no-deps"])?;
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata lists no packages")?;
    let targets = packages
        .iter()
        .filter_map(|package| package["targets"].as_array())
        .flatten();
    let suites = targets
        .filter(|target| target["kind"][0] == "test")
        .filter_map(|target| target["name"].as_str());
    Ok(suites.map(str::to_owned).collect())
}

/// Replaces `-- SUITE::NAME` by `--test SUITE -- NAME`.
fn with_suite(args: &[String], suites: &[String]) -> Vec<String> {
    if let Some(divider) = args.iter().position(|arg| arg == "--")
        && let Some((suite, name)) = args.get(divider + 1).and_then(|filter| filter.split_once("::"))
        && suites.iter().any(|known| known == suite)
    {
        let (before, after) = (&args[..divider], &args[divider + 2..]);
        let chosen = ["--test", suite, "--", name].map(str::to_owned);
        return [before, &chosen, after].concat();
    }
    args.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_args(args: &str, expected: &str) {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(with_suite(&words(args), &words("http cli")), words(expected), "{args}");
    }

    #[test]
    fn a_suite_is_chosen_by_its_name_in_a_filter() {
        check_args("", "");
        check_args("-- http::echo", "--test http -- echo");
        check_args(
            "--quiet -- cli::a::b --nocapture",
            "--quiet --test cli -- a::b --nocapture",
        );
        check_args("-- route::longest", "-- route::longest");
        check_args("--test http", "--test http");
        check_args("-- --nocapture", "-- --nocapture");
    }
}
