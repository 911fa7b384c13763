//! The client: `wrk`, which costs little beside what it measures, one thread, every connection with one request at a time.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::measure::Place;
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

/// Has `wrk` print its figures as one line of JSON, after a word by which the line is found.
const REPORT: &str = r#"
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('\nFIGURES {"requests":%d,"us":%d,"p50":%d,"p99":%d,"p999":%d,"failed":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"#;

/// Asks for `workload` for about `duration`.
///
/// # Errors
/// When `wrk` is missing, or a request failed: a server that refuses work is not measured by what it refuses.
pub fn run(workload: &Workload, place: Place, addr: SocketAddr, duration: Duration) -> Result<Outcome> {
    let script = Script::write(workload.ask)?;
    let mut command = on_cores(place.client(), "wrk");
    command
        .args(["--threads", "1", "--timeout", "60s"])
        .args(["--connections", &workload.connections.to_string()])
        .args(["--duration", &format!("{}s", duration.as_secs().max(1))])
        .args(["--latency", "--script"])
        .arg(&script.0)
        .arg(format!("http://{addr}{}", workload.path));
    let output = command
        .output()
        .context("wrk cannot be started; on Debian: apt-get install wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let Some(figures) = text.lines().find_map(|line| line.strip_prefix("FIGURES ")) else {
        bail!(
            "wrk printed no figures: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    let figures: Value = serde_json::from_str(figures).context("wrk printed no JSON")?;
    let number = |name: &str| {
        figures[name]
            .as_u64()
            .with_context(|| format!("no {name} in {figures}"))
    };
    let failed = number("failed")?;
    ensure!(failed == 0, "{failed} requests failed: {figures}");
    Ok(Outcome {
        requests: number("requests")?,
        elapsed: Duration::from_micros(number("us")?),
        p50: number("p50")? as f64,
        p99: number("p99")? as f64,
        p999: number("p999")? as f64,
    })
}

/// `program` on these cores alone, or on any.
pub fn on_cores(cores: Option<&str>, program: impl AsRef<std::ffi::OsStr>) -> Command {
    match cores {
        Some(cores) => {
            let mut command = Command::new("taskset");
            command.args(["--cpu-list", cores]).arg(program);
            command
        }
        None => Command::new(program),
    }
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
