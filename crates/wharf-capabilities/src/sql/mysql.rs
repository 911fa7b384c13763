//! MySQL and MariaDB, by their protocol: statements are prepared once for each connection, and rows are read from the socket as
//! the guest takes them.

mod errors;
mod values;

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use mysql_async::prelude::Queryable as _;
use mysql_async::{BinaryProtocol, Conn, Opts, OptsBuilder, QueryResult, SslOpts};

use super::engine::{Canceller, ConnectError, Connection, Control, Dialect, Engine, TransactionOptions};
use super::error::{Error, Failure};
use super::flow::{Room, Sink, Statement};
use super::options::{Server, Tls};
use super::tls;

/// Statements that are kept prepared. An app has some dozens.
const STATEMENTS_MAX: usize = 128;

/// The largest message: a row, or a statement with its parameters. The servers' own bound.
const PACKET_BYTES_MAX: usize = 1 << 30;

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
        let mut setup = vec!["SET time_zone = '+00:00'".to_owned()];
        if self.read_only {
            setup.push("SET SESSION TRANSACTION READ ONLY".to_owned());
        }
        let opts = OptsBuilder::default()
            .ip_or_hostname(&server.host)
            .tcp_port(server.port)
            .db_name(Some(&server.database))
            .user(Some(&server.user))
            .pass(password)
            .prefer_socket(false)
            .stmt_cache_size(STATEMENTS_MAX)
            .max_allowed_packet(Some(self.row_bytes_max.clamp(16 << 20, PACKET_BYTES_MAX)))
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
            connection: Closed(Some(connection)),
            opts,
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
    read_only: bool,
    in_transaction: bool,
    is_lost: bool,
}

impl MysqlConnection {
    /// A guest could set what a session begins with, but not what a transaction has begun with.
    async fn run_wrapped(&mut self, statement: &Statement, sink: &Sink) -> Result<u64, Failure> {
        if !self.read_only || self.in_transaction {
            return self.run(statement, sink).await;
        }
        self.script("START TRANSACTION READ ONLY").await?;
        let outcome = self.run(statement, sink).await;
        if !outcome.as_ref().is_err_and(Failure::is_lost) {
            let rolled_back = self.script("ROLLBACK").await;
            rolled_back.map_err(|failure| Failure::Lost(failure.into_error()))?;
        }
        outcome
    }

    async fn run(&mut self, statement: &Statement, sink: &Sink) -> Result<u64, Failure> {
        let prepared = self.connection.prep(&*statement.sql).await.map_err(errors::failure)?;
        let params = values::params(&statement.params, prepared.num_params())?;
        let mut rows = self
            .connection
            .exec_iter(&prepared, params)
            .await
            .map_err(errors::failure)?;
        let mut is_told = false;
        let delivered = deliver(&mut rows, sink, &mut is_told).await;
        if delivered == Err(Error::Cancelled.into()) {
            // What the server has still to say comes before anything else on this connection.
            while rows.next().await.map_err(errors::failure)?.is_some() {}
        }
        delivered.map_err(|failure| match failure {
            Failure::Refused(error @ Error::ValueConversionFailed(_)) => Failure::Lost(error),
            // Unless the server has said that it heeded it, the request to cancel may still be under way, and would meet the next
            // statement.
            Failure::Refused(error @ Error::Cancelled) if !is_told => Failure::Lost(error),
            failure => failure,
        })?;
        sink.finish();
        Ok(rows.affected_rows())
    }

    async fn script(&mut self, sql: &str) -> Result<(), Failure> {
        self.connection.query_drop(sql).await.map_err(errors::failure)
    }

    async fn control(&mut self, control: Control) -> Result<(), Failure> {
        match control {
            Control::Begin(options) => self.begin(options).await?,
            Control::Commit => self.script("COMMIT").await?,
            Control::Rollback => self.script("ROLLBACK").await?,
        }
        self.in_transaction = matches!(control, Control::Begin(_));
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
    is_told: &mut bool,
) -> Result<(), Failure> {
    let columns = rows.columns().unwrap_or_default();
    let describe = || sink.columns(|| columns.iter().map(values::column).collect());
    let mut told = |error| {
        *is_told = true;
        errors::failure(error)
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
            let outcome = self.run_wrapped(&statement, &sink).await;
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
        async move { self.connection.ping().await.is_ok() }.boxed()
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
