//! Calls to programs of others: nginx with HTTP/2 and certificates of clients, tinyproxy and squid on the way. And
//! WebSockets over TLS, to a server of our own.

use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use wharf_tests::{Scratch, Server, eventually, guest, installed};

use super::{line, lines};
use crate::certificates::{Authority, free_port, tls_addr};
use crate::witness::Witness;

/// A program in the foreground, which is killed when this value is dropped.
struct Program {
    addr: SocketAddr,
    child: Child,
}

impl Program {
    /// Starts what listens at `addr`; its output goes to a file in `scratch`.
    fn start(mut command: Command, addr: SocketAddr, scratch: &Scratch) -> Self {
        let output = File::create(scratch.join("output")).expect("a new file in a new folder");
        let errors = output.try_clone().expect("a file is open");
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let program = Self { addr, child };
        eventually(|| TcpStream::connect(addr).is_ok(), "the program listens");
        program
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Asked first: squid leaves shared memory behind when it is killed.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let until = std::time::Instant::now() + Duration::from_secs(5);
        while matches!(self.child.try_wait(), Ok(None)) && std::time::Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port()))
}

/// Speaks HTTP/2 and HTTP/1.1 by TLS, and answers with what was spoken and what it makes of the client's certificate.
fn nginx(ca: &Authority) -> Option<Program> {
    let file = installed("nginx")?;
    let (addr, folder) = (free_address(), ca.scratch.path().display().to_string());
    ca.certificate("server", &["127.0.0.1", "localhost"]);
    let configuration = format!(
        "daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nerror_log {folder}/errors;\nevents {{}}\nhttp {{\n\
         access_log off;\nclient_body_temp_path {folder}/body;\nproxy_temp_path {folder}/proxy;\n\
         fastcgi_temp_path {folder}/fastcgi;\nuwsgi_temp_path {folder}/uwsgi;\nscgi_temp_path {folder}/scgi;\n\
         server {{\nlisten {addr} ssl http2;\nssl_certificate {folder}/server.crt;\nssl_certificate_key {folder}/server.key;\n\
         ssl_client_certificate {folder}/ca.pem;\nssl_verify_client optional;\n\
         location / {{ return 200 \"$server_protocol $ssl_client_verify\"; }}\n}}\n}}\n"
    );
    let configuration = ca.scratch.write("nginx.conf", configuration);
    let mut command = Command::new(file);
    command
        .args(["-e", &format!("{folder}/errors"), "-c"])
        .arg(configuration);
    Some(Program::start(command, addr, &ca.scratch))
}

/// An app of `http-outgoing` with a section `[http-client]`.
fn serve(folder: &Path, section: &str) -> Server {
    let manifest = format!(
        "component = '{}'\n[http-client]\n{section}",
        guest("http-outgoing").display()
    );
    let file = folder.join("wharf.toml");
    std::fs::write(&file, manifest).expect("a folder to write to");
    Server::start(file, &[])
}

/// What `http-outgoing` says of an answer with this text.
fn said(text: &str) -> String {
    let sum: u64 = text.bytes().map(u64::from).sum();
    format!("status 200 bytes {} sum {sum} ", text.len())
}

#[test]
fn nginx_over_http2_with_a_client_certificate() {
    let ca = Authority::new();
    let Some(nginx) = nginx(&ca) else { return };
    let at = nginx.addr;
    ca.certificate("client", &["client.test"]);
    let section = format!(
        "allow = ['https://127.0.0.1:{0}', 'https://localhost:{0}']\ntrust = ['ca.pem']\n\
         [[http-client.certificates]]\nfor = ['https://127.0.0.1:{0}']\ncertificate = 'client.crt'\n\
         key = {{ file = 'client.key' }}\n",
        at.port()
    );
    let server = serve(ca.scratch.path(), &section);
    let shown = said("HTTP/2.0 SUCCESS");
    let answers = lines(&server, &format!("n=100&url=https://{at}/"));
    assert!(answers.iter().all(|line| line.starts_with(&shown)), "{answers:?}");
    // The same server under a name that the certificate is not for.
    let other = line(&server, &format!("url=https://localhost:{}/", at.port()));
    assert!(other.starts_with(&said("HTTP/2.0 NONE")), "{other}");
    // A certificate that is replaced is shown from then on: here one that nobody knows.
    let stranger = Authority::new();
    stranger.certificate("client", &["client.test"]);
    for file in ["client.crt", "client.key"] {
        let new = ca.scratch.write(
            "new",
            std::fs::read(stranger.scratch.join(file)).expect("it was written"),
        );
        std::fs::rename(new, ca.scratch.join(file)).expect("one folder");
    }
    let refused = || line(&server, &format!("url=https://{at}/")).starts_with("status 400 ");
    eventually(refused, "nginx sees the new certificate");
}

