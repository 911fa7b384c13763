//! Where the output of guests goes: straight to this process's own (`run`), or line by line into a queue (`serve`).
//!
//! Both are written without waiting: while a pipe is full, what else a guest does goes on, and what it has written is
//! never held back by a buffer of ours. How lines leave the queue is in `log.rs`.

#[cfg(unix)]
mod process;
#[cfg(not(unix))]
#[path = "stdio/process_std.rs"]
mod process;

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wharf_host::stdio::{IsTerminal, OutputStream, Pollable, StdoutStream, StreamError, StreamResult, async_trait};

pub use process::{stderr, stdout};

use crate::log::Lines;

/// What is written at once. A pipe that has room takes as much without waiting (POSIX: `PIPE_BUF` is at least 512, and
/// 4096 where it matters).
const WRITE_BYTES_MAX: usize = 4096;

/// A line longer than this is cut into several.
const LINE_BYTES_MAX: usize = 16 << 10;

type Waiting = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Takes a guest's output.
pub trait Sink: Send + Sync + 'static {
    /// Whether [`WRITE_BYTES_MAX`] bytes can be written now without waiting, or the attempt would fail at once.
    fn is_ready(&self) -> bool;

    /// Waits until there may be room again.
    fn wait(self: Arc<Self>) -> Waiting;

    /// Writes some of `bytes`.
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Whether somebody looks at it directly.
    fn is_terminal(&self) -> bool;
}

/// A [`Sink`] as a guest's standard output or error.
pub struct Output<S>(Arc<S>);

impl<S: Sink> Output<S> {
    /// The output of one instance.
    pub fn new(sink: S) -> Output<S> {
        Output(Arc::new(sink))
    }

    fn stream(&self) -> Stream<S> {
        Stream {
            sink: self.0.clone(),
            waiting: Mutex::default(),
        }
    }
}

impl<S: Sink> IsTerminal for Output<S> {
    fn is_terminal(&self) -> bool {
        self.0.is_terminal()
    }
}

impl<S: Sink> StdoutStream for Output<S> {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.stream())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.stream())
    }
}

/// One of the streams that a guest has open to a [`Sink`].
struct Stream<S> {
    sink: Arc<S>,
    /// Never locked, only there because a stream has to be `Sync`.
    waiting: Mutex<Option<Waiting>>,
}

impl<S: Sink> Stream<S> {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let waiting = self.waiting.get_mut().unwrap_or_else(PoisonError::into_inner);
        while !self.sink.is_ready() {
            let wait = waiting.get_or_insert_with(|| self.sink.clone().wait());
            ready!(wait.as_mut().poll(cx));
            *waiting = None;
        }
        Poll::Ready(())
    }
}

impl<S: Sink> AsyncWrite for Stream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_ready(cx));
        Poll::Ready(self.sink.write(&bytes[..bytes.len().min(WRITE_BYTES_MAX)]))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[async_trait]
impl<S: Sink> Pollable for Stream<S> {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| self.poll_ready(cx)).await;
    }
}

impl<S: Sink> OutputStream for Stream<S> {
    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(if self.sink.is_ready() { WRITE_BYTES_MAX } else { 0 })
    }

    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let mut rest = bytes.as_ref();
        while !rest.is_empty() {
            match self.sink.write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Err(StreamError::Closed),
                Err(error) => return Err(StreamError::LastOperationFailed(error.into())),
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }
}

/// Gathers the lines of one instance, so that those of others never stand in the middle of them.
pub struct LineOutput {
    lines: Lines,
    /// What each line begins with.
    prefix: Arc<str>,
    unfinished: Mutex<Vec<u8>>,
}

impl LineOutput {
    /// The lines of one instance on their way to `lines`, each behind `prefix`.
    pub fn new(lines: Lines, prefix: Arc<str>) -> LineOutput {
        LineOutput {
            lines,
            prefix,
            unfinished: Mutex::default(),
        }
    }

    fn push(&self, line: Vec<u8>) {
        self.lines.push(match self.prefix.is_empty() {
            true => line,
            false => [self.prefix.as_bytes(), &line].concat(),
        });
    }
}

impl Sink for LineOutput {
    fn is_ready(&self) -> bool {
        true
    }

    fn wait(self: Arc<Self>) -> Waiting {
        Box::pin(std::future::ready(()))
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut unfinished = self.unfinished.lock().unwrap_or_else(PoisonError::into_inner);
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            unfinished.extend_from_slice(piece);
            if unfinished.ends_with(b"\n") {
                self.push(std::mem::take(&mut unfinished));
            } else if unfinished.len() >= LINE_BYTES_MAX {
                unfinished.push(b'\n');
                self.push(std::mem::take(&mut unfinished));
            }
        }
        Ok(bytes.len())
    }

    fn is_terminal(&self) -> bool {
        false
    }
}

impl Drop for LineOutput {
    /// What a guest wrote last matters most when it trapped in the middle of a line.
    fn drop(&mut self) {
        let unfinished = self.unfinished.get_mut().unwrap_or_else(PoisonError::into_inner);
        if !unfinished.is_empty() {
            unfinished.push(b'\n');
            let line = std::mem::take(unfinished);
            self.push(line);
        }
    }
}
