//! HTTP/1.1 as bytes on a socket.
//!
//! A client library would hide what the tests are about: when bytes arrive, how a message is framed, what happens when
//! a peer leaves in the middle. So this sends what it is given and reads what comes, no more. Every read ends after 60 s.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};

use crate::wait::{DEADLINE, poll};

/// A header or trailer list: names in lower case, in the order of arrival.
pub type Headers = Vec<(String, String)>;

/// A whole response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The header section.
    pub headers: Headers,
    /// The content, without its framing.
    pub body: Vec<u8>,
    /// The trailer section; empty where there is none.
    pub trailers: Headers,
}

impl Reply {
    /// The first value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// The first value of a trailer, by its name in lower case.
    pub fn trailer(&self, name: &str) -> Option<&str> {
        find(&self.trailers, name)
    }

    /// The content as text; bytes that are not UTF-8 are replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// What stands before a message's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The status line or the request line, without its end.
    pub start: String,
    /// The header section.
    pub headers: Headers,
}

impl Head {
    /// The first value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// The status code of a response.
    ///
    /// # Panics
    ///
    /// When the line is not a status line.
    pub fn status(&self) -> u16 {
        let code = self
            .start
            .strip_prefix("HTTP/1.1 ")
            .or_else(|| self.start.strip_prefix("HTTP/1.0 "));
        let code = code.and_then(|rest| rest.get(..3)).and_then(|code| code.parse().ok());
        code.unwrap_or_else(|| panic!("not a status line: {:?}", self.start))
    }
}

fn find<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.as_str())
}

/// Sends a GET on a connection of its own and reads the whole response.
///
/// # Panics
///
/// When there is no whole response.
pub fn get(addr: impl ToSocketAddrs, path: &str) -> Reply {
    send(addr, "GET", path, &[], b"")
}

/// Like [`get`], for as long as the server says that there is too much to do: on a machine that is busy with other things it may be
/// right.
///
/// # Panics
///
/// When there is no whole response, or still no other after 60 s.
pub fn get_patiently(addr: impl ToSocketAddrs, path: &str) -> Reply {
    patiently(|| get(&addr, path))
}

/// Asks again for as long as the answer is 503 with `retry-after`.
///
/// # Panics
///
/// When it is still that after 60 s.
pub fn patiently(mut ask: impl FnMut() -> Reply) -> Reply {
    let served = || Some(ask()).filter(|reply| reply.status != 503 || reply.header("retry-after").is_none());
    poll(DEADLINE, served).unwrap_or_else(|| panic!("there is too much to do for {DEADLINE:?}"))
}

/// Sends a POST with content on a connection of its own and reads the whole response.
///
/// # Panics
///
/// When there is no whole response.
pub fn post(addr: impl ToSocketAddrs, path: &str, body: impl AsRef<[u8]>) -> Reply {
    send(addr, "POST", path, &[], body.as_ref())
}

/// Sends a request on a connection of its own and reads the whole response. `headers` come after `host`, `connection`
/// and `content-length`; the last is left out where there is no content.
///
/// # Panics
///
/// When there is no whole response.
pub fn send(addr: impl ToSocketAddrs, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let mut connection = Connection::open(addr);
    let host = connection.stream().peer_addr().expect("a connected socket has a peer");
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
    if !body.is_empty() {
        head += &format!("content-length: {}\r\n", body.len());
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    connection.send(head + "\r\n");
    // A server may answer, and close, before it has read everything.
    let _ = connection.try_send(body);
    let head = connection.final_head();
    if method == "HEAD" {
        return Reply {
            status: head.status(),
            headers: head.headers,
            body: Vec::new(),
            trailers: Vec::new(),
        };
    }
    connection
        .reply_after(head)
        .unwrap_or_else(|error| panic!("no whole response to {method} {path}: {error}"))
}

/// Connects, sends `raw` and leaves the rest to the caller. Reads from the socket end after 60 s.
///
/// # Panics
///
/// When it cannot connect or send.
pub fn request(addr: impl ToSocketAddrs, raw: impl AsRef<[u8]>) -> TcpStream {
    let mut connection = Connection::open(addr);
    connection.send(raw);
    connection.reader.into_inner()
}

/// Connects from another address of this machine's.
///
/// # Panics
///
/// When it cannot: not every system has more of 127.0.0.0/8 than its first address.
#[cfg(target_os = "linux")]
pub fn connect_from(client: [u8; 4], server: std::net::SocketAddr) -> TcpStream {
    use rustix::net::{bind, connect};
    let socket = crate::unconnected_socket();
    let client = std::net::SocketAddr::from((client, 0));
    bind(&socket, &client).expect("the system has this address");
    connect(&socket, &server).expect("the server accepts connections");
    socket.into()
}

/// Reads one whole response from a socket that has sent a request.
///
/// # Panics
///
/// When there is none.
pub fn read_reply(stream: TcpStream) -> Reply {
    Connection::from(stream).reply()
}

/// One end of a connection: the client's, or the server's in a test that plays an origin.
#[derive(Debug)]
pub struct Connection {
    reader: BufReader<TcpStream>,
    framing: Framing,
    trailers: Headers,
}

/// Where the content of the message that is being read ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Ended,
    Length(u64),
    Chunked,
    UntilClose,
}

