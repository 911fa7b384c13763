//! Whether what manifests name is there, and is what it has to be. Looks at files, and needs neither a network nor an engine.
//!
//! What runs may still fail in ways that only an engine sees: code that is not valid, a type that is not the standard's.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use super::problem::Problem;
use super::{Configuration, Subject};
use crate::app::{Answer, App, AppComponent, Isolation, LinkedAs, SecretSource};
use crate::compose::{AssembleError, assemble, exporters, own_interfaces, own_links};
use crate::imports::{Missing, Reason};
use crate::inspect::{Inspection, World, largest_memory};
use crate::read;
use crate::section::Sections;

/// Everything that is wrong with what the apps of `configuration` name, where they may have `sections`.
pub fn check(configuration: &Configuration, sections: &Sections) -> Vec<Problem> {
    let mut files = Files::default();
    let mut problems = Vec::new();
    for app in &configuration.apps {
        let mut check = Check {
            configuration,
            sections,
            app,
            files: &mut files,
            problems: Vec::new(),
        };
        check.components();
        check.folders_and_files();
        check.secrets();
        problems.extend(check.problems);
    }
    problems
}

/// Files that were read, so that a component that many apps use is read once.
#[derive(Default)]
struct Files(HashMap<PathBuf, Arc<[u8]>>);

impl Files {
    fn read(&mut self, file: &Path) -> io::Result<Arc<[u8]>> {
        if let Some(bytes) = self.0.get(file) {
            return Ok(bytes.clone());
        }
        let bytes: Arc<[u8]> = read::regular(file, read::COMPONENT_BYTES_MAX)?.into();
        self.0.insert(file.to_owned(), bytes.clone());
        Ok(bytes)
    }
}

