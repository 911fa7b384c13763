//! The packages that `wharf wit add` and `wharf new` have written into a folder of WIT: whether they are still what its lock says, and
//! whether there are others.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use wharf_app::wit::local::in_deps;
use wharf_app::wit::vendor::{Difference, LOCK, Lock, place};

use crate::{BuildError, Note};

/// Compares what is in a folder of WIT with its lock: what somebody has changed there is what no other component means by the package's
/// name. Returns what is to be said of packages that no lock has.
///
/// # Errors
/// [`BuildError::Wit`], which names each file that differs, and what to do.
pub fn check_pins(folder: &Path) -> Result<Option<Note>, BuildError> {
    let wrong = |message: String| BuildError::Wit {
        folder: folder.to_owned(),
        message,
    };
    let lock = match fs::read_to_string(folder.join(LOCK)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Lock::default(),
        text => {
            let text = text.map_err(BuildError::file("read", &folder.join(LOCK)))?;
            Lock::read(&text).map_err(|error| wrong(format!("{LOCK}: {error}")))?
        }
    };
    // What cannot be read is said by whoever reads it next.
    let differences = lock.differences(|file| fs::read(folder.join(file)).ok());
    if !differences.is_empty() {
        let lines: Vec<_> = differences.iter().map(|difference| line(difference, folder)).collect();
        return Err(wrong(format!("it is not what {LOCK} says\n{}", lines.join("\n"))));
    }
    let files = in_deps(folder).unwrap_or_default();
    let places = lock.unpinned(files.iter().map(String::as_str));
    Ok((!places.is_empty()).then(|| unpinned(folder, &places)))
}

fn unpinned(folder: &Path, places: &BTreeSet<&str>) -> Note {
    let names: Vec<_> = places.iter().copied().collect();
    let paths: Vec<_> = places
        .iter()
        .map(|place| folder.join(place).display().to_string())
        .collect();
    let (is, it) = match names.len() {
        1 => ("is", "it"),
        _ => ("are", "them"),
    };
    Note {
        file: folder.to_owned(),
        line: None,
        message: format!(
            "{} {is} not in {LOCK}, and nobody is told when somebody changes {it}: `wharf wit add {} --to {}` takes {it} in",
            names.join(", "),
            paths.join(" "),
            folder.display()
        ),
    }
}

fn line(difference: &Difference<'_>, folder: &Path) -> String {
    let Difference {
        package,
        version,
        file,
        from,
        is_own,
        is_there,
    } = difference;
    let (what, flag) = match is_there {
        true => ("somebody has changed it", " --force"),
        false => ("it is not there", ""),
    };
    let what_is_added = match from {
        // Taken as it lies there: there is nothing to write.
        Some(from) if *is_there && *is_own => {
            return format!(
                "  {}: {what}; `wharf wit add {} --to {}` takes it as it is now",
                folder.join(file).display(),
                place(folder, from).display(),
                folder.display()
            );
        }
        Some(from) => place(folder, from).display().to_string(),
        None => format!("{package}@{version}"),
    };
    format!(
        "  {}: {what}; `wharf wit add {what_is_added} --to {}{flag}` writes it anew. If it is meant to be so, take its entry out of {LOCK}",
        folder.join(file).display(),
        folder.display()
    )
}
