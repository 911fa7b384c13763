//! Each limit, broken: what the client gets, what is counted, what is said.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use wharf_tests::http::{Connection, Reply, get};
use wharf_tests::{DEADLINE, Scratch, Server, eventually, guest, http2};

use crate::http2::fields::get as get_block;
use crate::http2::wire::{Peer, request};
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
    fn check_reached(&self, limit: &str, times: f64) {
        eventually(
            || reached(self.admin, limit) == times,
            &format!("{limit} is counted {times} times"),
        );
        if times > 0.0 {
            self.server.says(&format!("limit=\"{limit}\""));
        }
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

/// Each limit that the documentation names has a test that sees it counted, or stands here with the reason.
#[test]
fn every_limit_has_a_test() {
    const TESTS: [&str; 5] = [
        include_str!("limits.rs"),
        include_str!("front/stalls.rs"),
        include_str!("outgoing.rs"),
        include_str!("outgoing/peers.rs"),
        include_str!("http2/hostile.rs"),
    ];
    // They lead to the queue, which is counted.
    const QUEUED: [&str; 3] = [
        "`instances` | `[server.limits]`",
        "`requests`, `instances` | `[limits]`",
        "`[http-client]`",
    ];
    let document = include_str!("../../docs/concepts/overload.md");
    let table = document
        .split("## Which limit gives which answer")
        .nth(1)
        .expect("it is there");
    let rows = table.lines().filter(|line| line.starts_with("| ")).skip(1);
    let mut names: Vec<&str> = Vec::new();
    for row in rows
        .take_while(|row| !row.contains("asked/s"))
        .filter(|row| !QUEUED.iter().any(|queued| row.contains(queued)))
    {
        let first = row.split('|').nth(1).unwrap_or_default();
        names.extend(match first.trim() {
            "load (no setting)" => vec!["load"],
            "slow clients (no setting)" => vec!["slow-clients"],
            "address (no setting)" => vec!["address"],
            first => first.split('`').skip(1).step_by(2).collect(),
        });
    }
    assert!(names.len() > 20, "{names:?}");
    // As an argument, or in a table of cases that all are.
    let is_looked_at = |before: &str| before.contains("reached(") || before.trim_end().ends_with("limit:");
    let is_counted = |name: &&str| {
        let word = format!("\"{name}\"");
        TESTS.iter().any(|text| {
            let mut places = text.match_indices(&word);
            places.any(|(at, _)| is_looked_at(&text[text.floor_char_boundary(at.saturating_sub(40))..at]))
        })
    };
    let untested: Vec<_> = names.iter().filter(|name| !is_counted(name)).collect();
    assert!(untested.is_empty(), "{untested:?}");
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

/// Lets guests come to the gate.
const TO_THE_GATE: &str = "[apps.main.http-client]\nallow = ['*']\n";

impl Gate {
    fn closed() -> Self {
        Self(Witness::start())
    }

    /// To be sent to `http-outgoing`, which answers once the gate is open.
    fn request(&self) -> String {
        let held = self.0.url("/together?n=1000000");
        format!("GET /?url={held} HTTP/1.1\r\nhost: a.test\r\n\r\n")
    }

    /// Everybody may pass, who has come and who will.
    fn open(&self) {
        assert_eq!(get(self.0.addr(), "/together?n=1").status, 200);
    }
}

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

/// A connection without a request makes room; one with a request does not.
#[test]
fn connections() {
    let gate = Gate::closed();
    let limited = Limited::serve(
        "http-outgoing",
        "connections = 2\nconnections-per-client = 2",
        TO_THE_GATE,
    );
    let mut idle = limited.open();
    idle.send("GET /?n=0 HTTP/1.1\r\nhost: a.test\r\n\r\n");
    assert_eq!(idle.reply().status, 200);
    let mut busy = limited.open();
    busy.send(gate.request());
    limited.has_begun(1);
    let mut third = limited.open();
    third.send(gate.request());
    assert!(idle.is_closed(), "it made room");
    limited.has_begun(2);
    check_refused(&limited.send(GET));
    gate.open();
    assert_eq!((busy.reply().status, third.reply().status), (200, 200));
    limited.check_reached("connections-per-client", 2.0);
    let short = |outcome: &str| {
        let name = format!("wharf_connections_short_total{{outcome=\"{outcome}\"}}");
        metric(limited.admin, &name)
    };
    assert_eq!((short("made-room"), short("refused")), (Some(1.0), Some(1.0)));
}

#[test]
fn connections_of_all_clients() {
    let gate = Gate::closed();
    let limited = Limited::serve(
        "http-outgoing",
        "connections = 1\nconnections-per-client = 5",
        TO_THE_GATE,
    );
    let mut first = limited.open();
    first.send(gate.request());
    limited.has_begun(1);
    check_refused(&limited.send(GET));
    limited.check_reached("connections", 1.0);
    gate.open();
    assert_eq!(first.reply().status, 200);
}

/// Another client's connections are its own.
#[cfg(target_os = "linux")]
#[test]
fn connections_of_one_client() {
    let gate = Gate::closed();
    let limited = Limited::serve(
        "http-outgoing",
        "connections = 100\nconnections-per-client = 1",
        TO_THE_GATE,
    );
    let mut first = limited.open();
    first.send(gate.request());
    limited.has_begun(1);
    check_refused(&limited.send(GET));
    let mut other = Connection::from(wharf_tests::http::connect_from([127, 0, 0, 2], limited.server.addr()));
    other.send(gate.request());
    limited.has_begun(2);
    limited.check_reached("connections-per-client", 1.0);
    gate.open();
    assert_eq!((first.reply().status, other.reply().status), (200, 200));
}

#[test]
fn requests_per_connection() {
    let limited = Limited::serve("http-hello", "requests-per-connection = 3", "");
    let mut connection = limited.open();
    for expected in [None, None, Some("close")] {
        connection.send(GET);
        assert_eq!(connection.reply().header("connection"), expected);
    }
    assert!(connection.is_closed());
    limited.check_reached("requests-per-connection", 1.0);
    http2::run(async {
        let handle = http2::connect(limited.server.addr()).await;
        for _ in 0..3 {
            assert_eq!(http2::get(&handle, limited.server.addr(), "/").await.status, 200);
        }
        let deadline = Instant::now() + DEADLINE;
        while handle.clone().ready().await.is_ok() {
            assert!(Instant::now() < deadline, "the connection takes another request");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    limited.check_reached("requests-per-connection", 2.0);
}

#[test]
fn requests_at_a_time() {
    let gate = Gate::closed();
    let limited = Limited::serve("http-outgoing", "requests = 1", TO_THE_GATE);
    let mut first = limited.open();
    first.send(gate.request());
    limited.has_begun(1);
    let refused = limited.send(GET);
    check_refused(&refused);
    let id = refused.header("wharf-error-id").expect("it has an id");
    limited.server.says(id);
    gate.open();
    assert_eq!(first.reply().status, 200);
    limited.check_reached("requests", 1.0);
}

#[test]
fn requests_of_an_app_at_a_time_and_its_queue() {
    for isolation in ["request", "serial", "shared"] {
        let gate = Gate::closed();
        let app = format!("requests = 1\nqueue = 1\nqueue-time = '10m'\n{TO_THE_GATE}");
        let limited = Limited::isolated("http-outgoing", isolation, "", &app);
        let held = || {
            let mut connection = limited.open();
            connection.send(gate.request());
            connection
        };
        let mut first = held();
        limited.has_begun(1);
        let mut second = held();
        limited.waits(1);
        check_refused(&held().reply());
        gate.open();
        assert_eq!((first.reply().status, second.reply().status), (200, 200), "{isolation}");
        limited.check_reached("queue", 1.0);
    }
}

/// Who comes into an empty queue waits for as long as it allows, and no longer.
#[test]
fn time_in_the_queue() {
    let gate = Gate::closed();
    let app = format!("requests = 1\nqueue-time = '400ms'\n{TO_THE_GATE}");
    let limited = Limited::serve("http-outgoing", "", &app);
    let mut first = limited.open();
    first.send(gate.request());
    limited.has_begun(1);
    let begun = Instant::now();
    check_refused(&limited.send(GET));
    assert!(begun.elapsed() >= Duration::from_millis(400), "{:?}", begun.elapsed());
    limited.check_reached("queue-time", 1.0);
    gate.open();
    assert_eq!(first.reply().status, 200);
}

/// A queue that does not empty tells the surplus at once, however long a burst may wait.
#[test]
fn a_standing_queue() {
    let gate = Gate::closed();
    // Longer than anything is waited for here.
    let app = format!("requests = 1\nqueue-time = '10m'\nresponse-time = '10m'\n{TO_THE_GATE}");
    let limited = Limited::serve("http-outgoing", "", &app);
    let held = || {
        let mut connection = limited.open();
        connection.send(gate.request());
        connection
    };
    let mut burst = [held(), held()];
    limited.waits(1);
    // Four times as long as a burst may take.
    std::thread::sleep(Duration::from_millis(1000));
    check_refused(&held().reply());
    limited.check_reached("queue-time", 1.0);
    gate.open();
    assert_eq!(burst.each_mut().map(|connection| connection.reply().status), [200, 200]);
}

#[test]
fn time_until_the_response() {
    let limited = Limited::serve("http-slow", "", "response-time = '500ms'");
    assert_eq!(
        limited.send("GET /?delay=5000 HTTP/1.1\r\nhost: a.test\r\n\r\n").status,
        504
    );
    limited.check_reached("response-time", 1.0);
}

/// It begins with the request, and not with the guest: a body that drips is part of the wait.
#[test]
fn time_until_the_response_of_a_body_that_drips() {
    let limited = Limited::serve("http-upload", "", "response-time = '1s'");
    let mut connection = limited.open();
    connection.send("POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 100\r\n\r\n");
    let mut dripping = connection.stream().try_clone().expect("a socket can be cloned");
    let dripper = std::thread::spawn(move || {
        // All of it is there after ten seconds.
        for _ in 0..100 {
            std::thread::sleep(Duration::from_millis(100));
            if dripping.write_all(b"x").is_err() {
                return;
            }
        }
    });
    assert_eq!(connection.reply().status, 408);
    limited.check_reached("response-time", 1.0);
    drop(connection);
    dripper.join().expect("it only writes");
}

/// What the body took is not given to the guest on top.
#[test]
fn time_that_the_body_took_is_gone() {
    let limited = Limited::serve("http-slow", "", "response-time = '10s'");
    let mut connection = limited.open();
    connection.send("POST /?delay=9000 HTTP/1.1\r\nhost: a.test\r\ncontent-length: 2\r\n\r\nx");
    std::thread::sleep(Duration::from_secs(4));
    connection.send("y");
    assert_eq!(connection.reply().status, 504);
    limited.check_reached("response-time", 1.0);
}

/// Guests that compute, and more of them than there are processors for: the surplus is told, and a neighbour is not held up.
#[test]
fn load() {
    let scratch = Scratch::new();
    let manifest = format!(
        "[apps.busy]\ncomponent = '{}'\nroutes = [{{ path = '/cpu' }}]\n[apps.calm]\ncomponent = '{}'\nroutes = [{{ path = '/calm' }}]\n",
        guest("bench").display(),
        guest("http-hello").display()
    );
    let server = Server::start(scratch.write("wharf.toml", format!("[server]\n{manifest}")), &ADMIN);
    let admin = admin(&server);
    let addr = server.addr();
    let (over, refused) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let reply = get(addr, "/cpu/20000000");
                    match reply.status {
                        200 => {}
                        503 => {
                            assert_eq!(reply.header("retry-after"), Some("1"));
                            refused.fetch_add(1, Ordering::Relaxed);
                            std::thread::sleep(Duration::from_millis(20));
                        }
                        status => panic!("{status} {}", reply.text()),
                    }
                }
            });
        }
        // Ends the others also where this fails.
        let looked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually(|| refused.load(Ordering::Relaxed) > 0, "somebody is refused");
            assert!(
                (0..20).all(|_| get(addr, "/calm").status == 200),
                "the neighbour answers"
            );
        }));
        over.store(true, Ordering::Relaxed);
        if let Err(panic) = looked {
            std::panic::resume_unwind(panic);
        }
    });
    eventually(
        || reached(admin, "load") >= refused.load(Ordering::Relaxed) as f64,
        "each is counted",
    );
    server.says("there is more to do than can be done");
    assert_eq!(
        metric(admin, "wharf_responses_total{app=\"calm\",class=\"5xx\"}"),
        Some(0.0)
    );
}

