//! From what is written to what it means: defaults filled in, references followed, texts understood.
//!
//! All mistakes of a file are gathered before any is reported. Nothing here looks at the files that a manifest names: that
//! is `manifest/check.rs`.

mod build;
mod links;
mod network;
mod routes;
mod sections;
mod server;
mod tls;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use super::field::{self, At, Count, Size, TextOr};
use super::places::{Places, Subject};
use super::problem::{Place, Problem, Source, list, nearest};
use super::value::ValueError;
use super::written::{self, AppManifest};
use crate::app::{
    Access, App, AppComponent, AppLimits, AppWebsocket, ErrorPages, Folder, Isolation, Link, LinkedAs, ONLY_COMPONENT,
    OpenedWebsocket, SecretSource,
};

use crate::origin::Origin;

pub(super) use sections::{Taken, take};
pub(super) use server::server;

/// Where an app's name comes from.
pub(super) enum Naming {
    /// From its section in a server's manifest.
    Section(At<String>),
    /// From the file, where the manifest does not say.
    File(String),
}

/// What `written` means, and where everything is. `whole` is where the app is written.
pub(super) fn app(
    written: AppManifest,
    sections: Vec<Taken<'_, '_>>,
    naming: Naming,
    whole: Range<usize>,
    source: &Source,
) -> Result<(App, Places), Vec<Problem>> {
    let mut meaning = Meaning::new(source);
    let mut app = meaning.app(written, naming, whole);
    app.sections = meaning.sections(sections);
    match meaning.problems.is_empty() {
        true => Ok((app, meaning.places)),
        false => Err(meaning.problems),
    }
}

/// What is being read, and what was found wrong so far.
struct Meaning<'a> {
    source: &'a Source,
    /// The app's name, once it is known.
    app: String,
    problems: Vec<Problem>,
    places: Places,
}

impl<'a> Meaning<'a> {
    fn new(source: &'a Source) -> Self {
        Self {
            source,
            app: String::new(),
            problems: Vec::new(),
            places: Places::default(),
        }
    }

    fn place(&self, span: Range<usize>) -> Place {
        self.source.place(span)
    }

    fn problem(&mut self, span: Range<usize>, message: impl Into<String>) -> &mut Problem {
        let problem = Problem::new(self.place(span), message);
        self.problems.push(problem);
        let last = self.problems.len() - 1;
        &mut self.problems[last]
    }

    /// Remembers where something is written, for what is found out about it later.
    fn remember(&mut self, subject: Subject, span: Range<usize>) {
        let place = self.place(span);
        self.places.insert(&self.app, subject, place);
    }

    /// A path, and where it is written.
    fn path(&mut self, subject: Subject, text: &At<String>) -> PathBuf {
        self.remember(subject, text.span());
        self.path_of(text, text.span())
    }

    fn path_of(&mut self, text: &str, span: Range<usize>) -> PathBuf {
        if text.is_empty() {
            self.problem(span, "a path is empty").help = Some("write `.` for the manifest's own folder".to_owned());
        }
        // Taken apart and put together: `./a` is `a`.
        self.source.folder().join(text).components().collect()
    }

