//! One module for each command. Each gives the exit code; what the flags mean is in `cli.rs`.

pub mod build;
pub mod call;
pub mod check;
pub mod compile;
pub mod compose;
pub mod dev;
pub mod doctor;
pub mod inspect;
pub mod new;
pub mod run;
pub mod secrets;
pub mod serve;
pub mod wit;

use std::io::{self, Write as _};
use std::process::ExitCode;

/// Says what came of a command, or why nothing did.
fn said(done: anyhow::Result<String>) -> ExitCode {
    match done {
        Ok(said) => {
            let _ = io::stdout().write_all(said.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
