//! PostgreSQL, by its protocol of messages: statements are prepared once for each connection, and rows come as they are read.
//!
//! Parameters go as text, which the server reads as whatever type stands in their place; results come in binary form
//! (`sql/postgres/values.rs`).

mod errors;
mod fields;
mod messages;
mod numeric;
mod statements;
mod values;

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{CancelToken, Client, Config, NoTls, RowStream};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::engine::{Canceller, ConnectError, Connection, Control, Dialect, Engine, TransactionOptions};
use super::error::{Error, Failure, within};
use super::flow::{Room, Sink, Statement};
use super::options::{Server, Tls};
use super::statement::reads;
use super::tls;
use super::value::Column;
use messages::{Messages, Seen, Within};
use statements::Statements;

const DIALECT: Dialect = Dialect {
    // Any number will do, and is the same for all servers that are Wharf.
    lock: "SELECT pg_advisory_xact_lock(8243620915)",
    unlock: "",
    params: ["$1", "$2"],
};

/// For a statement that nobody could cancel, because the server did not answer, or because we were killed: it ends when the server
/// sees that its connection is closed.
const LOOK_AFTER_CLIENTS: &str = "SET client_connection_check_interval = '5s'";

/// The version of the server that knows this.
const LOOKS_AFTER_CLIENTS_SINCE: u32 = 14;

/// From its first query on, a transaction that only reads cannot be made to write (`SET TRANSACTION`).
const READ_ONLY: &str = " READ ONLY; SELECT 1";

/// How long a connection may take to say that it ends.
const FAREWELL_MAX: Duration = Duration::from_secs(1);

/// Makes connections to one server.
pub(super) struct Postgres {
    server: Server,
    read_only: bool,
    row_bytes_max: usize,
}

impl Postgres {
    pub fn new(server: Server, read_only: bool, row_bytes_max: usize) -> Self {
        Self {
            server,
            read_only,
            row_bytes_max,
        }
    }

    /// Once for each connection.
    async fn config(&self) -> Result<Config, ConnectError> {
        let server = &self.server;
        let mut config = Config::new();
        config
            .dbname(&server.database)
            .user(&server.user)
            .application_name("wharf");
        if let Some(password) = server.password().await? {
            config.password(password);
        }
        let read_only = if self.read_only {
            " -c default_transaction_read_only=on"
        } else {
            ""
        };
        config.options(format!(
            "-c TimeZone=UTC -c DateStyle=ISO -c IntervalStyle=postgres{read_only}"
        ));
        Ok(config)
    }

    async fn connect(&self) -> Result<PostgresConnection, ConnectError> {
        let mut config = self.config().await?;
        let Server { host, port, .. } = &self.server;
        let failed = |error: tokio_postgres::Error| errors::connect(&self.server, &error);
        let unreachable = |error: io::Error| ConnectError::unreachable(format!("{host}:{port}: {error}"));
        let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let addr = stream.peer_addr().map_err(unreachable)?;
        let seen = Seen::new(self.row_bytes_max);
        let (client, driver, tls) = match &self.server.tls {
            Tls::Off => {
                config.ssl_mode(SslMode::Disable);
                let stream = Messages::new(stream, seen.clone());
                let (client, connection) = config.connect_raw(stream, NoTls).await.map_err(failed)?;
                (client, Driver::spawn(connection), None)
            }
            Tls::Verify(file) => {
                config.ssl_mode(SslMode::Require);
                let settings = tls::client(file.clone()).await.map_err(ConnectError::tls)?;
                let tls = Encryption {
                    tls: MakeRustlsConnect::new(settings),
                    host: host.clone(),
                };
                let within = Within {
                    connect: tls.connect(),
                    seen: seen.clone(),
                };
                let (client, connection) = config.connect_raw(stream, within).await.map_err(failed)?;
                (client, Driver::spawn(connection), Some(tls))
            }
        };
        let connection = PostgresConnection {
            client,
            driver,
            addr,
            tls,
            statements: Statements::default(),
            seen,
            read_only: self.read_only,
            in_transaction: false,
        };
        connection.set_up().await;
        Ok(connection)
    }
}

