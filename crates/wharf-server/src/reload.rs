//! From a manifest to apps that serve, at the start and whenever it changes.
//!
//! An app that reads the same as before, down to the bytes of its components, is not touched: its instances, pools and
//! requests go on. One that changed is made beside the old version and takes its place once all of it is there; until then,
//! and if it cannot be made, the old version answers. What a component may reach and how it is compiled is up to who
//! implements [`Assemble`].

mod inputs;
mod seen;
#[cfg(test)]
mod tests;
mod workshop;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::header::HeaderValue;
use wharf_app::app::{self as plan, Answer, AppComponent};
use wharf_app::manifest::{self, Broken, Configuration, Problem, Problems, Subject};
use wharf_app::route::RoutePattern;
use wharf_app::section::Sections;
use wharf_host::Service;

use crate::app::{App, AppOptions, Target};
use crate::files::{Files, FilesOptions};
use crate::limits::{RequestLimits, SocketLimits};
use inputs::Inputs;
use workshop::{Made, Order, Workshop};

pub use seen::Seen;
pub use workshop::Wanted;

/// Any error, for the log.
pub type Trouble = Box<dyn Error + Send + Sync>;

/// Trouble with another part of an app than the file of the component that was asked for: with one of its links, say.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct TroubleWith {
    /// The part that is shown for it.
    pub subject: Subject,
    /// What is wrong.
    pub message: String,
    /// What to do, where the message does not say it.
    pub help: Option<String>,
}

/// Makes components answer. Asked by several threads at a time.
pub trait Assemble: Send + Sync {
    /// The service of one of an app's components, with its middleware and links.
    ///
    /// # Errors
    /// When it cannot be joined, does not compile, does not link, or is granted what is not there.
    fn assemble(&self, part: &Part<'_>) -> Result<Service, Trouble>;
}

/// A component of an app that is to answer.
pub struct Part<'a> {
    /// The app.
    pub app: &'a plan::App,
    /// The component.
    pub component: &'a AppComponent,
    /// Whether it is still worth the work.
    pub wanted: &'a Wanted,
    inputs: &'a Inputs,
}

impl<'a> Part<'a> {
    /// The content of the file of one of the app's components, or of a middleware, as it was when the app was read.
    ///
    /// # Errors
    /// When it is the file of nothing of this app's.
    pub fn file(&self, file: &Path) -> io::Result<Cow<'a, [u8]>> {
        self.inputs.get(file)
    }

    /// The same of another of the app's components.
    pub fn of(&self, component: &'a AppComponent) -> Self {
        Self { component, ..*self }
    }

    /// The values of the app's secrets, by their names.
    pub fn secrets(&self) -> &'a BTreeMap<String, String> {
        &self.inputs.secrets
    }
}

/// Why an app cannot be made, and which part of it is the reason.
#[derive(Clone, Debug)]
struct Fault {
    subject: Subject,
    message: String,
    help: Option<String>,
}

impl Fault {
    fn new(subject: Subject, message: impl Into<String>) -> Self {
        Self {
            subject,
            message: message.into(),
            help: None,
        }
    }

    fn of_app(message: impl Into<String>) -> Self {
        Self::new(Subject::App, message)
    }

    fn of_component(name: &str, trouble: &Trouble) -> Self {
        match trouble.downcast_ref::<TroubleWith>() {
            Some(trouble) => Self {
                help: trouble.help.clone(),
                ..Self::new(trouble.subject.clone(), trouble.message.clone())
            },
            None => Self::new(Subject::Component(name.to_owned()), causes(&**trouble)),
        }
    }

    /// With where it is written in `configuration`, if it is written anywhere.
    fn said(&self, app: &str, configuration: &Configuration) -> String {
        let place = configuration.place(app, &self.subject);
        let place = place.or_else(|| configuration.place(app, &Subject::App));
        let mut problem = Problem::new(place.cloned(), self.message.clone());
        problem.help.clone_from(&self.help);
        problem.to_string()
    }
}

/// Where apps come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A manifest's file, or the folder that holds it.
    Manifest(PathBuf),
    /// An app that somebody has put together without a manifest.
    App(Box<plan::App>),
}

