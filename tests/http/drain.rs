//! SIGTERM, logs that nobody reads, ports that are taken: the server as a process.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use http::Request;
use wharf_tests::http::{Connection, get, get_patiently};
use wharf_tests::{DEADLINE, Scratch, Server, eventually, finish, guest, http2, wharf};

use crate::axes::{ALLOW_ALL, Isolation, Protocol};
use crate::client::Ask;
use crate::operator::{ADMIN, admin, metric};
use crate::witness::Witness;

/// What is under way is finished, nothing new is begun, and then it ends by itself.
#[test]
fn what_is_under_way_is_finished() {
    for isolation in Isolation::ALL {
        for protocol in Protocol::ALL {
            let server = isolation.serve("http-slow", &ADMIN);
            let (addr, admin) = (server.addr(), admin(&server));
            let context = format!("{isolation:?} {protocol:?}");
            assert_eq!(get(addr, "/?delay=1").status, 200, "{context}");
            eventually(|| metric(admin, "wharf_requests") == Some(0.0), "it has ended");
            let asking = [
                std::thread::spawn(move || Ask::get("/?delay=1500").over(protocol, addr)),
                std::thread::spawn(move || Ask::get("/?delay=1500&at=body").over(protocol, addr)),
            ];
            eventually(|| metric(admin, "wharf_requests") == Some(2.0), "both have begun");
            server.terminate();
            eventually(
                || TcpStream::connect(addr).is_err(),
                &format!("{context}: connections to be refused"),
            );
            for (asking, text) in asking.into_iter().zip(["done", "begun, done"]) {
                let reply = asking.join().expect("it has an answer");
                assert_eq!(reply.text(), text, "{context}");
            }
            assert_eq!(server.wait().code(), Some(0), "{context}: {}", server.log());
        }
    }
}

