//! What is wrong with a manifest, where, and what to do; and the files that places are in.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::hidden::{Hidden, without_credentials};
use crate::read;

/// Something that is wrong with a manifest, or with a file that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it is written, if it is written anywhere.
    pub place: Option<Place>,
    /// What is wrong.
    pub message: String,
    /// What to do, where the message does not say it.
    pub help: Option<String>,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, as the user named it.
    pub file: PathBuf,
    /// Where in the file; `None` where the file as a whole is meant.
    pub position: Option<Position>,
}

/// A place on a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// How many characters of the line are meant, at least one.
    pub width: usize,
    /// The line itself, without what may be a secret.
    pub text: String,
}

/// Everything that is wrong with one manifest. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    /// In the order in which they were found.
    pub problems: Vec<Problem>,
}

impl Problem {
    /// Something that is wrong at `place`.
    pub fn new(place: impl Into<Option<Place>>, message: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            // Messages say what was found, which may be a URL with a password.
            message: without_credentials(&message.into()),
            help: None,
        }
    }

    /// The same, with what to do about it.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self {
            problems: vec![problem],
        }
    }
}

impl std::error::Error for Problem {}
impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, problem) in self.problems.iter().enumerate() {
            let between = if nth == 0 { "" } else { "\n\n" };
            write!(f, "{between}{problem}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let position = self.place.as_ref().and_then(|place| place.position.as_ref());
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.message)?,
            None => f.write_str(&self.message)?,
        }
        // Below the numbers of lines, as wide as this one.
        let margin = position.map_or(1, |position| position.line.to_string().len());
        if let Some(position) = position {
            write!(f, "\n{:margin$} |\n{} | {}", "", position.line, position.text)?;
            write!(f, "\n{:margin$} | {}", "", position.marker())?;
        }
        match &self.help {
            Some(help) => write!(f, "\n{:margin$} = help: {help}", ""),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Place {
    /// `FILE:LINE:COLUMN`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        match &self.position {
            Some(position) => write!(f, ":{}:{}", position.line, position.column),
            None => Ok(()),
        }
    }
}

impl Position {
    /// Carets below what is meant. A tab above stays a tab, so that both are as wide.
    fn marker(&self) -> String {
        let before = self.text.chars().take(self.column - 1);
        let before: String = before.map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let after = self.text.chars().count().saturating_sub(self.column - 1);
        before + &"^".repeat(self.width.min(after).max(1))
    }
}

/// A manifest's text and where it was read.
#[derive(Debug)]
pub(super) struct Source {
    file: PathBuf,
    /// The folder that its paths are relative to; absolute.
    folder: PathBuf,
    pub text: String,
    hidden: Arc<Hidden>,
    /// From where each line is hidden.
    hidden_from: Vec<Option<usize>>,
}

impl Source {
    /// The bytes that stand for a file as a whole. The parser has them where it knows no better.
    pub const WHOLE: Range<usize> = 0..0;

    /// The text of a file, of which problems do not show what `hidden` says.
    pub fn read(file: &Path, hidden: &Arc<Hidden>) -> Result<Self, Problem> {
        let whole = Place {
            file: file.to_owned(),
            position: None,
        };
        let bytes = read::regular(file, read::MANIFEST_BYTES_MAX)
            .map_err(|error| Problem::new(whole.clone(), format!("cannot be read: {error}")))?;
        let absolute = std::path::absolute(file)
            .map_err(|error| Problem::new(whole, format!("the folder it is in cannot be found: {error}")))?;
        let folder = absolute.parent().unwrap_or(Path::new("/")).to_owned();
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self::new(file, folder, text, hidden)),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                let source = Self::new(file, folder, text, hidden);
                let problem = Problem::new(source.place(at..at + 1), "this is not UTF-8, which TOML is written in");
                Err(problem.with_help("save the file as UTF-8"))
            }
        }
    }

    fn new(file: &Path, folder: PathBuf, text: String, hidden: &Arc<Hidden>) -> Self {
        Self {
            file: file.to_owned(),
            folder,
            hidden_from: hidden.lines(&text),
            hidden: hidden.clone(),
            text,
        }
    }

    /// The folder that paths are relative to.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file as the user named it.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// What `path` names as seen from this file, as the user would name it.
    pub fn beside(&self, path: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }

    /// The place of some bytes.
    pub fn place(&self, span: Range<usize>) -> Place {
        Place {
            file: self.file.clone(),
            position: (span != Self::WHOLE).then(|| self.position(span)),
        }
    }

    fn position(&self, span: Range<usize>) -> Position {
        let before = self.text.get(..span.start).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = self.text[line_start..].lines().next().unwrap_or_default();
        let lines_before = before.matches('\n').count();
        let hidden_from = self.hidden_from.get(lines_before).copied().flatten();
        let meant = self.text.get(span).unwrap_or_default();
        Position {
            line: lines_before + 1,
            column: before[line_start..].chars().count() + 1,
            width: meant.lines().next().unwrap_or_default().chars().count().max(1),
            text: self.hidden.shown(line, hidden_from),
        }
    }
}

