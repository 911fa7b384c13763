//! Running a guest as a command: to its end, or in a conversation.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use wharf_tests::{Finished, finish, guest, wharf};

/// Far beyond anything a working guest needs between two lines.
const DEADLINE: Duration = Duration::from_secs(60);

/// The guest under the names of both versions it is built for.
pub fn versions(name: &str) -> [String; 2] {
    [name.to_owned(), format!("v0-3-0-{name}")]
}

/// `wharf run FLAGS GUEST ARGUMENTS`, not started yet.
pub fn command(name: &str, flags: &[&str], arguments: &[&str]) -> Command {
    let mut command = wharf();
    command.arg("run").args(flags).arg(guest(name)).args(arguments);
    command
}

/// Runs a guest to its end, with nothing on its standard input.
pub fn run(name: &str, flags: &[&str], arguments: &[&str]) -> Finished {
    finish(&mut command(name, flags, arguments), "")
}

/// The lines of a guest that must succeed.
pub fn lines(name: &str, flags: &[&str], arguments: &[&str]) -> Vec<String> {
    lines_of(&mut command(name, flags, arguments))
}

/// The lines a command wrote that must succeed.
pub fn lines_of(command: &mut Command) -> Vec<String> {
    let finished = finish(command, "");
    assert_eq!(finished.code(), Some(0), "{command:?}: {finished:?}");
    finished.stdout.lines().map(str::to_owned).collect()
}

/// The rest of the one line that begins with `key` and a space.
pub fn value<'a>(lines: &'a [String], key: &str) -> &'a str {
    let mut found = lines
        .iter()
        .filter_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    let value = found.next().unwrap_or_else(|| panic!("no {key} in {lines:?}"));
    assert_eq!(found.next(), None, "two {key} in {lines:?}");
    value
}

/// The rests of all lines that begin with `key` and a space.
pub fn values<'a>(lines: &'a [String], key: &str) -> Vec<&'a str> {
    lines
        .iter()
        .filter_map(|line| line.strip_prefix(key)?.strip_prefix(' '))
        .collect()
}

/// A guest that is spoken to while it runs. Dropped, it is killed.
pub struct Conversation {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Output,
    stderr: Output,
}

impl Conversation {
    pub fn start(name: &str, flags: &[&str], arguments: &[&str]) -> Self {
        let mut command = command(name, flags, arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        Self {
            stdin: child.stdin.take(),
            stdout: Output::Unread(Box::new(child.stdout.take().expect("stdout is piped"))),
            stderr: Output::Unread(Box::new(child.stderr.take().expect("stderr is piped"))),
            child,
        }
    }

    /// The process of the host.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    pub fn say(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("standard input is open");
        stdin.write_all(text.as_bytes()).expect("the guest takes its input");
    }

    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Closes the reading end of the guest's standard output, of which nothing was read yet.
    pub fn close_stdout(&mut self) {
        self.stdout = Output::Closed;
    }

    /// The next line of standard output. Until the first call nothing at all is read from it.
    pub fn line(&mut self) -> String {
        self.stdout
            .line()
            .unwrap_or_else(|| panic!("the output ended: {:?}", self.errors()))
    }

    /// The first byte of standard output, of which nothing was read yet.
    pub fn first_byte(&mut self) -> u8 {
        let Output::Unread(mut pipe) = std::mem::replace(&mut self.stdout, Output::Closed) else {
            panic!("the output is being read by lines");
        };
        let (sender, receiver) = channel();
        thread::spawn(move || {
            let mut byte = [0];
            if pipe.read_exact(&mut byte).is_ok() {
                let _ = sender.send((byte[0], pipe));
            }
        });
        let (byte, pipe) = receiver.recv_timeout(DEADLINE).expect("a byte in time");
        self.stdout = Output::Unread(pipe);
        byte
    }

    /// The next line of standard error. Until the first call nothing at all is read from it.
    pub fn error_line(&mut self) -> String {
        self.stderr.line().expect("standard error goes on")
    }

    /// What is left of standard output, as one text.
    pub fn rest(&mut self) -> String {
        self.stdout.rest()
    }

    /// What is left of standard error, as one text.
    pub fn errors(&mut self) -> String {
        self.stderr.rest()
    }

    /// Closes standard input and waits for the end.
    pub fn end(&mut self) -> ExitStatus {
        self.close_stdin();
        let mut status = None;
        wharf_tests::eventually(
            || {
                status = self.child.try_wait().expect("a child can be waited for");
                status.is_some()
            },
            "the guest to end",
        );
        status.expect("the wait ended with a status")
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One output of a guest: left alone until it is first asked for, then read by a thread so that waiting has a deadline.
enum Output {
    Unread(Box<dyn Read + Send>),
    Read(Receiver<String>),
    Closed,
}

impl Output {
    fn line(&mut self) -> Option<String> {
        match self.receiver()?.recv_timeout(DEADLINE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no line in {DEADLINE:?}"),
        }
    }

    fn rest(&mut self) -> String {
        let mut rest = String::new();
        while let Some(line) = self.line() {
            rest.push_str(&line);
            rest.push('\n');
        }
        rest
    }

    fn receiver(&mut self) -> Option<&Receiver<String>> {
        if let Self::Unread(_) = self {
            let Self::Unread(pipe) = std::mem::replace(self, Self::Closed) else {
                unreachable!("it was just seen");
            };
            *self = Self::Read(read_lines(pipe));
        }
        match self {
            Self::Read(lines) => Some(lines),
            Self::Unread(_) | Self::Closed => None,
        }
    }
}

fn read_lines(pipe: Box<dyn Read + Send>) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}
