//! `wharf wit`: the interfaces there are, shown, and put into a project's folder.
//!
//! What has to be written is decided by `wharf_host::wit::vendor`; here files are read and written.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use wharf_host::wit::vendor::{DEPS, Does, LOCK, Lock, Step, declared, file_of, plan};
use wharf_host::wit::{Package, Packages};

use super::said;
use crate::cli::tools::{AddWit, Wit, WitCommand};
use crate::kinds::Kinds;

/// Shows or writes packages.
pub fn wit(wit: &Wit, kinds: &Kinds) -> ExitCode {
    let packages = Packages::new(kinds.sections());
    said(match &wit.command {
        WitCommand::List => Ok(listed(&packages, kinds)),
        WitCommand::Show { package } => packages
            .find(package)
            .map(|package| package.text.to_owned())
            .map_err(Into::into),
        WitCommand::Add(add) => added(&packages, add),
    })
}

fn listed(packages: &Packages, kinds: &Kinds) -> String {
    let width = packages
        .iter()
        .map(|package| package.full_name().len())
        .max()
        .unwrap_or(0);
    let line = |package: &Package| {
        let section = section_of(package, kinds).map(|section| format!(" [{section}]"));
        format!(
            "{:width$}  {}{}\n",
            package.full_name(),
            package.about,
            section.unwrap_or_default()
        )
    };
    packages.iter().map(line).collect()
}

/// The section of a manifest that an app needs for the package, if it needs one.
fn section_of(package: &Package, kinds: &Kinds) -> Option<&'static str> {
    let of_package = |interface: &&str| {
        interface
            .split_once('/')
            .is_some_and(|(name, rest)| name == package.name && rest.ends_with(&format!("@{}", package.version)))
    };
    let mut sections = kinds.sections().iter();
    let section = sections.find(|section| section.interfaces().iter().any(&of_package))?;
    Some(section.name())
}

fn added(packages: &Packages, add: &AddWit) -> anyhow::Result<String> {
    let wanted = add.packages.iter().map(|name| packages.find(name));
    let wanted: Vec<_> = wanted.collect::<Result<_, _>>()?;
    let lock_file = add.to.join(LOCK);
    let mut lock = match read(&lock_file)? {
        Some(text) => {
            let text = String::from_utf8_lossy(&text);
            Lock::read(&text)
                .with_context(|| format!("{}: mend it, or delete it and add all anew", lock_file.display()))?
        }
        None => Lock::default(),
    };
    // All is looked at before anything is written.
    let elsewhere = elsewhere(packages, &add.to)?;
    let unreadable = OnceCell::new();
    let steps = plan(packages, &wanted, &lock, &elsewhere, |file| {
        read(&add.to.join(file)).unwrap_or_else(|error| {
            // The first is said.
            let _ = unreadable.set(error);
            None
        })
    });
    if let Some(error) = unreadable.into_inner() {
        return Err(error);
    }
    refuse_changed(&steps, add)?;
    let mut said = String::new();
    for step in &steps {
        let file = add.to.join(&step.file);
        if matches!(step.does, Does::Add | Does::Renew | Does::Refuse) {
            write(&file, step.package.text)?;
        }
        let word = match step.does {
            Does::Add => "added",
            Does::Keep => "unchanged",
            Does::Leave => "there",
            Does::Renew | Does::Refuse => "renewed",
        };
        said += &format!("{word:9}  {}  {}\n", step.package.full_name(), file.display());
    }
    lock.add(&steps);
    write(&lock_file, &lock.text())?;
    Ok(said)
}

/// The packages of `deps` that are not where `wharf wit add` puts them: in a file, or a folder of files, of another name.
fn elsewhere(packages: &Packages, folder: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for entry in entries(&folder.join(DEPS))? {
        let files = if entry.is_dir() { entries(&entry)? } else { vec![entry] };
        for file in files
            .iter()
            .filter(|file| file.extension().is_some_and(|extension| extension == "wit"))
        {
            let name = file
                .strip_prefix(folder)
                .unwrap_or(file)
                .to_string_lossy()
                .replace('\\', "/");
            let text = read(file)?.unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            found.extend(declared(&text).map(|package| (package.to_owned(), name.clone())));
        }
    }
    found.retain(|package, file| {
        packages
            .find(package)
            .map_or(true, |package| file_of(&package) != *file)
    });
    Ok(found)
}

/// What is in a folder that need not be there.
fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let unreadable = || format!("cannot read {}", folder.display());
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(unreadable)?,
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    paths.collect::<io::Result<_>>().with_context(unreadable)
}

fn refuse_changed(steps: &[Step], add: &AddWit) -> anyhow::Result<()> {
    let changed = steps.iter().filter(|step| step.does == Does::Refuse);
    let changed: Vec<_> = changed
        .map(|step| format!("\n  {}", add.to.join(&step.file).display()))
        .collect();
    if !changed.is_empty() && !add.force {
        bail!(
            "not what `wharf wit add` has written: somebody has changed it; nothing was written. Move it away, or lose the changes \
             with --force:{}",
            changed.concat()
        );
    }
    Ok(())
}

/// A file's content, if it is there.
fn read(file: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    match fs::read(file) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

/// Writes a file that is not so already, and the folders above it.
fn write(file: &Path, content: &str) -> anyhow::Result<()> {
    if read(file)?.is_some_and(|present| present == content.as_bytes()) {
        return Ok(());
    }
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(file, content))
        .with_context(|| format!("cannot write {}", file.display()))
}
