//! `[server.tls]`: certificates by name, replaced while clients come, and certificates of clients, as real clients see them.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use wharf_tests::http::{Connection, get};
use wharf_tests::{Server, eventually, guest, installed};

use crate::certificates::{Authority, ask, tls_addr};
use crate::operator::{ADMIN, admin, metric};

/// The manifest of a server with one app and two listeners, the second one with TLS.
fn manifest(tls: &str) -> String {
    format!(
        "[server]\n[[server.listeners]]\naddress = '127.0.0.1:0'\n[[server.listeners]]\naddress = '127.0.0.1:0'\n\
         tls = true\n{tls}\n[apps.app]\ncomponent = '{}'\n",
        guest("http-seen").display()
    )
}

fn certificate(file: &str) -> String {
    format!("[[server.tls.certificates]]\ncertificate = '{file}.crt'\nkey = '{file}.key'\n")
}

fn serve(ca: &Authority, tls: &str) -> Server {
    let manifest = ca.scratch.write("wharf.toml", manifest(tls));
    Server::start_manifest(manifest, &[&ADMIN[..], &["--log", "debug"]].concat())
}

fn handshakes(server: &Server, outcome: &str) -> f64 {
    let name = format!("wharf_tls_handshakes_total{{outcome=\"{outcome}\"}}");
    metric(admin(server), &name).unwrap_or(0.0)
}

/// Runs curl for a path of `name`, with further arguments.
fn curl(ca: &Path, server: &Server, name: &str, more: &[&str]) -> Option<Output> {
    let port = tls_addr(server).port();
    let output = Command::new(installed("curl")?)
        .args(["--silent", "--show-error", "--max-time", "20", "--cacert"])
        .arg(ca)
        .args(["--resolve", &format!("{name}:{port}:127.0.0.1")])
        .args(more)
        .arg(format!("https://{name}:{port}/"))
        .output();
    Some(output.expect("curl runs"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn clients_get_the_certificate_of_the_name_they_ask_for() {
    let Some(openssl) = installed("openssl") else { return };
    let ca = Authority::new();
    ca.certificate("one", &["one.test", "127.0.0.1"]);
    ca.certificate("wild", &["*.two.test"]);
    ca.rsa_certificate("rsa", &["one.test", "rsa.test"], &openssl);
    let server = serve(&ca, &["rsa", "one", "wild"].map(certificate).concat());
    for (name, more, expected) in [
        ("one.test", &[][..], "GET https://one.test"),
        ("a.two.test", &["--http2"], "GET https://a.two.test"),
        (
            "a.two.test",
            &["--http1.1", "--tls-max", "1.2"],
            "GET https://a.two.test",
        ),
        ("rsa.test", &[], "GET https://rsa.test"),
    ] {
        let Some(output) = curl(&ca.file(), &server, name, more) else {
            return;
        };
        let said = text(&output.stdout);
        assert!(said.starts_with(expected), "{name}: {said}{}", text(&output.stderr));
    }
    let Some(refused) = curl(&ca.file(), &server, "other.test", &[]) else {
        return;
    };
    assert!(
        text(&refused.stderr).contains("unrecognized name"),
        "{}",
        text(&refused.stderr)
    );
    eventually(|| handshakes(&server, "unknown-name") == 1.0, "the refusal is counted");
    eventually(|| handshakes(&server, "full") >= 4.0, "handshakes are counted");
    server.says("no certificate is for the name other.test");
    // ECDSA goes first, to who knows it.
    for (more, expected) in [
        (&[][..], "ECDSA"),
        (&["-sigalgs", "RSA-PSS+SHA256"], "RSA-PSS"),
        (&["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"], "RSA-PSS"),
        (&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], "ECDSA"),
    ] {
        let output = Command::new(&openssl)
            .args(["s_client", "-brief", "-servername", "one.test", "-CAfile"])
            .arg(ca.file())
            .args(["-connect", &tls_addr(&server).to_string()])
            .args(more)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let said = text(&output.stderr);
        let kind = said.lines().find_map(|line| line.strip_prefix("Signature type: "));
        assert_eq!(kind, Some(expected), "{more:?}: {said}");
    }
    for version in ["-tls1_1", "-tls1"] {
        let output = Command::new(&openssl)
            .args([
                "s_client",
                version,
                "-cipher",
                "ALL:@SECLEVEL=0",
                "-servername",
                "one.test",
                "-connect",
            ])
            .arg(tls_addr(&server).to_string())
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        // `protocol version`, or `handshake failure` where the suites are looked at first.
        assert!(text(&output.stderr).contains(" alert "), "{}", text(&output.stderr));
    }
    let expires = metric(admin(&server), "wharf_certificate_expires_seconds{name=\"one.test\"}");
    assert!(expires > Some(4e9), "{expires:?}");
}

#[test]
fn certificates_are_replaced_while_clients_come() {
    let ca = Authority::new();
    let mut current = ca.certificate("one", &["one.test"]);
    let server = serve(&ca, &certificate("one"));
    let (addr, client) = (tls_addr(&server), ca.client());
    let (done, failed) = (AtomicBool::new(false), AtomicUsize::new(0));
    let answered = AtomicUsize::new(0);
    let open = std::net::TcpStream::connect(addr).unwrap();
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    match ask(&client, addr, "one.test") {
                        Ok((_, answer)) if answer.starts_with("HTTP/1.1 200") => {
                            answered.fetch_add(1, Ordering::Relaxed)
                        }
                        other => {
                            eprintln!("{other:?}");
                            failed.fetch_add(1, Ordering::Relaxed)
                        }
                    };
                }
            });
        }
        // Whatever is found goes to where it can be shown once the threads have ended.
        let swapped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..20 {
                let before = answered.load(Ordering::Relaxed);
                let new = ca.certificate("one", &["one.test"]);
                assert_ne!(new, current);
                hang_up(&server);
                let shown = || ask(&client, addr, "one.test").is_ok_and(|(shown, _)| shown == new);
                eventually(shown, "the new certificate is shown");
                eventually(
                    || answered.load(Ordering::Relaxed) > before,
                    "others are served meanwhile",
                );
                current = new;
            }
        }));
        done.store(true, Ordering::Relaxed);
        swapped
    })
    .unwrap();
    drop(open);
    assert_eq!(failed.into_inner(), 0, "of {}", answered.into_inner());
    // What cannot be used is not.
    ca.scratch.write("one.crt", "damaged");
    server.says("one.crt: holds no certificate");
    assert_eq!(ask(&client, addr, "one.test").unwrap().0, current);
    eventually(
        || metric(admin(&server), "wharf_reloads_total{outcome=\"refused\"}") >= Some(1.0),
        "it is counted",
    );
    // Nor is a manifest that is broken a reason to let certificates expire.
    ca.scratch.write("wharf.toml", "[server");
    let new = ca.certificate("one", &["one.test"]);
    eventually(
        || ask(&client, addr, "one.test").is_ok_and(|(shown, _)| shown == new),
        "the new certificate is shown",
    );
}

