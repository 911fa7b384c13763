//! What clients notice when an app changes 200 times while they ask: how many requests fail, and how much later answers come than
//! without any change.
//!
//! `wrk` and `h2load` ask side by side, on connections that stay. An app changes by its manifest; a reload is one that the server
//! counts as taken.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::runtime;
use wharf_tests::Scratch;

use crate::client::{self, Outcome};
use crate::contestants::Contestants;
use crate::get::{ask_whole, connect};
use crate::place::Place;
use crate::plan::Plan;
use crate::report::Section;
use crate::server::{Server, address};
use crate::stats::{shown, shown_alone};
use crate::table::Table;
use crate::workloads::{Wire, Workload};

const RELOADS: usize = 200;

/// Longer than that many reloads take, or the round does not count.
const DURATION: Duration = Duration::from_secs(20);

const ISOLATIONS: [&str; 3] = ["request", "serial", "shared"];

/// One isolation, with reloads or without: a value per round.
struct Measurement {
    isolation: &'static str,
    reloads: usize,
    requests: Vec<f64>,
    /// Seconds until all were taken.
    taken: Vec<f64>,
    /// Microseconds: the slower client's.
    p50: Vec<f64>,
    p99: Vec<f64>,
    p999: Vec<f64>,
}

/// All isolations, with reloads and without, round after round.
///
/// # Errors
/// When a request fails, or the reloads are not all taken while clients ask.
pub fn run(plan: &Plan, contestants: &Contestants, workload: &Workload, place: Place) -> Result<Section> {
    let mut measurements: Vec<_> = ISOLATIONS
        .iter()
        .flat_map(|isolation| [0, RELOADS].map(|reloads| Measurement::new(isolation, reloads)))
        .collect();
    for round in 0..plan.rounds {
        for measurement in &mut measurements {
            let site = Site::start(contestants, workload, place, measurement.isolation)?;
            measurement.add_round(&site, contestants, workload, place)?;
        }
        println!("  round {} of {}", round + 1, plan.rounds);
    }
    let mut section = Section::new("reloads", workload, place, table(&measurements));
    section.figures = measurements.iter().map(Measurement::as_json).collect();
    section.notes = vec![format!(
        "{} rounds of {} s. At the same time `wrk` asks on 32 connections and `h2load` on 8 with 8 streams each, with a thread\n\
         each; none of their requests failed, or there would be no figure. Latencies are the slower client's. An app changes by its\n\
         manifest, and the server is told by SIGHUP; the next change comes once the server has counted this one as taken. The\n\
         component's code is in the cache.",
        plan.rounds,
        DURATION.as_secs()
    )];
    Ok(section)
}

impl Measurement {
    fn new(isolation: &'static str, reloads: usize) -> Self {
        Self {
            isolation,
            reloads,
            requests: Vec::new(),
            taken: Vec::new(),
            p50: Vec::new(),
            p99: Vec::new(),
            p999: Vec::new(),
        }
    }

    fn add_round(&mut self, site: &Site, contestants: &Contestants, workload: &Workload, place: Place) -> Result<()> {
        let wrk = Workload {
            connections: 32,
            ..*workload
        };
        let h2load = Workload {
            wire: Wire::Http2,
            connections: 8,
            streams: 8,
            ..*workload
        };
        let ask = |asks: &Workload| {
            let certificate = &contestants.certificate;
            client::run(asks, place, &site.server, asks.path, certificate, DURATION)
        };
        let (outcomes, taken) = thread::scope(|scope| {
            let clients = [&wrk, &h2load].map(|asks| scope.spawn(move || ask(asks)));
            let begin = Instant::now();
            let changed = (1..=self.reloads).try_for_each(|nth| site.change(nth));
            let taken = begin.elapsed();
            let outcomes = clients.map(|client| client.join().map_err(|_| anyhow!("a client panicked"))?);
            changed.map(|()| (outcomes, taken))
        })?;
        let outcomes: Vec<Outcome> = outcomes.into_iter().collect::<Result<_>>()?;
        ensure!(
            taken < DURATION,
            "the last reload was taken after the clients had ended"
        );
        let slower = |of: fn(&Outcome) -> f64| outcomes.iter().map(of).fold(0.0, f64::max);
        self.requests
            .push(outcomes.iter().map(|outcome| outcome.requests).sum::<u64>() as f64);
        self.taken.push(taken.as_secs_f64());
        self.p50.push(slower(|outcome| outcome.p50));
        self.p99.push(slower(|outcome| outcome.p99));
        self.p999.push(slower(|outcome| outcome.p999));
        Ok(())
    }

