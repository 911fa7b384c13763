//! Who is measured: the programs, and how each is started.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::certificate::Certificate;
use crate::place::Place;
use crate::plan::Plan;
use crate::server::Server;
use crate::workloads::{Guest, Wire, Workload};

/// One way to run one program.
struct Contestant {
    name: &'static str,
    program: &'static str,
    /// Before the component.
    flags: &'static [&'static str],
    /// What lets a component call servers on this machine, where that has to be allowed.
    outgoing: &'static [&'static str],
    /// Whether it runs components of WASI 0.2 too.
    legacy: bool,
    /// Whether it needs a component at all.
    component: bool,
    /// Whether it speaks HTTP/2 and TLS, and takes WebSockets.
    modern: bool,
}

/// The peer with its defaults, and what our components import.
pub const WASMTIME: &[&str] = &["serve", "--addr", "127.0.0.1:0", "-Scli", "-Shttp"];

/// Wharf's components reach nothing that is not granted.
const OUTGOING: &[&str] = &["--allow-outbound", "127.0.0.1"];

/// In the order of reports; the first is what the others are compared with.
const CONTESTANTS: &[Contestant] = &[
    Contestant {
        name: "native",
        program: "native",
        flags: &["127.0.0.1:0"],
        outgoing: &[],
        legacy: true,
        component: false,
        modern: true,
    },
    Contestant {
        name: "wharf request",
        program: "wharf",
        flags: &["serve", "--addr", "127.0.0.1:0", "--isolation", "request"],
        outgoing: OUTGOING,
        legacy: true,
        component: true,
        modern: true,
    },
    Contestant {
        name: "wharf serial",
        program: "wharf",
        flags: &["serve", "--addr", "127.0.0.1:0", "--isolation", "serial"],
        outgoing: OUTGOING,
        legacy: true,
        component: true,
        modern: true,
    },
    Contestant {
        name: "wharf shared",
        program: "wharf",
        flags: &["serve", "--addr", "127.0.0.1:0", "--isolation", "shared"],
        outgoing: OUTGOING,
        legacy: false,
        component: true,
        modern: true,
    },
    Contestant {
        name: "wasmtime",
        program: "wasmtime",
        flags: WASMTIME,
        outgoing: &[],
        legacy: true,
        component: true,
        modern: false,
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
        outgoing: &[],
        legacy: false,
        component: true,
        modern: false,
    },
];

/// The native server of what asks databases and stores.
pub const NATIVE_DATA: &str = "native-data";

/// Programs beside the contestants: what asks at a fixed rate.
const TOOLS: &[&str] = &["oha"];

/// Where everything is.
pub struct Contestants {
    bin: PathBuf,
    guests: PathBuf,
    /// What they show to clients of TLS.
    pub certificate: Certificate,
}

impl Contestants {
    /// # Errors
    /// When a component that `plan` asks for is not there, or a program; but for those of contestants that may be absent.
    pub fn find(plan: &Plan) -> Result<Self> {
        let found = Self {
            bin: plan.bin.clone(),
            guests: plan.guests.clone(),
            certificate: Certificate::make(&plan.bin.with_file_name("tls"))?,
        };
        let programs = CONTESTANTS.iter().map(|contestant| contestant.program);
        let programs = programs.chain([NATIVE_DATA]).chain(TOOLS.iter().copied());
        let programs = programs.map(|name| found.program(name));
        let workloads = plan.workloads()?;
        let components = workloads.iter().map(|workload| found.component(workload.guest));
        for file in programs.filter(|_| !plan.present).chain(components) {
            ensure!(
                file.is_file(),
                "{} is not there; `cargo xtask bench` makes it",
                file.display()
            );
        }
        Ok(found)
    }

    fn is_there(&self, contestant: &Contestant) -> bool {
        self.program(contestant.program).is_file()
    }

