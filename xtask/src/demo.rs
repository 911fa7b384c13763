//! Builds an example and serves it: until Ctrl-C, or, one whose README shows calls of several languages, until those are made.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::examples;
use crate::workspace::Workspace;

/// The example that is served when none is named.
const FIRST: &str = "two-routes";

/// Builds the program and an example, serves it, and shows how to call it. `args` are the example's name, or nothing, and
/// further flags of `wharf serve`.
pub fn demo(workspace: &Workspace, args: &[String]) -> Result<()> {
    let (example, args) = match args.split_first() {
        Some((name, flags)) if !name.starts_with('-') => (name.as_str(), flags),
        _ => (FIRST, args),
    };
    let (known, mixed) = (examples::names(workspace)?, examples::mixed(workspace)?);
    ensure!(
        known.iter().chain(&mixed).any(|name| name == example),
        "there is no example {example}, but {}",
        [known, mixed].concat().join(", ")
    );
    let is_mixed = mixed.iter().any(|name| name == example);
    let (program, served) = match is_mixed {
        true => {
            let program = program(workspace, example)?;
            println!("Building the example {example}");
            let served = examples::build_mixed(workspace, &program, example)?;
            (program, served)
        }
        false => {
            println!("Building the example {example}");
            let served = examples::place(workspace, example)?;
            (program(workspace, example)?, served)
        }
    };
    let mut command = Command::new(program);
    command.arg("serve");
    // Any free port, unless somebody wants one.
    if !args.iter().any(|arg| arg == "--addr" || arg.starts_with("--addr=")) {
        command.args(["--addr", "127.0.0.1:0"]);
    }
    // Pages keep their connections: whoever stops a demo does not want to wait for them.
    if !args.iter().any(|arg| arg.starts_with("--drain-timeout")) {
        command.args(["--drain-timeout", "1s"]);
    }
    command.args(args).arg(&served);
    match is_mixed {
        true => show(command, &served),
        false => serve(command, &served),
    }
}

fn program(workspace: &Workspace, example: &str) -> Result<PathBuf> {
    println!("Building wharf (development profile; the first build takes minutes, most of them for the engine)");
    examples::program(workspace, example)
}

/// Serves, makes the calls that the README shows, and ends.
fn show(mut command: Command, served: &Path) -> Result<()> {
    command.stdin(Stdio::null()).stderr(Stdio::piped());
    let mut server = command.spawn().context("cannot start wharf")?;
    let shown = server
        .stderr
        .take()
        .context("the log is piped")
        .and_then(|log| make_calls(BufReader::new(log), served));
    // Nothing is under way any more.
    server.kill().context("cannot stop the server")?;
    server.wait().context("cannot wait for the server")?;
    shown?;
    println!("\nThat was all. To go on by yourself: wharf serve {}", served.display());
    Ok(())
}

fn make_calls(mut log: BufReader<ChildStderr>, served: &Path) -> Result<()> {
    let mut first = String::new();
    log.read_line(&mut first).context("cannot read the server's log")?;
    eprint!("{first}");
    let url = url(&first)
        .context("the server does not say where it listens")?
        .to_owned();
    std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::stderr()));
    let readme = fs::read_to_string(served.join("README.md")).context("the example has no README.md")?;
    for call in calls(&readme, &url) {
        println!("\n$ {call}");
        let status = Command::new("sh")
            .arg("-c")
            .arg(format!("{call} --silent --show-error"))
            .status();
        ensure!(status.context("cannot start sh")?.success(), "`{call}` failed");
    }
    Ok(())
}

/// The calls of curl in a README, of the server at `url` in the place of the usual one.
fn calls(readme: &str, url: &str) -> Vec<String> {
    let lines = readme.lines().filter(|line| line.starts_with("curl "));
    let command = |line: &str| line.split(" #").next().unwrap_or(line).trim_end().to_owned();
    lines
        .map(|line| command(line).replace("http://127.0.0.1:8080", url))
        .collect()
}

fn serve(mut command: Command, served: &Path) -> Result<()> {
    command.stdin(Stdio::null()).stderr(Stdio::piped());
    let mut server = stopping::spawn(command)?;
    let mut log = BufReader::new(server.stderr.take().context("the log is piped")?);
    let mut first = String::new();
    log.read_line(&mut first).context("cannot read the server's log")?;
    eprint!("{first}");
    if let Some(url) = url(&first) {
        match served.join("public").is_dir() {
            true => println!("\nOpen {url} in a browser, in several tabs (Ctrl-C stops the server).\n"),
            false => print_calls(url),
        }
    }
    // A terminal that is gone is no reason to end before the server does.
    let _ = std::io::copy(&mut log, &mut std::io::stderr());
    let status = server.wait().context("cannot wait for the server")?;
    ensure!(status.success(), "the server ended with {status}");
    Ok(())
}

fn print_calls(url: &str) {
    println!(
        r#"
The example service is at {url} (Ctrl-C stops it). Try in another terminal:

  curl {url}/api/health      # answers at once
  curl {url}/api/data        # waits for a database, SQLite in a file
  curl -N {url}/api/stream   # rows arrive one by one, as they are produced
  curl -X PUT -d '{{"name":"Kestrel","tons":1500}}' {url}/api/data/11   # is there at the next start, too
"#
    );
}

/// The URL in the server's first line.
fn url(line: &str) -> Option<&str> {
    let start = line.find("http://")?;
    line[start..]
        .split_whitespace()
        .next()
        .map(|url| url.trim_end_matches('/'))
}

/// Ctrl-C stops the server, and this program ends after it.
#[cfg(unix)]
mod stopping {
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command};
    use std::thread;

    use anyhow::{Context, Result};
    use rustix::process::{Pid, Signal, kill_process};
    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;

    /// Starts the server in a group of its own, so that Ctrl-C in the terminal reaches this program alone, which passes it
    /// on once: a server that gets a second signal may stop without finishing its work.
    pub fn spawn(mut command: Command) -> Result<Child> {
        let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot wait for Ctrl-C")?;
        let server = command.process_group(0).spawn().context("cannot start wharf")?;
        let process = Pid::from_child(&server);
        thread::spawn(move || {
            for _ in &mut signals {
                // This program ends when the server has: until then the number is the server's.
                let _ = kill_process(process, Signal::TERM);
            }
        });
        Ok(server)
    }
}

/// The console sends Ctrl-C to the server as well.
#[cfg(not(unix))]
mod stopping {
    use std::process::{Child, Command};

    use anyhow::{Context, Result};

    pub fn spawn(mut command: Command) -> Result<Child> {
        command.spawn().context("cannot start wharf")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_taken_from_a_readme() {
        let readme = "Text.\n\n```sh\nwharf build\ncurl -i http://127.0.0.1:8080/a    # what it is\ncurl -d 'x' http://127.0.0.1:8080/b\n```\n";
        let expected = ["curl -i http://h:1/a", "curl -d 'x' http://h:1/b"];
        assert_eq!(calls(readme, "http://h:1"), expected);
    }

    #[test]
    fn the_url_is_found_in_the_first_line() {
        assert_eq!(
            url("Serving a.wasm at http://127.0.0.1:80/ until Ctrl-C\n"),
            Some("http://127.0.0.1:80")
        );
        assert_eq!(url("http://[::1]:80\n"), Some("http://[::1]:80"));
        assert_eq!(url("error: a.wasm is not a component\n"), None);
    }
}
