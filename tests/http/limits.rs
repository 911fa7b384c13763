//! Each limit, broken: what the client gets, what is counted, what is said.
//!
//! A test that breaks one ends with what shows that, and the table here says which limit that has to be of. What the program
//! counts decides which limits there are.

/// Of connections and what comes over them.
mod connections;
/// Of sockets and open files that guests hold.
mod descriptors;
/// Of what requests take of guests, and guests of the machine.
mod guests;
/// Of heads and bodies.
mod messages;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use wharf_tests::http::{Connection, Reply, get};
use wharf_tests::{Scratch, Server, eventually, guest};

use crate::operator::{ADMIN, admin, metric, reached, reached_by};
use crate::witness::Witness;

/// A server with one app, and the limits of both.
struct Limited {
    server: Server,
    admin: SocketAddr,
    _scratch: Scratch,
}

impl Limited {
    /// `server` and `app` are the keys of `[server.limits]` and of the app's `[limits]`.
    fn serve(component: &str, server: &str, app: &str) -> Self {
        Self::isolated(component, "serial", server, app)
    }

    fn isolated(component: &str, isolation: &str, server: &str, app: &str) -> Self {
        let scratch = Scratch::new();
        let manifest = format!(
            "[server.limits]\n{server}\n[apps.main]\ncomponent = '{}'\nisolation = '{isolation}'\n[apps.main.limits]\n{app}\n",
            guest(component).display()
        );
        let flags = [&ADMIN[..], &["--log", "debug"]].concat();
        let server = Server::start(scratch.write("wharf.toml", manifest), &flags);
        let admin = admin(&server);
        Self {
            server,
            admin,
            _scratch: scratch,
        }
    }

    fn open(&self) -> Connection {
        Connection::open(self.server.addr())
    }

    /// The limit was reached so often, and the log says so.
    #[track_caller]
    fn check_reached(&self, limit: &'static str, times: f64) -> Counted {
        Counted::times(&self.server, self.admin, limit, |counted| counted == times)
    }

    /// Waits until so many requests are under way.
    #[track_caller]
    fn has_begun(&self, requests: usize) {
        let name = "wharf_requests";
        eventually(
            || metric(self.admin, name) == Some(requests as f64),
            "requests to begin",
        );
    }

    /// Waits until so many requests are in the queue.
    #[track_caller]
    fn waits(&self, requests: usize) {
        let name = "wharf_requests_waiting{app=\"main\"}";
        eventually(|| metric(self.admin, name) == Some(requests as f64), "requests to wait");
    }

    fn send(&self, raw: impl AsRef<[u8]>) -> Reply {
        let mut connection = self.open();
        // The server may answer, and close, before it has read everything.
        let _ = connection.try_send(raw);
        connection.reply()
    }
}

/// What shows that a limit was reached: its metric has counted it, and the log has said so.
pub struct Counted(&'static str);

impl Counted {
    /// Waits until `limit` was reached as often as it should be, and is in the log.
    #[track_caller]
    pub fn times(server: &Server, admin: SocketAddr, limit: &'static str, is_right: impl Fn(f64) -> bool) -> Self {
        let counted = Self::unsaid(admin, limit, is_right);
        server.says(&format!("limit=\"{limit}\""));
        counted
    }

    /// The same of one at which calls of guests wait, or fail, which is theirs to say.
    #[track_caller]
    pub fn unsaid(admin: SocketAddr, limit: &'static str, is_right: impl Fn(f64) -> bool) -> Self {
        eventually(|| is_right(reached(admin, limit)), &format!("{limit} to be counted"));
        Self(limit)
    }
}

/// What the client was told, as the test has seen it.
#[derive(Debug, PartialEq, Eq)]
pub enum Told {
    Status(u16),
    /// Its connection has ended, as far as it could be told nothing else.
    Closed,
    /// Over HTTP/2: it may try again.
    Refused,
    /// It has its answer.
    Nothing,
}

/// What a test that breaks a limit ends with.
pub type Outcome = (Counted, Told);

/// Makes a test of each line: the limit, what the client is told, and what breaks it.
macro_rules! broken {
    ($($limit:literal: $told:expr, $module:ident::$test:ident;)*) => {
        /// Limits that a test has broken.
        const BROKEN: &[&str] = &[$($limit),*];

        mod broken {
            use super::Told::{Closed, Nothing, Refused, Status};

            $(
                #[test]
                fn $test() {
                    let (counted, told) = super::$module::$test();
                    assert_eq!((counted.0, told), ($limit, $told));
                }
            )*
        }
    };
}

broken! {
    "connections": Status(503), connections::connections_of_all_clients;
    "connections-per-client": Status(503), connections::connections;
    "handshake-time": Closed, connections::time_until_a_first_request_can_come;
    "idle-timeout": Closed, connections::time_without_a_request;
    "requests-per-connection": Closed, connections::requests_per_connection;
    "header-bytes": Status(431), messages::bytes_of_a_head;
    "header-count": Status(431), messages::fields_of_a_head;
    "address": Status(414), messages::bytes_of_an_address;
    "head-timeout": Status(408), messages::time_for_a_head;
    "body": Status(413), messages::bytes_of_a_body;
    "body-rate": Status(408), messages::rate_of_a_body;
    "body-idle-time": Status(408), messages::time_between_pieces_of_a_body;
    "write-rate": Closed, connections::rate_of_a_response;
    "streams": Refused, connections::streams_past_those_of_a_connection;
    "requests": Status(503), guests::requests_at_a_time;
    "instances": Nothing, guests::instances_at_a_time;
    "queue": Status(503), guests::requests_of_an_app_at_a_time_and_its_queue;
    "queue-time": Status(503), guests::time_in_the_queue;
    "load": Status(503), guests::load;
    "slow-clients": Closed, connections::slow_clients_make_room;
    "resets": Closed, connections::requests_that_are_taken_back;
    "control-frames": Closed, connections::frames_that_carry_nothing;
    "response-time": Status(504), guests::time_until_the_response;
    "memory": Status(502), guests::memory;
    "cpu-time": Status(504), guests::processor_time;
    "descriptors": Nothing, descriptors::sockets_and_open_files;
    "background-time": Nothing, guests::time_for_work_after_the_response;
    "http-client-connections": Nothing, guests::connections_of_outgoing_calls;
    "http-client-connections-per-origin": Nothing, guests::connections_of_outgoing_calls_to_one_origin;
    "http-client-waiting-per-origin": Nothing, guests::outgoing_calls_that_wait;
}

/// Each limit that the program counts is in the table, and so is each that the documentation names. Those of WebSockets have
/// tests of their own.
#[test]
fn every_limit_has_a_test() {
    let limited = Limited::serve("http-hello", "", "");
    let metrics = get(limited.admin, "/metrics").text();
    let lines = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("wharf_limits_reached_total{"));
    let limits = lines.filter_map(|line| line.split_once("limit=\"")?.1.split_once('"').map(|(limit, _)| limit));
    let counted: BTreeSet<_> = limits.filter(|limit| !limit.starts_with("websocket-")).collect();
    assert_eq!(
        counted,
        BROKEN.iter().copied().collect(),
        "those that are counted, and those with a test"
    );
    let untested: Vec<_> = documented()
        .into_iter()
        .filter(|limit| !counted.contains(limit))
        .collect();
    assert!(untested.is_empty(), "{untested:?}");
}

