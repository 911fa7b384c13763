//! Programs that people put in front of a server, or ask it with: nginx, HAProxy, curl.

use std::fs::File;
#[cfg(unix)]
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use wharf_tests::http::Connection;
#[cfg(unix)]
use wharf_tests::websocket::{Frame, WebSocket};
use wharf_tests::{Finished, Scratch, eventually, finish, installed};

use super::Site;
use crate::operator::metric;

/// A proxy, which is killed when this value is dropped.
struct Proxy {
    addr: SocketAddr,
    child: Child,
    _scratch: Scratch,
}

impl Proxy {
    /// Starts a proxy at a free port, which `configuration` is given; `None` where there is no such program.
    fn start(program: &str, configuration: impl Fn(SocketAddr) -> String) -> Option<Self> {
        let file = installed(program)?;
        let scratch = Scratch::new();
        let addr = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let addr = addr.expect("loopback has a free port");
        let configuration = scratch.write("configuration", configuration(addr));
        let mut command = Command::new(file);
        match program {
            "nginx" => command
                .arg("-p")
                .arg(scratch.path())
                .arg("-e")
                .arg(scratch.join("errors"))
                .arg("-c"),
            // In the foreground.
            _ => command.args(["-db", "-f"]),
        };
        let output = || Stdio::from(File::create(scratch.join("output")).expect("a new file in a new folder"));
        command
            .arg(configuration)
            .stdin(Stdio::null())
            .stdout(output())
            .stderr(output());
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let proxy = Self {
            addr,
            child,
            _scratch: scratch,
        };
        eventually(|| TcpStream::connect(addr).is_ok(), "the proxy listens");
        Some(proxy)
    }

