//! TLS towards origins: whom to trust, and what to offer.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::OnceCell;
use wharf_host::http::ErrorCode;

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
    /// The cryptography that this program was built with does not fit together.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}

/// TLS settings, complete after the first use: reading the system's certificates takes some milliseconds, and many
/// apps never call out.
pub(super) struct Tls {
    extra_roots: RootCertStore,
    config: OnceCell<Arc<ClientConfig>>,
}

impl Tls {
    pub(super) fn new(extra_roots: Vec<CertificateDer<'static>>) -> Result<Self, TlsError> {
        let mut store = RootCertStore::empty();
        for (index, root) in extra_roots.into_iter().enumerate() {
            store.add(root).map_err(|source| TlsError::Root {
                number: index + 1,
                source,
            })?;
        }
        // Fails here if it can fail at all.
        config(store.clone()).map_err(TlsError::Setup)?;
        Ok(Self {
            extra_roots: store,
            config: OnceCell::new(),
        })
    }

    /// The same for HTTP/1.1 alone.
    pub(super) async fn config_of_http1(&self) -> Result<Arc<ClientConfig>, ErrorCode> {
        let mut config = ClientConfig::clone(&*self.config().await?);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// The settings with all roots.
    pub(super) async fn config(&self) -> Result<Arc<ClientConfig>, ErrorCode> {
        let load = async {
            let extra_roots = self.extra_roots.clone();
            // Reads files.
            let loaded = tokio::task::spawn_blocking(move || config(all_roots(extra_roots))).await;
            match loaded {
                Ok(Ok(config)) => Ok(Arc::new(config)),
                Ok(Err(error)) => Err(ErrorCode::InternalError(Some(error.to_string()))),
                Err(error) => Err(ErrorCode::InternalError(Some(error.to_string()))),
            }
        };
        self.config.get_or_try_init(|| load).await.cloned()
    }
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

fn config(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN_HTTP2.to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// How HTTP/2 is named while TLS is agreed on (RFC 9113, 3.2).
pub(super) const ALPN_HTTP2: &[u8] = b"h2";
