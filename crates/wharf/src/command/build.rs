//! `wharf build`: the components of a manifest, each by its section `[build]`.

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::thread;

use wharf_build::{BuildError, Children, Data, Job, tools::Toolbox};
use wharf_server::manifest::app::{Access, App, AppComponent};
use wharf_server::manifest::{self, Configuration, Problems};

use crate::assemble::name_of;
use crate::cli::Build;
use crate::command::check::{say, wrong};
use crate::equip::{hint, install, installable, is_attended};
use crate::kinds::Kinds;
use crate::progress::Progress;

/// The folder of what is kept from one build to the next, in the folder of the source.
const STATE: &str = ".wharf";

/// Builds what the manifest has.
pub fn build(build: &Build, kinds: &Kinds) -> ExitCode {
    let apps = match apps(&build.file, kinds) {
        Ok(apps) => apps,
        Err(problems) => return wrong(&problems.to_string()),
    };
    let jobs: Vec<_> = jobs(&apps, &data(&apps, kinds), &Children::default()).collect();
    if jobs.is_empty() {
        let file = build.file.display();
        return wrong(&format!(
            "{file}: no component has a section `[build]`, which says how it is made"
        ));
    }
    let unknown = build.only.iter().find(|only| !jobs.iter().any(|job| is(job, only)));
    if let Some(name) = unknown {
        let known: Vec<_> = jobs.iter().map(|(_, job)| job.name.as_str()).collect();
        return wrong(&format!(
            "nothing that is built here is called `{name}`, but {}",
            known.join(", ")
        ));
    }
    let is_asked_for = |job: &([&str; 2], Job)| build.only.is_empty() || build.only.iter().any(|only| is(job, only));
    let jobs: Vec<_> = jobs.into_iter().filter(is_asked_for).map(|(_, job)| job).collect();
    if build.install || is_attended() {
        let missing = installable(jobs.iter().map(|job| &job.build));
        install(&missing, build.install);
    }
    let threads = build.jobs.or_else(|| thread::available_parallelism().ok());
    let progress = Progress::new(&jobs);
    let report = |job: &Job, event: wharf_build::Event<'_>| progress.report(job, &event);
    let results = wharf_build::build(
        &jobs,
        &Toolbox::from_environment(),
        threads.map_or(1, usize::from),
        &report,
    );
    progress.end();
    for (job, result) in jobs.iter().zip(&results) {
        if let Err(error) = result {
            say(&mut io::stderr(), &format!("\nerror: {}: {error}\n", job.name));
        }
    }
    let unequipped = jobs.iter().zip(&results).filter_map(|(job, result)| match result {
        Err(BuildError::Missing(_)) => Some(&job.build),
        _ => None,
    });
    say(&mut io::stderr(), &hint(&installable(unequipped), "wharf build"));
    match results.iter().all(Result::is_ok) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// The apps of a manifest. One that is wrong is not built around.
pub fn apps(file: &Path, kinds: &Kinds) -> Result<Vec<App>, Problems> {
    let mut configuration = configuration(file, kinds)?;
    match configuration.broken.is_empty() {
        true => Ok(configuration.apps),
        false => Err(configuration.broken.remove(0).problems),
    }
}

/// What a manifest says, with absolute paths: tools run in other folders.
pub fn configuration(file: &Path, kinds: &Kinds) -> Result<Configuration, Problems> {
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    manifest::read(&file, kinds.sections())
}

/// What any of the apps writes while it is served, as far as their manifests say it: folders that guests may write to, and files of
/// capabilities. Where it lies among the source of one of them, nobody has to build for it.
pub fn data(apps: &[App], kinds: &Kinds) -> Data {
    let folders = apps.iter().flat_map(|app| &app.folders);
    let written = folders.filter(|folder| folder.access == Access::Write);
    let of_guests = written.map(|folder| folder.host.clone());
    let of_sections = apps.iter().flat_map(|app| kinds.sections().data(&app.sections));
    Data::new(of_guests.chain(of_sections))
}

/// What there is to build among `children`, and by which names one may ask for it.
pub fn jobs<'a>(apps: &'a [App], data: &Data, children: &Children) -> impl Iterator<Item = ([&'a str; 2], Job)> {
    apps.iter().flat_map(move |app| {
        let built = app.components.iter();
        built.filter_map(move |component| {
            let names = [&*app.name, &*component.name];
            Some((names, job(app, component, data, children)?))
        })
    })
}

fn job(app: &App, component: &AppComponent, data: &Data, children: &Children) -> Option<Job> {
    let build = component.build.clone()?;
    Some(Job {
        state: build.folder.join(STATE).join(&app.name).join(&component.name),
        component: component.file.clone(),
        name: name_of(app, component),
        data: data.clone(),
        build,
        children: children.clone(),
    })
}

/// Whether one that asks for `only` means this: its app, its component, or both as the progress shows them.
fn is((names, job): &([&str; 2], Job), only: &str) -> bool {
    names.contains(&only) || job.name == only
}