/// The apps of a source, as they were when it was last read.
pub struct Deployment {
    source: Source,
    sections: Sections,
    workshop: Workshop,
    loaded: Vec<Loaded>,
    /// Versions that could not be made, by their app's name: they are tried again when somebody asks for it, and not
    /// whenever another app changes.
    failed: BTreeMap<String, Failed>,
    settings: Option<plan::ServerSettings>,
    /// What flags say of TLS, in place of the manifest.
    tls: Option<plan::TlsOptions>,
    seen: Seen,
}

/// A version of an app that could not be made.
struct Failed {
    plan: plan::App,
    inputs: blake3::Hash,
    fault: Fault,
}

/// An app, and what it was made from.
struct Loaded {
    plan: plan::App,
    inputs: blake3::Hash,
    app: App,
    /// The manifest says the same by now.
    is_as_written: bool,
}

/// What a reload comes to, as far as it is known.
#[derive(Default)]
struct Next {
    loaded: Vec<Loaded>,
    changed: Vec<String>,
    refused: Vec<(String, String)>,
    late: Vec<String>,
}

/// What a reload came to.
pub struct Reloaded {
    /// What serves from now on.
    pub apps: Vec<App>,
    /// The names of those that are new or changed.
    pub changed: Vec<String>,
    /// The names of those that are gone.
    pub gone: Vec<String>,
    /// What could not be taken, by app: its old version goes on, where there is one.
    pub refused: Vec<(String, String)>,
    /// The names of those that are still being compiled: their old versions go on, where there are such, until
    /// [`Deployment::has_news`].
    pub late: Vec<String>,
    /// What clients that come by TLS are to meet from now on; `None` where nothing says it.
    pub tls: Option<plan::TlsOptions>,
    /// The server's other settings read otherwise than at the start, which changes nothing.
    pub settings_changed: bool,
}

impl Deployment {
    /// Nothing is read yet. Apps may have `sections`, which are `assemble`'s to heed.
    pub fn new(source: Source, sections: Sections, assemble: Arc<dyn Assemble>) -> Self {
        Self {
            source,
            workshop: Workshop::new(assemble, sections.clone()),
            sections,
            loaded: Vec::new(),
            failed: BTreeMap::new(),
            settings: None,
            tls: None,
            seen: Seen::default(),
        }
    }

    /// Its files of certificates are those of `tls`, whatever a manifest says.
    #[must_use]
    pub fn with_tls(mut self, tls: plan::TlsOptions) -> Self {
        self.tls = Some(tls);
        self
    }

    /// What the source says now. Its apps may have `sections`.
    ///
    /// # Errors
    /// When the manifest is wrong.
    pub fn configuration(source: &Source, sections: &Sections) -> Result<Configuration, Problems> {
        match source {
            Source::Manifest(path) => manifest::read(path, sections),
            Source::App(app) => Ok(Configuration::from((**app).clone())),
        }
    }

    /// Tries again what could not be made, also where it reads as it did: the reason may lie elsewhere, such as in a folder
    /// that was not there.
    pub fn forget_failures(&mut self) {
        self.failed.clear();
    }

    /// Reads the source anew, and loads what it says.
    ///
    /// # Errors
    /// When the manifest is wrong, or for the reason of [`Deployment::load`]. Then nothing changes.
    pub fn reload(&mut self) -> Result<Reloaded, String> {
        // Before reading: what changes meanwhile is another look than this.
        let before = self.seen.again();
        let loaded = match Self::configuration(&self.source, &self.sections) {
            Ok(configuration) => self.load(configuration),
            Err(problems) => Err(problems.to_string()),
        };
        // Also where it is wrong: it is read again once it changes again, and not before.
        self.seen.keep(before);
        loaded
    }

