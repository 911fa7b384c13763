//! MySQL and MariaDB, by their protocol: statements are prepared once for each connection, and rows are read from the socket as
//! the guest takes them.

mod commits;
mod errors;
mod values;

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use mysql_async::consts::StatusFlags;
use mysql_async::prelude::Queryable as _;
use mysql_async::{BinaryProtocol, Conn, Opts, OptsBuilder, Params, QueryResult, SslOpts};

use super::engine::{Canceller, ConnectError, Connection, Control, Dialect, Engine, TransactionOptions};
use super::error::{Error, Failure, within};
use super::flow::{Room, Sink, Statement};
use super::options::{Server, Tls};
use super::tls;

/// Statements that are kept prepared. An app has some dozens.
const STATEMENTS_MAX: usize = 128;

/// The largest message that is received, or sent: a row, or a statement with its parameters. The servers' own bound, and what may always be
/// sent.
const PACKET_BYTES_MAX: usize = 1 << 30;
const PACKET_BYTES_MIN: usize = 16 << 20;

/// By how much a message may be longer than a row, for the heads of its values.
const MORE_BYTES: usize = 512 << 10;

const DIALECT: Dialect = Dialect {
    lock: "SELECT GET_LOCK('wharf_migrations', 60)",
    unlock: "SELECT RELEASE_LOCK('wharf_migrations')",
    params: ["?", "?"],
};

/// Makes connections to one server.
pub(super) struct Mysql {
    server: Server,
    read_only: bool,
    row_bytes_max: usize,
}

impl Mysql {
    pub fn new(server: Server, read_only: bool, row_bytes_max: usize) -> Self {
        Self {
            server,
            read_only,
            row_bytes_max,
        }
    }

    async fn opts(&self) -> Result<Opts, ConnectError> {
        let server = &self.server;
        let password = server.password().await?;
        // A server can be set up so that every session begins without commits of its own.
        let mut setup = vec!["SET time_zone = '+00:00', autocommit = 1".to_owned()];
        if self.read_only {
            setup.push("SET SESSION TRANSACTION READ ONLY".to_owned());
        }
        let packet_bytes_max = self.row_bytes_max.saturating_add(MORE_BYTES);
        let packet_bytes_max = packet_bytes_max.clamp(PACKET_BYTES_MIN, PACKET_BYTES_MAX);
        let opts = OptsBuilder::default()
            .ip_or_hostname(&server.host)
            .tcp_port(server.port)
            .db_name(Some(&server.database))
            .user(Some(&server.user))
            .pass(password)
            .prefer_socket(false)
            .stmt_cache_size(STATEMENTS_MAX)
            .max_allowed_packet(Some(packet_bytes_max))
            .setup(setup)
            .ssl_opts(self.tls().await?);
        Ok(opts.into())
    }

    async fn tls(&self) -> Result<Option<SslOpts>, ConnectError> {
        let Tls::Verify(file) = &self.server.tls else {
            return Ok(None);
        };
        let roots = tls::roots(file.clone()).await.map_err(ConnectError::tls)?;
        let roots = roots.into_iter().map(|root| root.to_vec().into()).collect();
        let opts = SslOpts::default().with_root_certs(roots);
        Ok(Some(opts.with_disable_built_in_roots(file.is_some())))
    }

    async fn connect(&self) -> Result<MysqlConnection, ConnectError> {
        let opts = self.opts().await?;
        let connected = Conn::new(opts.clone()).await;
        let connection = connected.map_err(|error| errors::connect(&self.server, &error))?;
        Ok(MysqlConnection {
            id: connection.id(),
            tells_autocommit: status(&connection).contains(StatusFlags::SERVER_STATUS_AUTOCOMMIT),
            tells_open: false,
            connection: Closed(Some(connection)),
            opts,
            row_bytes_max: self.row_bytes_max,
            read_only: self.read_only,
            in_transaction: false,
            is_lost: false,
        })
    }
}

impl Engine for Mysql {
    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn Connection>, ConnectError>> {
        async move {
            let connection: Box<dyn Connection> = Box::new(self.connect().await?);
            Ok(connection)
        }
        .boxed()
    }
}

/// A connection that is closed when this is dropped.
///
/// Left to itself it would first read what the server has still to say, which may be all rows there are, or wait for the end of a
/// statement. It does so in a task, and does not where there is nothing that could run one.
struct Closed(Option<Conn>);

impl Drop for Closed {
    fn drop(&mut self) {
        let connection = self.0.take();
        // A thread that cannot be made leaves it to itself.
        let _ = std::thread::Builder::new().spawn(move || drop(connection));
    }
}

impl Deref for Closed {
    type Target = Conn;

    #[allow(clippy::expect_used, reason = "only `drop` takes it")]
    fn deref(&self) -> &Conn {
        self.0.as_ref().expect("it has not been dropped")
    }
}

