//! Automation of this repository: `cargo xtask TASK`.
//!
//! Each task is a module. What a task needs and the machine lacks is either added (a target by rustup) or named, with
//! the command that adds it. Tasks print what they do in one line each and leave the rest to the tools they call.

mod guests;
mod toolchain;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::workspace::Workspace;

const USAGE: &str = "\
Automation of this repository.

Usage: cargo xtask TASK

Tasks:
  guests            Builds the guests of the tests into target/guests
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<()> {
    let workspace = Workspace::find()?;
    let Some((task, args)) = args.split_first() else {
        print!("{USAGE}");
        return Ok(());
    };
    match (task.as_str(), args) {
        ("guests", []) => guests::build(&workspace),
        ("help" | "--help" | "-h", _) => {
            print!("{USAGE}");
            Ok(())
        }
        _ => bail!("there is no task `{task} {}` (see `cargo xtask help`)", args.join(" ")),
    }
}
