//! `wharf serve` and `wharf check` with a manifest, and what supervisors see of the server.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};

use wharf_tests::http::get;
use wharf_tests::{Finished, Scratch, Server, eventually, finish, guest, hostile, wharf};

/// A folder with a manifest of one app that answers.
fn app(more: &str) -> Scratch {
    let scratch = Scratch::new();
    let component = guest("http-hello");
    scratch.write("wharf.toml", format!("component = '{}'\n{more}", component.display()));
    scratch
}

fn check(scratch: &Scratch) -> Finished {
    finish(wharf().arg("check").arg(scratch.path()), "")
}

#[test]
fn a_folder_is_served_by_its_manifest() {
    let scratch = app("");
    let mut command = wharf();
    command.args(["serve", "--addr", "127.0.0.1:0"]).arg(scratch.path());
    let server = Server::spawn(command);
    assert_eq!(get(server.addr(), "/").text(), "hello, wharf");
}

#[test]
fn a_flag_that_the_manifest_says_is_refused() {
    let scratch = app("");
    let flags: [&[&str]; 4] = [
        &["--isolation", "shared"],
        &["--env", "A=1"],
        &["--max-memory", "1MiB"],
        &["--middleware", "a.wasm"],
    ];
    for flags in flags {
        let finished = finish(wharf().arg("serve").args(flags).arg(scratch.path()), "");
        assert_eq!(finished.code(), Some(1), "{finished:?}");
        assert!(finished.stderr.contains(flags[0]), "{finished:?}");
    }
}

/// Whatever it is made of, a component is refused and takes nothing with it.
#[test]
fn check_survives_hostile_components() {
    let exact = wat::parse_str(hostile::EXACT_FUNCTION).expect("it is a component");
    let cases = [
        (hostile::deep_types(200_000), "types nest more than 100 levels deep"),
        (exact, "cannot be joined"),
    ];
    for (front, said) in cases {
        let scratch = app("middleware = ['front.wasm']\n");
        scratch.write("front.wasm", front);
        let finished = check(&scratch);
        assert_eq!(finished.code(), Some(1), "{finished:?}");
        assert!(finished.stderr.contains(said), "{finished:?}");
    }
}

#[test]
fn check_says_what_is_there_or_all_that_is_wrong() {
    let scratch = app("");
    let fine = check(&scratch);
    assert_eq!(fine.code(), Some(0), "{fine:?}");
    assert!(fine.stdout.contains("1 app, 1 route, nothing wrong"), "{fine:?}");
    let cases = [
        ("isolated = 'serial'\n", "isolat"),
        ("middleware = ['none.wasm']\n", "none.wasm"),
        (
            "[http-client]\nallow = ['a..b']\n",
            "wharf.toml:3:10: `allow`: `a..b` is not a pattern",
        ),
        ("[http-client]\nallows = []\n", "did you mean `allow`?"),
        ("[http-client]\ntrust = ['none.pem']\n", "none.pem"),
        (
            "[http-client]\nhttp2 = ['a/b']\n",
            "wharf.toml:3:10: `http2`: `a/b` is not a pattern",
        ),
        (
            "[http-client.proxy]\nurl = 'https://proxy.test'\n",
            "wharf.toml:3:7: `url`: `https://proxy.test` is not the URL of a proxy",
        ),
        (
            "[http-client.proxy]\nurl = 'http://proxy.test'\nuser = 'wharf'\n",
            "`user`: the user has no password",
        ),
        (
            "[http-client.proxy]\nurl = 'http://proxy.test'\nuser = 'wharf'\npassword = { file = 'none' }\n",
            "`password`: cannot read",
        ),
        (
            "[[http-client.certificates]]\nfor = ['a.test']\ncertificate = 'wharf.toml'\nkey = { file = 'wharf.toml' }\n",
            "there is no private key in PEM form",
        ),
        (
            "[sockets]\nallow = ['https://a.test']\n",
            "`https://a.test` has a scheme, and sockets have none",
        ),
        ("[sockets]\nalow = []\n", "did you mean `allow`?"),
        ("[filesystem]\n'/x' = 'none'\n", "none"),
        ("[limits]\nmemory = '64M'\n", "64MiB"),
    ];
    for (more, expected) in cases {
        let wrong = check(&app(more));
        assert_eq!(wrong.code(), Some(1), "{more}: {wrong:?}");
        assert!(wrong.stderr.contains(expected), "{more}: {wrong:?}");
        assert_eq!(wrong.stdout, "", "{more}");
    }
    // What a component needs and nothing grants or provides.
    let scratch = Scratch::new();
    let missing = "(component (import \"acme:store/cache@1.0.0\" (instance (export \"get\" (func)))))";
    scratch.write("app.wasm", wat::parse_str(missing).expect("it is a component"));
    scratch.write("wharf.toml", "component = 'app.wasm'\n");
    let wrong = check(&scratch);
    assert_eq!(wrong.code(), Some(1), "{wrong:?}");
    assert!(wrong.stderr.contains("acme:store/cache@1.0.0"), "{wrong:?}");
}

