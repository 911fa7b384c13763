//! What is behind the measured servers: files, PostgreSQL, Redis, each made for one workload, in a scratch folder and on a free
//! port, filled, and ended with it.

use std::any::Any;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, anyhow, ensure};
use wharf_tests::{Brand, DatabaseServer, PASSWORD, Redis, Scratch};

use crate::machine::Missing;
use crate::place::Place;
use crate::workloads::{Backend, ROWS};

/// Connections of all servers together, and one for whoever looks after them.
const POSTGRES_FLAGS: &[&str] = &["-c", "max_connections=200"];

/// Something to ask. It ends when this is dropped.
pub struct Behind {
    /// Files, and a folder for each app.
    folder: Scratch,
    kind: Kind,
}

enum Kind {
    Sqlite,
    Postgres(DatabaseServer),
    Memory,
    Redis(Redis),
}

impl Behind {
    /// # Errors
    /// [`Missing`]; or when it does not come up.
    pub fn start(backend: Backend, place: Place) -> Result<Self> {
        let _aside = Aside::begin(place)?;
        let folder = Scratch::new();
        let kind = match backend {
            Backend::Sqlite => {
                make_sqlite(&folder.join("notes.db"))?;
                Kind::Sqlite
            }
            Backend::Postgres => Kind::Postgres(start("PostgreSQL", || {
                let server = DatabaseServer::start(Brand::Postgres, POSTGRES_FLAGS)?;
                let rows = format!("select id, 'note ' || id from generate_series(1, {ROWS}) as id");
                server.sql("create table note (id bigint primary key, text text not null)");
                server.sql(&format!("insert into note {rows}"));
                server.sql("vacuum analyze note");
                Some(server)
            })?),
            Backend::Redis => Kind::Redis(start("redis-server", Redis::start)?),
            Backend::Memory | Backend::Origin => Kind::Memory,
        };
        Ok(Self { folder, kind })
    }

    /// For the native server.
    pub fn native_flags(&self) -> Vec<String> {
        let flags = match &self.kind {
            Kind::Sqlite => [
                "--sqlite".to_owned(),
                self.folder.join("notes.db").display().to_string(),
            ],
            Kind::Postgres(server) => {
                let place = format!("host=127.0.0.1 port={}", server.port());
                let config = format!("{place} user=wharf password={PASSWORD} dbname=shop");
                ["--postgres".to_owned(), config]
            }
            Kind::Redis(redis) => ["--redis".to_owned(), redis.url()],
            Kind::Memory => return Vec::new(),
        };
        flags.into()
    }

    /// Writes the manifest of an app, in a folder of its own.
    pub fn manifest(&self, name: &str, component: &Path, isolation: &str) -> Result<PathBuf> {
        let folder = self.folder.join(name.replace([' ', ','], "-"));
        fs::create_dir_all(&folder)?;
        let sections = self.sections(&folder)?;
        let component = component.canonicalize()?;
        let component = component.display();
        let manifest = format!("name = 'data'\ncomponent = '{component}'\nisolation = '{isolation}'\n{sections}");
        let file = folder.join("wharf.toml");
        fs::write(&file, manifest)?;
        Ok(file)
    }

    /// What it grants.
    fn sections(&self, folder: &Path) -> Result<String> {
        Ok(match &self.kind {
            Kind::Sqlite => {
                fs::copy(self.folder.join("notes.db"), folder.join("notes.db"))?;
                "[sql.default]\npath = 'notes.db'\n".to_owned()
            }
            Kind::Postgres(server) => {
                let place = format!("127.0.0.1:{}", server.port());
                let environment = format!("DB_ADDRESS = '{place}'\nDB_USER = 'wharf'\nDB_NAME = 'shop'");
                format!(
                    "[sql.default]\n{}\n[sockets]\nallow = ['{place}']\n[environment]\n{environment}\n\
                     DB_PASSWORD = '{PASSWORD}'\n",
                    server.keys()
                )
            }
            Kind::Memory => "[cache]\n[keyvalue.default]\n".to_owned(),
            Kind::Redis(redis) => {
                let url = redis.url();
                format!("[cache.redis]\nurl = '{url}'\n[keyvalue.default.redis]\nurl = '{url}'\n")
            }
        })
    }
}

/// What the tests' harness starts: it says by a panic that something failed, and by nothing that it is not there.
fn start<T>(name: &'static str, start: impl FnOnce() -> Option<T>) -> Result<T> {
    let said = |panic: Box<dyn Any + Send>| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        anyhow!("{name} did not come up: {}", text.unwrap_or_default())
    };
    let started = catch_unwind(AssertUnwindSafe(start)).map_err(said)?;
    started.ok_or_else(|| Missing(name).into())
}

fn make_sqlite(file: &Path) -> Result<()> {
    let connection = rusqlite::Connection::open(file)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.execute_batch(&format!(
        "create table note (id integer primary key, text text not null);
         with recursive n(id) as (select 1 union all select id + 1 from n limit {ROWS})
         insert into note select id, 'note ' || id from n;
         pragma wal_checkpoint(truncate);"
    ))?;
    Ok(())
}

/// While this is there, what this program starts runs where the measured servers do not.
struct Aside {
    before: Option<String>,
}

impl Aside {
    fn begin(place: Place) -> Result<Self> {
        let Some(core) = place.aside() else {
            return Ok(Self { before: None });
        };
        let status = fs::read_to_string("/proc/self/status")?;
        let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let before = allowed
            .context("the kernel says where a process may run")?
            .trim()
            .to_owned();
        pin(core)?;
        Ok(Self { before: Some(before) })
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // What is measured afterwards is given its core by itself.
            let _ = pin(before);
        }
    }
}

fn pin(cores: &str) -> Result<()> {
    let mut command = Command::new("taskset");
    command.args(["--pid", "--cpu-list", cores, &std::process::id().to_string()]);
    let status = command
        .stdout(Stdio::null())
        .status()
        .context("there is no `taskset`")?;
    ensure!(status.success(), "`taskset` cannot move this program to core {cores}");
    Ok(())
}
