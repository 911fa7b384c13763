//! Results as files: all figures as JSON, the ratios as a table, the throughput as a picture.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::contestants::Contestants;
use crate::measure::Measurement;
use crate::stats::{median, ratio, spread};
use crate::{machine, plot};

/// Writes `DAY.json`, `DAY.md` and `DAY.svg` into `out`.
pub fn write(out: &Path, contestants: &Contestants, measurements: &[Measurement], quick: bool) -> Result<()> {
    let day = jiff::Zoned::now().date().to_string();
    let name = if quick { format!("{day}-quick") } else { day };
    std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let write = |extension: &str, text: String| {
        let file = out.join(format!("{name}.{extension}"));
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        println!("wrote {}", file.display());
        Ok::<_, anyhow::Error>(())
    };
    write(
        "json",
        serde_json::to_string_pretty(&as_json(contestants, measurements))? + "\n",
    )?;
    write("svg", plot::throughput(measurements))?;
    write("md", as_table(contestants, measurements, &name)?)
}

fn as_json(contestants: &Contestants, measurements: &[Measurement]) -> Value {
    let machine: serde_json::Map<_, _> = machine::describe()
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    let contestants: Vec<_> = contestants
        .describe()
        .into_iter()
        .map(|(name, version, line)| json!({ "name": name, "version": version, "command": line }))
        .collect();
    let measurements: Vec<_> = measurements
        .iter()
        .map(|measurement| {
            json!({
                "workload": measurement.workload,
                "place": measurement.place.name(),
                "contestant": measurement.contestant,
                "requests_per_second": measurement.rate,
                "cpu_us_per_request": measurement.cpu,
                "p50_us": measurement.p50,
                "p99_us": measurement.p99,
                "p999_us": measurement.p999,
                "resident_mib": measurement.memory,
                "gb_per_cpu_second": measurement.gigabytes_per_cpu_second(),
            })
        })
        .collect();
    json!({ "machine": machine, "contestants": contestants, "measurements": measurements })
}

fn as_table(contestants: &Contestants, measurements: &[Measurement], name: &str) -> Result<String> {
    let mut text = format!("# Measured on {name}\n\n![Throughput]({name}.svg)\n");
    for group in measurements.chunk_by(|a, b| a.workload == b.workload && a.place == b.place) {
        write_group(&mut text, group)?;
    }
    writeln!(
        text,
        "\n## How\n\nContestants took turns, {} rounds each; figures are medians, ratios are medians",
        rounds(measurements)
    )?;
    writeln!(
        text,
        "of the rounds' ratios, ± the median distance from it. Wharf ran with its default limits, in the profile"
    )?;
    writeln!(text, "that people install; `wasmtime serve` has none.\n")?;
    writeln!(text, "| contestant | version | command |\n|---|---|---|")?;
    for (name, version, line) in contestants.describe() {
        writeln!(text, "| {name} | {version} | `{line}` |")?;
    }
    writeln!(text, "\n| machine | |\n|---|---|")?;
    for (name, value) in machine::describe() {
        writeln!(text, "| {name} | {value} |")?;
    }
    Ok(text)
}

fn rounds(measurements: &[Measurement]) -> usize {
    measurements.first().map_or(0, |measurement| measurement.rate.len())
}

/// One workload in one place, against its first contestant and against `wasmtime`.
fn write_group(text: &mut String, group: &[Measurement]) -> Result<()> {
    let (Some(ceiling), peer) = (group.first(), group.iter().find(|m| m.contestant == "wasmtime")) else {
        return Ok(());
    };
    writeln!(
        text,
        "\n## {}: {}, {}\n",
        ceiling.workload,
        ceiling.says,
        ceiling.place.name()
    )?;
    writeln!(
        text,
        "| contestant | requests/s | against {} | against wasmtime | CPU µs/request | GB/CPU s | p50 µs | p99 µs | p99.9 µs | MiB |",
        ceiling.contestant
    )?;
    writeln!(text, "|---|---|---|---|---|---|---|---|---|---|")?;
    for measurement in group {
        let against_ceiling = percent(&measurement.rate, &ceiling.rate);
        let against_peer = peer.map_or_else(String::new, |peer| percent(&measurement.rate, &peer.rate));
        let bytes = measurement
            .gigabytes_per_cpu_second()
            .map_or_else(String::new, |gigabytes| format!("{gigabytes:.2}"));
        writeln!(
            text,
            "| {} | {:.0} ±{:.1} % | {against_ceiling} | {against_peer} | {:.1} | {bytes} | {:.0} | {:.0} | {:.0} | {:.0} |",
            measurement.contestant,
            median(&measurement.rate),
            spread(&measurement.rate) * 100.0,
            median(&measurement.cpu),
            median(&measurement.p50),
            median(&measurement.p99),
            median(&measurement.p999),
            median(&measurement.memory),
        )?;
    }
    Ok(())
}

fn percent(values: &[f64], against: &[f64]) -> String {
    let (ratio, spread) = ratio(values, against);
    format!("{ratio:.2} ±{:.1} %", spread * 100.0)
}
