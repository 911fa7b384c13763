//! What documents name must be there.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use crate::{check_none, files, root, texts};

#[test]
fn paths_in_the_architecture_exist() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("the repository has an ARCHITECTURE.md");
    let known = known_paths();
    let named: Vec<_> = quoted(&text).into_iter().filter(|word| is_path(word)).collect();
    assert!(
        named.len() >= 10,
        "an architecture that names {} paths is no map",
        named.len()
    );
    let gone = named.into_iter().filter(|path| !exists(path, &known));
    check_none(gone.map(str::to_owned), "named in ARCHITECTURE.md and not there");
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut broken = Vec::new();
    for (file, text) in texts(&["md"]) {
        let folder = file.parent().unwrap_or(Path::new(""));
        let targets = links(&text)
            .into_iter()
            .filter(|link| !link.contains("://") && !link.starts_with("mailto:"));
        let paths = targets
            .filter_map(|link| link.split('#').next())
            .filter(|path| !path.is_empty());
        let dead = paths.filter(|path| !root().join(folder).join(path).exists());
        broken.extend(dead.map(|path| format!("{}: {path}", file.display())));
    }
    check_none(broken, "links that lead nowhere");
}

#[test]
fn the_service_that_the_guide_writes_is_an_example() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).expect("it is there");
    let (guide, example) = (read("docs/start.md"), read("examples/hello/src/lib.rs"));
    let listing = guide
        .split("```rust\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let code = example.split_once("\n\n").map(|(_module, code)| code);
    assert_eq!(listing, code);
}

/// Every file and every folder above one.
fn known_paths() -> BTreeSet<PathBuf> {
    let files = files();
    files
        .iter()
        .flat_map(|file| file.ancestors())
        .filter(|path| *path != Path::new(""))
        .map(Path::to_owned)
        .collect()
}

/// A path counts when it is there as written, or is the end of one, as in a section about a crate's sources.
fn exists(path: &str, known: &BTreeSet<PathBuf>) -> bool {
    known
        .iter()
        .any(|present| present.ends_with(path.trim_end_matches('/')))
}

/// What stands between backticks in running text; blocks of code are drawings and commands.
fn quoted(text: &str) -> Vec<&str> {
    let blocks = text.split("```").step_by(2);
    blocks.flat_map(|prose| prose.split('`').skip(1).step_by(2)).collect()
}

/// Whether a quoted word is meant as a path of this repository: `a/b`, `a/` or a file's name, and not `wasi:http/types`,
/// `target/guests` (built) or `/api` (a URL's).
fn is_path(word: &str) -> bool {
    let is_written_as_one = word.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
    let is_relative =
        matches!(Path::new(word).components().next(), Some(Component::Normal(first)) if first != "target");
    let is_file_name = [".md", ".rs", ".toml"]
        .iter()
        .any(|end| word.ends_with(end) && word.len() > end.len());
    is_written_as_one && is_relative && (word.contains('/') || is_file_name)
}

/// The targets of Markdown links.
fn links(text: &str) -> Vec<&str> {
    let prose = text.split("```").step_by(2);
    let starts = prose.flat_map(|prose| prose.split("](").skip(1));
    starts.filter_map(|rest| rest.split([')', ' ']).next()).collect()
}

#[test]
fn paths_are_told_from_other_quoted_words() {
    let text = "`a/b.rs` and `wasi:http/types`,\n```\n`x/y`\n```\n`cli.rs`, `crates/`, `target/a`, `/api/a`, `a::b/c`, `.rs` \
                `Type` `.ci/run`";
    let paths: Vec<_> = quoted(text).into_iter().filter(|word| is_path(word)).collect();
    assert_eq!(paths, ["a/b.rs", "cli.rs", "crates/", ".ci/run"]);
    let known = [PathBuf::from("crates/a/src/b.rs"), PathBuf::from("crates/a")].into();
    for (path, expected) in [
        ("crates/a", true),
        ("crates/a/", true),
        ("src/b.rs", true),
        ("rc/b.rs", false),
        ("c", false),
    ] {
        assert_eq!(exists(path, &known), expected, "{path}");
    }
}

#[test]
fn links_are_found() {
    assert_eq!(
        links("[a](b.md#c), ![d](e/f.png \"g\") and\n```\n[h](i)\n```\n[j](https://k)"),
        ["b.md#c", "e/f.png", "https://k"]
    );
}
