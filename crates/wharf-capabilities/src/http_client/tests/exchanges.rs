//! Requests and responses as they go over the wire.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http::{HeaderMap, Uri};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::oneshot;

use super::origin::{read_head, read_to_end};
use super::*;

/// A request to `http://origin.test:1`; the port is replaced once it is known.
fn request(method: &str, path: &'static str, fields: &[(&'static str, &'static str)], body: Body) -> Request<Body> {
    let uri = match path {
        "" => Uri::try_from("http://origin.test:1").map_err(http::Error::from),
        path => Uri::builder()
            .scheme("http")
            .authority("origin.test:1")
            .path_and_query(path)
            .build(),
    };
    let mut request = Request::builder().method(method).uri(uri.unwrap());
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(body).unwrap()
}

/// Sends `request` over HTTP/1.1 and compares what arrives, which ends with `expected`'s end.
async fn check_wire(request: Request<Body>, expected: &str) {
    let expected = expected.replace('\n', "\r\n");
    let end = expected[expected.len() - 5..].to_owned();
    let (seen, sees) = oneshot::channel();
    let seen = Arc::new(Mutex::new(Some(seen)));
    let origin = TestOrigin::raw(move |mut stream, _| {
        let (seen, end) = (seen.lock().unwrap().take(), end.clone());
        async move {
            let mut bytes = Vec::new();
            while !bytes.ends_with(end.as_bytes()) && stream.read_buf(&mut bytes).await.unwrap() > 0 {}
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
            seen.unwrap().send(String::from_utf8(bytes).unwrap()).unwrap();
            read_to_end(&mut stream).await;
        }
    })
    .await;
    let client = client("*");
    let (mut head, body) = request.into_parts();
    let mut uri = head.uri.into_parts();
    uri.authority = Some(format!("origin.test:{}", origin.port()).parse().unwrap());
    head.uri = uri.try_into().unwrap();
    let response = send(&client, Request::from_parts(head, body)).await.unwrap();
    assert_eq!(response.status(), 204);
    let seen = soon(sees).await.unwrap().replace(&format!(":{}", origin.port()), ":1");
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn heads_are_those_of_http1() {
    let hop = "te: trailers\nconnection: te\n";
    check_wire(
        request("GET", "", &[], empty()),
        &format!("GET / HTTP/1.1\nhost: origin.test:1\n{hop}\n"),
    )
    .await;
    let fields = [
        ("x-a", "1"),
        ("host", "evil.test"),
        ("connection", "x-hop, close"),
        ("x-hop", "2"),
        ("upgrade", "h2c"),
    ];
    check_wire(
        request("GET", "/a%20b?c=d", &fields, empty()),
        &format!("GET /a%20b?c=d HTTP/1.1\nx-a: 1\nhost: origin.test:1\n{hop}\n"),
    )
    .await;
    let fields = [("te", "gzip"), ("transfer-encoding", "gzip"), ("keep-alive", "1")];
    check_wire(
        request("OPTIONS", "*", &fields, empty()),
        &format!("OPTIONS * HTTP/1.1\nhost: origin.test:1\n{hop}\n"),
    )
    .await;
}

#[tokio::test]
async fn bodies_are_framed_so_that_their_end_is_known() {
    let head = |method: &str| format!("{method} / HTTP/1.1\nhost: origin.test:1\nte: trailers\nconnection: te\n");
    check_wire(
        request("POST", "/", &[], empty()),
        &format!("{}content-length: 0\n\n", head("POST")),
    )
    .await;
    check_wire(request("DELETE", "/", &[], empty()), &format!("{}\n", head("DELETE"))).await;
    check_wire(
        request("PUT", "/", &[], full("hello")),
        &format!("{}content-length: 5\n\nhello", head("PUT")),
    )
    .await;
    check_wire(
        request("GET", "/", &[], full("hello")),
        &format!("{}content-length: 5\n\nhello", head("GET")),
    )
    .await;
    let streamed = || {
        let (sender, body) = pieces(8);
        for piece in [data("hel"), data("lo")] {
            sender.try_send(piece).unwrap();
        }
        (sender, body)
    };
    for method in ["POST", "GET"] {
        let (_, body) = streamed();
        let chunks = "transfer-encoding: chunked\n\n3\nhel\n2\nlo\n0\n\n";
        check_wire(request(method, "/", &[], body), &format!("{}{chunks}", head(method))).await;
    }
    let (_, body) = streamed();
    let announced = "POST / HTTP/1.1\ncontent-length: 5\nhost: origin.test:1\nte: trailers\nconnection: te\n\nhello";
    check_wire(request("POST", "/", &[("content-length", "5")], body), announced).await;
}

#[tokio::test]
async fn announced_trailers_are_sent_over_http1() {
    let expected = "POST / HTTP/1.1\ntrailer: x-sum\nhost: origin.test:1\nte: trailers\nconnection: te\n\
                    transfer-encoding: chunked\n\n5\nhello\n0\nx-sum: 7\n\n";
    let (sender, body) = pieces(8);
    sender.try_send(data("hello")).unwrap();
    sender.try_send(trailers("x-sum", "7")).unwrap();
    drop(sender);
    check_wire(request("POST", "/", &[("trailer", "x-sum")], body), expected).await;
    // Those that were not announced have no place; the body still ends.
    let expected = "POST / HTTP/1.1\nhost: origin.test:1\nte: trailers\nconnection: te\n\
                    transfer-encoding: chunked\n\n5\nhello\n0\n\n";
    let (sender, body) = pieces(8);
    sender.try_send(data("hello")).unwrap();
    sender.try_send(trailers("x-sum", "7")).unwrap();
    drop(sender);
    check_wire(request("POST", "/", &[], body), expected).await;
}

/// An origin that answers with the bytes of `answer` and then closes.
async fn scripted(answer: &'static str) -> TestOrigin {
    TestOrigin::raw(move |mut stream, _| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(answer.as_bytes()).await;
    })
    .await
}

