//! Which connections are opened, kept, used again and closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::AsyncWriteExt as _;
use tokio::sync::{Barrier, mpsc, oneshot};

use super::origin::{acceptor, read_head, read_to_end};
use super::*;

/// How many origins the pool knows, and how many connections are open.
pub(super) fn counts(client: &HttpClientCapability) -> (usize, usize) {
    client.client.0.pool.counts()
}

/// Waits until every open connection idles.
pub(super) async fn rested(client: &HttpClientCapability) {
    let pool = &client.client.0.pool;
    eventually("connections rest", || pool.idle() == pool.counts().1).await;
}

#[tokio::test]
async fn a_connection_is_used_again() {
    for protocols in [["http/1.1"], ["h2"]] {
        let origin = TestOrigin::https(&protocols, |_| async { page("hello") }).await;
        let client = client("*");
        for _ in 0..10 {
            assert_eq!(
                text(
                    send(&client, get(&format!("https://{}/", origin.address)))
                        .await
                        .unwrap()
                )
                .await,
                "hello"
            );
            rested(&client).await;
        }
        assert_eq!(origin.accepted(), 1);
        // Another name is another origin, whatever it leads to.
        send(&client, get(&format!("https://origin.test:{}/", origin.port())))
            .await
            .unwrap();
        assert_eq!((origin.accepted(), counts(&client)), (2, (2, 2)));
    }
}

#[tokio::test]
async fn only_so_many_idle_for_long() {
    let barrier = Arc::new(Barrier::new(5));
    let origin = TestOrigin::http(move |_| {
        let barrier = barrier.clone();
        async move {
            barrier.wait().await;
            page("hello")
        }
    })
    .await;
    let mut options = options("*");
    options.idle_per_origin_max = 2;
    // Long enough for a busy machine to begin the second burst in.
    options.surplus_idle_timeout = Duration::from_secs(3);
    let client = HttpClientCapability::new(options).unwrap();
    let url = format!("http://{}/", origin.address);
    // The second burst finds the connections of the first.
    for _ in 0..2 {
        let sending = (0..5).map(|_| async { text(send(&client, get(&url)).await.unwrap()).await });
        futures_util::future::join_all(sending).await;
        rested(&client).await;
        assert_eq!(origin.accepted(), 5);
    }
    eventually("three connections close", || counts(&client) == (1, 2)).await;
    rested(&client).await;
}

#[tokio::test]
async fn idle_connections_end_after_a_while() {
    for protocols in [["http/1.1"], ["h2"]] {
        let origin = TestOrigin::https(&protocols, |_| async { page("hello") }).await;
        let mut options = options("*");
        options.idle_timeout = Duration::from_millis(200);
        let client = HttpClientCapability::new(options).unwrap();
        for _ in 0..2 {
            send(&client, get(&format!("https://{}/", origin.address)))
                .await
                .unwrap();
        }
        eventually("idle connections end", || counts(&client) == (0, 0)).await;
    }
}

#[tokio::test]
async fn a_connection_in_use_is_not_idle() {
    for protocols in [["http/1.1"], ["h2"]] {
        let origin = TestOrigin::https(&protocols, |_| async {
            tokio::time::sleep(Duration::from_millis(700)).await;
            page("late")
        })
        .await;
        let mut options = options("*");
        options.idle_timeout = Duration::from_millis(100);
        let client = HttpClientCapability::new(options).unwrap();
        assert_eq!(
            text(
                send(&client, get(&format!("https://{}/", origin.address)))
                    .await
                    .unwrap()
            )
            .await,
            "late"
        );
        eventually("idle connections end", || counts(&client) == (0, 0)).await;
    }
}

#[tokio::test]
async fn connections_end_with_the_client() {
    for secure in [None, Some("http/1.1"), Some("h2")] {
        let (closed, mut closes) = mpsc::channel(1);
        let acceptor = acceptor(secure.as_slice());
        let origin = TestOrigin::raw(move |stream, _| {
            let (closed, acceptor) = (closed.clone(), acceptor.clone());
            async move {
                let answer = hyper::service::service_fn(|_| async { Ok::<_, Infallible>(page("hello")) });
                let server = hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new());
                if secure.is_some() {
                    let stream = hyper_util::rt::TokioIo::new(acceptor.accept(stream).await.unwrap());
                    let _ = server.serve_connection(stream, answer).await;
                } else {
                    let _ = server
                        .serve_connection(hyper_util::rt::TokioIo::new(stream), answer)
                        .await;
                }
                closed.send(()).await.unwrap();
            }
        })
        .await;
        let client = client("*");
        let scheme = if secure.is_some() { "https" } else { "http" };
        assert_eq!(
            text(
                send(&client, get(&format!("{scheme}://{}/", origin.address)))
                    .await
                    .unwrap()
            )
            .await,
            "hello"
        );
        rested(&client).await;
        drop(client);
        soon(closes.recv()).await.unwrap();
    }
}

