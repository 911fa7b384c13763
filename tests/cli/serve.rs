//! `wharf serve`: where it listens, what it says, how it ends.

use wharf_tests::{Scratch, Server, eventually, finish, guest, http, wharf};

/// Serves with these flags and gives the first line of standard error.
fn first_line(flags: &[&str]) -> (Server, String) {
    let mut command = wharf();
    command.arg("serve").args(flags).arg(guest("http-hello"));
    let server = Server::spawn(command);
    let line = server.log().lines().next().map(str::to_owned).unwrap_or_default();
    (server, line)
}

#[test]
fn the_first_line_says_what_is_served_and_where() {
    for flags in [
        &["--addr", "127.0.0.1:0"][..],
        &["--addr", "localhost:0"],
        &["--addr", "127.0.0.1:0", "--log", "off"],
    ] {
        let (server, line) = first_line(flags);
        assert!(line.contains("http-hello.wasm"), "{line}");
        assert!(line.contains(&format!("http://{}", server.addr())), "{line}");
        assert_eq!(http::get(server.addr(), "/").status, 200);
    }
}

#[test]
fn the_first_line_comes_first_whatever_else_is_logged() {
    let (_server, line) = first_line(&["--addr", "127.0.0.1:0", "--log", "trace", "--no-cache"]);
    assert!(line.contains("http://127.0.0.1:"), "{line}");
}

#[track_caller]
fn check_refused(flags: &[&str], parts: &[&str]) {
    let finished = finish(wharf().arg("serve").args(flags).arg(guest("http-hello")), "");
    assert_eq!(finished.code(), Some(1), "{finished:?}");
    assert_eq!(finished.stdout, "");
    for part in parts {
        assert!(
            finished.stderr.contains(part),
            "{part:?} is not said: {}",
            finished.stderr
        );
    }
}

#[test]
fn an_address_that_cannot_be_used_is_named_with_what_to_do() {
    let (server, _) = first_line(&["--addr", "127.0.0.1:0"]);
    let taken = server.addr().to_string();
    check_refused(&["--addr", &taken], &[&taken, "in use", "another port"]);
    check_refused(&["--addr", "192.0.2.1:0"], &["192.0.2.1:0", "no such address"]);
    check_refused(
        &["--addr", "name.invalid:0"],
        &["cannot find the address name.invalid:0"],
    );
    assert_eq!(http::get(server.addr(), "/").status, 200, "the first one goes on");
}

#[test]
fn a_component_for_02_cannot_be_shared() {
    let finished = finish(
        wharf()
            .args(["serve", "--addr", "127.0.0.1:0", "--isolation", "shared"])
            .arg(guest("http02-hello")),
        "",
    );
    assert_eq!(finished.code(), Some(1), "{finished:?}");
    assert!(finished.stderr.contains("--isolation request"), "{}", finished.stderr);
}

#[cfg(unix)]
#[test]
fn a_signal_ends_it_with_0_and_both_are_said() {
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
        let (server, _) = first_line(&["--addr", "127.0.0.1:0"]);
        assert_eq!(http::get(server.addr(), "/").status, 200);
        send(&server, signal);
        assert_eq!(server.wait().code(), Some(0));
        server.says("stopping");
    }
}

/// A server with a request in progress that takes an hour.
#[cfg(unix)]
fn busy(drain_timeout: &str) -> (Server, http::Connection) {
    let server = Server::start("http-slow", &["--drain-timeout", drain_timeout]);
    let mut connection = http::Connection::open(server.addr());
    connection.send("GET /?at=body&delay=3600000 HTTP/1.1\r\nhost: a.test\r\n\r\n");
    assert_eq!(connection.head().status(), 200);
    assert_eq!(connection.data().as_deref(), Some(&b"begun, "[..]));
    (server, connection)
}

/// A component may take long to be read and compiled.
#[cfg(unix)]
#[test]
fn a_signal_before_it_serves_ends_it_with_0() {
    let scratch = Scratch::new();
    // What takes a compiler long.
    let function = format!(
        "(func (result i64) i64.const 1 {})",
        "i64.const 3 i64.mul i64.const 5 i64.xor ".repeat(200_000)
    );
    let component = wat::parse_str(format!("(component (core module {}))", function.repeat(4)));
    let file = scratch.write("app.wasm", component.expect("it is a component"));
    let mut child = wharf()
        .args(["serve", "--no-cache", "--addr", "127.0.0.1:0"])
        .arg(&file)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("wharf is there");
    std::thread::sleep(std::time::Duration::from_secs(1));
    let process = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(process, rustix::process::Signal::TERM).expect("it is ours");
    let mut ended = None;
    eventually(
        || {
            ended = child.try_wait().expect("a child can be waited for");
            ended.is_some()
        },
        "its end",
    );
    assert_eq!(ended.and_then(|status| status.code()), Some(0));
}

#[cfg(unix)]
#[test]
fn a_second_signal_ends_it_at_once() {
    let (server, _connection) = busy("1h");
    send(&server, rustix::process::Signal::TERM);
    server.says("stopping");
    assert_eq!(server.try_wait(), None, "a request is in progress");
    send(&server, rustix::process::Signal::TERM);
    assert_eq!(server.wait().code(), Some(1));
}

#[cfg(unix)]
#[test]
fn requests_that_are_cut_off_are_no_success() {
    let (server, _connection) = busy("100ms");
    server.terminate();
    assert_eq!(server.wait().code(), Some(1));
    server.says("--drain-timeout");
}

#[cfg(unix)]
fn send(server: &Server, signal: rustix::process::Signal) {
    let process = rustix::process::Pid::from_raw(server.pid() as i32).expect("it has a number");
    rustix::process::kill_process(process, signal).expect("it is ours");
}

/// The memory of a server holds secrets. Where it crashes nothing is left of it, whatever limits it was started with, unless
/// somebody asks for that.
#[cfg(target_os = "linux")]
#[test]
fn no_core_is_dumped_unless_asked_for() {
    use std::os::unix::process::ExitStatusExt as _;

    use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};

    // Enough to see that there is one: what is longer is cut off.
    const CORE_BYTES: u64 = 64 << 10;
    let maximum = getrlimit(Resource::Core).maximum;
    let limit = Rlimit {
        current: Some(maximum.map_or(CORE_BYTES, |maximum| maximum.min(CORE_BYTES))),
        maximum,
    };
    let is_dumped = |flags: &[&str]| {
        let folder = Scratch::new();
        let absolute = |path: &std::path::Path| std::path::absolute(path).expect("there is a working directory");
        let mut command = std::process::Command::new(absolute(wharf().get_program().as_ref()));
        command.args(["serve", "--addr", "127.0.0.1:0"]).args(flags);
        // Where the system writes it, if it does.
        command.arg(absolute(&guest("http-hello"))).current_dir(folder.path());
        let server = Server::spawn(command);
        let pid = Pid::from_raw(server.pid() as i32).expect("a process has a number");
        prlimit(Some(pid), Resource::Core, limit).expect("it is a process of ours");
        kill_process(pid, Signal::ABORT).expect("the server runs");
        let status = server.wait();
        assert_eq!(status.signal(), Some(Signal::ABORT.as_raw()), "{status}");
        status.core_dumped()
    };
    assert!(!is_dumped(&[]));
    // Elsewhere the system hands it to a program, which does with it what it likes.
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    if pattern.trim() == "core" && limit.current == Some(CORE_BYTES) {
        assert!(is_dumped(&["--core-dumps"]));
    }
}
