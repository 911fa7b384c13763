//! What guests are told when a request fails, code by code.

use std::sync::Arc;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use wharf_host::http::{DnsErrorPayload, TlsAlertReceivedPayload};

use super::origin::{acceptor, acceptor_of_known_clients, read_head, read_to_end};
use super::*;

async fn check(client: &HttpClientCapability, request: Request<Body>, expected: ErrorCode) {
    let what = format!("{} {}", request.method(), request.uri());
    let answer = send(client, request).await;
    assert!(answer.is_err(), "{what} was answered");
    check_code(answer.err().as_ref(), &expected);
}

#[tokio::test]
async fn what_no_pattern_covers_is_denied() {
    let origin = TestOrigin::http(|_| async { page("hello") }).await;
    let (address, port) = (origin.address, origin.port());
    let url = format!("http://{address}/");
    check(&client(""), get(&url), ErrorCode::HttpRequestDenied).await;
    check(&client("origin.test"), get(&url), ErrorCode::HttpRequestDenied).await;
    check(&client("127.0.0.1:1"), get(&url), ErrorCode::HttpRequestDenied).await;
    check(
        &client(&format!("https://{address}")),
        get(&url),
        ErrorCode::HttpRequestDenied,
    )
    .await;
    assert_eq!(
        text(send(&client(&address.to_string()), get(&url)).await.unwrap()).await,
        "hello"
    );
    assert_eq!(
        text(send(&client(&format!("http://{address}")), get(&url)).await.unwrap()).await,
        "hello"
    );
    // A name that leads to loopback, and the same with a grant for where it leads.
    let url = format!("http://rebinding.test:{port}/");
    check(&client("rebinding.test"), get(&url), ErrorCode::DestinationIpProhibited).await;
    check(
        &client("*.test localhost"),
        get(&url),
        ErrorCode::DestinationIpProhibited,
    )
    .await;
    assert_eq!(
        text(send(&client("rebinding.test 127.0.0.1"), get(&url)).await.unwrap()).await,
        "hello"
    );
    assert_eq!(text(send(&client("*"), get(&url)).await.unwrap()).await, "hello");
    // Of two addresses the granted one is used.
    let url = format!("http://half.test:{port}/");
    assert_eq!(
        text(send(&client("half.test 127.0.0.0/8"), get(&url)).await.unwrap()).await,
        "hello"
    );
    assert_eq!(origin.accepted(), 5);
}

#[tokio::test]
async fn requests_that_cannot_be_sent_are_refused() {
    let client = client("*");
    check(&client, get("/path"), ErrorCode::HttpRequestUriInvalid).await;
    check(&client, get("ftp://origin.test/"), ErrorCode::HttpProtocolError).await;
    check(
        &client,
        get("http://user@origin.test/"),
        ErrorCode::HttpRequestUriInvalid,
    )
    .await;
    check(&client, get("http://2130706433/"), ErrorCode::HttpRequestUriInvalid).await;
    let tunnel = Request::connect("http://origin.test/").body(empty()).unwrap();
    check(&client, tunnel, ErrorCode::HttpRequestMethodInvalid).await;
}

#[tokio::test]
async fn names_that_cannot_be_looked_up() {
    let dns_error = |rcode: Option<&str>| {
        ErrorCode::DnsError(DnsErrorPayload {
            rcode: rcode.map(str::to_owned),
            info_code: None,
        })
    };
    check(&client("*"), get("http://unknown.test/"), dns_error(Some("NXDOMAIN"))).await;
    check(&client("*"), get("http://shaky.test/"), dns_error(Some("SERVFAIL"))).await;
    check(&client("*"), get("http://nowhere.test/"), dns_error(None)).await;
    let mut options = options("*");
    options.connect_timeout = Duration::from_millis(50);
    check(
        &HttpClientCapability::new(options).unwrap(),
        get("http://silent.test/"),
        ErrorCode::DnsTimeout,
    )
    .await;
}

#[tokio::test]
async fn origins_that_do_not_accept() {
    // A port that was free a moment ago, and is held by nobody.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refused = listener.local_addr().unwrap();
    drop(listener);
    check(
        &client("*"),
        get(&format!("http://{refused}/")),
        ErrorCode::ConnectionRefused,
    )
    .await;
    let silent = TestOrigin::raw(|mut stream, _| async move { drop(read_to_end(&mut stream).await) }).await;
    let mut impatient = options("*");
    impatient.connect_timeout = Duration::from_millis(100);
    let impatient = HttpClientCapability::new(impatient).unwrap();
    check(
        &impatient,
        get(&format!("https://{}/", silent.address)),
        ErrorCode::ConnectionTimeout,
    )
    .await;
}

