//! Much of everything: rows, and clients that leave.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use wharf_tests::http::{Connection, post};
use wharf_tests::{Brand, eventually};

use super::{ENGINES, Engine, Site, request};

const MIB: u64 = 1 << 20;

/// How many rows stream through the guest.
const ROWS: u64 = 1_000_000;

/// A result larger than anything that is kept of it. Read to its end, memory stays what it was; and what is never read
/// is never produced.
#[test]
fn results_of_any_size_take_no_memory() {
    for engine in ENGINES {
        let Some(site) = engine.serve("") else { continue };
        let count = |rows: u64| site.ask(&format!("count {}", engine.rows(rows)));
        assert_eq!(count(20_000), "counted 20000\nend", "{engine:?}");
        let before = site.server.resident_bytes();
        let begun = Instant::now();
        assert_eq!(count(ROWS), format!("counted {ROWS}\nend"), "{engine:?}");
        let took = begun.elapsed();
        let grown = site.server.resident_bytes().saturating_sub(before);
        // For the documentation, which says how to see it.
        println!("{engine:?}: {ROWS} rows in {took:.1?}, {} KiB more", grown >> 10);
        assert!(grown < 16 * MIB, "{engine:?}: {} MiB more", grown / MIB);
        // 40 GB, of which the guest wants two rows.
        let answer = site.ask(&format!("first 2 {}", engine.rows(1_000_000_000)));
        assert!(answer.ends_with("cancelled"), "{engine:?}: {answer}");
        let grown = site.server.resident_bytes().saturating_sub(before);
        assert!(grown < 16 * MIB, "{engine:?}: {} MiB more", grown / MIB);
        site.rest();
    }
}

/// How many statements are cancelled.
const CANCELLED: f64 = 10_000.0;

/// How many clients stay.
const STAY: usize = 2;

#[test]
fn ten_thousand_cancelled_requests_of_sqlite() {
    check_who_leaves_and_who_stays(Engine::Sqlite);
}

#[test]
fn ten_thousand_cancelled_requests_of_postgres() {
    check_who_leaves_and_who_stays(Engine::Server(Brand::Postgres));
}

#[test]
fn ten_thousand_cancelled_requests_of_mariadb() {
    check_who_leaves_and_who_stays(Engine::Server(Brand::Mariadb));
}

/// Ten thousand clients leave while their statement runs, some of them in transactions. Those who stay beside them, on the same
/// connections, are answered as if nobody left; and afterwards there are as many connections as before, and they work.
fn check_who_leaves_and_who_stays(engine: Engine) {
    // As many leave at a time. SQLite's statements work all the while.
    let connections = if engine == Engine::Sqlite { 4 } else { 20 };
    let Some(site) = engine.serve(&format!("connections = {connections}\nidle-time = '5h'")) else {
        return;
    };
    let mut holder = Connection::open(site.server.addr());
    if engine == Engine::Server(Brand::Mariadb) {
        holder.send(request("begin\nquery SELECT GET_LOCK('gate', 0)\nsleep 18000000"));
        let is_held = || site.database().sql("SELECT IS_USED_LOCK('gate') IS NOT NULL") == "1";
        eventually(is_held, "the lock to be held that others wait for");
    }
    assert_eq!(site.ask("execute CREATE TABLE kept (a INTEGER)"), "changed 0");
    let cancelled = || site.metric("statements_total", "outcome=\"cancelled\"");
    let have_left = AtomicBool::new(false);
    let kept = std::thread::scope(|scope| {
        let who_stay: Vec<_> = (0..STAY).map(|_| scope.spawn(|| stay(&site, &have_left))).collect();
        // Who leaves a moment before the statement does begin is not counted.
        while cancelled() < CANCELLED && !who_stay.iter().any(ScopedJoinHandle::is_finished) {
            leave(&site, connections);
        }
        have_left.store(true, Ordering::Relaxed);
        let kept = who_stay
            .into_iter()
            .map(|stays| stays.join().expect("it is answered right"));
        kept.sum::<usize>()
    });
    drop(holder);
    let is_at_rest = || site.metric("connections_used", "") == 0.0 && site.metric("calls_waiting", "") == 0.0;
    eventually(is_at_rest, "all to be cancelled");
    site.rest();
    assert!(kept >= 10 * STAY, "{engine:?}: {kept}");
    assert_eq!(
        site.ask("count SELECT a FROM kept"),
        format!("counted {kept}\nend"),
        "{engine:?}"
    );
    // SQLite has one more, which writes.
    assert!(
        site.metric("connections_open", "") <= connections as f64 + 1.0,
        "{engine:?}"
    );
    if let Engine::Server(_) = engine {
        // Connections that were closed in the middle end when the server sees it.
        let few = || site.database().connections() <= connections;
        eventually(few, "the server to see that connections are closed");
    }
}

/// `count` clients ask and leave, when the statements of all of them run, but where somebody who stays has the connection.
fn leave(site: &Site, count: usize) {
    let silent = match site.engine {
        // Of those that sleep there one wakes at a time.
        Engine::Server(Brand::Mariadb) => "SELECT GET_LOCK('gate', 18000)",
        engine => engine.silent(),
    };
    let scripts = [
        format!("query {silent}"),
        format!("begin repeatable-read read-only\nquery {silent}"),
    ];
    let ask = |nth: usize| {
        let mut stream = TcpStream::connect(site.server.addr()).expect("it listens");
        let request = request(&scripts[nth % scripts.len()]);
        stream.write_all(request.as_bytes()).expect("it reads");
        stream
    };
    let clients: Vec<_> = (0..count).map(ask).collect();
    let running = || match site.engine {
        Engine::Sqlite => site.metric("connections_used", "") as usize,
        Engine::Server(_) => site.database().running_with(silent),
    };
    // One may be the holder of the lock.
    eventually(|| running() >= count - STAY - 1, "statements to run");
    if site.engine == Engine::Sqlite {
        // A connection is used a moment before the statement runs.
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(clients);
}

/// Clients that stay, for a statement that takes its time, alone and in a transaction. How many transactions were committed.
fn stay(site: &Site, have_left: &AtomicBool) -> usize {
    let seven = match site.engine {
        Engine::Sqlite => {
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 10000) SELECT count(*) - 9993 AS n FROM n"
        }
        Engine::Server(Brand::Postgres) => "SELECT 7 AS n FROM pg_sleep(0.01)",
        Engine::Server(Brand::Mariadb) => "SELECT sleep(0.01) + 7 AS n",
    };
    let mut kept = 0;
    while !have_left.load(Ordering::Relaxed) {
        let script =
            format!("query {seven}\nbegin\nexecute INSERT INTO kept VALUES (1)\nquery {seven}\ncommit\nquery {seven}");
        let reply = post(site.server.addr(), "/", &script);
        if reply.status == 503 {
            // Before its guest has begun: the machine has more to do than it can.
            continue;
        }
        let answer = reply.text();
        let lines: Vec<_> = answer.lines().filter(|line| !line.starts_with("columns")).collect();
        let expected = [
            "row integer 7",
            "end",
            "begun",
            "changed 1",
            "row integer 7",
            "end",
            "committed",
            "row integer 7",
            "end",
        ];
        assert_eq!(lines, expected, "{:?}", site.engine);
        kept += 1;
    }
    kept
}
