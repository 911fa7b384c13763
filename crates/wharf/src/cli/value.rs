//! The values that flags take, as people write them: durations, sizes, variables, folders, addresses.
//!
//! Each error says what was expected and gives an example; `clap` adds the flag and the value.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tracing_subscriber::filter::{LevelFilter, Targets};
use wharf_capabilities::PatternError;
use wharf_capabilities::allow::Pattern;

use super::Admin;

/// A value is not written as its flag expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueError(String);

impl std::fmt::Display for ValueError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ValueError {}

/// Units of time, in nanoseconds.
const TIME_UNITS: &[(&str, u64)] = &[
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Units of size, in bytes. Decimal and binary ones are what they say.
const SIZE_UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// `30s`, `500ms`, `1.5h`.
pub fn duration(text: &str) -> Result<Duration, ValueError> {
    quantity(
        text,
        TIME_UNITS,
        "a number and one of ms, s, m and h, such as 30s or 500ms",
    )
    .map(Duration::from_nanos)
}

/// `64MiB`, `1.5GB`, in bytes.
pub fn size(text: &str) -> Result<usize, ValueError> {
    const EXPECTED: &str = "a number and one of B, KB, MB, GB, KiB, MiB and GiB, such as 64MiB";
    let bytes = quantity(text, SIZE_UNITS, EXPECTED)?;
    usize::try_from(bytes).map_err(|_| ValueError("more than this machine can address".into()))
}

/// A number followed by one of `units`, in the smallest of them.
fn quantity(text: &str, units: &[(&str, u64)], expected: &str) -> Result<u64, ValueError> {
    let unit_at = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unexpected = || ValueError(format!("expected {expected}"));
    let (_, factor) = units.iter().find(|(name, _)| *name == unit).ok_or_else(unexpected)?;
    let product = match number.split_once('.') {
        None => number.parse::<u64>().ok().map(|whole| whole.checked_mul(*factor)),
        Some((whole, fraction)) => decimal(whole, fraction, *factor),
    };
    product
        .ok_or_else(unexpected)?
        .ok_or_else(|| ValueError("the number is too large".into()))
}

/// `whole.fraction` times `factor`; `None` if it is no number, `Some(None)` if it is too large.
fn decimal(whole: &str, fraction: &str, factor: u64) -> Option<Option<u64>> {
    // More digits would say less than a nanosecond or a byte of any unit here.
    if fraction.is_empty() || fraction.len() > 15 {
        return None;
    }
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = 10_u128.pow(fraction.len() as u32);
    Some(
        digits
            .checked_mul(factor.into())
            .and_then(|product| u64::try_from(product / scale).ok()),
    )
}

/// `127.0.0.1:9090`, `unix:/run/wharf/admin.sock`, `none`.
pub fn admin(text: &str) -> Result<Admin, ValueError> {
    match (text, text.strip_prefix("unix:")) {
        ("none", _) => Ok(Admin::Off),
        (_, Some("")) => Err(ValueError("expected a path, such as unix:/run/wharf/admin.sock".into())),
        (_, Some(path)) => Ok(Admin::Unix(path.into())),
        (_, None) => address(text).map(Admin::Tcp),
    }
}

/// A variable of the guest's environment: `NAME=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Never empty.
    pub name: String,
    /// May be empty, and may hold further `=`.
    pub value: String,
}

impl FromStr for Variable {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Variable, ValueError> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok(Variable {
                name: name.into(),
                value: value.into(),
            }),
            _ => Err(ValueError("expected NAME=VALUE, such as LANG=C".into())),
        }
    }
}

/// A folder that the guest sees: `HOST::GUEST`, or one path for both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// Where it is on this machine.
    pub host: PathBuf,
    /// Where the guest sees it.
    pub guest: String,
}

impl FromStr for Folder {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Folder, ValueError> {
        let (host, guest) = text.split_once("::").unwrap_or((text, text));
        if host.is_empty() || guest.is_empty() {
            return Err(ValueError(
                "expected HOST::GUEST, such as ./data::/data, or one path for both".into(),
            ));
        }
        Ok(Folder {
            host: host.into(),
            guest: guest.into(),
        })
    }
}

/// Checks that `text` is `HOST:PORT`. Names are looked up only when the server starts.
pub fn address(text: &str) -> Result<String, ValueError> {
    let expected = || ValueError("expected HOST:PORT, such as 127.0.0.1:8080, [::1]:8080 or localhost:8080".into());
    let (host, port) = text.rsplit_once(':').ok_or_else(expected)?;
    let in_brackets = host.starts_with('[') && host.ends_with(']');
    if host.is_empty() || (host.contains(':') && !in_brackets) {
        return Err(expected());
    }
    match port.parse::<u16>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(ValueError(format!(
            "{port:?} is no port: expected a number up to 65535, or 0 for any free one"
        ))),
    }
}