/// How connections to one server are encrypted.
#[derive(Clone)]
struct Encryption {
    tls: MakeRustlsConnect,
    /// The name that its certificate holds for.
    host: String,
}

impl Encryption {
    fn connect(&self) -> <MakeRustlsConnect as MakeTlsConnect<TcpStream>>::TlsConnect {
        let Ok(connect) = MakeTlsConnect::<TcpStream>::make_tls_connect(&mut self.tls.clone(), &self.host);
        connect
    }
}

/// Drives a connection until this is dropped. How it ends, the client's calls hear.
///
/// Left to itself it would end with the client's last answer, and a statement that could not be cancelled have its connection
/// for as long as it takes.
struct Driver {
    /// Whether this server can see, while a statement runs, that its client has gone.
    looks_after_clients: bool,
    _dropped: DropGuard,
}

impl Driver {
    fn spawn<S, T>(connection: tokio_postgres::Connection<S, T>) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let version = connection.parameter("server_version").unwrap_or_default();
        let major = version.split(['.', ' ']).next().and_then(|major| major.parse().ok());
        let looks_after_clients = major >= Some(LOOKS_AFTER_CLIENTS_SINCE);
        let dropped = CancellationToken::new();
        let guard = dropped.clone().drop_guard();
        tokio::spawn(async move {
            let mut connection = pin!(connection);
            tokio::select! {
                _ = &mut connection => return,
                () = dropped.cancelled() => {}
            }
            let _ = timeout(FAREWELL_MAX, connection).await;
        });
        Self {
            looks_after_clients,
            _dropped: guard,
        }
    }
}

impl Engine for Postgres {
    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn Connection>, ConnectError>> {
        async move {
            let connection: Box<dyn Connection> = Box::new(self.connect().await?);
            Ok(connection)
        }
        .boxed()
    }
}

struct PostgresConnection {
    client: Client,
    driver: Driver,
    /// Where the server is: of several with one name, the one that this connection is to.
    addr: SocketAddr,
    tls: Option<Encryption>,
    statements: Statements,
    seen: Arc<Seen>,
    read_only: bool,
    in_transaction: bool,
}

impl PostgresConnection {
    /// What it begins with, beside [`Postgres::config`].
    async fn set_up(&self) {
        if self.driver.looks_after_clients {
            // A server whose system cannot tell says no: it goes without.
            let _ = self.client.batch_execute(LOOK_AFTER_CLIENTS).await;
        }
    }

    /// Runs a statement, and sees to it that it begins and ends no transaction.
    async fn run_within(&mut self, statement: &Statement, sink: &Sink) -> Result<u64, Failure> {
        let commits = self.seen.commits();
        let outcome = self.run_wrapped(statement, sink).await;
        if outcome.as_ref().is_err_and(Failure::is_lost) {
            return outcome;
        }
        if outcome.is_err() && self.in_transaction {
            // What has become of the transaction the server says after the error, and the client does not wait for that. Outside of
            // one an error leaves none.
            let asked = self.client.check_connection().await;
            asked.map_err(|error| errors::failure(error).lost())?;
        }
        // One that was ended may have been followed by another.
        let has_ended = self.in_transaction && self.seen.commits() > commits;
        within(outcome, self.seen.is_open() && !has_ended, self.in_transaction)
    }

    /// What was too large is why the connection has ended.
    fn judged<T>(&self, outcome: Result<T, Failure>) -> Result<T, Failure> {
        outcome.map_err(|failure| match self.seen.refused() {
            Some(what) if failure.is_lost() => Failure::Large {
                what: what.to_owned(),
                is_lost: true,
            },
            _ => failure,
        })
    }

    /// A guest could set what a session begins with, but not what a transaction has begun with.
    async fn run_wrapped(&mut self, statement: &Statement, sink: &Sink) -> Result<u64, Failure> {
        if !self.read_only || self.in_transaction {
            return self.run_fresh(statement, sink).await;
        }
        self.script(&format!("BEGIN{READ_ONLY}")).await?;
        let outcome = self.run_fresh(statement, sink).await;
        if !outcome.as_ref().is_err_and(Failure::is_lost) {
            self.roll_back().await?;
        }
        outcome
    }

