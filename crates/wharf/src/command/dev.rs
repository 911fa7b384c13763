//! `wharf dev`: builds what `wharf build` builds, serves what `wharf serve` serves, and does both again with each change.
//!
//! How a new version takes the place of the old one is a reload's business (`serve/reload.rs`), what browsers see of it,
//! `wharf_server::Development`'s. Here is what is built when.

mod echo;
mod idle;
mod said;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::SystemTime;

use anyhow::Context as _;
use wharf_build::{Children, Data, Event, Job, Outcome, real, tools::Toolbox};
use wharf_server::Development;
use wharf_server::manifest::app::{Answer, App, Recipe};
use wharf_server::manifest::{Configuration, FILE_NAME};

use crate::cli::Dev;
use crate::command::build::{configuration, data, jobs};
use crate::kinds::Kinds;
use crate::log::Lines;
use crate::prefix::Prefixes;
use crate::progress;
use echo::{Echoes, Heard};
use idle::{Came, Idle};
use said::Said;
use watch::Watch;

/// What Wharf's own lines begin with.
const OWN: &str = "wharf";

/// Builds, serves and watches until a signal ends it.
pub fn dev(dev: Dev, kinds: &Kinds) -> ExitCode {
    let session = Session::new(&dev, kinds);
    super::serve::serve(dev.into_serve(), kinds, Some(Arc::new(session)))
}

/// What is developed, while it is served.
pub struct Session {
    file: PathBuf,
    kinds: Kinds,
    /// How many components are built at a time.
    threads: usize,
    toolbox: Toolbox,
    children: Children,
    development: Development,
    prefixes: Prefixes,
    stderr: OnceLock<Lines>,
    /// Set up before the first build, so that what changes meanwhile is not missed, until somebody watches; and what that build was.
    watch: Mutex<Option<(Watch, Built)>>,
    /// What the newest source of components does not build for, by their names.
    failures: Mutex<BTreeMap<String, String>>,
    /// What was said last.
    said: Mutex<Said>,
}

/// What is watched.
#[derive(Default)]
struct Places {
    /// The manifest's files: with them, everything may be another.
    manifests: Vec<PathBuf>,
    /// The folder that a server's apps are in.
    apps: Option<PathBuf>,
    /// What a component is made of, by its name.
    sources: BTreeMap<String, Vec<PathBuf>>,
    /// Components that a command of the user's makes.
    commands: BTreeSet<String>,
    /// Folders that are served as they are.
    folders: Vec<PathBuf>,
    /// What lies among all that and is written by the apps themselves.
    data: Data,
}

/// What a change asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Due {
    /// The manifest reads otherwise, or nobody knows what has changed.
    all: bool,
    /// Components to build.
    components: BTreeSet<String>,
    /// Pages are to be loaded again.
    folders: bool,
}

impl Session {
    fn new(dev: &Dev, kinds: &Kinds) -> Self {
        let threads = dev.jobs.or_else(|| thread::available_parallelism().ok());
        Self {
            file: dev.file.clone(),
            kinds: kinds.clone(),
            threads: threads.map_or(1, usize::from),
            toolbox: Toolbox::from_environment().for_development(),
            children: Children::to_be_ended(),
            development: Development::new(!dev.no_script),
            prefixes: Prefixes::from_environment(),
            stderr: OnceLock::new(),
            watch: Mutex::default(),
            failures: Mutex::default(),
            said: Mutex::default(),
        }
    }

    /// Where its lines go.
    pub fn speak_to(&self, stderr: &Lines) {
        let _ = self.stderr.set(stderr.clone());
    }

    /// What the server shows of it.
    pub fn development(&self) -> Development {
        self.development.clone()
    }

    /// What lines of guests begin with.
    pub fn prefixes(&self) -> Prefixes {
        self.prefixes.clone()
    }

    /// Whether the newest source of everything was built.
    pub fn is_built(&self) -> bool {
        self.failures().is_empty()
    }

