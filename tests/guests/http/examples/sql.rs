//! Does what the lines of the request's content say, one after another, and answers with what came of each. Parameters follow
//! the statement, each after ` | `, as they are written in answers (`show`).
//!
//! - `open NAME`: the database that is meant from now on; before that it is `default`.
//! - `query SQL`: the columns, each row, and how they ended. `first N SQL`: drops the rows after N. `count SQL`: how many there are.
//! - `execute SQL`: how many rows were changed. `many FROM TO SQL`: with each of these numbers as the parameter.
//! - `crowd COUNT BYTES SQL`: so many at once, each with a text of so many bytes, and how many ended in which way.
//!   `wide COUNT BYTES SQL`: once, with so many lists of such texts, written together.
//! - `hold SQL`: asks, and never reads. `begin [LEVEL] [read-only]`, `commit`, `rollback`, `drop`: what lies between is in a
//!   transaction. `leak`: the transaction is never ended.
//! - `sleep MILLISECONDS`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use futures::future::join_all;
use guests_http::sql::{Column, Database, Error, Isolation, Row, Transaction, TransactionOptions, Value};
use guests_http::{collect, sleep_ms, text};
use wasip3::http::types::{ErrorCode, Request, Response};
use wasip3::wit_bindgen::{FutureReader, StreamReader, spawn_local};
use wasip3::wit_future;

guests_http::service!(handle);

type Rows = (Vec<Column>, StreamReader<Row>, FutureReader<Result<(), Error>>);

#[derive(Default)]
struct Session {
    database: Option<Database>,
    transaction: Option<Transaction>,
    answer: String,
}

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let (_, done) = wit_future::new(|| Ok(()));
    let (body, _) = Request::consume_body(request, done);
    let script = String::from_utf8(collect(body).await).expect("a script is text");
    let mut session = Session::default();
    for line in script.lines().filter(|line| !line.trim().is_empty()) {
        if let Err(error) = session.line(line).await {
            let _ = writeln!(session.answer, "{}", name(&error));
        }
    }
    Ok(text(std::mem::take(&mut session.answer)))
}

