//! A transaction: a connection that one guest has until it commits, rolls back, or leaves it alone for too long.
//!
//! A task has the connection, and takes commands one after another. When nobody can send one any more, it rolls back.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use wharf_host::capability::ServedClient;

use super::counters::Counters;
use super::database::{Database, Lists};
use super::drive;
use super::engine::Control;
use super::error::{Error, Failure};
use super::flow::{Answer, Call, Ended, execute, query};
use super::pool::Lease;
use super::statement::{Kind, kind};
use super::value::Value;

/// Commands that wait while another runs. Past it calls wait before they become one.
const COMMANDS_MAX: usize = 8;

/// A transaction, as a guest holds it. When it is dropped, and what it runs has ended, it is rolled back.
#[derive(Clone)]
pub(super) struct Transaction {
    commands: mpsc::Sender<Command>,
    pub database: Arc<Database>,
}

enum Command {
    Run(Call),
    Many(Call, Lists),
    End(Control, oneshot::Sender<Result<(), Error>>),
}

impl Transaction {
    /// On a connection on which it has begun.
    pub fn new(database: &Arc<Database>, lease: Lease, client: Option<ServedClient>) -> Self {
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        let work = Work {
            database: database.clone(),
            lease,
            is_tainted: false,
            is_lost: false,
        };
        database.runtime().spawn(work.through(receiver, client));
        Self {
            commands,
            database: database.clone(),
        }
    }

    /// Runs a statement whose rows are wanted, after those before it.
    pub async fn query(self, sql: String, params: Vec<Value>) -> Result<Answer, Error> {
        let params = self.database.hold(&sql, params)?;
        let (call, answer) = query(&sql, params, self.database.limits.row_bytes_max);
        self.send(Command::Run(call)).await.map(|()| answer)
    }

    /// Runs a statement.
    pub async fn execute(self, sql: String, params: Vec<Value>) -> Result<Answer, Error> {
        let params = self.database.hold(&sql, params)?;
        let (call, answer) = execute(&sql, params, self.database.limits.row_bytes_max);
        self.send(Command::Run(call)).await.map(|()| answer)
    }

    /// Runs a statement for each list of parameters.
    pub async fn execute_many(self, sql: String, lists: Lists) -> Result<Answer, Error> {
        let text = self.database.hold(&sql, Vec::new())?;
        let (call, answer) = execute(&sql, text, self.database.limits.row_bytes_max);
        self.send(Command::Many(call, lists)).await.map(|()| answer)
    }

    /// Commits.
    pub async fn commit(self) -> Result<(), Error> {
        self.end(Control::Commit).await
    }

    /// Rolls back.
    pub async fn rollback(self) -> Result<(), Error> {
        self.end(Control::Rollback).await
    }

    async fn end(self, control: Control) -> Result<(), Error> {
        let (reply, receiver) = oneshot::channel();
        self.send(Command::End(control, reply)).await?;
        receiver.await.unwrap_or(Err(Error::TransactionEnded))
    }

    async fn send(self, command: Command) -> Result<(), Error> {
        let sent = self.commands.send(command).await;
        sent.map_err(|_| Error::TransactionEnded)
    }
}

/// Commands that wait, or are on their way, hear that there is no transaction any more.
async fn refuse(mut commands: mpsc::Receiver<Command>) {
    commands.close();
    while let Some(command) = commands.recv().await {
        // Whoever has left hears nothing.
        let _ = match command {
            Command::Run(call) | Command::Many(call, _) => call.end.send(Err(Error::TransactionEnded)).is_ok(),
            Command::End(_, reply) => reply.send(Err(Error::TransactionEnded)).is_ok(),
        };
    }
}

/// What the task has.
struct Work {
    database: Arc<Database>,
    lease: Lease,
    /// Whether the connection is to be made as good as new afterwards, and whether there is still one.
    is_tainted: bool,
    is_lost: bool,
}

