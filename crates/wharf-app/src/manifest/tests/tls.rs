//! `[server.tls]` and `[server.acme]`.

use super::*;
use crate::app::{AcmeOptions, CertificateFiles, Challenge, ClientCertificates, TlsOptions, TlsVersion};

#[test]
fn everything_that_is_said_of_tls_means_something() {
    let tree = Tree::of(
        "[server.tls]
        min-version = '1.3'
        folder = ['certs', '/etc/certs']
        unknown-names = 'default'
        [[server.tls.certificates]]
        certificate = 'both.pem'
        [[server.tls.certificates]]
        certificate = 'a.crt'
        key = 'a.key'
        default = true
        [[server.tls.client-certificates]]
        authorities = 'ca.pem'
        [[server.tls.client-certificates]]
        authorities = ['one.pem', 'two.pem']
        hosts = ['admin.test', '*.Internal.test']
        required = false
        revoked = 'ca.crl'
        [server.acme]
        hosts = ['Shop.test', 'www.shop.test']
        directory = 'https://ca.test/dir'
        contact = ['me@shop.test', 'mailto:you@shop.test']
        accept-terms = true
        storage = 'state'
        trust = ['root.pem']
        challenges = ['http-01']
        retry-time = '5s'",
    );
    let expected = TlsOptions {
        min_version: TlsVersion::V1_3,
        certificates: vec![
            CertificateFiles {
                certificate: tree.path("both.pem"),
                key: tree.path("both.pem"),
                is_default: false,
            },
            CertificateFiles {
                certificate: tree.path("a.crt"),
                key: tree.path("a.key"),
                is_default: true,
            },
        ],
        folders: vec![tree.path("certs"), "/etc/certs".into()],
        default_for_unknown_names: true,
        client_certificates: vec![
            ClientCertificates {
                hosts: vec![HostPattern::Any],
                authorities: vec![tree.path("ca.pem")],
                revoked: Vec::new(),
                is_required: true,
            },
            ClientCertificates {
                hosts: vec![
                    HostPattern::Exact("admin.test".into()),
                    HostPattern::Wildcard("internal.test".into()),
                ],
                authorities: vec![tree.path("one.pem"), tree.path("two.pem")],
                revoked: vec![tree.path("ca.crl")],
                is_required: false,
            },
        ],
        acme: Some(AcmeOptions {
            hosts: vec!["shop.test".into(), "www.shop.test".into()],
            directory: "https://ca.test/dir".into(),
            contact: vec!["mailto:me@shop.test".into(), "mailto:you@shop.test".into()],
            storage: Some(tree.path("state")),
            trust: vec![tree.path("root.pem")],
            challenges: vec![Challenge::Http01],
            retry_after: Duration::from_secs(5),
        }),
    };
    assert_eq!(configuration(&tree).server.tls, Some(expected));
}

#[test]
fn what_is_not_said_of_orders_has_its_default() {
    let tree = Tree::of("[server.acme]\nhosts = ['a.test']\naccept-terms = true");
    let acme = configuration(&tree).server.tls.and_then(|tls| tls.acme).unwrap();
    assert_eq!(acme.directory, "https://acme-v02.api.letsencrypt.org/directory");
    assert_eq!(acme.challenges, [Challenge::TlsAlpn01, Challenge::Http01]);
    assert_eq!(acme.retry_after, Duration::from_secs(60));
    assert_eq!((acme.storage, acme.contact.len()), (None, 0));
    assert_eq!(configuration(&Tree::of("[server]")).server.tls, None);
}

#[test]
fn mistakes_about_tls_are_said_with_advice() {
    for (tls, expected) in [
        ("[server.tls]", &["TLS needs a certificate"][..]),
        ("[server.tls]\nmin-version = '1.1'\nfolder = 'a'", &["1.2"]),
        (
            "[[server.tls.certificates]]\ncertificate = 'a'\ndefault = true\n[[server.tls.certificates]]\n\
             certificate = 'b'\ndefault = true",
            &["wharf.toml:4:1: there are two certificates by default"],
        ),
        (
            "[server.tls]\nfolder = 'a'\n[[server.tls.client-certificates]]\nauthorities = []\nhosts = []",
            &[
                "no client could be let in without an authority",
                "the list of hosts is empty",
            ],
        ),
        (
            "[server.tls]\nfolder = 'a'\n[[server.tls.client-certificates]]\nauthorities = 'b'\n\
             [[server.tls.client-certificates]]\nauthorities = 'b'",
            &["two of the client certificates are for all hosts"],
        ),
        (
            "[server.tls]\nfolder = 'a'\n[[server.tls.client-certificates]]\nauthorities = 'b'\nhosts = ['a.test', 'A.test']",
            &["two of the client certificates are for the host a.test"],
        ),
        (
            "[server.tls]\nfolder = 'a'\n[[server.tls.client-certificates]]\nauthorities = 'b'\nhosts = ['a.test:443']",
            &["a host is written without its port"],
        ),
        ("[server.acme]\nhosts = ['a.test']", &["`accept-terms` is missing"]),
        (
            "[server.acme]\nhosts = ['a.test']\naccept-terms = false",
            &["no certificate is given out to who refuses"],
        ),
        (
            "[server.acme]\nhosts = []\naccept-terms = true",
            &["`hosts` names nothing"],
        ),
        (
            "[server.acme]\nhosts = ['*.a.test', '10.0.0.1', '[::1]', 'a.test', 'A.test']\naccept-terms = true",
            &[
                "by way of DNS alone",
                "not for addresses",
                "not for addresses",
                "`a.test` is named twice",
            ],
        ),
        (
            "[server.acme]\nhosts = ['a.test']\naccept-terms = true\ndirectory = 'http://ca.test'\ncontact = 'me'\n\
             challenges = []\nretry-time = 'soon'",
            &[
                "begins with https://",
                "an email address",
                "without any challenge",
                "`retry-time`: expected a number",
            ],
        ),
    ] {
        check_wrong(tls, expected);
    }
}
