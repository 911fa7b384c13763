//! This process's own standard output and error, where nothing tells whether there is room in them.

use std::io::{self, Write as _};
use std::sync::Arc;

use super::{Sink, Waiting};

/// Standard output or error of this process.
pub enum ProcessOutput {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Standard output of this process.
pub fn stdout() -> io::Result<ProcessOutput> {
    Ok(ProcessOutput::Stdout)
}

/// Standard error of this process.
pub fn stderr() -> io::Result<ProcessOutput> {
    Ok(ProcessOutput::Stderr)
}

impl Sink for ProcessOutput {
    fn is_ready(&self) -> bool {
        true
    }

    fn wait(self: Arc<Self>) -> Waiting {
        Box::pin(std::future::ready(()))
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            ProcessOutput::Stdout => {
                let mut stdout = io::stdout().lock();
                let written = stdout.write(bytes)?;
                stdout.flush().map(|()| written)
            }
            ProcessOutput::Stderr => io::stderr().write(bytes),
        }
    }

    fn is_terminal(&self) -> bool {
        match self {
            ProcessOutput::Stdout => io::IsTerminal::is_terminal(&io::stdout()),
            ProcessOutput::Stderr => io::IsTerminal::is_terminal(&io::stderr()),
        }
    }
}
