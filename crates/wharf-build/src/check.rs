//! What the toolchains let through although it will not work, told before somebody looks for it at run time.
//!
//! This reads source as text. It finds what people write most often, and says nothing where it cannot tell.

pub(crate) mod exports;
mod modules;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use wharf_app::app::Language;

use crate::inputs::is_derived;
use crate::world::World;
use crate::{BuildError, Job, javascript, python};

/// Something in the source that will not do what it seems to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1, where it is about one.
    pub line: Option<usize>,
    /// What will happen, and what to write instead.
    pub message: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        write!(f, " {}", self.message)
    }
}

/// A call that a language has and its components should do without.
struct Call {
    text: &'static str,
    message: &'static str,
}

const GO_CALLS: [Call; 5] = [
    timer_of_go("time.Sleep"),
    timer_of_go("time.After"),
    timer_of_go("time.NewTimer"),
    timer_of_go("time.Tick"),
    timer_of_go("time.NewTicker"),
];

const fn timer_of_go(text: &'static str) -> Call {
    Call {
        text,
        message: "waiting for a timer of Go's own (time.Sleep, time.After) holds up the whole instance with all its requests; WaitFor of \
                  wasi:clocks/monotonic-clock holds up this goroutine alone",
    }
}

const PYTHON_CALLS: [Call; 2] = [
    Call {
        text: "asyncio.sleep(",
        message: "asyncio.sleep is not there in a component; await wait_for of wasi:clocks/monotonic-clock",
    },
    Call {
        text: "time.sleep(",
        message: "time.sleep holds up the whole instance with all its requests; await wait_for of wasi:clocks/monotonic-clock",
    },
];

const JAVASCRIPT_CALLS: [Call; 6] = [
    not_in_the_engine("console."),
    not_in_the_engine("fetch("),
    not_in_the_engine("setTimeout("),
    not_in_the_engine("setInterval("),
    not_in_the_engine("new TextEncoder("),
    not_in_the_engine("new TextDecoder("),
];

const fn not_in_the_engine(text: &'static str) -> Call {
    Call {
        text,
        message: "the engine in the component has none of console, fetch, timers, TextEncoder and TextDecoder: what is called here has to \
                  be defined in the component's own source, or the call fails",
    }
}

/// What a job's source says that will not work.
///
/// # Errors
/// [`BuildError::Source`] where nothing would.
pub(crate) fn check(job: &Job, language: Language, world: &World) -> Result<Vec<Note>, BuildError> {
    let folder = &job.build.folder;
    let mut notes = Vec::new();
    match language {
        Language::Go => notes.extend(calls_in_files(folder, "go", &GO_CALLS)),
        Language::Python => {
            let entry = job.build.entry.as_deref().unwrap_or(python::ENTRY);
            let file = folder.join(entry.replace('.', "/")).with_extension("py");
            entry_source(&file)?;
            notes.extend(exports::of_python(folder, entry, world)?);
            notes.extend(calls_in_files(folder, "py", &PYTHON_CALLS));
        }
        Language::JavaScript => {
            javascript_imports(job, world)?;
            let file = folder.join(job.build.entry.as_deref().unwrap_or(javascript::ENTRY));
            notes.extend(exports::of_javascript(&file, &entry_source(&file)?, world)?);
            notes.extend(calls_in_files(folder, "js", &JAVASCRIPT_CALLS));
        }
        Language::Rust | Language::C => {}
    }
    Ok(notes)
}

fn entry_source(file: &Path) -> Result<String, BuildError> {
    fs::read_to_string(file).map_err(|error| {
        BuildError::Source(format!(
            "there is no module {}, or it cannot be read ({error}); `entry` of the manifest's `build` says where a component begins",
            file.display()
        ))
    })
}

/// `incoming-handler` to `IncomingHandler`.
fn upper_camel(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let mut letters = word.chars();
        letters
            .next()
            .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
    });
    words.collect()
}

/// The engine in the component cannot call what is async outside WASI's own interfaces, nor `wasi:http`, nor what says another version
/// than its own.
fn javascript_imports(job: &Job, world: &World) -> Result<(), BuildError> {
    let is_known =
        |name: &str| name.starts_with("wasi:") && !name.starts_with("wasi:http/") && name.ends_with("@0.3.0");
    let unknown: Vec<_> = world
        .async_imports()
        .into_iter()
        .filter(|name| !is_known(name))
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let entry = job.build.entry.as_deref().unwrap_or(javascript::ENTRY);
    Err(BuildError::Source(format!(
        "{entry} is of the world {}, which imports {}: JavaScript's toolchain (componentize-qjs 0.4) cannot import async functions yet but \
         those of wasi:cli, wasi:clocks, wasi:filesystem and wasi:sockets in version 0.3.0; leave that out of the world in {}, or write this component in another \
         language",
        world.name(),
        unknown.join(", "),
        job.build.wit.display()
    )))
}

/// Calls in the files of a folder and below.
fn calls_in_files(folder: &Path, extension: &str, calls: &[Call]) -> Vec<Note> {
    let files = sources(folder, extension).into_iter().filter(|file| !is_test(file));
    files
        .flat_map(|file| calls_in(&file, &fs::read_to_string(&file).unwrap_or_default(), calls))
        .collect()
}

/// Where a job's source has one of `texts` first, as `app.js:3: `.
pub(crate) fn place_of(job: &Job, extension: &str, texts: &[&str]) -> Option<String> {
    sources(&job.build.folder, extension).iter().find_map(|file| {
        let source = fs::read_to_string(file).ok()?;
        let mut lines = source.lines();
        let nth = lines.position(|line| texts.iter().any(|text| line.contains(text)))?;
        Some(format!("{}:{}: ", file.display(), nth + 1))
    })
}

/// The files that people write, in a folder and below.
fn sources(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_derived(&path, is_folder) {
            continue;
        } else if is_folder {
            files.extend(sources(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Tests run outside of components.
fn is_test(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    name.contains("_test.") || name.contains(".test.") || name.starts_with("test_")
}

fn calls_in(file: &Path, source: &str, calls: &[Call]) -> Vec<Note> {
    let is_comment = |line: &str| line.starts_with("//") || line.starts_with('#');
    let lines = source
        .lines()
        .enumerate()
        .filter(|(_, line)| !is_comment(line.trim_start()));
    let found = lines.flat_map(|(nth, line)| {
        calls
            .iter()
            .filter(|call| exports::mentions(line, call.text))
            .map(move |call| Note {
                file: file.to_owned(),
                line: Some(nth + 1),
                message: call.message.to_owned(),
            })
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_hold_up_an_instance_are_found() {
        let lines = |source: &str, calls: &[Call]| -> Vec<usize> {
            let notes = calls_in(Path::new("a"), source, calls);
            notes.iter().filter_map(|note| note.line).collect()
        };
        assert_eq!(
            lines(
                "a()\n\ttime.Sleep(time.Second)\n// time.Sleep(1)\n<-time.After(1)\nsleep := time.Sleep\nt := time.AfterAll(1)\n",
                &GO_CALLS
            ),
            [2, 4, 5]
        );
        assert_eq!(
            lines(
                "await asyncio.sleep(1)\n# time.sleep(1)\ntime.sleep(1)\n",
                &PYTHON_CALLS
            ),
            [1, 3]
        );
    }
}
