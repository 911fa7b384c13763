//! Servers of databases, from Debian's packages, each with a folder and a port of its own.
//!
//! There is one database, `shop`, and one user, `wharf`, whose password is `secret`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::installed::installed;
use crate::port::HeldPort;
use crate::program::finish;
use crate::scratch::Scratch;
use crate::wait::eventually_within;

/// How long a server may take to be there, on a machine that has more to do.
const START: Duration = Duration::from_secs(90);

/// The password of the user `wharf`.
pub const PASSWORD: &str = "secret";

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brand {
    /// PostgreSQL.
    Postgres,
    /// MariaDB.
    Mariadb,
}

/// A server, running or not. It is killed when this is dropped.
#[derive(Debug)]
pub struct DatabaseServer {
    brand: Brand,
    scratch: Scratch,
    port: HeldPort,
    more: Vec<String>,
    child: Mutex<Option<Child>>,
}

impl Brand {
    /// The program that serves; `None` where it is known to be absent.
    fn program(self) -> Option<PathBuf> {
        match self {
            Self::Postgres => postgres_program("postgres"),
            Self::Mariadb => installed("mariadbd"),
        }
    }
}

/// Debian keeps those of the server in a folder with its version.
fn postgres_program(name: &str) -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found = versions
        .map(|version| version.path().join("bin").join(name))
        .find(|file| file.is_file());
    found.or_else(|| installed(name))
}

impl DatabaseServer {
    /// A server that runs, with further flags; `None` where there is none on this machine.
    ///
    /// # Panics
    ///
    /// When it does not come up.
    pub fn start(brand: Brand, more: &[&str]) -> Option<Self> {
        let server = Self::new(brand, more)?;
        server.run();
        Some(server)
    }

    /// A server that does not run yet.
    ///
    /// # Panics
    ///
    /// When its folder cannot be made.
    pub fn new(brand: Brand, more: &[&str]) -> Option<Self> {
        brand.program()?;
        let server = Self {
            brand,
            scratch: Scratch::new(),
            port: HeldPort::new(),
            more: more.iter().map(|flag| (*flag).to_owned()).collect(),
            child: Mutex::default(),
        };
        server.make();
        Some(server)
    }

    /// What the manifest says of it: its address, the user, and the password's file.
    pub fn keys(&self) -> String {
        let scheme = match self.brand {
            Brand::Postgres => "postgres",
            Brand::Mariadb => "mariadb",
        };
        let file = self.scratch.write("password", PASSWORD);
        let (port, file) = (self.port(), file.display());
        format!("url = '{scheme}://127.0.0.1:{port}/shop'\nuser = 'wharf'\npassword = {{ file = '{file}' }}\n")
    }

    /// Which server it is.
    pub fn brand(&self) -> Brand {
        self.brand
    }