    /// Ends what is being built.
    pub fn end(&self) {
        self.children.end();
    }

    /// Takes in what a reload came to.
    pub fn loaded(&self, trouble: Option<String>, changed: bool) {
        if changed {
            self.say(OWN, "the new version answers");
        }
        self.development.loaded(trouble, changed);
    }

    /// Builds everything for the first time. What is wrong with the manifest is said by who serves it.
    pub fn begin(&self) -> anyhow::Result<()> {
        let mut watch = Watch::new().context("cannot watch files for changes")?;
        let mut built = Built::default();
        if let Ok(configuration) = configuration(&self.file, &self.kinds) {
            let places = self.places(&configuration);
            self.look_at(&mut watch, &places);
            if places.sources.is_empty() {
                self.say(
                    OWN,
                    "no component has a section `[build]`: what changes is served, and nothing is built",
                );
            }
            self.build(&configuration, &|_| true);
            built = Built::now(places.sources.into_keys());
        }
        *self.watch.lock().unwrap_or_else(PoisonError::into_inner) = Some((watch, built));
        Ok(())
    }

    /// Builds what changes from now on, in a thread of its own, and says so to `tell`.
    pub fn watch(self: &Arc<Self>, tell: mpsc::Sender<()>) -> anyhow::Result<()> {
        let watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((watch, built)) = watch else { return Ok(()) };
        let session = self.clone();
        thread::Builder::new()
            .name("wharf-dev".into())
            .spawn(move || session.follow(watch, built, &tell))
            .context("cannot watch files for changes")?;
        Ok(())
    }

    fn follow(&self, mut watch: Watch, mut built: Built, tell: &mpsc::Sender<()>) {
        let configuration = configuration(&self.file, &self.kinds).unwrap_or_default();
        let mut places = self.places(&configuration);
        self.look_at(&mut watch, &places);
        let mut echoes = Echoes::default();
        // What has changed during a build, where something has.
        let mut during: Option<Option<BTreeSet<PathBuf>>> = None;
        // What has waited to be built.
        let mut held: Option<Option<BTreeSet<PathBuf>>> = None;
        let mut idle = Idle::default();
        loop {
            let is_during = during.is_some();
            let mut changed = during.take().or_else(|| held.take()).unwrap_or_else(|| watch.next());
            if self.children.have_ended() {
                return;
            }
            if let Some(changed) = &mut changed {
                changed.retain(|path| !places.is_of_build(path, &built));
            }
            self.find_copies(&changed, &mut places);
            let mut due = places.due(&changed);
            let files = places.sources_among(&changed);
            if !due.all
                && let Some(rest) = idle.rest(&files)
            {
                // What else changes meanwhile is a reason by itself.
                held = Some(joined(changed, watch.within(rest)));
                continue;
            }
            if is_during {
                self.leave_out_echoes(&mut due, &mut echoes, &places, &changed, &built);
            }
            if due == Due::default() {
                continue;
            }
            if due.components.is_empty() && !due.all {
                self.development.touched();
                continue;
            }
            self.say(OWN, &places.said(&changed));
            let Some(came) = self.take_in(&due, &mut places, &mut watch) else {
                continue;
            };
            if idle.hear(&files, came) {
                let first = files.first().map(|path| places.near(path).display().to_string());
                let text = format!(
                    "{} changes again and again, and makes no difference to what is built: for that alone there is a build each {} s at \
                     most. What programs write is best kept below a folder called target or one that is hidden",
                    first.unwrap_or_default(),
                    idle::PAUSE.as_secs()
                );
                self.say(OWN, &text);
            }
            // Before anybody hears of the new version, and saves the next.
            built = match due.all {
                true => Built::now(places.sources.keys().cloned()),
                false => Built::now(due.components),
            };
            if (came == Came::New || due.all) && tell.send(()).is_err() {
                return;
            }
            during = Some(watch.so_far()).filter(|changed| changed.as_ref().is_none_or(|changed| !changed.is_empty()));
        }
    }