impl Session {
    async fn line(&mut self, line: &str) -> Result<(), Error> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "open" => self.database = Some(Database::open(rest)?),
            "query" => self.rows(rest, usize::MAX).await?,
            "first" => {
                let (count, sql) = rest.split_once(' ').expect("first N SQL");
                self.rows(sql, count.parse().expect("a number")).await?;
            }
            "count" => self.count(rest).await?,
            "hold" => {
                let held = self.query(rest).await?;
                std::mem::forget(held);
                self.say("held");
            }
            "execute" => {
                let (sql, params) = statement(rest);
                let changed = match &self.transaction {
                    Some(transaction) => transaction.execute(sql, params).await?,
                    None => self.database()?.execute(sql, params).await?,
                };
                self.say(&format!("changed {changed}"));
            }
            "many" => self.many(rest).await?,
            "crowd" => self.crowd(rest).await?,
            "wide" => self.wide(rest).await?,
            "begin" => {
                self.transaction = Some(self.database()?.begin(options(rest)).await?);
                self.say("begun");
            }
            "commit" => {
                Transaction::commit(self.transaction.take().expect("it has begun")).await?;
                self.say("committed");
            }
            "rollback" => {
                Transaction::rollback(self.transaction.take().expect("it has begun")).await?;
                self.say("rolled back");
            }
            "drop" => self.transaction = None,
            "leak" => std::mem::forget(self.transaction.take()),
            "sleep" => sleep_ms(rest.parse().expect("a number")).await,
            other => panic!("what is {other}?"),
        }
        Ok(())
    }

    fn say(&mut self, what: &str) {
        let _ = writeln!(self.answer, "{what}");
    }

    fn database(&mut self) -> Result<&Database, Error> {
        if self.database.is_none() {
            self.database = Some(Database::open("default")?);
        }
        Ok(self.database.as_ref().expect("it was opened"))
    }

    async fn query(&mut self, text: &str) -> Result<Rows, Error> {
        let (sql, params) = statement(text);
        match &self.transaction {
            Some(transaction) => transaction.query(sql, params).await,
            None => self.database()?.query(sql, params).await,
        }
    }

    async fn rows(&mut self, text: &str, most: usize) -> Result<(), Error> {
        let (columns, mut rows, end) = self.query(text).await?;
        let columns: Vec<_> = columns
            .iter()
            .map(|column| format!("{}:{}", column.name, column.type_name))
            .collect();
        self.say(&format!("columns {}", columns.join(" ")));
        let mut count = 0;
        while count < most {
            let Some(row) = rows.next().await else { break };
            let values: Vec<_> = row.iter().map(show).collect();
            self.say(&format!("row {}", values.join(" | ")));
            count += 1;
        }
        drop(rows);
        self.ended(end).await
    }

    async fn count(&mut self, text: &str) -> Result<(), Error> {
        let (_, mut rows, end) = self.query(text).await?;
        let mut count = 0_u64;
        let mut buffer = Vec::with_capacity(64);
        loop {
            let (status, read) = rows.read(buffer).await;
            count += read.len() as u64;
            buffer = read;
            buffer.clear();
            if !matches!(status, wasip3::wit_bindgen::StreamResult::Complete(_)) {
                break;
            }
        }
        self.say(&format!("counted {count}"));
        self.ended(end).await
    }

    async fn ended(&mut self, end: FutureReader<Result<(), Error>>) -> Result<(), Error> {
        end.await?;
        self.say("end");
        Ok(())
    }

    async fn crowd(&mut self, text: &str) -> Result<(), Error> {
        let (count, bytes, sql) = crowd(text);
        let database = self.database()?;
        let calls = (0..count).map(|_| async {
            let text = Value::Text("x".repeat(bytes));
            match database.execute(sql.to_owned(), vec![text]).await {
                Ok(_) => "ok".to_owned(),
                Err(error) => name(&error),
            }
        });
        let mut outcomes = BTreeMap::<String, usize>::new();
        for outcome in join_all(calls).await {
            *outcomes.entry(outcome).or_default() += 1;
        }
        for (outcome, count) in outcomes {
            self.say(&format!("{count} {outcome}"));
        }
        Ok(())
    }

    async fn many(&mut self, rest: &str) -> Result<(), Error> {
        let mut words = rest.splitn(3, ' ');
        let mut number = || {
            words
                .next()
                .and_then(|word| word.parse::<i64>().ok())
                .expect("a number")
        };
        let (from, to) = (number(), number());
        let sql = words.next().expect("many FROM TO SQL").to_owned();
        let (mut writer, reader) = guests_http::sql::wit_stream::new();
        spawn_local(async move {
            for number in from..=to {
                if writer.write_one(vec![Value::Integer(number)]).await.is_some() {
                    break;
                }
            }
        });
        self.lists(sql, reader).await
    }

    async fn wide(&mut self, text: &str) -> Result<(), Error> {
        let (count, bytes, sql) = crowd(text);
        let (mut writer, reader) = guests_http::sql::wit_stream::new();
        spawn_local(async move {
            let lists = (0..count).map(|_| vec![Value::Text("x".repeat(bytes))]);
            writer.write_all(lists.collect()).await;
        });
        self.lists(sql.to_owned(), reader).await
    }

    async fn lists(&mut self, sql: String, lists: StreamReader<Vec<Value>>) -> Result<(), Error> {
        let changed = match &self.transaction {
            Some(transaction) => transaction.execute_many(sql, lists).await?,
            None => self.database()?.execute_many(sql, lists).await?,
        };
        self.say(&format!("changed {changed}"));
        Ok(())
    }
}

/// `COUNT BYTES SQL`.
fn crowd(text: &str) -> (usize, usize, &str) {
    let mut words = text.splitn(3, ' ');
    let mut word = || words.next().expect("crowd COUNT BYTES SQL");
    let mut number = || word().parse().expect("a number");
    let (count, bytes) = (number(), number());
    (count, bytes, word())
}

fn options(text: &str) -> Option<TransactionOptions> {
    let is = |word: &str| text.split(' ').any(|given| given == word);
    let isolation = match () {
        () if is("read-committed") => Some(Isolation::ReadCommitted),
        () if is("repeatable-read") => Some(Isolation::RepeatableRead),
        () if is("serializable") => Some(Isolation::Serializable),
        () => None,
    };
    (!text.is_empty()).then(|| TransactionOptions {
        isolation,
        read_only: is("read-only"),
    })
}

/// A statement and what is bound to it.
fn statement(text: &str) -> (String, Vec<Value>) {
    let mut parts = text.split(" | ");
    let sql = parts.next().unwrap_or_default().to_owned();
    (sql, parts.map(value).collect())
}

