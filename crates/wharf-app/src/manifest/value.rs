//! Durations, sizes and addresses as people write them, in manifests and in flags: `30s`, `64MiB`, `127.0.0.1:8080`.
//!
//! Each error says what was expected and gives an example. Where the text stood is for the caller to say.

use std::time::Duration;

/// Text is no such value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// It is written otherwise.
    #[error("expected {0}")]
    Expected(&'static str),
    /// It is more than can be counted.
    #[error("the number is too large")]
    TooLarge,
    /// What stands for a port is none.
    #[error("{0:?} is no port: expected a number up to 65535, or 0 for any free one")]
    Port(String),
}

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
///
/// # Errors
/// When the text is no such duration, or longer than 584 years.
pub fn duration(text: &str) -> Result<Duration, ValueError> {
    const EXPECTED: &str = "a number and one of ms, s, m and h, such as 30s or 500ms";
    quantity(text, TIME_UNITS, EXPECTED).map(Duration::from_nanos)
}

/// `64MiB`, `1.5GB`, in bytes.
///
/// # Errors
/// When the text is no such size, or does not fit into 64 bits.
pub fn size(text: &str) -> Result<u64, ValueError> {
    const EXPECTED: &str = "a number and one of B, KB, MB, GB, KiB, MiB and GiB, such as 64MiB";
    quantity(text, SIZE_UNITS, EXPECTED)
}

/// A number followed by one of `units`, in the smallest of them.
fn quantity(text: &str, units: &[(&str, u64)], expected: &'static str) -> Result<u64, ValueError> {
    let unit_at = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unexpected = ValueError::Expected(expected);
    let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
        return Err(unexpected);
    };
    let product = match number.split_once('.') {
        None => number.parse::<u64>().ok().map(|whole| whole.checked_mul(*factor)),
        Some((whole, fraction)) => decimal(whole, fraction, *factor),
    };
    product.ok_or(unexpected)?.ok_or(ValueError::TooLarge)
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

/// Checks that `text` is `HOST:PORT`. Names are looked up only when somebody listens there.
///
/// # Errors
/// When it is not.
pub fn address(text: &str) -> Result<(), ValueError> {
    const EXPECTED: ValueError =
        ValueError::Expected("HOST:PORT, such as 127.0.0.1:8080, [::1]:8080 or localhost:8080");
    let (host, port) = text.rsplit_once(':').ok_or(EXPECTED)?;
    let in_brackets = host.starts_with('[') && host.ends_with(']');
    if host.is_empty() || (host.contains(':') && !in_brackets) {
        return Err(EXPECTED);
    }
    match port.parse::<u16>() {
        Ok(_) => Ok(()),
        Err(_) => Err(ValueError::Port(port.to_owned())),
    }
}

/// What a text says of where to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenText<'a> {
    /// It is `HOST:PORT`.
    Tcp,
    /// `unix:` and this path.
    Unix(&'a str),
    /// `systemd:` and this name.
    Systemd(&'a str),
}

/// Reads `HOST:PORT`, `unix:PATH` or `systemd:NAME`.
///
/// # Errors
/// When the text is none of them.
pub fn listen(text: &str) -> Result<ListenText<'_>, ValueError> {
    if let Some(path) = text.strip_prefix("unix:") {
        return match path {
            "" => Err(ValueError::Expected(
                "a path after `unix:`, as in unix:/run/wharf/http.sock",
            )),
            path => Ok(ListenText::Unix(path)),
        };
    }
    if let Some(name) = text.strip_prefix("systemd:") {
        // What systemd takes for a name (systemd.socket(5)); colons stand between names.
        let is_name = |c: char| c.is_ascii_graphic() && c != ':';
        return match !name.is_empty() && name.len() < 256 && name.chars().all(is_name) {
            true => Ok(ListenText::Systemd(name)),
            false => Err(ValueError::Expected(
                "the name of a socket after `systemd:`, as `FileDescriptorName=` gives it one",
            )),
        };
    }
    address(text).map(|()| ListenText::Tcp)
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
            assert!(matches!(ms(text), Err(ValueError::Expected(_))), "{text}");
        }
        for text in ["99999999h", "99999999.5h"] {
            assert_eq!(ms(text), Err(ValueError::TooLarge), "{text}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(size("64MiB"), Ok(64 << 20));
        assert_eq!(size("64MB"), Ok(64_000_000));
        assert_eq!(size("1.5KiB"), Ok(1536));
        assert_eq!(size("0B"), Ok(0));
        for text in ["", "64", "MiB", "64mib", "64 MiB", "64M", "0x10B"] {
            assert!(matches!(size(text), Err(ValueError::Expected(_))), "{text}");
        }
    }

    #[test]
    fn addresses() {
        for text in ["127.0.0.1:8080", "[::1]:0", "localhost:80", "0.0.0.0:65535"] {
            assert_eq!(address(text), Ok(()), "{text}");
        }
        for text in ["", "8080", ":8080", "127.0.0.1", "::1:8080"] {
            assert!(matches!(address(text), Err(ValueError::Expected(_))), "{text}");
        }
        for text in ["a:65536", "a:http", "a:"] {
            assert!(matches!(address(text), Err(ValueError::Port(_))), "{text}");
        }
    }

    #[test]
    fn places_to_listen() {
        assert_eq!(listen("[::]:80"), Ok(ListenText::Tcp));
        assert_eq!(listen("unix:run/a.sock"), Ok(ListenText::Unix("run/a.sock")));
        assert_eq!(listen("systemd:web"), Ok(ListenText::Systemd("web")));
        for text in ["unix:", "systemd:", "systemd:a:b", "systemd:a b", "/run/a.sock"] {
            assert!(matches!(listen(text), Err(ValueError::Expected(_))), "{text}");
        }
    }
}
