//! How long it takes from a guest's write to its client's read, for a few bytes and nothing else to do.
//!
//! Each chunk says when it was written, and the client (`own/chunks.rs`) when its read returned: both by the system's clock, which is
//! the same for all programs of a machine, so nothing has to be halved or taken off. The alternative, half of a byte's
//! way there and back, is the workload `turns`.

use anyhow::Result;

use crate::contestants::Contestants;
use crate::place::Place;
use crate::plan::Plan;
use crate::report::Section;
use crate::stats::{shown, shown_alone};
use crate::table::Table;
use crate::throughput::{self, Measurement};
use crate::workloads::Workload;

/// All contestants, one after another, round after round.
pub fn run(plan: &Plan, contestants: &Contestants, workload: &Workload, place: Place) -> Result<Section> {
    let measurements = throughput::run(plan, contestants, workload, place)?;
    let mut section = Section::new("delivery", workload, place, table(&measurements));
    section.figures = measurements.iter().map(Measurement::as_json).collect();
    section.notes.push(NOTE.to_owned());
    Ok(section)
}

const NOTE: &str = "\
    A guest waits for a millisecond, asks what time it is, and writes that into its response; the client, the\n\
    benchmark's own, asks once its read has returned: by the same clock of the system. CPU is all of the server's\n\
    for a chunk, the timer before it included.";

fn table(measurements: &[Measurement]) -> Table {
    let mut table = Table::new(&[
        "contestant",
        "p50 µs",
        "more than native",
        "p99 µs",
        "more than native",
        "p99.9 µs",
        "CPU µs/chunk",
        "chunks/s",
    ]);
    for measurement in measurements {
        let more = |of: fn(&Measurement) -> &[f64]| {
            let native = measurements.first().map_or(&[][..], of);
            shown_alone(&differences(of(measurement), native), 0)
        };
        table.row([
            measurement.contestant.to_owned(),
            shown(&measurement.p50, 0),
            more(|measurement| &measurement.p50),
            shown(&measurement.p99, 0),
            more(|measurement| &measurement.p99),
            shown_alone(&measurement.p999, 0),
            shown_alone(&measurement.cpu, 1),
            shown_alone(&measurement.rate, 0),
        ]);
    }
    table
}

/// By rounds, so that what slowed both cancels out.
fn differences(values: &[f64], less: &[f64]) -> Vec<f64> {
    values.iter().zip(less).map(|(value, less)| value - less).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_by_rounds() {
        assert_eq!(differences(&[5.0, 9.0], &[4.0, 2.0]), [1.0, 7.0]);
    }
}
