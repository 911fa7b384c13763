//! One database of an app: who runs what on which of its connections.
//!
//! Every call runs in a task of its own, which ends when whoever asked has gone: a guest's call can be dropped at any time, and
//! its connection comes back clean or not at all. What a transaction does between its beginning and its end is in
//! `sql/transaction.rs`.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use wharf_host::capability::ServedClient;

use super::counters::Counters;
use super::drive;
use super::engine::{Connection, Control, Engine, TransactionOptions};
use super::error::{Error, Failure};
use super::flow::{Answer, Call, Patience, Sink, Statement, execute, query, refused};
use super::migrations::Migrations;
use super::params::{self, Params};
use super::pool::{Lease, Pool, PoolLimits, Usage};
use super::standing::Standing;
use super::statement::{Kind, kind};
use super::transaction::Transaction;
use super::value::Value;
use crate::held::{Holding, NoRoom};

/// How often unused connections are looked for.
const SWEEP: Duration = Duration::from_secs(10);

/// What one database may take of time and space.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub pool: PoolLimits,
    pub patience: Patience,
    pub row_bytes_max: usize,
    /// What calls hold together while they wait or run.
    pub held_bytes_max: usize,
}

/// How a database is reached.
pub(super) struct Engines {
    /// For all there is, or where there are readers, for what writes.
    pub all: Arc<dyn Engine>,
    /// For what only reads, where the database wants such apart.
    pub readers: Option<Arc<dyn Engine>>,
}

/// One database of an app.
pub(super) struct Database {
    /// The app and the database, for the log.
    pub label: Arc<str>,
    pub limits: Limits,
    pub counters: Counters,
    pub standing: Arc<Standing>,
    pub holding: Arc<Holding>,
    pool: Arc<Pool>,
    readers: Option<Pool>,
    pub migrations: Migrations,
    runtime: Handle,
}

/// Lists of parameters, as a guest writes them; an error is the last, where there was no room for one.
pub(super) type Lists = mpsc::Receiver<Result<Vec<Params>, Error>>;

impl Database {
    /// Nothing is connected until somebody asks. Within a runtime.
    pub fn new(label: Arc<str>, engines: Engines, limits: Limits, migrations: Migrations) -> Arc<Self> {
        let single = PoolLimits {
            connections: 1,
            ..limits.pool
        };
        let of_all = if engines.readers.is_some() { single } else { limits.pool };
        let standing = Arc::new(Standing::new(label.clone()));
        let database = Arc::new(Self {
            pool: Arc::new(Pool::new(engines.all, standing.clone(), of_all)),
            readers: engines
                .readers
                .map(|engine| Pool::new(engine, standing.clone(), limits.pool)),
            standing,
            holding: Holding::new(limits.held_bytes_max),
            label,
            limits,
            counters: Counters::default(),
            migrations,
            runtime: Handle::current(),
        });
        database.runtime.spawn(sweep(Arc::downgrade(&database)));
        database
    }

    /// Runs a statement whose rows are wanted.
    pub fn query(self: &Arc<Self>, sql: &str, params: Vec<Value>) -> Answer {
        match self.hold(sql, params) {
            Ok(params) => self.spawn(query(sql, params, self.limits.row_bytes_max)),
            Err(error) => refused(error),
        }
    }

    /// Runs a statement.
    pub fn execute(self: &Arc<Self>, sql: &str, params: Vec<Value>) -> Answer {
        match self.hold(sql, params) {
            Ok(params) => self.spawn(execute(sql, params, self.limits.row_bytes_max)),
            Err(error) => refused(error),
        }
    }

