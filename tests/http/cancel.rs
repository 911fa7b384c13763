//! Clients that leave, at every stage and in every manner.
//!
//! What a client that has left would have got is nobody's business any more: the guest's work for it ends, and so do the
//! calls it made. Nothing of anybody else's is touched.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use wharf_tests::http::Connection;
use wharf_tests::{DEADLINE, Server, eventually, http2};

use crate::axes::{ALLOW_ALL, Isolation, Protocol, all};
use crate::client::Ask;
use crate::operator::{ADMIN, admin, metric};
use crate::witness::{Witness, wait};

/// How long the guest works for a client; long beside everything that is waited for here, so that whatever ends sooner was cancelled.
const WORK: Duration = Duration::from_secs(600);

/// No limit of the server's own ends that work, and guests may call anything.
const LASTING: [&str; 4] = [ALLOW_ALL[0], ALLOW_ALL[1], "--timeout", "15m"];

/// Where the client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The head is sent, of the content nothing.
    BeforeTheContent,
    /// A part of the content is sent.
    InTheContent,
    /// The guest has the whole request and works.
    BeforeTheAnswer,
    /// The guest has begun to answer and works on.
    InTheAnswer,
}

impl Stage {
    const ALL: [Self; 4] = [
        Self::BeforeTheContent,
        Self::InTheContent,
        Self::BeforeTheAnswer,
        Self::InTheAnswer,
    ];

    fn query(self) -> &'static str {
        match self {
            Self::BeforeTheContent | Self::InTheContent => "read&",
            Self::BeforeTheAnswer => "",
            Self::InTheAnswer => "at=body&",
        }
    }
}

/// How the client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// Closes its connection.
    Close,
    /// Breaks its connection, as a process that is killed with unread data does.
    Break,
    /// Gives up the stream and keeps the connection.
    Reset,
}

#[test]
fn work_for_a_client_that_left_is_cancelled() {
    for isolation in Isolation::ALL {
        let witness = Witness::start();
        let server = isolation.serve("http-slow", &LASTING);
        for stage in Stage::ALL {
            for (protocol, manner) in [
                (Protocol::Http1, Manner::Close),
                (Protocol::Http1, Manner::Break),
                (Protocol::Http2, Manner::Close),
                (Protocol::Http2, Manner::Reset),
            ] {
                let case = format!("{isolation:?}-{stage:?}-{protocol:?}-{manner:?}");
                check(&server, &witness, stage, protocol, manner, &case);
            }
        }
        let reports = witness.reports();
        assert!(reports.is_empty(), "these went on as if nothing was: {reports:?}");
        let last = Ask::get("/?delay=1").over(Protocol::Http1, server.addr());
        assert_eq!(last.text(), "done", "{isolation:?}");
        witness.assert_no_failures();
    }
}

fn check(server: &Server, witness: &Witness, stage: Stage, protocol: Protocol, manner: Manner, case: &str) {
    let hang = format!("/hang-{case}");
    let path = format!(
        "/?{}delay={}&outgoing={}&finished={}",
        stage.query(),
        WORK.as_millis(),
        witness.url(&hang),
        witness.url(&format!("/report-finished-{case}")),
    );
    // Somebody else's request, in the same instance where instances are shared.
    let neighbour = std::thread::spawn({
        let addr = server.addr();
        move || Ask::get("/?delay=700").over(Protocol::Http1, addr)
    });
    let is_open = || witness.open(&hang) == 1;
    let left = match protocol {
        Protocol::Http1 => leave_http1(server, &path, stage, manner, is_open),
        Protocol::Http2 => http2::run(leave_http2(server, &path, stage, manner, is_open)),
    };
    eventually(
        || !witness.left(&hang).is_empty(),
        &format!("{case}: its call to be closed"),
    );
    let closed_after = witness.left(&hang)[0].saturating_duration_since(left);
    println!("{case}: closed after {closed_after:?}");
    let neighbour = neighbour.join().expect("the neighbour has an answer");
    assert_eq!(
        (neighbour.status, neighbour.text().as_str()),
        (200, "done"),
        "{case}: the neighbour"
    );
}

