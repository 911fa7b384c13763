//! `wharf dev`: what is saved is built and answers, without a dropped request; what does not build is shown where one looks.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use wharf_tests::{Scratch, Server, eventually, finish, guest, http, toolchain, wharf};

/// What a browser says of itself when it loads a page.
const BROWSER: &str = "accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";

/// An app whose component a command makes: a copy of what `source` names, unless there is an error in it.
fn project() -> Scratch {
    let scratch = Scratch::new();
    let build = "name=$(cat source); case $name in error*) echo \"source:1: $name\" >&2; exit 1;; esac; \
                 cp \"$GUESTS/$name.wasm\" \"$WHARF_COMPONENT\"";
    let manifest = format!(
        "name = 'shop'\ncomponent = 'shop.wasm'\nroutes = [{{ path = '/' }}, {{ path = '/site', files = 'public' }}]\n\
         [build]\ncommand = ['sh', '-c', '''{build}''']\n"
    );
    scratch.write("wharf.toml", manifest);
    scratch.write("public/index.html", "<!doctype html><p>first</p>\n");
    scratch.write("public/plain.txt", "plain\n");
    scratch
}

/// Develops what is in `folder`, as soon as it can be asked.
fn develop(folder: &Path, flags: &[&str], set: impl FnOnce(&mut Command)) -> Server {
    let mut command = wharf();
    command
        .args(["dev", "--addr", "127.0.0.1:0"])
        .args(flags)
        .arg(folder)
        .env("GUESTS", guest("http-hello").parent().unwrap());
    set(&mut command);
    Server::spawn(command)
}

fn get(addr: SocketAddr, path: &str, fields: &str) -> http::Reply {
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n{fields}connection: close\r\n\r\n");
    http::read_reply(http::request(addr, request))
}

fn text(server: &Server) -> String {
    get(server.addr(), "/", "").text()
}

#[track_caller]
fn becomes(server: &Server, expected: &str) {
    eventually(|| text(server).contains(expected), &format!("the answer {expected:?}"));
}

/// The events of a page that is open.
struct Events(BufReader<TcpStream>);

impl Events {
    fn listen(addr: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        write!(stream, "GET /.wharf/dev/events HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        Self(BufReader::new(stream))
    }

    /// The name and the data of the next event.
    fn next(&mut self) -> Option<(String, String)> {
        let (mut name, mut data) = (String::new(), Vec::new());
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim_end();
            if let Some(event) = line.strip_prefix("event: ") {
                event.clone_into(&mut name);
            } else if let Some(text) = line.strip_prefix("data: ") {
                data.push(text.to_owned());
            } else if line.is_empty() && !name.is_empty() {
                return Some((name, data.join("\n")));
            }
        }
    }

    #[track_caller]
    fn expect(&mut self, name: &str) -> String {
        let (got, data) = self.next().expect("another event");
        assert_eq!(got, name, "{data}");
        data
    }
}

#[test]
fn what_is_saved_answers_and_pages_hear_of_it() {
    let scratch = project();
    scratch.write("source", "http-hello");
    let server = develop(&scratch, &[], |_| {});
    assert!(text(&server).starts_with("hello, "), "{}", text(&server));
    assert!(server.log().contains("shop | built, "), "{}", server.log());
    let mut events = Events::listen(server.addr());
    let first = events.expect("version");

    scratch.write("source", "http-echo");
    let second = events.expect("reload");
    assert_ne!(first, second);
    // Whoever is told meets the new one: it answers with what it is sent, which is nothing.
    assert_eq!(text(&server), "");
    server.says("wharf | the new version answers");

    // What is served as it is, is not built; what nobody wrote is no change.
    let builds = server.log().matches("shop | building").count();
    for name in ["notes.txt~", ".source.swp", "target/a", ".git/index"] {
        scratch.write(name, "x");
    }
    scratch.write("public/index.html", "<!doctype html><p>second</p>\n");
    events.expect("reload");
    assert!(get(server.addr(), "/site/", "").text().contains("second"));
    assert_eq!(
        server.log().matches("shop | building").count(),
        builds,
        "{}",
        server.log()
    );

    assert!(server.stop().success());
    assert_eq!(events.next(), None);
}