#[test]
fn processor_time() {
    let limited = Limited::serve("http-loop", "", "cpu-time = '200ms'");
    assert_eq!(
        limited.send("GET /?at=handler HTTP/1.1\r\nhost: a.test\r\n\r\n").status,
        504
    );
    limited.check_reached("cpu-time", 1.0);
}

#[test]
fn memory() {
    let limited = Limited::serve("http-memory", "", "memory = '8MiB'");
    assert_eq!(
        limited.send("GET /?mode=abort HTTP/1.1\r\nhost: a.test\r\n\r\n").status,
        502
    );
    limited.check_reached("memory", 1.0);
}

/// An instance that has answered so often makes way for a fresh one.
#[test]
fn requests_of_an_instance() {
    let limited = Limited::serve("http-state", "", "reuse = 3");
    let numbers: Vec<String> = (0..7)
        .map(|_| {
            limited
                .send(GET)
                .text()
                .split(' ')
                .nth(3)
                .unwrap_or_default()
                .to_owned()
        })
        .collect();
    assert_eq!(numbers, ["1", "2", "3", "1", "2", "3", "1"]);
}

/// An instance without work is kept for as long as its app says.
#[test]
fn time_of_an_instance_without_work() {
    let idle = "wharf_instances_idle{app=\"main\"}";
    for (time, is_kept) in [("'200ms'", false), ("'1h'", true)] {
        let limited = Limited::serve("http-state", "", &format!("idle-time = {time}"));
        assert_eq!(limited.send(GET).status, 200);
        match is_kept {
            false => eventually(|| metric(limited.admin, "wharf_instances") == Some(0.0), "it goes"),
            true => {
                // The default would be over by then.
                std::thread::sleep(Duration::from_secs(14));
                assert_eq!(metric(limited.admin, idle), Some(1.0));
            }
        }
    }
}

