//! What a server does with more requests than it can answer: how many it still answers, how late, and what it tells the
//! others.
//!
//! Each contestant is first asked by a few clients, one request at a time: what it answers then is its capacity. Then it is
//! asked once, twice and three times as much, whether it answers or not (`overload/client.rs`).

pub mod client;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::client::{GRACE, output};
use crate::contestants::Contestants;
use crate::machine;
use crate::place::Place;
use crate::plan::Plan;
use crate::report::Section;
use crate::server::Server;
use crate::stats::{median, shown, shown_alone, shown_ratio};
use crate::table::Table;
use crate::workloads::{Guest, Workload};
use client::Asks;

/// What there is too little of.
struct Bottleneck {
    name: &'static str,
    path: &'static str,
    /// Clients with one request at a time each, whose answers are the capacity: as many as leave nothing unused.
    clients: usize,
    /// How many requests are worked on at a time, where that is what is short.
    requests: Option<usize>,
}

const BOTTLENECKS: &[Bottleneck] = &[
    // Refusing has a price of its own, so it matters how much work is refused: something under a millisecond of arithmetic, and
    // something over two.
    Bottleneck {
        name: "processor",
        path: "/cpu/400000",
        // With 64, requests wait for so long that Wharf refuses some; those clients pause, and it answers a tenth less.
        clients: 8,
        requests: None,
    },
    Bottleneck {
        name: "processor, longer work",
        path: "/cpu/1600000",
        clients: 8,
        requests: None,
    },
    Bottleneck {
        name: "instances",
        // So long that 50 at a time leave the processor room, also for refusing: 2,500 a second at most.
        path: "/timer/20",
        clients: 64,
        requests: Some(50),
    },
];

/// Contestant, and its isolation where it has one to be told.
const CASES: &[(&str, Option<&str>)] = &[
    ("wharf serial", Some("serial")),
    ("wharf request", Some("request")),
    ("wasmtime", None),
];

/// Times its capacity.
const TIMES: [f64; 3] = [1.0, 2.0, 3.0];

/// Connections there may be, each with one request at a time: clients do not wait for each other.
const CONNECTIONS: usize = 4000;

/// What else than these connections is open, here or in a server.
const OTHER_FILES: u64 = 500;

/// A server that uses less of a core than this has done what it was left with.
const RESTS: f64 = 0.1;

/// How often that is looked at, and for how long at most.
const LOOK: Duration = Duration::from_millis(200);
const REST_DEADLINE: Duration = Duration::from_secs(20);

/// One contestant with one bottleneck: a value, or what the client printed, for each round.
struct Measurement {
    bottleneck: &'static Bottleneck,
    contestant: &'static str,
    line: String,
    capacity: Vec<f64>,
    /// By [`TIMES`].
    rounds: [Vec<Value>; TIMES.len()],
}

/// All contestants, one after another, round after round: first their capacities, then what is beyond.
pub fn run(plan: &Plan, contestants: &Contestants, workload: &Workload, place: Place) -> Result<Section> {
    let files = machine::raise_open_files().saturating_sub(OTHER_FILES);
    let client = Client {
        program: std::env::current_exe().context("cannot find this program")?,
        place,
        connections_max: CONNECTIONS.min(usize::try_from(files).unwrap_or(CONNECTIONS)),
        warm: Duration::from_millis(if plan.quick { 500 } else { 2000 }),
        capacity: Duration::from_secs(if plan.quick { 1 } else { 3 }),
        counted: Duration::from_secs(if plan.quick { 2 } else { 10 }),
    };
    let mut measurements = Vec::new();
    for bottleneck in BOTTLENECKS {
        measurements.extend(measure(plan, contestants, &client, bottleneck).context(bottleneck.name)?);
    }
    let mut section = Section::new("overload", workload, place, table(&measurements));
    section.figures = measurements.iter().map(Measurement::as_json).collect();
    section.notes = notes(&client, &measurements);
    Ok(section)
}

fn measure(
    plan: &Plan,
    contestants: &Contestants,
    client: &Client,
    bottleneck: &'static Bottleneck,
) -> Result<Vec<Measurement>> {
    let mut cases = CASES
        .iter()
        .map(|&(name, isolation)| start(contestants, client.place, bottleneck, name, isolation))
        .collect::<Result<Vec<_>>>()?;
    for round in 0..plan.rounds {
        cases.rotate_left(1);
        for (measurement, server) in &mut cases {
            let capacity = client.capacity(server, bottleneck);
            measurement.capacity.push(capacity.context(measurement.contestant)?);
        }
        println!(
            "  {}: capacity, round {} of {}",
            bottleneck.name,
            round + 1,
            plan.rounds
        );
    }
    for round in 0..plan.rounds {
        // Whoever follows whom changes from round to round.
        cases.rotate_left(1);
        for (nth, times) in TIMES.into_iter().enumerate() {
            for (measurement, server) in &mut cases {
                let rate = median(&measurement.capacity) * times;
                let figures = client.overload(server, bottleneck, rate);
                measurement.rounds[nth].push(figures.context(measurement.contestant)?);
            }
        }
        println!("  {}: round {} of {}", bottleneck.name, round + 1, plan.rounds);
    }
    let mut measurements: Vec<_> = cases.into_iter().map(|(measurement, _)| measurement).collect();
    measurements.sort_by_key(|measurement| CASES.iter().position(|(name, _)| *name == measurement.contestant));
    Ok(measurements)
}