#[test]
fn what_does_not_build_is_shown_while_the_last_good_version_answers() {
    let scratch = project();
    scratch.write("source", "http-hello");
    let server = develop(&scratch, &[], |_| {});
    let addr = server.addr();
    let mut events = Events::listen(addr);
    events.expect("version");

    scratch.write("source", "error: <b> & c");
    assert!(events.expect("failed").contains("source:1: error: <b> & c"));
    server.says("shop | source:1: error: <b> & c");
    let page = get(addr, "/any/page", BROWSER);
    assert_eq!(page.status, 500);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(
        page.text().contains("source:1: error: &lt;b&gt; &amp; c"),
        "{}",
        page.text()
    );
    assert!(
        page.text().contains("<script src=\"/.wharf/dev/reload.js\""),
        "{}",
        page.text()
    );
    // Programs, and what pages load, meet the last version that was good.
    for fields in ["", "accept: */*\r\n", "accept: text/html\r\nsec-fetch-dest: empty\r\n"] {
        let reply = get(addr, "/", fields);
        assert_eq!(
            (reply.status, reply.text().starts_with("hello, ")),
            (200, true),
            "{fields}"
        );
    }
    let mut late = Events::listen(addr);
    late.expect("version");
    late.expect("failed");

    // Back to what is there already: nothing new answers, and the error is gone.
    scratch.write("source", "http-hello");
    events.expect("fixed");
    late.expect("fixed");
    assert_eq!(get(addr, "/", BROWSER).status, 200);
}

#[test]
fn what_did_not_build_at_the_start_answers_once_it_does() {
    let scratch = project();
    scratch.write("source", "error at first");
    let server = develop(&scratch, &[], |_| {});
    assert!(
        get(server.addr(), "/", BROWSER)
            .text()
            .contains("source:1: error at first")
    );
    assert_eq!(get(server.addr(), "/", "").status, 503);
    scratch.write("source", "http-hello");
    becomes(&server, "hello, ");
    eventually(|| get(server.addr(), "/", BROWSER).status == 200, "the page");

    // A manifest that is wrong is shown the same way, and what was good goes on.
    let manifest = std::fs::read_to_string(scratch.join("wharf.toml")).unwrap();
    scratch.write("wharf.toml", format!("{manifest}\nnot toml"));
    eventually(
        || get(server.addr(), "/", BROWSER).text().contains("wharf.toml"),
        "the page to say where",
    );
    becomes(&server, "hello, ");
    scratch.write("wharf.toml", manifest);
    eventually(|| get(server.addr(), "/", BROWSER).status == 200, "the page");
}

#[test]
fn pages_get_a_script_and_nothing_else_is_touched() {
    let scratch = project();
    scratch.write("source", "http-echo");
    let check = |server: &Server, path: &str, fields: &str, has_script: bool| {
        let reply = get(server.addr(), path, fields);
        let text = reply.text();
        assert_eq!(
            text.contains("/.wharf/dev/reload.js"),
            has_script,
            "{path} {fields}: {text}"
        );
        let length = reply.header("content-length").map(|length| length.parse().unwrap());
        assert_eq!(length.unwrap_or(reply.body.len()), reply.body.len());
        assert_eq!(
            reply.header("etag").is_some(),
            !has_script && path.starts_with("/site"),
            "{path}"
        );
        reply
    };
    let server = develop(&scratch, &[], |_| {});
    let page = check(&server, "/site/", BROWSER, true);
    assert!(
        page.text().starts_with("<!doctype html><p>first</p>\n<script "),
        "{}",
        page.text()
    );
    assert_eq!(page.header("cache-control"), Some("no-store"));
    check(&server, "/site/", "", false);
    check(&server, "/site/plain.txt", BROWSER, false);
    check(
        &server,
        "/site/",
        "accept: text/html\r\nsec-fetch-dest: empty\r\n",
        false,
    );
    check(&server, "/site/", &format!("{BROWSER}range: bytes=0-3\r\n"), false);
    let script = get(server.addr(), "/.wharf/dev/reload.js", "");
    assert_eq!(script.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert!(script.text().contains("EventSource(\"/.wharf/dev/events\")"));
    drop(server);
    let server = develop(&scratch, &["--no-script"], |_| {});
    check(&server, "/site/", BROWSER, false);
}

#[test]
fn no_request_fails_while_versions_change() {
    let scratch = project();
    scratch.write("source", "http-hello");
    let server = develop(&scratch, &[], |_| {});
    let addr = server.addr();
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(AtomicUsize::new(0));
    let clients = [(); 4].map(|()| {
        let (stop, asked) = (stop.clone(), asked.clone());
        thread::spawn(move || {
            let mut failures = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let reply = get(addr, "/", "");
                asked.fetch_add(1, Ordering::Relaxed);
                if reply.status != 200 {
                    failures.push(reply);
                }
            }
            failures
        })
    });
    let mut events = Events::listen(addr);
    events.expect("version");
    for nth in 0..6 {
        scratch.write("source", ["http-echo", "http-hello"][nth % 2]);
        events.expect("reload");
        let before = asked.load(Ordering::Relaxed);
        eventually(|| asked.load(Ordering::Relaxed) > before + 20, "more requests");
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        assert_eq!(client.join().unwrap(), []);
    }
}

