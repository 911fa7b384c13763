//! Values between guests and PostgreSQL.
//!
//! What comes is in each type's binary form. Types that have neither a case of their own nor a form that is known here are an
//! error that says so: `column::text` makes a text of anything.

use std::error::Error as StdError;
use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::BytesMut;
use tokio_postgres::Row;
use tokio_postgres::types::{Format, FromSql, IsNull, Kind, ToSql, Type, to_sql_checked};

use super::fields::Fields;
use super::numeric;
use crate::sql::error::{Error, Failure};
use crate::sql::value::{Date, Instant, NoSuchTime, RawValue, Row as Values, Time, Value};

/// Days from 1970-01-01 to 2000-01-01, where PostgreSQL begins to count.
const EPOCH_DAYS: i64 = 10_957;

/// Elements of arrays that may lie within each other.
const DEPTH_MAX: usize = 4;

/// Parameters, as many as a statement wants.
pub(super) fn params<'a>(values: &'a [Value], wanted: &'a [Type]) -> Result<Vec<Param<'a>>, Failure> {
    if values.len() != wanted.len() {
        let what = format!("the statement has {}, and {} are given", wanted.len(), values.len());
        return Err(Error::InvalidParams(what).into());
    }
    let fit = values.iter().zip(wanted).enumerate().map(|(nth, (value, wanted))| {
        let refused = |why: String| Error::InvalidParams(format!("number {}: {why}", nth + 1));
        value.text().map_err(|error: NoSuchTime| refused(error.to_string()))?;
        match value {
            Value::Binary(_) if *wanted != Type::BYTEA => Err(refused(format!("bytes are no {wanted}")).into()),
            value => Ok(Param(value)),
        }
    });
    fit.collect()
}

/// One parameter.
#[derive(Debug)]
pub(super) struct Param<'a>(&'a Value);

impl ToSql for Param<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        match self.0 {
            Value::Null => return Ok(IsNull::Yes),
            Value::Binary(bytes) => out.extend_from_slice(bytes),
            value => {
                let text = value.text()?.unwrap_or_default();
                out.extend_from_slice(text.as_bytes());
            }
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        match self.0 {
            Value::Binary(_) => Format::Binary,
            _ => Format::Text,
        }
    }

    to_sql_checked!();
}

/// What a column holds, before it is known what that is.
struct Held<'a>(Option<&'a [u8]>);

impl<'a> FromSql<'a> for Held<'a> {
    fn from_sql(_: &Type, bytes: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self(Some(bytes)))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// A row, by its columns' types.
pub(super) fn row(row: &Row) -> Result<Values, Failure> {
    let columns = row.columns().iter().enumerate();
    let values = columns.map(|(nth, column)| {
        let held: Held<'_> = row.try_get(nth).map_err(super::errors::failure)?;
        let Some(bytes) = held.0 else { return Ok(Value::Null) };
        let value = value(column.type_(), bytes, 0);
        let unknown = || {
            let (name, of) = (column.name(), column.type_());
            let what = format!("column `{name}`: no form is known for this {of}; select it as `{name}::text`");
            Failure::from(Error::ValueConversionFailed(what))
        };
        value.ok_or_else(unknown)
    });
    values.collect()
}

fn value(of: &Type, bytes: &[u8], depth: usize) -> Option<Value> {
    let text = |bytes: &[u8]| Some(String::from_utf8_lossy(bytes).into_owned());
    let mut fields = Fields(bytes);
    let value = match *of {
        // What functions return that return nothing.
        Type::VOID => return Some(Value::Null),
        Type::BOOL => Value::Boolean(fields.u8()? != 0),
        Type::INT2 => Value::Integer(fields.i16()?.into()),
        Type::INT4 => Value::Integer(fields.i32()?.into()),
        Type::INT8 => Value::Integer(fields.i64()?),
        Type::OID => Value::Integer(fields.i32()?.cast_unsigned().into()),
        Type::FLOAT4 => Value::Float(f32::from_bits(fields.i32()?.cast_unsigned()).into()),
        Type::FLOAT8 => Value::Float(f64::from_bits(fields.i64()?.cast_unsigned())),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN => return text(bytes).map(Value::Text),
        Type::BYTEA => return Some(Value::Binary(bytes.to_owned())),
        Type::NUMERIC => return numeric::text(bytes).map(Value::Decimal),
        Type::UUID => return uuid(bytes).map(Value::Uuid),
        Type::JSON => return text(bytes).map(Value::Json),
        // One byte before the text says in which version of the form it is.
        Type::JSONB => return text(bytes.strip_prefix(&[1])?).map(Value::Json),
        Type::DATE => Value::Date(date(fields.i32()?.into())?),
        Type::TIME => Value::Time(Time::of_microseconds(fields.i64()?.try_into().ok()?)?),
        Type::TIMESTAMP => Value::Datetime(datetime(fields.i64()?)?),
        Type::TIMESTAMPTZ => {
            let (date, time) = datetime(fields.i64()?)?;
            Value::Timestamp(Instant::of_utc(date, time)?)
        }
        _ => return other(of, bytes, depth),
    };
    fields.0.is_empty().then_some(value)
}

