//! A bar for each contestant under each workload: its throughput as a part of the native server's.

use std::fmt::Write as _;

use crate::place::Place;
use crate::stats::ratio;
use crate::throughput::Measurement;

const LEFT: usize = 150;
const WIDTH: usize = 620;
const BAR: usize = 16;
const GAP: usize = 14;

/// The workloads on one core, as SVG.
pub fn throughput(measurements: &[Measurement]) -> String {
    let mut body = String::new();
    let mut top = 40;
    let on_one_core = measurements
        .iter()
        .filter(|measurement| measurement.place == Place::OneCore);
    let on_one_core: Vec<_> = on_one_core.collect();
    for group in on_one_core.chunk_by(|a, b| a.workload == b.workload) {
        let Some(ceiling) = group.first() else { continue };
        // Writing to a string cannot fail.
        let _ = writeln!(
            body,
            r#"<text x="10" y="{}" font-weight="bold">{}</text>"#,
            top, ceiling.workload
        );
        top += 8;
        for measurement in group {
            let part = ratio(&measurement.rate, &ceiling.rate).0;
            let length = (part.min(1.2) / 1.2 * WIDTH as f64).round();
            let _ = writeln!(
                body,
                r#"<text x="{}" y="{}" text-anchor="end">{}</text><rect x="{LEFT}" y="{top}" width="{length}" height="{}" fill="{}"/><text x="{}" y="{}">{part:.2}</text>"#,
                LEFT - 6,
                top + 12,
                measurement.contestant,
                BAR - 2,
                color(measurement.contestant),
                LEFT as f64 + length + 6.0,
                top + 12,
            );
            top += BAR;
        }
        top += GAP + 14;
    }
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{}" height="{top}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#fff"/>
<text x="10" y="18">Requests per second as a part of the native server's, one core for server and client</text>
{body}</svg>
"##,
        LEFT + WIDTH + 60
    )
}

fn color(contestant: &str) -> &'static str {
    match contestant.split(' ').next() {
        Some("wharf") => "#1f6f8b",
        Some("native") => "#bbbbbb",
        _ => "#d98e3f",
    }
}
