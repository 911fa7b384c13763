//! What the toolchains let through although it will not work, told before somebody looks for it at run time.
//!
//! This reads source as text. It finds what people write most often, and says nothing where it cannot tell.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use wharf_app::app::Language;

use crate::world::World;
use crate::{BuildError, Job, javascript, python};

/// Something in the source that will not do what it seems to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// What will happen, and what to write instead.
    pub message: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.message)
    }
}

/// A call that a language has and its components should do without.
struct Call {
    text: &'static str,
    message: &'static str,
}

const GO_CALLS: [Call; 1] = [Call {
    text: "time.Sleep(",
    message: "time.Sleep holds up the whole instance with all its requests; WaitFor of wasi:clocks/monotonic-clock holds up this \
              goroutine alone",
}];

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

/// What a job's source says that will not work.
///
/// # Errors
/// [`BuildError::Source`] where nothing would.
pub(crate) fn check(job: &Job, language: Language, world: &World) -> Result<Vec<Note>, BuildError> {
    match language {
        Language::Go => Ok(calls_in_files(&job.build.folder, "go", &GO_CALLS)),
        Language::Python => {
            let entry = job.build.entry.as_deref().unwrap_or(python::ENTRY);
            let file = job.build.folder.join(entry.replace('.', "/")).with_extension("py");
            let notes = calls_in_files(&job.build.folder, "py", &PYTHON_CALLS);
            let Ok(source) = fs::read_to_string(&file) else {
                let message = format!(
                    "there is no module {}; `entry` of the manifest's `build` says where a component begins",
                    file.display()
                );
                return Err(BuildError::Source(message));
            };
            let exports = export_classes(&file, &source, &world.exported_interfaces())?;
            Ok(exports.into_iter().chain(notes).collect())
        }
        Language::JavaScript => javascript_imports(job, world).map(|()| Vec::new()),
        Language::Rust | Language::C => Ok(Vec::new()),
    }
}

/// A class of the name of an exported interface has to derive from the generated one: otherwise it builds, and then every call traps.
fn export_classes(file: &Path, source: &str, interfaces: &[String]) -> Result<Vec<Note>, BuildError> {
    let mut notes = Vec::new();
    for interface in interfaces {
        let name = upper_camel(interface);
        for (nth, line) in source.lines().enumerate() {
            let Some(rest) = line.strip_prefix("class ").and_then(|rest| rest.strip_prefix(&*name)) else {
                continue;
            };
            let message = format!(
                "the class {name} has to derive from wit_world.exports.{name}, or every call of it traps: `class {name}(exports.{name}):`"
            );
            let note = Note {
                file: file.to_owned(),
                line: nth + 1,
                message,
            };
            match rest
                .trim_start()
                .strip_prefix('(')
                .and_then(|rest| rest.split(')').next())
            {
                Some(bases) if bases.split(',').any(|base| base.trim().ends_with(&*name)) => {}
                // By way of another class, perhaps.
                Some(bases) if !bases.trim().is_empty() => notes.push(note),
                _ if rest.starts_with([':', '(', ' ']) => return Err(BuildError::Source(note.to_string())),
                _ => {}
            }
        }
    }
    Ok(notes)
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
    let mut notes = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            notes.extend(calls_in_files(&path, extension, calls));
        } else if path.extension().is_some_and(|found| found == extension) {
            let source = fs::read_to_string(&path).unwrap_or_default();
            notes.extend(calls_in(&path, &source, calls));
        }
    }
    notes
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
            .filter(|call| line.contains(call.text))
            .map(move |call| Note {
                file: file.to_owned(),
                line: nth + 1,
                message: call.message.to_owned(),
            })
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_that_is_exported_derives_from_the_generated_one() {
        #[track_caller]
        fn check(source: &str, expected: Result<usize, &str>) {
            let found = export_classes(Path::new("app.py"), source, &["incoming-handler".to_owned()]);
            match (found, expected) {
                (Ok(notes), Ok(count)) => assert_eq!(notes.len(), count, "{notes:?}"),
                (Err(error), Err(expected)) => assert!(error.to_string().starts_with(expected), "{error}"),
                (found, _) => panic!("{found:?}"),
            }
        }
        check("class IncomingHandler(exports.IncomingHandler):", Ok(0));
        check("class IncomingHandler(wit_world.exports.IncomingHandler, Base):", Ok(0));
        check("class IncomingHandlers:", Ok(0));
        check("class IncomingHandler(Base):", Ok(1));
        let said = "app.py:2: the class IncomingHandler has to derive from wit_world.exports.IncomingHandler";
        check("\nclass IncomingHandler:", Err(said));
        check("\nclass IncomingHandler():", Err(said));
    }

    #[test]
    fn calls_that_hold_up_an_instance_are_found() {
        let lines = |source: &str, calls: &[Call]| -> Vec<usize> {
            calls_in(Path::new("a"), source, calls)
                .iter()
                .map(|note| note.line)
                .collect()
        };
        assert_eq!(
            lines("a()\n\ttime.Sleep(time.Second)\n// time.Sleep(1)\n", &GO_CALLS),
            [2]
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
