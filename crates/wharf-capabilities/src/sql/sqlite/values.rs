//! Values between guests and SQLite, which has five types and lets every column say what it means by them.

use rusqlite::types::{ToSqlOutput, Value as Owned, ValueRef};
use rusqlite::{Row, Statement};

use super::errors;
use crate::sql::error::{Error, Failure};
use crate::sql::value::{Date, Instant, Row as Values, Time, Value, parse_datetime};

/// SQLite takes no more parameters.
const PARAMS_MAX: usize = 32_766;

/// What a column's declared type says of its values, where that is more than their own type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Declared {
    Plain,
    Boolean,
    Decimal,
    Date,
    Time,
    Datetime,
    Timestamp,
    Json,
    Uuid,
}

/// What the columns of a statement mean.
pub(super) fn declared(prepared: &Statement<'_>) -> Vec<Declared> {
    let columns = prepared.columns();
    columns
        .iter()
        .map(|column| of_type(column.decl_type().unwrap_or_default()))
        .collect()
}

fn of_type(declared: &str) -> Declared {
    let word = declared.split(['(', ' ']).next().unwrap_or_default();
    match word.to_ascii_lowercase().as_str() {
        "bool" | "boolean" => Declared::Boolean,
        "decimal" | "numeric" => Declared::Decimal,
        "date" => Declared::Date,
        "time" => Declared::Time,
        "datetime" => Declared::Datetime,
        "timestamp" | "timestamptz" => Declared::Timestamp,
        "json" | "jsonb" => Declared::Json,
        "uuid" => Declared::Uuid,
        _ => Declared::Plain,
    }
}

/// A row, by what its columns mean.
pub(super) fn row(row: &Row<'_>, declared: &[Declared]) -> Result<Values, Failure> {
    let value = |(nth, declared): (usize, &Declared)| {
        let value = row.get_ref(nth).map_err(errors::failure)?;
        Ok(of_column(value, *declared))
    };
    declared.iter().enumerate().map(value).collect()
}

/// A value that is not what its column declares keeps its own type: SQLite lets any be anywhere.
fn of_column(value: ValueRef<'_>, declared: Declared) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number @ (0 | 1)) if declared == Declared::Boolean => Value::Boolean(number == 1),
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Float(number),
        ValueRef::Blob(bytes) => Value::Binary(bytes.to_owned()),
        ValueRef::Text(text) => {
            let text = String::from_utf8_lossy(text).into_owned();
            of_text(&text, declared).unwrap_or(Value::Text(text))
        }
    }
}

fn of_text(text: &str, declared: Declared) -> Option<Value> {
    match declared {
        Declared::Plain | Declared::Boolean => None,
        Declared::Decimal => Some(Value::Decimal(text.to_owned())),
        Declared::Json => Some(Value::Json(text.to_owned())),
        Declared::Uuid => Some(Value::Uuid(text.to_owned())),
        Declared::Date => Date::parse(text).map(Value::Date),
        Declared::Time => Time::parse(text).map(Value::Time),
        Declared::Datetime => match parse_datetime(text)? {
            (datetime, "") => Some(Value::Datetime(datetime)),
            _ => None,
        },
        // What CURRENT_TIMESTAMP gives has no zone, and means UTC.
        Declared::Timestamp => match parse_datetime(text)? {
            ((date, time), "" | "Z" | "+00:00") => Instant::of_utc(date, time).map(Value::Timestamp),
            _ => None,
        },
    }
}

/// Binds parameters by their places, which `?1` and `$1` say, and `?` counts.
pub(super) fn bind(prepared: &mut Statement<'_>, params: &[Value]) -> Result<(), Failure> {
    let count = prepared.parameter_count();
    let mut places = Vec::with_capacity(count);
    for nth in 1..=count {
        places.push(place(prepared.parameter_name(nth), nth)?);
    }
    let wanted = places.iter().copied().max().unwrap_or(0);
    if wanted != params.len() {
        let what = format!("the statement has {wanted}, and {} are given", params.len());
        return Err(Error::InvalidParams(what).into());
    }
    for (nth, place) in places.into_iter().enumerate() {
        let value = bound(&params[place - 1])?;
        prepared.raw_bind_parameter(nth + 1, value).map_err(errors::failure)?;
    }
    Ok(())
}

/// Which parameter stands at a place of the statement, from 1.
fn place(name: Option<&str>, nth: usize) -> Result<usize, Failure> {
    let Some(name) = name else { return Ok(nth) };
    let number = name.strip_prefix(['$', '?']).and_then(|number| number.parse().ok());
    let named = || Error::InvalidParams(format!("`{name}`: parameters have numbers here, no names"));
    let number = number.filter(|number| (1..=PARAMS_MAX).contains(number));
    Ok(number.ok_or_else(named)?)
}

fn bound(value: &Value) -> Result<ToSqlOutput<'_>, Failure> {
    Ok(match value {
        Value::Null => ToSqlOutput::Owned(Owned::Null),
        Value::Boolean(truth) => ToSqlOutput::Owned(Owned::Integer((*truth).into())),
        Value::Integer(number) => ToSqlOutput::Owned(Owned::Integer(*number)),
        Value::Float(number) => ToSqlOutput::Owned(Owned::Real(*number)),
        Value::Binary(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
        value => {
            let text = value.text().map_err(|error| Error::InvalidParams(error.to_string()))?;
            let text = text.unwrap_or_default().into_owned();
            ToSqlOutput::Owned(Owned::Text(text))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_are_understood() {
        let cases = [
            ("BOOLEAN", Declared::Boolean),
            ("decimal(10, 2)", Declared::Decimal),
            ("timestamp with time zone", Declared::Timestamp),
            ("TEXT", Declared::Plain),
            ("", Declared::Plain),
        ];
        for (text, expected) in cases {
            assert_eq!(of_type(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_as_declared_stays_what_it_is() {
        let cases = [
            (ValueRef::Integer(1), Declared::Boolean, Value::Boolean(true)),
            (ValueRef::Integer(2), Declared::Boolean, Value::Integer(2)),
            (ValueRef::Text(b"soon"), Declared::Date, Value::Text("soon".to_owned())),
            (ValueRef::Real(0.5), Declared::Decimal, Value::Float(0.5)),
        ];
        for (stored, declared, expected) in cases {
            assert_eq!(of_column(stored, declared), expected);
        }
    }
}
