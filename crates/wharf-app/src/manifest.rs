//! Reads manifests: one file for an app, and the same language for a server with many apps.
//!
//! What is written is in `manifest/written.rs`, and what it means in [`crate::app`]. Reading opens manifests alone and needs
//! neither a network nor an engine; whether what they name is there, and is what it has to be, [`check`] says.

mod check;
mod field;
mod meaning;
mod places;
mod problem;
mod reference;
mod schema;
mod shape;
pub mod value;
mod written;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::app::{App, ServerSettings};
use crate::route::RoutePattern;
use meaning::Naming;
use places::Places;
use problem::Source;
use written::{AppManifest, ServerManifest};

pub use check::check;
pub use places::Subject;
pub use problem::{Place, Position, Problem, Problems};
pub use reference::reference;
pub use schema::schema;

/// The name of a manifest in its folder.
pub const FILE_NAME: &str = "wharf.toml";

/// A server's settings and its apps.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    /// Where it listens and what it may use. Nothing is set where an app's manifest was read.
    pub server: ServerSettings,
    /// The apps, each with a name of its own, no two with routes that overlap.
    pub apps: Vec<App>,
    /// Apps of the server's folder that are wrong.
    pub broken: Vec<Broken>,
    places: Places,
}

/// An app that cannot be served as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// What it is called, as far as that can be known; its file, where another app has that name.
    pub name: String,
    /// Its manifest.
    pub file: PathBuf,
    /// What is wrong with it.
    pub problems: Problems,
}

impl Configuration {
    /// Where a part of an app is written; `None` for what is written nowhere, such as an app made from flags.
    pub fn place(&self, app: &str, subject: &Subject) -> Option<&Place> {
        self.places.get(app, subject)
    }
}

impl From<App> for Configuration {
    /// One app that was read from no manifest.
    fn from(app: App) -> Self {
        Self {
            apps: vec![app],
            ..Self::default()
        }
    }
}

/// Reads the manifest in the file at `path`, or in the file wharf.toml of the folder there, and those that it leads to.
///
/// # Errors
/// When it is wrong, with everything that is. An app of a server's folder is no reason: it is among [`Configuration::broken`].
pub fn read(path: &Path) -> Result<Configuration, Problems> {
    let file = match path.is_dir() {
        true => path.join(FILE_NAME),
        false => path.to_owned(),
    };
    let source = Source::read(&file)?;
    let document = parse(&source)?;
    match document.get_ref().contains_key("server") {
        true => read_server(&source, document),
        false => {
            is_app(&source, &document)?;
            let (app, places) = read_app(&source, document)?;
            Ok(Configuration {
                apps: vec![app],
                places,
                ..Configuration::default()
            })
        }
    }
}

fn parse(source: &Source) -> Result<Spanned<DeTable<'_>>, Problems> {
    let (document, errors) = DeTable::parse_recoverable(&source.text);
    let mut problems: Vec<Problem> = Vec::new();
    for error in &errors {
        let place = source.place(error.span().unwrap_or_default());
        // A mistake has others in its wake; those of one line have one cause.
        let line = |place: &Place| place.position.as_ref().map(|position| position.line);
        if !problems
            .iter()
            .any(|known| known.place.as_ref().and_then(line) == line(&place))
        {
            problems.push(Problem::new(place, format!("this is not TOML: {}", error.message())));
        }
    }
    fail_with(problems)?;
    Ok(document)
}

/// Fails where there are problems; sorts them by where they are.
fn fail_with(mut problems: Vec<Problem>) -> Result<(), Problems> {
    let position = |problem: &Problem| {
        let position = problem.place.as_ref().and_then(|place| place.position.as_ref());
        position.map(|position| (position.line, position.column))
    };
    problems.sort_by_key(position);
    problems.dedup();
    match problems.is_empty() {
        true => Ok(()),
        false => Err(Problems { problems }),
    }
}

