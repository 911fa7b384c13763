//! The command line: parses, runs a command, chooses the exit code. Wiring and nothing else.
//!
//! It is a library so that a program with further capabilities is one line as well: [`main`], with their [`Kind`]s beside
//! those of `wharf_capabilities::kinds()`.

mod assemble;
mod cli;
mod command;
mod compile;
mod equip;
mod grants;
mod kinds;
mod load;
mod log;
mod notify;
mod own;
mod prefix;
mod progress;
mod size;
mod stdio;
mod template;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;
use wharf_host::Kind;

use kinds::Kinds;

/// Does what the arguments of this process ask for, in a server whose apps may ask for `kinds` of capabilities.
#[must_use]
pub fn main(kinds: Vec<Arc<dyn Kind>>) -> ExitCode {
    let kinds = Kinds::new(kinds);
    match cli::Cli::parse().command {
        cli::Command::Serve(serve) => command::serve::serve(*serve, &kinds, None),
        cli::Command::Run(run) => command::run::run(&run, &kinds),
        cli::Command::New(new) => command::new::new(&new, &kinds),
        cli::Command::Build(build) => command::build::build(&build, &kinds),
        cli::Command::Dev(dev) => command::dev::dev(*dev, &kinds),
        cli::Command::Doctor(doctor) => command::doctor::doctor(&doctor, &kinds),
        cli::Command::Check(check) => command::check::check(&check, &kinds),
        cli::Command::Schema(schema) => command::check::schema(&schema, &kinds),
        cli::Command::Secrets(secrets) => command::secrets::secrets(&secrets),
        cli::Command::Inspect(inspect) => command::inspect::inspect(&inspect, &kinds),
        cli::Command::Compose(compose) => command::compose::compose(&compose, &kinds),
        cli::Command::Compile(compile) => command::compile::compile(&compile),
        cli::Command::Call(call) => command::call::call(&call, &kinds),
        cli::Command::Wit(wit) => command::wit::wit(&wit, &kinds),
        cli::Command::CompileApart(compile) => compile::compile(&compile),
    }
}
