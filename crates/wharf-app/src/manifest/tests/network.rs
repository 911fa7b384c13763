//! Listeners and trusted proxies.

use super::*;
use crate::app::{Forwarded, Redirect, TrustedProxies};

#[test]
fn listeners_are_written_short_and_long() {
    let tree = Tree::of(
        "[server]
        listen = ['127.0.0.1:80', 'unix:run/http.sock', 'systemd:web']
        trusted-proxies = ['10.0.0.0/8', '::1', 'unix']
        forwarded = 'forwarded'
        forwarded-host = true
        forwarded-client-cert = true
        [[server.listeners]]
        address = '127.0.0.1:443'
        tls = true
        [[server.listeners]]
        address = 'unix:proxied.sock'
        proxy-protocol = true
        mode = '666'
        [[server.listeners]]
        address = '127.0.0.1:81'
        redirect-to-https = true
        [[server.listeners]]
        address = '127.0.0.1:82'
        redirect-to-https = true
        https-port = 8443
        [server.tls]
        folder = 'certificates'",
    );
    let server = configuration(&tree).server;
    let unix = |file: &str| ListenAddress::Unix(tree.path(file));
    let expected = [
        listener("127.0.0.1:80"),
        Listener::plain(unix("run/http.sock")),
        Listener::plain(ListenAddress::Systemd("web".into())),
        Listener {
            tls: true,
            ..listener("127.0.0.1:443")
        },
        Listener {
            proxy_protocol: true,
            mode: 0o666,
            ..Listener::plain(unix("proxied.sock"))
        },
        Listener {
            redirect: Some(Redirect::ToTls),
            ..listener("127.0.0.1:81")
        },
        Listener {
            redirect: Some(Redirect::ToPort(8443)),
            ..listener("127.0.0.1:82")
        },
    ];
    assert_eq!(server.listeners, expected);
    let networks = ["10.0.0.0/8", "::1/128"].map(|network| network.parse().unwrap());
    let trusted = TrustedProxies {
        networks: networks.to_vec(),
        unix: true,
    };
    assert_eq!(server.trusted_proxies, trusted);
    assert_eq!((server.forwarded, server.forwarded_host), (Forwarded::Standard, true));
    assert!(server.forwarded_client_cert);
}

#[test]
fn the_long_form_alone_leaves_no_default() {
    let tree = Tree::of("[server]\n[[server.listeners]]\naddress = '127.0.0.1:1'");
    let server = configuration(&tree).server;
    assert_eq!(server.listeners, [listener("127.0.0.1:1")]);
    assert_eq!((server.forwarded, server.forwarded_host), (Forwarded::Custom, false));
    assert!(!server.forwarded_client_cert);
}

#[test]
fn what_does_not_go_together_is_refused_with_advice() {
    #[track_caller]
    fn check(server: &str, listener: &str, said: &[&str]) {
        let problems = wrong(&format!("[server]\n{server}\n[[server.listeners]]\n{listener}"));
        let [problem] = &problems[..] else {
            panic!("{}", problems.join("\n"))
        };
        for said in said {
            assert!(problem.contains(said), "{problem}\ndoes not hold\n{said}");
        }
    }
    let address = "address = '127.0.0.1:1'";
    check("", "tls = true", &["`address` is missing"]);
    check(
        "",
        "address = 'unix:'",
        &["4:11: `address`: expected a path after `unix:`"],
    );
    check(
        "",
        "address = 'systemd:'",
        &["4:11: `address`: expected the name of a socket"],
    );
    check("", "address = '127.0.0.1'", &["4:11: `address`: expected HOST:PORT"]);
    let long = format!("address = 'unix:{}'", "x".repeat(120));
    check("", &long, &["4:11: `address`: the socket's path has"]);
    check(
        "listen = '127.0.0.1:1'",
        address,
        &[
            "4:11: the server listens at 127.0.0.1:1 already",
            "write each address once",
        ],
    );
    check(
        "",
        &format!("{address}\ntls = true"),
        &["5:7: there is no certificate for TLS", "[[server.tls.certificates]]"],
    );
    check(
        "",
        &format!("{address}\nproxy-protocol = true"),
        &["5:18: nobody may speak the PROXY protocol here", "trusted-proxies"],
    );
    check(
        "trusted-proxies = []",
        &format!("{address}\nproxy-protocol = true"),
        &["5:18: nobody may speak the PROXY protocol here"],
    );
    check(
        "",
        &format!("{address}\nredirect-to-https = true"),
        &["5:21: no listener with TLS has a port", "https-port"],
    );
    check(
        "",
        &format!("{address}\nhttps-port = 443"),
        &["5:14: `https-port` says where"],
    );
    check(
        "",
        &format!("{address}\nredirect-to-https = true\nhttps-port = 0"),
        &["6:14: `https-port` is a number from 1"],
    );
    check(
        "",
        &format!("{address}\nredirect-to-https = true\nhttps-port = 65536"),
        &["6:14: `https-port` is a number from 0 to 65535"],
    );
    check(
        "tls = { folder = 'certificates' }",
        &format!("{address}\ntls = true\nredirect-to-https = true"),
        &["6:21: clients are at https here already"],
    );
    check(
        "",
        &format!("{address}\nmode = '660'"),
        &["5:8: `mode` is for sockets in files"],
    );
    check(
        "",
        "address = 'unix:a'\nmode = '888'",
        &["5:8: `mode` is three octal digits"],
    );
    check(
        "",
        "address = 'unix:a'\nmode = '+66'",
        &["5:8: `mode` is three octal digits"],
    );
    check(
        "trusted-proxies = ['10.0.0.1/8']",
        address,
        &["2:20: `10.0.0.1/8` is neither", "10.0.0.0/8"],
    );
    check(
        "trusted-proxies = ['proxy.test']",
        address,
        &["2:20: `proxy.test` is neither an address nor a network"],
    );
    check(
        "forwarded-host = true",
        address,
        &["2:18: no proxy is trusted to say which host was asked"],
    );
    check(
        "trusted-proxies = ['::1']\nforwarded = 'none'\nforwarded-host = true",
        address,
        &["4:18: `forwarded = \"none\"` believes nobody"],
    );
    check(
        "forwarded-client-cert = true",
        address,
        &["2:25: no proxy is trusted to say which certificate a client has shown"],
    );
    check(
        "forwarded = 'x-real-ip'",
        address,
        &["2:13: `forwarded` is `x-forwarded`, `forwarded` or `none`"],
    );
}
