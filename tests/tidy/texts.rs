//! What no file may say: that it is unfinished, and where it was written.

use std::path::Path;

use crate::{check_none, files, root, texts};

/// Words of unfinished work, in two halves so that this file may be checked as well.
const UNFINISHED: [(&str, &str); 11] = [
    ("FIX", "ME"),
    ("TO", "DO"),
    ("XX", "X"),
    ("HA", "CK"),
    ("to", "do!("),
    ("unimple", "mented!("),
    ("#[ig", "nore"),
    ("for ", "now"),
    ("place", "holder"),
    ("dum", "my"),
    ("simpli", "fied"),
];

/// Hosts that one machine's package managers are pointed at, and a folder of one person. The checkout's folder and the
/// home of whoever runs this are looked for as well.
const PLACES: [(&str, &str); 9] = [
    ("://ind", "ex."),
    ("://sta", "tic."),
    ("://regi", "stry."),
    ("://fi", "les."),
    ("://de", "b."),
    ("://secu", "rity."),
    ("://ft", "p."),
    ("arti", "factory"),
    ("/ro", "ot/"),
];

/// The one source of packages that a lock file may name.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

const WRITTEN: [&str; 9] = ["c", "http", "md", "rs", "sh", "toml", "wast", "wit", "yml"];

#[test]
fn nothing_is_left_unfinished() {
    let words = UNFINISHED.map(|(first, second)| format!("{first}{second}"));
    check_none(lines_with(&words), "words of unfinished work");
}

#[test]
fn nothing_names_the_machine_it_was_written_on() {
    let mut places = PLACES.map(|(first, second)| format!("{first}{second}")).to_vec();
    let home = std::env::var("HOME").unwrap_or_default();
    // A short folder, such as one directly under the root, is a word that texts may well hold.
    let folders = [root().display().to_string(), home];
    places.extend(
        folders
            .into_iter()
            .filter(|folder| Path::new(folder).components().count() > 2),
    );
    check_none(lines_with(&places), "places of one machine");
}

/// `FILE:LINE: WORD` for every line that holds one of the words; words in lower case are found in any case.
fn lines_with(words: &[String]) -> Vec<String> {
    let mut findings = Vec::new();
    for (file, text) in texts(&WRITTEN) {
        let is_prose = file.extension().is_some_and(|extension| extension == "md");
        for (index, line) in text.lines().enumerate() {
            let line = if is_prose {
                without_quoted(line)
            } else {
                line.to_owned()
            };
            let found = words.iter().filter(|word| holds(&line, word));
            findings.extend(found.map(|word| format!("{}:{}: {word}", file.display(), index + 1)));
        }
    }
    findings
}

/// A line of prose without what stands in backticks: to name a word, as a rule about it must, is not to use it.
fn without_quoted(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("``")
}

/// Whether `line` holds `word` where neither neighbour goes on with it: `METHODS` does not hold `HOD`.
fn holds(line: &str, word: &str) -> bool {
    let is_lower = word.chars().all(|c| !c.is_uppercase());
    let line = if is_lower { line.to_lowercase() } else { line.to_owned() };
    line.match_indices(word).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + word.len()..].chars().next();
        let goes_on = |neighbour: Option<char>, own: Option<char>| {
            neighbour.is_some_and(char::is_alphanumeric) && own.is_some_and(char::is_alphanumeric)
        };
        !goes_on(before, word.chars().next()) && !goes_on(after, word.chars().next_back())
    })
}

#[test]
fn words_are_found_whole() {
    for (line, word, expected) in [
        ("let methods = 1;", "hods", false),
        ("It is Only Here.", "only here", true),
        ("commonly hereafter", "only here", false),
        ("(ABC)", "ABC", true),
        ("abc", "ABC", false),
        ("x://a.b", "://a.", true),
    ] {
        assert_eq!(holds(line, word), expected, "{word} in {line}");
    }
}

#[test]
fn quoted_words_are_not_used() {
    assert_eq!(
        without_quoted("The word `wrong` is wrong here."),
        "The word `` is wrong here."
    );
}

#[test]
fn lock_files_name_one_registry() {
    let locks = files()
        .into_iter()
        .filter(|file| file.file_name().is_some_and(|name| name == "Cargo.lock"));
    let findings = locks.flat_map(|file| {
        let text = std::fs::read_to_string(root().join(&file)).expect("a lock file is text");
        let sources: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("source = "))
            .map(str::to_owned)
            .collect();
        let others = sources
            .into_iter()
            .filter(|source| source.trim_matches('"') != REGISTRY);
        others.map(move |source| format!("{}: {source}", file.display()))
    });
    check_none(findings, "packages from elsewhere");
}
