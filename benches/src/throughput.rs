//! How many requests a server answers when each client asks again at once, and what one costs it.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::client::{self, Outcome};
use crate::contestants::{Contestants, outgoing};
use crate::place::Place;
use crate::plan::Plan;
use crate::report::Section;
use crate::server::Server;
use crate::stats::{median, shown, shown_alone, shown_ratio};
use crate::table::Table;
use crate::workloads::{Ask, ORIGIN, Workload};

/// One contestant under one workload: a value per round.
#[derive(Debug)]
pub struct Measurement {
    pub workload: &'static str,
    /// What a request moves, where bytes are what counts.
    pub bytes: u64,
    pub place: Place,
    pub contestant: &'static str,
    /// Requests per second.
    pub rate: Vec<f64>,
    /// Processor time of the server for a request, in microseconds.
    pub cpu: Vec<f64>,
    /// Latencies in microseconds: half, 99 %, 99.9 % of requests take no longer.
    pub p50: Vec<f64>,
    pub p99: Vec<f64>,
    pub p999: Vec<f64>,
    /// The server's resident memory afterwards, in MiB.
    pub memory: Vec<f64>,
}

impl Measurement {
    fn new(workload: &Workload, place: Place, contestant: &'static str) -> Self {
        Self {
            workload: workload.name,
            bytes: workload.bytes,
            place,
            contestant,
            rate: Vec::new(),
            cpu: Vec::new(),
            p50: Vec::new(),
            p99: Vec::new(),
            p999: Vec::new(),
            memory: Vec::new(),
        }
    }

    fn add(&mut self, outcome: &Outcome, cpu: Duration, resident_bytes: u64) {
        let requests = outcome.requests.max(1) as f64;
        self.rate.push(requests / outcome.elapsed.as_secs_f64());
        self.cpu.push(cpu.as_secs_f64() * 1e6 / requests);
        self.p50.push(outcome.p50);
        self.p99.push(outcome.p99);
        self.p999.push(outcome.p999);
        self.memory.push(resident_bytes as f64 / f64::from(1 << 20));
    }

    /// Bytes per second of the server's processor time, in GB, where bytes are what counts.
    fn gigabytes_per_cpu_second(&self) -> Option<f64> {
        (self.bytes > 0).then(|| self.bytes as f64 / median(&self.cpu) / 1e3)
    }

    pub fn as_json(&self) -> Value {
        json!({
            "workload": self.workload,
            "place": self.place.name(),
            "contestant": self.contestant,
            "requests_per_second": self.rate,
            "cpu_us_per_request": self.cpu,
            "p50_us": self.p50,
            "p99_us": self.p99,
            "p999_us": self.p999,
            "resident_mib": self.memory,
            "gb_per_cpu_second": self.gigabytes_per_cpu_second(),
        })
    }
}

/// Somebody who answers, and at which path.
pub struct Entrant {
    pub server: Server,
    pub path: String,
}

/// All contestants, one after another, round after round.
pub fn run(plan: &Plan, contestants: &Contestants, workload: &Workload, place: Place) -> Result<Vec<Measurement>> {
    let origin = workload.calls().then(|| contestants.origin(place)).transpose()?;
    let origin = origin
        .as_ref()
        .map_or_else(String::new, |origin| origin.addr().to_string());
    let path = workload.path.replace(ORIGIN, &origin);
    let servers = contestants.start(workload, place)?.into_iter();
    let mut entrants: Vec<_> = servers
        .map(|server| Entrant {
            server,
            path: path.clone(),
        })
        .collect();
    take_turns(plan, contestants, workload, place, &mut entrants)
}

