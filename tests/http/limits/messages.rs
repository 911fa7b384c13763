//! Limits of heads and bodies of requests.

use std::io::Write;
use std::time::Duration;

use wharf_tests::http2;

use super::{GET, Limited, Outcome, Told};
use crate::operator::reached;

pub fn bytes_of_a_head() -> Outcome {
    let limited = Limited::serve("http-hello", "header-bytes = '16KiB'", "");
    let head = format!("GET / HTTP/1.1\r\nhost: a.test\r\nx: {}\r\n\r\n", "x".repeat(20 << 10));
    assert_eq!(limited.send(head).status, 431);
    let fits = format!("GET / HTTP/1.1\r\nhost: a.test\r\nx: {}\r\n\r\n", "x".repeat(12 << 10));
    assert_eq!(limited.send(fits).status, 200);
    let counted = limited.check_reached("header-bytes", 1.0);
    let status = http2::run(async {
        let handle = http2::connect(limited.server.addr()).await;
        let request = http::Request::get(limited.server.url("/")).header("x", "x".repeat(20 << 10));
        http2::send(&handle, request.body(()).expect("the header is one"))
            .await
            .status
    });
    assert_eq!(status, 431);
    (counted, Told::Status(431))
}

/// Nobody can set it: an address is that long, or is none.
pub fn bytes_of_an_address() -> Outcome {
    let limited = Limited::serve("http-request-line", "", "");
    let head = |bytes: usize| format!("GET /{} HTTP/1.1\r\nhost: a.test\r\n\r\n", "x".repeat(bytes));
    assert_eq!(limited.send(head(60_000)).status, 200);
    assert_eq!(limited.send(head(70_000)).status, 414);
    let counted = limited.check_reached("address", 1.0);
    assert_eq!(reached(limited.admin, "header-count"), 0.0);
    limited.server.says("limit=\"address\"");
    (counted, Told::Status(414))
}

pub fn fields_of_a_head() -> Outcome {
    let limited = Limited::serve("http-hello", "header-count = 20", "");
    let head = |fields: usize| {
        let fields: String = (1..fields).map(|nth| format!("x{nth}: y\r\n")).collect();
        format!("GET / HTTP/1.1\r\nhost: a.test\r\n{fields}\r\n")
    };
    assert_eq!(limited.send(head(20)).status, 200);
    assert_eq!(limited.send(head(21)).status, 431);
    let counted = limited.check_reached("header-count", 1.0);
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
    (counted, Told::Status(431))
}

pub fn time_for_a_head() -> Outcome {
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
    let counted = limited.check_reached("head-timeout", 2.0);
    dripper.join().expect("it only writes");
    // Waiting between requests has another limit.
    let mut patient = limited.open();
    patient.send(GET);
    assert_eq!(patient.reply().status, 200);
    std::thread::sleep(Duration::from_millis(2500));
    patient.send(GET);
    assert_eq!(patient.reply().status, 200);
    (counted, Told::Status(408))
}

pub fn bytes_of_a_body() -> Outcome {
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
    let counted = limited.check_reached("body", 2.0);
    (counted, Told::Status(413))
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

pub fn time_between_pieces_of_a_body() -> Outcome {
    let limited = Limited::serve("http-upload", "", "body-idle-time = '1s'");
    let mut connection = limited.open();
    connection.send("POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 10\r\n\r\nabc");
    let reply = connection.reply();
    assert_eq!((reply.status, reply.header("connection")), (408, Some("close")));
    let counted = limited.check_reached("body-idle-time", 1.0);
    (counted, Told::Status(408))
}

/// Each piece comes in time, and yet it would take forever.
pub fn rate_of_a_body() -> Outcome {
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
    let counted = limited.check_reached("body-rate", 1.0);
    drop(connection);
    dripper.join().expect("it only writes");
    (counted, Told::Status(408))
}
