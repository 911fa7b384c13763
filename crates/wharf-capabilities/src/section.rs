//! Reading sections of a manifest: what the capabilities here have in common.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use wharf_host::capability::field;
use wharf_host::capability::{Fault, OpenError};

use crate::held::{HELD_BYTES, Holding};

/// A size, or its default; what is wrong with it goes to `wrong`.
pub(crate) fn bytes(wrong: &mut Vec<Fault>, key: &str, written: &Option<field::Size>, default: u64) -> u64 {
    let Some(written) = written else { return default };
    written.bytes().unwrap_or_else(|error| {
        wrong.push(Fault::new([key], error.to_string()));
        default
    })
}

/// How much calls may hold together, where one may have `one_call`; what is wrong with it goes to `wrong`.
pub(crate) fn held(wrong: &mut Vec<Fault>, written: &Option<field::Size>, one_call: u64) -> Arc<Holding> {
    let held = bytes(wrong, "held", written, HELD_BYTES.max(one_call));
    if held < one_call {
        let fault = Fault::new(["held"], "one call alone may have more");
        wrong.push(fault.with_help("raise it, or lower what one value or batch may have"));
    }
    Holding::new(usize::try_from(held).unwrap_or(usize::MAX))
}

/// A duration, or its default; what is wrong with it goes to `wrong`.
pub(crate) fn duration(
    wrong: &mut Vec<Fault>,
    key: &str,
    written: &Option<field::Duration>,
    default: Duration,
) -> Duration {
    let Some(written) = written else { return default };
    written.get().unwrap_or_else(|error| {
        wrong.push(Fault::new([key], error.to_string()));
        default
    })
}

/// A count, or its default.
pub(crate) fn count(written: &Option<field::Count>, default: u32) -> usize {
    written.map_or(default, |count| count.0) as usize
}

/// What was read under `key`; what is wrong with it goes to `wrong`.
pub(crate) fn faults<T>(wrong: &mut Vec<Fault>, read: Result<T, Vec<Fault>>, key: &str) -> Option<T> {
    let found = read.map_err(|faults| wrong.extend(faults.into_iter().map(|fault| fault.below(key))));
    found.ok()
}

/// The first of several faults, for whoever opens a section that was not checked.
pub(crate) fn first(faults: Vec<Fault>) -> OpenError {
    match faults.into_iter().next() {
        Some(fault) => Box::new(fault),
        None => "the section is wrong".into(),
    }
}

/// What is wrong with the section `value` of a manifest in `/apps`, as its users read it.
#[cfg(test)]
pub(crate) fn wrong_with(kind: &impl wharf_host::capability::Section, value: serde_json::Value) -> Vec<String> {
    let folder = "/apps".into();
    let written = wharf_host::capability::Written { value, folder };
    kind.check(&written).iter().map(Fault::to_string).collect()
}

/// What SQLite writes for a file of its own: that, and those beside it that are there while it is open.
pub(crate) fn sqlite_files(file: &Path) -> Vec<PathBuf> {
    let named = |suffix: &str| {
        let mut name = file.as_os_str().to_owned();
        name.push(suffix);
        name.into()
    };
    ["", "-wal", "-shm", "-journal"].map(named).into()
}
