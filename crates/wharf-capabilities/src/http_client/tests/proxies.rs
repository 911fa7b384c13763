//! Through a proxy: what it is asked, what it answers, and that the policy holds behind it.

use std::sync::Mutex;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::origin::read_head;
use super::*;
use crate::http_client::{Lookup, Proxy};

/// Where names lead for whom asks the proxy: to this machine.
struct TestProxy {
    origin: TestOrigin,
    heads: Arc<Mutex<Vec<String>>>,
}

impl TestProxy {
    /// Tunnels, and forwards one request per connection. With `answer`, it answers that to everything.
    async fn start(answer: Option<&'static str>) -> Self {
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = heads.clone();
        let origin = TestOrigin::raw(move |mut stream, _| {
            let seen = seen.clone();
            async move {
                let (head, rest) = read_head(&mut stream).await;
                seen.lock().unwrap().push(head.clone());
                match answer {
                    Some(answer) => drop(stream.write_all(answer.as_bytes()).await),
                    None => pass(stream, &head, &rest).await,
                }
            }
        })
        .await;
        Self { origin, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    fn proxy(&self, except: &str, lookup: Lookup) -> Proxy {
        let except = AllowList::parse(except.split_whitespace()).unwrap();
        // Private, and granted to nobody.
        Proxy::new(&format!("http://127.0.0.1:{}", self.origin.port()), except, lookup).unwrap()
    }
}

async fn pass(mut stream: TcpStream, head: &str, rest: &[u8]) {
    let target = head.split(' ').nth(1).unwrap();
    let tunnels = head.starts_with("CONNECT ");
    let authority = target.strip_prefix("http://").unwrap_or(target);
    let port = authority
        .split('/')
        .next()
        .unwrap()
        .rsplit(':')
        .next()
        .unwrap()
        .to_owned();
    let mut onward = TcpStream::connect(("127.0.0.1", port.parse().unwrap())).await.unwrap();
    match tunnels {
        true => stream
            .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
            .await
            .unwrap(),
        false => {
            let path = authority.split_once('/').map_or("", |(_, path)| path);
            let head = head.replacen(target, &format!("/{path}"), 1);
            onward.write_all(head.as_bytes()).await.unwrap();
        }
    }
    onward.write_all(rest).await.unwrap();
    let _ = tokio::io::copy_bidirectional(&mut stream, &mut onward).await;
}

fn through(patterns: &str, proxy: Proxy) -> HttpClientCapability {
    let mut options = options(patterns);
    options.proxy = Some(proxy);
    HttpClientCapability::new(options).unwrap()
}

/// `origin.test` leads to 127.0.0.1, which is granted by its port.
async fn ways(secure: &str, lookup: Lookup) -> (Vec<String>, String) {
    let answer = |request: Request<hyper::body::Incoming>| async move {
        assert!(!request.headers().contains_key("proxy-authorization"), "{request:?}");
        page("hello")
    };
    let origin = match secure {
        "https" => TestOrigin::https(&["h2", "http/1.1"], answer).await,
        _ => {
            // What forwards passes the field on here, which real ones do not.
            TestOrigin::http(|_| async { page("hello") }).await
        }
    };
    let proxy = TestProxy::start(None).await;
    let port = origin.port();
    let with = proxy.proxy("", lookup).with_credentials("wharf", "geheim").unwrap();
    let client = through(&format!("origin.test 127.0.0.1:{port}"), with);
    for _ in 0..3 {
        let url = format!("{secure}://origin.test:{port}/path?q");
        assert_eq!(text(send(&client, get(&url)).await.unwrap()).await, "hello");
        connections::rested(&client).await;
    }
    (proxy.heads(), port.to_string())
}

#[tokio::test]
async fn requests_go_through_it() {
    let basic = "proxy-authorization: Basic d2hhcmY6Z2VoZWlt\r\n";
    for (scheme, lookup, start) in [
        ("https", Lookup::Here, "CONNECT 127.0.0.1:PORT HTTP/1.1\r\n"),
        ("http", Lookup::Here, "CONNECT 127.0.0.1:PORT HTTP/1.1\r\n"),
        ("https", Lookup::Proxy, "CONNECT origin.test:PORT HTTP/1.1\r\n"),
        ("http", Lookup::Proxy, "GET http://origin.test:PORT/path?q HTTP/1.1\r\n"),
    ] {
        let (heads, port) = ways(scheme, lookup).await;
        // Kept connections are used again, through the proxy as well.
        assert_eq!(heads.len(), 1, "{scheme} {lookup:?}: {heads:?}");
        assert!(heads[0].starts_with(&start.replace("PORT", &port)), "{heads:?}");
        assert!(heads[0].contains(basic), "{heads:?}");
    }
}

#[tokio::test]
async fn some_go_past_it() {
    let origin = TestOrigin::http(|_| async { page("hello") }).await;
    let proxy = TestProxy::start(None).await;
    let client = through("*", proxy.proxy("a.test *.internal 127.0.0.0/8", Lookup::Proxy));
    for (host, asked) in [("a.test", 0), ("127.0.0.1", 0), ("origin.test", 1)] {
        let url = format!("http://{host}:{}/", origin.port());
        assert_eq!(text(send(&client, get(&url)).await.unwrap()).await, "hello");
        assert_eq!(proxy.heads().len(), asked, "{host}");
    }
}

#[tokio::test]
async fn the_policy_holds_behind_it() {
    let proxy = TestProxy::start(None).await;
    let port = proxy.origin.port();
    let refused = async |lookup, url: &str, expected: &ErrorCode| {
        let client = through("public", proxy.proxy("", lookup));
        check_code(send(&client, get(url)).await.err().as_ref(), expected);
        let request = Request::get(url).header("upgrade", "websocket").body(()).unwrap();
        let answer = soon(client.client().upgrade(request, RequestOptions::default())).await;
        check_code(answer.err().as_ref(), expected);
    };
    for lookup in [Lookup::Here, Lookup::Proxy] {
        // Addresses, those of the proxy among them.
        for host in ["127.0.0.1", "169.254.169.254", "[::ffff:10.0.0.1]", "localhost"] {
            refused(lookup, &format!("http://{host}:{port}/"), &ErrorCode::HttpRequestDenied).await;
            refused(
                lookup,
                &format!("https://{host}:{port}/"),
                &ErrorCode::HttpRequestDenied,
            )
            .await;
        }
    }
    // A name that leads to one: `rebinding.test` to 127.0.0.1.
    for scheme in ["http", "https"] {
        let url = format!("{scheme}://rebinding.test:{port}/");
        refused(Lookup::Here, &url, &ErrorCode::DestinationIpProhibited).await;
    }
    assert_eq!(proxy.heads(), [""; 0]);
}

#[tokio::test]
async fn what_it_refuses() {
    for (answer, expected) in [
        (
            "HTTP/1.1 407 Who\r\ncontent-length: 0\r\n\r\n",
            ErrorCode::ConfigurationError,
        ),
        (
            "HTTP/1.1 403 No\r\ncontent-length: 2\r\n\r\nno",
            ErrorCode::HttpRequestDenied,
        ),
        (
            "HTTP/1.1 502 Bad\r\ncontent-length: 0\r\n\r\n",
            ErrorCode::DestinationUnavailable,
        ),
        (
            "HTTP/1.1 504 Slow\r\ncontent-length: 0\r\n\r\n",
            ErrorCode::ConnectionTimeout,
        ),
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n", ErrorCode::HttpProtocolError),
        ("", ErrorCode::DestinationUnavailable),
        // Somebody speaks who is not asked.
        (
            "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
            ErrorCode::HttpProtocolError,
        ),
    ] {
        let proxy = TestProxy::start(Some(answer)).await;
        let client = through("*", proxy.proxy("", Lookup::Proxy));
        let answered = send(&client, get("https://origin.test/")).await;
        check_code(answered.err().as_ref(), &expected);
        assert_eq!(connections::counts(&client), (0, 0), "{answer:?}");
    }
    // Request by request, it is the same for who asks.
    let proxy = TestProxy::start(Some("HTTP/1.1 407 Who\r\ncontent-length: 0\r\n\r\n")).await;
    let client = through("*", proxy.proxy("", Lookup::Proxy));
    let answered = send(&client, get("http://origin.test/")).await;
    check_code(answered.err().as_ref(), &ErrorCode::ConfigurationError);
}

#[tokio::test]
async fn one_that_is_away_or_silent() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let away = listener.local_addr().unwrap().port();
    drop(listener);
    let proxy = |port| Proxy::new(&format!("http://127.0.0.1:{port}"), AllowList::default(), Lookup::Proxy).unwrap();
    let answered = send(&through("*", proxy(away)), get("https://origin.test/")).await;
    check_code(answered.err().as_ref(), &ErrorCode::DestinationUnavailable);
    let silent = TestOrigin::raw(|stream, _| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let brief = RequestOptions {
        connect_timeout: Some(Duration::from_millis(200)),
        ..RequestOptions::default()
    };
    let client = through("*", proxy(silent.port()));
    let answered = soon(client.client().send(get("https://origin.test/"), brief)).await;
    check_code(answered.err().as_ref(), &ErrorCode::ConnectionTimeout);
}