    /// A request to cancel what was run before may meet this, too ([`Cancel::cancel`]), and has then been met.
    async fn roll_back(&mut self) -> Result<(), Failure> {
        let outcome = match self.script("ROLLBACK").await {
            Err(Failure::Refused(Error::Cancelled)) => self.script("ROLLBACK").await,
            outcome => outcome,
        };
        outcome.map_err(|failure| Failure::Lost(failure.into_error()))
    }

    /// A statement whose tables have changed since it was prepared is prepared again, where nothing has happened yet.
    async fn run_fresh(&mut self, statement: &Statement, sink: &Sink) -> Result<u64, Failure> {
        let outcome = self.run_once(statement, sink).await;
        if !errors::is_stale(&outcome) {
            return outcome;
        }
        self.statements.forget(&statement.sql);
        match self.in_transaction {
            true => outcome,
            false => self.run_once(statement, sink).await,
        }
    }

    async fn run_once(&mut self, statement: &Statement, sink: &Sink) -> Result<u64, Failure> {
        let prepared = self.statements.prepare(&self.client, &statement.sql).await?;
        let params = values::params(&statement.params, prepared.params())?;
        // What was asked for meanwhile found nothing to cancel.
        if sink.watch().is_over() {
            return Err(Error::Cancelled.into());
        }
        let rows = self
            .client
            .query_raw(&prepared, params)
            .await
            .map_err(errors::failure)?;
        let columns = prepared.columns();
        let mut rows = pin!(rows);
        let mut is_told = false;
        let delivered = deliver(&mut rows, sink, columns, &mut is_told).await;
        if delivered == Err(Error::Cancelled.into()) {
            // What the server has still to say comes before anything else on this connection.
            while rows.next().await.transpose().map_err(errors::failure)?.is_some() {}
        }
        delivered.map_err(|failure| match failure {
            Failure::Refused(Error::ValueConversionFailed(_)) | Failure::Large { .. } => failure.lost(),
            // Unless the server has said that it heeded it, the request to cancel may still be under way, and would meet the next
            // statement.
            Failure::Refused(error @ Error::Cancelled) if !is_told => Failure::Lost(error),
            failure => failure,
        })?;
        sink.finish();
        let counted = rows.rows_affected().unwrap_or(0);
        // The server counts what it returned, too.
        let only_reads = !columns.is_empty() && reads(&statement.sql);
        Ok(if only_reads { 0 } else { counted })
    }

    async fn script(&mut self, sql: &str) -> Result<(), Failure> {
        self.client.batch_execute(sql).await.map_err(errors::failure)
    }

    async fn control(&mut self, control: Control) -> Result<(), Failure> {
        match control {
            Control::Begin(options) => {
                let read_only = options.read_only || self.read_only;
                self.script(&begin(options, read_only)).await?;
                self.in_transaction = true;
                Ok(())
            }
            Control::Commit => {
                // The server answers a commit of what has failed with a rollback, and no error.
                if self.seen.has_failed() {
                    return Err(Error::TransactionEnded.into());
                }
                self.script("COMMIT").await?;
                self.in_transaction = false;
                Ok(())
            }
            Control::Rollback => {
                self.script("ROLLBACK").await?;
                self.in_transaction = false;
                Ok(())
            }
        }
    }
}

/// The columns go with the first row or the end, so that what fails before it is an error of the call.
async fn deliver(
    rows: &mut std::pin::Pin<&mut RowStream>,
    sink: &Sink,
    columns: &[tokio_postgres::Column],
    is_told: &mut bool,
) -> Result<(), Failure> {
    let describe = || sink.columns(|| columns.iter().map(column).collect());
    while let Some(row) = rows.next().await {
        let row = row.map_err(|error| {
            *is_told = true;
            errors::failure(error)
        })?;
        describe();
        if sink.put(values::row(&row)?)? == Room::None {
            sink.room().await?;
        }
    }
    describe();
    Ok(())
}

