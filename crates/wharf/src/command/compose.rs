//! `wharf compose`: several components as one file, which any host of components runs.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail, ensure};
use wharf_server::manifest::app::{App, AppComponent, LinkedAs};
use wharf_server::manifest::{compose, read};

use super::build::apps;
use super::compile::put;
use super::said;
use crate::cli::tools::Compose;
use crate::kinds::Kinds;
use crate::size::size;

/// Joins components.
pub fn compose(compose: &Compose, kinds: &Kinds) -> ExitCode {
    said(try_compose(compose, kinds))
}

fn try_compose(asked: &Compose, kinds: &Kinds) -> anyhow::Result<String> {
    let is_manifest = asked.file.is_dir() || asked.file.extension().is_some_and(|extension| extension == "toml");
    let (app, wanted) = match is_manifest {
        true => of_manifest(asked, kinds)?,
        false => of_files(asked)?,
    };
    let component = app.component(&wanted).context("the component is not there")?;
    let mut files = BTreeSet::new();
    let whole = compose::assemble(&app, component, |file| {
        let content = read::regular(file, read::COMPONENT_BYTES_MAX)?;
        files.insert(file.to_owned());
        Ok(Cow::from(content))
    })?;
    let place = fs::canonicalize(&asked.output).ok();
    let is_part = |file: &PathBuf| place.is_some() && fs::canonicalize(file).ok() == place;
    ensure!(
        !files.iter().any(is_part),
        "{}: the whole would take a part's place: name another file with -o",
        asked.output.display()
    );
    put(&asked.output, &whole).with_context(|| format!("cannot write {}", asked.output.display()))?;
    Ok(account(&app, component, &asked.output, whole.len(), files.len()))
}

/// What has become of what.
fn account(app: &App, component: &AppComponent, output: &Path, bytes: usize, parts: usize) -> String {
    let mut text = format!("{}: {}, of {parts} components\n", output.display(), size(bytes as u64));
    let mut waiting = vec![component];
    let mut told: Vec<&str> = Vec::new();
    while let Some(component) = waiting.pop() {
        if told.contains(&&*component.name) {
            continue;
        }
        told.push(&component.name);
        for link in &component.links {
            let _ = writeln!(text, "  {} calls {} of {}", component.name, link.import, link.component);
            waiting.extend(app.component(&link.component));
        }
    }
    for middleware in &component.middleware {
        let _ = writeln!(text, "  {} stands in front of {}", middleware.display(), component.name);
    }
    text
}

/// A component of a manifest's, with what it links to.
fn of_manifest(asked: &Compose, kinds: &Kinds) -> anyhow::Result<(App, String)> {
    ensure!(
        asked.with.is_empty() && asked.middleware.is_empty(),
        "what a component of a manifest is joined with is said there, under `links` and `middleware`"
    );
    let apps = apps(&asked.file, kinds).map_err(|problems| anyhow!("{problems}"))?;
    let all = apps
        .iter()
        .flat_map(|app| app.components.iter().map(move |component| (app, component)));
    let all: Vec<_> = all.collect();
    let is_wanted = |(app, component): &(&App, &AppComponent)| match &asked.component {
        Some(name) => component.name == *name || format!("{}/{}", app.name, component.name) == *name,
        None => !(component.links.is_empty() && component.middleware.is_empty()),
    };
    let found: Vec<_> = all.iter().filter(|&known| is_wanted(known)).collect();
    let [(app, component)] = found[..] else {
        let what = match &asked.component {
            Some(name) => format!("{} components are called {name}", found.len()),
            None => format!("{} components link to others", found.len()),
        };
        let choice = if found.is_empty() { all.iter().collect() } else { found };
        let names: Vec<_> = choice.iter().map(|(_, component)| &*component.name).collect();
        bail!("{what}: name one with --component: {}", names.join(", "));
    };
    let mut app = (*app).clone();
    for component in &mut app.components {
        // One component is one instance.
        component.linked_as = LinkedAs::Joined;
    }
    Ok((app, component.name.clone()))
}

/// Components that are told by what they import and export.
fn of_files(asked: &Compose) -> anyhow::Result<(App, String)> {
    ensure!(
        asked.component.is_none(),
        "--component names one of a manifest, and {} is none",
        asked.file.display()
    );
    ensure!(
        !(asked.with.is_empty() && asked.middleware.is_empty()),
        "{} alone is there: what is it to be joined with?",
        asked.file.display()
    );
    let files = std::iter::once(&asked.file).chain(&asked.with);
    let files: Vec<(PathBuf, Vec<u8>)> = files
        .map(|file| {
            let content = read::regular(file, read::COMPONENT_BYTES_MAX);
            Ok((
                file.clone(),
                content.with_context(|| format!("cannot read {}", file.display()))?,
            ))
        })
        .collect::<anyhow::Result<_>>()?;
    let mut app = compose::plugged(&files)?;
    app.components[0].middleware.clone_from(&asked.middleware);
    let wanted = app.components[0].name.clone();
    Ok((app, wanted))
}
