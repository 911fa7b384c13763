//! Where the program and the guests are, and running the program to its end.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use crate::wait::poll;

/// The longest that a program may take: compiling a large guest on a slow machine, several tests at once.
pub(crate) const PROGRAM_DEADLINE: Duration = Duration::from_secs(120);

/// The built component of the guest `name`, such as `http-echo`.
///
/// # Panics
///
/// When it is not built.
pub fn guest(name: &str) -> PathBuf {
    let file = target_dir().join("guests").join(name).with_added_extension("wasm");
    assert!(
        file.is_file(),
        "there is no guest {} (run `cargo xtask guests`)",
        file.display()
    );
    file
}

/// A command for the program under test: the file that `WHARF_BIN` names, else the one built beside the tests.
///
/// # Panics
///
/// When it is not built.
pub fn wharf() -> Command {
    let program = match std::env::var_os("WHARF_BIN") {
        Some(file) => PathBuf::from(file),
        None => profile_dir()
            .join("wharf")
            .with_extension(std::env::consts::EXE_EXTENSION),
    };
    assert!(
        program.is_file(),
        "there is no program {} (run `cargo build -p wharf`)",
        program.display()
    );
    Command::new(program)
}

/// How a program ended and what it wrote.
#[derive(Debug)]
pub struct Finished {
    /// Its exit status.
    pub status: ExitStatus,
    /// All of its standard output; bytes that are not UTF-8 are replaced.
    pub stdout: String,
    /// All of its standard error; bytes that are not UTF-8 are replaced.
    pub stderr: String,
}

impl Finished {
    /// The exit code; `None` when a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

/// Runs a command to its end with `stdin` as its standard input.
///
/// Use it where [`Command::output`] would do, too: a program that should have ended and has not fails the test instead of
/// holding it up.
///
/// # Panics
///
/// When it cannot be started, or has not ended after 120 s; then it is killed.
pub fn finish(command: &mut Command, stdin: impl AsRef<[u8]>) -> Finished {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let mut input = child.stdin.take().expect("stdin is piped");
    let bytes = stdin.as_ref().to_vec();
    // A program may end without reading its input; the write then fails, and that is its right.
    thread::spawn(move || input.write_all(&bytes));
    let status = poll(PROGRAM_DEADLINE, || {
        child.try_wait().expect("a child can be waited for")
    });
    if status.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let text = |collector: thread::JoinHandle<Vec<u8>>| {
        String::from_utf8_lossy(&collector.join().expect("reading ends at end of file")).into_owned()
    };
    let (stdout, stderr) = (text(stdout), text(stderr));
    let Some(status) = status else {
        panic!("{command:?} has not ended after {PROGRAM_DEADLINE:?}\nstdout: {stdout}\nstderr: {stderr}");
    };
    Finished { status, stdout, stderr }
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    let mut pipe = pipe.expect("the output is piped");
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // An error here ends the output as end of file does; the status tells the rest.
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    })
}

/// The folder of this build's profile, such as `target/debug`: test binaries are in its `deps`.
fn profile_dir() -> PathBuf {
    let test = std::env::current_exe().expect("a process knows its own file");
    let deps = test.parent().expect("a file is in a folder");
    let up = if deps.ends_with("deps") { deps.parent() } else { None };
    up.unwrap_or(deps).to_owned()
}

/// Cargo's target folder, where `cargo xtask guests` puts the guests. It is found from this binary's own place, so that
/// it is right wherever `CARGO_TARGET_DIR` or a configuration put it. A build with `--target` is one folder deeper.
pub(crate) fn target_dir() -> PathBuf {
    let profile = profile_dir();
    let mut above = profile.ancestors().skip(1).take(2);
    let with_guests = above.find(|folder| folder.join("guests").is_dir());
    with_guests.or(profile.parent()).unwrap_or(&profile).to_owned()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn finish_gives_input_and_collects_output_and_status() {
        let finished = finish(&mut shell("cat; echo complaint >&2; exit 7"), "line\n");
        assert_eq!(
            (finished.stdout.as_str(), finished.stderr.as_str()),
            ("line\n", "complaint\n")
        );
        assert_eq!(finished.code(), Some(7));
    }

    #[test]
    fn finish_reads_more_than_a_pipe_holds() {
        let finished = finish(&mut shell("cat"), vec![b'x'; 1 << 20]);
        assert_eq!(finished.stdout.len(), 1 << 20);
    }

    #[test]
    #[should_panic(expected = "cargo xtask guests")]
    fn a_missing_guest_says_how_to_build_it() {
        guest("no-such-guest");
    }
}
