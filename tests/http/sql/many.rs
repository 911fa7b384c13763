//! Much of everything: rows, and clients that leave.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use wharf_tests::eventually;

use super::{ENGINES, Engine, request};
use crate::axes::Isolation;

const MIB: u64 = 1 << 20;

/// How many rows stream through the guest. The tests run an unoptimised program: optimised, ten times as many take as long.
const ROWS: u64 = 200_000;

/// A result larger than anything that is kept of it. Read to its end, memory stays what it was; and what is never read
/// is never produced.
#[test]
fn results_of_any_size_take_no_memory() {
    for engine in ENGINES {
        let Some(site) = engine.serve("") else { continue };
        let count = |rows: u64| site.ask(&format!("count {}", engine.rows(rows)));
        assert_eq!(count(20_000), "counted 20000\nend", "{engine:?}");
        let before = site.server.resident_bytes();
        assert_eq!(count(ROWS), format!("counted {ROWS}\nend"), "{engine:?}");
        let grown = site.server.resident_bytes().saturating_sub(before);
        assert!(grown < 16 * MIB, "{engine:?}: {} MiB more", grown / MIB);
        // 40 GB, of which the guest wants two rows.
        let answer = site.ask(&format!("first 2 {}", engine.rows(1_000_000_000)));
        assert!(answer.ends_with("cancelled"), "{engine:?}: {answer}");
        let grown = site.server.resident_bytes().saturating_sub(before);
        assert!(grown < 16 * MIB, "{engine:?}: {} MiB more", grown / MIB);
        site.rest();
    }
}

/// Ten thousand clients that leave while their statement runs: afterwards there are as many connections as before, and
/// they work.
#[test]
fn ten_thousand_cancelled_requests_leave_nothing() {
    for engine in ENGINES {
        let Some(site) = engine.serve_with(&[], "connections = 4", Isolation::Serial) else {
            continue;
        };
        assert!(site.ask("count SELECT 1").ends_with("end"));
        let request = request(&format!("query {}", engine.silent()));
        // How many of them begin before their clients leave depends on how fast all is. This one does.
        let mut first = TcpStream::connect(site.server.addr()).expect("it listens");
        first.write_all(request.as_bytes()).expect("it reads");
        eventually(|| site.metric("connections_used", "") == 1.0, "a statement to run");
        drop(first);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for nth in 0..1250 {
                        let mut stream = TcpStream::connect(site.server.addr()).expect("it listens");
                        stream.write_all(request.as_bytes()).expect("it reads");
                        // Some leave at once, some in the middle.
                        std::thread::sleep(Duration::from_millis(nth % 8));
                    }
                });
            }
        });
        let is_at_rest = || site.metric("connections_used", "") == 0.0 && site.metric("calls_waiting", "") == 0.0;
        eventually(is_at_rest, "all to be cancelled");
        site.rest();
        assert!(site.metric("connections_open", "") <= 5.0, "{engine:?}");
        if let Engine::Server(_) = engine {
            // Connections that were closed in the middle end when the server sees it.
            let few = || site.database().connections() <= 5;
            eventually(few, "the server to see that connections are closed");
        }
        let cancelled = site.metric("statements_total", "outcome=\"cancelled\"");
        assert!(cancelled >= 1.0, "{engine:?}: {cancelled}");
        assert!(site.ask("count SELECT 1").ends_with("end"), "{engine:?}");
    }
}
