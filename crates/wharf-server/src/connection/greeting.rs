//! What comes before a connection's first request: a PROXY header, TLS, or both.
//!
//! All of it in the connection's own task and within `handshake-time`: whoever stalls holds a place, which can be taken from
//! it, and delays nobody.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustix::net::RecvFlags;
use tokio::time::sleep;

use super::activity::Activity;
use super::stream::{LastWords, Other, Plain, Secure, Socket, Wire};
use super::{Agreed, CLOSE_GRACE, linger, turn_away};
use crate::door::Door;
use crate::inbound::{Entrance, Inbound, Peer};
use crate::limits::Limit;
use crate::places::Place;
use crate::proxy::{self, Header, Source};
use crate::tls::{Accepted, Client, Tls};

/// How much of a PROXY header is looked at at a time; most have less.
const HEADER_BYTES: usize = 536;

const NOT_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\
    content-type: text/plain; charset=utf-8\r\ncontent-length: 69\r\n\r\n\
    400 Bad Request: this port takes HTTPS, and the request came without\n";

/// A connection that has not had a request yet.
pub(super) struct Newcomer<S> {
    pub stream: S,
    pub peer: Peer,
    /// The listener's end, where it has an address.
    pub local: Option<SocketAddr>,
    pub entrance: Arc<Entrance>,
    pub door: Arc<Door>,
    pub activity: Arc<Activity>,
}

/// A connection that is ready for requests.
pub(super) struct Greeted {
    pub stream: Other,
    pub socket: Socket,
    pub inbound: Inbound,
    /// Where it speaks TLS.
    pub last_words: Option<Arc<LastWords>>,
    pub agreed: Option<Agreed>,
}

