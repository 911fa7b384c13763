//! Manifests that change, components that are replaced, under load and wrongly.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use wharf_tests::http::{Connection, Reply, get};
use wharf_tests::{Scratch, Server, eventually, eventually_within, guest, hostile};

use crate::operator::{ADMIN, admin, metric, reached};

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

    /// With a new version of `b` beside an `a` that cannot be taken: `b` comes, `a` stays, and the log says why.
    fn refuses_a_and_takes_b(&self, nth: usize, said: &str) {
        let version = format!("b{nth}");
        write_app(&self.scratch, "b", &version, "");
        self.hang_up("refused");
        self.comes_to("/b", &version);
        self.server.says(said);
        assert_eq!(self.version("/a"), "1", "{said}");
        for path in ["/readyz", "/readyz?app=a"] {
            let ready = get(self.admin, path);
            assert_eq!(ready.status, 200, "{said}");
            let text = ready.text();
            assert!(
                text.starts_with("ok\na as before, since its new version is wrong: "),
                "{text}"
            );
            assert!(text.contains(said), "{text}");
        }
    }

    /// A changed file may be noticed before all of them are changed: what was reloaded then says nothing of the rest.
    fn comes_to(&self, path: &str, version: &str) {
        eventually(
            || self.version(path) == version,
            &format!("{path} to be version {version}"),
        );
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
    site.server.says("reloaded changed=\"a\" gone=\"\"");
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
        site.refuses_a_and_takes_b(nth, said);
        replace(&app.join("app.wasm"), &component);
        write_app(&site.scratch, "a", "1", "");
        site.hang_up("taken");
    }
    replace(&site.scratch.join("wharf.toml"), b"[server]\napp = 'apps'\n");
    site.hang_up("refused");
    site.server.says("everything is served as before");
    assert_eq!(site.version("/a"), "1");
    let text = get(site.admin, "/readyz").text();
    assert!(
        text.starts_with("ok\nas before, since the new manifest is wrong: "),
        "{text}"
    );
    replace(&site.scratch.join("wharf.toml"), b"[server]\napps = 'apps'\n");
    site.hang_up("taken");
    assert_eq!(get(site.admin, "/readyz").text(), "ok\n");
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
    server.says("cut off requests");
    assert_eq!(get(server.addr(), "/?delay=1").status, 200);
}

