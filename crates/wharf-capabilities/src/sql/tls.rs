//! Whom connections to servers trust.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// The certificates that a server's is verified with: those of the file, or the system's and Mozilla's. Read for each connection,
/// so that they can be changed while the app is served.
pub(super) async fn roots(file: Option<PathBuf>) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = move || match file {
        Some(file) => of_file(&file),
        None => Ok(of_system()),
    };
    tokio::task::spawn_blocking(read)
        .await
        .map_err(|error| error.to_string())?
}

/// Some may be of a kind that is not known.
fn of_system() -> Vec<CertificateDer<'static>> {
    let mut certificates = rustls_native_certs::load_native_certs().certs;
    certificates.retain(|certificate| RootCertStore::empty().add(certificate.clone()).is_ok());
    certificates
}

fn of_file(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let failed = |error: rustls::pki_types::pem::Error| format!("{}: {error}", file.display());
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).map_err(failed)?.collect();
    let certificates = certificates.map_err(failed)?;
    match certificates.is_empty() {
        true => Err(format!("{}: no certificates in PEM", file.display())),
        false => Ok(certificates),
    }
}

/// Settings that verify with these. Mozilla's are among them where the system's are asked for, for machines that have none.
pub(super) async fn client(file: Option<PathBuf>) -> Result<ClientConfig, String> {
    let mut store = RootCertStore::empty();
    if file.is_none() {
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    for root in roots(file).await? {
        store.add(root).map_err(|error| error.to_string())?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(store).with_no_client_auth())
}