#[test]
fn lines_of_guests_and_builds_say_whose_they_are() {
    let scratch = project();
    scratch.write("source", "http-env");
    let server = develop(&scratch, &[], |_| {});
    get(server.addr(), "/", "");
    eventually(
        || {
            (server.stdout() + &server.log())
                .lines()
                .filter(|line| line.starts_with("shop | "))
                .count()
                > 2
        },
        "a line of the guest's",
    );
    assert!(!(server.stdout() + &server.log()).contains('\x1b'), "{}", server.log());
}

/// A project whose build takes minutes, and says by a file which process it waits for.
fn slow(manifest: &str) -> String {
    manifest.replace("name=$(cat source);", "sleep 300 & echo $! > .pid; wait;")
}

/// The number of the process that a slow build waits for, once it does.
fn waited_for(scratch: &Scratch) -> String {
    let read = || std::fs::read_to_string(scratch.join(".pid")).unwrap_or_default();
    eventually(|| read().ends_with('\n'), "the build");
    read().trim().to_owned()
}

#[track_caller]
fn ends(process: &str) {
    let runs = || {
        let status = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        status.contains("(sleep)") && !status.contains(") Z")
    };
    eventually(|| !runs(), "the build's own child to end");
}

/// A build that runs is ended with all that it has started.
#[test]
fn the_end_ends_what_is_being_built() {
    let scratch = project();
    scratch.write("source", "http-hello");
    let server = develop(&scratch, &[], |_| {});
    let manifest = std::fs::read_to_string(scratch.join("wharf.toml")).unwrap();
    scratch.write("wharf.toml", slow(&manifest));
    let process = waited_for(&scratch);
    assert!(server.stop().success());
    ends(&process);
}

#[test]
fn the_end_may_come_before_anything_is_served() {
    let scratch = project();
    let manifest = std::fs::read_to_string(scratch.join("wharf.toml")).unwrap();
    scratch.write("wharf.toml", slow(&manifest));
    let mut dev = wharf()
        .args(["dev", "--addr", "127.0.0.1:0"])
        .arg(&*scratch)
        .spawn()
        .unwrap();
    let process = waited_for(&scratch);
    rustix::process::kill_process(rustix::process::Pid::from_child(&dev), rustix::process::Signal::TERM).unwrap();
    assert_eq!(dev.wait().unwrap().code(), Some(0));
    ends(&process);
}

/// What changes while it is being built is built, too.
#[test]
fn a_change_during_a_build_makes_another_build() {
    let scratch = project();
    let manifest = std::fs::read_to_string(scratch.join("wharf.toml")).unwrap();
    scratch.write("source", "http-hello");
    let slow = manifest.replace(
        "case $name",
        "touch .begun; while test -e .hold; do sleep 0.05; done; case $name",
    );
    scratch.write("wharf.toml", slow);
    let server = develop(&scratch, &[], |_| {});
    scratch.write(".hold", "");
    std::fs::remove_file(scratch.join(".begun")).unwrap();
    scratch.write("source", "error in between");
    eventually(|| scratch.join(".begun").exists(), "the build to begin");
    scratch.write("source", "http-echo");
    thread::sleep(Duration::from_millis(200));
    std::fs::remove_file(scratch.join(".hold")).unwrap();
    eventually(|| text(&server).is_empty(), "the newest version");
    eventually(|| get(server.addr(), "/", BROWSER).status == 200, "the error to go");
}

