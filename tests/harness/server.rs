//! `wharf serve` as a process.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Instant;

use crate::program::{PROGRAM_DEADLINE, guest, wharf};
use crate::wait::{eventually, poll};

/// A running `wharf serve`. It is killed when this value is dropped; what it wrote is shown when the test fails.
pub struct Server {
    addr: SocketAddr,
    child: Mutex<Child>,
    stdout: Arc<Lines>,
    stderr: Arc<Lines>,
}

impl Server {
    /// Serves a guest, given by its name or by the path of a component, on a free port of 127.0.0.1 with `flags`.
    ///
    /// # Panics
    ///
    /// When the program ends, or has not written a line with its address after 120 s.
    pub fn start(guest: impl Into<PathBuf>, flags: &[&str]) -> Self {
        Self::spawn(Self::command(guest, flags))
    }

    /// Serves a manifest, which says itself where it listens: first of all for plain HTTP.
    ///
    /// # Panics
    ///
    /// As [`Server::start`] does.
    pub fn start_manifest(manifest: impl AsRef<std::path::Path>, flags: &[&str]) -> Self {
        let mut command = wharf();
        command.arg("serve").args(flags).arg(manifest.as_ref());
        Self::spawn(command)
    }

    /// The command that [`Server::start`] spawns, for tests that change its environment or its folder.
    pub fn command(component: impl Into<PathBuf>, flags: &[&str]) -> Command {
        let mut command = wharf();
        command
            .args(["serve", "--addr", "127.0.0.1:0"])
            .args(flags)
            .arg(component_file(component.into()));
        command
    }

    /// Starts a command that writes `http://HOST:PORT`, or the same with `https`, in a line of its standard error; the first one is
    /// taken.
    ///
    /// # Panics
    ///
    /// As [`Server::start`] does.
    pub fn spawn(mut command: Command) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let stdout = Lines::collect(child.stdout.take());
        let stderr = Lines::collect(child.stderr.take());
        let addr = stderr.address();
        let Some(addr) = addr else {
            let _ = child.kill();
            let status = child.wait();
            panic!("{command:?} does not serve: {status:?}\nstderr:\n{}", stderr.text());
        };
        Self {
            addr,
            child: Mutex::new(child),
            stdout,
            stderr,
        }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The URL of a path, which begins with `/`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// What it has written to standard error so far, the first line included.
    pub fn log(&self) -> String {
        self.stderr.text()
    }

    /// Waits until [`Server::log`] has a text: what a server has written comes through a pipe, later than its
    /// answers do.
    ///
    /// # Panics
    ///
    /// When the text does not come in time.
    #[track_caller]
    pub fn says(&self, text: &str) {
        eventually(|| self.log().contains(text), &format!("the log to say {text:?}"));
    }

