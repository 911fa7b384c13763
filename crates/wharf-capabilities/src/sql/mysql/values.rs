//! Values between guests and MySQL or MariaDB.

use mysql_async::consts::{ColumnFlags, ColumnType};
use mysql_async::{Column as Described, Params, Row, Value as Held};

use crate::sql::error::{Error, Failure};
use crate::sql::value::{Column, Date, Instant, NoSuchTime, RawValue, Row as Values, Time, Value};

/// The character set of what is no text.
const BINARY: u16 = 63;

/// Parameters, as many as a statement wants.
pub(super) fn params(values: &[Value], wanted: u16) -> Result<Params, Failure> {
    if values.len() != usize::from(wanted) {
        let what = format!("the statement has {wanted}, and {} are given", values.len());
        return Err(Error::InvalidParams(what).into());
    }
    if values.is_empty() {
        return Ok(Params::Empty);
    }
    let held: Result<Vec<Held>, NoSuchTime> = values.iter().map(held).collect();
    let held = held.map_err(|error| Error::InvalidParams(error.to_string()))?;
    Ok(Params::Positional(held))
}

fn held(value: &Value) -> Result<Held, NoSuchTime> {
    Ok(match value {
        Value::Null => Held::NULL,
        Value::Boolean(truth) => Held::Int((*truth).into()),
        Value::Integer(number) => Held::Int(*number),
        Value::Float(number) => Held::Double(*number),
        Value::Binary(bytes) => Held::Bytes(bytes.clone()),
        Value::Timestamp(instant) => {
            let utc = instant.civil()?;
            // Without a zone: that of the connection is UTC.
            Held::Bytes(format!("{} {}", utc.date(), utc.time()).into_bytes())
        }
        value => Held::Bytes(value.text()?.unwrap_or_default().into_owned().into_bytes()),
    })
}

pub(super) fn column(column: &Described) -> Column {
    Column {
        name: column.name_str().into_owned(),
        type_name: type_name(column).to_owned(),
    }
}

fn type_name(column: &Described) -> &'static str {
    use ColumnType::*;
    let is_binary = column.character_set() == BINARY;
    match column.column_type() {
        MYSQL_TYPE_TINY if is_boolean(column) => "boolean",
        MYSQL_TYPE_TINY => "tinyint",
        MYSQL_TYPE_SHORT => "smallint",
        MYSQL_TYPE_INT24 => "mediumint",
        MYSQL_TYPE_LONG => "int",
        MYSQL_TYPE_LONGLONG => "bigint",
        MYSQL_TYPE_YEAR => "year",
        MYSQL_TYPE_FLOAT => "float",
        MYSQL_TYPE_DOUBLE => "double",
        MYSQL_TYPE_DECIMAL | MYSQL_TYPE_NEWDECIMAL => "decimal",
        MYSQL_TYPE_BIT => "bit",
        MYSQL_TYPE_DATE | MYSQL_TYPE_NEWDATE => "date",
        MYSQL_TYPE_TIME | MYSQL_TYPE_TIME2 => "time",
        MYSQL_TYPE_DATETIME | MYSQL_TYPE_DATETIME2 => "datetime",
        MYSQL_TYPE_TIMESTAMP | MYSQL_TYPE_TIMESTAMP2 => "timestamp",
        MYSQL_TYPE_JSON => "json",
        MYSQL_TYPE_GEOMETRY => "geometry",
        MYSQL_TYPE_NULL => "null",
        MYSQL_TYPE_ENUM => "enum",
        MYSQL_TYPE_SET => "set",
        MYSQL_TYPE_STRING if is_binary => "binary",
        MYSQL_TYPE_STRING if column.flags().contains(ColumnFlags::ENUM_FLAG) => "enum",
        MYSQL_TYPE_STRING if column.flags().contains(ColumnFlags::SET_FLAG) => "set",
        MYSQL_TYPE_STRING => "char",
        MYSQL_TYPE_VARCHAR | MYSQL_TYPE_VAR_STRING if is_binary => "varbinary",
        MYSQL_TYPE_VARCHAR | MYSQL_TYPE_VAR_STRING => "varchar",
        MYSQL_TYPE_TINY_BLOB | MYSQL_TYPE_MEDIUM_BLOB | MYSQL_TYPE_LONG_BLOB | MYSQL_TYPE_BLOB if is_binary => "blob",
        MYSQL_TYPE_TINY_BLOB | MYSQL_TYPE_MEDIUM_BLOB | MYSQL_TYPE_LONG_BLOB | MYSQL_TYPE_BLOB => "text",
        _ => "",
    }
}

