//! The templates of `wharf new`, which are files of this repository (`crates/wharf/templates`), and making a project of one.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use wharf_host::wit::vendor::{LOCK, Lock, plan};
use wharf_host::wit::{Packages, is_word};

/// The languages, in the order in which people are told of them: those that most templates are in first.
pub const LANGUAGES: [&str; 5] = ["rust", "go", "python", "javascript", "c"];

/// What stands in a template for the project's name, as `my-shop`.
const NAME: &str = "{{name}}";

/// For the same where a language has no `-` in names, as `my_shop`. It may also stand in a path: Go looks for what a component exports in
/// folders that are called after the interface.
const NAME_SNAKE: &str = "{{name_snake}}";

/// Where a project has its WIT.
const WIT: &str = "wit";

/// The longest name of a project: what a label of a host name holds.
const NAME_BYTES_MAX: usize = 63;

/// Words that Rust takes for no name of a module, where WIT would.
const RUST_KEYWORDS: [&str; 45] = [
    "abstract", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn", "else", "extern",
    "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod", "move", "mut",
    "override", "priv", "pub", "ref", "return", "self", "struct", "super", "trait", "true", "try", "typeof", "unsafe",
    "unsized", "virtual", "where", "while", "yield",
];

/// Names of folders that Cargo makes beside what it builds, and lets no program have.
const CARGO_FOLDERS: [&str; 4] = ["build", "deps", "examples", "incremental"];

/// One kind of project in one language.
#[derive(Debug)]
pub struct Template {
    /// `http`.
    pub kind: &'static str,
    /// As manifests say it.
    pub language: &'static str,
    /// What it is, for people: `an HTTP service`.
    pub about: &'static str,
    /// The packages of WIT that it stands on, as `wharf wit add` takes them.
    deps: &'static [&'static str],
    files: &'static [(&'static str, &'static str)],
}

/// All of them: kinds and languages in the order of their names.
pub static TEMPLATES: &[Template] = &include!(concat!(env!("OUT_DIR"), "/templates.rs"));

impl Template {
    /// The one of this kind and language.
    pub fn find(kind: &str, language: &str) -> Option<&'static Self> {
        TEMPLATES
            .iter()
            .find(|template| template.kind == kind && template.language == language)
    }

    /// Makes a project called `name` in `folder`, which [is free](is_free); as a whole or not at all.
    pub fn write(&self, packages: &Packages, folder: &Path, name: &str) -> io::Result<()> {
        let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        // Somebody may stand in a folder that is there, or a volume be mounted in it: it stays the one it is.
        let is_there = folder.is_dir();
        let beside = if is_there { folder } else { parent };
        fs::create_dir_all(beside)?;
        let unfinished = beside.join(format!(".{name}.{}.unfinished", std::process::id()));
        let made = self
            .write_files(packages, &unfinished, name)
            .and_then(|()| match is_there {
                true => move_into(folder, &unfinished),
                false => fs::rename(&unfinished, folder),
            });
        if made.is_err() {
            let _ = fs::remove_dir_all(&unfinished);
        }
        made
    }

    fn write_files(&self, packages: &Packages, folder: &Path, name: &str) -> io::Result<()> {
        let snake = name.replace('-', "_");
        let fill = |text: &str| text.replace(NAME, name).replace(NAME_SNAKE, &snake);
        for (path, content) in self.files {
            let file = folder.join(fill(path));
            fs::create_dir_all(file.parent().unwrap_or(folder))?;
            fs::write(&file, fill(content))?;
        }
        self.write_wit(packages, &folder.join(WIT))
    }

    /// Writes what `wharf wit add` would, so that it can add to it.
    fn write_wit(&self, packages: &Packages, folder: &Path) -> io::Result<()> {
        if self.deps.is_empty() {
            return Ok(());
        }
        let wanted = self.deps.iter().map(|name| packages.find(name));
        let wanted: Vec<_> = wanted.collect::<Result<_, _>>().map_err(io::Error::other)?;
        let wanted = packages.vendored(&wanted);
        let steps = plan(wanted, &Lock::default(), &BTreeMap::new(), |_| None);
        for step in &steps {
            let file = folder.join(&step.vendored.file);
            fs::create_dir_all(file.parent().unwrap_or(folder))?;
            fs::write(file, &*step.vendored.text)?;
        }
        let mut lock = Lock::default();
        lock.add(&steps);
        fs::write(folder.join(LOCK), lock.text())
    }
}

