//! Listeners and proxies as they are written: `[[server.listeners]]` and what stands beside it.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::field::At;

/// Where the server listens, and what it does with the connections. `listen` is the short form for those that take plain HTTP.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Listener {
    /// `HOST:PORT`, where port 0 picks a free one; `unix:PATH` for a socket in a file, relative to the manifest's folder; or
    /// `systemd:NAME` for the sockets that systemd hands over under this name (`FileDescriptorName=`).
    pub address: At<String>,
    /// Clients speak TLS, with the certificates of `[server.tls]` or `[server.acme]`. Default: false.
    pub tls: Option<At<bool>>,
    /// Connections come from a proxy that passes bytes on and says whose they are, in a header of the PROXY protocol, version 1
    /// or 2. Connections without it, and those from other addresses than `trusted-proxies`, are closed. Default: false.
    pub proxy_protocol: Option<At<bool>>,
    /// Every request is answered with 308, which sends its client to the same host by `https`, but for what authorities ask who
    /// give out certificates, and for requests that came to a trusted proxy by `https`. Default: false.
    pub redirect_to_https: Option<At<bool>>,
    /// The port that clients are sent to by `redirect-to-https`. Default: that of the first listener with TLS; another one where
    /// clients see the port of a proxy in front.
    pub https_port: Option<At<u16>>,
    /// Who may connect to a `unix:` socket, as the permissions of its file in octal digits. Default: `660`, the user and the group
    /// that the server runs as.
    pub mode: Option<At<String>>,
}

/// In which fields of requests trusted proxies say who asks, and guests are told.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::enum_variant_names, reason = "the words of a manifest")]
pub enum Forwarded {
    /// `x-forwarded-for` with the client's address and `x-forwarded-proto` with its scheme.
    XForwarded,
    /// `forwarded` (RFC 7239), with both.
    Forwarded,
    /// None: nobody is believed, and guests are not told.
    None,
}