fn begin(options: TransactionOptions, read_only: bool) -> String {
    let level = options
        .isolation
        .map(|level| format!(" ISOLATION LEVEL {}", level.sql()));
    let access = if read_only { READ_ONLY } else { "" };
    format!("BEGIN{}{access}", level.unwrap_or_default())
}

fn column(column: &tokio_postgres::Column) -> Column {
    Column {
        name: column.name().to_owned(),
        type_name: column.type_().name().to_owned(),
    }
}

impl Connection for PostgresConnection {
    fn run(&mut self, statement: Arc<Statement>, sink: Sink) -> BoxFuture<'_, Result<u64, Failure>> {
        async move {
            let outcome = self.run_within(&statement, &sink).await;
            self.judged(outcome)
        }
        .boxed()
    }

    fn control(&mut self, control: Control) -> BoxFuture<'_, Result<(), Failure>> {
        async move {
            let outcome = self.control(control).await;
            self.judged(outcome)
        }
        .boxed()
    }

    fn reset(&mut self) -> BoxFuture<'_, bool> {
        async move {
            self.statements = Statements::default();
            let is_new = self.script("DISCARD ALL").await.is_ok();
            self.set_up().await;
            is_new
        }
        .boxed()
    }

    fn script(&mut self, sql: String) -> BoxFuture<'_, Result<(), Failure>> {
        async move {
            let outcome = self.script(&sql).await;
            // The operator may end a transaction where he likes.
            self.in_transaction &= outcome.is_err() || self.seen.is_open();
            self.judged(outcome)
        }
        .boxed()
    }

    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }

    fn canceller(&self) -> Box<dyn Canceller> {
        Box::new(Cancel {
            token: self.client.cancel_token(),
            addr: self.addr,
            tls: self.tls.clone(),
        })
    }

    fn is_usable(&self) -> bool {
        !self.client.is_closed() && (self.in_transaction || !self.seen.is_open())
    }

    fn check(&mut self) -> BoxFuture<'_, bool> {
        async move {
            let stands = self.client.check_connection().await.is_ok();
            stands && self.seen.is_open() == self.in_transaction
        }
        .boxed()
    }
}

/// Asks on a connection of its own, as the protocol wants it.
struct Cancel {
    token: CancelToken,
    addr: SocketAddr,
    tls: Option<Encryption>,
}

impl Cancel {
    /// Sends the request, and waits until the server has closed its connection.
    async fn request(&self) -> io::Result<()> {
        let stream = TcpStream::connect(self.addr).await?.into_std()?;
        let mut answer = TcpStream::from_std(stream.try_clone()?)?;
        let stream = TcpStream::from_std(stream)?;
        let sent = match &self.tls {
            None => self.token.cancel_query_raw(stream, NoTls).await,
            Some(tls) => self.token.cancel_query_raw(stream, tls.connect()).await,
        };
        sent.map_err(io::Error::other)?;
        let mut ignored = [0; 1024];
        loop {
            match answer.read(&mut ignored).await {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                // It closed without reading how our encryption ends.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

impl Canceller for Cancel {
    /// One request is up to two signals to the process that has the connection: one to it, and a moment later one to its group.
    /// The first ends the statement, and the second would end whatever is run next. Three things keep it from that:
    ///
    /// - Whoever sends the signals closes the connection of the request after both. Its end says that they have been sent.
    /// - A signal that has been sent is seen before anything that the process reads later: it looks at signals on its way back
    ///   from each call to its system. Where it finds a request to cancel when it has read a command, and has not begun with
    ///   it, it drops the request: nothing was running.
    /// - Before others have the connection, it is asked whether it stands ([`Connection::check`]). That is a command that cannot be
    ///   cancelled, and whose answer takes the time in which a signal would arrive that is slower than this, on other systems or
    ///   through something between us and the server.
    fn cancel(&self, _: usize) -> BoxFuture<'_, bool> {
        // Where that fails, the connection is closed after a while.
        async move { self.request().await.is_ok() }.boxed()
    }

    /// That it was not cancelled may mean that the request went elsewhere. One that came before the statement did was dropped.
    fn has_met(&self, outcome: &Result<u64, Failure>, _: usize) -> bool {
        *outcome == Err(Failure::Refused(Error::Cancelled))
    }
}
