//! From what an app is granted to capabilities, checked before anything runs.
//!
//! A capability that nothing asks for is not made, and what is not granted is denied by the host. The flags of a single
//! component say the same as a manifest's sections ([`grant`]).

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use wharf_capabilities::AllowList;
use wharf_capabilities::filesystem::{FilesystemCapability, Folder};
use wharf_capabilities::http_client::{HttpClientCapability, HttpClientOptions};
use wharf_capabilities::sockets::SocketsCapability;
use wharf_host::{Capabilities, Capability};
use wharf_server::manifest::app::{self as plan, Access, App};

use crate::cli::Grants;

/// Everything that `app` is granted, and nothing else.
pub fn capabilities(app: &App) -> anyhow::Result<Capabilities> {
    let mut capabilities: Vec<Arc<dyn Capability>> = Vec::new();
    if !app.folders.is_empty() {
        let folders = app.folders.iter().map(|folder| Folder {
            host: folder.host.clone(),
            guest: folder.guest.clone(),
            read_only: folder.access == Access::Read,
        });
        capabilities.push(Arc::new(FilesystemCapability::new(folders)?));
    }
    if !app.sockets.allow.is_empty() {
        let allow = AllowList::parse(&app.sockets.allow).context("what sockets may reach")?;
        capabilities.push(Arc::new(SocketsCapability::new(allow)?));
    }
    if !app.http_client.allow.is_empty() {
        capabilities.push(Arc::new(HttpClientCapability::new(http_client(app)?)?));
    }
    Ok(capabilities.into())
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
    app.sockets.allow.clone_from(&grants.allow_net);
    app.http_client.allow.clone_from(&grants.allow_outbound);
    app.http_client.trust.clone_from(&grants.outbound_ca);
    // A variable that is given twice has its last value.
    let variables = grants.variables.iter();
    app.environment = variables
        .map(|variable| (variable.name.clone(), variable.value.clone()))
        .collect();
}

fn http_client(app: &App) -> anyhow::Result<HttpClientOptions> {
    let allow = AllowList::parse(&app.http_client.allow).context("what outgoing requests may reach")?;
    let mut options = HttpClientOptions::new(allow);
    if let Some(most) = app.limits.outgoing_max {
        options.connections_max = most as usize;
    }
    for file in &app.http_client.trust {
        trust(&mut options, file).with_context(|| format!("cannot trust {}", file.display()))?;
    }
    Ok(options)
}

fn trust(options: &mut HttpClientOptions, file: &Path) -> anyhow::Result<()> {
    Ok(options.trust_pem(&std::fs::read(file)?)?)
}
