//! Manifests that change, components that are replaced, under load and wrongly.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use wharf_tests::http::{Connection, Reply, get};
use wharf_tests::{Scratch, Server, eventually, guest};

use crate::operator::{ADMIN, admin, metric};

/// A server with two apps in a folder: `a` under `/a`, `b` under `/b`; each tells its version.
struct Site {
    server: Server,
    admin: SocketAddr,
    scratch: Scratch,
}

impl Site {
    fn serve() -> Self {
        Self::serve_with("http-env", "")
    }

    fn serve_with(component: &str, more: &str) -> Self {
        let scratch = Scratch::new();
        for name in ["a", "b"] {
            fs::create_dir_all(scratch.join("apps").join(name)).expect("the folder can be made");
            fs::copy(guest(component), scratch.join("apps").join(name).join("app.wasm"))
                .expect("a guest can be copied");
            write_app(&scratch, name, "1", more);
        }
        let manifest = scratch.write("wharf.toml", "[server]\napps = 'apps'\ndrain-timeout = '60s'\n");
        let server = Server::start(manifest, &[&ADMIN[..], &["--log", "debug"]].concat());
        let admin = admin(&server);
        Self { server, admin, scratch }
    }

    fn get(&self, path: &str) -> Reply {
        get(self.server.addr(), path)
    }

    /// The version that answers under a path.
    fn version(&self, path: &str) -> String {
        let reply = self.get(path);
        let text = reply.text();
        let line = text.lines().find_map(|line| line.strip_prefix("env VERSION="));
        line.map_or_else(|| format!("{} {text}", reply.status), str::to_owned)
    }

    fn reloads(&self, outcome: &str) -> f64 {
        metric(self.admin, &format!("wharf_reloads_total{{outcome=\"{outcome}\"}}")).unwrap_or(0.0)
    }

    /// Sends SIGHUP, and waits until the reload has ended as expected.
    fn hang_up(&self, outcome: &str) {
        let before = self.reloads(outcome);
        let pid = rustix::process::Pid::from_raw(self.server.pid() as i32).expect("a process has a number");
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).expect("the server runs");
        eventually(|| self.reloads(outcome) > before, &format!("a reload is {outcome}"));
    }
}

/// Replaces the file in one step, as deployments do.
fn write_app(scratch: &Scratch, name: &str, version: &str, more: &str) {
    let text = format!(
        "component = 'app.wasm'\nenvironment = {{ VERSION = '{version}' }}\nroutes = [{{ path = '/{name}' }}]\n{more}"
    );
    replace(&scratch.join("apps").join(name).join("wharf.toml"), text.as_bytes());
}

fn replace(file: &Path, content: &[u8]) {
    let draft = file.with_extension("draft");
    fs::write(&draft, content).expect("the folder can be written");
    fs::rename(&draft, file).expect("the file can be replaced");
}

#[test]
fn a_changed_app_is_replaced_and_the_other_keeps_its_instance() {
    let site = Site::serve_with("http-state", "");
    let identity = |path: &str| {
        let text = site.get(path).text();
        text.split_whitespace().nth(1).map(str::to_owned)
    };
    let before = [identity("/a"), identity("/b")];
    write_app(&site.scratch, "a", "2", "");
    site.hang_up("taken");
    let after = [identity("/a"), identity("/b")];
    assert_ne!(before[0], after[0], "a is another version");
    assert_eq!(before[1], after[1], "b was not touched");
    let log = site.server.log();
    assert!(log.contains("reloaded changed=\"a\" gone=\"\""), "{log}");
}

#[test]
fn a_changed_file_is_noticed() {
    let site = Site::serve();
    assert_eq!(site.version("/a"), "1");
    write_app(&site.scratch, "a", "2", "");
    eventually(|| site.version("/a") == "2", "the manifest's change is noticed");
    // The same name, another component.
    let file = site.scratch.join("apps/b/app.wasm");
    replace(&file, &fs::read(guest("http-hello")).expect("a guest can be read"));
    eventually(
        || site.get("/b").text() == "hello, wharf",
        "the component's change is noticed",
    );
    // A new app, and one that goes.
    site.scratch.write(
        "apps/c.toml",
        "component = 'a/app.wasm'\nenvironment = { VERSION = 'c' }\nroutes = [{ path = '/c' }]\n",
    );
    eventually(|| site.version("/c") == "c", "a new app is noticed");
    fs::remove_dir_all(site.scratch.join("apps/b")).expect("it can be removed");
    eventually(|| site.get("/b").status == 404, "an app that is gone is noticed");
    assert_eq!(site.version("/a"), "2");
}