#[tokio::test]
async fn guests_set_timeouts_for_each_step() {
    let silent = TestOrigin::raw(|mut stream, _| async move { drop(read_to_end(&mut stream).await) }).await;
    let slow = TestOrigin::raw(|mut stream, _| async move {
        read_head(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello")
            .await
            .unwrap();
        read_to_end(&mut stream).await;
    })
    .await;
    let client = client("*");
    let brief = Some(Duration::from_millis(100));
    let options = RequestOptions {
        connect_timeout: brief,
        ..RequestOptions::default()
    };
    let answer = soon(
        client
            .client()
            .send(get(&format!("https://{}/", silent.address)), options),
    )
    .await;
    check_code(answer.err().as_ref(), &ErrorCode::ConnectionTimeout);
    let options = RequestOptions {
        first_byte_timeout: brief,
        ..RequestOptions::default()
    };
    let answer = soon(
        client
            .client()
            .send(get(&format!("http://{}/", silent.address)), options),
    )
    .await;
    check_code(answer.err().as_ref(), &ErrorCode::ConnectionReadTimeout);
    let options = RequestOptions {
        between_bytes_timeout: brief,
        ..RequestOptions::default()
    };
    let answer = soon(client.client().send(get(&format!("http://{}/", slow.address)), options)).await;
    let mut body = answer.unwrap().into_body();
    // Time in which the guest does not wait for the body does not count.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(soon(body.frame()).await.unwrap().unwrap().into_data().unwrap(), "hello");
    let error = soon(body.frame()).await.unwrap().err();
    check_code(error.as_ref(), &ErrorCode::ConnectionReadTimeout);
    assert!(soon(body.frame()).await.is_none());
    eventually("all connections end", || connections::counts(&client) == (0, 0)).await;
}

#[tokio::test]
async fn a_timeout_of_centuries_is_no_error() {
    let origin = TestOrigin::http(|_| async { page("hello") }).await;
    let ages = Some(Duration::from_nanos(u64::MAX));
    let options = RequestOptions {
        connect_timeout: ages,
        first_byte_timeout: ages,
        between_bytes_timeout: ages,
    };
    let client = client("*");
    let response = soon(
        client
            .client()
            .send(get(&format!("http://{}/", origin.address)), options),
    )
    .await
    .unwrap();
    assert_eq!(text(response).await, "hello");
}

#[tokio::test]
async fn a_long_upload_does_not_use_up_the_default_wait_for_an_answer() {
    let origin = TestOrigin::http(|request| async move {
        request.into_body().collect().await.unwrap();
        page("done")
    })
    .await;
    let mut options = options("*");
    options.first_byte_timeout = Duration::from_millis(1000);
    let client = HttpClientCapability::new(options).unwrap();
    let (sender, body) = pieces(1);
    let sending = client.client().send(
        post(&format!("http://{}/", origin.address), body),
        RequestOptions::default(),
    );
    let sending = tokio::spawn(sending);
    for _ in 0..15 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        sender.send(data("piece")).await.unwrap();
    }
    drop(sender);
    assert_eq!(text(soon(sending).await.unwrap().unwrap()).await, "done");
}

/// What a guest is told by an origin that sends `answer` and closes; first by the head, then by the body.
async fn check_answer(answer: &'static [u8], expected: ErrorCode) {
    let origin = TestOrigin::raw(move |mut stream, _| async move {
        read_head(&mut stream).await;
        stream.write_all(answer).await.unwrap();
    })
    .await;
    let client = client("*");
    let outcome = match send(&client, get(&format!("http://{}/", origin.address))).await {
        Ok(response) => soon(response.into_body().collect()).await.map(|_| ()),
        Err(error) => Err(error),
    };
    check_code(outcome.err().as_ref(), &expected);
}

