//! What is asked for on the command line, and what follows from it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::place::Place;
use crate::workloads::{self, Workload};

/// What to measure, with what, and where results go.
pub struct Plan {
    pub bin: PathBuf,
    pub guests: PathBuf,
    pub out: PathBuf,
    pub quick: bool,
    pub rounds: usize,
    names: Vec<String>,
}

impl Plan {
    pub fn parse(args: impl Iterator<Item = String>) -> Result<Self> {
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

    pub fn workloads(&self) -> Result<Vec<&'static Workload>> {
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

    /// Where `workload` is measured: a quick run takes the place that tells most.
    pub fn places(&self, workload: &Workload) -> &'static [Place] {
        let count = if self.quick { 1 } else { workload.places.len() };
        &workload.places[..count.min(workload.places.len())]
    }

    /// How long a client asks in one round.
    pub fn duration(&self) -> Duration {
        Duration::from_secs(if self.quick { 1 } else { 3 })
    }
}
