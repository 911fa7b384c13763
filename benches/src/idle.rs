//! What a server holds for each of many connections on which nothing happens: WebSockets after a message and its echo, and
//! event streams after their first event.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::contestants::Contestants;
use crate::get::{connect_from, websocket_over};
use crate::machine;
use crate::place::Place;
use crate::plan::Plan;
use crate::report::Section;
use crate::server::Server;
use crate::stats::{shown, shown_alone, shown_ratio};
use crate::table::Table;
use crate::workloads::{Guest, Workload};

/// Contestants, and what it takes them to hold ten thousand. The first is what the others are compared with.
const CASES: &[(&str, &[&str])] = &[
    ("native", &[]),
    ("wharf request", INSTANCES),
    ("wharf serial", INSTANCES),
    ("wharf shared", &[]),
];

/// One for each connection, and one for that before them.
const INSTANCES: &[&str] = &["--max-instances", "10001"];

const CONNECTIONS: usize = 10_000;
const CONNECTIONS_QUICK: usize = 1_000;

/// A fresh server each: what memory was used for before is part of the figure. It hardly varies.
const ROUNDS_MAX: usize = 3;

/// So many are opened at a time, so far apart: 1,000 a second, which overflows no server's queue of new connections.
const WAVE: usize = 10;
const BETWEEN_WAVES: Duration = Duration::from_millis(10);

/// Who is refused since others are at work on this machine comes again after a second, so often.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_MAX: usize = 10;

/// How long nothing happens until memory is read: after the last is open, and after the last is closed.
const REST: Duration = Duration::from_secs(3);
const REST_QUICK: Duration = Duration::from_secs(1);

/// So many are made from one address of the client's.
const CONNECTIONS_PER_CLIENT: usize = 1000;

/// Nobody takes as long to open a connection, or to close all.
const DEADLINE: Duration = Duration::from_secs(60);

/// What else than these connections is open, here or in a server.
const OTHER_FILES: u64 = 500;

/// What the event streams of all contestants begin with.
const EVENT: &[u8] = b"data: hello\n\n";

/// One contestant: a value per round.
struct Measurement {
    contestant: &'static str,
    more: &'static [&'static str],
    /// MiB: after a first connection, with all open, after all were closed.
    before: Vec<f64>,
    open: Vec<f64>,
    after: Vec<f64>,
    /// Connections that were open when memory was read.
    held: Vec<f64>,
    /// Milliseconds of processor time for each second in which nothing happens.
    cpu: Vec<f64>,
    /// How often a connection was refused, and opened later.
    again: Vec<f64>,
    /// Why others were not open, and how often, over all rounds.
    failures: BTreeMap<String, usize>,
}

