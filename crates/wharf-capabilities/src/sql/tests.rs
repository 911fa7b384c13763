//! Calls to a database as the bindings make them, against SQLite, which needs no server. What guests see, against all
//! databases, is in `tests/http/sql.rs` of the repository.

mod held;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio_util::task::TaskTracker;
use wharf_host::capability::{Section as _, Written};

use super::database::{Database, Limits};
use super::engine::TransactionOptions;
use super::error::Error;
use super::flow::{Answer, Patience};
use super::migrations::{Migration, Migrations};
use super::pool::PoolLimits;
use super::sqlite::{self, Place};
use super::value::{Row, Value};
use super::{SqlKind, sqlite_engines};

/// Longer than anything takes that is to happen.
const LONG: Duration = Duration::from_secs(60);

const LIMITS: Limits = Limits {
    pool: PoolLimits {
        connections: 2,
        queue: 4,
        acquire: LONG,
        unused: LONG,
    },
    patience: Patience {
        statement: LONG,
        idle: LONG,
    },
    row_bytes_max: 1 << 20,
    held_bytes_max: 64 << 20,
};

/// Counts without end.
const ENDLESS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
/// The same, and never a row.
const SILENT: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i < 0";

struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let nth = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("wharf-sql-{}-{nth}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn place(&self) -> Place {
        Place::File(self.0.join("app.db"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn open(place: Place, mut limits: Limits, migrations: Vec<Migration>) -> Arc<Database> {
    if place == Place::Memory {
        limits.pool.connections = 1;
    }
    let options = sqlite::Options {
        place,
        length_max: limits.row_bytes_max,
        busy: Duration::from_secs(5),
        size_max: None,
        temporary_bytes_max: 1 << 20,
        threads: TaskTracker::new(),
    };
    let engines = sqlite_engines(options, false).unwrap();
    let migrations = Migrations::new(migrations, limits.pool.acquire);
    Database::new("app test, database main".into(), engines, limits, migrations)
}

async fn all(mut answer: Answer) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    while let Some(batch) = answer.rows.take().await {
        rows.extend(batch);
    }
    answer.end.await.unwrap().map(|_| rows)
}

async fn query(database: &Arc<Database>, sql: &str) -> Result<Vec<Row>, Error> {
    all(database.query(sql, Vec::new())).await
}

async fn execute(database: &Arc<Database>, sql: &str) -> Result<u64, Error> {
    let answer = database.execute(sql, Vec::new());
    let Answer { end, here: _here, .. } = answer;
    end.await.unwrap()
}

fn in_use(database: &Database) -> usize {
    database.usage().iter().map(|(_, usage)| usage.in_use).sum()
}

/// Waits until nobody has a connection.
async fn rest(database: &Database) {
    while in_use(database) > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Runs a test against a file and in memory.
async fn on_both<F: Future>(limits: Limits, test: impl Fn(Arc<Database>) -> F) {
    let scratch = Scratch::new();
    for place in [scratch.place(), Place::Memory] {
        let database = open(place.clone(), limits, Vec::new());
        let done = tokio::time::timeout(LONG, test(database.clone())).await;
        assert!(done.is_ok(), "{place}: it hangs");
        rest(&database).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_come_with_their_columns() {
    on_both(LIMITS, |database| async move {
        execute(
            &database,
            "CREATE TABLE a (id INTEGER PRIMARY KEY, good BOOLEAN, day DATE)",
        )
        .await
        .unwrap();
        let insert = "INSERT INTO a VALUES ($2, $1, '2026-11-23'), (?3, NULL, 'soon') RETURNING id";
        let params = vec![Value::Boolean(true), Value::Integer(7), Value::Integer(8)];
        let rows = all(database.query(insert, params)).await.unwrap();
        assert_eq!(rows, [[Value::Integer(7)], [Value::Integer(8)]]);
        let answer = database.query("SELECT good, day, 1 AS one FROM a WHERE id = 7", Vec::new());
        let Answer {
            columns,
            rows: mut got,
            here: _here,
            ..
        } = answer;
        let columns: Vec<_> = columns
            .await
            .unwrap()
            .into_iter()
            .map(|column| (column.name, column.type_name))
            .collect();
        let expected = [("good", "BOOLEAN"), ("day", "DATE"), ("one", "")];
        assert_eq!(columns, expected.map(|(name, of)| (name.to_owned(), of.to_owned())));
        let day = Value::Date(super::value::Date::parse("2026-11-23").unwrap());
        assert_eq!(
            got.take().await.unwrap(),
            [[Value::Boolean(true), day, Value::Integer(1)]]
        );
        assert_eq!(execute(&database, "UPDATE a SET good = false").await, Ok(2));
        assert_eq!(execute(&database, "CREATE TABLE b (c)").await, Ok(0));
        assert_eq!(query(&database, "SELECT * FROM b").await, Ok(vec![]));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_guests_may_not_do() {
    on_both(LIMITS, |database| async move {
        let not_allowed = [
            "BEGIN",
            "COMMIT",
            "SAVEPOINT a",
            "ATTACH '/etc/passwd' AS a",
            "VACUUM INTO '/tmp/a.db'",
            "PRAGMA journal_mode = DELETE",
            "PRAGMA query_only = 0",
            "PRAGMA user_version = 7",
            "SELECT load_extension('a')",
            "SELECT 1; SELECT 2",
            "-- nothing",
        ];
        for sql in not_allowed {
            for outcome in [execute(&database, sql).await.err(), query(&database, sql).await.err()] {
                assert!(matches!(outcome, Some(Error::NotAllowed(_))), "{sql}: {outcome:?}");
            }
        }
        for sql in [
            "PRAGMA table_info(a)",
            "PRAGMA user_version",
            "SELECT 1;",
            "EXPLAIN SELECT 1",
        ] {
            assert!(query(&database, sql).await.is_ok(), "{sql}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_say_what_is_wrong() {
    on_both(LIMITS, |database| async move {
        execute(&database, "CREATE TABLE a (b INTEGER PRIMARY KEY, c TEXT NOT NULL)")
            .await
            .unwrap();
        execute(&database, "INSERT INTO a VALUES (1, 'x')").await.unwrap();
        let cases = [
            ("SELECT * FROM nothing", "SQLITE_ERROR"),
            ("SELEKT 1", "SQLITE_ERROR"),
            ("INSERT INTO a VALUES (1, 'y')", "SQLITE_CONSTRAINT_PRIMARYKEY"),
            ("INSERT INTO a VALUES (2, NULL)", "SQLITE_CONSTRAINT_NOTNULL"),
        ];
        for (sql, code) in cases {
            let Err(Error::QueryFailed(error)) = execute(&database, sql).await else {
                panic!("{sql} is no error");
            };
            assert_eq!(error.code, code, "{sql}: {error}");
        }
        let few = all(database.query("SELECT ?", Vec::new())).await;
        assert!(matches!(few, Err(Error::InvalidParams(_))), "{few:?}");
        let named = all(database.query("SELECT :name", vec![Value::Null])).await;
        assert!(matches!(named, Err(Error::InvalidParams(_))), "{named:?}");
        let large = query(&database, "SELECT randomblob(2000000)").await;
        assert!(matches!(large, Err(Error::ValueConversionFailed(_))), "{large:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_is_produced_no_faster_than_it_is_read() {
    on_both(LIMITS, |database| async move {
        let mut answer = database.query(ENDLESS, Vec::new());
        let mut last = 0;
        for _ in 0..100 {
            tokio::task::yield_now().await;
            for row in answer.rows.take().await.unwrap() {
                last += 1;
                assert_eq!(row, [Value::Integer(last)]);
            }
        }
        assert_eq!(in_use(&database), 1);
        // Nobody reads on: the statement is ended, and the connection free.
        drop(answer);
        rest(&database).await;
        assert_eq!(database.counters.cancelled.load(Ordering::Relaxed), 1);
        assert_eq!(query(&database, "SELECT 1").await, Ok(vec![vec![Value::Integer(1)]]));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_has_nothing_left_running() {
    on_both(LIMITS, |database| async move {
        for _ in 0..200 {
            let answer = database.query(SILENT, Vec::new());
            let writing = database.execute(&format!("CREATE TABLE a AS {SILENT}"), Vec::new());
            tokio::time::sleep(Duration::from_micros(100)).await;
            drop((answer, writing));
        }
        rest(&database).await;
        assert!(database.usage().iter().all(|(_, usage)| usage.open <= 2));
        assert_eq!(
            query(&database, "SELECT count(*) FROM sqlite_schema").await,
            Ok(vec![vec![Value::Integer(0)]])
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_statements_and_idle_guests_are_ended() {
    let short = Duration::from_millis(50);
    let limits = |statement, idle| Limits {
        patience: Patience { statement, idle },
        ..LIMITS
    };
    on_both(limits(short, LONG), |database| async move {
        assert_eq!(query(&database, SILENT).await, Err(Error::Timeout));
    })
    .await;
    on_both(limits(LONG, short), |database| async move {
        let answer = database.query(ENDLESS, Vec::new());
        rest(&database).await;
        assert_eq!(answer.end.await.unwrap(), Err(Error::Timeout));
        let transaction = database.begin(TransactionOptions::default(), None).await.unwrap();
        rest(&database).await;
        assert_eq!(transaction.commit().await, Err(Error::TransactionEnded));
        assert_eq!(database.counters.timed_out.load(Ordering::Relaxed), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_wait_for_a_connection_but_not_for_ever() {
    let limits = Limits {
        pool: PoolLimits {
            connections: 1,
            queue: 1,
            // Enough for a busy machine to end a statement in.
            acquire: Duration::from_secs(3),
            unused: LONG,
        },
        ..LIMITS
    };
    on_both(limits, |database| async move {
        let mut held = database.query(ENDLESS, Vec::new());
        held.rows.take().await.unwrap();
        assert_eq!(query(&database, "SELECT 1").await, Err(Error::PoolExhausted));
        let waits = database.query("SELECT 1", Vec::new());
        drop(held);
        assert!(all(waits).await.is_ok());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_are_committed_or_rolled_back() {
    on_both(LIMITS, |database| async move {
        execute(&database, "CREATE TABLE a (b)").await.unwrap();
        let begin = || database.begin(TransactionOptions::default(), None);
        let insert = |transaction: super::transaction::Transaction| async move {
            let answer = transaction
                .execute("INSERT INTO a VALUES (1)".to_owned(), Vec::new())
                .await;
            let Answer { end, here: _here, .. } = answer.unwrap();
            end.await.unwrap()
        };
        let count = || async { query(&database, "SELECT count(*) FROM a").await.unwrap()[0][0].clone() };
        let transaction = begin().await.unwrap();
        assert_eq!(insert(transaction.clone()).await, Ok(1));
        assert_eq!(transaction.rollback().await, Ok(()));
        assert_eq!(count().await, Value::Integer(0));
        let transaction = begin().await.unwrap();
        assert_eq!(insert(transaction.clone()).await, Ok(1));
        drop(transaction);
        rest(&database).await;
        assert_eq!(count().await, Value::Integer(0));
        let transaction = begin().await.unwrap();
        assert_eq!(insert(transaction.clone()).await, Ok(1));
        let nested = transaction
            .clone()
            .execute("BEGIN".to_owned(), Vec::new())
            .await
            .unwrap();
        assert!(matches!(nested.end.await.unwrap(), Err(Error::NotAllowed(_))));
        assert_eq!(transaction.commit().await, Ok(()));
        assert_eq!(count().await, Value::Integer(1));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_runs_for_each_list_of_parameters_or_for_none() {
    on_both(LIMITS, |database| async move {
        execute(&database, "CREATE TABLE a (b INTEGER PRIMARY KEY)")
            .await
            .unwrap();
        let many = |numbers: Vec<i64>| {
            let (sender, lists) = tokio::sync::mpsc::channel(1);
            let answer = database.execute_many("INSERT INTO a VALUES (?)", lists);
            async move {
                for number in numbers {
                    let _ = sender.send(Ok(vec![vec![Value::Integer(number)].into()])).await;
                }
                drop(sender);
                let Answer { end, here: _here, .. } = answer;
                end.await.unwrap()
            }
        };
        assert_eq!(many((0..1000).collect()).await, Ok(1000));
        assert!(matches!(many(vec![1000, 1001, 1]).await, Err(Error::QueryFailed(_))));
        let count = query(&database, "SELECT count(*) FROM a").await;
        assert_eq!(count, Ok(vec![vec![Value::Integer(1000)]]));
    })
    .await;
}

/// A writer that stays does not hold up readers of a file.
#[tokio::test(flavor = "multi_thread")]
async fn writers_queue_and_readers_do_not() {
    let scratch = Scratch::new();
    let database = open(scratch.place(), LIMITS, Vec::new());
    execute(&database, "CREATE TABLE a (b)").await.unwrap();
    let transaction = database.begin(TransactionOptions::default(), None).await.unwrap();
    let writes: Vec<_> = (0..4)
        .map(|_| database.execute("INSERT INTO a VALUES (1)", Vec::new()))
        .collect();
    assert_eq!(
        query(&database, "SELECT count(*) FROM a").await,
        Ok(vec![vec![Value::Integer(0)]])
    );
    transaction.commit().await.unwrap();
    for write in writes {
        let Answer { end, here: _here, .. } = write;
        assert_eq!(end.await.unwrap(), Ok(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_are_applied_once_and_whole() {
    let scratch = Scratch::new();
    let first = Migration::new("1.sql", "CREATE TABLE a (b); INSERT INTO a VALUES (1);".to_owned());
    let broken = Migration::new(
        "2.sql",
        "INSERT INTO a VALUES (2); INSERT INTO nothing VALUES (3);".to_owned(),
    );
    let count = |database: Arc<Database>| async move { query(&database, "SELECT count(*) FROM a").await };
    let one = Ok(vec![vec![Value::Integer(1)]]);
    for _ in 0..2 {
        let database = open(scratch.place(), LIMITS, vec![first.clone()]);
        assert_eq!(count(database).await, one);
    }
    let database = open(scratch.place(), LIMITS, vec![first.clone(), broken]);
    let Err(Error::Other(why)) = count(database.clone()).await else {
        panic!("a broken migration is no error");
    };
    assert!(why.contains("2.sql") && why.contains("nothing"), "{why}");
    database.migrations.renew(vec![first.clone()]);
    assert_eq!(count(database).await, one);
    let changed = Migration::new("1.sql", "CREATE TABLE b (c)".to_owned());
    let Err(Error::Other(why)) = count(open(scratch.place(), LIMITS, vec![changed])).await else {
        panic!("a changed migration is no error");
    };
    assert!(why.contains("has changed"), "{why}");
}

fn check_section(toml: &str, expected: &[&str]) {
    let written = Written {
        value: toml_value(toml),
        folder: std::env::temp_dir(),
    };
    let faults: Vec<_> = SqlKind.check(&written).iter().map(ToString::to_string).collect();
    assert_eq!(faults.len(), expected.len(), "{toml}: {faults:?}");
    for (fault, expected) in faults.iter().zip(expected) {
        assert!(fault.contains(expected), "{toml}: {fault}");
    }
}

/// `key = 'text'; key = 7` as the values of one database.
fn toml_value(text: &str) -> serde_json::Value {
    let pairs = text.split("; ").filter_map(|pair| pair.split_once(" = "));
    let value = |text: &str| match text.trim_matches('\'') {
        "true" => serde_json::Value::Bool(true),
        word => word.parse::<u64>().map_or_else(|_| word.into(), Into::into),
    };
    let database: serde_json::Map<_, _> = pairs.map(|(key, text)| (key.to_owned(), value(text))).collect();
    serde_json::json!({ "main": database })
}

#[tokio::test]
async fn sections_are_checked() {
    check_section("path = ':memory:'; connections = 3; idle-time = '1s'", &[]);
    check_section("url = 'postgres://db.test/shop'; user = 'shop'", &[]);
    check_section("user = 'shop'", &["`main`: a database is in one place"]);
    check_section(
        "path = 'a.db'; url = 'mysql://h/d'",
        &["`main`: a database is in one place"],
    );
    check_section(
        "path = 'no/such/folder/a.db'",
        &["`main.path`: its folder is not there"],
    );
    check_section("path = 'a.db'; user = 'shop'", &["`main.user`: a file has none"]);
    check_section(
        "url = 'postgres://me:secret@db.test/shop'",
        &["`main.url`: user and password do not belong"],
    );
    check_section(
        "url = 'oracle://db.test/shop'",
        &["`main.url`: `oracle` is no database"],
    );
    check_section(
        "url = 'postgres://db.test'",
        &["`main.url`: it names a host and a database"],
    );
    check_section(
        "url = 'postgres://db.test/a'; tls-ca = 'none.pem'",
        &["`main.tls-ca`: there is no file"],
    );
    check_section(
        "path = 'a.db'; migrations = 'no-such-folder'",
        &["`main.migrations`: cannot read"],
    );
    check_section("path = 'a.db'; idle-time = 'soon'", &["`main.idle-time`: expected"]);
    check_section(
        "path = 'a.db'; statement-time = '0s'",
        &["`main.statement-time`: it is longer than nothing"],
    );
    check_section("path = 'a.db'; row = 1", &["`main.row`: a row may have"]);
    check_section("path = 'a.db'; row = 'much'", &["`main.row`: expected"]);
    check_section(
        "path = ':memory:'; read-only = true",
        &["`main.read-only`: a database in memory begins empty"],
    );
}
