//! This process's own standard output and error, on Unix.
//!
//! The descriptors stay as they were inherited: making them non-blocking would do the same to every other program
//! that shares them. Instead, nothing is written before the kernel says that there is room.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::Notify;

use super::{Sink, Waiting};

/// Until the next attempt where no thread can be had that would wait.
const PAUSE: Duration = Duration::from_millis(10);

/// Standard output or error of this process.
pub struct ProcessOutput {
    file: File,
    /// Whether a thread waits for room.
    is_awaited: AtomicBool,
    room: Notify,
}

/// Standard output of this process.
pub fn stdout() -> io::Result<ProcessOutput> {
    ProcessOutput::new(io::stdout().as_fd())
}

/// Standard error of this process.
pub fn stderr() -> io::Result<ProcessOutput> {
    ProcessOutput::new(io::stderr().as_fd())
}

impl ProcessOutput {
    fn new(fd: BorrowedFd<'_>) -> io::Result<ProcessOutput> {
        let file = File::from(fd.try_clone_to_owned()?);
        Ok(ProcessOutput {
            file,
            is_awaited: AtomicBool::new(false),
            room: Notify::new(),
        })
    }

    /// Has a thread wait, unless one does. The runtime's own way to wait for a descriptor would need `unsafe`, and a
    /// thread costs nothing as long as the reader keeps up.
    fn await_room(self: &Arc<Self>) -> io::Result<()> {
        if self.is_awaited.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        let output = self.clone();
        let thread = std::thread::Builder::new().name("wharf-output".into()).spawn(move || {
            let _ = poll(&mut [PollFd::new(&output.file, PollFlags::OUT)], None);
            output.is_awaited.store(false, Ordering::SeqCst);
            output.room.notify_waiters();
        });
        thread
            .map(drop)
            .inspect_err(|_| self.is_awaited.store(false, Ordering::SeqCst))
    }
}

impl Sink for ProcessOutput {
    fn is_ready(&self) -> bool {
        // An error of `poll` itself says nothing about the file: writing will tell.
        poll(
            &mut [PollFd::new(&self.file, PollFlags::OUT)],
            Some(&Timespec::default()),
        ) != Ok(0)
    }

    fn wait(self: Arc<Self>) -> Waiting {
        Box::pin(async move {
            let mut room = std::pin::pin!(self.room.notified());
            // Before the thread is asked for, so that its word is not missed.
            room.as_mut().enable();
            match self.await_room() {
                Ok(()) => room.await,
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        })
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match (&self.file).write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Somebody else made the descriptor non-blocking, and took the room there was.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    poll(&mut [PollFd::new(&self.file, PollFlags::OUT)], None)?;
                }
                result => return result,
            }
        }
    }

    fn is_terminal(&self) -> bool {
        io::IsTerminal::is_terminal(&self.file)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Read as _;
    use std::pin::pin;
    use std::task::Poll;
    use std::time::Duration;

    use tokio::io::AsyncWriteExt as _;
    use wharf_host::stdio::StdoutStream as _;

    use super::super::Output;
    use super::*;

    #[tokio::test]
    async fn a_full_pipe_waits_without_blocking_and_goes_on_when_it_is_read() {
        let (mut reader, writer) = io::pipe().unwrap();
        let output = Output::new(ProcessOutput::new(writer.as_fd()).unwrap());
        drop(writer);
        let mut stream = Box::into_pin(output.async_stream());
        // More than any pipe holds.
        let text: Vec<u8> = (0..4_000_000_u32).map(|i| i as u8).collect();
        let mut write = pin!(stream.write_all(&text));
        let parked = poll_fn(|cx| Poll::Ready(write.as_mut().poll(cx).is_pending())).await;
        assert!(parked);
        drop(output);
        let read = tokio::task::spawn_blocking(move || {
            let mut read = vec![0; 4_000_000];
            reader.read_exact(&mut read).map(|()| read)
        });
        tokio::time::timeout(Duration::from_secs(60), write)
            .await
            .unwrap()
            .unwrap();
        assert!(read.await.unwrap().unwrap() == text);
    }

    #[tokio::test]
    async fn a_closed_pipe_is_an_error() {
        let (reader, writer) = io::pipe().unwrap();
        let output = Output::new(ProcessOutput::new(writer.as_fd()).unwrap());
        drop(reader);
        let mut stream = Box::into_pin(output.async_stream());
        assert_eq!(
            stream.write_all(b"x").await.unwrap_err().kind(),
            io::ErrorKind::BrokenPipe
        );
        assert!(output.p2_stream().write(bytes::Bytes::from_static(b"x")).is_err());
    }
}
