//! Each template of `wharf new`: the project passes the test that it comes with, builds, is not built again for nothing, and does what its
//! README says.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use wharf_tests::websocket::{Frame, TEXT, WebSocket};
use wharf_tests::{Server, finish, http, toolchain, wharf};

use super::{build, check_built, project};
use crate::components::wharf_with;

/// One test for each, so that they run side by side; and the list of them.
macro_rules! templates {
    ($($name:ident: $kind:literal, $language:literal;)*) => {
        $(#[test]
        fn $name() {
            check($kind, $language);
        })*

        const TEMPLATES: &[(&str, &str)] = &[$(($kind, $language)),*];
    };
}

templates! {
    a_service_in_rust: "http", "rust";
    a_service_in_go: "http", "go";
    a_service_in_python: "http", "python";
    a_service_in_javascript: "http", "javascript";
    a_service_in_c: "http", "c";
    a_library_in_rust: "library", "rust";
    a_library_in_go: "library", "go";
    a_library_in_python: "library", "python";
    a_command_in_rust: "command", "rust";
    a_command_in_go: "command", "go";
    a_command_in_python: "command", "python";
    a_service_with_a_database_in_rust: "database", "rust";
    a_service_with_a_database_in_go: "database", "go";
    a_service_with_a_database_in_python: "database", "python";
    a_service_of_websockets_in_rust: "websocket", "rust";
    a_service_of_websockets_in_go: "websocket", "go";
    a_service_of_websockets_in_python: "websocket", "python";
    a_middleware_in_rust: "middleware", "rust";
    a_middleware_in_go: "middleware", "go";
    a_middleware_in_python: "middleware", "python";
}

fn check(kind: &str, language: &str) {
    let Some(path) = toolchain::path(language) else {
        return;
    };
    // With a hyphen, which not every language has in names; another for each kind, since all are compiled in one folder of Cargo's.
    let name = format!("my-{kind}");
    let scratch = project(&name, kind, language);
    let folder = scratch.join(&name);
    let mut own = Command::new("sh");
    own.arg("-c").arg(own_test(&folder));
    own.current_dir(&folder).env("PATH", &path);
    let own = finish(own.env("CARGO_TARGET_DIR", toolchain::cargo_target()), "");
    assert_eq!(own.code(), Some(0), "{own:?}");

    takes_more(&folder);
    check_built(&folder, &path, &format!("{name}: built, "));
    check_built(&folder, &path, &format!("{name}: unchanged, "));
    let component = folder.join(format!("{name}.wasm"));
    is_told(&component, language);
    match kind {
        "http" => greets_by_http(&folder),
        "library" => is_called(&component),
        "command" => counts(&component),
        "database" => keeps_notes(&folder),
        "websocket" => greets_by_websocket(&folder),
        _ => stands_in_front(&component),
    }

    // One kind shows it for its language.
    if kind == "http" {
        breaks(&folder, language, &path);
    }
}

/// What a project is made with is where `wharf wit add` puts it, and in its lock. What is added, the build that follows takes, whether or not
/// the world asks for it.
fn takes_more(folder: &Path) {
    let wit = folder.join("wit");
    let has_packages = wit.join("deps").is_dir();
    assert_eq!(wit.join("wharf-wit.lock").is_file(), has_packages);
    let mut add = wharf();
    add.args(["wit", "add", "wharf:websocket", "wasi:http", "wasi:clocks", "--to"]);
    let added = finish(add.arg(&wit), "");
    assert_eq!(added.code(), Some(0), "{added:?}");
    let is_there = |line: &str| line.starts_with("unchanged") || line.starts_with("added");
    assert!(added.stdout.lines().all(is_there), "{added:?}");
}

