//! Builds that come to nothing new, again and again: somebody writes among the sources what is none of them, and nobody knows who.
//!
//! It may as well be a person who edits comments. So what was written is built, but not more often than now and then.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How often in a row nothing new comes of the same files before they wait. More than it takes to find a command that writes among its
/// own sources, of which more can be said.
const TIMES: u32 = 5;

/// How long they wait from then on, after each build. A person would not notice often, and a program's writing keeps no processor busy.
pub const PAUSE: Duration = Duration::from_secs(5);

/// What a build has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// A component is another than before.
    New,
    /// All are as before.
    Same,
    /// None is another, and some were not built.
    Failed,
}

/// Files of which nothing new has come, as often as that has been so in a row.
#[derive(Debug, Default)]
pub struct Idle {
    files: BTreeSet<PathBuf>,
    times: u32,
    ended: Option<Instant>,
}

impl Idle {
    /// Takes in what has come of a change of these files, now. True where they have to wait from then on.
    pub fn hear(&mut self, files: &BTreeSet<PathBuf>, came: Came) -> bool {
        if came != Came::Same || files.is_empty() {
            *self = Self::default();
            return false;
        }
        self.ended = Some(Instant::now());
        if files.is_subset(&self.files) {
            self.times = self.times.saturating_add(1);
        } else {
            (self.files, self.times) = (files.clone(), 1);
        }
        self.times == TIMES
    }

    /// How long these files have to wait; `None` where they have not to.
    pub fn rest(&self, files: &BTreeSet<PathBuf>) -> Option<Duration> {
        let is_known = self.times >= TIMES && !files.is_empty() && files.is_subset(&self.files);
        let rest = PAUSE.checked_sub(self.ended.filter(|_| is_known)?.elapsed());
        rest.filter(|rest| !rest.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_make_no_difference_wait_alone() {
        let mut idle = Idle::default();
        let files = |names: &[&str]| names.iter().map(PathBuf::from).collect::<BTreeSet<_>>();
        let mut check = |names: &[&str], came: Came, waits: bool| {
            idle.hear(&files(names), came);
            assert_eq!(idle.rest(&files(&["log"])).is_some(), waits, "{names:?}");
            assert_eq!(idle.rest(&files(&["log", "source"])), None);
        };
        for _ in 1..TIMES {
            check(&["log"], Came::Same, false);
        }
        check(&["log"], Came::Same, true);
        check(&["log"], Came::Same, true);
        // It is a source after all, or another file is.
        check(&["log"], Came::New, false);
        for _ in 1..TIMES {
            check(&["log"], Came::Same, false);
        }
        check(&["source"], Came::Same, false);
        // Whoever looks for a mistake is not held up.
        for _ in 0..2 * TIMES {
            check(&["log"], Came::Failed, false);
        }
    }
}