struct Check<'a> {
    configuration: &'a Configuration,
    sections: &'a Sections,
    app: &'a App,
    files: &'a mut Files,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn problem(&mut self, subject: &Subject, message: impl Into<String>) -> &mut Problem {
        let place = self.configuration.place(&self.app.name, subject).cloned();
        // Without a place, the app's name says which one it is.
        let message = match place {
            Some(_) => message.into(),
            None => format!("{}: {}", self.app.name, message.into()),
        };
        self.problems.push(Problem::new(place, message));
        let last = self.problems.len() - 1;
        &mut self.problems[last]
    }

    fn components(&mut self) {
        let app = self.app;
        let before = self.problems.len();
        for component in &app.components {
            let is_unbuilt = component.build.is_some() && !component.file.exists();
            self.inspect(Subject::Component(component.name.clone()), &component.file);
            if let Some(problem) = self.problems.last_mut().filter(|_| is_unbuilt) {
                problem.help = Some("`wharf build` makes it".to_owned());
            }
            for (nth, file) in component.middleware.iter().enumerate() {
                self.inspect(Subject::Middleware(component.name.clone(), nth), file);
            }
        }
        // What is made of files is looked at only where the files are components.
        if self.problems.len() == before {
            for component in app.routed_components() {
                self.service(component);
            }
            self.unrouted_links();
            self.own_components();
        }
    }

    fn inspect(&mut self, subject: Subject, file: &Path) {
        let found = match self.files.read(file) {
            Ok(bytes) => Inspection::new(&bytes).map(|_| ()).map_err(|error| error.to_string()),
            Err(error) => Err(format!("cannot be read: {error}")),
        };
        if let Err(message) = found {
            self.problem(&subject, format!("{}: {message}", file.display()));
        }
    }

    /// A component that a route leads to answers HTTP, once it is joined with its middleware and what it links to.
    fn service(&mut self, component: &AppComponent) {
        let Some(inspection) = self.assembled(component) else {
            return;
        };
        let subject = Subject::Component(component.name.clone());
        if inspection.fits(World::Middleware03) {
            self.problem(
                &subject,
                "this is a middleware, which imports wasi:http/handler@0.3 and passes requests on to it",
            )
            .help = Some("put it in front of a service with `middleware`".to_owned());
        } else if inspection.fits(World::Proxy02) {
            if component.isolation == Some(Isolation::Shared) {
                self.problem(
                    &subject,
                    "a component for WASI 0.2 cannot be shared by requests: its calls hold the whole instance while they \
                     wait",
                )
                .help = Some("set `isolation` to `request` or `serial`".to_owned());
            }
        } else if !inspection.fits(World::Service03) && inspection.websockets().is_some() {
            self.problem(
                &subject,
                "this exports wharf:websocket/handler and not wasi:http/handler@0.3",
            )
            .help = Some(
                "a component that takes WebSockets answers ordinary requests as well, if only with 404".to_owned(),
            );
        } else if !inspection.fits(World::Service03) {
            self.problem(
                &subject,
                "this exports neither wasi:http/handler@0.3 nor wasi:http/incoming-handler@0.2, so it cannot serve HTTP",
            )
            .help = Some(inspection.unserved().to_owned());
        }
        self.imports(component, &inspection);
    }

    fn imports(&mut self, component: &AppComponent, whole: &Inspection) {
        let subject = Subject::Component(component.name.clone());
        let linked = self.own_links(component, whole);
        for mut missing in self.sections.missing(whole, &self.app.sections).imports {
            // That it is a middleware is said elsewhere, in better words.
            if missing.reason != Reason::Service && !linked.contains(&missing.name) {
                missing.exported_by = exporters(self.app, component, &missing.name, |file| {
                    self.files.read(file).map(|bytes| Cow::Owned(bytes.to_vec()))
                });
                let message = format!("nothing meets the import {}: {}", missing.name, missing.reason);
                self.problem(&subject, message).help = Some(advice(&missing));
            }
        }
    }

    /// Components with instances of their own, where no route leads to them.
    fn own_components(&mut self) {
        let app = self.app;
        let own = app
            .components
            .iter()
            .filter(|component| component.linked_as == LinkedAs::Own);
        for component in own {
            if !app.routed_components().any(|routed| routed.name == component.name)
                && let Some(whole) = self.assembled(component)
            {
                self.imports(component, &whole);
            }
        }
    }

    /// The imports of a whole that components with instances of their own meet.
    fn own_links(&mut self, component: &AppComponent, whole: &Inspection) -> Vec<String> {
        let app = self.app;
        let mut met = Vec::new();
        for link in own_links(app, component) {
            let bytes = self.files.read(&link.to.file).map(|bytes| bytes.to_vec());
            // What cannot be read, or is no component, is said where it is written.
            let Some(linked) = bytes.ok().and_then(|bytes| Inspection::new(&bytes).ok()) else {
                continue;
            };
            match own_interfaces(&link, whole, &linked) {
                Ok(interfaces) => met.extend(interfaces.into_keys()),
                Err(fault) => {
                    let subject = Subject::Link(link.from.name.clone(), link.import.to_owned());
                    self.problem(&subject, format!("{}: {fault}", link.from.file.display()));
                }
            }
        }
        met
    }

    fn assembled(&mut self, component: &AppComponent) -> Option<Inspection> {
        let bytes = match assemble(self.app, component, |file| {
            self.files.read(file).map(|bytes| Cow::Owned(bytes.to_vec()))
        }) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.not_assembled(component, &error);
                return None;
            }
        };
        self.memory(component, &bytes);
        match Inspection::new(&bytes) {
            Ok(inspection) => Some(inspection),
            Err(error) => {
                self.problem(&Subject::Component(component.name.clone()), error.to_string());
                None
            }
        }
    }

    /// An instance cannot begin with more memory than it may have.
    fn memory(&mut self, component: &AppComponent, bytes: &[u8]) {
        let begins_with = largest_memory(bytes);
        if let Some(most) = self.app.limits.memory_bytes_max.filter(|&most| most < begins_with) {
            let message = format!(
                "an instance of `{}` begins with {} KiB of memory, more than the {} KiB that it may have",
                component.name,
                begins_with >> 10,
                most >> 10
            );
            self.problem(&Subject::Memory, message).help =
                Some("write more, or leave it out for the default".to_owned());
        }
    }

    fn not_assembled(&mut self, component: &AppComponent, error: &AssembleError) {
        let subject = Subject::at_fault(&component.name, error);
        let place = self.configuration.place(&self.app.name, &subject).cloned();
        let mut problem = Problem::new(place, error.to_string());
        problem.help = error.help();
        // Two components that link to a third one share what is wrong with that.
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Links of components that no route leads to, not even by way of others.
    fn unrouted_links(&mut self) {
        let app = self.app;
        for component in app.components.iter().filter(|component| !component.links.is_empty()) {
            let without_middleware = AppComponent {
                middleware: Vec::new(),
                ..component.clone()
            };
            if !app.routed_components().any(|routed| routed.name == component.name) {
                self.assembled(&without_middleware);
            }
        }
    }

    fn folders_and_files(&mut self) {
        let app = self.app;
        for (nth, route) in app.routes.iter().enumerate() {
            if let Answer::Files(files) = &route.answer {
                let is_folder = self.folder(&Subject::Files(nth), &files.folder);
                if let Some(fallback) = files.fallback.as_ref().filter(|_| is_folder) {
                    // Of any size: it is sent as it is, and never held.
                    let fallback = files.folder.join(fallback);
                    self.file(&Subject::Fallback(nth), &fallback, |file| {
                        read::open(file, u64::MAX).map(|_| ())
                    });
                }
            }
        }
        for folder in &app.folders {
            self.folder(&Subject::Folder(folder.guest.clone()), &folder.host);
        }
        for (key, file) in app.error_pages.files() {
            self.content(&Subject::ErrorPage(key), file, read::FILE_BYTES_MAX);
        }
    }

    fn secrets(&mut self) {
        let app = self.app;
        for (name, source) in &app.secrets {
            self.secret(&Subject::Secret(name.clone()), source);
        }
        for (name, written) in &app.sections {
            let secrets = self.sections.get(name).map(|section| section.secrets(written));
            for (path, source) in secrets.into_iter().flatten() {
                self.secret(&Subject::SectionSecret(name.clone(), path), &source);
            }
        }
    }

    /// Whether a secret can be read. Whoever serves may be somebody else, with another environment; this says what is so here.
    fn secret(&mut self, subject: &Subject, source: &SecretSource) {
        match source {
            SecretSource::File(file) => self.secret_file(subject, file),
            SecretSource::Encrypted(..) => {
                if let Err(error) = source.read() {
                    self.problem(subject, error.to_string());
                }
            }
            SecretSource::Variable(variable) => match std::env::var(variable) {
                Ok(_) => {}
                Err(std::env::VarError::NotPresent) => {
                    self.problem(subject, format!("the variable `{variable}` is not set"))
                        .help = Some("set it in the environment that the server is started in".to_owned());
                }
                Err(std::env::VarError::NotUnicode(_)) => {
                    self.problem(subject, format!("the variable `{variable}` is not UTF-8"));
                }
            },
        }
    }

    fn folder(&mut self, subject: &Subject, folder: &Path) -> bool {
        let found = match fs::metadata(folder) {
            Ok(metadata) if metadata.is_dir() => Ok(()),
            Ok(_) => Err("is not a folder".to_owned()),
            Err(error) => Err(format!("cannot be found: {error}")),
        };
        self.report(subject, folder, found)
    }

    /// The file's content, if it can be had.
    fn content(&mut self, subject: &Subject, file: &Path, bytes_max: u64) -> Option<Vec<u8>> {
        self.file(subject, file, |file| read::regular(file, bytes_max))
    }

    /// What `read` makes of a file. It opens the file: what may not be read is as good as missing.
    fn file<T>(&mut self, subject: &Subject, file: &Path, read: impl FnOnce(&Path) -> io::Result<T>) -> Option<T> {
        let found = match file.is_dir() {
            true => Err("is a folder, not a file".to_owned()),
            false => read(file).map_err(|error| format!("cannot be read: {error}")),
        };
        found.map_err(|message| self.report(subject, file, Err(message))).ok()
    }

    /// Values are texts.
    fn secret_file(&mut self, subject: &Subject, file: &Path) {
        let content = self.content(subject, file, read::FILE_BYTES_MAX);
        if content.is_some_and(|content| String::from_utf8(content).is_err()) {
            self.problem(subject, format!("{} is not UTF-8 text", file.display()))
                .help = Some("write the value as text, such as Base64, and let the guest decode it".to_owned());
        }
    }

    fn report(&mut self, subject: &Subject, path: &Path, found: Result<(), String>) -> bool {
        match found {
            Ok(()) => true,
            Err(message) => {
                self.problem(subject, format!("{} {message}", path.display()));
                false
            }
        }
    }
}

/// What to do about an import that nothing meets, in an app.
fn advice(missing: &Missing) -> String {
    if let Some(link) = missing.link() {
        return link;
    }
    match &missing.reason {
        Reason::OtherVersion { prerelease: true, .. } => {
            "a pre-release is met by the very same version alone: build against WASI 0.3.0 or later".to_owned()
        }
        Reason::OtherVersion { .. } | Reason::OtherVersionOfSection { .. } | Reason::NotInPackage => {
            "build against a version that Wharf has".to_owned()
        }
        Reason::NotGranted { section } => format!("add the section `[{section}]` to the app"),
        Reason::Service | Reason::Unknown | Reason::NotAnInterface => {
            "add the component that exports it to the app, and link this one to it with `links`".to_owned()
        }
    }
}
