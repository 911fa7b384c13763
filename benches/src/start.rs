//! How long a program takes from its start to its first answer, with nothing prepared and with compiled code at hand.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::runtime::{self, Runtime};

use crate::contestants::{Contestants, WASMTIME};
use crate::get::get;
use crate::place::Place;
use crate::plan::Plan;
use crate::report::Section;
use crate::server::Server;
use crate::stats::{shown, shown_alone, shown_ratio};
use crate::table::Table;
use crate::workloads::Workload;

const WHARF: &[&str] = &["serve", "--addr", "127.0.0.1:0"];

/// A way to start one program. COMPONENT and FOLDER in its words stand for files of this run.
struct Start {
    name: &'static str,
    program: &'static str,
    flags: &'static [&'static str],
    /// After those flags.
    words: &'static [&'static str],
    /// What the same program is asked for once before.
    prepare: &'static [&'static str],
    /// Who starts from as much.
    peer: &'static str,
}

const STARTS: &[Start] = &[
    Start {
        name: "native",
        program: "native",
        flags: &["127.0.0.1:0"],
        words: &[],
        prepare: &[],
        peer: "native",
    },
    Start {
        name: "wharf from nothing",
        program: "wharf",
        flags: WHARF,
        words: &["--no-cache", "COMPONENT"],
        prepare: &[],
        peer: "wasmtime from nothing",
    },
    Start {
        name: "wharf from its cache",
        program: "wharf",
        flags: WHARF,
        words: &["--cache", "FOLDER/wharf", "COMPONENT"],
        prepare: &[],
        peer: "wasmtime precompiled",
    },
    Start {
        name: "wasmtime from nothing",
        program: "wasmtime",
        flags: WASMTIME,
        words: &["-Ccache=n", "COMPONENT"],
        prepare: &[],
        peer: "wasmtime from nothing",
    },
    Start {
        name: "wasmtime precompiled",
        program: "wasmtime",
        flags: WASMTIME,
        words: &["--allow-precompiled", "FOLDER/component.cwasm"],
        prepare: &["compile", "-o", "FOLDER/component.cwasm", "COMPONENT"],
        peer: "wasmtime precompiled",
    },
];

/// A start is over in less than a second, so there is time for more rounds than elsewhere.
const ROUNDS_FOR_ONE: usize = 4;

/// What nobody reaches who works at all.
const ANSWER_DEADLINE: Duration = Duration::from_secs(60);

/// One way to start: a value per round. Milliseconds from the start of the program, and MiB.
struct Measurement {
    start: &'static Start,
    listening: Vec<f64>,
    answered: Vec<f64>,
    cpu: Vec<f64>,
    memory: Vec<f64>,
}

/// All ways, one after another, round after round.
pub fn run(plan: &Plan, contestants: &Contestants, workload: &Workload, place: Place) -> Result<Section> {
    let folder = Folder::make()?;
    let files = Files {
        contestants,
        component: contestants.component(workload.guest),
        folder: &folder.0,
    };
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let mut measurements: Vec<_> = STARTS.iter().map(Measurement::new).collect();
    for start in STARTS {
        files.prepare(start).context(start.name)?;
        // Fills its cache, and the system's with what it reads from disk.
        Measurement::new(start).add_round(&files, &runtime, workload, place)?;
    }
    let rounds = plan.rounds * ROUNDS_FOR_ONE;
    for _ in 0..rounds {
        measurements.rotate_left(1);
        for measurement in &mut measurements {
            measurement.add_round(&files, &runtime, workload, place)?;
        }
    }
    let in_report = |m: &Measurement| STARTS.iter().position(|start| start.name == m.start.name);
    measurements.sort_by_key(in_report);
    let mut section = Section::new("start", workload, place, table(&measurements));
    section.figures = measurements.iter().map(Measurement::as_json).collect();
    section.notes = notes(rounds);
    Ok(section)
}

impl Measurement {
    fn new(start: &'static Start) -> Self {
        Self {
            start,
            listening: Vec::new(),
            answered: Vec::new(),
            cpu: Vec::new(),
            memory: Vec::new(),
        }
    }

