//! Joins and compiles components in processes of their own, which leave the code in a folder.
//!
//! A compiler's time and memory grow with what it is given, and not always in proportion. In a process of its own it has a
//! limit of both, and a component that wants more fails alone; the server answers meanwhile.

mod folder;
mod join;

use std::borrow::Cow;
use std::ffi::OsString;
use std::io::{self, Read, Write as _};
use std::process::{Child, ChildStdin, Command, ExitCode, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use wharf_host::{CodeCache, Component, Engine, EngineOptions, Pooling};
use wharf_server::manifest::app::LinkedAs;
use wharf_server::{Part, Wanted};

use crate::cli::CompileApart;
use join::JOINED_BYTES_MAX;

/// The command that [`apart`] starts this program with.
pub const COMMAND: &str = "compile-apart";

/// Memory that a compiler may use. A Python interpreter of 30 MiB, the largest component known, takes 0.8 GiB of it; more than two count for
/// the place of an instance, without which the code would be another.
const MEMORY_BYTES_MAX: u64 = 4 << 30;

/// Processor time that a compiler may use, in seconds of all its threads. The same interpreter takes one minute of it.
const CPU_SECONDS_MAX: u64 = 300;

/// How long a compiler may take, on a machine that has little time for it: it steps back behind those who serve.
const TIME_MAX: Duration = Duration::from_secs(30 * 60);

/// How often it is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(10);

/// As much of what it says is read.
const SAID_BYTES_MAX: u64 = 64 << 10;

/// Compiled code, which is three to four times the size of its component.
const ARTEFACT_BYTES_MAX: u64 = 1 << 30;

/// The most that Linux takes there (proc(5)): of all processes that are to be ended for their memory, the first.
#[cfg(target_os = "linux")]
const OOM_SCORE_ADJ_MAX: &str = "1000";

/// How much a compiler steps back behind those who serve: the most there is.
#[cfg(unix)]
const NICENESS: i32 = 19;

/// The component `bytes`, compiled elsewhere unless `cache` has it. Where there is no cache, or it takes nothing, the code goes by
/// way of a folder that is gone again at the end.
///
/// # Errors
/// When it is no component, the other process could not compile it within its limits, or nothing takes its code.
pub fn apart(
    engine: &Engine,
    name: &str,
    bytes: &[u8],
    cache: Option<&CodeCache>,
    wanted: &Wanted,
) -> anyhow::Result<Component> {
    let by_way_of = |cache: &CodeCache| {
        let component = compiled_into(engine, name, bytes, cache, wanted)?;
        Ok::<_, anyhow::Error>(
            component.inspect(|_| tracing::debug!(component = name, "compiled in a process of its own")),
        )
    };
    if let Some(cache) = cache {
        if let Some(component) = Component::cached(engine, name, bytes, cache)? {
            return Ok(component);
        }
        if folder::takes_files(cache.folder())
            && let Some(component) = by_way_of(cache)?
        {
            return Ok(component);
        }
        tracing::warn!(component = name, cache = %cache.folder().display(), "compiled code cannot be kept");
    }
    for folder in folder::temporary() {
        let Ok(cache) = CodeCache::open(folder.path()) else {
            continue;
        };
        // What is mapped stays, though its file goes with the folder.
        if let Some(component) = by_way_of(&cache)? {
            return Ok(component);
        }
    }
    bail!("{name}: no folder for temporary files takes its compiled code; is the disk full?")
}

/// What another process has left in `cache`, if it could leave anything.
fn compiled_into(
    engine: &Engine,
    name: &str,
    bytes: &[u8],
    cache: &CodeCache,
    wanted: &Wanted,
) -> anyhow::Result<Option<Component>> {
    let mut command = limited()?;
    command.arg("--cache").arg(cache.folder());
    // Code is tied to the layout of memory.
    if !engine.is_pooled() {
        command.arg("--in-little-space");
    }
    command.arg(name);
    run(command, name, 0, |stdin| stdin.write_all(bytes), wanted)?;
    Ok(Component::cached(engine, name, bytes, cache)?)
}

/// The content of a file with the code of the component `bytes`, compiled elsewhere.
///
/// # Errors
/// When it is no component, or the other process could not compile it within its limits.
pub fn artefact(name: &str, bytes: &[u8], target: Option<&str>, in_little_space: bool) -> anyhow::Result<Vec<u8>> {
    let mut command = limited()?;
    command.arg("--artefact");
    if let Some(target) = target {
        command.args(["--target", target]);
    }
    if in_little_space {
        command.arg("--in-little-space");
    }
    command.arg(name);
    run(
        command,
        name,
        ARTEFACT_BYTES_MAX,
        |stdin| stdin.write_all(bytes),
        &Wanted::default(),
    )
}

/// The component of `part` with its links and its middleware, joined elsewhere: who joins trusts components to be as toolchains
/// make them.
///
/// # Errors
/// When they do not fit, or the other process could not join them within its limits.
pub fn joined<'a>(part: &Part<'a>) -> anyhow::Result<Cow<'a, [u8]>> {
    let (component, name) = (part.component, part.component.file.display().to_string());
    if component.links.is_empty() && component.middleware.is_empty() && component.linked_as == LinkedAs::Joined {
        return part
            .file(&component.file)
            .with_context(|| format!("cannot read {name}"));
    }
    let mut command = limited()?;
    command.arg("--join").arg(&name);
    let written = run(
        command,
        &name,
        JOINED_BYTES_MAX,
        |stdin| join::write(part, stdin),
        part.wanted,
    )?;
    join::whole(written).map(Cow::Owned)
}

