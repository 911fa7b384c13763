//! Real clients, as people run them: curl, nghttp and h2load.

use std::process::{Command, Stdio};

use wharf_tests::{Scratch, Server, guest, installed};

use crate::axes::Isolation;
use crate::certificates::tls_addr;
use crate::tunnel::Secured;

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

/// Whoever is answered before it has sent everything has its answer all the same. curl, told to stop at once, forgets it.
#[test]
fn answers_to_those_who_still_send() {
    let scratch = Scratch::new();
    let index = scratch.write("public/index.html", "files");
    let more = format!(
        "routes = [{{ path = '/hello' }}]\n[apps.little]\ncomponent = {:?}\nroutes = [{{ path = '/little' }}]\nlimits.body = '1KB'\n\
         [apps.files]\nroutes = [{{ path = '/files', files = {:?} }}]\n",
        guest("http-upload"),
        index.parent().expect("it is in a folder"),
    );
    let site = Secured::serve("http-hello", &more, &[]);
    let by_tls = format!("https://localhost:{}", tls_addr(&site.server).port());
    let wires = [(site.server.url(""), "--http2-prior-knowledge"), (by_tls, "--http2")];
    let contents = [100_000, 3_000_000].map(|bytes| scratch.write(bytes.to_string(), "x".repeat(bytes)));
    let answers = [
        ("hello", "200"),
        ("little", "413"),
        ("files/index.html", "405"),
        ("nowhere", "404"),
    ];
    for ((url, protocol), content, (path, status)) in every(&wires, &contents, &answers) {
        let (url, content) = (format!("{url}/{path}"), content.display().to_string());
        // Of known length, and of unknown.
        for how in [&["-T", &content][..], &["-T", &content, "-H", "content-length:"]] {
            for _ in 0..3 {
                let ask = ["-sSk", protocol, "--max-time", "60", "-w", "\n%{http_code}", &url];
                let Some(said) = run("curl", &[&ask, how].concat()) else {
                    return;
                };
                assert_eq!(said.lines().last(), Some(*status), "{url} {how:?}");
            }
        }
    }
}

/// Each with each.
fn every<'a, A, B, C>(a: &'a [A], b: &'a [B], c: &'a [C]) -> impl Iterator<Item = (&'a A, &'a B, &'a C)> {
    let pairs = a.iter().flat_map(move |a| b.iter().map(move |b| (a, b)));
    pairs.flat_map(move |(a, b)| c.iter().map(move |c| (a, b, c)))
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
