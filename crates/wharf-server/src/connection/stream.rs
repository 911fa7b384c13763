//! A socket that hyper reads and writes while somebody else watches whether its peer is still there.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::net::TcpStream;

/// A TCP connection for hyper.
pub(super) struct Stream(Arc<TcpStream>);

impl Stream {
    pub fn new(socket: TcpStream) -> Self {
        Self(Arc::new(socket))
    }

    /// The socket, to watch.
    pub fn socket(&self) -> Arc<TcpStream> {
        self.0.clone()
    }

    fn poll_until_written(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match write(&self.0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }
}

/// What most requests fit in. Hyper's buffer may be uninitialised memory, which safe code cannot hand to the kernel:
/// bytes pass through a chunk on the stack, and clearing a large one for every small request would cost more than the copy.
const SMALL_BYTES: usize = 2 << 10;

/// What bodies are read by.
const LARGE_BYTES: usize = 64 << 10;

impl Stream {
    fn poll_chunk<const BYTES: usize>(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBufCursor<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut chunk = [0; BYTES];
        let room = buffer.remaining().min(BYTES);
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.0.try_read(&mut chunk[..room]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(bytes) => {
                    buffer.put_slice(&chunk[..bytes]);
                    return Poll::Ready(Ok(bytes));
                }
            }
        }
    }
}

impl Read for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, mut buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let read = ready!(self.poll_chunk::<SMALL_BYTES>(cx, &mut buffer))?;
        if read == SMALL_BYTES && buffer.remaining() > 0 {
            // More is there, most likely; that there is not is no news for hyper, which has something already.
            if let Poll::Ready(Err(error)) = self.poll_chunk::<LARGE_BYTES>(cx, &mut buffer) {
                return Poll::Ready(Err(error));
            }
        }
        Poll::Ready(Ok(()))
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
        Poll::Ready(rustix::net::shutdown(&self.0, rustix::net::Shutdown::Write).map_err(Into::into))
    }
}