#[tokio::test]
async fn a_connection_that_the_origin_closed_is_replaced() {
    // Each connection serves one request and says nothing about closing.
    let (closed, mut closes) = mpsc::channel(1);
    let origin = TestOrigin::raw(move |mut stream, _| {
        let closed = closed.clone();
        async move {
            read_head(&mut stream).await;
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")
                .await
                .unwrap();
            stream.shutdown().await.unwrap();
            drop(stream);
            closed.send(()).await.unwrap();
        }
    })
    .await;
    let client = client("*");
    for _ in 0..50 {
        assert_eq!(
            text(
                send(&client, get(&format!("http://{}/", origin.address)))
                    .await
                    .unwrap()
            )
            .await,
            "hello"
        );
        soon(closes.recv()).await.unwrap();
    }
    assert_eq!(origin.accepted(), 50);
    eventually("all connections end", || counts(&client) == (0, 0)).await;
}

#[tokio::test]
async fn a_request_that_was_sent_is_not_sent_again() {
    let origin = TestOrigin::raw(|mut stream, _| async move {
        read_head(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")
            .await
            .unwrap();
        read_head(&mut stream).await;
    })
    .await;
    let client = client("*");
    let url = format!("http://{}/", origin.address);
    assert_eq!(text(send(&client, get(&url)).await.unwrap()).await, "hello");
    rested(&client).await;
    let answer = send(&client, get(&url)).await;
    check_code(answer.err().as_ref(), &ErrorCode::ConnectionTerminated);
    assert_eq!(origin.accepted(), 1);
}

#[tokio::test]
async fn requests_at_once_share_a_connection_of_http2() {
    let barrier = Arc::new(Barrier::new(50));
    let origin = TestOrigin::https(&["h2", "http/1.1"], move |_| {
        let barrier = barrier.clone();
        async move {
            barrier.wait().await;
            page("hello")
        }
    })
    .await;
    let client = client("*");
    let url = format!("https://origin.test:{}/", origin.port());
    let sending = (0..50).map(|_| async { text(send(&client, get(&url)).await.unwrap()).await });
    assert!(
        futures_util::future::join_all(sending)
            .await
            .iter()
            .all(|text| text == "hello")
    );
    assert_eq!(origin.accepted(), 1);
}

#[tokio::test]
async fn more_requests_than_streams_get_another_connection() {
    let barrier = Arc::new(Barrier::new(100));
    let origin = TestOrigin::https(&["h2"], move |_| {
        let barrier = barrier.clone();
        async move {
            barrier.wait().await;
            page("hello")
        }
    })
    .await;
    let client = client("*");
    let url = format!("https://origin.test:{}/", origin.port());
    let sending = (0..100).map(|_| async { text(send(&client, get(&url)).await.unwrap()).await });
    futures_util::future::join_all(sending).await;
    assert_eq!(origin.accepted(), 2);
}

#[tokio::test]
async fn requests_at_once_get_a_connection_of_http1_each() {
    for scheme in ["http", "https"] {
        let barrier = Arc::new(Barrier::new(20));
        let answer = move |_| {
            let barrier = barrier.clone();
            async move {
                barrier.wait().await;
                page("hello")
            }
        };
        let origin = match scheme {
            "http" => TestOrigin::http(answer).await,
            _ => TestOrigin::https(&["http/1.1"], answer).await,
        };
        let client = client("*");
        let url = format!("{scheme}://origin.test:{}/", origin.port());
        let sending = (0..20).map(|_| async { text(send(&client, get(&url)).await.unwrap()).await });
        futures_util::future::join_all(sending).await;
        assert_eq!(origin.accepted(), 20);
    }
}

#[tokio::test]
async fn those_who_wait_for_an_opening_that_fails_try_themselves() {
    let fail = Arc::new(AtomicBool::new(true));
    let acceptor = acceptor(&["h2"]);
    let origin = TestOrigin::raw(move |stream, number| {
        let (fail, acceptor) = (fail.clone(), acceptor.clone());
        async move {
            if number == 0 && fail.swap(false, Ordering::SeqCst) {
                return;
            }
            let answer = hyper::service::service_fn(|_| async { Ok::<_, Infallible>(page("hello")) });
            let stream = hyper_util::rt::TokioIo::new(acceptor.accept(stream).await.unwrap());
            let server = hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new());
            let _ = server.serve_connection(stream, answer).await;
        }
    })
    .await;
    let client = client("*");
    let url = format!("https://origin.test:{}/", origin.port());
    let sending = (0..10).map(|_| send(&client, get(&url)));
    let answers = futures_util::future::join_all(sending).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 9);
    assert_eq!(origin.accepted(), 2);
}

