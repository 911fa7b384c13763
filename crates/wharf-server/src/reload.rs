//! From a manifest to apps that serve, at the start and whenever it changes.
//!
//! An app that reads the same as before, down to the bytes of its components, is not touched: its instances, pools and
//! requests go on. One that changed is made beside the old version and takes its place once all of it is there; until then,
//! and if it cannot be made, the old version answers. What a component may reach and how it is compiled is up to who
//! implements [`Assemble`].

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::HeaderValue;
use wharf_app::app::{self as plan, Answer, AppComponent};
use wharf_app::compose;
use wharf_app::manifest::{self, Configuration, Problems};
use wharf_app::read;
use wharf_app::route::RoutePattern;
use wharf_host::Service;

use crate::app::{App, AppOptions, Target};
use crate::files::{self, Files, FilesOptions};
use crate::limits::{RequestLimits, SocketLimits};
use crate::problem::{ErrorPages, Page};
use crate::tls;

/// Any error, for the log.
pub type Trouble = Box<dyn Error + Send + Sync>;

/// Makes components answer.
pub trait Assemble: Send + Sync {
    /// The service of one of `app`'s components, which with its middleware and links is `bytes`. `secrets` has the values
    /// of the app's secrets.
    ///
    /// # Errors
    /// When it does not compile, does not link, or is granted what is not there.
    fn assemble(
        &self,
        app: &plan::App,
        component: &AppComponent,
        bytes: &[u8],
        secrets: &BTreeMap<String, String>,
    ) -> Result<Service, Trouble>;
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
    assemble: Arc<dyn Assemble>,
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
    trouble: String,
}

/// An app, and what it was made from.
struct Loaded {
    plan: plan::App,
    inputs: blake3::Hash,
    app: App,
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
    /// What clients that come by TLS are to meet from now on; `None` where nothing says it.
    pub tls: Option<plan::TlsOptions>,
    /// The server's other settings read otherwise than at the start, which changes nothing.
    pub settings_changed: bool,
}

