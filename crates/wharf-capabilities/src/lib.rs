//! What guests may reach beyond their sandbox: one module per capability, one pattern language for all of them.
//!
//! A capability is made once per app from its options, and grants to each instance what they say
//! ([`wharf_host::Capability`]). Bad options fail when it is made, before any guest runs. Adding one that has a section of
//! the manifest takes a module here and a line in [`kinds`].

pub mod allow;
pub mod cache;
pub mod config;
mod denials;
pub mod filesystem;
pub mod http_client;
pub mod keyvalue;
pub mod logging;
mod rate;
mod redis;
pub mod resolve;
mod section;
pub mod sockets;
pub mod sql;

use std::sync::Arc;

use wharf_host::Kind;

pub use allow::{AllowList, PatternError};
pub use filesystem::{FilesystemCapability, Folder, FolderError};
pub use http_client::{HttpClientCapability, HttpClientKind, HttpClientOptions};
pub use sockets::{SocketsCapability, SocketsKind};
pub use sql::SqlKind;

/// The capabilities that apps ask for with a section of their manifest. This is the one list: what is in it is in the
/// schema, in the reference, in metrics, and in what components may import.
pub fn kinds() -> Vec<Arc<dyn Kind>> {
    vec![
        Arc::new(HttpClientKind),
        Arc::new(SocketsKind),
        Arc::new(SqlKind),
        Arc::new(cache::CacheKind),
        Arc::new(keyvalue::KeyvalueKind),
        Arc::new(config::ConfigKind),
        Arc::new(logging::LoggingKind),
    ]
}
