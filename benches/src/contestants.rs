//! Who is measured: the programs, how each is started, what it uses.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::client::on_cores;
use crate::measure::Place;
use crate::workloads::{Guest, Workload};

/// One way to run one program.
struct Contestant {
    name: &'static str,
    program: &'static str,
    /// Before the component; `{addr}` is where to listen.
    flags: &'static [&'static str],
    /// Whether it runs components of WASI 0.2 too.
    legacy: bool,
    /// Whether it needs a component at all.
    component: bool,
}

const WASMTIME: &[&str] = &["serve", "--addr", "127.0.0.1:0", "-Scli", "-Shttp"];

/// In the order of reports; the first is what the others are compared with.
const CONTESTANTS: &[Contestant] = &[
    Contestant {
        name: "native",
        program: "native",
        flags: &["127.0.0.1:0"],
        legacy: true,
        component: false,
    },
    Contestant {
        name: "wharf request",
        program: "wharf",
        flags: &["serve", "--addr", "127.0.0.1:0", "--isolation", "request"],
        legacy: true,
        component: true,
    },
    Contestant {
        name: "wharf serial",
        program: "wharf",
        flags: &["serve", "--addr", "127.0.0.1:0", "--isolation", "serial"],
        legacy: true,
        component: true,
    },
    Contestant {
        name: "wharf shared",
        program: "wharf",
        flags: &["serve", "--addr", "127.0.0.1:0", "--isolation", "shared"],
        legacy: false,
        component: true,
    },
    Contestant {
        name: "wasmtime",
        program: "wasmtime",
        flags: WASMTIME,
        legacy: true,
        component: true,
    },
    Contestant {
        name: "wasmtime fresh",
        program: "wasmtime",
        flags: &[
            "serve",
            "--addr",
            "127.0.0.1:0",
            "-Scli",
            "-Shttp",
            "--max-instance-reuse-count",
            "1",
        ],
        legacy: false,
        component: true,
    },
];

/// Where everything is.
pub struct Contestants {
    bin: PathBuf,
    guests: PathBuf,
}

impl Contestants {
    /// # Errors
    /// When a program or a component is not there.
    pub fn find(bin: &Path, guests: &Path) -> Result<Self> {
        let found = Self {
            bin: bin.to_owned(),
            guests: guests.to_owned(),
        };
        let programs = CONTESTANTS.iter().map(|contestant| found.program(contestant));
        let components = [Guest::Hello, Guest::Hello02, Guest::Bench].map(|guest| found.component(guest));
        for file in programs.chain(components) {
            ensure!(
                file.is_file(),
                "{} is not there; `cargo xtask bench` makes it",
                file.display()
            );
        }
        Ok(found)
    }

    fn program(&self, contestant: &Contestant) -> PathBuf {
        self.bin.join(contestant.program)
    }

    fn component(&self, guest: Guest) -> PathBuf {
        self.guests.join(guest.name()).with_extension("wasm")
    }

    /// The place of `name` in reports.
    pub fn position(&self, name: &str) -> usize {
        let position = CONTESTANTS.iter().position(|contestant| contestant.name == name);
        position.unwrap_or(CONTESTANTS.len())
    }

    /// Names, versions and command lines, for the report.
    pub fn describe(&self) -> Vec<(&'static str, String, String)> {
        let describe = |contestant: &Contestant| {
            let version = Command::new(self.program(contestant)).arg("--version").output();
            let version = version.ok().filter(|output| output.status.success());
            let version = version.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
            let component = if contestant.component { " COMPONENT" } else { "" };
            let line = format!("{} {}{component}", contestant.program, contestant.flags.join(" "));
            (contestant.name, version.unwrap_or_default(), line)
        };
        CONTESTANTS.iter().map(describe).collect()
    }

    /// Everybody who can answer `workload`, serving.
    pub fn start(&self, workload: &Workload, place: Place) -> Result<Vec<Server>> {
        let takes_part = |contestant: &&Contestant| workload.guest != Guest::Hello02 || contestant.legacy;
        CONTESTANTS
            .iter()
            .filter(takes_part)
            .map(|contestant| Server::start(contestant, self, workload, place))
            .collect()
    }
}

/// A contestant that serves; it is ended when this is dropped.
pub struct Server {
    name: &'static str,
    child: Child,
    addr: SocketAddr,
}

impl Server {
    fn start(contestant: &Contestant, all: &Contestants, workload: &Workload, place: Place) -> Result<Self> {
        let mut command = on_cores(place.server(), all.program(contestant));
        command.args(contestant.flags);
        if contestant.component {
            command.arg(all.component(workload.guest));
        }
        let mut child = command
            // Nobody's errors are traced while they are measured.
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", contestant.name))?;
        let stderr = child.stderr.take().context("it is piped")?;
        let mut lines = BufReader::new(stderr).lines();
        let addr = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| address(&line))
            .with_context(|| format!("{} ended before it served", contestant.name))?;
        // Whoever writes a log must not come to wait for its reader.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Ok(Self {
            name: contestant.name,
            child,
            addr,
        })
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Processor time of all its threads so far.
    pub fn cpu(&self) -> Result<Duration> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id()))?;
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
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: u64 = line.context("no VmRSS")?.trim().trim_end_matches(" kB").parse()?;
        Ok(kib * 1024)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in a line such as `wharf: serving a.wasm at http://127.0.0.1:80/`.
fn address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("http://")?;
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
        assert_eq!(address("error: no"), None);
    }
}