    /// Makes the apps of `configuration`, and keeps what is the same as before. Blocks while components are compiled.
    ///
    /// # Errors
    /// When an app's old version, which goes on since the new one cannot be made, has the routes of another. Then nothing
    /// changes.
    pub fn load(&mut self, mut configuration: Configuration) -> Result<Reloaded, String> {
        if let Some(tls) = &self.tls {
            configuration.server.tls = Some(tls.clone());
        }
        self.seen = Seen::of(&self.source, &configuration, &self.sections);
        let tls = configuration.server.tls.take();
        let settings = self.settings.get_or_insert_with(|| configuration.server.clone());
        let settings_changed = *settings != configuration.server;
        let orders = configuration.apps.iter().map(|plan| self.order(plan)).collect();
        let made = self.workshop.make(orders, !self.loaded.is_empty());
        let mut next = Next::default();
        for (plan, made) in std::mem::take(&mut configuration.apps).into_iter().zip(made) {
            self.take(plan, made, &configuration, &mut next);
        }
        self.take_broken(std::mem::take(&mut configuration.broken), &mut next);
        if !(next.refused.is_empty() && next.late.is_empty()) {
            no_overlap(&next.loaded, &configuration)?;
        }
        let gone = self.gone(&next.loaded);
        self.loaded = next.loaded;
        self.failed
            .retain(|name, _| next.refused.iter().any(|(refused, _)| refused == name));
        Ok(Reloaded {
            apps: self.loaded.iter().map(|loaded| loaded.app.clone()).collect(),
            changed: next.changed,
            gone,
            refused: next.refused,
            late: next.late,
            tls,
            settings_changed,
        })
    }

    /// Takes what was made of `plan`, or what stands in for it.
    fn take(&mut self, plan: plan::App, made: Made, configuration: &Configuration, next: &mut Next) {
        let name = plan.name.clone();
        match made {
            Made::Same => next.loaded.extend(self.kept(&name).map(|kept| Loaded {
                is_as_written: true,
                ..kept
            })),
            Made::New { app, inputs } => {
                next.changed.push(name);
                next.loaded.push(Loaded {
                    plan,
                    inputs,
                    app,
                    is_as_written: true,
                });
            }
            Made::Failed { fault, inputs } => {
                let trouble = fault.said(&name, configuration);
                next.refused.push((name.clone(), trouble.clone()));
                if let Some(inputs) = inputs {
                    let plan = plan.clone();
                    self.failed.insert(name.clone(), Failed { plan, inputs, fault });
                }
                let kept = self.kept_whole(&name);
                next.loaded.push(kept.unwrap_or_else(|| Loaded::broken(plan, trouble)));
            }
            Made::UnderWay => {
                let begun = || Loaded::broken(plan, BEING_COMPILED.to_owned());
                next.loaded.push(self.kept_whole(&name).unwrap_or_else(begun));
                next.late.push(name);
            }
        }
    }

    /// Keeps, or puts something in the place of, apps whose manifests are wrong.
    fn take_broken(&self, broken: Vec<Broken>, next: &mut Next) {
        let mut unavailable = Vec::new();
        for broken in broken {
            next.refused.push((broken.name.clone(), broken.problems.to_string()));
            match self.kept_whole(&broken.name) {
                Some(kept) => next.loaded.push(kept),
                None => unavailable.push(broken),
            }
        }
        // Last, when all routes are known that somebody answers.
        for broken in unavailable {
            let stand_in = self.stand_in(broken, &next.loaded);
            next.loaded.push(stand_in);
        }
    }

    /// The names of those that are not among the `next`.
    fn gone(&self, next: &[Loaded]) -> Vec<String> {
        let is_gone = |old: &&Loaded| !next.iter().any(|new| new.plan.name == old.plan.name);
        let gone = self.loaded.iter().filter(is_gone);
        gone.map(|old| old.plan.name.clone()).collect()
    }

    /// Whether something of [`Reloaded::late`] has been made, which the next reload takes.
    pub fn has_news(&mut self) -> bool {
        self.workshop.has_news()
    }

    /// How what was read looks now.
    pub fn look(&self) -> Seen {
        self.seen.again()
    }

    /// Whether that is another look than when it was read.
    pub fn is_stale(&self, now: &Seen) -> bool {
        self.seen != *now
    }