impl From<TcpStream> for Connection {
    fn from(stream: TcpStream) -> Self {
        stream
            .set_read_timeout(Some(DEADLINE))
            .expect("the deadline is not zero");
        stream
            .set_write_timeout(Some(DEADLINE))
            .expect("the deadline is not zero");
        // Otherwise two small writes may arrive 40 ms apart, and a test that measures order would measure that.
        stream.set_nodelay(true).expect("a TCP socket takes this option");
        Self {
            reader: BufReader::new(stream),
            framing: Framing::Ended,
            trailers: Vec::new(),
        }
    }
}

impl Connection {
    /// Connects.
    ///
    /// # Panics
    ///
    /// When it cannot.
    pub fn open(addr: impl ToSocketAddrs) -> Self {
        TcpStream::connect(addr).expect("the server accepts connections").into()
    }

    /// The socket.
    pub fn stream(&self) -> &TcpStream {
        self.reader.get_ref()
    }

    /// What comes after the message that was read last, for another protocol.
    pub fn into_reader(self) -> BufReader<TcpStream> {
        self.reader
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    ///
    /// When the peer does not take them.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("the peer takes what is sent");
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    ///
    /// What the socket says; a timeout when the peer has not read for 60 s.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes.as_ref())
    }

    /// Sends one chunk of chunked content; the empty one ends it, without trailers.
    ///
    /// # Panics
    ///
    /// When the peer does not take it.
    pub fn send_chunk(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
        chunk.extend_from_slice(bytes);
        chunk.extend_from_slice(b"\r\n");
        self.send(chunk);
    }

    /// Tells the peer that no more is sent; reading goes on.
    ///
    /// # Panics
    ///
    /// When the connection is gone.
    pub fn finish_sending(&mut self) {
        self.stream().shutdown(Shutdown::Write).expect("the connection is open");
    }

    /// Reads a message up to its content, which [`Connection::data`] then gives.
    ///
    /// # Panics
    ///
    /// When what comes is no HTTP message or does not come.
    pub fn head(&mut self) -> Head {
        self.try_head().unwrap_or_else(|error| panic!("no message: {error}"))
    }

    /// Like [`Connection::head`]; `UnexpectedEof` when the peer closed the connection instead.
    ///
    /// # Errors
    ///
    /// What the socket says, or what is wrong with the message.
    pub fn try_head(&mut self) -> io::Result<Head> {
        let start = self.line()?;
        let headers = self.header_section()?;
        let head = Head { start, headers };
        self.framing = framing(&head)?;
        self.trailers.clear();
        Ok(head)
    }

    /// The next piece of content as it arrived: a chunk, or what one read gave. `None` at the content's end.
    ///
    /// # Panics
    ///
    /// When the content breaks off or is wrongly framed.
    pub fn data(&mut self) -> Option<Vec<u8>> {
        self.try_data()
            .unwrap_or_else(|error| panic!("the content breaks off: {error}"))
    }