/// These, one after another, round after round.
pub fn take_turns(
    plan: &Plan,
    contestants: &Contestants,
    workload: &Workload,
    place: Place,
    entrants: &mut [Entrant],
) -> Result<Vec<Measurement>> {
    let mut measurements: Vec<_> = entrants
        .iter()
        .map(|entrant| Measurement::new(workload, place, entrant.server.name()))
        .collect();
    let ask = |Entrant { server, path }: &Entrant, duration| {
        let outcome = client::run(workload, place, server, path, &contestants.certificate, duration);
        outcome.with_context(|| server.name())
    };
    for entrant in &*entrants {
        ask(entrant, Duration::from_millis(500))?;
    }
    for round in 0..plan.rounds {
        // Whoever follows whom changes from round to round.
        entrants.rotate_left(1);
        measurements.rotate_left(1);
        for (entrant, measurement) in entrants.iter().zip(&mut measurements) {
            let server = &entrant.server;
            let before = server.cpu()?;
            let outcome = ask(entrant, plan.duration())?;
            let cpu = server.cpu()?.saturating_sub(before);
            measurement.add(&outcome, cpu, server.resident_bytes()?);
        }
        println!("  round {} of {}", round + 1, plan.rounds);
    }
    measurements.sort_by_key(|measurement| contestants.position(measurement.contestant));
    Ok(measurements)
}

/// One workload in one place, against its first contestant and against `wasmtime`.
pub fn section(plan: &Plan, workload: &Workload, place: Place, measurements: &[Measurement]) -> Section {
    let mut section = Section::new("measurements", workload, place, table(workload, measurements));
    section.figures = measurements.iter().map(Measurement::as_json).collect();
    if workload.calls() {
        section.notes.push(format!(
            "{ORIGIN} in `{}` is the native server once more, on a core that the measured server has no part in; its\n\
             work is not counted. Wharf was given `{}` as well.",
            workload.path,
            outgoing()
        ));
    }
    section.notes.extend(how(plan, workload));
    section
}

/// What is not as everywhere.
fn how(plan: &Plan, workload: &Workload) -> Vec<String> {
    let mut notes = Vec::new();
    if workload.wire.is_tls() {
        notes.push(TLS.to_owned());
    }
    let client = match workload.ask {
        Ask::Get if workload.wire.is_http2() => format!(
            "The client was\n`{}`.\nLatencies are from its log, in which the time of each request is.",
            client::h2load::line(workload, plan.duration())
        ),
        Ask::Messages(_) => MESSAGES.to_owned(),
        Ask::Turns => TURNS.to_owned(),
        _ => return notes,
    };
    notes.push(client);
    notes
}

/// How TLS is set up.
pub const TLS: &str = "\
    Servers were given `--tls-certificate FILE --tls-key FILE` as well: a certificate of ECDSA on P-256; TLS 1.3 and 1.2, and\n\
    tickets. All have rustls with ring. Clients take TLS 1.3.";

const MESSAGES: &str = "\
    The client was the benchmark's own, by tokio-tungstenite on one thread, for as long as others are asked: binary messages;\n\
    what comes back is answered at once with as many. All limits were as they are by default.";

const TURNS: &str = "\
    The client was the benchmark's own: one request by HTTP/1.1 with a chunked body, the next byte once the last was back. A\n\
    turn is twice the way through the server, the guest and the kernel; what is more than the native server's is Wharf's and\n\
    the guest's, for both ways.";

fn table(workload: &Workload, measurements: &[Measurement]) -> Table {
    let peer = measurements.iter().find(|m| m.contestant == "wasmtime");
    let (per_second, each) = match workload.ask {
        Ask::Messages(_) => ("messages/s", "CPU µs/message"),
        Ask::Turns => ("turns/s", "CPU µs/turn"),
        _ => ("requests/s", "CPU µs/request"),
    };
    let mut table = Table::new(&[
        "contestant",
        per_second,
        "against native",
        "against wasmtime",
        each,
        "GB/CPU s",
        "p50 µs",
        "p99 µs",
        "p99.9 µs",
        "MiB",
    ]);
    for measurement in measurements {
        let against = |other: Option<&Measurement>| {
            other.map_or_else(String::new, |other| shown_ratio(&measurement.rate, &other.rate))
        };
        let bytes = measurement.gigabytes_per_cpu_second();
        table.row([
            measurement.contestant.to_owned(),
            shown(&measurement.rate, 0),
            against(measurements.first()),
            against(peer),
            shown_alone(&measurement.cpu, 1),
            bytes.map_or_else(String::new, |gigabytes| format!("{gigabytes:.2}")),
            shown_alone(&measurement.p50, 0),
            shown_alone(&measurement.p99, 0),
            shown_alone(&measurement.p999, 0),
            shown_alone(&measurement.memory, 0),
        ]);
    }
    table
}
