//! The client's end of a WebSocket, frame by frame: over HTTP/1.1, and in a stream of HTTP/2.
//!
//! It sends what it is told to, right or wrong, and answers nothing by itself. Every read ends after 60 s.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::SocketAddr;

use crate::http::{Connection, Reply};

#[cfg(unix)]
mod over_http2;

/// Opcodes (RFC 6455 section 5.2).
pub const CONTINUATION: u8 = 0x0;
/// A text.
pub const TEXT: u8 = 0x1;
/// Bytes.
pub const BINARY: u8 = 0x2;
/// The end.
pub const CLOSE: u8 = 0x8;
/// A question.
pub const PING: u8 = 0x9;
/// Its answer.
pub const PONG: u8 = 0xa;

/// The key of the RFC's own example, and what it is answered with.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// See [`KEY`].
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// One frame.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// It ends its message.
    pub is_final: bool,
    /// The three reserved bits.
    pub reserved: u8,
    /// What it is.
    pub opcode: u8,
    /// Its content, unmasked.
    pub payload: Vec<u8>,
}

impl Frame {
    /// A frame that is a whole message, or a control frame.
    pub fn new(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            is_final: true,
            reserved: 0,
            opcode,
            payload: payload.into(),
        }
    }

    /// The same, with others of its message to follow.
    pub fn more(mut self) -> Self {
        self.is_final = false;
        self
    }

    /// The same with reserved bits, of which there are three.
    pub fn reserved(mut self, reserved: u8) -> Self {
        self.reserved = reserved;
        self
    }

    /// A close frame with a code.
    pub fn close(code: u16, reason: &str) -> Self {
        let payload = [&code.to_be_bytes()[..], reason.as_bytes()].concat();
        Self::new(CLOSE, payload)
    }

    /// The code of a close frame that has one.
    pub fn code(&self) -> Option<u16> {
        match self.payload[..] {
            [a, b, ..] if self.opcode == CLOSE => Some(u16::from_be_bytes([a, b])),
            _ => None,
        }
    }

    /// Its content as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }

    /// As a client sends it.
    pub fn masked(&self) -> Vec<u8> {
        self.bytes(Some([0x37, 0xfa, 0x21, 0x3d]))
    }

    /// As it is sent, with a mask or without.
    pub fn bytes(&self, mask: Option<[u8; 4]>) -> Vec<u8> {
        let first = u8::from(self.is_final) << 7 | self.reserved << 4 | self.opcode;
        let masked = if mask.is_some() { 0x80 } else { 0 };
        let mut bytes = vec![first];
        match self.payload.len() {
            length @ 0..126 => bytes.push(masked | length as u8),
            length @ 126..0x1_0000 => {
                bytes.push(masked | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            length => {
                bytes.push(masked | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        let mask = mask.inspect(|mask| bytes.extend(mask)).unwrap_or_default();
        let payload = self.payload.iter().zip(mask.iter().cycle());
        bytes.extend(payload.map(|(byte, mask)| byte ^ mask));
        bytes
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = if self.is_final { "" } else { "…" };
        let bytes = self.payload.len();
        match (self.opcode, self.code()) {
            (CLOSE, Some(code)) => write!(f, "close {code} {:?}", String::from_utf8_lossy(&self.payload[2..])),
            (TEXT, _) if bytes <= 200 => write!(f, "text {:?}{end}", self.text()),
            (opcode, _) => write!(f, "frame {opcode:#x} of {bytes} bytes{end}"),
        }
    }
}

/// Where bytes come from and go to.
trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// An open WebSocket.
pub struct WebSocket {
    stream: Box<dyn Stream>,
    /// The head of the answer to the handshake.
    pub answer: Reply,
}

/// The fields of a handshake over HTTP/1.1, but for `host`.
pub fn handshake_fields() -> Vec<(&'static str, String)> {
    let fields = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", KEY),
    ];
    fields.map(|(name, value)| (name, value.to_owned())).into()
}

/// The request over HTTP/1.1, with further fields.
pub fn handshake(addr: SocketAddr, path: &str, fields: &[(&str, &str)]) -> String {
    let mut all: Vec<(&str, String)> = handshake_fields();
    all.push(("host", addr.to_string()));
    all.extend(fields.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let head: String = all.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("GET {path} HTTP/1.1\r\n{head}\r\n")
}

impl WebSocket {
    /// Connects over HTTP/1.1.
    ///
    /// # Panics
    ///
    /// When the handshake is refused.
    pub fn open(addr: SocketAddr, path: &str) -> Self {
        Self::try_open(addr, path, &[]).unwrap_or_else(|reply| panic!("refused: {reply:?}"))
    }

    /// The same, with further fields in the handshake.
    ///
    /// # Errors
    ///
    /// The response, when the handshake is refused.
    pub fn try_open(addr: SocketAddr, path: &str, fields: &[(&str, &str)]) -> Result<Self, Reply> {
        Self::shake(addr, &handshake(addr, path, fields))
    }

    /// The same, with a request of the caller's.
    ///
    /// # Errors
    ///
    /// The response, when it is not 101.
    pub fn shake(addr: SocketAddr, request: &str) -> Result<Self, Reply> {
        Self::shake_on(Connection::open(addr), request)
    }

    /// The same on a connection of the caller's.
    ///
    /// # Errors
    ///
    /// The response, when it is not 101.
    pub fn shake_on(mut connection: Connection, request: &str) -> Result<Self, Reply> {
        connection.send(request);
        let answer = connection.reply();
        match answer.status {
            101 => Ok(Self {
                stream: Box::new(Http1(connection.into_reader())),
                answer,
            }),
            _ => Err(answer),
        }
    }

    /// Connects in a stream of HTTP/2 (RFC 8441).
    ///
    /// # Errors
    ///
    /// The response, when it is not 200.
    #[cfg(unix)]
    pub fn over_http2(addr: SocketAddr, path: &str, fields: &[(&str, &str)]) -> Result<Self, Reply> {
        let (stream, answer) = over_http2::open(addr, path, fields)?;
        Ok(Self {
            stream: Box::new(stream),
            answer,
        })
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    ///
    /// When the server does not take them.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.try_send_bytes(bytes).expect("the server takes what is sent");
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    ///
    /// When the server does not take them.
    pub fn try_send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Sends a frame.
    ///
    /// # Panics
    ///
    /// When the server does not take it.
    pub fn send(&mut self, frame: &Frame) {
        self.send_bytes(&frame.masked());
    }

    /// Sends a text.
    ///
    /// # Panics
    ///
    /// When the server does not take it.
    pub fn send_text(&mut self, text: &str) {
        self.send(&Frame::new(TEXT, text));
    }

    /// The next frame, or `None` where the connection has ended.
    ///
    /// # Panics
    ///
    /// When nothing comes, or half a frame.
    pub fn receive(&mut self) -> Option<Frame> {
        match self.try_receive() {
            Ok(frame) => Some(frame),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                panic!("no frame: {error}")
            }
            Err(_) => None,
        }
    }

    /// The next frame.
    ///
    /// # Errors
    ///
    /// What the socket says.
    pub fn try_receive(&mut self) -> io::Result<Frame> {
        let [first, second] = self.read()?;
        assert_eq!(second & 0x80, 0, "a server does not mask");
        let length = match second {
            126 => u16::from_be_bytes(self.read()?).into(),
            127 => u64::from_be_bytes(self.read()?),
            length => length.into(),
        };
        let mut payload = vec![0; usize::try_from(length).expect("a length that fits")];
        self.stream.read_exact(&mut payload)?;
        Ok(Frame {
            is_final: first & 0x80 != 0,
            reserved: first >> 4 & 7,
            opcode: first & 0x0f,
            payload,
        })
    }

    fn read<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// The next frame, which is a message of text.
    ///
    /// # Panics
    ///
    /// When it is something else.
    pub fn text(&mut self) -> String {
        match self.receive() {
            Some(frame) if frame.opcode == TEXT && frame.is_final => frame.text(),
            other => panic!("not a text: {other:?}"),
        }
    }

    /// Everything that still comes, until the connection ends.
    ///
    /// # Panics
    ///
    /// When it does not end.
    pub fn rest(&mut self) -> Vec<Frame> {
        std::iter::from_fn(|| self.receive()).collect()
    }

    /// The code that the connection is closed with, after whatever messages still come; `None` where it just ends.
    ///
    /// # Panics
    ///
    /// When it does not end.
    pub fn end(&mut self) -> Option<u16> {
        self.rest().iter().find_map(Frame::code)
    }
}

/// A buffered reader, and the socket below it.
struct Http1(io::BufReader<std::net::TcpStream>);

impl Read for Http1 {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Http1 {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.get_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.get_mut().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_as_in_the_rfc() {
        // RFC 6455 section 5.7.
        let hello = Frame::new(TEXT, "Hello");
        assert_eq!(hello.bytes(None), b"\x81\x05Hello");
        assert_eq!(hello.masked(), b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
        assert_eq!(Frame::new(BINARY, [0; 256]).bytes(None)[..4], *b"\x82\x7e\x01\x00");
        assert_eq!(Frame::close(1000, "x").code(), Some(1000));
    }
}
