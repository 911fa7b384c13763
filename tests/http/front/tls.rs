//! TLS: requests, ends, and what is not TLS.

use std::io::{Read, Write};
use std::thread::sleep;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;
use wharf_tests::http::{Connection, get};
use wharf_tests::{Server, eventually, http2};

use super::{GET, Site, exchange, status};
use crate::http2::{fields, wire};
use crate::operator::{metric, reached};

fn site(component: &str, keys: &str) -> Site {
    Site::with_listener(component, keys, "tls = true")
}

#[test]
fn guests_see_that_their_client_spoke_tls() {
    let site = site("http-request-line", "");
    assert!(site.all()[1].starts_with("https://127.0.0.1:"), "{:?}", site.all());
    for protocols in [&["http/1.1"][..], &[], &["h2", "http/1.1"]] {
        let mut stream = site.secure(protocols);
        if protocols.contains(&"h2") {
            stream.conn.complete_io(&mut stream.sock).expect("TLS is agreed on");
            assert_eq!(stream.conn.alpn_protocol(), Some(&b"h2"[..]));
            continue;
        }
        let (answer, ended) = exchange(stream, GET);
        assert!(ended.is_ok(), "it ends with close_notify: {ended:?}");
        assert_eq!(status(&answer), 200);
        let said = "scheme: https\nauthority: a.test\npath: /path\n";
        for said in [said, "x-forwarded-proto: https\n", "x-forwarded-for: 127.0.0.1\n"] {
            assert!(answer.contains(said), "{answer}");
        }
    }
    // A URI that names its scheme names the right one.
    let (answer, _) = exchange(site.secure(&[]), GET.replace("/path", "https://b.test/x"));
    assert!(
        answer.contains("scheme: https\nauthority: b.test\npath: /x\n"),
        "{answer}"
    );
    let (answer, _) = exchange(site.secure(&[]), GET.replace("/path", "http://b.test/x"));
    assert_eq!(status(&answer), 421);
    let (answer, _) = exchange(site.secure(&[]), GET.replace("GET /path", "OPTIONS *"));
    assert!(
        answer.contains("scheme: https\nauthority: a.test\npath: *\n"),
        "{answer}"
    );
}

#[test]
fn guests_of_the_older_wasi_see_it_too() {
    let site = site("http02-request-line", "");
    let (answer, _) = exchange(site.secure(&[]), GET);
    assert!(answer.contains("scheme: https\nauthority: a.test\n"), "{answer}");
    assert!(get(site.plain(), "/").text().starts_with("scheme: http\n"));
}

/// HTTP/2 with as many streams at once as one likes, whatever scheme its client writes.
#[test]
fn http2_by_alpn() {
    let site = site("http-request-line", "");
    http2::run(async {
        let stream = tokio::net::TcpStream::connect(site.second())
            .await
            .expect("the server accepts");
        let name = ServerName::try_from("localhost").expect("it is a name");
        let connector = TlsConnector::from(site.trusting(&["h2"]));
        let stream = connector.connect(name, stream).await.expect("TLS is agreed on");
        let (handle, connection) = h2::client::handshake(stream).await.expect("it speaks HTTP/2");
        tokio::spawn(connection);
        let asks = (0..50).map(|nth| {
            let scheme = if nth % 2 == 0 { "https" } else { "http" };
            let request = http::Request::get(format!("{scheme}://a.test/{nth}"))
                .body(())
                .expect("it is one");
            http2::send(&handle, request)
        });
        for (nth, reply) in futures_util::future::join_all(asks).await.into_iter().enumerate() {
            let said = format!("scheme: https\nauthority: a.test\npath: /{nth}\n");
            assert!(reply.text().contains(&said), "{}", reply.text());
        }
    });
}

#[test]
fn plain_http_is_told_that_this_is_tls() {
    let site = site("http-hello", "");
    for request in [GET, "GET ", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\r\n"] {
        let (answer, ended) = exchange(site.connect(site.second()), request);
        assert!(ended.is_ok(), "{request:?}: {ended:?}");
        assert_eq!(status(&answer), 400, "{request:?}");
        assert!(
            answer.ends_with("this port takes HTTPS, and the request came without\n"),
            "{answer}"
        );
    }
    assert_eq!(status(&exchange(site.secure(&[]), GET).0), 200);
}