/// This program as a process that keeps to the limits.
fn limited() -> anyhow::Result<Command> {
    let program = std::env::current_exe().context("cannot find this program's own file, to compile with")?;
    let mut command = Command::new(program);
    command.env_clear().envs(kept());
    command.arg(COMMAND);
    command.args(["--memory", &MEMORY_BYTES_MAX.to_string()]);
    command.args(["--cpu-seconds", &CPU_SECONDS_MAX.to_string()]);
    Ok(command)
}

/// What a compiler needs of the environment. The rest, where keys and secrets may stand, is nothing for a process that strangers'
/// components are given to.
fn kept() -> impl Iterator<Item = (&'static str, OsString)> {
    let names = [
        "LD_LIBRARY_PATH",
        "RUST_BACKTRACE",
        "SystemRoot",
        "TEMP",
        "TMP",
        "TMPDIR",
        // Whether code is made with the lines of its source.
        "WASMTIME_BACKTRACE_DETAILS",
    ];
    names
        .into_iter()
        .filter_map(|name| Some((name, std::env::var_os(name)?)))
}

/// What the process writes to its standard output, of which so much is read, once it has ended well. What else it says goes to the log.
fn run(
    mut command: Command,
    name: &str,
    written_bytes_max: u64,
    give: impl FnOnce(&mut ChildStdin) -> io::Result<()> + Send,
    wanted: &Wanted,
) -> anyhow::Result<Vec<u8>> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot start a process to compile in")?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    // In threads: a compiler that fails early reads only a part, and may say more than a pipe holds.
    let (status, written, said) = thread::scope(|scope| {
        scope.spawn(move || stdin.map(|mut stdin| give(&mut stdin)));
        let written = scope.spawn(move || read(stdout, written_bytes_max));
        let said = scope.spawn(move || read(stderr, SAID_BYTES_MAX));
        let status = wait(&mut child, wanted);
        (
            status,
            written.join().unwrap_or_default(),
            said.join().unwrap_or_default(),
        )
    });
    let status = status.with_context(|| format!("{name}: cannot be compiled"))?;
    let said = String::from_utf8_lossy(&said);
    if !status.success() {
        bail!("{}", failure(name, status, said.trim()));
    }
    if !said.trim().is_empty() {
        tracing::warn!(component = name, "the compiler says: {}", said.trim());
    }
    Ok(written)
}

/// What a stream says, up to its end or to as much as is wanted of it.
fn read(stream: Option<impl Read>, bytes_max: u64) -> Vec<u8> {
    let mut said = Vec::new();
    if let Some(stream) = stream {
        let _ = stream.take(bytes_max).read_to_end(&mut said);
    }
    said
}

/// Waits until the compiler has ended, and ends it when its time is over.
fn wait(child: &mut Child, wanted: &Wanted) -> anyhow::Result<ExitStatus> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        let is_overdue = begun.elapsed() > TIME_MAX;
        if is_overdue || wanted.is_over() {
            let _ = child.kill();
            child.wait()?;
            match is_overdue {
                true => bail!("the compiler took longer than {} minutes", TIME_MAX.as_secs() / 60),
                false => bail!("nobody wants it any more"),
            }
        }
        thread::sleep(LOOK);
    }
}

/// Why there is nothing, in the compiler's own words where it has some.
fn failure(name: &str, status: ExitStatus, said: &str) -> String {
    // After whatever else it has said, such as where it panicked.
    let error = said.strip_prefix("error: ");
    if let Some(error) = error.or_else(|| said.split_once("\nerror: ").map(|(_, error)| error)) {
        return error.to_owned();
    }
    let why = why(status, said);
    let said = if said.is_empty() {
        String::new()
    } else {
        format!("\n{said}")
    };
    format!("{name}: cannot be compiled: the compiler ended with {status}{why}{said}")
}

