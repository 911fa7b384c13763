//! The ways to an origin: HTTP/2 in cleartext, certificates of clients, addresses that do not answer, kept lookups.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpSocket;
use tokio::sync::Barrier;

use super::connections::counts;
use super::origin::{acceptor_of_known_clients, identity};
use super::*;
use crate::http_client::Identity;
use crate::resolve::CachedResolver;

#[tokio::test]
async fn http2_in_cleartext_where_it_is_known() {
    let barrier = Arc::new(Barrier::new(20));
    let origin = TestOrigin::http(move |request| {
        let barrier = barrier.clone();
        async move {
            if request.version() == http::Version::HTTP_2 {
                barrier.wait().await;
                return page("2");
            }
            page("1.1")
        }
    })
    .await;
    let mut options = options("*");
    options.http2 = AllowList::parse([format!("http://127.0.0.1:{}", origin.port())]).unwrap();
    let client = HttpClientCapability::new(options).unwrap();
    // All at once, on one connection, from the first byte.
    let url = format!("http://{}/", origin.address);
    let sending = (0..20).map(|_| async { text(send(&client, get(&url)).await.unwrap()).await });
    let versions = futures_util::future::join_all(sending).await;
    assert!(versions.iter().all(|version| version == "2"), "{versions:?}");
    assert_eq!(origin.accepted(), 1);
    // Another name for it is not known to.
    let other = format!("http://origin.test:{}/", origin.port());
    assert_eq!(text(send(&client, get(&other)).await.unwrap()).await, "1.1");
}

#[tokio::test]
async fn a_certificate_is_shown_where_it_is_meant_to_be() {
    let acceptor = acceptor_of_known_clients();
    let origin = TestOrigin::raw(move |stream, _| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                let known = stream
                    .get_ref()
                    .1
                    .peer_certificates()
                    .is_some_and(|chain| chain.len() == 1);
                let answer = move |_| async move { Ok::<_, Infallible>(page(if known { "known" } else { "unknown" })) };
                let server = hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new());
                let stream = hyper_util::rt::TokioIo::new(stream);
                let _ = server
                    .serve_connection(stream, hyper::service::service_fn(answer))
                    .await;
            }
        }
    })
    .await;
    let (chain, key) = identity();
    let mut options = options("*");
    let destinations = AllowList::parse([format!("https://origin.test:{}", origin.port())]).unwrap();
    options.identities = vec![Identity::from_pem(destinations, chain.as_bytes(), key.as_bytes()).unwrap()];
    let client = HttpClientCapability::new(options).unwrap();
    let url = format!("https://origin.test:{}/", origin.port());
    assert_eq!(text(send(&client, get(&url)).await.unwrap()).await, "known");
    // The same server under a name that the certificate is not for.
    let other = send(&client, get(&format!("https://{}/", origin.address))).await;
    assert!(
        matches!(other, Err(ErrorCode::TlsAlertReceived(_))),
        "{:?}",
        other.map(drop)
    );
}

#[test]
fn certificates_that_cannot_be_shown() {
    let (chain, key) = identity();
    let destinations = || AllowList::parse(["*"]).unwrap();
    for (chain, key, expected) in [
        ("", key, "it holds no certificate"),
        (chain, "", "no private key"),
        (chain, chain, "no private key"),
        (key, key, "it holds no certificate"),
    ] {
        let error = Identity::from_pem(destinations(), chain.as_bytes(), key.as_bytes()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    // One that belongs to another certificate.
    let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let mut options = options("*");
    options.identities = vec![Identity::from_pem(destinations(), chain.as_bytes(), other.as_bytes()).unwrap()];
    let error = HttpClientCapability::new(options).err().unwrap();
    assert!(
        error.to_string().contains("client certificate cannot be used"),
        "{error}"
    );
}

/// Two addresses, of which the first takes no connection and does not refuse one either.
#[tokio::test]
async fn an_address_that_does_not_answer_has_a_head_start_and_no_more() {
    let origin = TestOrigin::http(|_| async { page("hello") }).await;
    let full = TcpSocket::new_v4().unwrap();
    let addr = std::net::SocketAddr::from(([127, 0, 0, 2], origin.port()));
    full.bind(addr).unwrap();
    let _full = full.listen(1).unwrap();
    let mut queue = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(300), tokio::net::TcpStream::connect(addr)).await
    {
        queue.push(stream);
    }
    struct Silent;
    impl Resolve for Silent {
        fn resolve(&self, _: &str) -> BoxFuture<Result<Vec<IpAddr>, LookupError>> {
            let addresses = ["127.0.0.2", "127.0.0.1"].map(|address| address.parse().unwrap());
            Box::pin(async move { Ok(addresses.to_vec()) })
        }
    }
    let mut options = options("*");
    options.resolver = Arc::new(Silent);
    let client = HttpClientCapability::new(options).unwrap();
    let response = send(&client, get(&format!("http://a.test:{}/", origin.port()))).await;
    assert_eq!(text(response.unwrap()).await, "hello");
}

/// Answers `127.0.0.1`, and counts.
#[derive(Default)]
struct Counting(AtomicUsize);

impl Resolve for Counting {
    fn resolve(&self, _: &str) -> BoxFuture<Result<Vec<IpAddr>, LookupError>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Ok(vec![IpAddr::from([127, 0, 0, 1])]) })
    }
}

#[tokio::test]
async fn names_are_looked_up_once_in_a_while_and_again_when_nobody_answers_there() {
    let origin = TestOrigin::http(|_| async {
        let mut answer = page("hello");
        answer.headers_mut().insert("connection", "close".parse().unwrap());
        answer
    })
    .await;
    let counting = Arc::new(Counting::default());
    let mut options = options("*");
    options.resolver = Arc::new(CachedResolver::new(counting.clone()));
    let client = HttpClientCapability::new(options).unwrap();
    let url = format!("http://a.test:{}/", origin.port());
    for _ in 0..3 {
        assert_eq!(text(send(&client, get(&url)).await.unwrap()).await, "hello");
        eventually("the connection ends", || counts(&client) == (0, 0)).await;
    }
    assert_eq!((origin.accepted(), counting.0.load(Ordering::SeqCst)), (3, 1));
    let address = origin.address;
    drop(origin);
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    for asked in 1..3 {
        let refused = send(&client, get(&url)).await;
        check_code(refused.err().as_ref(), &ErrorCode::ConnectionRefused);
        assert_eq!(counting.0.load(Ordering::SeqCst), asked);
    }
}
