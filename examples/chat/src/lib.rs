//! A chat room: one component, one instance, and a WebSocket for everybody in it.
//!
//! The host has the protocol: handshakes, frames, pings, sizes, UTF-8, closing. Here come messages, and go messages. What
//! somebody says is a text message, as it is. What they hear is JSON (`room.rs`), the same for all and in the same order.

mod bindings;
mod room;

use std::pin::pin;

use futures_util::future::{Either, select};
use wasip3::cli::environment::get_environment;
use wasip3::clocks::monotonic_clock::{Duration, wait_for};
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::wit_bindgen::{FutureReader, FutureWriter, StreamReader, StreamWriter, spawn_local};

use bindings::exports::wharf::websocket::handler::Accepted;
use bindings::wharf::websocket::types::{CloseInfo, Message};
use room::{Member, Room};

const NAME_CHARS_MAX: usize = 20;
const TEXT_CHARS_MAX: usize = 500;

/// The server stops, or has a new version of this app (RFC 6455 section 7.4, and the registry it founds).
const SERVICE_RESTART: u16 = 1012;

const MILLISECOND: Duration = 1_000_000;

struct Chat;

wasip3::http::service::export!(Chat);
bindings::export!(Chat with_types_in bindings);

/// Requests that are no handshakes. The page itself is served as files.
impl wasip3::exports::http::handler::Guest for Chat {
    async fn handle(_: Request) -> Result<Response, ErrorCode> {
        Ok(refuse(426, "this is a chat: connect by WebSocket\n"))
    }
}

/// Handshakes.
impl bindings::exports::wharf::websocket::handler::Guest for Chat {
    async fn handle(
        request: Request,
        incoming: StreamReader<Message>,
        closed: FutureReader<CloseInfo>,
    ) -> Result<Accepted, Response> {
        let Some(name) = name(&request) else {
            return Err(refuse(400, "a name has 1 to 20 characters\n"));
        };
        let (outgoing, messages) = bindings::wit_stream::new();
        let (close, closing) = bindings::wit_future::new(|| ending(1000, ""));
        let member = Room::of_this_instance().enter(&name);
        spawn_local(attend(member, incoming, closed, outgoing, close));
        Ok(Accepted {
            subprotocol: None,
            headers: Fields::new(),
            outgoing: messages,
            close: closing,
        })
    }
}

/// Who wants to come in, by the query.
fn name(request: &Request) -> Option<String> {
    let target = request.get_path_with_query()?;
    let (_, query) = target.split_once('?')?;
    let (_, name) = form_urlencoded::parse(query.as_bytes()).find(|(known, _)| known == "name")?;
    let name = plain(&name);
    (1..=NAME_CHARS_MAX).contains(&name.chars().count()).then_some(name)
}

/// Text without line breaks and other characters that nobody sees.
fn plain(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    text.trim().to_owned()
}

/// Is there for one member as long as they are, or until they do what is not done here.
async fn attend(
    mut member: Member,
    incoming: StreamReader<Message>,
    closed: FutureReader<CloseInfo>,
    outgoing: StreamWriter<Message>,
    close: FutureWriter<CloseInfo>,
) {
    let said = member.voice();
    let end = match select(pin!(listen(incoming, closed, said)), pin!(tell(&mut member, outgoing))).await {
        Either::Left((end, _)) | Either::Right((end, _)) => end,
    };
    if end.code == SERVICE_RESTART {
        member.leaves_with_all();
    }
    // They have left the room by now, whatever becomes of their connection.
    drop(member);
    // Nobody waits for this if the connection is gone.
    let _ = close.write(end).await;
}

/// Hears what a member says, until the connection ends.
///
/// Whoever writes fast is read slowly: what they have written waits at their own end of the line.
async fn listen(
    mut incoming: StreamReader<Message>,
    closed: FutureReader<CloseInfo>,
    said: impl Fn(&str),
) -> CloseInfo {
    let pace = setting("PACE_MS", 100) * MILLISECOND;
    while let Some(message) = incoming.next().await {
        let Message::Text(text) = message else {
            return ending(1003, "this is a chat for texts");
        };
        if text.chars().count() > TEXT_CHARS_MAX {
            return ending(1009, "a message has at most 500 characters");
        }
        let text = plain(&text);
        if !text.is_empty() {
            said(&text);
        }
        wait_for(pace).await;
    }
    match closed.await.code {
        // Pages know this code, and are back at once.
        SERVICE_RESTART => ending(SERVICE_RESTART, "a new version is there"),
        _ => ending(1000, ""),
    }
}

/// Tells a member what happens. A write waits until the one before it is on its way.
async fn tell(member: &mut Member, mut outgoing: StreamWriter<Message>) -> CloseInfo {
    loop {
        let Some(news) = member.news().await else {
            return ending(1013, "you are too far behind: come again");
        };
        if !outgoing
            .write_all(news.into_iter().map(Message::Text).collect())
            .await
            .is_empty()
        {
            return ending(1000, "");
        }
    }
}

fn ending(code: u16, reason: &str) -> CloseInfo {
    let reason = reason.to_owned();
    CloseInfo { code, reason }
}

fn refuse(status: u16, text: &'static str) -> Response {
    let fields = [("content-type".to_owned(), b"text/plain".to_vec())];
    let fields = Fields::from_list(&fields).expect("these fields are valid");
    let (mut body, content) = wasip3::wit_stream::new();
    let (_, no_trailers) = wasip3::wit_future::new(|| Ok(None));
    let (response, _) = Response::new(fields, Some(content), no_trailers);
    response.set_status_code(status).expect("this status is valid");
    spawn_local(async move { body.write_all(text.as_bytes().to_vec()).await });
    response
}

/// A number from the manifest's `[environment]`.
fn setting(name: &str, default: u64) -> u64 {
    let variables = get_environment();
    let value = variables.iter().find(|(known, _)| known == name);
    value.and_then(|(_, value)| value.parse().ok()).unwrap_or(default)
}