impl DerefMut for Closed {
    #[allow(clippy::expect_used, reason = "as above")]
    fn deref_mut(&mut self) -> &mut Conn {
        self.0.as_mut().expect("it has not been dropped")
    }
}

struct MysqlConnection {
    connection: Closed,
    /// What the server calls this connection.
    id: u32,
    opts: Opts,
    row_bytes_max: usize,
    read_only: bool,
    in_transaction: bool,
    /// Not everything that speaks the protocol says that statements are committed by themselves, and that a transaction is open.
    tells_autocommit: bool,
    tells_open: bool,
    is_lost: bool,
}

/// What the server said of the connection with its last answer; nothing after an error.
fn status(connection: &Conn) -> StatusFlags {
    let said = connection.last_ok_packet().map(|ok| ok.status_flags());
    said.unwrap_or(StatusFlags::empty())
}

impl MysqlConnection {
    /// Runs a statement, and sees to it that it begins and ends no transaction.
    async fn run_within(&mut self, statement: &Statement, sink: &Sink) -> Result<u64, Failure> {
        if self.in_transaction && commits::commits(&statement.sql) {
            return Err(Error::NotAllowed(commits::WHY.to_owned()).into());
        }
        if self.read_only && !self.in_transaction {
            return self.run_read_only(statement, sink).await;
        }
        let prepared = self.prepare(statement).await?;
        let outcome = self.run_prepared(prepared, sink).await;
        match &outcome {
            Err(failure) if failure.is_lost() => return outcome,
            // It is rolled back whatever has become of it.
            Err(Failure::Refused(Error::Conflict(_))) if self.in_transaction => return outcome,
            _ => {}
        }
        if self.connection.last_ok_packet().is_none() {
            // An error does not say what has become of a transaction.
            let asked = self.connection.ping().await;
            asked.map_err(|error| errors::failure(error).lost())?;
        }
        within(outcome, self.is_open(), self.in_transaction)
    }

    /// A guest could set what a session begins with, but not what a transaction has begun with.
    async fn run_read_only(&mut self, statement: &Statement, sink: &Sink) -> Result<u64, Failure> {
        self.script("START TRANSACTION READ ONLY").await?;
        let outcome = match self.prepare(statement).await {
            Ok(prepared) => self.run_prepared(prepared, sink).await,
            Err(failure) => Err(failure),
        };
        if outcome.as_ref().is_err_and(Failure::is_lost) {
            return outcome;
        }
        self.script("ROLLBACK").await.map_err(Failure::lost)?;
        within(outcome, self.is_open(), false)
    }

    async fn prepare(&mut self, statement: &Statement) -> Result<(mysql_async::Statement, Params), Failure> {
        let prepared = self.connection.prep(&*statement.sql).await.map_err(errors::failure)?;
        let params = values::params(&statement.params, prepared.num_params())?;
        Ok((prepared, params))
    }

    async fn run_prepared(
        &mut self,
        (prepared, params): (mysql_async::Statement, Params),
        sink: &Sink,
    ) -> Result<u64, Failure> {
        let row_bytes_max = self.row_bytes_max;
        let failure = |error| errors::of_result(error, row_bytes_max);
        let mut rows = self.connection.exec_iter(&prepared, params).await.map_err(failure)?;
        let mut is_told = false;
        let delivered = deliver(&mut rows, sink, failure, &mut is_told).await;
        if delivered == Err(Error::Cancelled.into()) {
            // What the server has still to say comes before anything else on this connection.
            while rows.next().await.map_err(failure)?.is_some() {}
        }
        delivered.map_err(|failure| match failure {
            Failure::Refused(Error::ValueConversionFailed(_)) | Failure::Large { .. } => failure.lost(),
            // Unless the server has said that it heeded it, the request to cancel may still be under way, and would meet the next
            // statement.
            Failure::Refused(error @ Error::Cancelled) if !is_told => Failure::Lost(error),
            failure => failure,
        })?;
        // A procedure has a result for each of its statements, and one of its own, which alone says how it has left the connection.
        let changed = rows.affected_rows();
        rows.drop_result().await.map_err(failure)?;
        sink.finish();
        Ok(changed)
    }

    /// Whether the server is in a transaction, or begins one with the next statement, as it said last.
    fn is_open(&self) -> bool {
        let status = status(&self.connection);
        let is_open = status.contains(StatusFlags::SERVER_STATUS_IN_TRANS);
        let begins = self.tells_autocommit && !status.contains(StatusFlags::SERVER_STATUS_AUTOCOMMIT);
        match self.in_transaction {
            true => is_open || !self.tells_open,
            false => is_open || begins,
        }
    }

    async fn script(&mut self, sql: &str) -> Result<(), Failure> {
        self.connection.query_drop(sql).await.map_err(errors::failure)
    }

