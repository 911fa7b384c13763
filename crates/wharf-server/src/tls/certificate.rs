//! One certificate: its chain and its key from files in PEM form, the names it is for, and when it holds.
//!
//! Everything here reads; which certificate a client gets is up to [`super::choice`].

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{PemObject as _, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, SignatureAlgorithm};
use wharf_app::app::CertificateFiles;
use wharf_app::read;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// Why a file of certificates or keys cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}", file.display())]
pub struct CertificateError {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it. Said with the file, and so no cause of its own.
    pub fault: Fault,
}

/// What can be wrong with a file of certificates or keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// It is not there, or nobody may read it.
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    /// It is damaged, or no text at all.
    #[error("is not PEM: {0}")]
    NotPem(rustls::pki_types::pem::Error),
    /// It holds something else than was looked for.
    #[error("holds no {wanted}{}", instead(.found))]
    Lacks {
        /// What was looked for.
        wanted: &'static str,
        /// What its parts call themselves.
        found: Vec<String>,
    },
    /// The key needs a passphrase, which nobody could type.
    #[error("the key is encrypted with a passphrase; write it out without one: openssl pkey -in FILE -out FILE.plain")]
    Encrypted,
    /// The certificate at this place of the chain, from 1, is none.
    #[error("the certificate number {number} is damaged: {reason}")]
    Damaged {
        /// Its place in the file, from 1.
        number: usize,
        /// What is wrong.
        reason: String,
    },
    /// The key is of a kind that TLS or this program does not know.
    #[error("the key cannot be used: {0}; RSA of 2048 bits and more, ECDSA on P-256 and P-384, and Ed25519 can")]
    Key(rustls::Error),
    /// The certificate belongs to another key.
    #[error(
        "the key does not belong to the certificate of {}: the first certificate of that file has to be the server's own",
        certificate.display()
    )]
    Mismatch {
        /// The file of the certificate.
        certificate: PathBuf,
    },
    /// Nobody could ask for it.
    #[error("the certificate is for no name: it has neither a DNS name nor an IP address in `subjectAltName`")]
    Nameless,
    /// What it holds cannot be relied on.
    #[error("{0}")]
    Unusable(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}

impl Fault {
    pub(super) fn of(self, file: &Path) -> CertificateError {
        CertificateError {
            file: file.to_owned(),
            fault: self,
        }
    }
}

fn instead(kinds: &[String]) -> String {
    match kinds {
        [] => ": there is nothing in PEM form in it".to_owned(),
        kinds => format!(", but: {}", kinds.join(", ")),
    }
}

/// A certificate that clients can be shown.
#[derive(Debug)]
pub(crate) struct Certificate {
    /// What logs call it: its file, or the authority it is from.
    pub origin: String,
    /// DNS names in lower case, `*.` in front of those that are for all names right below one.
    pub names: Vec<String>,
    pub not_before: SystemTime,
    pub not_after: SystemTime,
    pub key: Arc<CertifiedKey>,
}

impl Certificate {
    /// What `files` hold.
    pub fn read(files: &CertificateFiles, provider: &CryptoProvider) -> Result<Self, CertificateError> {
        let chain_text = text(&files.certificate)?;
        let key_text = match files.key == files.certificate {
            true => chain_text.clone(),
            false => text(&files.key)?,
        };
        warn_of_readers(&files.key);
        let chain = chain(&chain_text).map_err(|fault| fault.of(&files.certificate))?;
        let key = key(&key_text).map_err(|fault| fault.of(&files.key))?;
        Self::new(files.certificate.display().to_string(), chain, key, provider).map_err(|fault| match fault {
            Unfit::Chain(fault) => fault.of(&files.certificate),
            Unfit::Key(fault) => fault.of(&files.key),
            Unfit::Mismatch => {
                let certificate = files.certificate.clone();
                Fault::Mismatch { certificate }.of(&files.key)
            }
        })
    }

    /// A chain and its key, from wherever they are.
    pub fn new(
        origin: String,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        provider: &CryptoProvider,
    ) -> Result<Self, Unfit> {
        let (names, not_before, not_after) = described(&chain).map_err(Unfit::Chain)?;
        let key = provider
            .key_provider
            .load_private_key(key)
            .map_err(|error| Unfit::Key(Fault::Key(error)))?;
        let key = CertifiedKey::new(chain, key);
        match key.keys_match() {
            // Of a key that does not tell its public half, nothing better is known.
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => return Err(Unfit::Mismatch),
            Err(error) => {
                let reason = error.to_string();
                return Err(Unfit::Chain(Fault::Damaged { number: 1, reason }));
            }
        }
        Ok(Self {
            origin,
            names,
            not_before,
            not_after,
            key: Arc::new(key),
        })
    }

    /// What of it a client should see at `now` is not what it does see.
    pub fn overdue(&self, now: SystemTime) -> Option<Overdue> {
        if now < self.not_before {
            return Some(Overdue::NotYet);
        }
        (now > self.not_after).then_some(Overdue::Expired)
    }

