//! Automation of this repository: `cargo xtask TASK`.
//!
//! Each task is a module. What a task needs and the machine lacks is either added (a target by rustup) or named, with
//! the command that adds it. Tasks print what they do in one line each and leave the rest to the tools they call.

mod bench;
mod bench_guests;
mod check;
mod debian;
mod demo;
mod dist;
mod docs;
mod examples;
mod foreign_c;
mod guests;
mod instructions;
mod test;
mod toolchain;
mod tools;
mod wit;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::workspace::Workspace;

const USAGE: &str = "\
Automation of this repository.

Usage: cargo xtask TASK

Tasks:
  demo [EXAMPLE] [FLAGS]
                    Builds an example and serves it; FLAGS are those of `wharf serve`. With polyglot, shows the calls of its
                    README and ends
  test [ARGS]       Sets up and passes all tests; ARGS are those of `cargo test`, such as `-- http::echo`. Where nginx,
                    haproxy, slowhttptest or chromium cannot be had, the tests that need them are left out
  check [--here]    Checks formatting, lints, the repository's own rules, documentation and, but for --here, that
                    the code compiles for other systems
  dist              Builds the program that people install, target/wharf: twice, with a load between that tells the compiler what
                    counts; takes wrk, h2load and half an hour
  bench [ARGS]      Measures Wharf against its peers and writes benches/results; ARGS are names of workloads, --quick
                    (two minutes) or --rounds N
  instructions [--write | --where-possible]
                    Counts the instructions of a request's pieces under valgrind and compares them with
                    benches/instructions.json, or writes that; --where-possible passes where it cannot be had
  guests            Builds the guests of the tests into target/guests
  docs              Writes the reference of the manifest and its JSON schema into docs/reference, as the program prints them
  wit [--check]     Prints the WIT of the standards into wit, or checks that it is there as printed
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
    let Some((task, args)) = args.split_first() else {
        print!("{USAGE}");
        return Ok(());
    };
    if task == foreign_c::TASK {
        return foreign_c::run(args);
    }
    let workspace = Workspace::find()?;
    match (task.as_str(), args) {
        ("demo", args) => demo::demo(&workspace, args),
        ("test", args) => test::test(&workspace, args),
        ("dist", []) => dist::dist(&workspace),
        ("bench", args) => bench::bench(&workspace, args),
        ("check", []) => check::check(&workspace, false),
        ("check", [flag]) if flag == "--here" => check::check(&workspace, true),
        ("instructions", []) => instructions::compare(&workspace),
        ("instructions", [flag]) if flag == "--write" => instructions::write(&workspace),
        ("instructions", [flag]) if flag == "--where-possible" => instructions::compare_where_possible(&workspace),
        ("docs", []) => docs::write(&workspace),
        ("guests", []) => guests::build(&workspace),
        ("wit", []) => wit::print(&workspace),
        ("wit", [flag]) if flag == "--check" => wit::check(&workspace),
        ("help" | "--help" | "-h", _) => {
            print!("{USAGE}");
            Ok(())
        }
        _ => bail!(
            "there is no task `{}` (see `cargo xtask help`)",
            [std::slice::from_ref(task), args].concat().join(" ")
        ),
    }
}