fn hang_up(server: &Server) {
    let pid = rustix::process::Pid::from_raw(server.pid() as i32).expect("a process has a number");
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).expect("the server runs");
}

#[test]
fn a_changed_manifest_brings_other_certificates() {
    let ca = Authority::new();
    ca.certificate("one", &["one.test"]);
    let server = serve(&ca, &certificate("one"));
    let (addr, client) = (tls_addr(&server), ca.client());
    assert!(ask(&client, addr, "two.test").is_err());
    ca.certificate("two", &["two.test"]);
    ca.scratch
        .write("wharf.toml", manifest(&(certificate("one") + &certificate("two"))));
    eventually(|| ask(&client, addr, "two.test").is_ok(), "the new name is served");
    assert!(ask(&client, addr, "one.test").is_ok());
    assert!(!server.log().contains("start the server anew"), "{}", server.log());
}

#[test]
fn clients_show_certificates_where_they_are_asked_to() {
    let ca = Authority::new();
    ca.certificate("server", &["open.test", "closed.test"]);
    ca.certificate("client", &["a.client"]);
    Authority::certificate(&ca, "other", &["b.client"]);
    let tls =
        certificate("server") + "[[server.tls.client-certificates]]\nauthorities = 'ca.pem'\nhosts = ['closed.test']\n";
    let server = serve(&ca, &tls);
    let file = |name: &str| ca.scratch.join(name).display().to_string();
    let (own, key) = (file("client.crt"), file("client.key"));
    let own = ["--cert", &own, "--key", &key];
    let forged = [
        "--header",
        "client-cert: :AAAA:",
        "--header",
        "Client-Cert-Chain: :AAAA:",
    ];
    for (name, more, expected) in [
        ("open.test", vec![], None),
        ("open.test", forged.to_vec(), None),
        ("open.test", [&own[..], &forged].concat(), None),
        ("closed.test", own.to_vec(), Some(())),
        ("closed.test", [&own[..], &forged].concat(), Some(())),
    ] {
        let Some(output) = curl(&ca.file(), &server, name, &more) else {
            return;
        };
        let said = text(&output.stdout);
        assert!(
            said.contains(&format!("https://{name}")),
            "{more:?}: {said}{}",
            text(&output.stderr)
        );
        assert_eq!(said.contains("client-cert"), expected.is_some(), "{said}");
        // curl sends the authority's own certificate along.
        assert_eq!(said.contains("client-cert-chain: 5"), expected.is_some(), "{said}");
        assert!(!said.contains("AAAA"), "{said}");
    }
    let Some(refused) = curl(&ca.file(), &server, "closed.test", &[]) else {
        return;
    };
    assert!(
        text(&refused.stderr).contains("certificate required"),
        "{}",
        text(&refused.stderr)
    );
    eventually(
        || handshakes(&server, "client-certificate") == 1.0,
        "the refusal is counted",
    );
    // A connection for one host is not good for the other: its client was not asked.
    let host = format!("host: closed.test:{}", tls_addr(&server).port());
    for more in [vec!["--http1.1"], vec!["--http2"]] {
        let more = [&more[..], &["--header", &host, "--write-out", "%{http_code}"]].concat();
        let Some(output) = curl(&ca.file(), &server, "open.test", &more) else {
            return;
        };
        assert!(text(&output.stdout).ends_with("421"), "{}", text(&output.stdout));
    }
    // Nor is one without TLS.
    check_without_tls(&server, &[("open.test", 200), ("closed.test", 421)], false);
}