/// The limits in the documentation's table, but for those of `[http-client]`, which are not counted under their keys alone.
fn documented() -> Vec<&'static str> {
    const UNDER_OTHER_NAMES: &str = "`[http-client]`";
    // By their keys, or for want of one by what they are.
    const WITHOUT_KEY: [(&str, &str); 3] = [
        ("load (no setting)", "load"),
        ("slow clients (no setting)", "slow-clients"),
        ("address (no setting)", "address"),
    ];
    let document = include_str!("../../docs/concepts/overload.md");
    let table = document
        .split("## Which limit gives which answer")
        .nth(1)
        .expect("it is there");
    let rows = table
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let mut names = Vec::new();
    for row in rows.filter(|row| !row.contains(UNDER_OTHER_NAMES)) {
        let first = row.split('|').nth(1).unwrap_or_default().trim();
        match WITHOUT_KEY.iter().find(|(words, _)| *words == first) {
            Some((_, name)) => names.push(*name),
            None => names.extend(first.split('`').skip(1).step_by(2)),
        }
    }
    assert!(names.len() > 20, "{names:?}");
    names
}

/// What an app may use is counted by app, from the start; what all share is not.
#[test]
fn limits_are_counted_by_whose_they_are() {
    let scratch = Scratch::new();
    let app = |name: &str| {
        let component = guest("http-upload");
        format!(
            "[apps.{name}]\ncomponent = '{}'\nroutes = [{{ path = '/{name}' }}]\nlimits.body = 10\n",
            component.display()
        )
    };
    let manifest = format!("[server.limits]\nheader-count = 9\n{}{}", app("shop"), app("blog"));
    let server = Server::start(scratch.write("wharf.toml", manifest), &ADMIN);
    let admin = admin(&server);
    let send = |path: &str, more: &str| {
        let mut connection = Connection::open(server.addr());
        connection.send(format!("POST {path} HTTP/1.1\r\nhost: a.test\r\n{more}\r\n"));
        connection.reply().status
    };
    for (path, status) in [("/shop", 413), ("/shop", 413), ("/blog", 413)] {
        assert_eq!(send(path, "content-length: 11\r\n"), status);
    }
    let fields: String = (0..10).map(|nth| format!("x{nth}: y\r\n")).collect();
    assert_eq!(send("/shop", &fields), 431);
    let count = |app: &str, limit: &str| reached_by(admin, app, limit);
    eventually(|| count("", "header-count") == Some(1.0), "it is the server's");
    assert_eq!((count("shop", "body"), count("blog", "body")), (Some(2.0), Some(1.0)));
    assert_eq!(
        (count("shop", "queue"), count("blog", "memory")),
        (Some(0.0), Some(0.0))
    );
    assert_eq!((count("", "body"), count("shop", "header-count")), (None, None));
}

/// Requests that last for as long as a test wants: their guest waits for an origin, which waits for the test.
struct Gate(Witness);

impl Gate {
    fn closed() -> Self {
        Self(Witness::start())
    }

    /// To be sent to `http-outgoing`, which answers once the gate is open.
    fn request(&self) -> String {
        self.requests(1)
    }

    /// The same with as many calls of the guest's.
    fn requests(&self, calls: usize) -> String {
        let held = self.0.url("/together?n=1000000");
        format!("GET /?n={calls}&url={held} HTTP/1.1\r\nhost: a.test\r\n\r\n")
    }

    /// Everybody may pass, who has come and who will.
    fn open(&self) {
        assert_eq!(get(self.0.addr(), "/together?n=1").status, 200);
    }
}

/// Lets guests come to the gate.
const TO_THE_GATE: &str = "[apps.main.http-client]\nallow = ['*']\n";

/// What says that a request was refused at once and may come again.
#[track_caller]
fn check_refused(reply: &Reply) {
    assert_eq!(
        (reply.status, reply.header("retry-after")),
        (503, Some("1")),
        "{}",
        reply.text()
    );
}

const GET: &str = "GET / HTTP/1.1\r\nhost: a.test\r\n\r\n";
