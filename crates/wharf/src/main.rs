//! The command line: parses, runs a command, chooses the exit code. Wiring and nothing else.

mod assemble;
mod cli;
mod command;
mod compile;
mod grants;
mod load;
mod log;
mod notify;
mod stdio;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match cli::Cli::parse().command {
        cli::Command::Serve(serve) => command::serve::serve(*serve),
        cli::Command::Run(run) => command::run::run(run),
        cli::Command::Check(check) => command::check::check(&check),
        cli::Command::Schema => command::check::schema(),
        cli::Command::Compile(compile) => compile::compile(&compile),
    }
}
