//! Which certificate a client gets: by the name it asks for, and by what it can check.
//!
//! A name itself goes before a wildcard; among several certificates for one name, those with small keys go before RSA, to
//! clients that know them. Built once, then only read: a reload builds another one.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, SignatureScheme};

use super::certificate::Certificate;

/// All certificates of a server.
#[derive(Debug, Default)]
pub(super) struct Choice {
    exact: HashMap<String, Vec<Arc<Certificate>>>,
    /// By what follows `*.`.
    below: HashMap<String, Vec<Arc<Certificate>>>,
    /// For clients that ask for no name.
    default: Vec<Arc<Certificate>>,
    /// Also for clients that ask for a name that none is for.
    default_for_unknown: bool,
    all: Vec<Arc<Certificate>>,
}

impl Choice {
    /// Of two that are alike, the first one counts. `default` is the place of the one for clients that ask for no name.
    pub fn new(certificates: Vec<Arc<Certificate>>, default: usize, default_for_unknown: bool) -> Self {
        let mut choice = Self {
            default_for_unknown,
            ..Self::default()
        };
        for certificate in &certificates {
            for name in &certificate.names {
                let (table, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut choice.below, parent),
                    None => (&mut choice.exact, name.as_str()),
                };
                table.entry(name.to_owned()).or_default().push(certificate.clone());
            }
        }
        if let Some(default) = certificates.get(default) {
            // Its sisters of other algorithms come with it.
            let sisters = certificates.iter().filter(|other| other.names == default.names);
            choice.default = sisters.cloned().collect();
        }
        for group in choice.exact.values_mut().chain(choice.below.values_mut()) {
            group.sort_by_key(|certificate| certificate.is_rsa());
        }
        choice.default.sort_by_key(|certificate| certificate.is_rsa());
        choice.all = certificates;
        choice
    }

    /// Every certificate there is.
    pub fn all(&self) -> impl Iterator<Item = &Certificate> {
        self.all.iter().map(|certificate| &**certificate)
    }

    /// Those for a name, in lower case; none where nobody has it.
    pub fn find(&self, name: Option<&str>) -> &[Arc<Certificate>] {
        let Some(name) = name else { return &self.default };
        let name = name.trim_end_matches('.');
        if let Some(exact) = self.exact.get(name) {
            return exact;
        }
        let parent = name.split_once('.').map(|(_, parent)| parent);
        match parent.and_then(|parent| self.below.get(parent)) {
            Some(below) => below,
            None if self.default_for_unknown => &self.default,
            None => &[],
        }
    }
}

impl ResolvesServerCert for Choice {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let candidates = self.find(hello.server_name());
        let fit = candidates.iter().find(|certificate| suits(certificate, &hello));
        // Without a fit the handshake fails, and the client learns why.
        fit.or(candidates.last()).map(|certificate| certificate.key.clone())
    }
}

/// Whether a client can check signatures of the certificate's key.
fn suits(certificate: &Certificate, hello: &ClientHello<'_>) -> bool {
    // Up to TLS 1.2 the cipher suite names the key's kind as well (RFC 8422 section 2).
    let suites = hello.cipher_suites();
    let any = |wanted: &[CipherSuite]| suites.iter().any(|suite| wanted.contains(suite));
    let suite = any(&TLS13) || any(if certificate.is_rsa() { &WITH_RSA } else { &WITH_ECDSA });
    let schemes: &[SignatureScheme] = hello.signature_schemes();
    suite && certificate.key.key.choose_scheme(schemes).is_some()
}

/// In TLS 1.3 suites say nothing of keys (RFC 8446 section 4.1.2).
const TLS13: [CipherSuite; 3] = [
    CipherSuite::TLS13_AES_256_GCM_SHA384,
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
];

const WITH_ECDSA: [CipherSuite; 3] = [
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
];

const WITH_RSA: [CipherSuite; 3] = [
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];