#[tokio::test]
async fn responses_arrive_with_their_trailers_and_without_what_concerned_the_connection() {
    let origin = scripted(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n\
         HTTP/1.1 201 Created\r\nx-a: 1\r\nx-hop: 2\r\nconnection: x-hop\r\nkeep-alive: timeout=5\r\ntrailer: x-sum\r\n\
         transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 7\r\n\r\n",
    )
    .await;
    let client = client("*");
    let response = send(&client, get(&format!("http://{}/", origin.address)))
        .await
        .unwrap();
    assert_eq!(response.status(), 201);
    let fields: Vec<_> = response
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    assert_eq!(fields, [("x-a", &b"1"[..]), ("trailer", b"x-sum")]);
    let body = soon(response.into_body().collect()).await.unwrap();
    assert_eq!(body.trailers().unwrap()["x-sum"], "7");
    assert_eq!(body.to_bytes(), "hello");
}

#[tokio::test]
async fn a_body_may_end_with_the_connection() {
    let origin = scripted("HTTP/1.1 200 OK\r\n\r\nhello").await;
    let client = client("*");
    let response = send(&client, get(&format!("http://{}/", origin.address)))
        .await
        .unwrap();
    assert_eq!(text(response).await, "hello");
}

#[tokio::test]
async fn a_response_to_head_has_no_body_and_frees_its_connection() {
    let origin = TestOrigin::http(|request| async move {
        assert_eq!(request.method(), "HEAD");
        page("hello")
    })
    .await;
    let client = client("*");
    for _ in 0..3 {
        let request = Request::head(format!("http://{}/", origin.address))
            .body(empty())
            .unwrap();
        let response = send(&client, request).await.unwrap();
        assert_eq!(response.headers()["content-length"], "5");
        assert!(http_body::Body::is_end_stream(response.body()));
        connections::rested(&client).await;
    }
    assert_eq!(origin.accepted(), 1);
}

/// Answers with what it was asked, piece by piece.
async fn echo(request: Request<hyper::body::Incoming>) -> Response<Page> {
    let authority = request.uri().authority().map(|authority| authority.to_string());
    let version = format!("{:?}", request.version());
    let fields = request.headers().clone();
    let mut response = Response::new(BodyExt::boxed_unsync(request.into_body()));
    response.headers_mut().insert("x-version", version.parse().unwrap());
    response
        .headers_mut()
        .insert("x-authority", authority.unwrap_or_default().parse().unwrap());
    response.headers_mut().insert("trailer", "x-sum".parse().unwrap());
    if let Some(te) = fields.get("te") {
        response.headers_mut().insert("x-te", te.clone());
    }
    assert!(!fields.contains_key("connection") || version != "HTTP/2.0");
    response
}

async fn check_both_ways(origin: &TestOrigin, scheme: &str, version: &str) {
    let client = client("*");
    let (sender, body) = pieces(1);
    let mut request = post(&format!("{scheme}://origin.test:{}/", origin.port()), body);
    request.headers_mut().insert("trailer", "x-sum".parse().unwrap());
    let response = send(&client, request).await.unwrap();
    assert_eq!(response.headers()["x-version"], version);
    assert_eq!(response.headers()["x-te"], "trailers");
    let mut body = response.into_body();
    // Each piece comes back before the next is sent: both directions are open at once.
    for number in ["one", "two", "three"] {
        sender.send(data(number)).await.unwrap();
        let frame = soon(body.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), number);
    }
    sender.send(trailers("x-sum", "7")).await.unwrap();
    drop(sender);
    let frame = soon(body.frame()).await.unwrap().unwrap();
    assert_eq!(frame.into_trailers().unwrap()["x-sum"], "7");
    assert!(soon(body.frame()).await.is_none());
}

