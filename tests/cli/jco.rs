//! Components that jco, and what it has for engines, have made of JavaScript: they run here as they come.

use std::path::Path;
use std::process::Command;

use wharf_tests::{Finished, Scratch, Server, finish, http, toolchain, wharf};

use crate::develop::project;

/// With QuickJS: the module of the template, which Wharf builds by the engine's own command, built by jco.
#[test]
fn quickjs() {
    let Some(tools) = toolchain::jco() else { return };
    let project = project("site", "http", "javascript");
    let folder = project.join("site");
    let mut jco = Command::new(tools.join(".bin/jco"));
    jco.arg("componentize").arg(folder.join("app.js"));
    jco.args(["--backend", "qjs", "--world-name", "service", "--wit"]);
    jco.arg(folder.join("wit")).arg("--out").arg(folder.join("app.wasm"));
    done(&mut jco);
    let server = Server::start(folder.join("app.wasm"), &[]);
    let reply = http::get(server.addr(), "/");
    assert_eq!((reply.status, &*reply.text()), (200, "Hello, world!\n"));
}

/// With StarlingMonkey, by the library that jco calls for it.
#[test]
fn starling_monkey() {
    let Some(tools) = toolchain::jco() else { return };
    let scratch = Scratch::new();
    scratch.write("app.js", "export function greet(name) { return `Hello, ${name}!`; }");
    scratch.write(
        "world.wit",
        "package demo:greeting;\nworld greeting { export greet: func(name: string) -> string; }",
    );
    let library = tools.join("@bytecodealliance/componentize-js/src/componentize.js");
    scratch.write("build.mjs", script(&library));
    done(Command::new("node").arg("build.mjs").current_dir(scratch.path()));
    let mut call = wharf();
    let called = finish(
        call.arg("call")
            .arg(scratch.join("app.wasm"))
            .args(["greet", "\"Ada\""]),
        "",
    );
    assert_eq!(
        (called.code(), called.stdout.trim()),
        (Some(0), "\"Hello, Ada!\""),
        "{called:?}"
    );
}

fn script(library: &Path) -> String {
    // As texts: it does not find files by their paths.
    format!(
        "import {{ componentize }} from '{}';
         import {{ readFileSync, writeFileSync }} from 'node:fs';
         const [source, wit] = ['app.js', 'world.wit'].map((file) => readFileSync(file, 'utf8'));
         const {{ component }} = await componentize(source, wit, {{ worldName: 'greeting' }});
         writeFileSync('app.wasm', component);",
        library.display()
    )
}

fn done(command: &mut Command) -> Finished {
    let done = finish(command, "");
    assert_eq!(done.code(), Some(0), "{done:?}");
    done
}
