//! `wasi:logging`: what guests say, in the operator's log, with the app, the component and the level.
//!
//! Lines are bounded in length and in rate, so that no guest drowns what the others and the server say. What is left out is
//! counted, and said.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use tracing::Level as Tracing;
use wasmtime::component::{ComponentType, Lift, Lower};
use wharf_host::capability::{Admission, Capability, Fault, Imports, Kind, OpenError, Sample, Section, Written, field};
use wharf_host::wit::Package;

use crate::rate::{Passed, Rate};
use crate::section::{bytes, count, first};

const NAME: &str = "logging";

/// The proposal's name, and the one that guests of wasmCloud import.
const INTERFACES: &[&str] = &["wasi:logging/logging@0.1.0-draft", "wasi:logging/logging"];

/// Enough to follow an app by; a loop that logs would write millions.
const LINES_PER_SECOND: u32 = 100;
/// A screenful. Who has more to say writes files.
const LINE_BYTES: u64 = 8 << 10;
/// A context is a word or a path of words.
const CONTEXT_BYTES_MAX: usize = 256;

/// What guests say with `wasi:logging`, in the server's own log: with the app, the component, the level and the context that they
/// give. An empty section is enough.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct WrittenLogging {
    /// From which level on lines are written; what the server's own `--log` leaves out stays out. Default: `"info"`.
    level: Option<WrittenLevel>,
    /// How many lines are written a second, ten seconds' worth of them at once; further ones are left out, counted and said.
    /// Default: 100.
    rate: Option<field::Count>,
    /// How long a line may be; the rest of it is left out. Default: `"8KiB"`.
    line: Option<field::Size>,
}

/// How much something matters.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "kebab-case")]
enum WrittenLevel {
    /// Everything.
    Trace,
    /// For who looks for a fault.
    Debug,
    /// What happens.
    #[default]
    Info,
    /// What should not happen.
    Warn,
    /// What failed.
    Error,
    /// What endangers all.
    Critical,
}

/// The enum `level`. Guests alone make its values.
#[allow(dead_code)]
#[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
enum Level {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
    #[component(name = "critical")]
    Critical,
}

struct Options {
    level: WrittenLevel,
    rate: usize,
    line_bytes_max: usize,
}

impl Options {
    fn read(written: &Written) -> Result<Self, Vec<Fault>> {
        let section: WrittenLogging = written.read().map_err(|fault| vec![fault])?;
        let mut wrong = Vec::new();
        let line = bytes(&mut wrong, "line", &section.line, LINE_BYTES);
        match wrong.is_empty() {
            true => Ok(Self {
                level: section.level.unwrap_or_default(),
                rate: count(&section.rate, LINES_PER_SECOND),
                line_bytes_max: usize::try_from(line).unwrap_or(usize::MAX),
            }),
            false => Err(wrong),
        }
    }
}

/// The capability's section.
pub struct LoggingKind;

impl Section for LoggingKind {
    fn name(&self) -> &'static str {
        NAME
    }

    fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<WrittenLogging>()
    }

    fn interfaces(&self) -> &'static [&'static str] {
        INTERFACES
    }

    fn wit(&self) -> Vec<Package> {
        vec![Package::new(
            "wasi:logging",
            "0.1.0-draft",
            "messages with a level",
            include_str!("../../../wit/logging/logging.wit"),
        )]
    }

    fn check(&self, written: &Written) -> Vec<Fault> {
        Options::read(written).err().unwrap_or_default()
    }
}

impl Kind for LoggingKind {
    fn open(&self, app: &str, written: &Written) -> Result<Arc<dyn Capability>, OpenError> {
        let options = Options::read(written).map_err(first)?;
        Ok(Arc::new(Logging(Arc::new(Shared {
            app: app.to_owned(),
            rate: Rate::new(options.rate),
            options,
            written: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
        }))))
    }
}

/// The lines of one app.
struct Logging(Arc<Shared>);

struct Shared {
    app: String,
    options: Options,
    rate: Rate,
    written: AtomicU64,
    left_out: AtomicU64,
}

impl Capability for Logging {
    fn name(&self) -> &'static str {
        NAME
    }

    fn link(&self, imports: &mut Imports<'_>) -> wasmtime::Result<()> {
        let component: Arc<str> = imports.component().into();
        for interface in INTERFACES {
            let mut logging = imports.linker().instance(interface)?;
            let (shared, component) = (self.0.clone(), component.clone());
            logging.func_wrap("log", move |_, (level, context, message): (Level, String, String)| {
                shared.log(&component, level, &context, &message);
                Ok(())
            })?;
        }
        Ok(())
    }

    fn admit(&self, _: &mut Admission<'_>) -> wasmtime::Result<()> {
        // The functions that were linked know the app.
        Ok(())
    }

    fn samples(&self) -> Vec<Sample> {
        let lines = |outcome: &str, count: &AtomicU64| Sample {
            name: "lines",
            help: "lines of guests, by what became of them",
            is_counter: true,
            labels: vec![("outcome", outcome.to_owned())],
            value: count.load(Ordering::Relaxed) as f64,
        };
        vec![lines("written", &self.0.written), lines("left-out", &self.0.left_out)]
    }
}

impl Shared {
    fn log(&self, component: &str, level: Level, context: &str, message: &str) {
        if (level as u8) < (self.options.level as u8) {
            return;
        }
        match self.rate.pass() {
            Passed::No => {
                self.left_out.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Passed::Yes => {}
            Passed::YesAfter(left_out) => {
                tracing::warn!(app = %self.app, left_out, "a guest logs more than its app may: lines are left out");
            }
        }
        self.written.fetch_add(1, Ordering::Relaxed);
        let context = beginning(context, CONTEXT_BYTES_MAX);
        let message = beginning(message, self.options.line_bytes_max);
        let app = self.app.as_str();
        // What guests say is quoted: a line's end in it must not begin a line of the log.
        match level {
            Level::Trace => tracing::event!(target: "guest", Tracing::TRACE, app, component, context, ?message),
            Level::Debug => tracing::event!(target: "guest", Tracing::DEBUG, app, component, context, ?message),
            Level::Info => tracing::event!(target: "guest", Tracing::INFO, app, component, context, ?message),
            Level::Warn => tracing::event!(target: "guest", Tracing::WARN, app, component, context, ?message),
            Level::Error => tracing::event!(target: "guest", Tracing::ERROR, app, component, context, ?message),
            Level::Critical => {
                tracing::event!(target: "guest", Tracing::ERROR, app, component, context, critical = true, ?message);
            }
        }
    }
}

/// What fits into so many bytes.
fn beginning(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(
            [
                beginning("añb", 9),
                beginning("añb", 3),
                beginning("añb", 2),
                beginning("", 2)
            ],
            ["añb", "añ", "a", ""]
        );
    }
}
