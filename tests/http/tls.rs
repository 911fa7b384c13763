//! `[server.tls]`: certificates by name, replaced while clients come, and certificates of clients, as real clients see them.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use wharf_tests::http::get;
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
    eventually(
        || server.log().contains("no certificate is for the name other.test"),
        "the refusal is said",
    );
    // ECDSA goes first, to who knows it.
    for (more, expected) in [
        (&[][..], "ECDSA"),
        (&["-sigalgs", "RSA-PSS+SHA256"], "RSA-PSS"),
        (&["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"], "RSA"),
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
        assert!(
            text(&output.stderr).contains("alert protocol version"),
            "{}",
            text(&output.stderr)
        );
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
    eventually(
        || server.log().contains("one.crt: holds no certificate"),
        "it is said, without a signal",
    );
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
        assert!(!said.contains("AAAA") && !said.contains("client-cert-chain"), "{said}");
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
    let plain = wharf_tests::http::send(
        server.addr(),
        "GET",
        "/",
        &[("host", "open.test"), ("client-cert", ":AAAA:")],
        b"",
    );
    assert!(!plain.text().contains("AAAA"), "{}", plain.text());
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
        let output = wharf_tests::wharf()
            .args(["serve", "--addr", "127.0.0.1:0"])
            .arg(manifest)
            .output()
            .unwrap();
        assert!(!output.status.success());
        assert!(text(&output.stderr).contains(expected), "{}", text(&output.stderr));
    }
}

/// Everything that testssl.sh knows; what it rates above LOW is a finding.
#[test]
fn a_test_of_tls_finds_nothing() {
    let (Some(testssl), Some(_)) = (installed("testssl"), installed("openssl")) else {
        return;
    };
    let ca = Authority::new();
    ca.certificate("one", &["localhost", "127.0.0.1"]);
    let server = serve(&ca, &certificate("one"));
    let found = ca.scratch.join("found.json");
    let addr = tls_addr(&server);
    let output = Command::new(testssl)
        .args([
            "--quiet",
            "--color",
            "0",
            "--severity",
            "MEDIUM",
            "--nodns",
            "none",
            "--warnings",
            "batch",
            "--fast",
        ])
        .args(["--protocols", "--server-defaults", "--vulnerable", "--std", "--fs"])
        .args(["--ip", "127.0.0.1", "--add-ca"])
        .arg(ca.file())
        .arg("--jsonfile")
        .arg(&found)
        .arg(format!("localhost:{}", addr.port()))
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
    // A certificate of a test has nobody who could revoke it, and no log knows it.
    const OF_TESTS: [&str; 4] = [
        "cert_revocation",
        "cert_crlDistributionPoints",
        "DNS_CAArecord",
        "certificate_transparency",
    ];
    let is_finding = |finding: &&serde_json::Value| {
        !OF_TESTS
            .iter()
            .any(|id| finding["id"].as_str().is_some_and(|own| own.starts_with(id)))
    };
    let findings: Vec<_> = found.as_array().unwrap().iter().filter(is_finding).collect();
    assert!(findings.is_empty(), "{findings:#?}");
    assert_eq!(get(server.addr(), "/").status, 200);
}
