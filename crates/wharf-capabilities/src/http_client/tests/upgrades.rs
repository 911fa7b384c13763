//! Connections on which another protocol is spoken, with and without TLS.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::connections::counts;
use super::origin::{acceptor, read_head};
use super::*;

/// Switches protocols, and sends back what comes.
async fn echo(mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin) {
    let (head, _) = read_head(&mut stream).await;
    let answer: &[u8] = match head.contains("upgrade: echo\r\n") {
        true => b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n",
        false => b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n",
    };
    stream.write_all(answer).await.unwrap();
    let mut bytes = [0; 64];
    while let Ok(count @ 1..) = stream.read(&mut bytes).await {
        stream.write_all(&bytes[..count]).await.unwrap();
    }
}

async fn origin(secure: bool) -> TestOrigin {
    // An origin that would rather speak HTTP/2 has no upgrades there.
    let acceptor = acceptor(&["h2", "http/1.1"]);
    TestOrigin::raw(move |stream: TcpStream, _| {
        let acceptor = acceptor.clone();
        async move {
            match secure {
                false => echo(stream).await,
                true => echo(acceptor.accept(stream).await.unwrap()).await,
            }
        }
    })
    .await
}

#[tokio::test]
async fn another_protocol_is_spoken_with_and_without_tls() {
    for secure in [false, true] {
        let origin = origin(secure).await;
        let client = client("*");
        let scheme = if secure { "https" } else { "http" };
        let url = format!("{scheme}://origin.test:{}/", origin.port());
        let request = |protocol| {
            let request = Request::get(&url)
                .header("connection", "upgrade")
                .header("upgrade", protocol);
            client
                .client()
                .upgrade(request.body(()).unwrap(), RequestOptions::default())
        };
        let upgraded = soon(request("echo")).await.unwrap();
        let mut stream = upgraded.stream.unwrap();
        for text in ["hello", "again"] {
            stream.write_all(text.as_bytes()).await.unwrap();
            stream.flush().await.unwrap();
            let mut bytes = [0; 5];
            soon(stream.read_exact(&mut bytes)).await.unwrap();
            assert_eq!(bytes, text.as_bytes());
        }
        // It counts among the connections as long as it stands.
        assert_eq!(counts(&client), (1, 1));
        drop(stream);
        eventually("it ends", || counts(&client) == (0, 0)).await;
        let refused = soon(request("other")).await.unwrap();
        assert!(refused.head.status() == 400 && refused.stream.is_none());
    }
}

#[tokio::test]
async fn tls_is_checked() {
    let origin = origin(true).await;
    let client = client("*");
    let request = Request::get(format!("https://a.test:{}/", origin.port()));
    let answer = client
        .client()
        .upgrade(request.body(()).unwrap(), RequestOptions::default());
    check_code(soon(answer).await.err().as_ref(), &ErrorCode::TlsCertificateError);
}