/// What is wrong with certificates is said with its place, and the server does not start.
#[test]
fn certificates_that_do_not_fit() {
    let ca = Authority::new();
    ca.certificate("one", &["one.test"]);
    ca.certificate("two", &["two.test"]);
    let manifest = format!(
        "component = '{}'\n[[http-client.certificates]]\nfor = ['one.test']\ncertificate = 'one.crt'\n\
         key = {{ file = 'two.key' }}\n",
        guest("http-outgoing").display()
    );
    let file = ca.scratch.write("wharf.toml", manifest);
    let mut command = Server::command(&file, &[]);
    let finished = wharf_tests::finish(&mut command, "");
    assert_eq!(finished.code(), Some(1), "{finished:?}");
    assert!(
        finished.stderr.contains("client certificate cannot be used"),
        "{finished:?}"
    );
}

fn tinyproxy(scratch: &Scratch) -> Option<Program> {
    let file = installed("tinyproxy")?;
    let addr = free_address();
    let configuration = format!(
        "Port {}\nListen 127.0.0.1\nTimeout 60\nMaxClients 100\nBasicAuth wharf geheim\nLogFile \"{}\"\nLogLevel Connect\n",
        addr.port(),
        scratch.join("proxy.log").display()
    );
    let configuration = scratch.write("tinyproxy.conf", configuration);
    let mut command = Command::new(file);
    command.args(["-d", "-c"]).arg(configuration);
    Some(Program::start(command, addr, scratch))
}

fn proxy_log(scratch: &Scratch) -> String {
    std::fs::read_to_string(scratch.join("proxy.log")).unwrap_or_default()
}

#[test]
fn through_tinyproxy() {
    let ca = Authority::new();
    let Some(proxy) = tinyproxy(&ca.scratch) else { return };
    let Some(nginx) = nginx(&ca) else { return };
    let witness = Witness::start();
    let (http, https) = (witness.addr().port(), nginx.addr.port());
    ca.scratch.write("password", "geheim\n");
    let serve_with = |more: &str| {
        let section = format!(
            "allow = ['localhost']\ntrust = ['ca.pem']\n[http-client.proxy]\nurl = 'http://{}'\n{more}",
            proxy.addr
        );
        serve(ca.scratch.path(), &section)
    };
    let with_password = "user = 'wharf'\npassword = { file = 'password' }\n";
    for (lookup, host) in [("here", "127.0.0.1"), ("proxy", "localhost")] {
        let server = serve_with(&format!("{with_password}lookup = '{lookup}'\n"));
        let answer = line(&server, &format!("url=https://localhost:{https}/"));
        assert!(answer.starts_with(&said("HTTP/2.0 NONE")), "{lookup}: {answer}");
        let answer = line(
            &server,
            &format!("url=http://localhost:{http}/echo&method=POST&body=100000"),
        );
        assert!(answer.starts_with("status 200 bytes 100000 "), "{lookup}: {answer}");
        let log = || proxy_log(&ca.scratch);
        eventually(
            || log().contains(&format!("CONNECT {host}:{https} ")),
            "it was asked for a tunnel",
        );
        let head = witness.heads().pop().expect("it came there");
        assert_eq!(head.header("via").is_some(), lookup == "proxy", "{lookup}: {head:?}");
        assert_eq!(head.header("proxy-authorization"), None);
    }
    // Without the password, or with a wrong one: the guest is told that something is set up wrongly, the log what.
    ca.scratch.write("password", "falsch\n");
    for more in ["", with_password] {
        let server = serve_with(more);
        for url in [
            format!("https://localhost:{https}/"),
            format!("http://localhost:{http}/ok"),
        ] {
            let answer = line(&server, &format!("url={url}"));
            assert_eq!(answer, "error ErrorCode::ConfigurationError", "{url}");
        }
        server.says("the proxy for outgoing requests refused");
        assert!(!server.log().contains("falsch"), "{}", server.log());
    }
    // And what goes past it.
    let known = proxy_log(&ca.scratch).len();
    let server = serve_with("no-proxy = ['localhost']\n");
    let answer = line(&server, &format!("url=http://localhost:{http}/ok"));
    assert!(answer.starts_with("status 200 "), "{answer}");
    assert!(!proxy_log(&ca.scratch)[known..].contains("CONNECT"));
}

