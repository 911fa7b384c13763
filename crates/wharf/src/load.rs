//! From a file to a compiled component, by way of the folder for compiled code.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, bail};
use wharf_host::{CodeCache, Component, ComponentError, Engine};

use crate::cli::Machine;

/// The component in `file`.
pub fn component(engine: &Engine, machine: &Machine, file: &Path) -> anyhow::Result<Component> {
    let bytes = read(file)?;
    let begun = Instant::now();
    let name = file.display().to_string();
    let component = match precompiled(engine, machine.allow_precompiled, &name, &bytes)? {
        Some(component) => component,
        None => Component::new(engine, &name, &bytes, cache(machine)?.as_ref())?,
    };
    tracing::debug!(component = component.name(), bytes = bytes.len(), elapsed = ?begun.elapsed(), "loaded");
    Ok(component)
}

/// The component in `bytes`, if they are compiled code and that is allowed.
#[expect(
    unsafe_code,
    reason = "whoever runs the program vouches for compiled code, with a flag"
)]
pub fn precompiled(
    engine: &Engine,
    allowed: bool,
    name: &str,
    bytes: &[u8],
) -> Result<Option<Component>, ComponentError> {
    if !allowed || !Component::is_artefact(bytes) {
        return Ok(None);
    }
    // SAFETY: the flag says, and its help, that all files of compiled code are from somebody that is trusted.
    unsafe { Component::from_artefact(engine, name, bytes) }.map(Some)
}

/// Whether those who look for a fault get lines of the source: unless the environment says otherwise, and unless code may come that was
/// compiled without. Who serves strangers' requests has them for the asking alone: they cost memory.
pub fn source_lines(machine: &Machine) -> bool {
    const VARIABLE: &str = "WASMTIME_BACKTRACE_DETAILS";
    !machine.allow_precompiled && std::env::var_os(VARIABLE).is_none()
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    refuse_folder(file)?;
    std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

/// Says what to name where a folder stands in the place of a component: other commands take the folder of a manifest.
pub fn refuse_folder(file: &Path) -> anyhow::Result<()> {
    let Ok(entries) = file.read_dir() else {
        return Ok(());
    };
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let components = files.filter(|file| file.extension().is_some_and(|extension| extension == "wasm"));
    let such_as = components.min().map(|file| format!(", such as {}", file.display()));
    bail!(
        "{} is a folder: name the component in it{}",
        file.display(),
        such_as.unwrap_or_default()
    )
}

/// Where compiled code is kept. A folder that was asked for has to be usable; the usual one is only a convenience.
pub fn cache(machine: &Machine) -> anyhow::Result<Option<CodeCache>> {
    if machine.no_cache {
        return Ok(None);
    }
    if let Some(folder) = machine.cache.as_ref().filter(|folder| !folder.as_os_str().is_empty()) {
        return Ok(Some(CodeCache::open(folder)?));
    }
    let Some(folder) = usual_cache_folder(|name| std::env::var_os(name).map(PathBuf::from)) else {
        tracing::debug!("no folder for compiled code: the user has no home");
        return Ok(None);
    };
    match CodeCache::open(folder) {
        Ok(cache) => Ok(Some(cache)),
        Err(error) => {
            tracing::warn!(%error, "compiled code is not kept");
            Ok(None)
        }
    }
}

/// Where this system keeps what can be made again, as far as the environment tells.
fn usual_cache_folder(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    // The XDG specification: a relative path is to be ignored. An empty one, which is also relative, means unset.
    let absolute = |name: &str| variable(name).filter(|path| path.is_absolute());
    let folder = if cfg!(windows) {
        absolute("LOCALAPPDATA")?
    } else if cfg!(target_os = "macos") {
        absolute("HOME")?.join("Library/Caches")
    } else {
        // systemd has made it for this service alone (`CacheDirectory=`); of several, which stand apart by colons, the first.
        let services = variable("CACHE_DIRECTORY");
        let service = services
            .as_ref()
            .and_then(|folders| std::env::split_paths(folders).next());
        if let Some(service) = service.filter(|folder| folder.is_absolute()) {
            return Some(service);
        }
        absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?
    };
    Some(folder.join("wharf"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(all(unix, not(target_os = "macos")))]
    #[test]
    fn compiled_code_is_kept_where_the_user_keeps_such_things() {
        #[track_caller]
        fn check(variables: &[(&str, &str)], expected: Option<&str>) {
            let variable = |name: &str| {
                variables
                    .iter()
                    .find(|(given, _)| *given == name)
                    .map(|(_, value)| PathBuf::from(value))
            };
            assert_eq!(usual_cache_folder(variable), expected.map(PathBuf::from));
        }
        check(&[("HOME", "/users/a")], Some("/users/a/.cache/wharf"));
        check(
            &[("HOME", "/users/a"), ("XDG_CACHE_HOME", "/cache")],
            Some("/cache/wharf"),
        );
        check(
            &[("HOME", "/users/a"), ("XDG_CACHE_HOME", "")],
            Some("/users/a/.cache/wharf"),
        );
        check(
            &[("HOME", "/users/a"), ("XDG_CACHE_HOME", "cache")],
            Some("/users/a/.cache/wharf"),
        );
        check(&[("XDG_CACHE_HOME", "/cache")], Some("/cache/wharf"));
        check(
            &[
                ("HOME", "/users/a"),
                ("CACHE_DIRECTORY", "/var/cache/wharf:/var/cache/more"),
            ],
            Some("/var/cache/wharf"),
        );
        check(
            &[("HOME", "/users/a"), ("CACHE_DIRECTORY", "cache")],
            Some("/users/a/.cache/wharf"),
        );
        check(&[("HOME", "")], None);
        check(&[], None);
    }
}
