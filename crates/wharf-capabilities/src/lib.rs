//! What guests may reach beyond their sandbox: one module per capability, one pattern language for all of them.
//!
//! A capability is made once per app from its options, and grants to each instance what they say
//! ([`wharf_host::Capability`]). Bad options fail when it is made, before any guest runs.

pub mod allow;
pub mod filesystem;
pub mod http_client;
pub mod resolve;
pub mod sockets;

pub use allow::{AllowList, PatternError};
pub use filesystem::{FilesystemCapability, Folder, FolderError};
pub use http_client::{HttpClientCapability, HttpClientOptions};
pub use sockets::SocketsCapability;
