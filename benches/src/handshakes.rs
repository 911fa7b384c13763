//! What connections by TLS cost the server: for clients that come for the first time, for those that come again with a ticket, and,
//! to tell what of it is TLS, for those that speak none.

use anyhow::Result;
use serde_json::{Value, json};

use crate::contestants::Contestants;
use crate::place::Place;
use crate::plan::Plan;
use crate::report::Section;
use crate::stats::{median, shown, shown_alone, shown_ratio};
use crate::table::Table;
use crate::throughput::{self, Measurement, TLS};
use crate::workloads::{Ask, Session, Wire, Workload};

/// What clients bring; the first is what the others are compared with.
const SESSIONS: [(Session, &str); 3] = [
    (Session::Plain, "without TLS"),
    (Session::New, "new"),
    (Session::Resumed, "resumed"),
];

/// One session after the other, each with all contestants in turns.
pub fn run(plan: &Plan, contestants: &Contestants, workload: &Workload, place: Place) -> Result<Section> {
    let mut measured = Vec::new();
    for (session, name) in SESSIONS {
        println!("  {name}");
        let is_plain = session == Session::Plain;
        let workload = Workload {
            ask: Ask::Connection(session),
            wire: if is_plain { Wire::Http1 } else { Wire::Tls },
            ..*workload
        };
        let measurements = throughput::run(plan, contestants, &workload, place)?;
        let knows_tls = |measurement: &Measurement| !measurement.contestant.starts_with("wasmtime");
        measured.push((name, measurements.into_iter().filter(knows_tls).collect()));
    }
    let mut section = Section::new("handshakes", workload, place, table(&measured));
    section.figures = figures(&measured);
    section.notes = vec![NOTE.to_owned(), TLS.to_owned()];
    Ok(section)
}

const NOTE: &str = "\
    The client, the benchmark's own with rustls, is one thread. Each connection carries one request, which the same\n\
    component answers, and is closed by the server; latencies are from the connection's begin to its end. A resumed\n\
    one comes with a ticket of the connection before it, a new one with none; the client checks that the server took\n\
    it so. Handshakes are what the server's processor time for a connection is more than without TLS.";

fn table(measured: &[(&str, Vec<Measurement>)]) -> Table {
    let mut table = Table::new(&[
        "contestant",
        "connections",
        "connections/s",
        "against native",
        "CPU µs/connection",
        "CPU against native",
        "CPU µs/handshake",
        "p50 µs",
        "p99 µs",
    ]);
    let plain = measured.first().map_or(&[][..], |(_, measurements)| measurements);
    for (name, measurements) in measured {
        for measurement in measurements {
            let native = measurements.first().unwrap_or(measurement);
            table.row([
                measurement.contestant.to_owned(),
                (*name).to_owned(),
                shown(&measurement.rate, 0),
                shown_ratio(&measurement.rate, &native.rate),
                shown(&measurement.cpu, 1),
                shown_ratio(&measurement.cpu, &native.cpu),
                handshake(measurement, plain).map_or_else(String::new, |cpu| format!("{cpu:.0}")),
                shown_alone(&measurement.p50, 0),
                shown_alone(&measurement.p99, 0),
            ]);
        }
    }
    table
}

/// What a connection costs more than the same contestant's without TLS.
fn handshake(measurement: &Measurement, plain: &[Measurement]) -> Option<f64> {
    let without = plain.iter().find(|plain| plain.contestant == measurement.contestant)?;
    (!std::ptr::eq(without, measurement)).then(|| median(&measurement.cpu) - median(&without.cpu))
}

fn figures(measured: &[(&str, Vec<Measurement>)]) -> Vec<Value> {
    let figures = measured.iter().flat_map(|(name, measurements)| {
        measurements
            .iter()
            .map(move |measurement| json!({ "connections": name, "figures": measurement.as_json() }))
    });
    figures.collect()
}