#[tokio::test]
async fn both_bodies_stream_at_once() {
    check_both_ways(&TestOrigin::http(echo).await, "http", "HTTP/1.1").await;
    check_both_ways(&TestOrigin::https(&["http/1.1"], echo).await, "https", "HTTP/1.1").await;
    check_both_ways(&TestOrigin::https(&[], echo).await, "https", "HTTP/1.1").await;
    check_both_ways(&TestOrigin::https(&["h2", "http/1.1"], echo).await, "https", "HTTP/2.0").await;
}

#[tokio::test]
async fn an_early_answer_does_not_end_the_request() {
    for protocols in [["http/1.1"], ["h2"]] {
        let (ended, mut ends) = mpsc::channel(1);
        let origin = TestOrigin::https(&protocols, move |request| {
            let ended = ended.clone();
            async move {
                tokio::spawn(async move {
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    ended.send(body).await.unwrap();
                });
                page("early")
            }
        })
        .await;
        let client = client("*");
        let (sender, body) = pieces(1);
        let response = send(&client, post(&format!("https://{}/", origin.address), body))
            .await
            .unwrap();
        assert_eq!(text(response).await, "early");
        for number in ["one", "two"] {
            sender.send(data(number)).await.unwrap();
        }
        drop(sender);
        assert_eq!(soon(ends.recv()).await.unwrap(), "onetwo");
    }
}