#[cfg(unix)]
fn why(status: ExitStatus, said: &str) -> &'static str {
    use std::os::unix::process::ExitStatusExt as _;
    const KILLED: i32 = 9;
    const CPU_TIME: i32 = 24;
    match status.signal() {
        // Rust's own words, before it aborts.
        Some(_) if said.contains("memory allocation of") => ": it wanted more memory than it may have (4 GiB)",
        Some(_) if said.contains("overflowed its stack") => ": the component nests something too deeply",
        Some(CPU_TIME) => ": it wanted more processor time than it may have (5 minutes)",
        Some(KILLED) => {
            ": it wanted more processor time than it may have (5 minutes), or the machine had no memory left"
        }
        _ => "",
    }
}

#[cfg(not(unix))]
fn why(_: ExitStatus, _: &str) -> &'static str {
    ""
}

/// What that process does.
pub fn compile(compile: &CompileApart) -> ExitCode {
    let done = limit(compile).map_err(anyhow::Error::from);
    let done = done.and_then(|()| match compile.join {
        true => join::join(&mut io::stdin(), &mut io::stdout()),
        false if compile.artefact => try_write(compile),
        false => try_compile(compile),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn try_write(compile: &CompileApart) -> anyhow::Result<()> {
    let options = EngineOptions {
        pooling: pooling(compile),
        ..EngineOptions::default()
    };
    let artefact = wharf_host::compile(&options, compile.target.as_deref(), &compile.name, &component_given()?)?;
    let mut output = io::stdout();
    output.write_all(&artefact).context("cannot write the code")?;
    output.flush().context("cannot write the code")
}

fn component_given() -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::stdin()
        .read_to_end(&mut bytes)
        .context("cannot read the component")?;
    Ok(bytes)
}

/// Code depends on the layout of memory, and not on the number of instances.
fn pooling(compile: &CompileApart) -> Pooling {
    match compile.in_little_space {
        true => Pooling::LittleSpace,
        false => Pooling::Auto,
    }
}

fn try_compile(compile: &CompileApart) -> anyhow::Result<()> {
    let bytes = component_given()?;
    let engine = Engine::new(EngineOptions {
        instances_max: 1,
        pooling: pooling(compile),
        ..EngineOptions::default()
    })
    .map_err(|error| anyhow::Error::msg(format!("cannot compile on this machine: {error:#}")))?;
    let cache = compile
        .cache
        .as_ref()
        .context("there is no folder to leave the code in")?;
    let cache = CodeCache::open(cache)?;
    Component::new(&engine, &compile.name, &bytes, Some(&cache))?;
    Ok(())
}

#[cfg(unix)]
fn limit(compile: &CompileApart) -> io::Result<()> {
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
    // Where the machine has less memory than the limit, this goes first, and not the server. What there is no such file for goes on.
    #[cfg(target_os = "linux")]
    let _ = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE_ADJ_MAX);
    nice(NICENESS)?;
    Ok(())
}

#[cfg(not(unix))]
fn limit(_: &CompileApart) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    #[track_caller]
    fn check(status: i32, said: &str, expected: &[&str]) {
        let failure = failure("app.wasm", ExitStatus::from_raw(status), said);
        assert!(expected.iter().all(|part| failure.contains(part)), "{failure}");
    }

    #[test]
    fn a_compilers_end_is_told_for_what_it_was() {
        const ABORTED: i32 = 6;
        check(1 << 8, "error: app.wasm: it is damaged", &["app.wasm: it is damaged"]);
        let after_a_panic = failure(
            "app.wasm",
            ExitStatus::from_raw(1 << 8),
            "panicked at x\nerror: it cannot be joined",
        );
        assert_eq!(after_a_panic, "it cannot be joined");
        check(
            ABORTED,
            "memory allocation of 4096 bytes failed",
            &["wanted more memory than it may have (4 GiB)", "allocation of 4096"],
        );
        check(
            ABORTED,
            "thread 'main' has overflowed its stack",
            &["nests something too deeply"],
        );
        let unknown = failure("app.wasm", ExitStatus::from_raw(ABORTED), "an assertion failed");
        assert!(!unknown.contains("memory"), "{unknown}");
        assert!(unknown.ends_with("an assertion failed"), "{unknown}");
        check(24, "", &["processor time"]);
        check(9, "", &["processor time", "no memory left"]);
    }
}