    /// Where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port.addr().port()
    }

    /// Writes a file that the server may read, and nobody else.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn keep(&self, name: &str, content: &[u8]) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let file = self.scratch.write(name, content);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("it is ours");
        if self.brand == Brand::Postgres {
            own(&file);
        }
        file
    }

    /// The same, with further flags when it runs.
    #[must_use]
    pub fn with(mut self, more: impl IntoIterator<Item = String>) -> Self {
        self.more.extend(more);
        self
    }

    /// The folder of its files.
    pub fn folder(&self) -> &Path {
        &self.scratch
    }

    fn data(&self) -> PathBuf {
        self.scratch.join("data")
    }

    /// Makes its files.
    fn make(&self) {
        let data = self.data();
        fs::create_dir_all(&data).expect("a folder can be made");
        let mut command = match self.brand {
            Brand::Postgres => {
                own(self.scratch.path());
                let password = self.scratch.write("password", PASSWORD);
                own(&data);
                own(&password);
                let mut command = self.as_user(&postgres_program("initdb").expect("it comes with the server"));
                command.args([
                    "--no-sync",
                    "--auth=scram-sha-256",
                    "--username=wharf",
                    "--encoding=UTF8",
                    "--locale=C",
                ]);
                command.arg(format!("--pwfile={}", password.display()));
                command.arg(format!("--pgdata={}", data.display()));
                command
            }
            Brand::Mariadb => {
                let mut command = Command::new(installed("mariadb-install-db").expect("it comes with the server"));
                self.keep_apart(&mut command);
                command.args([
                    "--no-defaults",
                    "--auth-root-authentication-method=normal",
                    "--skip-test-db",
                ]);
                command.arg(format!("--user={}", user(self.brand)));
                command.arg(format!("--datadir={}", data.display()));
                command
            }
        };
        let made = finish(&mut command, "");
        assert_eq!(made.code(), Some(0), "{command:?}: {made:?}");
    }

    /// One that starts deletes what it takes for left over in the folder of temporary files, also what another has just made.
    fn keep_apart(&self, command: &mut Command) {
        command.env("TMPDIR", self.scratch.path());
    }

    /// A command of a user who may run a server.
    fn as_user(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Some((uid, gid)) = ids(self.brand) {
            use std::os::unix::process::CommandExt as _;
            command.uid(uid).gid(gid);
        }
        command.current_dir(self.scratch.path());
        command
    }

    /// Starts it, and waits until it answers.
    ///
    /// # Panics
    ///
    /// When it does not within 90 s.
    pub fn run(&self) {
        let program = self.brand.program().expect("it was there before");
        let mut command = self.as_user(&program);
        let (port, folder) = (self.port(), self.scratch.display());
        match self.brand {
            Brand::Postgres => {
                command.args(["-D", &self.data().to_string_lossy(), "-p", &port.to_string()]);
                command.args(["-k", &folder.to_string(), "-h", "127.0.0.1", "-F"]);
            }
            Brand::Mariadb => {
                let first = "CREATE DATABASE IF NOT EXISTS shop CHARACTER SET utf8mb4;\n\
                             CREATE USER IF NOT EXISTS wharf@'%' IDENTIFIED BY 'secret';\n\
                             GRANT ALL ON shop.* TO wharf@'%';\nGRANT PROCESS ON *.* TO wharf@'%';\n";
                let first = self.scratch.write("first.sql", first);
                self.keep_apart(&mut command);
                command.args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-name-resolve"]);
                command.args(["--innodb-flush-log-at-trx-commit=2", "--innodb-buffer-pool-size=32M"]);
                command.arg(format!("--user={}", user(self.brand)));
                command.arg(format!("--port={port}"));
                command.arg(format!("--datadir={}", self.data().display()));
                command.arg(format!("--socket={folder}/socket"));
                command.arg(format!("--pid-file={folder}/pid"));
                command.arg(format!("--init-file={}", first.display()));
            }
        }
        command.args(&self.more).stdin(Stdio::null());
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.scratch.join("log"))
            .expect("a log can be written");
        command
            .stdout(log.try_clone().expect("a file has many handles"))
            .stderr(log);
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        *self.child.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
        let is_up = || match self.brand {
            Brand::Postgres => self.try_sql_in("postgres", "SELECT 1").is_ok(),
            Brand::Mariadb => self.try_sql("SELECT 1").is_ok(),
        };
        eventually_within(START, is_up, "the database's server to answer");
        if self.brand == Brand::Postgres && self.try_sql("SELECT 1").is_err() {
            self.try_sql_in("postgres", "CREATE DATABASE shop")
                .expect("a database can be made");
        }
    }

    /// Ends it at once, as a crash would. Does nothing where it does not run.
    pub fn kill(&self) {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut child) = child else { return };
        if self.brand == Brand::Postgres {
            // Its children end themselves when they see that it has gone; asked to, it takes them along.
            signal(&child, rustix::process::Signal::QUIT);
        } else {
            let _ = child.kill();
        }
        let _ = child.wait();
    }

    /// Stops it where it is, or lets it go on. Every thread of it stands when this returns.
    ///
    /// # Panics
    ///
    /// When it does not stop.
    pub fn freeze(&self, is_frozen: bool) {
        use rustix::process::Signal;
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(child) = child.as_ref() else { return };
        let which = if is_frozen { Signal::STOP } else { Signal::CONT };
        let workers = children(child.id());
        for &pid in &workers {
            let _ = rustix::process::kill_process(pid, which);
        }
        signal(child, which);
        if is_frozen {
            // The signal stops a thread when it next runs, and one that is woken by a request may answer that first.
            let pids = workers.iter().map(|pid| pid.as_raw_nonzero().get() as u32);
            let stand = || pids.clone().chain([child.id()]).all(stands);
            eventually_within(START, stand, "the database to stand still");
        }
    }

    /// What a statement says, in lines, past Wharf.
    ///
    /// # Panics
    ///
    /// When it fails.
    pub fn sql(&self, sql: &str) -> String {
        self.try_sql(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    fn try_sql(&self, sql: &str) -> Result<String, String> {
        self.try_sql_in("shop", sql)
    }

    fn try_sql_in(&self, database: &str, sql: &str) -> Result<String, String> {
        let port = self.port().to_string();
        let mut command = match self.brand {
            Brand::Postgres => {
                let mut command = Command::new(installed("psql").expect("it comes with the server"));
                command
                    .env("PGPASSWORD", PASSWORD)
                    .env("PGCONNECT_TIMEOUT", "5")
                    .env("PGAPPNAME", "test");
                command.args([
                    "-h",
                    "127.0.0.1",
                    "-p",
                    &port,
                    "-U",
                    "wharf",
                    "-d",
                    database,
                    "-X",
                    "-At",
                    "-c",
                    sql,
                ]);
                command
            }
            Brand::Mariadb => {
                let mut command = Command::new(installed("mariadb").expect("it comes with the server"));
                command.args([
                    "--no-defaults",
                    "-h",
                    "127.0.0.1",
                    "-P",
                    &port,
                    "-u",
                    "wharf",
                    "-D",
                    database,
                ]);
                command.args([
                    "--connect-timeout=5",
                    &format!("--password={PASSWORD}"),
                    "-N",
                    "-B",
                    "-e",
                    sql,
                ]);
                command
            }
        };
        let said = finish(&mut command, "");
        match said.code() {
            Some(0) => Ok(said.stdout.trim().to_owned()),
            _ => Err(said.stderr),
        }
    }

    /// How many connections it has, but for the one that asks.
    ///
    /// # Panics
    ///
    /// When it does not answer.
    pub fn connections(&self) -> usize {
        let sql = match self.brand {
            Brand::Postgres => "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'wharf'",
            Brand::Mariadb => {
                "SELECT count(*) FROM information_schema.processlist WHERE user = 'wharf' AND id <> connection_id()"
            }
        };
        self.sql(sql).parse().expect("a number")
    }

    /// Whether a statement runs now that has this text.
    ///
    /// # Panics
    ///
    /// When it does not answer.
    pub fn runs(&self, text: &str) -> bool {
        self.running_with(text) > 0
    }

    /// How many statements run now that have this text.
    ///
    /// # Panics
    ///
    /// When it does not answer.
    pub fn running_with(&self, text: &str) -> usize {
        let sql = match self.brand {
            Brand::Postgres => {
                "SELECT query FROM pg_stat_activity WHERE application_name = 'wharf' AND state = 'active'"
            }
            Brand::Mariadb => {
                "SELECT info FROM information_schema.processlist \
                 WHERE user = 'wharf' AND id <> connection_id() AND command IN ('Execute', 'Query')"
            }
        };
        self.sql(sql).matches(text).count()
    }

    /// How many statements run now, but for the one that asks.
    ///
    /// # Panics
    ///
    /// When it does not answer.
    pub fn running(&self) -> usize {
        let sql = match self.brand {
            Brand::Postgres => {
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'wharf' AND state <> 'idle'"
            }
            Brand::Mariadb => {
                "SELECT count(*) FROM information_schema.processlist \
                 WHERE user = 'wharf' AND id <> connection_id() AND command <> 'Sleep'"
            }
        };
        self.sql(sql).parse().expect("a number")
    }
}

impl Drop for DatabaseServer {
    fn drop(&mut self) {
        self.freeze(false);
        self.kill();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.scratch.join("log")).unwrap_or_default();
            eprintln!("--- log of {:?}\n{log}", self.brand);
        }
    }
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(child);
    let _ = rustix::process::kill_process(pid, signal);
}

