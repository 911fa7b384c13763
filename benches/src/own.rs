//! This program once more as a client, for what `wrk` and `h2load` cannot do: WebSockets, a connection for each request,
//! and bodies whose pieces are timed. On one thread, as those are.

mod chunks;
mod connections;
mod websocket;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::task::{JoinSet, LocalSet};

use crate::client::{FIGURES, Outcome};
use crate::workloads::{Ask, Session};

/// The first argument of this program when it is to be this client.
pub const COMMAND: &str = "client";

/// What is asked.
#[derive(Debug, PartialEq)]
pub struct Asks {
    pub what: Ask,
    pub addr: SocketAddr,
    pub path: String,
    pub connections: usize,
    pub duration: Duration,
    /// The file of the certificate to trust, for TLS.
    pub certificate: PathBuf,
}

impl Asks {
    /// For [`main`].
    pub fn args(&self) -> [String; 6] {
        [
            word(self.what),
            self.addr.to_string(),
            self.path.clone(),
            self.connections.to_string(),
            self.duration.as_millis().to_string(),
            self.certificate.display().to_string(),
        ]
    }

    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self> {
        let mut next = |name| args.next().with_context(|| format!("no {name}"));
        Ok(Self {
            what: ask(&next("word")?)?,
            addr: next("address")?.parse()?,
            path: next("path")?,
            connections: next("number of connections")?.parse()?,
            duration: Duration::from_millis(next("time")?.parse()?),
            certificate: next("certificate")?.into(),
        })
    }
}

fn word(what: Ask) -> String {
    match what {
        Ask::Messages(under_way) => format!("messages-{under_way}"),
        Ask::Connection(Session::Plain) => "plain".into(),
        Ask::Connection(Session::New) => "new".into(),
        Ask::Connection(Session::Resumed) => "resumed".into(),
        Ask::Turns => "turns".into(),
        Ask::Times => "times".into(),
        Ask::Get | Ask::Post(_) => "what others ask".into(),
    }
}

fn ask(word: &str) -> Result<Ask> {
    Ok(match word {
        "plain" => Ask::Connection(Session::Plain),
        "new" => Ask::Connection(Session::New),
        "resumed" => Ask::Connection(Session::Resumed),
        "turns" => Ask::Turns,
        "times" => Ask::Times,
        _ => match word.strip_prefix("messages-") {
            Some(under_way) => Ask::Messages(under_way.parse()?),
            None => bail!("nobody knows how to ask for {word}"),
        },
    })
}

/// Asks as `args` say ([`Asks::args`]), and prints the figures. Whatever fails ends it: a server that refuses work is not measured by
/// what it refuses.
pub fn main(args: impl Iterator<Item = String>) -> Result<()> {
    let asks = Asks::parse(args)?;
    let outcome = match asks.what {
        Ask::Messages(under_way) => in_tasks(websocket::run(&asks, under_way)),
        Ask::Connection(session) => in_tasks(connections::run(&asks, session)),
        Ask::Turns => chunks::turns(&asks),
        Ask::Times => chunks::times(&asks),
        Ask::Get | Ask::Post(_) => bail!("others ask for that"),
    }?;
    println!("{FIGURES}{}", outcome.as_json(0));
    Ok(())
}

fn in_tasks(work: impl Future<Output = Result<Outcome>>) -> Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, work)
}

/// What the tasks of all connections saw from `begin` on: microseconds.
async fn gather(mut tasks: JoinSet<Result<Vec<f64>>>, begin: Instant, duration: Duration) -> Result<Outcome> {
    let mut times = Vec::new();
    while let Some(joined) = tasks.join_next().await {
        times.extend(joined??);
    }
    // A request that was the last of its connection may have ended later.
    Ok(Outcome::of(times, begin.elapsed().min(duration)))
}

fn microseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_survives_the_command_line() {
        let sessions = [Session::Plain, Session::New, Session::Resumed];
        let asked = sessions.map(Ask::Connection).into_iter();
        for what in asked.chain([Ask::Messages(16), Ask::Turns, Ask::Times]) {
            let asks = Asks {
                what,
                addr: SocketAddr::from(([127, 0, 0, 1], 80)),
                path: "/echo".into(),
                connections: 64,
                duration: Duration::from_secs(3),
                certificate: "certificate.pem".into(),
            };
            assert_eq!(Asks::parse(asks.args().into_iter()).expect("it is whole"), asks);
        }
        assert!(ask("no such").is_err());
    }
}
