//! Answers to the questions of authorities, while they are asked.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

/// What comes before the token in a path (RFC 8555 section 8.3).
const PATH: &str = "/.well-known/acme-challenge/";

/// The protocol that an authority asks for (RFC 8737 section 6.2).
const ACME_TLS: &[u8] = b"acme-tls/1";

/// The answers there are.
#[derive(Debug, Default)]
pub(in crate::tls) struct Challenges {
    /// Of both kinds. Nobody has to look further where there are none, which is nearly always.
    count: AtomicUsize,
    answers: Mutex<Answers>,
}

#[derive(Debug, Default)]
struct Answers {
    /// By token.
    http: HashMap<String, String>,
    /// By name.
    tls: HashMap<String, Arc<ServerConfig>>,
}

/// An answer is given for as long as this is there.
pub(in crate::tls) struct Answering {
    challenges: Arc<Challenges>,
    key: Key,
}

enum Key {
    Http(String),
    Tls(String),
}

impl Challenges {
    /// What the authority is to find at the path of a token.
    pub(in crate::tls) fn answer_http(self: Arc<Self>, token: &str, answer: &str) -> Answering {
        self.lock().http.insert(token.to_owned(), answer.to_owned());
        self.answering(Key::Http(token.to_owned()))
    }

    /// What the authority is to find in a handshake for `name`: a certificate that holds the digest of the answer (RFC 8737
    /// section 3).
    pub(in crate::tls) fn answer_tls(
        self: Arc<Self>,
        name: &str,
        digest: &[u8],
        provider: &Arc<CryptoProvider>,
    ) -> Result<Answering, String> {
        let config = config(name, digest, provider)?;
        self.lock().tls.insert(name.to_owned(), Arc::new(config));
        Ok(self.answering(Key::Tls(name.to_owned())))
    }

    fn answering(self: Arc<Self>, key: Key) -> Answering {
        self.count.fetch_add(1, Ordering::Relaxed);
        Answering { challenges: self, key }
    }

    /// The answer to a plain request, if it asks for one that is under way.
    pub fn for_path(&self, path: &str) -> Option<String> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let token = path.strip_prefix(PATH)?;
        self.lock().http.get(token).cloned()
    }

    /// What a handshake for `name` is to be done with, if an authority asks.
    pub fn for_handshake(&self, name: Option<&str>) -> Option<Arc<ServerConfig>> {
        self.lock().tls.get(name?).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let mut answers = self.challenges.lock();
        match &self.key {
            Key::Http(token) => drop(answers.http.remove(token)),
            Key::Tls(name) => drop(answers.tls.remove(name)),
        }
        self.challenges.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether a client's offer of protocols is that of an authority that asks.
pub(in crate::tls) fn is_asked<'a>(protocols: Option<impl Iterator<Item = &'a [u8]>>) -> bool {
    protocols.is_some_and(|mut protocols| protocols.any(|protocol| protocol == ACME_TLS))
}

fn config(name: &str, digest: &[u8], provider: &Arc<CryptoProvider>) -> Result<ServerConfig, String> {
    let said = |error: rcgen::Error| error.to_string();
    let key = KeyPair::generate().map_err(said)?;
    let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(said)?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&key).map_err(said)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let said = |error: rustls::Error| error.to_string();
    let key = provider.key_provider.load_private_key(key).map_err(said)?;
    // Not `with_single_cert`, which refuses what is critical in a certificate and strange to it.
    let certified = CertifiedKey::new(vec![certificate.der().clone()], key);
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(rustls::DEFAULT_VERSIONS)
        .map_err(said)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![ACME_TLS.to_vec()];
    Ok(config)
}