/// Nobody can tell who has written a file; what changes with each build, and alone, is no reason for another one.
#[test]
fn a_command_that_writes_among_its_sources_is_not_run_for_ever() {
    let scratch = project();
    scratch.write("source", "http-hello");
    let manifest = std::fs::read_to_string(scratch.join("wharf.toml")).unwrap();
    let writes = manifest.replace("name=$(cat source);", "echo again >> stamp; name=$(cat source);");
    scratch.write("wharf.toml", writes);
    let server = develop(&scratch, &[], |_| {});
    server.says("wharf | stamp changes each time that the command of shop runs");
    for (source, expected) in [("http-echo", ""), ("http-hello", "hello, "), ("http-echo", "")] {
        scratch.write("source", source);
        eventually(
            || text(&server).starts_with(expected) && (text(&server).is_empty() == expected.is_empty()),
            source,
        );
    }
    let times = std::fs::read_to_string(scratch.join("stamp")).unwrap().lines().count();
    assert!(times < 30, "{times} builds: {}", server.log());
}

/// How many builds have begun.
fn builds(log: &str) -> usize {
    log.matches("shop | building").count()
}

/// An app stores what it stores, and nothing is built for it: neither while it is served nor afterwards.
#[test]
fn what_an_app_writes_is_no_source() {
    let scratch = project();
    let manifest = std::fs::read_to_string(scratch.join("wharf.toml")).unwrap();
    let data = "[sql.default]\npath = 'shop.db'\nbackup = { folder = 'copies', interval = '1s' }\n\
                [keyvalue.default]\nfile = 'data.kv'\n\
                [filesystem]\n'/kept' = { folder = 'kept', access = 'write' }\n'/read' = 'read'\n\
                '/public' = { folder = 'public', access = 'write' }\n";
    let manifest = manifest.replace("name=$(cat source);", "echo >> .runs; name=$(cat source);");
    scratch.write("wharf.toml", format!("{manifest}{data}"));
    scratch.write("kept/before", "");
    scratch.write("read/text", "");
    scratch.write("source", "sql");
    let server = develop(&scratch, &[], |_| {});
    let mut events = Events::listen(server.addr());
    events.expect("version");
    let ask = |script: &str| http::post(server.addr(), "/", script).text();
    assert_eq!(ask("execute CREATE TABLE a (b TEXT)").trim(), "changed 0");
    // All that it may write, as often as a build would take.
    let copies = || scratch.join("copies").read_dir().map_or(0, Iterator::count);
    let mut nth = 0;
    let writes = || {
        nth += 1;
        assert_eq!(ask("execute INSERT INTO a VALUES ('c')").trim(), "changed 1");
        scratch.write(format!("kept/in/{nth}"), "x");
        scratch.write("public/uploaded", "x");
        nth > 20 && copies() > 1
    };
    eventually(writes, "copies of the database");
    // What is no data is a reason all the same, and the only one that is named.
    scratch.write("read/text", "x");
    server.says("wharf | read/text has changed");
    server.says("shop | unchanged, ");
    scratch.write("source", "http-hello");
    events.expect("reload");
    becomes(&server, "hello, ");
    let log = server.log();
    assert_eq!((builds(&log), log.matches("changed\n").count()), (3, 2), "{log}");
    assert!(server.stop().success());

    // Each run leaves a line.
    let runs = || std::fs::read_to_string(scratch.join(".runs")).unwrap().lines().count();
    assert_eq!(runs(), 3);
    for (file, expected) in [
        ("shop.db", 3),
        ("shop.db-wal", 3),
        ("data.kv-journal", 3),
        ("kept/more", 3),
        ("copies/more", 3),
        ("read/more", 4),
    ] {
        scratch.write(file, "x");
        let built = finish(
            wharf()
                .arg("build")
                .arg(&*scratch)
                .env("GUESTS", guest("sql").parent().unwrap()),
            "",
        );
        assert!(built.stderr.contains("shop: unchanged, "), "{file}: {built:?}");
        assert_eq!(runs(), expected, "{file}");
    }
}

