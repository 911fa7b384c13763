//! What hyper reads and writes, while somebody else watches what its peer does.
//!
//! Three layers: a socket in two halves ([`Plain`]), whose reading half is hyper's alone, which lets Tokio read into hyper's own
//! buffer; TLS over it ([`Secure`]), where the client speaks that; and who looks at what comes ([`Counted`]). Connections by plain
//! TCP, the most common by far, have a type of their own, so that the others cost them nothing; the others share one
//! ([`Other`]).

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, tcp};
#[cfg(unix)]
use tokio::net::{UnixStream, unix};
use tokio_rustls::server::TlsStream;

use super::Agreed;
use super::activity::Activity;
use super::frames::Written;
use crate::tls::HTTP2;

/// What an HTTP/2 connection begins with (RFC 9113 section 3.4), as far as it is no request of HTTP/1.1.
const HTTP2_BEGINS: &[u8; 14] = b"PRI * HTTP/2.0";

/// The kinds of sockets, which Tokio gives the same functions and no name for them.
pub(super) trait Wire: Sized + Send + Sync + Unpin + 'static {
    type Reader: AsyncRead + Send + Unpin;
    type Writer: AsRef<Self> + Send + Sync;

    fn halves(self) -> (Self::Reader, Self::Writer);
    fn socket(writer: Arc<Self::Writer>) -> Socket;
    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;
    fn try_write_vectored(&self, parts: &[io::IoSlice<'_>]) -> io::Result<usize>;
    /// Receives when something has come, with the system's own flags.
    fn receive(&self, into: &mut [u8], flags: rustix::net::RecvFlags)
    -> impl Future<Output = io::Result<usize>> + Send;
}

/// A socket in two halves.
pub(super) struct Plain<S: Wire> {
    reader: S::Reader,
    writer: Arc<S::Writer>,
    activity: Arc<Activity>,
}

/// TLS over a socket.
pub(super) struct Secure<S: Wire> {
    tls: TlsStream<Plain<S>>,
    last_words: Arc<LastWords>,
}

/// Whatever is not plain TCP.
pub(super) enum Other {
    #[cfg(unix)]
    Unix(Plain<UnixStream>),
    // Boxed: what TLS keeps of a connection is moved about with it until hyper has its place.
    Tls(Box<Secure<TcpStream>>),
    #[cfg(unix)]
    TlsOverUnix(Box<Secure<UnixStream>>),
    /// Plain TCP that came by way of a proxy that said whose it is.
    Tcp(Plain<TcpStream>),
}

/// A connection whose bytes are counted as they come.
pub(super) struct Counted<T> {
    inner: T,
    activity: Arc<Activity>,
    /// How much of what HTTP/2 begins with has come; `None` once something else has, or all of it.
    preface: Option<usize>,
    /// What it has to be.
    agreed: Option<Agreed>,
    /// What was written of HTTP/2.
    written: Written,
}

/// A connection's socket, to watch and to write to from outside of hyper.
#[derive(Clone)]
pub(crate) enum Socket {
    Tcp(Arc<tcp::OwnedWriteHalf>),
    #[cfg(unix)]
    Unix(Arc<unix::OwnedWriteHalf>),
}

/// A socket that is closed when nobody else needs it.
pub(crate) enum WeakSocket {
    Tcp(Weak<tcp::OwnedWriteHalf>),
    #[cfg(unix)]
    Unix(Weak<unix::OwnedWriteHalf>),
}

impl WeakSocket {
    pub fn upgrade(&self) -> Option<Socket> {
        match self {
            Self::Tcp(half) => half.upgrade().map(Socket::Tcp),
            #[cfg(unix)]
            Self::Unix(half) => half.upgrade().map(Socket::Unix),
        }
    }
}

/// What is said by TLS once hyper has let go of it.
pub(super) type LastWords = OnceLock<&'static [u8]>;

impl<S: Wire> Plain<S> {
    pub fn new(socket: S, activity: Arc<Activity>) -> Self {
        let (reader, writer) = socket.halves();
        Self {
            reader,
            writer: Arc::new(writer),
            activity,
        }
    }

    pub fn socket(&self) -> Socket {
        S::socket(self.writer.clone())
    }

    fn poll_until_written(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&S) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let (socket, traffic) = ((*self.writer).as_ref(), &self.activity.traffic);
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

impl<S: Wire> AsyncRead for Plain<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_read(cx, buffer)
    }
}

impl<S: Wire> AsyncWrite for Plain<S> {
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
        self.socket().finish();
        Poll::Ready(Ok(()))
    }
}

impl<S: Wire> Secure<S> {
    pub fn new(tls: TlsStream<Plain<S>>) -> Self {
        Self {
            tls,
            last_words: Arc::default(),
        }
    }

    pub fn last_words(&self) -> Arc<LastWords> {
        self.last_words.clone()
    }

    /// Whether that is what client and server have agreed on.
    pub fn speaks_http2(&self) -> bool {
        self.tls.get_ref().1.alpn_protocol() == Some(HTTP2)
    }

    /// What TLS takes is on its way to the client, whether or not the socket has it: nothing else may be said in its place.
    fn poll_taken(&self, taken: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if taken.is_ready() {
            self.tls.get_ref().0.activity.traffic.answers();
        }
        taken
    }
}