/// Of several words the one that is most likely meant, if any is near.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // One slip in three letters, and not all of them; more, and any short word is near any other.
    let length = word.chars().count();
    let distance_max = (length.max(3) / 3).min(length.saturating_sub(1));
    let word = word.to_ascii_lowercase().replace('_', "-");
    let by_distance = known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(&word, known), known));
    let near = by_distance.filter(|(distance, _)| *distance <= distance_max);
    near.min_by_key(|(distance, _)| *distance).map(|(_, known)| known)
}

/// `a, b and c`.
pub(super) fn list<'a>(words: impl IntoIterator<Item = &'a str>, last: &str) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        Some((word, [])) => word.clone(),
        Some((word, others)) => format!("{} {last} {word}", others.join(", ")),
        None => "nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::section::tests::sections;

    fn source(text: &str) -> Source {
        let hidden = Arc::new(Hidden::of(&sections()));
        Source::new(Path::new("wharf.toml"), "/".into(), text.to_owned(), &hidden)
    }

    #[track_caller]
    fn check(text: &str, meant: &str, expected: &str) {
        let source = source(text);
        let start = text.find(meant).unwrap();
        let problem = Problem::new(source.place(start..start + meant.len()), "wrong").with_help("mend it");
        assert_eq!(problem.to_string(), expected);
    }

    #[test]
    fn a_problem_shows_its_line() {
        let expected = "wharf.toml:2:1: wrong\n  |\n2 | pathh = 1\n  | ^^^^^\n  = help: mend it";
        check("a = 1\r\npathh = 1\r\n", "pathh", expected);
        let expected = "wharf.toml:1:3: wrong\n  |\n1 | ä\tb\n  |  \t^\n  = help: mend it";
        check("ä\tb", "b", expected);
        let expected = "wharf.toml:1:5: wrong\n  |\n1 | a = [\n  |     ^\n  = help: mend it";
        check("a = [\n1]", "[\n1]", expected);
    }

    #[test]
    fn carets_stay_beside_what_is_not_hidden() {
        let expected = "wharf.toml:2:7: wrong\n  |\n2 | KEY = ...\n  |       ^^^\n  = help: mend it";
        check("[secrets]\nKEY = \"hunter2\"", "\"hunter2\"", expected);
        let expected = "wharf.toml:1:7: wrong\n  |\n1 | url = 'a://...@c'\n  |       ^^^^^^^^^^^\n  = help: mend it";
        check("url = 'a://me:hunter2@c'", "'a://me:hunter2@c'", expected);
    }

    #[test]
    fn messages_show_no_passwords() {
        let problem = Problem::new(None, "`a://me:hunter2@c` is no URL");
        assert_eq!(problem.to_string(), "`a://...@c` is no URL");
    }

    #[test]
    fn words_are_near_by_a_slip_in_three_letters() {
        let known = ["path", "host", "cpu-time", "file"];
        assert_eq!(nearest("pathh", known), Some("path"));
        assert_eq!(nearest("ptah", known), Some("path"));
        assert_eq!(nearest("cpu_time", known), Some("cpu-time"));
        assert_eq!(nearest("CPU-time", known), Some("cpu-time"));
        assert_eq!(nearest("foo", known), None);
        assert_eq!(nearest("mode", known), None);
        assert_eq!(nearest("a", ["b"]), None);
    }

    #[test]
    fn lists_read_as_sentences() {
        assert_eq!(list(["a"], "and"), "`a`");
        assert_eq!(list(["a", "b", "c"], "or"), "`a`, `b` or `c`");
    }
}
