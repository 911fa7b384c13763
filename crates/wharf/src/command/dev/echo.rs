//! Commands that write among their own sources: each build of theirs would be followed by another, for ever.
//!
//! Who has written a file cannot be told from it: somebody may have saved it during a build, and wants another one. So the first times
//! another one is made. What changes each time, and alone, the command writes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// How often in a row the same files change during a build before nothing is built for them. Twice may be a person's doing.
const TIMES: u32 = 3;

/// What has changed while components were built, by their names.
#[derive(Debug, Default)]
pub struct Echoes(BTreeMap<String, Echo>);

#[derive(Debug, Default)]
struct Echo {
    files: BTreeSet<PathBuf>,
    times: u32,
}

/// What to do about files that have changed during a build.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// Build them.
    News,
    /// It is the command's own doing, as it turns out now.
    First,
    /// It is as before.
    Again,
}

impl Echoes {
    /// Takes in that these files of the component's have changed while it was built. What has not changed each time is news: somebody
    /// has saved it.
    pub fn hear(&mut self, component: &str, files: BTreeSet<PathBuf>) -> Heard {
        let echo = self.0.entry(component.to_owned()).or_default();
        let common: BTreeSet<_> = echo.files.intersection(&files).cloned().collect();
        if common.is_empty() {
            if echo.times < TIMES {
                *echo = Echo { files, times: 1 };
            }
            return Heard::News;
        }
        let is_more = files.len() > common.len();
        let before = echo.times;
        *echo = Echo {
            files: common,
            times: before.saturating_add(u32::from(!is_more)),
        };
        match echo.times {
            _ if is_more => Heard::News,
            ..TIMES => Heard::News,
            TIMES if before < TIMES => Heard::First,
            _ => Heard::Again,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_with_each_build_and_alone_is_no_news() {
        let mut echoes = Echoes::default();
        let mut check = |component: &str, files: &[&str], expected: Heard| {
            let files = files.iter().map(PathBuf::from).collect();
            assert_eq!(echoes.hear(component, files), expected);
        };
        check("a", &["stamp"], Heard::News);
        check("b", &["stamp"], Heard::News);
        check("a", &["stamp"], Heard::News);
        check("a", &["stamp", "source"], Heard::News);
        check("a", &["stamp"], Heard::First);
        check("a", &["stamp"], Heard::Again);
        // Somebody saves.
        check("a", &["source"], Heard::News);
        check("a", &["stamp", "source"], Heard::News);
        check("a", &["stamp", "source"], Heard::News);
        check("a", &["stamp"], Heard::Again);
        // One who saves during each build.
        check("b", &["other"], Heard::News);
        check("b", &["source"], Heard::News);
        check("b", &["other"], Heard::News);
    }
}
