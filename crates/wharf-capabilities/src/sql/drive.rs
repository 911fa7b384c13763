//! Runs statements on a connection that somebody has, within limits, and ends them in the database when nobody wants their
//! result any more.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::task::unconstrained;
use tokio::time::timeout;

use super::counters::Counters;
use super::database::Database;
use super::engine::{Canceller, Connection, Control};
use super::error::{Error, Failure};
use super::flow::{Ended, Sink, Statement, Watch};
use super::sqlite::{FULL, NO_MEMORY};

/// How long a database may take to end what it was asked to end. Past it the connection is closed, which ends it, too, only
/// later.
const CANCEL_MAX: Duration = Duration::from_secs(5);

/// Where nothing has come of a request to cancel for so long, it is made again: it may have got there before the statement did,
/// and ended nothing.
const CANCEL_AGAIN: Duration = Duration::from_millis(500);

/// How much of a statement the log shows, in characters.
const SHOWN_MAX: usize = 200;

/// Runs a statement. A [`Failure::Lost`] means that the connection is not to be used again.
pub(super) async fn run(
    connection: &mut dyn Connection,
    statement: Arc<Statement>,
    sink: Sink,
    database: &Database,
) -> Result<u64, Failure> {
    let canceller = connection.canceller();
    let watch = sink.watch();
    watch.moved();
    let mut running = connection.run(statement.clone(), sink);
    let ended = tokio::select! {
        biased;
        outcome = &mut running => match outcome {
            // It saw that nobody wants more before we did.
            Err(Failure::Refused(Error::Cancelled)) if watch.is_over() => {
                database.counters.ended(Ended::Left);
                return Err(Error::Cancelled.into());
            }
            outcome => {
                told(database, &outcome);
                return outcome;
            }
        },
        // Rows that come faster than they are thrown away use up the task's turn, and what is polled after them has none left.
        ended = unconstrained(watch.ended(database.limits.patience)) => ended,
    };
    database.counters.ended(ended);
    tell(database, ended, &statement.sql);
    let is_ended = timeout(CANCEL_MAX, cancel(&*canceller, &watch, running)).await == Ok(true);
    // What the request may still have done to it is done to this, not to what others ask next.
    let is_clean = is_ended && timeout(CANCEL_MAX, connection.check()).await == Ok(true);
    let error = ended.error();
    Err(if is_clean {
        Failure::Refused(error)
    } else {
        Failure::Lost(error)
    })
}

/// Who operates the database reads which statements take too long, or are not read. Not more often than connections become free, and
/// without the values.
fn tell(database: &Database, ended: Ended, sql: &str) {
    let (label, patience) = (&database.label, database.limits.patience);
    let shown: String = sql.chars().take(SHOWN_MAX).collect();
    match ended {
        Ended::Left => {}
        Ended::Slow => tracing::warn!(
            "{label}: a statement without a row for {:?} (statement-time) is cancelled: {shown:?}",
            patience.statement
        ),
        Ended::Unread => tracing::warn!(
            "{label}: a statement whose rows nobody reads for {:?} (idle-time) is cancelled: {shown:?}",
            patience.idle
        ),
    }
}

/// Who operates the database reads why a connection is no more, and who stands in the way, also where a guest hears less of it or
/// nothing.
fn told<T>(database: &Database, outcome: &Result<T, Failure>) {
    match outcome {
        Err(Failure::Gone(reason) | Failure::Lost(Error::Other(reason))) => database.standing.lost(reason),
        Err(Failure::Lost(Error::QueryFailed(report))) => database.standing.lost(&report.to_string()),
        // Codes of SQLite's; servers report their own, and have operators of their own.
        Err(Failure::Refused(Error::QueryFailed(report))) if report.code == FULL => {
            Counters::add(&database.counters.full);
            database
                .standing
                .full("no room is left for the database (size), a temporary table (temporary), or on the disk");
        }
        Err(Failure::Refused(Error::QueryFailed(report))) if report.code == NO_MEMORY => {
            Counters::add(&database.counters.without_memory);
            database
                .standing
                .full("SQLite's databases have taken all memory that there is for them, a quarter of the machine's");
        }
        Err(Failure::Locked(report)) => {
            database
                .standing
                .locked(database.limits.pool.acquire, &report.to_string());
        }
        Err(Failure::Large { what, .. }) => {
            Counters::add(&database.counters.large);
            database.standing.large(what);
        }
        _ => {}
    }
}

/// Ends the statement. Whether the database has done all about it that it was asked for, and its connection is to be used again.
async fn cancel(canceller: &dyn Canceller, watch: &Watch, mut running: BoxFuture<'_, Result<u64, Failure>>) -> bool {
    watch.stop();
    let mut is_done = true;
    let mut asked = 0;
    loop {
        asked += 1;
        let mut asking = canceller.cancel(asked);
        let outcome = tokio::select! {
            // First for the same reason.
            biased;
            done = &mut asking => {
                is_done &= done;
                match timeout(CANCEL_AGAIN, &mut running).await {
                    Ok(outcome) => outcome,
                    Err(_) => continue,
                }
            }
            outcome = &mut running => {
                // What is still under way would meet whoever has the connection next.
                is_done &= canceller.has_met(&outcome, asked) && asking.await;
                outcome
            }
        };
        return is_done && canceller.has_met(&outcome, asked);
    }
}

/// Begins, commits or rolls back. How long that may take is the same as for a statement, but nothing ends it halfway: a
/// connection that takes longer is closed.
pub(super) async fn control(
    connection: &mut dyn Connection,
    control: Control,
    database: &Database,
) -> Result<(), Failure> {
    let is_usable = connection.is_usable();
    let outcome = match is_usable {
        true => timeout(database.limits.patience.statement, connection.control(control))
            .await
            .unwrap_or(Err(Failure::Lost(Error::Timeout))),
        false => Err(Failure::Gone("it was closed between two calls".to_owned())),
    };
    told(database, &outcome);
    match outcome {
        // It may have arrived.
        Err(failure) if failure.is_lost() && is_usable && control == Control::Commit => {
            Err(Failure::Lost(Error::CommitUnknown))
        }
        outcome => outcome,
    }
}
