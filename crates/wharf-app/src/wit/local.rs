//! Packages of WIT that Wharf does not carry: one's own, or another team's, in a folder, a file, or a component.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::{fs, io};

use wit_component::WitPrinter;
use wit_parser::decoding::{DecodedWasm, decode};
use wit_parser::{PackageId, Resolve, SourceMap, UnresolvedPackage, WorldItem, WorldKey};

use super::vendor::DEPS;
use crate::read;

/// Files of packages that have no name of their own: those of components.
const FILE: &str = "package.wit";

/// A package, as its files have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalPackage {
    /// `acme:store`.
    pub name: String,
    /// `1.2.0`; empty where it has none.
    pub version: String,
    /// The names of its files, and what is in them.
    pub files: Vec<(String, String)>,
    /// The packages whose types it uses, by their full names.
    pub needs: Vec<String>,
}

/// What there is in a place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Local {
    /// What is meant by the place.
    pub packages: Vec<LocalPackage>,
    /// What lies beside it for those to use.
    pub beside: Vec<LocalPackage>,
}

/// Why nothing can be taken from a place.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// It cannot be read.
    #[error("cannot read {}: {error}", file.display())]
    Read {
        /// The file or folder.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is no WIT.
    #[error("{}: {message}", file.display())]
    Wit {
        /// The file or folder.
        file: PathBuf,
        /// Why.
        message: String,
    },
}

impl LocalError {
    fn wit(file: &Path, message: impl Into<String>) -> Self {
        Self::Wit {
            file: file.to_owned(),
            message: message.into(),
        }
    }
}

impl LocalPackage {
    /// `acme:store@1.2.0`.
    pub fn full_name(&self) -> String {
        match &*self.version {
            "" => self.name.clone(),
            version => format!("{}@{version}", self.name),
        }
    }
}

/// The packages of a folder of WIT, of a file, or of what a component exports, and those in `deps` beside.
///
/// # Errors
/// When there is none, or it is damaged.
pub fn local(place: &Path) -> Result<Local, LocalError> {
    let folder = match place.is_dir() {
        true => place,
        false => place.parent().unwrap_or(Path::new("")),
    };
    let mut local = match is_component(place) {
        true => of_component(place)?,
        false => Local {
            packages: vec![of_text(place)?],
            beside: Vec::new(),
        },
    };
    let beside = entries(&folder.join(DEPS)).unwrap_or_default();
    // What is not needed may be anything; what is, is missed.
    local
        .beside
        .extend(beside.iter().filter_map(|place| of_text(place).ok()));
    Ok(local)
}

/// The files of WIT in `deps` of a folder, relative to that, with `/` between their parts.
///
/// # Errors
/// When a folder cannot be read. It need not be there.
pub fn in_deps(folder: &Path) -> Result<Vec<String>, LocalError> {
    let listed = |folder: &Path| match entries(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed.map_err(|error| unreadable(folder, error)),
    };
    let mut files = Vec::new();
    for entry in listed(&folder.join(DEPS))? {
        files.extend(if entry.is_dir() { listed(&entry)? } else { vec![entry] });
    }
    files.retain(|file| file.extension() == Some(OsStr::new("wit")));
    let relative = files.iter().map(|file| {
        file.strip_prefix(folder)
            .unwrap_or(file)
            .to_string_lossy()
            .replace('\\', "/")
    });
    Ok(relative.collect())
}

fn is_component(place: &Path) -> bool {
    place.extension().is_some_and(|extension| extension == "wasm")
}