/// All contestants, one after another, round after round.
pub fn run(plan: &Plan, contestants: &Contestants, workload: &Workload, place: Place) -> Result<Section> {
    let asked = if plan.quick { CONNECTIONS_QUICK } else { CONNECTIONS };
    let files = machine::raise_open_files().saturating_sub(OTHER_FILES);
    let crowd = Crowd {
        connections: asked.min(usize::try_from(files).unwrap_or(usize::MAX)),
        path: workload.path,
        is_websocket: workload.guest == Guest::Websocket,
        rest: if plan.quick { REST_QUICK } else { REST },
    };
    let rounds = if plan.quick { 1 } else { plan.rounds.min(ROUNDS_MAX) };
    let runtime = Runtime::new()?;
    let new = |&(contestant, more): &(&'static str, &'static [&'static str])| Measurement::new(contestant, more);
    let mut measurements: Vec<_> = CASES.iter().map(new).collect();
    for round in 0..rounds {
        for measurement in &mut measurements {
            let server = contestants.start_with(measurement.contestant, measurement.more, workload.guest, place)?;
            let result = runtime.block_on(measurement.add_round(&crowd, &server));
            result.context(measurement.contestant)?;
        }
        println!("  round {} of {rounds}", round + 1);
    }
    let mut section = Section::new("idle", workload, place, table(&measurements));
    section.figures = measurements.iter().map(|m| m.as_json(workload, &crowd)).collect();
    section.notes = notes(contestants, &crowd, asked, rounds, &measurements)?;
    Ok(section)
}

impl Measurement {
    fn new(contestant: &'static str, more: &'static [&'static str]) -> Self {
        Self {
            contestant,
            more,
            before: Vec::new(),
            open: Vec::new(),
            after: Vec::new(),
            held: Vec::new(),
            cpu: Vec::new(),
            again: Vec::new(),
            failures: BTreeMap::new(),
        }
    }

    async fn add_round(&mut self, crowd: &Crowd, server: &Server) -> Result<()> {
        // What a server makes once, for its first connection, is not for these.
        timeout(DEADLINE, crowd.one(server.addr())).await??.close().await;
        sleep(crowd.rest).await;
        let before = mebibytes(server)?;
        let crowd_open = crowd.open(server.addr()).await;
        let (begin, cpu_before) = (Instant::now(), server.cpu()?);
        sleep(crowd.rest).await;
        let cpu = server.cpu()?.saturating_sub(cpu_before);
        let idle = begin.elapsed();
        let open = mebibytes(server)?;
        self.again.push(crowd_open.again as f64);
        let held = crowd_open.close().await;
        ensure!(held.open > 0, "no connection was open: {:?}", held.failures);
        sleep(crowd.rest).await;
        self.before.push(before);
        self.open.push(open);
        self.after.push(mebibytes(server)?);
        self.held.push(held.open as f64);
        self.cpu.push(cpu.as_secs_f64() * 1e3 / idle.as_secs_f64());
        for (why, count) in held.failures {
            *self.failures.entry(why).or_default() += count;
        }
        Ok(())
    }

    /// For each that was open.
    fn kib_each(&self) -> Vec<f64> {
        let grown = self.open.iter().zip(&self.before);
        let each = grown.zip(&self.held);
        each.map(|((open, before), held)| (open - before) * 1024.0 / held)
            .collect()
    }

    fn as_json(&self, workload: &Workload, crowd: &Crowd) -> Value {
        json!({
            "workload": workload.name,
            "contestant": self.contestant,
            "flags": self.more,
            "connections": crowd.connections,
            "held": self.held,
            "before_mib": self.before,
            "open_mib": self.open,
            "after_mib": self.after,
            "kib_each": self.kib_each(),
            "idle_cpu_ms_per_second": self.cpu,
            "refused_before": self.again,
            "failures": self.failures,
        })
    }
}

fn table(measurements: &[Measurement]) -> Table {
    let mut table = Table::new(&[
        "contestant",
        "held",
        "KiB for each",
        "against native",
        "MiB before",
        "MiB while open",
        "MiB after",
        "CPU ms for a second of nothing",
    ]);
    let native = measurements.first().map(Measurement::kib_each).unwrap_or_default();
    for measurement in measurements {
        table.row([
            measurement.contestant.to_owned(),
            shown_alone(&measurement.held, 0),
            shown(&measurement.kib_each(), 1),
            shown_ratio(&measurement.kib_each(), &native),
            shown_alone(&measurement.before, 1),
            shown_alone(&measurement.open, 1),
            shown_alone(&measurement.after, 1),
            shown_alone(&measurement.cpu, 1),
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
    let begins = if crowd.is_websocket {
        "one message of 64 bytes there and back"
    } else {
        "an event, and for a minute no other"
    };
    let mut notes = vec![format!(
        "{} connections, {WAVE} more every {} ms, on each of which there is {begins}; rounds: {rounds}, a fresh server\n\
         for each. Who was refused came again after a second. Resident memory (what the kernel keeps for connections is not in it) was read after a first connection was\n\
         closed, {rest} s after the last of these was open, and {rest} s after all were closed.",
        crowd.connections,
        BETWEEN_WAVES.as_millis(),
        rest = crowd.rest.as_secs(),
    )];
    if crowd.connections < asked {
        notes.push(format!(
            "{asked} were meant to be opened, but the system permits no more open files."
        ));
    }
    let mut table = Table::new(&["contestant", "command", "refused at first", "not held"]);
    for measurement in measurements {
        let failures = measurement
            .failures
            .iter()
            .map(|(why, count)| format!("{count} × {why}"));
        let failures: Vec<_> = failures.collect();
        let line = format!("`{}`", contestants.line(measurement.contestant, measurement.more)?);
        table.row([
            measurement.contestant.to_owned(),
            line,
            shown_alone(&measurement.again, 0),
            failures.join(", "),
        ]);
    }
    notes.push(table.to_string());
    Ok(notes)
}

/// Many connections at once.
struct Crowd {
    connections: usize,
    path: &'static str,
    is_websocket: bool,
    rest: Duration,
}

/// A connection on which nothing is to happen any more.
enum Quiet {
    Websocket(Box<WebSocketStream<TcpStream>>),
    Events(TcpStream),
}

/// Connections that were opened.
struct Open {
    tasks: JoinSet<Result<()>>,
    end: watch::Sender<bool>,
    /// How often one of them had been refused before.
    again: usize,
    failures: BTreeMap<String, usize>,
}

/// What became of them.
struct Held {
    open: usize,
    failures: BTreeMap<String, usize>,
}

impl Crowd {
    /// All of them; returns once each is open, or has failed.
    async fn open(&self, addr: SocketAddr) -> Open {
        let mut opening = JoinSet::new();
        for place in 0..self.connections {
            let wave = u32::try_from(place / WAVE).unwrap_or(u32::MAX);
            let (path, is_websocket) = (self.path, self.is_websocket);
            opening.spawn(async move {
                sleep(BETWEEN_WAVES * wave).await;
                let mut again = 0;
                loop {
                    match timeout(DEADLINE, quiet(client(place), addr, path, is_websocket)).await? {
                        Ok(quiet) => return Ok((quiet, again)),
                        Err(error) if again == AGAIN_MAX => return Err(error),
                        Err(_) => again += 1,
                    }
                    sleep(AGAIN).await;
                }
            });
        }
        let (end, ends) = watch::channel(false);
        let (mut tasks, mut failures, mut refused) = (JoinSet::new(), BTreeMap::new(), 0);
        while let Some(opened) = opening.join_next().await {
            match opened.map_err(Into::into).and_then(|opened| opened) {
                Ok((quiet, again)) => {
                    refused += again;
                    tasks.spawn(quiet.hold(ends.clone()));
                }
                Err(error) => *failures.entry(format!("{error:#}")).or_default() += 1,
            }
        }
        Open {
            tasks,
            end,
            again: refused,
            failures,
        }
    }

    async fn one(&self, addr: SocketAddr) -> Result<Quiet> {
        quiet(client(0), addr, self.path, self.is_websocket).await
    }
}

/// The address from which a connection is made. A server takes half of its connections from one at most.
fn client(place: usize) -> IpAddr {
    let nth = u8::try_from(place / CONNECTIONS_PER_CLIENT).unwrap_or(u8::MAX);
    Ipv4Addr::new(127, 0, 1, nth).into()
}

/// Opens one, and waits for what comes first.
async fn quiet(client: IpAddr, addr: SocketAddr, path: &str, is_websocket: bool) -> Result<Quiet> {
    let mut stream = connect_from(client, addr).await?;
    if is_websocket {
        let mut socket = websocket_over(stream, addr, path).await?;
        let message = Message::binary(vec![b'w'; 64]);
        socket.send(message.clone()).await?;
        let answer = socket.next().await.context("closed by the server")??;
        ensure!(answer == message, "a message came back as another");
        return Ok(Quiet::Websocket(Box::new(socket)));
    }
    let request = format!("GET {path} HTTP/1.1\r\nhost: {addr}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut came = Vec::new();
    while !came.windows(EVENT.len()).any(|window| window == EVENT) {
        ensure!(stream.read_buf(&mut came).await? > 0, "closed by the server");
    }
    let came = String::from_utf8_lossy(&came);
    ensure!(came.starts_with("HTTP/1.1 200 "), "answered with {came}");
    Ok(Quiet::Events(stream))
}

impl Quiet {
    /// Until all are to end.
    ///
    /// # Errors
    /// When something happens on it before.
    async fn hold(mut self, mut ends: watch::Receiver<bool>) -> Result<()> {
        tokio::select! {
            _ = ends.wait_for(|&end| end) => {}
            said = self.said() => return said,
        }
        let _ = timeout(DEADLINE, self.close()).await;
        Ok(())
    }

    /// Fails once something comes but what keeps connections alive.
    async fn said(&mut self) -> Result<()> {
        match self {
            Self::Websocket(socket) => loop {
                match socket.next().await.context("closed by the server")?? {
                    // Answered by the library.
                    Message::Ping(_) => {}
                    other => anyhow::bail!("said {other:?}"),
                }
            },
            Self::Events(stream) => {
                let count = stream.read(&mut [0; 64]).await?;
                anyhow::bail!(if count == 0 {
                    "closed by the server"
                } else {
                    "said more"
                });
            }
        }
    }

    async fn close(self) {
        if let Self::Websocket(socket) = self {
            let mut socket = *socket;
            // To the end: who only leaves is lost, not closed.
            let _ = socket.close(None).await;
            while socket.next().await.is_some_and(|came| came.is_ok()) {}
        }
    }
}

impl Open {
    /// Ends all of them; tells how many were open until then.
    async fn close(self) -> Held {
        let Self {
            mut tasks,
            end,
            mut failures,
            again: _,
        } = self;
        // Nobody listens when none is open.
        let _ = end.send(true);
        let mut open = 0;
        while let Some(held) = tasks.join_next().await {
            match held.map_err(Into::into).and_then(|held| held) {
                Ok(()) => open += 1,
                Err(error) => *failures.entry(format!("{error:#}")).or_default() += 1,
            }
        }
        Held { open, failures }
    }
}

fn mebibytes(server: &Server) -> Result<f64> {
    Ok(server.resident_bytes()? as f64 / f64::from(1 << 20))
}
