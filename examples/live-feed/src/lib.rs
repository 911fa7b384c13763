//! A feed of events, as server-sent events: whoever listens hears each event once, also after the connection broke.
//!
//! Every event has an id. A browser that has lost its connection connects again by itself and names the last id it has
//! seen; it gets what came after that, from the history in `feed.rs`, and then what comes. What goes over the wire is in
//! the HTML standard, section 9.2 (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).

mod feed;
mod harbour;

use std::rc::Rc;

use wasip3::cli::environment::get_environment;
use wasip3::clocks::monotonic_clock::{Duration, wait_for};
use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::wit_bindgen::{StreamWriter, spawn_local};
use wasip3::{wit_future, wit_stream};

use feed::{Feed, Listener};

/// After how long a browser that has lost its connection tries again. By itself it would wait for some seconds.
const RETRY: &str = "retry: 500\n\n";

/// How long the harbour goes on when nobody listens: whoever has lost the connection is about to come back.
const UNHEARD_MAX: Duration = 60_000 * MILLISECOND;

const MILLISECOND: Duration = 1_000_000;

struct LiveFeed;

wasip3::http::service::export!(LiveFeed);

impl Guest for LiveFeed {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let target = request.get_path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        if path != "/api/feed" {
            let (response, mut body) = respond(404, "text/plain");
            spawn_local(async move { body.write_all(b"there is nothing at this path\n".to_vec()).await });
            return Ok(response);
        }
        let feed = Feed::of_this_instance();
        let listener = Listener::new(&feed, last_seen(&request, query).as_deref());
        if feed.begins() {
            spawn_local(go_on(Rc::clone(&feed)));
            spawn_local(stay_alive(feed));
        }
        let (response, body) = respond(200, "text/event-stream");
        spawn_local(tell(listener, body));
        Ok(response)
    }
}

/// The id of the last event that this client has seen. A browser that connects again sends it as a field; a page that
/// opens a new `EventSource` cannot, and has it in the query.
fn last_seen(request: &Request, query: &str) -> Option<String> {
    let field = request.get_headers().get("last-event-id").pop();
    let field = field.and_then(|value| String::from_utf8(value).ok());
    field.or_else(|| query.strip_prefix("after=").map(str::to_owned))
}

/// Makes events as long as anybody listens, and for a while after.
async fn go_on(feed: Rc<Feed>) {
    let interval = setting("INTERVAL_MS", 1000) * MILLISECOND;
    let mut unheard = 0;
    while unheard < UNHEARD_MAX {
        wait_for(interval).await;
        feed.tell(harbour::movement);
        unheard = if feed.is_heard() { 0 } else { unheard + interval };
    }
    feed.ends();
}

/// Lets nobody wait for long without a word: one clock for all, where one for each listener would be set ten thousand times.
async fn stay_alive(feed: Rc<Feed>) {
    let interval = setting("KEEP_ALIVE_MS", 15_000) * MILLISECOND;
    while feed.is_running() {
        wait_for(interval).await;
        feed.nudge();
    }
}

/// Writes to one client what it has missed, and then what happens, until it has left.
///
/// A write waits until the client has room. What happens meanwhile waits in the history, once for everybody: a client that
/// is slow costs no more than its place in it.
async fn tell(mut listener: Listener, mut body: StreamWriter<u8>) {
    let mut text = RETRY.to_owned() + &listener.missed();
    while body.write_all(text.into_bytes()).await.is_empty() {
        text = listener.news().await;
    }
}

/// A response, and what its content is written to.
fn respond(status: u16, content_type: &str) -> (Response, StreamWriter<u8>) {
    let fields = [("content-type", content_type), ("cache-control", "no-store")];
    let fields = fields.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    let fields = Fields::from_list(&fields).expect("these fields are valid");
    let (body, content) = wit_stream::new();
    let (_, no_trailers) = wit_future::new(|| Ok(None));
    let (response, _) = Response::new(fields, Some(content), no_trailers);
    response.set_status_code(status).expect("this status is valid");
    (response, body)
}

/// A number from the manifest's `[environment]`.
fn setting(name: &str, default: u64) -> u64 {
    let variables = get_environment();
    let value = variables.iter().find(|(known, _)| known == name);
    value.and_then(|(_, value)| value.parse().ok()).unwrap_or(default)
}