/// Past it requests wait, however many may be under way.
#[test]
fn instances_at_a_time() {
    for (server, app) in [("instances = 1", ""), ("", "instances = 1")] {
        let gate = Gate::closed();
        let limited = Limited::serve(
            "http-outgoing",
            server,
            &format!("{app}\nqueue-time = '10m'\n{TO_THE_GATE}"),
        );
        let mut both = [(); 2].map(|()| {
            let mut connection = limited.open();
            connection.send(gate.request());
            connection
        });
        limited.waits(1);
        assert_eq!(metric(limited.admin, "wharf_instances"), Some(1.0), "{server}{app}");
        gate.open();
        assert_eq!(both.each_mut().map(|connection| connection.reply().status), [200, 200]);
    }
}

/// Calls of guests past it wait for one another.
#[test]
fn connections_of_outgoing_calls() {
    let witness = Witness::start();
    let limited = Limited::serve(
        "http-outgoing",
        "",
        "[apps.main.http-client]\nallow = ['*']\nconnections = 1",
    );
    let reply = get(limited.server.addr(), &format!("/?n=20&url={}", witness.url("/ok")));
    let answered = reply
        .text()
        .lines()
        .filter(|line| line.starts_with("status 200 "))
        .count();
    assert_eq!((answered, witness.accepted()), (20, 1), "{}", reply.text());
    eventually(
        || reached(limited.admin, "http-client-connections") >= 1.0,
        "it is counted",
    );
}

