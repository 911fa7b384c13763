//! Calls that guests make: many at once, pooled, with bodies and trailers both ways, and every way they can fail.

mod peers;

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use wharf_tests::http::get;
use wharf_tests::{Scratch, Server, eventually};

use crate::axes::{ALLOW_ALL, Isolation, Protocol};
use crate::client::{Ask, escape, pattern};
use crate::operator::{ADMIN, admin, metric};
use crate::stores::manifest;
use crate::witness::{Witness, wait};

const MIB: usize = 1024 * 1024;

/// The lines that `http-outgoing` answers with, one per call; the time it took is left out.
fn lines(server: &Server, query: &str) -> Vec<String> {
    let reply = get(server.addr(), &format!("/?{query}"));
    assert_eq!(reply.status, 200, "{query}: {}", reply.text());
    let text = reply.text();
    text.lines()
        .filter(|line| !line.starts_with("elapsed-ms"))
        .map(str::to_owned)
        .collect()
}

/// One call's line.
fn line(server: &Server, query: &str) -> String {
    let mut lines = lines(server, query);
    assert_eq!(lines.len(), 1, "{query}: {lines:?}");
    lines.remove(0)
}

/// None is answered before all hundred are open.
#[test]
fn a_hundred_calls_at_once() {
    for isolation in Isolation::ALL {
        let witness = Witness::start();
        let server = isolation.serve("http-outgoing", &ALLOW_ALL);
        let url = witness.url("/together?n=100");
        let lines = lines(&server, &format!("n=100&url={url}"));
        assert_eq!(lines.len(), 100, "{isolation:?}");
        for line in lines {
            assert!(line.starts_with("status 200 bytes 8 "), "{isolation:?}: {line}");
        }
        witness.assert_no_failures();
    }
}

/// Connections to an origin are kept, across calls and across instances.
#[test]
fn connections_are_pooled() {
    for isolation in Isolation::ALL {
        let witness = Witness::start();
        let server = isolation.serve("http-outgoing", &ALLOW_ALL);
        // Trailers are an end like any other.
        for path in ["/ok", "/trailers"].repeat(5) {
            let line = line(&server, &format!("url={}", witness.url(path)));
            assert!(line.starts_with("status 200 bytes 2 "), "{isolation:?}: {line}");
        }
        assert_eq!(witness.accepted(), 1, "{isolation:?}");
    }
}

/// A pooled connection that the origin has closed is no reason for a call to fail.
#[test]
fn a_stale_connection_is_replaced() {
    let witness = Witness::start();
    let server = Server::start("http-outgoing", &ALLOW_ALL);
    for _ in 0..10 {
        let line = line(&server, &format!("url={}", witness.url("/close-after")));
        assert!(line.starts_with("status 200 "), "{line}");
        // The close is on its way or has arrived: both must do.
        wait(Duration::from_millis(20));
    }
    assert_eq!(witness.accepted(), 10);
}

/// What is sent and received, case by case.
#[test]
fn answers() {
    let none = "trailers none";
    let cases = [
        ("/ok", "", format!("status 200 bytes 2 sum 218 {none}")),
        ("/status?n=404", "", format!("status 404 bytes 10 sum 860 {none}")),
        ("/status?n=204", "", format!("status 204 bytes 0 sum 0 {none}")),
        ("/status?n=304", "", format!("status 304 bytes 0 sum 0 {none}")),
        (
            "/status?n=200",
            "&method=HEAD",
            format!("status 200 bytes 0 sum 0 {none}"),
        ),
        ("/early-hints", "", format!("status 200 bytes 2 sum 218 {none}")),
        (
            "/trailers",
            "",
            "status 200 bytes 2 sum 218 trailers x-answered: yes".to_owned(),
        ),
        (
            "/bytes?n=3000000",
            "",
            format!("status 200 bytes 3000000 sum {} {none}", sum(3_000_000)),
        ),
        (
            "/echo",
            "&method=POST&body=1000",
            format!("status 200 bytes 1000 sum {} {none}", sum(1000)),
        ),
        (
            "/echo",
            "&method=PUT&body=5000000",
            format!("status 200 bytes 5000000 sum {} {none}", sum(5_000_000)),
        ),
        (
            "/echo",
            "&method=POST&body=3&trailer=abc",
            format!("status 200 bytes 3 sum {} trailers x-sent: abc", sum(3)),
        ),
        (
            "/echo",
            "&method=POST&body=0&trailer=abc",
            "status 200 bytes 0 sum 0 trailers x-sent: abc".to_owned(),
        ),
        ("/bytes?n=1000000", "&unread", "status 200 unread".to_owned()),
    ];
    for isolation in Isolation::ALL {
        let witness = Witness::start();
        let server = isolation.serve("http-outgoing", &ALLOW_ALL);
        for (path, options, expected) in &cases {
            let line = line(&server, &format!("url={}{options}", witness.url(path)));
            assert_eq!(line, *expected, "{isolation:?} {path}{options}");
        }
        witness.assert_no_failures();
    }
}

