//! Real clients, as people run them: curl, nghttp and h2load.

use std::process::{Command, Stdio};

use wharf_tests::{Scratch, Server, installed};

use crate::axes::Isolation;

/// Runs a program to its end; `None` where there is none. What it says, on both outputs.
#[track_caller]
fn run(name: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(installed(name)?).args(args).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{name} does not run: {error}"));
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{name} {args:?}: {:?}\n{said}", output.status);
    Some(said)
}

/// One request to a connection: curl 7.88, which Debian 12 has, cannot use one that it began by prior knowledge twice.
#[test]
fn curl() {
    for isolation in Isolation::ALL {
        let server = isolation.serve("http-echo", &[]);
        let url = server.url("/");
        let scratch = Scratch::new();
        let content = "0123456789abcdef".repeat(100_000);
        let file = scratch.write("content", &content);
        let file = format!("@{}", file.display());
        let echo = [
            "-sS",
            "--http2-prior-knowledge",
            "--max-time",
            "60",
            "--data-binary",
            &file,
            &url,
        ];
        let Some(said) = run("curl", &echo) else { return };
        assert!(said == content, "{isolation:?}: {} bytes", said.len());
    }
}

/// A client of HTTP/1.1 that would rather speak HTTP/2 is answered in what it speaks (RFC 9113 section 3.1 has done away with the
/// upgrade).
#[test]
fn curl_that_asks_for_an_upgrade() {
    let server = Server::start("http-hello", &[]);
    let url = server.url("/");
    let ask = ["-sS", "--http2", "--max-time", "60", "-w", " %{http_version}", &url];
    let Some(said) = run("curl", &ask) else { return };
    assert_eq!(said, "hello, wharf 1.1");
}

#[test]
fn nghttp() {
    let server = Server::start("http-download", &[]);
    let url = server.url("/?bytes=3000000");
    let Some(said) = run("nghttp", &["--null-out", "--stat", "--timeout=60", "-m", "5", &url]) else {
        return;
    };
    assert_eq!(said.matches(" 200 ").count(), 5, "{said}");
    // Small windows, and frames with padding.
    let small = [
        "--null-out",
        "--stat",
        "--timeout=60",
        "-w",
        "10",
        "-W",
        "12",
        "-b",
        "200",
        &url,
    ];
    let said = run("nghttp", &small).expect("it is there");
    assert_eq!(said.matches(" 200 ").count(), 1, "{said}");
    let server = Server::start("http-echo", &[]);
    let scratch = Scratch::new();
    let file = scratch.write("content", "content");
    let trailers = [
        "--trailer",
        "x-end: 1",
        "-H",
        ":method: POST",
        "-d",
        &file.display().to_string(),
        &server.url("/"),
    ];
    let said = run("nghttp", &[&["--timeout=60"], &trailers[..]].concat()).expect("it is there");
    assert!(said.contains("content"), "{said}");
}

/// One connection with many streams, and many connections with one.
#[test]
fn h2load() {
    for isolation in Isolation::ALL {
        let server = isolation.serve("http-hello", &[]);
        let url = server.url("/");
        for (clients, streams) in [("1", "100"), ("50", "1"), ("10", "20")] {
            let load = ["-n", "2000", "-c", clients, "-m", streams, &url];
            let Some(said) = run("h2load", &load) else { return };
            // On a machine that has much to do some are told to come again (503), which h2load takes for failures.
            let context = format!("{isolation:?} {clients} {streams}: {said}");
            assert!(
                said.contains("2000 done") && said.contains(" 0 errored, 0 timeout"),
                "{context}"
            );
            assert!(said.contains(" 0 3xx, 0 4xx, "), "{context}");
        }
    }
}