/// The contestant `name`, serving, with as many requests at a time as `bottleneck` says.
fn start(
    contestants: &Contestants,
    place: Place,
    bottleneck: &'static Bottleneck,
    name: &'static str,
    isolation: Option<&str>,
) -> Result<(Measurement, Server)> {
    let (server, line) = match (bottleneck.requests, isolation) {
        (None, _) => {
            let server = contestants.start_with(name, &[], Guest::Bench, place)?;
            (server, contestants.line(name, &[])?)
        }
        (Some(requests), None) => {
            let more = ["--max-concurrent-requests", &requests.to_string()];
            let server = contestants.start_with(name, &more, Guest::Bench, place)?;
            (server, contestants.line(name, &more)?)
        }
        (Some(requests), Some(isolation)) => {
            let limits = format!("requests = {requests}, queue = 1000");
            let manifest = write_manifest(contestants, isolation, &limits)?;
            let mut command = place.server(contestants.program("wharf"));
            command.args(["serve", "--addr", "127.0.0.1:0"]).arg(manifest);
            let line = format!(
                "wharf serve --addr 127.0.0.1:0 wharf.toml, which says isolation = \"{isolation}\", limits = {{ {limits} }}"
            );
            (Server::start(name, command)?, line)
        }
    };
    let measurement = Measurement {
        bottleneck,
        contestant: name,
        line,
        capacity: Vec::new(),
        rounds: Default::default(),
    };
    Ok((measurement, server))
}

fn write_manifest(contestants: &Contestants, isolation: &str, limits: &str) -> Result<PathBuf> {
    let folder = contestants.scratch("overload").join(isolation);
    let component = std::path::absolute(contestants.component(Guest::Bench))?;
    // What JSON calls a string, TOML does too.
    let component = serde_json::to_string(&component)?;
    let manifest = folder.join("wharf.toml");
    let text = format!("component = {component}\nisolation = \"{isolation}\"\nlimits = {{ {limits} }}\n");
    std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(&manifest, text))
        .with_context(|| format!("cannot write {}", manifest.display()))?;
    Ok(manifest)
}

/// How this program is run as the client.
struct Client {
    program: PathBuf,
    place: Place,
    connections_max: usize,
    warm: Duration,
    capacity: Duration,
    counted: Duration,
}

impl Client {
    /// Requests answered with 200 in a second, when each client asks again at once.
    fn capacity(&self, server: &Server, bottleneck: &Bottleneck) -> Result<f64> {
        let figures = self.ask(server, bottleneck, None)?;
        served(&figures).filter(|&rate| rate > 0.0).with_context(|| {
            let other = &figures["other_per_second"];
            format!("no request was answered with 200: {other}")
        })
    }

    fn overload(&self, server: &Server, bottleneck: &Bottleneck, per_second: f64) -> Result<Value> {
        self.ask(server, bottleneck, Some(per_second))
    }

    fn ask(&self, server: &Server, bottleneck: &Bottleneck, per_second: Option<f64>) -> Result<Value> {
        let (connections, counted) = match per_second {
            Some(_) => (self.connections_max, self.counted),
            None => (bottleneck.clients, self.capacity),
        };
        let asks = Asks {
            addr: server.addr(),
            path: bottleneck.path.to_owned(),
            per_second,
            connections,
            warm: self.warm,
            counted,
        };
        let mut command = self.place.client(&self.program, self.warm + counted + GRACE);
        let text = output(command.arg(client::COMMAND).args(asks.args()), "the client")?;
        // Nobody else's turn begins while this one still works on what nobody waits for any more.
        rest(server)?;
        serde_json::from_str(&text).context("the client printed no JSON")
    }
}

/// Waits until `server` has nothing to do, for as long as one can.
fn rest(server: &Server) -> Result<()> {
    let begin = Instant::now();
    while begin.elapsed() < REST_DEADLINE {
        let (before, since) = (server.cpu()?, Instant::now());
        std::thread::sleep(LOOK);
        let spent = server.cpu()?.saturating_sub(before);
        if spent.as_secs_f64() < since.elapsed().as_secs_f64() * RESTS {
            break;
        }
    }
    Ok(())
}

fn served(figures: &Value) -> Option<f64> {
    figures["served_per_second"].as_f64()
}

