//! A TCP connection of `wasi:sockets`, as drivers want one: something to read from and to write to.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wasip3::sockets::types::{IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress, TcpSocket};
use wasip3::wit_bindgen::{FutureReader, StreamReader, StreamResult, StreamWriter};
use wasip3::wit_stream;

/// How much is asked for at a time.
const READ_BYTES: usize = 16 * 1024;

/// How much is taken before what came earlier is on its way.
const WRITE_BYTES_MAX: usize = 64 * 1024;

pub struct Socket {
    incoming: Incoming,
    unread: Bytes,
    outgoing: Outgoing,
    /// It lives as long as its streams are used.
    _socket: TcpSocket,
    _sent: FutureReader<Result<(), wasip3::sockets::types::ErrorCode>>,
    _received: FutureReader<Result<(), wasip3::sockets::types::ErrorCode>>,
}

/// A stream, or what is under way on it.
enum Incoming {
    Ready(StreamReader<u8>),
    Reading(Pin<Box<dyn Future<Output = (StreamReader<u8>, StreamResult, Vec<u8>)>>>),
    Ended,
}

enum Outgoing {
    Ready(StreamWriter<u8>),
    /// Gives what the peer did not want, too.
    Writing(Pin<Box<dyn Future<Output = (StreamWriter<u8>, Vec<u8>)>>>),
    Ended,
}

impl Socket {
    pub async fn connect(peer: SocketAddr) -> io::Result<Self> {
        let (family, address) = match peer {
            SocketAddr::V4(peer) => {
                let (port, address) = (peer.port(), peer.ip().octets().into());
                (
                    IpAddressFamily::Ipv4,
                    IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address }),
                )
            }
            SocketAddr::V6(peer) => (
                IpAddressFamily::Ipv6,
                IpSocketAddress::Ipv6(Ipv6SocketAddress {
                    port: peer.port(),
                    flow_info: peer.flowinfo(),
                    address: peer.ip().segments().into(),
                    scope_id: peer.scope_id(),
                }),
            ),
        };
        let failed = |error| io::Error::other(format!("{peer}: {error:?}"));
        let socket = TcpSocket::create(family).map_err(failed)?;
        socket.connect(address).await.map_err(failed)?;
        let (outgoing, data) = wit_stream::new();
        let sent = socket.send(data);
        let (incoming, received) = socket.receive();
        Ok(Self {
            incoming: Incoming::Ready(incoming),
            unread: Bytes::new(),
            outgoing: Outgoing::Ready(outgoing),
            _socket: socket,
            _sent: sent,
            _received: received,
        })
    }

    /// Ready when nothing is under way any more.
    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Outgoing::Writing(writing) = &mut self.outgoing {
            let (stream, unwanted) = ready!(writing.as_mut().poll(cx));
            self.outgoing = match unwanted.is_empty() {
                true => Outgoing::Ready(stream),
                false => Outgoing::Ended,
            };
        }
        Poll::Ready(match self.outgoing {
            Outgoing::Ended => Err(io::ErrorKind::BrokenPipe.into()),
            _ => Ok(()),
        })
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.unread.is_empty() {
            self.incoming = match std::mem::replace(&mut self.incoming, Incoming::Ended) {
                Incoming::Ready(mut stream) => Incoming::Reading(Box::pin(async move {
                    let (result, read) = stream.read(Vec::with_capacity(READ_BYTES)).await;
                    (stream, result, read)
                })),
                Incoming::Reading(mut reading) => match reading.as_mut().poll(cx) {
                    Poll::Ready((stream, result, read)) => {
                        self.unread = read.into();
                        match result {
                            StreamResult::Complete(_) => Incoming::Ready(stream),
                            _ => Incoming::Ended,
                        }
                    }
                    Poll::Pending => {
                        self.incoming = Incoming::Reading(reading);
                        return Poll::Pending;
                    }
                },
                // Nothing read is the end.
                Incoming::Ended => return Poll::Ready(Ok(())),
            };
        }
        let count = self.unread.len().min(buffer.remaining());
        buffer.put_slice(&self.unread[..count]);
        self.unread.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_written(cx))?;
        let Outgoing::Ready(mut stream) = std::mem::replace(&mut self.outgoing, Outgoing::Ended) else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        let taken = bytes[..bytes.len().min(WRITE_BYTES_MAX)].to_vec();
        let count = taken.len();
        self.outgoing = Outgoing::Writing(Box::pin(async move {
            let unwanted = stream.write_all(taken).await;
            (stream, unwanted)
        }));
        // It begins now, and is waited for by the next write or flush.
        match self.poll_written(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(count)),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_written(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_written(cx))?;
        // Without its writer the stream ends, and with it this direction of the connection.
        self.outgoing = Outgoing::Ended;
        Poll::Ready(Ok(()))
    }
}
