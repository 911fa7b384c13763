//! What a server holds for each of many requests that wait, and what it keeps once they are answered.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::contestants::Contestants;
use crate::get::{ask, connect, get};
use crate::machine;
use crate::place::Place;
use crate::plan::Plan;
use crate::report::Section;
use crate::server::Server;
use crate::stats::{median, shown, shown_alone, shown_ratio};
use crate::table::Table;
use crate::workloads::Workload;

/// A contestant, as it is by default or with what it takes to hold ten thousand.
struct Case {
    name: &'static str,
    contestant: &'static str,
    more: &'static [&'static str],
}

/// The first is what the others are compared with.
const CASES: &[Case] = &[
    Case::by_default("native"),
    Case::by_default("wharf request"),
    Case {
        name: "wharf request, raised",
        contestant: "wharf request",
        more: INSTANCES,
    },
    Case::by_default("wharf serial"),
    Case {
        name: "wharf serial, raised",
        contestant: "wharf serial",
        more: INSTANCES,
    },
    Case::by_default("wharf shared"),
    Case::by_default("wasmtime"),
    Case {
        name: "wasmtime, raised",
        contestant: "wasmtime",
        more: &[
            "--max-concurrent-connections",
            "10001",
            "--max-concurrent-requests",
            "10001",
            // An instance is three and has two tables; by default there is a place for a thousand of either.
            "-Opooling-total-core-instances=10000,pooling-total-tables=10000",
        ],
    },
];

/// One for each request, and one for the request before them.
const INSTANCES: &[&str] = &["--max-instances", "10001"];

const REQUESTS: usize = 10_000;
const REQUESTS_QUICK: usize = 1_000;

/// A fresh server each: what memory was used for before is part of the figure. It hardly varies.
const ROUNDS_MAX: usize = 3;

/// How long requests wait: less than Wharf's deadline of 30 s, and long enough that all have arrived.
const WAIT: Duration = Duration::from_secs(20);
const WAIT_QUICK: Duration = Duration::from_secs(12);

/// So long before the first can be answered memory is read; whoever is to be refused (by Wharf after 5 s) has been.
const READ_BEFORE_END: Duration = Duration::from_secs(3);

/// How long after the last connection is closed memory is read again.
const READ_AFTER_END: Duration = Duration::from_secs(3);

/// What is said of a request that was held. One that had to wait until others were answered takes twice as long.
const HELD: &str = "200 OK";
const LATE: &str = "200 OK, after others";

/// For a request and its answer. Who takes two turns or more to hold all is given the time for that, not more.
const ANSWER_DEADLINE: Duration = Duration::from_secs(60);

/// So many are sent at a time, so far apart: 2,000 a second, which overflows no server's queue of new connections (a
/// connection that is not taken is tried again after seconds, and most of the crowd would never arrive).
const WAVE: usize = 10;
const BETWEEN_WAVES: Duration = Duration::from_millis(5);

/// Who refuses more than this part has spent memory on refusing: what it holds for each request cannot be told.
const TELLS: f64 = 0.9;

/// What else than these connections is open, here or in a server.
const OTHER_FILES: u64 = 500;

/// Lines in the report of what a server printed; there are more of them in the JSON.
const PRINTED_MAX: usize = 2;

/// One case: a value per round.
struct Measurement {
    case: &'static Case,
    requests: usize,
    /// MiB: after a first answer, with all requests waiting, after they were answered.
    before: Vec<f64>,
    parked: Vec<f64>,
    after: Vec<f64>,
    /// Requests that waited when memory was read; those that were answered with 200 in the end.
    waiting: Vec<f64>,
    held: Vec<f64>,
    /// Seconds from the first request to the last answer.
    last: Vec<f64>,
    /// How often it said what, over all rounds, and what it printed.
    said: BTreeMap<String, usize>,
    printed: Vec<String>,
}

/// All cases, one after another, round after round.
pub fn run(plan: &Plan, contestants: &Contestants, workload: &Workload, place: Place) -> Result<Section> {
    let asked = if plan.quick { REQUESTS_QUICK } else { REQUESTS };
    let files = machine::raise_open_files().saturating_sub(OTHER_FILES);
    let crowd = Crowd {
        requests: asked.min(usize::try_from(files).unwrap_or(usize::MAX)),
        wait: if plan.quick { WAIT_QUICK } else { WAIT },
    };
    let component = contestants.component(workload.guest).display().to_string();
    let runtime = Runtime::new()?;
    let mut measurements: Vec<_> = CASES.iter().map(|case| Measurement::new(case, &crowd)).collect();
    let rounds = plan.rounds.min(ROUNDS_MAX);
    for round in 0..rounds {
        for measurement in &mut measurements {
            let case = measurement.case;
            let server = contestants.start_with(case.contestant, case.more, workload.guest, place)?;
            let result = runtime.block_on(measurement.add_round(&crowd, server, workload, &component));
            result.context(case.name)?;
        }
        println!("  round {} of {rounds}", round + 1);
    }
    let mut section = Section::new("parked", workload, place, table(&measurements));
    section.figures = measurements.iter().map(Measurement::as_json).collect();
    section.notes = notes(contestants, &crowd, asked, rounds, &measurements)?;
    Ok(section)
}

