//! What is held in memory, and in temporary tables: broken, one bound after the other.

use std::process::Command;

use super::*;
use crate::heap;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Room for three calls of the tests, and a little.
const FEW: Limits = Limits {
    held_bytes_max: MIB,
    ..LIMITS
};

fn large(bytes: usize) -> Vec<Value> {
    vec![Value::Text("x".repeat(bytes))]
}

async fn end(answer: Answer) -> Result<u64, Error> {
    let Answer { end, here: _here, .. } = answer;
    end.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_wait_hold_no_more_than_they_may() {
    const INSERT: &str = "INSERT INTO a VALUES (?)";
    on_both(FEW, |database| async move {
        execute(&database, "CREATE TABLE a (b)").await.unwrap();
        let transaction = database.begin(TransactionOptions::default(), None).await.unwrap();
        let waiting: Vec<_> = (0..3).map(|_| database.execute(INSERT, large(300 * KIB))).collect();
        let one_more = database.execute(INSERT, large(300 * KIB));
        assert_eq!(end(one_more).await, Err(Error::PoolExhausted));
        // Of a transaction's too, and of rows.
        let one_more = transaction.clone().execute(INSERT.to_owned(), large(300 * KIB)).await;
        assert_eq!(one_more.err(), Some(Error::PoolExhausted));
        let one_more = all(database.query("SELECT ?", large(300 * KIB))).await;
        assert_eq!(one_more, Err(Error::PoolExhausted));
        // What is small has room, and so has the text of a statement.
        let small = transaction.clone().execute(INSERT.to_owned(), large(10)).await.unwrap();
        assert_eq!(end(small).await, Ok(1));
        let text = format!("{INSERT} -- {}", "x".repeat(300 * KIB));
        assert_eq!(end(database.execute(&text, large(1))).await, Err(Error::PoolExhausted));
        transaction.commit().await.unwrap();
        for call in waiting {
            assert_eq!(end(call).await, Ok(1));
        }
        // What had no room never had any effect.
        let count = query(&database, "SELECT count(*) FROM a").await;
        assert_eq!(count, Ok(vec![vec![Value::Integer(4)]]));
        assert_eq!(database.holding.refused(), 4);
        given_back(&database).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_too_large_says_so() {
    on_both(FEW, |database| async move {
        for bytes in [MIB, 20 * MIB] {
            let outcome = end(database.execute("SELECT ?", large(bytes))).await;
            let Err(Error::InvalidParams(why)) = outcome else {
                panic!("{outcome:?}");
            };
            assert!(why.contains("more than the 1048576") && why.contains("(held)"), "{why}");
        }
        assert_eq!(end(database.execute("SELECT ?", large(MIB - KIB))).await, Ok(0));
        given_back(&database).await;
    })
    .await;
}

/// Rows that nobody reads, of a statement that has ended, have no connection that would bound them.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_left_count() {
    on_both(FEW, |database| async move {
        let mut left = Vec::new();
        loop {
            let mut answer = database.query("SELECT 1 UNION ALL SELECT zeroblob(60000)", Vec::new());
            // The first row alone is wanted. With it the statement has begun, and once it has ended, the other is there too.
            match std::future::poll_fn(|cx| answer.rows.poll_take(cx, 1)).await {
                Some(_) => left.push(answer),
                None => break assert_eq!(end(answer).await, Err(Error::PoolExhausted)),
            }
            rest(&database).await;
            assert!(left.len() < 30, "{} bytes", database.holding.bytes());
        }
        assert!((15..=18).contains(&left.len()), "{}", left.len());
        drop(left);
        given_back(&database).await;
        assert_eq!(query(&database, "SELECT 1").await, Ok(vec![vec![Value::Integer(1)]]));
    })
    .await;
}

/// Waits until no call holds anything.
async fn given_back(database: &Database) {
    while database.holding.bytes() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn temporary_tables_have_a_size() {
    on_both(LIMITS, |database| async move {
        let numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100)";
        let make = format!("CREATE TEMPORARY TABLE a AS {numbers} SELECT zeroblob(100000) AS b FROM n");
        let outcome = execute(&database, &make).await;
        assert!(
            matches!(&outcome, Err(Error::QueryFailed(report)) if report.code == sqlite::FULL),
            "{outcome:?}"
        );
        assert_eq!(database.counters.full.load(Ordering::Relaxed), 1);
        let few = make.replace("LIMIT 100", "LIMIT 5");
        assert!(execute(&database, &few).await.is_ok());
    })
    .await;
}

/// Sorts rows of 10 MB, for each of which a sort has a buffer.
const GREEDY: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 150) \
    SELECT count(*) FROM (SELECT lag(randomblob(10000000), 140) OVER (ORDER BY i) FROM n)";

/// The bound is one of the process, so this has a process of its own: the same program, where a variable says so.
#[tokio::test(flavor = "multi_thread")]
async fn memory_is_bounded_for_all_together() {
    const TEST: &str = "sql::tests::held::memory_is_bounded_for_all_together";
    const ALONE: &str = "WHARF_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return check_memory().await;
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    let output = child.args(["--exact", TEST]).env(ALONE, "").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

async fn check_memory() {
    let lowering = rusqlite::Connection::open_in_memory().unwrap();
    heap::lower(&lowering, 128 << 20).unwrap();
    let limits = Limits {
        row_bytes_max: 16 * MIB,
        ..LIMITS
    };
    let (greedy, other) = (Scratch::new(), Scratch::new());
    let greedy = open(greedy.place(), limits, Vec::new());
    let neighbour = open(other.place(), limits, Vec::new());
    execute(&neighbour, "CREATE TABLE a (b)").await.unwrap();
    for _ in 0..3 {
        let outcome = query(&greedy, GREEDY).await;
        assert!(
            matches!(&outcome, Err(Error::QueryFailed(report)) if report.code == sqlite::NO_MEMORY),
            "{outcome:?}"
        );
        // Both go on, on the connections that they have.
        assert_eq!(execute(&neighbour, "INSERT INTO a VALUES (1)").await, Ok(1));
        assert_eq!(query(&greedy, "SELECT 1").await, Ok(vec![vec![Value::Integer(1)]]));
    }
    assert_eq!(greedy.counters.without_memory.load(Ordering::Relaxed), 3);
    // Texts that are never the same are not kept.
    for nth in 0..150 {
        let text = format!("SELECT {nth} -- {}", "x".repeat(2 * MIB));
        assert_eq!(
            query(&neighbour, &text).await,
            Ok(vec![vec![Value::Integer(nth)]]),
            "{nth}"
        );
    }
    #[cfg(target_os = "linux")]
    assert!(most_resident_mib() < 300, "{} MiB", most_resident_mib());
}

#[cfg(target_os = "linux")]
fn most_resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kib / 1024
}
