//! The clients, each a process of its own, so that it can be given a core. `wrk` asks by HTTP/1.1, with one thread, every
//! connection with one request at a time: it costs little beside what it measures. `h2load` (`client/h2load.rs`) asks by HTTP/2
//! alike. What neither can is asked by this program once more (`own.rs`).

pub mod h2load;

use std::io::Write as _;
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::certificate::Certificate;
use crate::own;
use crate::place::Place;
use crate::server::Server;
use crate::stats::part;
use crate::workloads::{Ask, Workload};

/// What one run of a client saw.
#[derive(Debug, PartialEq)]
pub struct Outcome {
    pub requests: u64,
    pub elapsed: Duration,
    /// Microseconds.
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
}

impl Outcome {
    /// Of how long each answer took, in microseconds.
    pub fn of(mut times: Vec<f64>, elapsed: Duration) -> Self {
        times.sort_by(f64::total_cmp);
        Self {
            requests: times.len() as u64,
            elapsed,
            p50: part(&times, 0.5),
            p99: part(&times, 0.99),
            p999: part(&times, 0.999),
        }
    }

    /// For [`Outcome::read`], with how many requests failed.
    pub fn as_json(&self, failed: u64) -> Value {
        json!({
            "requests": self.requests,
            "us": self.elapsed.as_micros() as u64,
            "p50": self.p50,
            "p99": self.p99,
            "p999": self.p999,
            "failed": failed,
        })
    }

    /// # Errors
    /// When a request failed: a server that refuses work is not measured by what it refuses.
    fn read(figures: &Value) -> Result<Self> {
        let number = |name: &str| {
            let number = figures[name].as_f64();
            number.with_context(|| format!("no {name} in {figures}"))
        };
        ensure!(number("failed")? == 0.0, "requests failed: {figures}");
        let requests = figures["requests"].as_u64().filter(|&requests| requests > 0);
        Ok(Self {
            requests: requests.context("no request was answered")?,
            elapsed: Duration::from_secs_f64(number("us")? / 1e6),
            p50: number("p50")?,
            p99: number("p99")?,
            p999: number("p999")?,
        })
    }
}

/// A client that waits for longer than this counts a failure.
const FLAGS: &[&str] = &["--threads", "1", "--timeout", "60s"];

/// How long a client may go on after it should have ended: `wrk` waits for a request, and starting takes time too.
pub const GRACE: Duration = Duration::from_secs(90);

/// What `timeout` answers with when it had to end the program.
const TIMED_OUT: i32 = 124;

/// The same when there is no such program.
const NOT_FOUND: i32 = 127;

/// Before the figures of a client in what it prints.
pub const FIGURES: &str = "FIGURES ";

/// Has `wrk` print its figures as one line of JSON, after a word by which the line is found.
const REPORT: &str = r#"
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('\nFIGURES {"requests":%d,"us":%d,"p50":%d,"p99":%d,"p999":%d,"failed":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"#;

/// Asks `server` for `path` as `workload` says, for about `duration`.
///
/// # Errors
/// When the client is missing, or a request failed.
pub fn run(
    workload: &Workload,
    place: Place,
    server: &Server,
    path: &str,
    certificate: &Certificate,
    duration: Duration,
) -> Result<Outcome> {
    let url = format!("{}://{}{path}", workload.wire.scheme(), server.addr());
    match workload.ask {
        Ask::Get if workload.wire.is_http2() => h2load::run(workload, place, &url, duration),
        Ask::Get | Ask::Post(_) => wrk(workload, place, &url, duration),
        _ => {
            let asks = own::Asks {
                what: workload.ask,
                addr: server.addr(),
                path: path.to_owned(),
                connections: workload.connections,
                duration,
                certificate: certificate.file.clone(),
            };
            let mut command = place.client(std::env::current_exe()?, duration + GRACE);
            figures(&output(command.arg(own::COMMAND).args(asks.args()), "the client")?)
        }
    }
}

fn wrk(workload: &Workload, place: Place, url: &str, duration: Duration) -> Result<Outcome> {
    let script = Script::write(workload.ask)?;
    let mut command = place.client("wrk", duration + GRACE);
    command
        .args(FLAGS)
        .args(["--connections", &workload.connections.to_string()])
        .args(["--duration", &format!("{}s", seconds(duration))])
        .args(["--latency", "--script"])
        .arg(&script.0)
        .arg(url);
    figures(&output(&mut command, "wrk")?)
}

/// What a client printed behind [`FIGURES`].
fn figures(printed: &str) -> Result<Outcome> {
    let Some(figures) = printed.lines().find_map(|line| line.strip_prefix(FIGURES)) else {
        bail!("the client printed no figures: {printed}");
    };
    Outcome::read(&serde_json::from_str(figures).context("the client printed no JSON")?)
}

/// It takes no less than one.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs().max(1)
}

/// What a client printed.
///
/// # Errors
/// When it is missing, failed, or was ended at its deadline.
pub fn output(command: &mut Command, name: &str) -> Result<String> {
    let output = command
        // What fails here is told in a line.
        .env_remove("RUST_BACKTRACE")
        .output()
        .with_context(|| format!("cannot start `timeout`, which ends {name} in time"))?;
    let Output { status, stdout, stderr } = output;
    ensure!(status.code() != Some(TIMED_OUT), "{name} did not end");
    ensure!(
        status.code() != Some(NOT_FOUND),
        "{name} is not installed; on Debian wrk is `apt-get install wrk`, h2load `apt-get install nghttp2-client`, the rest \
         comes by `cargo xtask bench`"
    );
    ensure!(
        status.success(),
        "{name} failed ({status}): {}",
        String::from_utf8_lossy(&stderr).trim()
    );
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}

/// How `wrk` is run, for the report.
pub fn line(duration: Duration) -> String {
    format!(
        "wrk {} --connections N --duration {}s --latency URL",
        FLAGS.join(" "),
        seconds(duration)
    )
}

/// What `wrk` says it is: it has no flag for that alone.
pub fn version() -> String {
    let output = Command::new("wrk").arg("-v").output();
    let text = output.map_or_else(|_| Vec::new(), |output| [output.stdout, output.stderr].concat());
    let text = String::from_utf8_lossy(&text).into_owned();
    let words = text.split(" [").next().unwrap_or_default();
    words.trim().to_owned()
}

/// A script for `wrk`, deleted when it is dropped.
struct Script(std::path::PathBuf);

impl Script {
    fn write(ask: Ask) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("wharf-bench-{}.lua", std::process::id()));
        let mut file = std::fs::File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        if let Ask::Post(bytes) = ask {
            writeln!(file, "wrk.method = 'POST'\nwrk.body = string.rep('w', {bytes})")?;
        }
        file.write_all(REPORT.as_bytes())?;
        Ok(Self(path))
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_saw_survives_its_output() {
        let times = (1..=1000).rev().map(f64::from).collect();
        let outcome = Outcome::of(times, Duration::from_millis(1500));
        assert_eq!((outcome.requests, outcome.p50), (1000, 500.0));
        assert_eq!((outcome.p99, outcome.p999), (990.0, 999.0));
        let printed = |failed| format!("one\n{FIGURES}{}\nmore", outcome.as_json(failed));
        assert_eq!(figures(&printed(0)).expect("nothing failed"), outcome);
        let cases = [
            ("a request failed", printed(1)),
            ("no answer", printed(0).replace("1000", "0")),
            ("no figures", String::new()),
        ];
        for (case, printed) in cases {
            assert!(figures(&printed).is_err(), "{case}");
        }
    }
}
