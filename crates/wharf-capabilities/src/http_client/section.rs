//! The section `[http-client]` of manifests: what it may say, and the client that it asks for.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use wharf_app::manifest::field::Count;
use wharf_app::read;
use wharf_app::secret::WrittenSecret;
use wharf_host::Kind;
use wharf_host::capability::{Capability, Fault, OpenError, Section, Written};

use super::{HttpClientCapability, HttpClientOptions, Identity, Lookup, Proxy};
use crate::allow::{self, AllowList};

/// Where HTTP requests of guests may go, and by which way.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct HttpClient {
    /// What may be reached, each as a name, `*.NAME`, an address, `NETWORK/BITS` or `public` for the public internet, then
    /// `:PORT` or nothing, with `http://` or
    /// `https://` before it or nothing. A name does not reach private addresses, whatever it resolves to: those are granted
    /// as addresses. `*` allows everything, this machine included. What is not allowed fails with
    /// `HTTP-request-denied`. Default: nothing.
    #[serde(default)]
    allow: Vec<String>,
    /// Files of certificates (PEM) to trust beside the system's and Mozilla's.
    #[serde(default)]
    trust: Vec<String>,
    /// Certificates to show to servers that ask for one.
    #[serde(default)]
    certificates: Vec<Certificate>,
    /// Servers that are spoken to in HTTP/2 from the first byte where there is no TLS, as in `allow`. With TLS it is agreed on.
    /// Default: none; without TLS, HTTP/1.1 is spoken.
    #[serde(default)]
    http2: Vec<String>,
    /// The proxy that requests go through. Default: none.
    proxy: Option<WrittenProxy>,
    /// How many connections are open at a time, for all components of the app together: over HTTP/1.1, that many requests;
    /// over HTTP/2 a connection carries 64. Further requests wait. Default: 1024.
    connections: Option<Count>,
    /// How many of them to one scheme, host and port. Further requests wait. Default: as many as `connections`; a server that
    /// takes fewer is spared by a number here.
    connections_per_origin: Option<Count>,
    /// How many requests wait for a connection to one scheme, host and port. One more fails with
    /// `connection-limit-reached` at once. Default: 10000; who waits costs some kilobytes.
    waiting_per_origin: Option<Count>,
}

/// A certificate, its key, and who gets to see it.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Certificate {
    /// To which servers it is shown, as in `allow`. Of several certificates the first that is for a server counts.
    #[serde(rename = "for")]
    destinations: Vec<String>,
    /// The file of the chain (PEM), the app's own certificate first.
    certificate: String,
    /// Where the private key (PEM, without a passphrase) is: `{ file = "..." }`, `{ variable = "..." }` or
    /// `{ encrypted = "...", name = "..." }`.
    key: WrittenSecret,
}

/// A proxy of HTTP/1.1.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct WrittenProxy {
    /// `http://HOST:PORT`. It needs no grant, and guests do not reach it by being sent through it.
    url: String,
    /// What is reached without it, as in `allow`. Default: nothing.
    #[serde(default)]
    no_proxy: Vec<String>,
    /// Who asks, for proxies that want to know. Default: nobody.
    user: Option<String>,
    /// The user's password: `{ file = "..." }`, `{ variable = "..." }` or `{ encrypted = "...", name = "..." }`.
    password: Option<WrittenSecret>,
    /// Who looks names up. Default: `here`.
    #[serde(default)]
    lookup: WrittenLookup,
}

/// Who looks the names of servers up.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum WrittenLookup {
    /// The server does, checks the addresses, and asks the proxy for a tunnel (`CONNECT`) to one of them, for `http://` as well.
    #[default]
    Here,
    /// The proxy does; which of its network it lets names lead to is up to it. `http://` goes through it request by request,
    /// `https://` by a tunnel.
    Proxy,
}

/// Reads the section, and makes the client.
pub struct HttpClientKind;

impl Section for HttpClientKind {
    fn name(&self) -> &'static str {
        "http-client"
    }

    fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<HttpClient>()
    }

    /// `wasi:http` is there for every app; without the section all is denied.
    fn interfaces(&self) -> &'static [&'static str] {
        &[]
    }

    fn check(&self, written: &Written) -> Vec<Fault> {
        match written.read::<HttpClient>() {
            Ok(section) => section.faults(written),
            Err(fault) => vec![fault],
        }
    }

    fn files(&self, written: &Written) -> Vec<PathBuf> {
        let section = written.read::<HttpClient>();
        section.map(|section| section.files(written)).unwrap_or_default()
    }
}

impl Kind for HttpClientKind {
    fn open(&self, app: &str, written: &Written) -> Result<Arc<dyn Capability>, OpenError> {
        let mut options = written.read::<HttpClient>()?.options(written)?;
        options.app = app.to_owned();
        Ok(Arc::new(HttpClientCapability::new(options)?))
    }

    /// Certificates and passwords are renewed in the files they are in.
    fn stamp(&self, written: &Written) -> u64 {
        let mut hasher = DefaultHasher::new();
        for file in self.files(written) {
            read::regular(&file, read::FILE_BYTES_MAX).ok().hash(&mut hasher);
        }
        hasher.finish()
    }
}