    /// Passes bytes on, with these words after the server's address.
    fn haproxy(to: SocketAddr, words: &str) -> Option<Self> {
        Self::start("haproxy", |addr| {
            format!(
                "global\n    nbthread 1\ndefaults\n    mode tcp\n    timeout connect 10s\n    timeout server 60s\n    \
                 timeout client 60s\nlisten front\n    bind {addr}\n    server server {to} {words}\n"
            )
        })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn curl(site: &Site, arguments: &[&str]) -> Finished {
    let mut command = Command::new(installed("curl").expect("curl is a part of every system"));
    command
        .args(["-sS", "--max-time", "60", "--cacert"])
        .arg(site.scratch.join("certificate.pem"))
        .args(arguments);
    finish(&mut command, "")
}

/// From another address than the proxy's own, so that one is told from the other.
fn ask_from(client: [u8; 4], proxy: SocketAddr) -> String {
    let mut connection = Connection::from(wharf_tests::http::connect_from(client, proxy));
    connection.send("GET /path HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n");
    connection.reply().text()
}

#[test]
fn haproxy_says_whose_bytes_it_passes_on() {
    let site = Site::with_listener(
        "http-request-line",
        "trusted-proxies = ['127.0.0.1']",
        "proxy-protocol = true",
    );
    for words in [
        "send-proxy",
        "send-proxy-v2",
        "send-proxy-v2 proxy-v2-options unique-id,crc32c",
    ] {
        let Some(proxy) = Proxy::haproxy(site.second(), words) else {
            return;
        };
        let text = ask_from([127, 0, 0, 9], proxy.addr);
        assert!(text.contains("x-forwarded-for: 127.0.0.9\n"), "{words}: {text}");
    }
    // Its checks of health are its own.
    let Some(_proxy) = Proxy::haproxy(site.second(), "check inter 100ms send-proxy-v2 check-send-proxy") else {
        return;
    };
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(
        !site.server.log().contains("closed a connection"),
        "{}",
        site.server.log()
    );
}

#[test]
fn clients_behind_haproxy_have_limits_of_their_own() {
    let keys = "trusted-proxies = ['127.0.0.1']\nlimits = { connections = 50, connections-per-client = 1 }";
    let site = Site::with_listener("http-slow", keys, "proxy-protocol = true");
    let Some(proxy) = Proxy::haproxy(site.second(), "send-proxy-v2") else {
        return;
    };
    let begin = |client: [u8; 4]| {
        let mut connection = Connection::from(wharf_tests::http::connect_from(client, proxy.addr));
        connection.send("GET /?delay=2000 HTTP/1.1\r\nhost: a.test\r\n\r\n");
        connection
    };
    let mut first = [begin([127, 0, 0, 2]), begin([127, 0, 0, 3])];
    eventually(|| metric(site.admin, "wharf_requests") == Some(2.0), "both have begun");
    assert_eq!(begin([127, 0, 0, 2]).reply().status, 503);
    for connection in &mut first {
        assert_eq!(connection.reply().status, 200);
    }
}

#[test]
fn haproxy_passes_tls_on() {
    let site = Site::with_listener(
        "http-request-line",
        "trusted-proxies = ['127.0.0.1']",
        "tls = true\nproxy-protocol = true",
    );
    let Some(proxy) = Proxy::haproxy(site.second(), "send-proxy-v2") else {
        return;
    };
    let port = proxy.addr.port();
    for version in ["--http1.1", "--http2"] {
        let url = format!("https://localhost:{port}/path");
        let said = curl(&site, &["--interface", "127.0.0.5", "-4", version, &url]);
        for expected in [
            "scheme: https\n",
            &format!("authority: localhost:{port}\n"),
            "x-forwarded-for: 127.0.0.5\n",
        ] {
            assert!(said.stdout.contains(expected), "{version}: {said:?}");
        }
    }
}

/// nginx speaks TLS and says so in fields; it knows nothing of `forwarded`, and passes on what clients write there.
#[cfg(unix)]
#[test]
fn nginx_in_front_of_a_file() {
    let keys = "listen = ['127.0.0.1:0', 'unix:http.sock']\ntrusted-proxies = ['unix']";
    let site = Site::serve("http-request-line", keys);
    let folder = site.scratch.path().display().to_string();
    let configuration = |addr: SocketAddr| {
        format!(
            "daemon off;\nmaster_process off;\npid pid;\nerror_log errors;\nevents {{ worker_connections 256; }}\nhttp {{\n\
             access_log off;\nclient_body_temp_path body;\nproxy_temp_path proxy;\nfastcgi_temp_path fastcgi;\n\
             uwsgi_temp_path uwsgi;\nscgi_temp_path scgi;\nserver {{\nlisten {addr} ssl;\n\
             ssl_certificate {folder}/certificate.pem;\nssl_certificate_key {folder}/key.pem;\nlocation / {{\n\
             proxy_pass http://unix:{folder}/http.sock;\nproxy_http_version 1.1;\nproxy_set_header Connection \"\";\n\
             proxy_set_header Host $host;\nproxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n\
             proxy_set_header X-Forwarded-Proto $scheme;\n}}\n}}\n}}\n"
        )
    };
    let Some(proxy) = Proxy::start("nginx", configuration) else {
        return;
    };
    let url = format!("https://localhost:{}/path", proxy.addr.port());
    let spoofed = [
        "-H",
        "X-Forwarded-For: 6.6.6.6",
        "-H",
        "Forwarded: for=7.7.7.7",
        "-H",
        "X-Forwarded-Host: evil.test",
    ];
    let said = curl(
        &site,
        &[&["--interface", "127.0.0.5", "-4", &url][..], &spoofed].concat(),
    );
    for expected in [
        "scheme: https\nauthority: localhost\n",
        "x-forwarded-for: 127.0.0.5\n",
        "x-forwarded-proto: https\n",
    ] {
        assert!(said.stdout.contains(expected), "{said:?}");
    }
    for spoofed in ["6.6.6.6", "7.7.7.7", "evil.test"] {
        assert!(!said.stdout.contains(spoofed), "{said:?}");
    }
}

/// What the page on networks says of nginx: what stands outside of a server, and what inside.
#[cfg(unix)]
fn nginx_of_the_page() -> (String, String) {
    let page = include_str!("../../../docs/concepts/network.md");
    let (_, snippet) = page.split_once("```nginx\n").expect("it has a snippet");
    let (snippet, _) = snippet.split_once("```").expect("which ends");
    let (outside, inside) = snippet.split_once("location").expect("it has a location");
    (outside.to_owned(), format!("location{inside}"))
}

/// A server behind nginx as the page has it, but for the file's place.
#[cfg(unix)]
fn behind_nginx(component: &str) -> Option<(Site, Proxy)> {
    let site = Site::serve(
        component,
        "listen = ['127.0.0.1:0', 'unix:http.sock']\ntrusted-proxies = ['unix']",
    );
    let folder = site.scratch.path().display().to_string();
    let (outside, inside) = nginx_of_the_page();
    let inside = inside.replace("/run/wharf", &folder);
    let proxy = Proxy::start("nginx", |addr| {
        format!(
            "daemon off;\nmaster_process off;\npid pid;\nerror_log errors;\nevents {{ worker_connections 256; }}\nhttp {{\n\
             access_log off;\nclient_body_temp_path body;\nproxy_temp_path proxy;\nfastcgi_temp_path fastcgi;\n\
             uwsgi_temp_path uwsgi;\nscgi_temp_path scgi;\n{outside}\nserver {{\nlisten {addr};\n{inside}\n}}\n}}\n"
        )
    })?;
    Some((site, proxy))
}

/// WebSockets through nginx: who may open one, messages, and how either side closes.
#[cfg(unix)]
#[test]
fn websockets_behind_nginx() {
    let Some((site, proxy)) = behind_nginx("ws") else {
        return;
    };
    let at = proxy.addr;
    let own = format!("http://{at}");
    let open = |path: &str| WebSocket::try_open(at, path, &[("origin", &own)]).expect("it is accepted");
    let refused = WebSocket::try_open(at, "/echo", &[("origin", "http://other.test")]).err();
    assert_eq!(refused.map(|reply| reply.status), Some(403), "a page of another host");
    let mut socket = open("/seen");
    let seen = socket.text();
    assert!(seen.contains(&at.to_string()), "its host: {seen}");
    let mut socket = open("/echo");
    for text in ["", "hello", &"x".repeat(70_000)] {
        socket.send_text(text);
        assert_eq!(socket.text(), text);
    }
    socket.send(&Frame::close(4000, "done"));
    assert_eq!(socket.end(), Some(4000), "the client closes");
    let mut socket = open("/close?code=4001");
    socket.send_text("now");
    assert_eq!(socket.end(), Some(4001), "the guest closes");
    let mut socket = open("/farewell");
    // Requests that ask for no upgrade are as ever.
    assert_eq!(wharf_tests::http::get(at, "/").status, 200);
    site.server.terminate();
    assert_eq!(socket.text(), "goodbye: 1012");
    assert_eq!(socket.end(), Some(1012), "the server goes");
}

/// The first events of a stream that goes on come through nginx while it does.
#[cfg(unix)]
#[test]
fn events_behind_nginx() {
    let Some((_site, proxy)) = behind_nginx("http-events") else {
        return;
    };
    let mut stream = TcpStream::connect(proxy.addr).expect("nginx listens");
    stream.set_read_timeout(Some(super::DEADLINE)).expect("it is not zero");
    stream
        .write_all(b"GET /?n=2&every=3600000 HTTP/1.1\r\nhost: a.test\r\n\r\n")
        .expect("nginx reads");
    let mut come = Vec::new();
    while !String::from_utf8_lossy(&come).contains("data:000\n\n") {
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).expect("an event");
        assert!(count > 0, "it ended: {}", String::from_utf8_lossy(&come));
        come.extend_from_slice(&buffer[..count]);
    }
}

#[test]
fn curl_speaks_all_of_it() {
    let site = Site::serve(
        "http-request-line",
        "listen = ['127.0.0.1:0', 'unix:http.sock']\n[[server.listeners]]\naddress = '127.0.0.1:0'\ntls = true\n\
         [[server.listeners]]\naddress = '127.0.0.1:0'\nredirect-to-https = true",
    );
    let all = site.all();
    let secure = format!("{}/a", all[2].replace("127.0.0.1", "localhost"));
    let plain = format!("http://{}/a", site.plain());
    let file = site.scratch.join("http.sock").display().to_string();
    let redirected = format!("{}/a", all[3].replace("127.0.0.1", "localhost"));
    for (arguments, version, scheme) in [
        (&["--http1.1", &secure][..], "1.1", "https"),
        (&["--http2", &secure], "2", "https"),
        (&["--tls-max", "1.2", &secure], "2", "https"),
        (&["--no-alpn", &secure], "1.1", "https"),
        (&["--http2-prior-knowledge", &plain], "2", "http"),
        (&["--unix-socket", &file, "http://localhost/a"], "1.1", "http"),
        (
            &["--unix-socket", &file, "--http2-prior-knowledge", "http://localhost/a"],
            "2",
            "http",
        ),
        (&["-L", &redirected], "2", "https"),
    ] {
        let said = curl(&site, &[&["-w", "%{http_version}"][..], arguments].concat());
        assert_eq!(said.code(), Some(0), "{arguments:?}: {said:?}");
        assert!(
            said.stdout.contains(&format!("scheme: {scheme}\n")),
            "{arguments:?}: {said:?}"
        );
        assert!(said.stdout.ends_with(version), "{arguments:?}: {said:?}");
    }
}
