//! What those who run a server see of it: its metrics and its log.

use std::net::SocketAddr;

use wharf_tests::http::get;
use wharf_tests::{Server, eventually};

/// Opens the admin listener on a free port.
pub const ADMIN: [&str; 2] = ["--admin", "127.0.0.1:0"];

/// Where the admin listener of a server is that was started with [`ADMIN`], from its log.
pub fn admin(server: &Server) -> SocketAddr {
    let find = || {
        let log = server.log();
        let line = log
            .lines()
            .find_map(|line| line.strip_prefix("wharf: metrics at http://"))?;
        line.strip_suffix("/metrics")?.parse().ok()
    };
    eventually(|| find().is_some(), "it says where");
    find().expect("it was found a moment ago")
}

/// The value of a metric, by its name with its labels.
pub fn metric(admin: SocketAddr, name: &str) -> Option<f64> {
    let metrics = get(admin, "/metrics");
    assert_eq!(metrics.status, 200);
    let line = metrics
        .text()
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
    line.and_then(|value| value.parse().ok())
}

/// How often a limit was reached, by whichever app or none.
pub fn reached(admin: SocketAddr, limit: &str) -> f64 {
    let metrics = get(admin, "/metrics");
    assert_eq!(metrics.status, 200);
    let (text, label) = (metrics.text(), format!(",limit=\"{limit}\"}}"));
    let of_limit = text.lines().filter_map(|line| {
        let (labels, value) = line.strip_prefix("wharf_limits_reached_total{app=")?.split_once(' ')?;
        labels
            .ends_with(&label)
            .then(|| value.parse::<f64>().expect("a number"))
    });
    let counts: Vec<f64> = of_limit.collect();
    assert!(!counts.is_empty(), "{limit} is not counted");
    counts.into_iter().sum()
}

/// How often `app` has reached a limit; a limit of the server's has no app, which is an empty name.
pub fn reached_by(admin: SocketAddr, app: &str, limit: &str) -> Option<f64> {
    let name = format!("wharf_limits_reached_total{{app=\"{app}\",limit=\"{limit}\"}}");
    metric(admin, &name)
}
