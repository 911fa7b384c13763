//! Who the server is to clients that come by TLS: at the start, and whenever certificates change.

use anyhow::Context as _;
use wharf_server::manifest::app as plan;
use wharf_server::{Tls, TlsOptions};

use crate::cli::Serve;
use crate::notify;

/// What flags or the manifest say of TLS, read; `None` where they say nothing.
///
/// # Errors
/// When a certificate cannot be used.
pub(super) fn tls(serve: &Serve, settings: &plan::ServerSettings) -> anyhow::Result<Option<Tls>> {
    let options = by_flags(serve).or_else(|| settings.tls.clone().map(complete));
    let Some(options) = options else { return Ok(None) };
    let tls = Tls::new(options).context("TLS cannot be served")?;
    Ok(Some(tls))
}

/// The certificate of flags, which stands in the place of all that a manifest names.
fn by_flags(serve: &Serve) -> Option<TlsOptions> {
    Some(TlsOptions {
        certificates: vec![plan::CertificateFiles {
            certificate: serve.tls_certificate.clone()?,
            key: serve.tls_key.clone()?,
            is_default: true,
        }],
        // There is no other one, whatever name a client asks for.
        default_for_unknown_names: true,
        ..TlsOptions::default()
    })
}

/// What reloads replace.
pub(super) struct Live {
    pub tls: Option<Tls>,
    /// Whatever a manifest says: its files are only read again.
    pub is_by_flags: bool,
}

/// Uses what the manifest says by now; where it says nothing, files that were named before are read again. Whether all of it
/// could be taken.
pub(super) fn replace(live: &Live, options: Option<TlsOptions>) -> bool {
    let Some(tls) = &live.tls else { return true };
    let replaced = match options.filter(|_| !live.is_by_flags) {
        Some(options) => tls.replace(complete(options)),
        None => tls.read_again(),
    };
    match replaced {
        Ok(refused) => {
            for trouble in &refused {
                tracing::error!("a certificate cannot be taken as it is\n{trouble}");
            }
            refused.is_empty()
        }
        Err(trouble) => {
            tracing::error!("certificates are used as before\n{trouble}");
            false
        }
    }
}

/// Fills in what depends on the environment.
fn complete(mut options: TlsOptions) -> TlsOptions {
    if let Some(acme) = &mut options.acme {
        acme.storage = acme
            .storage
            .take()
            .or_else(|| Some(notify::state_folder()?.join("acme")));
    }
    options
}