fn sum(length: usize) -> u64 {
    pattern(length).iter().map(|byte| u64::from(*byte)).sum()
}

/// What arrives at the origin.
#[test]
fn requests_as_the_origin_sees_them() {
    let cases = [
        ("", "GET /ok HTTP/1.1"),
        ("&path=/a?b", "GET /a?b HTTP/1.1"),
        ("&path=none", "GET / HTTP/1.1"),
        ("&method=HEAD", "HEAD /ok HTTP/1.1"),
        ("&method=PURGE", "PURGE /ok HTTP/1.1"),
        ("&method=POST&body=3", "POST /ok HTTP/1.1"),
    ];
    let witness = Witness::start();
    let server = Server::start("http-outgoing", &ALLOW_ALL);
    for (options, expected) in cases {
        let known = witness.heads().len();
        let options = options.replace('?', "%3f");
        let line = line(&server, &format!("url={}{options}", witness.url("/ok")));
        assert!(line.starts_with("status 200 "), "{options}: {line}");
        let head = witness.heads()[known].clone();
        assert_eq!(head.start, expected, "{options}");
        assert_eq!(
            head.header("host"),
            Some(witness.addr().to_string().as_str()),
            "{options}"
        );
    }
    // A URL that ends with its authority means the root.
    let known = witness.heads().len();
    line(&server, &format!("url={}", witness.url("")));
    assert_eq!(witness.heads()[known].start, "GET / HTTP/1.1");
    let known = witness.heads().len();
    line(&server, &format!("url={}&header=x-mine:yes", witness.url("/ok")));
    assert_eq!(witness.heads()[known].header("x-mine"), Some("yes"));
    // A request without content announces none.
    let head = &witness.heads()[known];
    assert_eq!(
        (
            head.header("transfer-encoding"),
            head.header("content-length").unwrap_or("0")
        ),
        (None, "0")
    );
}

/// An address at which nobody listens.
fn closed_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("a listener has an address")
}

/// Every way a call can fail has its code.
#[test]
fn errors() {
    let closed = closed_port();
    let cases = [
        (format!("url=http://{closed}/"), "error ErrorCode::ConnectionRefused"),
        ("url=WITNESS/vanish".to_owned(), "error ErrorCode::ConnectionTerminated"),
        ("url=WITNESS/garbage".to_owned(), "error ErrorCode::HttpProtocolError"),
        (
            "url=WITNESS/short".to_owned(),
            "trailers error ErrorCode::HttpResponseIncomplete",
        ),
        (
            "url=WITNESS/hang&first-byte-timeout=300".to_owned(),
            "error ErrorCode::ConnectionReadTimeout",
        ),
        (
            "url=WITNESS/stall&between-bytes-timeout=300".to_owned(),
            "trailers error ErrorCode::ConnectionReadTimeout",
        ),
        (
            "url=WITNESS/ok&authority=none".to_owned(),
            "error ErrorCode::HttpRequestUriInvalid",
        ),
        (
            "url=WITNESS/ok&scheme=ftp".to_owned(),
            "error ErrorCode::HttpProtocolError",
        ),
        (
            "url=http://does-not-exist.invalid/".to_owned(),
            "error ErrorCode::DnsError",
        ),
    ];
    for isolation in Isolation::ALL {
        let witness = Witness::start();
        let server = isolation.serve("http-outgoing", &ALLOW_ALL);
        for (query, expected) in &cases {
            let line = line(&server, &query.replace("WITNESS", &witness.url("")));
            assert!(line.contains(expected), "{isolation:?} {query}: {line}");
        }
    }
}

/// A connection that is never accepted.
#[test]
fn connect_timeout() {
    let full = Full::start();
    let server = Server::start("http-outgoing", &ALLOW_ALL);
    let line = line(&server, &format!("url=http://{}/&connect-timeout=300", full.addr));
    assert_eq!(line, "error ErrorCode::ConnectionTimeout");
}

/// A listener whose queue is full: the system drops what asks to connect.
struct Full {
    addr: SocketAddr,
    _listener: rustix::fd::OwnedFd,
    _queue: Vec<TcpStream>,
}

impl Full {
    fn start() -> Self {
        use rustix::net::{SocketAddrV4, bind, getsockname, listen};
        let listener = wharf_tests::unconnected_socket();
        bind(&listener, &SocketAddrV4::new([127, 0, 0, 1].into(), 0)).expect("loopback has a free port");
        listen(&listener, 0).expect("a bound socket listens");
        let addr = getsockname(&listener).expect("a bound socket has an address");
        let addr = SocketAddr::try_from(addr).expect("an internet address");
        let connect = || TcpStream::connect_timeout(&addr, Duration::from_millis(500)).ok();
        let queue = std::iter::from_fn(connect).take(16).collect();
        Self {
            addr,
            _listener: listener,
            _queue: queue,
        }
    }
}

