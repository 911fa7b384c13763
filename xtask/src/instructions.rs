//! Counts the instructions of the request path's pieces and compares them with the committed figures.
//!
//! Counts hardly depend on how busy the machine is, so a small loss shows that no timing would. They do depend on the
//! compiler and a little on the processor's features: figures that a newer toolchain changed are counted anew and
//! committed with it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::debian;
use crate::guests;
use crate::workspace::{Workspace, output, run};

/// Growth that is no accident, in percent.
const GROWTH_MAX: u64 = 5;

/// What happens once in a run is taken out by running twice.
const TIMES: [u64; 2] = [50, 250];

/// A library that chooses its code by the processor's caches would count differently on each; and an allocator that keeps seven free
/// pieces of a size at hand, and looks among neighbours for the eighth, counts how the heap happens to lie: 6 % of a hundred chunks.
const SAME_EVERYWHERE: (&str, &str) = (
    "GLIBC_TUNABLES",
    "glibc.cpu.x86_rep_movsb_threshold=1073741824:glibc.cpu.x86_rep_stosb_threshold=1073741824:\
     glibc.malloc.tcache_count=10000",
);

type Counts = BTreeMap<String, u64>;

/// Counts, and writes the figures.
pub fn write(workspace: &Workspace) -> Result<()> {
    let counted = Counter::prepare(workspace)?.count_all()?;
    let file = figures(workspace);
    let text = serde_json::to_string_pretty(&counted)? + "\n";
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
}

/// Counts, and fails if a piece takes more than it did.
pub fn compare(workspace: &Workspace) -> Result<()> {
    let file = figures(workspace);
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let committed: Counts = serde_json::from_str(&text).with_context(|| format!("{} is damaged", file.display()))?;
    let counted = Counter::prepare(workspace)?.count_all()?;
    println!("{}", table(&committed, &counted));
    let grown = grown(&committed, &counted);
    ensure!(
        grown.is_empty(),
        "more than {} % more instructions than before: {}; if that is meant, run `cargo xtask instructions --write` and say \
         in the commit what it buys",
        GROWTH_MAX,
        grown.join(", ")
    );
    Ok(())
}

/// The same, unless this machine cannot count.
pub fn compare_where_possible(workspace: &Workspace) -> Result<()> {
    match can_count() {
        Ok(()) => compare(workspace),
        Err(error) => {
            println!("Instructions are not counted: {error:#}");
            Ok(())
        }
    }
}

fn figures(workspace: &Workspace) -> PathBuf {
    workspace.root().join("benches/instructions.json")
}

fn can_count() -> Result<()> {
    ensure!(
        cfg!(all(target_os = "linux", target_arch = "x86_64")),
        "the committed figures are of x86-64 Linux"
    );
    debian::packages(&["valgrind"])
}

struct Counter {
    program: PathBuf,
    guests: PathBuf,
    scratch: PathBuf,
}

impl Counter {
    fn prepare(workspace: &Workspace) -> Result<Self> {
        can_count()?;
        guests::build(workspace)?;
        run(&mut workspace.cargo(["build", "--release", "--package", "wharf-bench-engine"]))?;
        let scratch = workspace.target().join("instructions");
        // Code that was compiled for another build of the engine only takes room.
        let _ = fs::remove_dir_all(&scratch);
        fs::create_dir_all(&scratch)?;
        Ok(Self {
            program: workspace.target().join("release/wharf-bench-engine"),
            guests: workspace.target().join("guests"),
            scratch,
        })
    }

    fn count_all(&self) -> Result<Counts> {
        let names = output(Command::new(&self.program).arg("pieces"))?;
        let names = String::from_utf8(names)?;
        let count = |name: &str| Ok((name.to_owned(), self.count(name)?));
        names.lines().map(count).collect()
    }

    /// Instructions of doing it once.
    fn count(&self, piece: &str) -> Result<u64> {
        // The first run compiles, under the profiler: it shows a program another processor.
        self.run(piece, 1)?;
        let [few, many] = TIMES;
        let more = self.run(piece, many)?.saturating_sub(self.run(piece, few)?);
        let each = more / (many - few);
        println!("{piece}: {each} instructions");
        Ok(each)
    }

    fn run(&self, piece: &str, times: u64) -> Result<u64> {
        let profile = self.scratch.join("callgrind.out");
        let mut command = Command::new("valgrind");
        command.args(["--tool=callgrind", "--quiet"]);
        command.arg(format!("--callgrind-out-file={}", profile.display()));
        command.arg(&self.program).arg("count").arg(&self.guests);
        command.arg(self.scratch.join("code")).arg(piece).arg(times.to_string());
        // An error that is made in passing is not to be traced.
        command
            .env_remove("RUST_BACKTRACE")
            .env(SAME_EVERYWHERE.0, SAME_EVERYWHERE.1);
        run(&mut command)?;
        total(&profile)
    }
}

/// The instructions of a whole run, from the profile's line `totals:`.
fn total(profile: &Path) -> Result<u64> {
    let text = fs::read_to_string(profile).with_context(|| format!("cannot read {}", profile.display()))?;
    let line = text.lines().find_map(|line| line.strip_prefix("totals:"));
    let Some(total) = line.and_then(|total| total.trim().parse().ok()) else {
        bail!("{} has no total", profile.display());
    };
    Ok(total)
}

fn is_grown(before: u64, now: u64) -> bool {
    now * 100 > before * (100 + GROWTH_MAX)
}

/// The pieces that take too many more, and those that nobody has counted before.
fn grown(committed: &Counts, counted: &Counts) -> Vec<String> {
    let too_many = |(name, now): (&String, &u64)| match committed.get(name) {
        Some(before) if !is_grown(*before, *now) => None,
        Some(_) => Some(name.clone()),
        None => Some(format!("{name} (new)")),
    };
    counted.iter().filter_map(too_many).collect()
}

fn table(committed: &Counts, counted: &Counts) -> String {
    let mut lines = vec![format!(
        "{:<20} {:>12} {:>12} {:>9}",
        "piece", "committed", "now", "change"
    )];
    for (name, now) in counted {
        let (before, change) = match committed.get(name) {
            Some(before) => {
                let change = (*now as f64 / *before as f64 - 1.0) * 100.0;
                (before.to_string(), format!("{change:+.1} %"))
            }
            None => ("-".into(), "new".into()),
        };
        lines.push(format!("{name:<20} {before:>12} {now:>12} {change:>9}"));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(pairs: &[(&str, u64)]) -> Counts {
        pairs.iter().map(|&(name, count)| (name.to_owned(), count)).collect()
    }

    #[test]
    fn what_grew_is_named() {
        let committed = counts(&[("a", 1000), ("b", 1000), ("c", 1000), ("gone", 1)]);
        let counted = counts(&[("a", 1050), ("b", 1051), ("c", 500), ("d", 1)]);
        assert_eq!(grown(&committed, &counted), ["b", "d (new)"]);
        let table = table(&committed, &counted);
        for line in [
            "a 1000 1050 +5.0 %",
            "b 1000 1051 +5.1 %",
            "c 1000 500 -50.0 %",
            "d - 1 new",
        ] {
            let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            assert!(
                table.lines().any(|shown| words(shown) == words(line)),
                "{line} in\n{table}"
            );
        }
    }
}
