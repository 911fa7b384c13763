//! Files of an app, answered without its guest.
//!
//! What a response says is tested where it is made (`wharf-server`); here is what only a whole server shows: routes, both
//! protocols, memory, clients that leave.

use std::fs::File;
use std::time::SystemTime;

use wharf_tests::http::{Connection, Reply, get, send};
use wharf_tests::{Scratch, Server, eventually, guest, http2};

use crate::axes::Protocol;
use crate::client::Ask;

/// How much a server may grow by sending files of any size: what the allocator keeps, and pages touched once.
const GROWTH_BYTES_MAX: u64 = 32 * 1024 * 1024;

const LARGE_BYTES: u64 = 200 * 1024 * 1024;

const MANIFEST: &str = r#"
[[routes]]
path = "/"

[[routes]]
path = "/assets"
files = { folder = "public", fallback = "app.html" }
"#;

/// An app with `files` in its folder, and its server.
fn serve(files: &[(&str, &str)]) -> (Scratch, Server) {
    let scratch = Scratch::new();
    scratch.write("public/app.html", "<!doctype html>app");
    for (name, contents) in files {
        scratch.write(format!("public/{name}"), contents);
    }
    let component = guest("http-hello");
    let manifest = format!("component = {:?}\n{MANIFEST}", component.display().to_string());
    // Tests look into it, to see what is open.
    let server = Server::start(scratch.write("wharf.toml", manifest), &["--core-dumps"]);
    (scratch, server)
}

#[track_caller]
fn check(reply: &Reply, status: u16, expected: &[(&str, &str)], body: &str) {
    assert_eq!((reply.status, reply.text().as_str()), (status, body), "{reply:?}");
    for (name, value) in expected {
        assert_eq!(reply.header(name), Some(*value), "{name} of {reply:?}");
    }
}

#[test]
fn files_and_guests_share_an_address() {
    let (scratch, server) = serve(&[("a.txt", "a file"), ("docs/index.html", "docs"), (".env", "secret")]);
    scratch.write("secret.txt", "secret");
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let ask = |ask: Ask| ask.over(protocol, server.addr());
        let kind = ("content-type", "text/plain; charset=utf-8");
        check(
            &ask(Ask::get("/assets/a.txt")),
            200,
            &[kind, ("content-length", "6")],
            "a file",
        );
        check(
            &ask(Ask::new("HEAD", "/assets/a.txt")),
            200,
            &[kind, ("content-length", "6")],
            "",
        );
        check(&ask(Ask::get("/assets/docs/")), 200, &[], "docs");
        check(&ask(Ask::get("/assets/docs?x")), 308, &[("location", "docs/?x")], "");
        let part = Ask::get("/assets/a.txt").header("range", "bytes=2-");
        check(&ask(part), 206, &[("content-range", "bytes 2-5/6")], "file");
        let page = Ask::get("/assets/users/7").header("accept", "text/html");
        check(&ask(page), 200, &[("cache-control", "no-cache")], "<!doctype html>app");
        // Everything else is the guest's.
        for path in ["/", "/a.txt", "/assetsx/a.txt", "/assets/%2e%2e/secret.txt"] {
            check(&ask(Ask::get(path)), 200, &[], "hello, wharf");
        }
        // And what is below the prefix, no guest's.
        for (path, status) in [
            ("/assets/gone.txt", 404),
            ("/assets/.env", 404),
            ("/assets/%252e%252e/secret.txt", 404),
            ("/assets/..%2fsecret.txt", 400),
            ("/assets/a.txt%00", 400),
            ("/assets//a.txt", 404),
        ] {
            let reply = ask(Ask::get(path));
            assert_eq!(reply.status, status, "{path}: {reply:?}");
        }
        let refused = ask(Ask::post("/assets/a.txt", "content"));
        assert_eq!(
            (refused.status, refused.header("allow")),
            (405, Some("GET, HEAD")),
            "{refused:?}"
        );
    }
}

/// A prefix with nothing behind it is sent to the folder, whose pages have relative links.
#[test]
fn the_prefix_alone_leads_to_the_folder() {
    let (_scratch, server) = serve(&[("index.html", "index")]);
    check(&get(server.addr(), "/assets"), 308, &[("location", "assets/")], "");
    check(&get(server.addr(), "/assets/"), 200, &[], "index");
}

/// A client that asks again with what it was told gets the head alone, on a connection that goes on.
#[test]
fn nothing_is_sent_twice() {
    let (scratch, server) = serve(&[("a.txt", "a file")]);
    let hour_ago = SystemTime::now() - std::time::Duration::from_secs(3600);
    let file = File::options().write(true).open(scratch.join("public/a.txt")).unwrap();
    file.set_modified(hour_ago).unwrap();
    let etag = get(server.addr(), "/assets/a.txt").header("etag").unwrap().to_owned();
    let mut connection = Connection::open(server.addr());
    for _ in 0..3 {
        connection.send(format!(
            "GET /assets/a.txt HTTP/1.1\r\nhost: a.test\r\nif-none-match: {etag}\r\n\r\n"
        ));
        check(&connection.reply(), 304, &[("etag", &etag)], "");
    }
    connection.send("GET /assets/a.txt HTTP/1.1\r\nhost: a.test\r\nif-match: \"other\"\r\n\r\n");
    assert_eq!(connection.reply().status, 412);
    connection.send("GET /assets/a.txt HTTP/1.1\r\nhost: a.test\r\nrange: bytes=6-\r\n\r\n");
    let reply = connection.reply();
    assert_eq!((reply.status, reply.header("content-range")), (416, Some("bytes */6")));
    connection.send("GET /assets/a.txt HTTP/1.1\r\nhost: a.test\r\n\r\n");
    check(&connection.reply(), 200, &[], "a file");
}

