//! `[server.acme]`, against an authority for tests.

mod front;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use wharf_tests::http::get;
use wharf_tests::{Server, eventually, eventually_within, guest, installed};

use crate::certificates::{Authority, ask, client, free_port};
use crate::operator::{ADMIN, admin, metric};
use front::{Front, Says};

/// An order takes a second or two; a machine with much else to do, longer.
const PATIENCE: Duration = Duration::from_secs(60);

const NAME: &str = "shop.test";

/// Ports that somebody has to be told of before somebody else listens there.
struct Ports {
    http: u16,
    tls: u16,
    authority: u16,
    roots: u16,
    names: u16,
}

/// A place for a server, an authority, and names that all lead to this machine.
struct Field {
    ca: Authority,
    ports: Ports,
    /// The validity of certificates that the authority gives out.
    seconds: u32,
}

/// A program that ends with this value.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn quiet(command: &mut Command) -> Program {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Program(command.spawn().expect("it can be started"))
}

impl Field {
    fn new(seconds: u32) -> Self {
        let ca = Authority::new();
        ca.certificate("authority", &["localhost", "127.0.0.1"]);
        let ports = Ports {
            http: free_port(),
            tls: free_port(),
            authority: free_port(),
            roots: free_port(),
            names: free_port(),
        };
        Self { ca, ports, seconds }
    }

    /// The authority, and who tells it where names lead. `http` is the port where it asks.
    fn authority(&self, http: u16) -> Option<(Program, Program)> {
        let (pebble, names) = (installed("pebble")?, installed("pebble-challtestsrv")?);
        let Ports {
            tls, authority, roots, ..
        } = self.ports;
        let (chain, key) = (self.path("authority.crt"), self.path("authority.key"));
        let config = format!(
            "{{\"pebble\": {{\"listenAddress\": \"127.0.0.1:{authority}\", \"managementListenAddress\": \"127.0.0.1:{roots}\",
              \"certificate\": \"{}\", \"privateKey\": \"{}\", \"httpPort\": {http}, \"tlsPort\": {tls},
              \"certificateValidityPeriod\": {}}}}}",
            chain.display(), key.display(), self.seconds
        );
        let config = self.ca.scratch.write("pebble.json", config);
        let names_at = format!("127.0.0.1:{}", self.ports.names);
        let names = quiet(
            Command::new(names)
                .args(["-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-dns01", &names_at])
                .args([
                    "-http01",
                    "",
                    "-https01",
                    "",
                    "-tlsalpn01",
                    "",
                    "-management",
                    "127.0.0.1:0",
                ]),
        );
        let pebble = quiet(
            Command::new(pebble)
                .arg("-config")
                .arg(config)
                .args(["-dnsserver", &names_at])
                .env("PEBBLE_VA_NOSLEEP", "1"),
        );
        eventually(|| self.root().is_some(), "the authority is up");
        Some((pebble, names))
    }

    /// The file of the root that the authority signs with; another one each time it is started.
    fn root(&self) -> Option<PathBuf> {
        let file = self.path("root.pem");
        let output = Command::new(installed("curl")?)
            .args(["--silent", "--fail", "--cacert"])
            .arg(self.ca.file())
            .arg(format!("https://localhost:{}/roots/0", self.ports.roots))
            .output()
            .ok()?;
        let is_there = output.status.success() && !output.stdout.is_empty();
        is_there.then(|| fs::write(&file, output.stdout)).map(|_| file)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.ca.scratch.join(name)
    }

    fn serve(&self, more: &str) -> Server {
        self.serve_by(self.ports.authority, more)
    }

    /// The same with the authority at another port.
    fn serve_by(&self, authority: u16, more: &str) -> Server {
        let Ports { http, tls, .. } = self.ports;
        let manifest = format!(
            "[server]\n[[server.listeners]]\naddress = '127.0.0.1:{http}'\n[[server.listeners]]\naddress = '127.0.0.1:{tls}'\n\
             tls = true\n[server.acme]\nhosts = ['{NAME}']\ndirectory = 'https://localhost:{authority}/dir'\n\
             contact = 'me@example.test'\naccept-terms = true\nstorage = 'state'\ntrust = ['ca.pem']\nretry-time = '300ms'\n\
             {more}\n[apps.app]\ncomponent = '{}'\n",
            guest("http-seen").display()
        );
        let manifest = self.ca.scratch.write("wharf.toml", manifest);
        Server::start_manifest(manifest, &ADMIN)
    }

    /// The certificate that clients see.
    fn shown(&self) -> Option<CertificateDer<'static>> {
        let addr = SocketAddr::from(([127, 0, 0, 1], self.ports.tls));
        let (certificate, answer) = ask(&client(&self.path("root.pem")), addr, NAME).ok()?;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        Some(certificate)
    }

    /// What is kept of the authority, by name.
    fn kept(&self) -> Vec<(String, PathBuf)> {
        let below = |folder: &Path| -> Vec<PathBuf> {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).collect()
        };
        let files = below(&self.path("state"))
            .iter()
            .flat_map(|folder| below(folder))
            .collect::<Vec<_>>();
        let name = |file: PathBuf| (file.file_name().unwrap().to_string_lossy().into_owned(), file);
        files.into_iter().map(name).collect()
    }
}

fn orders(server: &Server, outcome: &str) -> f64 {
    let name = format!("wharf_acme_orders_total{{outcome=\"{outcome}\"}}");
    metric(admin(server), &name).unwrap_or(0.0)
}

