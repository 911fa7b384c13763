//! The templates of `wharf new`, which are files of this repository (`crates/wharf/templates`), and making a project of one.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

/// The languages, in the order in which people are told of them: those that most templates are in first.
pub const LANGUAGES: [&str; 5] = ["rust", "go", "python", "javascript", "c"];

/// What stands in a template for the project's name, as `my-shop`.
const NAME: &str = "{{name}}";

/// For the same where a language has no `-` in names, as `my_shop`. It may also stand in a path: Go looks for what a component exports in
/// folders that are called after the interface.
const NAME_SNAKE: &str = "{{name_snake}}";

/// The longest name of a project: what a label of a host name holds.
const NAME_BYTES_MAX: usize = 63;

/// One kind of project in one language.
#[derive(Debug)]
pub struct Template {
    /// `http`.
    pub kind: &'static str,
    /// As manifests say it.
    pub language: &'static str,
    /// What it is, for people: `an HTTP service`.
    pub about: &'static str,
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

    /// Makes a project called `name` in `folder`, which is empty or not there; as a whole or not at all.
    pub fn write(&self, folder: &Path, name: &str) -> io::Result<()> {
        let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        fs::create_dir_all(parent)?;
        let unfinished = parent.join(format!(".{name}.{}.unfinished", std::process::id()));
        let made = self.write_files(&unfinished, name).and_then(|()| {
            // A folder that is not empty is in nobody's way but its owner's.
            match fs::remove_dir(folder) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
                _ => fs::rename(&unfinished, folder),
            }
        });
        if made.is_err() {
            let _ = fs::remove_dir_all(&unfinished);
        }
        made
    }

    fn write_files(&self, folder: &Path, name: &str) -> io::Result<()> {
        let snake = name.replace('-', "_");
        let fill = |text: &str| text.replace(NAME, name).replace(NAME_SNAKE, &snake);
        for (path, content) in self.files {
            let file = folder.join(fill(path));
            fs::create_dir_all(file.parent().unwrap_or(folder))?;
            fs::write(&file, fill(content))?;
        }
        Ok(())
    }
}

/// Whether a project can have this name: in every language, in WIT and as a file. Kebab case, such as `my-shop`.
pub fn is_name(name: &str) -> bool {
    let is_word = |word: &str| {
        word.starts_with(|first: char| first.is_ascii_lowercase())
            && word
                .chars()
                .all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit())
    };
    name.len() <= NAME_BYTES_MAX && name.split('-').all(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kebab_case() {
        for name in ["shop", "my-shop", "a1", "a1-b2"] {
            assert!(is_name(name), "{name}");
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
            assert!(!is_name(name), "{name}");
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