/// Why there will be no requests.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoRequests {
    #[error("it did not come from a trusted proxy, and others may not speak the PROXY protocol")]
    Stranger,
    #[error("{0}")]
    NoHeader(&'static str),
    #[error("its client has met the limit {}", .0.name())]
    Crowded(Limit),
    #[error("it came without TLS")]
    NotTls,
    #[error("TLS was not agreed on")]
    Tls,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Sockets that end up as one of [`Other`].
pub(super) trait Greets: Wire {
    fn plain(plain: Plain<Self>) -> Other;
    fn secure(secure: Box<Secure<Self>>) -> Other;
}

impl Greets for tokio::net::TcpStream {
    fn plain(plain: Plain<Self>) -> Other {
        Other::Tcp(plain)
    }

    fn secure(secure: Box<Secure<Self>>) -> Other {
        Other::Tls(secure)
    }
}

#[cfg(unix)]
impl Greets for tokio::net::UnixStream {
    fn plain(plain: Plain<Self>) -> Other {
        Other::Unix(plain)
    }

    fn secure(secure: Box<Secure<Self>>) -> Other {
        Other::TlsOverUnix(secure)
    }
}

impl<S: Greets> Newcomer<S> {
    /// The connection once it is ready for requests; `None` where it has ended before.
    pub async fn greet(self, place: &Place) -> Option<Greeted> {
        let (door, activity, peer) = (self.door.clone(), self.activity.clone(), self.peer);
        let drained = async {
            door.drain.cancelled().await;
            sleep(CLOSE_GRACE).await;
        };
        tokio::select! {
            biased;
            greeted = self.welcome(place) => match greeted {
                Ok(greeted) => return Some(greeted),
                Err(NoRequests::Stranger) => door.strangers.say(|| tracing::warn!(
                    %peer, "closed a connection: {}; `trusted-proxies` names those who may", NoRequests::Stranger
                )),
                Err(reason @ NoRequests::NoHeader(_)) => door.strangers.say(|| tracing::warn!(
                    %peer, "closed a connection of a trusted proxy: {reason}"
                )),
                Err(reason) => tracing::debug!(%peer, %reason, "a connection ended before its first request"),
            },
            () = sleep(door.limits.handshake_timeout) => {
                door.metrics.reached(Limit::HandshakeTime);
                tracing::debug!(%peer, limit = Limit::HandshakeTime.name(), "closed a connection");
            }
            () = activity.told() => tracing::debug!(%peer, "closed a connection to make room"),
            () = drained => {}
        }
        None
    }

    async fn welcome(self, place: &Place) -> Result<Greeted, NoRequests> {
        let client = match self.client(place).await {
            Err(reason @ NoRequests::Crowded(_)) if self.entrance.tls.is_none() => {
                turn_away(&Plain::new(self.stream, self.activity).socket(), &self.door).await;
                return Err(reason);
            }
            client => client?,
        };
        let mut inbound = Inbound::new(&self.door.proxies, &self.entrance, self.local, client);
        let Some(tls) = &self.entrance.tls else {
            let plain = Plain::new(self.stream, self.activity);
            return Ok(Greeted {
                socket: plain.socket(),
                stream: S::plain(plain),
                inbound,
                last_words: None,
                agreed: None,
            });
        };
        if !begins_with_tls(&self.stream).await? {
            let plain = Plain::new(self.stream, self.activity);
            let socket = plain.socket();
            let _ = socket.try_write(NOT_TLS);
            socket.finish();
            linger(&socket).await;
            return Err(NoRequests::NotTls);
        }
        let plain = Plain::new(self.stream, self.activity);
        let socket = plain.socket();
        let (secure, client) = agree(tls, plain).await?;
        inbound.shown = Some(client);
        Ok(Greeted {
            socket,
            inbound,
            last_words: Some(secure.last_words()),
            // No word about it means HTTP/1.1: HTTP/2 by TLS takes ALPN (RFC 9113 sections 3.2 and 3.3).
            agreed: Some(match secure.speaks_http2() {
                true => Agreed::Http2,
                false => Agreed::Http1,
            }),
            stream: S::secure(secure),
        })
    }

    /// Whose connection it is.
    async fn client(&self, place: &Place) -> Result<Peer, NoRequests> {
        if !self.entrance.proxy_protocol {
            return Ok(self.peer);
        }
        if !self.door.proxies.trusts(self.peer) {
            return Err(NoRequests::Stranger);
        }
        match source(&self.stream).await? {
            Source::Proxy => Ok(self.peer),
            Source::Nameless => Ok(Peer::Unknown),
            Source::Client(client) => {
                place.belongs_to(client).map_err(NoRequests::Crowded)?;
                Ok(Peer::Ip(client))
            }
        }
    }
}

/// The handshake.
async fn agree<S: Wire>(tls: &Tls, plain: Plain<S>) -> Result<(Box<Secure<S>>, Client), NoRequests> {
    let socket = plain.socket();
    let Ok(Accepted { stream, client }) = tls.accept(plain).await else {
        // The client was told why, and is to hear it. The log was, too.
        socket.finish();
        linger(&socket).await;
        return Err(NoRequests::Tls);
    };
    Ok((Box::new(Secure::new(stream)), client))
}

/// Whether what comes can be TLS. All text, and so every request, begins otherwise than its records do (RFC 8446 section 5.1).
async fn begins_with_tls(stream: &impl Wire) -> io::Result<bool> {
    let mut first = [0];
    match stream.receive(&mut first, RecvFlags::PEEK).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(!matches!(first[0], b'\r' | b'\n' | b' '..=b'~')),
    }
}

/// Reads a PROXY header, and not a byte more.
async fn source(stream: &impl Wire) -> Result<Source, NoRequests> {
    let mut come = Vec::new();
    let mut next = [0; HEADER_BYTES];
    loop {
        let before = come.len();
        let bytes = match stream.receive(&mut next, RecvFlags::PEEK).await? {
            0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            bytes => bytes,
        };
        come.extend_from_slice(&next[..bytes]);
        match proxy::header(&come) {
            Header::Bad(reason) => return Err(NoRequests::NoHeader(reason)),
            Header::Incomplete => take(stream, &mut next[..bytes]).await?,
            Header::Complete(length, source) => {
                take(stream, &mut next[..length - before]).await?;
                return Ok(source);
            }
        }
    }
}

/// Takes what is known to have come.
async fn take(stream: &impl Wire, into: &mut [u8]) -> io::Result<()> {
    let mut taken = 0;
    while taken < into.len() {
        match stream.receive(&mut into[taken..], RecvFlags::empty()).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            bytes => taken += bytes,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_that_is_written_as_it_is_has_the_length_it_says() {
        super::super::tests::check_length(NOT_TLS);
    }
}