/// Tells what is no manifest at all from one that is wrong.
fn is_app(source: &Source, document: &Spanned<DeTable<'_>>) -> Result<(), Problems> {
    const HELP: &str = "an app names what answers, such as `component = \"app.wasm\"`; a server has a section `[server]`, \
                        and its apps are sections `[apps.NAME]` or files in the folder that `apps` names";
    let mut keys = document.get_ref().keys();
    if keys.any(|key| schema::has_key("AppManifest", key.get_ref())) {
        return Ok(());
    }
    let place = Place {
        file: source.file().to_owned(),
        position: None,
    };
    let neither = Problem::new(place, "this is the manifest of neither an app nor a server").with_help(HELP);
    // What it says instead may be a slip.
    let mut problems = vec![neither];
    problems.extend(shape::check(document, "AppManifest", source));
    fail_with(problems)
}

/// What is written, once its shape is right.
fn decode<T: DeserializeOwned>(
    source: &Source,
    document: Spanned<DeTable<'_>>,
    definition: &str,
) -> Result<T, Problems> {
    fail_with(shape::check(&document, definition, source))?;
    T::deserialize(toml::Deserializer::from(document)).map_err(|error| {
        let place = source.place(error.span().unwrap_or_default());
        Problem::new(place, error.message()).into()
    })
}

fn read_app(source: &Source, document: Spanned<DeTable<'_>>) -> Result<(App, Places), Problems> {
    let written: AppManifest = decode(source, document, "AppManifest")?;
    let naming = Naming::File(name_of(source));
    meaning::app(written, naming, Source::WHOLE, source).map_err(sorted)
}

fn sorted(problems: Vec<Problem>) -> Problems {
    match fail_with(problems) {
        Err(problems) => problems,
        Ok(()) => Problems { problems: Vec::new() },
    }
}

/// An app of a server's folder.
fn read_app_of_folder(source: &Source) -> Result<(App, Places), Problems> {
    let document = parse(source)?;
    is_app(source, &document)?;
    is_no_server(source, document.get_ref())?;
    read_app(source, document)
}

/// The name that an app has by its file.
fn name_of(source: &Source) -> String {
    name_by_path(&source.folder().join(source.file().file_name().unwrap_or_default()))
}

fn name_by_path(file: &Path) -> String {
    let name = match file.file_name() == Some(OsStr::new(FILE_NAME)) {
        true => file.parent().and_then(Path::file_name),
        false => file.file_stem(),
    };
    name.unwrap_or_default().to_string_lossy().into_owned()
}

/// The name of an app whose manifest is wrong: what it says itself goes first here as well, so that it is known for the app
/// that it was when it was right.
fn name_of_broken(source: &Source) -> String {
    let (document, _) = DeTable::parse_recoverable(&source.text);
    let name = document.get_ref().get("name").and_then(|name| name.get_ref().as_str());
    name.map_or_else(|| name_of(source), str::to_owned)
}

fn read_server(source: &Source, document: Spanned<DeTable<'_>>) -> Result<Configuration, Problems> {
    let written: ServerManifest = decode(source, document, "ServerManifest")?;
    let (server, folder_place, mut problems) = meaning::server(&written.server, source);
    let mut configuration = Configuration {
        server,
        ..Configuration::default()
    };
    for (name, app) in written.apps {
        let whole = name.span();
        match meaning::app(app.into_inner(), Naming::Section(name), whole, source) {
            Ok((app, places)) => problems.extend(configuration.add(app, places)),
            Err(found) => problems.extend(found),
        }
    }
    let files = match &written.server.apps {
        Some(folder) => files_of_apps(&source.beside(folder)).unwrap_or_else(|error| {
            let message = format!("the folder of apps cannot be read: {error}");
            problems.push(Problem::new(folder_place, message));
            Vec::new()
        }),
        None => Vec::new(),
    };
    fail_with(problems)?;
    for file in files {
        configuration.add_from_folder(&file);
    }
    configuration.tell_broken_apart();
    Ok(configuration)
}

