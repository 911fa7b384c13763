//! TLS as it is written: `[server.tls]` and `[server.acme]`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::field::{At, Duration, OneOrMany};

/// Who the server is to clients that come by TLS. Files that change are read again while it serves; open connections stay.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Tls {
    /// The oldest version that is spoken: `1.2` or `1.3`. Default: `1.2`, which is safe as it is spoken here, and all that
    /// some clients know.
    pub min_version: Option<At<TlsVersion>>,
    /// Certificates. A client gets the one for the name it asks for: a name itself goes before a wildcard, and of several
    /// certificates for one name, ECDSA before RSA to clients that know both.
    #[serde(default)]
    pub certificates: Vec<At<Certificate>>,
    /// A folder of further certificates, or a list of them: each `NAME.crt` or `NAME.pem` with `NAME.key` is one, and each folder
    /// in it with `fullchain.pem` and `privkey.pem`, as certbot writes them. One that is wrong is reported, and does not keep
    /// the others from being used.
    pub folder: Option<At<OneOrMany>>,
    /// What happens to clients that ask for a name that no certificate is for: `refuse`, with the alert `unrecognized_name`, or
    /// `default`, the certificate that clients without a name get. Default: `refuse`; with any other certificate the client
    /// would break off itself, and tell its user of an attack.
    pub unknown_names: Option<At<UnknownNames>>,
    /// Certificates that clients have to show, or may. Requests for other hosts need none.
    #[serde(default)]
    pub client_certificates: Vec<At<ClientCertificates>>,
}

/// Versions of TLS.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub enum TlsVersion {
    /// RFC 5246.
    #[serde(rename = "1.2")]
    V1_2,
    /// RFC 8446.
    #[serde(rename = "1.3")]
    V1_3,
}

/// What happens to clients that ask for a name that no certificate is for.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownNames {
    /// The handshake ends.
    Refuse,
    /// They get the default certificate.
    Default,
}

/// A certificate and its key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Certificate {
    /// The file of the chain (PEM), the server's own certificate first, then those between it and an authority.
    pub certificate: At<String>,
    /// The file of the private key (PEM, without a passphrase). Default: the file of `certificate`.
    pub key: Option<At<String>>,
    /// Whether clients that ask for no name get it, as those do that connect to an address. Default: the first certificate of
    /// all is it.
    #[serde(default)]
    pub default: bool,
}

/// Certificates that clients show. The app sees them as `client-cert` and `client-cert-chain` (RFC 9440), which are removed from
/// what clients send themselves.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ClientCertificates {
    /// The file of certificates (PEM) of authorities whose clients are let in, or a list of files.
    pub authorities: At<OneOrMany>,
    /// The hosts it is for, written as those of routes. Default: all that no other one names, and clients that ask for no name.
    pub hosts: Option<At<Vec<At<String>>>>,
    /// Whether clients without a certificate are refused. Default: true; with false, apps decide.
    pub required: Option<bool>,
    /// The file of lists of revoked certificates (CRL, PEM), or a list of files. With it, a client is refused whose certificate is
    /// on the list, whose authority has none, or whose authority's list is out of date. Default: nothing is revoked.
    pub revoked: Option<At<OneOrMany>>,
}

/// Certificates that are ordered from an authority and renewed in time (ACME, RFC 8555). Until the first one is there, clients that
/// ask for its name are refused.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Acme {
    /// The names, each of which gets a certificate of its own. They have to lead to this server, from wherever the authority is.
    /// Without wildcards, which authorities give out only by way of DNS.
    pub hosts: At<Vec<At<String>>>,
    /// The URL of the authority's directory. Default: `https://acme-v02.api.letsencrypt.org/directory`, Let's Encrypt.
    pub directory: Option<At<String>>,
    /// Whom the authority may write to: an email address, or a list of them. Default: nobody.
    pub contact: Option<At<OneOrMany>>,
    /// Whether you accept the authority's terms of service. Nothing is ordered without; it has to be true.
    pub accept_terms: Option<At<bool>>,
    /// The folder where the account's key and the certificates are kept, for this user alone. Default: `acme` in the folder that
    /// the environment names in `STATE_DIRECTORY`, else `wharf/acme` in that of `XDG_STATE_HOME`, else in `~/.local/state`.
    pub storage: Option<At<String>>,
    /// Files of certificates (PEM) to trust beside the system's and Mozilla's when the authority is asked.
    #[serde(default)]
    pub trust: Vec<At<String>>,
    /// How the authority finds out that a name leads here: `tls-alpn-01`, by a TLS handshake at port 443, or `http-01`, by a plain
    /// request to port 80. Where one fails the next is tried. Default: `["tls-alpn-01", "http-01"]`.
    pub challenges: Option<At<Vec<At<Challenge>>>>,
    /// How long to wait after an order has failed; three times as long after each further failure, a day at most, and as long
    /// as the authority asks for. Default: 1m, which keeps to what Let's Encrypt permits.
    pub retry_time: Option<At<Duration>>,
}

/// Ways to find out that a name leads here.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq)]
pub enum Challenge {
    /// RFC 8555 section 8.3.
    #[serde(rename = "http-01")]
    Http01,
    /// RFC 8737.
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
}
