//! Builds any number of components side by side, each in the way of its language, and puts them in their places.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant, SystemTime};
use std::{fs, thread};

use wharf_app::app::{Build, Language, Recipe};
use wharf_app::inspect::Inspection;

use crate::check::{Note, check};
use crate::explain::explained;
use crate::files::{make_folder, read, remove, store};
use crate::inputs::Data;
use crate::pins::check_pins;
use crate::process::{Children, shown};
use crate::tools::{Toolbox, Tools};
use crate::world::World;
use crate::{BuildError, cargo, clang, component, go, inputs, javascript, python};

/// The variable that tells a command of the user's where to write the component.
const COMPONENT_VARIABLE: &str = "WHARF_COMPONENT";

/// One component to build. Every path is absolute.
#[derive(Clone, Debug)]
pub struct Job {
    /// What people call it.
    pub name: String,
    /// How it is made.
    pub build: Build,
    /// Where it belongs.
    pub component: PathBuf,
    /// A folder of this job's own, for what is kept from one build to the next.
    pub state: PathBuf,
    /// What lies among its source and is none of it.
    pub data: Data,
    /// What its tools run among.
    pub children: Children,
}

/// Something happened to the job of this name.
#[derive(Debug)]
pub enum Event<'a> {
    /// It has begun.
    Began,
    /// It is over.
    Ended(&'a Result<Outcome, BuildError>, Duration),
}

/// What came of a job that did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the component is another one than before.
    pub changed: bool,
    /// Bytes of the component.
    pub bytes: u64,
    /// What will not work although it was built.
    pub notes: Vec<Note>,
}

/// What a build has come to.
struct Made {
    outcome: Outcome,
    /// It was made now, of what is there now.
    is_new: bool,
}