/// An alert is no text, and text is no alert.
#[test]
fn what_is_neither_is_told_so_in_the_words_of_tls() {
    let site = site("http-hello", "");
    for garbage in [
        &[0x16, 3, 1, 0, 4, 9, 9, 9, 9][..],
        &[0x80, 0x2e, 1, 0, 2, 0, 0, 0, 0],
        &[0x17, 3, 3, 0, 1, 0],
    ] {
        let mut stream = site.connect(site.second());
        stream.write_all(garbage).expect("the server reads");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(matches!(answer[..], [] | [0x15, 3, _, 0, 2, 2, _]), "{answer:?}");
    }
    assert_eq!(status(&exchange(site.secure(&[]), GET).0), 200);
}

#[test]
fn tls_at_a_plain_port_confuses_nobody() {
    let site = site("http-hello", "");
    for _ in 0..5 {
        let mut stream = site.secure_over(site.connect(site.plain()), &[]);
        assert!(stream.conn.complete_io(&mut stream.sock).is_err(), "there is none");
        assert_eq!(get(site.plain(), "/").status, 200);
    }
    eventually(|| metric(site.admin, "wharf_connections") == Some(0.0), "they are gone");
}

/// The server's own last words are within TLS, and so is the end.
#[test]
fn a_late_head_is_told_so_within_tls() {
    let site = site(
        "http-hello",
        "limits = { head-timeout = '500ms', idle-timeout = '60s' }",
    );
    let (answer, ended) = exchange(site.secure(&[]), "GET / HTTP/1.1\r\nhost: a.te");
    assert_eq!(status(&answer), 408);
    assert!(ended.is_ok(), "it ends with close_notify: {ended:?}");
    assert_eq!(reached(site.admin, "head-timeout"), 1.0);
}

#[test]
fn a_connection_without_requests_ends_with_a_word() {
    let site = site("http-hello", "limits = { idle-timeout = '2s' }");
    let (answer, ended) = exchange(site.secure(&[]), "");
    assert_eq!(answer, "");
    assert!(ended.is_ok(), "it ends with close_notify: {ended:?}");
    // The same for one that makes room.
    let crowded = Site::with_listener("http-hello", "limits = { connections = 1 }", "tls = true");
    let mut idle = crowded.secure(&[]);
    idle.write_all(GET.replace("connection: close", "x: y").as_bytes())
        .expect("the server reads");
    eventually(|| get(crowded.plain(), "/").status == 200, "another client");
    let (answer, ended) = exchange(idle, "");
    assert_eq!(status(&answer), 200);
    assert!(ended.is_ok(), "it ends with close_notify: {ended:?}");
}

/// A response that breaks off does not look as if it were whole: no close_notify.
#[test]
fn what_breaks_off_is_not_ended() {
    let site = site("http-download", "limits = { write-timeout = '2s', write-rate = 1000 }");
    let mut stream = site.secure(&[]);
    let request = "GET /?bytes=100000000 HTTP/1.1\r\nhost: a.test\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("the server reads");
    eventually(|| reached(site.admin, "write-rate") == 1.0, "the client is slow");
    eventually(|| metric(site.admin, "wharf_connections") == Some(0.0), "it is gone");
    let (answer, ended) = exchange(stream, "");
    assert!(answer.len() < 100_000_000, "all of it came");
    assert!(ended.is_err(), "it seems whole");
}

/// One that takes its time, and more than the least, has all of it.
#[test]
fn a_steady_client_is_not_slow() {
    let site = site("http-download", "limits = { write-timeout = '3s', write-rate = 1000 }");
    let mut stream = site.secure(&[]);
    let request = "GET /?bytes=3000000 HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("the server reads");
    let (mut come, mut buffer) = (0, [0; 16 << 10]);
    loop {
        match stream.read(&mut buffer).expect("it is whole") {
            0 => break,
            bytes => come += bytes,
        }
        // For longer than the timeout.
        if come < 600_000 {
            sleep(Duration::from_millis(100));
        }
    }
    assert!(come > 3_000_000, "{come}");
    assert_eq!(reached(site.admin, "write-rate"), 0.0);
}