    /// Room for what a call brings, before anything is done with it.
    pub fn hold(&self, sql: &str, values: Vec<Value>) -> Result<Params, Error> {
        let bytes = params::bytes(sql, &values);
        let held = Params::take(&self.holding, sql, values);
        held.map_err(|no_room| {
            let most = self.limits.held_bytes_max;
            let error = match no_room {
                NoRoom::Now => Error::PoolExhausted,
                NoRoom::Ever => Error::InvalidParams(format!(
                    "they take {bytes} bytes with the statement, more than the {most} that all calls may hold (held)"
                )),
            };
            self.standing.holds_too_much(bytes, most);
            self.counters.refused(&error);
            error
        })
    }

    fn spawn(self: &Arc<Self>, (call, answer): (Call, Answer)) -> Answer {
        let database = self.clone();
        self.runtime.spawn(async move {
            let Call { statement, sink, end } = call;
            let outcome = database.run(statement, sink).await;
            // Who has left hears nothing.
            let _ = end.send(outcome);
        });
        answer
    }

    async fn run(&self, statement: Arc<Statement>, sink: Sink) -> Result<u64, Error> {
        let kind = kind(&statement.sql, false)?;
        if let (Kind::Reads, Some(readers)) = (kind, &self.readers) {
            let lease = self.acquire(readers, &sink).await?;
            match self.run_on(lease, statement.clone(), sink.clone(), kind).await {
                Err(Failure::Writes) => {}
                outcome => return outcome.map_err(Failure::into_error),
            }
        }
        let lease = self.acquire(&self.pool, &sink).await?;
        let outcome = self.run_on(lease, statement, sink, kind).await;
        outcome.map_err(Failure::into_error)
    }

    async fn run_on(
        &self,
        mut lease: Lease,
        statement: Arc<Statement>,
        sink: Sink,
        kind: Kind,
    ) -> Result<u64, Failure> {
        let outcome = drive::run(&mut *lease, statement, sink, self).await;
        let is_lost = outcome.as_ref().is_err_and(Failure::is_lost);
        if !is_lost {
            self.put_back(lease, kind == Kind::Taints);
        }
        if outcome != Err(Failure::Writes) {
            self.counters.finished(&outcome);
        }
        outcome
    }

    /// Runs a statement for each list of parameters, in one transaction.
    pub fn execute_many(self: &Arc<Self>, sql: &str, lists: Lists) -> Answer {
        let text = match self.hold(sql, Vec::new()) {
            Ok(text) => text,
            Err(error) => return refused(error),
        };
        let (call, answer) = execute(sql, text, self.limits.row_bytes_max);
        let database = self.clone();
        self.runtime.spawn(async move {
            let outcome = database.many(&call.statement.sql, lists, &call.sink).await;
            let _ = call.end.send(outcome);
        });
        answer
    }

    async fn many(&self, sql: &Arc<str>, lists: Lists, sink: &Sink) -> Result<u64, Error> {
        let kind = kind(sql, false)?;
        let mut lease = self.acquire(&self.pool, sink).await?;
        self.control(&mut lease, Control::Begin(TransactionOptions::default()))
            .await?;
        let outcome = self.many_on(&mut *lease, sql, lists, sink).await;
        let is_lost = outcome.as_ref().is_err_and(Failure::is_lost);
        let is_wanted = !sink.watch().is_over();
        let outcome = match outcome {
            Ok(changed) if is_wanted => match drive::control(&mut *lease, Control::Commit, self).await {
                Ok(()) => Ok(changed),
                Err(failure) => Err(failure.into_error()),
            },
            Ok(_) => Err(Error::Cancelled),
            Err(failure) => Err(failure.into_error()),
        };
        let is_clean =
            !is_lost && (outcome.is_ok() || drive::control(&mut *lease, Control::Rollback, self).await.is_ok());
        if is_clean {
            self.put_back(lease, kind == Kind::Taints);
        }
        outcome
    }

    /// Gives a connection back whose use has ended well.
    pub fn put_back(&self, lease: Lease, is_tainted: bool) {
        match is_tainted {
            true => lease.put_back_as_new(&self.runtime),
            false => lease.put_back(),
        }
    }

