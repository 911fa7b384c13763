//! What is asked for on the command line, and what follows from it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::place::Place;
use crate::workloads::{self, GROUPS, Workload};

/// What to measure, with what, and where results go.
pub struct Plan {
    pub bin: PathBuf,
    pub guests: PathBuf,
    pub out: PathBuf,
    /// Only contestants whose programs are there are measured.
    pub present: bool,
    pub quick: bool,
    pub rounds: usize,
    names: Vec<String>,
}

impl Plan {
    pub fn parse(args: impl Iterator<Item = String>) -> Result<Self> {
        let (mut bin, mut guests, mut out) = (None, None, None);
        let (mut present, mut quick, mut rounds, mut names) = (false, false, None, Vec::new());
        let mut args = args.peekable();
        while let Some(arg) = args.next() {
            let mut value = || args.next().with_context(|| format!("{arg} needs a value"));
            match arg.as_str() {
                "--bin" => bin = Some(value()?.into()),
                "--guests" => guests = Some(value()?.into()),
                "--out" => out = Some(value()?.into()),
                "--rounds" => rounds = Some(value()?.parse().context("--rounds takes a number")?),
                "--present" => present = true,
                "--quick" => quick = true,
                flag if flag.starts_with('-') => bail!("there is no flag {flag}"),
                name => names.push(name.to_owned()),
            }
        }
        Ok(Self {
            bin: bin.context("--bin says where the programs are")?,
            guests: guests.context("--guests says where the components are")?,
            out: out.context("--out says where results go")?,
            present,
            quick,
            rounds: rounds.unwrap_or(if quick { 3 } else { 5 }),
            names,
        })
    }

    pub fn workloads(&self) -> Result<Vec<&'static Workload>> {
        let chosen = |workload: &&Workload| {
            let named = self.names.iter().any(|name| names(name).contains(&workload.name));
            named || (self.names.is_empty() && (workload.quick || !self.quick))
        };
        for name in &self.names {
            if names(name).is_empty() {
                let known = workloads::all().map(|workload| workload.name);
                let known: Vec<_> = known.chain(GROUPS.iter().map(|(name, _)| *name)).collect();
                bail!("there is no workload {name}; there are {}", known.join(", "));
            }
        }
        Ok(workloads::all().filter(chosen).collect())
    }

    /// Where `workload` is measured: a quick run takes the place that tells most.
    pub fn places(&self, workload: &Workload) -> &'static [Place] {
        let count = if self.quick { 1 } else { workload.places.len() };
        &workload.places[..count.min(workload.places.len())]
    }

    /// What the files of results are called, beside the day: what was measured on that day under other names is not lost.
    pub fn label(&self) -> String {
        let quick = self.quick.then_some("quick");
        let words = self.names.iter().map(String::as_str).chain(quick);
        words.map(|word| format!("-{word}")).collect()
    }

    /// How long a client asks in one round.
    pub fn duration(&self) -> Duration {
        Duration::from_secs(if self.quick { 1 } else { 3 })
    }
}

/// The workloads that `name` stands for.
fn names(name: &str) -> &[&str] {
    let group = GROUPS.iter().find(|(group, _)| *group == name);
    let alone = workloads::all().find(|workload| workload.name == name);
    match (group, alone) {
        (Some((_, names)), _) => names,
        (None, Some(workload)) => std::slice::from_ref(&workload.name),
        (None, None) => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(args: &str) -> Result<Vec<&'static str>> {
        let paths = "--bin b --guests g --out o ";
        let plan = Plan::parse((paths.to_owned() + args).split(' ').map(str::to_owned))?;
        Ok(plan.workloads()?.into_iter().map(|workload| workload.name).collect())
    }

    #[test]
    fn workloads_are_chosen_by_names_and_groups() {
        assert_eq!(chosen("hello").expect("there is one"), ["hello"]);
        assert_eq!(chosen("--quick engine hello").expect("both"), ["hello", "engine"]);
        let wire = chosen("--quick wire").expect("a group");
        assert_eq!(wire, GROUPS[0].1);
        let wire_and_more = chosen("wire hello tls").expect("a group and two");
        assert_eq!(wire_and_more.len(), wire.len() + 1);
        assert!(chosen("no-such").is_err());
    }

    #[test]
    fn results_are_called_what_was_asked_for() {
        for (args, label) in [
            ("", ""),
            ("--quick", "-quick"),
            ("data --quick hello", "-data-hello-quick"),
        ] {
            let args = format!("--bin b --guests g --out o {args}");
            let plan = Plan::parse(args.split_whitespace().map(str::to_owned)).expect("it is whole");
            assert_eq!(plan.label(), label);
        }
    }
}
