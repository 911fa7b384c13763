//! Programs of the system's that some tests run.

use std::path::PathBuf;

use crate::program::target_dir;

/// Names programs that this machine cannot have, separated by spaces; `cargo xtask test` sets it and says so.
const ABSENT: &str = "WHARF_TESTS_WITHOUT";

/// The file of a program; `None` where it is known to be absent, and the test that asks is left out.
///
/// # Panics
///
/// When the program is missing, and nobody said so: a test that is left out in silence shows nothing.
pub fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // The folder of the system's own programs is not on everybody's path.
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = folders.map(|folder| folder.join(name)).find(|file| file.is_file());
    if found.is_none() {
        check_is_known(name);
    }
    found
}

/// The folder of a package of Python's that `cargo xtask test` has installed, for `PYTHONPATH`; `None` where it is known to be
/// absent.
///
/// # Panics
///
/// As [`installed`].
pub fn python_package(name: &str) -> Option<PathBuf> {
    let folder = target_dir().join("bench-tools").join("python-tests");
    let found = folder.join(name).is_dir().then_some(folder);
    if found.is_none() {
        check_is_known(&format!("python3-{name}"));
    }
    found
}

pub(crate) fn check_is_known(name: &str) {
    let absent = std::env::var(ABSENT).unwrap_or_default();
    let is_known = absent.split_whitespace().any(|known| known == name);
    assert!(is_known, "{name} is not installed (`cargo xtask test` sees to it)");
    eprintln!("left out: there is no {name}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn programs_are_found() {
        assert!(installed("sh").is_some_and(|file| file.ends_with("sh")));
    }

    #[test]
    #[should_panic(expected = "cargo xtask test")]
    fn a_missing_program_is_no_secret() {
        installed("no-such-program");
    }
}