/// What is wrong is said, and what was there goes on; other apps change meanwhile.
#[test]
fn what_cannot_be_taken_leaves_everything_as_it_was() {
    let site = Site::serve();
    let app = site.scratch.join("apps/a");
    let component = fs::read(app.join("app.wasm")).expect("it was written");
    let cases: [(&str, &[u8], &str); 5] = [
        (
            "wharf.toml",
            b"component = 'app.wasm'\nroute = [{ path = '/a' }]\n",
            "did you mean `routes`",
        ),
        ("wharf.toml", b"component = \n", "not TOML"),
        (
            "wharf.toml",
            b"component = 'none.wasm'\nroutes = [{ path = '/a' }]\n",
            "none.wasm",
        ),
        ("app.wasm", b"", "app.wasm"),
        ("app.wasm", &component[..component.len() / 2], "app.wasm"),
    ];
    for (nth, (file, content, said)) in cases.into_iter().enumerate() {
        replace(&app.join(file), content);
        let version = format!("b{nth}");
        write_app(&site.scratch, "b", &version, "");
        site.hang_up("refused");
        assert_eq!(site.version("/a"), "1", "{said}");
        assert_eq!(site.version("/b"), version, "{said}");
        eventually(|| site.server.log().contains(said), &format!("the log says {said:?}"));
        replace(&app.join("app.wasm"), &component);
        write_app(&site.scratch, "a", "1", "");
        site.hang_up("taken");
    }
    replace(&site.scratch.join("wharf.toml"), b"[server]\napp = 'apps'\n");
    site.hang_up("refused");
    assert_eq!(site.version("/a"), "1");
    eventually(
        || site.server.log().contains("everything is served as before"),
        "the log says so",
    );
}

/// The old version finishes what it has begun, while the new one answers what comes.
#[test]
fn what_is_under_way_is_finished_by_the_old_version() {
    let site = Site::serve_with("http-slow", "");
    let mut slow = Connection::open(site.server.addr());
    slow.send("GET /a?delay=3000&at=body HTTP/1.1\r\nhost: a.test\r\n\r\n");
    let head = slow.head();
    assert_eq!(head.status(), 200);
    write_app(&site.scratch, "a", "2", "");
    site.hang_up("taken");
    assert_eq!(site.get("/a?delay=1").status, 200);
    assert_eq!(slow.body(), b"begun, done");
    // The connection stays.
    slow.send("GET /b?delay=1 HTTP/1.1\r\nhost: a.test\r\n\r\n");
    assert_eq!(slow.reply().status, 200);
}

/// A version that was replaced does not live forever: what it streams breaks off when its time is over.
#[test]
fn an_old_version_is_cut_off_when_its_time_is_over() {
    let scratch = Scratch::new();
    fs::copy(guest("http-slow"), scratch.join("app.wasm")).expect("a guest can be copied");
    let manifest = |version: &str| {
        format!(
            "[server]\ndrain-timeout = '1s'\n[apps.a]\ncomponent = 'app.wasm'\nenvironment = {{ VERSION = '{version}' }}\n"
        )
    };
    let file = scratch.write("wharf.toml", manifest("1"));
    let server = Server::start(file.clone(), &[]);
    let mut slow = Connection::open(server.addr());
    slow.send("GET /?delay=60000&at=body HTTP/1.1\r\nhost: a.test\r\n\r\n");
    assert_eq!(slow.head().status(), 200);
    replace(&file, manifest("2").as_bytes());
    assert!(slow.try_body().is_err(), "it has an end");
    eventually(|| server.log().contains("cut off requests"), "it is said");
    assert_eq!(get(server.addr(), "/?delay=1").status, 200);
}

