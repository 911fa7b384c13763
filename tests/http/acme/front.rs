//! Stands between a server and its authority, and says what that one does not: when a certificate is to be renewed (RFC 9773), and
//! how long to wait (RFC 8555 section 6.6).

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, StreamOwned};

use crate::certificates::Authority;

/// What it says beside what the authority says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Says {
    /// The first certificate is to be renewed at once, later ones not for years.
    pub renews_first: bool,
    /// So many seconds are to be waited for, to the first that is asked.
    pub wait: Option<u64>,
}

pub struct Front {
    pub port: u16,
    /// What was asked, and when.
    asked: Arc<Mutex<Vec<(String, Instant)>>>,
}

/// Everything that one connection needs.
struct Between {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    port: u16,
    authority: u16,
    says: Says,
    asked: Arc<Mutex<Vec<(String, Instant)>>>,
}

impl Front {
    /// Before the authority at a port of this machine, with the same certificate.
    pub fn start(ca: &Authority, authority: u16, says: Says) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let chain = CertificateDer::from_pem_file(ca.scratch.join("authority.crt")).unwrap();
        let key = PrivateKeyDer::from_pem_file(ca.scratch.join("authority.key")).unwrap();
        let server = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![chain], key)
            .unwrap();
        let asked = Arc::default();
        let between = Arc::new(Between {
            server: Arc::new(server),
            client: ca.client(),
            port,
            authority,
            says,
            asked: Arc::clone(&asked),
        });
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let between = between.clone();
                thread::spawn(move || between.serve(stream));
            }
        });
        Self { port, asked }
    }

    /// How long after each other the first two requests came.
    pub fn first_wait(&self) -> Option<Duration> {
        let asked = self.asked.lock().unwrap();
        Some(asked.get(1)?.1 - asked.first()?.1)
    }

    /// How many different certificates were asked about.
    pub fn renewals_asked(&self) -> usize {
        let asked = self.asked.lock().unwrap();
        let mut paths: Vec<&String> = asked.iter().map(|(path, _)| path).collect();
        paths.retain(|path| path.starts_with(RENEWAL));
        paths.sort();
        paths.dedup();
        paths.len()
    }
}

const RENEWAL: &str = "/renewal-info/";

impl Between {
    /// One request, as the server sends them.
    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let tls = ServerConnection::new(self.server.clone()).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(tls, stream);
        let (head, content) = read(&mut stream)?;
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let (is_first, about) = {
            let mut asked = self.asked.lock().unwrap();
            let about = asked.iter().find(|(path, _)| path.starts_with(RENEWAL));
            let about = about.map(|(path, _)| path.clone());
            asked.push((path.clone(), Instant::now()));
            (asked.len() == 1, about)
        };
        let answer = match self.says.wait {
            Some(seconds) if is_first => answer(
                "429 Too Many Requests",
                &format!("retry-after: {seconds}\r\n"),
                "{\"type\": \"urn:ietf:params:acme:error:rateLimited\", \"status\": 429}",
            ),
            _ if path.starts_with(RENEWAL) => {
                let is_of_first = about.is_none_or(|first| first == path);
                let year = if self.says.renews_first && is_of_first {
                    2020
                } else {
                    2090
                };
                answer(
                    "200 OK",
                    "retry-after: 60\r\n",
                    &format!(
                        "{{\"suggestedWindow\": {{\"start\": \"{year}-01-01T00:00:00Z\", \"end\": \"{year}-01-02T00:00:00Z\"}}}}"
                    ),
                )
            }
            _ => self.pass_on(&head, &content, path == "/dir")?,
        };
        stream.write_all(&answer)?;
        stream.conn.send_close_notify();
        stream.flush()
    }

    fn pass_on(&self, head: &str, content: &[u8], is_directory: bool) -> io::Result<Vec<u8>> {
        let name = ServerName::try_from("localhost").unwrap();
        let tls = ClientConnection::new(self.client.clone(), name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(tls, TcpStream::connect(("127.0.0.1", self.authority))?);
        let (line, fields) = head.split_once("\r\n").unwrap_or_default();
        stream.write_all(format!("{line}\r\nconnection: close\r\n{fields}\r\n\r\n").as_bytes())?;
        stream.write_all(content)?;
        let mut answered = Vec::new();
        // However it ends: what is missing is noticed by who has asked.
        let _ = stream.read_to_end(&mut answered);
        if !is_directory {
            return Ok(answered);
        }
        let text = String::from_utf8_lossy(&answered).into_owned();
        let (_, directory) = text.split_once("\r\n\r\n").unwrap_or_default();
        // One more thing that it can be asked.
        let path = RENEWAL.trim_end_matches('/');
        let more = format!("{{\"renewalInfo\": \"https://localhost:{}{path}\",", self.port);
        Ok(answer("200 OK", "", &directory.replacen('{', &more, 1)))
    }
}

/// A request, with as much content as it says.
fn read(stream: &mut impl Read) -> io::Result<(String, Vec<u8>)> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    head.truncate(head.len() - 4);
    let head = String::from_utf8(head).map_err(io::Error::other)?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    });
    let mut content = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut content)?;
    Ok((head, content))
}

fn answer(status: &str, fields: &str, content: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{fields}content-length: {}\r\n\r\n{content}",
        content.len()
    )
    .into_bytes()
}
