//! Figures: where they are taken, what is kept of a round.

use std::fmt;
use std::time::Duration;

use crate::client::Outcome;
use crate::stats::{median, spread};
use crate::workloads::Workload;

/// Which processor cores server and client have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Both the same one: what either wastes, the other lacks.
    OneCore,
    /// One each.
    TwoCores,
    /// As the system sees fit.
    Unpinned,
}

impl Place {
    pub const ALL: [Self; 3] = [Self::OneCore, Self::TwoCores, Self::Unpinned];

    pub fn name(self) -> &'static str {
        match self {
            Self::OneCore => "one core",
            Self::TwoCores => "a core each",
            Self::Unpinned => "unpinned",
        }
    }

    /// The server's cores, for `taskset`.
    pub fn server(self) -> Option<&'static str> {
        match self {
            Self::OneCore | Self::TwoCores => Some("0"),
            Self::Unpinned => None,
        }
    }

    /// The client's.
    pub fn client(self) -> Option<&'static str> {
        match self {
            Self::OneCore => Some("0"),
            Self::TwoCores => Some("1"),
            Self::Unpinned => None,
        }
    }
}

/// One contestant under one workload: a value per round.
#[derive(Debug)]
pub struct Measurement {
    pub workload: &'static str,
    pub says: &'static str,
    /// What a request moves, where bytes are what counts.
    pub bytes: u64,
    pub place: Place,
    pub contestant: &'static str,
    /// Requests per second.
    pub rate: Vec<f64>,
    /// Processor time of the server for a request, in microseconds.
    pub cpu: Vec<f64>,
    /// Latencies in microseconds: half, 99 %, 99.9 % of requests take no longer.
    pub p50: Vec<f64>,
    pub p99: Vec<f64>,
    pub p999: Vec<f64>,
    /// The server's resident memory afterwards, in MiB.
    pub memory: Vec<f64>,
}

impl Measurement {
    pub fn new(workload: &Workload, place: Place, contestant: &'static str) -> Self {
        Self {
            workload: workload.name,
            says: workload.says,
            bytes: workload.bytes,
            place,
            contestant,
            rate: Vec::new(),
            cpu: Vec::new(),
            p50: Vec::new(),
            p99: Vec::new(),
            p999: Vec::new(),
            memory: Vec::new(),
        }
    }

    pub fn add(&mut self, outcome: &Outcome, cpu: Duration, resident_bytes: u64) {
        let requests = outcome.requests.max(1) as f64;
        self.rate.push(requests / outcome.elapsed.as_secs_f64());
        self.cpu.push(cpu.as_secs_f64() * 1e6 / requests);
        self.p50.push(outcome.p50);
        self.p99.push(outcome.p99);
        self.p999.push(outcome.p999);
        self.memory.push(resident_bytes as f64 / f64::from(1 << 20));
    }

    /// Bytes per second of the server's processor time, in GB, where bytes are what counts.
    pub fn gigabytes_per_cpu_second(&self) -> Option<f64> {
        (self.bytes > 0).then(|| self.bytes as f64 / median(&self.cpu) / 1e3)
    }
}

impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<16} {:>10.0}/s ±{:>4.1} %  {:>9.1} µs of processor time  p50 {:>8.0} µs  p99 {:>8.0}  p99.9 {:>8.0}  {:>5.0} MiB",
            self.contestant,
            median(&self.rate),
            spread(&self.rate) * 100.0,
            median(&self.cpu),
            median(&self.p50),
            median(&self.p99),
            median(&self.p999),
            median(&self.memory),
        )
    }
}
