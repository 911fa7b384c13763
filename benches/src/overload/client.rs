//! A client that asks whether or not it is answered: this program once more, in a process of its own, so that it can be
//! given a core.
//!
//! `wrk` never asks while it waits, and `oha` takes a server that refuses for one that fails. Here requests are due at fixed
//! times. Whatever is due is written at once, on a connection that has no request; each connection has a task that reads
//! its answers, so that a request costs no task, no timer and no channel. It says what came of it all in a line of JSON.

mod answer;
mod tally;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;
use tokio::task::LocalSet;

use answer::{Answer, Reader};
use tally::Tally;

/// The first argument of this program when it is to be this client.
pub const COMMAND: &str = "ask";

/// How often it is looked what is due: a request is later by less than this, and a thread that wakes so often costs a core
/// some percent.
const PULSE: Duration = Duration::from_micros(500);

/// A client with one request at a time that was refused asks again after so long: refusing it over and over would take what
/// is to be measured.
const PAUSE: Duration = Duration::from_millis(200);

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Asks {
    pub addr: SocketAddr,
    pub path: String,
    /// Requests a second; without it, each connection asks again when it is answered.
    pub per_second: Option<f64>,
    /// Connections there may be.
    pub connections: usize,
    /// Asked before anything is counted.
    pub warm: Duration,
    /// Counted.
    pub counted: Duration,
}

impl Asks {
    /// For [`main`].
    pub fn args(&self) -> [String; 6] {
        [
            self.addr.to_string(),
            self.path.clone(),
            self.per_second.unwrap_or(0.0).to_string(),
            self.connections.to_string(),
            self.warm.as_millis().to_string(),
            self.counted.as_millis().to_string(),
        ]
    }

    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self> {
        let mut next = |name| args.next().with_context(|| format!("no {name}"));
        let milliseconds = |text: String| text.parse().map(Duration::from_millis);
        Ok(Self {
            addr: next("address")?.parse()?,
            path: next("path")?,
            per_second: Some(next("rate")?.parse()?).filter(|&rate| rate > 0.0),
            connections: next("number of connections")?.parse()?,
            warm: milliseconds(next("time before counting")?)?,
            counted: milliseconds(next("time")?)?,
        })
    }

    fn request(&self) -> Vec<u8> {
        format!("GET {} HTTP/1.1\r\nhost: {}\r\n\r\n", self.path, self.addr).into_bytes()
    }
}

/// Asks as `args` say ([`Asks::args`]), and prints the figures.
pub fn main(args: impl Iterator<Item = String>) -> Result<()> {
    let asks = Asks::parse(args)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let from = Instant::now() + asks.warm;
    let pool = Rc::new(Pool {
        addr: asks.addr,
        request: asks.request(),
        connections_max: asks.connections,
        connections: Cell::new(0),
        free: RefCell::default(),
        under_way: Cell::new(0),
        tally: RefCell::new(Tally::new(from, from + asks.counted)),
    });
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, async {
        match asks.per_second {
            Some(rate) => pool.ask_at(rate).await,
            None => pool.ask_again(from + asks.counted).await,
        }
    });
    println!("{}", pool.tally.borrow().as_json(pool.under_way.get()));
    Ok(())
}

/// All connections.
struct Pool {
    addr: SocketAddr,
    request: Vec<u8>,
    connections_max: usize,
    /// Those there are, and those that are being made.
    connections: Cell<usize>,
    /// Those without a request; the one used last is used first.
    free: RefCell<Vec<Rc<Line>>>,
    /// Requests that are not answered.
    under_way: Cell<usize>,
    tally: RefCell<Tally>,
}

/// One connection, as who writes to it sees it.
struct Line {
    write: OwnedWriteHalf,
    /// When the request was due that is under way.
    due: Cell<Option<Instant>>,
    /// It has ended.
    gone: Cell<bool>,
}

impl Pool {
    /// So many a second, until the time is over.
    async fn ask_at(self: &Rc<Self>, per_second: f64) {
        let (begin, mut asked) = (Instant::now(), 0_u64);
        let (pulse, end) = (Pulse::start(), self.tally.borrow().to);
        loop {
            pulse.beats.notified().await;
            let now = Instant::now();
            loop {
                let due = begin + Duration::from_secs_f64(asked as f64 / per_second);
                if due >= end {
                    return self.finish(end).await;
                }
                if due > now {
                    break;
                }
                asked += 1;
                self.ask(due, now);
            }
        }
    }

    /// What is answered until then counts.
    async fn finish(&self, end: Instant) {
        tokio::time::sleep_until(end.into()).await;
    }

