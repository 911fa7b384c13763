//! The values of `wharf:sql/types`, the same for every database, and their text forms.
//!
//! How a database's own types become these is each engine's (`sql/sqlite/values.rs` and beside it).

use std::borrow::Cow;

use jiff::civil;
use jiff::tz::TimeZone;
use wasmtime::component::{ComponentType, Lift, Lower};

/// One value of a row, or one parameter.
#[derive(Clone, Debug, PartialEq, ComponentType, Lift, Lower)]
#[component(variant)]
pub enum Value {
    /// No value.
    #[component(name = "null")]
    Null,
    /// True or false.
    #[component(name = "boolean")]
    Boolean(bool),
    /// A whole number.
    #[component(name = "integer")]
    Integer(i64),
    /// A number of limited precision.
    #[component(name = "float")]
    Float(f64),
    /// Text.
    #[component(name = "text")]
    Text(String),
    /// Bytes.
    #[component(name = "binary")]
    Binary(Vec<u8>),
    /// An exact number in base 10, as text.
    #[component(name = "decimal")]
    Decimal(String),
    /// With hyphens, in lower case.
    #[component(name = "uuid")]
    Uuid(String),
    /// A text of JSON.
    #[component(name = "json")]
    Json(String),
    /// A day.
    #[component(name = "date")]
    Date(Date),
    /// A time of day.
    #[component(name = "time")]
    Time(Time),
    /// Both, without a zone.
    #[component(name = "datetime")]
    Datetime((Date, Time)),
    /// A point in time.
    #[component(name = "timestamp")]
    Timestamp(Instant),
    /// Anything else, in the database's own text form.
    #[component(name = "raw")]
    Raw(RawValue),
}

/// A day of the proleptic Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(record)]
pub struct Date {
    /// Astronomical: 0 is 1 BC.
    pub year: i32,
    /// From 1.
    pub month: u8,
    /// From 1.
    pub day: u8,
}

/// A time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(record)]
pub struct Time {
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// 0 to 999,999,999.
    pub nanosecond: u32,
}

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(record)]
pub struct Instant {
    /// Since 1970-01-01T00:00:00Z.
    pub seconds: i64,
    /// After them.
    pub nanoseconds: u32,
}

/// A value of a type that has no case of its own.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(record)]
pub struct RawValue {
    /// As the database calls it.
    #[component(name = "type-name")]
    pub type_name: String,
    /// In the database's own form.
    pub text: String,
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(record)]
pub struct Column {
    /// As the statement calls it.
    pub name: String,
    /// As the database calls it; empty where it has none.
    #[component(name = "type-name")]
    pub type_name: String,
}

/// As many values as there are columns.
pub type Row = Vec<Value>;

/// How many bytes a row takes, about.
pub(super) fn row_bytes(row: &[Value]) -> usize {
    row.iter().map(Value::bytes).sum()
}

impl Value {
    /// How many bytes it takes, about.
    fn bytes(&self) -> usize {
        let beside = match self {
            Self::Text(text) | Self::Decimal(text) | Self::Uuid(text) | Self::Json(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
            Self::Raw(raw) => raw.type_name.len() + raw.text.len(),
            _ => 0,
        };
        size_of::<Self>() + beside
    }

    /// Its text, which every database reads as a literal of the type in question. `None` for what is no text: nothing, and
    /// bytes.
    ///
    /// # Errors
    /// For a date or a time that there is not.
    pub(super) fn text(&self) -> Result<Option<Cow<'_, str>>, NoSuchTime> {
        Ok(Some(match self {
            Self::Null | Self::Binary(_) => return Ok(None),
            Self::Boolean(true) => "true".into(),
            Self::Boolean(false) => "false".into(),
            Self::Integer(integer) => integer.to_string().into(),
            Self::Float(float) => float_text(*float).into(),
            Self::Text(text) | Self::Decimal(text) | Self::Uuid(text) | Self::Json(text) => text.into(),
            Self::Raw(raw) => (&raw.text).into(),
            Self::Date(date) => date.civil()?.to_string().into(),
            Self::Time(time) => time.civil()?.to_string().into(),
            Self::Datetime((date, time)) => format!("{} {}", date.civil()?, time.civil()?).into(),
            Self::Timestamp(instant) => {
                let utc = instant.civil()?;
                format!("{} {}Z", utc.date(), utc.time()).into()
            }
        }))
    }
}

/// Rust writes infinity as `inf`, databases read `Infinity`.
fn float_text(float: f64) -> String {
    match float {
        f64::INFINITY => "Infinity".to_owned(),
        f64::NEG_INFINITY => "-Infinity".to_owned(),
        float => float.to_string(),
    }
}

/// A date or time is none, or out of the range from the year -9999 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no such date or time, or it is before the year -9999 or after 9999")]
pub struct NoSuchTime;

impl Date {
    pub(super) fn civil(self) -> Result<civil::Date, NoSuchTime> {
        let year = i16::try_from(self.year).map_err(|_| NoSuchTime)?;
        let (month, day) = (signed(self.month)?, signed(self.day)?);
        civil::Date::new(year, month, day).map_err(|_| NoSuchTime)
    }

    /// From its text: `2026-11-23`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let date = text.parse::<civil::Date>().ok().filter(|_| text.len() == 10);
        date.map(Self::from)
    }
}

impl Time {
    pub(super) fn civil(self) -> Result<civil::Time, NoSuchTime> {
        let nanosecond = i32::try_from(self.nanosecond).map_err(|_| NoSuchTime)?;
        let (hour, minute, second) = (signed(self.hour)?, signed(self.minute)?, signed(self.second)?);
        civil::Time::new(hour, minute, second, nanosecond).map_err(|_| NoSuchTime)
    }

