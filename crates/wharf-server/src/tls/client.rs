//! Certificates that clients show: for which hosts, whether one is accepted, and what apps see of it (RFC 9440).

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use wharf_app::app::ClientCertificates;
use wharf_app::route::HostPattern;

use super::certificate::{self, CertificateError, Fault};

const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
const CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");

/// No policy has this generation.
const NONE: u64 = u64::MAX;

/// Who has to show a certificate for some hosts.
pub(super) struct Policy {
    pub written: ClientCertificates,
    pub verifier: Arc<dyn ClientCertVerifier>,
    /// Tells it from every other that there was, and that was another.
    generation: u64,
    /// What was in its files.
    content: blake3::Hash,
}

impl Policy {
    /// Reads the files that are named.
    pub fn read(
        written: &ClientCertificates,
        provider: &Arc<CryptoProvider>,
        generation: u64,
    ) -> Result<Self, CertificateError> {
        let mut content = blake3::Hasher::new();
        let mut roots = RootCertStore::empty();
        for file in &written.authorities {
            let chain = certificate::chain(&certificate::text(file)?).map_err(|fault| fault.of(file))?;
            for (index, authority) in chain.into_iter().enumerate() {
                content.update(&authority);
                let reason = |error: rustls::Error| {
                    let (number, reason) = (index + 1, error.to_string());
                    Fault::Damaged { number, reason }.of(file)
                };
                roots.add(authority).map_err(reason)?;
            }
        }
        let mut revoked = Vec::new();
        for file in &written.revoked {
            revoked.extend(revocation_lists(file)?);
        }
        for list in &revoked {
            content.update(list);
        }
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .with_crls(revoked)
            // Of authorities in between there is seldom a list at hand.
            .only_check_end_entity_revocation()
            // An old list does not know what was revoked since.
            .enforce_revocation_expiration();
        if !written.is_required {
            builder = builder.allow_unauthenticated();
        }
        let file = written.revoked.first().or(written.authorities.first());
        let verifier = builder.build().map_err(|error| {
            let file = file.map_or_else(PathBuf::new, PathBuf::clone);
            Fault::Unusable(error.to_string()).of(&file)
        })?;
        Ok(Self {
            written: written.clone(),
            verifier,
            generation,
            content: content.finalize(),
        })
    }

    /// Whether both ask the same of the same clients.
    pub fn is_like(&self, other: &Self) -> bool {
        self.written == other.written && self.content == other.content
    }

    /// Whether a client that has shown these certificates would be let in now.
    fn lets_in(&self, chain: &[CertificateDer<'_>]) -> bool {
        match chain.split_first() {
            None => !self.written.is_required,
            Some((own, others)) => {
                let verified = self.verifier.verify_client_cert(own, others, UnixTime::now());
                verified.is_ok()
            }
        }
    }
}

fn revocation_lists(file: &std::path::Path) -> Result<Vec<CertificateRevocationListDer<'static>>, CertificateError> {
    let text = certificate::text(file)?;
    let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&text).collect();
    let lists = lists.map_err(|error| Fault::NotPem(error).of(file))?;
    match lists.is_empty() {
        true => Err(certificate::lacks("list of revoked certificates (X509 CRL)", &text).of(file)),
        false => Ok(lists),
    }
}

/// The place among `policies` of the one for a host; the most specific one counts. `None` is a client that names none.
pub(super) fn policy_for<'a>(
    policies: impl Iterator<Item = &'a ClientCertificates>,
    host: Option<&str>,
) -> Option<usize> {
    let mut best: Option<(usize, usize)> = None;
    for (nth, policy) in policies.enumerate() {
        let weights = policy.hosts.iter().filter_map(|pattern| weight(pattern, host));
        let Some(weight) = weights.max() else { continue };
        if best.is_none_or(|(_, known)| weight > known) {
            best = Some((nth, weight));
        }
    }
    best.map(|(nth, _)| nth)
}

/// How closely a pattern fits; `None` where it does not.
fn weight(pattern: &HostPattern, host: Option<&str>) -> Option<usize> {
    match (pattern, host) {
        (HostPattern::Any, _) => Some(0),
        (HostPattern::Exact(name), Some(host)) if name == host => Some(usize::MAX),
        (HostPattern::Wildcard(parent), Some(host)) => {
            let below = host
                .strip_suffix(parent.as_str())
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'));
            below.then_some(parent.len())
        }
        _ => None,
    }
}

/// What is known of the client of a connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Client {
    /// The certificate that it has shown and that was accepted.
    shown: Option<Arc<Shown>>,
    /// For whom it was asked for one.
    asked: Option<Arc<Asked>>,
}

/// What a client was asked for as it came.
#[derive(Debug)]
struct Asked {
    hosts: Vec<HostPattern>,
    /// What it has shown of it: nothing, or its own certificate and those between it and the authority.
    chain: Vec<CertificateDer<'static>>,
    /// The generation of the policy that has let it in, and of the one that would not any more.
    let_in_by: AtomicU64,
    refused_by: AtomicU64,
}

impl Asked {
    /// The policy may have changed since the client came.
    fn is_let_in_by(&self, policy: &Policy) -> bool {
        if self.let_in_by.load(Ordering::Relaxed) == policy.generation {
            return true;
        }
        if self.refused_by.load(Ordering::Relaxed) == policy.generation {
            return false;
        }
        let lets_in = policy.lets_in(&self.chain);
        let place = if lets_in { &self.let_in_by } else { &self.refused_by };
        place.store(policy.generation, Ordering::Relaxed);
        lets_in
    }
}