    /// Like [`Connection::data`].
    ///
    /// # Errors
    ///
    /// What the socket says, `UnexpectedEof` when the content breaks off, `InvalidData` when it is wrongly framed.
    pub fn try_data(&mut self) -> io::Result<Option<Vec<u8>>> {
        match self.framing {
            Framing::Ended => Ok(None),
            Framing::Chunked => self.chunk(),
            Framing::Length(left) => {
                let piece = self.piece(left)?;
                if piece.is_empty() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                self.framing = match left - piece.len() as u64 {
                    0 => Framing::Ended,
                    left => Framing::Length(left),
                };
                Ok(Some(piece))
            }
            Framing::UntilClose => {
                let piece = self.piece(u64::MAX)?;
                if piece.is_empty() {
                    self.framing = Framing::Ended;
                }
                Ok(Some(piece).filter(|piece| !piece.is_empty()))
            }
        }
    }

    /// All content that is left.
    ///
    /// # Panics
    ///
    /// When it breaks off or is wrongly framed.
    pub fn body(&mut self) -> Vec<u8> {
        self.try_body()
            .unwrap_or_else(|error| panic!("the content breaks off: {error}"))
    }

    /// Like [`Connection::body`].
    ///
    /// # Errors
    ///
    /// As [`Connection::try_data`].
    pub fn try_body(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(piece) = self.try_data()? {
            body.extend(piece);
        }
        Ok(body)
    }

    /// The trailers of the message whose content has been read to its end.
    pub fn trailers(&self) -> &Headers {
        &self.trailers
    }

    /// Reads one whole response; interim ones (100, 103) are passed over.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn reply(&mut self) -> Reply {
        self.try_reply()
            .unwrap_or_else(|error| panic!("no whole response: {error}"))
    }

    /// Like [`Connection::reply`].
    ///
    /// # Errors
    ///
    /// As [`Connection::try_head`] and [`Connection::try_data`].
    pub fn try_reply(&mut self) -> io::Result<Reply> {
        let head = self.try_final_head()?;
        self.reply_after(head)
    }

    /// Whether the peer has closed the connection with nothing more to read; waits up to 60 s for it to say so.
    pub fn is_closed(&mut self) -> bool {
        match self.reader.fill_buf() {
            Ok(bytes) => bytes.is_empty(),
            Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
        }
    }

    fn final_head(&mut self) -> Head {
        self.try_final_head()
            .unwrap_or_else(|error| panic!("no response: {error}"))
    }

    fn try_final_head(&mut self) -> io::Result<Head> {
        loop {
            let head = self.try_head()?;
            let is_interim = (100..200).contains(&head.status()) && head.status() != 101;
            if !is_interim {
                return Ok(head);
            }
        }
    }

    fn reply_after(&mut self, head: Head) -> io::Result<Reply> {
        let body = self.try_body()?;
        Ok(Reply {
            status: head.status(),
            headers: head.headers,
            body,
            trailers: self.trailers.clone(),
        })
    }

    fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let line = self.line()?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(|_| invalid(format!("not a chunk size: {line:?}")))?;
        if size == 0 {
            self.trailers = self.header_section()?;
            self.framing = Framing::Ended;
            return Ok(None);
        }
        let mut chunk = Vec::new();
        self.reader.by_ref().take(size).read_to_end(&mut chunk)?;
        if (chunk.len() as u64) < size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match self.line()?.as_str() {
            "" => Ok(Some(chunk)),
            rest => Err(invalid(format!("a chunk is longer than its size: {rest:?}"))),
        }
    }

    /// What one read gives, at most `bytes_max`; empty at the end of the connection.
    fn piece(&mut self, bytes_max: u64) -> io::Result<Vec<u8>> {
        let buffer = self.reader.fill_buf()?;
        let count = buffer.len().min(usize::try_from(bytes_max).unwrap_or(usize::MAX));
        let piece = buffer[..count].to_vec();
        self.reader.consume(count);
        Ok(piece)
    }

    fn header_section(&mut self) -> io::Result<Headers> {
        let mut headers = Headers::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(headers);
            }
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| invalid(format!("not a header: {line:?}")))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.pop() != Some(b'\r') {
            return Err(invalid("a line does not end with CR LF".to_owned()));
        }
        String::from_utf8(line).map_err(|error| invalid(error.to_string()))
    }
}