    /// From its text: `12:30:00.5`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(|time: civil::Time| time.into())
    }

    /// From the time since midnight.
    pub(super) fn of_microseconds(microseconds: u64) -> Option<Self> {
        let seconds = microseconds / 1_000_000;
        // A day's last moment is 24:00:00 for some databases, and none for us.
        Some(Self {
            hour: u8::try_from(seconds / 3600).ok().filter(|hour| *hour < 24)?,
            minute: u8::try_from(seconds / 60 % 60).ok()?,
            second: u8::try_from(seconds % 60).ok()?,
            nanosecond: u32::try_from(microseconds % 1_000_000 * 1000).ok()?,
        })
    }
}

impl Instant {
    /// What clocks show at it in UTC.
    pub(super) fn civil(self) -> Result<civil::DateTime, NoSuchTime> {
        let nanoseconds = i32::try_from(self.nanoseconds).map_err(|_| NoSuchTime)?;
        let is_fraction = nanoseconds < 1_000_000_000;
        let timestamp = jiff::Timestamp::new(self.seconds, nanoseconds).map_err(|_| NoSuchTime)?;
        is_fraction
            .then(|| TimeZone::UTC.to_datetime(timestamp))
            .ok_or(NoSuchTime)
    }

    /// When clocks in UTC show this.
    pub(super) fn of_utc(date: Date, time: Time) -> Option<Self> {
        let datetime = civil::DateTime::from_parts(date.civil().ok()?, time.civil().ok()?);
        let timestamp = TimeZone::UTC.to_timestamp(datetime).ok()?;
        let nanoseconds = timestamp.as_nanosecond();
        Some(Self {
            seconds: i64::try_from(nanoseconds.div_euclid(1_000_000_000)).ok()?,
            nanoseconds: u32::try_from(nanoseconds.rem_euclid(1_000_000_000)).ok()?,
        })
    }
}

/// Date and time from their text, parted by a space or a `T`, and what stands behind them.
pub(super) fn parse_datetime(text: &str) -> Option<((Date, Time), &str)> {
    let (date, rest) = text.split_at_checked(10)?;
    let rest = rest.strip_prefix([' ', 'T'])?;
    let end = rest.find(|c: char| !(c.is_ascii_digit() || c == ':' || c == '.'));
    let (time, zone) = rest.split_at(end.unwrap_or(rest.len()));
    Some(((Date::parse(date)?, Time::parse(time)?), zone))
}

fn signed(small: u8) -> Result<i8, NoSuchTime> {
    i8::try_from(small).map_err(|_| NoSuchTime)
}

impl From<civil::Date> for Date {
    fn from(date: civil::Date) -> Self {
        Self {
            year: date.year().into(),
            month: date.month().unsigned_abs(),
            day: date.day().unsigned_abs(),
        }
    }
}

impl From<civil::Time> for Time {
    fn from(time: civil::Time) -> Self {
        Self {
            hour: time.hour().unsigned_abs(),
            minute: time.minute().unsigned_abs(),
            second: time.second().unsigned_abs(),
            nanosecond: time.subsec_nanosecond().unsigned_abs(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Date = Date {
        year: 2026,
        month: 11,
        day: 23,
    };
    const NOON: Time = Time {
        hour: 12,
        minute: 0,
        second: 5,
        nanosecond: 250_000_000,
    };

    #[test]
    fn values_have_texts() {
        let cases = [
            (Value::Null, None),
            (Value::Binary(vec![1]), None),
            (Value::Boolean(true), Some("true")),
            (Value::Integer(-7), Some("-7")),
            (Value::Float(f64::NEG_INFINITY), Some("-Infinity")),
            (Value::Date(DAY), Some("2026-11-23")),
            (Value::Time(NOON), Some("12:00:05.25")),
            (Value::Datetime((DAY, NOON)), Some("2026-11-23 12:00:05.25")),
            (
                Value::Timestamp(Instant {
                    seconds: -1,
                    nanoseconds: 500_000_000,
                }),
                Some("1969-12-31 23:59:59.5Z"),
            ),
        ];
        for (value, expected) in cases {
            assert_eq!(value.text().unwrap().as_deref(), expected, "{value:?}");
        }
    }

    #[test]
    fn dates_that_are_none_are_refused() {
        for day in [
            Date { day: 31, ..DAY },
            Date { month: 0, ..DAY },
            Date { year: 99_999, ..DAY },
        ] {
            assert_eq!(Value::Date(day).text(), Err(NoSuchTime), "{day:?}");
        }
        let late = Instant {
            seconds: 0,
            nanoseconds: 1_000_000_000,
        };
        assert_eq!(Value::Timestamp(late).text(), Err(NoSuchTime));
    }

    #[test]
    fn texts_are_taken_apart() {
        let cases = [
            ("2026-11-23 12:00:05.25", Some("")),
            ("2026-11-23T12:00:05.25+01:00", Some("+01:00")),
            ("2026-11-23 12:00:05.25Z", Some("Z")),
            ("2026-11-23", None),
            ("2026-13-23 12:00:05.25", None),
            ("2026-11-2ä 12:00", None),
        ];
        for (text, zone) in cases {
            let expected = zone.map(|zone| ((DAY, NOON), zone));
            assert_eq!(parse_datetime(text), expected, "{text}");
        }
        let instant = Instant::of_utc(DAY, NOON).unwrap();
        assert_eq!(instant.civil().unwrap().to_string(), "2026-11-23T12:00:05.25");
    }
}