/// 200 reloads, each with a change, while clients ask on connections that stay and on new ones. Every fifth time it is another build
/// of the component as well.
#[test]
fn no_request_fails_under_two_hundred_reloads() {
    let site = Site::serve();
    let over = AtomicBool::new(false);
    let [answered, refused] = [(); 2].map(|()| AtomicUsize::new(0));
    // Compilers beside it may leave too little of the machine: the surplus is told so, which is no failure, and counted.
    let is_answered = |reply: &Reply| match reply.status {
        503 => {
            refused.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(100));
        }
        status => {
            assert_eq!(status, 200, "{}", reply.text());
            answered.fetch_add(1, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        for client in 0..4 {
            let (site, over, is_answered) = (&site, &over, &is_answered);
            scope.spawn(move || {
                let path = if client % 2 == 0 { "/a" } else { "/b" };
                let mut kept = Connection::open(site.server.addr());
                while !over.load(Ordering::Relaxed) {
                    kept.send(format!("GET {path} HTTP/1.1\r\nhost: a.test\r\n\r\n"));
                    is_answered(&kept.reply());
                    is_answered(&get(site.server.addr(), path));
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
        }
        let build = fs::read(guest("http-env")).expect("it was built");
        let builds = [hostile::slow_to_compile(&build, 1), build];
        for nth in 0..200 {
            let version = format!("v{nth}");
            let name = if nth % 2 == 0 { "a" } else { "b" };
            if nth % 5 == 0 {
                let file = site.scratch.join("apps").join(name).join("app.wasm");
                replace(&file, &builds[nth / 10 % 2]);
            }
            write_app(&site.scratch, name, &version, "");
            site.hang_up("taken");
        }
        over.store(true, Ordering::Relaxed);
    });
    site.comes_to("/a", "v198");
    site.comes_to("/b", "v199");
    assert!(site.reloads("taken") >= 200.0);
    let [answered, refused] = [answered, refused].map(AtomicUsize::into_inner);
    assert!(answered > 200, "{answered} requests in 200 reloads show nothing");
    // All that were refused were refused for that reason.
    let crowded: f64 = ["load", "queue", "queue-time"]
        .map(|limit| reached(site.admin, limit))
        .iter()
        .sum();
    assert_eq!(crowded, refused as f64);
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
    site.server.says("exports neither");
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
    site.comes_to("/b", "2");
    site.server.says("no regular file");
    assert_eq!(site.version("/a"), "1");
    fs::remove_file(&file).expect("it is there");
    fs::File::create(&file)
        .and_then(|file| file.set_len(1 << 30))
        .expect("it can be made");
    site.hang_up("refused");
    site.server.says("larger than");
    assert!(site.server.resident_bytes() < 400 << 20);
}

/// The server's own settings are read once, which is said.
#[test]
fn settings_that_change_are_said_to_need_a_new_start() {
    let site = Site::serve();
    let manifest = "[server]\napps = 'apps'\ndrain-timeout = '1s'\n";
    replace(&site.scratch.join("wharf.toml"), manifest.as_bytes());
    site.hang_up("taken");
    site.server.says("read at the start only");
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
    server.says("cut off requests");
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
    site.comes_to("/a", "2");
}

/// Whoever reads, joins or compiles a component does not take the server along.
#[test]
fn hostile_components_are_refused_and_the_server_goes_on() {
    let site = Site::serve();
    let folder = site.scratch.join("apps/a");
    let component = fs::read(folder.join("app.wasm")).expect("it was written");
    let exact = wat::parse_str(hostile::EXACT_FUNCTION).expect("it is a component");
    let cases = [
        (
            "app.wasm",
            hostile::deep_types(200_000),
            "types nest more than 100 levels deep",
        ),
        (
            "front.wasm",
            hostile::deep_types(200_000),
            "types nest more than 100 levels deep",
        ),
        ("front.wasm", exact, "not yet implemented"),
    ];
    for (nth, (file, hostile, said)) in cases.into_iter().enumerate() {
        let front = fs::read(guest("http-middleware-outer")).expect("it was built");
        replace(&folder.join("front.wasm"), &front);
        replace(&folder.join(file), &hostile);
        write_app(&site.scratch, "a", "hostile", "middleware = ['front.wasm']\n");
        site.refuses_a_and_takes_b(nth, said);
        replace(&folder.join("app.wasm"), &component);
        write_app(&site.scratch, "a", "1", "");
        site.hang_up("taken");
    }
}

/// One that a compiler takes long for is compiled by a process of its own, whether or not there is a cache, and holds up nobody.
#[cfg(target_os = "linux")]
#[test]
fn a_component_that_compiles_for_long_does_so_elsewhere() {
    let scratch = Scratch::new();
    for name in ["a", "b"] {
        fs::create_dir_all(scratch.join("apps").join(name)).expect("the folder can be made");
        fs::copy(guest("http-env"), scratch.join("apps").join(name).join("app.wasm")).expect("a guest can be copied");
        write_app(&scratch, name, "1", "");
    }
    let manifest = scratch.write("wharf.toml", "[server]\napps = 'apps'\n");
    let temporary = scratch.join("temporary");
    fs::create_dir(&temporary).expect("the folder can be made");
    let mut command = Server::command(manifest, &[&ADMIN[..], &["--log", "debug", "--no-cache"]].concat());
    command.env("TMPDIR", &temporary);
    let server = Server::spawn(command);
    let admin = admin(&server);
    let site = Site { server, admin, scratch };
    let component = fs::read(guest("http-env")).expect("it was built");
    replace(
        &site.scratch.join("apps/a/app.wasm"),
        &hostile::slow_to_compile(&component, SLOW_MULTIPLICATIONS),
    );
    write_app(&site.scratch, "a", "2", "");
    write_app(&site.scratch, "b", "2", "");
    let before = server_threads_busy(site.server.pid());
    let pid = rustix::process::Pid::from_raw(site.server.pid() as i32).expect("a process has a number");
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).expect("the server runs");
    let compiler = || compilers_of(site.server.pid()).first().copied();
    eventually(|| compiler().is_some(), "a process compiles");
    site.comes_to("/b", "2");
    eventually_within(Duration::from_secs(300), || site.version("/a") == "2", "it is there");
    eventually(|| site.reloads("taken") == 1.0, "that is counted, too");
    // It was not this process that took so long.
    let busy = server_threads_busy(site.server.pid()) - before;
    assert!(busy < Duration::from_secs(8), "the server computed for {busy:?}");
    assert_eq!(
        fs::read_dir(&temporary).expect("it is there").count(),
        0,
        "nothing is left behind"
    );
}

/// One that takes more memory to compile than a compiler may have is refused. Where the machine has less than that, Linux ends the compiler
/// before any other process.
#[cfg(target_os = "linux")]
#[test]
fn a_component_that_takes_much_memory_to_compile_is_refused() {
    let site = Site::serve();
    let component = fs::read(guest("http-env")).expect("it was built");
    let hungry = hostile::slow_to_compile(&component, 3 * SLOW_MULTIPLICATIONS);
    replace(&site.scratch.join("apps/a/app.wasm"), &hungry);
    write_app(&site.scratch, "a", "2", "");
    write_app(&site.scratch, "b", "2", "");
    let score = || {
        let compiler = *compilers_of(site.server.pid()).first()?;
        let score = fs::read_to_string(format!("/proc/{compiler}/oom_score_adj")).ok()?;
        score.trim().parse::<i32>().ok()
    };
    eventually(|| score() == Some(1000), "a compiler that is the first to be ended");
    site.comes_to("/b", "2");
    let is_refused = || site.reloads("refused") >= 1.0;
    eventually_within(Duration::from_secs(300), is_refused, "it is refused");
    site.server.says("it wanted more memory than it may have (4 GiB)");
    assert_eq!(site.version("/a"), "1");
}

/// As many take a compiler seconds; three times as many take it more memory than it may have.
#[cfg(target_os = "linux")]
const SLOW_MULTIPLICATIONS: usize = 400_000;

/// The processes that compile for a server.
#[cfg(target_os = "linux")]
pub fn compilers_of(server: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("there is /proc").filter_map(Result::ok);
    let numbers = processes.filter_map(|process| process.file_name().to_str()?.parse::<u32>().ok());
    let compiles = |number: &u32| {
        let status = fs::read_to_string(format!("/proc/{number}/status")).unwrap_or_default();
        let arguments = fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
        let is_child = status
            .lines()
            .any(|line| line.split_whitespace().eq(["PPid:", &server.to_string()]));
        is_child
            && arguments
                .split(|byte| *byte == 0)
                .any(|argument| argument == b"compile-apart")
    };
    numbers.filter(compiles).collect()
}

/// The processor time that a process has used, without that of its children.
#[cfg(target_os = "linux")]
fn server_threads_busy(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    // The name may hold anything; what follows it does not.
    let (_, fields) = stat.rsplit_once(')').expect("the kernel writes it so");
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum();
    // A hundredth of a second each, whatever the kernel counts in itself.
    Duration::from_millis(ticks * 10)
}

/// A cache that takes nothing costs time and no app.
#[cfg(unix)]
#[test]
fn a_cache_that_takes_nothing_keeps_no_app_from_changing() {
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.join("apps/a")).expect("the folder can be made");
    fs::copy(guest("http-env"), scratch.join("apps/a/app.wasm")).expect("a guest can be copied");
    write_app(&scratch, "a", "1", "");
    let manifest = scratch.write("wharf.toml", "[server]\napps = 'apps'\n");
    let cache = scratch.join("cache");
    let flags = ["--cache", cache.to_str().expect("it is text")];
    let server = Server::start(manifest, &[&ADMIN[..], &flags].concat());
    let admin = admin(&server);
    let site = Site { server, admin, scratch };
    // No folder any more, which not even root can write to.
    fs::remove_dir_all(&cache).expect("it was made");
    fs::write(&cache, "no folder").expect("it can be written");
    let other = hostile::slow_to_compile(&fs::read(guest("http-env")).expect("it was built"), 1);
    replace(&site.scratch.join("apps/a/app.wasm"), &other);
    write_app(&site.scratch, "a", "2", "");
    site.hang_up("taken");
    site.comes_to("/a", "2");
    site.server.says("compiled code cannot be kept");
}

/// What only those find who make an app is said with its place, as `wharf check` says it.
#[test]
fn what_is_not_there_is_said_with_its_place() {
    let site = Site::serve();
    let cases = [
        ("[filesystem]\n'/data' = 'data'\n", "a/wharf.toml:5:"),
        ("[secrets]\nKEY = { file = 'key' }\n", "a/wharf.toml:5:"),
        ("middleware = ['front.wasm']\n", "a/wharf.toml:4:"),
        (
            "[http-client]\nallow = ['a.test']\ntrust = ['ca.pem']\n",
            "a/wharf.toml:6:",
        ),
    ];
    for (nth, (more, place)) in cases.into_iter().enumerate() {
        let before = site.server.log().len();
        write_app(&site.scratch, "a", &format!("a{nth}"), more);
        site.hang_up("refused");
        eventually(
            || site.server.log()[before..].contains(place),
            &format!("{more:?} is at {place}"),
        );
    }
}

/// An app whose old version goes on may have a route that another one is given meanwhile.
#[test]
fn a_route_that_is_still_taken_is_said_with_its_place() {
    let site = Site::serve();
    fs::remove_file(site.scratch.join("apps/a/app.wasm")).expect("it was written");
    write_app(&site.scratch, "a", "2", "");
    let file = site.scratch.join("apps/a/wharf.toml");
    replace(&file, b"component = 'app.wasm'\nroutes = [{ path = '/elsewhere' }]\n");
    let other = site.scratch.join("apps/b/wharf.toml");
    replace(
        &other,
        b"component = 'app.wasm'\nroutes = [\n  { path = '/b' },\n  { path = '/a' },\n]\n",
    );
    site.hang_up("refused");
    assert_eq!(
        (site.version("/a"), site.version("/b")),
        ("1".to_owned(), "1".to_owned())
    );
    site.server.says("b/wharf.toml:4:");
}

/// A guest that writes into its app's folder, and one that writes its component again and again, keep no other app from changing.
#[test]
fn folders_that_never_rest_hold_up_nobody() {
    let site = Site::serve();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for nth in 0.. {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let _ = fs::write(site.scratch.join("apps/a").join(format!("data-{nth}")), "data");
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        std::thread::sleep(Duration::from_millis(2000));
        assert_eq!(
            (site.reloads("taken"), site.reloads("refused")),
            (0.0, 0.0),
            "nothing has changed"
        );
        write_app(&site.scratch, "b", "2", "");
        eventually(|| site.version("/b") == "2", "the change is noticed");
        over.store(true, Ordering::Relaxed);
    });
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let component = fs::read(guest("http-env")).expect("it was built");
                replace(&site.scratch.join("apps/a/app.wasm"), &component);
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        std::thread::sleep(Duration::from_millis(500));
        write_app(&site.scratch, "b", "3", "");
        eventually(|| site.version("/b") == "3", "the change is noticed");
        over.store(true, Ordering::Relaxed);
    });
}