/// 200 reloads, each with a change, while clients ask on connections that stay and on new ones.
#[test]
fn no_request_fails_under_two_hundred_reloads() {
    let site = Site::serve();
    let (over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for client in 0..4 {
            let (site, over, answered) = (&site, &over, &answered);
            scope.spawn(move || {
                let path = if client % 2 == 0 { "/a" } else { "/b" };
                let mut kept = Connection::open(site.server.addr());
                while !over.load(Ordering::Relaxed) {
                    kept.send(format!("GET {path} HTTP/1.1\r\nhost: a.test\r\n\r\n"));
                    assert_eq!(kept.reply().status, 200);
                    assert_eq!(get(site.server.addr(), path).status, 200);
                    answered.fetch_add(2, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
        }
        for nth in 0..200 {
            let version = format!("v{nth}");
            write_app(&site.scratch, if nth % 2 == 0 { "a" } else { "b" }, &version, "");
            site.hang_up("taken");
        }
        over.store(true, Ordering::Relaxed);
    });
    assert_eq!(
        (site.version("/a"), site.version("/b")),
        ("v198".to_owned(), "v199".to_owned())
    );
    assert!(site.reloads("taken") >= 200.0);
    let answered = answered.load(Ordering::Relaxed);
    assert!(answered > 200, "{answered} requests in 200 reloads show nothing");
}

/// A component is compiled in another process, which a hostile one may take with it.
#[cfg(target_os = "linux")]
#[test]
fn a_component_is_compiled_apart() {
    let site = Site::serve();
    // Nothing of it can be in the cache: no other has this name in it.
    let unique = format!("{:?}", std::time::SystemTime::now());
    let component = wat::parse_str(format!(
        "(component (core module $m (func (export \"{unique}\"))) (core instance (instantiate $m)))"
    ));
    replace(
        &site.scratch.join("apps/a/app.wasm"),
        &component.expect("it is a component"),
    );
    site.hang_up("refused");
    // It compiles, and is no service: the process that compiled it has ended, and the server is as it was.
    assert!(site.server.log().contains("exports neither"), "{}", site.server.log());
    assert_eq!(site.version("/a"), "1");
}

/// Also without a manifest.
#[test]
fn a_component_alone_is_replaced() {
    let scratch = Scratch::new();
    let file = scratch.join("app.wasm");
    fs::copy(guest("http-state"), &file).expect("a guest can be copied");
    let server = Server::start(file.clone(), &[]);
    assert!(get(server.addr(), "/").text().contains("request 1"));
    replace(&file, &fs::read(guest("http-hello")).expect("a guest can be read"));
    eventually(
        || get(server.addr(), "/").text() == "hello, wharf",
        "the component's change is noticed",
    );
}

/// A file that cannot be read to its end stops nobody else's reload.
#[cfg(unix)]
#[test]
fn a_pipe_or_a_huge_file_is_no_component() {
    let site = Site::serve();
    let file = site.scratch.join("apps/a/app.wasm");
    fs::remove_file(&file).expect("it is there");
    let made = std::process::Command::new("mkfifo").arg(&file).status();
    assert!(made.expect("there is mkfifo").success());
    write_app(&site.scratch, "b", "2", "");
    site.hang_up("refused");
    assert_eq!(
        (site.version("/a"), site.version("/b")),
        ("1".to_owned(), "2".to_owned())
    );
    eventually(|| site.server.log().contains("no regular file"), "it is said");
    fs::remove_file(&file).expect("it is there");
    fs::File::create(&file)
        .and_then(|file| file.set_len(1 << 30))
        .expect("it can be made");
    site.hang_up("refused");
    eventually(|| site.server.log().contains("larger than"), "it is said");
    assert!(site.server.resident_bytes() < 400 << 20);
}

/// The server's own settings are read once, which is said.
#[test]
fn settings_that_change_are_said_to_need_a_new_start() {
    let site = Site::serve();
    let manifest = "[server]\napps = 'apps'\ndrain-timeout = '1s'\n";
    replace(&site.scratch.join("wharf.toml"), manifest.as_bytes());
    site.hang_up("taken");
    eventually(|| site.server.log().contains("read at the start only"), "it is said");
}

/// A client that takes its time keeps a replaced version no longer than a fast one does.
#[test]
fn an_old_version_does_not_wait_for_slow_readers() {
    let scratch = Scratch::new();
    let manifest = |version: &str| {
        format!(
            "[server]\ndrain-timeout = '1s'\n[apps.a]\ncomponent = '{}'\nenvironment = {{ VERSION = '{version}' }}\n",
            guest("http-download").display()
        )
    };
    let file = scratch.write("wharf.toml", manifest("1"));
    let server = Server::start(file.clone(), &ADMIN);
    let admin = admin(&server);
    let mut slow = Connection::open(server.addr());
    slow.send("GET /?bytes=100000000 HTTP/1.1\r\nhost: a.test\r\n\r\n");
    assert_eq!(slow.head().status(), 200);
    replace(&file, manifest("2").as_bytes());
    eventually(|| server.log().contains("cut off requests"), "its time is over");
    eventually(|| metric(admin, "wharf_requests") == Some(0.0), "the request has ended");
}

/// What is wrong may not stand in any file that is read: whoever has mended it says so.
#[test]
fn an_app_that_failed_is_tried_again_on_demand() {
    let site = Site::serve();
    write_app(&site.scratch, "a", "2", "[filesystem]\n'/data' = 'data'\n");
    site.hang_up("refused");
    assert_eq!(site.version("/a"), "1");
    fs::create_dir(site.scratch.join("apps/a/data")).expect("the folder can be made");
    site.hang_up("taken");
    assert_eq!(site.version("/a"), "2");
}
