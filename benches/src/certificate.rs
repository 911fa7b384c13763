//! The certificate that all contestants show, made anew for each run: ECDSA on P-256, signed by itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// Who all clients ask for, but for those that send no name since the address is one.
pub const NAME: &str = "localhost";

/// Where a certificate is, and its key.
pub struct Certificate {
    pub file: PathBuf,
    key: PathBuf,
}

impl Certificate {
    /// Makes one in `folder`.
    pub fn make(folder: &Path) -> Result<Self> {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned(), "127.0.0.1".to_owned()])?;
        let certificate = Self {
            file: folder.join("certificate.pem"),
            key: folder.join("key.pem"),
        };
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&certificate.file, made.cert.pem()))
            .and_then(|()| std::fs::write(&certificate.key, made.signing_key.serialize_pem()))
            .with_context(|| format!("cannot write a certificate into {}", folder.display()))?;
        Ok(certificate)
    }

    /// What has a contestant speak TLS: Wharf and the native server take the same flags.
    pub fn flags(&self) -> Vec<String> {
        let text = |path: &Path| path.display().to_string();
        vec![
            "--tls-certificate".into(),
            text(&self.file),
            "--tls-key".into(),
            text(&self.key),
        ]
    }
}

/// A client that trusts the certificate in `file`, and no other.
pub fn client(file: &Path) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(file).with_context(|| format!("cannot read {}", file.display()))?)?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