    fn kept(&self, name: &str) -> Option<Loaded> {
        let old = self.loaded.iter().find(|old| old.plan.name == name)?;
        Some(Loaded {
            plan: old.plan.clone(),
            inputs: old.inputs,
            app: old.app.clone(),
            is_as_written: false,
        })
    }

    fn kept_whole(&self, name: &str) -> Option<Loaded> {
        self.kept(name).filter(|kept| kept.app.trouble().is_none())
    }

    /// What says of the requests for a wrong app that it is not available, where no other app answers them. A mistake that hides
    /// its routes does not give them away: what it claimed before, it claims still.
    fn stand_in(&self, broken: Broken, others: &[Loaded]) -> Loaded {
        let before = self.kept(&broken.name);
        let before = before.iter().flat_map(Loaded::patterns).cloned();
        let claimed = broken.routes.into_iter().chain(before);
        let is_free = |claimed: &RoutePattern| {
            let mut taken = others.iter().flat_map(Loaded::patterns);
            !taken.any(|pattern| pattern.overlaps(claimed))
        };
        let plan = plan::App {
            name: broken.name,
            ..plan::App::default()
        };
        let free = claimed.filter(is_free).collect();
        Loaded::unavailable(plan, free, broken.problems.to_string())
    }

    fn order(&self, plan: &plan::App) -> Order {
        let serving = self
            .loaded
            .iter()
            .find(|old| old.plan == *plan && old.app.trouble().is_none());
        let failed = self.failed.get(&plan.name).filter(|failed| failed.plan == *plan);
        Order {
            plan: plan.clone(),
            serving: serving.map(|old| old.inputs),
            failed: failed.map(|failed| (failed.inputs, failed.fault.clone())),
        }
    }
}

/// What clients and those who run the server are told of an app whose first version takes its time.
const BEING_COMPILED: &str = "it is being compiled";

fn assembled(plan: &plan::App, inputs: &Inputs, assemble: &dyn Assemble, wanted: &Wanted) -> Result<App, Fault> {
    for folder in &plan.folders {
        is_folder(&folder.host).map_err(|error| {
            let message = format!(
                "the folder {} cannot be opened, so guests cannot find it as `{}`: {error}",
                folder.host.display(),
                folder.guest
            );
            Fault::new(Subject::Folder(folder.guest.clone()), message)
        })?;
    }
    let mut services = BTreeMap::new();
    for component in plan.routed_components() {
        let part = Part {
            app: plan,
            component,
            wanted,
            inputs,
        };
        let service = assemble.assemble(&part);
        let service = service.map_err(|trouble| Fault::of_component(&component.name, &trouble))?;
        services.insert(component.name.as_str(), service);
    }
    let mut routes = Vec::new();
    for (nth, route) in plan.routes.iter().enumerate() {
        let target = match &route.answer {
            Answer::Component(name) => services.get(name.as_str()).cloned().map(Target::Service),
            Answer::Files(files) => {
                let folder = folder(files).map_err(|message| Fault::new(Subject::Files(nth), message))?;
                Some(Target::Files(folder))
            }
        };
        routes.push((route.pattern.clone(), target.unwrap_or(Target::Broken)));
    }
    Ok(App::new(AppOptions {
        name: plan.name.clone(),
        routes,
        limits: request_limits(&plan.limits),
        sockets: socket_limits(&plan.websocket),
        error_pages: inputs.pages(plan),
        trouble: None,
    }))
}

fn is_folder(path: &Path) -> io::Result<()> {
    match std::fs::metadata(path)?.is_dir() {
        true => Ok(()),
        false => Err(io::ErrorKind::NotADirectory.into()),
    }
}

impl Loaded {
    /// An app that could not be made: its routes say so.
    fn broken(plan: plan::App, trouble: String) -> Self {
        let routes = plan.routes.iter().map(|route| route.pattern.clone()).collect();
        Self::unavailable(plan, routes, trouble)
    }