    /// Reads the manifest and builds what is due. `None`: the manifest is wrong.
    fn take_in(&self, due: &Due, places: &mut Places, watch: &mut Watch) -> Option<Came> {
        // What comes into a folder of apps after it was read is seen.
        self.look_at(watch, &places.again());
        match configuration(&self.file, &self.kinds) {
            Ok(configuration) => {
                *places = self.places(&configuration);
                // Before the build, which may find what is in a new folder, and after which it may change again.
                self.look_at(watch, places);
                let came = self.build(&configuration, &|job| due.all || due.components.contains(&job.name));
                if due.folders {
                    self.development.touched();
                }
                Some(came)
            }
            Err(problems) => {
                let problems = problems.to_string();
                self.say(OWN, &problems);
                self.development.built(Some(problems));
                None
            }
        }
    }

    /// Leaves out components that were built just now, and whose commands have written all that changed meanwhile.
    fn leave_out_echoes(
        &self,
        due: &mut Due,
        echoes: &mut Echoes,
        places: &Places,
        changed: &Option<BTreeSet<PathBuf>>,
        built: &Built,
    ) {
        due.components.retain(|name| {
            if !(places.commands.contains(name) && built.components.contains(name)) {
                return true;
            }
            let written = changed.iter().flatten().filter(|path| places.is_source(name, path));
            let written: BTreeSet<_> = written.cloned().collect();
            if written.iter().any(|path| built.ended_before(path)) {
                return true;
            }
            let first = written.first().map(|path| places.near(path).display().to_string());
            let heard = echoes.hear(name, written);
            if heard == Heard::First {
                let text = format!(
                    "{} changes each time that the command of {name} runs, and is among its sources: nothing is built for that alone. Have the \
                     command write below a folder called target or one that is hidden; if it was you, save once more",
                    first.unwrap_or_default()
                );
                self.say(OWN, &text);
            }
            heard == Heard::News
        });
    }

    /// Builds what is wanted.
    fn build(&self, configuration: &Configuration, is_wanted: &dyn Fn(&Job) -> bool) -> Came {
        let data = self.data(&configuration.apps);
        let all = jobs(&configuration.apps, &data, &self.children);
        let all: Vec<Job> = all.map(|(_, job)| job).collect();
        self.failures()
            .retain(|name, _| all.iter().any(|job| job.name == *name));
        // The others of the server are built all the same.
        for broken in &configuration.broken {
            let problems = broken.problems.to_string();
            self.say(OWN, &problems);
            self.failures().insert(broken.name.clone(), problems);
        }
        let wanted: Vec<Job> = all.into_iter().filter(is_wanted).collect();
        let report = |job: &Job, event: Event<'_>| self.report(job, &event);
        let results = wharf_build::build(&wanted, &self.toolbox, self.threads, &report);
        if self.children.have_ended() {
            return Came::Failed;
        }
        let mut failures = self.failures();
        for (job, result) in wanted.iter().zip(&results) {
            match result {
                Ok(_) => drop(failures.remove(&job.name)),
                Err(error) => drop(failures.insert(job.name.clone(), error.to_string())),
            }
        }
        let said = failures.iter().map(|(name, error)| format!("{name}: {error}"));
        let said: Vec<String> = said.collect();
        self.development.built((!said.is_empty()).then(|| said.join("\n\n")));
        match results.iter().flatten().any(|Outcome { changed, .. }| *changed) {
            true => Came::New,
            false if results.iter().all(Result::is_ok) => Came::Same,
            false => Came::Failed,
        }
    }

    fn report(&self, job: &Job, event: &Event<'_>) {
        match event {
            Event::Began => self.say(&job.name, "building"),
            // It was not to go on.
            Event::Ended(Err(_), _) if self.children.have_ended() => {}
            Event::Ended(result, elapsed) => {
                let mut text = progress::ending(result, *elapsed);
                for note in progress::notes(result) {
                    text += &format!("\nwarning: {note}");
                }
                if let Err(error) = result {
                    text += &format!("\nerror: {error}");
                }
                self.say(&job.name, &text);
            }
        }
    }