impl Work {
    async fn through(mut self, mut commands: mpsc::Receiver<Command>, client: Option<ServedClient>) {
        let idle = self.database.limits.patience.idle;
        let mut left = pin!(async {
            match client {
                Some(client) => client.left().await,
                None => pending().await,
            }
        });
        loop {
            let command = tokio::select! {
                biased;
                () = &mut left => Ok(None),
                command = timeout(idle, commands.recv()) => command,
            };
            let Ok(command) = command else {
                self.database.counters.ended(Ended::Unread);
                let label = &self.database.label;
                tracing::warn!("{label}: a transaction without a call for {idle:?} is rolled back");
                break;
            };
            let goes_on = match command {
                None => false,
                // Whoever asked for it has gone, and with it the wish to commit.
                Some(Command::End(_, reply)) if reply.is_closed() => false,
                Some(Command::End(control, reply)) => {
                    self.end(control, reply).await;
                    return refuse(commands).await;
                }
                Some(Command::Run(call)) => self.run(call).await,
                Some(Command::Many(call, lists)) => self.many(call, lists).await,
            };
            if !goes_on {
                break;
            }
        }
        refuse(commands).await;
        self.roll_back().await;
    }

    /// Whether there is still a transaction.
    async fn run(&mut self, call: Call) -> bool {
        let Call { statement, sink, end } = call;
        let outcome = match kind(&statement.sql, true) {
            Ok(kind) => {
                self.is_tainted |= kind == Kind::Taints;
                let Self { database, lease, .. } = self;
                drive::run(&mut **lease, statement, sink, database).await
            }
            Err(error) => Err(error.into()),
        };
        self.database.counters.finished(&outcome);
        self.goes_on(outcome, end)
    }

    async fn many(&mut self, call: Call, lists: Lists) -> bool {
        let Call { statement, sink, end } = call;
        let outcome = match kind(&statement.sql, true) {
            Ok(kind) => {
                self.is_tainted |= kind == Kind::Taints;
                let Self { database, lease, .. } = self;
                database.many_on(&mut **lease, &statement.sql, lists, &sink).await
            }
            Err(error) => Err(error.into()),
        };
        drop(sink);
        self.goes_on(outcome, end)
    }

    /// Answers, and says whether there is still a transaction. After a conflict there is none, whatever the database makes of
    /// it: on some its next statement would be outside of any.
    fn goes_on(&mut self, outcome: Result<u64, Failure>, end: oneshot::Sender<Result<u64, Error>>) -> bool {
        self.is_lost = outcome.as_ref().is_err_and(Failure::is_lost);
        let outcome = outcome.map_err(Failure::into_error);
        let has_ended = self.is_lost || matches!(outcome, Err(Error::Conflict(_) | Error::TransactionEnded));
        let _ = end.send(outcome);
        !has_ended
    }

    async fn end(mut self, control: Control, reply: oneshot::Sender<Result<(), Error>>) {
        let outcome = drive::control(&mut *self.lease, control, &self.database).await;
        let is_over = outcome.is_ok();
        self.is_lost = outcome.as_ref().is_err_and(Failure::is_lost);
        if control == Control::Rollback && is_over {
            Counters::add(&self.database.counters.rolled_back);
        }
        // Given back first: who hears that it is over may ask for a connection at once.
        match is_over {
            true => self.put_back(),
            // A commit that was refused leaves some databases in the transaction.
            false => self.roll_back().await,
        }
        let _ = reply.send(outcome.map_err(Failure::into_error));
    }

    async fn roll_back(mut self) {
        Counters::add(&self.database.counters.rolled_back);
        if !self.is_lost
            && drive::control(&mut *self.lease, Control::Rollback, &self.database)
                .await
                .is_ok()
        {
            self.put_back();
        }
    }

    fn put_back(self) {
        self.database.put_back(self.lease, self.is_tainted);
    }
}