/// What is not granted is denied, and nothing is sent.
#[test]
fn denied_unless_granted() {
    let witness = Witness::start();
    let granted = witness.addr().to_string();
    let host_granted = "127.0.0.1".to_owned();
    let cases: [(&[&str], bool); 5] = [
        (&[], false),
        (&["--allow-outbound", "b.test"], false),
        (&["--allow-outbound", &granted], true),
        (&["--allow-outbound", "b.test", "--allow-outbound", &host_granted], true),
        (&ALLOW_ALL, true),
    ];
    for (flags, allowed) in cases {
        let known = witness.heads().len();
        let server = Server::start("http-outgoing", flags);
        let line = line(&server, &format!("url={}", witness.url("/ok")));
        if allowed {
            assert!(line.starts_with("status 200 "), "{flags:?}: {line}");
        } else {
            assert_eq!(line, "error ErrorCode::HttpRequestDenied", "{flags:?}");
            assert_eq!(witness.heads().len(), known, "{flags:?}");
        }
    }
}

/// Whoever runs the server learns whose grant is missing and what for, however often the guest asks.
#[test]
fn what_is_denied_is_said() {
    let driver = "[environment]\nDB_ADDRESS = '127.0.0.1:1'\nDB_USER = 'a'\nDB_NAME = 'a'\nDB_PASSWORD = 'a'\n\
                  [sql.default]\npath = ':memory:'\n[sockets]\nallow = ['127.0.0.1:2']\n";
    let patterns = "[http-client]\nallow = ['*.test:80']\n";
    // A guest with its sections, what it is asked, what the log says of it, where that was to go, and what is counted.
    let cases = [
        (
            "http-outgoing",
            patterns,
            "/?n=20&url=http://a.test:81/",
            "outgoing request",
            "http://a.test:81",
            "http_client",
        ),
        (
            "ws-client",
            patterns,
            "/?url=ws://a.test:81/&text=x",
            "outgoing WebSocket",
            "http://a.test:81",
            "http_client",
        ),
        (
            "example-own-driver",
            driver,
            "/own/notes/1",
            "outgoing connection",
            "127.0.0.1:1",
            "sockets",
        ),
    ];
    for (component, sections, path, what, to, counter) in cases {
        let folder = Scratch::new();
        let manifest = manifest(&folder, component, sections);
        let server = Server::start(manifest, &ADMIN);
        for _ in 0..3 {
            get(server.addr(), path);
        }
        server.says(&format!("{what} denied: "));
        let log = server.log();
        let told: Vec<_> = log.lines().filter(|line| line.contains("denied")).collect();
        let [told] = told[..] else { panic!("{component}: {log}") };
        for said in [" INFO ", &format!("{what} denied: "), "app=shop", &format!("to={to}")] {
            assert!(told.contains(said), "{said}: {told}");
        }
        let denied = metric(admin(&server), &format!("wharf_{counter}_denied_total{{app=\"shop\"}}"));
        assert!(denied.is_some_and(|denied| denied >= 3.0), "{component}: {denied:?}");
    }
}

/// A guest that gives a call up closes it.
#[test]
fn a_call_that_is_given_up_is_closed() {
    for path in ["/hang", "/stall"] {
        for isolation in Isolation::ALL {
            let witness = Witness::start();
            let server = isolation.serve("http-outgoing", &ALLOW_ALL);
            // On a busy machine a call is given up before it has got there: then with more patience.
            let has_come = |patience_ms: &u64| {
                let query = format!("url={}&cancel={patience_ms}", witness.url(path));
                assert_eq!(line(&server, &query), "cancelled", "{isolation:?} {path}");
                !witness.heads().is_empty()
            };
            assert!([300, 3_000, 30_000].iter().any(has_come), "{isolation:?} {path}");
            let closed = || !witness.left(path).is_empty();
            eventually(closed, &format!("{isolation:?}: the call to {path} to be closed"));
        }
    }
}

/// An answer that nobody reads does not stay open either, and does not spoil the connection for the next.
#[test]
fn an_answer_that_is_not_read_is_closed() {
    for isolation in Isolation::ALL {
        let witness = Witness::start();
        let server = isolation.serve("http-outgoing", &ALLOW_ALL);
        let stalled = line(&server, &format!("url={}&unread", witness.url("/stall")));
        assert_eq!(stalled, "status 200 unread", "{isolation:?}");
        eventually(|| !witness.left("/stall").is_empty(), "the call to be closed");
        for _ in 0..3 {
            line(&server, &format!("url={}&unread", witness.url("/bytes?n=1000000")));
            let next = line(&server, &format!("url={}", witness.url("/ok")));
            assert!(next.starts_with("status 200 bytes 2 "), "{isolation:?}: {next}");
        }
    }
}

