//! `h2load`, for HTTP/2. It tells the mean time of a request and no more, so it is had to log the time of each.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{GRACE, Outcome, output, seconds};
use crate::place::Place;
use crate::workloads::Workload;

/// One thread, as `wrk` has.
const FLAGS: &[&str] = &["--threads", "1"];

/// Asks `url` for `workload` for about `duration`.
pub fn run(workload: &Workload, place: Place, url: &str, duration: Duration) -> Result<Outcome> {
    let log = Log(std::env::temp_dir().join(format!("wharf-bench-{}.log", std::process::id())));
    // What is there it would add to.
    log.remove();
    let mut command = place.client("h2load", duration + GRACE);
    command.args(FLAGS).args(flags(workload, duration));
    command.arg("--log-file").arg(&log.0).arg(url);
    let printed = output(&mut command, "h2load")?;
    ensure_none_failed(&printed)?;
    Ok(Outcome::of(times(&log.0)?, Duration::from_secs(seconds(duration))))
}

fn flags(workload: &Workload, duration: Duration) -> [String; 6] {
    [
        "--clients".into(),
        workload.connections.to_string(),
        "--max-concurrent-streams".into(),
        workload.streams.to_string(),
        "--duration".into(),
        seconds(duration).to_string(),
    ]
}

/// How it is run, for the report.
pub fn line(workload: &Workload, duration: Duration) -> String {
    let flags = flags(workload, duration).join(" ");
    format!("h2load {} {flags} --log-file FILE URL", FLAGS.join(" "))
}

/// What it says it is.
pub fn version() -> String {
    let output = Command::new("h2load").arg("--version").output();
    let output = output.map_or_else(|_| Vec::new(), |output| output.stdout);
    String::from_utf8_lossy(&output).trim().to_owned()
}

/// Requests that were under way when the time was over are not among those that failed.
fn ensure_none_failed(printed: &str) -> Result<()> {
    let requests = printed.lines().find_map(|line| line.strip_prefix("requests: "));
    let requests = requests.with_context(|| format!("h2load printed no figures: {printed}"))?;
    let statuses = printed.lines().find_map(|line| line.strip_prefix("status codes: "));
    let statuses = statuses.unwrap_or_default();
    let is_zero = |text: &str, what: &str| {
        let mut counts = text.split(", ").filter_map(|count| count.trim().split_once(' '));
        counts.any(|(count, name)| name == what && count == "0")
    };
    let none_failed = ["failed", "errored", "timeout"]
        .iter()
        .all(|what| is_zero(requests, what));
    let all_ok = ["3xx", "4xx", "5xx"].iter().all(|what| is_zero(statuses, what));
    ensure!(none_failed && all_ok, "requests failed: {requests}; {statuses}");
    Ok(())
}

/// How long each request took, in microseconds: the third of the fields of its line (when it began, status, time).
fn times(log: &Path) -> Result<Vec<f64>> {
    let text = std::fs::read_to_string(log).context("h2load wrote no log")?;
    let time = |line: &str| line.split('\t').nth(2)?.parse().ok();
    let times: Vec<f64> = text.lines().filter_map(time).collect();
    ensure!(!times.is_empty(), "no request was answered");
    Ok(times)
}

/// Deleted when it is dropped.
struct Log(PathBuf);

impl Log {
    fn remove(&self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_found() {
        let printed = "finished in 1.01s, 1.00 req/s, 1.02MB/s\n\
            requests: 2 total, 3 started, 2 done, 2 succeeded, 0 failed, 0 errored, 0 timeout\n\
            status codes: 2 2xx, 0 3xx, 0 4xx, 0 5xx\n";
        ensure_none_failed(printed).expect("none failed");
        let cases = [
            ("0 failed", "10 failed"),
            ("0 errored", "1 errored"),
            ("0 timeout", "1 timeout"),
            ("0 5xx", "2 5xx"),
            ("requests: ", "nothing: "),
        ];
        for (from, to) in cases {
            assert!(ensure_none_failed(&printed.replace(from, to)).is_err(), "{to}");
        }
    }

    #[test]
    fn times_are_read() {
        let log = Log(std::env::temp_dir().join(format!("wharf-bench-test-{}.log", std::process::id())));
        std::fs::write(&log.0, "1795393130558547\t200\t7023\n1795393130558614\t200\t6994\n").expect("a file");
        assert_eq!(times(&log.0).expect("times"), [7023.0, 6994.0]);
    }
}
