//! From permission flags to capabilities: what the operator granted, checked before anything runs.
//!
//! A capability that no flag asks for is not made, and what is not granted is denied by the host.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use wharf_capabilities::filesystem::{FilesystemCapability, Folder};
use wharf_capabilities::http_client::{HttpClientCapability, HttpClientOptions};
use wharf_capabilities::sockets::SocketsCapability;
use wharf_capabilities::{AllowList, PatternError};
use wharf_host::{Capabilities, Capability};

use crate::cli::Grants;
use crate::cli::value::Variable;

/// Everything that `grants` allows, and nothing else.
pub fn capabilities(grants: &Grants) -> anyhow::Result<Capabilities> {
    let mut capabilities: Vec<Arc<dyn Capability>> = Vec::new();
    if !grants.folders.is_empty() || !grants.read_only_folders.is_empty() {
        capabilities.push(Arc::new(FilesystemCapability::new(folders(grants))?));
    }
    if !grants.allow_net.is_empty() {
        capabilities.push(Arc::new(SocketsCapability::new(allow_list(&grants.allow_net)?)?));
    }
    if !grants.allow_outbound.is_empty() {
        capabilities.push(Arc::new(HttpClientCapability::new(http_client(grants)?)?));
    }
    Ok(capabilities.into())
}

/// The guest's whole environment. A variable that is given twice has its last value.
pub fn variables(grants: &Grants) -> Vec<(String, String)> {
    let mut variables: Vec<(String, String)> = Vec::new();
    for Variable { name, value } in &grants.variables {
        match variables.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => known.clone_from(value),
            None => variables.push((name.clone(), value.clone())),
        }
    }
    variables
}

fn folders(grants: &Grants) -> impl Iterator<Item = Folder> {
    let writable = grants.folders.iter().map(|folder| (folder, false));
    let read_only = grants.read_only_folders.iter().map(|folder| (folder, true));
    writable.chain(read_only).map(|(folder, read_only)| Folder {
        host: folder.host.clone(),
        guest: folder.guest.clone(),
        read_only,
    })
}

/// Cannot fail on what `cli.rs` has let through.
fn allow_list(patterns: &[String]) -> Result<AllowList, PatternError> {
    AllowList::parse(patterns)
}

fn http_client(grants: &Grants) -> anyhow::Result<HttpClientOptions> {
    let mut options = HttpClientOptions::new(allow_list(&grants.allow_outbound)?);
    for file in &grants.outbound_ca {
        trust(&mut options, file).with_context(|| format!("cannot trust {}", file.display()))?;
    }
    Ok(options)
}

fn trust(options: &mut HttpClientOptions, file: &Path) -> anyhow::Result<()> {
    Ok(options.trust_pem(&std::fs::read(file)?)?)
}
