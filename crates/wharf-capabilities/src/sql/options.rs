//! The section `[sql]` of a manifest: what may be written, and what it means.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;
use wharf_app::app::SecretSource;
use wharf_app::manifest::field;
use wharf_app::manifest::value::ValueError;
use wharf_app::secret::WrittenSecret;
use wharf_host::capability::{Fault, Written};

use super::database::Limits;
use super::engine::ConnectError;
use super::flow::Patience;
use super::migrations;
use super::pool::PoolLimits;
use super::sqlite::{Backup, Place};
use crate::held::HELD_BYTES;
use crate::section::sqlite_files;

/// Databases that the app reaches through `wharf:sql`: SQLite, PostgreSQL, MySQL and MariaDB. NAME is what components open one
/// by; `default` opens the only one there is, or the one that is called so.
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
pub(super) struct WrittenSql(pub BTreeMap<String, WrittenDatabase>);

// One of `url` and `path` has to be there, which is for the check to say.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct WrittenDatabase {
    /// A server's address and the database there: `postgres://db.example.com/shop`, `mysql://db.example.com:3306/shop` or
    /// `mariadb://...`. Without user and password, which have keys of their own.
    url: Option<String>,
    /// A file of SQLite's, which is made where there is none; its folder has to be there. `:memory:` is a database in memory,
    /// which lives as long as the app is served.
    path: Option<String>,
    /// Who Wharf is for the server. Default: `wharf`.
    user: Option<String>,
    /// The user's password: `{ file = "..." }`, `{ variable = "..." }` or `{ encrypted = "...", name = "..." }`. It is read for each connection that is made, so it can be
    /// changed while the app is served. Default: none.
    password: Option<WrittenSecret>,
    /// Whether the connection to the server is encrypted. Default: `verify`, but for servers on this machine `off`.
    tls: Option<WrittenTls>,
    /// A file of certificates, in PEM, that the server's is verified with. Default: those of the system.
    tls_ca: Option<String>,
    /// How many connections the app has at most; for a file of SQLite's, how many that read, beside the one that writes. Past it
    /// calls wait. Default: 10, a tenth of what PostgreSQL takes from all its clients together.
    connections: Option<field::Count>,
    /// How many calls wait for a connection. One more is `pool-exhausted` at once. Default: 1000.
    queue: Option<field::Count>,
    /// How long a call waits for a connection to come free, and a connection for the server's answer; or for a file of SQLite's
    /// that another program has locked. Past it the call is `pool-exhausted`, `connection-failed` or a `conflict`. Default: 5s.
    acquire_time: Option<field::Duration>,
    /// How long the database may work on a statement without producing a row. Past it the statement is cancelled and is a
    /// `timeout`. Default: 30s, the time that a response may take to begin.
    statement_time: Option<field::Duration>,
    /// How long a transaction waits for its next call, and a result to be read on. Past it the transaction is rolled back, the
    /// statement is cancelled, and the connection is free for others. Default: 30s.
    idle_time: Option<field::Duration>,
    /// How long a connection stays open that nobody uses. Default: 10m.
    unused_time: Option<field::Duration>,
    /// The largest row. Past it a result ends as `value-conversion-failed`. Default: 16MiB, and never more than 1GiB.
    row: Option<field::Size>,
    /// How much calls hold in the server together while they run or wait: the texts of statements and their parameters, and rows that
    /// are left when their connection is free again. Past it calls are `pool-exhausted` at once; one that alone has more is
    /// `invalid-params`. Default: 64MiB.
    held: Option<field::Size>,
    /// The largest size of SQLite's database. Past it what would need more space is `query-failed`, with `SQLITE_FULL`. Default: none
    /// for a file, 64MiB in memory.
    size: Option<field::Size>,
    /// How much temporary tables may take of the disk, for each of SQLite's connections. Past it what would need more space is
    /// `query-failed`, with `SQLITE_FULL`. Default: 256MiB.
    temporary: Option<field::Size>,
    /// Whether guests may only read. Default: false. SQLite's file is opened so; a server is asked to see to it, and rights of
    /// the user are the better way there.
    read_only: Option<bool>,
    /// A folder of files `*.sql`, which are applied once each, in the order of their names, before the app is served. Default:
    /// none.
    migrations: Option<String>,
    /// Copies of SQLite's file that are made while it is served. Default: none.
    backup: Option<WrittenBackup>,
}

