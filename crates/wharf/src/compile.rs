//! Compiles a component in a process of its own, which leaves the code in the cache's folder.
//!
//! A compiler's time and memory grow with what it is given, and not always in proportion. In a process of its own it has a
//! limit of both, and a component that wants more fails alone; the server answers meanwhile.

use std::io::{self, Read as _, Write as _};
use std::process::{Command, ExitCode, Stdio};
use std::thread;

use anyhow::{Context as _, bail};
use wharf_host::{CodeCache, Component, Engine, EngineOptions};

use crate::cli::Compile;

/// The command that [`apart`] starts this program with.
pub const COMMAND: &str = "compile-apart";

/// Memory that a compiler may use. A Python interpreter of 30 MiB takes a fifth of it.
const MEMORY_BYTES_MAX: u64 = 4 << 30;

/// Processor time that a compiler may use, in seconds of all its threads. The same interpreter takes a tenth of it.
const CPU_SECONDS_MAX: u64 = 600;

/// How much a compiler steps back behind those who serve: the most there is.
#[cfg(unix)]
const NICENESS: i32 = 19;

/// The component `bytes`, compiled elsewhere unless `cache` has it.
///
/// # Errors
/// When it is no component, or the other process could not compile it within its limits.
pub fn apart(engine: &Engine, name: &str, bytes: &[u8], cache: &CodeCache) -> anyhow::Result<Component> {
    if let Some(component) = Component::cached(engine, name, bytes, cache)? {
        return Ok(component);
    }
    let program = std::env::current_exe().context("cannot find this program's own file, to compile with")?;
    let mut child = Command::new(program)
        .arg(COMMAND)
        .arg("--cache")
        .arg(cache.folder())
        .args(["--memory", &MEMORY_BYTES_MAX.to_string()])
        .args(["--cpu-seconds", &CPU_SECONDS_MAX.to_string()])
        .arg(name)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start a process to compile in")?;
    let stdin = child.stdin.take();
    let given = bytes.to_vec();
    // In a thread: a compiler that fails early reads only a part.
    let giving = thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(&given)));
    let output = child.wait_with_output().context("cannot wait for the compiler")?;
    let _ = giving.join();
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        match said.trim() {
            "" => bail!(
                "{name}: cannot be compiled: the compiler ended with {}{}",
                output.status,
                why(output.status)
            ),
            said => bail!("{}", said.strip_prefix("error: ").unwrap_or(said)),
        }
    }
    Component::cached(engine, name, bytes, cache)?
        .with_context(|| format!("{name}: the compiler left nothing in {}", cache.folder().display()))
}

#[cfg(unix)]
fn why(status: std::process::ExitStatus) -> &'static str {
    use std::os::unix::process::ExitStatusExt as _;
    const ABORTED: i32 = 6;
    const KILLED: i32 = 9;
    const CPU_TIME: i32 = 24;
    match status.signal() {
        Some(ABORTED) => ": it most likely wanted more memory than it may have (4 GiB)",
        Some(CPU_TIME | KILLED) => ": it most likely wanted more processor time than it may have (10 minutes)",
        _ => "",
    }
}

#[cfg(not(unix))]
fn why(_: std::process::ExitStatus) -> &'static str {
    ""
}

/// What that process does.
pub fn compile(compile: &Compile) -> ExitCode {
    match try_compile(compile) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn try_compile(compile: &Compile) -> anyhow::Result<()> {
    limit(compile)?;
    let mut bytes = Vec::new();
    io::stdin()
        .read_to_end(&mut bytes)
        .context("cannot read the component")?;
    // Its code fits every engine of this machine: it depends on the layout of memory, not on the number of instances.
    let engine = Engine::new(EngineOptions {
        instances_max: 1,
        ..EngineOptions::default()
    })
    .map_err(|error| anyhow::Error::msg(format!("cannot compile on this machine: {error:#}")))?;
    let cache = CodeCache::open(&compile.cache)?;
    Component::new(&engine, &compile.name, &bytes, Some(&cache))?;
    Ok(())
}

#[cfg(unix)]
fn limit(compile: &Compile) -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, nice, setrlimit};
    let most = |most: u64| Rlimit {
        current: Some(most),
        maximum: Some(most),
    };
    // What is written to, not what is only reserved: the engine reserves more than there is memory.
    setrlimit(Resource::Data, most(compile.memory))?;
    setrlimit(Resource::Cpu, most(compile.cpu_seconds))?;
    setrlimit(Resource::Core, most(0))?;
    nice(NICENESS)?;
    Ok(())
}

#[cfg(not(unix))]
fn limit(_: &Compile) -> io::Result<()> {
    Ok(())
}