/// What a plain connection gets that says which certificate its client has shown, and whether apps see that.
#[track_caller]
fn check_without_tls(server: &Server, statuses: &[(&str, u16)], is_believed: bool) {
    for (host, status) in statuses {
        let mut plain = Connection::open(server.addr());
        plain.send(format!(
            "GET / HTTP/1.1\r\nhost: {host}\r\nclient-cert: :AAAA:\r\nclient-cert-chain: :BBBB:\r\n\r\n"
        ));
        let reply = plain.reply();
        assert_eq!(reply.status, *status, "{host}");
        for said in ["client-cert: ", "client-cert-chain: "] {
            assert_eq!(reply.text().contains(said), is_believed, "{}", reply.text());
        }
    }
}

/// A proxy that is believed who asks may still pass on a certificate that its client has made up: that takes a word of its own.
#[test]
fn proxies_are_believed_certificates_where_that_is_said() {
    let ca = Authority::new();
    ca.certificate("server", &["open.test", "closed.test"]);
    let asks = "[[server.tls.client-certificates]]\nauthorities = 'ca.pem'\nhosts = ['closed.test']\n";
    let plain = |keys: &str| {
        manifest(&(certificate("server") + asks)).replacen("[server]\n", &format!("[server]\n{keys}\n"), 1)
    };
    let trusted = "trusted-proxies = ['127.0.0.1']";
    for (keys, closed, is_believed) in [
        ("", 421, false),
        (trusted, 421, false),
        (&format!("{trusted}\nforwarded-client-cert = true"), 200, true),
        (
            "trusted-proxies = ['10.0.0.1']\nforwarded-client-cert = true",
            421,
            false,
        ),
    ] {
        let server = Server::start_manifest(ca.scratch.write("wharf.toml", plain(keys)), &[]);
        check_without_tls(&server, &[("open.test", 200), ("closed.test", closed)], is_believed);
        let server = Server::start_manifest(
            ca.scratch.write(
                "plain.toml",
                format!(
                    "[server]\n{keys}\nlisten = '127.0.0.1:0'\n[apps.app]\ncomponent = '{}'\n",
                    guest("http-seen").display()
                ),
            ),
            &[],
        );
        check_without_tls(&server, &[("closed.test", 200)], is_believed);
    }
}

