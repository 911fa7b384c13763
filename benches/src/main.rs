//! Measures Wharf against its peers, interleaved in one run: `wharf-bench --bin DIR --guests DIR --out DIR [--quick]
//! [--rounds N] [--present] [NAME…]`. `cargo xtask bench` builds everything and calls it.
//!
//! Figures are medians of several rounds in which all contestants took turns. The machine may be noisy; what it does to
//! one, it does to all. How each kind of workload is measured, and what its table says, is in a file of its own.

mod certificate;
mod client;
mod contestants;
// It starts servers as the tests do, on Unix.
#[cfg(unix)]
mod data;
mod delivery;
mod engine;
mod get;
mod handshakes;
mod idle;
mod machine;
mod overload;
mod own;
mod parked;
mod place;
mod plan;
mod plot;
mod rate;
#[cfg(unix)]
mod reloads;
mod report;
mod server;
mod start;
mod stats;
mod table;
mod throughput;
mod workloads;

use anyhow::{Result, ensure};

use contestants::Contestants;
use place::Place;
use plan::Plan;
use report::{Report, Section};
use workloads::{Kind, Workload};

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1).peekable();
    if args.next_if(|arg| arg == overload::client::COMMAND).is_some() {
        return overload::client::main(args);
    }
    if args.next_if(|arg| arg == own::COMMAND).is_some() {
        return own::main(args);
    }
    let plan = Plan::parse(args)?;
    let contestants = Contestants::find(&plan)?;
    let mut report = Report::default();
    for workload in plan.workloads()? {
        for &place in plan.places(workload) {
            println!("{} ({})", workload.name, place.name());
            match measure(&plan, &contestants, workload, place, &mut report) {
                Ok(section) => {
                    println!("{}", section.table);
                    report.sections.push(section);
                }
                Err(error) if error.is::<machine::Missing>() => {
                    println!("left out: {error:#}");
                    report.left_out.push(format!("{}: {error:#}", workload.name));
                }
                // A long run does not lose what it has for one that fails.
                Err(error) => {
                    println!("failed: {error:#}");
                    let failure = format!("{} ({}): {error:#}", workload.name, place.name());
                    report.failures.push(failure);
                }
            }
        }
    }
    report.write(&plan, &contestants)?;
    ensure!(
        report.failures.is_empty(),
        "{} could not be measured",
        report.failures.len()
    );
    Ok(())
}

fn measure(
    plan: &Plan,
    contestants: &Contestants,
    workload: &Workload,
    place: Place,
    report: &mut Report,
) -> Result<Section> {
    match workload.kind {
        Kind::Throughput => {
            let measurements = throughput::run(plan, contestants, workload, place)?;
            let section = throughput::section(plan, workload, place, &measurements);
            report.throughput.extend(measurements);
            Ok(section)
        }
        Kind::Rate => rate::run(plan, contestants, workload, place),
        Kind::Start => start::run(plan, contestants, workload, place),
        Kind::Parked => parked::run(plan, contestants, workload, place),
        Kind::Overload => overload::run(plan, contestants, workload, place),
        Kind::Engine => engine::run(plan, contestants, workload, place),
        Kind::Handshakes => handshakes::run(plan, contestants, workload, place),
        Kind::Idle => idle::run(plan, contestants, workload, place),
        Kind::Delivery => delivery::run(plan, contestants, workload, place),
        #[cfg(unix)]
        Kind::Data(backend) => data::run(plan, contestants, workload, place, backend),
        #[cfg(unix)]
        Kind::Reloads => reloads::run(plan, contestants, workload, place),
        #[cfg(not(unix))]
        Kind::Data(_) | Kind::Reloads => Err(machine::Missing("Unix").into()),
    }
}
