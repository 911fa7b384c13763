//! `wharf doctor`: which tools are here, and what installs the others, or does so.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use wharf_build::tools::Toolbox;
use wharf_server::manifest::FILE_NAME;
use wharf_server::manifest::app::{Build, Language, Recipe};

use crate::cli::Doctor;
use crate::command::build::apps;
use crate::command::check::{say, wrong};
use crate::equip::{hint, install, installable, is_attended};
use crate::kinds::Kinds;

/// Prints what is here, and installs what is not, where that is wanted.
pub fn doctor(doctor: &Doctor, kinds: &Kinds) -> ExitCode {
    let here = Path::new(FILE_NAME).is_file().then(|| PathBuf::from("."));
    let Some(file) = doctor.file.clone().or(here) else {
        return doctor_of_all(doctor);
    };
    let apps = match apps(&file, kinds) {
        Ok(apps) => apps,
        Err(problems) => return wrong(&problems.to_string()),
    };
    let components = apps.iter().flat_map(|app| &app.components);
    let builds: Vec<&Build> = components.filter_map(|component| component.build.as_ref()).collect();
    let installable = || installable(builds.iter().copied());
    if doctor.install {
        install(&installable(), true);
    }
    let is_complete = tell(&builds);
    if is_complete || doctor.install {
        return status(is_complete);
    }
    let missing = installable();
    match is_attended() {
        true if install(&missing, false) => return status(tell(&builds)),
        true => {}
        false => say(&mut io::stderr(), &hint(&missing, "wharf doctor")),
    }
    status(false)
}

fn status(is_complete: bool) -> ExitCode {
    match is_complete {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Of all languages: nobody says which are needed, so that none is missed.
fn doctor_of_all(doctor: &Doctor) -> ExitCode {
    if doctor.install {
        return wrong("error: --install installs for a project: there is no wharf.toml here, and none is named");
    }
    let folder = std::env::current_dir().unwrap_or_default();
    let all = Language::ALL.map(|language| (language, &*folder));
    let (text, _) = survey(&BTreeSet::from(all));
    say(&mut io::stdout(), &text);
    ExitCode::SUCCESS
}

/// Prints what there is for these; true where that is all.
fn tell(builds: &[&Build]) -> bool {
    let languages = builds.iter().filter_map(|build| match build.recipe {
        Recipe::Language(language) => Some((language, &*build.folder)),
        Recipe::Command(_) => None,
    });
    let (text, is_complete) = survey(&languages.collect());
    say(&mut io::stdout(), &text);
    is_complete
}

/// What there is of each language for the source in its folder, and whether that is all.
fn survey(needed: &BTreeSet<(Language, &Path)>) -> (String, bool) {
    let mut is_complete = true;
    // Components of one language have most tools in common.
    let mut found: BTreeMap<Language, Vec<String>> = BTreeMap::new();
    for (language, folder) in needed {
        for tool in Toolbox::from_environment().of_project(folder).survey(*language) {
            is_complete &= tool.is_ok();
            let line = match &tool {
                Ok(tool) => {
                    let version = tool.version().unwrap_or_else(|| "installed".to_owned());
                    format!("  ok       {}: {version} ({})\n", tool.name, tool.path.display())
                }
                Err(missing) => format!("  missing  {missing}\n"),
            };
            let lines = found.entry(*language).or_default();
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
    let mut text = String::new();
    for (language, lines) in found {
        let _ = writeln!(text, "{}\n{}", language.name(), lines.concat().trim_end());
    }
    if needed.is_empty() {
        text.push_str("no component is built with the tools of a language\n");
    }
    (text, is_complete)
}
