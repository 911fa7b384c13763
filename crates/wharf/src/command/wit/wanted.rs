//! Which files `wharf wit add` is to write: of packages that Wharf carries, by their names, and of others, by where they are.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, bail};
use wharf_host::wit::local::{Local, LocalPackage, local};
use wharf_host::wit::vendor::{Vendored, folder_of, place};
use wharf_host::wit::{Package, Packages};

use crate::cli::tools::AddWit;

/// All that is asked for and all that it needs, where `there` is what the project has.
pub fn wanted(packages: &Packages, add: &AddWit, there: &BTreeMap<String, String>) -> anyhow::Result<Vec<Vendored>> {
    let mut wanted = Wanted {
        packages,
        to: &add.to,
        there,
        carried: Vec::new(),
        others: Vec::new(),
    };
    for name in &add.packages {
        match is_place(name) {
            true => wanted.place(Path::new(name))?,
            false => wanted.carried.push(packages.find(name)?),
        }
    }
    let mut all = packages.vendored(&wanted.carried);
    all.extend(wanted.others);
    Ok(all)
}

/// Packages have a `:` in their names, and files seldom.
fn is_place(name: &str) -> bool {
    let has_extension = Path::new(name)
        .extension()
        .is_some_and(|it| it == "wit" || it == "wasm");
    Path::new(name).exists() || has_extension || (name.contains(['/', '\\']) && !name.contains(':'))
}

struct Wanted<'a> {
    packages: &'a Packages,
    /// The folder of the project's WIT.
    to: &'a Path,
    /// The packages that are there, and their files.
    there: &'a BTreeMap<String, String>,
    carried: Vec<Package>,
    others: Vec<Vendored>,
}

impl Wanted<'_> {
    fn place(&mut self, place: &Path) -> anyhow::Result<()> {
        let found = local(place)?;
        let from = relative(self.to, place)?;
        let is_component = place.extension().is_some_and(|extension| extension == "wasm");
        for package in &found.packages {
            match self.packages.find(&package.full_name()) {
                // What it exports of Wharf's is Wharf's.
                Ok(carried) if is_component => self.carried.push(carried),
                Ok(_) if self.lies_there(package, &from).is_none() => bail!(
                    "{}: {} is a package that Wharf has: add it by its name",
                    place.display(),
                    package.full_name()
                ),
                // What lies in the project's `deps` is the project's own, whoever else has it.
                _ => self.package(package, &found, place, &from)?,
            }
        }
        Ok(())
    }

    fn package(&mut self, package: &LocalPackage, found: &Local, place: &Path, from: &str) -> anyhow::Result<()> {
        let is_known = |known: &Vendored| known.full_name() == package.full_name();
        if self.others.iter().any(is_known) {
            return Ok(());
        }
        for (name, text) in &package.files {
            self.others.push(Vendored {
                name: package.name.clone(),
                version: package.version.clone(),
                file: self.file(package, name, from),
                text: text.clone().into(),
                from: Some(from.to_owned()),
            });
        }
        for needed in &package.needs {
            self.needed(needed, package, found, place, from)?;
        }
        Ok(())
    }

    /// A package that another needs: as Wharf has it, as lies beside that, or as the project has it already.
    fn needed(
        &mut self,
        needed: &str,
        by: &LocalPackage,
        found: &Local,
        place: &Path,
        from: &str,
    ) -> anyhow::Result<()> {
        if let Some(carried) = self.packages.iter().find(|package| package.full_name() == needed) {
            self.carried.push(*carried);
            return Ok(());
        }
        let mut beside = found.packages.iter().chain(&found.beside);
        if let Some(package) = beside.find(|package| package.full_name() == needed) {
            return self.package(package, found, place, from);
        }
        let is_asked_for = self.others.iter().any(|known| known.full_name() == needed);
        if is_asked_for || self.there.contains_key(needed) {
            return Ok(());
        }
        if let Ok(carried) = self.packages.find(needed) {
            bail!(
                "{}: {} needs {needed} without a version, and Wharf has {}: write the version where it is used",
                place.display(),
                by.full_name(),
                carried.full_name()
            );
        }
        bail!(
            "{}: {} needs {needed}, which is neither in `deps` beside it nor in the project, and Wharf does not have it: add that first",
            place.display(),
            by.full_name()
        )
    }

    /// Where a package's file goes. What lies in the project's `deps` already stays where it is.
    fn file(&self, package: &LocalPackage, name: &str, from: &str) -> String {
        match self.lies_there(package, from) {
            Some(file) if *file == *from => from.to_owned(),
            Some(_) => format!("{from}/{name}"),
            None => format!("{}/{name}", folder_of(&package.name, &package.version)),
        }
    }

    /// The file that the project has the package in, if that is where it is taken from.
    fn lies_there(&self, package: &LocalPackage, from: &str) -> Option<&String> {
        self.there.get(&package.full_name()).filter(|file| {
            let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
            **file == *from || folder == from
        })
    }
}

/// The way from a folder to a place, with `/` between its parts wherever it is written down.
fn relative(folder: &Path, to: &Path) -> anyhow::Result<String> {
    let absolute = |path: &Path| std::path::absolute(path).with_context(|| format!("cannot find {}", path.display()));
    // Without steps back, which `absolute` leaves where they are.
    let (folder, to) = (place(&absolute(folder)?, ""), place(&absolute(to)?, ""));
    let parts = |path: &Path| {
        path.components()
            .map(|part| part.as_os_str().to_owned())
            .collect::<Vec<_>>()
    };
    let (folder, to) = (parts(&folder), parts(&to));
    let common = folder.iter().zip(&to).take_while(|(one, other)| one == other).count();
    // On different drives there is no way.
    let back = if common == 0 { 0 } else { folder.len() - common };
    let mut way = vec![Component::ParentDir.as_os_str().to_owned(); back];
    way.extend(to.into_iter().skip(common));
    let way: PathBuf = way.into_iter().collect();
    Ok(way.to_string_lossy().replace('\\', "/"))
}
