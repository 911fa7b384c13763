//! A socket that hyper reads and writes while somebody else watches whether its peer is still there.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use rustix::net::RecvFlags;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// What one read takes at most: in larger pieces an upload costs the kernel less, in smaller ones the copy does.
const CHUNK_BYTES: usize = 256 << 10;

thread_local! {
    /// Between the kernel and hyper's buffer, which may be uninitialised memory that safe code cannot hand to the
    /// kernel. One for all connections of a thread: clearing one for every read would cost more than the copy.
    static CHUNK: RefCell<Box<[u8]>> = RefCell::new(vec![0; CHUNK_BYTES].into());
}

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

    fn poll_read_into(
        &self,
        cx: &mut Context<'_>,
        chunk: &mut [u8],
        buffer: &mut ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buffer.remaining().min(chunk.len());
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.read(&mut chunk[..room]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(bytes) => {
                    buffer.put_slice(&chunk[..bytes]);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    /// Reads what is there. A read that was not filled has taken everything: the next one need not ask the kernel to learn
    /// that, so the socket counts as empty, as it does after one that would block. (What has come since the call makes it
    /// readable anew: Tokio tells by the time at which it heard of that.)
    fn read(&self, chunk: &mut [u8]) -> io::Result<usize> {
        let mut partial = None;
        let filled = self.0.try_io(Interest::READABLE, || {
            let (bytes, _) = rustix::net::recv(&self.0, &mut *chunk, RecvFlags::empty())?;
            if 0 < bytes && bytes < chunk.len() {
                partial = Some(bytes);
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(bytes)
        });
        partial.map_or(filled, Ok)
    }
}

impl Read for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, mut buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        CHUNK.with_borrow_mut(|chunk| self.poll_read_into(cx, chunk, &mut buffer))
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
