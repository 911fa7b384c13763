//! Who the server is to clients that come by TLS: its certificates, which of them a client gets, and how they change while
//! it serves; and who clients have to be.
//!
//! Sockets and what is read from them are the listeners' and connections'; this has the handshake in between
//! ([`Tls::accept`]). Certificates are read from files, or ordered from an authority (`tls/acme.rs`). All of them are swapped
//! as one: a handshake sees the old ones or the new ones.

mod acme;
mod certificate;
mod choice;
mod client;
mod folder;
mod handshake;
mod metrics;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    NoClientAuth, NoServerSessionStorage, ProducesTickets, ServerSessionMemoryCache, StoresServerSessions,
};
use rustls::{ServerConfig, SupportedProtocolVersion};
use tokio::sync::Notify;

pub use certificate::{CertificateError, Fault};
pub(crate) use client::{Client, Misdirected};
pub(crate) use handshake::Accepted;
pub(crate) use metrics::TlsMetrics;
pub use wharf_app::app::{AcmeOptions, CertificateFiles, Challenge, ClientCertificates, TlsOptions, TlsVersion};

use acme::{Challenges, Storage};
use certificate::{Certificate, Overdue};
use choice::Choice;
use client::{Policy, policy_for};
use metrics::Trickle;

/// How HTTP/2 and HTTP/1.1 are named while TLS is agreed on (RFC 9113 section 3.2, RFC 7301 section 6).
const ALPN: [&[u8]; 2] = [HTTP2, b"http/1.1"];

/// See [`ALPN`].
pub(crate) const HTTP2: &[u8] = b"h2";

/// Sessions that are remembered for clients of TLS 1.2 that take no tickets, which are rare. One more takes the place of the
/// oldest; a session has some hundred bytes.
const SESSIONS_MAX: usize = 1024;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file of certificates or keys.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Nobody could be answered.
    #[error("there is no certificate")]
    NoCertificate,
    /// Orders need a place for what they bring.
    #[error("there is no folder for ordered certificates: name one with `storage` in `[server.acme]`")]
    NoStorage,
    /// The cryptography that this program was built with does not fit together.
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}

/// The server's certificates, and all that a handshake needs. Cheap to clone; what replaces the certificates replaces them
/// for all clones.
#[derive(Clone)]
pub struct Tls(Arc<Shared>);

struct Shared {
    provider: Arc<CryptoProvider>,
    live: ArcSwap<Live>,
    /// Both stay when certificates change: clients that were here before need no new handshake.
    tickets: Arc<dyn ProducesTickets>,
    sessions: Arc<dyn StoresServerSessions>,
    /// Certificates that the authority gave out, by name. Locked by whoever makes another `live`.
    issued: Mutex<BTreeMap<String, Arc<Certificate>>>,
    challenges: Arc<Challenges>,
    /// What is to be ordered is not what it was.
    orders_changed: Notify,
    metrics: TlsMetrics,
    failures: Trickle,
}

/// What handshakes of one moment use.
struct Live {
    options: TlsOptions,
    /// As they were read.
    read: Vec<(CertificateFiles, Arc<Certificate>)>,
    choice: Arc<Choice>,
    /// For hosts that ask clients for nothing.
    config: Arc<ServerConfig>,
    /// For the others, in the order of the options.
    policies: Vec<(Arc<Policy>, Arc<ServerConfig>)>,
    /// How many there were before.
    generation: u64,
}