/// What has no case of its own.
fn other(of: &Type, bytes: &[u8], depth: usize) -> Option<Value> {
    let text = match *of {
        Type::XML | Type::CHAR => String::from_utf8_lossy(bytes).into_owned(),
        Type::INET | Type::CIDR => address(bytes, *of == Type::CIDR)?,
        Type::INTERVAL => interval(bytes)?,
        _ => match of.kind() {
            Kind::Domain(inner) => return value(inner, bytes, depth),
            Kind::Enum(_) => String::from_utf8_lossy(bytes).into_owned(),
            Kind::Array(element) if depth < DEPTH_MAX => array(element, bytes, depth + 1)?,
            _ => return None,
        },
    };
    Some(Value::Raw(RawValue {
        type_name: of.name().to_owned(),
        text,
    }))
}

fn uuid(bytes: &[u8]) -> Option<String> {
    let bytes: [u8; 16] = bytes.try_into().ok()?;
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
    Some(parts.join("-"))
}

/// `None` for infinity, and for what lies beyond the calendar.
fn date(days: i64) -> Option<Date> {
    let seconds = (days + EPOCH_DAYS).checked_mul(86_400)?;
    let instant = Instant {
        seconds,
        nanoseconds: 0,
    };
    Some(instant.civil().ok()?.date().into())
}

fn datetime(microseconds: i64) -> Option<(Date, Time)> {
    let day = 86_400_000_000;
    let date = date(microseconds.div_euclid(day))?;
    let time = Time::of_microseconds(microseconds.rem_euclid(day).cast_unsigned())?;
    Some((date, time))
}

fn address(bytes: &[u8], is_network: bool) -> Option<String> {
    let [family, bits, _, count, address @ ..] = bytes else {
        return None;
    };
    if usize::from(*count) != address.len() {
        return None;
    }
    let (text, most) = match (family, address.len()) {
        (2, 4) => (Ipv4Addr::from(<[u8; 4]>::try_from(address).ok()?).to_string(), 32),
        (3, 16) => (Ipv6Addr::from(<[u8; 16]>::try_from(address).ok()?).to_string(), 128),
        _ => return None,
    };
    let is_one = *bits == most && !is_network;
    Some(if is_one { text } else { format!("{text}/{bits}") })
}

/// As `IntervalStyle = postgres` writes it.
fn interval(bytes: &[u8]) -> Option<String> {
    let mut fields = Fields(bytes);
    let (microseconds, days, months) = (fields.i64()?, fields.i32()?, fields.i32()?);
    let mut parts = Vec::new();
    let mut part = |count: i32, word: &str| {
        let plural = if count == 1 { "" } else { "s" };
        (count != 0).then(|| parts.push(format!("{count} {word}{plural}")));
    };
    part(months / 12, "year");
    part(months % 12, "mon");
    part(days, "day");
    if microseconds != 0 || parts.is_empty() {
        let sign = if microseconds < 0 { "-" } else { "" };
        let (seconds, rest) = (
            microseconds.unsigned_abs() / 1_000_000,
            microseconds.unsigned_abs() % 1_000_000,
        );
        let fraction = format!(".{rest:06}");
        let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        parts.push(format!("{sign}{hours:02}:{minutes:02}:{seconds:02}{fraction}"));
    }
    Some(parts.join(" "))
}

/// An array's text, as the server would write it.
fn array(element: &Type, bytes: &[u8], depth: usize) -> Option<String> {
    let mut fields = Fields(bytes);
    let dimensions = fields.i32()?;
    let (_has_null, _element) = (fields.i32()?, fields.i32()?);
    let mut lengths = Vec::new();
    for _ in 0..dimensions.clamp(0, 6) {
        let (length, _lower) = (fields.i32()?, fields.i32()?);
        lengths.push(usize::try_from(length).ok()?);
    }
    if lengths.is_empty() {
        return Some("{}".to_owned());
    }
    let mut text = String::new();
    nested(element, &mut fields, &lengths, &mut text, depth)?;
    fields.0.is_empty().then_some(text)
}

fn nested(element: &Type, fields: &mut Fields<'_>, lengths: &[usize], text: &mut String, depth: usize) -> Option<()> {
    let Some((length, inner)) = lengths.split_first() else {
        text.push_str(&of_element(element, fields, depth)?);
        return Some(());
    };
    text.push('{');
    for nth in 0..*length {
        if nth > 0 {
            text.push(',');
        }
        nested(element, fields, inner, text, depth)?;
    }
    text.push('}');
    Some(())
}

fn of_element(element: &Type, fields: &mut Fields<'_>, depth: usize) -> Option<String> {
    let Ok(length) = usize::try_from(fields.i32()?) else {
        return Some("NULL".to_owned());
    };
    let text = match value(element, fields.take(length)?, depth)? {
        Value::Binary(bytes) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("\\x{hex}")
        }
        Value::Boolean(truth) => if truth { "t" } else { "f" }.to_owned(),
        value => value.text().ok()??.into_owned(),
    };
    let is_plain = |c: char| !c.is_whitespace() && !"{},\"\\".contains(c);
    if !text.is_empty() && !text.eq_ignore_ascii_case("null") && text.chars().all(is_plain) {
        return Some(text);
    }
    Some(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}
