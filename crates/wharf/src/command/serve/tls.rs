//! Who the server is to clients that come by TLS: at the start, and whenever certificates change.

use anyhow::Context as _;
use wharf_server::manifest::app as plan;
use wharf_server::{Tls, TlsOptions};

use crate::notify;

/// What the manifest says of TLS, read; `None` where it says nothing.
///
/// # Errors
/// When a certificate cannot be used.
pub(super) fn tls(settings: &plan::ServerSettings) -> anyhow::Result<Option<Tls>> {
    let Some(options) = &settings.tls else { return Ok(None) };
    let tls = Tls::new(complete(options.clone())).context("TLS cannot be served")?;
    Ok(Some(tls))
}

/// Uses what the manifest says by now; where it says nothing, files that it named before are read again. Whether all of it
/// could be taken.
pub(super) fn replace(tls: Option<&Tls>, options: Option<TlsOptions>) -> bool {
    let Some(tls) = tls else { return true };
    let replaced = match options {
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