/// A pattern of hosts, checked and kept as text.
pub fn pattern(text: &str) -> Result<String, PatternError> {
    text.parse().map(|_: Pattern| text.to_owned())
}

/// The same for sockets, which know no schemes.
pub fn socket_pattern(text: &str) -> Result<String, ValueError> {
    match text.parse::<Pattern>() {
        Ok(pattern) if pattern.has_scheme() => Err(ValueError(
            "sockets have no scheme: write the host, and :PORT after it if only one is meant".into(),
        )),
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(ValueError(error.to_string())),
    }
}

/// Which messages are written: a level, or a list of levels and `TARGET=LEVEL`.
pub fn targets(text: &str) -> Result<Targets, ValueError> {
    // `Targets` would take an unknown word for the name of a target, and then write everything about it.
    for word in text.split(',').filter(|word| !word.contains('=')) {
        if word.is_empty() || LevelFilter::from_str(word).is_err() {
            let expected = "expected off, error, warn, info, debug or trace";
            return Err(ValueError(format!("{word:?} is no level: {expected}")));
        }
    }
    text.parse()
        .map_err(|_| ValueError("expected levels, or TARGET=LEVEL, such as info,wharf_server=debug".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let ms = |text| duration(text).map(|duration| duration.as_millis());
        assert_eq!(ms("30s"), Ok(30_000));
        assert_eq!(ms("500ms"), Ok(500));
        assert_eq!(ms("2m"), Ok(120_000));
        assert_eq!(ms("1.5h"), Ok(5_400_000));
        assert_eq!(ms("0s"), Ok(0));
        for text in [
            "", "30", "s", "-1s", "1 s", "1d", "1S", "1.s", ".s", "1.2.3s", "1e3s", "é",
        ] {
            assert_eq!(ms(text).unwrap_err().to_string().get(..8), Some("expected"), "{text}");
        }
        assert_eq!(ms("99999999h").unwrap_err().to_string(), "the number is too large");
        assert_eq!(ms("99999999.5h").unwrap_err().to_string(), "the number is too large");
    }

    #[test]
    fn sizes() {
        assert_eq!(size("64MiB"), Ok(64 << 20));
        assert_eq!(size("64MB"), Ok(64_000_000));
        assert_eq!(size("1.5KiB"), Ok(1536));
        assert_eq!(size("0B"), Ok(0));
        for text in ["", "64", "MiB", "64mib", "64 MiB", "64M", "0x10B"] {
            assert_eq!(size(text).unwrap_err().to_string().get(..8), Some("expected"), "{text}");
        }
    }

    #[test]
    fn variables() {
        let variable = |name: &str, value: &str| {
            Ok(Variable {
                name: name.into(),
                value: value.into(),
            })
        };
        assert_eq!("A=b".parse(), variable("A", "b"));
        assert_eq!("A=".parse(), variable("A", ""));
        assert_eq!("A=b=c".parse(), variable("A", "b=c"));
        for text in ["", "A", "=b"] {
            assert!(text.parse::<Variable>().is_err(), "{text}");
        }
    }

    #[test]
    fn folders() {
        let folder = |host: &str, guest: &str| {
            Ok(Folder {
                host: host.into(),
                guest: guest.into(),
            })
        };
        assert_eq!("data::/data".parse(), folder("data", "/data"));
        assert_eq!("/srv/data".parse(), folder("/srv/data", "/srv/data"));
        assert_eq!("a:b::/c::d".parse(), folder("a:b", "/c::d"));
        for text in ["", "::", "a::", "::b"] {
            assert!(text.parse::<Folder>().is_err(), "{text}");
        }
    }

    #[test]
    fn addresses() {
        for text in ["127.0.0.1:8080", "[::1]:0", "localhost:80", "0.0.0.0:65535"] {
            assert_eq!(address(text), Ok(text.to_owned()));
        }
        for text in ["", "8080", ":8080", "127.0.0.1", "::1:8080", "a:65536", "a:http", "a:"] {
            assert!(address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn levels() {
        let writes = |text: &str, target: &str, level| targets(text).unwrap().would_enable(target, &level);
        assert!(writes("info", "wharf_server", tracing::Level::INFO));
        assert!(!writes("info", "wharf_server", tracing::Level::DEBUG));
        assert!(writes(
            "info,wharf_server=debug",
            "wharf_server::dispatch",
            tracing::Level::DEBUG
        ));
        assert!(!writes("off", "wharf_server", tracing::Level::ERROR));
        for text in ["", "loud", "info,loud", "wharf_server=loud"] {
            assert!(targets(text).is_err(), "{text}");
        }
    }
}