/// Whether a project may be made in `folder`: it is not there, or nothing is in it but a repository of Git's.
pub fn is_free(folder: &Path) -> bool {
    match folder.read_dir() {
        Ok(mut entries) => entries.all(|entry| entry.is_ok_and(|entry| entry.file_name() == ".git")),
        Err(error) => error.kind() == ErrorKind::NotFound,
    }
}

/// Moves all that is in the folder `from` into `folder`, or nothing.
fn move_into(folder: &Path, from: &Path) -> io::Result<()> {
    let mut moved = Vec::new();
    let done = from.read_dir().and_then(|mut entries| {
        entries.try_for_each(|entry| {
            let entry = entry?;
            let target = folder.join(entry.file_name());
            // What came to lie there meanwhile is somebody else's.
            if target.symlink_metadata().is_ok() {
                return Err(ErrorKind::AlreadyExists.into());
            }
            fs::rename(entry.path(), &target)?;
            moved.push((target, entry.path()));
            Ok(())
        })
    });
    if done.is_err() {
        for (target, back) in moved {
            let _ = fs::rename(target, back);
        }
        return done;
    }
    fs::remove_dir(from)
}

/// Why no project can have this name, if so. Names are kebab case, such as `my-shop`, and stand in WIT.
pub fn refusal(name: &str) -> Option<String> {
    let is_kebab_word = |word: &str| {
        word.starts_with(|first: char| first.is_ascii_lowercase())
            && word
                .chars()
                .all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit())
    };
    if name.len() > NAME_BYTES_MAX || !name.split('-').all(is_kebab_word) {
        let what = "words of a to z and 0 to 9 with `-` between, such as my-shop";
        return Some(format!("`{name}` is no name for a project: {what}"));
    }
    (!is_word(name)).then(|| taken(name, "WIT"))
}

/// Why no project in this language can have this name, which others may, if so.
pub fn refusal_in(language: &str, name: &str) -> Option<String> {
    match (language, name) {
        ("rust", name) if RUST_KEYWORDS.contains(&name) => Some(taken(name, "Rust")),
        ("rust", name) if CARGO_FOLDERS.contains(&name) => Some(taken(name, "Cargo")),
        // It does not import what is below such a folder.
        ("go", "vendor") => Some(taken(name, "Go")),
        _ => None,
    }
}

fn taken(name: &str, owner: &str) -> String {
    format!("`{name}` is no name for a project: {owner} has a meaning of its own for the word; my-{name} is free")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kebab_case() {
        for name in [
            "shop", "my-shop", "a1", "a1-b2", "my-type", "fmt", "errors", "class", "test",
        ] {
            assert_eq!(refusal(name), None);
            for language in LANGUAGES {
                assert_eq!(refusal_in(language, name), None);
            }
        }
        for name in [
            "",
            "Shop",
            "my_shop",
            "1a",
            "a-",
            "-a",
            "a--b",
            "a-1",
            "shöp",
            "a b",
            &"a".repeat(64),
        ] {
            let refusal = refusal(name).expect(name);
            assert!(refusal.contains("is no name for a project: words of"), "{refusal}");
        }
    }

    #[test]
    fn words_that_a_tool_takes_otherwise_are_no_names() {
        for name in ["type", "func", "export", "string", "u8"] {
            let refusal = refusal(name).expect(name);
            assert!(refusal.ends_with(&format!("WIT has a meaning of its own for the word; my-{name} is free")));
        }
        for (language, name, owner) in [
            ("rust", "fn", Some("Rust")),
            ("rust", "while", Some("Rust")),
            ("rust", "build", Some("Cargo")),
            ("go", "vendor", Some("Go")),
            ("go", "fn", None),
            ("python", "build", None),
            ("rust", "vendor", None),
        ] {
            assert_eq!(refusal(name), None);
            assert_eq!(refusal_in(language, name), owner.map(|owner| taken(name, owner)));
        }
    }

    #[test]
    fn every_template_is_whole() {
        for template in TEMPLATES {
            let has = |file: &str| template.files.iter().any(|(path, _)| *path == file);
            for file in ["README.md", "wharf.toml", ".gitignore"] {
                assert!(has(file), "{} in {} has no {file}", template.kind, template.language);
            }
            assert!(!has("deps"), "{} in {}", template.kind, template.language);
            assert!(LANGUAGES.contains(&template.language), "{}", template.language);
            let manifest = template.files.iter().find(|(path, _)| *path == "wharf.toml").unwrap().1;
            assert!(
                manifest.contains("build]\n"),
                "{} in {}",
                template.kind,
                template.language
            );
        }
    }
}