    /// Runs a statement for each list of parameters, until there are no more.
    pub async fn many_on(
        &self,
        connection: &mut dyn Connection,
        sql: &Arc<str>,
        mut lists: Lists,
        sink: &Sink,
    ) -> Result<u64, Failure> {
        let watch = sink.watch();
        let mut changed = 0;
        loop {
            let lists = tokio::select! {
                biased;
                lists = lists.recv() => lists,
                () = watch.left() => return Err(Error::Cancelled.into()),
                () = tokio::time::sleep(self.limits.patience.idle) => return Err(Error::Timeout.into()),
            };
            let Some(lists) = lists else { return Ok(changed) };
            for params in lists? {
                let statement = Arc::new(Statement {
                    sql: sql.clone(),
                    params,
                });
                let outcome = drive::run(connection, statement, sink.clone(), self).await;
                self.counters.finished(&outcome);
                changed += outcome?;
            }
        }
    }

    /// Begins a transaction, which ends with `client`, where its guest would not.
    pub async fn begin(
        self: &Arc<Self>,
        options: TransactionOptions,
        client: Option<ServedClient>,
    ) -> Result<Transaction, Error> {
        // A sink that leads nowhere: dropped with this call.
        let (call, answer) = execute("", Params::default(), 0);
        if let Some(client) = client.clone() {
            answer.until(async move { client.left().await });
        }
        let database = self.clone();
        let begun = self.runtime.spawn(async move {
            let mut lease = match (&database.readers, options.read_only) {
                (Some(readers), true) => database.acquire(readers, &call.sink).await?,
                _ => database.acquire(&database.pool, &call.sink).await?,
            };
            database.control(&mut lease, Control::Begin(options)).await?;
            Counters::add(&database.counters.transactions);
            Ok::<_, Error>(Transaction::new(&database, lease, client))
        });
        let begun = begun.await.map_err(|error| Error::Other(error.to_string()));
        drop(answer);
        begun?
    }

    async fn control(&self, lease: &mut Lease, control: Control) -> Result<(), Error> {
        drive::control(&mut **lease, control, self)
            .await
            .map_err(Failure::into_error)
    }

    /// A connection, unless who asked leaves first.
    async fn acquire(&self, pool: &Pool, sink: &Sink) -> Result<Lease, Error> {
        let watch = sink.watch();
        let acquired = tokio::select! {
            acquired = self.acquire_migrated(pool) => acquired,
            () = watch.left() => Err(Error::Cancelled),
        };
        if let Err(error) = &acquired {
            self.counters.refused(error);
        }
        acquired
    }

    async fn acquire_migrated(&self, pool: &Pool) -> Result<Lease, Error> {
        self.migrations.applied(&self.label, &self.pool).await?;
        pool.acquire().await
    }

    /// Applies the migrations that have not been, however long that takes.
    pub async fn migrate(&self) -> Result<(), Error> {
        self.migrations.attempt(&self.label, &self.pool).await
    }

    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Connections by what they are for.
    pub fn usage(&self) -> Vec<(&'static str, Usage)> {
        let readers = self.readers.as_ref().map(|readers| ("read", readers.usage()));
        let of_all = if readers.is_some() { "write" } else { "all" };
        [(of_all, self.pool.usage())].into_iter().chain(readers).collect()
    }

    /// How many calls found no place in a queue.
    pub fn without_place(&self) -> u64 {
        let of_readers = self.readers.as_ref().map_or(0, Pool::without_place);
        self.pool.without_place() + of_readers
    }

    pub fn close(&self) {
        self.pool.close();
        self.readers.iter().for_each(Pool::close);
    }

    fn close_unused(&self) {
        self.pool.close_unused();
        self.readers.iter().for_each(Pool::close_unused);
    }
}

async fn sweep(database: std::sync::Weak<Database>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(database) = database.upgrade() else { return };
        database.close_unused();
    }
}
