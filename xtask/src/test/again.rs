//! Runs tests, and those that failed once more, alone.
//!
//! A test of a server beside a hundred others on a machine that many share may fail for no fault of the server's. Whatever
//! fails alone, too, fails. What passes then is named at the end, loudly: it leans on more than it should, and is mended.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::workspace::{run, shown};

/// More than so many failures are no accident.
const ACCIDENTS_MAX: usize = 5;

/// Runs the tests of `first`; if a few of them fail, those of `alone` followed by their names.
pub fn run_and_try_again(first: &mut Command, alone: &mut Command) -> Result<()> {
    let (passed, heard) = listen(first)?;
    if passed {
        return Ok(());
    }
    if !heard.can_be_tried_again() {
        bail!("{} failed", shown(first));
    }
    println!(
        "\nOnce more, alone, what failed:\n  {}\n",
        heard.failed_names().join("\n  ")
    );
    alone.args(["--", "--exact", "--test-threads=1"]).args(&heard.failed);
    run(alone)?;
    println!(
        "\nPassed alone, and failed beside others. Look what they lean on:\n  {}\n",
        heard.failed_names().join("\n  ")
    );
    Ok(())
}

/// Shows what `command` prints as it comes, and says whether it succeeded and what was heard of its tests.
fn listen(command: &mut Command) -> Result<(bool, Heard)> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", shown(command)))?;
    let mut heard = Heard::default();
    let mut lines = BufReader::new(child.stdout.take().context("its output is a pipe")?);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        std::io::stdout().write_all(&line)?;
        heard.take(&String::from_utf8_lossy(&line));
        line.clear();
    }
    Ok((child.wait()?.success(), heard))
}

/// What the test programs said.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    failed: BTreeSet<String>,
    /// Programs that began, and programs that came to their end.
    begun: usize,
    ended: usize,
    /// How many tests the programs say have failed.
    failures: usize,
}

impl Heard {
    fn take(&mut self, line: &str) {
        let line = line.trim_end();
        if let Some(name) = line
            .strip_prefix("test ")
            .and_then(|rest| rest.strip_suffix(" ... FAILED"))
        {
            self.failed.insert(name.to_owned());
        } else if line.starts_with("running ") && line.ends_with(['t', 's']) {
            self.begun += 1;
        } else if let Some(result) = line.strip_prefix("test result: ") {
            self.ended += 1;
            let failures = result
                .split("; ")
                .find_map(|part| part.strip_suffix(" failed")?.parse::<usize>().ok());
            self.failures += failures.unwrap_or(0);
        }
    }

    /// Whether the names tell all that went wrong: no program was killed or did not build, and there are few.
    fn can_be_tried_again(&self) -> bool {
        let is_all = self.begun == self.ended && self.failures == self.failed.len();
        is_all && (1..=ACCIDENTS_MAX).contains(&self.failed.len())
    }

    fn failed_names(&self) -> Vec<&str> {
        self.failed.iter().map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(output: &str, failed: &[&str], can_be_tried_again: bool) {
        let mut heard = Heard::default();
        output.lines().for_each(|line| heard.take(line));
        assert_eq!(heard.failed_names(), failed, "{output}");
        assert_eq!(heard.can_be_tried_again(), can_be_tried_again, "{output}");
    }

    const ONE_OF_TWO: &str = "running 2 tests\ntest a::b ... FAILED\ntest c ... ok\n\
        test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s\n";

    #[test]
    fn what_is_tried_again() {
        check("", &[], false);
        check(
            "running 1 test\ntest c ... ok\ntest result: ok. 1 passed; 0 failed; 0 ignored\n",
            &[],
            false,
        );
        check(ONE_OF_TWO, &["a::b"], true);
        // The other program was killed.
        check(
            &format!("{ONE_OF_TWO}running 3 tests\ntest d ... ok\n"),
            &["a::b"],
            false,
        );
        // A failure that has no name.
        check(
            &ONE_OF_TWO.replace("test a::b ... FAILED\n", "test a::b ... noise FAILED?\n"),
            &[],
            false,
        );
        let many: String = (0..6).map(|nth| format!("test t{nth} ... FAILED\n")).collect();
        check(
            &format!("running 6 tests\n{many}test result: FAILED. 0 passed; 6 failed; 0 ignored\n"),
            &["t0", "t1", "t2", "t3", "t4", "t5"],
            false,
        );
    }
}