/// A connection on which nothing is under way does not hold a server up.
#[test]
fn idle_connections_are_closed_at_once() {
    for isolation in Isolation::ALL {
        // Longer than is waited for the end.
        let server = isolation.serve("http-hello", &["--drain-timeout", "15m"]);
        let mut used = Connection::open(server.addr());
        used.send("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n");
        assert_eq!(used.reply().status, 200);
        let mut unused = Connection::open(server.addr());
        http2::run(async {
            let handle = http2::connect(server.addr()).await;
            assert_eq!(http2::get(&handle, server.addr(), "/").await.status, 200);
            let deadline = Instant::now() + DEADLINE;
            server.terminate();
            while server.try_wait().is_none() {
                assert!(Instant::now() < deadline, "{isolation:?}: it has not ended");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        assert_eq!(server.wait().code(), Some(0), "{isolation:?}: {}", server.log());
        assert!(used.is_closed(), "{isolation:?}");
        assert!(unused.is_closed(), "{isolation:?}");
    }
}

/// An answer given while draining says that it is the connection's last.
#[test]
fn the_last_answer_says_so() {
    let server = Server::start("http-slow", &ADMIN);
    let admin = admin(&server);
    let mut connection = Connection::open(server.addr());
    connection.send("GET /?delay=1500 HTTP/1.1\r\nhost: a.test\r\n\r\n");
    eventually(|| metric(admin, "wharf_requests") == Some(1.0), "it has begun");
    server.terminate();
    let reply = connection.reply();
    assert_eq!(
        (reply.text().as_str(), reply.header("connection")),
        ("done", Some("close"))
    );
    assert!(connection.is_closed());
    assert_eq!(server.wait().code(), Some(0));
}

/// Over HTTP/2 the connection says goodbye, and its streams are finished.
#[test]
fn streams_are_finished() {
    let server = Server::start("http-slow", &ADMIN);
    let admin = admin(&server);
    http2::run(async {
        let mut handle = http2::connect(server.addr()).await;
        let request = |path: &str| Request::get(server.url(path)).body(()).expect("the path is one");
        let (response, _) = handle
            .send_request(request("/?delay=1500"), true)
            .expect("the server takes a request");
        let deadline = Instant::now() + DEADLINE;
        while metric(admin, "wharf_requests") != Some(1.0) {
            assert!(Instant::now() < deadline, "it has not begun");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        server.terminate();
        let reply = http2::collect(response).await.expect("it is finished");
        assert_eq!(reply.text(), "done");
        while let Ok(ready) = handle.ready().await {
            assert!(Instant::now() < deadline, "the connection takes another request");
            handle = ready;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert_eq!(server.wait().code(), Some(0));
}

/// Clients that have asked for nothing hold nobody up.
#[test]
fn a_connection_without_a_request_does_not_delay_the_end() {
    let silent: [&[u8]; 4] = [
        b"",
        b"P",
        b"GET / HTTP/1.1\r\nhost: a.te",
        // A client of HTTP/2 that confirms nothing.
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    ];
    // Longer than is waited for the end.
    let server = Server::start("http-hello", &["--drain-timeout", "15m"]);
    let connections = silent.map(|bytes| {
        let mut connection = Connection::open(server.addr());
        connection.send(bytes);
        connection
    });
    assert_eq!(get(server.addr(), "/").status, 200);
    assert_eq!(server.stop().code(), Some(0), "{}", server.log());
    drop(connections);
}

/// Clients that ask for nothing are not waited for either while the server runs.
#[test]
fn a_connection_without_a_request_is_closed_in_time() {
    let server = Server::start("http-slow", &["--head-timeout", "2s", "--idle-timeout", "2s"]);
    let silent = [
        "",
        "P",
        "GET / HTTP/1.1\r\nhost: a.te",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ];
    let silent = silent.map(|bytes| {
        let mut connection = Connection::open(server.addr());
        connection.send(bytes);
        (bytes, connection)
    });
    for (bytes, connection) in silent {
        let mut said = Vec::new();
        let end = connection.stream().read_to_end(&mut said);
        assert!(end.is_ok(), "{bytes:?}: {end:?}");
    }
    // A request that takes longer is none of that, nor is the next one on its connection.
    let mut connection = Connection::open(server.addr());
    for _ in 0..2 {
        connection.send("GET /?delay=4000 HTTP/1.1\r\nhost: a.test\r\n\r\n");
        assert_eq!(connection.reply().text(), "done");
    }
}

/// Work that goes on after its answer is under way, too.
#[test]
fn work_after_the_answer_is_finished() {
    for isolation in Isolation::ALL {
        let witness = Witness::start();
        let server = isolation.serve("http-background", &ALLOW_ALL);
        let path = format!("/?delay=1500&report={}", witness.url("/report"));
        assert_eq!(get(server.addr(), &path).text(), "answered");
        assert_eq!(server.stop().code(), Some(0), "{isolation:?}: {}", server.log());
        assert_eq!(witness.reports(), ["closed: Ok(())"], "{isolation:?}");
    }
}

/// What a shared instance does for a client that has left is not waited for as long as for one that is there.
#[test]
fn work_for_nobody_ends_sooner() {
    let scratch = Scratch::new();
    let manifest = format!(
        "component = '{}'\nisolation = 'shared'\n[limits]\nbackground-time = '500ms'\n",
        guest("http-slow").display()
    );
    let flags = [&ADMIN[..], &["--drain-timeout", "1h"]].concat();
    let server = Server::start(scratch.write("wharf.toml", manifest), &flags);
    let admin = admin(&server);
    let addr = server.addr();
    let mut left = Connection::open(addr);
    left.send("GET /?delay=3600000 HTTP/1.1\r\nhost: a.test\r\n\r\n");
    eventually(|| metric(admin, "wharf_requests") == Some(1.0), "it is at work");
    drop(left);
    eventually(|| metric(admin, "wharf_requests") == Some(0.0), "its client has left");
    // One that is there has its answer, however much later that is than the time for work that nobody waits for.
    let asking = std::thread::spawn(move || Ask::get("/?delay=3000").over(Protocol::Http1, addr));
    eventually(|| metric(admin, "wharf_requests") == Some(1.0), "another is at work");
    server.terminate();
    assert_eq!(asking.join().expect("it has an answer").text(), "done");
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
}

/// Whoever takes longer than it may is left behind.
#[test]
fn the_drain_timeout_ends_it() {
    for (guest, path) in [
        ("http-slow", "/?delay=600000"),
        ("http-slow", "/?delay=600000&at=body"),
        ("http-loop", "/?at=handler"),
    ] {
        for isolation in Isolation::ALL {
            let server = isolation.serve(guest, &["--drain-timeout", "1s"]);
            let mut connection = Connection::open(server.addr());
            connection.send(format!("GET {path} HTTP/1.1\r\nhost: a.test\r\n\r\n"));
            std::thread::sleep(Duration::from_millis(500));
            server.terminate();
            let status = server.wait();
            assert!(status.code().is_some(), "{isolation:?} {guest}{path}: {status:?}");
            assert!(connection.try_reply().is_err(), "{isolation:?} {guest}{path}");
        }
    }
}

/// Output of the server that a test leaves unread, or closes.
struct Unread {
    child: Child,
    addr: SocketAddr,
    stderr: Option<BufReader<std::process::ChildStderr>>,
}

impl Unread {
    fn start(guest: &str) -> Self {
        let mut command = Server::command(guest, &[]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut stderr = BufReader::new(child.stderr.take().expect("stderr is piped"));
        let mut line = String::new();
        stderr.read_line(&mut line).expect("the first line");
        let url = line
            .split("http://")
            .nth(1)
            .unwrap_or_else(|| panic!("no address in {line:?}"));
        let addr: String = url
            .chars()
            .take_while(|c| c.is_ascii_digit() || ".:".contains(*c))
            .collect();
        Self {
            child,
            addr: addr.trim_end_matches(['.', ':']).parse().expect("an address"),
            stderr: Some(stderr),
        }
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A guest that prints megabytes, and failures that are logged, do not hold the server up while nobody reads.
#[test]
fn a_full_log_holds_nobody_up() {
    for (guest_name, path) in [("http-env", "/?print=4000000"), ("http-trap", "/?at=before-head")] {
        let server = Unread::start(guest_name);
        let noise: Vec<_> = (0..200)
            .map(|_| {
                let mut connection = Connection::open(server.addr);
                connection.send(format!("GET {path} HTTP/1.1\r\nhost: a.test\r\n\r\n"));
                connection
            })
            .take(if guest_name == "http-env" { 4 } else { 200 })
            .collect();
        for _ in 0..5 {
            assert_eq!(get_patiently(server.addr, "/").status, 200, "{guest_name}");
        }
        drop(noise);
    }
}

/// Nor does it when whoever read is gone.
#[test]
fn a_closed_log_holds_nobody_up() {
    for (guest_name, path) in [("http-env", "/?print=1000000"), ("http-trap", "/?at=before-head")] {
        let mut server = Unread::start(guest_name);
        drop(server.stderr.take());
        drop(server.child.stdout.take());
        for _ in 0..5 {
            let _ = get(server.addr, path);
            assert_eq!(get(server.addr, "/").status, 200, "{guest_name}");
        }
        assert!(
            server.child.try_wait().expect("a child can be waited for").is_none(),
            "{guest_name}: it has ended"
        );
    }
}

/// What a guest writes reaches the server's own outputs, whole.
#[test]
fn what_is_read_is_whole() {
    let server = Server::start("http-env", &[]);
    let reply = get(server.addr(), "/?print=2000000");
    assert!(
        reply.text().contains("stdout Ok(())\nstderr Ok(())"),
        "{}",
        reply.text()
    );
    let lines = 2_000_000 / 63;
    let count = |text: &str| text.lines().filter(|line| line.ends_with("0123456789 0123456")).count();
    eventually(|| count(&server.stdout()) == lines, "all lines on stdout");
    eventually(|| count(&server.log()) == lines, "all lines on stderr");
}

/// A port that is taken is said to be, and nothing else happens.
#[test]
fn a_port_that_is_taken() {
    let server = Server::start("http-hello", &[]);
    let mut command = wharf();
    command
        .args(["serve", "--addr", &server.addr().to_string()])
        .arg(guest("http-hello"));
    let finished = finish(&mut command, "");
    assert_ne!(finished.code(), Some(0));
    assert!(
        finished.stderr.contains(&server.addr().to_string()),
        "{}",
        finished.stderr
    );
    assert!(finished.stderr.contains("in use"), "{}", finished.stderr);
    assert_eq!(finished.stdout, "");
    assert_eq!(get(server.addr(), "/").status, 200);
}

/// Servers share compiled code, started at the same moment or later.
#[test]
fn servers_share_compiled_code() {
    let cache = Scratch::new();
    let folder = cache.path().display().to_string();
    let together: Vec<_> = (0..3)
        .map(|_| {
            let folder = folder.clone();
            std::thread::spawn(move || Server::start("http-hello", &["--cache", &folder]))
        })
        .collect();
    for server in together {
        let server = server.join().expect("it serves");
        assert_eq!(get(server.addr(), "/").text(), "hello, wharf");
    }
    let entries = files(cache.path());
    assert!(!entries.is_empty(), "nothing was kept");
    let server = Server::start("http-hello", &["--cache", &folder]);
    assert_eq!(get(server.addr(), "/").text(), "hello, wharf");
    assert_eq!(files(cache.path()), entries, "the second start compiled again");
}

/// All files below a folder, with the moment each was changed.
fn files(folder: &std::path::Path) -> Vec<(std::path::PathBuf, std::time::SystemTime)> {
    let mut found = Vec::new();
    for entry in folder.read_dir().expect("the folder is there") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let changed = path
                .metadata()
                .and_then(|data| data.modified())
                .expect("a file has a date");
            found.push((path, changed));
        }
    }
    found.sort();
    found
}

/// The address is on the first line, and it answers at once.
#[test]
fn the_first_line_is_true() {
    let server = Server::start("http-hello", &[]);
    let first = server.log().lines().next().map(str::to_owned).expect("a line");
    assert!(first.contains(&format!("http://{}", server.addr())), "{first}");
    assert_eq!(get(server.addr(), "/").status, 200);
    assert_eq!(server.stdout(), "", "nothing of Wharf's own on stdout");
}
