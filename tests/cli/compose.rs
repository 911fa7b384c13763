//! `wharf compose`: one component of several, which does what they do together.

use std::fs;
use std::path::Path;

use wharf_tests::{Finished, Scratch, Server, finish, guest, http, wharf};

/// Components that link to each other, under short names; and a folder for what becomes of them.
fn components() -> Scratch {
    let scratch = Scratch::new();
    for (name, from) in [
        ("caller", "linked-caller"),
        ("store", "linked-store"),
        ("relay", "linked-relay"),
        ("relayed", "linked-relayed"),
        ("hello", "http-hello"),
        ("inner", "http-middleware-inner"),
    ] {
        fs::copy(guest(from), scratch.join(name).with_extension("wasm")).unwrap();
    }
    scratch
}

fn compose(folder: &Path, words: &str) -> Finished {
    let mut command = wharf();
    command.arg("compose").args(words.split(' ')).current_dir(folder);
    finish(&mut command, "")
}

#[track_caller]
fn check_composed(folder: &Path, words: &str, expected: &[&str]) -> Server {
    let composed = compose(folder, &format!("{words} -o out/whole.wasm"));
    assert_eq!(composed.code(), Some(0), "{composed:?}");
    for expected in expected {
        assert!(composed.stdout.contains(expected), "{words}: {}", composed.stdout);
    }
    Server::start(folder.join("out/whole.wasm"), &["--isolation", "serial"])
}

#[test]
fn imports_are_met_by_those_who_export_them() {
    let scratch = components();
    let said = "  caller.wasm calls acme:store/store@0.1.0 of store.wasm\n";
    let server = check_composed(&scratch, "caller.wasm store.wasm", &["of 2 components", said]);
    let text = |call: &str| http::get(server.addr(), &format!("/?call={call}")).text();
    assert_eq!(text("set&key=a&value=1"), "set");
    assert_eq!(text("get&key=a"), "Some(\"1\")");

    // Both link to the store, and meet the same one.
    let said = [
        "of 3 components",
        "relayed.wasm calls acme:store/relayed@0.1.0 of relay.wasm",
        "relay.wasm calls acme:store/store@0.1.0 of store.wasm",
        "relayed.wasm calls acme:store/store@0.1.0 of store.wasm",
    ];
    let server = check_composed(&scratch, "relayed.wasm relay.wasm store.wasm", &said);
    assert_eq!(http::get(server.addr(), "/").status, 200);
}

#[test]
fn middleware_stands_in_front() {
    let scratch = components();
    let said = "inner.wasm stands in front of hello.wasm";
    let server = check_composed(&scratch, "hello.wasm --middleware inner.wasm", &[said]);
    let alone = Server::start(
        "http-hello",
        &["--middleware", scratch.join("inner.wasm").to_str().unwrap()],
    );
    let (composed, flagged) = (http::get(server.addr(), "/"), http::get(alone.addr(), "/"));
    assert_eq!((composed.status, composed.text()), (flagged.status, flagged.text()));
    assert!(composed.text().contains("hello"), "{}", composed.text());
}

#[test]
fn a_manifest_says_who_is_joined_with_whom() {
    let scratch = components();
    let manifest = "routes = [{ path = '/', component = 'caller' }]\n\
                    [components.caller]\nfile = 'caller.wasm'\nlinks = { 'acme:store/store' = 'store' }\n\
                    [components.store]\nfile = 'store.wasm'\ninstance = 'own'\n";
    scratch.write("wharf.toml", manifest);
    for words in [".", "wharf.toml --component caller"] {
        let server = check_composed(&scratch, words, &["caller calls acme:store/store of store"]);
        assert_eq!(http::get(server.addr(), "/?call=get&key=a").text(), "None");
    }
    // Of several that link, those alone are to choose from.
    let manifest =
        format!("{manifest}[components.other]\nfile = 'caller.wasm'\nlinks = {{ 'acme:store/store' = 'store' }}\n");
    scratch.write("two/wharf.toml", manifest);
    check_refused(
        &scratch,
        "two -o a.wasm",
        "2 components link to others: name one with --component: caller, other\n",
    );
    check_refused(
        &scratch,
        ". --component cellar -o a.wasm",
        "0 components are called cellar: name one",
    );
    check_refused(
        &scratch,
        ". store.wasm -o a.wasm",
        "is said there, under `links` and `middleware`",
    );
}

#[track_caller]
fn check_refused(folder: &Path, words: &str, expected: &str) {
    let refused = compose(folder, words);
    assert_eq!(refused.code(), Some(1), "{refused:?}");
    assert!(refused.stderr.contains(expected), "{words}: {}", refused.stderr);
    assert!(!folder.join("a.wasm").exists());
}

#[test]
fn what_cannot_be_composed_is_said_and_leaves_nothing() {
    let scratch = components();
    scratch.write("text.wasm", "text");
    for (words, expected) in [
        (
            "caller.wasm -o a.wasm",
            "caller.wasm alone is there: what is it to be joined with?",
        ),
        (
            "caller.wasm hello.wasm -o a.wasm",
            "hello.wasm exports nothing of what the others import",
        ),
        ("caller.wasm store.wasm no.wasm -o a.wasm", "cannot read no.wasm"),
        ("caller.wasm text.wasm -o a.wasm", "text.wasm"),
        (
            "caller.wasm store.wasm --component store -o a.wasm",
            "--component names one of a manifest",
        ),
        (
            "caller.wasm store.wasm -o store.wasm",
            "the whole would take a part's place",
        ),
    ] {
        check_refused(&scratch, words, expected);
    }
    let unsaid = compose(&scratch, "caller.wasm store.wasm");
    assert_eq!(unsaid.code(), Some(2), "{unsaid:?}");
    assert!(unsaid.stderr.contains("--output <OUT>"), "{unsaid:?}");
}