    /// What it has written to standard output so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.child().id()
    }

    /// How many of its threads run or wait for a processor, at this moment.
    ///
    /// # Panics
    ///
    /// When it has ended.
    #[cfg(target_os = "linux")]
    pub fn runnable_threads(&self) -> usize {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid())).expect("the server runs");
        let is_runnable = |thread: &std::fs::DirEntry| {
            // A thread may have ended meanwhile. Its state stands behind its name, in parentheses (proc(5)).
            let status = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            status
                .rsplit_once(") ")
                .is_some_and(|(_, fields)| fields.starts_with('R'))
        };
        threads.flatten().filter(is_runnable).count()
    }

    /// The memory it holds now, in bytes: what the system calls its resident set.
    ///
    /// # Panics
    ///
    /// When it has ended.
    #[cfg(target_os = "linux")]
    pub fn resident_bytes(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most it ever held, in bytes.
    ///
    /// # Panics
    ///
    /// When it has ended.
    #[cfg(target_os = "linux")]
    pub fn most_resident_bytes(&self) -> u64 {
        self.memory("VmHWM:")
    }

    #[cfg(target_os = "linux")]
    fn memory(&self, which: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the server runs");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(which))
            .expect("a running process has memory");
        let kib: u64 = line
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .expect("the kernel writes a number");
        kib * 1024
    }

    /// The same where the system has no such file.
    ///
    /// # Panics
    ///
    /// When it has ended, or where there is no `ps`.
    #[cfg(not(target_os = "linux"))]
    pub fn resident_bytes(&self) -> u64 {
        let mut ps = Command::new("ps");
        let output = ps.args(["-o", "rss=", "-p", &self.pid().to_string()]).output();
        let output = output.expect("ps tells what a process holds");
        let kib: u64 = String::from_utf8_lossy(&output.stdout)
            .trim()
            .parse()
            .expect("ps writes a number");
        kib * 1024
    }

    /// Asks it to stop, as `kill PID` and every supervisor do, without waiting.
    pub fn terminate(&self) {
        terminate(&mut self.child());
    }

    /// Waits until it has ended and everything it wrote is in [`Server::log`].
    ///
    /// # Panics
    ///
    /// When it has not ended after 120 s.
    pub fn wait(&self) -> ExitStatus {
        let status = poll(PROGRAM_DEADLINE, || self.try_wait());
        let Some(status) = status else {
            panic!("the server has not ended after {PROGRAM_DEADLINE:?}");
        };
        self.stdout.wait_for_end();
        self.stderr.wait_for_end();
        status
    }

    /// Its exit status, if it has ended.
    pub fn try_wait(&self) -> Option<ExitStatus> {
        self.child().try_wait().expect("a child can be waited for")
    }

    /// Asks it to stop and waits for that; [`Server::log`] can still be read.
    ///
    /// # Panics
    ///
    /// When it has not ended after 120 s.
    pub fn stop(&self) -> ExitStatus {
        self.terminate();
        self.wait()
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut child = self.child();
        let _ = child.kill();
        let status = child.wait();
        if thread::panicking() {
            eprintln!(
                "--- standard error of the server ({status:?})\n{}",
                end_of(&self.stderr.text())
            );
            eprintln!("--- standard output of the server\n{}", end_of(&self.stdout.text()));
        }
    }
}

/// The last lines of what was said: all of it would bury what the test says.
fn end_of(text: &str) -> String {
    const LINES_MAX: usize = 100;
    let lines: Vec<_> = text.lines().collect();
    match lines.len().checked_sub(LINES_MAX) {
        Some(before @ 1..) => format!("({before} lines before)\n{}", lines[before..].join("\n")),
        _ => lines.join("\n"),
    }
}

/// A name without folder and extension is a guest's, anything else a path.
fn component_file(component: PathBuf) -> PathBuf {
    let is_name = component.components().count() == 1 && component.extension().is_none();
    match component.to_str() {
        Some(name) if is_name => guest(name),
        _ => component,
    }
}

/// The address in a line that holds `http://HOST:PORT` or `https://HOST:PORT`.
fn address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("http://").or_else(|| line.split_once("https://"))?;
    let end = rest
        .find(|c: char| !(c.is_ascii_hexdigit() || ".:[]".contains(c)))
        .unwrap_or(rest.len());
    rest[..end].trim_end_matches(['.', ':']).parse().ok()
}

#[cfg(unix)]
fn terminate(child: &mut Child) {
    use rustix::process::{Pid, Signal, kill_process};
    // The child has not been waited for, or `wait` has: its number is not another process's, and one that has ended
    // needs no signal.
    if matches!(child.try_wait(), Ok(None)) {
        let _ = kill_process(Pid::from_child(child), Signal::TERM);
    }
}

#[cfg(not(unix))]
fn terminate(child: &mut Child) {
    let _ = child.kill();
}

/// The lines of one output, read by a thread of its own so that the server is never held up.
#[derive(Default)]
struct Lines {
    read: Mutex<Collected>,
    changed: Condvar,
}