impl Measurement {
    fn new(case: &'static Case, crowd: &Crowd) -> Self {
        Self {
            case,
            requests: crowd.requests,
            before: Vec::new(),
            parked: Vec::new(),
            after: Vec::new(),
            waiting: Vec::new(),
            held: Vec::new(),
            last: Vec::new(),
            said: BTreeMap::new(),
            printed: Vec::new(),
        }
    }

    async fn add_round(
        &mut self,
        crowd: &Crowd,
        mut server: Server,
        workload: &Workload,
        component: &str,
    ) -> Result<()> {
        // What a server makes once, for its first request, is not for these.
        let first = path(workload, Duration::from_millis(1));
        timeout(ANSWER_DEADLINE, get(server.addr(), &first)).await??;
        let before = mebibytes(&server)?;
        let visits = crowd.send(server.addr(), &path(workload, crowd.wait));
        sleep(crowd.wait.saturating_sub(READ_BEFORE_END)).await;
        let parked = mebibytes(&server);
        let waiting = visits.waiting();
        let (said, last) = visits.finish().await;
        sleep(READ_AFTER_END).await;
        let after = mebibytes(&server);
        let printed = server.said().into_iter();
        let printed = printed.map(|line| line.replace(component, "COMPONENT"));
        let ended = server.ended().map(|status| format!("ended: {status}"));
        self.printed.extend(printed.chain(ended));
        self.before.push(before);
        self.parked.push(parked.unwrap_or(f64::NAN));
        self.after.push(after.unwrap_or(f64::NAN));
        self.waiting.push(waiting as f64);
        self.held.push(said.get(HELD).copied().unwrap_or(0) as f64);
        self.last.push(last.as_secs_f64());
        for (what, count) in said {
            *self.said.entry(what).or_default() += count;
        }
        Ok(())
    }

    fn growth_kib(&self, then: &[f64], count: impl Fn(usize) -> f64) -> Vec<f64> {
        let pairs = then.iter().zip(&self.before).enumerate();
        pairs
            .map(|(round, (then, before))| (then - before) * 1024.0 / count(round))
            .collect()
    }

    /// For each request that waited when memory was read.
    fn parked_kib(&self) -> Vec<f64> {
        self.growth_kib(&self.parked, |round| self.waiting[round])
    }

    /// Whether that is the cost of a request, and not also of refusing others.
    fn tells(&self) -> bool {
        median(&self.held) >= self.requests as f64 * TELLS
    }

    /// For each of all.
    fn kept_kib(&self) -> Vec<f64> {
        self.growth_kib(&self.after, |_| self.requests as f64)
    }

    fn as_json(&self) -> Value {
        json!({
            "name": self.case.name,
            "flags": self.case.more,
            "requests": self.requests,
            "waiting": self.waiting,
            "answered": self.held,
            "before_mib": self.before,
            "parked_mib": self.parked,
            "after_mib": self.after,
            "parked_kib_each": self.parked_kib(),
            "kept_kib_each": self.kept_kib(),
            "last_answer_s": self.last,
            "said": self.said,
            "printed": self.printed,
        })
    }
}

fn table(measurements: &[Measurement]) -> Table {
    let mut table = Table::new(&[
        "contestant",
        "held",
        "KiB for each held",
        "against native",
        "MiB before",
        "MiB while they wait",
        "MiB after",
        "KiB kept for each asked",
        "s to the last answer",
    ]);
    // Of nothing there is no median and no ratio, and none is shown.
    let each = |measurement: &Measurement| {
        let each = measurement.tells().then(|| measurement.parked_kib());
        each.unwrap_or_default()
    };
    let native = measurements.first().map(each).unwrap_or_default();
    for measurement in measurements {
        table.row([
            measurement.case.name.to_owned(),
            format!("{} of {}", shown_alone(&measurement.held, 0), measurement.requests),
            shown(&each(measurement), 1),
            shown_ratio(&each(measurement), &native),
            shown_alone(&measurement.before, 1),
            shown_alone(&measurement.parked, 1),
            shown_alone(&measurement.after, 1),
            shown(&measurement.kept_kib(), 2),
            shown_alone(&measurement.last, 1),
        ]);
    }
    table
}