#[tokio::test]
async fn a_request_that_http2_refused_is_sent_again() {
    // The first connection refuses the stream or leaves, as an origin does that restarts.
    for leaves in [false, true] {
        let acceptor = acceptor(&["h2"]);
        let origin = TestOrigin::raw(move |stream, number| {
            let acceptor = acceptor.clone();
            async move {
                let mut connection = h2::server::handshake(acceptor.accept(stream).await.unwrap())
                    .await
                    .unwrap();
                if number == 0 && leaves {
                    connection.graceful_shutdown();
                }
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    if number == 0 {
                        respond.send_reset(h2::Reason::REFUSED_STREAM);
                    } else {
                        respond.send_response(Response::new(()), true).unwrap();
                    }
                }
            }
        })
        .await;
        let client = client("*");
        let url = format!("https://origin.test:{}/", origin.port());
        assert_eq!(send(&client, get(&url)).await.unwrap().status(), 200);
        assert_eq!(origin.accepted(), 2);
    }
}

#[tokio::test]
async fn a_request_that_is_always_refused_fails_in_the_end() {
    let acceptor = acceptor(&["h2"]);
    let origin = TestOrigin::raw(move |stream, _| {
        let acceptor = acceptor.clone();
        async move {
            let mut connection = h2::server::handshake(acceptor.accept(stream).await.unwrap())
                .await
                .unwrap();
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                respond.send_reset(h2::Reason::REFUSED_STREAM);
            }
        }
    })
    .await;
    let client = client("*");
    let answer = send(&client, get(&format!("https://origin.test:{}/", origin.port()))).await;
    check_code(answer.err().as_ref(), &ErrorCode::ConnectionTerminated);
    assert_eq!(origin.accepted(), 3);
}

#[tokio::test]
async fn idle_connections_make_room_for_new_ones() {
    let origins = [
        TestOrigin::http(|_| async { page("a") }).await,
        TestOrigin::http(|_| async { page("b") }).await,
    ];
    let mut options = options("*");
    options.connections_max = 1;
    let client = HttpClientCapability::new(options).unwrap();
    for origin in origins.iter().cycle().take(6) {
        text(
            send(&client, get(&format!("http://{}/", origin.address)))
                .await
                .unwrap(),
        )
        .await;
    }
    assert_eq!((origins[0].accepted(), origins[1].accepted()), (3, 3));
}

#[tokio::test]
async fn connections_in_use_do_not() {
    let (go, gone) = oneshot::channel::<()>();
    let gone = Arc::new(std::sync::Mutex::new(Some(gone)));
    let busy = TestOrigin::http(move |_| {
        let gone = gone.lock().unwrap().take();
        async move {
            if let Some(gone) = gone {
                let _ = gone.await;
            }
            page("busy")
        }
    })
    .await;
    let other = TestOrigin::http(|_| async { page("other") }).await;
    let mut options = options("*");
    options.connections_max = 1;
    let client = HttpClientCapability::new(options).unwrap();
    let first = client
        .client()
        .send(get(&format!("http://{}/", busy.address)), RequestOptions::default());
    let first = tokio::spawn(first);
    eventually("the first connects", || busy.accepted() == 1).await;
    let brief = RequestOptions {
        connect_timeout: Some(Duration::from_millis(200)),
        ..RequestOptions::default()
    };
    let url = format!("http://{}/", other.address);
    let answer = soon(client.client().send(get(&url), brief)).await;
    check_code(answer.err().as_ref(), &ErrorCode::ConnectionLimitReached);
    go.send(()).unwrap();
    assert_eq!(text(soon(first).await.unwrap().unwrap()).await, "busy");
    assert_eq!(text(send(&client, get(&url)).await.unwrap()).await, "other");
}

#[tokio::test]
async fn an_address_that_refuses_passes_its_turn_on() {
    // `dual.test` has ::1 first, where nobody listens.
    let origin = TestOrigin::http(|_| async { page("hello") }).await;
    let client = client("*");
    let response = send(&client, get(&format!("http://dual.test:{}/", origin.port())))
        .await
        .unwrap();
    assert_eq!(text(response).await, "hello");
}

#[tokio::test]
async fn a_connection_whose_request_is_cut_off_is_not_kept() {
    let origin = TestOrigin::raw(|mut stream, _| async move {
        read_head(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n")
            .await
            .unwrap();
        read_to_end(&mut stream).await;
    })
    .await;
    let client = client("*");
    let (sender, body) = pieces(1);
    let response = send(&client, post(&format!("http://{}/", origin.address), body))
        .await
        .unwrap();
    assert_eq!(response.status(), 413);
    // The guest breaks its body off, so the connection cannot carry another request.
    sender.send(Err(ErrorCode::InternalError(None))).await.unwrap();
    eventually("the connection ends", || counts(&client) == (0, 0)).await;
}
