//! How late answers are when requests come at a rate that leaves the server room: asked by `oha`, which asks whether or
//! not the last answer is there, and counts a request's time from when it called for it, not from when a connection was
//! free. (While a core that both share keeps `oha` itself from running, it calls for nothing.)

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::client::{GRACE, output};
use crate::contestants::Contestants;
use crate::place::Place;
use crate::plan::Plan;
use crate::report::Section;
use crate::server::Server;
use crate::stats::{ratio, shown, shown_alone, shown_ratio};
use crate::table::Table;
use crate::workloads::Workload;

/// A server that answers less than this part of what it is asked has a queue that grows: its latencies are the queue's.
const KEEPS_UP: f64 = 0.98;

/// One thread, as `wrk` has: more would only take from the server.
const FLAGS: &[&str] = &["--no-tui", "--worker-threads", "1", "--output-format", "json"];

/// One contestant: a value per round.
struct Measurement {
    contestant: &'static str,
    /// Requests per second: when each client asks again at once, asked for then, answered then.
    peak: Vec<f64>,
    asked: Vec<f64>,
    answered: Vec<f64>,
    /// Microseconds.
    p50: Vec<f64>,
    p99: Vec<f64>,
    p999: Vec<f64>,
    /// Processor time of the server for a request, in microseconds.
    cpu: Vec<f64>,
}

/// What one run of the client saw.
struct Outcome {
    requests: f64,
    per_second: f64,
    /// Microseconds.
    p50: f64,
    p99: f64,
    p999: f64,
}

/// All contestants, one after another, round after round: each its peak, then its rate.
pub fn run(plan: &Plan, contestants: &Contestants, workload: &Workload, place: Place) -> Result<Section> {
    let (seconds_peak, seconds_rate) = if plan.quick { (1, 2) } else { (2, 5) };
    let client = Client {
        program: contestants.program("oha"),
        place,
        path: workload.path,
        connections: workload.connections,
        peak: Duration::from_secs(seconds_peak),
        rate: Duration::from_secs(seconds_rate),
    };
    let mut servers = contestants.start(workload, place)?;
    let mut measurements: Vec<_> = servers.iter().map(|server| Measurement::new(server.name())).collect();
    for server in &servers {
        client.ask(server, None).context(server.name())?;
    }
    for round in 0..plan.rounds {
        // Whoever follows whom changes from round to round.
        servers.rotate_left(1);
        measurements.rotate_left(1);
        for (server, measurement) in servers.iter().zip(&mut measurements) {
            measurement.add_round(&client, server).context(server.name())?;
        }
        println!("  round {} of {}", round + 1, plan.rounds);
    }
    measurements.sort_by_key(|measurement| contestants.position(measurement.contestant));
    let mut section = Section::new("rate", workload, place, table(&measurements));
    section.figures = measurements.iter().map(|m| m.as_json(place)).collect();
    section.notes.push(client.note());
    Ok(section)
}

/// What part of its peak a server is asked for: busy, and with room for a burst. On one core there is less room than it
/// seems: one request at a time costs the server and the client more than 64 that come at once, as they do at the peak.
fn part(place: Place) -> f64 {
    if place == Place::OneCore { 0.5 } else { 0.7 }
}

impl Measurement {
    fn new(contestant: &'static str) -> Self {
        Self {
            contestant,
            peak: Vec::new(),
            asked: Vec::new(),
            answered: Vec::new(),
            p50: Vec::new(),
            p99: Vec::new(),
            p999: Vec::new(),
            cpu: Vec::new(),
        }
    }

    /// The peak is of the same minute: a machine that grows slower does not turn the rate into more than it can do.
    fn add_round(&mut self, client: &Client, server: &Server) -> Result<()> {
        let peak = client.ask(server, None)?.per_second;
        let asked = (peak * part(client.place)).floor();
        let before = server.cpu()?;
        let outcome = client.ask(server, Some(asked))?;
        let cpu = server.cpu()?.saturating_sub(before);
        self.peak.push(peak);
        self.asked.push(asked);
        self.answered.push(outcome.per_second);
        self.p50.push(outcome.p50);
        self.p99.push(outcome.p99);
        self.p999.push(outcome.p999);
        self.cpu.push(cpu.as_secs_f64() * 1e6 / outcome.requests.max(1.0));
        Ok(())
    }

    fn as_json(&self, place: Place) -> Value {
        json!({
            "place": place.name(),
            "contestant": self.contestant,
            "peak_per_second": self.peak,
            "asked_per_second": self.asked,
            "answered_per_second": self.answered,
            "p50_us": self.p50,
            "p99_us": self.p99,
            "p999_us": self.p999,
            "cpu_us_per_request": self.cpu,
        })
    }
}

