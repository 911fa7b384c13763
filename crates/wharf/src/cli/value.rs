//! The values that flags take, as people write them: durations, sizes, variables, folders, addresses.
//!
//! Each error says what was expected and gives an example; `clap` adds the flag and the value. What manifests have as well
//! is read as there.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tracing_subscriber::filter::{LevelFilter, Targets};
use wharf_capabilities::PatternError;
use wharf_capabilities::allow::Pattern;
use wharf_server::manifest::app::ListenAddress;
use wharf_server::manifest::value::{self, ListenText};

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

impl From<value::ValueError> for ValueError {
    fn from(error: value::ValueError) -> Self {
        Self(error.to_string())
    }
}

/// `30s`, `500ms`, `1.5h`.
pub fn duration(text: &str) -> Result<Duration, ValueError> {
    Ok(value::duration(text)?)
}

/// A duration in which something has to happen: longer than none.
pub fn time(text: &str) -> Result<Duration, ValueError> {
    match duration(text)? {
        Duration::ZERO => Err(ValueError(
            "in no time at all nothing is done: write 1ms or more".into(),
        )),
        time => Ok(time),
    }
}

/// `64MiB`, `1.5GB`, in bytes.
pub fn size(text: &str) -> Result<usize, ValueError> {
    let bytes = value::size(text)?;
    usize::try_from(bytes).map_err(|_| ValueError("more than this machine can address".into()))
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

/// `127.0.0.1:8080`. Names are looked up only when the server starts.
pub fn address(text: &str) -> Result<String, ValueError> {
    value::address(text)?;
    Ok(text.to_owned())
}

/// `127.0.0.1:8080`, `unix:/run/wharf/http.sock`, `systemd:web`.
pub fn listen(text: &str) -> Result<ListenAddress, ValueError> {
    Ok(match value::listen(text)? {
        ListenText::Tcp => ListenAddress::Tcp(text.to_owned()),
        ListenText::Unix(path) => ListenAddress::Unix(path.into()),
        ListenText::Systemd(name) => ListenAddress::Systemd(name.to_owned()),
    })
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
    fn what_is_no_quantity_is_told_what_one_is() {
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(size("64MiB"), Ok(64 << 20));
        assert_eq!(time("1ms"), Ok(Duration::from_millis(1)));
        assert!(time("0s").unwrap_err().to_string().contains("1ms or more"));
        assert_eq!(
            duration("30").unwrap_err().to_string(),
            "expected a number and one of ms, s, m and h, such as 30s or 500ms"
        );
        assert_eq!(
            duration("99999999h").unwrap_err().to_string(),
            "the number is too large"
        );
        let expected = "expected a number and one of B, KB, MB, GB, KiB, MiB and GiB, such as 64MiB";
        assert_eq!(size("64").unwrap_err().to_string(), expected);
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
