//! Of sockets and open files that guests hold, each of which takes one of the server's own.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use wharf_tests::http::{Connection, get};
use wharf_tests::{Scratch, Server, eventually, guest};

use super::{Counted, Outcome, Told};
use crate::operator::{ADMIN, admin, reached_by};

/// What the guests of both versions of WASI are called, and what each is told past the limit: of sockets, and of files.
const GUESTS: [(&str, &str, &str); 2] = [
    ("http-descriptors", TOO_MANY_OF_APP, TOO_MANY_OF_APP),
    ("http02-descriptors", "new-socket-limit", "insufficient-memory"),
];

const TOO_MANY_OF_APP: &str = "the app holds as many as its limit `descriptors` allows";

const TOO_MANY_OF_ALL: &str = "all apps together hold as many as the server can spare";

/// Apps that hold descriptors, beside one that is to notice nothing of it.
struct Site {
    server: Server,
    admin: SocketAddr,
    /// Whom guests connect with.
    peer: SocketAddr,
    _scratch: Scratch,
}

impl Site {
    /// `apps` are their names and what their manifests say beside their component, each under the path of its name.
    fn serve(server: &str, component: &str, apps: &[(&str, &str)]) -> Self {
        Self::start(server, component, apps, |command| command)
    }

    fn start(server: &str, component: &str, apps: &[(&str, &str)], with: impl FnOnce(Command) -> Command) -> Self {
        let scratch = Scratch::new();
        scratch.write("data/a-file", "of a guest's");
        // More entries than a listing reads ahead.
        for number in 0..1000 {
            scratch.write(format!("data/a-folder/{number}"), "");
            scratch.write(format!("data/{number}"), "");
        }
        let mut manifest = format!(
            "[server.limits]\n{server}\n[apps.calm]\ncomponent = '{}'\nroutes = [{{ path = '/calm' }}]\n",
            guest("http-hello").display()
        );
        for (name, app) in apps {
            manifest += &format!(
                "[apps.{name}]\ncomponent = '{}'\nroutes = [{{ path = '/{name}' }}]\nisolation = 'serial'\n\
                 filesystem = {{ '/data' = 'data' }}\n{}\n",
                guest(component).display(),
                app.replace("APP", &format!("apps.{name}"))
            );
        }
        let flags = [&ADMIN[..], &["--log", "debug"]].concat();
        let command = Server::command(scratch.write("wharf.toml", manifest), &flags);
        let server = Server::spawn(with(command));
        let admin = admin(&server);
        Self {
            server,
            admin,
            peer: peer(),
            _scratch: scratch,
        }
    }

    fn path(&self, app: &str, steps: &str) -> String {
        format!("/{app}?steps={steps}&peer={}", self.peer)
    }

    /// What the app says of each step.
    #[track_caller]
    fn ask(&self, app: &str, steps: &str) -> String {
        let reply = get(self.server.addr(), &self.path(app, steps));
        assert_eq!(reply.status, 200, "{steps}: {}", reply.text());
        reply.text()
    }

    /// The app gets so many of a kind, and no more.
    #[track_caller]
    fn check_gets(&self, app: &str, kind: &str, most: usize, told: &str) {
        let said = self.ask(app, &format!("drop,{kind}:100"));
        let of_kind = said.lines().nth(1).unwrap_or_default();
        assert!(
            of_kind.starts_with(&format!("{kind} {most} ")) && of_kind.contains(told),
            "{kind}: {said}"
        );
    }

    #[track_caller]
    fn check_neighbour(&self) {
        assert_eq!(get(self.server.addr(), "/calm").status, 200);
    }

    /// How many descriptors the server has.
    fn descriptors(&self) -> usize {
        let listed = std::fs::read_dir(format!("/proc/{}/fd", self.server.pid()));
        listed.expect("the kernel tells").count()
    }
}

/// Takes connections, and closes them.
fn peer() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || listener.incoming().for_each(drop));
    address
}

const GRANTED: &str = "[APP.sockets]\nallow = ['127.0.0.1']\n";

/// Each kind of them, in both versions of WASI: the guest is told, and gets others once it has dropped these.
pub fn sockets_and_open_files() -> Outcome {
    let counted = GUESTS.map(|(component, of_sockets, of_files)| {
        let app = format!("limits = {{ descriptors = 10 }}\n{GRANTED}");
        let site = Site::serve("", component, &[("main", &app)]);
        assert_eq!(site.ask("main", "drop"), "dropped\n");
        let before = site.descriptors();
        let of_both = [
            ("tcp", of_sockets),
            ("udp", of_sockets),
            ("file", of_files),
            ("file-stream", of_files),
        ];
        let of_first = [
            ("connected", of_sockets),
            ("streams", of_sockets),
            ("received", of_sockets),
            ("directory", of_files),
            ("listing", of_files),
        ];
        let of_first = of_first.into_iter().take_while(|_| component == GUESTS[0].0);
        let mut refused = 0;
        for (kind, told) in of_both.into_iter().chain(of_first) {
            site.check_gets("main", kind, 10, told);
            refused += 1;
            assert_eq!(
                reached_by(site.admin, "main", "descriptors"),
                Some(f64::from(refused)),
                "{kind}"
            );
            // What is counted is what there is, but for connections of the test's own that come and go.
            let held = site.descriptors() - before;
            assert!(held.abs_diff(10) < 5, "{kind}: {held}");
            site.check_neighbour();
        }
        Counted::times(&site.server, site.admin, "descriptors", |times| {
            times == f64::from(refused)
        })
    });
    let [counted, _] = counted;
    (counted, Told::Nothing)
}

