//! Reads manifests: one file for an app, and the same language for a server with many apps.
//!
//! What is written is in `manifest/written.rs`, and what it means in [`crate::app`]. Reading opens manifests alone and needs
//! neither a network nor an engine; whether what they name is there, and is what it has to be, [`check`] says.

mod check;
mod claims;
pub mod field;
mod hidden;
mod meaning;
mod places;
mod problem;
mod reference;
mod rivals;
mod schema;
mod shape;
pub mod value;
mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::app::{App, ServerSettings};
use crate::route::RoutePattern;
use crate::section::Sections;
use hidden::Hidden;
use meaning::{Naming, Taken, in_name, take};
use places::Places;
use problem::Source;
use rivals::{Read, Rivals};
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
    /// What it is called, as far as that can be known; its file, where another app has that name. What cannot be in a name
    /// is `_` here.
    pub name: String,
    /// Its manifest.
    pub file: PathBuf,
    /// The requests that are meant for it, as far as that can be read: no other app should get them.
    pub routes: Vec<RoutePattern>,
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

/// Reads the manifest in the file at `path`, or in the file wharf.toml of the folder there, and those that it leads to. Its
/// apps may have `sections`.
///
/// # Errors
/// When it is wrong, with everything that is. An app of a server's folder is no reason: it is among [`Configuration::broken`].
pub fn read(path: &Path, sections: &Sections) -> Result<Configuration, Problems> {
    let file = match path.is_dir() {
        true => path.join(FILE_NAME),
        false => path.to_owned(),
    };
    let hidden = Arc::new(Hidden::of(sections));
    let source = Source::read(&file, &hidden).map_err(|problem| match path.is_dir() && !file.exists() {
        true => problem.with_help("name the folder of a project, or a component; `wharf new` makes a project"),
        false => problem,
    })?;
    let document = parse(&source)?;
    match document.get_ref().contains_key("server") {
        true => read_server(&source, document, sections, &hidden),
        false => {
            is_app(&source, &document, sections)?;
            let (app, places) = read_app(&source, document, sections)?;
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
fn is_app(source: &Source, document: &Spanned<DeTable<'_>>, sections: &Sections) -> Result<(), Problems> {
    const HELP: &str = "an app names what answers, such as `component = \"app.wasm\"`; a server has a section `[server]`, \
                        and its apps are sections `[apps.NAME]` or files in the folder that `apps` names";
    let mut keys = document.get_ref().keys();
    if keys.any(|key| schema::has_key(schema::APP, key.get_ref(), sections)) {
        return Ok(());
    }
    let place = Place {
        file: source.file().to_owned(),
        position: None,
    };
    let neither = Problem::new(place, "this is the manifest of neither an app nor a server").with_help(HELP);
    // What it says instead may be a slip.
    let mut problems = vec![neither];
    problems.extend(shape::check(document, schema::APP, source, sections));
    fail_with(problems)
}

/// What is written, where its shape is right.
fn decode<T: DeserializeOwned>(source: &Source, document: Spanned<DeTable<'_>>) -> Result<T, Problems> {
    T::deserialize(toml::Deserializer::from(document)).map_err(|error| {
        let place = source.place(error.span().unwrap_or_default());
        Problem::new(place, error.message()).into()
    })
}

fn read_app(
    source: &Source,
    mut document: Spanned<DeTable<'_>>,
    sections: &Sections,
) -> Result<(App, Places), Problems> {
    fail_with(shape::check(&document, schema::APP, source, sections))?;
    let taken = take(document.get_mut(), sections);
    let written: AppManifest = decode(source, document)?;
    let naming = Naming::File(name_of(source));
    meaning::app(written, taken, naming, Source::WHOLE, source).map_err(sorted)
}

fn sorted(problems: Vec<Problem>) -> Problems {
    match fail_with(problems) {
        Err(problems) => problems,
        Ok(()) => Problems { problems: Vec::new() },
    }
}

/// An app of a server's folder, as far as it is right by itself.
fn read_file_of_folder(file: PathBuf, sections: &Sections, hidden: &Arc<Hidden>) -> Result<Read, Broken> {
    let (name, routes, problems) = match Source::read(&file, hidden) {
        Ok(source) => match read_app_of_folder(&source, sections) {
            Ok((app, places)) => {
                return Ok(Read {
                    app,
                    places,
                    file: Some(file),
                });
            }
            Err(problems) => (name_of_broken(&source), claims::of(&source.text), problems),
        },
        Err(problem) => (name_by_path(&file), Vec::new(), problem.into()),
    };
    Err(Broken {
        name: meaning::as_name(&name),
        file,
        routes,
        problems,
    })
}

fn read_app_of_folder(source: &Source, sections: &Sections) -> Result<(App, Places), Problems> {
    let document = parse(source)?;
    is_app(source, &document, sections)?;
    is_no_server(source, document.get_ref())?;
    read_app(source, document, sections)
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

fn read_server(
    source: &Source,
    mut document: Spanned<DeTable<'_>>,
    sections: &Sections,
    hidden: &Arc<Hidden>,
) -> Result<Configuration, Problems> {
    fail_with(shape::check(&document, schema::SERVER, source, sections))?;
    let mut taken = take_by_app(document.get_mut(), sections);
    let written: ServerManifest = decode(source, document)?;
    let (server, folder_place, mut problems) = meaning::server(&written.server, source);
    let mut apps = Vec::new();
    for (name, app) in written.apps {
        let whole = name.span();
        let taken = taken.remove(name.as_str()).unwrap_or_default();
        match meaning::app(app.into_inner(), taken, Naming::Section(name), whole, source) {
            Ok((app, places)) => apps.push(Read {
                app,
                places,
                file: None,
            }),
            Err(found) => problems.extend(found),
        }
    }
    let rivals = Rivals::new(&apps);
    problems.extend((0..apps.len()).flat_map(|nth| rivals.of(nth)));
    let files = match &written.server.apps {
        Some(folder) => files_of_apps(&source.beside(folder)).unwrap_or_else(|error| {
            let message = format!("the folder of apps cannot be read: {error}");
            problems.push(Problem::new(folder_place, message));
            Vec::new()
        }),
        None => Vec::new(),
    };
    fail_with(problems)?;
    let mut configuration = Configuration {
        server,
        ..Configuration::default()
    };
    for file in files {
        match read_file_of_folder(file, sections, hidden) {
            Ok(read) => apps.push(read),
            Err(broken) => configuration.broken.push(broken),
        }
    }
    configuration.add(apps);
    configuration.tell_broken_apart();
    Ok(configuration)
}

/// The sections of capabilities of each app that a server's manifest holds, by the app's name.
fn take_by_app<'a, 'text>(
    server: &mut DeTable<'text>,
    sections: &'a Sections,
) -> BTreeMap<String, Vec<Taken<'a, 'text>>> {
    let mut by_app = BTreeMap::new();
    if let Some(DeValue::Table(apps)) = server.get_mut("apps").map(Spanned::get_mut) {
        for (name, app) in apps.iter_mut() {
            if let DeValue::Table(app) = app.get_mut() {
                by_app.insert(name.get_ref().to_string(), take(app, sections));
            }
        }
    }
    by_app
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
    /// Takes in apps that are right by themselves, but for those of the folder that stand against others.
    fn add(&mut self, apps: Vec<Read>) {
        let rivals = Rivals::new(&apps);
        let problems: Vec<_> = (0..apps.len()).map(|nth| fail_with(rivals.of(nth))).collect();
        for (Read { app, places, file }, problems) in apps.into_iter().zip(problems) {
            match (file, problems) {
                (Some(file), Err(problems)) => self.broken.push(Broken {
                    name: app.name,
                    file,
                    routes: app.routes.into_iter().map(|route| route.pattern).collect(),
                    problems,
                }),
                // Those of the server's own manifest are known to have nothing in common.
                (_, _) => {
                    self.places.extend(places);
                    self.apps.push(app);
                }
            }
        }
        self.broken.sort_by(|one, other| one.file.cmp(&other.file));
    }

    /// Gives every app that is wrong a name that no other one has, so that nobody takes one for the other.
    fn tell_broken_apart(&mut self) {
        let mut taken: BTreeSet<String> = self.apps.iter().map(|app| app.name.clone()).collect();
        for broken in &mut self.broken {
            if taken.contains(&broken.name) {
                broken.name = free_name(&broken.file, &taken);
            }
            taken.insert(broken.name.clone());
        }
    }
}

/// What an app is called whose own name is taken: its file. No app's name has a slash, and few have two files whose names
/// differ in nothing but what no name may hold.
fn free_name(file: &Path, taken: &BTreeSet<String>) -> String {
    let path = file.display().to_string();
    let in_path = |c: char| if c == '/' { c } else { in_name(c) };
    let mut name: String = path.chars().map(in_path).collect();
    while taken.contains(&name) {
        name.push('_');
    }
    name
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