/// What is there is as it was when a build fails, and the next one does not take it for its own.
fn breaks(folder: &Path, language: &str, path: &OsString) {
    let component = folder.join("my-http.wasm");
    let before = std::fs::read(&component).unwrap();
    let source = match language {
        "rust" => "src/lib.rs",
        "go" => "greeting/greeting.go",
        "python" => "app.py",
        "javascript" => "app.js",
        _ => "greeting.c",
    };
    let source = folder.join(source);
    let right = std::fs::read_to_string(&source).unwrap();
    // What has no explanation gets none.
    let wrong = format!("{right}\nfunction (\n");
    std::fs::write(&source, wrong).unwrap();
    let slip = build(folder, path);
    assert_eq!(slip.code(), Some(1), "{language}: {slip:?}");
    assert!(
        slip.stderr.contains("\nerror: my-http: `"),
        "the tool's own words stand alone: {slip:?}"
    );
    std::fs::write(&source, "}").unwrap();
    for _ in 0..2 {
        let failed = build(folder, path);
        assert_eq!(failed.code(), Some(1), "{language}: {failed:?}");
        assert!(failed.stderr.contains("error: my-http: "), "{failed:?}");
        // What tools say to programs is nothing for people.
        assert!(!failed.stderr.contains("\"reason\""), "{failed:?}");
        assert!(std::fs::read(&component).unwrap() == before, "{language}");
    }
}

/// What the README says that runs the project's test: `a test that `go test ./greeting` runs`.
fn own_test(folder: &Path) -> String {
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let command = readme
        .split_once("test that `")
        .and_then(|(_, rest)| rest.split_once("` runs"));
    command.expect("a command that runs the test").0.to_owned()
}

