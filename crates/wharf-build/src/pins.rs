//! The packages that `wharf wit add` and `wharf new` have written into a folder of WIT: whether they are still what its lock says.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use wharf_app::wit::vendor::{Difference, LOCK, Lock, place};

use crate::BuildError;

/// Compares what is in a folder of WIT with its lock, where it has one: what somebody has changed there is what no other component means
/// by the package's name.
///
/// # Errors
/// [`BuildError::Wit`], which names each file that differs, and what to do.
pub fn check_pins(folder: &Path) -> Result<(), BuildError> {
    let wrong = |message: String| BuildError::Wit {
        folder: folder.to_owned(),
        message,
    };
    let text = match fs::read_to_string(folder.join(LOCK)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        text => text.map_err(BuildError::file("read", &folder.join(LOCK)))?,
    };
    let lock = Lock::read(&text).map_err(|error| wrong(format!("{LOCK}: {error}")))?;
    // What cannot be read is said by whoever reads it next.
    let differences = lock.differences(|file| fs::read(folder.join(file)).ok());
    if differences.is_empty() {
        return Ok(());
    }
    let lines: Vec<_> = differences.iter().map(|difference| line(difference, folder)).collect();
    Err(wrong(format!("it is not what {LOCK} says\n{}", lines.join("\n"))))
}

fn line(difference: &Difference<'_>, folder: &Path) -> String {
    let Difference {
        package,
        version,
        file,
        from,
        is_there,
    } = difference;
    let (what, flag) = match is_there {
        true => ("somebody has changed it", " --force"),
        false => ("it is not there", ""),
    };
    let what_is_added = match from {
        // Taken as it lies there: there is nothing to write.
        Some(from) if *is_there && file.starts_with(&format!("{from}/")) => {
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