/// Leaves once the guest's call is open; returns when.
fn leave_http1(server: &Server, path: &str, stage: Stage, manner: Manner, is_open: impl Fn() -> bool) -> Instant {
    let mut connection = Connection::open(server.addr());
    match stage {
        Stage::BeforeTheContent | Stage::InTheContent => {
            // More than is read before a guest is asked.
            connection.send(format!(
                "POST {path} HTTP/1.1\r\nhost: a.test\r\ncontent-length: 100000\r\n\r\n"
            ));
        }
        _ => connection.send(format!("GET {path} HTTP/1.1\r\nhost: a.test\r\n\r\n")),
    }
    if stage == Stage::InTheContent {
        connection.send("12345");
    }
    if stage == Stage::InTheAnswer {
        assert_eq!(connection.head().status(), 200);
        assert_eq!(connection.data().as_deref(), Some(&b"begun, "[..]));
    }
    eventually(is_open, "the guest's call");
    if manner == Manner::Break {
        rustix::net::sockopt::set_socket_linger(connection.stream(), Some(Duration::ZERO)).expect("a TCP socket");
    }
    let left = Instant::now();
    drop(connection);
    left
}

async fn leave_http2(server: &Server, path: &str, stage: Stage, manner: Manner, is_open: impl Fn() -> bool) -> Instant {
    let mut handle = http2::connect(server.addr()).await;
    let whole = matches!(stage, Stage::BeforeTheAnswer | Stage::InTheAnswer);
    let request = Request::post(server.url(path)).body(()).expect("the path is one");
    let (response, mut sending) = handle.send_request(request, whole).expect("the server takes a request");
    if stage == Stage::InTheContent {
        sending
            .send_data(Bytes::from_static(b"12345"), false)
            .expect("the stream is open");
    }
    let (mut waiting, mut receiving) = (Some(response), None);
    if let (Stage::InTheAnswer, Some(response)) = (stage, waiting.take_if(|_| stage == Stage::InTheAnswer)) {
        let mut body = response.await.expect("the guest answers").into_body();
        assert_eq!(
            http2::data(&mut body).await.expect("it has begun"),
            Some(Bytes::from_static(b"begun, "))
        );
        receiving = Some(body);
    }
    let deadline = Instant::now() + DEADLINE;
    while !is_open() {
        assert!(Instant::now() < deadline, "the guest made no call");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let left = Instant::now();
    if manner == Manner::Close {
        // The connection's task ends with the runtime, and the socket closes.
        return left;
    }
    drop((waiting, receiving));
    sending.send_reset(h2::Reason::CANCEL);
    // The connection lives and serves on.
    let other = http2::get(&handle, server.addr(), "/?delay=1").await;
    assert_eq!(other.text(), "done");
    left
}

/// A client that reads no more and leaves is one that left.
#[test]
fn a_client_that_leaves_unread_content_behind() {
    for isolation in Isolation::ALL {
        let witness = Witness::start();
        let server = isolation.serve("http-download", &ALLOW_ALL);
        let path = format!("/?bytes=1073741824&progress={}", witness.url("/report"));
        let mut connection = Connection::open(server.addr());
        connection.send(format!("GET {path} HTTP/1.1\r\nhost: a.test\r\n\r\n"));
        assert_eq!(connection.head().status(), 200);
        let mut read = 0;
        while read < 2 << 20 {
            read += connection.data().expect("there is a GiB").len();
        }
        eventually(|| !witness.reports().is_empty(), "the first MiB");
        drop(connection);
        let what = format!("{isolation:?}: the guest writes no more");
        let mut written = 0;
        eventually(
            || {
                let before = std::mem::replace(&mut written, witness.reports().len());
                wait(Duration::from_millis(500));
                before == written
            },
            &what,
        );
        assert!(written < 1024, "{isolation:?}: the guest wrote all of it");
    }
}

/// Content that a guest keeps and does not read goes with the client all the same, and so does the connection.
#[test]
fn content_that_a_guest_keeps_goes_with_its_client() {
    for (isolation, protocol) in all() {
        let server = isolation.serve("http-slow", &[&ADMIN[..], &["--timeout", "15m"]].concat());
        let admin = admin(&server);
        let expect = |name: &str, expected: f64| {
            let what = format!("{isolation:?} {protocol:?}: {name} becomes {expected}");
            eventually(|| metric(admin, name) == Some(expected), &what);
        };
        match protocol {
            Protocol::Http1 => {
                let clients: Vec<_> = (0..10)
                    .map(|_| {
                        let mut client = Connection::open(server.addr());
                        let head = "POST /?delay=600000 HTTP/1.1\r\nhost: a.test\r\ncontent-length: 300000\r\n\r\n";
                        client.send([head.as_bytes(), &[b'x'; 50_000]].concat());
                        client
                    })
                    .collect();
                expect("wharf_requests", 10.0);
                drop(clients);
            }
            Protocol::Http2 => http2::run(async {
                let mut handle = http2::connect(server.addr()).await;
                let mut open = Vec::new();
                for _ in 0..10 {
                    let request = Request::post(server.url("/?delay=600000"))
                        .body(())
                        .expect("the path is one");
                    let (response, mut content) = handle.send_request(request, false).expect("it is taken");
                    let piece = Bytes::from_static(&[b'x'; 50_000]);
                    content.send_data(piece, false).expect("the stream is open");
                    open.push((response, content));
                }
                let deadline = Instant::now() + DEADLINE;
                while metric(admin, "wharf_requests") != Some(10.0) {
                    assert!(Instant::now() < deadline, "the guest was not asked");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }),
        }
        expect("wharf_requests", 0.0);
        expect("wharf_connections", 0.0);
    }
}

/// Many at once, beside some that stay.
#[test]
fn many_leave_and_some_stay() {
    for (isolation, protocol) in all() {
        let witness = Witness::start();
        let server = isolation.serve("http-slow", &LASTING);
        let addr = server.addr();
        let path = format!("/?delay={}&outgoing={}", WORK.as_millis(), witness.url("/hang"));
        let leaving: Vec<_> = (0..20)
            .map(|_| {
                let mut connection = Connection::open(addr);
                connection.send(format!("GET {path} HTTP/1.1\r\nhost: a.test\r\n\r\n"));
                connection
            })
            .collect();
        let staying: Vec<_> = (0..5)
            .map(|_| std::thread::spawn(move || Ask::get("/?delay=3000").over(protocol, addr)))
            .collect();
        eventually(|| witness.open("/hang") == 20, "all calls to be open");
        drop(leaving);
        eventually(
            || witness.open("/hang") == 0,
            &format!("{isolation:?}: all calls to be closed"),
        );
        for stayed in staying {
            let reply = stayed.join().expect("who stays has an answer");
            assert_eq!(reply.text(), "done", "{isolation:?} {protocol:?}");
        }
    }
}

/// Work that goes on after a whole answer is not the client's: it may leave. Whole is an answer once all that was
/// announced of it has been read, whether its writer has closed it or not.
#[test]
fn work_after_the_answer_is_not_cancelled() {
    for (isolation, protocol) in all() {
        let witness = Witness::start();
        let server = isolation.serve("http-background", &ALLOW_ALL);
        for body in ["closed", "declared", "relayed"] {
            let context = format!("{isolation:?} {protocol:?} {body}");
            let report = format!("/report-{body}");
            let path = format!("/?body={body}&delay=500&report={}", witness.url(&report));
            let reply = Ask::post(path, "answered").over(protocol, server.addr());
            assert_eq!(reply.text(), "answered", "{context}");
            let reported = format!("{body}: Ok(())");
            eventually(
                || witness.reports().contains(&reported),
                &format!("{context}: the work's report"),
            );
        }
    }
}