/// Each build says something, which would be the reason for the next.
#[test]
fn what_is_said_may_go_to_a_file_among_the_sources() {
    let scratch = project();
    scratch.write("source", "http-hello");
    let file = std::fs::File::create(scratch.join("dev.log")).unwrap();
    let mut command = wharf();
    command
        .args(["dev", "--addr", "127.0.0.1:0"])
        .arg(&*scratch)
        .env("GUESTS", guest("http-hello").parent().unwrap())
        .stdout(file.try_clone().unwrap())
        .stderr(file);
    let mut dev = command.spawn().unwrap();
    let log = || std::fs::read_to_string(scratch.join("dev.log")).unwrap();
    eventually(|| log().contains("http://127.0.0.1:"), "a server");
    for (nth, source) in ["http-echo", "http-hello", "http-echo"].into_iter().enumerate() {
        scratch.write("source", source);
        eventually(|| log().matches("the new version answers").count() == nth + 1, source);
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&dev), rustix::process::Signal::TERM).unwrap();
    assert_eq!(dev.wait().unwrap().code(), Some(0));
    assert_eq!(builds(&log()), 4, "{}", log());
}

/// As `wharf dev 2>&1 | tee dev.log` does it.
#[test]
fn what_is_said_may_be_copied_to_a_file_among_the_sources() {
    let scratch = project();
    scratch.write("source", "http-hello");
    let server = develop(&scratch, &[], |_| {});
    let copied = Arc::new(AtomicBool::new(false));
    let is_over = Arc::new(AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut last = String::new();
            while !is_over.load(Ordering::Relaxed) {
                let log = server.log();
                if log != last {
                    scratch.write("dev.log", &log);
                    copied.store(true, Ordering::Relaxed);
                    last = log;
                }
                thread::sleep(Duration::from_millis(5));
            }
        });
        server.says("wharf | dev.log holds what is said here");
        for (source, expected) in [("http-echo", ""), ("http-hello", "hello, ")] {
            scratch.write("source", source);
            let is_there = || text(&server).starts_with(expected) && text(&server).is_empty() == expected.is_empty();
            eventually(is_there, source);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let log = server.log();
    assert!(!log.contains("dev.log has changed") && builds(&log) == 3, "{log}");
}

/// Nobody knows who writes it, and it may be a source some day: it is built now and then.
#[test]
fn what_makes_no_difference_again_and_again_waits() {
    let scratch = project();
    scratch.write("source", "http-hello");
    let server = develop(&scratch, &[], |_| {});
    let mut nth = 0;
    let mut write = || {
        nth += 1;
        scratch.write("notes", format!("{nth}"));
    };
    eventually(
        || {
            write();
            server
                .log()
                .contains("wharf | notes changes again and again, and makes no difference")
        },
        "notes to be known",
    );
    let before = builds(&server.log());
    write();
    eventually(|| builds(&server.log()) > before, "what has waited");
    // Another file waits for nothing.
    write();
    scratch.write("source", "http-echo");
    eventually(|| text(&server).is_empty(), "the newest version");
}