/// A value as answers show it.
fn value(text: &str) -> Value {
    if text == "null" {
        return Value::Null;
    }
    let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
    let number = |text: &str| text.parse().expect("a number");
    match kind {
        "true" => Value::Boolean(true),
        "false" => Value::Boolean(false),
        "integer" => Value::Integer(rest.parse().expect("an integer")),
        "float" => Value::Float(rest.parse().expect("a number")),
        "text" => Value::Text(rest.to_owned()),
        "binary" => Value::Binary(
            rest.split(' ')
                .filter(|byte| !byte.is_empty())
                .map(|byte| number(byte) as u8)
                .collect(),
        ),
        "decimal" => Value::Decimal(rest.to_owned()),
        "uuid" => Value::Uuid(rest.to_owned()),
        "json" => Value::Json(rest.to_owned()),
        "date" => Value::Date(date(rest)),
        "time" => Value::Time(time(rest)),
        "datetime" => {
            let (day, hour) = rest.split_once(' ').expect("a date and a time");
            Value::Datetime((date(day), time(hour)))
        }
        "timestamp" => {
            let (seconds, nanoseconds) = rest.split_once('.').expect("seconds.nanoseconds");
            Value::Timestamp(guests_http::sql::Instant {
                seconds: seconds.parse().expect("a number"),
                nanoseconds: number(nanoseconds),
            })
        }
        "raw" => Value::Raw(guests_http::sql::RawValue {
            type_name: String::new(),
            text: rest.to_owned(),
        }),
        other => panic!("what is {other}?"),
    }
}

fn numbers(text: &str) -> Vec<u32> {
    text.split(['-', ':', '.'])
        .map(|part| part.parse().expect("a number"))
        .collect()
}

fn date(text: &str) -> guests_http::sql::Date {
    let [year, month, day] = numbers(text)[..] else {
        panic!("no date: {text}")
    };
    guests_http::sql::Date {
        year: year as i32,
        month: month as u8,
        day: day as u8,
    }
}

fn time(text: &str) -> guests_http::sql::Time {
    let [hour, minute, second, nanosecond] = numbers(text)[..] else {
        panic!("no time: {text}")
    };
    guests_http::sql::Time {
        hour: hour as u8,
        minute: minute as u8,
        second: second as u8,
        nanosecond,
    }
}

fn show(value: &Value) -> String {
    let date = |date: &guests_http::sql::Date| format!("{:04}-{:02}-{:02}", date.year, date.month, date.day);
    let time = |time: &guests_http::sql::Time| {
        let (hour, minute, second, nanosecond) = (time.hour, time.minute, time.second, time.nanosecond);
        format!("{hour:02}:{minute:02}:{second:02}.{nanosecond:09}")
    };
    match value {
        Value::Null => "null".to_owned(),
        Value::Boolean(truth) => truth.to_string(),
        Value::Integer(number) => format!("integer {number}"),
        Value::Float(number) => format!("float {number}"),
        Value::Text(text) => format!("text {text}"),
        Value::Binary(bytes) => {
            let bytes: Vec<_> = bytes.iter().map(u8::to_string).collect();
            format!("binary {}", bytes.join(" "))
        }
        Value::Decimal(text) => format!("decimal {text}"),
        Value::Uuid(text) => format!("uuid {text}"),
        Value::Json(text) => format!("json {text}"),
        Value::Date(day) => format!("date {}", date(day)),
        Value::Time(hour) => format!("time {}", time(hour)),
        Value::Datetime((day, hour)) => format!("datetime {} {}", date(day), time(hour)),
        Value::Timestamp(instant) => format!("timestamp {}.{:09}", instant.seconds, instant.nanoseconds),
        Value::Raw(raw) => format!("raw {}", raw.text),
    }
}

/// An error's name, and what tests look at.
fn name(error: &Error) -> String {
    match error {
        Error::NoSuchDatabase => "no-such-database".to_owned(),
        Error::AccessDenied => "access-denied".to_owned(),
        Error::ConnectionFailed(why) => format!("connection-failed {why}"),
        Error::PoolExhausted => "pool-exhausted".to_owned(),
        Error::InvalidParams(why) => format!("invalid-params {why}"),
        Error::NotAllowed(why) => format!("not-allowed {why}"),
        Error::QueryFailed(error) => format!("query-failed {}", error.code),
        Error::ValueConversionFailed(why) => format!("value-conversion-failed {why}"),
        Error::Timeout => "timeout".to_owned(),
        Error::Cancelled => "cancelled".to_owned(),
        Error::Conflict(error) => format!("conflict {}", error.code),
        Error::CommitUnknown => "commit-unknown".to_owned(),
        Error::TransactionEnded => "transaction-ended".to_owned(),
        Error::Other(why) => format!("other {why}"),
    }
}
