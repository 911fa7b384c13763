//! Crowds of clients that take their time (slowhttptest), and honest ones beside them.
//!
//! Slowness costs a server what it holds for it. Whatever it does with the slow, everybody else is answered.

use std::fs::File;
use std::process::{Child, Command, Stdio};

use wharf_tests::http::get;
use wharf_tests::{Scratch, eventually, installed};

use crate::axes::Isolation;

/// More than a server with one thread per connection could take.
const CONNECTIONS: &str = "2000";
const CONNECTIONS_PER_SECOND: &str = "1000";
/// The program tells its numbers every five.
const SECONDS: &str = "8";
/// Fewer would be no crowd. A slow machine opens some hundreds in the time.
const CROWD_MIN: u64 = 100;

/// Heads that come a line at a time: no guest hears of them.
#[test]
fn heads() {
    check(
        Isolation::Serial,
        "http-hello",
        "/",
        &["-H", "-i", "1", "-x", "20"],
        &[200],
    );
}

/// Content that comes some bytes at a time, of 4 KiB that were announced: a guest waits for each.
#[test]
fn content() {
    for (isolation, statuses) in MEANWHILE {
        let sending = ["-B", "-i", "1", "-s", "4096", "-x", "10"];
        check(isolation, "http-upload", "/", &sending, statuses);
    }
}

/// Answers of 8 MiB that are read 32 bytes at a time, through a window of a few packets: a guest writes each.
#[test]
fn readers() {
    for (isolation, statuses) in MEANWHILE {
        let reading = ["-X", "-n", "1", "-z", "32", "-w", "512", "-y", "1024"];
        check(isolation, "http-download", "/?bytes=8388608", &reading, statuses);
    }
}

/// What others are told while guests are busy with a crowd. Where each request takes an instance of its own, they are
/// soon all taken, and others may be told to come again; they are served once the crowd has gone.
const MEANWHILE: [(Isolation, &[u16]); 2] = [(Isolation::Shared, &[200]), (Isolation::Serial, &[200, 503])];

/// Serves `guest`, sets the crowd on `path`, and asks honestly until the crowd has gone.
fn check(isolation: Isolation, guest: &str, path: &str, kind: &[&str], statuses: &[u16]) {
    let server = isolation.serve(guest, &[]);
    let Some(mut crowd) = Crowd::start(&server.url(path), kind) else {
        return;
    };
    while crowd.is_there() {
        let status = get(server.addr(), "/").status;
        assert!(statuses.contains(&status), "{isolation:?} {kind:?}: {status}");
    }
    let size = crowd.size();
    assert!(
        size >= CROWD_MIN,
        "{isolation:?} {kind:?}: a crowd of {size}\n{}",
        crowd.output()
    );
    eventually(|| get(server.addr(), "/").status == 200, "the crowd to be forgotten");
    assert_eq!(server.try_wait(), None, "{isolation:?} {kind:?}: the server has ended");
}

/// A running slowhttptest. It is killed when this value is dropped.
struct Crowd {
    child: Child,
    scratch: Scratch,
}

impl Crowd {
    /// `None` where there is no such program.
    fn start(url: &str, kind: &[&str]) -> Option<Self> {
        let mut command = Command::new(installed("slowhttptest")?);
        let scratch = Scratch::new();
        let output = File::create(scratch.join("output")).expect("a new file in a new folder");
        command.args(kind).args([
            "-u",
            url,
            "-c",
            CONNECTIONS,
            "-r",
            CONNECTIONS_PER_SECOND,
            "-l",
            SECONDS,
        ]);
        command.stdin(Stdio::null()).stdout(output).stderr(Stdio::null());
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Some(Self { child, scratch })
    }

    fn is_there(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_none()
    }

    /// How many connections it had at once, or had been closed to it, when it last told.
    fn size(&self) -> u64 {
        let output = self.output();
        let told = output
            .lines()
            .filter(|line| line.contains("connected:") || line.contains("closed:"));
        let counts = told.filter_map(|line| line.split_whitespace().last()?.parse().ok());
        counts.max().unwrap_or(0)
    }

    fn output(&self) -> String {
        std::fs::read_to_string(self.scratch.join("output")).unwrap_or_default()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