    /// One of the programs, contestant or tool.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// A folder beside the programs, for what is worth keeping between runs.
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.bin.with_file_name(name)
    }

    pub fn component(&self, guest: Guest) -> PathBuf {
        self.guests.join(guest.name()).with_extension("wasm")
    }

    /// The place of `name` in reports.
    pub fn position(&self, name: &str) -> usize {
        let position = CONTESTANTS.iter().position(|contestant| contestant.name == name);
        position.unwrap_or(CONTESTANTS.len())
    }

    /// Names, versions and command lines of those who are there, for the report.
    pub fn describe(&self) -> Vec<(&'static str, String, String)> {
        let describe = |contestant: &Contestant| {
            let version = version(&self.program(contestant.program));
            (contestant.name, version, contestant.line(&[]))
        };
        let present = CONTESTANTS.iter().filter(|contestant| self.is_there(contestant));
        present.map(describe).collect()
    }

    /// What the tools say they are.
    pub fn tools(&self) -> Vec<(&'static str, String)> {
        let tools = TOOLS.iter().map(|name| (*name, version(&self.program(name))));
        tools.collect()
    }

    /// How `name` is started with `more` flags, as one would type it.
    pub fn line(&self, name: &str, more: &[&str]) -> Result<String> {
        Ok(contestant(name)?.line(more))
    }

    /// Everybody who can answer `workload`, serving.
    pub fn start(&self, workload: &Workload, place: Place) -> Result<Vec<Server>> {
        let takes_part = |contestant: &&Contestant| contestant.takes_part(workload) && self.is_there(contestant);
        let start = |contestant: &Contestant| {
            let tls = workload.wire.is_tls().then(|| self.certificate.flags());
            let tls = tls.unwrap_or_default();
            let outgoing = if workload.calls() { contestant.outgoing } else { &[] };
            let more: Vec<_> = tls.iter().map(String::as_str).chain(outgoing.iter().copied()).collect();
            self.start_with(contestant.name, &more, workload.guest, place)
        };
        CONTESTANTS.iter().filter(takes_part).map(start).collect()
    }

    /// The contestant `name`, serving, with `more` flags than it has by itself.
    pub fn start_with(&self, name: &str, more: &[&str], guest: Guest, place: Place) -> Result<Server> {
        let contestant = contestant(name)?;
        let mut command = place.server(self.program(contestant.program));
        command.args(contestant.flags).args(more);
        if contestant.component {
            command.arg(self.component(guest));
        }
        Server::start(contestant.name, command)
    }

    /// A server for others to call, which is nobody's to measure.
    pub fn origin(&self, place: Place) -> Result<Server> {
        let mut command = place.origin(self.program("native"));
        command.arg("127.0.0.1:0");
        Server::start("origin", command)
    }
}

impl Contestant {
    fn takes_part(&self, workload: &Workload) -> bool {
        let knows_wire = workload.wire == Wire::Http1 && workload.guest != Guest::Websocket;
        (self.modern || knows_wire) && (self.legacy || workload.guest != Guest::Hello02)
    }

    fn line(&self, more: &[&str]) -> String {
        let words = [self.program].into_iter().chain(self.flags.iter().chain(more).copied());
        let words: Vec<_> = words.chain(self.component.then_some("COMPONENT")).collect();
        words.join(" ")
    }
}

/// What allows the calls of a workload that makes some, for the report.
pub fn outgoing() -> String {
    OUTGOING.join(" ")
}

fn contestant(name: &str) -> Result<&'static Contestant> {
    let contestant = CONTESTANTS.iter().find(|contestant| contestant.name == name);
    contestant.with_context(|| format!("there is no contestant {name}"))
}

/// Nothing takes long to say what it is.
const VERSION_DEADLINE: Duration = Duration::from_secs(10);

/// What `program` says it is; nothing where it does not say.
fn version(program: &Path) -> String {
    let output = Place::Unpinned
        .client(program, VERSION_DEADLINE)
        .arg("--version")
        .output();
    let output = output.ok().filter(|output| output.status.success());
    output.map_or_else(String::new, |output| {
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    })
}
