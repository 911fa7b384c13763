//! Programs that come from Debian's packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::workspace::run;

/// Where packages ask whether they may start what they install (invoke-rc.d(8), deb-systemd-invoke(1p)).
const MAY_START: &str = "/usr/sbin/policy-rc.d";

/// Says no.
const NOTHING_MAY_START: &str = "#!/bin/sh\nexit 101\n";

/// Programs whose package has another name, or that need further ones.
const PACKAGES: [(&str, &str); 8] = [
    ("chromedriver", "chromium-driver"),
    ("testssl", "testssl.sh"),
    ("nghttp", "nghttp2-client"),
    ("h2load", "nghttp2-client"),
    ("mariadbd", "mariadb-server"),
    ("postgres", "postgresql"),
    // With the libc that it compiles components against.
    ("clang-19", "clang-19 libclang-rt-19-dev-wasm32 wasi-libc"),
    ("wasm-ld-19", "lld-19"),
];

/// Makes sure that programs are there: from Debian's packages of their names where this system and user allow it.
///
/// # Errors
/// When one is missing; says how it is installed.
pub fn packages(names: &[&str]) -> Result<()> {
    let missing = missing(names);
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<_> = missing.iter().map(|name| package(name)).collect();
    let advice = || {
        let (names, packages) = (missing.join(" "), packages.join(" "));
        format!("not installed: {names}; install it, on Debian as root by `apt-get install {packages}`")
    };
    println!("Installing {} by apt-get", packages.join(", "));
    let _quiet = Quiet::begin();
    let mut update = Command::new("apt-get");
    let mut install = Command::new("apt-get");
    install
        .args(["install", "--yes", "--no-install-recommends"])
        .args(packages.iter().flat_map(|packages| packages.split(' ')));
    for command in [update.arg("update"), &mut install] {
        let done = command.env("DEBIAN_FRONTEND", "noninteractive").output();
        if !done.is_ok_and(|output| output.status.success()) {
            bail!(advice());
        }
    }
    match self::missing(names)[..] {
        [] => Ok(()),
        ref missing => bail!("no programs in their packages: {}", missing.join(" ")),
    }
}

fn package(program: &str) -> &str {
    let named = PACKAGES.iter().find(|(known, _)| *known == program);
    named.map_or(program, |(_, package)| package)
}

/// Those of `names` that are no program here.
pub fn missing<'a>(names: &[&'a str]) -> Vec<&'a str> {
    names.iter().copied().filter(|name| !is_program(name)).collect()
}

/// The folder of the system's own programs is not on everybody's path.
fn is_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // PostgreSQL's server has a folder for each version.
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let versions = versions.map(|version| version.path().join("bin"));
    let mut folders = std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .chain(versions);
    folders.any(|folder| folder.join(name).is_file())
}

/// While this is there, packages of servers do not start them: the tests start their own, on ports of their own.
struct Quiet(Option<&'static Path>);

impl Quiet {
    fn begin() -> Self {
        let file = Path::new(MAY_START);
        // What the operator wrote stays. Without the file servers are started, and may be in somebody's way; the tests pass.
        let is_ours = !file.exists()
            && fs::write(file, NOTHING_MAY_START).is_ok()
            && run(Command::new("chmod").arg("755").arg(file)).is_ok();
        Self(is_ours.then_some(file))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if let Some(file) = self.0 {
            let _ = fs::remove_file(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found() {
        assert_eq!(missing(&["sh", "no-such-program"]), ["no-such-program"]);
        packages(&["sh"]).expect("nothing to install");
        assert_eq!(
            (package("nginx"), package("chromedriver")),
            ("nginx", "chromium-driver")
        );
    }
}