/// Whoever leaves, with a word or without, takes the guest's work along; also with a part of the request unread.
#[test]
fn a_client_that_leaves_is_noticed() {
    let site = site("http-slow", "");
    let request = "POST /?delay=3600000 HTTP/1.1\r\nhost: a.test\r\ncontent-length: 1000000\r\n\r\n";
    for (says_so, sends) in [(false, ""), (true, ""), (false, "x"), (true, "x")] {
        let mut stream = site.secure(&[]);
        let body = sends.repeat(800_000);
        let sender = format!("{request}{body}");
        let mut writer = stream.sock.try_clone().expect("a socket can be cloned");
        writer
            .set_write_timeout(Some(Duration::from_millis(300)))
            .expect("it is not zero");
        let _ = stream.write_all(sender.as_bytes());
        eventually(|| metric(site.admin, "wharf_requests") == Some(1.0), "it has begun");
        if says_so {
            stream.conn.send_close_notify();
            let _ = stream.conn.write_tls(&mut writer);
        }
        drop((stream, writer));
        eventually(|| metric(site.admin, "wharf_requests") == Some(0.0), "it has ended");
    }
}

#[test]
fn uploads_and_downloads_are_whole() {
    let site = site("http-echo", "");
    let body = "0123456789abcdef".repeat(200_000);
    let head = format!(
        "POST / HTTP/1.0\r\nhost: a.test\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = site.secure(&[]);
    // The guest answers while it reads: somebody has to take it meanwhile.
    let received = duplex(&mut stream, format!("{head}{body}").as_bytes());
    assert!(received.ends_with(body.as_bytes()), "{} bytes", received.len());
}

/// Writes and reads in turns, as much as there is room for.
fn duplex(stream: &mut super::StreamOwned<super::ClientConnection, super::TcpStream>, mut request: &[u8]) -> Vec<u8> {
    stream.conn.complete_io(&mut stream.sock).expect("TLS is agreed on");
    stream.sock.set_nonblocking(true).expect("it can");
    let (mut received, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
    let started = std::time::Instant::now();
    while started.elapsed() < super::DEADLINE {
        if !request.is_empty() && !stream.conn.wants_write() {
            let taken = stream.conn.writer().write(request).expect("there is room");
            request = &request[taken..];
        }
        let wrote = stream.conn.wants_write() && stream.conn.write_tls(&mut stream.sock).is_ok();
        let read = stream.conn.read_tls(&mut stream.sock);
        if read.is_ok() {
            stream.conn.process_new_packets().expect("it is TLS");
        }
        match stream.conn.reader().read(&mut buffer) {
            Ok(0) => return received,
            Ok(bytes) => received.extend_from_slice(&buffer[..bytes]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                if !wrote && read.is_err() {
                    sleep(Duration::from_millis(1));
                }
            }
            Err(error) => panic!("it breaks off: {error}"),
        }
    }
    panic!("only {} bytes came", received.len())
}

/// What has begun is finished, and then there is an end.
#[test]
fn a_drain_finishes_what_has_begun() {
    let site = site("http-slow", "");
    let mut stream = site.secure(&[]);
    let request = "GET /?delay=1500 HTTP/1.1\r\nhost: a.test\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("the server reads");
    let mut stalled = site.connect(site.second());
    stalled.write_all(&[0x16, 3, 1]).expect("the server reads");
    eventually(|| metric(site.admin, "wharf_requests") == Some(1.0), "it has begun");
    site.server.terminate();
    let (answer, ended) = exchange(stream, "");
    assert_eq!(status(&answer), 200);
    assert!(ended.is_ok(), "it ends with close_notify: {ended:?}");
    assert_eq!(site.server.wait().code(), Some(0));
}

/// What is spoken is what was agreed on (RFC 9113 sections 3.2 and 3.3): without a word about it, HTTP/1.1.
#[test]
fn nothing_else_is_spoken_than_was_agreed_on() {
    let site = site("http-hello", "");
    let http2 = [wire::PREFACE, &wire::settings(&[]), &wire::request(1, fields::get("/"))].concat();
    for (protocols, says, is_served) in [
        (&["http/1.1"][..], GET.as_bytes(), true),
        (&["h2", "http/1.1"], &http2, true),
        (&[], GET.as_bytes(), true),
        (&["http/1.1"], &http2, false),
        (&[], &http2, false),
        (&["h2"], GET.as_bytes(), false),
        (&["h2"], b"PRI * HTTP/1.1\r\nhost: a.test\r\n\r\n", false),
    ] {
        let mut stream = site.secure(protocols);
        stream.write_all(says).expect("the server reads");
        stream
            .sock
            .set_read_timeout(Some(Duration::from_millis(100)))
            .expect("it is not zero");
        let mut come = Vec::new();
        let mut buffer = [0; 4096];
        let begun = std::time::Instant::now();
        let is_answered = |come: &[u8]| come.windows(12).any(|piece| piece == b"hello, wharf");
        let ended = loop {
            match stream.read(&mut buffer) {
                Ok(0) => break true,
                Ok(bytes) => come.extend_from_slice(&buffer[..bytes]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    if begun.elapsed() > super::DEADLINE || is_answered(&come) {
                        break false;
                    }
                }
                Err(_) => break true,
            }
        };
        assert_eq!(
            is_answered(&come),
            is_served,
            "{protocols:?}: {}",
            String::from_utf8_lossy(&come)
        );
        assert!(is_served || ended, "{protocols:?}: it is open");
    }
    site.server.says("was agreed on");
}

#[test]
fn redirects_lead_to_the_listener_with_tls() {
    let site = Site::serve(
        "http-hello",
        "listen = '127.0.0.1:0'\n[[server.listeners]]\naddress = '127.0.0.1:0'\nredirect-to-https = true\n\
         [[server.listeners]]\naddress = '127.0.0.1:0'\ntls = true",
    );
    let https = site.all()[2].clone();
    let (_, port) = https.rsplit_once(':').expect("it has a port");
    for (request, location) in [
        (
            "GET /a?b=c HTTP/1.1\r\nhost: a.test\r\n\r\n",
            format!("https://a.test:{port}/a?b=c"),
        ),
        (
            "GET / HTTP/1.1\r\nhost: a.test:1234\r\n\r\n",
            format!("https://a.test:{port}/"),
        ),
        (
            "GET /%41 HTTP/1.1\r\nhost: [::1]:80\r\n\r\n",
            format!("https://[::1]:{port}/%41"),
        ),
        (
            "OPTIONS * HTTP/1.1\r\nhost: a.test\r\n\r\n",
            format!("https://a.test:{port}/"),
        ),
        (
            "GET http://b.test/x HTTP/1.1\r\nhost: a.test\r\n\r\n",
            format!("https://b.test:{port}/x"),
        ),
    ] {
        let mut connection = Connection::open(site.second());
        connection.send(request);
        let reply = connection.reply();
        assert_eq!(
            (reply.status, reply.header("location")),
            (308, Some(location.as_str())),
            "{request}"
        );
    }
    let bad = exchange(
        site.connect(site.second()),
        "GET / HTTP/1.1\r\nconnection: close\r\n\r\n",
    );
    assert_eq!(status(&bad.0), 400);
    assert_eq!(get(site.plain(), "/").status, 200, "only where it is asked for");
}

#[test]
fn flags_for_tls() {
    let scratch = wharf_tests::Scratch::new();
    super::write_certificate(&scratch);
    let file = |name: &str| scratch.join(name).display().to_string();
    let flags = [
        "--tls-certificate",
        &file("certificate.pem"),
        "--tls-key",
        &file("key.pem"),
    ];
    let mut command = wharf_tests::wharf();
    command.args(["serve", "--addr", "127.0.0.1:0"]).args(flags);
    command.arg(wharf_tests::guest("http-hello"));
    let server = Server::spawn(command);
    let first = server.log().lines().next().map(str::to_owned).unwrap_or_default();
    assert!(
        first.ends_with(&format!("http-hello.wasm at https://{}", server.addr())),
        "{first}"
    );
    let curl = wharf_tests::installed("curl").expect("curl is a part of every system");
    let mut curl = std::process::Command::new(curl);
    curl.args([
        "-sS",
        "--cacert",
        &file("certificate.pem"),
        &format!("https://{}/", server.addr()),
    ]);
    let finished = wharf_tests::finish(&mut curl, "");
    assert_eq!(
        (finished.stdout.as_str(), finished.code()),
        ("hello, wharf", Some(0)),
        "{}",
        finished.stderr
    );
    // Half of it is a mistake.
    let mut half = wharf_tests::wharf();
    half.args(["serve", "--tls-key", "key.pem", "app.wasm"]);
    let half = wharf_tests::finish(&mut half, "");
    assert_eq!(half.code(), Some(2));
    assert!(half.stderr.contains("--tls-certificate <FILE>"), "{}", half.stderr);
}
