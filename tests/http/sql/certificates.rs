//! Connections to a server that are encrypted, or ought to be.

use wharf_tests::{Brand, DatabaseServer};

use super::{Engine, Site};
use crate::axes::Isolation;
use crate::certificates::Authority;

#[test]
fn a_server_is_known_by_its_certificate() {
    for brand in [Brand::Postgres, Brand::Mariadb] {
        let (ours, theirs) = (Authority::new(), Authority::new());
        ours.certificate("here", &["127.0.0.1", "db.test"]);
        ours.certificate("elsewhere", &["elsewhere.test"]);
        let cases = [
            ("here", &ours, None),
            (
                "elsewhere",
                &ours,
                Some("connection-failed the database's certificate does not hold"),
            ),
            (
                "here",
                &theirs,
                Some("connection-failed the database's certificate does not hold"),
            ),
        ];
        for (certificate, trusted, refused) in cases {
            let Some(database) = serve(brand, &ours, certificate) else {
                continue;
            };
            let keys = format!("tls = 'verify'\ntls-ca = '{}'", trusted.file().display());
            let site = Site::new(Engine::Server(brand), Some(database), &keys, Isolation::Serial);
            let answer = site.ask("execute SELECT 1");
            assert_eq!(
                answer,
                refused.unwrap_or("changed 0"),
                "{brand:?} {certificate}: {}",
                site.server.log()
            );
            if refused.is_some() {
                site.says_why("certificate");
                continue;
            }
            let encrypted = match brand {
                Brand::Postgres => "query SELECT ssl AS a FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
                Brand::Mariadb => {
                    "query SELECT variable_value <> '' AS a FROM information_schema.session_status \
                                   WHERE variable_name = 'Ssl_cipher'"
                }
            };
            let answer = site.ask(encrypted);
            assert!(
                answer.contains("row true") || answer.contains("row integer 1"),
                "{brand:?}: {answer}"
            );
            if brand == Brand::Postgres {
                // What is looked at is what is in it.
                let large = site.ask("execute SELECT repeat('x', 50000000)");
                assert!(large.starts_with("value-conversion-failed "), "{large}");
            }
        }
    }
}

/// One that has no certificate is not spoken to in the clear.
#[test]
fn encryption_is_not_given_up() {
    for brand in [Brand::Postgres, Brand::Mariadb] {
        let authority = Authority::new();
        let Some(database) = DatabaseServer::start(brand, if brand == Brand::Mariadb { &["--skip-ssl"] } else { &[] })
        else {
            continue;
        };
        let keys = format!("tls-ca = '{}'", authority.file().display());
        let site = Site::new(Engine::Server(brand), Some(database), &keys, Isolation::Serial);
        let answer = site.ask("execute SELECT 1");
        assert!(answer.starts_with("connection-failed"), "{brand:?}: {answer}");
    }
}

fn serve(brand: Brand, authority: &Authority, certificate: &str) -> Option<DatabaseServer> {
    let database = DatabaseServer::new(brand, &[])?;
    let [certificate, key] = ["crt", "key"].map(|extension| {
        let text = std::fs::read(authority.scratch.join(format!("{certificate}.{extension}"))).expect("it was signed");
        database.keep(&format!("tls.{extension}"), &text).display().to_string()
    });
    let flags = match brand {
        Brand::Postgres => {
            vec![
                "-c".to_owned(),
                "ssl=on".to_owned(),
                "-c".to_owned(),
                format!("ssl_cert_file={certificate}"),
                "-c".to_owned(),
                format!("ssl_key_file={key}"),
            ]
        }
        Brand::Mariadb => vec![format!("--ssl-cert={certificate}"), format!("--ssl-key={key}")],
    };
    let database = database.with(flags);
    database.run();
    Some(database)
}