#[tokio::test]
async fn an_origin_that_does_not_read_slows_the_request_down() {
    for protocols in [["http/1.1"], ["h2"]] {
        let origin = TestOrigin::https(&protocols, |request| async move {
            // Kept unread for as long as the connection stands.
            let _unread = request.into_body();
            std::future::pending().await
        })
        .await;
        let client = client("*");
        let pulled = Arc::new(AtomicUsize::new(0));
        let counter = pulled.clone();
        let endless = futures_util::stream::repeat_with(move || {
            counter.fetch_add(1, Ordering::SeqCst);
            Ok(Frame::data(Bytes::from_static(&[0; 1 << 16])))
        });
        let request = post(
            &format!("https://{}/", origin.address),
            BodyExt::boxed_unsync(StreamBody::new(endless)),
        );
        let sending = tokio::spawn(client.client().send(request, RequestOptions::default()));
        // It stops growing, far below what flows in the same time when the origin reads.
        let mut last = usize::MAX;
        while last != pulled.load(Ordering::SeqCst) || last == 0 {
            last = pulled.load(Ordering::SeqCst);
            assert!(last < 512, "{last} pieces of 64 KiB are buffered");
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        sending.abort();
    }
}

#[tokio::test]
async fn a_guest_that_does_not_read_slows_the_response_down() {
    for protocols in [["http/1.1"], ["h2"]] {
        let pulled = Arc::new(AtomicUsize::new(0));
        let counter = pulled.clone();
        let origin = TestOrigin::https(&protocols, move |_| {
            let counter = counter.clone();
            async move {
                let endless = futures_util::stream::repeat_with(move || {
                    counter.fetch_add(1, Ordering::SeqCst);
                    Ok(Frame::data(Bytes::from_static(&[0; 1 << 16])))
                });
                Response::new(BodyExt::boxed_unsync(StreamBody::new(endless)))
            }
        })
        .await;
        let client = client("*");
        let response = send(&client, get(&format!("https://{}/", origin.address)))
            .await
            .unwrap();
        let mut last = usize::MAX;
        while last != pulled.load(Ordering::SeqCst) || last == 0 {
            last = pulled.load(Ordering::SeqCst);
            assert!(last < 512, "{last} pieces of 64 KiB are buffered");
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        drop(response);
    }
}

#[tokio::test]
async fn a_guest_that_does_not_read_holds_up_nobody_on_the_same_connection() {
    let origin = TestOrigin::https(&["h2"], |request| async move {
        if request.uri().path() == "/small" {
            return page("small");
        }
        let endless = futures_util::stream::repeat_with(|| Ok(Frame::data(Bytes::from_static(&[0; 1 << 16]))));
        Response::new(BodyExt::boxed_unsync(StreamBody::new(endless)))
    })
    .await;
    let client = client("*");
    let url = format!("https://{}", origin.address);
    let mut unread = Vec::new();
    for _ in 0..30 {
        unread.push(send(&client, get(&format!("{url}/endless"))).await.unwrap());
    }
    // Time for the origin to fill every window.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(
        text(send(&client, get(&format!("{url}/small"))).await.unwrap()).await,
        "small"
    );
    assert_eq!(origin.accepted(), 1);
}

#[tokio::test]
async fn giving_up_closes_the_exchange_over_http1() {
    // Before the response, in its body, and in its body while the request is still being sent.
    for answer in ["", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello"] {
        for body_open in [false, true] {
            let (closed, closes) = oneshot::channel();
            let closed = Arc::new(Mutex::new(Some(closed)));
            let origin = TestOrigin::raw(move |mut stream, _| {
                let closed = closed.lock().unwrap().take();
                async move {
                    read_head(&mut stream).await;
                    stream.write_all(answer.as_bytes()).await.unwrap();
                    read_to_end(&mut stream).await;
                    closed.unwrap().send(()).unwrap();
                }
            })
            .await;
            let client = client("*");
            let (_sender, body) = pieces(1);
            let url = format!("http://{}/", origin.address);
            let request = if body_open { post(&url, body) } else { get(&url) };
            let sending = client.client().send(request, RequestOptions::default());
            if answer.is_empty() {
                let wait = Duration::from_millis(300);
                assert!(tokio::time::timeout(wait, sending).await.is_err());
            } else {
                drop(soon(sending).await.unwrap());
            }
            tokio::time::timeout(Duration::from_secs(10), closes)
                .await
                .expect("closed in time")
                .unwrap();
            eventually("all connections end", || connections::counts(&client) == (0, 0)).await;
        }
    }
}

/// Says so when it is dropped.
struct Bell(Option<oneshot::Sender<()>>);

impl Drop for Bell {
    fn drop(&mut self) {
        let _ = self.0.take().unwrap().send(());
    }
}

#[tokio::test]
async fn giving_up_resets_the_stream_over_http2_and_leaves_the_connection() {
    for answered in [false, true] {
        for body_open in [false, true] {
            let (rung, rings) = oneshot::channel();
            let bell = Arc::new(Mutex::new(Some(Bell(Some(rung)))));
            let origin = TestOrigin::https(&["h2"], move |request| {
                let bell = bell.lock().unwrap().take();
                async move {
                    let Some(bell) = bell else { return page("next") };
                    if !answered {
                        let _bell = bell;
                        let _body = request.into_body();
                        return std::future::pending().await;
                    }
                    let endless = futures_util::stream::once(async move {
                        // The request's body is dropped with the response's.
                        let (_bell, _body) = (bell, request.into_body());
                        std::future::pending().await
                    });
                    Response::new(BodyExt::boxed_unsync(StreamBody::new(endless)))
                }
            })
            .await;
            let client = client("*");
            let (_sender, body) = pieces(1);
            let url = format!("https://{}/", origin.address);
            let request = if body_open { post(&url, body) } else { get(&url) };
            let sending = client.client().send(request, RequestOptions::default());
            if answered {
                drop(soon(sending).await.unwrap());
            } else {
                assert!(tokio::time::timeout(Duration::from_millis(500), sending).await.is_err());
            }
            tokio::time::timeout(Duration::from_secs(10), rings)
                .await
                .expect("reset in time")
                .unwrap();
            assert_eq!(text(send(&client, get(&url)).await.unwrap()).await, "next");
            assert_eq!(origin.accepted(), 1);
        }
    }
}

#[tokio::test]
async fn an_origin_sees_the_name_it_was_asked_by() {
    let client = client("*");
    for (protocols, scheme) in [(vec!["h2"], "https"), (vec!["http/1.1"], "https")] {
        let origin = TestOrigin::https(&protocols, echo).await;
        let authority = format!("origin.test:{}", origin.port());
        let response = send(&client, get(&format!("{scheme}://{authority}/"))).await.unwrap();
        let seen = response.headers()["x-authority"].to_str().unwrap();
        // HTTP/1.1 has it in the Host field alone; see above.
        assert_eq!(seen, if protocols == ["h2"] { authority.as_str() } else { "" });
    }
}

#[test]
fn a_response_passes_fields_that_look_like_ours() {
    let mut fields = HeaderMap::new();
    fields.insert(
        "connection",
        "close, X-Hop ,\u{1}"
            .parse()
            .unwrap_or_else(|_| "close, X-Hop".parse().unwrap()),
    );
    fields.insert("x-hop", "1".parse().unwrap());
    fields.insert("x-hopper", "1".parse().unwrap());
    super::super::exchange::strip_hop_by_hop(&mut fields);
    assert_eq!(
        fields.keys().map(|name| name.as_str()).collect::<Vec<_>>(),
        ["x-hopper"]
    );
}