/// What the future that `request.new` returns resolves to.
#[test]
fn transmission_of_requests() {
    for isolation in Isolation::ALL {
        let witness = Witness::start();
        let server = isolation.serve("http-transmit", &ALLOW_ALL);
        let outcome = |path: &str, query: &str| {
            let path = format!("/?kind=request&url={}&{query}", witness.url(path));
            get(server.addr(), &path).text()
        };
        let sent = outcome("/ok", "bytes=100000");
        assert_eq!(sent, "status 200 transmission Ok(())", "{isolation:?}");
        let given_up = outcome("/ok", "bytes=100000&error=yes");
        assert!(
            given_up.starts_with("error ") && given_up.contains("transmission Err("),
            "{isolation:?}: {given_up}"
        );
        let vanished = outcome("/vanish", "bytes=10");
        assert!(vanished.starts_with("error "), "{isolation:?}: {vanished}");
        let closed = closed_port();
        let refused = get(server.addr(), &format!("/?kind=request&url=http://{closed}/&bytes=100"));
        let code = "ErrorCode::ConnectionRefused";
        assert_eq!(
            refused.text(),
            format!("error {code} transmission Err({code})"),
            "{isolation:?}"
        );
    }
}

/// A guest between two parties: method, path, headers, content and trailers pass, both ways at once.
#[test]
fn a_guest_that_forwards() {
    for isolation in Isolation::ALL {
        let witness = Witness::start();
        let server = isolation.serve("http-proxy", &ALLOW_ALL);
        for protocol in Protocol::ALL {
            let origin = witness.addr().to_string();
            let content = pattern(3 * MIB);
            let ask = Ask::post("/echo", content.clone())
                .header("x-origin", &origin)
                .trailer("x-sent", "last");
            let reply = ask.over(protocol, server.addr());
            let context = format!("{isolation:?} {protocol:?}");
            assert_eq!(reply.status, 200, "{context}");
            assert!(reply.body == content, "{context}: {} bytes", reply.body.len());
            assert_eq!(reply.trailer("x-sent"), Some("last"), "{context}");
            let reply = Ask::new("PUT", "/status?n=418")
                .header("x-origin", &origin)
                .header("x-mine", "yes")
                .over(protocol, server.addr());
            assert_eq!((reply.status, reply.text().as_str()), (418, "status 418"), "{context}");
            let head = witness.heads().pop().expect("the origin was asked");
            assert_eq!(
                (head.start.as_str(), head.header("x-mine")),
                ("PUT /status?n=418 HTTP/1.1", Some("yes"))
            );
        }
    }
}

/// An origin that is slow to read holds the guest back, and the guest the client.
#[test]
fn an_origin_that_does_not_read_holds_everybody_back() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let origin = listener.local_addr().expect("a listener has an address");
    for isolation in Isolation::ALL {
        let server = isolation.serve("http-proxy", &ALLOW_ALL);
        let before = server.resident_bytes();
        let mut client = TcpStream::connect(server.addr()).expect("the server accepts connections");
        write!(
            client,
            "POST / HTTP/1.1\r\nhost: a.test\r\nx-origin: {origin}\r\ncontent-length: 1073741824\r\n\r\n"
        )
        .expect("the server reads");
        let (unread, _) = listener.accept().expect("the guest calls");
        client
            .set_write_timeout(Some(Duration::from_secs(1)))
            .expect("not zero");
        let piece = vec![0; 64 * 1024];
        let mut accepted = 0;
        while let Ok(count) = client.write(&piece) {
            accepted += count;
            assert!(
                accepted <= 32 * MIB,
                "{isolation:?}: {accepted} bytes were taken from the client"
            );
        }
        let grown = server.resident_bytes().saturating_sub(before);
        assert!(grown <= 64 * MIB as u64, "{isolation:?}: {grown} bytes more");
        drop(unread);
    }
}

/// An address in a query, as a guest's parameter.
#[test]
fn addresses_of_both_families() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        return;
    };
    let addr = listener.local_addr().expect("a listener has an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut connection = wharf_tests::http::Connection::from(stream);
            if connection.try_head().is_ok() {
                let _ = connection.try_send("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n6");
            }
        }
    });
    let server = Server::start("http-outgoing", &ALLOW_ALL);
    let line = line(&server, &format!("url={}", escape(&format!("http://{addr}/"))));
    assert!(line.starts_with("status 200 bytes 1 "), "{line}");
}