#[test]
fn through_squid() {
    let Some(file) = installed("squid") else { return };
    let (scratch, addr, witness) = (Scratch::new(), free_address(), Witness::start());
    // It writes nothing: as root it becomes somebody else, whom the folder is not for.
    let configuration = format!(
        "http_port {addr}\npid_filename none\naccess_log none\ncache_log /dev/null\ncache deny all\nhttp_access allow all\n\
         shutdown_lifetime 0 seconds\n"
    );
    let configuration = scratch.write("squid.conf", configuration);
    let mut command = Command::new(file);
    // In the foreground, in one process, whose shared memory is no other's.
    command
        .args(["-N", "-n", &format!("wharf{}", addr.port()), "-f"])
        .arg(configuration);
    let _squid = Program::start(command, addr, &scratch);
    for (lookup, via) in [("here", false), ("proxy", true)] {
        let section =
            format!("allow = ['localhost']\n[http-client.proxy]\nurl = 'http://{addr}'\nlookup = '{lookup}'\n");
        let server = serve(scratch.path(), &section);
        let url = format!("url=http://localhost:{}", witness.addr().port());
        for answer in lines(&server, &format!("n=20&{url}/ok")) {
            assert!(answer.starts_with("status 200 bytes 2 "), "{lookup}: {answer}");
        }
        let answer = line(&server, &format!("{url}/bytes?n=3000000"));
        assert!(answer.starts_with("status 200 bytes 3000000 "), "{lookup}: {answer}");
        let head = witness.heads().pop().expect("it came there");
        assert_eq!(head.header("via").is_some(), via, "{lookup}: {head:?}");
    }
}

/// A guest's WebSocket to another server's guest, by TLS: directly, and through a proxy.
#[test]
fn websockets_over_tls() {
    let ca = Authority::new();
    ca.certificate("server", &["localhost"]);
    let manifest = format!(
        "[server]\n[[server.listeners]]\naddress = '127.0.0.1:0'\n[[server.listeners]]\naddress = '127.0.0.1:0'\n\
         tls = true\n[[server.tls.certificates]]\ncertificate = 'server.crt'\nkey = 'server.key'\n\
         [apps.app]\ncomponent = '{}'\n",
        guest("ws").display()
    );
    let peer = Server::start_manifest(ca.scratch.write("peer.toml", manifest), &[]);
    let port = tls_addr(&peer).port();
    let client = |more: &str| {
        let manifest = format!(
            "component = '{}'\n[http-client]\nallow = ['https://localhost:{port}']\n{more}",
            guest("ws-client").display()
        );
        Server::start(ca.scratch.write("client.toml", manifest), &[])
    };
    let ask = |server: &Server, url: &str| {
        let path = format!("/?url={url}/echo&text=hello");
        wharf_tests::http::get(server.addr(), &path).text()
    };
    let trusting = client("trust = ['ca.pem']\n");
    let secure = format!("wss://localhost:{port}");
    assert_eq!(ask(&trusting, &secure), " hello 1000 from the guest");
    for (url, expected) in [
        // The grant is for TLS, and for the name that it was written for.
        (format!("ws://localhost:{port}"), "AccessDenied"),
        (format!("wss://127.0.0.1:{port}"), "AccessDenied"),
    ] {
        assert!(ask(&trusting, &url).contains(expected), "{url}");
    }
    // Nobody vouches for the peer.
    let said = ask(&client(""), &secure);
    assert!(
        said.contains("ConnectionFailed") && said.contains("TlsCertificateError"),
        "{said}"
    );
    let Some(proxy) = tinyproxy(&ca.scratch) else { return };
    ca.scratch.write("password", "geheim\n");
    let through = client(&format!(
        "trust = ['ca.pem']\n[http-client.proxy]\nurl = 'http://{}'\nuser = 'wharf'\npassword = {{ file = 'password' }}\n",
        proxy.addr
    ));
    assert_eq!(ask(&through, &secure), " hello 1000 from the guest");
    assert!(proxy_log(&ca.scratch).contains(&format!("CONNECT 127.0.0.1:{port} ")));
}

/// All components of an app share its connections.
#[test]
fn components_share_connections() {
    let (witness, scratch) = (Witness::start(), Scratch::new());
    let manifest = format!(
        "[components.a]\nfile = '{0}'\n[components.b]\nfile = '{0}'\n[[routes]]\npath = '/a'\ncomponent = 'a'\n\
         [[routes]]\npath = '/b'\ncomponent = 'b'\n[http-client]\nallow = ['127.0.0.1']\n",
        guest("http-outgoing").display()
    );
    let server = Server::start(scratch.write("wharf.toml", manifest), &[]);
    for path in ["/a", "/b"].repeat(3) {
        let reply = wharf_tests::http::get(server.addr(), &format!("{path}?url={}", witness.url("/ok")));
        assert!(reply.text().starts_with("status 200 "), "{}", reply.text());
    }
    assert_eq!(witness.accepted(), 1);
}
