//! `wharf doctor`: which tools are here, and what installs the others.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use wharf_build::tools::Toolbox;
use wharf_server::manifest::FILE_NAME;
use wharf_server::manifest::app::{Language, Recipe};

use crate::cli::Doctor;
use crate::command::build::apps;
use crate::command::check::{say, wrong};
use crate::kinds::Kinds;

/// Prints what is here.
pub fn doctor(doctor: &Doctor, kinds: &Kinds) -> ExitCode {
    let here = Path::new(FILE_NAME).is_file().then(|| PathBuf::from("."));
    let (needed, is_asked) = match doctor.file.clone().or(here) {
        Some(file) => match apps(&file, kinds) {
            Ok(apps) => {
                let builds = apps
                    .iter()
                    .flat_map(|app| &app.components)
                    .filter_map(|component| component.build.as_ref());
                let languages = builds.filter_map(|build| match build.recipe {
                    Recipe::Language(language) => Some((language, build.folder.clone())),
                    Recipe::Command(_) => None,
                });
                (languages.collect(), true)
            }
            Err(problems) => return wrong(&problems.to_string()),
        },
        None => {
            let folder = std::env::current_dir().unwrap_or_default();
            let all = Language::ALL.map(|language| (language, folder.clone()));
            (BTreeMap::from(all), false)
        }
    };
    let (text, is_complete) = survey(&needed);
    say(&mut io::stdout(), &text);
    match is_complete || !is_asked {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// What there is of each language for the source in its folder, and whether that is all.
fn survey(needed: &BTreeMap<Language, PathBuf>) -> (String, bool) {
    let (mut text, mut is_complete) = (String::new(), true);
    for (language, folder) in needed {
        let _ = writeln!(text, "{}", language.name());
        for tool in Toolbox::from_environment().of_project(folder).survey(*language) {
            let _ = match &tool {
                Ok(tool) => {
                    let version = tool.version().unwrap_or_else(|| "installed".to_owned());
                    writeln!(text, "  ok       {}: {version} ({})", tool.name, tool.path.display())
                }
                Err(missing) => writeln!(text, "  missing  {missing}"),
            };
            is_complete &= tool.is_ok();
        }
    }
    if needed.is_empty() {
        text.push_str("no component is built with the tools of a language\n");
    }
    (text, is_complete)
}