/// RFC 9112, section 6.3, for everything but responses to HEAD and CONNECT.
fn framing(head: &Head) -> io::Result<Framing> {
    let is_response = head.start.starts_with("HTTP/");
    if is_response && matches!(head.status(), 100..200 | 204 | 304) {
        return Ok(Framing::Ended);
    }
    match (head.header("transfer-encoding"), head.header("content-length")) {
        (Some("chunked"), None) => Ok(Framing::Chunked),
        (Some(coding), _) => Err(invalid(format!(
            "transfer-encoding {coding:?} with or without a length"
        ))),
        (None, Some(length)) => match length.parse() {
            Ok(0) => Ok(Framing::Ended),
            Ok(length) => Ok(Framing::Length(length)),
            Err(_) => Err(invalid(format!("not a content-length: {length:?}"))),
        },
        (None, None) if is_response => Ok(Framing::UntilClose),
        (None, None) => Ok(Framing::Ended),
    }
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Origin;

    /// Status, content and trailers.
    type Understood = (u16, &'static str, &'static [(&'static str, &'static str)]);

    /// What a peer that sends `raw` and closes is understood to have said.
    fn check(raw: &'static str, expected: Result<Understood, io::ErrorKind>) {
        let origin = Origin::start(move |mut connection| connection.send(raw));
        let reply = Connection::open(origin.addr()).try_reply();
        let reply = reply
            .map(|reply| (reply.status, reply.text(), reply.trailers))
            .map_err(|error| error.kind());
        let owned = |list: &[(&str, &str)]| list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        assert_eq!(
            reply,
            expected.map(|(status, body, trailers)| (status, body.to_owned(), owned(trailers))),
            "{raw}"
        );
    }

    #[test]
    fn responses_are_read_by_their_framing() {
        check(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokmore",
            Ok((200, "ok", &[])),
        );
        check(
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            Ok((404, "", &[])),
        );
        check("HTTP/1.1 204 No Content\r\n\r\nmore", Ok((204, "", &[])));
        check("HTTP/1.0 200 OK\r\n\r\nuntil close", Ok((200, "until close", &[])));
        check(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: 1\r\n\r\n",
            Ok((200, "abc0123456789", &[("t", "1")])),
        );
        check(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na",
            Ok((200, "a", &[])),
        );
    }

    #[test]
    fn broken_responses_are_errors() {
        let eof = Err(io::ErrorKind::UnexpectedEof);
        let invalid = Err(io::ErrorKind::InvalidData);
        check("", eof);
        check("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab", eof);
        check("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n", eof);
        check(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
            invalid,
        );
        check(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n0\r\n\r\n",
            invalid,
        );
        check("HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n", invalid);
    }

    #[test]
    fn a_request_is_sent_and_read_with_its_content() {
        let origin = Origin::start(|mut connection| {
            let head = connection.head();
            let body = connection.body();
            let answer = format!("{} {} {}", head.start, head.header("x-a").unwrap(), body.len());
            connection.send(format!(
                "HTTP/1.1 201 Created\r\ncontent-length: {}\r\n\r\n{answer}",
                answer.len()
            ));
        });
        let reply = send(origin.addr(), "PUT", "/path?q", &[("x-a", "b")], b"content");
        assert_eq!((reply.status, reply.text().as_str()), (201, "PUT /path?q HTTP/1.1 b 7"));
    }

    #[test]
    fn content_is_given_as_it_arrives() {
        let origin = Origin::start(|mut connection| {
            connection.head();
            connection.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
            connection.send_chunk("first");
            // Only a reader that has the first chunk goes on to send this.
            assert_eq!(connection.line().unwrap(), "go on");
            connection.send_chunk("second");
            connection.send_chunk("");
        });
        let mut connection = Connection::open(origin.addr());
        connection.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(connection.head().status(), 200);
        assert_eq!(connection.data().unwrap(), b"first");
        connection.send("go on\r\n");
        assert_eq!(connection.data().unwrap(), b"second");
        assert_eq!(connection.data(), None);
        assert!(connection.is_closed());
        assert_eq!(origin.failures(), Vec::<String>::new());
    }
}