/// A component is checked as it would be served without flags.
#[test]
fn check_looks_at_a_component() {
    let check = |file: &Path| finish(wharf().arg("check").arg(file), "");
    let fine = check(&guest("http-hello"));
    assert_eq!(fine.code(), Some(0), "{fine:?}");
    assert!(fine.stdout.contains("1 app, 1 route, nothing wrong"), "{fine:?}");
    let scratch = Scratch::new();
    let missing = "(component (import \"acme:store/cache@1.0.0\" (instance (export \"get\" (func)))))";
    let component = wat::parse_str(missing).expect("it is a component");
    for (name, content, said) in [
        ("app.wasm", component, "acme:store/cache@1.0.0"),
        ("bytes.wasm", b"\0\x01\x02 no component".to_vec(), "bytes.wasm"),
        ("module.wasm", b"\0asm\x01\0\0\0".to_vec(), "module.wasm"),
    ] {
        let wrong = check(&scratch.write(name, content));
        assert_eq!(wrong.code(), Some(1), "{wrong:?}");
        assert!(wrong.stderr.contains(said), "{wrong:?}");
        assert!(!wrong.stderr.contains("TOML"), "{wrong:?}");
        assert!(!wrong.stderr.contains('\u{1}'), "{wrong:?}");
    }
    let none = check(&scratch.join("none.wasm"));
    assert_eq!(none.code(), Some(1), "{none:?}");
    assert!(none.stderr.contains("none.wasm"), "{none:?}");
}

#[test]
fn the_schema_is_json() {
    let finished = finish(wharf().arg("schema"), "");
    let schema: serde_json::Value = serde_json::from_str(&finished.stdout).expect("it is JSON");
    assert!(schema.get("$schema").is_some(), "{schema}");
}

/// What is said at an address of the file system, in the folder that is for it, and by nobody but its owner.
#[test]
fn the_admin_listener_is_a_socket_of_the_users() {
    let (scratch, runtime) = (app(""), Scratch::new());
    let mut command = Server::command(scratch.join("wharf.toml"), &[]);
    command
        .env("XDG_RUNTIME_DIR", runtime.path())
        .env_remove("RUNTIME_DIRECTORY");
    let server = Server::spawn(command);
    let socket = runtime.join(format!("wharf-{}.sock", server.pid()));
    let mode = std::fs::metadata(&socket).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(ask(&socket, "/readyz").contains("200 OK"));
    assert!(ask(&socket, "/metrics").contains("wharf_connections"));
    assert_eq!(server.stop().code(), Some(0));
    assert!(!socket.exists(), "it goes with the server");
}

/// A server that was killed leaves its socket behind, which is in nobody's way; one that listens is.
#[test]
fn a_deserted_socket_is_replaced_and_one_in_use_is_not() {
    let scratch = app("");
    let socket = scratch.join("admin.sock");
    let flag = format!("unix:{}", socket.display());
    let server = Server::start(scratch.join("wharf.toml"), &["--admin", &flag]);
    let mut second = Server::command(scratch.join("wharf.toml"), &["--admin", &flag]);
    let refused = finish(&mut second, "");
    assert_eq!(refused.code(), Some(1), "{refused:?}");
    assert!(refused.stderr.contains("admin.sock"), "{refused:?}");
    drop(server);
    assert!(socket.exists(), "it was killed");
    let server = Server::start(scratch.join("wharf.toml"), &["--admin", &flag]);
    assert!(ask(&socket, "/livez").contains("200 OK"));
    drop(server);
}

