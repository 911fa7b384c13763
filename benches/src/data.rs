//! What it costs a guest to reach databases, stores and other servers, beside a native server that does the same by the same drivers
//! (`native-data`). What they ask is set up here (`data/backend.rs`), on a core that the measured server has no part in.
//!
//! Before and after, everybody is asked once, and the answer is looked at: what is counted between is right answers.

mod backend;

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::runtime;

use crate::contestants::{Contestants, NATIVE_DATA, outgoing};
use crate::get::{ask_whole, connect};
use crate::place::Place;
use crate::plan::Plan;
use crate::report::Section;
use crate::server::Server;
use crate::stats::{median, shown, shown_alone, shown_ratio};
use crate::table::Table;
use crate::throughput::{Entrant, Measurement, take_turns};
use crate::workloads::{Backend, Guest, ORIGIN, ROWS, Workload};
use backend::Behind;

/// What a workload is measured with beside the native server: a name, an isolation, and whether the guest's own driver answers.
const WAYS: [(&str, &str, bool); 4] = [
    ("wharf request", "request", false),
    ("wharf serial", "serial", false),
    ("wharf shared", "shared", false),
    (OWN_DRIVER, "shared", true),
];

/// The same component, which speaks to the database itself.
const OWN_DRIVER: &str = "own driver, shared";

/// All who take part, one after another, round after round.
///
/// # Errors
/// [`crate::machine::Missing`] where this machine has not what it takes.
pub fn run(
    plan: &Plan,
    contestants: &Contestants,
    workload: &Workload,
    place: Place,
    backend: Backend,
) -> Result<Section> {
    let (behind, mut entrants) = match backend {
        Backend::Origin => with_origin(contestants, workload, place)?,
        _ => with_backend(contestants, workload, place, backend)?,
    };
    check_all(workload, &entrants)?;
    let measurements = take_turns(plan, contestants, workload, place, &mut entrants)?;
    check_all(workload, &entrants)?;
    drop((entrants, behind));
    let mut section = Section::new("data", workload, place, table(workload, &measurements));
    section.figures = measurements.iter().map(|m| figures(workload, m)).collect();
    section.notes = vec![note(workload, backend, plan)];
    Ok(section)
}

