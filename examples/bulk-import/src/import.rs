//! One import: reads, stores, and says how far it is.

use std::fmt;

use futures_util::future::join;
use wasip3::http::types::{ErrorCode, Request};
use wasip3::wit_bindgen::{StreamReader, StreamResult, StreamWriter};
use wasip3::wit_future;

use crate::bindings::wharf::sql::database::{Database, Transaction};
use crate::bindings::wharf::sql::types::{Error, Value};
use crate::bindings::wit_stream as sql_stream;
use crate::records::{Format, Reading, Records, Wrong};

/// How much of the request's content is asked for at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// How many rows there are between two events.
const ROWS_PER_EVENT: u64 = 10_000;

const INSERT: &str = "insert into reading (station, at, celsius) values (?, ?, ?)";

/// Parameters of one row.
type Row = Vec<Value>;

/// Why nothing was stored.
enum Failure {
    Record(Wrong),
    /// The request broke off.
    Request(ErrorCode),
    Database(Error),
    /// Nobody takes any more: the client has left, or the database, which says itself why.
    Gone,
}

/// Stores what comes, and tells `events` of it. The last event is `done`, or `failed` if nothing was stored.
pub async fn run(format: Format, request: Request, mut events: StreamWriter<u8>) {
    let last = match store(format, request, &mut events).await {
        Ok(rows) => format!("event: done\ndata: {{\"rows\":{rows}}}\n\n"),
        Err(Failure::Gone) => return,
        Err(failure) => {
            let reason = serde_json::Value::from(failure.to_string());
            format!("event: failed\ndata: {{\"reason\":{reason}}}\n\n")
        }
    };
    events.write_all(last.into_bytes()).await;
}

/// All rows in one transaction. Wherever this ends before the commit, the transaction is dropped and nothing was stored.
async fn store(format: Format, request: Request, events: &mut StreamWriter<u8>) -> Result<u64, Failure> {
    let database = Database::open("default")?;
    let transaction = database.begin(None).await?;
    let (rows, parameters) = sql_stream::new::<Row>();
    let stored = transaction.execute_many(INSERT.to_owned(), parameters);
    let (read, stored) = join(read(format, request, rows, events), stored).await;
    // If the database takes no more rows, it has the reason.
    let rows = stored?;
    read?;
    Transaction::commit(transaction).await?;
    Ok(rows)
}

/// Reads to the request's end. Rows are handed over as fast as the database takes them, and no faster.
async fn read(
    format: Format,
    request: Request,
    mut rows: StreamWriter<Row>,
    events: &mut StreamWriter<u8>,
) -> Result<(), Failure> {
    let (_, done) = wit_future::new(|| Ok(()));
    let (mut content, trailers) = Request::consume_body(request, done);
    let mut records = Records::new(format);
    let mut progress = Progress::default();
    while let Some(piece) = next(&mut content).await {
        progress.bytes += piece.len() as u64;
        let readings = records.read(&piece).map_err(Failure::Record)?;
        progress.hand_over(readings, &mut rows, events).await?;
    }
    // An end is one only if the request says so: else it broke off.
    trailers.await.map_err(Failure::Request)?;
    let readings = records.read(b"").map_err(Failure::Record)?;
    progress.hand_over(readings, &mut rows, events).await
}

async fn next(content: &mut StreamReader<u8>) -> Option<Vec<u8>> {
    let (result, piece) = content.read(Vec::with_capacity(PIECE_BYTES)).await;
    match result {
        StreamResult::Complete(_) => Some(piece),
        StreamResult::Dropped | StreamResult::Cancelled => None,
    }
}

#[derive(Default)]
struct Progress {
    bytes: u64,
    rows: u64,
    /// Rows there were at the last event.
    said: u64,
}

impl Progress {
    async fn hand_over(
        &mut self,
        readings: Vec<Reading>,
        rows: &mut StreamWriter<Row>,
        events: &mut StreamWriter<u8>,
    ) -> Result<(), Failure> {
        self.rows += readings.len() as u64;
        let values = readings.into_iter().map(parameters).collect();
        // What is left over is what was not wanted any more.
        if !rows.write_all(values).await.is_empty() {
            return Err(Failure::Gone);
        }
        if self.rows - self.said >= ROWS_PER_EVENT {
            self.said = self.rows;
            let event = format!(
                "event: progress\ndata: {{\"rows\":{},\"bytes\":{}}}\n\n",
                self.rows, self.bytes
            );
            if !events.write_all(event.into_bytes()).await.is_empty() {
                return Err(Failure::Gone);
            }
        }
        Ok(())
    }
}

fn parameters(reading: Reading) -> Row {
    vec![
        Value::Text(reading.station),
        Value::Text(reading.at),
        Value::Float(reading.celsius),
    ]
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(Wrong { record, reason }) => write!(f, "record {record}: {reason}"),
            Self::Request(error) => write!(f, "the upload broke off: {error:?}"),
            Self::Database(error) => write!(f, "the database: {error:?}"),
            Self::Gone => f.write_str("nobody takes it any more"),
        }
    }
}