fn ask(socket: &Path, path: &str) -> String {
    let mut stream = UnixStream::connect(socket).expect("the server listens");
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("the server reads");
    let mut said = String::new();
    stream.read_to_string(&mut said).expect("the server answers");
    said
}

/// sd_notify(3).
#[cfg(target_os = "linux")]
#[test]
fn systemd_is_told_when_it_is_ready_reloads_and_stops() {
    let scratch = app("");
    let socket = scratch.join("notify.sock");
    let notified = UnixDatagram::bind(&socket).expect("the folder can be written");
    notified
        .set_read_timeout(Some(std::time::Duration::from_secs(60)))
        .expect("it is not zero");
    let mut command = Server::command(scratch.join("wharf.toml"), &[]);
    command.env("NOTIFY_SOCKET", &socket);
    let server = Server::spawn(command);
    let next = || {
        let mut said = [0; 4096];
        let bytes = notified.recv(&mut said).expect("it says something");
        String::from_utf8_lossy(&said[..bytes]).into_owned()
    };
    assert!(next().contains("READY=1"));
    let pid = rustix::process::Pid::from_raw(server.pid() as i32).expect("a process has a number");
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).expect("it runs");
    let reloading = next();
    assert!(
        reloading.contains("RELOADING=1") && reloading.contains("MONOTONIC_USEC="),
        "{reloading}"
    );
    let ready = next();
    assert!(
        ready.contains("READY=1") && ready.contains("STATUS=Reloaded\n"),
        "{ready}"
    );
    // What was refused is said where `systemctl status` shows it.
    scratch.write("wharf.toml", "component = 'none.wasm'\n");
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).expect("it runs");
    let mut said = next();
    while !said.contains("READY=1") {
        said = next();
    }
    assert!(
        said.contains("STATUS=Reloaded, but for what cannot be taken as it is"),
        "{said}"
    );
    server.terminate();
    assert!(next().contains("STOPPING=1"));
    assert_eq!(server.wait().code(), Some(0));
}

/// sd_listen_fds(3): the socket is there before the server, so that no connection is refused while it starts.
#[test]
fn it_serves_on_a_socket_that_was_passed_on() {
    let scratch = app("");
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("there are free ports");
    let addr = socket.local_addr().expect("it listens");
    let program = wharf();
    let mut command = Command::new("sh");
    // The number of the process that is meant is known only inside it.
    command
        .args([
            "-c",
            "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" serve \"$1\" 3<&0 0</dev/null",
        ])
        .arg(program.get_program())
        .arg(scratch.path())
        .stdin(Stdio::from(OwnedFd::from(socket)))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = command.spawn().expect("there is a shell");
    // Nobody has to wait until it listens.
    assert_eq!(get(addr, "/").text(), "hello, wharf");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
    eventually(
        || child.try_wait().expect("a child can be waited for").is_some(),
        "it ends",
    );
}

/// The process that a component is compiled in has limits of its own, and meets them alone.
#[cfg(target_os = "linux")]
#[test]
fn a_compiler_that_wants_more_than_it_may_have_fails_alone() {
    let scratch = Scratch::new();
    let component = std::fs::read(guest("http-echo")).expect("it was just built");
    let compile = |memory: &str, cpu_seconds: &str| {
        let mut command = wharf();
        command.arg("compile-apart").arg("--cache").arg(scratch.join("cache"));
        command.args(["--memory", memory, "--cpu-seconds", cpu_seconds, "app.wasm"]);
        finish(&mut command, &component)
    };
    let starved = compile("8000000", "600");
    assert_ne!(starved.code(), Some(0), "{starved:?}");
    // Bytes that take a compiler longer than a second, as one function of a few megabytes does.
    let slow = wat::parse_str(format!(
        "(component (core module (func (result i64) i64.const 1 {})))",
        "i64.const 3 i64.mul i64.const 5 i64.xor ".repeat(200_000)
    ));
    let mut command = wharf();
    command.arg("compile-apart").arg("--cache").arg(scratch.join("cache"));
    command.args(["--memory", "4000000000", "--cpu-seconds", "1", "app.wasm"]);
    let overdue = finish(&mut command, slow.expect("it is a component"));
    assert_ne!(overdue.code(), Some(0), "{overdue:?}");
    let fine = compile("4000000000", "600");
    assert_eq!(fine.code(), Some(0), "{fine:?}");
}
