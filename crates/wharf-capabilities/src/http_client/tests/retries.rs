//! Retries that a guest asks for.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::AsyncWriteExt as _;

use super::origin::read_head;
use super::*;

/// What an origin does with one request.
#[derive(Clone, Copy)]
enum Does {
    /// Closes.
    Vanishes,
    Answers(&'static str),
}
use Does::{Answers, Vanishes};

const OK: Does = Answers("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
const BUSY: Does = Answers("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
const LATER: Does = Answers("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nretry-after: 3600\r\nconnection: close\r\n\r\n");
const WRONG: Does = Answers("HTTP/1.1 500 Wrong\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");

/// Does one thing per request, the last one from then on; keeps the requests' heads.
async fn scripted(script: &'static [Does]) -> (TestOrigin, Arc<Mutex<Vec<String>>>) {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = heads.clone();
    let nth = Arc::new(AtomicUsize::new(0));
    let origin = TestOrigin::raw(move |mut stream, _| {
        let (seen, nth) = (seen.clone(), nth.clone());
        async move {
            let (head, _) = read_head(&mut stream).await;
            seen.lock().unwrap().push(head);
            let nth = nth.fetch_add(1, Ordering::SeqCst).min(script.len() - 1);
            if let Answers(answer) = script[nth] {
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        }
    })
    .await;
    (origin, heads)
}

#[track_caller]
fn of(answer: &Result<Response<Body>, ErrorCode>) -> String {
    match answer {
        Ok(response) => response.status().as_u16().to_string(),
        Err(error) => format!("{error:?}").split('(').next().unwrap().to_owned(),
    }
}

async fn check(
    method: &str,
    fields: &[(&str, &str)],
    body: Body,
    script: &'static [Does],
    ends: &str,
    requests: usize,
) {
    let (origin, heads) = scripted(script).await;
    let client = client("*");
    let mut request = Request::builder()
        .method(method)
        .uri(format!("http://{}/", origin.address));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let answer = send(&client, request.body(body).unwrap()).await;
    let heads = heads.lock().unwrap();
    assert_eq!(
        (of(&answer).contains(ends), heads.len()),
        (true, requests),
        "{method} {fields:?}: {answer:?} {heads:?}"
    );
    assert!(!heads.iter().any(|head| head.contains("wharf-retries")), "{heads:?}");
}

#[tokio::test]
async fn only_where_the_guest_asks() {
    check("GET", &[], empty(), &[Vanishes], "ConnectionTerminated", 1).await;
    check("GET", &[], empty(), &[BUSY, OK], "503", 1).await;
    check("GET", &[("wharf-retries", "0")], empty(), &[BUSY, OK], "503", 1).await;
    check(
        "GET",
        &[("wharf-retries", "2")],
        empty(),
        &[Vanishes, BUSY, OK],
        "200",
        3,
    )
    .await;
    check(
        "GET",
        &[("wharf-retries", "1")],
        empty(),
        &[Vanishes, BUSY, OK],
        "503",
        2,
    )
    .await;
    check(
        "GET",
        &[("wharf-retries", "2")],
        empty(),
        &[Vanishes],
        "ConnectionTerminated",
        3,
    )
    .await;
}

#[tokio::test]
async fn only_what_may_be_done_twice() {
    let asks = ("wharf-retries", "2");
    for method in ["HEAD", "PUT", "DELETE", "OPTIONS"] {
        check(method, &[asks], empty(), &[Vanishes, OK], "200", 2).await;
    }
    for method in ["POST", "PATCH", "PURGE"] {
        check(method, &[asks], empty(), &[Vanishes, OK], "ConnectionTerminated", 1).await;
        check(
            method,
            &[asks, ("idempotency-key", "7")],
            empty(),
            &[Vanishes, OK],
            "200",
            2,
        )
        .await;
    }
    // A body that has been sent is gone.
    check("PUT", &[asks], full("body"), &[Vanishes, OK], "ConnectionTerminated", 1).await;
}

#[tokio::test]
async fn only_what_may_pass() {
    let asks = ("wharf-retries", "2");
    check("GET", &[asks], empty(), &[WRONG, OK], "500", 1).await;
    // It asks for more patience than there is.
    check("GET", &[asks], empty(), &[LATER, OK], "503", 1).await;
    for wrong in ["", "-1", "many", "1, 2"] {
        check(
            "GET",
            &[("wharf-retries", wrong)],
            empty(),
            &[OK],
            "HttpProtocolError",
            0,
        )
        .await;
    }
    let client = client("origin.test");
    let mut request = get("http://origin.test/");
    request.headers_mut().insert("wharf-retries", "5".parse().unwrap());
    check_code(
        send(&client, request).await.err().as_ref(),
        &ErrorCode::DestinationIpProhibited,
    );
}

/// A request whose connection never came about is whole, with its body and whatever its method.
#[tokio::test]
async fn what_was_not_sent_is_sent_whole() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = client("*");
    let mut request = post(&format!("http://{address}/"), full("whole"));
    request.headers_mut().insert("wharf-retries", "5".parse().unwrap());
    let sending = tokio::spawn(client.client().send(request, RequestOptions::default()));
    tokio::time::sleep(Duration::from_millis(50)).await;
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let (mut stream, _) = soon(listener.accept()).await.unwrap();
    let (head, mut rest) = read_head(&mut stream).await;
    while rest.len() < 5 {
        tokio::io::AsyncReadExt::read_buf(&mut stream, &mut rest).await.unwrap();
    }
    assert!(head.starts_with("POST / ") && rest == b"whole", "{head}");
    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    assert_eq!(soon(sending).await.unwrap().unwrap().status(), 204);
}
