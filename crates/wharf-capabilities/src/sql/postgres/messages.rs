//! The messages of PostgreSQL on their way to the client, by their heads alone (the protocol's section "Message Formats": a type of one
//! byte, and a length of four that counts itself).
//!
//! The client takes a message whole before anybody sees anything of it. Here one that is longer than any may be is refused at its
//! head, and the connection with it. What the server says of transactions is noted on the way, so that nobody has to ask it. Nothing
//! is copied but heads, and nothing is changed.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

const HEAD_BYTES: usize = 5;

const COMMAND_COMPLETE: u8 = b'C';
const DATA_ROW: u8 = b'D';
const ERROR_RESPONSE: u8 = b'E';
const NOTICE_RESPONSE: u8 = b'N';
const READY_FOR_QUERY: u8 = b'Z';

/// The statuses of a [`READY_FOR_QUERY`]: in no transaction, and in one that has failed. Otherwise it is in one.
const IDLE: u8 = b'I';
const FAILED: u8 = b'E';

/// What a [`COMMAND_COMPLETE`] says of a statement that committed.
const COMMITTED: &[u8] = b"COMMIT\0";

/// By how much a message may be longer than a row. A row has heads for its values. What describes the parameters of a statement has
/// 256 KiB at most, and what describes columns less.
const MORE_BYTES: usize = 512 << 10;

/// What has been seen of a connection's messages.
#[derive(Debug)]
pub(super) struct Seen {
    row_bytes_max: usize,
    status: AtomicU8,
    commits: AtomicU64,
    /// What was too long.
    refused: OnceLock<String>,
}

impl Seen {
    pub fn new(row_bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            row_bytes_max,
            status: AtomicU8::new(IDLE),
            commits: AtomicU64::new(0),
            refused: OnceLock::new(),
        })
    }

    /// Whether the server was in a transaction when it last was ready for a statement. After an error the client does not wait until
    /// it is.
    pub fn is_open(&self) -> bool {
        self.status.load(Ordering::Acquire) != IDLE
    }

    /// Whether it was in one that has failed.
    pub fn has_failed(&self) -> bool {
        self.status.load(Ordering::Acquire) == FAILED
    }

    /// How many statements have committed: one may begin the next transaction at once, and then the status is what it was.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Acquire)
    }

    /// What was longer than any message may be. The connection has ended with that.
    pub fn refused(&self) -> Option<&str> {
        self.refused.get().map(String::as_str)
    }

    fn refuse(&self, kind: u8, bytes: usize) {
        let what = match kind {
            DATA_ROW => "a row",
            ERROR_RESPONSE => "an error",
            NOTICE_RESPONSE => "a notice",
            _ => "a message",
        };
        let most = self.row_bytes_max;
        self.refused
            .get_or_init(|| format!("{what} of {bytes} bytes, more than the {most} that a row may have"));
    }

    fn error(&self) -> Option<io::Error> {
        let refused = self.refused()?;
        Some(io::Error::new(io::ErrorKind::InvalidData, format!("{refused} (row)")))
    }
}

/// A connection whose messages are looked at as they come.
#[derive(Debug)]
pub(super) struct Messages<S> {
    stream: S,
    heads: Heads,
}

/// Where in its messages a connection is.
#[derive(Debug)]
struct Heads {
    seen: Arc<Seen>,
    /// What is left of the message that is passing.
    left: usize,
    /// The beginning of a message, of which so much has come, and so much is wanted.
    part: [u8; HEAD_BYTES + COMMITTED.len()],
    come: usize,
    wanted: usize,
}

impl<S> Messages<S> {
    /// `stream` begins with a message.
    pub fn new(stream: S, seen: Arc<Seen>) -> Self {
        Self {
            stream,
            heads: Heads::new(seen),
        }
    }
}

impl Heads {
    fn new(seen: Arc<Seen>) -> Self {
        Self {
            seen,
            left: 0,
            part: [0; HEAD_BYTES + COMMITTED.len()],
            come: 0,
            wanted: HEAD_BYTES,
        }
    }

