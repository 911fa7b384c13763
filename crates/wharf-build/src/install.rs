//! Installs what is missing, where that is safe: among the project's own files, or as a part of a toolchain that the user has. What
//! needs the rights of root, or a program from a page of the web, is left to the user.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use wharf_app::app::Language;

use crate::process::Children;
use crate::tools::{COMPONENTIZE_PY, COMPONENTIZE_QJS, GO, Missing, Toolbox};
use crate::{BuildError, cargo};

/// A project's manifest, whose folder is the project's.
const MANIFEST: &str = "wharf.toml";

/// Commands that install a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// The tool.
    pub name: &'static str,
    /// Where they run, and most of them install.
    pub folder: PathBuf,
    /// Programs with their arguments, one after the other.
    commands: Vec<Vec<String>>,
}

/// What installs the tools of `language` that are missing for the source in `folder`; nothing for those that only the user can install.
#[must_use]
pub fn remedies(toolbox: &Toolbox, language: Language, folder: &Path) -> Vec<Remedy> {
    let survey = toolbox.of_project(folder).survey(language);
    let missing = survey.into_iter().filter_map(Result::err);
    missing
        .filter_map(|missing| Remedy::of(&missing, toolbox, folder))
        .collect()
}

impl Remedy {
    fn of(missing: &Missing, toolbox: &Toolbox, source: &Path) -> Option<Self> {
        let home = home(source);
        let (folder, commands) = match missing.name {
            "componentize-py" => (home, from_pypi(toolbox, COMPONENTIZE_PY, Some(source))?),
            "go" => (home, from_pypi(toolbox, GO, None)?),
            "componentize-qjs" => from_npm(toolbox, source, home)?,
            cargo::TARGET => {
                let rustup = shown_path(&toolbox.find(&["rustup"])?);
                (source, vec![words(&[&rustup, "target", "add", cargo::TARGET])])
            }
            _ => return None,
        };
        Some(Self {
            name: missing.name,
            folder: folder.to_owned(),
            commands,
        })
    }

    /// The commands as one would type them in its folder.
    #[must_use]
    pub fn shown(&self) -> String {
        let shown = |words: &Vec<String>| {
            let program = Path::new(&words[0]);
            // What is found by its name need not be told by its place.
            let name = program.file_stem().filter(|_| program.is_absolute());
            let name = name.map_or(words[0].clone(), |name| name.to_string_lossy().into_owned());
            [&[name], &words[1..]].concat().join(" ")
        };
        self.commands.iter().map(shown).collect::<Vec<_>>().join(" && ")
    }

    /// Runs the commands. What they did before one failed is there, and is used the next time.
    ///
    /// # Errors
    /// [`BuildError::Start`] and [`BuildError::Failed`] of a command.
    pub fn install(&self) -> Result<(), BuildError> {
        self.commands
            .iter()
            .try_for_each(|words| Children::default().run(&mut self.command(words)).map(drop))
    }

    fn command(&self, words: &[String]) -> Command {
        // What is among the project's files is named by where it is in them, and only begun from there.
        let mut command = match self.folder.join(&words[0]) {
            own if own.is_file() => Command::new(own),
            _ => Command::new(&words[0]),
        };
        command.args(&words[1..]).current_dir(&self.folder);
        // What lies there would be taken for installed, and the tool itself is not looked for there.
        command.env_remove("PYTHONPATH");
        command
    }
}

/// The folder of the project that a source is of: the nearest one with a manifest, else the source's own.
fn home(source: &Path) -> &Path {
    let mut folders = source.ancestors();
    folders.find(|folder| folder.join(MANIFEST).is_file()).unwrap_or(source)
}

/// A virtual environment of Python's, with a package in it. One that is there already stays, with what is in it.
fn from_pypi(toolbox: &Toolbox, package: &str, source: Option<&Path>) -> Option<Vec<Vec<String>>> {
    let python = shown_path(&toolbox.find(&["python3", "python"])?);
    let pip = if cfg!(windows) {
        ".venv/Scripts/pip"
    } else {
        ".venv/bin/pip"
    };
    let name = package.split('=').next().unwrap_or(package);
    // Where the project says itself what it needs, and in which version, that is what it gets.
    let list = source.map(|source| source.join("requirements.txt"));
    let list = list.filter(|list| fs::read_to_string(list).is_ok_and(|text| text.contains(name)));
    let install = match list {
        Some(list) => words(&[pip, "install", "-r", &shown_path(&list)]),
        None => words(&[pip, "install", package]),
    };
    Some(vec![words(&[&python, "-m", "venv", ".venv"]), install])
}