/// A listener counts twice, for the connection that it accepts ahead of the guest, and each connection of a guest with itself does.
#[test]
fn connections_that_guests_accept() {
    for (component, of_sockets, _) in GUESTS {
        let app = format!("limits = {{ descriptors = 10 }}\n{GRANTED}");
        let site = Site::serve("", component, &[("main", &app)]);
        let said = site.ask("main", "listen,accepted:100");
        let accepted = said.lines().nth(1).unwrap_or_default();
        assert!(
            accepted.starts_with("accepted 4 ") && accepted.contains(of_sockets),
            "{said}"
        );
        // Its listener counts until the instance ends.
        site.check_gets("main", "tcp", 8, of_sockets);
        site.check_neighbour();
    }
}

/// What guests close does not count, however much they open.
#[test]
fn sockets_that_are_closed_do_not_count() {
    let app = format!("limits = {{ descriptors = 10 }}\n{GRANTED}");
    let site = Site::serve("", GUESTS[0].0, &[("main", &app)]);
    assert_eq!(site.ask("main", "closed:500"), "closed 500\n");
    assert_eq!(reached_by(site.admin, "main", "descriptors"), Some(0.0));
}

/// A connection past the limit is reset, and the guest waits for another.
#[test]
fn connections_from_outside_past_the_limit() {
    let app = format!("limits = {{ descriptors = 10, response-time = '10m' }}\n{GRANTED}");
    let site = Site::serve("", GUESTS[0].0, &[("main", &app)]);
    let said = site.ask("main", "listen");
    let port: u16 = said
        .trim()
        .strip_prefix("listens ")
        .and_then(|port| port.parse().ok())
        .unwrap_or_else(|| panic!("{said}"));
    let mut peer = TcpStream::connect(("127.0.0.1", port)).expect("the guest listens");
    let deadline = Some(Duration::from_secs(60));
    peer.set_read_timeout(deadline).expect("the deadline is not zero");
    let mut asking = Connection::open(site.server.addr());
    asking.send(format!(
        "GET {} HTTP/1.1\r\nhost: a.test\r\n\r\n",
        site.path("main", "tcp:100,taken")
    ));
    let end = peer.read(&mut [0]).expect_err("it is reset");
    assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset);
    site.check_neighbour();
}

/// Without a grant sockets would be of no use, and there are none.
#[test]
fn sockets_without_a_grant() {
    for (component, ..) in GUESTS {
        let site = Site::serve("", component, &[("main", "")]);
        assert_eq!(site.ask("main", "drop"), "dropped\n");
        let before = site.descriptors();
        for kind in ["tcp", "udp"] {
            let said = site.ask("main", &format!("{kind}:100"));
            let is_denied = said.contains("AccessDenied") || said.contains("access-denied");
            assert!(said.starts_with(&format!("{kind} 0 ")) && is_denied, "{said}");
        }
        assert!(site.descriptors() < before + 5);
    }
}

/// All instances of an app share its limit, and what one has held is there again once it has ended.
#[test]
fn descriptors_of_all_instances() {
    let app = format!("limits = {{ descriptors = 10, response-time = '10m' }}\n{GRANTED}");
    let mut site = Site::serve("", GUESTS[0].0, &[("main", &app)]);
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    site.peer = listener.local_addr().expect("it is bound");
    let mut holding = Connection::open(site.server.addr());
    let path = format!("{}&hold=6000000", site.path("main", "tcp:4,file:1,connected"));
    holding.send(format!("GET {path} HTTP/1.1\r\nhost: a.test\r\n\r\n"));
    // Once it connects, it has the others.
    let _connected = listener.accept().expect("the guest connects");
    site.check_gets("main", "tcp", 4, TOO_MANY_OF_APP);
    drop(holding);
    eventually(
        || site.ask("main", "drop,tcp:100").contains("tcp 10 "),
        "all to be there again",
    );
}

/// Whatever the limits of apps, the server keeps some for itself: for as many connections as it takes, and for what it does with them.
#[test]
fn descriptors_of_all_apps() {
    const CONNECTIONS: usize = 100;
    let app = format!("limits = {{ descriptors = 100000 }}\n{GRANTED}");
    let apps = [("greedy", app.as_str()), ("modest", app.as_str())];
    let limits = format!("connections = {CONNECTIONS}\nconnections-per-client = {CONNECTIONS}");
    let site = Site::start(&limits, GUESTS[0].0, &apps, |command| {
        let mut limited = Command::new("sh");
        limited.args(["-c", "ulimit -n 300; exec \"$0\" \"$@\""]);
        limited.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => limited.env(name, value),
                None => limited.env_remove(name),
            };
        }
        limited
    });
    // Half of what connections leave.
    let said = site.ask("greedy", "tcp:1000");
    assert!(said.starts_with("tcp 100 ") && said.contains(TOO_MANY_OF_ALL), "{said}");
    for kind in ["tcp", "file"] {
        site.check_gets("modest", kind, 0, TOO_MANY_OF_ALL);
    }
    assert_eq!(reached_by(site.admin, "modest", "descriptors"), Some(2.0));
    let mut connections: Vec<_> = (0..CONNECTIONS - 10)
        .map(|_| Connection::open(site.server.addr()))
        .collect();
    for connection in &mut connections {
        connection.send("GET /calm HTTP/1.1\r\nhost: a.test\r\n\r\n");
        assert_eq!(connection.reply().status, 200);
    }
    drop(connections);
    // Files that one app has closed are there for another, too.
    assert_eq!(site.ask("greedy", "drop,file:60"), "dropped\nfile 60\n");
    assert_eq!(site.ask("greedy", "drop"), "dropped\n");
    eventually(
        || site.ask("modest", "drop,tcp:100") == "dropped\ntcp 100\n",
        "all to be there again",
    );
}
