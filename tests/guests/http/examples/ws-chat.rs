//! A chat room for all WebSockets of an instance: what one says, everybody hears, as `NTH: TEXT`. Under isolation `shared` that is
//! everybody there is. `/` without a WebSocket says how many are in the room.

use std::cell::RefCell;
use std::collections::BTreeMap;

use futures::StreamExt as _;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use guests_http::websocket::{Decision, Handshake, Message, accept};
use guests_http::{fields, text};
use wasip3::http::types::{ErrorCode, Request, Response};
use wasip3::wit_bindgen::spawn_local;

guests_http::websocket_service!(handle, take);

thread_local! {
    static ROOM: RefCell<Room> = const { RefCell::new(Room { next: 0, members: BTreeMap::new() }) };
}

struct Room {
    next: u32,
    members: BTreeMap<u32, UnboundedSender<String>>,
}

async fn handle(_: Request) -> Result<Response, ErrorCode> {
    Ok(text(ROOM.with_borrow(|room| room.members.len().to_string())))
}

async fn take(handshake: Handshake) -> Decision {
    let (accepted, mut connection) = accept(None, fields(&[]));
    let mut incoming = handshake.incoming;
    let (said, mut heard) = unbounded();
    let nth = ROOM.with_borrow_mut(|room| {
        room.next += 1;
        room.members.insert(room.next, said);
        room.next
    });
    spawn_local(async move {
        while let Some(line) = heard.next().await {
            if !connection.send(Message::Text(line)).await {
                break;
            }
        }
    });
    spawn_local(async move {
        while let Some(message) = incoming.next().await {
            if let Message::Text(text) = message {
                ROOM.with_borrow(|room| {
                    for member in room.members.values() {
                        let _ = member.unbounded_send(format!("{nth}: {text}"));
                    }
                });
            }
        }
        ROOM.with_borrow_mut(|room| room.members.remove(&nth));
    });
    Ok(accepted)
}
