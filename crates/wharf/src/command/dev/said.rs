//! What was said last, by which a file is known that somebody writes it to: `wharf dev 2>&1 | tee dev.log` in the project's folder.
//!
//! Each build says something, so that the file would change with each build and ask for the next. That would also be found by its making no
//! difference (`idle.rs`), but then it would be built for all the same, now and then and for ever: of a file that is known to be none of the
//! sources nothing is. One that the lines go to without a program in between is known without this (`wharf_build::Data`).

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// How many lines are kept. The newest may not have arrived in the file yet.
const LINES: usize = 8;

/// How many of them make a file a copy. One may stand in a text of the user's, that says what `wharf dev` does.
const LINES_MIN: usize = 2;

/// How much of a file's end is looked at: guests may have written there as well.
const END_BYTES: u64 = 16 << 10;

/// The lines that were said last, and the files that they were found in.
#[derive(Debug, Default)]
pub struct Said {
    lines: VecDeque<String>,
    copies: BTreeSet<PathBuf>,
}

impl Said {
    /// Takes in that this was said for `name`.
    pub fn add(&mut self, name: &str, text: &str) {
        for line in text.lines().filter(|line| !line.is_empty()) {
            // As it is written, but for colors, which stand between the two.
            let line = format!("{name} |\0{line}");
            self.lines.retain(|known| *known != line);
            self.lines.push_back(line);
        }
        let too_many = self.lines.len().saturating_sub(LINES);
        self.lines.drain(..too_many);
    }

    /// Whether a file is a copy of what is said here; it is one from then on.
    pub fn finds_in(&mut self, file: &Path) -> bool {
        let end = end_of(file).unwrap_or_default();
        let is_found = |line: &&String| {
            let (prefix, text) = line.split_once('\0').unwrap_or_default();
            end.lines().any(|found| found.contains(prefix) && found.ends_with(text))
        };
        let is_copy = self.lines.iter().filter(is_found).count() >= LINES_MIN;
        is_copy && self.copies.insert(file.to_owned())
    }

    /// Files that were found.
    pub fn copies(&self) -> impl Iterator<Item = &PathBuf> {
        self.copies.iter()
    }
}

fn end_of(file: &Path) -> std::io::Result<String> {
    if !file.is_file() {
        return Ok(String::new());
    }
    let mut file = File::open(file)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(END_BYTES)))?;
    let mut end = Vec::new();
    file.take(END_BYTES).read_to_end(&mut end)?;
    Ok(String::from_utf8_lossy(&end).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_has_the_last_lines_is_a_copy() {
        let file = std::env::temp_dir().join(format!("wharf-dev-said-{}", std::process::id()));
        let mut said = Said::default();
        said.add("shop", "built, 1 MB, in 0.1 s");
        said.add("shop", "building\n\n");
        let mut check = |text: &str, expected: bool| {
            std::fs::write(&file, text).unwrap();
            assert_eq!(said.finds_in(&file), expected, "{text:?}");
        };
        check("", false);
        check("building\nbuilt, 1 MB, in 0.1 s\n", false);
        check(
            "shop | building\nshop | built, 2 MB, in 0.1 s\nshop | building\n",
            false,
        );
        check(
            "a line\nshop | built, 1 MB, in 0.1 s\n\x1b[36mshop |\x1b[0m building\nanother\n",
            true,
        );
        assert_eq!(said.copies().collect::<Vec<_>>(), [&file]);
        std::fs::remove_file(&file).unwrap();
    }
}