/// `BOOLEAN` is another word for `TINYINT(1)`, and comes as that.
fn is_boolean(column: &Described) -> bool {
    column.column_type() == ColumnType::MYSQL_TYPE_TINY && column.column_length() == 1
}

/// A row, by its columns' types.
pub(super) fn row(row: Row, columns: &[Described]) -> Result<Values, Failure> {
    let values = row.unwrap_raw().into_iter().zip(columns);
    let values = values.map(|(held, column)| {
        let Some(value) = value(held.unwrap_or(Held::NULL), column) else {
            let name = column.name_str();
            let what = format!(
                "column `{name}`: no form is known for this {}; cast it to CHAR",
                type_name(column)
            );
            return Err(Error::ValueConversionFailed(what).into());
        };
        Ok(value)
    });
    values.collect()
}

fn value(held: Held, column: &Described) -> Option<Value> {
    Some(match held {
        Held::NULL => Value::Null,
        Held::Int(number @ (0 | 1)) if is_boolean(column) => Value::Boolean(number == 1),
        Held::Int(number) => Value::Integer(number),
        Held::UInt(number) => match i64::try_from(number) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Decimal(number.to_string()),
        },
        Held::Float(number) => Value::Float(number.into()),
        Held::Double(number) => Value::Float(number),
        Held::Bytes(bytes) => of_bytes(bytes, column)?,
        Held::Date(year, month, day, hour, minute, second, microsecond) => {
            let date = Date {
                year: year.into(),
                month,
                day,
            };
            let time = Time {
                hour,
                minute,
                second,
                nanosecond: microsecond.checked_mul(1000)?,
            };
            of_date(date, time, column)?
        }
        Held::Time(is_negative, days, hours, minutes, seconds, microseconds) => {
            of_time(is_negative, days, [hours, minutes, seconds], microseconds)?
        }
    })
}

fn of_bytes(bytes: Vec<u8>, column: &Described) -> Option<Value> {
    use ColumnType::*;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Some(match column.column_type() {
        MYSQL_TYPE_DECIMAL | MYSQL_TYPE_NEWDECIMAL => Value::Decimal(text(bytes)),
        MYSQL_TYPE_JSON => Value::Json(text(bytes)),
        MYSQL_TYPE_BIT if bytes.len() <= 8 => {
            let number = bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
            i64::try_from(number).map_or_else(|_| Value::Decimal(number.to_string()), Value::Integer)
        }
        MYSQL_TYPE_BIT | MYSQL_TYPE_GEOMETRY => Value::Binary(bytes),
        _ if column.character_set() == BINARY => Value::Binary(bytes),
        _ => Value::Text(text(bytes)),
    })
}

fn of_date(date: Date, time: Time, column: &Described) -> Option<Value> {
    use ColumnType::*;
    if date.civil().is_err() {
        // 0000-00-00, and days that are left out.
        let Date { year, month, day } = date;
        return Some(Value::Raw(RawValue {
            type_name: type_name(column).to_owned(),
            text: format!("{year:04}-{month:02}-{day:02}"),
        }));
    }
    Some(match column.column_type() {
        MYSQL_TYPE_DATE | MYSQL_TYPE_NEWDATE => Value::Date(date),
        MYSQL_TYPE_TIMESTAMP | MYSQL_TYPE_TIMESTAMP2 => Value::Timestamp(Instant::of_utc(date, time)?),
        _ => Value::Datetime((date, time)),
    })
}

/// What is no time of day is a span of time.
fn of_time(is_negative: bool, days: u32, [hours, minutes, seconds]: [u8; 3], microseconds: u32) -> Option<Value> {
    let nanosecond = microseconds.checked_mul(1000)?;
    if !is_negative && days == 0 {
        return Some(Value::Time(Time {
            hour: hours,
            minute: minutes,
            second: seconds,
            nanosecond,
        }));
    }
    let sign = if is_negative { "-" } else { "" };
    let hours = u64::from(days) * 24 + u64::from(hours);
    let fraction = format!(".{microseconds:06}");
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    Some(Value::Raw(RawValue {
        type_name: "time".to_owned(),
        text: format!("{sign}{hours:02}:{minutes:02}:{seconds:02}{fraction}"),
    }))
}
