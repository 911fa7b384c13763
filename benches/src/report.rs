//! Results as files: all figures as JSON, what they say as tables, the throughput as a picture.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

use crate::contestants::Contestants;
use crate::place::Place;
use crate::plan::Plan;
use crate::table::Table;
use crate::throughput::Measurement;
use crate::workloads::Workload;
use crate::{client, machine, plot};

/// One workload in one place: what a reader sees, and its figures for programs.
pub struct Section {
    title: String,
    pub table: Table,
    /// How the table came about, where it is not as everywhere: paragraphs, and tables as text.
    pub notes: Vec<String>,
    /// Under which name the figures stand in the JSON.
    kind: &'static str,
    pub figures: Vec<Value>,
}

impl Section {
    pub fn new(kind: &'static str, workload: &Workload, place: Place, table: Table) -> Self {
        Self {
            title: format!("{}: {}, {}", workload.name, workload.says, place.name()),
            table,
            notes: Vec::new(),
            kind,
            figures: Vec::new(),
        }
    }
}

/// Everything that came of one run.
#[derive(Default)]
pub struct Report {
    pub sections: Vec<Section>,
    /// What the picture shows.
    pub throughput: Vec<Measurement>,
    /// What this machine has not what it takes for.
    pub left_out: Vec<String>,
    /// What could not be measured, and why.
    pub failures: Vec<String>,
}

impl Report {
    /// Writes `DAY.json`, `DAY.md` and `DAY.svg` into `out`; `DAY-NAMES` where names were asked for.
    pub fn write(&self, plan: &Plan, contestants: &Contestants) -> Result<()> {
        let name = jiff::Zoned::now().date().to_string() + &plan.label();
        let out = &plan.out;
        std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
        let write = |extension: &str, text: String| {
            let file = out.join(format!("{name}.{extension}"));
            std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
            println!("wrote {}", file.display());
            Ok::<_, anyhow::Error>(())
        };
        write("json", serde_json::to_string_pretty(&self.as_json(contestants))? + "\n")?;
        if !self.throughput.is_empty() {
            write("svg", plot::throughput(&self.throughput))?;
        }
        write("md", self.as_text(plan, contestants, &name)?)
    }

    fn as_json(&self, contestants: &Contestants) -> Value {
        let machine: Map<_, _> = machine::describe()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        let contestants: Vec<_> = contestants
            .describe()
            .into_iter()
            .map(|(name, version, line)| json!({ "name": name, "version": version, "command": line }))
            .collect();
        let mut all = json!({ "machine": machine, "contestants": contestants, "left_out": self.left_out, "failures": self.failures });
        for section in &self.sections {
            let kind = &mut all[section.kind];
            let mut figures = kind.as_array().cloned().unwrap_or_default();
            figures.extend(section.figures.iter().cloned());
            *kind = figures.into();
        }
        all
    }

    fn as_text(&self, plan: &Plan, contestants: &Contestants, name: &str) -> Result<String> {
        let mut text = format!("# Measured on {name}\n");
        if !self.throughput.is_empty() {
            writeln!(text, "\n![Throughput]({name}.svg)")?;
        }
        for section in &self.sections {
            write!(text, "\n## {}\n\n{}", section.title, section.table)?;
            for note in &section.notes {
                writeln!(text, "\n{}", note.trim_end())?;
            }
        }
        if !self.failures.is_empty() || !self.left_out.is_empty() {
            writeln!(text, "\n## Not measured\n")?;
            for failure in self.left_out.iter().chain(&self.failures) {
                writeln!(text, "- {failure}")?;
            }
        }
        write_how(&mut text, plan, contestants)?;
        Ok(text)
    }
}

fn write_how(text: &mut String, plan: &Plan, contestants: &Contestants) -> Result<()> {
    writeln!(
        text,
        "\n## How\n\nContestants took turns, {} rounds each unless a table says otherwise; figures are medians, ratios are\n\
         medians of the rounds' ratios, ± the median distance from it. Wharf ran in the profile that people install;\n\
         `wasmtime serve` limits connections and requests to 1,000 at a time, and nothing else. Unless a table says\n\
         otherwise limits were the default ones, and the client, with 64 connections or as many as a title says, was\n`{}`.\n",
        plan.rounds,
        client::line(plan.duration()),
    )?;
    let mut table = Table::new(&["contestant", "version", "command"]);
    for (name, version, line) in contestants.describe() {
        table.row([name.to_owned(), version, format!("`{line}`")]);
    }
    writeln!(text, "{table}")?;
    let mut table = Table::new(&["client", "version"]);
    table.row(["wrk".to_owned(), client::version()]);
    table.row(["h2load".to_owned(), client::h2load::version()]);
    for (name, version) in contestants.tools() {
        table.row([name.to_owned(), version]);
    }
    writeln!(text, "{table}")?;
    let mut table = Table::new(&["machine", ""]);
    for (name, value) in machine::describe() {
        table.row([name.to_owned(), value]);
    }
    write!(text, "{table}")?;
    Ok(())
}
