//! Running tools: what they say is kept, and shown where they fail. They end with who has started them.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::BuildError;

/// A command as one would type it.
#[must_use]
pub fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_stem().unwrap_or(command.get_program());
    let words: Vec<_> = std::iter::once(program)
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect();
    format!("`{}`", words.join(" "))
}

/// The tools that run for somebody. Cheap to clone: a clone is the same.
///
/// By default they are of the group of this process, and a terminal's Ctrl-C reaches them as it reaches this process.
#[derive(Clone, Debug, Default)]
pub struct Children(Arc<Mutex<Group>>);

#[derive(Debug, Default)]
struct Group {
    /// They are to be ended with all that they have started.
    can_end: bool,
    /// None is started any more.
    ended: bool,
    /// Those that run, by the number of their process and group.
    running: Vec<u32>,
}

impl Children {
    /// Tools that [`Children::end`] ends, and nothing else does: each is of a group of its own, with those that it starts.
    #[must_use]
    pub fn to_be_ended() -> Self {
        Self(Arc::new(Mutex::new(Group {
            can_end: true,
            ..Group::default()
        })))
    }

    /// Ends what runs, with what that has started, and lets nothing more begin.
    pub fn end(&self) {
        let mut group = self.lock();
        group.ended = true;
        for &number in group.running.iter().filter(|_| group.can_end) {
            end_group(number);
        }
    }

    /// Whether [`Children::end`] was called.
    #[must_use]
    pub fn have_ended(&self) -> bool {
        self.lock().ended
    }

    /// Runs a command without input; returns its standard output.
    pub(crate) fn run(&self, command: &mut Command) -> Result<Vec<u8>, BuildError> {
        let output = self.output(command).map_err(|source| BuildError::Start {
            command: shown(command),
            source,
        })?;
        match output.status.success() {
            true => Ok(output.stdout),
            false => Err(failed(command, &output)),
        }
    }

    fn output(&self, command: &mut Command) -> std::io::Result<Output> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // Held while it is started: whoever ends all meets it, or it is not begun.
        let mut group = self.lock();
        if group.ended {
            return Err(std::io::ErrorKind::Interrupted.into());
        }
        #[cfg(unix)]
        if group.can_end {
            std::os::unix::process::CommandExt::process_group(command, 0);
        }
        let child = command.spawn()?;
        let number = child.id();
        group.running.push(number);
        drop(group);
        let output = child.wait_with_output();
        self.lock().running.retain(|&running| running != number);
        output
    }

    fn lock(&self) -> MutexGuard<'_, Group> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(unix)]
fn end_group(number: u32) {
    use rustix::process::{Pid, Signal, kill_process_group};
    if let Some(group) = i32::try_from(number).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::TERM);
    }
}

/// Where there are no such groups, a console's Ctrl-C reaches all that were started from it.
#[cfg(not(unix))]
fn end_group(_number: u32) {}

/// Runs a command that takes no time, as [`Children::run`] does.
pub(crate) fn run(command: &mut Command) -> Result<Vec<u8>, BuildError> {
    Children::default().run(command)
}

fn failed(command: &Command, output: &Output) -> BuildError {
    // Tools say what is wrong on either.
    let said = [&output.stderr, &output.stdout].map(|said| String::from_utf8_lossy(said).trim().to_owned());
    let said: Vec<_> = said.into_iter().filter(|said| !said.is_empty()).collect();
    BuildError::Failed {
        command: shown(command),
        status: output.status.to_string(),
        output: said.join("\n"),
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn tools_end_with_what_they_have_started() {
        let children = Children::to_be_ended();
        let begun = Instant::now();
        let running = thread::spawn({
            let children = children.clone();
            // The inner one holds the output open.
            move || children.run(Command::new("sh").args(["-c", "sleep 300 & wait"]))
        });
        while children.lock().running.is_empty() {
            thread::sleep(Duration::from_millis(5));
        }
        children.end();
        running.join().unwrap().unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(200));
        let late = children.run(&mut Command::new("true"));
        assert!(matches!(late, Err(BuildError::Start { .. })), "{late:?}");
    }
}