impl Tls {
    /// Reads what `options` name. What cannot be used of a folder is logged and left out.
    ///
    /// # Errors
    /// When a file that is named cannot be used, or there is neither a certificate nor an order for one.
    pub fn new(options: TlsOptions) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let issued = issued_before(&options, &provider)?;
        let tickets = rustls::crypto::ring::Ticketer::new().map_err(TlsError::Setup)?;
        let sessions: Arc<dyn StoresServerSessions> = ServerSessionMemoryCache::new(SESSIONS_MAX);
        let material = Material {
            provider: &provider,
            tickets: &tickets,
            sessions: &sessions,
            issued: &issued,
            before: None,
        };
        let (live, refused) = material.live(options)?;
        for trouble in refused {
            tracing::error!("a certificate cannot be used: {trouble}");
        }
        let metrics = TlsMetrics::default();
        metrics.certificates(live.choice.all());
        Ok(Self(Arc::new(Shared {
            live: ArcSwap::from_pointee(live),
            provider,
            tickets,
            sessions,
            issued: Mutex::new(issued),
            challenges: Arc::default(),
            orders_changed: Notify::new(),
            metrics,
            failures: Trickle::default(),
        })))
    }

    /// What of `options` cannot be used. Writes nothing, and asks nobody.
    pub fn check(options: TlsOptions) -> Vec<TlsError> {
        let material = || {
            let tickets = rustls::crypto::ring::Ticketer::new().map_err(TlsError::Setup)?;
            let sessions: Arc<dyn StoresServerSessions> = Arc::new(NoServerSessionStorage {});
            let material = Material {
                provider: &Arc::new(rustls::crypto::ring::default_provider()),
                tickets: &tickets,
                sessions: &sessions,
                issued: &BTreeMap::new(),
                before: None,
            };
            material.live(options).map(|(_, refused)| refused)
        };
        material().unwrap_or_else(|error| vec![error])
    }

    /// Reads what `options` name, and uses it for handshakes from now on. Connections that are open stay as they are. A
    /// certificate that cannot be read any more stays as it was; what could not be taken is returned.
    ///
    /// # Errors
    /// When nothing of it can be taken: then nothing changes.
    pub fn replace(&self, options: TlsOptions) -> Result<Vec<TlsError>, TlsError> {
        let shared = &self.0;
        let before = shared.live.load_full();
        let mut issued = shared.lock_issued();
        if options.acme != before.options.acme {
            *issued = issued_before(&options, &shared.provider)?;
            shared.orders_changed.notify_one();
        }
        let (live, refused) = shared.material(&issued, Some(&before)).live(options)?;
        shared.store(live);
        Ok(refused)
    }

    /// Reads anew what was named before, as [`Tls::replace`] does.
    ///
    /// # Errors
    /// As for [`Tls::replace`].
    pub fn read_again(&self) -> Result<Vec<TlsError>, TlsError> {
        self.replace(self.0.live.load().options.clone())
    }

    /// Orders certificates as far as the options ask for it; never ends.
    pub(crate) async fn keep_ordered(&self) {
        loop {
            let options = self.0.live.load().options.acme.clone();
            let storage = options.as_ref().map(|options| (options.clone(), storage(options)));
            let keep = async {
                match storage {
                    Some((options, Ok(storage))) => acme::keep(self.0.clone(), options, storage).await,
                    Some((_, Err(error))) => {
                        tracing::error!("certificates are not renewed: {error}");
                        std::future::pending().await
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = keep => {}
                () = self.0.orders_changed.notified() => {}
            }
        }
    }

    /// The answer to a plain request for `path`, if an authority asks it just now (RFC 8555 section 8.3).
    pub(crate) fn challenge(&self, path: &str) -> Option<String> {
        self.0.challenges.for_path(path)
    }

    /// Whether a request for `host` may come on a connection of this client's, by what is asked of clients now; else it has to come
    /// on another one (RFC 9110 section 15.5.20).
    pub(crate) fn admits(&self, client: &Client, host: &str) -> Result<(), Misdirected> {
        let live = self.0.live.load();
        if live.policies.is_empty() {
            return Ok(());
        }
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        client.is_let_in_by(live.policy_for(Some(&host)).map(|(policy, _)| &**policy))
    }

    /// Whether nobody is let in for `host` without a certificate, and so nobody without TLS.
    pub(crate) fn requires_certificate(&self, host: &str) -> bool {
        let live = self.0.live.load();
        if live.policies.is_empty() {
            return false;
        }
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let policy = live.policy_for(Some(&host));
        policy.is_some_and(|(policy, _)| policy.written.is_required)
    }

    pub(crate) fn metrics(&self) -> &TlsMetrics {
        &self.0.metrics
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.0.live.load().options).finish()
    }
}

impl Shared {
    fn lock_issued(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Certificate>>> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn issued(&self, name: &str) -> Option<Arc<Certificate>> {
        self.lock_issued().get(name).cloned()
    }

    /// The authority has given out a certificate.
    fn issue(&self, name: &str, certificate: Arc<Certificate>) {
        let mut issued = self.lock_issued();
        issued.insert(name.to_owned(), certificate);
        let before = self.live.load_full();
        match before.with_issued(&issued, self) {
            Ok(live) => self.store(live),
            Err(error) => tracing::error!(name, "a new certificate is not used: {error}"),
        }
    }

    fn store(&self, live: Live) {
        self.metrics.certificates(live.choice.all());
        self.live.store(Arc::new(live));
    }

    fn material<'a>(
        &'a self,
        issued: &'a BTreeMap<String, Arc<Certificate>>,
        before: Option<&'a Live>,
    ) -> Material<'a> {
        Material {
            provider: &self.provider,
            tickets: &self.tickets,
            sessions: &self.sessions,
            issued,
            before,
        }
    }
}

