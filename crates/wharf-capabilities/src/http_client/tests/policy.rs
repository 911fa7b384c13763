//! Ways around the policy that do not lead around it.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::resolve::CachedResolver;

/// Addresses by which something on this machine or in its networks could be reached.
const RESERVED: [&str; 18] = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "168.63.129.16",
    "::1",
    "::",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "fd00:ec2::254",
    "fe80::1",
];

/// Every name leads to one address.
struct To(&'static str);

impl Resolve for To {
    fn resolve(&self, _: &str) -> BoxFuture<Result<Vec<IpAddr>, LookupError>> {
        let address = self.0.parse().unwrap();
        Box::pin(async move { Ok(vec![address]) })
    }
}

fn client_of(patterns: &str, resolver: impl Resolve) -> HttpClientCapability {
    let mut options = options(patterns);
    options.resolver = Arc::new(resolver);
    HttpClientCapability::new(options).unwrap()
}

/// What a guest sees of a request, and of a WebSocket's handshake, to the same place.
async fn check_refused(client: &HttpClientCapability, url: &str, expected: &ErrorCode) {
    let answer = send(client, get(url)).await;
    check_code(answer.err().as_ref(), expected);
    let request = Request::get(url).header("upgrade", "websocket").body(()).unwrap();
    let answer = soon(client.client().upgrade(request, RequestOptions::default())).await;
    check_code(answer.err().as_ref(), expected);
}

#[tokio::test]
async fn a_name_does_not_lead_into_private_networks() {
    for address in RESERVED {
        for patterns in ["evil.test", "*.test", "public", "http://evil.test:*"] {
            let client = client_of(patterns, To(address));
            check_refused(&client, "http://evil.test:8080/", &ErrorCode::DestinationIpProhibited).await;
        }
    }
}

#[tokio::test]
async fn an_address_is_refused_however_it_is_written() {
    let origin = TestOrigin::http(|_| async { page("reached") }).await;
    let client = client("public example.com *.test 93.184.216.34");
    let port = origin.port();
    for host in [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "localhost",
        "LOCALHOST.",
        "a.localhost",
    ] {
        check_refused(
            &client,
            &format!("http://{host}:{port}/"),
            &ErrorCode::HttpRequestDenied,
        )
        .await;
    }
    // What some resolvers take for 127.0.0.1 is no host at all.
    for host in [
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "127.0.0.01",
        "127.0.0.1.",
    ] {
        check_refused(
            &client,
            &format!("http://{host}:{port}/"),
            &ErrorCode::HttpRequestUriInvalid,
        )
        .await;
    }
    assert_eq!(origin.accepted(), 0);
}

/// Answers 127.0.0.1 the first time, and 127.0.0.2 from then on.
#[derive(Default)]
struct Rebinding(AtomicUsize);

impl Resolve for Rebinding {
    fn resolve(&self, _: &str) -> BoxFuture<Result<Vec<IpAddr>, LookupError>> {
        let last = if self.0.fetch_add(1, Ordering::SeqCst) == 0 {
            1
        } else {
            2
        };
        Box::pin(async move { Ok(vec![IpAddr::from([127, 0, 0, last])]) })
    }
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_the_second_time() {
    let origin = TestOrigin::raw(|mut stream, _| async move {
        let (_, _) = origin::read_head(&mut stream).await;
        let _ =
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
                .await;
    })
    .await;
    let port = origin.port();
    let inside = tokio::net::TcpListener::bind(("127.0.0.2", port)).await.unwrap();
    let patterns = format!("rebinding.test 127.0.0.1:{port}");
    let url = format!("http://rebinding.test:{port}/");
    // Checked and connected to is one answer: there is no second question between the two.
    let client = client_of(&patterns, Rebinding::default());
    assert_eq!(send(&client, get(&url)).await.unwrap().status(), 204);
    check_refused(&client, &url, &ErrorCode::DestinationIpProhibited).await;
    // What is kept is asked for again when it is old; then as above.
    let kept = Arc::new(CachedResolver::new(Arc::new(Rebinding::default())));
    let mut options = options(&patterns);
    options.resolver = kept.clone();
    let client = HttpClientCapability::new(options).unwrap();
    for _ in 0..3 {
        assert_eq!(send(&client, get(&url)).await.unwrap().status(), 204);
    }
    kept.forget("rebinding.test");
    check_refused(&client, &url, &ErrorCode::DestinationIpProhibited).await;
    let reached = tokio::time::timeout(Duration::from_millis(100), inside.accept()).await;
    assert!(reached.is_err(), "nobody came to 127.0.0.2");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_a_way() {
    let inside = TestOrigin::http(|_| async { page("secret") }).await;
    let location = format!("http://{}/latest/meta-data", inside.address);
    let to = location.clone();
    let origin = TestOrigin::http(move |_| {
        let to = to.clone();
        async move {
            let mut answer = page("");
            *answer.status_mut() = http::StatusCode::FOUND;
            answer.headers_mut().insert("location", to.parse().unwrap());
            answer
        }
    })
    .await;
    let client = client(&format!("origin.test 127.0.0.1:{}", origin.port()));
    let answer = send(&client, get(&format!("http://origin.test:{}/", origin.port())))
        .await
        .unwrap();
    assert_eq!(answer.status(), 302);
    // A guest that goes there asks for it, and is told no.
    assert_eq!(answer.headers()["location"], *location);
    check_refused(&client, &location, &ErrorCode::HttpRequestDenied).await;
    assert_eq!(inside.accepted(), 0);
}

#[tokio::test]
async fn a_connection_serves_its_own_origin_alone() {
    let origin = TestOrigin::http(|request| async move {
        assert_eq!(
            request.headers()["host"].to_str().unwrap().split(':').next(),
            Some("a.test")
        );
        page("hello")
    })
    .await;
    let port = origin.port();
    let client = client(&format!("a.test:{port} 127.0.0.1:{port}"));
    let mut request = get(&format!("http://a.test:{port}/"));
    // The authority decides, whatever a field says.
    request.headers_mut().insert("host", "b.test".parse().unwrap());
    assert_eq!(text(send(&client, request).await.unwrap()).await, "hello");
    check_refused(
        &client,
        &format!("http://b.test:{port}/"),
        &ErrorCode::HttpRequestDenied,
    )
    .await;
}