/// Whether a connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum WrittenTls {
    /// Encrypted, with a server whose certificate holds for its name.
    Verify,
    /// Plain.
    Off,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct WrittenBackup {
    /// Where copies are put, as `NAME-SECONDS.db`; made where there is none.
    folder: String,
    /// How often. Default: 1h.
    interval: Option<field::Duration>,
    /// How many copies are kept. Default: 24.
    keep: Option<field::Count>,
}

/// What one database is.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub source: Source,
    pub limits: Limits,
    pub read_only: bool,
    pub migrations: Option<PathBuf>,
}

/// Where it is.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Sqlite {
        place: Place,
        size_max: Option<u64>,
        temporary_bytes_max: u64,
        backup: Option<Backup>,
    },
    Postgres(Server),
    Mysql(Server),
}

/// A server of databases.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub host: String,
    pub port: u16,
    pub database: String,
    pub user: String,
    pub password: Option<SecretSource>,
    pub tls: Tls,
}

impl Server {
    /// The password as it is now. Reading it may block, and decrypting it takes time, so a thread for that does both.
    pub async fn password(&self) -> Result<Option<String>, ConnectError> {
        let Some(source) = self.password.clone() else {
            return Ok(None);
        };
        // Not a guest's business, and nothing that a retry would change.
        let read = tokio::task::spawn_blocking(move || source.read()).await;
        match read {
            Ok(Ok(password)) => Ok(Some(password)),
            Ok(Err(error)) => Err(ConnectError::denied(error.to_string())),
            Err(error) => Err(ConnectError::denied(error.to_string())),
        }
    }
}

/// How a connection is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tls {
    Off,
    /// With the certificates of a file, or those of the system.
    Verify(Option<PathBuf>),
}

/// The largest that a row may be said to be: SQLite's own bound.
const ROW_BYTES_MAX: u64 = 1 << 30;

/// As much as a key-value store in memory has, for the same reason: little beside what a server has.
const MEMORY_BYTES: u64 = 64 << 20;

/// Temporary tables are on the disk, and few: more than any app needs to have beside its data.
const TEMPORARY_BYTES: u64 = 256 << 20;

/// Each database's options by its name, or all that is wrong.
pub(super) fn options(written: &Written) -> Result<BTreeMap<String, Options>, Vec<Fault>> {
    let WrittenSql(databases) = written.read().map_err(|fault| vec![fault])?;
    let mut reading = Reading {
        written,
        faults: Vec::new(),
    };
    let options = databases.into_iter().filter_map(|(name, database)| {
        let before = reading.faults.len();
        let options = reading.database(&database);
        for fault in &mut reading.faults[before..] {
            fault.path.insert(0, name.clone());
        }
        Some((name, options?))
    });
    let options = options.collect();
    match reading.faults.is_empty() {
        true => Ok(options),
        false => Err(reading.faults),
    }
}

/// Files whose change makes another version of the app.
pub(super) fn files(written: &Written) -> Vec<PathBuf> {
    let Ok(WrittenSql(databases)) = written.read() else {
        return Vec::new();
    };
    let folders = databases.values().filter_map(|database| database.migrations.as_ref());
    let files = folders.flat_map(|folder| migrations::files(&written.path(folder)).unwrap_or_default());
    files.collect()
}

/// What is written while the app is served: files of SQLite's, and the folders of their copies.
pub(super) fn data(written: &Written) -> Vec<PathBuf> {
    let Ok(WrittenSql(databases)) = written.read() else {
        return Vec::new();
    };
    let mut data = Vec::new();
    for database in databases.values() {
        let file = database.path.as_deref().filter(|path| *path != ":memory:");
        data.extend(file.iter().flat_map(|file| sqlite_files(&written.path(file))));
        data.extend(database.backup.as_ref().map(|backup| written.path(&backup.folder)));
    }
    data
}