/// Why a request has to come on another connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misdirected {
    /// Its host asks for other certificates than the one that the connection was made for, or for any.
    OtherHost,
    /// What is asked for has changed, and the client would not be let in any more.
    OtherPolicy,
    /// Its host asks for a certificate, and it came without TLS.
    WithoutTls,
}

/// A certificate as apps see it.
#[derive(Debug)]
struct Shown {
    certificate: HeaderValue,
    chain: Option<HeaderValue>,
}

impl Client {
    /// `asked` is what it was asked for, if for anything.
    pub(super) fn new(chain: Option<&[CertificateDer<'_>]>, asked: Option<&Policy>) -> Self {
        let shown = chain.and_then(|chain| {
            let (own, others) = chain.split_first()?;
            let others: Vec<String> = others.iter().map(byte_sequence).collect();
            let chain = (!others.is_empty()).then(|| HeaderValue::try_from(others.join(", ")).ok());
            Some(Arc::new(Shown {
                certificate: HeaderValue::try_from(byte_sequence(own)).ok()?,
                chain: chain.flatten(),
            }))
        });
        let asked = asked.map(|policy| {
            let chain = chain.unwrap_or_default().iter();
            Arc::new(Asked {
                hosts: policy.written.hosts.clone(),
                chain: chain.map(|certificate| certificate.clone().into_owned()).collect(),
                let_in_by: AtomicU64::new(policy.generation),
                refused_by: AtomicU64::new(NONE),
            })
        });
        Self { shown, asked }
    }

    /// Puts into a request's head what apps are to know of the client, and takes out what the client says of itself
    /// (RFC 9440 section 2.4).
    pub fn tell(&self, headers: &mut HeaderMap) {
        headers.remove(&CLIENT_CERT);
        headers.remove(&CLIENT_CERT_CHAIN);
        if let Some(shown) = &self.shown {
            headers.insert(CLIENT_CERT, shown.certificate.clone());
            if let Some(chain) = &shown.chain {
                headers.insert(CLIENT_CERT_CHAIN, chain.clone());
            }
        }
    }

    /// Whether this client was asked for the certificates that `policy` asks for, and is let in by it.
    pub(super) fn is_let_in_by(&self, policy: Option<&Policy>) -> Result<(), Misdirected> {
        match (&self.asked, policy) {
            (None, None) => Ok(()),
            (Some(asked), Some(policy)) if asked.hosts == policy.written.hosts => {
                let is_let_in = asked.is_let_in_by(policy);
                is_let_in.then_some(()).ok_or(Misdirected::OtherPolicy)
            }
            _ => Err(Misdirected::OtherHost),
        }
    }
}

/// Bytes as structured fields write them (RFC 9651 section 3.3.5).
fn byte_sequence(der: &CertificateDer<'_>) -> String {
    format!(":{}:", BASE64_STANDARD.encode(der))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policies(hosts: &[&[&str]]) -> Vec<ClientCertificates> {
        let policy = |hosts: &&[&str]| ClientCertificates {
            hosts: hosts.iter().map(|host| host.parse().unwrap_or_default()).collect(),
            authorities: Vec::new(),
            revoked: Vec::new(),
            is_required: true,
        };
        hosts.iter().map(policy).collect()
    }

    #[test]
    fn the_most_specific_host_decides_who_is_asked() {
        let some = policies(&[&["*.test"], &["*.a.test", "exact.test"], &["b.a.test"]]);
        let all = policies(&[&["a.test"], &[""]]);
        for (policies, host, expected) in [
            (&some, Some("x.test"), Some(0)),
            (&some, Some("x.y.test"), Some(0)),
            (&some, Some("x.a.test"), Some(1)),
            (&some, Some("exact.test"), Some(1)),
            (&some, Some("b.a.test"), Some(2)),
            (&some, Some("test"), None),
            (&some, Some("notest"), None),
            (&some, None, None),
            (&all, Some("a.test"), Some(0)),
            (&all, Some("b.test"), Some(1)),
            (&all, None, Some(1)),
        ] {
            assert_eq!(policy_for(policies.iter(), host), expected, "{host:?}");
        }
    }

    #[test]
    fn what_a_client_says_of_itself_is_taken_out() {
        let der = CertificateDer::from(vec![0xff, 0xef]);
        let mut headers = HeaderMap::new();
        headers.append(CLIENT_CERT, HeaderValue::from_static("forged"));
        headers.append(CLIENT_CERT, HeaderValue::from_static("again"));
        headers.append(CLIENT_CERT_CHAIN, HeaderValue::from_static("forged"));
        Client::default().tell(&mut headers);
        assert!(headers.is_empty());
        Client::new(Some(std::slice::from_ref(&der)), None).tell(&mut headers);
        assert_eq!(headers.len(), 1);
        assert_eq!(headers[CLIENT_CERT], ":/+8=:");
        Client::new(Some(&[der.clone(), der.clone(), der]), None).tell(&mut headers);
        assert_eq!(headers.get_all(CLIENT_CERT).iter().count(), 1);
        assert_eq!(headers[CLIENT_CERT_CHAIN], ":/+8=:, :/+8=:");
    }
}