/// What is asked, kept for as long as it is.
enum Kept {
    Backend(#[expect(dead_code, reason = "it is ended when this is dropped")] Behind),
    Origin(#[expect(dead_code, reason = "likewise")] Server),
}

/// Servers that call another one: those who are always measured.
fn with_origin(contestants: &Contestants, workload: &Workload, place: Place) -> Result<(Kept, Vec<Entrant>)> {
    let origin = contestants.origin(place)?;
    let path = workload.path.replace(ORIGIN, &origin.addr().to_string());
    let servers = contestants.start(workload, place)?.into_iter();
    let entrants = servers.map(|server| Entrant {
        server,
        path: path.clone(),
    });
    Ok((Kept::Origin(origin), entrants.collect()))
}

/// Servers with something behind them that only Wharf's guests and the native server can ask.
fn with_backend(
    contestants: &Contestants,
    workload: &Workload,
    place: Place,
    backend: Backend,
) -> Result<(Kept, Vec<Entrant>)> {
    let behind = Behind::start(backend, place)?;
    let mut command = place.server(contestants.program(NATIVE_DATA));
    command.arg("127.0.0.1:0").args(behind.native_flags());
    let mut entrants = vec![Entrant {
        server: Server::start("native", command)?,
        path: workload.path.to_owned(),
    }];
    for (name, isolation, is_own) in WAYS {
        if is_own && backend != Backend::Postgres {
            continue;
        }
        let component: PathBuf = contestants.component(workload.guest);
        let manifest = behind.manifest(name, &component, isolation)?;
        let mut command = place.server(contestants.program("wharf"));
        command.args(["serve", "--addr", "127.0.0.1:0"]).arg(manifest);
        let path = match is_own {
            true => workload.path.replace("/sql/", "/own/"),
            false => workload.path.to_owned(),
        };
        entrants.push(Entrant {
            server: Server::start(name, command)?,
            path,
        });
    }
    if workload.guest == Guest::Store {
        entrants
            .iter()
            .try_for_each(|entrant| check(entrant, "/fill", "hello, wharf"))?;
    }
    Ok((Kept::Backend(behind), entrants))
}

/// Whether everybody answers as they should.
fn check_all(workload: &Workload, entrants: &[Entrant]) -> Result<()> {
    let expected = match workload.path {
        "/sql/notes" => (1..=ROWS).map(|id| format!("note {id}\n")).collect(),
        "/sql/notes/7" => "note 7\n".to_owned(),
        _ => "hello, wharf".to_owned(),
    };
    entrants
        .iter()
        .try_for_each(|entrant| check(entrant, &entrant.path, &expected))
}

fn check(Entrant { server, .. }: &Entrant, path: &str, expected: &str) -> Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = async { ask_whole(connect(server.addr()).await?, server.addr(), path).await };
    let answer = runtime.block_on(answer);
    let (status, content) = answer.with_context(|| format!("{} does not answer {path}", server.name()))?;
    ensure!(
        status == 200 && content == expected,
        "{} answers {path} with {status} and {:?}",
        server.name(),
        String::from_utf8_lossy(&content[..content.len().min(200)])
    );
    Ok(())
}

fn table(workload: &Workload, measurements: &[Measurement]) -> Table {
    let (parts, part) = workload.parts;
    let mut head = vec![
        "contestant",
        "requests/s",
        "against native",
        "CPU µs/request",
        "CPU against native",
    ];
    let (each, per_second) = (format!("CPU µs/{part}"), format!("{part}s/CPU s"));
    if parts > 1 {
        head.extend([&*each, &*per_second]);
    }
    head.extend(["p50 µs", "p99 µs", "MiB"]);
    let mut table = Table::new(&head);
    for measurement in measurements {
        let native = measurements.first().unwrap_or(measurement);
        let each = median(&measurement.cpu) / parts as f64;
        let mut cells = vec![
            measurement.contestant.to_owned(),
            shown(&measurement.rate, 0),
            shown_ratio(&measurement.rate, &native.rate),
            shown(&measurement.cpu, 1),
            shown_ratio(&measurement.cpu, &native.cpu),
        ];
        if parts > 1 {
            cells.extend([format!("{each:.2}"), format!("{:.0}", 1e6 / each)]);
        }
        cells.extend([&measurement.p50, &measurement.p99, &measurement.memory].map(|values| shown_alone(values, 0)));
        table.row(cells);
    }
    table
}

fn figures(workload: &Workload, measurement: &Measurement) -> Value {
    let (parts, part) = workload.parts;
    let mut figures = measurement.as_json();
    figures["part"] = json!(part);
    figures["parts_per_request"] = json!(parts);
    figures["cpu_us_per_part"] = json!(median(&measurement.cpu) / parts as f64);
    figures
}

/// What was behind the servers, and who the native one is.
fn note(workload: &Workload, backend: Backend, plan: &Plan) -> String {
    let behind = match backend {
        Backend::Sqlite => {
            "Each server has a copy of one file, with a write-ahead log. The native one has rusqlite, on tokio's threads for what\n\
             blocks; all keep 10 connections."
        }
        Backend::Postgres => {
            "One PostgreSQL, on a core that the measured server has no part in, whose work is not counted. The native server\n\
             has tokio-postgres, as Wharf has; all keep 10 connections with their statements prepared. `own driver` is the same\n\
             component as Wharf's others (the example `own-driver`), which speaks to the database by `wasi:sockets` itself."
        }
        Backend::Memory => "The native server has moka, as Wharf's cache has, and for key-value a map with a lock.",
        Backend::Redis => {
            "One Redis, on a core that the measured server has no part in, whose work is not counted. Wharf and the native\n\
             server each have one connection, over which all calls go."
        }
        Backend::Origin => {
            "The server that is called is the native one once more, on a core that the measured server has no part in; its work\n\
             is not counted. The native client is hyper-util's, with its pool."
        }
    };
    let allowed = match backend {
        Backend::Origin => format!(" Wharf was given `{}` as well.", outgoing()),
        _ => String::new(),
    };
    format!(
        "{} connections, {} rounds.{allowed} {behind}\nAnswers were compared with what they should be before and after.",
        workload.connections, plan.rounds
    )
}