/// Work that a guest goes on with after its response ends with its instance.
#[test]
fn time_for_work_after_the_response() {
    let witness = Witness::start();
    let limited = Limited::serve(
        "http-background",
        "",
        "background-time = '300ms'\n[apps.main.http-client]\nallow = ['*']",
    );
    let path = format!("/?body=closed&delay=60000&report={}", witness.url("/report"));
    assert_eq!(get(limited.server.addr(), &path).status, 200);
    limited.check_reached("background-time", 1.0);
    limited.server.says("guest failed after its response");
    eventually(
        || metric(limited.admin, "wharf_instances") == Some(0.0),
        "its instance is gone",
    );
    assert!(witness.reports().is_empty(), "it has not come to its end");
}

#[test]
fn bytes_of_a_head() {
    let limited = Limited::serve("http-hello", "header-bytes = '16KiB'", "");
    let head = format!("GET / HTTP/1.1\r\nhost: a.test\r\nx: {}\r\n\r\n", "x".repeat(20 << 10));
    assert_eq!(limited.send(head).status, 431);
    let fits = format!("GET / HTTP/1.1\r\nhost: a.test\r\nx: {}\r\n\r\n", "x".repeat(12 << 10));
    assert_eq!(limited.send(fits).status, 200);
    limited.check_reached("header-bytes", 1.0);
    let status = http2::run(async {
        let handle = http2::connect(limited.server.addr()).await;
        let request = http::Request::get(limited.server.url("/")).header("x", "x".repeat(20 << 10));
        http2::send(&handle, request.body(()).expect("the header is one"))
            .await
            .status
    });
    assert_eq!(status, 431);
}

