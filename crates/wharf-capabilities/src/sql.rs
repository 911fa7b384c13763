//! `wharf:sql`: databases that the operator names in the app's manifest, as `[sql.NAME]`.
//!
//! Pools, limits, cancellation and transactions are the same for all databases (`sql/database.rs`, `sql/drive.rs`,
//! `sql/transaction.rs`); each database is an engine (`sql/engine.rs`, `sql/sqlite.rs`, `sql/postgres.rs`, `sql/mysql.rs`).
//! How a guest's calls get here is in `sql/bindings.rs`, what the manifest says in `sql/options.rs`.

mod bindings;
mod consume;
mod counters;
mod database;
mod drive;
mod engine;
mod error;
mod flow;
mod migrations;
mod mysql;
mod options;
mod params;
mod pool;
mod postgres;
mod sqlite;
mod standing;
mod statement;
#[cfg(test)]
mod tests;
mod tls;
mod transaction;
mod value;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use schemars::{Schema, SchemaGenerator};
use tokio::runtime::Handle;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use wharf_host::capability::{BoxFuture, Fault, OpenError, SecretSource, Section, Written};
use wharf_host::wit::Package;
use wharf_host::{Admission, Capability, Imports, Kind, Sample};

use database::{Database, Engines};
use error::Error;
use migrations::Migrations;
use mysql::Mysql;
use options::{Options, Source, WrittenSql};
use postgres::Postgres;
use sqlite::{Access, Place, Sqlite};

/// Reads the section `[sql]` and opens what it names.
pub struct SqlKind;

/// The databases of one app.
struct Sql {
    databases: Arc<Databases>,
    /// Where each has its migrations, and which were applied.
    migrations: BTreeMap<String, PathBuf>,
    threads: TaskTracker,
    /// Copies are made until this is dropped.
    _backups: Vec<AbortOnDropHandle<()>>,
}

/// Each by its name.
type Databases = BTreeMap<String, Arc<Database>>;

impl Section for SqlKind {
    fn name(&self) -> &'static str {
        "sql"
    }

    fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<WrittenSql>()
    }

    fn interfaces(&self) -> &'static [&'static str] {
        &["wharf:sql/types@0.1.0", "wharf:sql/database@0.1.0"]
    }

    fn wit(&self) -> Vec<Package> {
        vec![Package::new(
            "wharf:sql",
            "0.1.0",
            "SQLite, PostgreSQL, MySQL and MariaDB",
            include_str!("../../../wit/sql/sql.wit"),
        )]
    }

    fn check(&self, written: &Written) -> Vec<Fault> {
        options::options(written).err().unwrap_or_default()
    }

    fn files(&self, written: &Written) -> Vec<PathBuf> {
        options::files(written)
    }

    fn data(&self, written: &Written) -> Vec<PathBuf> {
        options::data(written)
    }

    fn secrets(&self, written: &Written) -> Vec<(Vec<String>, SecretSource)> {
        options::secrets(written)
    }
}

impl Kind for SqlKind {
    fn open(&self, app: &str, written: &Written) -> Result<Arc<dyn Capability>, OpenError> {
        let options = options::options(written).map_err(|faults| faults.into_iter().next().unwrap_or_else(no_fault))?;
        let threads = TaskTracker::new();
        let mut databases = Databases::new();
        let mut migrations = BTreeMap::new();
        let mut backups = Vec::new();
        for (name, options) in options {
            let label: Arc<str> = format!("app {app}, database {name}").into();
            backups.extend(backup(&label, &options));
            migrations.extend(options.migrations.clone().map(|folder| (name.clone(), folder)));
            databases.insert(name, open(label, options, &threads)?);
        }
        let sql = Sql {
            databases: Arc::new(databases),
            migrations,
            threads,
            _backups: backups,
        };
        sql.migrate()?;
        Ok(Arc::new(sql))
    }
}

fn no_fault() -> Fault {
    Fault::new([], "it cannot be read")
}

/// Opens one database, as far as it is on this machine.
fn open(label: Arc<str>, options: Options, threads: &TaskTracker) -> Result<Arc<Database>, OpenError> {
    let files = options.migrations.as_deref().map(migrations::read).transpose()?;
    let migrations = Migrations::new(files.unwrap_or_default(), options.limits.pool.acquire);
    let mut limits = options.limits;
    let engines = match options.source {
        Source::Sqlite {
            place,
            size_max,
            temporary_bytes_max,
            ..
        } => {
            let of_sqlite = sqlite::Options {
                length_max: limits.row_bytes_max,
                busy: limits.pool.acquire,
                size_max,
                temporary_bytes_max,
                threads: threads.clone(),
                place: place.clone(),
            };
            if place == Place::Memory {
                limits.pool.connections = 1;
            }
            sqlite_engines(of_sqlite, options.read_only)?
        }
        Source::Postgres(server) => Engines {
            all: Arc::new(Postgres::new(server, options.read_only, limits.row_bytes_max)),
            readers: None,
        },
        Source::Mysql(server) => Engines {
            all: Arc::new(Mysql::new(server, options.read_only, limits.row_bytes_max)),
            readers: None,
        },
    };
    Ok(Database::new(label, engines, limits, migrations))
}