/// What a [`Live`] is made of.
struct Material<'a> {
    provider: &'a Arc<CryptoProvider>,
    tickets: &'a Arc<dyn ProducesTickets>,
    sessions: &'a Arc<dyn StoresServerSessions>,
    issued: &'a BTreeMap<String, Arc<Certificate>>,
    /// What there is already; nothing at the start.
    before: Option<&'a Live>,
}

impl Material<'_> {
    /// What `options` name, and what of it could not be taken.
    fn live(&self, options: TlsOptions) -> Result<(Live, Vec<TlsError>), TlsError> {
        let mut refused = Vec::new();
        let mut read = Vec::new();
        for files in &options.certificates {
            match self.certificate(files) {
                Ok(certificate) => read.push((files.clone(), certificate)),
                // At the start somebody is there to read it.
                Err(error) if self.before.is_none() => return Err(error.into()),
                Err(error) => {
                    read.extend(self.kept(files));
                    refused.push(error.into());
                }
            }
        }
        for folder in &options.folders {
            let pairs = folder::pairs(folder).map_err(|error| Fault::from(error).of(folder));
            let pairs = match (pairs, self.before) {
                (Ok(pairs), _) => pairs,
                (Err(error), None) => return Err(error.into()),
                (Err(error), Some(before)) => {
                    refused.push(error.into());
                    let known = before.read.iter().map(|(files, _)| files.clone());
                    known.filter(|files| files.certificate.starts_with(folder)).collect()
                }
            };
            for files in pairs {
                match self.certificate(&files) {
                    Ok(certificate) => read.push((files, certificate)),
                    Err(error) => {
                        read.extend(self.kept(&files));
                        refused.push(error.into());
                    }
                }
            }
        }
        if read.is_empty() && options.acme.is_none() {
            return Err(refused.pop().unwrap_or(TlsError::NoCertificate));
        }
        let mut policies = Vec::new();
        for written in &options.client_certificates {
            policies.push(self.policy(written, &mut refused)?);
        }
        Ok((self.put_together(options, read, policies)?, refused))
    }

    fn generation(&self) -> u64 {
        self.before.map_or(0, |before| before.generation + 1)
    }

    fn put_together(
        &self,
        options: TlsOptions,
        read: Vec<(CertificateFiles, Arc<Certificate>)>,
        policies: Vec<Arc<Policy>>,
    ) -> Result<Live, TlsError> {
        let default = read.iter().position(|(files, _)| files.is_default).unwrap_or(0);
        let certificates: Vec<Arc<Certificate>> = read.iter().map(|(_, certificate)| certificate.clone()).collect();
        let ordered = self.issued.values().cloned();
        let certificates: Vec<_> = certificates.into_iter().chain(ordered).collect();
        let choice = Arc::new(Choice::new(certificates, default, options.default_for_unknown_names));
        let config = self.config(&options, &choice, None)?;
        let with_config = |policy: Arc<Policy>| {
            let config = self.config(&options, &choice, Some(policy.verifier.clone()))?;
            Ok((policy, config))
        };
        let policies = policies.into_iter().map(with_config).collect::<Result<_, TlsError>>()?;
        Ok(Live {
            options,
            read,
            choice,
            config,
            policies,
            generation: self.generation(),
        })
    }

    fn certificate(&self, files: &CertificateFiles) -> Result<Arc<Certificate>, CertificateError> {
        let certificate = Certificate::read(files, self.provider)?;
        warn_if_overdue(&certificate);
        Ok(Arc::new(certificate))
    }

    /// The certificate that these files held before.
    fn kept(&self, files: &CertificateFiles) -> Option<(CertificateFiles, Arc<Certificate>)> {
        let mut known = self.before?.read.iter();
        let (_, certificate) = known.find(|(known, _)| known.certificate == files.certificate)?;
        Some((files.clone(), certificate.clone()))
    }

    /// One that cannot be read any more stays as it was. A new one has to be right: without it, everybody would be let in.
    fn policy(&self, written: &ClientCertificates, refused: &mut Vec<TlsError>) -> Result<Arc<Policy>, TlsError> {
        let known = self.before.iter().flat_map(|before| &before.policies);
        let mut known = known.map(|(policy, _)| policy);
        let error = match Policy::read(written, self.provider, self.generation()) {
            Ok(policy) => {
                // One that has not changed stays: whom it has let in is looked at no more.
                let same = known.find(|known| known.is_like(&policy)).cloned();
                return Ok(same.unwrap_or_else(|| Arc::new(policy)));
            }
            Err(error) => error,
        };
        match known.find(|policy| policy.written == *written) {
            Some(known) => {
                refused.push(error.into());
                Ok(known.clone())
            }
            None => Err(error.into()),
        }
    }

    fn config(
        &self,
        options: &TlsOptions,
        choice: &Arc<Choice>,
        verifier: Option<Arc<dyn ClientCertVerifier>>,
    ) -> Result<Arc<ServerConfig>, TlsError> {
        let asks = verifier.is_some();
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(and_later(options.min_version))
            .map_err(TlsError::Setup)?
            .with_client_cert_verifier(verifier.unwrap_or_else(|| Arc::new(NoClientAuth)))
            .with_cert_resolver(choice.clone());
        config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
        // The order is AES-256, AES-128, ChaCha20 for everybody. A client without instructions for AES would rather have the last;
        // all of them are fine, but checkers of TLS want a server to decide, and see nothing else of it.
        config.ignore_client_order = true;
        // A session that is taken up again brings along the client's certificate, which may have expired or been revoked
        // since: where one is asked for, each handshake is a whole one.
        if asks {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        } else {
            config.ticketer = self.tickets.clone();
            config.session_storage = self.sessions.clone();
        }
        Ok(Arc::new(config))
    }
}