/// Nobody can set it: an address is that long, or is none.
#[test]
fn bytes_of_an_address() {
    let limited = Limited::serve("http-request-line", "", "");
    let head = |bytes: usize| format!("GET /{} HTTP/1.1\r\nhost: a.test\r\n\r\n", "x".repeat(bytes));
    assert_eq!(limited.send(head(60_000)).status, 200);
    assert_eq!(limited.send(head(70_000)).status, 414);
    limited.check_reached("address", 1.0);
    assert_eq!(reached(limited.admin, "header-count"), 0.0);
    limited.server.says("limit=\"address\"");
}

#[test]
fn fields_of_a_head() {
    let limited = Limited::serve("http-hello", "header-count = 20", "");
    let head = |fields: usize| {
        let fields: String = (1..fields).map(|nth| format!("x{nth}: y\r\n")).collect();
        format!("GET / HTTP/1.1\r\nhost: a.test\r\n{fields}\r\n")
    };
    assert_eq!(limited.send(head(20)).status, 200);
    assert_eq!(limited.send(head(21)).status, 431);
    limited.check_reached("header-count", 1.0);
    let status = http2::run(async {
        let handle = http2::connect(limited.server.addr()).await;
        let mut request = http::Request::get(limited.server.url("/"));
        for nth in 0..21 {
            request = request.header(format!("x{nth}"), "y");
        }
        http2::send(&handle, request.body(()).expect("the headers are some"))
            .await
            .status
    });
    assert_eq!(status, 431);
}

