//! `wharf run`: a component as a program.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use wharf_host::stdio::Output as GuestOutput;
use wharf_host::{Command, Engine, EngineOptions, Environment, Exit, Limits, Pooling, TimeZone};

use wharf_server::manifest::app::App;

use crate::cli::Run;
use crate::kinds::Kinds;
use crate::log::Lines;
use crate::stdio::{self, Output};
use crate::{grants, load, log};

/// The program could not be started. 125 is what `env`, `timeout` and container runtimes use for their own failures.
pub const NOT_STARTED: u8 = 125;

/// The program trapped: what a shell reports for a process that aborted (128 and SIGABRT).
pub const TRAPPED: u8 = 134;

/// Runs the program to its end.
pub fn run(run: &Run, kinds: &Kinds) -> ExitCode {
    let code = try_run(run, kinds).unwrap_or_else(|error| {
        say(&format!("error: {error:#}\n"));
        NOT_STARTED
    });
    ExitCode::from(code)
}

fn try_run(run: &Run, kinds: &Kinds) -> anyhow::Result<u8> {
    let messages = Lines::new(io::stderr())?;
    messages.open(None);
    log::install(&messages, run.alone.log.clone());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(start_and_wait(run, kinds));
    // A thread that waits for standard input would hold up the end for as long as nobody types.
    runtime.shutdown_background();
    messages.flush();
    Ok(code(ended?))
}

async fn start_and_wait(run: &Run, kinds: &Kinds) -> anyhow::Result<Exit> {
    let (file, arguments) = run.file_and_arguments();
    // A single instance gains nothing from a pool, and is not bound by the size of its places.
    let engine = Engine::new(EngineOptions {
        pooling: Pooling::Never,
        source_lines: load::source_lines(&run.alone.machine),
        ..EngineOptions::default()
    })
    .map_err(|error| anyhow::Error::msg(format!("cannot run components on this machine: {error:#}")))?;
    let component = load::component(&engine, &run.alone.machine, file)?;
    let mut app = App::of_component("", file);
    grants::grant(&mut app, &run.alone.grants);
    let mut capabilities = grants::capabilities(&app)?;
    capabilities.extend(kinds.open(&app)?);
    let environment = environment(file, arguments, &app)?;
    let command = Command::new(
        &component,
        capabilities.into(),
        environment,
        limits(run.alone.max_memory),
    )?;
    command
        .run()
        .await
        .map_err(|error| anyhow::Error::msg(format!("{}: cannot be started: {error:#}", file.display())))
}

fn environment(file: &Path, arguments: &[OsString], app: &App) -> anyhow::Result<Environment> {
    let name = file.file_name().unwrap_or(file.as_os_str());
    let arguments = std::iter::once(name)
        .chain(arguments.iter().map(OsString::as_os_str))
        .map(text);
    Ok(Environment {
        arguments: arguments.collect::<Result<_, _>>()?,
        variables: app.environment.clone().into_iter().collect(),
        ..standard_streams()?
    })
}

/// The standard streams of this process, and its time zone.
pub fn standard_streams() -> anyhow::Result<Environment> {
    let stdout = stdio::stdout().context("cannot use standard output")?;
    let stderr = stdio::stderr().context("cannot use standard error")?;
    Ok(Environment {
        stdin: Arc::new(tokio::io::stdin()),
        stdout: GuestOutput::shared(Output::new(stdout)),
        stderr: GuestOutput::shared(Output::new(stderr)),
        time_zone: TimeZone::system(),
        ..Environment::default()
    })
}

/// WASI's arguments are text, whatever this system's are.
fn text(argument: &OsStr) -> anyhow::Result<String> {
    let text = argument
        .to_str()
        .with_context(|| format!("the argument {argument:?} is not UTF-8"))?;
    Ok(text.to_owned())
}

/// A program has the machine to itself, as any other program has, unless a flag says otherwise.
pub fn limits(memory_bytes_max: Option<usize>) -> Limits {
    Limits {
        memory_bytes_max: memory_bytes_max.unwrap_or(usize::MAX),
        descriptors_max: usize::MAX,
        table_elements_max: usize::MAX,
        cpu_time_max: Duration::MAX,
        ..Limits::default()
    }
}

fn code(exit: Exit) -> u8 {
    match exit {
        Exit::Returned(Ok(())) => 0,
        Exit::Returned(Err(())) => 1,
        // What the system would keep of any program's status.
        Exit::Status(status) => status as u8,
        Exit::Trapped { error, refused } => {
            let refused = refused.map(|refused| format!("note: {refused}\n")).unwrap_or_default();
            say(&format!(
                "error: the program trapped: {}{refused}",
                describe(error.chain().map(ToString::to_string))
            ));
            TRAPPED
        }
    }
}

/// What happened, then where: Wasmtime has it the other way round.
pub fn describe(mut chain: impl Iterator<Item = String>) -> String {
    let backtrace = chain.next().unwrap_or_default();
    let causes: Vec<String> = chain.collect();
    match causes.is_empty() {
        true => format!("{backtrace}\n"),
        false => format!("{}\n{}\n", causes.join(": "), backtrace.trim_end()),
    }
}

/// Writes to standard error, whether or not anybody reads it.
fn say(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
