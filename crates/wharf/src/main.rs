//! The command line: parses, runs a command, chooses the exit code. Wiring and nothing else.

mod cli;
mod command;
mod grants;
mod load;
mod log;
mod stdio;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match cli::Cli::parse().command {
        cli::Command::Serve(serve) => command::serve::serve(serve),
        cli::Command::Run(run) => command::run::run(run),
    }
}
