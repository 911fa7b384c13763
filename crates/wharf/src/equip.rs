//! Installs the tools that are missing, for those who say so or agree to it at the terminal. What may be installed, and how, is said by
//! `wharf_build::install`.

use std::collections::BTreeSet;
use std::io::{self, BufRead as _, IsTerminal as _};

use wharf_build::install::{Remedy, remedies};
use wharf_build::tools::Toolbox;
use wharf_server::manifest::app::{Build, Recipe};

use crate::command::check::say;

/// What can be installed of what is missing for these.
pub fn installable<'a>(builds: impl Iterator<Item = &'a Build>) -> Vec<Remedy> {
    let toolbox = Toolbox::from_environment();
    let mut all = Vec::new();
    for build in builds {
        if let Recipe::Language(language) = build.recipe {
            all.extend(remedies(&toolbox, language, &build.folder));
        }
    }
    // Components of one language may lie side by side.
    let mut seen = BTreeSet::new();
    all.retain(|remedy| seen.insert(line(remedy)));
    all
}

/// Installs these: without a question where that `is_told`, else after one, if somebody is there to answer it. True where something was
/// done; what could not be is said, and holds none of the others up.
pub fn install(remedies: &[Remedy], is_told: bool) -> bool {
    let is_wanted = || is_told || is_attended() && agrees(remedies);
    if remedies.is_empty() || !is_wanted() {
        return false;
    }
    for remedy in remedies {
        say(&mut io::stderr(), &format!("installing {}\n", line(remedy)));
        if let Err(error) = remedy.install() {
            say(
                &mut io::stderr(),
                &format!("error: {} is not installed: {error}\n", remedy.name),
            );
        }
    }
    true
}

/// What to say to those who were not asked; nothing where there is nothing to install.
pub fn hint(remedies: &[Remedy], command: &str) -> String {
    let names: Vec<_> = remedies.iter().map(|remedy| remedy.name).collect();
    match names.is_empty() {
        true => String::new(),
        false => format!(
            "\n`{command} --install` installs {} for this project\n",
            names.join(" and ")
        ),
    }
}

/// Whether somebody is there to answer.
pub fn is_attended() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

fn agrees(remedies: &[Remedy]) -> bool {
    let lines: String = remedies.iter().map(|remedy| format!("  {}\n", line(remedy))).collect();
    let question = format!(
        "These tools are missing, and can be installed without touching the rest of the system:\n{lines}Install them? [y/N] "
    );
    say(&mut io::stderr(), &question);
    let mut answer = String::new();
    let _ = io::stdin().lock().read_line(&mut answer);
    matches!(&*answer.trim().to_lowercase(), "y" | "yes")
}

fn line(remedy: &Remedy) -> String {
    format!("{}, in {}: {}", remedy.name, remedy.folder.display(), remedy.shown())
}