fn sqlite_engines(options: sqlite::Options, read_only: bool) -> Result<Engines, OpenError> {
    let engine = |access| Arc::new(Sqlite::new(options.clone(), access));
    Ok(match (&options.place, read_only) {
        (Place::Memory, _) => Engines {
            all: engine(Access::Write),
            readers: None,
        },
        (Place::File(path), true) => {
            if !path.is_file() {
                return Err(format!("there is no file {}", path.display()).into());
            }
            Engines {
                all: engine(Access::ReadOnly),
                readers: None,
            }
        }
        (Place::File(path), false) => {
            sqlite::prepare_file(path).map_err(|error| format!("{}: {error}", path.display()))?;
            Engines {
                all: engine(Access::Write),
                readers: Some(engine(Access::Read)),
            }
        }
    })
}

fn backup(label: &Arc<str>, options: &Options) -> Option<AbortOnDropHandle<()>> {
    let Source::Sqlite { place, backup, .. } = &options.source else {
        return None;
    };
    let (Place::File(file), Some(backup)) = (place, backup) else {
        return None;
    };
    let keep = sqlite::keep(label.clone(), file.clone(), backup.clone());
    Some(AbortOnDropHandle::new(tokio::spawn(keep)))
}

impl Sql {
    /// Applies what has not been applied. Blocks. A server that is away is migrated when it comes back.
    fn migrate(&self) -> Result<(), OpenError> {
        for (name, folder) in &self.migrations {
            let Some(database) = self.databases.get(name) else {
                continue;
            };
            let before = database.migrations.renew(migrations::read(folder)?);
            let (done, migrated) = std::sync::mpsc::channel();
            let of_task = database.clone();
            Handle::current().spawn(async move { done.send(of_task.migrate().await) });
            match migrated.recv() {
                Ok(Err(Error::Other(why))) => {
                    before
                        .into_iter()
                        .for_each(|before| database.migrations.restore(before));
                    return Err(format!("database {name}: {why}").into());
                }
                Ok(Err(why)) => tracing::warn!("{}: not migrated yet: {why}", database.label),
                Ok(Ok(())) | Err(_) => {}
            }
        }
        Ok(())
    }
}

impl Capability for Sql {
    fn name(&self) -> &'static str {
        "sql"
    }

    fn link(&self, imports: &mut Imports<'_>) -> wasmtime::Result<()> {
        bindings::add_to_linker(imports.linker())
    }

    fn admit(&self, admission: &mut Admission<'_>) -> wasmtime::Result<()> {
        admission.extend(bindings::Granted(self.databases.clone()));
        Ok(())
    }

    /// A new version of the app may have brought migrations.
    fn renew(&self) -> Result<(), OpenError> {
        self.migrate()
    }

    fn samples(&self) -> Vec<Sample> {
        self.databases
            .iter()
            .flat_map(|(name, database)| samples(name, database))
            .collect()
    }

    fn close(&self) -> BoxFuture<()> {
        self.databases.values().for_each(|database| database.close());
        let threads = self.threads.clone();
        threads.close();
        // SQLite writes its log into its file when the last connection is closed.
        Box::pin(async move { threads.wait().await })
    }
}

fn samples(name: &str, database: &Database) -> Vec<Sample> {
    let mut samples = Vec::new();
    let labels = |key: &'static str, value: &str| vec![("database", name.to_owned()), (key, value.to_owned())];
    let mut gauge = |name, help, labels, value: usize| {
        samples.push(Sample {
            name,
            help,
            is_counter: false,
            labels,
            value: value as f64,
        });
    };
    for (of, usage) in database.usage() {
        gauge(
            "connections_open",
            "Connections that are open",
            labels("pool", of),
            usage.open,
        );
        gauge(
            "connections_used",
            "Connections that somebody uses",
            labels("pool", of),
            usage.in_use,
        );
        gauge(
            "calls_waiting",
            "Calls that wait for a connection",
            labels("pool", of),
            usage.waiting,
        );
    }
    let counters = &database.counters;
    let mut counter = |name, help, labels, value: &AtomicU64| {
        samples.push(Sample {
            name,
            help,
            is_counter: true,
            labels,
            value: value.load(Ordering::Relaxed) as f64,
        });
    };
    let outcomes = [
        ("ok", &counters.succeeded),
        ("failed", &counters.failed),
        ("cancelled", &counters.cancelled),
        ("timeout", &counters.timed_out),
        ("pool-exhausted", &counters.exhausted),
        ("disconnected", &counters.disconnected),
    ];
    for (outcome, value) in outcomes {
        counter(
            "statements",
            "Statements by how they ended",
            labels("outcome", outcome),
            value,
        );
    }
    let transactions = [
        ("begun", &counters.transactions),
        ("rolled-back", &counters.rolled_back),
    ];
    for (what, value) in transactions {
        counter(
            "transactions",
            "Transactions, and those of them that were rolled back",
            labels("what", what),
            value,
        );
    }
    let limits = [
        ("held", database.holding.refused()),
        ("queue", database.without_place()),
        ("size", database.counters.full.load(Ordering::Relaxed)),
        ("row", database.counters.large.load(Ordering::Relaxed)),
        ("memory", database.counters.without_memory.load(Ordering::Relaxed)),
    ];
    samples.extend(limits.map(|(limit, times)| Sample {
        name: "limits_reached",
        help: "How often each limit was reached",
        is_counter: true,
        labels: labels("limit", limit),
        value: times as f64,
    }));
    samples.push(Sample {
        name: "held_bytes",
        help: "What calls hold in the server while they run or wait",
        is_counter: false,
        labels: vec![("database", name.to_owned())],
        value: database.holding.bytes() as f64,
    });
    samples
}