fn notes(
    contestants: &Contestants,
    crowd: &Crowd,
    asked: usize,
    rounds: usize,
    measurements: &[Measurement],
) -> Result<Vec<String>> {
    let mut notes = vec![format!(
        "{} connections, {} more every {} ms, with a request each that is answered after {} s; {rounds} rounds, a fresh\n\
         server for each case and round. Resident memory (what the kernel keeps for connections is not in it) was read\n\
         after one answer, {} s before the first of these could be answered, and {} s after the last connection was\n\
         closed; what is there then are instances that are kept, and what the allocator does not give back. Held are\n\
         requests that were answered with 200 and did not have to wait until others were. Where more than a tenth was\n\
         not, refusing took memory too, and nothing is said of each.",
        crowd.requests,
        WAVE,
        BETWEEN_WAVES.as_millis(),
        crowd.wait.as_secs(),
        READ_BEFORE_END.as_secs(),
        READ_AFTER_END.as_secs(),
    )];
    if crowd.requests < asked {
        notes.push(format!(
            "{asked} were meant to be asked, but the system permits no more open files."
        ));
    }
    let mut table = Table::new(&["contestant", "command", "answers"]);
    for measurement in measurements {
        let case = measurement.case;
        let said = measurement.said.iter().map(|(what, count)| format!("{count} × {what}"));
        let said: Vec<_> = said.collect();
        let line = format!("`{}`", contestants.line(case.contestant, case.more)?);
        table.row([case.name.to_owned(), line, said.join(", ")]);
    }
    notes.push(table.to_string());
    for measurement in measurements {
        let lines = measurement.printed.iter().take(PRINTED_MAX);
        let lines: Vec<_> = lines.map(|line| format!("    {line}\n")).collect();
        if !lines.is_empty() {
            notes.push(format!(
                "{} printed first:\n\n{}",
                measurement.case.name,
                lines.concat()
            ));
        }
    }
    Ok(notes)
}

impl Case {
    const fn by_default(name: &'static str) -> Self {
        Self {
            name,
            contestant: name,
            more: &[],
        }
    }
}

/// Many requests at once.
struct Crowd {
    requests: usize,
    wait: Duration,
}

/// Requests that were sent.
struct Visits {
    begin: Instant,
    tasks: JoinSet<String>,
    count: Arc<Count>,
}

#[derive(Default)]
struct Count {
    connected: AtomicUsize,
    done: AtomicUsize,
}

impl Crowd {
    fn send(&self, addr: SocketAddr, path: &str) -> Visits {
        let (begin, count) = (Instant::now(), Arc::<Count>::default());
        let path: Arc<str> = path.into();
        let mut tasks = JoinSet::new();
        for place in 0..self.requests {
            let wave = u32::try_from(place / WAVE).unwrap_or(u32::MAX);
            let (count, path, late) = (count.clone(), path.clone(), self.wait * 3 / 2);
            tasks.spawn(async move {
                sleep(BETWEEN_WAVES * wave).await;
                let sent = Instant::now();
                let visit = timeout(ANSWER_DEADLINE, visit(addr, &path, &count)).await;
                count.done.fetch_add(1, Ordering::Relaxed);
                match visit {
                    Ok(Ok(StatusCode::OK)) if sent.elapsed() > late => LATE.into(),
                    Ok(Ok(status)) => status.to_string(),
                    Ok(Err(error)) => format!("{error:#}"),
                    Err(_) => format!("nothing in {} s", ANSWER_DEADLINE.as_secs()),
                }
            });
        }
        Visits { begin, tasks, count }
    }
}

async fn visit(addr: SocketAddr, path: &str, count: &Count) -> Result<StatusCode> {
    let stream = connect(addr).await?;
    count.connected.fetch_add(1, Ordering::Relaxed);
    ask(stream, addr, path).await
}

impl Visits {
    /// How many have arrived and are not answered.
    fn waiting(&self) -> usize {
        let done = self.count.done.load(Ordering::Relaxed);
        self.count.connected.load(Ordering::Relaxed).saturating_sub(done)
    }

    /// How often what was said, and when the last was.
    async fn finish(self) -> (BTreeMap<String, usize>, Duration) {
        let mut said = BTreeMap::new();
        let mut tasks = self.tasks;
        while let Some(joined) = tasks.join_next().await {
            let what = joined.unwrap_or_else(|error| error.to_string());
            *said.entry(what).or_default() += 1;
        }
        (said, self.begin.elapsed())
    }
}

fn path(workload: &Workload, wait: Duration) -> String {
    workload.path.replace("MS", &wait.as_millis().to_string())
}

fn mebibytes(server: &Server) -> Result<f64> {
    Ok(server.resident_bytes()? as f64 / f64::from(1 << 20))
}
