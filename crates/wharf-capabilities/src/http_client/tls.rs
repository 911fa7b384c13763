//! TLS towards origins: whom to trust, what to offer, and who to be.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::OnceCell;
use wharf_host::http::ErrorCode;

use super::connect::Speaks;
use super::origin::Origin;
use crate::allow::AllowList;

/// What a client cannot work with.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TlsError {
    /// Text that was to hold certificates.
    #[error("these are no certificates in PEM form: {0}")]
    Pem(String),
    /// A certificate that cannot vouch for others.
    #[error("the certificate number {number} of the extra roots cannot be trusted as an authority")]
    Root {
        /// Counted from 1.
        number: usize,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// Text that was to hold a private key. What it holds is not said.
    #[error("there is no private key in PEM form, or one with a passphrase")]
    Key,
    /// A certificate that cannot be shown to origins.
    #[error("the client certificate cannot be used: {0}")]
    Identity(#[source] rustls::Error),
    /// The cryptography that this program was built with does not fit together.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}

/// A certificate to show to some origins, where they ask for one.
#[derive(Debug)]
pub struct Identity {
    destinations: AllowList,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// What `chain` and `key` hold in PEM form, for the origins that `destinations` covers.
    ///
    /// # Errors
    /// When there is no certificate or no key. Whether they belong together is seen when the client is made.
    pub fn from_pem(destinations: AllowList, chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::Key)?;
        Ok(Self {
            destinations,
            chain: certificates(chain)?,
            key,
        })
    }
}

/// The certificates of a PEM text, at least one.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::Pem(error.to_string()))?;
    if certificates.is_empty() {
        return Err(TlsError::Pem("it holds no certificate".to_owned()));
    }
    Ok(certificates)
}

/// TLS settings, complete after the first use: reading the system's certificates takes some milliseconds, and many
/// apps never call out.
pub(super) struct Tls {
    extra_roots: RootCertStore,
    identities: Arc<[Identity]>,
    configs: OnceCell<Configs>,
}

/// The settings for origins that get no certificate, then those for each identity. Each has sessions of its own: one
/// that an origin remembers belongs to who began it.
type Configs = Vec<Config>;

struct Config {
    any: Arc<ClientConfig>,
    http1: Arc<ClientConfig>,
}

impl Tls {
    pub(super) fn new(extra_roots: Vec<CertificateDer<'static>>, identities: Vec<Identity>) -> Result<Self, TlsError> {
        let mut store = RootCertStore::empty();
        for (index, root) in extra_roots.into_iter().enumerate() {
            store.add(root).map_err(|source| TlsError::Root {
                number: index + 1,
                source,
            })?;
        }
        // Fails here if it can fail at all.
        config(Arc::new(store.clone()), None).map_err(TlsError::Setup)?;
        for identity in &identities {
            config(Arc::new(store.clone()), Some(identity)).map_err(TlsError::Identity)?;
        }
        Ok(Self {
            extra_roots: store,
            identities: identities.into(),
            configs: OnceCell::new(),
        })
    }

    /// The settings for a connection to `origin`.
    pub(super) async fn config(&self, origin: &Origin, speaks: Speaks) -> Result<Arc<ClientConfig>, ErrorCode> {
        let covers = |identity: &Identity| {
            let Origin { scheme, host, port } = origin;
            identity.destinations.allows_url(*scheme, host, *port)
        };
        let nth = self.identities.iter().position(covers).map_or(0, |nth| nth + 1);
        let configs = self.configs.get_or_try_init(|| self.load()).await?;
        let config = configs.get(nth).ok_or(ErrorCode::InternalError(None))?;
        Ok(match speaks {
            Speaks::Any => config.any.clone(),
            Speaks::Http1 => config.http1.clone(),
        })
    }

    /// The settings with all roots.
    async fn load(&self) -> Result<Configs, ErrorCode> {
        let (extra_roots, identities) = (self.extra_roots.clone(), self.identities.clone());
        // Reads files.
        let loaded = tokio::task::spawn_blocking(move || configs(all_roots(extra_roots), &identities)).await;
        match loaded {
            Ok(Ok(configs)) => Ok(configs),
            Ok(Err(error)) => Err(ErrorCode::InternalError(Some(error.to_string()))),
            Err(error) => Err(ErrorCode::InternalError(Some(error.to_string()))),
        }
    }
}

fn configs(roots: RootCertStore, identities: &[Identity]) -> Result<Configs, rustls::Error> {
    let roots = Arc::new(roots);
    let all = std::iter::once(None).chain(identities.iter().map(Some));
    all.map(|identity| {
        let any = config(roots.clone(), identity)?;
        let mut http1 = any.clone();
        http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Config {
            any: Arc::new(any),
            http1: Arc::new(http1),
        })
    })
    .collect()
}

/// The system's roots, for authorities of one's own; Mozilla's, for machines and images that have none installed.
fn all_roots(mut store: RootCertStore) -> RootCertStore {
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        tracing::warn!(%error, "a certificate of the system could not be read");
    }
    let (_, unusable) = store.add_parsable_certificates(system.certs);
    if unusable > 0 {
        tracing::debug!(
            unusable,
            "certificates of the system that are no authorities were left out"
        );
    }
    store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    store
}

fn config(roots: Arc<RootCertStore>, identity: Option<&Identity>) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => builder.with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())?,
    };
    config.alpn_protocols = vec![ALPN_HTTP2.to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// How HTTP/2 is named while TLS is agreed on (RFC 9113, 3.2).
pub(super) const ALPN_HTTP2: &[u8] = b"h2";