/// Builds all `jobs`, at most `threads` at a time, and tells `report` what happens, from any thread. One that fails holds none of the
/// others up, and leaves its component as it was.
pub fn build(
    jobs: &[Job],
    toolbox: &Toolbox,
    threads: usize,
    report: &(dyn Fn(&Job, Event<'_>) + Sync),
) -> Vec<Result<Outcome, BuildError>> {
    let waiting = Mutex::new(jobs.iter().enumerate());
    let done = Mutex::new(Vec::new());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    thread::scope(|scope| {
        for _ in 0..threads.clamp(1, jobs.len().max(1)) {
            scope.spawn(|| {
                while let Some((nth, job)) = next() {
                    let begun = Instant::now();
                    report(job, Event::Began);
                    let result = job.run(toolbox);
                    report(job, Event::Ended(&result, begun.elapsed()));
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((nth, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(nth, _)| *nth);
    done.into_iter().map(|(_, result)| result).collect()
}

impl Job {
    fn run(&self, toolbox: &Toolbox) -> Result<Outcome, BuildError> {
        make_folder(&self.state)?;
        let unpinned = check_pins(&self.build.wit)?;
        let mut outcome = match &self.build.recipe {
            Recipe::Language(language) => {
                let tools = toolbox
                    .of_project(&self.build.folder)
                    .require(*language)
                    .map_err(BuildError::Missing)?;
                self.with_language(*language, &tools)
            }
            Recipe::Command(words) => self.unless_unchanged(None, || Ok(Vec::new()), || self.with_command(words)),
        }?;
        outcome.notes.extend(unpinned);
        Ok(outcome)
    }

    fn with_language(&self, language: Language, tools: &Tools) -> Result<Outcome, BuildError> {
        // Cargo tells by itself whether anything has changed, also in packages elsewhere.
        if language == Language::Rust {
            let built = cargo::build(self, tools)?;
            return self.place(&read(&built.file)?, "`cargo build`", Vec::new());
        }
        let build = || {
            let world = World::read(&self.build.wit, self.build.world.as_deref())?;
            let notes = check(self, language, &world)?;
            let (component, maker) = self
                .make(language, tools, &world)
                .map_err(|error| explained(error, language, self, &world))?;
            let outcome = self.place(&component, maker, notes)?;
            Ok(Made { outcome, is_new: true })
        };
        self.unless_unchanged(Some(tools), || self.notes(language), build)
    }

    /// Runs a tool that writes `output`, and returns what that is. What an earlier call has left there is not taken for it.
    pub(crate) fn run_for(&self, command: &mut Command, output: &Path) -> Result<Vec<u8>, BuildError> {
        remove(output)?;
        self.children.run(command)?;
        match output.is_file() {
            true => read(output),
            false => Err(BuildError::Nothing {
                command: shown(command),
                help: format!("{} is not there", output.display()),
            }),
        }
    }

    /// The component, and what made it.
    fn make(&self, language: Language, tools: &Tools, world: &World) -> Result<(Vec<u8>, &'static str), BuildError> {
        Ok(match language {
            Language::Python => {
                let (made, version) = (python::build(self, tools, world)?, tools.version("componentize-py"));
                let made = component::sign(made, "Python", "componentize-py", &version);
                (made, "`componentize-py`")
            }
            Language::JavaScript => {
                let (made, version) = (
                    javascript::build(self, tools, world)?,
                    tools.version("componentize-qjs"),
                );
                let made = component::sign(made, "JavaScript", "componentize-qjs", &version);
                (made, "`componentize-qjs`")
            }
            Language::Go => (go::build(self, tools, world)?, "`go build`"),
            Language::Rust | Language::C => (clang::build(self, tools, world)?, "`clang`"),
        })
    }

    /// Runs a command of the user's. It may write the component where it is told, or to its place.
    fn with_command(&self, words: &[String]) -> Result<Made, BuildError> {
        let output = self.state.join("component.wasm");
        remove(&output)?;
        let before = self.written();
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .current_dir(&self.build.folder)
            .env(COMPONENT_VARIABLE, &output);
        self.children.run(&mut command)?;
        let shown = shown(&command);
        if output.is_file() {
            let outcome = self.place(&read(&output)?, &shown, Vec::new())?;
            return Ok(Made { outcome, is_new: true });
        }
        let after = self.written();
        if after.is_none() {
            let help = format!(
                "it has to write {}, or the file that ${COMPONENT_VARIABLE} names",
                self.component.display()
            );
            return Err(BuildError::Nothing { command: shown, help });
        }
        // It may know by itself that nothing has changed, as `make` does, or have written somewhere else.
        let is_new = after != before;
        let note = Note {
            file: self.component.clone(),
            line: None,
            message: format!("{shown} has not written it: it is the one of before"),
        };
        let notes = if is_new { Vec::new() } else { vec![note] };
        let outcome = Outcome {
            changed: is_new,
            ..self.place(&read(&self.component)?, &shown, notes)?
        };
        Ok(Made { outcome, is_new })
    }

    /// When the component was written, and how long it is; `None` where there is none.
    fn written(&self) -> Option<(SystemTime, u64)> {
        let metadata = fs::metadata(&self.component).ok().filter(Metadata::is_file)?;
        Some((metadata.modified().ok()?, metadata.len()))
    }

    /// What is to be said of the source, which has been built.
    fn notes(&self, language: Language) -> Result<Vec<Note>, BuildError> {
        check(
            self,
            language,
            &World::read(&self.build.wit, self.build.world.as_deref())?,
        )
    }

    /// Does what `build` does, unless it has been done for what is there now: then there is only what `notes` has to say.
    fn unless_unchanged(
        &self,
        tools: Option<&Tools>,
        notes: impl FnOnce() -> Result<Vec<Note>, BuildError>,
        build: impl FnOnce() -> Result<Made, BuildError>,
    ) -> Result<Outcome, BuildError> {
        let record = self.state.join("inputs");
        let digest = self.digest(tools)?;
        if fs::read_to_string(&record).is_ok_and(|old| old == digest)
            && let Ok(metadata) = fs::metadata(&self.component)
        {
            return Ok(Outcome {
                changed: false,
                bytes: metadata.len(),
                notes: notes()?,
            });
        }
        // Whatever comes of this, the component is not what it was made of before.
        remove(&record)?;
        let made = build()?;
        // Of before: what has changed meanwhile is built the next time.
        if made.is_new {
            store(&record, digest.as_bytes())?;
        }
        Ok(made.outcome)
    }

    fn digest(&self, tools: Option<&Tools>) -> Result<String, BuildError> {
        let words = format!(
            "{} {:?} {} {:?}",
            env!("CARGO_PKG_VERSION"),
            self.build,
            self.component.display(),
            tools.map(Tools::flags)
        );
        let mut places: Vec<&Path> = vec![&self.build.folder];
        places.extend(Some(&*self.build.wit).filter(|wit| wit.exists() && !wit.starts_with(&self.build.folder)));
        places.extend(self.build.inputs.iter().map(PathBuf::as_path));
        inputs::digest(
            &words,
            &places,
            &self.data,
            &tools.map(Tools::paths).unwrap_or_default(),
        )
    }

    /// Puts what was built in its place, if it is a component.
    fn place(&self, component: &[u8], maker: &str, notes: Vec<Note>) -> Result<Outcome, BuildError> {
        Inspection::new(component).map_err(|error| BuildError::Unusable {
            command: maker.to_owned(),
            reason: error.to_string(),
        })?;
        Ok(Outcome {
            changed: store(&self.component, component)?,
            bytes: component.len() as u64,
            notes,
        })
    }
}
