//! The example as its README says, and what Wharf does for a capability that it does not know.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;

use wharf_tests::http::get;
use wharf_tests::{Scratch, Server, eventually, finish, guest};

const MANIFEST: &str = include_str!("../../wharf.toml");

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_own-capability-server"))
}

/// The app with this manifest.
fn app(manifest: &str) -> Scratch {
    let app = Scratch::new();
    let component = fs::read(guest("example-own-capability")).unwrap();
    app.write("target/wasm32-wasip2/release/own_capability.wasm", component);
    app.write("wharf.toml", manifest);
    app
}

fn serve(folder: &Path) -> Server {
    let mut command = program();
    command.args(["serve", "--addr", "127.0.0.1:0", "--admin"]);
    command
        .arg(format!("unix:{}", folder.join("admin").display()))
        .arg(folder);
    Server::spawn(command)
}

fn metrics(folder: &Path) -> String {
    let socket = folder.join("admin");
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--unix-socket"])
        .arg(socket)
        .arg("http://admin/metrics");
    finish(&mut curl, "").stdout
}

#[test]
fn it_counts_across_instances_and_versions() {
    let app = app(MANIFEST);
    let server = serve(app.path());
    assert_eq!(get(server.addr(), "/visits").text(), "visits: 1\n");
    assert_eq!(get(server.addr(), "/visits").text(), "visits: 2\n");
    let refused = get(server.addr(), "/others");
    assert_eq!(
        (refused.status, refused.text().as_str()),
        (404, "nobody counts others\n")
    );
    let counted = metrics(app.path());
    assert!(counted.contains("wharf_tally_counted_total{app="), "{counted}");
    assert!(counted.contains("counter=\"visits\"} 2"), "{counted}");

    // A new version of the app with the same section goes on counting.
    let other = MANIFEST.replace("isolation = \"request\"", "isolation = \"serial\"");
    app.write("wharf.toml.next", other);
    fs::rename(app.path().join("wharf.toml.next"), app.path().join("wharf.toml")).unwrap();
    eventually(|| server.log().contains("reloaded"), "it takes the new version");
    assert_eq!(get(server.addr(), "/visits").text(), "visits: 3\n");

    // Another section is another capability.
    let other = MANIFEST.replace("[\"visits\"]", "[\"visits\", \"others\"]");
    app.write("wharf.toml.next", other);
    fs::rename(app.path().join("wharf.toml.next"), app.path().join("wharf.toml")).unwrap();
    eventually(
        || get(server.addr(), "/others").status == 200,
        "it takes the new version",
    );
    assert_eq!(get(server.addr(), "/visits").text(), "visits: 1\n");
}

#[test]
fn what_is_wrong_with_its_section_is_said_like_anything_else() {
    #[track_caller]
    fn check(manifest: &str, expected: &str) {
        let app = app(manifest);
        let checked = finish(program().arg("check").arg(app.path()), "");
        assert_eq!(checked.code(), Some(1), "{checked:?}");
        let said = checked.stderr;
        assert!(said.contains(expected), "{said}");
    }
    check(
        &MANIFEST.replace("counters", "counter"),
        ":6:1: unknown key `counter`; did you mean `counters`?",
    );
    check(
        &MANIFEST.replace("\"visits\"", "7"),
        ":6:13: `counters` is a whole number here",
    );
    check(
        &MANIFEST.replace("\"visits\"", "\"visits\", \"\""),
        ":6:23: `counters`: a counter has a name",
    );
    let without = MANIFEST.split("[tally]").next().unwrap();
    check(
        without,
        "nothing meets the import acme:tally/tally@0.1.0: an app has it that has a section `[tally]`",
    );
    check(without, "add the section `[tally]` to the app");
    let ungranted = finish(program().arg("serve").arg(app(without).path()), "");
    assert!(
        ungranted.stderr.contains("acme:tally/tally@0.1.0"),
        "{}",
        ungranted.stderr
    );
    assert!(ungranted.stderr.contains("section `[tally]`"), "{}", ungranted.stderr);
}

#[test]
fn its_section_is_in_the_schema_and_in_the_reference() {
    let schema = finish(program().arg("schema"), "").stdout;
    assert!(
        schema.contains("Counters that outlive the instances that count."),
        "{schema}"
    );
    let reference = finish(program().args(["schema", "--reference"]), "").stdout;
    let section = reference.split("### `[tally]`").nth(1).unwrap();
    assert!(
        section.contains("- `counters` (list of strings, required): What the app may count."),
        "{section}"
    );
}

/// Whoever writes a component for it gets its WIT from the program.
#[test]
fn its_interface_is_printed() {
    let listed = finish(program().args(["wit", "list"]), "").stdout;
    let line = listed.lines().find(|line| line.starts_with("acme:tally@0.1.0 "));
    assert!(line.is_some_and(|line| line.ends_with("[tally]")), "{listed}");
    let shown = finish(program().args(["wit", "show", "acme:tally"]), "").stdout;
    assert_eq!(shown, include_str!("../../wit/tally.wit"));
}