/// A file that takes no room on the disk.
fn write_large(scratch: &Scratch) {
    let file = File::create(scratch.join("public/large.bin")).unwrap();
    file.set_len(LARGE_BYTES).unwrap();
}

#[test]
fn large_files_pass_in_flat_memory() {
    let (scratch, server) = serve(&[]);
    write_large(&scratch);
    assert_eq!(get(server.addr(), "/").status, 200);
    let before = server.resident_bytes();
    let mut connection = Connection::open(server.addr());
    connection.send("GET /assets/large.bin HTTP/1.1\r\nhost: a.test\r\n\r\n");
    let head = connection.head();
    assert_eq!(
        (head.status(), head.header("content-length")),
        (200, Some(LARGE_BYTES.to_string().as_str()))
    );
    let (mut received, mut grown) = (0, 0);
    let mut looked_at = 0;
    while let Some(piece) = connection.data() {
        assert!(piece.iter().all(|byte| *byte == 0));
        received += piece.len() as u64;
        if received - looked_at > 8 * 1024 * 1024 {
            looked_at = received;
            grown = grown.max(server.resident_bytes().saturating_sub(before));
        }
    }
    assert_eq!(received, LARGE_BYTES);
    assert!(grown <= GROWTH_BYTES_MAX, "grew by {grown} bytes");
}

/// The same for one who stops reading: what it does not take is not read from the file.
#[test]
fn clients_that_do_not_read_hold_no_memory() {
    let (scratch, server) = serve(&[("a.txt", "a file")]);
    write_large(&scratch);
    assert_eq!(get(server.addr(), "/").status, 200);
    let before = server.resident_bytes();
    let unread: Vec<_> = (0..100)
        .map(|_| {
            let mut connection = Connection::open(server.addr());
            connection.send("GET /assets/large.bin HTTP/1.1\r\nhost: a.test\r\n\r\n");
            connection.head();
            connection
        })
        .collect();
    check(&get(server.addr(), "/assets/a.txt"), 200, &[], "a file");
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(
        grown <= 2 * GROWTH_BYTES_MAX,
        "grew by {grown} bytes for {} clients",
        unread.len()
    );
}

/// How often the server has a file open.
#[cfg(target_os = "linux")]
fn open_count(server: &Server, name: &str) -> usize {
    let handles = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap();
    let files = handles.filter_map(|handle| std::fs::read_link(handle.ok()?.path()).ok());
    files.filter(|file| file.ends_with(name)).count()
}

#[cfg(target_os = "linux")]
#[test]
fn a_client_that_leaves_midway_closes_the_file() {
    let (scratch, server) = serve(&[]);
    write_large(&scratch);
    let mut connection = Connection::open(server.addr());
    connection.send("GET /assets/large.bin HTTP/1.1\r\nhost: a.test\r\n\r\n");
    assert_eq!(connection.head().status(), 200);
    connection.data().unwrap();
    assert_eq!(open_count(&server, "large.bin"), 1);
    drop(connection);
    eventually(|| open_count(&server, "large.bin") == 0, "the file to be closed");

    http2::run(async {
        let handle = http2::connect(server.addr()).await;
        let request = http::Request::get(server.url("/assets/large.bin")).body(()).unwrap();
        let (response, _) = handle.clone().send_request(request, true).unwrap();
        let mut body = response.await.unwrap().into_body();
        assert!(http2::data(&mut body).await.unwrap().is_some());
        // The stream is reset, and the connection goes on.
        drop(body);
        let other = http2::get(&handle, server.addr(), "/assets/app.html").await;
        assert_eq!(other.status, 200);
        // Waits on the runtime, which has the connection to drive.
        while open_count(&server, "large.bin") > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    });
    assert_eq!(get(server.addr(), "/").text(), "hello, wharf");
}

/// The length was announced, so the client must learn that it did not get all.
#[test]
fn a_file_that_shrinks_breaks_the_response_off() {
    let (scratch, server) = serve(&[]);
    write_large(&scratch);
    let mut connection = Connection::open(server.addr());
    connection.send("GET /assets/large.bin HTTP/1.1\r\nhost: a.test\r\n\r\n");
    assert_eq!(connection.head().status(), 200);
    let file = File::options()
        .write(true)
        .open(scratch.join("public/large.bin"))
        .unwrap();
    file.set_len(100).unwrap();
    let error = connection.try_body().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{error}");
    server.says("the file has shrunk");
    assert_eq!(
        send(server.addr(), "GET", "/assets/large.bin", &[], b"").body.len(),
        100
    );
}