    /// Each connection once more when it is answered, until `end`.
    async fn ask_again(self: &Rc<Self>, end: Instant) {
        for _ in 0..self.connections_max {
            let pool = self.clone();
            tokio::task::spawn_local(async move {
                while Instant::now() < end {
                    pool.ask_by_turns().await;
                    // Refused, or the connection ended.
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
        self.finish(end).await;
    }

    /// One request at a time, until one is not answered with 200.
    async fn ask_by_turns(&self) {
        let Ok((mut reader, write)) = self.connect().await else {
            return self.tally.borrow_mut().failed("no connection");
        };
        loop {
            let due = Instant::now();
            let asked = write_all(&write, &self.request);
            let answer = match asked {
                Ok(()) => reader.answer().await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(answer) => {
                    self.tally.borrow_mut().answered(&answer, due, Instant::now());
                    if answer.status != 200 || answer.closes {
                        return;
                    }
                }
                Err(error) => return self.tally.borrow_mut().failed(&said(&error)),
            }
        }
    }

    /// A request is due.
    fn ask(self: &Rc<Self>, due: Instant, now: Instant) {
        self.tally.borrow_mut().asked(due, now);
        while let Some(line) = self.free() {
            if !line.gone.get() {
                self.under_way.set(self.under_way.get() + 1);
                line.due.set(Some(due));
                return self.write(&line);
            }
        }
        if self.connections.get() >= self.connections_max {
            return self.tally.borrow_mut().not_sent(due);
        }
        self.under_way.set(self.under_way.get() + 1);
        self.connections.set(self.connections.get() + 1);
        let pool = self.clone();
        tokio::task::spawn_local(async move {
            pool.carry(due).await;
            pool.connections.set(pool.connections.get() - 1);
        });
    }

    fn free(&self) -> Option<Rc<Line>> {
        self.free.borrow_mut().pop()
    }

    /// Where that fails, who reads the connection ends it.
    fn write(&self, line: &Line) {
        if let Err(error) = write_all(&line.write, &self.request) {
            self.lost(line, &error);
            line.gone.set(true);
        }
    }

    fn lost(&self, line: &Line, error: &io::Error) {
        if line.due.take().is_some() {
            self.under_way.set(self.under_way.get() - 1);
            self.tally.borrow_mut().failed(&said(error));
        }
    }

    /// One connection, which was opened for a request that was due then, until it ends.
    async fn carry(&self, due: Instant) {
        let Ok((mut reader, write)) = self.connect().await else {
            self.under_way.set(self.under_way.get() - 1);
            return self.tally.borrow_mut().failed("no connection");
        };
        let line = Rc::new(Line {
            write,
            due: Cell::new(Some(due)),
            gone: Cell::new(false),
        });
        self.write(&line);
        while !line.gone.get() {
            match reader.answer().await {
                Ok(answer) => self.take(&line, &answer),
                Err(error) => {
                    self.lost(&line, &error);
                    line.gone.set(true);
                }
            }
        }
    }

    fn take(&self, line: &Rc<Line>, answer: &Answer) {
        let Some(due) = line.due.take() else {
            line.gone.set(true);
            return self.tally.borrow_mut().failed("an answer that nobody asked for");
        };
        self.under_way.set(self.under_way.get() - 1);
        self.tally.borrow_mut().answered(answer, due, Instant::now());
        if answer.closes {
            line.gone.set(true);
        } else {
            self.free.borrow_mut().push(line.clone());
        }
    }

    async fn connect(&self) -> io::Result<(Reader<OwnedReadHalf>, OwnedWriteHalf)> {
        let stream = TcpStream::connect(self.addr).await?;
        stream.set_nodelay(true)?;
        let (read, write) = stream.into_split();
        Ok((Reader::new(read), write))
    }
}

/// A request is far smaller than what the kernel takes at once.
fn write_all(write: &OwnedWriteHalf, request: &[u8]) -> io::Result<()> {
    match write.try_write(request)? {
        written if written == request.len() => Ok(()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}

fn said(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "closed without an answer".into(),
        kind => kind.to_string(),
    }
}

/// Tells the time in shorter steps than the runtime, whose timers know milliseconds.
struct Pulse {
    beats: Arc<Notify>,
    stopped: Arc<AtomicBool>,
}

impl Pulse {
    fn start() -> Self {
        let pulse = Self {
            beats: Arc::default(),
            stopped: Arc::default(),
        };
        let (beats, stopped) = (pulse.beats.clone(), pulse.stopped.clone());
        std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                std::thread::sleep(PULSE);
                beats.notify_one();
            }
        });
        pulse
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_survives_the_command_line() {
        for per_second in [None, Some(1234.5)] {
            let asks = Asks {
                addr: SocketAddr::from(([127, 0, 0, 1], 80)),
                path: "/timer/20".into(),
                per_second,
                connections: 64,
                warm: Duration::from_millis(500),
                counted: Duration::from_secs(10),
            };
            assert_eq!(Asks::parse(asks.args().into_iter()).expect("it is whole"), asks);
        }
    }
}