impl Measurement {
    /// The figure that stands there, of all rounds that have it.
    fn figures(&self, nth: usize, pointer: &str) -> Vec<f64> {
        let figures = self.rounds[nth].iter().map(|figures| figures.pointer(pointer));
        figures.filter_map(|figure| figure.and_then(Value::as_f64)).collect()
    }

    /// Whether those who were refused were told when to come again.
    fn retry_after(&self, nth: usize) -> String {
        let sum = |pointer| self.figures(nth, pointer).iter().sum::<f64>();
        let (refused, told) = (sum("/refused"), sum("/refused_with_retry_after"));
        if refused == 0.0 {
            String::new()
        } else if told == refused {
            "all".into()
        } else {
            format!("{told:.0} of {refused:.0}")
        }
    }

    /// How often what else happened, by the second, on the average of all rounds.
    fn other(&self, nth: usize) -> String {
        let mut sums = BTreeMap::<&str, f64>::new();
        for round in &self.rounds[nth] {
            for (what, rate) in round["other_per_second"].as_object().into_iter().flatten() {
                *sums.entry(what).or_default() += rate.as_f64().unwrap_or(0.0);
            }
        }
        let rounds = self.rounds[nth].len() as f64;
        let shown = sums.iter().map(|(what, sum)| format!("{:.1} × {what}", sum / rounds));
        shown.collect::<Vec<_>>().join(", ")
    }

    fn as_json(&self) -> Value {
        let rates = TIMES.iter().zip(&self.rounds);
        let rates: Vec<_> = rates
            .map(|(times, rounds)| json!({ "times_capacity": times, "rounds": rounds }))
            .collect();
        json!({
            "bottleneck": self.bottleneck.name,
            "path": self.bottleneck.path,
            "contestant": self.contestant,
            "command": self.line,
            "capacity_per_second": self.capacity,
            "rates": rates,
        })
    }
}

fn table(measurements: &[Measurement]) -> Table {
    let mut table = Table::new(&[
        "short of",
        "contestant",
        "asked/s",
        "200/s",
        "of its capacity",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "503/s",
        "p50 ms until 503",
        "p99 ms until 503",
        "Retry-After",
        "other/s",
        "not sent/s",
        "unanswered at the end",
    ]);
    for measurement in measurements {
        let capacity = [median(&measurement.capacity)];
        for (nth, times) in TIMES.iter().enumerate() {
            let figures = |pointer| measurement.figures(nth, pointer);
            let time = |pointer| shown_alone(&figures(pointer), 1);
            let served = figures("/served_per_second");
            table.row([
                measurement.bottleneck.name.to_owned(),
                measurement.contestant.to_owned(),
                format!("{times} × {}", shown_alone(&capacity, 0)),
                shown(&served, 0),
                shown_ratio(&served, &capacity.repeat(served.len())),
                time("/served_ms/p50"),
                shown(&figures("/served_ms/p99"), 1),
                time("/served_ms/p999"),
                shown_alone(&figures("/refused_per_second"), 0),
                time("/refused_ms/p50"),
                time("/refused_ms/p99"),
                measurement.retry_after(nth),
                measurement.other(nth),
                shown_alone(&figures("/not_sent_per_second"), 0),
                shown_alone(&figures("/unanswered"), 0),
            ]);
        }
    }
    table
}

fn notes(client: &Client, measurements: &[Measurement]) -> Vec<String> {
    let mut notes = vec![format!(
        "A contestant's capacity is what it answered with 200 when a few clients asked again as soon as they were answered\n\
         (one that was refused, after 0.2 s), the median of all rounds. Then it was asked so many times that, at fixed times\n\
         whatever became of earlier requests: {} s that do not count, {} s that do. A request was written to a connection\n\
         without one; there were up to {} of these, and what found none was not sent. Answers are counted by when they\n\
         came. All times are from when a request was due. Between turns the server was left alone until it was idle.",
        client.warm.as_secs_f64(),
        client.counted.as_secs_f64(),
        client.connections_max,
    )];
    if client.connections_max < CONNECTIONS {
        notes.push(format!(
            "{CONNECTIONS} connections were meant to be used, but the system permits no more open files."
        ));
    }
    let mut table = Table::new(&[
        "short of",
        "contestant",
        "path",
        "command",
        "clients",
        "capacity/s",
        "ms that the client was late: p50, p99",
    ]);
    for measurement in measurements {
        // At the highest rate it is the latest.
        let late = |pointer| shown_alone(&measurement.figures(TIMES.len() - 1, pointer), 2);
        table.row([
            measurement.bottleneck.name.to_owned(),
            measurement.contestant.to_owned(),
            format!("`{}`", measurement.bottleneck.path),
            format!("`{}`", measurement.line),
            measurement.bottleneck.clients.to_string(),
            shown(&measurement.capacity, 0),
            format!("{}, {}", late("/late_ms/p50"), late("/late_ms/p99")),
        ]);
    }
    notes.push(table.to_string());
    notes
}
