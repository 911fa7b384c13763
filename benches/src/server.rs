//! A program that serves: started, found by what it prints, watched, ended.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// Compiling takes less than a second; a machine that is busy may take many times that.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// By then nobody asks any more.
const END_DEADLINE: Duration = Duration::from_secs(5);

/// What a server says first tells why; the rest repeats it.
const SAID_LINES_MAX: usize = 8;

/// A contestant that serves; it is ended when this is dropped.
pub struct Server {
    name: &'static str,
    process: Process,
    addr: SocketAddr,
    said: Said,
}

/// The first lines it printed beside its address.
type Said = Arc<Mutex<Vec<String>>>;

struct Process(Child);

impl Server {
    /// Starts it and waits until it prints where it serves.
    ///
    /// # Errors
    /// When it ends first, or takes longer than anybody should.
    pub fn start(name: &'static str, mut command: Command) -> Result<Self> {
        let child = command
            // Nobody's errors are traced while they are measured.
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let mut process = Process(child);
        let stderr = process.0.stderr.take().context("it is piped")?;
        let (found, address) = mpsc::channel();
        let said = Said::default();
        // For as long as it serves: whoever writes a log must not come to wait for its reader.
        let kept = said.clone();
        std::thread::spawn(move || read(stderr, &found, &kept));
        let Ok(addr) = address.recv_timeout(START_DEADLINE) else {
            let lines = said.lock().unwrap_or_else(PoisonError::into_inner).join("\n");
            bail!("{name} ended, or took too long, before it served; it said: {lines}");
        };
        Ok(Self {
            name,
            process,
            addr,
            said,
        })
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The first lines it printed since it serves.
    pub fn said(&self) -> Vec<String> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    #[cfg(unix)]
    pub fn signal(&self, signal: rustix::process::Signal) -> Result<()> {
        let id = rustix::process::Pid::from_child(&self.process.0);
        Ok(rustix::process::kill_process(id, signal)?)
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.0.try_wait().ok().flatten()
    }

    /// Processor time of all its threads so far.
    pub fn cpu(&self) -> Result<Duration> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.process.0.id()))?;
        let mut nanoseconds = 0;
        for task in tasks {
            let schedstat = std::fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            nanoseconds += schedstat
                .split(' ')
                .next()
                .and_then(|first| first.parse().ok())
                .unwrap_or(0);
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// The memory it holds now.
    pub fn resident_bytes(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: u64 = line.context("no VmRSS")?.trim().trim_end_matches(" kB").parse()?;
        Ok(kib * 1024)
    }
}

impl Process {
    /// As an operator would end it: a program that counts what it does writes it then.
    #[cfg(unix)]
    fn interrupt(&mut self) {
        let id = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(id, rustix::process::Signal::INT);
        let begin = Instant::now();
        while begin.elapsed() < END_DEADLINE && matches!(self.0.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        #[cfg(unix)]
        self.interrupt();
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads to the end; tells the first address it meets, and keeps what else comes first.
fn read(stderr: ChildStderr, found: &Sender<SocketAddr>, said: &Mutex<Vec<String>>) {
    let mut is_found = false;
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        if let (false, Some(addr)) = (is_found, address(&line)) {
            is_found = true;
            // Nobody waits for it any more when it took too long.
            let _ = found.send(addr);
            said.lock().unwrap_or_else(PoisonError::into_inner).clear();
            continue;
        }
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() < SAID_LINES_MAX {
            said.push(line);
        }
    }
}

/// The address in a line such as `wharf: serving a.wasm at http://127.0.0.1:80/`.
pub fn address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("http://").or_else(|| line.split_once("https://"))?;
    let end = rest.find(|c: char| !(c.is_ascii_hexdigit() || ".:[]".contains(c)));
    rest[..end.unwrap_or(rest.len())].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found() {
        assert_eq!(
            address("Serving HTTP on http://127.0.0.1:80/"),
            "127.0.0.1:80".parse().ok()
        );
        assert_eq!(
            address("wharf: serving a.wasm at http://[::1]:80"),
            "[::1]:80".parse().ok()
        );
        assert_eq!(
            address("native: serving at https://127.0.0.1:443"),
            "127.0.0.1:443".parse().ok()
        );
        assert_eq!(address("error: no"), None);
    }
}