    fn places(&self, configuration: &Configuration) -> Places {
        Places::of(&self.file, configuration, self.data(&configuration.apps))
    }

    fn look_at(&self, watch: &mut Watch, places: &Places) {
        for trouble in watch.look_at(places.all().iter().map(PathBuf::as_path), &places.data) {
            self.say(OWN, &trouble);
        }
    }

    fn say(&self, name: &str, text: &str) {
        self.said().add(name, text);
        if let Some(stderr) = self.stderr.get() {
            stderr.push(self.prefixes.lines(name, text).into());
        }
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is written while the apps are served: by them, and with what is said here.
    fn data(&self, apps: &[App]) -> Data {
        let mut data = data(apps, &self.kinds);
        self.said().copies().for_each(|copy| data.add(copy.clone()));
        data
    }

    /// Finds the files among what has changed that hold what was just said here, such as those that `tee` writes: each build would be
    /// followed by another one.
    fn find_copies(&self, changed: &Option<BTreeSet<PathBuf>>, places: &mut Places) {
        for path in changed.iter().flatten() {
            if !(places.is_of_any(path) && self.said().finds_in(path)) {
                continue;
            }
            places.data.add(path.clone());
            let text = format!(
                "{} holds what is said here: it is no source, and nothing is built for it",
                places.near(path).display()
            );
            self.say(OWN, &text);
        }
    }

    fn failures(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// These changes and those; `None` stands for changes that nobody knows.
fn joined(some: Option<BTreeSet<PathBuf>>, more: Option<BTreeSet<PathBuf>>) -> Option<BTreeSet<PathBuf>> {
    Some(some?.into_iter().chain(more?).collect())
}

/// What was built last.
#[derive(Default)]
struct Built {
    components: BTreeSet<String>,
    ended: Option<SystemTime>,
}

impl Built {
    /// These components, just now.
    fn now(components: impl IntoIterator<Item = String>) -> Self {
        Self {
            components: components.into_iter().collect(),
            ended: Some(SystemTime::now()),
        }
    }

    /// Whether the file was written after that: no command did it.
    fn ended_before(&self, path: &Path) -> bool {
        let written = path.metadata().and_then(|meta| meta.modified());
        written.is_ok_and(|written| Some(written) > self.ended)
    }
}

impl Places {
    fn of(file: &Path, configuration: &Configuration, data: Data) -> Self {
        let manifest = match file.is_dir() {
            true => file.join(FILE_NAME),
            false => file.to_owned(),
        };
        let apps = &configuration.apps;
        let (mut sources, mut commands) = (BTreeMap::new(), BTreeSet::new());
        for (_, job) in jobs(apps, &data, &Children::default()) {
            let build = &job.build;
            let places = [&build.folder, &build.wit].into_iter().chain(&build.inputs);
            sources.insert(job.name.clone(), places.map(|place| real(place)).collect());
            if let Recipe::Command(_) = build.recipe {
                commands.insert(job.name);
            }
        }
        Self {
            manifests: vec![real(&manifest)],
            apps: configuration.server.apps.as_deref().map(real),
            sources,
            commands,
            folders: folders(apps),
            data,
        }
    }

    /// The manifests alone: those that are there now.
    fn again(&self) -> Self {
        Self {
            manifests: self.manifests.clone(),
            apps: self.apps.clone(),
            data: self.data.clone(),
            ..Self::default()
        }
    }

    fn all(&self) -> Vec<PathBuf> {
        let sources = self.sources.values().flatten();
        let all = self.manifests.iter().chain(sources).chain(&self.folders);
        let mut all: Vec<_> = all.cloned().collect();
        // As files: what is in the folder of apps is not watched, but for apps and their manifests.
        if let Some(folder) = &self.apps {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            let apps = entries.map(|entry| entry.path()).filter(|path| path.is_dir());
            all.extend(apps.chain([folder.clone()]).map(|folder| folder.join(FILE_NAME)));
        }
        all
    }

    /// Whether this says what there is to serve: a manifest, or an app as a whole.
    fn is_manifest(&self, path: &Path) -> bool {
        let is_in_folder = |path: &Path| self.apps.is_some() && path.parent() == self.apps.as_deref();
        // A folder, a file of an app's, or one that is gone; components may lie there as well.
        let is_toml = path.extension().is_some_and(|extension| extension == "toml");
        let is_app = is_in_folder(path)
            && !self.is_no_source(path, path.parent().unwrap_or(path))
            && (is_toml || path.is_dir() || !path.exists());
        let of_app = is_toml && path.ends_with(FILE_NAME) && path.parent().is_some_and(is_in_folder);
        self.manifests.iter().any(|manifest| manifest == path) || of_app || is_app
    }

    /// Whether the component of this name is made of it.
    fn is_source(&self, name: &str, path: &Path) -> bool {
        let mut places = self.sources.get(name).into_iter().flatten();
        places.any(|place| path.starts_with(place) && !self.is_no_source(path, place))
    }

    /// What of these changes some component is made of.
    fn sources_among(&self, changed: &Option<BTreeSet<PathBuf>>) -> BTreeSet<PathBuf> {
        let changed = changed.iter().flatten();
        changed.filter(|path| self.is_of_any(path)).cloned().collect()
    }

    fn is_of_any(&self, path: &Path) -> bool {
        self.sources.keys().any(|name| self.is_source(name, path))
    }

    /// Whether something in `place` is none of what people write there: made by tools, written by the apps, or a file that is none, such as
    /// a socket.
    fn is_no_source(&self, path: &Path, place: &Path) -> bool {
        let kind = path.metadata().ok().map(|metadata| metadata.file_type());
        let is_special = kind.is_some_and(|kind| !kind.is_file() && !kind.is_dir());
        is_special || wharf_build::is_derived(path, path.is_dir()) || self.data.has(path, place)
    }

    /// Whether it is what a build has written down for itself: the lock of a Rust package, which Cargo makes where there is none.
    fn is_of_build(&self, path: &Path, built: &Built) -> bool {
        let of_built = || built.components.iter().any(|name| self.is_source(name, path));
        path.ends_with("Cargo.lock") && !built.ended_before(path) && of_built()
    }

    /// What these changes ask for; `None` stands for changes that nobody knows.
    fn due(&self, changed: &Option<BTreeSet<PathBuf>>) -> Due {
        let Some(changed) = changed else {
            return Due {
                all: true,
                ..Due::default()
            };
        };
        let mut due = Due::default();
        for path in changed {
            due.all |= self.is_manifest(path);
            let folder = self.folders.iter().filter(|folder| path.starts_with(folder));
            let folder = folder.max_by_key(|folder| folder.as_os_str().len());
            // A page that writes when it is loaded would be loaded again and again.
            due.folders |= folder.is_some_and(|folder| !self.data.is(folder) && !self.data.has(path, folder));
            for (name, places) in &self.sources {
                // What is served as it is, out of a folder inside of the source's, is not what is compiled.
                let is_source = |place: &PathBuf| {
                    path.starts_with(place)
                        && folder.is_none_or(|folder| !folder.starts_with(place) || folder == place)
                        && !self.is_no_source(path, place)
                };
                if places.iter().any(is_source) {
                    due.components.insert(name.clone());
                }
            }
        }
        due
    }

    /// Which files have changed, for whoever looks at the terminal.
    fn said(&self, changed: &Option<BTreeSet<PathBuf>>) -> String {
        let written = changed.iter().flatten();
        let mut written = written.filter(|path| self.is_manifest(path) || self.is_of_any(path));
        let Some(first) = written.next() else {
            return "files have changed".to_owned();
        };
        let first = self.near(first);
        match written.count() {
            0 => format!("{} has changed", first.display()),
            more => format!("{} and {more} more have changed", first.display()),
        }
    }

    /// A path as seen from the manifest's folder.
    fn near<'a>(&self, path: &'a Path) -> &'a Path {
        let folder = self.manifests.first().and_then(|manifest| manifest.parent());
        folder.and_then(|folder| path.strip_prefix(folder).ok()).unwrap_or(path)
    }
}

/// Folders that are served as they are.
fn folders(apps: &[App]) -> Vec<PathBuf> {
    let routes = apps.iter().flat_map(|app| &app.routes);
    let folders = routes.filter_map(|route| match &route.answer {
        Answer::Files(files) => Some(real(&files.folder)),
        Answer::Component(_) => None,
    });
    folders.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cargo_writes_during_a_build_is_no_change() {
        let folder = std::env::temp_dir().join(format!("wharf-dev-lock-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let places = Places {
            sources: BTreeMap::from([("api".to_owned(), vec![folder.clone()])]),
            ..Places::default()
        };
        let built = |components: &[&str]| Built::now(components.iter().map(ToString::to_string));
        let write = |name: &str, at: SystemTime| {
            let file = std::fs::File::create(folder.join(name)).unwrap();
            file.set_modified(at).unwrap();
            folder.join(name)
        };
        let (long_ago, later) = (
            SystemTime::UNIX_EPOCH,
            SystemTime::now() + std::time::Duration::from_secs(600),
        );
        let lock = write("Cargo.lock", long_ago);
        assert!(places.is_of_build(&lock, &built(&["api"])));
        assert!(!places.is_of_build(&lock, &built(&["cache"])));
        assert!(!places.is_of_build(&lock, &Built::default()));
        assert!(!places.is_of_build(&write("Cargo.toml", long_ago), &built(&["api"])));
        // Somebody has called `cargo update`.
        assert!(!places.is_of_build(&write("Cargo.lock", later), &built(&["api"])));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn only_what_a_change_is_about_is_built() {
        let places = Places {
            manifests: vec!["/shop/wharf.toml".into()],
            apps: Some("/shop/apps".into()),
            commands: BTreeSet::new(),
            sources: BTreeMap::from([
                ("api".to_owned(), vec!["/shop".into(), "/shared".into()]),
                ("cache".to_owned(), vec!["/shop/cache".into(), "/shared".into()]),
            ]),
            folders: vec!["/shop/public".into(), "/site".into()],
            data: Data::new(
                ["/shop/shop.db", "/shop/cache/kept", "/shop/public/uploads", "/shared"].map(PathBuf::from),
            ),
        };
        let check = |paths: &[&str], all: bool, components: &[&str], folders: bool| {
            let changed = paths.iter().map(PathBuf::from).collect();
            let components = components.iter().map(ToString::to_string).collect();
            let expected = Due {
                all,
                components,
                folders,
            };
            assert_eq!(places.due(&Some(changed)), expected, "{paths:?}");
        };
        check(&["/shop/wharf.toml"], true, &["api"], false);
        check(&["/shop/apps/new"], true, &["api"], false);
        check(&["/shop/apps/new/wharf.toml"], true, &["api"], false);
        check(&["/shop/apps/new/wit/wharf.toml"], false, &["api"], false);
        check(&["/shop/src/lib.rs"], false, &["api"], false);
        check(&["/shop/cache/a.go"], false, &["api", "cache"], false);
        check(&["/shared/a"], false, &["api", "cache"], false);
        check(&["/shop/public/a.css", "/site/b.wasm"], false, &[], true);
        check(&["/shop/public/a.css", "/shop/src/lib.rs"], false, &["api"], true);
        check(&["/shop/shop.wasm", "/shop/.git", "/elsewhere"], false, &[], false);
        check(
            &["/shop/shop.db", "/shop/cache/kept/a.go", "/shop/public/uploads/a"],
            false,
            &[],
            false,
        );
        check(&["/shop/shop.db", "/shop/cache/a.go"], false, &["api", "cache"], false);
        assert!(places.due(&None).all);
    }
}
