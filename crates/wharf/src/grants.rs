//! From what an app is granted to capabilities, checked before anything runs.
//!
//! A capability that nothing asks for is not made, and what is not granted is denied by the host. The flags of a single
//! component say the same as a manifest's sections ([`grant`]).

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};
use wharf_capabilities::filesystem::{FilesystemCapability, Folder};
use wharf_host::Capability;
use wharf_server::manifest::Written;
use wharf_server::manifest::app::{self as plan, Access, App};

use crate::cli::Grants;

/// What `app` is granted by the manifest's own sections, and nothing else.
pub fn capabilities(app: &App) -> anyhow::Result<Vec<Arc<dyn Capability>>> {
    let mut capabilities: Vec<Arc<dyn Capability>> = Vec::new();
    if !app.folders.is_empty() {
        let folders = app.folders.iter().map(|folder| Folder {
            host: folder.host.clone(),
            guest: folder.guest.clone(),
            read_only: folder.access == Access::Read,
        });
        capabilities.push(Arc::new(FilesystemCapability::new(folders)?));
    }
    Ok(capabilities)
}

/// Grants `app` what flags say.
pub fn grant(app: &mut App, grants: &Grants) {
    let folder = |folder: &crate::cli::value::Folder, access| plan::Folder {
        guest: folder.guest.clone(),
        host: folder.host.clone(),
        access,
    };
    let writable = grants.folders.iter().map(|given| folder(given, Access::Write));
    let read_only = grants.read_only_folders.iter().map(|given| folder(given, Access::Read));
    app.folders = writable.chain(read_only).collect();
    if !grants.allow_net.is_empty() {
        section(app, "sockets", json!({ "allow": grants.allow_net }));
    }
    if !grants.allow_outbound.is_empty() {
        let trust: Vec<_> = grants.outbound_ca.iter().map(|file| file.to_string_lossy()).collect();
        section(
            app,
            "http-client",
            json!({ "allow": grants.allow_outbound, "trust": trust }),
        );
    }
    // A variable that is given twice has its last value.
    let variables = grants.variables.iter();
    app.environment = variables
        .map(|variable| (variable.name.clone(), variable.value.clone()))
        .collect();
}

/// What a manifest in the folder that the program was started in would say.
fn section(app: &mut App, name: &str, value: Value) {
    let folder = PathBuf::new();
    app.sections.insert(name.to_owned(), Written { value, folder });
}