/// Whoever develops sees where it was, whatever the profile says of what is shipped; `wharf build` ships nothing of it.
#[test]
fn traps_are_told_with_lines_of_the_source() {
    for (language, file, line, broken) in [
        (
            "rust",
            "src/greeting.rs",
            "    match path",
            "    assert!(path != \"/\");\n    match path",
        ),
        (
            "c",
            "greeting.c",
            "  while (length > 0",
            "  __builtin_trap();\n  while (length > 0",
        ),
    ] {
        let Some(path) = toolchain::path(language) else {
            continue;
        };
        let scratch = Scratch::new();
        let name = format!("breaks-in-{language}");
        let folder = scratch.join(&name);
        let made = finish(wharf().arg("new").arg(&folder).args(["--language", language]), "");
        assert_eq!(made.code(), Some(0), "{made:?}");
        if language == "rust" {
            let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
            let stripped = manifest.replace("[profile.release]\n", "[profile.release]\nstrip = true\n");
            assert_ne!(stripped, manifest);
            std::fs::write(folder.join("Cargo.toml"), stripped).unwrap();
        }
        let source = std::fs::read_to_string(folder.join(file)).unwrap();
        let before = source.lines().position(|known| known.starts_with(line)).unwrap();
        std::fs::write(folder.join(file), source.replace(line, broken)).unwrap();
        let place = format!("{file}:{}:", before + 1);
        let set = |command: &mut Command| {
            command
                .env("PATH", &path)
                .env("CARGO_TARGET_DIR", toolchain::cargo_target())
                .env_remove("WASMTIME_BACKTRACE_DETAILS");
        };
        let server = develop(&folder, &[], set);
        let component = folder.join(&name).with_extension("wasm");
        let bytes = || component.metadata().unwrap().len();
        let with_lines = bytes();
        assert_eq!(get(server.addr(), "/", "").status, 502);
        // A panic's own message has a place as well: the backtrace comes after it.
        let in_backtrace = || {
            let log = server.log();
            log.split_once("wasm backtrace:")
                .is_some_and(|(_, backtrace)| backtrace.contains(&place))
        };
        eventually(in_backtrace, &format!("{place} in {}", server.log()));
        server.stop();

        let mut build = wharf();
        set(build.arg("build").arg(&folder));
        let built = finish(&mut build, "");
        assert!(built.stderr.contains(": built, "), "{built:?}");
        assert!(bytes() < with_lines, "{built:?}");
    }
}

#[test]
fn an_app_that_comes_into_a_servers_folder_is_built() {
    let scratch = Scratch::new();
    scratch.write("wharf.toml", "[server]\nlisten = '127.0.0.1:0'\napps = 'apps'\n");
    let add = |name: &str, manifest: &str| {
        let build = "[build]\ncommand = ['sh', '-c', 'cp \"$GUESTS/$(cat source).wasm\" \"$WHARF_COMPONENT\"']\n";
        let route = format!("component = 'app.wasm'\nroutes = [{{ path = '/{name}' }}]\n{manifest}{build}");
        scratch.write(format!("apps/{name}/wharf.toml"), route);
        scratch.write(format!("apps/{name}/source"), "http-hello");
    };
    add("first", "");
    let server = develop(&scratch, &[], |_| {});
    let answers = |path: &str| {
        let answered = || get(server.addr(), path, "").text().starts_with("hello, ");
        eventually(answered, &format!("an answer at {path}"));
    };
    answers("/first");
    add("second", "");
    answers("/second");
    // One that is wrong holds none of the others up, and is built once it is right.
    add("third", "wrong = 1\n");
    server.says("wrong");
    add("fourth", "");
    answers("/fourth");
    add("third", "");
    answers("/third");
}

/// Prints what docs/concepts/dev.md says of it.
#[test]
fn from_saving_to_the_new_answer() {
    let Some(path) = toolchain::path("rust") else {
        return;
    };
    let scratch = Scratch::new();
    // Of no other test's: they have one folder for what Cargo makes.
    let folder = scratch.join("saved-often");
    let made = finish(
        wharf()
            .arg("new")
            .arg(&folder)
            .args(["--template", "http", "--language", "rust"]),
        "",
    );
    assert_eq!(made.code(), Some(0), "{made:?}");
    let server = develop(&folder, &[], |command| {
        command
            .env("PATH", path)
            .env("CARGO_TARGET_DIR", toolchain::cargo_target());
    });
    let file = folder.join("src/greeting.rs");
    let source = std::fs::read_to_string(&file).unwrap();
    assert!(source.contains("Hello, "), "{source}");
    let mut taken = Vec::new();
    for nth in 0..7 {
        let greeting = format!("Number {nth}, ");
        let begun = Instant::now();
        std::fs::write(&file, source.replace("Hello, ", &greeting)).unwrap();
        while !text(&server).contains(&greeting) {
            assert!(begun.elapsed() < Duration::from_secs(120), "{}", server.log());
            thread::sleep(Duration::from_millis(5));
        }
        taken.push(begun.elapsed());
    }
    println!("{}", server.log());
    taken.sort();
    println!(
        "from saving to the new answer, of 7: median {:?}, from {:?} to {:?}",
        taken[3], taken[0], taken[6]
    );
}
