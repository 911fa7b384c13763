//! Proxies that people put in front of a server: nginx and HAProxy, as Debian has them.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use wharf_tests::{Scratch, installed};

/// Longer than a proxy takes to listen, on any machine.
const START_DEADLINE: Duration = Duration::from_secs(20);

/// Which proxy, and how it forwards content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Reads the whole request before it forwards it, as is its default.
    Nginx,
    /// Forwards content as it comes.
    NginxStreaming,
    Haproxy,
}

/// A proxy in front of one server, with one connection to it that is kept. It is killed when this value is dropped.
pub struct Front {
    kind: Kind,
    addr: SocketAddr,
    child: Child,
    scratch: Scratch,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Nginx | Self::NginxStreaming => "nginx",
            Self::Haproxy => "haproxy",
        }
    }

    fn configuration(self, addr: SocketAddr, server: SocketAddr) -> String {
        match self {
            Self::Nginx => nginx(addr, server, "on"),
            Self::NginxStreaming => nginx(addr, server, "off"),
            Self::Haproxy => haproxy(addr, server),
        }
    }
}

impl Front {
    /// Starts a proxy on a free port of 127.0.0.1 that forwards everything to `server`; `None` where there is no
    /// such program.
    ///
    /// # Panics
    ///
    /// When it does not listen in time.
    pub fn start(kind: Kind, server: SocketAddr) -> Option<Self> {
        let program = installed(kind.name())?;
        // Another program may take the port before the proxy does.
        let front = (0..5).find_map(|_| Self::try_start(kind, &program, server));
        Some(front.unwrap_or_else(|| panic!("{} does not listen", program.display())))
    }

    fn try_start(kind: Kind, program: &Path, server: SocketAddr) -> Option<Self> {
        let scratch = Scratch::new();
        let addr = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let addr = addr.expect("loopback has a free port");
        let configuration = scratch.write("configuration", kind.configuration(addr, server));
        let mut command = Command::new(program);
        match kind {
            Kind::Nginx | Kind::NginxStreaming => {
                command
                    .arg("-p")
                    .arg(scratch.path())
                    .arg("-e")
                    .arg(scratch.join("errors"));
                command.arg("-c").arg(configuration);
            }
            // In the foreground.
            Kind::Haproxy => {
                command.arg("-db").arg("-f").arg(configuration);
            }
        }
        let output = |name: &str| Stdio::from(File::create(scratch.join(name)).expect("a new file in a new folder"));
        command
            .stdin(Stdio::null())
            .stdout(output("stdout"))
            .stderr(output("stderr"));
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let mut front = Self {
            kind,
            addr,
            child,
            scratch,
        };
        front.listens().then_some(front)
    }

    fn listens(&mut self) -> bool {
        let started = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && started.elapsed() < START_DEADLINE {
            if TcpStream::connect(self.addr).is_ok() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        eprintln!(
            "{:?} does not listen: {}",
            self.kind,
            self.read("stderr") + &self.read("errors")
        );
        false
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    fn read(&self, name: &str) -> String {
        let bytes = std::fs::read(self.scratch.join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        // It is one process and has no children.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One process, which is what is killed. Whoever sends half a message is waited for a second, since cases do. A
/// client that sends no more has not left: hence `proxy_ignore_client_abort`.
fn nginx(addr: SocketAddr, server: SocketAddr, buffering: &str) -> String {
    format!(
        "daemon off;
master_process off;
pid pid;
error_log errors;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    upstream server {{ server {server}; keepalive 1; }}
    server {{
        listen {addr};
        client_max_body_size 0;
        client_header_timeout 1s;
        client_body_timeout 1s;
        keepalive_timeout 1s;
        location / {{
            proxy_pass http://server;
            proxy_http_version 1.1;
            proxy_set_header Host $host;
            proxy_set_header Connection \"\";
            proxy_request_buffering {buffering};
            proxy_ignore_client_abort on;
        }}
    }}
}}
"
    )
}

fn haproxy(addr: SocketAddr, server: SocketAddr) -> String {
    format!(
        "global
    nbthread 1
defaults
    mode http
    timeout connect 10s
    timeout server 10s
    timeout client 1s
    http-reuse always
frontend front
    bind {addr}
    default_backend back
backend back
    server server {server} maxconn 1 pool-max-conn 1
"
    )
}