    fn as_json(&self) -> Value {
        json!({
            "isolation": self.isolation,
            "reloads": self.reloads,
            "requests": self.requests,
            "taken_s": self.taken,
            "p50_us": self.p50,
            "p99_us": self.p99,
            "p999_us": self.p999,
        })
    }
}

fn table(measurements: &[Measurement]) -> Table {
    let mut table = Table::new(&[
        "isolation",
        "reloads",
        "s until all were taken",
        "requests",
        "failed",
        "p50 µs",
        "p99 µs",
        "p99.9 µs",
    ]);
    for measurement in measurements {
        let taken = match measurement.reloads {
            0 => String::new(),
            _ => shown(&measurement.taken, 1),
        };
        table.row([
            measurement.isolation.to_owned(),
            measurement.reloads.to_string(),
            taken,
            shown(&measurement.requests, 0),
            // Else the round would have been an error.
            "0".to_owned(),
            shown_alone(&measurement.p50, 0),
            shown_alone(&measurement.p99, 0),
            shown_alone(&measurement.p999, 0),
        ]);
    }
    table
}

/// `h2load` does not come again on another connection, and counts requests as failed that one would not take any more.
const MANIFEST: &str = "[server]\napps = 'apps'\n[server.limits]\nrequests-per-connection = 100000000\n";

/// A server with one app in a folder of apps.
struct Site {
    server: Server,
    folder: Scratch,
    isolation: &'static str,
    component: PathBuf,
}

impl Site {
    fn start(contestants: &Contestants, workload: &Workload, place: Place, isolation: &'static str) -> Result<Self> {
        let folder = Scratch::new();
        let component = contestants.component(workload.guest).canonicalize()?;
        fs::create_dir_all(folder.join("apps/main"))?;
        let manifest = folder.write("wharf.toml", MANIFEST);
        write(&folder, &component, isolation, 0)?;
        let mut command: Command = place.server(contestants.program("wharf"));
        command.args(["serve", "--addr", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        command.arg("--cache").arg(folder.join("cache")).arg(manifest);
        Ok(Self {
            server: Server::start("wharf", command)?,
            folder,
            isolation,
            component,
        })
    }

    /// Changes the app for the `nth` time, and waits until that is taken.
    fn change(&self, nth: usize) -> Result<()> {
        write(&self.folder, &self.component, self.isolation, nth)?;
        self.server.signal(Signal::HUP)?;
        let deadline = Instant::now() + DURATION;
        while self.taken()? < nth {
            ensure!(Instant::now() < deadline, "reload {nth} is not taken");
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Where its metrics are, which it says after it has said where it serves.
    fn admin(&self) -> Result<SocketAddr> {
        let deadline = Instant::now() + DURATION;
        loop {
            if let Some(admin) = self.server.said().iter().find_map(|line| address(line)) {
                return Ok(admin);
            }
            ensure!(Instant::now() < deadline, "it does not say where its metrics are");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// How many reloads the server has taken.
    fn taken(&self) -> Result<usize> {
        let admin = self.admin()?;
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let (_, metrics) = runtime.block_on(async { ask_whole(connect(admin).await?, admin, "/metrics").await })?;
        let metrics = std::str::from_utf8(&metrics)?;
        let count = metrics
            .lines()
            .find_map(|line| line.strip_prefix("wharf_reloads_total{outcome=\"taken\"} "));
        // It is not there before the first.
        Ok(count.map_or(Ok(0), str::parse)?)
    }
}

/// Writes the app's manifest, whole from one moment to the next.
fn write(folder: &Scratch, component: &std::path::Path, isolation: &str, version: usize) -> Result<()> {
    let component = component.display();
    let manifest =
        format!("component = '{component}'\nisolation = '{isolation}'\n[environment]\nVERSION = '{version}'\n");
    let draft = folder.write("draft", manifest);
    fs::rename(draft, folder.join("apps/main/wharf.toml"))?;
    Ok(())
}
