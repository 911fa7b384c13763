//! The client: `wrk`, which costs little beside what it measures: one thread, every connection with one request at a
//! time.

use std::io::Write as _;
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::place::Place;
use crate::workloads::{Ask, Workload};

/// What one run of the client saw.
#[derive(Debug)]
pub struct Outcome {
    pub requests: u64,
    pub elapsed: Duration,
    /// Microseconds.
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
}

/// A client that waits for longer than this counts a failure.
const FLAGS: &[&str] = &["--threads", "1", "--timeout", "60s"];

/// How long a client may go on after it should have ended: `wrk` waits for a request, and starting takes time too.
pub const GRACE: Duration = Duration::from_secs(90);

/// What `timeout` answers with when it had to end the program.
const TIMED_OUT: i32 = 124;

/// The same when there is no such program.
const NOT_FOUND: i32 = 127;

/// Has `wrk` print its figures as one line of JSON, after a word by which the line is found.
const REPORT: &str = r#"
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('\nFIGURES {"requests":%d,"us":%d,"p50":%d,"p99":%d,"p999":%d,"failed":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"#;

/// Asks `url` for `workload` for about `duration`.
///
/// # Errors
/// When `wrk` is missing, or a request failed: a server that refuses work is not measured by what it refuses.
pub fn run(workload: &Workload, place: Place, url: &str, duration: Duration) -> Result<Outcome> {
    let script = Script::write(workload.ask)?;
    let mut command = place.client("wrk", duration + GRACE);
    command
        .args(FLAGS)
        .args(["--connections", &workload.connections.to_string()])
        .args(["--duration", &format!("{}s", seconds(duration))])
        .args(["--latency", "--script"])
        .arg(&script.0)
        .arg(url);
    let text = output(&mut command, "wrk")?;
    let Some(figures) = text.lines().find_map(|line| line.strip_prefix("FIGURES ")) else {
        bail!("wrk printed no figures: {text}");
    };
    let figures: Value = serde_json::from_str(figures).context("wrk printed no JSON")?;
    let number = |name: &str| {
        figures[name]
            .as_u64()
            .with_context(|| format!("no {name} in {figures}"))
    };
    let failed = number("failed")?;
    ensure!(failed == 0, "{failed} requests failed: {figures}");
    ensure!(number("requests")? > 0, "no request was answered");
    Ok(Outcome {
        requests: number("requests")?,
        elapsed: Duration::from_micros(number("us")?),
        p50: number("p50")? as f64,
        p99: number("p99")? as f64,
        p999: number("p999")? as f64,
    })
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
        .output()
        .with_context(|| format!("cannot start `timeout`, which ends {name} in time"))?;
    let Output { status, stdout, stderr } = output;
    ensure!(status.code() != Some(TIMED_OUT), "{name} did not end");
    ensure!(
        status.code() != Some(NOT_FOUND),
        "{name} is not installed; on Debian wrk is `apt-get install wrk`, the rest comes by `cargo xtask bench`"
    );
    ensure!(
        status.success(),
        "{name} failed ({status}): {}",
        String::from_utf8_lossy(&stderr).trim()
    );
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}

/// How it is run, for the report.
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
