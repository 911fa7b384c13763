//! Wasmtime's own commands, of the release that Wharf is built on: what is made with standard imports runs there as well, and where
//! `wharf inspect` says that something does not, it does not.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use serde_json::Value;
use wharf_tests::{Server, finish, guest, http, toolchain};

use crate::components::wharf_with;
use crate::develop::{check_built, project};

/// Fewer guests than these with a verdict, and the folder is not the one that is meant.
const GUESTS_MIN: usize = 50;

/// Every guest of the tests that answers HTTP, or is a command that Wasmtime cannot run.
#[test]
fn wasmtime_takes_what_inspect_says_it_takes() {
    let Some(wasmtime) = toolchain::wasmtime() else {
        return;
    };
    let folder = guest("http-hello").parent().expect("a guest is in a folder").to_owned();
    let files = std::fs::read_dir(folder).expect("the folder can be read");
    let files = files.map(|entry| entry.expect("it is there").path());
    let files: Vec<PathBuf> = files
        .filter(|file| file.extension().is_some_and(|extension| extension == "wasm"))
        // Twenty seconds of compiling; what is built in Python has a test below.
        .filter(|file| !file.ends_with("bench-python.wasm"))
        .collect();
    let (files, compared) = (Mutex::new(files.into_iter()), Mutex::new(0));
    let work = || {
        while let Some(file) = { files.lock().unwrap().next() } {
            *compared.lock().unwrap() += usize::from(check_verdict(&wasmtime, &file));
        }
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(work))));
    let compared = compared.into_inner().unwrap();
    assert!(compared >= GUESTS_MIN, "{compared} guests");
}

/// Whether there was something to compare.
fn check_verdict(wasmtime: &Path, file: &Path) -> bool {
    let mut compared = false;
    for command in ["serve", "run"] {
        let verdict = verdict(file, command);
        match verdict["runs"].as_bool() {
            // The first line says where it serves, or it panics. A program may do anything once it runs.
            Some(true) if command == "serve" => drop(serve(wasmtime, file, &verdict)),
            Some(false) => check_refused(wasmtime, file, command, &verdict),
            _ => continue,
        }
        compared = true;
    }
    compared
}

/// It ends by itself, and names one of the imports that are said to be in the way.
fn check_refused(wasmtime: &Path, file: &Path, command: &str, verdict: &Value) {
    let mut refused = wasmtime_with(wasmtime, command, verdict);
    if command == "serve" {
        refused.args(["--addr", "127.0.0.1:0"]);
    }
    let refused = finish(refused.arg(file), "");
    assert_ne!(refused.code(), Some(0), "{}: {refused:?}", file.display());
    let in_the_way = verdict["in-the-way"].as_array().expect("a list");
    let mut imports = in_the_way.iter().filter_map(|way| way["import"].as_str());
    let is_named = imports.any(|import| refused.stderr.contains(&format!("`{import}`")));
    assert!(is_named, "{}: {verdict}: {}", file.display(), refused.stderr);
}

/// What `wharf inspect` says of `wasmtime serve` or `wasmtime run`.
fn verdict(file: &Path, command: &str) -> Value {
    let described = wharf_with([Path::new("inspect"), Path::new("--json"), file]);
    let described: Value = serde_json::from_str(&described.stdout).expect("it is JSON");
    described["wasmtime"][command].clone()
}

/// A call of Wasmtime with the flags that are said to do.
fn wasmtime_with(wasmtime: &Path, command: &str, verdict: &Value) -> Command {
    let mut called = Command::new(wasmtime);
    // Its cache would be outside of the test's own folder.
    called.args([command, "-C", "cache=n"]);
    for flag in verdict["flags"].as_array().expect("a list") {
        called.args(flag.as_str().expect("a text").split(' '));
    }
    called
}

fn serve(wasmtime: &Path, file: &Path, verdict: &Value) -> Server {
    let mut called = wasmtime_with(wasmtime, "serve", verdict);
    called.args(["--addr", "127.0.0.1:0"]).arg(file);
    Server::spawn(called)
}

/// What `wharf new` makes and `wharf build` builds answers there as it does here.
#[track_caller]
fn check_template(language: &str) {
    let (Some(wasmtime), Some(path)) = (toolchain::wasmtime(), toolchain::path(language)) else {
        return;
    };
    let scratch = project("greeter", "http", language);
    check_built(&scratch.join("greeter"), &path, "greeter: built, ");
    let component = scratch.join("greeter/greeter.wasm");
    let verdict = verdict(&component, "serve");
    assert_eq!(verdict["runs"], true, "{verdict}");
    let server = serve(&wasmtime, &component, &verdict);
    for (path, expected) in [("/", "Hello, world!\n"), ("/Ada?x=1", "Hello, Ada!\n")] {
        let response = http::get(server.addr(), path);
        assert_eq!((response.status, response.text()), (200, expected.into()), "{language}");
    }
}

#[test]
fn a_service_in_rust_runs_there() {
    check_template("rust");
}

#[test]
fn a_service_in_go_runs_there() {
    check_template("go");
}

#[test]
fn a_service_in_python_runs_there() {
    check_template("python");
}

#[test]
fn a_service_in_javascript_runs_there() {
    check_template("javascript");
}

#[test]
fn a_service_in_c_runs_there() {
    check_template("c");
}

#[test]
fn a_command_in_rust_runs_there() {
    let (Some(wasmtime), Some(path)) = (toolchain::wasmtime(), toolchain::path("rust")) else {
        return;
    };
    let scratch = project("count", "command", "rust");
    check_built(&scratch.join("count"), &path, "count: built, ");
    let component = scratch.join("count/count.wasm");
    let verdict = verdict(&component, "run");
    assert_eq!(verdict["runs"], true, "{verdict}");
    let mut run = wasmtime_with(&wasmtime, "run", &verdict);
    let ran = finish(run.arg(component), "one two\nthree\n");
    assert_eq!(
        (ran.code(), &*ran.stdout),
        (Some(0), "2 lines, 3 words, 14 bytes\n"),
        "{ran:?}"
    );
}