    fn add_round(&mut self, files: &Files, runtime: &Runtime, workload: &Workload, place: Place) -> Result<()> {
        let command = files.command(self.start, place);
        let begin = Instant::now();
        let server = Server::start(self.start.name, command)?;
        let listening = begin.elapsed();
        let status = async { tokio::time::timeout(ANSWER_DEADLINE, get(server.addr(), workload.path)).await };
        let status = runtime
            .block_on(status)
            .context("no answer")?
            .context(self.start.name)?;
        let answered = begin.elapsed();
        let cpu = server.cpu()?;
        ensure!(status == StatusCode::OK, "{} answered {}", self.start.name, status);
        let milliseconds = |duration: Duration| duration.as_secs_f64() * 1e3;
        self.listening.push(milliseconds(listening));
        self.answered.push(milliseconds(answered));
        self.cpu.push(milliseconds(cpu));
        self.memory.push(server.resident_bytes()? as f64 / f64::from(1 << 20));
        Ok(())
    }

    fn as_json(&self) -> Value {
        json!({
            "name": self.start.name,
            "command": self.start.command(),
            "listening_ms": self.listening,
            "answered_ms": self.answered,
            "cpu_ms": self.cpu,
            "resident_mib": self.memory,
        })
    }
}

fn table(measurements: &[Measurement]) -> Table {
    let mut table = Table::new(&[
        "contestant",
        "ms to the first answer",
        "of these, ms until it listens",
        "CPU ms by then",
        "MiB by then",
        "ms to the answer, against",
        "CPU, against the same",
    ]);
    for measurement in measurements {
        let peer = measurements
            .iter()
            .find(|other| other.start.name == measurement.start.peer);
        let peer = peer.unwrap_or(measurement);
        let answered = shown_ratio(&measurement.answered, &peer.answered);
        table.row([
            measurement.start.name.to_owned(),
            shown(&measurement.answered, 1),
            shown_alone(&measurement.listening, 1),
            shown(&measurement.cpu, 1),
            shown_alone(&measurement.memory, 1),
            format!("{answered} of {}", peer.start.name),
            shown_ratio(&measurement.cpu, &peer.cpu),
        ]);
    }
    table
}

fn notes(rounds: usize) -> Vec<String> {
    let mut commands = Table::new(&["contestant", "command", "before"]);
    for start in STARTS {
        let before = match start.prepare {
            [] => String::new(),
            words => format!("`{} {}`", start.program, words.join(" ")),
        };
        commands.row([start.name.to_owned(), format!("`{}`", start.command()), before]);
    }
    vec![
        format!(
            "{rounds} rounds, after one that is not counted: files are in the system's cache, caches of compiled code\n\
             are full. The client waits for the line that says where the program serves, and asks once."
        ),
        commands.to_string(),
    ]
}

impl Start {
    /// As one would type it.
    fn command(&self) -> String {
        [&[self.program], self.flags, self.words].concat().join(" ")
    }
}

/// What stands for the capitals in a start's words.
struct Files<'a> {
    contestants: &'a Contestants,
    component: PathBuf,
    folder: &'a Path,
}

impl Files<'_> {
    fn command(&self, start: &Start, place: Place) -> Command {
        let mut command = place.server(self.contestants.program(start.program));
        command.args(start.flags);
        command.args(start.words.iter().map(|word| self.fill(word)));
        command
    }

    fn prepare(&self, start: &Start) -> Result<()> {
        if start.prepare.is_empty() {
            return Ok(());
        }
        let mut command = Place::Unpinned.client(self.contestants.program(start.program), ANSWER_DEADLINE);
        command.args(start.prepare.iter().map(|word| self.fill(word)));
        crate::client::output(&mut command, start.name).map(drop)
    }

    fn fill(&self, word: &str) -> String {
        word.replace("COMPONENT", &self.component.to_string_lossy())
            .replace("FOLDER", &self.folder.to_string_lossy())
    }
}

/// For caches and compiled code; deleted when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn make() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("wharf-bench-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