impl Live {
    /// The same with other certificates from the authority.
    fn with_issued(&self, issued: &BTreeMap<String, Arc<Certificate>>, shared: &Shared) -> Result<Self, TlsError> {
        let policies = self.policies.iter().map(|(policy, _)| policy.clone()).collect();
        shared
            .material(issued, Some(self))
            .put_together(self.options.clone(), self.read.clone(), policies)
    }

    /// What clients that ask for a host have to show.
    fn policy_for(&self, host: Option<&str>) -> Option<&(Arc<Policy>, Arc<ServerConfig>)> {
        let policies = self.policies.iter().map(|(policy, _)| &policy.written);
        policy_for(policies, host).and_then(|nth| self.policies.get(nth))
    }
}

fn and_later(version: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    const ONLY_1_3: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
    match version {
        TlsVersion::V1_2 => rustls::DEFAULT_VERSIONS,
        TlsVersion::V1_3 => ONLY_1_3,
    }
}

fn storage(options: &AcmeOptions) -> Result<Storage, TlsError> {
    let folder = options.storage.as_deref().ok_or(TlsError::NoStorage)?;
    Ok(Storage::open(folder, &options.directory)?)
}

/// What was ordered when the server ran before.
fn issued_before(
    options: &TlsOptions,
    provider: &CryptoProvider,
) -> Result<BTreeMap<String, Arc<Certificate>>, TlsError> {
    let Some(acme) = &options.acme else {
        return Ok(BTreeMap::new());
    };
    let kept = acme::kept(acme, &storage(acme)?, provider);
    Ok(kept
        .into_iter()
        .map(|(name, certificate)| (name, Arc::new(certificate)))
        .collect())
}

/// It is used all the same: clocks are wrong at times, and some clients look at nothing but the key.
fn warn_if_overdue(certificate: &Certificate) {
    let file = &certificate.origin;
    match certificate.overdue(SystemTime::now()) {
        Some(Overdue::NotYet) => tracing::warn!(file, "the certificate does not hold yet: clients will refuse it"),
        Some(Overdue::Expired) => tracing::warn!(file, "the certificate has expired: clients will refuse it"),
        None => {}
    }
}

/// The files and folders whose change may mean other certificates.
pub(crate) fn watched(options: &TlsOptions) -> Vec<PathBuf> {
    let in_folders = options.folders.iter().flat_map(|folder| folder::watched(folder));
    options.files().cloned().chain(in_folders).collect()
}

#[cfg(test)]
mod tests;