/// Into `node_modules` beside the package's description: the source's, else the project's.
fn from_npm<'a>(toolbox: &Toolbox, source: &'a Path, home: &'a Path) -> Option<(&'a Path, Vec<Vec<String>>)> {
    let npm = shown_path(&toolbox.find(&["npm"])?);
    let description = |folder: &Path| fs::read_to_string(folder.join("package.json"));
    let folder = if description(source).is_ok() { source } else { home };
    let name = COMPONENTIZE_QJS.split('@').next().unwrap_or(COMPONENTIZE_QJS);
    let install = match description(folder) {
        Ok(text) if text.contains(name) => words(&[&npm, "install", "--prefix", "."]),
        _ => words(&[&npm, "install", "--prefix", ".", "--save-dev", COMPONENTIZE_QJS]),
    };
    Some((folder, vec![install]))
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

fn shown_path(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;

    /// A machine with these programs, and a project with these files.
    fn check(language: Language, programs: &[&str], files: &[(&str, &str)], expected: &[(&str, &str)]) {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("wharf-build-install-{}-{number}", std::process::id()));
        let write = |file: &Path, text: &str| {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        let (bin, shop) = (folder.join("bin"), folder.join("shop"));
        programs.iter().for_each(|program| write(&bin.join(program), ""));
        files.iter().for_each(|(file, text)| write(&shop.join(file), text));
        fs::create_dir_all(shop.join("api")).unwrap();
        let toolbox = Toolbox::new(|name| (name == "PATH").then(|| bin.clone().into_os_string()));
        let found: Vec<_> = remedies(&toolbox, language, &shop.join("api"))
            .iter()
            .map(|remedy| (shown_path(remedy.folder.strip_prefix(&folder).unwrap()), remedy.shown()))
            .collect();
        let found: Vec<_> = found.iter().map(|(folder, shown)| (&**folder, &**shown)).collect();
        let list = shop.join("api/requirements.txt");
        let expected: Vec<_> = expected
            .iter()
            .map(|(folder, shown)| (*folder, shown.replace("LIST", &shown_path(&list))))
            .collect();
        let expected: Vec<_> = expected.iter().map(|(folder, shown)| (*folder, &**shown)).collect();
        assert_eq!(found, expected, "{language:?} {programs:?} {files:?}");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_is_installed_goes_among_the_projects_files() {
        let manifest = ("wharf.toml", "");
        let python = "python3 -m venv .venv && .venv/bin/pip install";
        let pinned = format!("{python} {COMPONENTIZE_PY}");
        check(Language::Python, &["python3"], &[manifest], &[("shop", &pinned)]);
        check(Language::Python, &["python3"], &[], &[("shop/api", &pinned)]);
        let list = ("api/requirements.txt", "componentize-py==0.25.1\n");
        let listed = format!("{python} -r LIST");
        check(Language::Python, &["python3"], &[manifest, list], &[("shop", &listed)]);
        let other = ("api/requirements.txt", "requests\n");
        check(Language::Python, &["python3"], &[manifest, other], &[("shop", &pinned)]);
        let go = format!("{python} {GO}");
        check(Language::Go, &["python3"], &[manifest, list], &[("shop", &go)]);
        let npm = format!("npm install --prefix . --save-dev {COMPONENTIZE_QJS}");
        let own = ("api/package.json", "{}");
        check(Language::JavaScript, &["node", "npm"], &[manifest], &[("shop", &npm)]);
        check(
            Language::JavaScript,
            &["node", "npm"],
            &[manifest, own],
            &[("shop/api", &npm)],
        );
        let own = (
            "api/package.json",
            r#"{"devDependencies": {"componentize-qjs": "0.4.5"}}"#,
        );
        let npm = "npm install --prefix .";
        check(
            Language::JavaScript,
            &["node", "npm"],
            &[manifest, own],
            &[("shop/api", npm)],
        );
    }

    #[test]
    fn what_only_the_user_can_install_is_left_to_him() {
        for (language, programs) in [
            (Language::Python, &[][..]),
            (Language::JavaScript, &["node"]),
            (Language::Rust, &["rustup"]),
            (Language::C, &["apt-get", "clang"]),
        ] {
            check(language, programs, &[("wharf.toml", "")], &[]);
        }
    }
}
