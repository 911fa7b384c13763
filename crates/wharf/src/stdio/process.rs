//! This process's own standard output and error, on Unix.
//!
//! The descriptors stay as they were inherited: making them non-blocking would do the same to every other program
//! that shares them. Instead, nothing is written before the kernel says that there is room.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::{Sink, Waiting};

/// Standard output or error of this process.
pub struct ProcessOutput(Target);

enum Target {
    /// A pipe, socket or terminal, whose reader may be slow.
    Polled(AsyncFd<File>),
    /// A file, which always has room and which the kernel cannot tell about.
    File(File),
}

/// Standard output of this process, within a tokio runtime.
pub fn stdout() -> io::Result<ProcessOutput> {
    ProcessOutput::new(io::stdout().as_fd())
}

/// Standard error of this process, within a tokio runtime.
pub fn stderr() -> io::Result<ProcessOutput> {
    ProcessOutput::new(io::stderr().as_fd())
}

impl ProcessOutput {
    fn new(fd: BorrowedFd<'_>) -> io::Result<ProcessOutput> {
        let file = File::from(fd.try_clone_to_owned()?);
        Ok(ProcessOutput(match AsyncFd::try_with_interest(file, Interest::WRITABLE) {
            Ok(polled) => Target::Polled(polled),
            Err(error) => Target::File(error.into_parts().0),
        }))
    }

    fn file(&self) -> &File {
        match &self.0 {
            Target::Polled(fd) => fd.get_ref(),
            Target::File(file) => file,
        }
    }
}

/// Whether a write would be done, or fail, at once.
fn has_room(file: &File) -> bool {
    let mut fds = [PollFd::new(file, PollFlags::OUT)];
    // An error of `poll` itself says nothing about the file: writing will tell.
    poll(&mut fds, Some(&Timespec::default())) != Ok(0)
}

impl Sink for ProcessOutput {
    fn is_ready(&self) -> bool {
        match &self.0 {
            Target::Polled(fd) => has_room(fd.get_ref()),
            Target::File(_) => true,
        }
    }

    fn wait(self: Arc<Self>) -> Waiting {
        Box::pin(async move {
            let Target::Polled(fd) = &self.0 else { return };
            while let Ok(mut guard) = fd.writable().await {
                if has_room(fd.get_ref()) {
                    return;
                }
                guard.clear_ready();
            }
        })
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.file().write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Somebody else made the descriptor non-blocking, and took the room there was.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    poll(&mut [PollFd::new(self.file(), PollFlags::OUT)], None)?;
                }
                result => return result,
            }
        }
    }

    fn is_terminal(&self) -> bool {
        io::IsTerminal::is_terminal(self.file())
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
        tokio::time::timeout(Duration::from_secs(60), write).await.unwrap().unwrap();
        assert!(read.await.unwrap().unwrap() == text);
    }

    #[tokio::test]
    async fn a_closed_pipe_is_an_error() {
        let (reader, writer) = io::pipe().unwrap();
        let output = Output::new(ProcessOutput::new(writer.as_fd()).unwrap());
        drop(reader);
        let mut stream = Box::into_pin(output.async_stream());
        assert_eq!(stream.write_all(b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert!(output.p2_stream().write(bytes::Bytes::from_static(b"x")).is_err());
    }
}