#[derive(Default)]
struct Collected {
    text: String,
    address: Option<SocketAddr>,
    ended: bool,
}

impl Lines {
    fn collect(pipe: Option<impl Read + Send + 'static>) -> Arc<Self> {
        let mut reader = BufReader::new(pipe.expect("the output is piped"));
        let lines = Arc::new(Self::default());
        let writer = Arc::clone(&lines);
        thread::spawn(move || {
            let mut line = Vec::new();
            while matches!(reader.read_until(b'\n', &mut line), Ok(count) if count > 0) {
                writer.change(|collected| {
                    let line = String::from_utf8_lossy(&line);
                    collected.text.push_str(&line);
                    collected.address = collected.address.or_else(|| address(&line));
                });
                line.clear();
            }
            writer.change(|collected| collected.ended = true);
        });
        lines
    }

    fn change(&self, change: impl FnOnce(&mut Collected)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn text(&self) -> String {
        self.lock().text.clone()
    }

    /// The first address in a line, or `None` when the output ends, or the deadline passes, before there is one.
    fn address(&self) -> Option<SocketAddr> {
        let collected = self.wait_until(|collected| collected.address.is_some() || collected.ended);
        collected.address
    }

    /// Something that the server started may hold its output open: this waits, and goes on without an error.
    fn wait_for_end(&self) {
        drop(self.wait_until(|collected| collected.ended));
    }

    fn wait_until(&self, holds: impl Fn(&Collected) -> bool) -> MutexGuard<'_, Collected> {
        let deadline = Instant::now() + PROGRAM_DEADLINE;
        let mut collected = self.lock();
        while !holds(&collected) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            collected = self
                .changed
                .wait_timeout(collected, left)
                .unwrap_or_else(|poisoned| poisoned.into_inner())
                .0;
        }
        collected
    }

    fn lock(&self) -> MutexGuard<'_, Collected> {
        self.read.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_address(line: &str, expected: Option<&str>) {
        assert_eq!(address(line), expected.map(|addr| addr.parse().unwrap()), "{line}");
    }

    #[test]
    fn the_address_is_found_in_a_line() {
        check_address("Serving app.wasm on http://127.0.0.1:8080", Some("127.0.0.1:8080"));
        check_address("http://[::1]:80/ (Ctrl-C stops)", Some("[::1]:80"));
        check_address("ready: http://127.0.0.1:1.", Some("127.0.0.1:1"));
        check_address("error: no such file", None);
        check_address("at https://127.0.0.1:1", Some("127.0.0.1:1"));
    }

    #[cfg(unix)]
    fn shell(script: &str) -> Server {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Server::spawn(command)
    }

    #[cfg(unix)]
    #[test]
    fn stop_asks_and_collects_everything_written() {
        let server = shell(
            "trap 'echo last >&2; echo out; exit 3' TERM; echo on http://127.0.0.1:9 >&2; echo second >&2
             while :; do sleep 0.01; done",
        );
        assert_eq!(server.url("/a"), "http://127.0.0.1:9/a");
        assert!(server.try_wait().is_none());
        assert_eq!(server.stop().code(), Some(3));
        assert_eq!(server.log(), "on http://127.0.0.1:9\nsecond\nlast\n");
        assert_eq!(server.stdout(), "out\n");
    }

    #[cfg(unix)]
    #[test]
    #[should_panic(expected = "no such component")]
    fn a_server_that_does_not_start_fails_with_what_it_wrote() {
        shell("echo no such component >&2; exit 1");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn dropping_ends_the_process() {
        let server = shell("echo http://127.0.0.1:9 >&2; exec sleep 600");
        let process = format!("/proc/{}", server.pid());
        assert!(server.resident_bytes() > 0);
        assert!(std::path::Path::new(&process).exists());
        drop(server);
        assert!(!std::path::Path::new(&process).exists());
    }
}