    /// How many of these bytes pass: all, unless a message that is too long begins in them.
    fn look(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        loop {
            let passes = self.left.min(bytes.len() - at);
            self.left -= passes;
            at += passes;
            if at == bytes.len() {
                return at;
            }
            let before = at;
            let taken = (self.wanted - self.come).min(bytes.len() - at);
            self.part[self.come..self.come + taken].copy_from_slice(&bytes[at..at + taken]);
            self.come += taken;
            at += taken;
            if self.come == self.wanted && !self.judge() {
                return before;
            }
        }
    }

    /// Judges the beginning of a message, and says whether it passes.
    fn judge(&mut self) -> bool {
        let [kind, l0, l1, l2, l3, begins @ ..] = self.part;
        let length = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
        if length > self.seen.row_bytes_max.saturating_add(MORE_BYTES) {
            self.seen.refuse(kind, length);
            return false;
        }
        // That a length is none the client says.
        let payload = length.saturating_sub(HEAD_BYTES - 1);
        let told = match kind {
            READY_FOR_QUERY => payload.min(1),
            COMMAND_COMPLETE => payload.min(COMMITTED.len()),
            _ => 0,
        };
        if self.wanted < HEAD_BYTES + told {
            self.wanted = HEAD_BYTES + told;
            return true;
        }
        match kind {
            READY_FOR_QUERY if told > 0 => self.seen.status.store(begins[0], Ordering::Release),
            COMMAND_COMPLETE if &begins[..told] == COMMITTED => {
                self.seen.commits.fetch_add(1, Ordering::AcqRel);
            }
            _ => {}
        }
        self.left = payload - told;
        self.come = 0;
        self.wanted = HEAD_BYTES;
        true
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Messages<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(error) = self.heads.seen.error() {
            return Poll::Ready(Err(error));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let passes = self.heads.look(&buffer.filled()[before..]);
        buffer.set_filled(before + passes);
        match self.heads.seen.error() {
            // What came before it is told first.
            Some(error) if passes == 0 => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Messages<S> {
    writes_as!(stream);
}

impl<S: TlsStream + Unpin> TlsStream for Messages<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.stream.channel_binding()
    }
}

/// Encrypts a connection, and looks at the messages within.
pub(super) struct Within<C> {
    pub connect: C,
    pub seen: Arc<Seen>,
}

impl<S, C> TlsConnect<S> for Within<C>
where
    C: TlsConnect<S>,
    C::Stream: Unpin,
    C::Future: Send + 'static,
{
    type Stream = Messages<C::Stream>;
    type Error = C::Error;
    type Future = BoxFuture<'static, Result<Self::Stream, C::Error>>;

    fn connect(self, stream: S) -> Self::Future {
        let Self { connect, seen } = self;
        let connecting = connect.connect(stream);
        async move { Ok(Messages::new(connecting.await?, seen)) }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    const ROW_BYTES_MAX: usize = 1024;

    /// The longest that a message may say it is.
    const LENGTH_MAX: usize = ROW_BYTES_MAX + MORE_BYTES;

    fn message(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len() + 4).unwrap().to_be_bytes();
        [&[kind], &length[..], payload].concat()
    }

    /// A message of which only the head, and a little more, ever comes.
    fn begun(kind: u8, length: u32) -> Vec<u8> {
        [&[kind], &length.to_be_bytes()[..], b"xxxxxxxxxxxxxxxx"].concat()
    }

    /// How many bytes pass when they come in pieces of a size.
    fn passed(all: &[u8], size: usize) -> (usize, Arc<Seen>) {
        let seen = Seen::new(ROW_BYTES_MAX);
        let mut heads = Heads::new(seen.clone());
        let mut passed = 0;
        for piece in all.chunks(size) {
            let passes = heads.look(piece);
            passed += passes;
            if passes < piece.len() {
                break;
            }
        }
        (passed, seen)
    }

    const SIZES: [usize; 12] = [1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 100, 1 << 20];

    #[test]
    fn what_is_too_long_is_refused_at_its_head() {
        let too_long = u32::try_from(LENGTH_MAX + 1).unwrap();
        for (kind, length, what) in [
            (b'D', too_long, "a row of 525313 bytes"),
            (b'D', 900_000_014, "a row of 900000014 bytes"),
            (b'E', 300_000_000, "an error of 300000000 bytes"),
            (b'N', u32::MAX, "a notice of 4294967295 bytes"),
            (b'T', too_long, "a message of 525313 bytes"),
            (b'Z', too_long, "a message of 525313 bytes"),
            (b'C', too_long, "a message of 525313 bytes"),
        ] {
            let before = [message(b'2', b""), message(b'D', b"a row"), message(b'1', b"")].concat();
            let all = [&before[..], &begun(kind, length)].concat();
            for size in SIZES {
                let (passed, seen) = passed(&all, size);
                // Of the head there may pass what came before it was whole.
                assert!((before.len()..before.len() + HEAD_BYTES).contains(&passed), "{size}");
                let refused = seen.refused().unwrap();
                assert!(refused.starts_with(what), "{refused} in pieces of {size}");
            }
        }
    }

    #[test]
    fn what_is_as_long_as_may_be_passes() {
        let longest = message(b'D', &vec![b'x'; LENGTH_MAX - 4]);
        let all = [message(b'2', b""), longest.clone(), message(b'Z', b"T"), longest].concat();
        for size in SIZES {
            let (passed, seen) = passed(&all, size);
            assert_eq!((passed, seen.refused()), (all.len(), None), "{size}");
            assert!(seen.is_open(), "{size}");
        }
    }

    #[test]
    fn what_the_server_says_of_transactions_is_noted() {
        let ready = |status: &[u8]| message(b'Z', status);
        for (messages, is_open, has_failed, commits) in [
            (vec![], false, false, 0),
            (vec![ready(b"T")], true, false, 0),
            (vec![message(b'E', b"SERROR\0\0"), ready(b"E")], true, true, 0),
            (vec![ready(b"E"), ready(b"I")], false, false, 0),
            (vec![message(b'C', b"COMMIT\0"), ready(b"T")], true, false, 1),
            (vec![message(b'C', b"DO\0"), ready(b"I")], false, false, 0),
            (vec![message(b'C', b"INSERT 0 1\0"), ready(b"T")], true, false, 0),
            // Content that looks like it.
            (vec![message(b'D', &ready(b"T"))], false, false, 0),
            (vec![message(b'D', &message(b'C', b"COMMIT\0"))], false, false, 0),
            // The client says what is wrong with these.
            (vec![message(b'Z', b""), message(b'C', b"")], false, false, 0),
            (vec![b"Z\0\0\0\0".to_vec(), ready(b"T")], true, false, 0),
        ] {
            let all = messages.concat();
            for size in SIZES {
                let (passed, seen) = passed(&all, size);
                assert_eq!(passed, all.len(), "{messages:?} in pieces of {size}");
                let noted = (seen.is_open(), seen.has_failed(), seen.commits());
                assert_eq!(
                    noted,
                    (is_open, has_failed, commits),
                    "{messages:?} in pieces of {size}"
                );
            }
        }
    }

    /// The client reads what came before, then hears of it, however much it reads at a time.
    #[tokio::test]
    async fn a_connection_ends_with_what_is_too_long() {
        let before = message(b'D', b"a row");
        let all = [&before[..], &begun(b'D', 900_000_000)].concat();
        for size in SIZES {
            let mut messages = Messages::new(&all[..], Seen::new(ROW_BYTES_MAX));
            let mut read = Vec::new();
            let mut buffer = vec![0; size];
            let error = loop {
                match messages.read(&mut buffer).await {
                    Ok(0) => panic!("it ended in pieces of {size}"),
                    Ok(count) => read.extend(&buffer[..count]),
                    Err(error) => break error,
                }
            };
            assert!(
                read.starts_with(&before) && read.len() < before.len() + HEAD_BYTES,
                "{size}"
            );
            assert!(error.to_string().ends_with("(row)"), "{error}");
            assert!(
                messages.read(&mut buffer).await.is_err(),
                "it is over in pieces of {size}"
            );
        }
    }
}