#[test]
fn time_for_a_head() {
    let limited = Limited::serve("http-hello", "head-timeout = '1s'", "");
    let mut slow = limited.open();
    slow.send("GET / HTTP/1.1\r\nhost: a.te");
    let mut drip = limited.open();
    let mut dripping = drip.stream().try_clone().expect("a socket can be cloned");
    let dripper = std::thread::spawn(move || {
        for byte in GET.repeat(10).bytes() {
            std::thread::sleep(Duration::from_millis(200));
            if dripping.write_all(&[byte]).is_err() {
                return;
            }
        }
    });
    assert_eq!(slow.reply().status, 408);
    assert!(slow.is_closed());
    assert_eq!(drip.reply().status, 408);
    limited.check_reached("head-timeout", 2.0);
    dripper.join().expect("it only writes");
    // Waiting between requests has another limit.
    let mut patient = limited.open();
    patient.send(GET);
    assert_eq!(patient.reply().status, 200);
    std::thread::sleep(Duration::from_millis(2500));
    patient.send(GET);
    assert_eq!(patient.reply().status, 200);
}

#[test]
fn time_without_a_request() {
    let limited = Limited::serve("http-hello", "idle-timeout = '3s'", "");
    let mut connection = limited.open();
    connection.send(GET);
    assert_eq!(connection.reply().status, 200);
    assert!(connection.is_closed());
    assert!(limited.open().is_closed());
    limited.check_reached("idle-timeout", 2.0);
}

#[test]
fn bytes_of_a_body() {
    let limited = Limited::serve("http-echo", "", "body = '100KB'");
    let announced = "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 100001\r\n\r\n";
    let reply = limited.send(announced);
    assert_eq!((reply.status, reply.header("connection")), (413, Some("close")));
    // Nobody asked for it to be sent.
    let expected = "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 100001\r\nexpect: 100-continue\r\n\r\n";
    assert_eq!(limited.send(expected).status, 413);
    let fits = format!(
        "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 100000\r\n\r\n{}",
        "x".repeat(100_000)
    );
    assert_eq!(limited.send(fits).body.len(), 100_000);
    limited.check_reached("body", 2.0);
}

/// A body whose length nobody announced: the guest sees it break off, and the client 413 if it has no response yet.
#[test]
fn bytes_of_a_body_of_unknown_length() {
    let limited = Limited::serve("http-upload", "", "body = '100KB'");
    let chunk = format!("2710\r\n{}\r\n", "x".repeat(10_000));
    let head = "POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n";
    let body = |chunks: usize| format!("{head}{}0\r\n\r\n", chunk.repeat(chunks));
    assert_eq!(limited.send(body(10)).status, 200);
    assert_eq!(limited.send(body(11)).status, 413);
    limited.check_reached("body", 1.0);
}

#[test]
fn time_between_pieces_of_a_body() {
    let limited = Limited::serve("http-upload", "", "body-idle-time = '1s'");
    let mut connection = limited.open();
    connection.send("POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 10\r\n\r\nabc");
    let reply = connection.reply();
    assert_eq!((reply.status, reply.header("connection")), (408, Some("close")));
    limited.check_reached("body-idle-time", 1.0);
}