/// The passwords of all databases.
pub(super) fn secrets(written: &Written) -> Vec<(Vec<String>, SecretSource)> {
    let Ok(WrittenSql(databases)) = written.read() else {
        return Vec::new();
    };
    let passwords = databases.iter().filter_map(|(name, database)| {
        let source = database.password.as_ref()?.source(written).ok()?;
        Some((vec![name.clone(), "password".to_owned()], source))
    });
    passwords.collect()
}

/// Collects what is wrong.
struct Reading<'a> {
    written: &'a Written,
    faults: Vec<Fault>,
}

impl Reading<'_> {
    fn fault(&mut self, key: &str, message: impl Into<String>, help: &str) {
        self.faults.push(Fault::new([key], message).with_help(help));
    }

    fn database(&mut self, database: &WrittenDatabase) -> Option<Options> {
        let source = self.source(database);
        let limits = self.limits(database);
        let migrations = database.migrations.as_ref().map(|folder| self.written.path(folder));
        if let Some(folder) = &migrations
            && let Err(error) = migrations::read(folder)
        {
            self.fault(
                "migrations",
                error.to_string(),
                "name a folder of files that end in `.sql`",
            );
        }
        let read_only = database.read_only.unwrap_or(false);
        if read_only && migrations.is_some() {
            self.fault(
                "migrations",
                "a database that is only read is not migrated",
                "leave out one of the two keys",
            );
        }
        Some(Options {
            source: source?,
            limits,
            read_only,
            migrations,
        })
    }

    fn source(&mut self, database: &WrittenDatabase) -> Option<Source> {
        match (&database.url, &database.path) {
            (Some(url), None) => self.server(url, database),
            (None, Some(path)) => self.sqlite(path, database),
            _ => {
                let help = "say either `path`, for SQLite, or `url`, for a server";
                self.faults
                    .push(Fault::new([], "a database is in one place").with_help(help));
                None
            }
        }
    }

    fn sqlite(&mut self, path: &str, database: &WrittenDatabase) -> Option<Source> {
        let of_servers = [
            ("user", database.user.is_some()),
            ("password", database.password.is_some()),
            ("tls", database.tls.is_some()),
            ("tls-ca", database.tls_ca.is_some()),
        ];
        for (key, _) in of_servers.into_iter().filter(|(_, is_written)| *is_written) {
            self.fault(key, "a file has none", "it is for servers; leave it out");
        }
        let place = match path {
            ":memory:" => Place::Memory,
            path => Place::File(self.written.path(path)),
        };
        if let Place::File(file) = &place
            && !file.parent().is_some_and(|folder| folder.is_dir())
        {
            self.fault(
                "path",
                "its folder is not there",
                "make the folder; Wharf makes the file",
            );
        }
        let backup = database.backup.as_ref().map(|backup| Backup {
            folder: self.written.path(&backup.folder),
            interval: self.duration("interval", backup.interval.as_ref(), 3600),
            keep: backup.keep.map_or(24, |keep| keep.0 as usize),
        });
        if backup.is_some() && place == Place::Memory {
            self.fault("backup", "what is in memory is not copied", "leave it out");
        }
        if place == Place::Memory && database.read_only == Some(true) {
            let what = "a database in memory begins empty, and would stay so";
            self.fault("read-only", what, "leave it out, or name a file");
        }
        let size = database.size.as_ref();
        let size_max = match size {
            Some(size) => self.value("size", size.bytes()),
            None => (place == Place::Memory).then_some(MEMORY_BYTES),
        };
        let temporary_bytes_max = self.size("temporary", database.temporary.as_ref(), TEMPORARY_BYTES);
        Some(Source::Sqlite {
            place,
            size_max,
            temporary_bytes_max,
            backup,
        })
    }

    fn server(&mut self, text: &str, database: &WrittenDatabase) -> Option<Source> {
        let help = "write it like `postgres://db.example.com/shop`";
        let of_files = [
            ("backup", database.backup.is_some()),
            ("size", database.size.is_some()),
            ("temporary", database.temporary.is_some()),
        ];
        for (key, is_written) in of_files {
            if is_written {
                self.fault(key, "it is for SQLite's files", "leave it out");
            }
        }
        let Ok(url) = Url::parse(text) else {
            self.fault("url", "this is no URL", help);
            return None;
        };
        if !url.username().is_empty() || url.password().is_some() {
            let help = "write the keys `user` and `password = { file = \"...\" }`";
            self.fault("url", "user and password do not belong into the URL", help);
        }
        if url.query().is_some() || url.fragment().is_some() {
            self.fault(
                "url",
                "what follows `?` or `#` is not known",
                "there are keys for it: `tls`, `tls-ca`",
            );
        }
        let make = match url.scheme() {
            "postgres" | "postgresql" => Source::Postgres,
            "mysql" | "mariadb" => Source::Mysql,
            scheme => {
                self.fault("url", format!("`{scheme}` is no database that is known here"), help);
                return None;
            }
        };
        let default_port = if matches!(url.scheme(), "mysql" | "mariadb") {
            3306
        } else {
            5432
        };
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let name = url.path().trim_start_matches('/').to_owned();
        if host.is_empty() || name.is_empty() || name.contains('/') {
            self.fault("url", "it names a host and a database", help);
            return None;
        }
        let password = database.password.as_ref();
        let password = password.and_then(|password| match password.source(self.written) {
            Ok(source) => Some(source),
            Err(fault) => {
                self.faults.push(fault.below("password"));
                None
            }
        });
        Some(make(Server {
            tls: self.tls(&host, database),
            host,
            port: url.port().unwrap_or(default_port),
            database: name,
            user: database.user.clone().unwrap_or_else(|| "wharf".to_owned()),
            password,
        }))
    }

    fn tls(&mut self, host: &str, database: &WrittenDatabase) -> Tls {
        let file = database.tls_ca.as_ref().map(|file| self.written.path(file));
        if let Some(file) = file.as_ref().filter(|file| !file.is_file()) {
            let what = format!("there is no file {}", file.display());
            self.fault("tls-ca", what, "name a file of certificates in PEM");
        }
        let is_here = host == "localhost"
            || host
                .parse()
                .is_ok_and(|address: std::net::IpAddr| address.is_loopback());
        match database.tls {
            Some(WrittenTls::Off) => Tls::Off,
            None if is_here && file.is_none() => Tls::Off,
            Some(WrittenTls::Verify) | None => Tls::Verify(file),
        }
    }

    fn limits(&mut self, database: &WrittenDatabase) -> Limits {
        let row = database.row.as_ref();
        let row_bytes = row.map_or(Some(16 << 20), |row| self.value("row", row.bytes()));
        if row_bytes.is_some_and(|bytes| !(1024..=ROW_BYTES_MAX).contains(&bytes)) {
            self.fault("row", "a row may have from 1KiB to 1GiB", "say a size between the two");
        }
        let acquire = self.duration("acquire-time", database.acquire_time.as_ref(), 5);
        let unused = self.duration("unused-time", database.unused_time.as_ref(), 600);
        Limits {
            pool: PoolLimits {
                connections: database.connections.map_or(10, |count| count.0 as usize),
                queue: database.queue.map_or(1000, |count| count.0 as usize),
                acquire,
                unused,
            },
            patience: Patience {
                statement: self.duration("statement-time", database.statement_time.as_ref(), 30),
                idle: self.duration("idle-time", database.idle_time.as_ref(), 30),
            },
            row_bytes_max: usize::try_from(row_bytes.unwrap_or_default()).unwrap_or(usize::MAX),
            held_bytes_max: usize::try_from(self.size("held", database.held.as_ref(), HELD_BYTES))
                .unwrap_or(usize::MAX),
        }
    }

    fn size(&mut self, key: &str, written: Option<&field::Size>, default: u64) -> u64 {
        let bytes = written.and_then(|size| self.value(key, size.bytes()));
        bytes.unwrap_or(default)
    }

    fn duration(&mut self, key: &str, written: Option<&field::Duration>, default_seconds: u64) -> Duration {
        let Some(written) = written else {
            return Duration::from_secs(default_seconds);
        };
        let duration = self.value(key, written.get());
        if duration.is_some_and(|duration| duration.is_zero()) {
            self.fault(key, "it is longer than nothing", "say at least `1ms`");
        }
        duration.unwrap_or_default()
    }

    fn value<T>(&mut self, key: &str, value: Result<T, ValueError>) -> Option<T> {
        value
            .map_err(|error| self.faults.push(Fault::new([key], error.to_string())))
            .ok()
    }
}