    /// What a text means, or the problem with it.
    fn understood<T>(&mut self, key: &str, span: Range<usize>, result: Result<T, ValueError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.problem(span, format!("`{key}`: {error}"));
                None
            }
        }
    }

    /// A time within which something has to happen: in none, nothing could.
    fn duration(&mut self, key: &str, written: &Option<At<field::Duration>>) -> Option<Duration> {
        let duration = self.duration_or_none(key, written)?;
        if duration.is_zero() {
            self.nothing(
                key,
                written.as_ref().map(At::span),
                "in no time at all nothing is done",
                "1ms",
            );
        }
        Some(duration)
    }

    /// One that may be none, as the key's comment says.
    fn duration_or_none(&mut self, key: &str, written: &Option<At<field::Duration>>) -> Option<Duration> {
        let written = written.as_ref()?;
        self.understood(key, written.span(), written.get())
    }

    /// What something has to fit into.
    fn size(&mut self, key: &str, written: &Option<At<Size>>) -> Option<u64> {
        let bytes = self.size_or_none(key, written)?;
        if bytes == 0 {
            self.nothing(
                key,
                written.as_ref().map(At::span),
                "nothing fits into no bytes",
                "1KiB",
            );
        }
        Some(bytes)
    }

    /// One that may be none, as the key's comment says.
    fn size_or_none(&mut self, key: &str, written: &Option<At<Size>>) -> Option<u64> {
        let written = written.as_ref()?;
        self.understood(key, written.span(), written.bytes())
    }

    fn nothing(&mut self, key: &str, span: Option<Range<usize>>, why: &str, least: &str) {
        let span = span.unwrap_or(Source::WHOLE);
        self.problem(span, format!("`{key}`: {why}, so that everything would fail"))
            .help = Some(format!("write `\"{least}\"` or more, or leave it out for the default"));
    }

    fn app(&mut self, written: AppManifest, naming: Naming, whole: Range<usize>) -> App {
        self.app = self.name(&written.name, naming, whole.clone());
        self.remember(Subject::App, written.name.as_ref().map_or(whole.clone(), At::span));
        let components = self.components(&written);
        let has_components = written.component.is_some() || !written.components.is_empty();
        if !has_components && written.routes.is_empty() {
            self.problem(whole.clone(), "an app needs something that answers").help =
                Some("name its component, `component = \"app.wasm\"`, or routes that lead to files".to_owned());
        }
        App {
            routes: self.routes(&written.routes, &components, has_components, whole),
            components,
            limits: self.limits(&written.limits),
            websocket: self.websocket(&written.websocket),
            environment: self.environment(&written.environment),
            secrets: self.secrets(&written),
            folders: self.folders(written.filesystem),
            error_pages: self.error_pages(&written.errors),
            sections: BTreeMap::new(),
            name: self.app.clone(),
        }
    }

    fn name(&mut self, written: &Option<At<String>>, naming: Naming, whole: Range<usize>) -> String {
        let (name, span, help) = match (naming, written) {
            (Naming::Section(section), Some(name)) => {
                let message = format!("the app is named by its section already, as `{}`", *section);
                self.problem(name.span(), message).help = Some("leave `name` out".to_owned());
                return section.into_inner();
            }
            (Naming::Section(section), None) => (section.to_string(), section.span(), None),
            (Naming::File(_), Some(name)) => (name.to_string(), name.span(), None),
            (Naming::File(name), None) => (name, whole, Some("give it one: `name = \"shop\"`".to_owned())),
        };
        if !is_name(&name) {
            self.problem(span, not_a_name(&name, "an app")).help = help;
        }
        name
    }

    /// The app's components; an empty list where they cannot be made out.
    fn components(&mut self, written: &AppManifest) -> Vec<AppComponent> {
        let isolation = written.isolation.as_ref().map(|isolation| Isolation::from(**isolation));
        let Some(file) = &written.component else {
            if let Some(build) = &written.build {
                self.problem(build.span(), "there is no `component` here for this to build")
                    .help = Some("name it, or write this under `[components.NAME.build]`".to_owned());
            }
            if let Some(middleware) = &written.middleware {
                let help = match written.components.is_empty() {
                    true => "name the component that it stands in front of, with `component`",
                    false => "write it under `[components.NAME]`, for each component that it stands in front of",
                };
                self.problem(middleware.span(), "middleware stands in front of nothing here")
                    .help = Some(help.to_owned());
            }
            let components = written.components.iter();
            let components: Vec<_> = components
                .map(|(name, component)| self.component(name, component, isolation))
                .collect();
            self.links(written, &components);
            return components;
        };
        if let Some((name, _)) = written.components.first_key_value() {
            self.problem(
                name.span(),
                "an app has either `component` or sections `[components.NAME]`",
            )
            .help = Some("write the component of `component` as a section of its own".to_owned());
            return Vec::new();
        }
        let mut component = AppComponent::new(
            ONLY_COMPONENT,
            self.path(Subject::Component(ONLY_COMPONENT.into()), file),
        );
        component.isolation = isolation;
        component.build = self.build(&written.build);
        component.middleware = match &written.middleware {
            Some(files) => self.middleware(ONLY_COMPONENT, files),
            None => Vec::new(),
        };
        vec![component]
    }

    fn component(
        &mut self,
        name: &At<String>,
        written: &written::Component,
        isolation: Option<Isolation>,
    ) -> AppComponent {
        if !is_name(name) {
            self.problem(name.span(), not_a_name(name, "a component"));
        }
        AppComponent {
            name: name.to_string(),
            file: self.path(Subject::Component(name.to_string()), &written.file),
            middleware: self.middleware(name, &written.middleware),
            isolation: written
                .isolation
                .as_ref()
                .map(|own| Isolation::from(**own))
                .or(isolation),
            links: written
                .links
                .iter()
                .map(|(import, component)| self.link(name, import, component))
                .collect(),
            linked_as: match written.instance.as_deref() {
                Some(written::LinkedAs::Own) => LinkedAs::Own,
                Some(written::LinkedAs::Joined) | None => LinkedAs::Joined,
            },
            build: self.build(&written.build),
        }
    }

    fn middleware(&mut self, component: &str, files: &[At<String>]) -> Vec<PathBuf> {
        let files = files.iter().enumerate();
        files
            .map(|(nth, file)| self.path(Subject::Middleware(component.to_owned(), nth), file))
            .collect()
    }

    fn link(&mut self, component: &str, import: &At<String>, other: &At<String>) -> Link {
        self.remember(Subject::Link(component.to_owned(), import.to_string()), import.span());
        Link {
            import: import.to_string(),
            component: other.to_string(),
        }
    }

    fn unknown_component(&mut self, name: &At<String>, components: &[AppComponent]) {
        let known: Vec<&str> = components.iter().map(|component| component.name.as_str()).collect();
        let message = match nearest(name, known.iter().copied()) {
            Some(near) => format!("the app has no component `{}`; did you mean `{near}`?", **name),
            None => format!("the app has no component `{}`, but {}", **name, list(known, "and")),
        };
        self.problem(name.span(), message);
    }

    fn limits(&mut self, written: &written::Limits) -> AppLimits {
        if let Some(memory) = &written.memory {
            self.remember(Subject::Memory, memory.span());
        }
        AppLimits {
            memory_bytes_max: self.size("memory", &written.memory),
            descriptors_max: count(&written.descriptors),
            cpu_time_max: self.duration("cpu-time", &written.cpu_time),
            instances_max: count(&written.instances),
            requests_max: count(&written.requests),
            queue_length_max: count(&written.queue),
            queue_timeout: self.duration_or_none("queue-time", &written.queue_time),
            response_timeout: self.duration("response-time", &written.response_time),
            background_timeout: self.duration_or_none("background-time", &written.background_time),
            body_bytes_max: self.size_or_none("body", &written.body),
            body_rate_min: self.size_or_none("body-rate", &written.body_rate),
            body_idle_timeout: self.duration("body-idle-time", &written.body_idle_time),
            reuse_max: count(&written.reuse),
            idle_timeout: self.duration_or_none("idle-time", &written.idle_time),
        }
    }

    fn websocket(&mut self, written: &written::Websocket) -> AppWebsocket {
        let origins = written.origins.iter();
        let origins = origins.filter_map(|origin| match origin.parse::<Origin>() {
            Ok(origin) => Some(origin),
            Err(error) => {
                self.problem(origin.span(), format!("`{}`: {error}", **origin));
                None
            }
        });
        AppWebsocket {
            origins: origins.collect(),
            past_middleware: written.past_middleware,
            sockets_max: count(&written.sockets),
            message_bytes_max: self.size("message", &written.message),
            messages_per_second_max: count(&written.rate),
            idle_timeout: self.duration("idle-time", &written.idle_time),
            ping_interval: self.duration("ping-time", &written.ping_time),
            pong_timeout: self.duration("pong-time", &written.pong_time),
            close_timeout: self.duration_or_none("close-time", &written.close_time),
            restart_timeout: self.duration_or_none("restart-time", &written.restart_time),
            opened: self.opened_websocket(&written.opened),
        }
    }

    fn opened_websocket(&mut self, written: &written::OpenedWebsocket) -> OpenedWebsocket {
        OpenedWebsocket {
            message_bytes_max: self.size("message", &written.message),
            idle_timeout: self.duration("idle-time", &written.idle_time),
            ping_interval: self.duration("ping-time", &written.ping_time),
            pong_timeout: self.duration("pong-time", &written.pong_time),
            close_timeout: self.duration_or_none("close-time", &written.close_time),
        }
    }

    fn environment(&mut self, written: &BTreeMap<At<String>, At<String>>) -> BTreeMap<String, String> {
        for (name, value) in written {
            self.variable(name);
            if value.contains('\0') {
                self.problem(value.span(), "a variable's value holds no NUL");
            }
        }
        written
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect()
    }

    fn variable(&mut self, name: &At<String>) {
        if name.is_empty() || name.contains(['=', '\0']) {
            self.problem(name.span(), "a variable has a name, without `=`");
        }
    }

    fn secrets(&mut self, written: &AppManifest) -> BTreeMap<String, SecretSource> {
        let mut secrets = BTreeMap::new();
        for (name, secret) in &written.secrets {
            self.variable(name);
            if written.environment.contains_key(name.as_str()) {
                let message = format!("`{}` is in `[environment]` as well", **name);
                self.problem(name.span(), message).help = Some("give it once".to_owned());
            }
            if let Some(source) = self.secret(name, secret) {
                secrets.insert(name.to_string(), source);
            }
        }
        secrets
    }

    fn secret(&mut self, name: &At<String>, written: &At<written::Secret>) -> Option<SecretSource> {
        let subject = Subject::Secret(name.to_string());
        if let (Some(stray), None) = (&written.name, &written.encrypted) {
            self.problem(stray.span(), "only in an encrypted file has a secret another name");
        }
        match (&written.file, &written.variable, &written.encrypted) {
            (Some(file), None, None) => Some(SecretSource::File(self.path(subject, file))),
            (None, Some(variable), None) => {
                self.remember(subject, variable.span());
                self.variable(variable);
                Some(SecretSource::Variable(variable.to_string()))
            }
            (None, None, Some(file)) => {
                let inside = written.name.as_ref().unwrap_or(name).to_string();
                Some(SecretSource::Encrypted(self.path(subject, file), inside))
            }
            (None, None, None) => {
                self.problem(name.span(), format!("the secret `{}` has no value", **name))
                    .help = Some("say where it stands: `file`, `variable` or `encrypted`".to_owned());
                None
            }
            _ => {
                let message = format!("the secret `{}` stands in more than one place", **name);
                self.problem(name.span(), message).help =
                    Some("leave one of `file`, `variable` and `encrypted`: its value stands in one place".to_owned());
                None
            }
        }
    }

    fn folders(&mut self, written: BTreeMap<At<String>, At<TextOr<written::FilesystemFolder>>>) -> Vec<Folder> {
        written
            .into_iter()
            .map(|(guest, folder)| self.folder(&guest, folder))
            .collect()
    }

    fn folder(&mut self, guest: &At<String>, written: At<TextOr<written::FilesystemFolder>>) -> Folder {
        if guest.is_empty() {
            self.problem(guest.span(), "guests see a folder under a path, such as \"/data\"");
        }
        let (subject, span) = (Subject::Folder(guest.to_string()), written.span());
        let (host, access) = match written.into_inner() {
            TextOr::Text(host) => {
                self.remember(subject, span.clone());
                (self.path_of(&host, span), Access::Read)
            }
            TextOr::Table(table) => {
                let access = table.access.map_or(Access::Read, |access| Access::from(*access));
                (self.path(subject, &table.folder), access)
            }
        };
        Folder {
            guest: guest.to_string(),
            host,
            access,
        }
    }

    fn error_pages(&mut self, written: &BTreeMap<At<String>, At<String>>) -> ErrorPages {
        let mut pages = ErrorPages::default();
        for (key, file) in written {
            let path = self.path(Subject::ErrorPage(key.to_string()), file);
            match (key.strip_suffix("xx"), key.parse::<u16>()) {
                (Some("4"), _) => pages.classes.insert(4, path),
                (Some("5"), _) => pages.classes.insert(5, path),
                (None, Ok(status @ 400..=599)) => pages.statuses.insert(status, path),
                _ => {
                    let message = format!("`{}` is no status of an error", **key);
                    self.problem(key.span(), message).help =
                        Some("write one from 400 to 599, or \"4xx\" or \"5xx\" for all that begin so".to_owned());
                    None
                }
            };
        }
        pages
    }
}

