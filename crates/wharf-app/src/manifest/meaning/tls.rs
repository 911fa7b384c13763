//! What the sections `[server.tls]` and `[server.acme]` mean.

use std::ops::Range;
use std::path::PathBuf;

use super::Meaning;
use crate::app::{AcmeOptions, CertificateFiles, Challenge, ClientCertificates, TlsOptions, TlsVersion};
use crate::manifest::field::{At, OneOrMany};
use crate::manifest::written;
use crate::route::HostPattern;

impl Meaning<'_> {
    /// `None` where neither section is written.
    pub(super) fn tls(&mut self, server: &written::Server) -> Option<TlsOptions> {
        let acme = server.acme.as_ref();
        let acme_options = acme.map(|written| self.acme(written));
        let Some(tls) = &server.tls else {
            return acme_options.map(|acme| TlsOptions {
                acme: Some(acme),
                ..TlsOptions::default()
            });
        };
        let options = TlsOptions {
            min_version: tls.min_version.as_deref().copied().map(Into::into).unwrap_or_default(),
            certificates: self.certificates(&tls.certificates),
            folders: self.paths(&tls.folder),
            default_for_unknown_names: matches!(tls.unknown_names.as_deref(), Some(written::UnknownNames::Default)),
            client_certificates: self.client_certificates(&tls.client_certificates),
            acme: acme_options,
        };
        if options.certificates.is_empty() && options.folders.is_empty() && acme.is_none() {
            self.problem(tls.span(), "TLS needs a certificate").help = Some(
                "name one in `[[server.tls.certificates]]`, a `folder` of them, or have them ordered with `[server.acme]`"
                    .to_owned(),
            );
        }
        Some(options)
    }

    fn certificates(&mut self, written: &[At<written::Certificate>]) -> Vec<CertificateFiles> {
        let mut defaults = written.iter().filter(|written| written.default).skip(1);
        if let Some(second) = defaults.next() {
            self.problem(second.span(), "there are two certificates by default")
                .help = Some("leave `default` out of one".to_owned());
        }
        let files = written.iter().map(|written| {
            let certificate = self.path_of(&written.certificate, written.certificate.span());
            let key = written.key.as_ref().map(|key| self.path_of(key, key.span()));
            CertificateFiles {
                key: key.unwrap_or_else(|| certificate.clone()),
                certificate,
                is_default: written.default,
            }
        });
        files.collect()
    }

    fn paths(&mut self, written: &Option<At<OneOrMany>>) -> Vec<PathBuf> {
        let texts = written.iter().flat_map(At::texts);
        texts.map(|(text, span)| self.path_of(text, span)).collect()
    }

    fn client_certificates(&mut self, written: &[At<written::ClientCertificates>]) -> Vec<ClientCertificates> {
        let mut taken: Vec<HostPattern> = Vec::new();
        let mut all = Vec::new();
        for written in written {
            let mut hosts = Vec::new();
            for (host, span) in self.client_hosts(written) {
                if taken.contains(&host) {
                    let message = match &host {
                        HostPattern::Any => "two of the client certificates are for all hosts".to_owned(),
                        host => format!("two of the client certificates are for the host {host}"),
                    };
                    self.problem(span, message).help = Some("write one of them, or name other hosts".to_owned());
                }
                taken.push(host.clone());
                hosts.push(host);
            }
            let authorities: Vec<PathBuf> = written
                .authorities
                .texts()
                .into_iter()
                .map(|(text, span)| self.path_of(text, span))
                .collect();
            if authorities.is_empty() {
                self.problem(
                    written.authorities.span(),
                    "no client could be let in without an authority",
                );
            }
            all.push(ClientCertificates {
                hosts,
                authorities,
                revoked: self.paths(&written.revoked),
                is_required: written.required.unwrap_or(true),
            });
        }
        all
    }

    fn client_hosts(&mut self, written: &At<written::ClientCertificates>) -> Vec<(HostPattern, Range<usize>)> {
        let Some(hosts) = &written.hosts else {
            return vec![(HostPattern::Any, written.span())];
        };
        if hosts.is_empty() {
            self.problem(hosts.span(), "the list of hosts is empty").help =
                Some("leave `hosts` out for all hosts".to_owned());
        }
        let mut patterns = Vec::new();
        for host in hosts.iter() {
            match host.parse() {
                Ok(pattern) => patterns.push((pattern, host.span())),
                Err(error) => drop(self.problem(host.span(), format!("{error}"))),
            }
        }
        patterns
    }

    fn acme(&mut self, written: &At<written::Acme>) -> AcmeOptions {
        match &written.accept_terms {
            Some(accepted) if **accepted => {}
            Some(refused) => {
                self.problem(
                    refused.span(),
                    "no certificate is given out to who refuses the authority's terms",
                )
                .help = Some("write `accept-terms = true`, or leave `[server.acme]` out".to_owned());
            }
            None => {
                self.problem(written.span(), "`accept-terms` is missing").help = Some(
                    "read the authority's terms of service, and write `accept-terms = true` where you accept them"
                        .to_owned(),
                );
            }
        }
        AcmeOptions {
            hosts: self.acme_hosts(&written.hosts),
            directory: self.directory(&written.directory),
            contact: self.contact(&written.contact),
            storage: written
                .storage
                .as_ref()
                .map(|storage| self.path_of(storage, storage.span())),
            trust: written
                .trust
                .iter()
                .map(|file| self.path_of(file, file.span()))
                .collect(),
            challenges: self.challenges(&written.challenges),
            retry_after: self
                .duration("retry-time", &written.retry_time)
                .unwrap_or(AcmeOptions::RETRY_AFTER),
        }
    }

    fn acme_hosts(&mut self, written: &At<Vec<At<String>>>) -> Vec<String> {
        if written.is_empty() {
            self.problem(written.span(), "`hosts` names nothing to order a certificate for");
        }
        let mut hosts: Vec<String> = Vec::new();
        for host in written.iter() {
            let problem = match host.parse() {
                Ok(HostPattern::Exact(name)) if name.starts_with('[') || name.parse::<std::net::Ipv4Addr>().is_ok() => {
                    "certificates are ordered for names alone, not for addresses".to_owned()
                }
                Ok(HostPattern::Exact(name)) if hosts.contains(&name) => format!("`{name}` is named twice"),
                Ok(HostPattern::Exact(name)) => {
                    hosts.push(name);
                    continue;
                }
                Ok(_) => "certificates for wildcards are given out by way of DNS alone, which Wharf does not speak"
                    .to_owned(),
                Err(error) => error.to_string(),
            };
            self.problem(host.span(), problem);
        }
        hosts
    }

    fn directory(&mut self, written: &Option<At<String>>) -> String {
        let Some(written) = written else {
            return AcmeOptions::LETS_ENCRYPT.to_owned();
        };
        if !written.starts_with("https://") {
            self.problem(
                written.span(),
                "`directory` is a URL that begins with https:// (RFC 8555 section 6.1)",
            );
        }
        written.to_string()
    }

    fn contact(&mut self, written: &Option<At<OneOrMany>>) -> Vec<String> {
        let mut contact = Vec::new();
        for (text, span) in written.iter().flat_map(At::texts) {
            let address = text.strip_prefix("mailto:").unwrap_or(text);
            if !address.contains('@') || address.contains([' ', ',']) {
                self.problem(span, "`contact` is an email address, such as me@example.com");
            }
            contact.push(format!("mailto:{address}"));
        }
        contact
    }

    fn challenges(&mut self, written: &Option<At<Vec<At<written::Challenge>>>>) -> Vec<Challenge> {
        let Some(written) = written else {
            return vec![Challenge::TlsAlpn01, Challenge::Http01];
        };
        if written.is_empty() {
            self.problem(written.span(), "without any challenge no certificate is given out")
                .help = Some("leave `challenges` out for both".to_owned());
        }
        let challenge = |written: &At<written::Challenge>| match **written {
            written::Challenge::Http01 => Challenge::Http01,
            written::Challenge::TlsAlpn01 => Challenge::TlsAlpn01,
        };
        written.iter().map(challenge).collect()
    }
}

impl From<written::TlsVersion> for TlsVersion {
    fn from(written: written::TlsVersion) -> Self {
        match written {
            written::TlsVersion::V1_2 => Self::V1_2,
            written::TlsVersion::V1_3 => Self::V1_3,
        }
    }
}