/// What clients have to show may change while they are connected: whoever would not be let in any more comes again.
#[test]
fn connections_follow_what_is_asked_of_clients() {
    let ca = Authority::new();
    let stranger = Authority::new();
    ca.certificate("server", &["closed.test"]);
    ca.certificate("client", &["a.client"]);
    let (own, other) = (
        std::fs::read_to_string(ca.file()).unwrap(),
        std::fs::read_to_string(stranger.file()).unwrap(),
    );
    ca.scratch.write("clients.pem", &own);
    let tls = |keys: &str| {
        certificate("server")
            + &format!(
                "[[server.tls.client-certificates]]\nauthorities = 'clients.pem'\nhosts = ['closed.test']\n{keys}\n"
            )
    };
    let server = serve(&ca, &tls("required = false"));
    let addr = tls_addr(&server);
    let reloads = || metric(admin(&server), "wharf_reloads_total{outcome=\"taken\"}").unwrap_or(0.0);
    let known = || Kept::open(ca.client_with("client"), addr);
    let unknown = || Kept::open(ca.client(), addr);
    let (mut with, mut without) = (known(), unknown());
    let write = |authorities: &str| {
        let before = reloads();
        ca.scratch.write("clients.pem", authorities);
        eventually(|| reloads() > before, "it is read");
    };
    assert_eq!((with.ask(), without.ask()), (Some(200), Some(200)), "at first");
    write(&(own.clone() + &other));
    assert_eq!(
        (with.ask(), without.ask()),
        (Some(200), Some(200)),
        "one more is accepted"
    );
    write(&other);
    assert_eq!(
        (with.ask(), without.ask()),
        (Some(421), Some(200)),
        "its authority is not accepted any more"
    );
    assert_eq!(with.ask(), None, "and its connection has ended");
    write(&own);
    let mut with = known();
    assert_eq!((with.ask(), without.ask()), (Some(200), Some(200)), "as at first");
    ca.scratch.write("wharf.toml", manifest(&tls("required = true")));
    eventually(|| without.ask() == Some(421), "everybody has to show one");
    assert_eq!((with.ask(), without.ask()), (Some(200), None), "as it has");
}

/// A connection by TLS that is kept.
struct Kept(rustls::StreamOwned<rustls::ClientConnection, std::net::TcpStream>);

impl Kept {
    fn open(client: Arc<rustls::ClientConfig>, addr: std::net::SocketAddr) -> Self {
        let stream = std::net::TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let name = rustls::pki_types::ServerName::try_from("closed.test").unwrap();
        Self(rustls::StreamOwned::new(
            rustls::ClientConnection::new(client, name).unwrap(),
            stream,
        ))
    }

    /// The answer's status; none where the connection has ended.
    fn ask(&mut self) -> Option<u16> {
        self.0.write_all(b"GET / HTTP/1.1\r\nhost: closed.test\r\n\r\n").ok()?;
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            self.0.read_exact(&mut byte).ok()?;
            head.push(byte[0]);
        }
        let head = text(&head);
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut content = vec![0; length.expect("it has a length").parse().unwrap()];
        self.0.read_exact(&mut content).ok()?;
        head.get(9..12)?.parse().ok()
    }
}

#[test]
fn what_cannot_be_used_is_said_at_the_start() {
    let ca = Authority::new();
    ca.certificate("one", &["one.test"]);
    ca.certificate("two", &["two.test"]);
    let mixed = "[[server.tls.certificates]]\ncertificate = 'one.crt'\nkey = 'two.key'\n";
    for (tls, expected) in [
        (
            mixed.to_owned(),
            "two.key: the key does not belong to the certificate of",
        ),
        (certificate("three"), "three.crt: cannot be read"),
        ("[server.tls]\n".to_owned(), "TLS needs a certificate"),
        (
            certificate("one") + "[[server.tls.client-certificates]]\nauthorities = 'one.key'\n",
            "one.key: holds no certificate, but: PRIVATE KEY",
        ),
        (
            "[server.acme]\nhosts = ['a.test']\n".to_owned(),
            "`accept-terms` is missing",
        ),
        (
            "[server.acme]\naccept-terms = true\nhosts = ['*.a.test', '127.0.0.1']\n".to_owned(),
            "which Wharf does not speak",
        ),
    ] {
        let manifest = ca.scratch.write("wharf.toml", manifest(&tls));
        let output = wharf_tests::wharf().arg("serve").arg(&manifest).output().unwrap();
        assert!(!output.status.success());
        assert!(text(&output.stderr).contains(expected), "{}", text(&output.stderr));
        let output = wharf_tests::wharf().arg("check").arg(&manifest).output().unwrap();
        assert!(!output.status.success(), "{tls}");
        assert!(text(&output.stderr).contains(expected), "{}", text(&output.stderr));
    }
}

