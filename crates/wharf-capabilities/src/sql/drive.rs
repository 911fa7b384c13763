//! Runs statements on a connection that somebody has, within limits, and ends them in the database when nobody wants their
//! result any more.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::unconstrained;
use tokio::time::{sleep, timeout};

use super::database::Database;
use super::engine::{Canceller, Connection, Control};
use super::error::{Error, Failure};
use super::flow::{Ended, Sink, Statement, Watch};

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
            outcome => return outcome,
        },
        // Rows that come faster than they are thrown away use up the task's turn, and what is polled after them has none left.
        ended = unconstrained(watch.ended(database.limits.patience)) => ended,
    };
    database.counters.ended(ended);
    tell(database, ended, &statement.sql);
    let cancelled = timeout(CANCEL_MAX, cancel(&*canceller, &watch, &mut running)).await;
    let is_clean = cancelled.is_ok_and(|(outcome, asked)| canceller.has_met(&outcome, asked));
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

/// How the statement ended, and how often that was asked for.
async fn cancel(
    canceller: &dyn Canceller,
    watch: &Watch,
    running: &mut (impl Future<Output = Result<u64, Failure>> + Unpin),
) -> (Result<u64, Failure>, usize) {
    watch.stop();
    let mut asked = 0;
    let ask = async {
        loop {
            asked += 1;
            canceller.cancel(asked).await;
            sleep(CANCEL_AGAIN).await;
        }
    };
    let outcome = tokio::select! {
        // First for the same reason.
        biased;
        never = ask => never,
        outcome = running => outcome,
    };
    (outcome, asked)
}

/// Begins, commits or rolls back. How long that may take is the same as for a statement, but nothing ends it halfway: a
/// connection that takes longer is closed.
pub(super) async fn control(connection: &mut dyn Connection, control: Control, limit: Duration) -> Result<(), Failure> {
    if !connection.is_usable() {
        return Err(Failure::Lost(Error::ConnectionFailed(
            "the connection was lost".to_owned(),
        )));
    }
    let outcome = match timeout(limit, connection.control(control)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Failure::Lost(Error::Timeout)),
    };
    match outcome {
        // It may have arrived.
        Err(Failure::Lost(_)) if control == Control::Commit => Err(Failure::Lost(Error::CommitUnknown)),
        outcome => outcome,
    }
}