impl Deployment {
    /// Nothing is read yet.
    pub fn new(source: Source, assemble: Arc<dyn Assemble>) -> Self {
        Self {
            source,
            assemble,
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

    /// What the source says now.
    ///
    /// # Errors
    /// When the manifest is wrong.
    pub fn configuration(source: &Source) -> Result<Configuration, Problems> {
        match source {
            Source::Manifest(path) => manifest::read(path),
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
        let loaded = match Self::configuration(&self.source) {
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
        self.seen = Seen::of(&self.source, &configuration);
        let tls = configuration.server.tls.take();
        let settings = self.settings.get_or_insert_with(|| configuration.server.clone());
        let settings_changed = *settings != configuration.server;
        let mut refused = Vec::new();
        let mut next: Vec<Loaded> = Vec::new();
        let mut changed = Vec::new();
        for plan in configuration.apps {
            let name = plan.name.clone();
            match self.make(plan) {
                Ok((loaded, is_new)) => {
                    changed.extend(is_new.then_some(name));
                    next.push(loaded);
                }
                Err((plan, trouble)) => {
                    refused.push((name.clone(), trouble.clone()));
                    next.push(self.kept(&name).unwrap_or_else(|| Loaded::broken(*plan, trouble)));
                }
            }
        }
        for broken in configuration.broken {
            let trouble = broken.problems.to_string();
            refused.push((broken.name.clone(), trouble.clone()));
            next.push(
                self.kept(&broken.name)
                    .unwrap_or_else(|| Loaded::unreadable(broken.name, trouble)),
            );
        }
        if !refused.is_empty() {
            no_overlap(&next)?;
        }
        let is_gone = |old: &&Loaded| !next.iter().any(|new| new.plan.name == old.plan.name);
        let gone = self
            .loaded
            .iter()
            .filter(is_gone)
            .map(|old| old.plan.name.clone())
            .collect();
        self.loaded = next;
        self.failed
            .retain(|name, _| refused.iter().any(|(refused, _)| refused == name));
        Ok(Reloaded {
            apps: self.loaded.iter().map(|loaded| loaded.app.clone()).collect(),
            changed,
            gone,
            refused,
            tls,
            settings_changed,
        })
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
        })
    }

    /// The app, and whether it is another one than before.
    fn make(&mut self, plan: plan::App) -> Result<(Loaded, bool), (Box<plan::App>, String)> {
        let inputs = match Inputs::read(&plan) {
            Ok(inputs) => inputs,
            Err(error) => return Err((Box::new(plan), error)),
        };
        let hash = inputs.hash();
        let same = |old: &Loaded| old.plan == plan && old.inputs == hash && old.app.trouble().is_none();
        if let Some(old) = self.kept(&plan.name).filter(same) {
            return Ok((old, false));
        }
        let known = self.failed.get(&plan.name);
        if let Some(known) = known.filter(|known| known.plan == plan && known.inputs == hash) {
            return Err((Box::new(plan), known.trouble.clone()));
        }
        match self.assembled(&plan, inputs) {
            Ok(app) => Ok((
                Loaded {
                    plan,
                    inputs: hash,
                    app,
                },
                true,
            )),
            Err(trouble) => {
                let failed = Failed {
                    plan: plan.clone(),
                    inputs: hash,
                    trouble: trouble.clone(),
                };
                self.failed.insert(plan.name.clone(), failed);
                Err((Box::new(plan), trouble))
            }
        }
    }

    fn assembled(&self, plan: &plan::App, inputs: Inputs) -> Result<App, String> {
        let mut services = BTreeMap::new();
        for component in plan.routed_components() {
            let bytes = inputs.joined(plan, component)?;
            let service = self.assemble.assemble(plan, component, &bytes, &inputs.secrets);
            let service = service.map_err(|error| causes(&*error))?;
            services.insert(component.name.as_str(), service);
        }
        let mut routes = Vec::new();
        for route in &plan.routes {
            let target = match &route.answer {
                Answer::Component(name) => services.get(name.as_str()).cloned().map(Target::Service),
                Answer::Files(files) => Some(Target::Files(folder(files)?)),
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
}

impl Loaded {
    /// An app that could not be made: its routes say so.
    fn broken(plan: plan::App, trouble: String) -> Self {
        let routes = plan
            .routes
            .iter()
            .map(|route| (route.pattern.clone(), Target::Broken))
            .collect();
        let app = App::new(AppOptions {
            name: plan.name.clone(),
            routes,
            limits: RequestLimits::default(),
            sockets: SocketLimits::default(),
            error_pages: ErrorPages::default(),
            trouble: Some(trouble),
        });
        Self {
            plan,
            inputs: blake3::hash(&[]),
            app,
        }
    }

    /// An app whose manifest cannot be read: nobody knows its routes.
    fn unreadable(name: String, trouble: String) -> Self {
        let plan = plan::App {
            name,
            ..plan::App::default()
        };
        Self::broken(plan, trouble)
    }
}

/// The content of every file that an app is made from.
struct Inputs {
    files: BTreeMap<PathBuf, Bytes>,
    secrets: BTreeMap<String, String>,
}

impl Inputs {
    fn read(plan: &plan::App) -> Result<Self, String> {
        let mut files = BTreeMap::new();
        for path in files_of(plan) {
            let content = read::regular(&path, read::COMPONENT_BYTES_MAX)
                .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            files.insert(path, Bytes::from(content));
        }
        let secrets = plan.secrets.iter();
        let secrets = secrets.map(|(name, source)| Ok((name.clone(), secret(name, source)?)));
        Ok(Self {
            files,
            secrets: secrets.collect::<Result<_, String>>()?,
        })
    }

    fn hash(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        let mut add = |part: &[u8]| {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        };
        for (path, content) in &self.files {
            add(path.as_os_str().as_encoded_bytes());
            add(content);
        }
        for (name, value) in &self.secrets {
            add(name.as_bytes());
            add(value.as_bytes());
        }
        hasher.finalize()
    }

    fn get(&self, path: &Path) -> io::Result<Vec<u8>> {
        let content = self.files.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(content.to_vec())
    }

    /// A component with its links and its middleware.
    fn joined(&self, plan: &plan::App, component: &AppComponent) -> Result<Vec<u8>, String> {
        compose::assemble(plan, component, |path| self.get(path)).map_err(|error| causes(&error))
    }

    fn pages(&self, plan: &plan::App) -> ErrorPages {
        let page = |(&key, path): (&u16, &PathBuf)| -> (u16, Page) {
            let content = self.files.get(path).cloned().unwrap_or_default();
            let content_type = files::content_type(&path.to_string_lossy());
            (key, Page { content, content_type })
        };
        ErrorPages {
            statuses: plan.error_pages.statuses.iter().map(page).collect(),
            classes: plan.error_pages.classes.iter().map(page).collect(),
        }
    }
}

/// All files that an app is made from, but for those that it serves as they are.
fn files_of(plan: &plan::App) -> Vec<PathBuf> {
    let components = plan.components.iter();
    let components = components.flat_map(|component| std::iter::once(&component.file).chain(&component.middleware));
    let pages = plan.error_pages.files().map(|(_, file)| file.to_owned());
    let trusted = plan.http_client.trust.iter().cloned();
    components.cloned().chain(pages).chain(trusted).collect()
}

fn secret(name: &str, source: &plan::SecretSource) -> Result<String, String> {
    match source {
        plan::SecretSource::File(path) => {
            let wrong = |error: &dyn std::fmt::Display| {
                format!("cannot read the secret {name} from {}: {error}", path.display())
            };
            let value = read::regular(path, read::FILE_BYTES_MAX).map_err(|error| wrong(&error))?;
            let value = String::from_utf8(value).map_err(|_| wrong(&"it is not UTF-8"))?;
            Ok(value
                .strip_suffix('\n')
                .map(|value| value.strip_suffix('\r').unwrap_or(value))
                .unwrap_or(&value)
                .to_owned())
        }
        plan::SecretSource::Variable(variable) => std::env::var(variable).map_err(|_| {
            format!("the secret {name}: the server's environment has no variable {variable}, or not as text")
        }),
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
fn no_overlap(apps: &[Loaded]) -> Result<(), String> {
    let routes: Vec<(&str, &RoutePattern)> = apps
        .iter()
        .flat_map(|loaded| {
            let routes = loaded.app.inner().routes.iter();
            routes.map(|(pattern, _)| (loaded.app.name(), pattern))
        })
        .collect();
    for (nth, (one, pattern)) in routes.iter().enumerate() {
        let other = routes[nth + 1..]
            .iter()
            .find(|(other, second)| one != other && pattern.overlaps(second));
        if let Some((other, _)) = other {
            return Err(format!(
                "the version of `{one}` or `{other}` that goes on, since the new one cannot be taken, shares the route \
                 {pattern} with the other; nothing is changed"
            ));
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

/// How files look: their sizes and times, not their content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen(BTreeMap<PathBuf, Option<Stamp>>);

/// What changes when a file is written, replaced, or a name in a folder comes or goes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
    file: u64,
}

impl Seen {
    fn of(source: &Source, configuration: &Configuration) -> Self {
        let mut paths: Vec<PathBuf> = configuration.apps.iter().flat_map(files_of).collect();
        let secrets = configuration.apps.iter().flat_map(|app| app.secrets.values());
        paths.extend(secrets.filter_map(|source| match source {
            plan::SecretSource::File(path) => Some(path.clone()),
            plan::SecretSource::Variable(_) => None,
        }));
        paths.extend(configuration.server.tls.iter().flat_map(tls::watched));
        if let Source::Manifest(path) = source {
            paths.push(path.clone());
            paths.push(path.join("wharf.toml"));
        }
        if let Some(folder) = &configuration.server.apps {
            paths.extend(manifests_below(folder));
            paths.push(folder.clone());
        }
        Self(paths.into_iter().map(|path| (path.clone(), Stamp::of(&path))).collect())
    }

    /// Takes over what an earlier look saw of the same files.
    fn keep(&mut self, before: Self) {
        for (path, stamp) in before.0 {
            if let Some(known) = self.0.get_mut(&path) {
                *known = stamp;
            }
        }
    }

    fn again(&self) -> Self {
        Self(self.0.keys().map(|path| (path.clone(), Stamp::of(path))).collect())
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        #[cfg(unix)]
        let file = std::os::unix::fs::MetadataExt::ino(&metadata);
        #[cfg(not(unix))]
        let file = 0;
        Some(Self {
            modified: metadata.modified().ok(),
            bytes: metadata.len(),
            file,
        })
    }
}

/// Where the apps of a folder may have their manifests, whether they have or not.
fn manifests_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let paths = entries.map(|entry| entry.path());
    paths.flat_map(|path| [path.join("wharf.toml"), path]).collect()
}
