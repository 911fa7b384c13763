//! Who a server is to clients that come by TLS, and who they have to be: plain data.

use std::path::PathBuf;
use std::time::Duration;

use crate::route::HostPattern;

/// What clients that come by TLS meet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// The oldest version of TLS that is spoken.
    pub min_version: TlsVersion,
    /// Certificates; clients that ask for no name get the one that is marked as default, or the first.
    pub certificates: Vec<CertificateFiles>,
    /// Folders of further ones: `NAME.crt` or `NAME.pem` with `NAME.key`, or folders with `fullchain.pem` and `privkey.pem`.
    pub folders: Vec<PathBuf>,
    /// Whether clients that ask for a name that no certificate is for get the default. Otherwise they are refused with the
    /// alert `unrecognized_name`.
    pub default_for_unknown_names: bool,
    /// Who has to show a certificate; the hosts of no two of them are the same.
    pub client_certificates: Vec<ClientCertificates>,
    /// Certificates that are ordered from an authority.
    pub acme: Option<AcmeOptions>,
}

/// Versions of TLS that are safe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// RFC 5246, with what has been found since: without renegotiation, compression, RSA key exchange and CBC.
    #[default]
    V1_2,
    /// RFC 8446.
    V1_3,
}

/// The files of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain in PEM form, the server's own certificate first.
    pub certificate: PathBuf,
    /// The private key in PEM form: PKCS #8, PKCS #1 or SEC1, without a passphrase. May be the same file.
    pub key: PathBuf,
    /// Clients that ask for no name get it.
    pub is_default: bool,
}

/// Certificates that clients show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificates {
    /// For requests to these hosts; [`HostPattern::Any`] is all that no other one names.
    pub hosts: Vec<HostPattern>,
    /// Files of authorities whose certificates are accepted.
    pub authorities: Vec<PathBuf>,
    /// Files of lists of certificates that are revoked (CRL, RFC 5280 section 5).
    pub revoked: Vec<PathBuf>,
    /// Whether a client without one is refused.
    pub is_required: bool,
}

/// Certificates that are ordered from an authority (ACME, RFC 8555).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmeOptions {
    /// One certificate for each, in lower case.
    pub hosts: Vec<String>,
    /// The URL of the authority's directory.
    pub directory: String,
    /// Whom the authority may write to, as `mailto:` URLs.
    pub contact: Vec<String>,
    /// Where the account's key and the certificates are kept; `None` leaves it to the program.
    pub storage: Option<PathBuf>,
    /// Files of further certificates to trust when the authority is asked.
    pub trust: Vec<PathBuf>,
    /// How it is shown that a name leads here, in the order in which they are tried.
    pub challenges: Vec<Challenge>,
    /// How long to wait after a first failure; three times as long after each further one, a day at most.
    pub retry_after: Duration,
}

/// Ways to show an authority that a name leads here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// By a plain HTTP request to port 80 (RFC 8555 section 8.3).
    Http01,
    /// By a TLS handshake at port 443 (RFC 8737).
    TlsAlpn01,
}

impl Challenge {
    /// How it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
        }
    }
}

impl AcmeOptions {
    /// The authority that is asked where nobody says otherwise.
    pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

    /// The wait after a first failure where nobody says otherwise. Five failures within an hour are what Let's Encrypt
    /// permits for a name: with this they come after 0, 1, 4, 13 and 40 minutes.
    pub const RETRY_AFTER: Duration = Duration::from_secs(60);
}

impl TlsOptions {
    /// All files that are named, but not those in folders.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let certificates = self
            .certificates
            .iter()
            .flat_map(|files| [&files.certificate, &files.key]);
        let clients = self.client_certificates.iter();
        let clients = clients.flat_map(|clients| clients.authorities.iter().chain(&clients.revoked));
        let trust = self.acme.iter().flat_map(|acme| &acme.trust);
        certificates.chain(clients).chain(trust)
    }
}