/// Each piece comes in time, and yet it would take forever.
#[test]
fn rate_of_a_body() {
    let limited = Limited::serve("http-upload", "", "body-rate = 1000\nresponse-time = '60s'");
    let mut connection = limited.open();
    connection.send("POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 1000000\r\n\r\n");
    let mut dripping = connection.stream().try_clone().expect("a socket can be cloned");
    let dripper = std::thread::spawn(move || {
        while dripping.write_all(b"drip").is_ok() {
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    assert_eq!(connection.reply().status, 408);
    limited.check_reached("body-rate", 1.0);
    drop(connection);
    dripper.join().expect("it only writes");
}

/// A client that takes nothing of what it asked for.
#[test]
fn rate_of_a_response() {
    let limited = Limited::serve("http-download", "write-rate = 1000\nwrite-timeout = '3s'", "");
    let mut slow = TcpStream::connect(limited.server.addr()).expect("the server accepts connections");
    let request = "GET /?bytes=100000000 HTTP/1.1\r\nhost: a.test\r\n\r\n";
    slow.write_all(request.as_bytes()).expect("the server reads");
    limited.check_reached("write-rate", 1.0);
    eventually(|| metric(limited.admin, "wharf_connections") == Some(0.0), "it is gone");
    slow.set_read_timeout(Some(DEADLINE)).expect("it is not zero");
    let mut taken = Vec::new();
    let _ = slow.read_to_end(&mut taken);
    assert!(taken.len() < 100_000_000, "all of it came");
    // One that takes its time, and more than the least, has all of it.
    let mut steady = limited.open();
    steady.send("GET /?bytes=3000000 HTTP/1.1\r\nhost: a.test\r\n\r\n");
    let head = steady.head();
    assert_eq!(head.status(), 200);
    let mut bytes = 0;
    while let Some(piece) = steady.data() {
        bytes += piece.len();
        if bytes < 300_000 {
            std::thread::sleep(Duration::from_millis(200));
        }
    }
    assert_eq!(bytes, 3_000_000);
}

#[test]
fn requests_that_are_taken_back() {
    let limited = Limited::serve("http-slow", "resets = 50", "");
    let taken_back = http2::run(async {
        let mut handle = http2::connect(limited.server.addr()).await;
        for nth in 0..10_000 {
            let Ok(mut ready) = handle.clone().ready().await else {
                return nth;
            };
            let request = http::Request::get(limited.server.url("/?delay=10000"))
                .body(())
                .expect("it is one");
            let Ok((_, mut stream)) = ready.send_request(request, false) else {
                return nth;
            };
            tokio::time::sleep(Duration::from_millis(2)).await;
            stream.send_reset(h2::Reason::CANCEL);
            handle = ready;
        }
        10_000
    });
    assert!(taken_back < 1000, "{taken_back}");
    limited.check_reached("resets", 1.0);
    assert_eq!(get(limited.server.addr(), "/?delay=1").status, 200);
}

/// Over HTTP/1.1 nobody can, and whoever takes whole answers has taken nothing back.
#[test]
fn answers_of_http1_are_not_taken_back() {
    for (guest, request) in [
        ("http-hello", GET),
        (
            "http-echo",
            "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 3\r\n\r\nabc",
        ),
        ("http-download", "GET /?bytes=100000 HTTP/1.1\r\nhost: a.test\r\n\r\n"),
        (
            "http-content-length",
            "GET /?declared=1000&actual=1000 HTTP/1.1\r\nhost: a.test\r\n\r\n",
        ),
        ("http-slow", "GET /?delay=1&at=body HTTP/1.1\r\nhost: a.test\r\n\r\n"),
    ] {
        let limited = Limited::serve(guest, "resets = 1", "");
        let mut connection = limited.open();
        for _ in 0..10 {
            connection.send(request);
            assert_eq!(connection.reply().status, 200, "{guest}");
        }
        // Whoever leaves before the end takes the connection along, which is no flood.
        for _ in 0..10 {
            limited.open().send(request);
        }
        eventually(
            || metric(limited.admin, "wharf_requests") == Some(0.0),
            "all have ended",
        );
        assert_eq!(reached(limited.admin, "resets"), 0.0, "{guest}");
    }
}

/// A client that was told how many there may be, and begins more, is told which were refused; that is counted.
#[test]
fn streams_past_those_of_a_connection() {
    let limited = Limited::serve("http-slow", "streams = 3", "");
    let mut peer = Peer::greeted(limited.server.addr());
    let streams = [1, 3, 5, 7, 9];
    let requests = streams.map(|stream| request(stream, get_block("/?delay=1000")));
    peer.send(requests.concat());
    peer.until(
        |seen| [7, 9].iter().all(|stream| seen.resets.contains_key(stream)),
        "two are refused",
    );
    limited.check_reached("streams", 2.0);
    peer.until(
        |seen| [1, 3, 5].iter().all(|stream| seen.ended.contains(stream)),
        "the others are answered",
    );
    peer.send(request(11, get_block("/?delay=1")));
    peer.until(|seen| seen.ended.contains(&11), "there is room again");
    assert_eq!(reached(limited.admin, "streams"), 2.0);
}

#[test]
fn streams_of_a_connection() {
    let limited = Limited::serve("http-slow", "streams = 5", "");
    let most = http2::run(async {
        let handle = http2::connect(limited.server.addr()).await;
        assert_eq!(
            http2::get(&handle, limited.server.addr(), "/?delay=1").await.status,
            200
        );
        handle.current_max_send_streams()
    });
    assert_eq!(most, 5);
}

/// Clients that are slow to send, or to take, hold no instance that others wait for.
#[test]
fn slow_clients_make_room() {
    let limited = Limited::serve("http-echo", "", "requests = 2\nqueue-time = '60s'\nqueue = 10");
    // A small body holds none at all.
    let mut small: Vec<_> = (0..5).map(|_| limited.open()).collect();
    for connection in &mut small {
        connection.send("POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 1000\r\n\r\nabc");
    }
    eventually(
        || metric(limited.admin, "wharf_requests") == Some(5.0),
        "they have begun",
    );
    let echo = "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc";
    assert_eq!(limited.send(echo).text(), "abc");
    // A large one does, until somebody waits for it.
    let mut large: Vec<_> = (0..2).map(|_| limited.open()).collect();
    for connection in &mut large {
        connection.send("POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 1000000\r\n\r\nabc");
        assert_eq!(connection.head().status(), 200, "a guest has it");
    }
    assert_eq!(limited.send(echo).text(), "abc");
    limited.check_reached("slow-clients", 1.0);
    assert!(
        large.iter_mut().any(|connection| connection.try_body().is_err()),
        "one was broken off"
    );
}

/// The system's own limit leaves nobody without an answer: connections that say nothing make room there, too.
#[cfg(target_os = "linux")]
#[test]
fn open_files() {
    let scratch = Scratch::new();
    let manifest = format!("component = '{}'\n", guest("http-hello").display());
    let serve = Server::command(scratch.write("wharf.toml", manifest), &[]);
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -n 200; exec \"$0\" \"$@\""]);
    command.arg(serve.get_program()).args(serve.get_args());
    let server = Server::spawn(command);
    let silent: Vec<_> = (0..400).map(|_| TcpStream::connect(server.addr())).collect();
    for _ in 0..20 {
        assert_eq!(get(server.addr(), "/").text(), "hello, wharf");
    }
    drop(silent);
}

/// Over HTTP/2 a client stops a response without stopping the connection: by giving it no room.
#[test]
fn streams_that_are_not_taken() {
    let limited = Limited::serve("http-download", "write-timeout = '1s'", "");
    let ended = http2::run(async {
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(0);
        let handle = http2::connect_with(limited.server.addr(), &builder).await;
        let request = http::Request::get(limited.server.url("/?bytes=1000000"));
        let mut handle = handle.ready().await.expect("the server takes a request");
        let (response, _) = handle
            .send_request(request.body(()).expect("it is one"), true)
            .expect("it can be sent");
        http2::collect(response).await
    });
    assert!(ended.is_err(), "{ended:?}");
    limited.check_reached("write-rate", 1.0);
    eventually(
        || metric(limited.admin, "wharf_requests") == Some(0.0),
        "the request has ended",
    );
}

/// A client that is slow with one stream, and takes it, is not taken for one that does not.
#[test]
fn streams_whose_guest_is_slow() {
    let limited = Limited::serve("http-slow", "write-timeout = '500ms'", "");
    let reply = http2::run(async {
        let handle = http2::connect(limited.server.addr()).await;
        http2::get(&handle, limited.server.addr(), "/?delay=2500&at=body").await
    });
    assert_eq!(reply.text(), "begun, done");
}
