//! Sockets in files, and sockets that are handed over.

use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::thread;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use wharf_tests::{Finished, Scratch, Server, eventually, finish, guest, wharf};

use super::{DEADLINE, GET, Site, exchange, status, write_certificate};
use crate::operator::metric;

fn site(component: &str, keys: &str) -> Site {
    Site::serve(
        component,
        &format!("listen = ['127.0.0.1:0', 'unix:run/http.sock']\n{keys}"),
    )
}

fn connect(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).expect("the server accepts connections");
    stream.set_read_timeout(Some(DEADLINE)).expect("it is not zero");
    stream
}

#[test]
fn requests_come_by_a_file() {
    let site = site("http-request-line", "");
    let path = site.scratch.join("run/http.sock");
    assert_eq!(site.all()[1], format!("unix:{}", path.display()));
    let (answer, ended) = exchange(connect(&path), GET);
    assert!(ended.is_ok(), "{ended:?}");
    assert!(
        answer.contains("scheme: http\nauthority: a.test\npath: /path\n"),
        "{answer}"
    );
    // There is no address to tell of.
    assert!(
        answer.contains("x-forwarded-proto: http\n") && !answer.contains("x-forwarded-for"),
        "{answer}"
    );
    let (answer, _) = exchange(connect(&path), "GET / HTTP/1.0\r\n\r\n");
    assert!(answer.contains("authority: localhost\n"), "{answer}");
    let mode = std::fs::metadata(&path).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    site.server.stop();
    assert!(!path.exists(), "it goes with the server");
}

/// Many at once, with content both ways, while others leave in the middle.
#[test]
fn live_traffic_over_a_file() {
    let site = site("http-echo", "");
    let path = site.scratch.join("run/http.sock");
    let body = "0123456789".repeat(5_000);
    let request = format!(
        "POST / HTTP/1.0\r\nhost: a.test\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for nth in 0..25 {
                    let mut stream = connect(&path);
                    if nth % 5 == 4 {
                        let _ = stream.write_all(&request.as_bytes()[..40]);
                        continue;
                    }
                    let (mut answer, mut ended) = exchange(stream, format!("{request}{body}"));
                    // A machine that has too much to do tells clients to come again.
                    while status(&answer) == 503 {
                        (answer, ended) = exchange(connect(&path), format!("{request}{body}"));
                    }
                    assert!(ended.is_ok(), "{ended:?}");
                    assert_eq!(status(&answer), 200);
                    assert!(answer.ends_with(&body), "{} bytes", answer.len());
                }
            });
        }
    });
    eventually(|| metric(site.admin, "wharf_connections") == Some(0.0), "all are gone");
}

#[test]
fn a_client_that_leaves_a_file_is_noticed() {
    let site = site("http-slow", "");
    let mut stream = connect(&site.scratch.join("run/http.sock"));
    let request = "POST /?delay=3600000 HTTP/1.1\r\nhost: a.test\r\ncontent-length: 1000000\r\n\r\n";
    stream
        .write_all(format!("{request}{}", "x".repeat(70_000)).as_bytes())
        .expect("the server reads");
    eventually(|| metric(site.admin, "wharf_requests") == Some(1.0), "it has begun");
    drop(stream);
    eventually(|| metric(site.admin, "wharf_requests") == Some(0.0), "it has ended");
}

/// Clients of a file have no address, and so no limit for one.
#[test]
fn limits_for_one_client_are_for_addresses() {
    let site = site("http-slow", "limits = { connections = 20, connections-per-client = 1 }");
    let path = site.scratch.join("run/http.sock");
    let slow = || {
        let mut stream = connect(&path);
        let request = "GET /?delay=1500 HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("the server reads");
        stream
    };
    let slow: Vec<_> = (0..5).map(|_| slow()).collect();
    for stream in slow {
        assert_eq!(status(&exchange(stream, "").0), 200);
    }
}

#[test]
fn tls_and_the_proxy_protocol_go_by_a_file() {
    let site = Site::serve(
        "http-request-line",
        "listen = '127.0.0.1:0'\ntrusted-proxies = ['unix']\n[[server.listeners]]\naddress = 'unix:tls.sock'\ntls = true\n\
         proxy-protocol = true\nmode = '600'",
    );
    let path = site.scratch.join("tls.sock");
    assert_eq!(site.all()[1], format!("unix:{}, by TLS", path.display()));
    assert_eq!(
        std::fs::metadata(&path).expect("it is there").permissions().mode() & 0o777,
        0o600
    );
    let mut stream = connect(&path);
    stream
        .write_all(b"PROXY TCP4 192.0.2.1 127.0.0.1 1 2\r\n")
        .expect("the server reads");
    let name = ServerName::try_from("localhost").expect("it is a name");
    let connection = ClientConnection::new(site.trusting(&[]), name).expect("the settings hold together");
    let (answer, ended) = exchange(StreamOwned::new(connection, stream), GET);
    assert!(ended.is_ok(), "{ended:?}");
    for said in ["scheme: https\n", "x-forwarded-for: 192.0.2.1\n"] {
        assert!(answer.contains(said), "{answer}");
    }
    // The text for those without TLS.
    let mut stream = connect(&path);
    stream
        .write_all(b"PROXY TCP4 192.0.2.1 127.0.0.1 1 2\r\n")
        .expect("the server reads");
    assert_eq!(status(&exchange(stream, GET).0), 400);
}