#[test]
fn certificates_are_ordered_and_kept() {
    for challenge in ["http-01", "tls-alpn-01"] {
        let field = Field::new(24 * 60 * 60);
        let Some(authority) = field.authority(field.ports.http) else {
            return;
        };
        let server = field.serve(&format!("challenges = ['{challenge}']"));
        eventually_within(PATIENCE, || field.shown().is_some(), "the certificate is there");
        assert_eq!(orders(&server, "succeeded"), 1.0);
        assert_eq!(orders(&server, "failed"), 0.0);
        let expires = format!("wharf_certificate_expires_seconds{{name=\"{NAME}\"}}");
        assert!(metric(admin(&server), &expires) > Some(1.7e9));
        // Nobody is answered once nobody asks any more.
        let asked = get(server.addr(), "/.well-known/acme-challenge/token");
        assert!(asked.text().starts_with("GET 127.0.0.1"), "{}", asked.text());
        let kept = field.kept();
        assert_eq!(kept.len(), 2, "{kept:?}");
        for (name, file) in kept {
            let mode = fs::metadata(&file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
            let folder = fs::metadata(file.parent().unwrap()).unwrap().permissions().mode();
            assert_eq!(folder & 0o777, 0o700);
        }
        // A restart needs no authority.
        let shown = field.shown();
        drop(authority);
        server.stop();
        let server = field.serve("");
        assert!(shown.is_some());
        assert_eq!(field.shown(), shown);
        assert_eq!(orders(&server, "succeeded") + orders(&server, "failed"), 0.0);
    }
}

#[test]
fn certificates_are_renewed_in_time() {
    let field = Field::new(6);
    let Some(authority) = field.authority(field.ports.http) else {
        return;
    };
    let server = field.serve("");
    eventually_within(PATIENCE, || field.shown().is_some(), "the certificate is there");
    let first = field.shown();
    eventually_within(
        PATIENCE,
        || field.shown().is_some_and(|now| Some(now) != first),
        "another one is there",
    );
    assert!(orders(&server, "succeeded") >= 2.0);
    // An authority that has forgotten everything, the account included.
    drop(authority);
    let before = orders(&server, "succeeded");
    eventually_within(PATIENCE, || orders(&server, "failed") >= 1.0, "the authority is missed");
    assert_eq!(get(server.addr(), "/").status, 200);
    let _authority = field.authority(field.ports.http);
    eventually_within(PATIENCE, || orders(&server, "succeeded") > before, "it is found again");
    eventually_within(PATIENCE, || field.shown().is_some(), "clients see its certificate");
}

/// Whatever its time is: the authority may have to revoke it (RFC 9773).
#[test]
fn certificates_are_renewed_when_the_authority_says_so() {
    let field = Field::new(24 * 60 * 60);
    let Some(_authority) = field.authority(field.ports.http) else {
        return;
    };
    let says = Says {
        renews_first: true,
        ..Says::default()
    };
    let front = Front::start(&field.ca, field.ports.authority, says);
    let server = field.serve_by(front.port, "");
    eventually_within(
        PATIENCE,
        || orders(&server, "succeeded") == 2.0,
        "it is renewed at once",
    );
    eventually_within(PATIENCE, || front.renewals_asked() == 2, "it asks about the new one");
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(
        orders(&server, "succeeded"),
        2.0,
        "which is not to be renewed for years"
    );
    // This authority does not say which certificate an order replaces, and is asked again without it.
    assert_eq!(orders(&server, "failed"), 1.0);
    server.says("replaces field mismatch");
}

/// An authority that has too much to do is left alone for as long as it says, however soon the server would try again.
#[test]
fn an_authority_is_left_alone_as_long_as_it_asks() {
    let field = Field::new(24 * 60 * 60);
    let Some(_authority) = field.authority(field.ports.http) else {
        return;
    };
    let says = Says {
        wait: Some(3),
        ..Says::default()
    };
    let front = Front::start(&field.ca, field.ports.authority, says);
    let server = field.serve_by(front.port, "");
    eventually_within(PATIENCE, || field.shown().is_some(), "the certificate is there");
    assert_eq!((orders(&server, "failed"), orders(&server, "succeeded")), (1.0, 1.0));
    let waited = front.first_wait();
    // Seconds are whole ones.
    assert!(waited >= Some(Duration::from_secs(2)), "{waited:?}");
}

#[test]
fn an_authority_that_finds_no_answer_is_asked_otherwise() {
    let field = Field::new(24 * 60 * 60);
    // The authority is not there yet.
    let server = field.serve("challenges = ['http-01', 'tls-alpn-01']");
    eventually_within(PATIENCE, || orders(&server, "failed") >= 1.0, "the authority is missed");
    assert_eq!(get(server.addr(), "/").status, 200);
    server.says("cannot reach localhost");
    server.stop();
    // It asks at a port where nobody answers.
    let Some(_authority) = field.authority(free_port()) else {
        return;
    };
    let server = field.serve("challenges = ['http-01', 'tls-alpn-01']");
    eventually_within(PATIENCE, || field.shown().is_some(), "the second challenge succeeds");
    assert!(orders(&server, "failed") >= 1.0);
    assert_eq!(orders(&server, "succeeded"), 1.0);
    eventually(
        || {
            server
                .log()
                .contains("did not find the answer to its challenge http-01")
        },
        "what failed is said",
    );
}