    /// Smaller and faster keys go first, to all clients that know them.
    pub fn is_rsa(&self) -> bool {
        self.key.key.algorithm() == SignatureAlgorithm::RSA
    }
}

/// Why a chain and a key are no certificate.
pub(crate) enum Unfit {
    Chain(Fault),
    Key(Fault),
    Mismatch,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chain(fault) | Self::Key(fault) => fault.fmt(f),
            Self::Mismatch => f.write_str("the key does not belong to the certificate"),
        }
    }
}

/// A certificate outside of the time it holds for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overdue {
    NotYet,
    Expired,
}

/// The content of a file in PEM form.
pub(super) fn text(file: &Path) -> Result<Vec<u8>, CertificateError> {
    read::regular(file, read::FILE_BYTES_MAX).map_err(|error| Fault::from(error).of(file))
}

/// All certificates in a text, in their order.
pub(super) fn chain(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let chain = chain.map_err(Fault::NotPem)?;
    match chain.is_empty() {
        true => Err(lacks("certificate", text)),
        false => Ok(chain),
    }
}

fn key(text: &[u8]) -> Result<PrivateKeyDer<'static>, Fault> {
    for part in <(SectionKind, Vec<u8>)>::pem_slice_iter(text) {
        let (kind, der) = part.map_err(Fault::NotPem)?;
        if let Some(key) = PrivateKeyDer::from_pem(kind, der) {
            return Ok(key);
        }
    }
    match kinds(text).iter().any(|kind| kind.starts_with("ENCRYPTED")) {
        true => Err(Fault::Encrypted),
        false => Err(lacks("private key", text)),
    }
}

pub(super) fn lacks(wanted: &'static str, text: &[u8]) -> Fault {
    let found = kinds(text);
    Fault::Lacks { wanted, found }
}

/// What the parts of a PEM file call themselves.
fn kinds(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    let label = |line: &str| {
        let label = line.trim().strip_prefix("-----BEGIN ")?.strip_suffix("-----")?;
        Some(label.to_owned())
    };
    let mut kinds: Vec<String> = text.lines().filter_map(label).collect();
    kinds.dedup();
    kinds
}

/// Names and times of the first certificate of a chain; the others have to be certificates, too.
fn described(chain: &[CertificateDer<'_>]) -> Result<(Vec<String>, SystemTime, SystemTime), Fault> {
    let mut parsed = Vec::new();
    for (index, der) in chain.iter().enumerate() {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|error| Fault::Damaged {
            number: index + 1,
            reason: error.to_string(),
        })?;
        parsed.push(certificate);
    }
    let Some(own) = parsed.first() else {
        return Err(Fault::Nameless);
    };
    let names = names(own)?;
    let validity = own.validity();
    let time = |time: x509_parser::time::ASN1Time| {
        let seconds = u64::try_from(time.timestamp()).unwrap_or(0);
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    };
    Ok((names, time(validity.not_before), time(validity.not_after)))
}

/// The DNS names of a certificate: those of `subjectAltName`, or, where there is none, the common name, which old tools
/// still write. Clients do not count that, but who wants such a certificate for a name means that one.
fn names(certificate: &X509Certificate<'_>) -> Result<Vec<String>, Fault> {
    let alternative = certificate.subject_alternative_name().map_err(|error| Fault::Damaged {
        number: 1,
        reason: error.to_string(),
    })?;
    let Some(alternative) = alternative else {
        let common = certificate.subject().iter_common_name();
        let names: Vec<String> = common
            .filter_map(|name| name.as_str().ok())
            .filter(|name| is_dns_name(name))
            .map(str::to_ascii_lowercase)
            .collect();
        return match names.is_empty() {
            true => Err(Fault::Nameless),
            false => Ok(names),
        };
    };
    let general = &alternative.value.general_names;
    let names = general.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.trim_end_matches('.').to_ascii_lowercase()),
        _ => None,
    });
    let names: Vec<String> = names.collect();
    // Whoever connects to an address asks for no name, and gets the default.
    let is_for_addresses = general.iter().any(|name| matches!(name, GeneralName::IPAddress(_)));
    match names.is_empty() && !is_for_addresses {
        true => Err(Fault::Nameless),
        false => Ok(names),
    }
}

fn is_dns_name(text: &str) -> bool {
    let text = text.strip_prefix("*.").unwrap_or(text);
    rustls::pki_types::DnsName::try_from(text).is_ok()
}

/// Keys are for one user; others may have read it already.
fn warn_of_readers(key: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let Ok(metadata) = std::fs::metadata(key) else { return };
        if metadata.permissions().mode() & 0o004 != 0 {
            let file = key.display();
            tracing::warn!(%file, "every user of this machine can read the private key: take that away with chmod o-r");
        }
    }
    #[cfg(not(unix))]
    let _ = key;
}
