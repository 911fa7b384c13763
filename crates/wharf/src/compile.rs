//! Compiles a component in a process of its own, which leaves the code in the cache's folder.
//!
//! A compiler's time and memory grow with what it is given, and not always in proportion. In a process of its own it has a
//! limit of both, and a component that wants more fails alone; the server answers meanwhile.

use std::io::{self, Read as _, Write as _};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use wharf_host::{CodeCache, Component, Engine, EngineOptions, Pooling};

use crate::cli::Compile;

/// The command that [`apart`] starts this program with.
pub const COMMAND: &str = "compile-apart";

/// Memory that a compiler may use. A Python interpreter of 30 MiB takes a fifth of it.
const MEMORY_BYTES_MAX: u64 = 4 << 30;

/// Processor time that a compiler may use, in seconds of all its threads. The same interpreter takes a tenth of it.
const CPU_SECONDS_MAX: u64 = 600;

/// How long a compiler may take, on a machine that has little time for it.
const TIME_MAX: Duration = Duration::from_secs(30 * 60);

/// How often it is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(10);

/// As much of what it says is read.
const SAID_BYTES_MAX: u64 = 64 << 10;

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
    let mut command = Command::new(program);
    command.arg(COMMAND).arg("--cache").arg(cache.folder());
    command.args(["--memory", &MEMORY_BYTES_MAX.to_string()]);
    command.args(["--cpu-seconds", &CPU_SECONDS_MAX.to_string()]);
    // Code is tied to the layout of memory.
    if !engine.is_pooled() {
        command.arg("--in-little-space");
    }
    command
        .arg(name)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot start a process to compile in")?;
    let stdin = child.stdin.take();
    let given = bytes.to_vec();
    // In threads: a compiler that fails early reads only a part, and may say more than a pipe holds.
    let giving = thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(&given)));
    let stderr = child.stderr.take();
    let saying = thread::spawn(move || {
        let mut said = String::new();
        stderr.map(|stderr| stderr.take(SAID_BYTES_MAX).read_to_string(&mut said));
        said
    });
    let status = wait(&mut child).with_context(|| format!("{name}: cannot be compiled"))?;
    let _ = giving.join();
    let said = saying.join().unwrap_or_default();
    if !status.success() {
        match said.trim() {
            "" => bail!(
                "{name}: cannot be compiled: the compiler ended with {status}{}",
                why(status)
            ),
            said => bail!("{}", said.strip_prefix("error: ").unwrap_or(said)),
        }
    }
    Component::cached(engine, name, bytes, cache)?
        .with_context(|| format!("{name}: the compiler left nothing in {}", cache.folder().display()))
}

/// Waits until the compiler has ended, and ends it when its time is over.
fn wait(child: &mut Child) -> anyhow::Result<ExitStatus> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if begun.elapsed() > TIME_MAX {
            let _ = child.kill();
            child.wait()?;
            bail!("the compiler took longer than {} minutes", TIME_MAX.as_secs() / 60);
        }
        thread::sleep(LOOK);
    }
}

#[cfg(unix)]
fn why(status: ExitStatus) -> &'static str {
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
fn why(_: ExitStatus) -> &'static str {
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
    // Its code depends on the layout of memory, and not on the number of instances.
    let pooling = match compile.in_little_space {
        true => Pooling::LittleSpace,
        false => Pooling::Auto,
    };
    let engine = Engine::new(EngineOptions {
        instances_max: 1,
        pooling,
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
    // Whoever started it has no use for it once it is gone.
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    nice(NICENESS)?;
    Ok(())
}

#[cfg(not(unix))]
fn limit(_: &Compile) -> io::Result<()> {
    Ok(())
}
