//! Somebody who sits at a terminal: what a program asks is read there, and answered.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use wharf_tests::eventually;

/// A program at a terminal of its own.
pub struct Terminal {
    end: File,
    child: Child,
}

impl Terminal {
    /// Starts a program. What it prints as its result goes nowhere.
    pub fn start(mut command: Command) -> Self {
        let end = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&end).unwrap();
        unlockpt(&end).unwrap();
        let name = ptsname(&end, Vec::new()).unwrap();
        // It becomes nobody's controlling terminal.
        let other = open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let other = File::from(other);
        command.stdin(other.try_clone().unwrap()).stdout(Stdio::null());
        let child = command.stderr(other).spawn().unwrap();
        Self { end: end.into(), child }
    }

    /// What is on the terminal, up to `question`.
    pub fn asked(&mut self, question: &str) -> String {
        let mut said = String::new();
        while !said.contains(question) {
            let mut bytes = [0; 1024];
            let count = self
                .end
                .read(&mut bytes)
                .unwrap_or_else(|error| panic!("{error} after {said}"));
            said += &String::from_utf8_lossy(&bytes[..count]);
        }
        said
    }

    /// Types.
    pub fn answer(&mut self, answer: &str) {
        self.end.write_all(answer.as_bytes()).unwrap();
    }

    /// Waits for the program's end.
    pub fn end(mut self) -> ExitStatus {
        // Someone has to read what it goes on to say.
        std::thread::spawn(move || std::io::copy(&mut self.end, &mut std::io::sink()));
        let mut status = None;
        eventually(
            || {
                status = self.child.try_wait().unwrap();
                status.is_some()
            },
            "the program to end",
        );
        status.unwrap()
    }
}