#[tokio::test]
async fn answers_that_are_none() {
    check_answer(b"", ErrorCode::ConnectionTerminated).await;
    check_answer(b"HTTP/1.1 200 OK\r\ncontent-", ErrorCode::HttpResponseIncomplete).await;
    check_answer(
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello",
        ErrorCode::HttpResponseIncomplete,
    )
    .await;
    check_answer(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel",
        ErrorCode::HttpResponseIncomplete,
    )
    .await;
    check_answer(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", ErrorCode::HttpProtocolError).await;
    check_answer(
        b"HTTP/1.1 200 OK\r\ncontent-length: ten\r\n\r\n",
        ErrorCode::HttpProtocolError,
    )
    .await;
    check_answer(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfive\r\n",
        ErrorCode::HttpResponseTransferCoding(None),
    )
    .await;
    check_answer(
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        ErrorCode::HttpUpgradeFailed,
    )
    .await;
    let large = format!("HTTP/1.1 200 OK\r\nx-large: {}\r\n\r\n", "a".repeat(70_000));
    check_answer(large.leak().as_bytes(), ErrorCode::HttpResponseHeaderSectionSize(None)).await;
}

#[tokio::test]
async fn bodies_of_another_length_than_announced() {
    async fn check_length(declared: &str, sent: &[&'static str], expected: Option<u64>) {
        for protocols in [["http/1.1"], ["h2"]] {
            let origin = TestOrigin::https(&protocols, |request| async move {
                match request.into_body().collect().await {
                    Ok(_) => page("got it"),
                    Err(_) => page("broken"),
                }
            })
            .await;
            let client = client("*");
            let (sender, body) = pieces(8);
            sent.iter().for_each(|piece| sender.try_send(data(piece)).unwrap());
            drop(sender);
            let mut request = post(&format!("https://{}/", origin.address), body);
            request
                .headers_mut()
                .insert("content-length", declared.parse().unwrap());
            let answer = send(&client, request).await;
            match expected {
                None => assert_eq!(text(answer.unwrap()).await, "got it"),
                Some(bytes) => check_code(answer.err().as_ref(), &ErrorCode::HttpRequestBodySize(Some(bytes))),
            }
        }
    }
    check_length("10", &["hello", "world"], None).await;
    check_length("11", &["hello", "world"], Some(10)).await;
    check_length("9", &["hello", "world"], Some(10)).await;
    check_length("5", &[], Some(0)).await;
    // A body that is known to be empty from the start.
    let origin = TestOrigin::http(|_| async { page("hello") }).await;
    let mut request = post(&format!("http://{}/", origin.address), empty());
    request.headers_mut().insert("content-length", "5".parse().unwrap());
    check(&client("*"), request, ErrorCode::HttpRequestBodySize(Some(0))).await;
}

#[tokio::test]
async fn a_guests_own_error_comes_back_to_it() {
    for protocols in [["http/1.1"], ["h2"]] {
        let origin = TestOrigin::https(&protocols, |request| async move {
            let _ = request.into_body().collect().await;
            std::future::pending().await
        })
        .await;
        let client = client("*");
        let (sender, body) = pieces(8);
        sender.try_send(data("hello")).unwrap();
        sender.try_send(Err(ErrorCode::LoopDetected)).unwrap();
        check(
            &client,
            post(&format!("https://{}/", origin.address), body),
            ErrorCode::LoopDetected,
        )
        .await;
    }
}

#[tokio::test]
async fn tls_that_is_not_agreed_on() {
    let origin = TestOrigin::https(&["http/1.1"], |_| async { page("hello") }).await;
    let port = origin.port();
    let client = client("*");
    assert_eq!(
        text(
            send(&client, get(&format!("https://origin.test:{port}/")))
                .await
                .unwrap()
        )
        .await,
        "hello"
    );
    // Another name than the certificate's.
    check(
        &client,
        get(&format!("https://a.test:{port}/")),
        ErrorCode::TlsCertificateError,
    )
    .await;
    // An authority that nobody knows.
    let mut strict = options("*");
    strict.extra_roots.clear();
    let strict = HttpClientCapability::new(strict).unwrap();
    check(
        &strict,
        get(&format!("https://origin.test:{port}/")),
        ErrorCode::TlsCertificateError,
    )
    .await;
    // No TLS at all.
    let plain = TestOrigin::raw(|mut stream, _| async move {
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        read_to_end(&mut stream).await;
    })
    .await;
    check(
        &client,
        get(&format!("https://origin.test:{}/", plain.port())),
        ErrorCode::TlsProtocolError,
    )
    .await;
    // A connection that closes in the middle.
    let closing = TestOrigin::raw(|stream, _| async move { drop(stream) }).await;
    check(
        &client,
        get(&format!("https://origin.test:{}/", closing.port())),
        ErrorCode::ConnectionTerminated,
    )
    .await;
    // No protocol in common.
    let acceptor = acceptor(&["acme-tls/1"]);
    let other = TestOrigin::raw(move |stream, _| {
        let acceptor = acceptor.clone();
        async move { drop(acceptor.accept(stream).await) }
    })
    .await;
    let alert = TlsAlertReceivedPayload {
        alert_id: Some(120),
        alert_message: Some("NoApplicationProtocol".into()),
    };
    check(
        &client,
        get(&format!("https://origin.test:{}/", other.port())),
        ErrorCode::TlsAlertReceived(alert),
    )
    .await;
}

#[tokio::test]
async fn an_alert_after_the_handshake_is_told() {
    let acceptor = Arc::new(acceptor_of_known_clients());
    let origin = TestOrigin::raw(move |stream, _| {
        let acceptor = acceptor.clone();
        async move { drop(acceptor.accept(stream).await) }
    })
    .await;
    let alert = TlsAlertReceivedPayload {
        alert_id: Some(116),
        alert_message: Some("CertificateRequired".into()),
    };
    check(
        &client("*"),
        get(&format!("https://origin.test:{}/", origin.port())),
        ErrorCode::TlsAlertReceived(alert),
    )
    .await;
}

#[test]
fn extra_roots_are_checked_when_the_client_is_made() {
    let mut options = options("*");
    options.extra_roots = vec![authority(), vec![1, 2, 3].into()];
    let error = HttpClientCapability::new(options).err().unwrap();
    assert_eq!(
        error.to_string(),
        "the certificate number 2 of the extra roots cannot be trusted as an authority"
    );
    let mut options = HttpClientOptions::default();
    assert!(options.trust_pem(b"nothing").is_err());
    assert!(
        options
            .trust_pem(b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n")
            .is_err()
    );
    options
        .trust_pem(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .unwrap();
    assert_eq!(options.extra_roots.len(), 1);
}