impl<S: Wire> AsyncRead for Secure<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_read(cx, buffer)
    }
}

impl<S: Wire> AsyncWrite for Secure<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let taken = Pin::new(&mut self.tls).poll_write(cx, bytes);
        self.poll_taken(taken)
    }

    fn is_write_vectored(&self) -> bool {
        self.tls.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let taken = Pin::new(&mut self.tls).poll_write_vectored(cx, parts);
        self.poll_taken(taken)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_shutdown(cx)
    }
}

/// A connection that ends before hyper ends it says so, if it was told to (`close_notify`, RFC 8446 section 6.1); as far as there
/// is room, since nobody waits for it any more. Where a response breaks off it is not: its client would take it for whole.
impl<S: Wire> Drop for Secure<S> {
    fn drop(&mut self) {
        let Some(words) = self.last_words.get() else { return };
        let (plain, session) = self.tls.get_mut();
        let _ = io::Write::write_all(&mut session.writer(), words);
        session.send_close_notify();
        let mut socket = plain.socket();
        while session.wants_write() && session.write_tls(&mut socket).is_ok_and(|bytes| bytes > 0) {}
    }
}

reads_and_writes_as!(Other {
    #[cfg(unix)]
    Unix,
    Tls,
    #[cfg(unix)]
    TlsOverUnix,
    Tcp,
});

impl<T> Counted<T> {
    pub fn new(inner: T, activity: Arc<Activity>, agreed: Option<Agreed>) -> Self {
        Self {
            inner,
            activity,
            agreed,
            preface: Some(0),
            written: Written::default(),
        }
    }

    fn wrote(&mut self, bytes: &[u8]) {
        if self.activity.is_http2()
            && let Some(limit) = self.written.look(bytes)
        {
            self.activity.is_ended_for(limit);
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Counted<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        let bytes = &buffer.filled()[before..];
        if bytes.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if let Some(come) = self.preface {
            self.preface = preface(come, bytes);
            let is_http2 = self.preface == Some(HTTP2_BEGINS.len());
            let wrong = match self.agreed {
                Some(Agreed::Http1) if is_http2 => Some("HTTP/2 comes where HTTP/1.1 was agreed on"),
                Some(Agreed::Http2) if self.preface.is_none() => Some("HTTP/2 was agreed on, and something else comes"),
                _ => None,
            };
            if let Some(wrong) = wrong {
                buffer.set_filled(before);
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, wrong)));
            }
            if is_http2 {
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

impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, bytes))?;
        self.wrote(&bytes[..written]);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, parts))?;
        let mut left = written;
        for part in parts {
            let of_part = left.min(part.len());
            self.wrote(&part[..of_part]);
            left -= of_part;
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl Socket {
    pub fn downgrade(&self) -> WeakSocket {
        match self {
            Self::Tcp(half) => WeakSocket::Tcp(Arc::downgrade(half)),
            #[cfg(unix)]
            Self::Unix(half) => WeakSocket::Unix(Arc::downgrade(half)),
        }
    }

    /// Writes as much as there is room for.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(half) => half.try_write(bytes),
            #[cfg(unix)]
            Self::Unix(half) => half.try_write(bytes),
        }
    }

    /// Reads what is there.
    pub fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(half) => (**half).as_ref().try_read(into),
            #[cfg(unix)]
            Self::Unix(half) => (**half).as_ref().try_read(into),
        }
    }

    /// Until one of these can be done.
    pub async fn ready(&self, interest: Interest) -> io::Result<tokio::io::Ready> {
        match self {
            Self::Tcp(half) => half.ready(interest).await,
            #[cfg(unix)]
            Self::Unix(half) => half.ready(interest).await,
        }
    }

    /// Tells the peer that no more comes.
    pub fn finish(&self) {
        // It may have gone.
        let _ = match self {
            Self::Tcp(half) => rustix::net::shutdown((**half).as_ref(), rustix::net::Shutdown::Write),
            #[cfg(unix)]
            Self::Unix(half) => rustix::net::shutdown((**half).as_ref(), rustix::net::Shutdown::Write),
        };
    }
}

/// As far as there is room.
impl io::Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

macro_rules! wire {
    ($stream:ty, $module:ident, $kind:ident) => {
        impl Wire for $stream {
            type Reader = $module::OwnedReadHalf;
            type Writer = $module::OwnedWriteHalf;

            fn halves(self) -> (Self::Reader, Self::Writer) {
                self.into_split()
            }

            fn socket(writer: Arc<Self::Writer>) -> Socket {
                Socket::$kind(writer)
            }

            fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.poll_write_ready(cx)
            }

            fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
                self.try_write(bytes)
            }

            fn try_write_vectored(&self, parts: &[io::IoSlice<'_>]) -> io::Result<usize> {
                self.try_write_vectored(parts)
            }

            async fn receive(&self, into: &mut [u8], flags: rustix::net::RecvFlags) -> io::Result<usize> {
                self.async_io(Interest::READABLE, || {
                    let (received, _) = rustix::net::recv(self, &mut *into, flags)?;
                    Ok(received)
                })
                .await
            }
        }
    };
}

wire!(TcpStream, tcp, Tcp);
#[cfg(unix)]
wire!(UnixStream, unix, Unix);