/// Whoever reaches the file is a proxy, if that is said.
#[test]
fn a_proxy_at_a_file_is_trusted_by_a_word() {
    let site = site("http-request-line", "trusted-proxies = ['unix']");
    let path = site.scratch.join("run/http.sock");
    let request = GET.replace(
        "connection",
        "x-forwarded-for: 192.0.2.1\r\nx-forwarded-proto: https\r\nconnection",
    );
    let (answer, _) = exchange(connect(&path), &request);
    assert!(
        answer.contains("scheme: https\n") && answer.contains("x-forwarded-for: 192.0.2.1\n"),
        "{answer}"
    );
    let (answer, _) = exchange(site.connect(site.plain()), &request);
    assert!(
        answer.contains("scheme: http\n") && answer.contains("x-forwarded-for: 127.0.0.1\n"),
        "{answer}"
    );
}

#[test]
fn a_file_by_flag() {
    let scratch = Scratch::new();
    let path = scratch.join("http.sock");
    // A server that was killed has left its file behind.
    drop(UnixListener::bind(&path).expect("it is free"));
    let mut command = wharf();
    command
        .args(["serve", "--addr", &format!("unix:{}", path.display())])
        .arg(guest("http-hello"));
    let mut child = command
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("wharf is there");
    eventually(|| UnixStream::connect(&path).is_ok(), "it listens");
    let (answer, _) = exchange(connect(&path), GET);
    // Somebody else's place is not taken.
    let mut second = wharf();
    second
        .args(["serve", "--addr", &format!("unix:{}", path.display())])
        .arg(guest("http-hello"));
    let second: Finished = finish(&mut second, "");
    let _ = child.kill().and_then(|()| child.wait());
    assert_eq!(status(&answer), 200);
    assert_eq!(second.code(), Some(1));
    assert!(
        second.stderr.contains("another server listens there"),
        "{}",
        second.stderr
    );
}

/// Serves with sockets that are open already, as systemd hands them over: from number 3 on.
fn handed_over(manifest: &str, names: &str, sockets: [&dyn std::os::fd::AsFd; 2]) -> (Command, Scratch) {
    let scratch = Scratch::new();
    write_certificate(&scratch);
    let file = scratch.write("wharf.toml", manifest);
    // The shell gives them the numbers, and its own to the server.
    #[expect(clippy::disallowed_methods, reason = "these are to be inherited")]
    let copies = sockets.map(|socket| rustix::io::dup(socket.as_fd()).expect("it is open"));
    let numbers = copies.each_ref().map(std::os::fd::AsRawFd::as_raw_fd);
    // A socket may have the number that another one is to get: both are moved out of the way first.
    let mut aside = (8..).filter(|number| !numbers.contains(number));
    let [web, local] = [(); 2].map(|()| aside.next().unwrap_or_default());
    let script = format!(
        "exec {web}<&{} {local}<&{} && exec 3<&{web} 4<&{local} && exec env LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES={names} \"$0\" \"$@\"",
        numbers[0], numbers[1]
    );
    // Of the usual shells, the one that knows numbers of more than one digit.
    let mut command = Command::new("bash");
    command.arg("-c").arg(script);
    let serve = wharf();
    command.arg(serve.get_program()).args(["serve"]).arg(file);
    // They stay open until it has started; the test ends them with itself.
    std::mem::forget(copies);
    (command, scratch)
}

#[test]
fn sockets_are_handed_over_by_name() {
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let folder = Scratch::new();
    let path = folder.join("handed.sock");
    let unix = UnixListener::bind(&path).expect("it is free");
    let manifest = |listeners: &str| {
        let component = guest("http-request-line").display().to_string();
        format!(
            "[server]\n{listeners}\n[[server.tls.certificates]]\ncertificate = 'certificate.pem'\nkey = 'key.pem'\n\
             [apps.main]\ncomponent = '{component}'\n"
        )
    };
    let listeners =
        "listen = ['127.0.0.1:0', 'systemd:local']\n[[server.listeners]]\naddress = 'systemd:web'\ntls = true";
    let (command, scratch) = handed_over(&manifest(listeners), "web:local", [&tcp, &unix]);
    let server = Server::spawn(command);
    let addr = tcp.local_addr().expect("it has one");
    server.says(&format!("at https://{addr}\n"));
    let (answer, _) = exchange(connect(&path), GET);
    assert_eq!(status(&answer), 200);
    let curl = wharf_tests::installed("curl").expect("curl is a part of every system");
    let mut curl = Command::new(curl);
    curl.args(["-sS", "--cacert"])
        .arg(scratch.join("certificate.pem"))
        .arg(format!("https://{addr}/"));
    let said = finish(&mut curl, "");
    assert!(said.stdout.contains("scheme: https\n"), "{said:?}");
    server.stop();
    assert!(path.exists(), "it is somebody else's");
    // A name that nothing has.
    let (mut command, _scratch) = handed_over(&manifest("listen = 'systemd:other'"), "web:local", [&tcp, &unix]);
    let refused = finish(&mut command, "");
    assert_eq!(refused.code(), Some(1));
    assert!(
        refused
            .stderr
            .contains("no socket of the name other: it has web, local"),
        "{}",
        refused.stderr
    );
    // Where nobody calls them by name, they stand in the place of all addresses.
    let (command, _scratch) = handed_over(&manifest("listen = '127.0.0.1:1'"), "web:local", [&tcp, &unix]);
    let server = Server::spawn(command);
    assert_eq!(server.addr(), addr);
    assert_eq!(status(&exchange(connect(&path), GET).0), 200);
}