fn table(measurements: &[Measurement]) -> Table {
    let peer = measurements.iter().find(|m| m.contestant == "wasmtime");
    let mut table = Table::new(&[
        "contestant",
        "peak/s",
        "asked/s",
        "answered of asked",
        "p50 µs",
        "p99 µs",
        "p99.9 µs",
        "p99.9 against native",
        "p99.9 against wasmtime",
        "CPU µs/request",
    ]);
    for measurement in measurements {
        let against = |other: Option<&Measurement>| {
            other.map_or_else(String::new, |other| shown_ratio(&measurement.p999, &other.p999))
        };
        let answered = ratio(&measurement.answered, &measurement.asked).0;
        let behind = if answered < KEEPS_UP { ", fell behind" } else { "" };
        table.row([
            measurement.contestant.to_owned(),
            shown(&measurement.peak, 0),
            shown_alone(&measurement.asked, 0),
            format!("{answered:.2}{behind}"),
            shown(&measurement.p50, 0),
            shown(&measurement.p99, 0),
            shown(&measurement.p999, 0),
            against(measurements.first()),
            against(peer),
            shown_alone(&measurement.cpu, 1),
        ]);
    }
    table
}

/// How `oha` is run.
struct Client {
    program: PathBuf,
    place: Place,
    path: &'static str,
    connections: usize,
    peak: Duration,
    rate: Duration,
}

impl Client {
    /// Asks as fast as the answers come, or so many times a second.
    ///
    /// # Errors
    /// When a request failed, but for those that were under way when the time was over.
    fn ask(&self, server: &Server, per_second: Option<f64>) -> Result<Outcome> {
        let duration = if per_second.is_some() { self.rate } else { self.peak };
        let mut command = self.place.client(&self.program, duration + GRACE);
        command.args(FLAGS).args(self.flags(per_second));
        command.arg(format!("http://{}{}", server.addr(), self.path));
        let text = output(&mut command, "oha")?;
        let figures: Value = serde_json::from_str(&text).context("oha printed no JSON")?;
        Outcome::read(&figures)
    }

    fn flags(&self, per_second: Option<f64>) -> Vec<String> {
        let connections = self.connections.to_string();
        let duration = if per_second.is_some() { self.rate } else { self.peak };
        let mut flags = vec![
            "-c".into(),
            connections,
            "-z".into(),
            format!("{}s", duration.as_secs()),
        ];
        if let Some(per_second) = per_second {
            flags.extend(["--latency-correction".into(), "-q".into(), per_second.to_string()]);
        }
        flags
    }

    fn note(&self) -> String {
        format!(
            "In each round a contestant's peak was taken by\n`oha {fixed} {} URL`,\nand right after it {} of that was \
             asked for by\n`oha {fixed} {} URL`,\n\
             whose latencies these are, from when it called for a request, not from when a connection was free: each at\n\
             a rate of its own, so that who answers more is asked more. `oha` costs more than wrk, so that on one core\n\
             peaks are lower than wrk's. Its clock ticks in milliseconds: requests come in small bursts. Who answered\n\
             less than {KEEPS_UP} of what was asked fell behind: what it shows is its queue.",
            self.flags(None).join(" "),
            part(self.place),
            self.flags(Some(0.0)).join(" ").replace("-q 0", "-q RATE"),
            fixed = FLAGS.join(" "),
        )
    }
}

impl Outcome {
    fn read(figures: &Value) -> Result<Self> {
        let number = |pointer: &str| {
            let number = figures.pointer(pointer).and_then(Value::as_f64);
            number.with_context(|| format!("no {pointer}"))
        };
        let counts = |name: &str| figures[name].as_object().into_iter().flatten();
        let (statuses, errors) = (&figures["statusCodeDistribution"], &figures["errorDistribution"]);
        let bad = counts("statusCodeDistribution").any(|(status, _)| status != "200");
        let failed = counts("errorDistribution").any(|(error, _)| error != "aborted due to deadline");
        ensure!(!bad && !failed, "requests failed: {statuses} {errors}");
        let requests = number("/statusCodeDistribution/200").context("no request was answered")?;
        let microseconds = |name: &str| number(&format!("/latencyPercentiles/{name}")).map(|seconds| seconds * 1e6);
        Ok(Self {
            requests,
            per_second: requests / number("/summary/total")?,
            p50: microseconds("p50")?,
            p99: microseconds("p99")?,
            p999: microseconds("p99.9")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read() {
        let mut figures = json!({
            "summary": { "total": 2.0 },
            "latencyPercentiles": { "p50": 0.001, "p99": 0.002, "p99.9": 0.003 },
            "statusCodeDistribution": { "200": 10 },
            "errorDistribution": { "aborted due to deadline": 3 },
        });
        let outcome = Outcome::read(&figures).expect("nothing failed");
        assert_eq!((outcome.requests, outcome.per_second), (10.0, 5.0));
        assert_eq!((outcome.p50, outcome.p99, outcome.p999), (1000.0, 2000.0, 3000.0));
        figures["statusCodeDistribution"]["503"] = 1.into();
        assert!(Outcome::read(&figures).is_err());
    }
}