/// What it was written in is told, and nothing of what its toolchain was; nor is what that has left for itself.
fn is_told(component: &Path, language: &str) {
    let inspected = finish(wharf().arg("inspect").arg("--json").arg(component), "");
    assert_eq!(inspected.code(), Some(0), "{inspected:?}");
    let described: serde_json::Value = serde_json::from_str(&inspected.stdout).unwrap();
    let names = |key: &str| -> Vec<String> {
        let entries = described[key].as_array().unwrap().iter();
        entries
            .map(|entry| entry["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let (written_in, made_with) = match language {
        "rust" => (&["Rust"][..], "rustc"),
        "go" => (&["Go"][..], "Go cmd/compile"),
        "python" => (&["Python"][..], "componentize-py"),
        "javascript" => (&["JavaScript"][..], "componentize-qjs"),
        // By the standard that each of its sources is of.
        _ => (&["C11", "C99"][..], "wit-component"),
    };
    let languages = names("languages");
    let is_known = |language: &String| written_in.contains(&&**language);
    assert!(!languages.is_empty() && languages.iter().all(is_known), "{languages:?}");
    assert!(language == "c" || languages[0] == written_in[0], "{languages:?}");
    assert!(names("tools").contains(&made_with.to_owned()), "{}", described["tools"]);
    let offers = names("exports");
    let called = finish(wharf().arg("call").arg(component), "");
    assert_eq!(called.code(), Some(0), "{called:?}");
    assert!(
        !offers.is_empty() && offers.iter().all(|name| name.contains(':')),
        "{offers:?}"
    );
    assert!(!called.stdout.contains("init: func("), "{called:?}");
}

fn served(folder: &Path) -> Server {
    Server::start_manifest(folder, &["--addr", "127.0.0.1:0"])
}

fn greets_by_http(folder: &Path) {
    let server = served(folder);
    for (path, expected) in [("/", "Hello, world!\n"), ("/Ada?x=1", "Hello, Ada!\n")] {
        let response = http::get(server.addr(), path);
        assert_eq!((response.status, response.text()), (200, expected.into()));
    }
}

fn is_called(component: &Path) {
    for (words, code, expected) in [
        (
            &[][..],
            0,
            "greet-all: async func(names: list<string>) -> stream<string>",
        ),
        (&["greet", "\"Ada\""], 0, "ok(\"Hello, Ada!\")\n"),
        (&["greet", "\" \""], 1, "err(\"there is nobody to greet\")\n"),
        (
            &["greet-all", "[\"Ada\", \"\", \"Grace\"]"],
            0,
            "[\"Hello, Ada!\", \"there is nobody to greet\", \"Hello, Grace!\"]\n",
        ),
    ] {
        let called = finish(wharf().arg("call").arg(component).args(words), "");
        assert_eq!(called.code(), Some(code), "{called:?}");
        assert!(called.stdout.contains(expected), "{called:?}");
    }
}

fn counts(component: &Path) {
    let ran = finish(wharf().arg("run").arg(component), "one two\nthree\n");
    let expected = (Some(0), "2 lines, 3 words, 14 bytes\n");
    assert_eq!((ran.code(), &*ran.stdout), expected, "{ran:?}");
}

/// What is stored is there after the server has stopped.
fn keeps_notes(folder: &Path) {
    let (tea, cake) = (r#"{"id":1,"text":"Buy tea."}"#, r#"{"id":2,"text":"Buy \"cake\"."}"#);
    let both = format!("[{tea},{cake}]");
    let before = [
        ("GET", "/notes", "", 200, "[]"),
        ("POST", "/notes", " Buy tea.", 201, tea),
        ("POST", "/notes", "Buy \"cake\".", 201, cake),
        ("POST", "/notes", " ", 422, r#"{"error":"a note has a text"}"#),
        (
            "POST",
            "/notes",
            "'); drop table note; --",
            201,
            r#"{"id":3,"text":"'); drop table note; --"}"#,
        ),
        ("DELETE", "/notes/3", "", 204, ""),
    ];
    let after = [
        ("GET", "/notes?x=1", "", 200, &*both),
        ("GET", "/notes/2", "", 200, cake),
        ("GET", "/notes/3", "", 404, r#"{"error":"there is no such note"}"#),
        ("DELETE", "/notes/3", "", 404, r#"{"error":"there is no such note"}"#),
        ("PUT", "/notes", "", 405, r#"{"error":"notes know no such method"}"#),
        (
            "GET",
            "/",
            "",
            404,
            r#"{"error":"there is nothing at this path; /notes has the notes"}"#,
        ),
    ];
    for calls in [before, after] {
        let server = served(folder);
        for (method, path, body, status, expected) in calls {
            let reply = http::send(server.addr(), method, path, &[], body.as_bytes());
            // Python writes a space after colons and commas.
            let said = reply
                .text()
                .replace("\": ", "\":")
                .replace(", {", ",{")
                .replace(", \"", ",\"");
            assert_eq!((reply.status, &*said), (status, expected), "{method} {path}");
        }
        drop(server);
    }
}

fn greets_by_websocket(folder: &Path) {
    let server = served(folder);
    assert_eq!(http::get(server.addr(), "/").status, 426);
    let mut socket = WebSocket::open(server.addr(), "/");
    for (said, expected) in [("Ada", "Hello, Ada!"), ("Grace\n", "Hello, Grace!")] {
        socket.send(&Frame::new(TEXT, said));
        let reply = socket.receive().map(|frame| frame.text());
        assert_eq!(reply.as_deref(), Some(expected));
    }
    socket.send(&Frame::close(1000, ""));
    assert_eq!(socket.receive().and_then(|frame| frame.code()), Some(1000));
}

fn stands_in_front(component: &Path) {
    let flags = ["--middleware", component.to_str().unwrap()];
    let server = Server::start("http-echo", &flags);
    // More than passes by at once.
    let content = "0123456789abcdef".repeat(1 << 16);
    let response = http::post(server.addr(), "/", &content);
    assert_eq!(response.status, 200);
    assert!(response.text() == content);
    assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(http::get(server.addr(), "/private/a").status, 403);
}

/// The list is a table, and has what is tested here, no more and no less.
#[test]
fn templates_are_listed_and_each_has_its_test() {
    let listed = wharf_with(["new", "--list"]);
    assert_eq!(listed.code(), Some(0), "{listed:?}");
    let (table, why_not) = listed.stdout.split_once("\n\n").unwrap();
    assert!(
        why_not.contains("JavaScript has no") && why_not.contains("C has "),
        "{why_not}"
    );
    let mut lines = table.lines();
    let languages: Vec<_> = lines.next().unwrap().split_whitespace().collect();
    let mut found = Vec::new();
    for line in lines {
        let words: Vec<_> = line.split_whitespace().collect();
        let marks = languages.iter().zip(&words[1..]);
        found.extend(
            marks
                .filter(|(_, mark)| **mark == "yes")
                .map(|(language, _)| (words[0], *language)),
        );
    }
    let mut expected = TEMPLATES.to_vec();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected, "{table}");
}
