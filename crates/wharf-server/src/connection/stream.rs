//! A socket that hyper reads and writes while somebody else watches what its peer does.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::activity::Activity;

/// What an HTTP/2 connection begins with (RFC 9113 section 3.4), as far as it is no request of HTTP/1.1.
const HTTP2_BEGINS: &[u8; 14] = b"PRI * HTTP/2.0";

/// A TCP connection for hyper. Its reading half is hyper's alone, which lets Tokio read into hyper's own buffer.
pub(super) struct Stream {
    reader: TokioIo<Reader>,
    writer: Socket,
    activity: Arc<Activity>,
}

/// The half that is read, which tells of what comes.
struct Reader {
    half: OwnedReadHalf,
    activity: Arc<Activity>,
    /// How much of what HTTP/2 begins with has come; `None` once something else has, or all of it.
    preface: Option<usize>,
}

/// A connection's socket, to watch and to write to.
#[derive(Clone)]
pub(crate) struct Socket(Arc<OwnedWriteHalf>);

/// A socket that is closed when nobody else needs it.
pub(crate) struct WeakSocket(Weak<OwnedWriteHalf>);

impl WeakSocket {
    pub fn upgrade(&self) -> Option<Socket> {
        self.0.upgrade().map(Socket)
    }
}

impl Stream {
    pub fn new(socket: TcpStream, activity: Arc<Activity>) -> Self {
        let (reader, half) = socket.into_split();
        let reader = Reader {
            half: reader,
            activity: activity.clone(),
            preface: Some(0),
        };
        Self {
            reader: TokioIo::new(reader),
            writer: Socket(Arc::new(half)),
            activity,
        }
    }

    pub fn socket(&self) -> Socket {
        self.writer.clone()
    }

    fn poll_until_written(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let (socket, traffic) = (self.writer.tcp(), &self.activity.traffic);
        loop {
            if socket.poll_write_ready(cx)?.is_pending() {
                traffic.block();
                return Poll::Pending;
            }
            match write(socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(bytes) => {
                    traffic.wrote(bytes);
                    return Poll::Ready(Ok(bytes));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl Socket {
    pub fn downgrade(&self) -> WeakSocket {
        WeakSocket(Arc::downgrade(&self.0))
    }

    pub fn tcp(&self) -> &TcpStream {
        (*self.0).as_ref()
    }
}

impl AsyncRead for Reader {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.half).poll_read(cx, buffer))?;
        let bytes = &buffer.filled()[before..];
        if bytes.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if let Some(come) = self.preface {
            self.preface = preface(come, bytes);
            if self.preface == Some(HTTP2_BEGINS.len()) {
                self.preface = None;
                self.activity.speaks_http2();
            }
        }
        self.activity.received(bytes.len());
        Poll::Ready(Ok(()))
    }
}

/// How much of what HTTP/2 begins with has come with `bytes`, after `come` of it, if nothing else has.
fn preface(come: usize, bytes: &[u8]) -> Option<usize> {
    let left = HTTP2_BEGINS.get(come..)?;
    let compared = left.len().min(bytes.len());
    (left[..compared] == bytes[..compared]).then_some(come + compared)
}

impl Read for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_read(cx, buffer)
    }
}

impl Write for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_until_written(cx, |socket| socket.try_write(bytes))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_until_written(cx, |socket| socket.try_write_vectored(parts))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = rustix::net::shutdown(self.writer.tcp(), rustix::net::Shutdown::Write);
        Poll::Ready(shut.map_err(Into::into))
    }
}
