//! A response's content: parts of a file, and text between them, read as the client takes them.
//!
//! What is small is read at once, on the thread that opened the file. The rest is read piece by piece, each when the one
//! before has been taken: a client that does not read holds a file handle, and neither memory nor a thread. Nothing is read
//! ahead, because the system does that for files that are read in order.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::sync::Semaphore;
use wharf_host::http::{ErrorCode, Payload};

/// How much is read at once, and up to which length content is read whole: as much as a socket takes at once, so that a
/// thousand slow clients hold 64 MiB.
const PIECE_BYTES: u64 = 64 * 1024;

/// Runs `work` on a blocking thread, when one of `permits` is free.
pub(super) async fn blocking<T: Send + 'static>(
    permits: &Arc<Semaphore>,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let permit = permits.clone().acquire_owned().await.map_err(io::Error::other)?;
    let work = move || {
        // The thread's, not the future's: work whose client has left occupies its thread all the same.
        let _permit = permit;
        work()
    };
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[derive(Debug)]
enum Part {
    Text(Bytes),
    Bytes(Range<u64>),
}

/// What is to be sent.
#[derive(Debug)]
pub(super) struct Content {
    file: File,
    /// For the log.
    name: String,
    parts: VecDeque<Part>,
    /// The length of all parts that are still to be sent.
    bytes: u64,
}

impl Content {
    pub fn new(file: File, name: String) -> Self {
        Self {
            file,
            name,
            parts: VecDeque::new(),
            bytes: 0,
        }
    }

    pub fn add_text(&mut self, text: Bytes) {
        self.bytes += text.len() as u64;
        self.parts.push_back(Part::Text(text));
    }

    pub fn add_bytes(&mut self, range: Range<u64>) {
        self.bytes += range.end - range.start;
        self.parts.push_back(Part::Bytes(range));
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Blocks where it is small: then it is read.
    pub fn into_payload(mut self, permits: &Arc<Semaphore>) -> io::Result<Payload> {
        if self.bytes > PIECE_BYTES {
            let body = FileBody {
                left: self.bytes,
                permits: permits.clone(),
                state: State::Waiting(self),
            };
            return Ok(Payload::from(body.boxed_unsync()));
        }
        let mut whole = Vec::new();
        while let Some(piece) = self.next()? {
            whole.extend_from_slice(&piece);
        }
        Ok(Payload::from(Bytes::from(whole)))
    }

    /// The next piece. Blocks.
    fn next(&mut self) -> io::Result<Option<Bytes>> {
        let piece = match self.parts.pop_front() {
            None => return Ok(None),
            Some(Part::Text(text)) => text,
            Some(Part::Bytes(range)) => {
                let end = range.end.min(range.start.saturating_add(PIECE_BYTES));
                if end < range.end {
                    self.parts.push_front(Part::Bytes(end..range.end));
                }
                self.read(range.start..end)?
            }
        };
        self.bytes = self.bytes.saturating_sub(piece.len() as u64);
        Ok(Some(piece))
    }

    /// Exactly these bytes. A file that has grown is cut at the length that was announced; one that has shrunk cannot be
    /// sent as announced any more.
    fn read(&mut self, range: Range<u64>) -> io::Result<Bytes> {
        let length = range.end - range.start;
        let mut bytes = Vec::with_capacity(usize::try_from(length).map_err(io::Error::other)?);
        self.file.seek(SeekFrom::Start(range.start))?;
        (&self.file).take(length).read_to_end(&mut bytes)?;
        if (bytes.len() as u64) < length {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file has shrunk"));
        }
        Ok(bytes.into())
    }
}

/// Content that is read while it is sent.
struct FileBody {
    state: State,
    left: u64,
    permits: Arc<Semaphore>,
}

enum State {
    Waiting(Content),
    Reading(Reading),
    Ended,
}

/// A piece to come, and what is left after it.
type Reading = Pin<Box<dyn Future<Output = io::Result<(Content, Option<Bytes>)>> + Send>>;

fn read(mut content: Content, permits: Arc<Semaphore>) -> Reading {
    Box::pin(async move {
        let work = move || {
            let piece = content.next().inspect_err(|error| {
                tracing::warn!(file = content.name, %error, "a file breaks off while it is sent");
            })?;
            Ok((content, piece))
        };
        blocking(&permits, work).await
    })
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = ErrorCode;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        self.state = match std::mem::replace(&mut self.state, State::Ended) {
            State::Waiting(content) => State::Reading(read(content, self.permits.clone())),
            state => state,
        };
        let State::Reading(reading) = &mut self.state else {
            return Poll::Ready(None);
        };
        let read = ready!(reading.as_mut().poll(cx));
        self.state = State::Ended;
        let (content, piece) = match read {
            Ok(read) => read,
            Err(error) => return Poll::Ready(Some(Err(broken(&error)))),
        };
        self.left = content.bytes();
        if self.left > 0 {
            self.state = State::Waiting(content);
        }
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// The response has begun, so all that is left to say is that it breaks off.
fn broken(error: &io::Error) -> ErrorCode {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => ErrorCode::HttpResponseIncomplete,
        _ => ErrorCode::InternalError(Some(error.to_string())),
    }
}
