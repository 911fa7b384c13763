//! `wharf wit`: the interfaces there are, shown, and put into a project's folder.
//!
//! What has to be written is decided by `wharf_host::wit::vendor`; here it is found out what is wanted, and files are read and written.

mod wanted;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use wanted::wanted;
use wharf_host::wit::local::in_deps;
use wharf_host::wit::vendor::{Does, LOCK, Lock, Step, Vendored, declared, place, plan};
use wharf_host::wit::{Package, Packages};

use super::said;
use crate::cli::tools::{AddWit, Wit, WitCommand};
use crate::kinds::Kinds;

/// Shows or writes packages.
pub fn wit(wit: &Wit, kinds: &Kinds) -> ExitCode {
    let packages = Packages::new(kinds.sections());
    said(match &wit.command {
        WitCommand::List { of } => listed(&packages, kinds, of),
        WitCommand::Show { package, of } => shown(&packages, package, of),
        WitCommand::Add(add) => added(&packages, add),
    })
}

/// The packages that Wharf has, then those that are in a project's folder and came from elsewhere.
fn listed(packages: &Packages, kinds: &Kinds, folder: &Path) -> anyhow::Result<String> {
    let lock = locked(folder)?;
    let others = lock.others();
    let found = elsewhere(folder)?;
    let unpinned: Vec<_> = found.iter().filter(|(_, file)| !lock.has(file)).collect();
    let others_names = others.keys().chain(unpinned.iter().map(|(name, _)| *name));
    let names = packages.iter().map(Package::full_name).chain(others_names.cloned());
    let width = names.map(|name| name.len()).max().unwrap_or(0);
    let line = |package: &Package| {
        let section = section_of(package, kinds).map(|section| format!(" [{section}]"));
        format!(
            "{:width$}  {}{}\n",
            package.full_name(),
            package.about,
            section.unwrap_or_default()
        )
    };
    let mut text: String = packages.iter().map(line).collect();
    for (name, from) in &others {
        let from = place(folder, from);
        text += &format!("{name:width$}  of this project, from {}\n", from.display());
    }
    for (name, file) in unpinned {
        let file = place(folder, file).display().to_string();
        text += &format!("{name:width$}  of this project, in {file}, and not in {LOCK}: `wharf wit add` takes it in\n");
    }
    Ok(text)
}

/// A package that Wharf has, or else one in a project's folder, which has any version where none is asked for.
fn shown(packages: &Packages, wanted: &str, folder: &Path) -> anyhow::Result<String> {
    let refused = match packages.find(wanted) {
        Ok(package) => return Ok(package.text.to_owned()),
        Err(refused) => refused,
    };
    let is_wanted = |name: &str| name == wanted || name.split('@').next() == Some(wanted);
    let found = elsewhere(folder)?.into_iter().find(|(name, _)| is_wanted(name));
    let (_, file) = found.ok_or(refused)?;
    let file = folder.join(file);
    let unreadable = || format!("cannot read {}", file.display());
    // A folder in `deps` is one package, of which one file says the name.
    let beside = file.parent().filter(|beside| !beside.ends_with("deps"));
    let mut files = match beside.map(fs::read_dir) {
        Some(entries) => entries
            .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>())
            .with_context(unreadable)?,
        None => vec![file.clone()],
    };
    files.retain(|file| file.extension().is_some_and(|extension| extension == "wit"));
    files.sort();
    let texts = files.iter().map(fs::read_to_string).collect::<io::Result<Vec<_>>>();
    Ok(texts.with_context(unreadable)?.join("\n"))
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
    let mut lock = locked(&add.to)?;
    let elsewhere = elsewhere(&add.to)?;
    let wanted = wanted(packages, add, &elsewhere)?;
    let elsewhere = without_own(elsewhere, &wanted, &lock);
    // All is looked at before anything is written.
    let unreadable = OnceCell::new();
    let content = |file: &str| {
        read(&add.to.join(file)).unwrap_or_else(|error| {
            // The first is said.
            let _ = unreadable.set(error);
            None
        })
    };
    let steps = plan(wanted, &lock, &elsewhere, content);
    let former = lock.remove_former(&steps, content);
    if let Some(error) = unreadable.into_inner() {
        return Err(error);
    }
    refuse_changed(&steps, &former, add)?;
    let mut said = String::new();
    for step in &steps {
        let file = add.to.join(&step.vendored.file);
        if matches!(step.does, Does::Add | Does::Renew | Does::Refuse) {
            write(&file, &step.vendored.text)?;
        }
        let word = match step.does {
            Does::Add => "added",
            Does::Keep => "unchanged",
            Does::Leave => "there",
            Does::Renew | Does::Refuse => "renewed",
        };
        said += &format!("{word:9}  {}  {}\n", step.vendored.full_name(), file.display());
    }
    for (file, _) in &former {
        let file = add.to.join(file);
        fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
        said += &format!("{:9}  {}\n", "removed", file.display());
    }
    lock.add(&steps);
    write(&add.to.join(LOCK), &lock.text())?;
    Ok(said)
}

/// What the lock in a folder of WIT says; nothing where there is none.
fn locked(folder: &Path) -> anyhow::Result<Lock> {
    let file = folder.join(LOCK);
    let Some(text) = read(&file)? else {
        return Ok(Lock::default());
    };
    let text = String::from_utf8_lossy(&text);
    Lock::read(&text).with_context(|| format!("{}: mend it, or delete it and add all anew", file.display()))
}

/// The packages that are in `deps`, each with a file that has it.
fn elsewhere(folder: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for file in in_deps(folder)? {
        let text = read(&folder.join(&file))?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        found.extend(declared(&text).map(|package| (package.to_owned(), file.clone())));
    }
    Ok(found)
}

/// Without what `wharf wit add` has put where it is, or is about to.
fn without_own(mut found: BTreeMap<String, String>, wanted: &[Vendored], lock: &Lock) -> BTreeMap<String, String> {
    found.retain(|name, file| {
        // What the project has taken in as it lay there does not go for what Wharf carries.
        let stays = || {
            let mut meant = wanted.iter().filter(|wanted| wanted.full_name() == *name);
            lock.is_own(file) && meant.all(|wanted| wanted.from.is_none())
        };
        (!lock.has(file) || stays()) && !wanted.iter().any(|wanted| wanted.file == *file)
    });
    found
}

fn refuse_changed(steps: &[Step], former: &[(String, bool)], add: &AddWit) -> anyhow::Result<()> {
    let changed = steps.iter().filter(|step| step.does == Does::Refuse);
    let changed = changed.map(|step| &step.vendored.file);
    let former = former.iter().filter(|(_, is_as_written)| !is_as_written);
    let changed: Vec<_> = changed
        .chain(former.map(|(file, _)| file))
        .map(|file| format!("\n  {}", add.to.join(file).display()))
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
