//! WebSockets that a guest accepts, as whoever drives the client's side of them sees it.
//!
//! A [`Socket`] is what lies between: messages in, messages out, and how each side ends. Handshakes and timers are
//! the driver's; frames are in `websocket/wire.rs`, for whoever drives either end. How the guest's streams lead into it is in `websocket/link.rs`; which instance takes a socket,
//! in `service/socket.rs`. The interface is `wit/websocket/websocket.wit`.

pub(crate) mod client;
pub(crate) mod handler;
pub mod handshake;
pub(crate) mod link;
pub(crate) mod types;
pub mod wire;

use std::sync::Arc;
use std::task::{Context, Poll};

use http::HeaderMap;

use crate::http::Payload;
use link::Link;

pub use types::{CloseInfo, Message};

/// What a guest makes of a handshake.
#[derive(Debug)]
pub enum Decision {
    /// It takes the connection.
    Accepted(Accepted),
    /// It answers with this instead.
    Refused(http::Response<Payload>),
}

/// A guest takes a connection.
#[derive(Debug)]
pub struct Accepted {
    /// The subprotocol it has chosen, unchecked.
    pub subprotocol: Option<String>,
    /// Further fields for the answer. Those of the connection itself cannot be among them, others of the handshake can.
    pub headers: HeaderMap,
    /// The connection's other end.
    pub socket: Socket,
}

/// The end of a WebSocket that its driver holds. Dropping it ends the connection for the guest, which then has
/// [`crate::Limits::background_timeout`] to finish where its instance is its own.
pub struct Socket(Arc<Link>);

/// What comes from the guest.
#[derive(Debug, PartialEq)]
pub enum Outgoing {
    /// A message for the client.
    Message(Message),
    /// The guest has sent everything and closes the connection. Nothing comes after it.
    Close(CloseInfo),
    /// The guest failed, or its instance ended. Nothing comes after it.
    Failed,
}

impl Socket {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        Self(link)
    }

    /// Ready when the guest is to be given another message. Few are held for it that it has not read.
    pub fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_room(cx)
    }

    /// Gives the guest a message, whether there is room or not. One that it does not want any more is dropped.
    pub fn deliver(&self, message: Message) {
        self.0.deliver(message);
    }

    /// The next that comes from the guest.
    pub fn poll_outgoing(&self, cx: &mut Context<'_>) -> Poll<Outgoing> {
        self.0.poll_outgoing(cx)
    }

    /// No message comes from the client any more. The guest reads those it was given, and hears how the connection ended;
    /// what it still sends is still taken. Only what is said first counts.
    pub fn finish(&self, closed: CloseInfo) {
        self.0.finish(closed);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket").finish_non_exhaustive()
    }
}