/// The manifests in a server's folder of apps, in the order of their names.
fn files_of_apps(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let is_hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let file = match path.is_dir() {
            true => Some(path.join(FILE_NAME)).filter(|file| file.exists()),
            false => Some(path).filter(|path| path.extension() == Some(OsStr::new("toml"))),
        };
        files.extend(file.filter(|_| !is_hidden));
    }
    files.sort();
    Ok(files)
}

impl Configuration {
    fn add_from_folder(&mut self, file: &Path) {
        let (name, problems) = match Source::read(file) {
            Ok(source) => match read_app_of_folder(&source) {
                Ok((app, places)) => (app.name.clone(), self.add(app, places)),
                Err(problems) => (name_of_broken(&source), problems.problems),
            },
            Err(problem) => (name_by_path(file), vec![problem]),
        };
        if let Err(problems) = fail_with(problems) {
            self.broken.push(Broken {
                name,
                file: file.to_owned(),
                problems,
            });
        }
    }

    /// Gives every app that is wrong a name that no other one has, so that nobody takes one for the other.
    fn tell_broken_apart(&mut self) {
        for nth in 0..self.broken.len() {
            let (before, rest) = self.broken.split_at_mut(nth);
            let Some(broken) = rest.first_mut() else { return };
            let mut apps = self
                .apps
                .iter()
                .map(|app| &app.name)
                .chain(before.iter().map(|broken| &broken.name));
            if apps.any(|name| *name == broken.name) {
                broken.name = broken.file.display().to_string();
            }
        }
    }

    /// Takes an app in, unless it stands against one that is there: the one that comes first by name stays, so that the same
    /// files always make the same server.
    fn add(&mut self, app: App, places: Places) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.apps.iter().any(|known| known.name == app.name) {
            let message = format!(
                "there is an app `{}` already{}",
                app.name,
                at(self.place(&app.name, &Subject::App))
            );
            let place = places.get(&app.name, &Subject::App).cloned();
            problems.push(Problem::new(place, message).with_help("give one of the two another name"));
        }
        for (nth, route) in app.routes.iter().enumerate() {
            for (other, other_nth) in self.overlapping(&route.pattern) {
                let message = format!(
                    "this route answers the same requests as one of the app `{other}`{}: {}",
                    at(self.place(other, &Subject::Route(other_nth))),
                    route.pattern
                );
                let place = places.get(&app.name, &Subject::Route(nth)).cloned();
                problems.push(Problem::new(place, message).with_help("give one of the two another host or path"));
            }
        }
        if problems.is_empty() {
            self.apps.push(app);
            self.places.extend(places);
        }
        problems
    }

    /// The routes of all apps that overlap with a pattern: the app's name, and the place in its list.
    fn overlapping(&self, pattern: &RoutePattern) -> Vec<(&str, usize)> {
        let routes = self.apps.iter().flat_map(|app| {
            let routes = app.routes.iter().enumerate();
            routes.map(|(nth, route)| (app.name.as_str(), nth, route))
        });
        let overlapping = routes.filter(|(_, _, route)| route.pattern.overlaps(pattern));
        overlapping.map(|(app, nth, _)| (app, nth)).collect()
    }
}

fn at(place: Option<&Place>) -> String {
    place.map(|place| format!(" at {place}")).unwrap_or_default()
}

fn is_no_server(source: &Source, document: &DeTable<'_>) -> Result<(), Problems> {
    let server = document.iter().find(|(key, _)| key.get_ref() == "server");
    let Some((key, value)) = server else {
        return Ok(());
    };
    let span = match value.get_ref() {
        DeValue::Table(_) => key.span(),
        _ => value.span(),
    };
    let problem = Problem::new(
        source.place(span),
        "an app of a server's folder has no section `[server]`",
    );
    Err(problem
        .with_help("move what it says to the manifest of the server")
        .into())
}

#[cfg(test)]
mod tests;