impl HttpClient {
    fn faults(&self, written: &Written) -> Vec<Fault> {
        let mut faults = allow::faults("allow", &self.allow);
        faults.extend(allow::faults("http2", &self.http2));
        for (nth, file) in self.trust.iter().enumerate() {
            let fault = file_fault(&written.path(file));
            faults.extend(fault.map(|fault| fault.below(&nth.to_string()).below("trust")));
        }
        for (nth, certificate) in self.certificates.iter().enumerate() {
            let found = certificate.faults(written).into_iter();
            faults.extend(found.map(|fault| fault.below(&nth.to_string()).below("certificates")));
        }
        if let Some(proxy) = &self.proxy {
            faults.extend(proxy.faults(written).into_iter().map(|fault| fault.below("proxy")));
        }
        faults
    }

    fn files(&self, written: &Written) -> Vec<PathBuf> {
        let keys = self.certificates.iter().map(|certificate| &certificate.key);
        let password = self.proxy.iter().filter_map(|proxy| proxy.password.as_ref());
        let secrets = keys.chain(password).filter_map(|secret| secret.source(written).ok());
        let certificates = self.certificates.iter().map(|certificate| &certificate.certificate);
        let named = self.trust.iter().chain(certificates).map(|file| written.path(file));
        named.chain(secrets.flat_map(|source| source.files())).collect()
    }

    fn options(self, written: &Written) -> Result<HttpClientOptions, OpenError> {
        let mut options = HttpClientOptions::new(AllowList::parse(&self.allow)?);
        options.http2 = AllowList::parse(&self.http2)?;
        let set = |option: &mut usize, count: Option<Count>| {
            if let Some(Count(count)) = count {
                *option = count as usize;
            }
        };
        set(&mut options.connections_max, self.connections);
        set(&mut options.connections_per_origin_max, self.connections_per_origin);
        set(&mut options.waiting_per_origin_max, self.waiting_per_origin);
        for file in &self.trust {
            let file = written.path(file);
            let trusted = options.trust_pem(&content(&file)?);
            trusted.map_err(|error| format!("cannot trust {}: {error}", file.display()))?;
        }
        for certificate in &self.certificates {
            options.identities.push(certificate.identity(written)?);
        }
        options.proxy = self.proxy.map(|proxy| proxy.open(written)).transpose()?;
        Ok(options)
    }
}

impl Certificate {
    fn faults(&self, written: &Written) -> Vec<Fault> {
        let mut faults = allow::faults("for", &self.destinations);
        let file = file_fault(&written.path(&self.certificate));
        faults.extend(file.map(|fault| fault.below("certificate")));
        faults.extend(secret_fault(&self.key, written).map(|fault| fault.below("key")));
        if faults.is_empty()
            && let Err(error) = self.identity(written)
        {
            faults.push(Fault::new(["certificate"], error.to_string()));
        }
        faults
    }

    fn identity(&self, written: &Written) -> Result<Identity, OpenError> {
        let file = written.path(&self.certificate);
        let key = self.key.source(written)?.read()?;
        let identity = Identity::from_pem(AllowList::parse(&self.destinations)?, &content(&file)?, key.as_bytes());
        Ok(identity.map_err(|error| format!("{}: {error}", file.display()))?)
    }
}

impl WrittenProxy {
    fn faults(&self, written: &Written) -> Vec<Fault> {
        let mut faults = allow::faults("no-proxy", &self.no_proxy);
        if let Err(error) = Proxy::new(&self.url, AllowList::default(), Lookup::Here) {
            faults.push(Fault::new(["url"], error.to_string()));
        }
        match (&self.user, &self.password) {
            (None, Some(_)) => {
                faults.push(Fault::new(["password"], "nobody has this password").with_help("say `user` as well"))
            }
            (Some(_), None) => {
                faults.push(Fault::new(["user"], "the user has no password").with_help("say `password` as well"))
            }
            (Some(_), Some(password)) => {
                faults.extend(secret_fault(password, written).map(|fault| fault.below("password")))
            }
            (None, None) => {}
        }
        faults
    }

    fn open(self, written: &Written) -> Result<Proxy, OpenError> {
        let lookup = match self.lookup {
            WrittenLookup::Here => Lookup::Here,
            WrittenLookup::Proxy => Lookup::Proxy,
        };
        let proxy = Proxy::new(&self.url, AllowList::parse(&self.no_proxy)?, lookup)?;
        Ok(match (&self.user, &self.password) {
            (Some(user), Some(password)) => proxy.with_credentials(user, &password.source(written)?.read()?)?,
            _ => proxy,
        })
    }
}

fn content(file: &Path) -> Result<Vec<u8>, OpenError> {
    let content = read::regular(file, read::FILE_BYTES_MAX);
    Ok(content.map_err(|error| format!("cannot read {}: {error}", file.display()))?)
}

fn file_fault(file: &Path) -> Option<Fault> {
    let error = content(file).err()?;
    Some(Fault::new([], error.to_string()))
}

fn secret_fault(secret: &WrittenSecret, written: &Written) -> Option<Fault> {
    match secret.source(written) {
        Ok(source) => source.read().err().map(|error| Fault::new([], error.to_string())),
        Err(fault) => Some(fault),
    }
}