/// The package of a folder's files, or of one file.
fn of_text(place: &Path) -> Result<LocalPackage, LocalError> {
    let files = match place.is_dir() {
        true => entries(place).map_err(|error| unreadable(place, error))?,
        false => vec![place.to_owned()],
    };
    let is_wit = |file: &&PathBuf| file.extension() == Some(OsStr::new("wit")) && file.is_file();
    let mut texts = Vec::new();
    for file in files.iter().filter(is_wit) {
        let bytes = read::regular(file, read::FILE_BYTES_MAX).map_err(|error| unreadable(file, error))?;
        let text = String::from_utf8(bytes).map_err(|_| LocalError::wit(file, "it is not UTF-8"))?;
        texts.push((file, text));
    }
    if texts.is_empty() {
        return Err(LocalError::wit(
            place,
            "there is no WIT: give a folder with files `*.wit`, one of them, or a component",
        ));
    }
    let mut map = SourceMap::new();
    for (file, text) in &texts {
        map.push(file, text);
    }
    let read = map
        .parse()
        .map_err(|(map, error)| LocalError::wit(place, error.render(&map)))?;
    let declared = std::iter::once(&read.main).chain(&read.nested);
    let own: BTreeSet<_> = declared.clone().map(|package| package.name.to_string()).collect();
    let needs: BTreeSet<_> = declared.flat_map(needs).filter(|name| !own.contains(name)).collect();
    let name = &read.main.name;
    let file_name = |file: &Path| file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(LocalPackage {
        name: format!("{}:{}", name.namespace, name.name),
        version: name.version.as_ref().map(ToString::to_string).unwrap_or_default(),
        files: texts.into_iter().map(|(file, text)| (file_name(file), text)).collect(),
        needs: needs.into_iter().collect(),
    })
}

fn needs(package: &UnresolvedPackage) -> impl Iterator<Item = String> {
    package.foreign_deps.keys().map(ToString::to_string)
}

/// The packages of what a component exports; beside them, of all that it knows. Of a package in binary form, the package.
fn of_component(file: &Path) -> Result<Local, LocalError> {
    let bytes = read::regular(file, read::COMPONENT_BYTES_MAX).map_err(|error| unreadable(file, error))?;
    let decoded = decode(&bytes).map_err(|error| LocalError::wit(file, format!("{error:#}")))?;
    let resolve = decoded.resolve();
    let (wanted, own) = match &decoded {
        DecodedWasm::WitPackage(_, package) => (BTreeSet::from([*package]), None),
        DecodedWasm::Component(_, world) => {
            let exports = resolve.worlds[*world].exports.iter();
            let packages = exports.filter_map(|(key, item)| match (key, item) {
                (WorldKey::Interface(_), WorldItem::Interface { id, .. }) => resolve.interfaces[*id].package,
                _ => None,
            });
            (packages.collect(), resolve.worlds[*world].package)
        }
    };
    if wanted.is_empty() {
        return Err(LocalError::wit(file, "it exports no interface of a package"));
    }
    let mut local = Local::default();
    for (id, _) in resolve.packages.iter().filter(|(id, _)| Some(*id) != own) {
        let package = printed(resolve, id).map_err(|message| LocalError::wit(file, message))?;
        match wanted.contains(&id) {
            true => local.packages.push(package),
            false => local.beside.push(package),
        }
    }
    Ok(local)
}

fn printed(resolve: &Resolve, id: PackageId) -> Result<LocalPackage, String> {
    let mut printer = WitPrinter::default();
    printer.print(resolve, id, &[]).map_err(|error| format!("{error:#}"))?;
    let text = printer.output.to_string();
    let mut map = SourceMap::new();
    map.push(Path::new(FILE), text.as_str());
    let read = map.parse().map_err(|(map, error)| error.render(&map))?;
    let name = &resolve.packages[id].name;
    Ok(LocalPackage {
        name: format!("{}:{}", name.namespace, name.name),
        version: name.version.as_ref().map(ToString::to_string).unwrap_or_default(),
        files: vec![(FILE.to_owned(), text)],
        needs: needs(&read.main).collect(),
    })
}

fn unreadable(file: &Path, error: io::Error) -> LocalError {
    LocalError::Read {
        file: file.to_owned(),
        error,
    }
}

/// What is in a folder, in the order of the names.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut entries: Vec<_> = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<_>>()?;
    entries.sort();
    Ok(entries)
}
