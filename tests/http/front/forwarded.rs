//! What trusted proxies say of a request's client, and what guests are told. Which words mean what is tested beside the code.

use wharf_tests::http::{Connection, Reply};

use super::Site;

fn ask(site: &Site, fields: &str) -> Reply {
    let mut connection = Connection::open(site.plain());
    connection.send(format!("GET / HTTP/1.1\r\nhost: a.test\r\n{fields}\r\n"));
    connection.reply()
}

#[track_caller]
fn check(site: &Site, fields: &str, said: &[&str], unsaid: &[&str]) {
    let text = ask(site, fields).text();
    for said in said {
        assert!(text.contains(said), "{said:?} is not told of {fields:?}: {text}");
    }
    for unsaid in unsaid {
        assert!(!text.contains(unsaid), "{unsaid:?} is told of {fields:?}: {text}");
    }
}

const SPOOFED: &str = "x-forwarded-for: 6.6.6.6\r\nx-forwarded-proto: https\r\nx-forwarded-host: evil.test\r\n\
                       x-forwarded-user: root\r\nforwarded: for=6.6.6.6;proto=https;host=evil.test\r\nx-real-ip: 6.6.6.6\r\n";

#[test]
fn nobody_is_believed_by_default() {
    let site = Site::serve("http-request-line", "listen = '127.0.0.1:0'");
    let told = [
        "scheme: http\nauthority: a.test\n",
        "x-forwarded-for: 127.0.0.1\n",
        "x-forwarded-proto: http\n",
    ];
    check(&site, SPOOFED, &told, &["6.6.6.6", "evil.test", "root", "https"]);
    check(&site, "", &told, &[]);
}

#[test]
fn a_trusted_proxy_is_believed_the_client_and_the_scheme() {
    let site = Site::serve(
        "http-request-line",
        "listen = '127.0.0.1:0'\ntrusted-proxies = ['127.0.0.0/8', '10.0.0.0/8']",
    );
    let fields =
        "x-forwarded-for: 6.6.6.6, 192.0.2.1, 10.1.1.1\r\nx-forwarded-proto: https\r\nx-forwarded-host: evil.test\r\n";
    let told = [
        "scheme: https\nauthority: a.test\n",
        "x-forwarded-for: 192.0.2.1\n",
        "x-forwarded-proto: https\n",
    ];
    check(&site, fields, &told, &["6.6.6.6", "evil.test", "10.1.1.1"]);
    // Of the other kind of field it is known that proxies pass it on.
    check(
        &site,
        "forwarded: for=6.6.6.6;proto=https\r\n",
        &["scheme: http\n", "x-forwarded-for: 127.0.0.1\n"],
        &["6.6.6.6"],
    );
    check(&site, "x-forwarded-user: ann\r\n", &["x-forwarded-user: ann\n"], &[]);
}

#[test]
fn a_host_is_believed_where_that_is_said() {
    let site = Site::serve(
        "http-request-line",
        "listen = '127.0.0.1:0'\ntrusted-proxies = ['127.0.0.1']\nforwarded-host = true",
    );
    let fields = "x-forwarded-host: b.test\r\nx-forwarded-proto: https\r\nx-forwarded-port: 8443\r\n";
    check(&site, fields, &["scheme: https\nauthority: b.test:8443\n"], &["a.test"]);
    check(
        &site,
        "x-forwarded-host: not a host\r\n",
        &["scheme: http\nauthority: a.test\n"],
        &["not a host"],
    );
    check(
        &site,
        "x-forwarded-host: u@b.test\r\n",
        &["authority: a.test\n"],
        &["u@b"],
    );
}

#[test]
fn the_standards_field() {
    let site = Site::serve(
        "http-request-line",
        "listen = '127.0.0.1:0'\ntrusted-proxies = ['127.0.0.1']\nforwarded = 'forwarded'",
    );
    check(&site, "", &["forwarded: for=127.0.0.1;proto=http\n"], &["x-forwarded"]);
    let fields = "forwarded: for=6.6.6.6, for=\"[2001:db8::1]:99\";proto=https\r\nx-forwarded-for: 7.7.7.7\r\n";
    let told = ["scheme: https\n", "forwarded: for=\"[2001:db8::1]\";proto=https\n"];
    check(&site, fields, &told, &["6.6.6.6", "7.7.7.7"]);
}

#[test]
fn guests_are_told_nothing_where_that_is_said() {
    let site = Site::serve("http-request-line", "listen = '127.0.0.1:0'\nforwarded = 'none'");
    check(
        &site,
        SPOOFED,
        &["scheme: http\nauthority: a.test\n"],
        &["forwarded", "6.6.6.6", "127.0.0.1"],
    );
}

/// The same over HTTP/2, whose requests name their scheme themselves.
#[test]
fn over_http2() {
    let site = Site::serve(
        "http-request-line",
        "listen = '127.0.0.1:0'\ntrusted-proxies = ['127.0.0.1']",
    );
    let reply = wharf_tests::http2::run(async {
        let handle = wharf_tests::http2::connect(site.plain()).await;
        let request = http::Request::get("http://a.test/x")
            .header("x-forwarded-for", "192.0.2.1")
            .header("x-forwarded-proto", "https");
        wharf_tests::http2::send(&handle, request.body(()).expect("it is one")).await
    });
    for said in ["scheme: https\nauthority: a.test\n", "x-forwarded-for: 192.0.2.1\n"] {
        assert!(reply.text().contains(said), "{}", reply.text());
    }
}

/// Behind a proxy that speaks TLS for the server, whoever came by it is not sent there again.
#[test]
fn redirects_are_for_who_came_without_tls() {
    let site = Site::with_listener(
        "http-hello",
        "trusted-proxies = ['127.0.0.1']",
        "redirect-to-https = true\nhttps-port = 443",
    );
    let ask = |fields: &str| {
        let mut connection = Connection::open(site.second());
        connection.send(format!("GET /x HTTP/1.1\r\nhost: a.test\r\n{fields}\r\n"));
        connection.reply()
    };
    assert_eq!(ask("x-forwarded-proto: https\r\n").status, 200);
    for fields in ["x-forwarded-proto: http\r\n", ""] {
        let reply = ask(fields);
        assert_eq!(
            (reply.status, reply.header("location")),
            (308, Some("https://a.test/x")),
            "{fields}"
        );
    }
}
