//! Where programs run: which processor cores a server, its client and an origin have, and how long a client may take.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Where servers that were built to count what they do (`-Cprofile-generate`) write that, each program into a folder of its own; a
/// variable of the environment.
const COUNTS: &str = "WHARF_BENCH_COUNTS";

/// Which processor cores server and client have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Both the same one: what either wastes, the other lacks.
    OneCore,
    /// One each.
    TwoCores,
    /// As the system sees fit.
    Unpinned,
}

impl Place {
    pub fn name(self) -> &'static str {
        match self {
            Self::OneCore => "one core",
            Self::TwoCores => "a core each",
            Self::Unpinned => "unpinned",
        }
    }

    /// `program` where servers run. Its process is the program's own, so that its accounts are too. Where an error is made in passing, as
    /// Wasmtime does with each store that goes, nobody traces it.
    pub fn server(self, program: impl AsRef<OsStr>) -> Command {
        let mut command = match self.cores().0 {
            Some(core) => on_core(core, &program),
            None => Command::new(&program),
        };
        command.env_remove("RUST_BACKTRACE").env_remove("RUST_LIB_BACKTRACE");
        if let Some(folder) = std::env::var_os(COUNTS) {
            command.env("LLVM_PROFILE_FILE", counts(&folder, program.as_ref()));
        }
        command
    }

    /// `program` where what servers call runs: never on their core.
    pub fn origin(self, program: impl AsRef<OsStr>) -> Command {
        match self.aside() {
            Some(core) => on_core(core, program),
            None => Command::new(program),
        }
    }

    /// The core on which no measured server runs, for `taskset`.
    pub fn aside(self) -> Option<&'static str> {
        match self {
            Self::OneCore | Self::TwoCores => Some("1"),
            Self::Unpinned => None,
        }
    }

    /// `program` where clients run; it is ended after `deadline`, whatever it waits for.
    pub fn client(self, program: impl AsRef<OsStr>, deadline: Duration) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--kill-after", "5", &deadline.as_secs().to_string()]);
        if let Some(core) = self.cores().1 {
            command.args(["taskset", "--cpu-list", core]);
        }
        command.arg(program.as_ref());
        command
    }

    /// The server's and the client's, for `taskset`.
    fn cores(self) -> (Option<&'static str>, Option<&'static str>) {
        match self {
            Self::OneCore => (Some("0"), Some("0")),
            Self::TwoCores => (Some("0"), Some("1")),
            Self::Unpinned => (None, None),
        }
    }
}

fn on_core(core: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", core]).arg(program.as_ref());
    command
}

/// One file for each build of a program: its processes add to it as they end.
fn counts(folder: &OsStr, program: &OsStr) -> PathBuf {
    let name = Path::new(program).file_name().unwrap_or(program);
    Path::new(folder).join(name).join("%m.profraw")
}
