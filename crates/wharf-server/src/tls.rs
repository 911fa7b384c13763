//! Certificates for clients that come by TLS.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// What clients that come by TLS meet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// Certificates.
    pub certificates: Vec<CertificateFiles>,
}

/// The files of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain in PEM form.
    pub certificate: PathBuf,
    /// The private key in PEM form.
    pub key: PathBuf,
    /// Clients that ask for no name get it.
    pub is_default: bool,
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TlsError(String);

/// The server's certificates. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tls(Arc<ServerConfig>);

impl Tls {
    /// Reads what `options` name.
    ///
    /// # Errors
    /// When a file of them cannot be used.
    pub fn new(options: TlsOptions) -> Result<Self, TlsError> {
        let error = |error: &dyn std::fmt::Display| TlsError(error.to_string());
        let files = options.certificates.first().ok_or_else(|| error(&"no certificate"))?;
        let chain = CertificateDer::pem_file_iter(&files.certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|e| error(&format!("{}: {e}", files.certificate.display())))?;
        let key =
            PrivateKeyDer::from_pem_file(&files.key).map_err(|e| error(&format!("{}: {e}", files.key.display())))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| error(&e))?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|e| error(&e))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }

    /// The handshake with one client.
    pub(crate) async fn accept<S>(&self, stream: S) -> Result<TlsStream<S>, io::Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        TlsAcceptor::from(self.0.clone()).accept(stream).await
    }
}
