//! One whole exchange over either protocol, sending while it receives.

use std::io::Write;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::SendStream;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use wharf_tests::http::{Connection, Reply};
use wharf_tests::{DEADLINE, http2};

use crate::axes::Protocol;

/// How long a client that was put off stays away. It is told a second, which is for thousands of them.
const COMES_AGAIN_AFTER: Duration = Duration::from_millis(100);

type Pairs = Vec<(&'static str, String)>;

/// A request to be sent.
#[derive(Clone, Debug)]
pub struct Ask {
    method: &'static str,
    path: String,
    headers: Pairs,
    body: Vec<u8>,
    trailers: Pairs,
}

impl Ask {
    /// A request without content.
    pub fn new(method: &'static str, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            headers: Pairs::new(),
            body: Vec::new(),
            trailers: Pairs::new(),
        }
    }

    /// A GET.
    pub fn get(path: impl Into<String>) -> Self {
        Self::new("GET", path)
    }

    /// A POST with content.
    pub fn post(path: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        let mut ask = Self::new("POST", path);
        ask.body = body.into();
        ask
    }

    /// Adds a header.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Adds a trailer and announces it.
    pub fn trailer(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push(("trailer", name.to_owned()));
        self.trailers.push((name, value.into()));
        self
    }

    /// Sends it on a connection of its own; the whole response, or what went wrong.
    pub fn try_over(&self, protocol: Protocol, addr: SocketAddr) -> Result<Reply, String> {
        match protocol {
            Protocol::Http1 => self.over_http1(addr).map_err(|error| error.to_string()),
            Protocol::Http2 => http2::run(self.over_http2(addr)).map_err(|error| error.to_string()),
        }
    }

    /// Like [`Ask::try_over`], for exchanges that must succeed.
    pub fn over(&self, protocol: Protocol, addr: SocketAddr) -> Reply {
        self.try_over(protocol, addr)
            .unwrap_or_else(|error| panic!("{protocol:?} {} {}: {error}", self.method, self.path))
    }

    /// Like [`Ask::try_over`], and asks again for as long as it is told that there is too much to do (503 with `retry-after`).
    pub fn try_patiently_over(&self, protocol: Protocol, addr: SocketAddr) -> Result<Reply, String> {
        let begun = Instant::now();
        loop {
            let outcome = self.try_over(protocol, addr);
            let is_put_off =
                matches!(&outcome, Ok(reply) if reply.status == 503 && reply.header("retry-after").is_some());
            if !is_put_off || begun.elapsed() > DEADLINE {
                return outcome;
            }
            thread::sleep(COMES_AGAIN_AFTER);
        }
    }

    fn over_http1(&self, addr: SocketAddr) -> std::io::Result<Reply> {
        let mut connection = Connection::open(addr);
        let mut stream = connection.stream().try_clone()?;
        let request = self.http1(addr);
        // On a thread of its own: a server that answers while it receives takes the end only after its answer is read.
        let sending = thread::spawn(move || stream.write_all(&request));
        let reply = match self.method {
            "HEAD" => connection.try_head().map(|head| Reply {
                status: head.status(),
                headers: head.headers,
                body: Vec::new(),
                trailers: Vec::new(),
            }),
            _ => connection.try_reply(),
        };
        drop(connection);
        // The server may answer, and close, before it has read everything.
        let _ = sending.join().expect("writing does not panic");
        reply
    }

    fn http1(&self, addr: SocketAddr) -> Vec<u8> {
        let mut head = format!(
            "{} {} HTTP/1.1\r\nhost: {addr}\r\nte: trailers\r\nconnection: close, te\r\n",
            self.method, self.path
        );
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        let mut request = Vec::new();
        if self.trailers.is_empty() {
            if !self.body.is_empty() {
                head += &format!("content-length: {}\r\n", self.body.len());
            }
            request.extend_from_slice((head + "\r\n").as_bytes());
            request.extend_from_slice(&self.body);
            return request;
        }
        request.extend_from_slice((head + "transfer-encoding: chunked\r\n\r\n").as_bytes());
        for chunk in self.body.chunks(10_000) {
            request.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            request.extend_from_slice(chunk);
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"0\r\n");
        for (name, value) in &self.trailers {
            request.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        request.extend_from_slice(b"\r\n");
        request
    }

    async fn over_http2(&self, addr: SocketAddr) -> Result<Reply, h2::Error> {
        let mut handle = http2::connect(addr).await.ready().await?;
        let mut request = Request::builder()
            .method(self.method)
            .uri(format!("http://{addr}{}", self.path))
            .header("te", "trailers");
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let request = request.body(()).expect("the test's request is valid");
        let ends = self.body.is_empty() && self.trailers.is_empty();
        let (response, stream) = handle.send_request(request, ends)?;
        if ends {
            return http2::collect(response).await;
        }
        // A server may answer before it has read everything: only the answer decides.
        let (reply, _) = tokio::join!(http2::collect(response), self.send_content(stream));
        reply
    }

    async fn send_content(&self, mut stream: SendStream<Bytes>) -> Result<(), h2::Error> {
        let ends = self.trailers.is_empty();
        send_data(&mut stream, Bytes::copy_from_slice(&self.body), ends).await?;
        if ends {
            return Ok(());
        }
        let trailers = self.trailers.iter().map(|(name, value)| {
            let value = HeaderValue::from_str(value).expect("the test's trailer is valid");
            (HeaderName::from_static(name), value)
        });
        stream.send_trailers(HeaderMap::from_iter(trailers))
    }
}

/// Sends `data` as the peer's windows allow.
pub async fn send_data(stream: &mut SendStream<Bytes>, mut data: Bytes, ends: bool) -> Result<(), h2::Error> {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let capacity = std::future::poll_fn(|context| stream.poll_capacity(context)).await;
        let Some(capacity) = capacity.transpose()? else {
            return Ok(());
        };
        let piece = data.split_to(capacity.min(data.len()));
        stream.send_data(piece, ends && data.is_empty())?;
    }
    Ok(())
}

/// Byte number `offset` of every body that the guests generate.
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|offset| (offset % 251) as u8).collect()
}

/// Makes a URL fit to stand in a query.
pub fn escape(url: &str) -> String {
    url.replace('%', "%25")
        .replace('&', "%26")
        .replace('?', "%3f")
        .replace('=', "%3d")
}
