//! Answers of HTTP/1.1 as they come: as much of each as is measured.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// What is known of an answer that is there in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// It has a field `retry-after`.
    pub says_when: bool,
    /// The connection ends with it.
    pub closes: bool,
    /// Bytes it takes, with its content.
    length: usize,
}

/// Larger than any answer of the workloads.
const BYTES_MAX: usize = 64 << 10;

/// How much is taken from the kernel at a time.
const PIECE: usize = 2048;

/// Reads one connection.
pub struct Reader<R> {
    read: R,
    /// What has come and belongs to no answer that was given.
    bytes: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub fn new(read: R) -> Self {
        Self {
            read,
            bytes: Vec::new(),
        }
    }

    /// The next answer.
    ///
    /// # Errors
    /// When the connection ends first, or what comes is no answer.
    pub async fn answer(&mut self) -> io::Result<Answer> {
        loop {
            if let Some(answer) = answer(&self.bytes)? {
                self.bytes.drain(..answer.length);
                return Ok(answer);
            }
            if self.bytes.len() > BYTES_MAX {
                return Err(invalid());
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> io::Result<()> {
        poll_fn(|cx| {
            // On the stack, not in each of thousands of connections.
            let mut piece = [0; PIECE];
            let mut piece = ReadBuf::new(&mut piece);
            ready!(Pin::new(&mut self.read).poll_read(cx, &mut piece))?;
            if piece.filled().is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            self.bytes.extend_from_slice(piece.filled());
            Poll::Ready(Ok(()))
        })
        .await
    }
}

fn invalid() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

/// The answer at the beginning of `bytes`, once it is there in full.
fn answer(bytes: &[u8]) -> io::Result<Option<Answer>> {
    let Some(end) = position(bytes, b"\r\n\r\n") else {
        return Ok(None);
    };
    let mut lines = Lines(&bytes[..end + 2]);
    let status = lines.next().and_then(status).ok_or_else(invalid)?;
    let (mut says_when, mut closes) = (false, false);
    let (mut content, mut chunked) = (None, false);
    for line in lines {
        let Some(colon) = position(line, b":") else {
            return Err(invalid());
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            content = Some(number(value, 10)?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            chunked = value.eq_ignore_ascii_case(b"chunked");
        } else if name.eq_ignore_ascii_case(b"retry-after") {
            says_when = true;
        } else if name.eq_ignore_ascii_case(b"connection") {
            closes = value.eq_ignore_ascii_case(b"close");
        }
    }
    let head = end + 4;
    let content = match (chunked, content) {
        (true, _) => chunks(&bytes[head..])?,
        (false, Some(content)) => Some(content),
        // Its content ends with the connection, and nobody here answers so.
        (false, None) => return Err(invalid()),
    };
    let length = content.map(|content| head + content);
    let answer = length.filter(|&length| length <= bytes.len()).map(|length| Answer {
        status,
        says_when,
        closes,
        length,
    });
    Ok(answer)
}

/// `HTTP/1.1 200 OK`
fn status(line: &[u8]) -> Option<u16> {
    let status = line.strip_prefix(b"HTTP/1.")?.get(2..5)?;
    std::str::from_utf8(status).ok()?.parse().ok()
}

/// How long content in chunks is (RFC 9112 section 7.1), once all of it is there. Nobody here sends trailers.
fn chunks(bytes: &[u8]) -> io::Result<Option<usize>> {
    let mut at = 0;
    while let Some(end) = bytes.get(at..).and_then(|rest| position(rest, b"\r\n")) {
        let size = number(&bytes[at..at + end], 16)?;
        at += end + 2 + size + 2;
        if size == 0 {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

fn number(text: &[u8], radix: u32) -> io::Result<usize> {
    let text = std::str::from_utf8(text).map_err(|_| invalid())?;
    let number = usize::from_str_radix(text, radix).map_err(|_| invalid())?;
    if number > BYTES_MAX { Err(invalid()) } else { Ok(number) }
}

fn position(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// What ends with a line's end each.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = position(self.0, b"\r\n")?;
        let line = &self.0[..end];
        self.0 = &self.0[end + 2..];
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `text` is one answer, and no part of it is.
    #[track_caller]
    fn check(text: &str, expected: (u16, bool, bool)) {
        let bytes = text.as_bytes();
        for end in 0..bytes.len() {
            assert_eq!(answer(&bytes[..end]).expect("it is no error"), None, "{end} bytes");
        }
        let followed = format!("{text}HTTP/1.1");
        let answer = answer(followed.as_bytes()).expect("it is right").expect("it is whole");
        assert_eq!((answer.status, answer.says_when, answer.closes), expected);
        assert_eq!(answer.length, bytes.len());
    }

    #[test]
    fn answers_are_read_once_they_are_whole() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", (200, false, false));
        check(
            "HTTP/1.1 503 Busy\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            (503, true, true),
        );
        check(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nB\r\nhello, whar\r\n1\r\nf\r\n0\r\n\r\n",
            (200, false, false),
        );
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for text in [
            "HTTP/2 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n",
        ] {
            assert!(answer(text.as_bytes()).is_err(), "{text}");
        }
    }
}