    fn unavailable(plan: plan::App, routes: Vec<RoutePattern>, trouble: String) -> Self {
        let routes = routes.into_iter().map(|pattern| (pattern, Target::Broken));
        let app = App::new(AppOptions {
            name: plan.name.clone(),
            routes: routes.collect(),
            limits: RequestLimits::default(),
            sockets: SocketLimits::default(),
            error_pages: inputs::pages_alone(&plan),
            trouble: Some(trouble),
        });
        Self {
            plan,
            inputs: blake3::hash(&[]),
            app,
            is_as_written: true,
        }
    }

    /// The requests that it answers, or would.
    fn patterns(&self) -> impl Iterator<Item = &RoutePattern> {
        self.app.inner().routes.iter().map(|(pattern, _)| pattern)
    }
}

fn folder(files: &plan::Files) -> Result<Files, String> {
    let cache_control = files.cache_control.as_ref().map(HeaderValue::try_from).transpose();
    let options = FilesOptions {
        folder: files.folder.clone(),
        index: Some(files.index.clone()),
        fallback: files.fallback.as_ref().map(PathBuf::from),
        precompressed: files.precompressed,
        cache_control: cache_control.map_err(|_| "`cache-control` is no value of a header field".to_owned())?,
    };
    Files::new(options).map_err(|error| error.to_string())
}

fn request_limits(limits: &plan::AppLimits) -> RequestLimits {
    let usual = RequestLimits::default();
    RequestLimits {
        body_bytes_max: limits.body_bytes_max.unwrap_or(usual.body_bytes_max),
        body_rate_min: limits.body_rate_min.unwrap_or(usual.body_rate_min),
        body_idle_timeout: limits.body_idle_timeout.unwrap_or(usual.body_idle_timeout),
    }
}

fn socket_limits(written: &plan::AppWebsocket) -> SocketLimits {
    let usual = SocketLimits::default();
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    SocketLimits {
        sockets_max: written.sockets_max.map_or(usual.sockets_max, |most| most as usize),
        message_bytes_max: written.message_bytes_max.map_or(usual.message_bytes_max, size),
        messages_per_second_max: written.messages_per_second_max.unwrap_or(usual.messages_per_second_max),
        idle_timeout: written.idle_timeout.unwrap_or(usual.idle_timeout),
        ping_interval: written.ping_interval.unwrap_or(usual.ping_interval),
        pong_timeout: written.pong_timeout.unwrap_or(usual.pong_timeout),
        close_timeout: written.close_timeout.unwrap_or(usual.close_timeout),
        restart_timeout: written.restart_timeout.unwrap_or(usual.restart_timeout),
        origins: written.origins.clone(),
    }
}

/// The manifest's own check has seen only the new versions.
fn no_overlap(apps: &[Loaded], configuration: &Configuration) -> Result<(), String> {
    let routes: Vec<(&str, usize, &RoutePattern)> = apps
        .iter()
        .flat_map(|loaded| {
            let routes = loaded.app.inner().routes.iter().enumerate();
            routes.map(|(nth, (pattern, _))| (loaded.app.name(), nth, pattern))
        })
        .collect();
    for (at, (one, first, pattern)) in routes.iter().enumerate() {
        let other = routes[at + 1..]
            .iter()
            .find(|(other, _, second)| one != other && pattern.overlaps(second));
        if let Some((other, second, _)) = other {
            let message = format!(
                "the version of `{one}` or `{other}` that goes on, since the new one cannot be taken, shares the route \
                 {pattern} with the other; nothing is changed"
            );
            // One of both is written nowhere any more. The route of the other is, at the same place in its list.
            let written = |app: &str, nth: usize| {
                let is_new = apps
                    .iter()
                    .any(|loaded| loaded.app.name() == app && loaded.is_as_written);
                configuration.place(app, &Subject::Route(nth)).filter(|_| is_new)
            };
            let place = written(one, *first).or_else(|| written(other, *second));
            return Err(Problem::new(place.cloned(), message).to_string());
        }
    }
    Ok(())
}

/// An error with its causes, in one line.
fn causes(error: &(dyn Error + 'static)) -> String {
    let mut said = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_said = cause.to_string();
        if !said.contains(&cause_said) {
            said += &format!(": {cause_said}");
        }
        next = cause.source();
    }
    said
}