    async fn control(&mut self, control: Control) -> Result<(), Failure> {
        match control {
            Control::Begin(options) => {
                self.begin(options).await?;
                self.in_transaction = true;
                self.tells_open = status(&self.connection).contains(StatusFlags::SERVER_STATUS_IN_TRANS);
            }
            Control::Commit => self.end("COMMIT").await?,
            Control::Rollback => self.end("ROLLBACK").await?,
        }
        Ok(())
    }

    /// A session can be set so that the next transaction begins at once.
    async fn end(&mut self, sql: &str) -> Result<(), Failure> {
        self.script(sql).await?;
        self.in_transaction = false;
        self.is_lost |= self.is_open();
        Ok(())
    }

    async fn begin(&mut self, options: TransactionOptions) -> Result<(), Failure> {
        if let Some(level) = options.isolation {
            self.script(&format!("SET TRANSACTION ISOLATION LEVEL {}", level.sql()))
                .await?;
        }
        let read_only = options.read_only || self.read_only;
        let access = if read_only { "READ ONLY" } else { "READ WRITE" };
        self.script(&format!("START TRANSACTION {access}")).await
    }

    /// Keeps in mind what has become of the connection.
    fn seen<T>(&mut self, outcome: Result<T, Failure>) -> Result<T, Failure> {
        self.is_lost |= outcome.as_ref().is_err_and(Failure::is_lost);
        outcome
    }
}

/// The columns go with the first row or the end, so that what fails before it is an error of the call.
async fn deliver(
    rows: &mut QueryResult<'_, 'static, BinaryProtocol>,
    sink: &Sink,
    failure: impl Fn(mysql_async::Error) -> Failure,
    is_told: &mut bool,
) -> Result<(), Failure> {
    let columns = rows.columns().unwrap_or_default();
    let describe = || sink.columns(|| columns.iter().map(values::column).collect());
    let mut told = |error| {
        *is_told = true;
        failure(error)
    };
    while let Some(row) = rows.next().await.map_err(&mut told)? {
        describe();
        if sink.put(values::row(row, &columns)?)? == Room::None {
            sink.room().await?;
        }
    }
    describe();
    Ok(())
}

impl Connection for MysqlConnection {
    fn run(&mut self, statement: Arc<Statement>, sink: Sink) -> BoxFuture<'_, Result<u64, Failure>> {
        async move {
            let outcome = self.run_within(&statement, &sink).await;
            self.seen(outcome)
        }
        .boxed()
    }

    fn control(&mut self, control: Control) -> BoxFuture<'_, Result<(), Failure>> {
        async move {
            let outcome = self.control(control).await;
            self.seen(outcome)
        }
        .boxed()
    }

    /// With its settings ([`Mysql::opts`]).
    fn reset(&mut self) -> BoxFuture<'_, bool> {
        // Servers that do not know how say no.
        async move { matches!(self.connection.reset().await, Ok(true)) }.boxed()
    }

    fn script(&mut self, sql: String) -> BoxFuture<'_, Result<(), Failure>> {
        async move {
            let outcome = self.script(&sql).await;
            // The operator may end a transaction where he likes, and definitions do.
            self.in_transaction &= outcome.is_err() || self.is_open();
            self.seen(outcome)
        }
        .boxed()
    }

    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }

    fn canceller(&self) -> Box<dyn Canceller> {
        Box::new(Kill {
            id: self.id,
            opts: self.opts.clone(),
        })
    }

    fn is_usable(&self) -> bool {
        !self.is_lost && !self.connection.is_disconnected()
    }

    fn check(&mut self) -> BoxFuture<'_, bool> {
        async move {
            let stands = self.connection.ping().await.is_ok();
            stands && self.is_open() == self.in_transaction
        }
        .boxed()
    }
}

/// Asks on a connection of its own: this one listens to nothing before it is done.
struct Kill {
    id: u32,
    opts: Opts,
}

impl Canceller for Kill {
    fn cancel(&self, nth: usize) -> BoxFuture<'_, bool> {
        // What has not begun is not ended by the former, and is by the latter.
        let what = if nth == 1 { "QUERY" } else { "CONNECTION" };
        async move {
            // Where that fails, the connection is closed after a while.
            let Ok(mut connection) = Conn::new(self.opts.clone()).await else {
                return false;
            };
            let killed = connection.query_drop(format!("KILL {what} {}", self.id)).await;
            let _ = connection.disconnect().await;
            killed.is_ok()
        }
        .boxed()
    }

    /// The server may come to it when the statement has ended already. Only where one says that it was interrupted, nobody else
    /// will be.
    fn has_met(&self, outcome: &Result<u64, Failure>, asked: usize) -> bool {
        asked == 1 && *outcome == Err(Failure::Refused(Error::Cancelled))
    }
}
