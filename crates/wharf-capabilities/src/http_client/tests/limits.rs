//! How many connections there are to an origin, and how many requests wait for one.

use std::collections::BTreeMap;

use tokio::sync::Semaphore;
use wharf_host::Capability as _;

use super::connections::counts;
use super::*;

/// Answers as often as `go` has permits.
async fn gated(secure: bool) -> (TestOrigin, Arc<Semaphore>) {
    let go = Arc::new(Semaphore::new(0));
    let gate = go.clone();
    let answer = move |_| {
        let gate = gate.clone();
        async move {
            gate.acquire().await.unwrap().forget();
            page("hello")
        }
    };
    let origin = match secure {
        false => TestOrigin::http(answer).await,
        true => TestOrigin::https(&["http/1.1"], answer).await,
    };
    (origin, go)
}

fn limited(connections: usize, waiting: usize) -> Arc<HttpClientCapability> {
    let mut options = options("*");
    options.connections_per_origin_max = connections;
    options.waiting_per_origin_max = waiting;
    Arc::new(HttpClientCapability::new(options).unwrap())
}

fn spawn(client: &Arc<HttpClientCapability>, url: &str) -> tokio::task::JoinHandle<Result<String, ErrorCode>> {
    let (client, request) = (client.clone(), get(url));
    tokio::spawn(async move { Ok(text(send(&client, request).await?).await) })
}

fn waiting(client: &HttpClientCapability) -> usize {
    client.client.0.pool.figures().waiting
}

#[tokio::test]
async fn so_many_connections_and_so_many_who_wait() {
    for secure in [false, true] {
        let (origin, go) = gated(secure).await;
        let client = limited(2, 3);
        let scheme = if secure { "https" } else { "http" };
        let url = format!("{scheme}://origin.test:{}/", origin.port());
        let mut sent: Vec<_> = (0..2).map(|_| spawn(&client, &url)).collect();
        eventually("both connect", || origin.accepted() == 2).await;
        sent.extend((0..3).map(|_| spawn(&client, &url)));
        eventually("three wait", || waiting(&client) == 3).await;
        // One more is told at once.
        let answer = send(&client, get(&url)).await;
        check_code(answer.err().as_ref(), &ErrorCode::ConnectionLimitReached);
        // Another origin has places of its own.
        let (other, gone) = gated(false).await;
        gone.add_permits(1);
        let answer = send(&client, get(&format!("http://a.test:{}/", other.port()))).await;
        assert_eq!(text(answer.unwrap()).await, "hello");
        go.add_permits(5);
        for sent in sent {
            assert_eq!(soon(sent).await.unwrap().unwrap(), "hello");
        }
        assert_eq!(origin.accepted(), 2);
        let reached = BTreeMap::from_iter(client.take_reached());
        assert_eq!(reached["http-client-connections"], 0, "there may be more to others");
        assert!(reached["http-client-connections-per-origin"] >= 1, "{reached:?}");
        assert_eq!(reached["http-client-waiting-per-origin"], 1);
        assert_eq!(waiting(&client), 0);
    }
}

#[tokio::test]
async fn who_stops_waiting_gives_its_place_to_the_next() {
    let (origin, go) = gated(false).await;
    let client = limited(1, 1);
    let url = format!("http://{}/", origin.address);
    let first = spawn(&client, &url);
    eventually("the first connects", || origin.accepted() == 1).await;
    for _ in 0..3 {
        let second = spawn(&client, &url);
        eventually("the second waits", || waiting(&client) == 1).await;
        second.abort();
        eventually("it waits no more", || waiting(&client) == 0).await;
    }
    // A connection that is given up in the middle makes room as well.
    let second = spawn(&client, &url);
    eventually("the second waits", || waiting(&client) == 1).await;
    first.abort();
    eventually("the second connects", || origin.accepted() == 2).await;
    go.add_permits(2);
    assert_eq!(soon(second).await.unwrap().unwrap(), "hello");
}

#[tokio::test]
async fn streams_of_http2_are_waited_for() {
    let go = Arc::new(Semaphore::new(0));
    let gate = go.clone();
    let origin = TestOrigin::https(&["h2"], move |_| {
        let gate = gate.clone();
        async move {
            gate.acquire().await.unwrap().forget();
            page("hello")
        }
    })
    .await;
    let client = limited(1, 1000);
    let url = format!("https://origin.test:{}/", origin.port());
    let sent: Vec<_> = (0..200).map(|_| spawn(&client, &url)).collect();
    eventually("all wait that have no stream", || waiting(&client) > 0).await;
    go.add_permits(200);
    for sent in sent {
        assert_eq!(soon(sent).await.unwrap().unwrap(), "hello");
    }
    assert_eq!((origin.accepted(), waiting(&client)), (1, 0));
}

/// Many more than there are connections, again and again: none is forgotten while it waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_waits_forever() {
    let origin = TestOrigin::http(|_| async { page("hello") }).await;
    let client = limited(3, 1000);
    let url = format!("http://{}/", origin.address);
    for _ in 0..20 {
        let sent: Vec<_> = (0..100).map(|_| spawn(&client, &url)).collect();
        for sent in sent {
            assert_eq!(soon(sent).await.unwrap().unwrap(), "hello");
        }
    }
    assert!(counts(&client).1 <= 3);
}