fn count(written: &Option<At<Count>>) -> Option<u32> {
    written.as_ref().map(|count| count.0)
}

const NAME_BYTES_MAX: usize = 64;

/// Names are labels of metrics, parts of URLs and of file names.
fn is_name(name: &str) -> bool {
    let is_fine = |c: char| in_name(c) == c;
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.chars().all(is_fine) && !name.starts_with(['.', '-'])
}

/// A character as it may be in a name: `_` for those that may not.
pub(super) fn in_name(c: char) -> char {
    match c.is_ascii_alphanumeric() || "-_.".contains(c) {
        true => c,
        false => '_',
    }
}

/// The name that comes closest to a text: for what is wrong, and has to be called something nevertheless.
pub(super) fn as_name(text: &str) -> String {
    let mut name: String = text.chars().map(in_name).take(NAME_BYTES_MAX).collect();
    if name.is_empty() || name.starts_with(['.', '-']) {
        // All of it is ASCII, whatever it was.
        name.replace_range(..name.len().min(1), "_");
    }
    name
}

fn not_a_name(name: &str, of: &str) -> String {
    // Lines and marks that it may hold are not those of the message.
    let name = name.escape_debug();
    format!("`{name}` cannot be the name of {of}: that is ASCII letters, digits, `-`, `_` and `.`, at most 64")
}

impl From<written::Isolation> for Isolation {
    fn from(isolation: written::Isolation) -> Self {
        match isolation {
            written::Isolation::Request => Self::Request,
            written::Isolation::Serial => Self::Serial,
            written::Isolation::Shared => Self::Shared,
        }
    }
}

impl From<written::Access> for Access {
    fn from(access: written::Access) -> Self {
        match access {
            written::Access::Read => Self::Read,
            written::Access::Write => Self::Write,
        }
    }
}
