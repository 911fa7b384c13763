//! How components are made: a language or a command, and where the source is.

use crate::app::{Build, Language, Recipe};
use crate::manifest::field::At;
use crate::manifest::written;

use super::Meaning;

impl Meaning<'_> {
    /// `None` where nobody builds the component, or where how cannot be made out.
    pub(super) fn build(&mut self, written: &Option<At<written::Build>>) -> Option<Build> {
        let written = written.as_ref()?;
        let recipe = self.recipe(written)?;
        let folder = match &written.folder {
            Some(folder) => self.path_of(folder, folder.span()),
            None => self.source.folder().to_owned(),
        };
        Some(Build {
            wit: match &written.wit {
                Some(wit) => self.path_of(wit, wit.span()),
                None => folder.join("wit"),
            },
            inputs: written
                .inputs
                .iter()
                .map(|input| self.path_of(input, input.span()))
                .collect(),
            recipe,
            folder,
            world: written.world.as_ref().map(|world| world.to_string()),
            entry: written.entry.as_ref().map(|entry| entry.to_string()),
        })
    }

    fn recipe(&mut self, written: &At<written::Build>) -> Option<Recipe> {
        const BOTH: &str = "a component is built by either a `language` or a `command`";
        const HELP: &str = "write `language = \"rust\"` (or go, python, javascript, c), or `command = [\"make\"]`";
        match (&written.language, &written.command) {
            (Some(language), None) => Some(Recipe::Language((**language).into())),
            (None, Some(command)) if !command.is_empty() => {
                Some(Recipe::Command(command.iter().map(|word| word.to_string()).collect()))
            }
            (None, Some(command)) => {
                self.problem(command.span(), "the command is empty").help = Some(HELP.to_owned());
                None
            }
            (Some(_), Some(command)) => {
                self.problem(command.span(), BOTH).help = Some("leave one of them out".to_owned());
                None
            }
            (None, None) => {
                self.problem(written.span(), BOTH).help = Some(HELP.to_owned());
                None
            }
        }
    }
}

impl From<written::Language> for Language {
    fn from(written: written::Language) -> Self {
        match written {
            written::Language::Rust => Self::Rust,
            written::Language::Go => Self::Go,
            written::Language::Python => Self::Python,
            written::Language::JavaScript => Self::JavaScript,
            written::Language::C => Self::C,
        }
    }
}