/// They are used all the same, since clocks are wrong at times; the log says so, and clients look themselves.
#[test]
fn certificates_are_shown_whose_time_is_over() {
    for (years, said) in [
        ([2001, 2002], "the certificate has expired: clients will refuse it"),
        (
            [2098, 2099],
            "the certificate does not hold yet: clients will refuse it",
        ),
    ] {
        let ca = Authority::new();
        ca.certificate_between("one", &["one.test"], years);
        let server = serve(&ca, &certificate("one"));
        let Some(refused) = curl(&ca.file(), &server, "one.test", &[]) else {
            return;
        };
        assert!(!refused.status.success(), "{said}");
        let shown = curl(&ca.file(), &server, "one.test", &["--insecure"]).unwrap();
        assert!(
            text(&shown.stdout).starts_with("GET "),
            "{said}: {}",
            text(&shown.stderr)
        );
        let line = |log: String| log.lines().any(|line| line.contains(said) && line.contains("one.crt"));
        eventually(|| line(server.log()), said);
    }
}

/// What testssl.sh says of the app's answers, and not of TLS: the guest of this test sends no `strict-transport-security`, nor any
/// field that tells browsers what a page may do.
const OF_THE_APP: [&str; 2] = ["HSTS", "security_headers"];

/// What testssl.sh rates above LOW is a finding, in all that it looks at by default.
#[test]
fn a_test_of_tls_finds_nothing() {
    let (Some(testssl), Some(openssl)) = (installed("testssl"), installed("openssl")) else {
        return;
    };
    let ca = Authority::new();
    // One that lasts as long as those of authorities do.
    let made = Command::new(openssl)
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ])
        .args([
            "-days",
            "90",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
        ])
        .args(["-keyout", "one.key", "-out", "one.crt"])
        .current_dir(ca.scratch.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    let server = serve(&ca, &certificate("one"));
    let found = ca.scratch.join("found.json");
    let output = Command::new(testssl)
        .args(["--quiet", "--color", "0", "--nodns", "none", "--warnings", "batch"])
        .args(["--ip", "127.0.0.1", "--add-ca"])
        .arg(ca.scratch.join("one.crt"))
        .arg("--jsonfile")
        .arg(&found)
        .arg(format!("localhost:{}", tls_addr(&server).port()))
        .output()
        .unwrap();
    let found = std::fs::read_to_string(&found).unwrap_or_default();
    assert!(
        found.trim_end().ends_with(']'),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    let found: serde_json::Value = serde_json::from_str(&found).unwrap();
    let ids = found.as_array().unwrap().iter().map(|finding| finding["id"].as_str());
    let ids: Vec<&str> = ids.flatten().collect();
    for id in ["TLS1_3", "cipher_order", "cert_chain_of_trust", "HSTS", "heartbleed"] {
        assert!(ids.contains(&id), "it has not looked at {id}: {ids:?}");
    }
    let is_finding = |finding: &&serde_json::Value| {
        let field = |name: &str| finding[name].as_str().unwrap_or_default();
        // Nobody revokes a certificate of tests.
        let is_of_test = field("id").starts_with("cert_revocation") || OF_THE_APP.contains(&field("id"));
        ["MEDIUM", "HIGH", "CRITICAL"].contains(&field("severity")) && !is_of_test
    };
    let findings: Vec<_> = found.as_array().unwrap().iter().filter(is_finding).collect();
    assert!(findings.is_empty(), "{findings:#?}");
    // It has asked, indeed: old versions as well, which are refused.
    eventually(|| handshakes(&server, "protocol") >= 3.0, "old versions are refused");
    eventually(|| handshakes(&server, "full") >= 3.0, "others are spoken");
    assert_eq!(get(server.addr(), "/").status, 200);
}