/// The processes that a process has started.
fn children(pid: u32) -> Vec<rustix::process::Pid> {
    let listed = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let pids = listed.split_whitespace().filter_map(|pid| pid.parse().ok());
    pids.filter_map(rustix::process::Pid::from_raw).collect()
}

/// Whether every thread of a process is stopped or has ended, or there is no such process.
fn stands(pid: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return true;
    };
    // The state follows the name, which may hold anything but ends with the last parenthesis.
    // One that has ended does nothing either, although whoever started it, and stands, has not taken note of that.
    let is_stopped = |stat: &str| {
        stat.rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with(['T', 'Z', 'X']))
    };
    let mut stats = threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok());
    stats.all(|stat| is_stopped(&stat))
}

/// Who runs the server: PostgreSQL does not serve for root.
fn user(brand: Brand) -> String {
    let is_root = rustix::process::geteuid().is_root();
    match brand {
        Brand::Postgres if is_root => "postgres".to_owned(),
        _ if is_root => "root".to_owned(),
        _ => std::env::var("USER").unwrap_or_default(),
    }
}

/// The numbers of that user, where it is another.
fn ids(brand: Brand) -> Option<(u32, u32)> {
    let name = user(brand);
    if !rustix::process::geteuid().is_root() || name == "root" {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("the system has users");
    let line = users
        .lines()
        .find(|line| line.split(':').next() == Some(&name))
        .expect("its package makes the user");
    let mut fields = line.split(':').skip(2).filter_map(|field| field.parse().ok());
    Some((fields.next()?, fields.next()?))
}

/// Gives a file or folder to the user of PostgreSQL's server.
fn own(path: &Path) {
    if let Some((uid, gid)) = ids(Brand::Postgres) {
        std::os::unix::fs::chown(path, Some(uid), Some(gid)).expect("root may give files away");
    }
}
