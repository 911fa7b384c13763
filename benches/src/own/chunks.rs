//! Bodies whose chunks are timed one by one, on one connection. It waits in its reads and for nothing else: a runtime would
//! add what it takes to wake up.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};

use super::{Asks, microseconds};
use crate::client::Outcome;

/// Nobody takes long for a chunk.
const DEADLINE: Duration = Duration::from_secs(10);

/// A body to the server of which every byte comes back: how long each takes there and back.
pub fn turns(asks: &Asks) -> Result<Outcome> {
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: {}\r\ntransfer-encoding: chunked\r\n\r\n",
        asks.path, asks.addr
    );
    let mut stream = connect(asks)?;
    stream.write_all(head.as_bytes())?;
    // Before anything is counted: some servers say nothing before they have something to say.
    send(&mut stream)?;
    let mut body = Body::begin(stream)?;
    body.next()?;
    let (begin, mut times) = (Instant::now(), Vec::new());
    while begin.elapsed() < asks.duration {
        let sent = Instant::now();
        send(&mut body.stream)?;
        ensure!(body.next()? == b"w", "another byte came back than was sent");
        times.push(microseconds(sent.elapsed()));
    }
    Ok(Outcome::of(times, begin.elapsed()))
}

fn send(stream: &mut TcpStream) -> Result<()> {
    Ok(stream.write_all(b"1\r\nw\r\n")?)
}

/// A body in which each chunk says when it was written, in nanoseconds since 1970: how long it took to get here, by the clock that
/// all programs of a machine have in common.
pub fn times(asks: &Asks) -> Result<Outcome> {
    let mut stream = connect(asks)?;
    stream.write_all(format!("GET {} HTTP/1.1\r\nhost: {}\r\n\r\n", asks.path, asks.addr).as_bytes())?;
    let mut body = Body::begin(stream)?;
    body.next()?;
    let (begin, mut times) = (Instant::now(), Vec::new());
    while begin.elapsed() < asks.duration {
        let chunk = body.next()?;
        let written = chunk.try_into().map(u64::from_le_bytes);
        let written = UNIX_EPOCH + Duration::from_nanos(written.ok().context("a chunk is not of 8 bytes")?);
        // That it came before it was written means that somebody has set the clock.
        times.push(microseconds(body.came.duration_since(written)?));
    }
    Ok(Outcome::of(times, begin.elapsed()))
}

fn connect(asks: &Asks) -> Result<TcpStream> {
    let stream = TcpStream::connect(asks.addr).context("cannot connect")?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    Ok(stream)
}

/// A response's body, chunk by chunk.
struct Body {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// When the last bytes came.
    came: SystemTime,
}

impl Body {
    /// Reads the response's head.
    fn begin(stream: TcpStream) -> Result<Self> {
        let mut body = Self {
            stream,
            buffer: Vec::new(),
            came: SystemTime::now(),
        };
        loop {
            if let Some(end) = find(&body.buffer, b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&body.buffer[..end]).to_ascii_lowercase();
                ensure!(head.starts_with("http/1.1 200 "), "the answer is not 200: {head}");
                ensure!(
                    head.contains("transfer-encoding: chunked"),
                    "the answer is not chunked: {head}"
                );
                body.buffer.drain(..end + 4);
                return Ok(body);
            }
            body.read()?;
        }
    }

    /// The next chunk's content.
    fn next(&mut self) -> Result<Vec<u8>> {
        loop {
            if let Some((chunk, length)) = chunk(&self.buffer)? {
                ensure!(!chunk.is_empty(), "the body has ended");
                let chunk = chunk.to_vec();
                self.buffer.drain(..length);
                return Ok(chunk);
            }
            self.read()?;
        }
    }

    fn read(&mut self) -> Result<()> {
        let mut bytes = [0; 4096];
        let count = self.stream.read(&mut bytes).context("nothing came")?;
        self.came = SystemTime::now();
        ensure!(count > 0, "the server has closed the connection");
        self.buffer.extend_from_slice(&bytes[..count]);
        Ok(())
    }
}

/// The content of the first chunk, and how many bytes it is with what is around it (RFC 9112 section 7.1); nothing until it is whole.
fn chunk(bytes: &[u8]) -> Result<Option<(&[u8], usize)>> {
    let Some(end) = find(bytes, b"\r\n") else {
        return Ok(None);
    };
    let size = str::from_utf8(&bytes[..end]).ok();
    let size = size.and_then(|size| usize::from_str_radix(size, 16).ok());
    let size = size.context("a chunk has no size")?;
    let content = end + 2..end + 2 + size;
    let length = content.end + 2;
    Ok((bytes.len() >= length).then(|| (&bytes[content], length)))
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_found_once_they_are_whole() {
        let whole = b"8\r\n12345678\r\n1\r\n";
        for length in 0..13 {
            assert_eq!(chunk(&whole[..length]).expect("none is wrong"), None, "{length}");
        }
        assert_eq!(chunk(whole).expect("it has a size"), Some((&b"12345678"[..], 13)));
        assert_eq!(chunk(b"0\r\n\r\n").expect("it has a size"), Some((&b""[..], 5)));
        assert!(chunk(b"no size\r\n").is_err());
    }
}
