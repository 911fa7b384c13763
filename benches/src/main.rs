//! Measures Wharf against its peers, interleaved in one run: `wharf-bench --bin DIR --guests DIR --out DIR [--quick]
//! [--rounds N] [NAME…]`. `cargo xtask bench` builds everything and calls it.
//!
//! Every figure is a ratio of medians of several rounds in which all contestants took turns. The machine may be noisy; what
//! it does to one, it does to all.

mod client;
mod contestants;
mod machine;
mod measure;
mod plot;
mod report;
mod stats;
mod workloads;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use contestants::Contestants;
use measure::{Measurement, Place};
use workloads::Workload;

/// What is asked for on the command line.
struct Plan {
    bin: PathBuf,
    guests: PathBuf,
    out: PathBuf,
    quick: bool,
    rounds: usize,
    names: Vec<String>,
}

impl Plan {
    fn parse(args: impl Iterator<Item = String>) -> Result<Self> {
        let (mut bin, mut guests, mut out) = (None, None, None);
        let (mut quick, mut rounds, mut names) = (false, None, Vec::new());
        let mut args = args.peekable();
        while let Some(arg) = args.next() {
            let mut value = || args.next().with_context(|| format!("{arg} needs a value"));
            match arg.as_str() {
                "--bin" => bin = Some(value()?.into()),
                "--guests" => guests = Some(value()?.into()),
                "--out" => out = Some(value()?.into()),
                "--rounds" => rounds = Some(value()?.parse().context("--rounds takes a number")?),
                "--quick" => quick = true,
                flag if flag.starts_with('-') => bail!("there is no flag {flag}"),
                name => names.push(name.to_owned()),
            }
        }
        Ok(Self {
            bin: bin.context("--bin says where the programs are")?,
            guests: guests.context("--guests says where the components are")?,
            out: out.context("--out says where results go")?,
            quick,
            rounds: rounds.unwrap_or(if quick { 3 } else { 5 }),
            names,
        })
    }

    fn workloads(&self) -> Result<Vec<&'static Workload>> {
        let chosen = |workload: &&Workload| {
            let named = self.names.iter().any(|name| name == workload.name);
            named || (self.names.is_empty() && (workload.quick || !self.quick))
        };
        for name in &self.names {
            if !workloads::ALL.iter().any(|workload| workload.name == name) {
                let known: Vec<_> = workloads::ALL.iter().map(|workload| workload.name).collect();
                bail!("there is no workload {name}; there are {}", known.join(", "));
            }
        }
        Ok(workloads::ALL.iter().filter(chosen).collect())
    }

    fn duration(&self) -> Duration {
        Duration::from_secs(if self.quick { 1 } else { 3 })
    }

    fn places(&self) -> &'static [Place] {
        if self.quick { &[Place::OneCore] } else { &Place::ALL }
    }
}

fn main() -> Result<()> {
    let plan = Plan::parse(std::env::args().skip(1))?;
    let contestants = Contestants::find(&plan.bin, &plan.guests)?;
    let mut measurements = Vec::new();
    for workload in plan.workloads()? {
        for &place in plan.places() {
            if place == Place::OneCore || workload.everywhere {
                measurements.extend(run(&plan, &contestants, workload, place)?);
            }
        }
    }
    report::write(&plan.out, &contestants, &measurements, plan.quick)
}

/// All contestants, one after another, round after round.
fn run(plan: &Plan, contestants: &Contestants, workload: &Workload, place: Place) -> Result<Vec<Measurement>> {
    println!("{} ({})", workload.name, place.name());
    let mut servers = contestants.start(workload, place)?;
    let mut measurements: Vec<_> = servers
        .iter()
        .map(|server| Measurement::new(workload, place, server.name()))
        .collect();
    for server in &servers {
        client::run(workload, place, server.addr(), Duration::from_millis(500))?;
    }
    for round in 0..plan.rounds {
        // Whoever follows whom changes from round to round.
        servers.rotate_left(1);
        measurements.rotate_left(1);
        for (server, measurement) in servers.iter().zip(&mut measurements) {
            let before = server.cpu()?;
            let outcome = client::run(workload, place, server.addr(), plan.duration())
                .with_context(|| format!("{} under {}", server.name(), workload.name))?;
            let cpu = server.cpu()?.saturating_sub(before);
            measurement.add(&outcome, cpu, server.resident_bytes()?);
        }
        println!("  round {} of {}", round + 1, plan.rounds);
    }
    measurements.sort_by_key(|measurement| contestants.position(measurement.contestant));
    for measurement in &measurements {
        println!("  {measurement}");
    }
    Ok(measurements)
}
